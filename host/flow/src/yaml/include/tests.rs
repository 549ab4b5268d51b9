//! Files that flows name, from a folder that is a table.

use serde_json::json;

use crate::yaml::FlowFile;

const FILES: &[(&str, &str)] = &[
    (
        "executor1/config.yml",
        "jtype: Encoder\nuses: ./encoder.wasm\nwith: {size: 128, model: '${{ ENV.MODEL }}'}\nmetas: {name: enc}\npy_modules: [executor.py]\n",
    ),
    ("plain/config.yml", "jtype: Encoder\nwith: {size: 128}\n"),
    (
        "broken/config.yml",
        "jtype: Encoder\nuses: e.wasm\nwiht: {size: 128}\nwith: {size: '${{ ENV.NOPE }}'}\n",
    ),
    ("torn.yml", "jtype: [Encoder"),
    ("sub/deployment.yml", "jtype: Deployment\nwith: {name: ranker, uses: ../ranker.wasm, port: 1}\n"),
    ("deployed.yml", "jtype: Deployment\nwith: {name: encoder, uses: executor1/config.yml}\n"),
];

fn read(text: &str) -> Result<FlowFile, String> {
    let environment = |name: &str| (name == "MODEL").then(|| "small".to_owned());
    let include = |path: &str| {
        let found = FILES.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "there is no such file".to_owned())
    };
    FlowFile::parse_with(text, &environment, &include)
        .map_err(|errors| errors.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn flow(uses: &str) -> String {
    format!("jtype: Flow\nexecutors:\n  - name: a\n    uses: {uses}\n")
}

#[test]
fn an_executors_file_names_its_component() {
    let file = read(&format!("{}    uses_with: {{size: 64}}\n", flow("executor1/config.yml"))).unwrap();
    let stage = &file.spec.stages[0];
    assert_eq!(stage.uses, "executor1/encoder.wasm");
    assert_eq!(serde_json::Value::Object(stage.config.clone()), json!({"size": 64, "model": "small"}));
    let notes: Vec<String> = file.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "line 4: `py_modules` in the executor's file executor1/config.yml is ignored: the component holds its code",
        ]
    );
}

#[test]
fn a_deployments_file_is_an_entry_or_stands_alone() {
    let file = read(&format!("{}  - sub/deployment.yml\n", flow("a.wasm"))).unwrap();
    let stages: Vec<_> =
        file.spec.stages.iter().map(|stage| (stage.name.as_str(), stage.uses.as_str())).collect();
    assert_eq!(stages, [("a", "a.wasm"), ("ranker", "sub/../ranker.wasm")]);
    let (_, alone) = FILES[5];
    assert_eq!(read(alone).unwrap().spec.stages[0].uses, "executor1/encoder.wasm");
    let both = read("jtype: Flow\nexecutors: [deployed.yml]").unwrap();
    assert_eq!(both.spec.stages[0].uses, "executor1/encoder.wasm");
}

#[test]
fn mistakes_in_other_files_are_told_where_they_are_named() {
    let check = |uses: &str, expected: &str| assert_eq!(read(&flow(uses)).unwrap_err(), expected, "{uses}");
    check(
        "plain/config.yml",
        "the executor's file plain/config.yml does not name its component (line 4): build the executor as a component and add `uses: NAME.wasm` to that file; Jina does not mind the key",
    );
    check(
        "broken/config.yml",
        "broken/config.yml, line 4: the environment variable `NOPE` is not set (line 4): set it, or give it a value under `with:` `env:`",
    );
    check(
        "nowhere.yml",
        "cannot read nowhere.yml: there is no such file (line 4): paths start at the folder of the flow file",
    );
    let torn = read(&flow("torn.yml")).unwrap_err();
    assert!(torn.starts_with("torn.yml, line"), "{torn}");
    let lost = read("jtype: Flow\nexecutors: [lost.yml]").unwrap_err();
    assert_eq!(
        lost,
        "cannot read lost.yml: there is no such file (line 2): paths start at the folder of the flow file"
    );
    let entry = read("jtype: Flow\nexecutors: [plain/config.yml]").unwrap_err();
    assert!(entry.contains("plain/config.yml is not a file with `jtype: Deployment`"), "{entry}");
}

#[test]
fn nothing_is_opened_without_a_reader() {
    let errors = FlowFile::parse(&flow("executor1/config.yml"), &|_| None).unwrap_err();
    assert!(errors.to_string().contains("which is an executor's YAML file"), "{errors}");
}
