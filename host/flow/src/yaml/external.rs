//! `external: true`: an executor that runs elsewhere, and where.
//!
//! `host` may be one or a list, each a name with or without scheme and port; `port` fills in what the hosts leave out, as
//! in Jina: one port for all hosts, one host with several ports, or one port for each host.

#[cfg(test)]
mod tests;

use lockgate_domain::spec::{ExternalAddress, ExternalSpec};

use super::Note;
use super::errors::FlowError;
use super::pool::MAX_TIME_MS;
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value};
use super::units::Unit;

/// Addresses of one executor.
const MAX_ADDRESSES: usize = 64;
/// Entries of `grpc_metadata`.
const MAX_METADATA: usize = 32;
/// Keys that mean something for an external executor alone.
const KEYS: [&str; 5] = ["host", "port", "tls", "grpc_metadata", "timeout_ready"];

const READY_TIME: Range = Range::new(Unit::Time, 1, MAX_TIME_MS);

/// Where a host is: what it says itself, and what `port` and `tls` add.
struct Host<'a> {
    name: &'a str,
    port: Option<u16>,
    tls: Option<bool>,
}

/// What an entry says about where it runs; none if it runs here.
pub(super) fn read(section: &Section<'_>, reader: &mut Reader) -> Option<ExternalSpec> {
    if !reader.switch(section, "external").unwrap_or(false) {
        for (key, _) in KEYS.iter().filter_map(|key| section.entry(key)) {
            let message = format!("`{}` in {} is ignored: it is not `external`", key.text, section.what);
            reader.notes.push(Note { line: key.place.line, message });
        }
        return None;
    }
    for key in
        ["uses", "uses_with", "replicas", "instances", "capabilities", "shards", "uses_before", "uses_after"]
    {
        if let Some((key, _)) = section.entry(key) {
            let message = format!("`{}` in {} is ignored: it runs elsewhere", key.text, section.what);
            reader.notes.push(Note { line: key.place.line, message });
        }
    }
    let addresses = read_addresses(section, reader);
    let metadata = read_metadata(section, reader);
    let ready_timeout_ms = reader.number_or_default(section, "timeout_ready", READY_TIME);
    Some(ExternalSpec {
        addresses,
        metadata,
        ready_timeout_ms: ready_timeout_ms.unwrap_or(ExternalSpec::DEFAULT_READY_TIMEOUT_MS),
    })
}

