//! A load generator for gRPC: one fixed unary call over persistent HTTP/2 connections, several at once on each.
//!
//! It writes and reads frames itself and keeps the request as bytes, so that what it costs on the shared cores is small
//! and the same for every server. It does not read response headers, which would need a decoder of compressed headers:
//! an answer is good if it is as long as one that was looked at before. A failed call has no message and is short.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::drive::Rate;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that every peer takes.
const MAX_FRAME: usize = 16 << 10;
/// What may come back before somebody has to ask for more: all there is.
const WINDOW: u32 = (1 << 31) - 1;
/// Bytes after which the connection's window is opened again.
const REPLENISH: usize = 1 << 20;
/// The window that a connection begins with.
const FIRST_WINDOW: i64 = (1 << 16) - 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// One unary call, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Call {
    /// A call of the method at `path` with this message.
    pub(crate) fn new(path: &str, message: &[u8]) -> Self {
        // Indexed fields of the static table, and literals that no table keeps.
        let mut headers = vec![0x83, 0x86];
        literal(&mut headers, &[0x04], path);
        literal(&mut headers, &[0x01], "localhost");
        literal(&mut headers, &[0x0f, 0x10], "application/grpc");
        literal(&mut headers, b"\x00\x02te", "trailers");
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len()).expect("a message").to_be_bytes());
        body.extend_from_slice(message);
        Self { headers, body }
    }
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    block.push(u8::try_from(value.len()).ok().filter(|len| *len < 127).expect("a short value"));
    block.extend_from_slice(value.as_bytes());
}

/// Calls once over a connection of its own; the message of the answer, or none if there was none.
pub(crate) async fn once(address: SocketAddr, call: &Call) -> Option<Vec<u8>> {
    let mut connection = Connection::open(address).await.ok()?;
    connection.begin(call);
    loop {
        connection.flush().await.ok()?;
        let frames = connection.read().await.ok()?;
        for frame in frames {
            if let Some(Ended { data, .. }) = connection.take(frame).ok()? {
                return data.get(5..).map(<[u8]>::to_vec);
            }
        }
    }
}

/// Calls over `connections` with `streams` calls at once on each, for `span`, and counts. Panics on an answer that is not
/// about as long as `expected`.
pub(crate) async fn drive(
    address: SocketAddr,
    call: &Call,
    connections: usize,
    streams: usize,
    span: Duration,
    expected: usize,
) -> Rate {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..connections {
        tasks.spawn(caller(address, call.clone(), streams, start + span, expected));
    }
    let latencies = tasks.join_all().await.into_iter().flatten().collect();
    Rate::of(latencies, start.elapsed())
}

async fn caller(
    address: SocketAddr,
    call: Call,
    streams: usize,
    until: Instant,
    expected: usize,
) -> Vec<Duration> {
    let mut connection = Connection::open(address).await.expect("the server listens");
    // Times in the answer are longer or shorter.
    let good = expected * 3 / 4..=expected * 5 / 4 + 64;
    let mut latencies = Vec::new();
    (0..streams).for_each(|_| connection.begin(&call));
    while !connection.is_idle() {
        connection.flush().await.expect("the server reads");
        let frames = connection.read().await.expect("the server answers");
        let now = Instant::now();
        for frame in frames {
            let Some(Ended { began, data_len, .. }) = connection.take(frame).expect("frames that make sense")
            else {
                continue;
            };
            assert!(good.contains(&data_len), "an answer of {data_len} bytes, not about {expected}");
            latencies.push(now - began);
            if now < until {
                connection.begin(&call);
            }
        }
        connection.resume(&call);
    }
    latencies
}

/// An HTTP/2 connection of a client that sends one kind of call.
struct Connection {
    socket: TcpStream,
    outbound: Vec<u8>,
    inbound: Vec<u8>,
    next_stream: u32,
    open: Vec<Open>,
    /// Calls that wait for the server's window.
    held: usize,
    /// What the server takes now.
    window: i64,
    consumed: usize,
    /// Whether data are kept, not only counted.
    keeps: bool,
}

struct Open {
    stream: u32,
    began: Instant,
    data: Vec<u8>,
    data_len: usize,
}

