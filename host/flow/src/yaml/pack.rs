//! A flow file made to travel: one file that needs no other, in which each `uses` is another path.
//!
//! Files that it names become part of it and references to other places are filled in; variables stay variables, so that
//! no secret of whoever packs it travels along. Written anew from the tree, without comments.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lockgate_domain::spec::ComponentRole;
use serde::{Serialize, Serializer};

use super::errors::FlowErrors;
use super::include::{Include, Included};
use super::reader::Reader;
use super::tree::{self, Node, Value};
use super::{deployment, substitute};

/// A flow file that stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The file.
    pub yaml: String,
    /// Variables that it takes from the environment, by name; those with a value of the file's own are not among them.
    pub variables: Vec<String>,
}

/// Packs a file. `uses` gives the new path for each component of a stage, by its place in the file, seen from the file's
/// folder; none leaves it.
pub fn pack(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    include: Include<'_>,
    uses: &dyn Fn(usize, ComponentRole) -> Option<String>,
) -> Result<Packed, FlowErrors> {
    let mut reader = Reader::default();
    let mut tree = tree::parse(text).map_err(|error| FlowErrors::new(vec![error], text))?;
    let taken = RefCell::new(BTreeSet::new());
    // A variable that is set stands for itself; others are unset here as everywhere.
    let keep = |name: &str| {
        environment(name)?;
        taken.borrow_mut().insert(name.to_owned());
        Some(format!("${{{{ ENV.{name} }}}}"))
    };
    substitute::substitute(&mut tree, &keep, &mut reader);
    let included = Included::new(include, &keep);
    included.deployments(&mut tree, &mut reader);
    deployment::to_flow(&mut tree, &mut reader);
    included.executors(&mut tree, &mut reader);
    if let Some(Value::List(items)) = tree.get_mut("executors").map(|node| &mut node.value) {
        for (item, place) in items.iter_mut().zip(0..) {
            for role in [ComponentRole::Main, ComponentRole::Before, ComponentRole::After] {
                let Some(path) = uses(place, role) else { continue };
                let at = item.place;
                item.set(role.key(), Node::text(at, &path));
            }
        }
    }
    if !reader.errors.is_empty() {
        return Err(FlowErrors::new(reader.errors, text));
    }
    let yaml = serde_saphyr::to_string(&Written(&tree)).map_err(|error| {
        let message = format!("the file cannot be written anew: {error}");
        FlowErrors::new(vec![super::FlowError::new(None, message)], text)
    })?;
    Ok(Packed { yaml, variables: taken.into_inner().into_iter().collect() })
}

/// The tree as it is written: keys stay in their order, which conditions depend on.
struct Written<'a>(&'a Node);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Value::Null => serializer.serialize_unit(),
            Value::Switch(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Number(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Number(_) => serializer.serialize_unit(),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(Written)),
            Value::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (&key.text, Written(value))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FlowFile;

    fn environment(name: &str) -> Option<String> {
        matches!(name, "API_KEY" | "PORT").then(|| "8081".to_owned())
    }

    fn include(path: &str) -> Result<String, String> {
        match path {
            "a/config.yml" => {
                Ok("jtype: A\nuses: a.wasm\nwith: {size: 3, key: '${{ ENV.API_KEY }}'}\n".to_owned())
            }
            _ => Err("no such file".to_owned()),
        }
    }

    #[test]
    fn a_packed_file_says_the_same() {
        let text = "jtype: Flow
with: {name: s, port: '${{ ENV.PORT }}', env: {MODEL: small}}
executors:
  - {name: a, uses: a/config.yml, uses_with: {model: '${{ ENV.MODEL }}', near: '${{ root.with.name }}', cost: $5}}
  - name: b
    uses: ../b
    needs: [a, gateway]
    limits: {memory_bytes: 64MiB}
    shards: 2
    uses_before: ./before
    uses_after: ./after
    when: {tags__n: {$gt: 3}, $or: [{text: {$eq: a}}, {text: {$eq: b}}]}
";
        let uses = |place: usize, role: ComponentRole| {
            let is_main = role == ComponentRole::Main;
            (is_main || place == 1).then(|| format!("/flow/{place}{}.wasm", role.key()))
        };
        let packed =
            pack(text, &environment, &include, &uses).unwrap_or_else(|e| panic!("{}", e.render("flow.yml")));
        assert_eq!(packed.variables, ["API_KEY", "PORT"]);
        assert!(
            packed.yaml.contains("${{ ENV.API_KEY }}") && !packed.yaml.contains("8081"),
            "{}",
            packed.yaml
        );
        let mut before = FlowFile::parse_with(text, &environment, &include).unwrap().spec;
        let after = FlowFile::parse(&packed.yaml, &environment).unwrap().spec;
        for (stage, place) in before.stages.iter_mut().zip(0..) {
            stage.uses = format!("/flow/{place}uses.wasm");
            if place == 1 {
                stage.shards.before = Some("/flow/1uses_before.wasm".to_owned());
                stage.shards.after = Some("/flow/1uses_after.wasm".to_owned());
            }
        }
        assert_eq!(after, before, "{}", packed.yaml);
    }

    #[test]
    fn a_deployment_is_packed_as_a_flow() {
        let text = "jtype: Deployment\nwith: {name: a, uses: a.wasm, port: 3}\n";
        let packed = pack(text, &environment, &include, &|_, _| None).unwrap();
        assert_eq!(
            FlowFile::parse(&packed.yaml, &environment).unwrap().spec,
            FlowFile::parse(text, &environment).unwrap().spec
        );
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let text = "jtype: Flow\nexecutors: [{uses: a.wasm, uses_with: {k: '${{ ENV.NOPE }}'}}]";
        assert!(
            pack(text, &environment, &include, &|_, _| None)
                .unwrap_err()
                .to_string()
                .contains("`NOPE` is not set")
        );
    }
}
