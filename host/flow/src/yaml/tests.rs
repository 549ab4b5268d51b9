//! Flow files, and what is said about wrong ones.

use lockgate_domain::spec::{BatchingSpec, InstanceMode, PoolSpec};
use lockgate_domain::{EndpointName, FlowSpec, Limits, StageSpec};
use serde_json::json;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8081".to_owned()),
        "MODEL" => Some("small".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "YAML" => Some("x\nexecutors: []".to_owned()),
        _ => None,
    }
}

pub(super) fn parse(text: &str) -> FlowFile {
    match FlowFile::parse(text, &environment) {
        Ok(file) => file,
        Err(errors) => panic!("{}", errors.render("flow.yml")),
    }
}

pub(super) fn spec(text: &str) -> FlowSpec {
    parse(text).spec
}

fn render(text: &str) -> String {
    FlowFile::parse(text, &environment).expect_err("errors").render("flow.yml")
}

/// The errors, one per line, of a flow with these lines in its only executor.
fn executor_errors(lines: &str) -> String {
    errors(&format!("jtype: Flow\nexecutors:\n  - name: encoder\n    uses: e.wasm\n{lines}"))
}

pub(super) fn errors(text: &str) -> String {
    let errors = FlowFile::parse(text, &environment).expect_err("errors");
    let lines: Vec<String> = errors.errors().iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_small_file_has_sensible_defaults() {
    let spec = spec("jtype: Flow\nexecutors:\n  - uses: ./encoder\n");
    assert_eq!((spec.name.as_str(), spec.fuel, spec.timeout_ms), ("flow", FlowSpec::DEFAULT_FUEL, 60_000));
    let stage = &spec.stages[0];
    assert_eq!((stage.name.as_str(), stage.uses.as_str(), stage.needs.len()), ("executor0", "./encoder", 0));
    assert_eq!((stage.limits, &stage.pool), (Limits::default(), &PoolSpec::default()));
    assert_eq!((stage.timeout_ms, stage.retries, stage.reduce), (None, 0, true));
}

#[test]
fn everything_that_can_be_said_is_read() {
    let spec = spec(
        "jtype: Flow
version: '1'
fuel: 5G
timeout: 20s
with:
  name: search
  protocol: [grpc, HTTP]
  prefetch: 10
  timeout_send: 3000
  retries: 2
  title: Search
gateway:
  port: ${{ ENV.PORT }}
  host: 0.0.0.0
  description: |
    Finds
    things
  max_message_bytes: 64MiB
  max_concurrent_requests: 100
executors:
  - name: encoder
    uses: ./encoder
    uses_with:
      model: ${{ ENV.MODEL }}
      path: /models/${{ENV.MODEL}}/v1
      dimensions: 128
      scale: 0.5
      suffix: '0'
      flags: [true, null, {deep: 1}]
    replicas: 3
    timeout_send: 1m
    retries: -1
    limits:
      memory_bytes: 64MiB
      wall_time_ms: 5s
      fuel: 1_000_000
      documents: 100
  - name: index
    uses: index.wasm
    needs: gateway
    instances:
      {min: 0, max: 1, mode: fresh, queue: 7, grow_after: 5ms, idle: 2m, max_calls: 10k, max_memory: 32MiB}
  - name: ranker
    uses: ranker.wasm
    needs: [index, encoder, gateway]
    no_reduce: true
",
    );
    assert_eq!((spec.name.as_str(), spec.fuel, spec.timeout_ms), ("search", 5_000_000_000, 20_000));
    let gateway = &spec.gateway;
    assert_eq!((gateway.port, gateway.host.as_deref()), (Some(8081), Some("0.0.0.0")));
    assert_eq!(
        (gateway.title.as_deref(), gateway.description.as_deref()),
        (Some("Search"), Some("Finds\nthings\n"))
    );
    assert_eq!(
        (gateway.prefetch, gateway.max_message_bytes, gateway.max_concurrent_requests),
        (10, 64 << 20, 100)
    );
    let [encoder, index, ranker] = spec.stages.as_slice() else { panic!("three stages") };
    assert_eq!(
        serde_json::Value::Object(encoder.config.clone()),
        json!({"model": "small", "path": "/models/small/v1", "dimensions": 128, "scale": 0.5, "suffix": "0",
            "flags": [true, null, {"deep": 1}]})
    );
    assert_eq!((encoder.pool.max, encoder.timeout_ms, encoder.retries), (Some(3), Some(60_000), 0));
    let limits = &encoder.limits;
    assert_eq!(
        (limits.memory_bytes, limits.wall_time_ms, limits.fuel, limits.documents),
        (64 << 20, 5000, 1_000_000, 100)
    );
    assert_eq!(
        index.pool,
        PoolSpec {
            min: Some(0),
            max: Some(1),
            mode: Some(InstanceMode::Fresh),
            queue: Some(7),
            grow_after_ms: Some(5),
            idle_ms: Some(120_000),
            max_calls: Some(10_000),
            recycle_memory_bytes: Some(32 << 20),
        }
    );
    assert_eq!((index.needs.len(), index.timeout_ms, index.retries), (0, Some(3000), 2));
    let needs: Vec<&str> = ranker.needs.iter().map(|need| need.as_str()).collect();
    assert_eq!((needs, ranker.reduce), (vec!["index", "encoder", "gateway"], false));
}

#[test]
fn needs_default_to_the_executor_above() {
    let spec = spec(
        "jtype: Flow\nexecutors: [{name: a, uses: a}, {name: b, uses: b}, {name: c, uses: c, needs: a}]",
    );
    let needs: Vec<Vec<&str>> =
        spec.stages.iter().map(|stage| stage.needs.iter().map(|need| need.as_str()).collect()).collect();
    assert_eq!(needs, [vec![], vec!["a"], vec!["a"]]);
}

#[test]
fn joins_find_their_needs() {
    let check = |executors: &str, expected: &str| {
        let spec = spec(&format!("jtype: Flow\nexecutors:\n{executors}"));
        let told = |stage: &StageSpec| {
            let needs: Vec<&str> = stage.needs.iter().map(|need| need.as_str()).collect();
            let kind = if stage.is_passing() { "passes" } else { "runs" };
            format!("{} {kind} {}", stage.name, needs.join("+"))
        };
        let told: Vec<String> = spec.stages.iter().map(told).collect();
        assert_eq!(told.join(", "), expected, "{executors}");
    };
    let two = "  - {name: a, uses: a.wasm}\n  - {name: b, uses: b.wasm, needs: gateway}\n";
    check(&format!("{two}  - {{method: needs_all}}"), "a runs , b runs , joiner passes a+b");
    check(&format!("{two}  - {{method: needs, needs: [b, a]}}"), "a runs , b runs , joiner passes b+a");
    check(&format!("{two}  - {{name: j, needs: [a, b]}}"), "a runs , b runs , j passes a+b");
    check(&format!("{two}  - {{name: j, uses: j.wasm, method: needs_all}}"), "a runs , b runs , j runs a+b");
    check(
        &format!("{two}  - {{name: c, uses: c.wasm, needs: a}}\n  - {{name: j, method: needs_all}}"),
        "a runs , b runs , c runs a, j passes b+c",
    );
    check(
        &format!(
            "{two}  - {{method: needs_all}}\n  - {{name: c, uses: c.wasm, needs: a}}\n  - {{method: needs_all}}"
        ),
        "a runs , b runs , joiner passes a+b, c runs a, joiner4 passes joiner+c",
    );
    check("  - {name: a, uses: BaseExecutor}\n  - {method: needs_all}", "a passes , joiner passes a");
    check("  - {name: a}", "a passes ");
}

#[test]
fn joins_of_nothing_are_refused() {
    let check = |executors: &str, expected: &str| {
        assert_eq!(errors(&format!("jtype: Flow\nexecutors:\n{executors}")), expected);
    };
    check(
        "  - {method: needs_all}",
        "executor 1 joins nothing (line 3): write it below the executors that it joins, with their names under `needs`",
    );
    check(
        "  - {name: a, uses: a}\n  - {name: j, method: needs}",
        "executor `j` joins nothing (line 4): write it below the executors that it joins, with their names under `needs`",
    );
    check(
        "  - {name: a, uses: a}\n  - {name: j, method: needs, needs: a}",
        "executor `j` joins a single executor, which changes nothing (line 4): name several under `needs`, or leave the entry out",
    );
    check(
        "  - {name: a, uses: a}\n  - {name: j, method: needs_all, needs: a}",
        "`needs` of executor `j` says what `method: needs_all` finds by itself (line 4): keep one of them",
    );
}

#[test]
fn endpoints_and_metas_are_read() {
    let spec = spec(
        "jtype: Flow
executors:
  - uses: ./e
    disable_reduce: true
    uses_requests: {/find: search, '/default': /index}
    uses_metas: {name: Finder, description: Finds}
",
    );
    let stage = &spec.stages[0];
    let requests: Vec<String> = stage.requests.iter().map(|(name, own)| format!("{name}={own}")).collect();
    assert_eq!((requests.join(" ").as_str(), stage.reduce), ("/default=/index /find=/search", false));
    assert_eq!(
        (stage.metas.name.as_deref(), stage.metas.description.as_deref()),
        (Some("Finder"), Some("Finds"))
    );
}

#[test]
fn shards_are_read() {
    let check = |lines: &str, expected: &str| {
        let file = parse(&format!("jtype: Flow\nexecutors:\n  - uses: ./e\n{lines}"));
        let shards = &file.spec.stages[0].shards;
        let of = |endpoint: &str| shards.polling.of(&lockgate_domain::EndpointName::parse(endpoint).unwrap());
        let told = format!(
            "{} /x {:?} /index {:?} /search {:?} {:?} {:?}",
            shards.count,
            of("/x"),
            of("/index"),
            of("/search"),
            shards.before,
            shards.after
        );
        assert_eq!(told, expected, "{lines}");
        file.notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    check("", "1 /x Any /index Any /search All None None");
    check("    shards: 3", "3 /x Any /index Any /search All None None");
    check("    shards: 3\n    polling: ALL", "3 /x All /index Any /search All None None");
    check("    shards: 3\n    polling: 2", "3 /x All /index Any /search All None None");
    check(
        "    shards: 3\n    polling: {/search: any, '*': all}",
        "3 /x All /index Any /search Any None None",
    );
    check(
        "    shards: 3\n    polling: '{\"/x\": \"ALL\", \"/index\": 2}'",
        "3 /x All /index All /search All None None",
    );
    check(
        "    shards: 2\n    uses_before: ./b\n    uses_after: a.wasm",
        "2 /x Any /index Any /search All Some(\"./b\") Some(\"a.wasm\")",
    );
    check("    shards: 2\n    uses_before: BaseExecutor", "2 /x Any /index Any /search All None None");
    assert_eq!(
        check("    uses_before: ./b", "1 /x Any /index Any /search All None None"),
        ["line 4: `uses_before` in executor 1 is ignored: only executors with several `shards` have one"]
    );
}

#[test]
fn conditions_and_floating_executors_are_read() {
    let file = parse(
        "jtype: Flow
executors:
  - {name: a, uses: ./a, when: {tags__n: {$gt: 2}, $or: [{text: {$eq: x}}, {uri: {$exists: true}}]}}
  - {name: log, uses: ./log, floating: true}
  - {name: b, uses: ./b, when: {}}
  - {name: lost, uses: ./lost, needs: gateway}
  - {name: also, uses: ./also, needs: gateway, floating: true}
  - {name: all, method: needs_all, needs: }
  - {name: last, uses: ./last, needs: [a]}
",
    );
    let [a, log, b, _, _, all, _] = file.spec.stages.as_slice() else { panic!("seven stages") };
    assert!(a.condition.is_some() && b.condition.is_some() && log.condition.is_none());
    let needs = |stage: &StageSpec| stage.needs.iter().map(|need| need.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (needs(log), needs(b), needs(all)),
        (vec!["a".to_owned()], vec!["a".to_owned()], vec!["b".to_owned(), "lost".to_owned()])
    );
    let notes: Vec<String> = file.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "line 8: nothing takes what executor `all` gives, so nobody waits for it: the answer is what `last` gives, which is the last; join them, such as with `method: needs_all` at the end",
        ]
    );
}