struct Ended {
    began: Instant,
    data: Vec<u8>,
    data_len: usize,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut connection = Self {
            socket,
            outbound: PREFACE.to_vec(),
            inbound: Vec::with_capacity(256 << 10),
            next_stream: 1,
            open: Vec::new(),
            held: 0,
            window: FIRST_WINDOW,
            consumed: 0,
            keeps: true,
        };
        let mut settings = vec![0, 4];
        settings.extend_from_slice(&WINDOW.to_be_bytes());
        connection.frame(SETTINGS, 0, 0, &settings);
        connection.frame(WINDOW_UPDATE, 0, 0, &(WINDOW - (1 << 16)).to_be_bytes());
        Ok(connection)
    }

    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.held == 0
    }

    /// Sends a call, or holds it until the server takes more.
    fn begin(&mut self, call: &Call) {
        let size = i64::try_from(call.body.len()).expect("a size");
        // The windows of single streams are at least this by default; larger requests would need one kept for each.
        assert!(size <= FIRST_WINDOW, "a request of {size} bytes is too large for this generator");
        if self.window < size {
            self.held += 1;
            return;
        }
        self.window -= size;
        let stream = self.next_stream;
        self.next_stream += 2;
        self.frame(HEADERS, END_HEADERS, stream, &call.headers);
        let mut chunks = call.body.chunks(MAX_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_none() { END_STREAM } else { 0 };
            self.frame(DATA, flags, stream, chunk);
        }
        self.open.push(Open { stream, began: Instant::now(), data: Vec::new(), data_len: 0 });
    }

    /// Sends what was held.
    fn resume(&mut self, call: &Call) {
        self.keeps = false;
        for _ in 0..std::mem::take(&mut self.held) {
            self.begin(call);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
        self.outbound.extend_from_slice(len.get(1..).unwrap_or(&[]));
        self.outbound.extend_from_slice(&[kind, flags]);
        self.outbound.extend_from_slice(&stream.to_be_bytes());
        self.outbound.extend_from_slice(payload);
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        self.socket.write_all(&self.outbound).await?;
        self.outbound.clear();
        Ok(())
    }

    /// All frames that have come, at least one.
    async fn read(&mut self) -> std::io::Result<Vec<Frame>> {
        loop {
            let mut frames = Vec::new();
            let mut at = 0;
            while let Some((frame, size)) = parse(self.inbound.get(at..).unwrap_or(&[])) {
                frames.push(frame);
                at += size;
            }
            self.inbound.drain(..at);
            if !frames.is_empty() {
                return Ok(frames);
            }
            if self.socket.read_buf(&mut self.inbound).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Takes one frame in; the call that it ended.
    fn take(&mut self, frame: Frame) -> Result<Option<Ended>, String> {
        let Frame { kind, flags, stream, payload } = frame;
        match kind {
            DATA => {
                self.consumed += payload.len();
                if self.consumed >= REPLENISH {
                    let more = u32::try_from(self.consumed).unwrap_or(0);
                    self.frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
                    self.consumed = 0;
                }
                let keeps = self.keeps;
                if let Some(open) = self.open.iter_mut().find(|open| open.stream == stream) {
                    open.data_len += payload.len();
                    if keeps {
                        open.data.extend_from_slice(&payload);
                    }
                }
            }
            RESET => return Err(format!("the server reset a call: {payload:?}")),
            GOAWAY => return Err(format!("the server leaves: {}", String::from_utf8_lossy(&payload))),
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.as_slice().try_into().map(u32::from_be_bytes);
                self.window += i64::from(more.map_err(|_| "a window update of another size")?);
            }
            _ => {}
        }
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            return Ok(None);
        }
        let place = self.open.iter().position(|open| open.stream == stream);
        let ended = place.map(|place| self.open.swap_remove(place));
        Ok(ended.map(|Open { began, data, data_len, .. }| Ended { began, data, data_len }))
    }
}

/// The first frame of what has come and its size, once it is complete.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (head, rest) = bytes.split_first_chunk::<9>()?;
    let [a, b, c, kind, flags, stream @ ..] = *head;
    let len = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let payload = rest.get(..len)?;
    let stream = u32::from_be_bytes(stream) & WINDOW;
    // What only has to be counted is copied as well: a few kilobytes are cheap beside the system calls.
    Some((Frame { kind, flags, stream, payload: payload.to_vec() }, 9 + len))
}
