//! `capabilities:` of an executor: the JSON of the control API, with sizes as flow files write them.

use std::collections::BTreeSet;

use lockgate_domain::{Capabilities, ClockGrant, HostPattern, HttpGrant, KeyValueGrant, RandomGrant};

use super::errors::FlowError;
use super::keys;
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value};
use super::units::Unit;

/// Most bytes that a store in memory or one response may be granted.
const MAX_BYTES: u64 = 1 << 40;
/// Most hosts of one executor.
const MAX_HOSTS: usize = 256;

const BYTES: Range = Range::new(Unit::Bytes, 1, MAX_BYTES);

/// The grants; nothing where the file says nothing.
pub(super) fn read_capabilities(executor: &Section<'_>, reader: &mut Reader) -> Capabilities {
    let mut granted = Capabilities::default();
    let Some(node) = executor.get("capabilities") else { return granted };
    let what = format!("`capabilities` of {}", executor.what);
    let Some(section) = reader.section(node, what, keys::CAPABILITIES) else { return granted };
    granted.http = read_http(&section, reader);
    granted.key_value = read_key_value(&section, reader);
    granted.clock = match section.get("clock") {
        None => ClockGrant::default(),
        Some(node) => word(node, "clock", &section, reader).unwrap_or_default(),
    };
    granted.random = read_random(&section, reader);
    granted
}

fn read_http(capabilities: &Section<'_>, reader: &mut Reader) -> Option<HttpGrant> {
    let node = capabilities.get("http")?;
    let what = format!("`http` of {}", capabilities.what);
    let section = reader.section(node, what, keys::HTTP)?;
    let hosts = read_hosts(&section, node, reader);
    let requests = reader.small(&section, "requests_per_call", Range::new(Unit::Count, 1, 10_000));
    let bytes = reader.number(&section, "response_bytes", BYTES);
    let private_networks = reader.switch(&section, "private_networks").unwrap_or(false);
    let mut grant = HttpGrant::to(hosts);
    grant.private_networks = private_networks;
    grant.requests_per_call = requests.unwrap_or(grant.requests_per_call);
    grant.response_bytes = bytes.unwrap_or(grant.response_bytes);
    Some(grant)
}

fn read_hosts(http: &Section<'_>, whole: &Node, reader: &mut Reader) -> BTreeSet<HostPattern> {
    let items: &[Node] = match http.get("hosts") {
        Some(node) => match &node.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(node),
        },
        None => &[],
    };
    if items.is_empty() || items.len() > MAX_HOSTS {
        let message = format!("{} must name 1 to {MAX_HOSTS} `hosts`", http.what);
        let error = FlowError::new(Some(whole.place), message);
        reader.report(error.with_hint("for example `hosts: [api.example.org]`"));
    }
    let mut hosts = BTreeSet::new();
    for item in items.iter().take(MAX_HOSTS) {
        let parsed = match &item.value {
            Value::Text(text) => text.parse::<HostPattern>().map_err(|error| error.to_string()),
            _ => Err(format!("{} is no host", item.shown())),
        };
        match parsed {
            Ok(host) => {
                hosts.insert(host);
            }
            Err(error) => reader.report_at(item.place, format!("`hosts` of {}: {error}", http.what)),
        }
    }
    hosts
}

fn read_key_value(capabilities: &Section<'_>, reader: &mut Reader) -> Option<KeyValueGrant> {
    let node = capabilities.get("key_value")?;
    let what = format!("`key_value` of {}", capabilities.what);
    let section = reader.section(node, what, keys::KEY_VALUE)?;
    if section.get("bytes").is_none() && !section.is_unresolved("bytes") {
        let message = format!("{} must say how many `bytes` it may keep", section.what);
        reader.report(FlowError::new(Some(node.place), message).with_hint("for example `bytes: 1MiB`"));
    }
    Some(KeyValueGrant { bytes: reader.number(&section, "bytes", BYTES)? })
}

fn read_random(capabilities: &Section<'_>, reader: &mut Reader) -> RandomGrant {
    let Some(node) = capabilities.get("random") else { return RandomGrant::default() };
    if let Some(Node { value: Value::Integer(seed), .. }) = node.get("seeded")
        && let Ok(seed) = u64::try_from(*seed)
    {
        return RandomGrant::Seeded(seed);
    }
    match &node.value {
        Value::Text(text) if text == "system" => RandomGrant::System,
        _ => {
            let message = format!(
                "`random` of {} must be `system` or `{{ seeded: NUMBER }}`, not {}",
                capabilities.what,
                node.shown()
            );
            reader.report_at(node.place, message);
            RandomGrant::default()
        }
    }
}

fn word(node: &Node, key: &str, section: &Section<'_>, reader: &mut Reader) -> Option<ClockGrant> {
    match &node.value {
        Value::Text(text) if text == "precise" => Some(ClockGrant::Precise),
        Value::Text(text) if text == "coarse" => Some(ClockGrant::Coarse),
        _ => {
            let what = &section.what;
            let message = format!("`{key}` of {what} must be `precise` or `coarse`, not {}", node.shown());
            reader.report_at(node.place, message);
            None
        }
    }
}
