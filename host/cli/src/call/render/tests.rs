//! Pages as a person sees them, without colours.

use super::*;
use bytes::Bytes;
use lockgate_domain::Limits;
use lockgate_domain::document::{DocumentListBuilder, Tensor};

fn page(list: &DocumentList, is_only: bool, width: usize) -> String {
    let text = documents(list, 1, is_only, u64::MAX, width).join("\n");
    anstream::adapter::strip_str(&text).to_string()
}

fn build(fill: impl FnOnce(&mut DocumentListBuilder)) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    fill(&mut builder);
    builder.finish().unwrap()
}

#[test]
fn texts_come_first() {
    let list = build(|builder| {
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, "DLROW OLLEH").unwrap();
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, "two\nlines \u{1b}[31mred").unwrap();
        builder.set_text("uri", row, "docs/a.md").unwrap();
        builder.set_json("tags", row, r#"{"lang": "en"}"#).unwrap();
        builder.set_tensor("embedding", row, Tensor::from_f32(&[0.5; 3])).unwrap();
        builder.set_integer("pages", row, 3).unwrap();
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, "c0ffee").unwrap();
        builder.set_bytes("blob", row, Bytes::from_static(&[0; 2048])).unwrap();
    });
    insta::assert_snapshot!(page(&list, false, 80), @r#"
    1  DLROW OLLEH
    2  two
       lines [31mred
       docs/a.md
         tags {"lang": "en"}
         embedding float32[3]
         pages 3
    3  document c0ffee
         blob 2 KiB
    "#);
}

#[test]
fn matches_are_ranked_lines() {
    let list = build(|builder| {
        let query = builder.push_root().unwrap();
        builder.set_text("text", query, "how long does an instance live").unwrap();
        let mut found = Vec::new();
        for (uri, score, text) in [
            (
                "docs/pool.md",
                0.8734,
                "A warm instance lives until its pool retires it: after a number of calls, after an idle time, or when its memory has grown past a high-water mark. A trap ends it at once.",
            ),
            ("docs/design.md", 0.5, "Fresh\n\ninstances live for one call."),
        ] {
            let row = builder.push_nested().unwrap();
            builder.set_text("uri", row, uri).unwrap();
            builder.set_text("text", row, text).unwrap();
            builder.set_json("scores", row, &format!(r#"{{"cosine": {{"value": {score}}}}}"#)).unwrap();
            found.push(row);
        }
        let row = builder.push_nested().unwrap();
        builder.set_text("id", row, "x1").unwrap();
        builder.set_json("scores", row, r#"{"rrf": 0.03, "bm25": {"value": 7}}"#).unwrap();
        found.push(row);
        builder.set_links("matches", query, found, false).unwrap();
    });
    insta::assert_snapshot!(page(&list, true, 60), @r"
    how long does an instance live
      1. 0.873  docs/pool.md
         A warm instance lives until its pool retires it: after
         a number of calls, after an idle time, or when its
         memory has grown past a high-water mark. A trap ends…
      2. 0.500  docs/design.md
         Fresh instances live for one call.
      3. bm25 7.000, rrf 0.030  x1
    ");
}

#[test]
fn long_texts_show_their_beginning() {
    let list = build(|builder| {
        let row = builder.push_root().unwrap();
        let text: Vec<_> = (1..=50).map(|line| format!("line {line}")).collect();
        builder.set_text("text", row, &text.join("\n")).unwrap();
    });
    let page = page(&list, true, 60);
    assert_eq!(page.lines().count(), TEXT_LINES + 1);
    assert!(page.ends_with("line 40\n… 10 more lines"), "{page}");
}

proptest::proptest! {
    #[test]
    fn no_text_escapes(text in "\\PC{0,40}|.{0,40}", width in 20usize..100) {
        let list = build(|builder| {
            let row = builder.push_root().unwrap();
            builder.set_text("text", row, &text).unwrap();
            builder.set_text("uri", row, &text).unwrap();
        });
        for line in page(&list, true, width).lines() {
            proptest::prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            proptest::prop_assert!(measures::width(line) <= width, "{line:?}");
        }
    }
}