#[test]
fn keys_without_effect_are_told() {
    let file = parse(
        "jtype: Flow
with: {quiet: true, env: {MODEL: tiny, OWN: mine}}
executors:
  - uses: ./e
    uses_with: {a: '${{ ENV.MODEL }}', b: '${{ ENV.OWN }}'}
    workspace: /tmp
    uses_metas: {workspace: /tmp}
  - name: idle
",
    );
    let notes: Vec<String> = file.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "line 2: `quiet` in `with` is ignored: logs are set on the command line",
            "line 2: `env` only fills in `${{ ENV.NAME }}` in this file: executors have no environment",
            "line 6: `workspace` in executor 1 is ignored: executors have no file system",
            "line 7: `workspace` in `uses_metas` of executor 1 is ignored: executors have no file system",
            "line 8: executor `idle` gives back what it gets: it does not say what it `uses`",
        ]
    );
    assert_eq!(
        serde_json::Value::Object(file.spec.stages[0].config.clone()),
        json!({"a": "small", "b": "mine"})
    );
}

#[test]
fn errors_show_their_line() {
    let text = "jtype: Flow
executors:
  - name: encoder
    uses: ./encoder
    replica: 2
  - name: index
    uses: docker://index:1
    needs: [encoder, encodr]
    limits:
      memory_bytes: lots
";
    let expected = "error: unknown key `replica` in executor `encoder`
 --> flow.yml:5:5
  |
5 |     replica: 2
  |     ^^^^^^^
  = hint: did you mean `replicas`?

error: executor `index` uses \"docker://index:1\", which is a container
 --> flow.yml:7:11
  |
7 |     uses: docker://index:1
  |           ^^^^^^^^^^^^^^^^
  = hint: build the executor as a component and name its `.wasm` file or source folder

error: `memory_bytes` of `limits` of executor `index` must be a size such as `256MiB`, or a number of bytes, from 1 to 4GiB, not \"lots\"
  --> flow.yml:10:21
   |
10 |       memory_bytes: lots
   |                     ^^^^
";
    assert_eq!(render(text), expected);
}

