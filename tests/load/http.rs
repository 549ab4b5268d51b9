//! HTTP: a flow behind the gateway against a bare axum handler that does the same natively.
//!
//! Server and load generator share the machine's cores, as in the measurements of the design, so what is compared is the
//! whole cost of a request on both sides.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use lockgate_domain::FlowSpec;
use lockgate_domain::spec::{ComponentRole, InstanceMode};
use lockgate_node::{FlowSource, GatewayOptions, Node, NodeOptions, Serving};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::drive::{self, Rate, drive};
use crate::flows;
use crate::measure::{Row, Target, median};

const SECTION: &str = "HTTP (JSON over persistent connections, load generator on the same cores)";
/// Connections of the load generator.
const CONNECTIONS: usize = 16;
/// Rounds per server; odd, so that there is a middle one.
const ROUNDS: usize = 7;
/// How long one round lasts.
const ROUND: Duration = Duration::from_millis(700);

/// Measures all servers with short and long requests.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, wasm: &Path) -> Vec<Row> {
    tokio.block_on(async {
        let bare = bare().await;
        let one = gateway(wasm, 1, InstanceMode::Reused).await;
        let three = gateway(wasm, 3, InstanceMode::Reused).await;
        let fresh = gateway(wasm, 1, InstanceMode::Fresh).await;
        let servers = [
            ("bare axum", bare),
            ("1 stage", one.address()),
            ("3 stages", three.address()),
            ("1 stage, fresh instances", fresh.address()),
        ];
        let mut rows = Vec::new();
        for (what, count) in [("1 document", 1), ("100 documents", 100)] {
            let request = drive::post("/reverse", &body(count));
            for (_, address) in servers {
                drive(address, &request, CONNECTIONS, ROUND / 2).await;
            }
            let mut rates: Vec<Vec<Rate>> = vec![Vec::new(); servers.len()];
            for _ in 0..ROUNDS {
                for ((_, address), rates) in servers.iter().zip(&mut rates) {
                    rates.push(drive(*address, &request, CONNECTIONS, ROUND).await);
                }
            }
            rows.extend(compare(what, &servers, &rates));
        }
        rows
    })
}

fn compare(what: &str, servers: &[(&str, SocketAddr)], rates: &[Vec<Rate>]) -> Vec<Row> {
    let middle = |pick: fn(&Rate) -> f64| -> Vec<f64> {
        rates.iter().map(|rates| median(rates.iter().map(pick).collect())).collect()
    };
    let (per_second, p50, p99) =
        (middle(|rate| rate.per_second), middle(|rate| rate.p50_us), middle(|rate| rate.p99_us));
    let mut rows = Vec::new();
    for (place, (name, _)) in servers.iter().enumerate() {
        let figures = json!({
            "requests_per_s": per_second.get(place), "p50_us": p50.get(place), "p99_us": p99.get(place),
        });
        let (Some(own), Some(bare)) = (per_second.get(place), per_second.first()) else { continue };
        if place == 0 {
            rows.push(Row::new(SECTION, format!("{what}: {name}"), *own, "requests/s").with_figures(figures));
            continue;
        }
        let row =
            Row::new(SECTION, format!("{what}: {name} / bare axum"), own / bare, "x").with_figures(figures);
        let has_target = place == 1 && what == "1 document";
        rows.push(if has_target { row.with_target(Target::AtLeast(0.8)) } else { row });
        rows.push(Row::new(SECTION, format!("{what}: {name}"), *own, "requests/s"));
        rows.extend(p99.get(place).map(|p99| Row::new(SECTION, format!("{what}: {name}, p99"), *p99, "us")));
    }
    rows
}

/// A node that serves a chain of the benchmark guest on a port of its own.
pub(crate) async fn gateway(wasm: &Path, stages: usize, mode: InstanceMode) -> Serving {
    serve(wasm, flows::spec(stages, mode)).await
}

/// A node that serves a flow of the benchmark guest on a port of its own.
pub(crate) async fn serve(wasm: &Path, spec: FlowSpec) -> Serving {
    let components: BTreeMap<_, _> = spec
        .stages
        .iter()
        .map(|stage| ((stage.name.clone(), ComponentRole::Main), wasm.to_owned()))
        .collect();
    let options = GatewayOptions::from_spec(&spec.gateway);
    let node = Node::new(NodeOptions::default()).expect("a node");
    node.deploy(&FlowSource { spec, components }, &|_| {}).await.expect("a deployment");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    node.serve(vec![listener.into()], options).expect("a gateway")
}

/// A request of so many short texts, to be reversed.
pub(crate) fn body(count: usize) -> String {
    let document = |index: usize| json!({ "id": format!("document-{index}"), "text": format!("{index:04} the quick brown fox jumps over the lazy dog") });
    json!({ "data": (0..count).map(document).collect::<Vec<_>>(), "execEndpoint": "/reverse" }).to_string()
}

// === the bare server ===

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BareRequest {
    data: Vec<BareDocument>,
    #[serde(default)]
    exec_endpoint: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct BareDocument {
    id: String,
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BareReply {
    header: BareHeader,
    parameters: Map<String, Value>,
    routes: [BareRoute; 2],
    data: Vec<BareDocument>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BareHeader {
    request_id: String,
    status: Option<()>,
    exec_endpoint: Option<String>,
    target_executor: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BareRoute {
    executor: &'static str,
    start_time: String,
    end_time: String,
    status: Option<()>,
}

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let router = Router::new().route("/reverse", post(reverse));
    #[expect(clippy::disallowed_methods, reason = "it serves until the benchmark ends")]
    tokio::spawn(async move {
        use axum::serve::ListenerExt as _;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.expect("the server serves");
    });
    address
}

async fn reverse(Json(request): Json<BareRequest>) -> Json<BareReply> {
    let start = now();
    let turn = |document: BareDocument| BareDocument {
        id: document.id,
        text: document.text.chars().rev().collect(),
    };
    let data = request.data.into_iter().map(turn).collect();
    let route = |executor| BareRoute { executor, start_time: start.clone(), end_time: now(), status: None };
    Json(BareReply {
        header: BareHeader {
            request_id: lockgate_domain::ids::fresh_hex_id(),
            status: None,
            exec_endpoint: request.exec_endpoint,
            target_executor: "",
        },
        parameters: request.parameters,
        routes: [route("gateway"), route("stage0")],
        data,
    })
}

fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).expect("a time that can be written")
}
