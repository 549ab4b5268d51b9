//! The whole of a host, both sockets and its end, as `lockgate serve --dev` has it.

use std::net::SocketAddr;

use lockgate_domain::{ErrorCode, TenantName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{Registry, RegistryOptions, UsageFilter};
use lockgate_testkit::guest::{self, Manner};
use lockgate_testkit::http::{Answer, HttpClient};
use serde_json::json;

use super::stand::number;
use crate::hosting::{Host, HostOptions};
use crate::serving::Ended;

fn options(folder: &std::path::Path) -> HostOptions {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    HostOptions { data_address: anywhere, control_address: anywhere, dev: true, ..HostOptions::new(folder) }
}

#[tokio::test]
async fn a_host_takes_an_upload_serves_it_at_once_and_ends_with_everything_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start(options(folder.path())).await.unwrap();
    let client = HttpClient::http1();
    let control = format!("http://{}/v1/tenants/local", host.control_address());
    let json = [("content-type", "application/json")];
    let send = async |path: &str, headers: &[(&str, &str)], body: Vec<u8>| -> Answer {
        client.send(http::Method::POST, &format!("{control}/{path}"), headers, body.into()).await
    };
    let binary = [("content-type", "application/wasm")];
    let uploaded = send("components", &binary, guest::component(5, Manner::Plain)).await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.text());
    let digest = uploaded.json()["digest"].as_str().unwrap().to_owned();
    let revision = json!({
        "component": digest,
        "deploy": true,
        "examples": [{"endpoint": "/run", "data": [{"text": "a"}], "expect": [{"answer": 5}]}],
    });
    let made = send("executors/shout/revisions", &json, revision.to_string().into()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let url = format!("http://{}/executors/shout/run", host.data_address());
    let answer = client.post(&url, &json!({"data": [{"text": "hi"}]})).await;
    assert_eq!(number(&answer), Some(5), "{}", answer.text());
    let page = client.get(&format!("http://{}/metrics", host.control_address())).await.text();
    assert!(page.contains("lockgate_tenant_calls_total{tenant=\"local\",executor=\"shout\"} 1"), "{page}");
    assert!(page.contains("lockgate_resident 1"), "{page}");
    assert!(page.contains("lockgate_requests_in_flight 0"), "{page}");
    let open = client.get(&format!("http://{}/metrics", host.data_address())).await;
    assert_eq!(open.status, 404, "strangers read no numbers: {}", open.text());

    host.drain();
    assert!(host.is_draining());
    assert_eq!(host.ended().await, Ended::Drained);
    drop(host);
    let registry = Registry::open(RegistryOptions::new(folder.path())).unwrap();
    let access = TenantAccess::of_host(TenantName::local(), "test");
    let usage = registry.usage_sum(&access, &UsageFilter::default()).unwrap();
    assert_eq!((usage.requests, usage.failures), (2, 0), "one call, and one golden example");
}

#[tokio::test]
async fn development_mode_listens_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let given = [
        HostOptions { data_address: everywhere, ..options(folder.path()) },
        HostOptions { control_address: everywhere, ..options(folder.path()) },
    ];
    for options in given {
        let problem = Host::start(options).await.unwrap_err();
        assert_eq!(problem.code(), ErrorCode::PermissionDenied);
        assert!(problem.message().contains("0.0.0.0:0"), "{problem:?}");
    }
}
