//! The format of flow files as a JSON Schema, for editors.
//!
//! Which keys there are is said by the rules that the reader goes by; what each takes and means by the page that people
//! read (`docs/reference/flow.md`), which a test holds to the same rules. So no third list can go out of date.

use serde_json::{Map, Value, json};

use super::keys::{self, Rule, Table};

const PAGE: &str = include_str!("../../../docs/reference/flow.md");

/// Keys that hold sections with keys of their own.
const SECTIONS: &[(&str, &str)] = &[
    ("instances", "`instances`"),
    ("limits", "`limits`"),
    ("capabilities", "`capabilities`"),
    ("http", "`http`"),
    ("key_value", "`key_value`"),
];

/// The schema: a flow, or a deployment.
pub fn schema() -> Value {
    let mut executor = object("An executor", keys::EXECUTOR);
    let mut with = object("`with` and `gateway`", keys::WITH);
    let nested = [
        ("capabilities", object("`capabilities`", keys::CAPABILITIES)),
        ("instances", object("`instances`", keys::INSTANCES)),
        ("limits", object("`limits`", keys::LIMITS)),
        ("uses_metas", object("`uses_metas`", keys::METAS)),
    ];
    for (key, mut section) in nested {
        for (inner, table) in [("http", keys::HTTP), ("key_value", keys::KEY_VALUE)] {
            refine(&mut section, inner, object(heading(inner), table));
        }
        refine(&mut executor, key, section);
    }
    let deployed = merged(&executor, &with);
    describe(&mut with, "The flow and its gateway");
    let mut flow = object("The file", keys::ROOT);
    let entries = json!({ "anyOf": [
        executor,
        { "type": "string", "description": "The path of a file with `jtype: Deployment`" },
        { "type": "object", "properties": { "jtype": { "const": "Deployment" }, "with": deployed }, "required": ["jtype", "with"] },
    ] });
    refine(&mut flow, "with", with.clone());
    refine(&mut flow, "gateway", with);
    refine(
        &mut flow,
        "executors",
        json!({ "type": "array", "minItems": 1, "maxItems": crate::graph::MAX_STAGES, "items": entries }),
    );
    refine(&mut flow, "jtype", json!({ "const": "Flow" }));
    require(&mut flow, &["jtype", "executors"]);
    let mut deployment = object("A deployment", keys::DEPLOYMENT);
    refine(&mut deployment, "with", deployed);
    refine(&mut deployment, "jtype", json!({ "const": "Deployment" }));
    require(&mut deployment, &["jtype", "with"]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lockgate flow file",
        "description": "A flow or a deployment, in Jina's format with keys of Lockgate's own.",
        "type": "object",
        "oneOf": [flow, deployment],
    })
}

fn heading(key: &str) -> &'static str {
    SECTIONS.iter().find(|(known, _)| *known == key).map_or("", |(_, heading)| heading)
}

