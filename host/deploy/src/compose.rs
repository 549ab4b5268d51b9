//! A flow for Docker Compose: one service that runs the whole flow, and its image beside it.
//!
//! The flow file is mounted, so a change of it needs a restart and no build. Nothing of the home folder of whoever
//! exports is mounted, and only the one port is published.

use lockgate_domain::Problem;
use serde_json::{Map, Value, json};

use crate::bundle::{Bundle, CERTIFICATE, END_SECONDS, FLOW_FILE, Manifest, PORT, image};

/// What a flow file does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComposeOptions {
    /// The file's name.
    pub file: String,
    /// The image; none for one named by its components.
    pub image: Option<String>,
    /// Port on the machine; none for the flow's own, else 8080.
    pub port: Option<u16>,
    /// Paths of the certificate and its key on the machine, where the flow has one.
    pub certificate: Option<[String; 2]>,
}

/// The compose file, the flow file, and the recipe of the image.
pub fn compose(bundle: &Bundle<'_>, options: &ComposeOptions) -> Result<Vec<Manifest>, Problem> {
    bundle.check()?;
    let name = bundle.name();
    let flow_file = format!("{}.yml", bundle.flow_name());
    let variables: Map<String, Value> = bundle
        .variables
        .iter()
        .map(|variable| (variable.clone(), Value::from(format!("${{{variable}:?set {variable}}}"))))
        .collect();
    let host = bundle.spec.gateway.host.as_deref().unwrap_or("127.0.0.1");
    let ports: Vec<String> =
        outside(bundle, options).iter().map(|port| format!("{host}:{port}:{PORT}")).collect();
    let mut volumes = vec![format!("./{flow_file}:{FLOW_FILE}:ro")];
    for (outside, inside) in options.certificate.iter().flatten().zip(CERTIFICATE) {
        volumes.push(format!("{outside}:{inside}:ro"));
    }
    // `$` is Compose's own sign.
    let command: Vec<String> = bundle.command().iter().map(|word| word.replace('$', "$$")).collect();
    let mut service = json!({
        "image": bundle.image_name(options.image.as_deref()),
        "build": { "context": "./image" },
        "command": command,
        "environment": variables,
        "ports": ports,
        "volumes": volumes,
        "tmpfs": ["/tmp", "/cache:mode=1777"],
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": format!("{END_SECONDS}s"),
    });
    // A certificate is for the name that callers know, which is not that of the container to itself.
    if !bundle.has_certificate()
        && let Some(service) = service.as_object_mut()
    {
        let test = ["CMD", "/usr/local/bin/lockgate", "ping", "gateway", &format!("127.0.0.1:{PORT}")];
        let check =
            json!({ "test": test, "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "300s" });
        service.insert("healthcheck".to_owned(), check);
    }
    let file = json!({ "version": "3.8", "services": { name: service } });
    Ok(vec![Manifest::yaml(&options.file, &file)?, Manifest::new(flow_file, bundle.flow_file), image()])
}

/// Ports on the machine, all of which lead to the one in the container: it serves every protocol.
fn outside(bundle: &Bundle<'_>, options: &ComposeOptions) -> Vec<u16> {
    let gateway = &bundle.spec.gateway;
    let own: Vec<u16> = match options.port {
        Some(port) => vec![port],
        None if gateway.ports.is_empty() => gateway.port.into_iter().collect(),
        None => gateway.ports.iter().map(|port| port.port).collect(),
    };
    let named: Vec<u16> = own.into_iter().filter(|port| *port != 0).collect();
    if named.is_empty() { vec![PORT] } else { named }
}

#[cfg(test)]
mod tests {
    use lockgate_domain::spec::{PortSpec, Protocol, TlsSpec};

    use super::*;
    use crate::kubernetes::tests::{components, spec};

    #[test]
    fn the_file_reads_well() {
        let (spec, components) = (spec("search"), components());
        let variables = ["API_KEY".to_owned()];
        let bundle = Bundle {
            spec: &spec,
            flow_file: "jtype: Flow\n",
            variables: &variables,
            components: &components,
        };
        let options = ComposeOptions { file: "docker-compose.yml".to_owned(), ..ComposeOptions::default() };
        let files = compose(&bundle, &options).unwrap();
        let text: String = files.iter().map(|file| format!("=== {}\n{}", file.path, file.text)).collect();
        insta::assert_snapshot!(text);
        let read: Value = serde_saphyr::from_str(&files[0].text).unwrap();
        assert_eq!(read["services"]["search"]["environment"]["API_KEY"], "${API_KEY:?set API_KEY}");
    }

    #[test]
    fn the_port_is_the_flows_or_the_one_that_was_asked_for() {
        let check = |own: Option<u16>, asked: Option<u16>, expected: &str| {
            let mut spec = spec("search");
            spec.gateway.port = own;
            let bundle = Bundle { spec: &spec, flow_file: "", variables: &[], components: &[] };
            let options =
                ComposeOptions { file: "c.yml".to_owned(), port: asked, ..ComposeOptions::default() };
            let read: Value = serde_saphyr::from_str(&compose(&bundle, &options).unwrap()[0].text).unwrap();
            assert_eq!(read["services"]["search"]["ports"][0], expected);
        };
        check(None, None, "127.0.0.1:8080:8080");
        check(Some(9000), None, "127.0.0.1:9000:8080");
        check(Some(9000), Some(1), "127.0.0.1:1:8080");
        check(Some(0), None, "127.0.0.1:8080:8080");
    }

    #[test]
    fn every_port_of_the_flow_and_its_certificate_are_there() {
        let mut spec = spec("search");
        let port = |port, protocol| PortSpec { port, protocol };
        spec.gateway.ports = vec![port(1, Protocol::Grpc), port(2, Protocol::Http)];
        spec.gateway.tls = Some(TlsSpec { certificate: "c.pem".into(), private_key: "k.pem".into() });
        let bundle = Bundle { spec: &spec, flow_file: "", variables: &[], components: &[] };
        let options = ComposeOptions {
            file: "c.yml".to_owned(),
            certificate: Some(["/a/c.pem".to_owned(), "/a/k.pem".to_owned()]),
            ..ComposeOptions::default()
        };
        let read: Value = serde_saphyr::from_str(&compose(&bundle, &options).unwrap()[0].text).unwrap();
        let service = &read["services"]["search"];
        assert_eq!(service["ports"], json!(["127.0.0.1:1:8080", "127.0.0.1:2:8080"]));
        assert_eq!(service["volumes"][1], "/a/c.pem:/tls/tls.crt:ro");
        assert!(service.get("healthcheck").is_none() && service["command"].to_string().contains("--tls-key"));
    }
}
