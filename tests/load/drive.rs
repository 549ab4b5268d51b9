//! A load generator for HTTP/1.1: a fixed request over persistent connections, each waiting for its answer.
//!
//! It parses no more than it must (the status line and `content-length`), so that what it costs on the shared cores is
//! small and the same for every server.

use std::net::SocketAddr;
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

/// A POST with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

/// Sends `request` over `connections` for `span` and counts. Panics on any answer but 200.
pub(crate) async fn drive(address: SocketAddr, request: &[u8], connections: usize, span: Duration) -> Rate {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..connections {
        tasks.spawn(connection(address, request.to_vec(), start + span));
    }
    let latencies: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let elapsed = start.elapsed().as_secs_f64();
    let mut micros: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Rate { per_second: micros.len() as f64 / elapsed, p50_us: at(0.5), p99_us: at(0.99) }
}

async fn connection(address: SocketAddr, request: Vec<u8>, until: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket option");
    let (mut latencies, mut buffer) = (Vec::new(), Vec::with_capacity(64 << 10));
    loop {
        let start = Instant::now();
        if start >= until {
            return latencies;
        }
        stream.write_all(&request).await.expect("the server reads");
        buffer.clear();
        loop {
            stream.read_buf(&mut buffer).await.expect("the server answers");
            if is_complete(&buffer) {
                break;
            }
        }
        latencies.push(start.elapsed());
    }
}

fn is_complete(buffer: &[u8]) -> bool {
    let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(buffer.get(..head_end).unwrap_or(&[])).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "not 200: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("a content-length");
    buffer.len() >= head_end + 4 + length
}
