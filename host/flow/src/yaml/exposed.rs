//! `expose_endpoints`: paths of HTTP that lead to endpoints, as JSON in a text (what Jina takes) or as keys.

use lockgate_domain::EndpointName;
use lockgate_domain::spec::ExposedPath;
use serde_json::{Map, Value as Json};

use super::errors::FlowError;
use super::executor::json;
use super::gateway::Settings;
use super::reader::Reader;
use super::tree::{Value, shorten};

/// What FastAPI takes beside it, for its own pages.
const WITHOUT_EFFECT: [&str; 5] = ["tags", "description", "name", "deprecated", "operation_id"];
const EXAMPLE: &str =
    r#"write it as `{"/endpoint": {"methods": ["POST"], "http_path": "/path", "summary": "words"}}`"#;

pub(super) fn read(settings: &Settings<'_, '_>, reader: &mut Reader) -> Vec<ExposedPath> {
    const KEY: &str = "expose_endpoints";
    let Some((section, node)) = settings.find(KEY).and_then(|section| Some((section, section.get(KEY)?)))
    else {
        return Vec::new();
    };
    let given = match &node.value {
        Value::Text(text) => serde_json::from_str(text).ok(),
        _ => json(node),
    };
    let mut refuse = |fault: String| {
        let message = format!("`{KEY}` of {} {fault}", section.what);
        reader.report(FlowError::new(Some(node.place), message).with_hint(EXAMPLE));
    };
    let Some(Json::Object(entries)) = given else {
        refuse(format!("must be a set of endpoints, not {}", node.shown()));
        return Vec::new();
    };
    if entries.len() > ExposedPath::MOST {
        refuse(format!("has {} endpoints, at most {} are taken", entries.len(), ExposedPath::MOST));
        return Vec::new();
    }
    let mut exposed: Vec<ExposedPath> = Vec::new();
    for (endpoint, options) in &entries {
        match entry(endpoint, options) {
            Ok(entry) if exposed.iter().any(|other| overlap(other, &entry)) => {
                refuse(format!("takes {} twice", entry.path));
            }
            Ok(entry) => exposed.push(entry),
            Err(fault) => refuse(fault),
        }
    }
    exposed
}

fn overlap(one: &ExposedPath, other: &ExposedPath) -> bool {
    one.path == other.path && one.methods.iter().any(|method| other.methods.contains(method))
}

fn entry(name: &str, options: &Json) -> Result<ExposedPath, String> {
    let shown = shorten(name);
    let endpoint = EndpointName::parse(name).map_err(|error| format!("names `{shown}`: {error}"))?;
    let none = Map::new();
    let options = match options {
        Json::Null => &none,
        Json::Object(options) => options,
        _ => return Err(format!("says of `{shown}` what is no set of keys")),
    };
    for key in options.keys() {
        if !["methods", "http_path", "summary"].contains(&key.as_str())
            && !WITHOUT_EFFECT.contains(&key.as_str())
        {
            return Err(format!("says of `{shown}` a key `{}` that is not known", shorten(key)));
        }
    }
    let text = |key: &str| match options.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("says of `{shown}` a `{key}` that is no text")),
    };
    let path = text("http_path")?.unwrap_or_else(|| name.to_owned());
    if !ExposedPath::is_free(&path) {
        let path = shorten(&path);
        return Err(format!("puts `{shown}` at {path}, which is the gateway's own or no plain path"));
    }
    Ok(ExposedPath {
        path,
        endpoint,
        methods: methods(&shown, options.get("methods"))?,
        summary: text("summary")?,
    })
}

fn methods(endpoint: &str, given: Option<&Json>) -> Result<Vec<String>, String> {
    let given = match given {
        None | Some(Json::Null) => return Ok(vec!["POST".to_owned()]),
        Some(Json::Array(methods)) if !methods.is_empty() => methods.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let known = |method: &Json| {
        let method = method.as_str().map(str::to_ascii_uppercase);
        method.filter(|method| ExposedPath::METHODS.contains(&method.as_str()))
    };
    given
        .iter()
        .map(known)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("says of `{endpoint}` other methods than {}", ExposedPath::METHODS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_or_refused_in_words() {
        let read = |options: &str| entry("/foo", &serde_json::from_str(options).unwrap());
        let check = |options: &str, path: &str, methods: &[&str]| {
            let exposed = read(options).unwrap();
            assert_eq!((exposed.path.as_str(), exposed.endpoint.as_str()), (path, "/foo"));
            assert_eq!(exposed.methods, methods);
        };
        check("null", "/foo", &["POST"]);
        check("{}", "/foo", &["POST"]);
        check(
            r#"{"methods": ["put", "POST"], "http_path": "/v1/foo", "tags": []}"#,
            "/v1/foo",
            &["PUT", "POST"],
        );
        check(r#"{"methods": "DELETE"}"#, "/foo", &["DELETE"]);
        assert_eq!(read(r#"{"summary": "words"}"#).unwrap().summary.as_deref(), Some("words"));
        let refused = |options: &str, words: &str| {
            let fault = read(options).unwrap_err();
            assert!(fault.contains(words), "{options}: {fault}");
        };
        refused("7", "no set of keys");
        refused(r#"{"methods": ["GET"]}"#, "other methods than POST");
        refused(r#"{"methods": []}"#, "other methods");
        refused(r#"{"http_path": "/docs"}"#, "/docs");
        refused(r#"{"http_path": "foo"}"#, "foo");
        refused(r#"{"http_path": "/a b"}"#, "/a b");
        refused(r#"{"http_path": 7}"#, "no text");
        refused(r#"{"metods": []}"#, "`metods`");
        assert!(entry("foo bar", &Json::Null).unwrap_err().contains("foo bar"));
    }
}
