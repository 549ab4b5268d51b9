//! The words of a host that is up.

use super::*;
use lockgate_domain::spec::PoolSpec;
use lockgate_domain::{ComponentDigest, Manifest};

fn stage(name: &str, needs: &[&str], endpoints: &str, is_kept: bool) -> Stage {
    Stage {
        name: name.parse().unwrap(),
        role: ComponentRole::Main,
        shards: 1,
        needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
        home: Home::Here {
            path: format!("{name}.wasm").into(),
            size: 69_900,
            digest: ComponentDigest::from_sha256([0xab; 32]),
            pool: PoolSpec::default().resolve(false, 2),
        },
        manifest: Manifest::parse(endpoints).unwrap(),
        limits: Limits::default(),
        is_kept,
    }
}

fn chain() -> Deployment {
    Deployment {
        stages: vec![
            stage("normalize", &[], r#"{"endpoints": [{"name": "/default"}]}"#, false),
            stage(
                "index",
                &["normalize"],
                r#"{"stateful": true, "endpoints": [{"name": "/index"}, {"name": "/search"}]}"#,
                true,
            ),
        ],
    }
}

#[test]
fn an_external_executor_is_told_by_its_address() {
    let mut deployment = chain();
    let addresses = vec!["grpc://one:80".to_owned(), "grpcs://two:443".to_owned()];
    deployment.stages[1].home = Home::Elsewhere { addresses, connected: 1 };
    let told = plain(&stages(&deployment));
    assert!(told.contains("external") && told.contains("grpc://one:80 and 1 more, 1 connected"), "{told}");
    let shown = stage_json(&deployment.stages[1]);
    assert_eq!(shown["external"]["addresses"][1], "grpcs://two:443");
    assert!(shown.get("component").is_none(), "{shown}");
}

fn plain(lines: &[String]) -> String {
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

#[test]
fn the_table_shows_what_runs() {
    insta::assert_snapshot!(plain(&stages(&chain())), @r"
      STAGE          SIZE  DIGEST        ENDPOINTS       NEEDS      INSTANCES   LIMITS
      normalize  68.3 KiB  abababababab  /default                   1-4 reused  256 MiB, 10G fuel, 30 s
      index      68.3 KiB  abababababab  /index /search  normalize  1-4 reused  256 MiB, 10G fuel, 30 s  unchanged
    ");
}

fn place(tls: bool) -> [ServedPort; 1] {
    [ServedPort { address: "0.0.0.0:9000".parse().unwrap(), protocol: None, tls }]
}

#[test]
fn each_port_is_told_with_what_is_served_on_it() {
    let port = |port: u16, protocol: Protocol| ServedPort {
        address: ([127, 0, 0, 1], port).into(),
        protocol: Some(protocol),
        tls: false,
    };
    let flow = "search".parse().unwrap();
    let ports = [port(9000, Protocol::Grpc), port(9001, Protocol::Http)];
    insta::assert_snapshot!(plain(&addresses(&flow, &chain(), &ports)), @r#"
    search is served on 2 ports:
      gRPC       grpc://127.0.0.1:9000
      HTTP       http://127.0.0.1:9001
      docs       http://127.0.0.1:9001/docs

    Try it:
      curl -s http://127.0.0.1:9001/search -H 'content-type: application/json' -d '{"data": [{"text": "hello world"}]}'
      lockgate call grpc://127.0.0.1:9000 --endpoint /search --text 'hello world'

    Ctrl-C drains and ends.
    "#);
    let urls = &ready(&flow, &chain(), &ports)["urls"];
    assert_eq!((&urls["http"], &urls["websocket"]), (&"http://127.0.0.1:9001".into(), &Value::Null));
    let only = plain(&addresses(&flow, &chain(), &ports[..1]));
    assert!(!only.contains("http:") && only.contains("lockgate call grpc://"), "{only}");
}

#[test]
fn the_addresses_can_be_pasted() {
    let flow = "search".parse().unwrap();
    insta::assert_snapshot!(plain(&addresses(&flow, &chain(), &place(false))), @r#"
    search is served on one port:
      HTTP       http://127.0.0.1:9000
      gRPC       grpc://127.0.0.1:9000
      WebSocket  ws://127.0.0.1:9000
      docs       http://127.0.0.1:9000/docs

    Try it:
      curl -s http://127.0.0.1:9000/search -H 'content-type: application/json' -d '{"data": [{"text": "hello world"}]}'
      lockgate call grpc://127.0.0.1:9000 --endpoint /search --text 'hello world'

    Ctrl-C drains and ends.
    "#);
}

#[test]
fn with_tls_they_say_so() {
    let flow = "search".parse().unwrap();
    let told = plain(&addresses(&flow, &chain(), &place(true)));
    for url in
        ["https://127.0.0.1:9000/docs", "grpcs://127.0.0.1:9000", "wss://127.0.0.1:9000", "curl -s https://"]
    {
        assert!(told.contains(url), "{told}");
    }
    assert!(!told.contains("http:"), "{told}");
    assert_eq!(ready(&flow, &chain(), &place(true))["urls"]["grpc"], "grpcs://127.0.0.1:9000");
}

#[test]
fn the_first_endpoint_is_one_that_answers() {
    let check = |manifest: &str, expected: &str| {
        let deployment = Deployment { stages: vec![stage("a", &[], manifest, false)] };
        assert_eq!(first_endpoint(&deployment), expected, "{manifest}");
    };
    check(r#"{"endpoints": []}"#, "/");
    check(r#"{"endpoints": [{"name": "/default"}]}"#, "/");
    check(r#"{"endpoints": [{"name": "/upper"}]}"#, "/upper");
    check(r#"{"endpoints": [{"name": "/upper"}, {"name": "/"}]}"#, "/");
    check(r#"{"endpoints": [{"name": "/index"}, {"name": "/search"}]}"#, "/search");
}
