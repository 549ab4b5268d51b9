//! gRPC on loopback, for scale: one unary call of the gateway against one of a bare tonic service.

use std::net::SocketAddr;
use std::path::Path;

use lockgate_domain::spec::InstanceMode;
use lockgate_wire::proto::jina::DataRequestProto;
use lockgate_wire::proto::jina::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use lockgate_wire::proto::jina::jina_single_data_request_rpc_server::{
    JinaSingleDataRequestRpc, JinaSingleDataRequestRpcServer,
};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::http::gateway;
use crate::measure::{Contender, Row, race};

const SECTION: &str = "gRPC (unary, one at a time over one connection)";

type Client = JinaSingleDataRequestRpcClient<Channel>;

/// Measures one call at a time.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, wasm: &Path) -> Vec<Row> {
    let (bare, served) =
        tokio.block_on(async { (bare().await, gateway(wasm, 1, InstanceMode::Reused).await) });
    let connect = |address: SocketAddr| {
        tokio.block_on(Client::connect(format!("http://{address}"))).expect("a channel")
    };
    let (bare, own) = (connect(bare), connect(served.address()));
    let request = request();
    let contender = |name: &'static str, client: &Client| {
        let (mut client, request) = (client.clone(), request.clone());
        Contender::new(name, move |count| {
            tokio.block_on(async {
                for _ in 0..count {
                    client.process_single_data(request.clone()).await.expect("an answer");
                }
            });
        })
    };
    let times = race(&mut [contender("bare tonic", &bare), contender("gateway", &own)]);
    let [bare, own] = times[..] else { return Vec::new() };
    let figures = json!({ "bare_us": bare / 1e3, "gateway_us": own / 1e3 });
    vec![
        Row::new(SECTION, "1 document: bare tonic echo", bare / 1e3, "us"),
        Row::new(SECTION, "1 document: gateway and 1 stage", own / 1e3, "us"),
        Row::new(SECTION, "1 document: gateway / bare tonic", own / bare, "x").with_figures(figures),
    ]
}

fn request() -> DataRequestProto {
    let request = lockgate_wire::envelope::Request {
        id: None,
        endpoint: Some("/reverse".into()),
        target_executor: None,
        parameters: Default::default(),
        documents: crate::native::texts(1),
        dialect: lockgate_wire::envelope::Dialect::DocArrayV1,
    };
    lockgate_wire::grpc::encode_request(&request).expect("a request")
}

/// Echoes: what a call costs without any work.
struct Echo;

#[tonic::async_trait]
impl JinaSingleDataRequestRpc for Echo {
    async fn process_single_data(
        &self,
        request: Request<DataRequestProto>,
    ) -> Result<Response<DataRequestProto>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = JinaSingleDataRequestRpcServer::new(Echo);
    #[expect(clippy::disallowed_methods, reason = "it serves until the benchmark ends")]
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}
