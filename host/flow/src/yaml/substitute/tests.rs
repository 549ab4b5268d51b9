//! Variables and references: what they become, and what is said of those that become nothing.

use serde_json::{Value as Json, json};

use crate::yaml::FlowFile;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8081",
        "MODEL" => "small",
        "TRICK" => "${{ ENV.SECRET }} $MODEL",
        "SECRET" => "hunter2",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read(values: &str) -> Result<FlowFile, String> {
    let text = format!(
        "jtype: Flow\nwith: {{name: search, prefetch: 7, env: {{OWN: mine, PORT: 1}}}}\nexecutors:\n  - name: a\n    uses: a\n    uses_with: {values}\n"
    );
    FlowFile::parse(&text, &environment)
        .map_err(|errors| errors.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_form_that_jina_knows_is_filled_in() {
    let check = |value: &str, expected: Json| {
        let file = read(&format!("{{v: {value}, near: [1, deep], also: 2}}"))
            .unwrap_or_else(|e| panic!("{value}: {e}"));
        let config = &file.spec.stages[0].config;
        assert_eq!(config["v"], expected, "{value}");
    };
    for form in [
        "${{ ENV.PORT }}",
        "${{ENV.PORT}}",
        "${{ env.PORT }}",
        "${{ CONTEXT.PORT }}",
        "${{ context.PORT }}",
        "${{ PORT }}",
        "$PORT",
        "${PORT}",
    ] {
        check(&format!("\"{form}\""), json!(8081));
        check(&format!("\"at {form}.\""), json!("at 8081."));
    }
    check("\"$OWN/${MODEL}_${{ ENV.MODEL }}\"", json!("mine/small_small"));
    check("\"${{ root.with.name }}\"", json!("search"));
    check("\"${{ root.with.prefetch }}\"", json!(7));
    check("\"${{root.executors[0].name}}-1\"", json!("a-1"));
    check("\"${{ this.also }}\"", json!(2));
    check("\"${{ this.near[1] }}\"", json!("deep"));
    // What a variable holds is not read again.
    check("\"${{ ENV.TRICK }}\"", json!("${{ ENV.SECRET }} $MODEL"));
    // A price is no variable.
    check("\"costs $5, $ or $$MODEL ${} ${a b}\"", json!("costs $5, $ or $small ${} ${a b}"));
}

#[test]
fn references_chain_and_end() {
    let file = read("{a: '${{ this.b }}', b: 'x${{ this.c }}', c: '${{ ENV.MODEL }}'}").unwrap();
    assert_eq!(
        Json::Object(file.spec.stages[0].config.clone()),
        json!({"a": "xsmall", "b": "xsmall", "c": "small"})
    );
    let circle = "`${{ this.b }}` leads from reference to reference without an end (line 6): let it name a plain value";
    assert!(read("{a: '${{ this.b }}', b: '${{ this.a }}'}").unwrap_err().contains(circle));
    let check = |value: &str, expected: &str| {
        assert_eq!(read(&format!("{{v: \"{value}\"}}")).unwrap_err(), expected);
    };
    check(
        "${{ root.with.nam }}",
        "`${{ root.with.nam }}` names nothing in this file (line 6): start at the top with `root.`, or beside this key with `this.`",
    );
    check(
        "${{ root.with }}",
        "`${{ root.with }}` is a set of keys, not a plain value (line 6): name one of the values in it",
    );
    check(
        "${{ 1 + 1 }}",
        "`${{ 1 + 1 }}` is not supported (line 6): only variables and places of this file are filled in: `${{ ENV.NAME }}`, `${{ root.with.name }}`",
    );
}

#[test]
fn references_that_multiply_are_stopped() {
    let mut values = String::from("{a0: '$NOTHING'");
    for level in 1..7 {
        let twice = format!("${{{{ this.a{} }}}}", level - 1).repeat(40);
        values.push_str(&format!(", a{level}: '{twice}'"));
    }
    let told = read(&(values + "}")).unwrap_err();
    assert!(told.contains("without an end") || told.contains("bytes after substitution"), "{told}");
}

#[test]
fn an_unset_name_after_a_dollar_is_noted() {
    let file = read("{v: 'of $HOMELESS'}").unwrap();
    let notes: Vec<String> = file.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.contains(&"line 6: `$HOMELESS` stays as it is: no such variable is set".to_owned()),
        "{notes:?}"
    );
}
