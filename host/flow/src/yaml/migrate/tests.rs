//! Flows as people write them for Jina, what is said about them, and what they become.

use std::fmt::Write;

use super::*;

/// Everything a person reads: the findings, then the file.
fn told(text: &str) -> String {
    let include = |path: &str| match path {
        "ready/config.yml" => Ok("jtype: Ready\nuses: ready.wasm\n".to_owned()),
        "executor1/config.yml" => Ok("jtype: MyExecutor\npy_modules: [executor.py]\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    let migration =
        migrate(text, Some(&include)).unwrap_or_else(|errors| panic!("{}", errors.render("flow.yml")));
    let mut told = String::new();
    for finding in &migration.findings {
        let Finding { line, place, key, verdict, message } = finding;
        writeln!(
            told,
            "{line:>3} {verdict:?} {place}: {key}{}{message}",
            if message.is_empty() { "" } else { ": " }
        )
        .unwrap();
    }
    let again = migrate(&migration.yaml, Some(&include))
        .unwrap_or_else(|errors| panic!("{}", errors.render("new.yml")));
    // A file that was migrated needs nothing but what only its author can do, and is not changed again.
    for finding in &again.findings {
        assert!(matches!(finding.verdict, Verdict::Kept | Verdict::Todo), "{finding:?}\n{}", migration.yaml);
    }
    assert_eq!(again.yaml, migration.yaml);
    format!("{told}---\n{}", migration.yaml)
}

#[test]
fn a_search_flow() {
    insta::assert_snapshot!(told(
        "# Finds images by text.
jtype: Flow
version: '1'
with:
  name: search          # what it is called
  protocol: [grpc, http]
  port: ${{ ENV.PORT }}
  monitoring: true
  port_monitoring: 9090
  env:
    MODEL: small
  uvicorn_kwargs:
    limit_concurrency: 10

    loop: uvloop
  log_config: ./logging.yml   # ours

executors:
  # reads images
  - name: encoder
    uses: jinahub+docker://CLIPEncoder/v0.5
    uses_with:
      name: ${{ ENV.MODEL }}
    replicas: 2
    volumes:
    - ./models:/models
    - ./cache:/cache
    timeout_ready: -1
  - name: indexer
    uses: 'docker://indexer:latest'  # built by CI
    py_modules: [a.py, b.py]
    workspace: ./workspace
    needs: encoder
"
    ));
}

#[test]
fn the_template_of_jina_new() {
    insta::assert_snapshot!(told(
        "jtype: Flow
version: '1'
gateway:
  protocol: [grpc, http, websocket]
  port: [54321, 54322, 54323]
executors:
  - uses: executor1/config.yml
    name: toyExecutor"
    ));
}

#[test]
fn an_old_flow_with_a_tag_and_old_names() {
    insta::assert_snapshot!(told(
        "!Flow
version: '1.0'
with: {port: 8080, protocols: http, quiet: true, nonsense: 1}
pods:
  - uses: MyEncoder
    parallel: 3
    disable_reduce: true
  - quiet: true
    name: second
    uses: ready/config.yml
  - {name: third, uses: MyRanker, gpus: all, uses_with: {a: 'x: y', b: [1, two]}}
  - name: fourth
"
    ));
}

#[test]
fn a_deployment() {
    insta::assert_snapshot!(told(
        "jtype: Deployment
with:
  name: encoder
  uses: executors/encoder.py
  port: 12345
  protocol: http
  replicas: lots
  env: {A: b}
  entrypoint: |
    run this

    and this
  install_requirements: True
"
    ));
}

#[test]
fn an_executors_file() {
    insta::assert_snapshot!(told(
        "jtype: CLIPEncoder   # the class
with:
  size: 128
metas:
  name: CLIP Encoder
  py_modules:
    - executor.py
requests:
  /index: encode
"
    ));
}

#[test]
fn what_is_no_yaml_is_an_error() {
    assert!(migrate("jtype: [Flow", None).is_err());
    assert!(migrate("", None).is_ok());
    assert!(migrate("- a", None).is_ok());
}

#[test]
fn names_are_made_for_files() {
    let check = |uses: &str, expected: &str| assert_eq!(kebab(stem(uses)), expected, "{uses}");
    check("MyEncoder", "my-encoder");
    check("CLIPEncoder", "clipencoder");
    check("docker://registry/team/indexer:1.2", "indexer");
    check("jinaai+docker://jina-ai/CLIPTextEncoder:latest", "cliptext-encoder");
    check("jinahub://Simple/v0.1", "simple");
    check("executors/encoder.py", "encoder");
    check("docker://", "executor");
}
