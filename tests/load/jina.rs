//! The real Jina 3.19.1 and Lockgate with the same flow, the same load and in turn: `cargo xtask bench --jina`.
//!
//! The flow turns texts around, once or three times. Both servers are up while their rounds alternate, each as its own
//! users start it: Jina with an executor in Python and a process for each stage, Lockgate as `lockgate up` with the
//! benchmarks' component. An answer of each is compared before anything is counted. Whatever happens, Jina's processes
//! end with this one: they are a process group of their own, which a guard kills, and their standard input is a pipe
//! that ends with us.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockgate_domain::document::names;
use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, process, python, repository};
use lockgate_wire::envelope::{Dialect, Request};
use lockgate_wire::proto::jina::DataRequestProto;
use prost::Message;
use serde_json::{Value, json};

use crate::drive::{self, Rate};
use crate::http::body;
use crate::measure::{Row, Target, median};
use crate::{http2, native};

/// HTTP connections, each with one request at a time.
const CONNECTIONS: usize = 16;
/// gRPC connections, and calls at once on each: as many in flight as make Jina no slower.
const CHANNELS: usize = 4;
const STREAMS: usize = 8;
/// Rounds per server; odd, so that there is a middle one.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
/// How often a server is started; the middle one counts.
const STARTS: usize = 3;
/// A server that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures, for the protocols that are wanted; all if none is named.
pub(crate) fn rows(wasm: &Path, wanted: &[String]) -> Result<Vec<Row>, String> {
    let unknown = wanted.iter().find(|word| !matches!(word.as_str(), "grpc" | "http"));
    if let Some(word) = unknown {
        return Err(format!("--jina measures grpc and http, not {word}"));
    }
    tell("the Python environment of Jina is made, unless it is there");
    let python =
        python::jina_python(&repository().join("tests/jina/requirements-3.19.1-docarray-0.21.1.txt"))?;
    // One thread: the generator shares the cores with what it measures.
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.map_err(|error| format!("no runtime: {error}"))?;
    let mut rows = Vec::new();
    for protocol in [Protocol::Grpc, Protocol::Http] {
        if wanted.is_empty() || wanted.iter().any(|word| word == protocol.word()) {
            for stages in [1, 3] {
                rows.extend(tokio.block_on(Match { python: &python, wasm, protocol, stages }.play())?);
            }
        }
    }
    Ok(rows)
}

#[expect(clippy::print_stderr, reason = "a benchmark that takes minutes says how far it is")]
fn tell(words: &str) {
    eprintln!("{words}");
}

/// One flow over one protocol.
struct Match<'a> {
    python: &'a Path,
    wasm: &'a Path,
    protocol: Protocol,
    stages: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    fn word(self) -> &'static str {
        match self {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        }
    }
}

