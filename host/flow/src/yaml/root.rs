//! The file as a whole: what it is, the gateway, and the graph of its executors.

use lockgate_domain::{FlowName, FlowSpec};

use super::Note;
use super::errors::{FlowError, Place};
use super::executor::{self, Defaults, RETRIES, ReadStage, SEND_TIME};
use super::gateway::{self, Settings};
use super::keys;
use super::pool::{MAX_FUEL, MAX_TIME_MS};
use super::reader::{Range, Reader, Section};
use super::tree::{Node, Value, shorten};
use super::units::Unit;
use crate::graph::{self, MAX_STAGES};

/// Reads the file; none if it is too wrong to make a specification of.
pub(super) fn read(tree: &Node, reader: &mut Reader) -> Option<FlowSpec> {
    if tree.is_null() {
        if !reader.errors.is_empty() {
            return None;
        }
        reader.report(
            FlowError::new(None, "the file is empty")
                .with_hint("start it with `jtype: Flow` and a list of `executors:`"),
        );
        return None;
    }
    let root = reader.section(tree, "the flow".to_owned(), keys::ROOT)?;
    check_kind(&root, tree.place, reader);
    check_version(&root, reader);
    let mut section = |key: &str| {
        let node = root.get(key)?;
        reader.section(node, format!("`{key}`"), keys::WITH)
    };
    let settings: Vec<Section<'_>> = [section("with"), section("gateway")].into_iter().flatten().collect();
    check_twice(&settings, reader);
    let settings = Settings(&settings);
    let name = settings.find("name").and_then(|section| reader.parsed::<FlowName>(section, "name"));
    let gateway = gateway::read(&settings, reader);
    let defaults = Defaults {
        timeout_ms: settings
            .find("timeout_send")
            .and_then(|section| reader.number_or_default(section, "timeout_send", SEND_TIME)),
        retries: settings
            .find("retries")
            .and_then(|section| reader.number_or_default(section, "retries", RETRIES)),
    };
    if let Some(section) = settings.find("env") {
        check_variables(section, reader);
    }
    let fuel = reader.number(&root, "fuel", Range::new(Unit::Count, 1, MAX_FUEL));
    let timeout_ms = reader.number(&root, "timeout", Range::new(Unit::Time, 1, MAX_TIME_MS));
    let stages = read_stages(&root, tree.place, defaults, reader)?;
    check_graph(&stages, reader);
    tell_unheard(&stages, reader);
    Some(FlowSpec {
        name: name.or_else(|| "flow".parse().ok())?,
        stages: stages.into_iter().map(|stage| stage.spec).collect(),
        gateway,
        fuel: fuel.unwrap_or(FlowSpec::DEFAULT_FUEL),
        timeout_ms: timeout_ms.unwrap_or(FlowSpec::DEFAULT_TIMEOUT_MS),
    })
}

fn check_kind(root: &Section<'_>, place: Place, reader: &mut Reader) {
    match root.get("jtype").map(|node| (node, &node.value)) {
        Some((_, Value::Text(kind))) if kind == "Flow" => {}
        Some((node, _)) => {
            let message = format!("`jtype` must be `Flow` or `Deployment`, not {}", node.shown());
            reader.report(FlowError::new(Some(node.place), message).with_hint(
                "the file of an executor stands under `uses` in a flow, or after `lockgate executor --uses`",
            ));
        }
        None => reader.report(
            FlowError::new(Some(place), "the file does not say that it is a flow")
                .with_hint("start it with `jtype: Flow`"),
        ),
    }
}

fn check_version(root: &Section<'_>, reader: &mut Reader) {
    if let Some(node) = root.get("version")
        && let Some(version) = reader.text(root, "version")
        && !matches!(version.as_str(), "1" | "1.0")
    {
        let message = format!("version {} of the format is not known", shorten(&version));
        reader.report(FlowError::new(Some(node.place), message).with_hint("write `version: '1'`"));
    }
}

