//! What a revision may ask for: a pure function of the revision, its component and what the tenant is allowed.

use std::collections::BTreeSet;

use lockgate_domain::capability::CapabilityKind;
use lockgate_domain::hosting::{GoldenExample, RevisionSpec, StoredComponent};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ErrorCode, Limits, Problem, SecretName};
use serde_json::{Map, Value, json};

use crate::refusal::{check_bytes, invalid};

/// Longest configuration as JSON, in bytes.
pub(crate) const MAX_CONFIGURATION_BYTES: usize = 64 << 10;
/// Examples of one revision at most.
pub(crate) const MAX_EXAMPLES: usize = 64;
/// Longest examples as JSON, all together, in bytes.
pub(crate) const MAX_EXAMPLES_BYTES: usize = 1 << 20;
/// Longest note in bytes.
pub(crate) const MAX_NOTE_BYTES: usize = 1 << 10;
/// Hosts that one revision may call at most.
const MAX_HOSTS: usize = 256;
/// The key of an object that stands for a secret.
const SECRET: &str = "$secret";

/// What a revision is judged against.
pub(crate) struct Circumstances<'a> {
    pub(crate) settings: &'a TenantSettings,
    pub(crate) component: &'a StoredComponent,
    /// The tenant's secrets.
    pub(crate) secrets: &'a BTreeSet<SecretName>,
}

/// Refuses a revision with the first thing that is wrong with it.
pub(crate) fn check_revision(spec: &RevisionSpec, circumstances: &Circumstances<'_>) -> Result<(), Problem> {
    check_signature(circumstances)?;
    check_limits(&spec.limits, &circumstances.settings.limits)?;
    check_sizes(spec)?;
    spec.examples.iter().try_for_each(check_example)?;
    check_needs(spec, circumstances.component)?;
    check_grants(spec, circumstances.settings)?;
    check_secrets(spec, circumstances.secrets)
}

fn check_signature(circumstances: &Circumstances<'_>) -> Result<(), Problem> {
    let component = circumstances.component;
    if !circumstances.settings.require_signature || component.signed_by.is_some() {
        return Ok(());
    }
    let message = format!("component {} is not signed, and the tenant requires signatures", component.digest);
    Err(Problem::new(ErrorCode::PermissionDenied, message)
        .with_digest(component.digest)
        .with_hint("upload it again with a signature of one of the tenant's signing keys"))
}

fn check_limits(asked: &Limits, highest: &Limits) -> Result<(), Problem> {
    let Limits {
        fuel,
        wall_time_ms,
        memory_bytes,
        table_elements,
        core_instances,
        host_call_bytes,
        written_bytes,
        documents,
        columns,
        log_line_bytes,
        log_lines,
    } = *asked;
    let pairs = [
        ("fuel", fuel, highest.fuel),
        ("wall_time_ms", wall_time_ms, highest.wall_time_ms),
        ("memory_bytes", memory_bytes, highest.memory_bytes),
        ("table_elements", table_elements.into(), highest.table_elements.into()),
        ("core_instances", core_instances.into(), highest.core_instances.into()),
        ("host_call_bytes", host_call_bytes, highest.host_call_bytes),
        ("written_bytes", written_bytes, highest.written_bytes),
        ("documents", documents.into(), highest.documents.into()),
        ("columns", columns.into(), highest.columns.into()),
        ("log_line_bytes", log_line_bytes.into(), highest.log_line_bytes.into()),
        ("log_lines", log_lines.into(), highest.log_lines.into()),
    ];
    if fuel == 0 || wall_time_ms == 0 {
        let field = if fuel == 0 { "fuel" } else { "wall_time_ms" };
        return Err(invalid(
            format!("limits.{field} of 0 lets nothing run"),
            "leave it out for the usual limit",
        )
        .with_details(json!({ "field": format!("limits.{field}"), "asked": 0 })));
    }
    let over = pairs.into_iter().find(|(_, asked, highest)| asked > highest);
    over.map_or(Ok(()), |(field, asked, highest)| {
        let message = format!("limits.{field} of {asked} is over the tenant's highest, {highest}");
        Err(invalid(message, format!("ask for at most {highest}, or ask the operator of the host for more"))
            .with_details(json!({ "field": format!("limits.{field}"), "asked": asked, "highest": highest })))
    })
}

fn check_sizes(spec: &RevisionSpec) -> Result<(), Problem> {
    check_bytes("the note", spec.note.len(), MAX_NOTE_BYTES)?;
    if spec.note.chars().any(char::is_control) {
        return Err(invalid("the note has control characters", "write one line of plain text"));
    }
    check_bytes("the configuration", json_bytes(&spec.configuration), MAX_CONFIGURATION_BYTES)?;
    if spec.examples.len() > MAX_EXAMPLES {
        let message =
            format!("the revision has {} examples, at most {MAX_EXAMPLES} are run", spec.examples.len());
        return Err(invalid(message, "keep the ones that tell most"));
    }
    check_bytes("the list of examples", json_bytes(&spec.examples), MAX_EXAMPLES_BYTES)
}