impl Match<'_> {
    async fn play(&self) -> Result<Vec<Row>, String> {
        let what = format!("{}, {} stage(s)", self.protocol.word(), self.stages);
        let one = Load::new(self.protocol, 1);
        let (mut jina_starts, mut own_starts) = (Vec::new(), Vec::new());
        let mut servers: Option<(JinaFlow, RunningHost)> = None;
        for _ in 0..STARTS {
            // Each start has the machine to itself; the last ones stay.
            drop(servers.take());
            tell(&format!("{what}: Jina starts"));
            let start = Instant::now();
            let jina = JinaFlow::start(self.python, self.protocol, self.stages)?;
            one.first_answer(jina.address).await?;
            jina_starts.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let own = self.start_own().await?;
            one.first_answer(own.address()).await?;
            own_starts.push(start.elapsed().as_secs_f64());
            servers = Some((jina, own));
        }
        let Some((jina, own)) = servers else { return Err("nothing was started".into()) };
        let mut rows = Vec::new();
        for count in [1, 100] {
            tell(&format!("{what}: {count} document(s)"));
            let load = Load::new(self.protocol, count);
            let (theirs, ours) = load.race(jina.address, own.address()).await?;
            rows.extend(self.compare(count, &theirs, &ours));
        }
        let (theirs, ours) = (jina.memory_mib(), tree_mib(own.pid()));
        let section = self.section();
        let figures = json!({ "jina_mib": theirs, "lockgate_mib": ours });
        rows.push(
            Row::new(section, "memory of all processes, Lockgate / Jina", ours / theirs, "x")
                .with_target(Target::AtMost(0.1))
                .with_figures(figures),
        );
        rows.push(Row::new(section, "memory: Jina", theirs, "MiB"));
        rows.push(Row::new(section, "memory: Lockgate", ours, "MiB"));
        let (theirs, ours) = (median(jina_starts), median(own_starts));
        let figures = json!({ "jina_s": theirs, "lockgate_s": ours });
        let row = Row::new(section, "start to first answer, Jina / Lockgate", theirs / ours, "x");
        rows.push(row.with_figures(figures));
        Ok(rows)
    }

    async fn start_own(&self) -> Result<RunningHost, String> {
        let wasm = self.wasm.display();
        let stages: String =
            (0..self.stages).map(|stage| format!("  - name: stage{stage}\n    uses: {wasm}\n")).collect();
        let text = format!("jtype: Flow\nexecutors:\n{stages}");
        HostOptions::flow_text(env!("CARGO_BIN_EXE_lockgate"), &text).try_start().await
    }

    fn section(&self) -> &'static str {
        match (self.protocol, self.stages) {
            (Protocol::Grpc, 1) => "Jina 3.19.1 and Lockgate: gRPC, 1 stage",
            (Protocol::Grpc, _) => "Jina 3.19.1 and Lockgate: gRPC, 3 stages",
            (Protocol::Http, 1) => "Jina 3.19.1 and Lockgate: HTTP, 1 stage",
            (Protocol::Http, _) => "Jina 3.19.1 and Lockgate: HTTP, 3 stages",
        }
    }

    /// What the issue of this benchmark is: so many times Jina's requests a second.
    fn target(&self, count: usize) -> Option<Target> {
        match (self.protocol, self.stages, count) {
            (_, 1, 1) => Some(Target::AtLeast(40.0)),
            (_, _, 1) | (Protocol::Http, _, _) => Some(Target::AtLeast(80.0)),
            (Protocol::Grpc, _, _) => None,
        }
    }

    fn compare(&self, count: usize, theirs: &[Rate], ours: &[Rate]) -> Vec<Row> {
        let middle = |rates: &[Rate], pick: fn(&Rate) -> f64| median(rates.iter().map(pick).collect());
        let pick: [fn(&Rate) -> f64; 3] = [|rate| rate.per_second, |rate| rate.p50_us, |rate| rate.p99_us];
        let [jina, own] = [theirs, ours].map(|rates| pick.map(|pick| middle(rates, pick)));
        let ([jina_rate, jina_p50, jina_p99], [own_rate, own_p50, own_p99]) = (jina, own);
        let (section, what) = (self.section(), if count == 1 { "1 document" } else { "100 documents" });
        let figures = json!({
            "jina": { "requests_per_s": jina_rate, "p50_us": jina_p50, "p99_us": jina_p99 },
            "lockgate": { "requests_per_s": own_rate, "p50_us": own_p50, "p99_us": own_p99 },
        });
        let row =
            Row::new(section, format!("{what}: requests/s, Lockgate / Jina"), own_rate / jina_rate, "x");
        let row = row.with_figures(figures);
        vec![
            match self.target(count) {
                Some(target) => row.with_target(target),
                None => row,
            },
            Row::new(section, format!("{what}: Jina"), jina_rate, "requests/s"),
            Row::new(section, format!("{what}: Lockgate"), own_rate, "requests/s"),
            Row::new(section, format!("{what}: p50, Jina / Lockgate"), jina_p50 / own_p50, "x"),
            Row::new(section, format!("{what}: p99, Jina / Lockgate"), jina_p99 / own_p99, "x"),
        ]
    }
}

// === the load ===

/// One request, and what is right to be answered.
struct Load {
    request: Sent,
    expected: Vec<String>,
}

enum Sent {
    Grpc(http2::Call),
    Http(Vec<u8>),
}

impl Load {
    fn new(protocol: Protocol, count: usize) -> Self {
        let turned = |text: &str| text.chars().rev().collect::<String>();
        match protocol {
            Protocol::Grpc => {
                let documents = native::texts(u32::try_from(count).expect("a count"));
                let texts = (0..documents.len()).filter_map(|row| documents.text(names::TEXT, row));
                let expected = texts.map(turned).collect();
                let request = Request {
                    id: None,
                    endpoint: Some("/reverse".into()),
                    target_executor: None,
                    parameters: Default::default(),
                    documents,
                    dialect: Dialect::DocArrayV1,
                };
                let message = lockgate_wire::grpc::encode_request(&request).expect("a request");
                let path = "/jina.JinaSingleDataRequestRPC/process_single_data";
                Self { request: Sent::Grpc(http2::Call::new(path, &message.encode_to_vec())), expected }
            }
            Protocol::Http => {
                let body = body(count);
                let sent: Value = serde_json::from_str(&body).expect("JSON");
                let expected = texts(&sent).iter().map(|text| turned(text)).collect();
                Self { request: Sent::Http(drive::post("/post", &body)), expected }
            }
        }
    }

