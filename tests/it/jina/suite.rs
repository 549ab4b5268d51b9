//! One run against one release: each flow in both, each question to both, and what differs without being stated.

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, TestCertificate};
use serde_json::{Value, json};

use super::Release;
use super::cases::{Case, StatedDifference, cases_of, flow_of_jina, flow_of_lockgate, general_differences};
use super::compare::{Difference, differences};
use super::driver::{Jina, Script};
use crate::support::BINARY;

/// The flow whose executor other flows use from outside, and what stands for its port.
const OUTSIDE: &str = "outside";
const OUTSIDE_PORT: &str = "OUTSIDE_PORT";
/// What stands for the files of a certificate.
const CERTIFICATE: &str = "TLS_CERTIFICATE";
const KEY: &str = "TLS_KEY";
/// Variables that say whom Jina's client trusts: over HTTP and WebSocket, and over gRPC.
const TRUSTED: [&str; 2] = ["SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"];

/// How often one is asked where the client blocks.
const TRIES: usize = 3;

/// Asks both everything that there is for this release.
pub(super) async fn compare_with_jina(release: &Release) {
    let only = std::env::var("LOCKGATE_JINA_FLOW").ok();
    let certificate = TestCertificate::new();
    let trusted = TRUSTED.map(|name| (name, certificate.authority()));
    let mut run = Run {
        release: release.name,
        general: general_differences(),
        jina: Jina::start(release).await,
        driver: Script::start(release, "drive.py", &trusted).await,
        certificate,
        findings: Vec::new(),
        compared: 0,
        put_off: 0,
    };
    for (flow, cases) in cases_of(release.name) {
        if only.as_ref().is_none_or(|only| only.split(',').any(|only| only == flow)) {
            run.flow(&flow, &cases).await;
        }
    }
    assert!(run.compared > 0, "nothing was compared");
    let findings = run.findings;
    println!("{}: {} answers compared, {} put off", release.name, run.compared, run.put_off);
    assert!(findings.is_empty(), "{} of {}:\n{}", findings.len(), release.name, findings.join("\n"));
}

struct Run {
    release: &'static str,
    general: Vec<StatedDifference>,
    jina: Jina,
    driver: Script,
    certificate: TestCertificate,
    findings: Vec<String>,
    compared: usize,
    put_off: usize,
}

impl Run {
    async fn flow(&mut self, name: &str, cases: &[Case]) {
        let text = self.flow_text(name).await;
        let ports = self.jina.serve(name, &text).await;
        let host = match cases.iter().all(|case| case.later.is_some()) {
            true => None,
            false => self.host(name, &text).await,
        };
        // By row: which stated differences have been seen over any protocol.
        let mut seen: Vec<(&str, &StatedDifference, bool)> = Vec::new();
        for case in cases {
            let found = self.case(name, case, &ports, host.as_ref()).await;
            let Some(found) = found else { continue };
            for stated in &case.differs {
                let is_there = stated.sometimes || found.iter().any(|one| one.is_covered_by(stated));
                match seen.iter_mut().find(|(row, known, _)| *row == case.name && known.at == stated.at) {
                    Some((_, _, known)) => *known |= is_there,
                    None => seen.push((&case.name, stated, is_there)),
                }
            }
        }
        for (row, stated, is_there) in seen {
            if !is_there {
                self.findings.push(format!("{name} / {row}: {} no longer differs, remove it", stated.at));
            }
        }
        self.jina.stop(name).await;
        self.jina.stop(OUTSIDE).await;
    }

    /// The flow's text. One that names an executor outside has it started, in a flow of Jina's for both.
    async fn flow_text(&mut self, name: &str) -> String {
        let (chain, key) = (self.certificate.chain(), self.certificate.key());
        let text = flow_of_jina(name).replace(CERTIFICATE, &chain.display().to_string());
        let text = text.replace(KEY, &key.display().to_string());
        if !text.contains(OUTSIDE_PORT) {
            return text;
        }
        let port = free_port().to_string();
        self.jina.serve(OUTSIDE, &flow_of_jina(OUTSIDE).replace(OUTSIDE_PORT, &port)).await;
        text.replace(OUTSIDE_PORT, &port)
    }

    async fn host(&mut self, name: &str, text: &str) -> Option<RunningHost> {
        match HostOptions::flow_text(BINARY, &flow_of_lockgate(text)).try_start().await {
            Ok(host) => Some(host),
            Err(words) => {
                self.findings.push(format!("{name}: lockgate does not serve this flow:\n{words}"));
                None
            }
        }
    }

    /// Jina's client blocks for ever now and then, whoever it talks to, and is asked again.
    async fn answer(&mut self, case: &Case, ports: &Value) -> Value {
        let order = json!({ "ports": ports, "ask": case.ask });
        for _ in 1..TRIES {
            let answer = self.driver.order(&order).await;
            if answer["raised"] != "Hung" {
                return answer;
            }
        }
        self.driver.order(&order).await
    }

    /// Asks both; what differs, stated or not.
    async fn case(
        &mut self,
        flow: &str,
        case: &Case,
        ports: &Value,
        host: Option<&RunningHost>,
    ) -> Option<Vec<Difference>> {
        let place = format!("{flow} / {} / {}", case.name, case.protocol.as_deref().unwrap_or("-"));
        let jina = self.answer(case, ports).await;
        if let Some(raised) = jina.get("raised").and_then(Value::as_str)
            && !case.raises.iter().any(|one| one == raised)
        {
            self.findings.push(format!("{place}: the real Jina's client raised {raised}: {}", jina["words"]));
        }
        if case.later.is_some() {
            self.put_off += 1;
            return None;
        }
        let host = host?;
        let port = host.address().port();
        let ports = json!({ "grpc": port, "http": port, "websocket": port });
        let lockgate = self.answer(case, &ports).await;
        self.compared += 1;
        let found = differences(&jina, &lockgate);
        let is_stated = |one: &Difference| {
            let general =
                self.general.iter().filter(|stated| stated.is_about(self.release, case.protocol.as_deref()));
            case.differs.iter().chain(general).any(|stated| one.is_covered_by(stated))
        };
        let unstated = found.iter().filter(|one| !is_stated(one));
        self.findings.extend(unstated.map(|one| format!("{place}: {one}")));
        Some(found)
    }
}

/// A port that was free a moment ago: Jina wants to be told one.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