/// A map with these keys: those that are taken, and those that are ignored.
fn object(heading: &str, table: Table) -> Value {
    let rows = rows(heading);
    let mut properties = Map::new();
    for (key, rule) in table {
        let row = rows.iter().find(|row| row.first() == Some(&format!("`{key}`").as_str()));
        let value = match (rule, row.map(Vec::as_slice)) {
            (Rule::Taken, Some([_, kind, default, meaning, ..])) => {
                let mut value = typed(kind);
                describe(&mut value, &plain(&format!("{meaning} Default: {default}.")));
                value
            }
            (Rule::Ignored(reason), _) => {
                json!({ "description": format!("Ignored: {reason}"), "deprecated": true })
            }
            (Rule::Taken | Rule::Later | Rule::Refused(_), _) => continue,
        };
        properties.insert((*key).to_owned(), value);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// The cells of the tables under a heading of the page.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let start = PAGE.split_once(&format!("\n## {heading}\n")).map_or("", |(_, after)| after);
    let section = start.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// A type as the page writes it. Values with `${{ }}` are texts whatever they become.
fn typed(kind: &str) -> Value {
    let choice = |kinds: &[Value]| json!({ "anyOf": kinds });
    let text = json!({ "type": "string" });
    let unit = |pattern: &str| {
        choice(&[json!({ "type": "number" }), json!({ "type": "string", "pattern": pattern })])
    };
    const VARIABLE: &str = "\\$";
    match kind {
        "text" | "path" | "name" => choice(&[text, json!({ "type": ["number", "boolean"] })]),
        "name or list" => choice(&[text, json!({ "type": "array", "items": { "type": "string" } })]),
        "keys" => json!({ "type": "object" }),
        "list" => json!({ "type": "array" }),
        "true, false" => {
            choice(&[json!({ "type": "boolean" }), json!({ "type": "string", "pattern": VARIABLE })])
        }
        "count" => unit(&format!("^[0-9][0-9_.]* ?[kKmMgGtT]?$|{VARIABLE}")),
        "size" => unit(&format!("^[0-9][0-9_.]* ?([kKmMgGtT][iI]?)?[bB]?$|{VARIABLE}")),
        "time" => unit(&format!("^[0-9][0-9_.]* ?(ms|s|m|min|h)?$|{VARIABLE}")),
        // Everything else is said in words only.
        _ => json!({}),
    }
}

/// A cell without the marks of Markdown.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let (words, after) = link.split_once("](").unwrap_or((link, ""));
        text.push_str(words);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.replace('`', "")
}

fn describe(value: &mut Value, text: &str) {
    if let Some(object) = value.as_object_mut() {
        object.insert("description".to_owned(), Value::from(text));
    }
}

/// Gives a property another schema, and keeps its description.
fn refine(object: &mut Value, key: &str, mut schema: Value) {
    let Some(property) = object.get_mut("properties").and_then(|properties| properties.get_mut(key)) else {
        return;
    };
    if let Some(description) = property.get("description").cloned()
        && let Some(schema) = schema.as_object_mut()
    {
        schema.entry("description").or_insert(description);
    }
    *property = schema;
}

fn require(object: &mut Value, keys: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.insert("required".to_owned(), json!(keys));
    }
}

/// The keys of both; those of the first where both have one.
fn merged(first: &Value, second: &Value) -> Value {
    let mut merged = first.clone();
    let more = second.get("properties").and_then(Value::as_object);
    if let Some(properties) = merged.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, value) in more.into_iter().flatten() {
            properties.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_taken_has_a_place_and_a_meaning() {
        let schema = schema();
        let flow = &schema["oneOf"][0]["properties"];
        let executor = &flow["executors"]["items"]["anyOf"][0]["properties"];
        let sections = [
            (keys::ROOT, flow),
            (keys::WITH, &flow["with"]["properties"]),
            (keys::EXECUTOR, executor),
            (keys::DEPLOYMENT, &schema["oneOf"][1]["properties"]),
            (keys::INSTANCES, &executor["instances"]["properties"]),
            (keys::LIMITS, &executor["limits"]["properties"]),
            (keys::CAPABILITIES, &executor["capabilities"]["properties"]),
            (keys::HTTP, &executor["capabilities"]["properties"]["http"]["properties"]),
            (keys::KEY_VALUE, &executor["capabilities"]["properties"]["key_value"]["properties"]),
        ];
        for (table, properties) in sections {
            for (key, rule) in table {
                let found = properties.get(*key).and_then(|property| property["description"].as_str());
                let is_there = matches!(rule, Rule::Taken | Rule::Ignored(_));
                assert_eq!(found.is_some_and(|text| !text.is_empty()), is_there, "{key}: {found:?}");
            }
        }
    }

    #[test]
    fn cells_become_plain_words() {
        assert_eq!(plain("A `.wasm`, see [fuel](errors.md#fuel). [x"), "A .wasm, see fuel. x");
        assert_eq!(
            typed("name"),
            json!({ "anyOf": [{ "type": "string" }, { "type": ["number", "boolean"] }] })
        );
    }
}
