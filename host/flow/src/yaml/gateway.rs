//! `with:` and `gateway:`: where the flow is served, and what callers meet there.

#[cfg(test)]
mod tests;

use lockgate_domain::spec::{GatewaySpec, PortSpec, Protocol, TlsSpec};

use super::errors::FlowError;
use super::exposed;
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value};
use super::units::Unit;
use crate::graph::nearest;

/// Ports of one gateway.
const MAX_PORTS: usize = 16;

/// `with:` and `gateway:`, which say the same things.
pub(super) struct Settings<'s, 'a>(pub(super) &'s [Section<'a>]);

impl<'s, 'a> Settings<'s, 'a> {
    /// The section that has this key.
    pub(super) fn find(&self, key: &str) -> Option<&'s Section<'a>> {
        self.0.iter().find(|section| section.get(key).is_some())
    }

    /// Whether the key stands in one of them with a value, even one that could not be filled in.
    fn mentions(&self, key: &str) -> bool {
        self.0.iter().any(|section| section.mentions(key))
    }
}

pub(super) fn read(settings: &Settings<'_, '_>, reader: &mut Reader) -> GatewaySpec {
    let mut gateway = GatewaySpec::default();
    if let Some(section) = settings.find("host") {
        gateway.host = reader.text(section, "host");
    }
    read_ports(settings, &mut gateway, reader);
    gateway.tls = read_tls(settings, reader);
    gateway.cors = settings.find("cors").and_then(|section| reader.switch(section, "cors")).unwrap_or(false);
    let mut switch = |key: &str| settings.find(key).and_then(|section| reader.switch(section, key));
    gateway.crud = !switch("no_crud_endpoints").unwrap_or(false);
    gateway.debug = !switch("no_debug_endpoints").unwrap_or(false);
    gateway.exposed = exposed::read(settings, reader);
    gateway.title = read_text(settings, "title", reader);
    gateway.description = read_text(settings, "description", reader);
    let mut number = |key: &str, unit: Unit, most: u64| {
        let section = settings.find(key)?;
        reader.number(section, key, Range::new(unit, 1, most))
    };
    if let Some(bytes) = number("max_message_bytes", Unit::Bytes, 2 << 30) {
        gateway.max_message_bytes = bytes;
    }
    let small =
        |value: Option<u64>, default: u32| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default);
    gateway.prefetch = small(number("prefetch", Unit::Count, 1_000_000), gateway.prefetch);
    gateway.max_concurrent_requests =
        small(number("max_concurrent_requests", Unit::Count, 1_000_000), gateway.max_concurrent_requests);
    gateway
}

/// Both files or none: one alone is no TLS.
fn read_tls(settings: &Settings<'_, '_>, reader: &mut Reader) -> Option<TlsSpec> {
    let certificate = read_text(settings, "ssl_certfile", reader);
    let private_key = read_text(settings, "ssl_keyfile", reader);
    for (key, other) in [("ssl_certfile", "ssl_keyfile"), ("ssl_keyfile", "ssl_certfile")] {
        let node = settings.find(key).and_then(|section| section.get(key));
        if let Some(node) = node.filter(|_| !settings.mentions(other)) {
            let error = FlowError::new(Some(node.place), format!("`{key}` stands without `{other}`"));
            reader.report(error.with_hint("TLS needs a certificate and its private key"));
        }
    }
    Some(TlsSpec { certificate: certificate?, private_key: private_key? })
}

fn read_text(settings: &Settings<'_, '_>, key: &str, reader: &mut Reader) -> Option<String> {
    reader.short_text(settings.find(key)?, key)
}

/// One port serves every protocol. Several each serve the protocol at the same place of the other list, as in Jina.
fn read_ports(settings: &Settings<'_, '_>, gateway: &mut GatewaySpec, reader: &mut Reader) {
    let protocols = list(settings, "protocol", reader, read_protocol);
    let ports = list(settings, "port", reader, read_port);
    let (Some(ports), Some(protocols)) = (ports, protocols) else { return };
    if let [port] = ports.as_slice() {
        gateway.port = Some(*port);
        return;
    }
    let Some((section, node)) =
        settings.find("port").and_then(|section| Some((section, section.get("port")?)))
    else {
        return;
    };
    let twice = ports
        .iter()
        .zip(1..)
        .find(|(port, next)| **port != 0 && ports.get(*next..).is_some_and(|rest| rest.contains(port)));
    let fault = if let Some((port, _)) = twice {
        Some(format!("`port` of {} names {port} twice", section.what))
    } else if ports.len() > MAX_PORTS {
        Some(format!("`port` of {} names {} ports, at most {MAX_PORTS} are taken", section.what, ports.len()))
    } else if ports.is_empty() || ports.len() != protocols.len() {
        let (ports, protocols) = (counted(ports.len(), "port"), counted(protocols.len(), "protocol"));
        Some(format!("`port` of {} names {ports}, and `protocol` {protocols}", section.what))
    } else {
        None
    };
    match fault {
        Some(fault) => reader.report(FlowError::new(Some(node.place), fault).with_hint(
            "write as many protocols as ports, such as `protocol: [grpc, http]` with `port: [8080, 8081]`, or one port: every protocol is served on it",
        )),
        None => {
            let pair = |(port, protocol)| PortSpec { port, protocol };
            gateway.ports = ports.into_iter().zip(protocols).map(pair).collect();
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => "none".to_owned(),
        1 => format!("one {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The values of a key that may be one or a list; empty if it is not there, none if one of them is wrong.
fn list<T>(
    settings: &Settings<'_, '_>,
    key: &str,
    reader: &mut Reader,
    read: fn(&Section<'_>, &Node, &mut Reader) -> Option<T>,
) -> Option<Vec<T>> {
    let Some((section, node)) = settings.find(key).and_then(|section| Some((section, section.get(key)?)))
    else {
        return Some(Vec::new());
    };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    // Every wrong one is told.
    let values: Vec<Option<T>> = items.iter().map(|item| read(section, item, reader)).collect();
    values.into_iter().collect()
}

fn read_port(section: &Section<'_>, node: &Node, reader: &mut Reader) -> Option<u16> {
    let port = match &node.value {
        Value::Integer(port) => u16::try_from(*port).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    if port.is_none() {
        let message =
            format!("`port` of {} must be a number from 0 to 65535, not {}", section.what, node.shown());
        reader.report_at(node.place, message);
    }
    port
}

fn read_protocol(_section: &Section<'_>, node: &Node, reader: &mut Reader) -> Option<Protocol> {
    let text = match &node.value {
        Value::Text(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == text);
    if protocol.is_none() {
        let nearest = nearest(&text, Protocol::ALL.iter().map(|protocol| protocol.as_str()));
        let error = FlowError::new(Some(node.place), format!("{} is not a protocol", node.shown()));
        reader.report(error.with_hint(match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "there are grpc, http and websocket; one port serves them all".to_owned(),
        }));
    }
    protocol
}