fn check_example(example: &GoldenExample) -> Result<(), Problem> {
    if example.tolerance.is_finite() && example.tolerance >= 0.0 {
        return Ok(());
    }
    let message = format!("the example of {} has a tolerance of {}", example.endpoint, example.tolerance);
    Err(invalid(message, "a tolerance is a number that is not negative"))
}

/// What the component imports must be granted: else it would fail when it is called.
fn check_needs(spec: &RevisionSpec, component: &StoredComponent) -> Result<(), Problem> {
    let missing = component.report.imports.iter().find_map(|import| {
        let kind = import.needs.filter(|kind| !spec.capabilities.grants(*kind))?;
        Some((kind, &import.interface))
    });
    missing.map_or(Ok(()), |(kind, interface)| {
        let message = format!(
            "component {} imports {interface} and the revision does not grant {}",
            component.digest,
            kind.as_str()
        );
        Err(Problem::new(ErrorCode::CapabilityDenied, message)
            .with_digest(component.digest)
            .with_hint(format!("grant it: \"capabilities\": {{{}}}", example_grant(kind))))
    })
}

fn example_grant(kind: CapabilityKind) -> &'static str {
    match kind {
        CapabilityKind::Http => "\"http\": {\"hosts\": [\"api.example.org\"]}",
        CapabilityKind::KeyValue => "\"key_value\": {\"bytes\": 1048576}",
        CapabilityKind::Secrets => "\"secrets\": [\"NAME\"]",
    }
}

fn check_grants(spec: &RevisionSpec, settings: &TenantSettings) -> Result<(), Problem> {
    if let Some(http) = &spec.capabilities.http {
        if http.private_networks && !settings.private_networks {
            let message = "capabilities.http.private_networks is not allowed to this tenant";
            return Err(Problem::new(ErrorCode::PermissionDenied, message)
                .with_hint("leave it out, or ask the operator of the host to allow it"));
        }
        if http.hosts.len() > MAX_HOSTS {
            let message = format!(
                "capabilities.http.hosts has {} hosts, at most {MAX_HOSTS} are taken",
                http.hosts.len()
            );
            return Err(invalid(message, "use a pattern such as *.example.org"));
        }
    }
    let stored = settings.quota.stored_bytes;
    if let Some(store) = spec.capabilities.key_value.filter(|store| store.bytes > stored) {
        let message =
            format!("capabilities.key_value.bytes of {} is over the tenant's quota, {stored}", store.bytes);
        return Err(invalid(message, format!("ask for at most {stored}")));
    }
    Ok(())
}

fn check_secrets(spec: &RevisionSpec, secrets: &BTreeSet<SecretName>) -> Result<(), Problem> {
    let granted = &spec.capabilities.secrets;
    for name in secrets_in(&spec.configuration)? {
        if !granted.contains(&name) {
            let message = format!("the configuration names secret {name} and the capabilities do not");
            return Err(Problem::new(ErrorCode::CapabilityDenied, message)
                .with_hint(format!("grant it: \"capabilities\": {{\"secrets\": [\"{name}\"]}}")));
        }
    }
    granted.iter().find(|name| !secrets.contains(*name)).map_or(Ok(()), |name| {
        let message = format!("capabilities.secrets names {name}, and the tenant has no such secret");
        Err(invalid(message, format!("set it first: PUT …/secrets/{name}")))
    })
}

/// The secrets that a configuration refers to with `{"$secret": "NAME"}`, at any depth.
pub fn secrets_in(configuration: &Map<String, Value>) -> Result<BTreeSet<SecretName>, Problem> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Value> = configuration.values().collect();
    if configuration.contains_key(SECRET) {
        return Err(misplaced());
    }
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => match fields.get(SECRET) {
                Some(Value::String(name)) if fields.len() == 1 => {
                    let name = name
                        .parse()
                        .map_err(|error| invalid(format!("{error}"), "name a secret of the tenant"))?;
                    names.insert(name);
                }
                Some(_) => return Err(misplaced()),
                None => open.extend(fields.values()),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(names)
}

fn misplaced() -> Problem {
    invalid(
        "the configuration uses \"$secret\" for something else than a secret",
        "write {\"$secret\": \"NAME\"} in the place of a value, with nothing beside it",
    )
}

fn json_bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

#[cfg(test)]
mod tests;