#[test]
fn every_executor_key_says_what_to_do() {
    let check = |lines: &str, expected: &str| assert_eq!(executor_errors(lines), expected, "{lines}");
    check("    replica: 2", "unknown key `replica` in executor `encoder` (line 5): did you mean `replicas`?");
    check("    wibble: 2", "unknown key `wibble` in executor `encoder` (line 5)");
    check(
        "    fuel: 2",
        "unknown key `fuel` in executor `encoder` (line 5): write it at the top of the file",
    );
    check("    need: gateway", "unknown key `need` in executor `encoder` (line 5): did you mean `needs`?");
    check(
        "    capabilities: { http: { host: x } }",
        "`http` of `capabilities` of executor `encoder` must name 1 to 256 `hosts` (line 5): for example `hosts: [api.example.org]`\nunknown key `host` in `http` of `capabilities` of executor `encoder` (line 5): did you mean `hosts`?",
    );
    check(
        "    capabilities: { network: true }",
        "unknown key `network` in `capabilities` of executor `encoder` (line 5): known here: `http`, `key_value`, `clock`, `random`",
    );
    check("    prefetch: 2", "unknown key `prefetch` in executor `encoder` (line 5): write it under `with:`");
    check(
        "    mode: fresh",
        "unknown key `mode` in executor `encoder` (line 5): write it under `instances:` of an executor",
    );
    check(
        "    shards: 65",
        "`shards` of executor `encoder` must be a whole number from 1 to 64, not 65 (line 5)",
    );
    let polling = "write `any`, `all`, or a set of keys such as `{ /search: all, '*': any }`";
    check(
        "    polling: some",
        &format!("`polling` of executor `encoder` must be `any` or `all`, not \"some\" (line 5): {polling}"),
    );
    check(
        "    polling: {/a: some}",
        &format!("`/a` in `polling` of executor `encoder` must be `any` or `all` (line 5): {polling}"),
    );
    check(
        "    polling: '{/a: ALL}'",
        &format!("`polling` of executor `encoder` is not JSON (line 5): {polling}"),
    );
    check(
        "    shards: 2\n    uses_after: docker://x",
        "executor `encoder` uses \"docker://x\", which is a container (line 6): build the executor as a component and name its `.wasm` file or source folder",
    );
    check(
        "    when: {tags__n: {$larger: 3}}",
        "`when` of executor `encoder`: `$larger` is no operator (line 5): there are $eq, $neq, $lt, $lte, $gt, $gte, $in, $nin, $regex, $size, $exists",
    );
    check(
        "    when:\n      $or:\n        - tags__n: {$eq: 1}\n        - {$not: tags__n}",
        "`when` of executor `encoder`: `$not` must hold a list of conditions (line 8): write `field: { $operator: value }`, such as `tags__price: { $lt: 10 }`",
    );
    check(
        "    when: tags__n > 3",
        "`when` of executor `encoder`: it must be a set of keys (line 5): write `field: { $operator: value }`, such as `tags__price: { $lt: 10 }`",
    );
    check("    floating: 1", "`floating` of executor `encoder` must be true or false, not 1 (line 5)");
    check(
        "    py_modules: [x.py]",
        "`py_modules` in executor `encoder` means nothing here (line 5): an executor is one `.wasm` file that holds all it needs: build its code and libraries into it",
    );
    check(
        "    gpus: all",
        "`gpus` in executor `encoder` means nothing here (line 5): executors are sandboxed components and run without containers: remove it",
    );
    check(
        "    method: inspect",
        "executor `encoder` inspects another one, which nothing does here (line 5): write it as an executor of its own with `floating: true`: it gets the same documents, and nobody waits for it",
    );
    check(
        "    method: drop",
        "`method` of executor `encoder` must be `add`, `needs` or `needs_all`, not \"drop\" (line 5)",
    );
    check(
        "    no_reduce: true\n    disable_reduce: true",
        "executor `encoder` has `no_reduce` and `disable_reduce`, which say the same (line 6): keep one of them",
    );
    check(
        "    uses_requests: [/a]",
        "`uses_requests` of executor `encoder` must be a set of keys, not a list (line 5): write `/endpoint: endpoint of the component`, such as `/find: /search`",
    );
    check(
        "    uses_requests: {/a: 3}",
        "`/a` in `uses_requests` of executor `encoder` must name an endpoint, not 3 (line 5): write `/endpoint: endpoint of the component`, such as `/find: /search`",
    );
    check(
        "    uses_requests: {/a: b c}",
        "`uses_requests` of executor `encoder`: \"b c\" cannot be an endpoint: ' ' is not allowed in it (any but white space and control characters) (line 5)",
    );
    check(
        "    uses_metas: {nme: x}",
        "unknown key `nme` in `uses_metas` of executor `encoder` (line 5): did you mean `name`?",
    );
    check(
        "    replicas: 0",
        "`replicas` of executor `encoder` must be a whole number from 1 to 10000, not 0 (line 5): there is no value for \"unlimited\": leave the key out for the default",
    );
    check(
        "    timeout_send: soon",
        "`timeout_send` of executor `encoder` must be a time such as `30s`, or a number of milliseconds, from 1ms to 24h, not \"soon\" (line 5)",
    );
    check(
        "    no_reduce: yes",
        "`no_reduce` of executor `encoder` must be true or false, not \"yes\" (line 5)",
    );
    check(
        "    uses_with: [1]",
        "`uses_with` of executor `encoder` must be a set of keys, not a list (line 5)",
    );
    check(
        "    needs: [3]",
        "`needs` of executor `encoder` must name executors, not 3 (line 5): write a name, a list of names, or `gateway` for the request itself",
    );
    check(
        "    needs: a/b",
        "`needs` of executor `encoder`: \"a/b\" cannot be an executor name: '/' is not allowed in it (use letters, digits, '-' and '_') (line 5)",
    );
    check(
        "    instances: {mode: warm}",
        "`mode` of `instances` of executor `encoder` must be `fresh` or `reused`, not \"warm\" (line 5)",
    );
    check(
        "    instances: {min: 3, max: 2}",
        "`min` of `instances` of executor `encoder` is 3, more than the 2 instances there may be (line 5)",
    );
    check(
        "    replicas: 1\n    instances: {max: 2}",
        "executor `encoder` has `replicas` and `max` of `instances`, which say the same (line 6): keep one of them",
    );
    check("    replicas: 1\n    replicas: 2", "the key `replicas` stands here and in line 5 (line 6)");
    check(
        "    limits: {memory: 1GiB}",
        "unknown key `memory` in `limits` of executor `encoder` (line 5): did you mean `memory_bytes`?",
    );
}

