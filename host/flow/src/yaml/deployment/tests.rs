//! Deployments, alone and as entries of a flow.

use serde_json::json;

use crate::yaml::FlowFile;

fn read(text: &str) -> Result<FlowFile, String> {
    let environment = |name: &str| (name == "PORT").then(|| "9001".to_owned());
    FlowFile::parse(text, &environment)
        .map_err(|errors| errors.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_deployment_is_a_flow_of_one_stage() {
    let file = read(
        "jtype: Deployment
version: '1'
timeout: 5s
with:
  name: encoder
  uses: e.wasm
  uses_with: {size: 128}
  replicas: 3
  timeout_send: 2000
  retries: 1
  limits: {memory_bytes: 64MiB}
  port: ${{ ENV.PORT }}
  host: 0.0.0.0
  protocol: [grpc, http]
  title: Encoder
  prefetch: 5
  quiet: true
",
    )
    .unwrap();
    let spec = &file.spec;
    assert_eq!((spec.name.as_str(), spec.timeout_ms, spec.stages.len()), ("encoder", 5000, 1));
    let gateway = &spec.gateway;
    assert_eq!(
        (gateway.port, gateway.host.as_deref(), gateway.title.as_deref(), gateway.prefetch),
        (Some(9001), Some("0.0.0.0"), Some("Encoder"), 5)
    );
    let stage = &spec.stages[0];
    assert_eq!((stage.name.as_str(), stage.uses.as_str()), ("encoder", "e.wasm"));
    assert_eq!(serde_json::Value::Object(stage.config.clone()), json!({"size": 128}));
    assert_eq!((stage.pool.max, stage.timeout_ms, stage.retries), (Some(3), Some(2000), 1));
    assert_eq!(stage.limits.memory_bytes, 64 << 20);
    assert_eq!(
        file.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 17: `quiet` in executor `encoder` is ignored: logs are set on the command line"]
    );
}

#[test]
fn a_deployment_without_a_name_is_called_executor() {
    let spec = read("jtype: Deployment\nwith: {uses: e.wasm}").unwrap().spec;
    assert_eq!((spec.name.as_str(), spec.stages[0].name.as_str()), ("executor", "executor"));
}

#[test]
fn mistakes_are_told_as_in_a_flow() {
    let check = |text: &str, expected: &str| assert_eq!(read(text).unwrap_err(), expected, "{text}");
    check(
        "jtype: Deployment\nwith:\n  name: e\n  uses: docker://e\n  replica: 2",
        "executor `e` uses \"docker://e\", which is a container (line 4): build the executor as a component and name its `.wasm` file or source folder\nunknown key `replica` in executor `e` (line 5): did you mean `replicas`?",
    );
    check(
        "jtype: Deployment\nuses: e.wasm",
        "the deployment does not say what it runs (line 1): write `with:` and under it `uses:` with a `.wasm` file or a source folder\nunknown key `uses` in the deployment (line 2): write it under an entry of `executors:`",
    );
    check(
        "jtype: Deployment\nwith: {uses: e.wasm}\nexecutors: [{uses: e}]",
        "`executors` in the deployment means nothing here (line 3): several executors make a flow: write `jtype: Flow`",
    );
    check(
        "jtype: Deployment\nwith: {uses: e.wasm, port: high}",
        "`port` of `with` must be a number from 0 to 65535, not \"high\" (line 2)",
    );
    check(
        "jtype: Deployment\nwith: {name: ../e, uses: e.wasm}",
        &read("jtype: Flow\nexecutors: [{name: ../e, uses: e.wasm}]").unwrap_err(),
    );
}

#[test]
fn deployments_are_entries_of_a_flow() {
    let spec = read(
        "jtype: Flow
executors:
  - name: a
    uses: a.wasm
  - jtype: Deployment
    with: {name: b, uses: b.wasm, port: 1}
    needs: gateway
",
    )
    .unwrap()
    .spec;
    let stages: Vec<_> = spec.stages.iter().map(|stage| (stage.name.as_str(), stage.needs.len())).collect();
    assert_eq!((stages, spec.gateway.port), (vec![("a", 0), ("b", 0)], None));
}
