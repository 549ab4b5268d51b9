//! A load generator for HTTP/1.1: a fixed request over persistent connections, each waiting for its answer.
//!
//! It parses no more than it must (the status line and `content-length`), so that what it costs on the shared cores is
//! small and the same for every server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// answers per second
    pub(crate) per_second: f64,
    /// median latency in microseconds
    pub(crate) p50_us: f64,
    /// 99th percentile in microseconds
    pub(crate) p99_us: f64,
}

/// What a run gave that may fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    /// answers, whatever they say
    pub(crate) answers: u64,
    /// those with another status than 200, and connections that broke
    pub(crate) failed: u64,
}

/// A POST with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    message(path, "", body)
}

/// A POST with a JSON body and an API key.
pub(crate) fn post_with(path: &str, key: &str, body: &str) -> Vec<u8> {
    message(path, &format!("authorization: Bearer {key}\r\n"), body)
}

fn message(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

/// Sends `request` over `connections` until `over` says so, and counts what fails. What is on its way at the end is
/// given up.
pub(crate) async fn drive_while(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    over: &AtomicBool,
) -> Tally {
    let one = || async {
        let (mut answers, mut failed) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(address).await else {
                failed += 1;
                continue;
            };
            stream.set_nodelay(true).expect("a socket option");
            let mut buffer = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let status = tokio::select! {
                    status = exchange(&mut stream, request, &mut buffer) => status,
                    () = until(over) => break,
                };
                answers += 1;
                failed += u64::from(status != Some(200));
                if status.is_none() {
                    break;
                }
            }
        }
        Tally { answers, failed }
    };
    let tallies = futures_util::future::join_all((0..connections).map(|_| one())).await;
    tallies.into_iter().fold(Tally { answers: 0, failed: 0 }, |sum, tally| Tally {
        answers: sum.answers + tally.answers,
        failed: sum.failed + tally.failed,
    })
}

/// Sends it once over a connection of its own; gives the status.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket option");
    exchange(&mut stream, request, &mut Vec::new()).await.expect("the server answers")
}

/// Sends it once over a connection of its own; gives the body of a good answer.
pub(crate) async fn try_once(address: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut buffer = Vec::new();
    let status = exchange(&mut stream, request, &mut buffer).await?;
    let body = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    (status == 200).then(|| buffer.split_off(body))
}

async fn until(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends `request` over `connections` for `span` and counts. Panics on any answer but 200.
pub(crate) async fn drive(address: SocketAddr, request: &[u8], connections: usize, span: Duration) -> Rate {
    paced(address, request, connections, span, Duration::ZERO).await
}

/// The same with a pause between an answer and the next request of its connection.
pub(crate) async fn paced(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    span: Duration,
    pause: Duration,
) -> Rate {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..connections {
        tasks.spawn(connection(address, request.to_vec(), start + span, pause));
    }
    let latencies = tasks.join_all().await.into_iter().flatten().collect();
    Rate::of(latencies, start.elapsed())
}

impl Rate {
    /// What these answers, which came in so much time, amount to.
    pub(crate) fn of(latencies: Vec<Duration>, elapsed: Duration) -> Self {
        let mut micros: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        Self { per_second: micros.len() as f64 / elapsed.as_secs_f64(), p50_us: at(0.5), p99_us: at(0.99) }
    }
}

async fn connection(address: SocketAddr, request: Vec<u8>, until: Instant, pause: Duration) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket option");
    let (mut latencies, mut buffer) = (Vec::new(), Vec::with_capacity(64 << 10));
    loop {
        let start = Instant::now();
        if start >= until {
            return latencies;
        }
        let status = exchange(&mut stream, &request, &mut buffer).await;
        assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&buffer));
        latencies.push(start.elapsed());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// One request and its answer; gives the status, or none if the connection broke.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        if let Some(status) = complete(buffer) {
            return Some(status);
        }
    }
}

/// The status, once the whole answer is there.
fn complete(buffer: &[u8]) -> Option<u16> {
    let head_end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(buffer.get(..head_end).unwrap_or(&[])).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("a content-length");
    (buffer.len() >= head_end + 4 + length).then_some(status)
}