#[test]
fn jinas_kinds_of_uses_are_explained() {
    let check = |uses: &str, expected: &str| {
        let text = format!("jtype: Flow\nexecutors:\n  - name: e\n    uses: {uses}");
        let error = FlowFile::parse(&text, &environment).expect_err(uses);
        assert_eq!(error.errors()[0].message, format!("executor `e` uses \"{uses}\", {expected}"));
        assert!(error.errors()[0].hint.is_some());
    };
    check("docker://x", "which is a container");
    check("jinahub+docker://x", "which is in Jina's hub");
    check("jinaai://a/b:latest", "which is in Jina's hub");
    check("https://x/y.wasm", "which is an address");
    check("executor.py", "which is a Python file");
    check("enc/config.yml", "which is an executor's YAML file");
    check("executor.py:MyExecutor", "which is a class in a Python file");
    check("MyExecutor", "which looks like a Python class");
    check("package.my_module.MyExecutor", "which looks like a Python class");
    for fine in ["e.wasm", "E.WASM", "./MyExecutor", "./my.Executor", "encoder", "../a/b", "/opt/e.wasm"] {
        spec(&format!("jtype: Flow\nexecutors:\n  - uses: {fine}"));
    }
}

#[test]
fn the_file_as_a_whole_is_checked() {
    let check = |text: &str, expected: &str| assert_eq!(errors(text), expected, "{text}");
    let tail = "executors: [{uses: e.wasm}]";
    let no_executors =
        "the flow has no executors (line 1): add an entry with `name` and `uses` under `executors:`";
    check("jtype: Flow", no_executors);
    check(tail, "the file does not say that it is a flow (line 1): start it with `jtype: Flow`");
    check(
        &format!("jtype: Executor\n{tail}"),
        "`jtype` must be `Flow` or `Deployment`, not \"Executor\" (line 1): the file of an executor stands under `uses` in a flow, or after `lockgate executor --uses`",
    );
    check(
        &format!("jtype: Flow\nversion: 2\n{tail}"),
        "version 2 of the format is not known (line 2): write `version: '1'`",
    );
    check(
        "jtype: Flow\nexecutors: {a: 1}",
        "`executors` must be a list (line 2): add an entry with `name` and `uses` under `executors:`",
    );
    check("- a", "the flow must be a set of keys, not a list (line 1)");
    check(
        &format!("jtype: Flow\nport: 1\n{tail}"),
        "unknown key `port` in the flow (line 2): write it under `with:`",
    );
    check(
        &format!("jtype: Flow\nexecuters: 1\n{tail}"),
        "unknown key `executers` in the flow (line 2): did you mean `executors`?",
    );
    check(
        &format!("jtype: Flow\nwith: {{port: 1}}\ngateway: {{port: 2}}\n{tail}"),
        "`port` stands here and under `with:` in line 2 (line 3): keep one of them",
    );
    check(
        &format!("jtype: Flow\nwith: {{port: [1, 2]}}\n{tail}"),
        "`port` of `with` names 2 ports, and `protocol` none (line 2): write as many protocols as ports, such as `protocol: [grpc, http]` with `port: [8080, 8081]`, or one port: every protocol is served on it",
    );
    check(
        &format!("jtype: Flow\nwith: {{port: 70000}}\n{tail}"),
        "`port` of `with` must be a number from 0 to 65535, not 70000 (line 2)",
    );
    check(
        &format!("jtype: Flow\nwith: {{protocol: htpp}}\n{tail}"),
        "\"htpp\" is not a protocol (line 2): did you mean `http`?",
    );
    check(
        &format!("jtype: Flow\nwith: {{uses: MyGateway}}\n{tail}"),
        "`uses` in `with` means nothing here (line 2): the gateway is part of the host and cannot be replaced: remove it",
    );
    check(
        &format!("jtype: Flow\nwith: {{ssl_keyfile: k}}\n{tail}"),
        "`ssl_keyfile` stands without `ssl_certfile` (line 2): TLS needs a certificate and its private key",
    );
}

