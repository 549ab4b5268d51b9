//! Manifests as a person reads them, and what must hold between them.

use lockgate_domain::spec::{GatewaySpec, TlsSpec};
use lockgate_domain::{ComponentDigest, FlowSpec, StageSpec};

use super::*;
use crate::bundle::BundledComponent;

pub(crate) fn spec(name: &str) -> FlowSpec {
    FlowSpec {
        name: name.parse().unwrap(),
        stages: vec![StageSpec::new("encoder".parse().unwrap(), "encoder.wasm")],
        gateway: GatewaySpec::default(),
        fuel: FlowSpec::DEFAULT_FUEL,
        timeout_ms: FlowSpec::DEFAULT_TIMEOUT_MS,
    }
}

pub(crate) fn components() -> Vec<BundledComponent> {
    vec![BundledComponent { file: "encoder.wasm".to_owned(), digest: ComponentDigest::from_sha256([1; 32]) }]
}

const FLOW: &str = "jtype: Flow\nexecutors:\n  - name: encoder\n    uses: /flow/components/encoder.wasm\n    uses_with:\n      key: ${{ ENV.API_KEY }}\n";

fn files(name: &str, options: &KubernetesOptions) -> Vec<Manifest> {
    let (spec, components) = (spec(name), components());
    let variables = ["API_KEY".to_owned()];
    let bundle = Bundle { spec: &spec, flow_file: FLOW, variables: &variables, components: &components };
    kubernetes(&bundle, options).unwrap()
}

fn read(files: &[Manifest], path: &str) -> Value {
    let file = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
    serde_saphyr::from_str(&file.text).unwrap_or_else(|error| panic!("{path}: {error}\n{}", file.text))
}

#[test]
fn manifests_read_well() {
    let text: String = files("search", &KubernetesOptions::default())
        .iter()
        .map(|file| format!("=== {}\n{}", file.path, file.text))
        .collect();
    insta::assert_snapshot!(text);
}

/// What no schema checks: names that refer to each other, bounds, room.
#[test]
fn manifests_fit_together() {
    let options = KubernetesOptions {
        namespace: Some("demo".to_owned()),
        replicas: Some(3),
        max_replicas: Some(9),
        image: Some("example/search:1".to_owned()),
        ..KubernetesOptions::default()
    };
    let files = files("Search_2", &options);
    let deployment = read(&files, "deployment.yml");
    let (template, config) = (&deployment["spec"]["template"], read(&files, "configmap.yml"));
    let pod = &template["spec"];
    let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
    for service in ["service.yml", "service-headless.yml"] {
        let service = read(&files, service);
        assert_eq!(service["spec"]["selector"].as_object(), Some(selector));
        let name = service["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 63 && name.starts_with("search-2"), "{name}");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], pod["containers"][0]["ports"][0]["name"]);
    }
    for (label, value) in selector {
        assert_eq!(&template["metadata"]["labels"][label], value);
    }
    assert_eq!(pod["volumes"][0]["configMap"]["name"], config["metadata"]["name"]);
    assert_eq!(config["data"]["flow.yml"], FLOW);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let volumes: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])));
    let scaler = read(&files, "horizontalpodautoscaler.yml");
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(3), &json!(9)));
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    // Two that decide about one number undo each other.
    assert_eq!(deployment["spec"].get("replicas"), None);
    assert_eq!(pod["containers"][0]["image"], "example/search:1");
    assert!(
        files
            .iter()
            .filter(|file| file.path.ends_with(".yml"))
            .all(|file| { read(&files, &file.path)["metadata"]["namespace"] == "demo" })
    );
    let drain: u64 =
        pod["containers"][0]["args"].as_array().unwrap().last().unwrap().as_str().unwrap().parse().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > drain);
}

#[test]
fn what_changes_gets_another_name() {
    let (spec, mut components) = (spec("search"), components());
    let make = |flow: &str, components: &[BundledComponent]| {
        let bundle = Bundle { spec: &spec, flow_file: flow, variables: &[], components };
        (bundle.flow_name(), bundle.image_name(None))
    };
    let (flow, image) = make("a", &components);
    assert_eq!(make("a", &components), (flow.clone(), image.clone()));
    let (other_flow, same_image) = make("b", &components);
    assert!(other_flow != flow && same_image == image);
    components[0].digest = ComponentDigest::from_sha256([2; 32]);
    assert_ne!(make("a", &components).1, image);
}

#[test]
fn state_in_memory_is_not_replicated() {
    let (mut spec, components) = (spec("search"), components());
    spec.stages[0].capabilities.key_value = Some(lockgate_domain::capability::KeyValueGrant { bytes: 1 });
    let bundle = Bundle { spec: &spec, flow_file: FLOW, variables: &[], components: &components };
    let files = kubernetes(&bundle, &KubernetesOptions::default()).unwrap();
    assert_eq!(read(&files, "deployment.yml")["spec"]["replicas"], 1);
    assert!(files.iter().all(|file| file.path != "poddisruptionbudget.yml"));
}

#[test]
fn a_certificate_comes_from_a_secret() {
    let (mut spec, components) = (spec("search"), components());
    let files = |spec: &FlowSpec| {
        let bundle = Bundle { spec, flow_file: FLOW, variables: &[], components: &components };
        kubernetes(&bundle, &KubernetesOptions::default()).unwrap()
    };
    let plain = files(&spec).iter().any(|file| file.text.contains("tls"));
    assert!(!plain);
    spec.gateway.tls = Some(TlsSpec { certificate: "c.pem".into(), private_key: "k.pem".into() });
    let pod = &read(&files(&spec), "deployment.yml")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS");
    }
    assert_eq!(pod["volumes"][3]["secret"]["secretName"], "search-tls");
    let words = container["args"].as_array().unwrap();
    assert!(words.contains(&json!("/tls/tls.crt")) && words.contains(&json!("/tls/tls.key")), "{words:?}");
}

#[test]
fn names_are_labels() {
    let check = |name: &str, expected: &str| {
        let spec = spec(name);
        let bundle = Bundle { spec: &spec, flow_file: "", variables: &[], components: &[] };
        assert_eq!(bundle.name(), expected);
    };
    check("search", "search");
    check("My_Search", "my-search");
    check("2fast", "flow-2fast");
    check("a---------------------------------------------------------b", "a");
}

#[test]
fn a_flow_that_no_configmap_takes_is_refused() {
    let spec = spec("search");
    let long = "x".repeat(1_000_001);
    let bundle = Bundle { spec: &spec, flow_file: &long, variables: &[], components: &[] };
    let problem = kubernetes(&bundle, &KubernetesOptions::default()).unwrap_err();
    assert!(problem.message().contains("1000001 bytes"), "{}", problem.message());
}
