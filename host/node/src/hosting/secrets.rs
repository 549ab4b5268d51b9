//! Secrets on their way into a configuration: `{"$secret": "NAME"}` becomes the secret's value.
//!
//! A name that the capabilities do not grant is refused here as well, though the registry refuses such a revision: this
//! is the last door. Values live as long as the pool that is made with them.

use std::collections::BTreeMap;

use lockgate_domain::hosting::RevisionSpec;
use lockgate_domain::{ErrorCode, Problem, SecretName};
use lockgate_registry::access::TenantAccess;
use lockgate_registry::{Registry, secrets_in};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

const SECRET: &str = "$secret";

/// The configuration of a revision with its secrets. Blocks on the registry.
pub(crate) fn filled(
    registry: &Registry,
    access: &TenantAccess,
    spec: &RevisionSpec,
) -> Result<Map<String, Value>, Problem> {
    let names = secrets_in(&spec.configuration)?;
    if names.is_empty() {
        return Ok(spec.configuration.clone());
    }
    if let Some(name) = names.iter().find(|name| !spec.capabilities.secrets.contains(*name)) {
        let message = format!("the configuration names secret {name} and the capabilities do not");
        return Err(Problem::new(ErrorCode::CapabilityDenied, message));
    }
    let values = registry.reveal_secrets(access, &names)?;
    Ok(fill_map(&spec.configuration, &values))
}

type Revealed = BTreeMap<SecretName, Zeroizing<String>>;

fn fill_map(map: &Map<String, Value>, secrets: &Revealed) -> Map<String, Value> {
    map.iter().map(|(key, value)| (key.clone(), fill(value, secrets))).collect()
}

/// As deep as the JSON was when it was read, which serde_json bounds.
fn fill(value: &Value, secrets: &Revealed) -> Value {
    match value {
        Value::Object(map) => match map
            .get(SECRET)
            .and_then(Value::as_str)
            .map(|name| secrets.iter().find(|(known, _)| known.as_str() == name))
        {
            Some(Some((_, secret))) => Value::String(secret.as_str().to_owned()),
            _ => Value::Object(fill_map(map, secrets)),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, secrets)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_stand_where_they_were_named() {
        let secrets = Revealed::from([("key".parse().unwrap(), Zeroizing::new("s3cret".to_owned()))]);
        let given =
            json!({"a": {"$secret": "key"}, "b": [{"c": {"$secret": "key"}}, 1], "d": {"$secret": "other"}});
        let expected = json!({"a": "s3cret", "b": [{"c": "s3cret"}, 1], "d": {"$secret": "other"}});
        assert_eq!(fill(&given, &secrets), expected);
    }
}