#[test]
fn graph_faults_have_places() {
    let check = |executors: &str, expected: &str| {
        assert_eq!(errors(&format!("jtype: Flow\nexecutors:\n{executors}")), expected);
    };
    check(
        "  - {name: encoder, uses: e}\n  - {name: b, uses: b, needs: [encodr]}",
        "executor `b` needs `encodr`, which does not exist (line 4): did you mean `encoder`?",
    );
    check(
        "  - {name: a, uses: a}\n  - {name: a, uses: a, needs: gateway}",
        "two executors are named `a` (line 4)",
    );
    check("  - {name: a, uses: a}\n  - {name: a, uses: a}", "two executors are named `a` (line 4)");
    check(
        "  - {name: a, uses: a}\n  - {name: a, uses: a}\n  - {name: c, uses: c, needs: [d, c]}",
        "two executors are named `a` (line 4)\nexecutor `c` needs `d`, which does not exist (line 5)\nexecutor `c` needs itself (line 5)",
    );
    check(
        "  - {name: a, uses: a, needs: b}\n  - {name: b, uses: b}",
        "executors need each other in a circle: `a` needs `b` needs `a` (line 3): take one of these needs away",
    );
    check(
        "  - {name: gateway, uses: a}",
        "the name `gateway` stands for the request and cannot name an executor (line 3): give the executor another name",
    );
}

