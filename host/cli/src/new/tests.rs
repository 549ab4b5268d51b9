//! What is unpacked, and what it is called.

use super::*;

#[test]
fn words_follow_from_the_name() {
    let check = |name: &str, expected: Option<(&str, &str, &str)>| {
        let words = Words::of(name);
        let words = words.as_ref().map(|w| (w.type_name.as_str(), w.method.as_str(), w.endpoint.as_str()));
        assert_eq!(words, expected, "{name}");
    };
    check("shout", Some(("Shout", "shout", "shout")));
    check("word-count", Some(("WordCount", "word_count", "word-count")));
    check("My_Index2", Some(("MyIndex2", "my_index2", "my-index2")));
    check("new", Some(("New", "new_texts", "new-texts")));
    check("documents", Some(("DocumentsTexts", "documents", "documents")));
    check("2fast", None);
    check("-x", None);
    check("_", None);
}

#[test]
fn the_sdk_stands_alone() {
    for manifest in [SDK_MANIFEST, SDK_MACROS_MANIFEST] {
        let alone = manifest::standalone(manifest, WORKSPACE_MANIFEST);
        assert!(!alone.contains("workspace"), "{alone}");
        assert!(!alone.contains("[lints]"), "{alone}");
    }
    let alone = manifest::standalone(SDK_MANIFEST, WORKSPACE_MANIFEST);
    for expected in [
        "edition = \"2024\"",
        "rust-version = \"",
        "lockgate-sdk-macros = { path = \"macros\" }",
        "\nserde = { version = \"",
        "\nwit-bindgen = { version = \"",
        "publish = false",
    ] {
        assert!(alone.contains(expected), "{expected}: {alone}");
    }
}

#[test]
fn everything_is_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    let words = Words::of("word-count").unwrap();
    unpack(&words, folder.path()).unwrap();
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    for (path, text) in [
        ("Cargo.toml", "name = \"word-count\""),
        ("src/lib.rs", "pub struct WordCount"),
        ("src/lib.rs", "fn word_count("),
        ("examples.json", "\"/word-count\""),
        ("README.md", "lockgate publish . --executor word-count"),
        ("flow.yml", "name: word-count"),
        (".lockgate/sdk/src/host/simulated.rs", "//!"),
        (".lockgate/sdk/macros/src/lib.rs", "//!"),
        (".lockgate/sdk/wit/executor.wit", "package lockgate:executor"),
    ] {
        assert!(read(path).contains(text), "{path} lacks {text}");
    }
    let placeholders = ["{name}", "{type}", "{method}", "{endpoint}"];
    for (path, _) in TEMPLATE {
        let text = read(path);
        assert!(placeholders.iter().all(|word| !text.contains(word)), "{path}: {text}");
    }
    let examples: Vec<lockgate_domain::hosting::GoldenExample> =
        serde_json::from_str(&read("examples.json")).unwrap();
    assert_eq!(examples.len(), 1);
    // What is there is never overwritten.
    assert_eq!(unpack(&words, folder.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn comments_behind_commands_are_aligned() {
    let check = |path: &str, text: &str, expected: &str| {
        assert_eq!(align_comments(Path::new(path), text.to_owned()), expected);
    };
    let text = "a  # b\n```sh\nls  # list\ncargo test     # all\nlong command\n```\n";
    check("README.md", text, "a  # b\n```sh\nls          # list\ncargo test  # all\nlong command\n```\n");
    check("Cargo.toml", text, text);
}

#[test]
fn a_project_is_unpacked_around_its_executor() {
    for (project, file, kind) in [
        (Project::Flow, "flow.yml", "jtype: Flow"),
        (Project::Deployment, "deployment.yml", "jtype: Deployment"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        unpack_project(project, "hello", folder.path()).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        for (path, text) in [
            (file, kind),
            (file, "name: hello"),
            ("client.py", "\"/executor1\""),
            ("README.md", &format!("lockgate up {file} --watch")),
            ("executor1/src/lib.rs", "fn executor1("),
            ("executor1/.lockgate/sdk/Cargo.toml", "[package]"),
        ] {
            assert!(read(path).contains(text), "{path} lacks {text}");
        }
        let spec = lockgate_flow::yaml::FlowFile::parse(&read(file), &|_| None).unwrap().spec;
        assert_eq!((spec.name.as_str(), spec.stages[0].uses.as_str()), ("hello", "./executor1"));
    }
}