fn read_addresses(section: &Section<'_>, reader: &mut Reader) -> Vec<ExternalAddress> {
    let tls = reader.switch(section, "tls");
    let hosts = items(section.get("host"));
    let ports: Vec<Option<u16>> =
        items(section.get("port")).into_iter().map(|node| port(section, node, reader)).collect();
    let usual = [Host { name: "127.0.0.1", port: None, tls: None }];
    let parsed: Vec<Option<Host<'_>>> = hosts.iter().map(|node| host(section, node, reader)).collect();
    let has_host = !parsed.is_empty();
    let Some(mut hosts) = parsed.into_iter().collect::<Option<Vec<_>>>() else { return Vec::new() };
    let Some(ports) = ports.into_iter().collect::<Option<Vec<u16>>>() else { return Vec::new() };
    if !has_host {
        hosts.extend(usual);
    }
    let count = hosts.len().max(ports.len());
    let fault = if hosts.len() > 1 && ports.len() > 1 && hosts.len() != ports.len() {
        Some(format!("{} names {} hosts and {} ports", section.what, hosts.len(), ports.len()))
    } else if count > MAX_ADDRESSES {
        Some(format!("{} names {count} addresses, at most {MAX_ADDRESSES} are taken", section.what))
    } else {
        None
    };
    if let Some(fault) = fault {
        report(
            section,
            reader,
            fault,
            "write one port for all hosts, one host with several ports, or as many ports as hosts",
        );
        return Vec::new();
    }
    let mut addresses = Vec::with_capacity(count);
    for index in 0..count {
        let Some(host) = hosts.get(index).or_else(|| hosts.first()) else { continue };
        let port = ports.get(index).or_else(|| ports.first()).copied();
        let Some(port) = host.port.or(port) else {
            let fault = format!("{} does not say on which port {} is", section.what, host.name);
            report(section, reader, fault, "write `port`, or the port behind the host: `host: name:8080`");
            return Vec::new();
        };
        let tls = host.tls.or(tls).unwrap_or(false);
        let address = ExternalAddress { host: host.name.to_owned(), port, tls };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn report(section: &Section<'_>, reader: &mut Reader, fault: String, hint: &str) {
    let place =
        ["host", "port", "external"].iter().find_map(|key| section.entry(key)).map(|(key, _)| key.place);
    reader.report(FlowError::new(place, fault).with_hint(hint));
}

fn items(node: Option<&Node>) -> Vec<&Node> {
    match node.map(|node| (&node.value, node)) {
        None => Vec::new(),
        Some((Value::List(items), _)) => items.iter().collect(),
        Some((_, node)) => vec![node],
    }
}

fn port(section: &Section<'_>, node: &Node, reader: &mut Reader) -> Option<u16> {
    let port = match &node.value {
        Value::Integer(port) => u16::try_from(*port).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let port = port.filter(|port| *port > 0);
    if port.is_none() {
        let message =
            format!("`port` of {} must be a number from 1 to 65535, not {}", section.what, node.shown());
        reader.report_at(node.place, message);
    }
    port
}

/// `name`, `name:port`, `[::1]:port`, each with or without `grpc://` or `grpcs://` before it.
fn host<'a>(section: &Section<'_>, node: &'a Node, reader: &mut Reader) -> Option<Host<'a>> {
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        _ => "",
    };
    let (tls, rest) = match text.split_once("://") {
        None => (None, Some(text)),
        Some(("grpc", rest)) => (Some(false), Some(rest)),
        Some(("grpcs", rest)) => (Some(true), Some(rest)),
        Some(_) => (None, None),
    };
    let parsed = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)).and_then(|rest| {
        match rest.rsplit_once(':') {
            Some((name, port)) if !name.ends_with(':') && (!name.contains(':') || name.ends_with(']')) => {
                let port = port.parse().ok().filter(|port| *port > 0)?;
                Some(Host { name, port: Some(port), tls })
            }
            _ => Some(Host { name: rest, port: None, tls }),
        }
    });
    let is_name = |host: &Host<'_>| {
        !host.name.is_empty()
            && host.name.len() <= 253
            && host.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte))
    };
    let host = parsed.filter(is_name);
    if host.is_none() {
        let message =
            format!("`host` of {} must be the name of a machine, not {}", section.what, node.shown());
        reader.report(FlowError::new(Some(node.place), message).with_hint(
            "such as `encoder.example`, `encoder.example:8080` or, with TLS, `grpcs://encoder.example:443`; gRPC is spoken with it",
        ));
    }
    host
}

fn read_metadata(section: &Section<'_>, reader: &mut Reader) -> Vec<(String, String)> {
    let Some(node) = section.get("grpc_metadata") else { return Vec::new() };
    let pairs = match &node.value {
        Value::Map(entries) if entries.len() <= MAX_METADATA => entries
            .iter()
            .map(|(key, value)| match &value.value {
                Value::Text(text) => Some((key.text.to_ascii_lowercase(), text.clone())),
                Value::Integer(number) => Some((key.text.to_ascii_lowercase(), number.to_string())),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    let is_good = |(key, value): &(String, String)| {
        !key.is_empty()
            && !key.ends_with("-bin")
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    let pairs: Option<Vec<_>> = pairs;
    match pairs.filter(|pairs| pairs.iter().all(is_good)) {
        Some(pairs) => pairs,
        None => {
            // Values may be secrets: none is shown.
            let message = format!(
                "`grpc_metadata` of {} must be a set of at most {MAX_METADATA} keys with printable texts",
                section.what
            );
            reader.report(FlowError::new(Some(node.place), message).with_hint(
                "names are letters, digits, `-`, `_` and `.`, such as `authorization: Bearer ${{ ENV.KEY }}`",
            ));
            Vec::new()
        }
    }
}