#[test]
fn variables_are_filled_in_and_never_shown() {
    let check = |line: &str, expected: &str| {
        assert_eq!(errors(&format!("jtype: Flow\n{line}\nexecutors: [{{uses: e}}]")), expected);
    };
    check(
        "with: {port: \"${{ ENV.SECRET }}\"}",
        "`port` of `with` must be a number from 0 to 65535, not ${{ ENV.SECRET }} (line 2)",
    );
    check(
        "with: {title: \"${{ ENV.NOPE }}\"}",
        "the environment variable `NOPE` is not set (line 2): set it, or give it a value under `with:` `env:`",
    );
    check(
        "with: {title: \"${{ CONTEXT.x }}\"}",
        "the variable `x` is not set (line 2): set it, or give it a value under `with:` `env:`",
    );
    check(
        "with: {title: \"${{ ENV.MODEL\"}",
        "`${{ ENV.MODEL` is not closed (line 2): write `${{ ENV.NAME }}`",
    );
    let injected = spec("jtype: Flow\nwith: {title: \"${{ ENV.YAML }}\"}\nexecutors: [{uses: e}]");
    assert_eq!((injected.gateway.title.as_deref(), injected.stages.len()), (Some("x\nexecutors: []"), 1));
    assert_eq!(
        errors("jtype: Flow\nexecutors:\n  - uses: ${{ ENV.NOPE }}"),
        "the environment variable `NOPE` is not set (line 3): set it, or give it a value under `with:` `env:`"
    );
}