/// The same key under `with:` and `gateway:` leaves open which one counts.
fn check_twice(settings: &[Section<'_>], reader: &mut Reader) {
    let [with, gateway] = settings else { return };
    for (key, _) in keys::WITH {
        if let (Some((first, _)), Some((second, _))) = (with.entry(key), gateway.entry(key))
            && keys::rule(keys::WITH, key) == Some(keys::Rule::Taken)
        {
            let message = format!("`{key}` stands here and under `with:` in line {}", first.place.line);
            reader.report(FlowError::new(Some(second.place), message).with_hint("keep one of them"));
        }
    }
}

fn check_variables(section: &Section<'_>, reader: &mut Reader) {
    let Some(node) = section.get("env") else { return };
    let Value::Map(entries) = &node.value else {
        reader.report_at(
            node.place,
            format!("`env` of {} must be a set of keys, not {}", section.what, node.shown()),
        );
        return;
    };
    for (key, value) in entries {
        if matches!(value.value, Value::List(_) | Value::Map(_)) {
            let message =
                format!("the variable `{}` must be a text, not {}", shorten(&key.text), value.shown());
            reader.report_at(value.place, message);
        }
    }
    let message =
        "`env` only fills in `${{ ENV.NAME }}` in this file: executors have no environment".to_owned();
    reader.notes.push(Note { line: node.place.line, message });
}

fn read_stages(
    root: &Section<'_>,
    place: Place,
    defaults: Defaults,
    reader: &mut Reader,
) -> Option<Vec<ReadStage>> {
    let hint = "add an entry with `name` and `uses` under `executors:`";
    let node = root.get("executors");
    let items = match node.map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => items,
        Some(Value::List(_)) | None => {
            let place = node.map_or(place, |node| node.place);
            reader.report(FlowError::new(Some(place), "the flow has no executors").with_hint(hint));
            return None;
        }
        Some(_) => {
            let place = node.map_or(place, |node| node.place);
            reader.report(FlowError::new(Some(place), "`executors` must be a list").with_hint(hint));
            return None;
        }
    };
    if items.len() > MAX_STAGES {
        let message = format!("the flow has {} executors, at most {MAX_STAGES} are taken", items.len());
        reader.report_at(place, message);
        return None;
    }
    let (mut stages, mut is_whole) = (Vec::new(), true);
    for (index, item) in items.iter().enumerate() {
        match executor::read(item, index, &stages, defaults, reader) {
            Some(stage) => stages.push(stage),
            None => is_whole = false,
        }
    }
    // Without one of the stages the graph would only give errors that follow from that.
    is_whole.then_some(stages)
}

fn check_graph(stages: &[ReadStage], reader: &mut Reader) {
    let specs: Vec<_> = stages.iter().map(|stage| stage.spec.clone()).collect();
    for fault in graph::order(&specs).err().into_iter().flatten() {
        let stage = fault.stage().and_then(|stage| stages.get(stage));
        let need = stage.zip(fault.need()).and_then(|(stage, name)| {
            stage.needs.iter().rev().find(|(need, _)| need == name).map(|(_, place)| *place)
        });
        let error = FlowError::new(need.or_else(|| stage.map(|stage| stage.place)), fault.to_string());
        reader.report(match fault.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }
}

/// An end that is not the last one is a surprise to whoever expects all ends in the answer.
fn tell_unheard(stages: &[ReadStage], reader: &mut Reader) {
    let specs: Vec<_> = stages.iter().map(|stage| stage.spec.clone()).collect();
    let Some(last) = graph::last(&specs) else { return };
    for stage in graph::unheard(&specs).into_iter().filter_map(|place| stages.get(place)) {
        let message = format!(
            "nothing takes what executor `{}` gives, so nobody waits for it: the answer is what `{}` gives, which is \
             the last; join them, such as with `method: needs_all` at the end",
            stage.spec.name, last.name
        );
        reader.notes.push(Note { line: stage.place.line, message });
    }
}