    /// Sends it once; the bytes of the answer if it is the right one.
    async fn answer(&self, address: SocketAddr) -> Option<usize> {
        let (found, size) = match &self.request {
            Sent::Grpc(call) => {
                let message = http2::once(address, call).await?;
                let reply = DataRequestProto::decode(message.as_slice()).ok()?;
                let reply = lockgate_wire::grpc::decode_reply(reply, &Default::default()).ok()?;
                let list = &reply.documents;
                let texts =
                    (0..list.len()).map(|row| list.text(names::TEXT, row).unwrap_or_default().to_owned());
                (texts.collect::<Vec<_>>(), message.len() + 5)
            }
            Sent::Http(request) => {
                let body = drive::try_once(address, request).await?;
                (texts(&serde_json::from_slice(&body).ok()?), body.len())
            }
        };
        (found == self.expected).then_some(size)
    }

    /// Asks until the right answer comes: a server that is only just up refuses, or answers in vain.
    async fn first_answer(&self, address: SocketAddr) -> Result<usize, String> {
        let start = Instant::now();
        loop {
            if let Ok(Some(size)) = tokio::time::timeout(PATIENCE, self.answer(address)).await {
                return Ok(size);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "the server at {address} gave no right answer in {} s",
                    PATIENCE.as_secs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Rounds of both servers in turn.
    async fn race(&self, jina: SocketAddr, own: SocketAddr) -> Result<(Vec<Rate>, Vec<Rate>), String> {
        let servers = [jina, own];
        let mut sizes = Vec::new();
        for address in servers {
            sizes.push(self.first_answer(address).await?);
            self.drive(address, ROUND / 2, sizes.last().copied().unwrap_or(0)).await;
        }
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((address, size), rates) in servers.iter().zip(&sizes).zip(&mut rates) {
                rates.push(self.drive(*address, ROUND, *size).await);
            }
        }
        let [theirs, ours] = rates;
        Ok((theirs, ours))
    }

    async fn drive(&self, address: SocketAddr, span: Duration, size: usize) -> Rate {
        match &self.request {
            Sent::Grpc(call) => http2::drive(address, call, CHANNELS, STREAMS, span, size).await,
            Sent::Http(request) => drive::drive(address, request, CONNECTIONS, span).await,
        }
    }
}

fn texts(message: &Value) -> Vec<String> {
    let documents = message.get("data").and_then(Value::as_array).into_iter().flatten();
    documents.map(|document| document.get("text").and_then(Value::as_str).unwrap_or("").to_owned()).collect()
}

// === the other side ===

/// A flow of the real Jina. Dropping it kills every process of it.
struct JinaFlow {
    child: Child,
    address: SocketAddr,
}

impl JinaFlow {
    fn start(python: &Path, protocol: Protocol, stages: usize) -> Result<Self, String> {
        use std::os::unix::process::CommandExt as _;

        let address = free_address().map_err(|error| format!("no free port: {error}"))?;
        let script: PathBuf = repository().join("tests/jina/bench_flow.py");
        let child = Command::new(python)
            .arg(script)
            .args([protocol.word(), &address.port().to_string(), &stages.to_string()])
            .env("JINA_OPTOUT_TELEMETRY", "1")
            .env("JINA_LOG_LEVEL", "ERROR")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        Ok(Self { child, address })
    }

    /// Proportional memory of all processes of the flow.
    fn memory_mib(&self) -> f64 {
        let group = self.child.id();
        processes().filter(|known| known.group == group).filter_map(|known| pss_mib(known.pid)).sum()
    }
}

impl Drop for JinaFlow {
    fn drop(&mut self) {
        process::kill_group(self.child.id());
        self.child.wait().ok();
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// One line of the system's table of processes.
struct Known {
    pid: u32,
    parent: u32,
    group: u32,
}

fn processes() -> impl Iterator<Item = Known> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything; what follows it are the state and numbers.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        Some(Known { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    })
}

/// Proportional memory of a process and of those that it started.
fn tree_mib(pid: u32) -> f64 {
    let children = processes().filter(|known| known.parent == pid).map(|known| tree_mib(known.pid));
    children.sum::<f64>() + pss_mib(pid).unwrap_or(0.0)
}

/// Memory of one process; what it shares counts in parts.
fn pss_mib(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