#[test]
fn hostile_yaml_is_refused() {
    let check = |text: &str, expected: &str| {
        let error = errors(text);
        assert!(error.starts_with(expected), "{error}");
    };
    let too_large = "the file is too large or nested too deeply for a flow";
    let bomb: String = (1..10)
        .map(|level| {
            let items = vec![format!("*a{}", level - 1); 9].join(",");
            format!("a{level}: &a{level} [{items}]\n")
        })
        .collect();
    check(&format!("a0: &a0 [lol]\n{bomb}jtype: Flow"), too_large);
    check(&format!("a: {}", "[".repeat(10_000)), too_large);
    check(&"- ".repeat(5000), too_large);
    check(&format!("jtype: Flow\nwith:\n{}", "  - x\n".repeat(30_000)), too_large);
    check(&" ".repeat(FlowFile::MAX_BYTES + 1), "the file has 1048577 bytes, at most 1048576 are read");
    check("jtype: Flow\n--- \njtype: Flow", "the file holds several YAML documents");
    check("jtype: [", "this is not YAML: ");
    check("a: b: c", "this is not YAML: ");
    check("!Flow\nversion: 1", "the tag `!Flow` is not known");
    check("", "the file is empty: start it with `jtype: Flow`");
    check("# only a comment", "the file is empty: start it with `jtype: Flow`");
    check("jtype: *nope", "this is not YAML: ");
    let escape = render("jtype: \"\\e[31m\u{7f}Flow\"\nexecutors: [{uses: e}]");
    assert!(!escape.contains('\u{1b}') && !escape.contains('\u{7f}'), "{escape:?}");
}

