//! `uses_dynamic_batching:` of an executor.

use std::collections::BTreeMap;

use lockgate_domain::EndpointName;
use lockgate_domain::spec::BatchingSpec;

use super::errors::FlowError;
use super::keys;
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value, shorten};
use super::units::Unit;

/// Endpoints of one executor that gather requests.
const MAX_ENDPOINTS: usize = 64;

const DOCUMENTS: Range = Range::new(Unit::Count, 1, 1 << 20);
const BYTES: Range = Range::new(Unit::Bytes, 1, 1 << 30);
const WAIT: Range = Range::new(Unit::Time, 0, 600_000);
const WAITING: Range = Range::new(Unit::Count, 1, 100_000);

/// The endpoints that gather requests, and how.
pub(super) fn read_batching(
    executor: &Section<'_>,
    reader: &mut Reader,
) -> BTreeMap<EndpointName, BatchingSpec> {
    let mut rules = BTreeMap::new();
    let Some(node) = executor.get("uses_dynamic_batching") else { return rules };
    let Value::Map(entries) = &node.value else {
        let message = format!(
            "`uses_dynamic_batching` of {} must be a set of endpoints, not {}",
            executor.what,
            node.shown()
        );
        reader.report(FlowError::new(Some(node.place), message).with_hint(
            "write each endpoint with its slash, and under it `preferred_batch_size` and `timeout`",
        ));
        return rules;
    };
    if entries.len() > MAX_ENDPOINTS {
        let message =
            format!("{} batches {} endpoints, at most {MAX_ENDPOINTS} can be", executor.what, entries.len());
        reader.report_at(node.place, message);
        return rules;
    }
    for (key, node) in entries {
        let name = shorten(&key.text);
        match EndpointName::parse(&key.text) {
            Ok(endpoint) if key.text.starts_with('/') => {
                let what = format!("`{name}` in `uses_dynamic_batching` of {}", executor.what);
                rules.extend(read_rule(node, what, reader).map(|rule| (endpoint, rule)));
            }
            _ => {
                let message =
                    format!("`{name}` in `uses_dynamic_batching` of {} is no endpoint", executor.what);
                reader.report(FlowError::new(Some(key.place), message).with_hint(
                    "name the endpoint with its slash, such as `/encode`; components have no Python methods",
                ));
            }
        }
    }
    rules
}

fn read_rule(node: &Node, what: String, reader: &mut Reader) -> Option<BatchingSpec> {
    let section = reader.section(node, what, keys::BATCHING)?;
    let usual = BatchingSpec::default();
    if let Some(node) = section.get("use_custom_metric")
        && reader.switch(&section, "use_custom_metric") == Some(true)
    {
        let message = format!("`use_custom_metric` of {} would need a Python function", section.what);
        reader.report(
            FlowError::new(Some(node.place), message)
                .with_hint("remove it; `preferred_batch_bytes` weighs documents by their bytes"),
        );
    }
    if reader.switch(&section, "use_dynamic_batching") == Some(false) {
        return None;
    }
    let small = |reader: &mut Reader, key, range, usual| reader.small(&section, key, range).unwrap_or(usual);
    Some(BatchingSpec {
        preferred_documents: small(reader, "preferred_batch_size", DOCUMENTS, usual.preferred_documents),
        preferred_bytes: reader.number(&section, "preferred_batch_bytes", BYTES),
        timeout_ms: reader.number(&section, "timeout", WAIT).unwrap_or(usual.timeout_ms),
        flush_all: reader.switch(&section, "flush_all").unwrap_or(usual.flush_all),
        max_waiting: small(reader, "max_waiting", WAITING, usual.max_waiting),
        isolate_failures: reader.switch(&section, "isolate_failures").unwrap_or(usual.isolate_failures),
    })
}
