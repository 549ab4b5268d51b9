//! What is found, what is left out, and what is said when nothing is.

use super::*;

/// A folder with files, and the inputs that options make of it.
fn check(arguments: impl FnOnce(&Path) -> InputArguments, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("a.md", "# a"),
        ("b.txt", "b"),
        ("deep/c.md", "# c"),
        (".hidden/d.md", "# d"),
        (".e.md", "# e"),
        ("target/f.md", "# f"),
        ("node_modules/g.md", "# g"),
        ("lines.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let root = format!("{}/", folder.path().display());
    let seen = match collect(&arguments(folder.path())) {
        Ok(inputs) => inputs
            .iter()
            .map(|input| match input {
                Input::Text(text) => format!("text {text}"),
                Input::File { uri, .. } => format!("file {}", uri.replace(&root, "")),
                Input::Json { text, origin } => format!("json {text} ({})", origin.replace(&root, "")),
            })
            .collect(),
        Err(Failure::Reports(reports)) => vec![lines(&reports[0], &root)],
        Err(Failure::Usage(report)) => vec![lines(&report, &root)],
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(seen, expected);
}

fn lines(report: &Report, root: &str) -> String {
    let text = anstream::adapter::strip_str(&report.render()).to_string();
    text.lines().next().unwrap_or("").replace(root.trim_end_matches('/'), "DIR")
}

#[test]
fn collects_what_the_options_name() {
    check(
        |folder| InputArguments {
            text: vec!["hello".into()],
            file: vec![folder.join("b.txt")],
            ..InputArguments::default()
        },
        &["text hello", "file b.txt"],
    );
    check(
        |folder| InputArguments { dir: vec![folder.into()], ..InputArguments::default() },
        &["file a.md", "file b.txt", "file deep/c.md", "file lines.jsonl"],
    );
    check(
        |folder| InputArguments {
            dir: vec![folder.into()],
            glob: vec!["**/*.md".into()],
            ..InputArguments::default()
        },
        &["file a.md", "file deep/c.md"],
    );
    check(
        |folder| InputArguments {
            dir: vec![folder.into()],
            glob: vec!["*.md".into()],
            ..InputArguments::default()
        },
        &["file a.md"],
    );
    check(
        |folder| InputArguments { jsonl: vec![folder.join("lines.jsonl")], ..InputArguments::default() },
        &["json {\"text\": \"one\"} (lines.jsonl, line 1)", "json {\"text\": \"two\"} (lines.jsonl, line 3)"],
    );
    check(|_| InputArguments { no_documents: true, ..InputArguments::default() }, &[]);
}

#[test]
fn says_what_is_wrong() {
    check(
        |folder| InputArguments {
            dir: vec![folder.into()],
            glob: vec!["*.pdf".into()],
            ..InputArguments::default()
        },
        &["error: found no file to send in DIR"],
    );
    check(
        |folder| InputArguments {
            dir: vec![folder.into()],
            glob: vec!["a[".into()],
            ..InputArguments::default()
        },
        &["error: \"a[\" is not a pattern for --glob"],
    );
    check(
        |folder| InputArguments { jsonl: vec![folder.join("none.jsonl")], ..InputArguments::default() },
        &["error: cannot read DIR/none.jsonl"],
    );
}

#[test]
fn loads_text_and_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], expected: (Option<&str>, Option<&[u8]>, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let content = Input::File { path, uri: name.into() }.load().unwrap();
        let Content::Plain { text, blob, uri, mime_type } = content else { panic!("{content:?}") };
        assert_eq!((text.as_deref(), blob.as_deref(), mime_type.unwrap()), expected);
        assert_eq!(uri.as_deref(), Some(name));
    };
    check("a.md", b"# a", (Some("# a"), None, "text/markdown"));
    check("a.png", b"\x89PNG\0", (None, Some(b"\x89PNG\0"), "image/png"));
    check("empty", b"", (Some(""), None, "text/plain"));
}