#[test]
fn long_lines_are_cut_around_the_error() {
    let text =
        format!("jtype: Flow\nexecutors: [{{uses: e, uses_with: {{a: {}}}, replica: 2}}]", "x".repeat(500));
    let rendered = render(&text);
    assert!(rendered.lines().all(|line| line.chars().count() < 120), "{rendered}");
    assert!(rendered.contains("replica: 2"), "{rendered}");
}

proptest::proptest! {
    /// Whatever the bytes, reading ends with a file or with errors that can be rendered.
    #[test]
    fn any_text_is_answered(text in "[ -~\n]{0,200}") {
        if let Err(errors) = FlowFile::parse(&text, &environment) {
            proptest::prop_assert!(!errors.render("flow.yml").is_empty());
        }
    }

    /// Pieces of real files in any order.
    #[test]
    fn any_pieces_are_answered(pieces in proptest::collection::vec(0usize..12, 0..20)) {
        let all = ["jtype: Flow\n", "executors:\n", "  - name: a\n", "    uses: b\n", "    needs: [a, b]\n", "with:\n",
            "  port: 1\n", "    limits: {fuel: 1}\n", "  - &x {uses: c}\n", "  - *x\n", "<<: *x\n", "    ? [a]\n"];
        let text: String = pieces.iter().map(|piece| all[*piece]).collect();
        if let Err(errors) = FlowFile::parse(&text, &environment) {
            proptest::prop_assert!(!errors.render("flow.yml").is_empty());
        }
    }
}

#[test]
fn batching_is_read_and_judged() {
    let file = parse(
        "jtype: Flow
executors:
  - uses: e.wasm
    uses_dynamic_batching:
      /a: {}
      /b: {preferred_batch_size: 32, preferred_batch_bytes: 1MiB, timeout: 20, flush_all: true, max_waiting: 9}
      /c: {timeout: 5s, isolate_failures: true, use_custom_metric: false, use_dynamic_batching: true}
      /d: {use_dynamic_batching: false}
",
    );
    let usual = BatchingSpec::default();
    let full = BatchingSpec {
        preferred_documents: 32,
        preferred_bytes: Some(1 << 20),
        timeout_ms: 20,
        flush_all: true,
        max_waiting: 9,
        isolate_failures: false,
    };
    let timed = BatchingSpec { timeout_ms: 5000, isolate_failures: true, ..usual };
    let rules = [("/a", usual), ("/b", full), ("/c", timed)];
    let rules = rules.map(|(name, rule)| (EndpointName::parse(name).unwrap(), rule));
    assert_eq!(file.spec.stages[0].batching, rules.into());
    let check = |rule: &str, expected: &str| {
        let found = executor_errors(&format!("    uses_dynamic_batching: {rule}\n"));
        assert!(found.contains(expected), "{rule}: {found}");
    };
    check("[/a]", "must be a set of endpoints, not a list");
    check("{encode: {}}", "`encode` in `uses_dynamic_batching` of executor `encoder` is no endpoint");
    check("{/a: 5}", "must be a set of keys, not 5");
    check("{/a: {size: 5}}", "unknown key `size` in `/a` in `uses_dynamic_batching` of executor `encoder`");
    check("{/a: {preferred_batch_size: 0}}", "must be a whole number from 1 to 1048576, not 0");
    check("{/a: {timeout: 2h}}", "from 0 to 10m, not");
    check("{/a: {use_custom_metric: true}}", "would need a Python function");
    check(
        "{/a: {custom_metric: len}}",
        "`custom_metric` in `/a` in `uses_dynamic_batching` of executor `encoder` means nothing here",
    );
}
