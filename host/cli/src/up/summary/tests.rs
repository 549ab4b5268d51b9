//! The words of a host that is up.

use super::*;
use lockgate_domain::spec::PoolSpec;
use lockgate_domain::{ComponentDigest, Manifest};

fn stage(name: &str, needs: &[&str], endpoints: &str, is_kept: bool) -> Stage {
    Stage {
        name: name.parse().unwrap(),
        needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
        path: format!("{name}.wasm").into(),
        size: 69_900,
        digest: ComponentDigest::from_sha256([0xab; 32]),
        manifest: Manifest::parse(endpoints).unwrap(),
        pool: PoolSpec::default().resolve(false, 2),
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

#[test]
fn the_addresses_can_be_pasted() {
    let flow = "search".parse().unwrap();
    insta::assert_snapshot!(plain(&addresses(&flow, &chain(), "0.0.0.0:9000".parse().unwrap())), @r#"
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
