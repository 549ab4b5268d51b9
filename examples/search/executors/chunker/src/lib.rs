//! The chunker: `/index` replaces each document by passages that can be found and shown.
//!
//! A passage has the id `<uri>#<part>`, so that indexing a file again replaces what it gave before, and tags that say
//! under which headings and on which line it stands. Other endpoints, and so queries, pass by untouched. Documents
//! without text are left out with a warning. Bounded by the host's limits on documents and memory.

mod markdown;
mod passages;
mod sentences;

use example_search_library::Received;
use lockgate_sdk::prelude::*;
use lockgate_sdk::serde_json::{Map, Value};

use crate::passages::{Lengths, Passage, passages};

/// The configuration (`uses_with`).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    max_words: usize,
    overlap_words: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_words: 180, overlap_words: 30 }
    }
}

/// Splits documents into passages.
#[derive(Debug)]
pub struct Chunker {
    lengths: Lengths,
}

/// One passage as a document.
#[derive(Debug, Document)]
struct Part {
    id: String,
    text: String,
    uri: Option<String>,
    mime_type: Option<String>,
    tags: Json<Map<String, Value>>,
}

/// Splits Markdown and plain text into passages of about a paragraph, along headings and sentences; code blocks
/// stay whole.
#[executor(name = "chunker")]
impl Chunker {
    #[init]
    fn new(options: Options) -> Result<Self> {
        let Options { max_words, overlap_words } = options;
        ensure!(
            (20..=2_000).contains(&max_words),
            InvalidArgument,
            "max_words is {max_words}, it must be 20 to 2000"
        );
        let most = max_words / 2;
        ensure!(
            overlap_words <= most,
            InvalidArgument,
            "overlap_words is {overlap_words}, it must be at most {most}"
        );
        Ok(Self { lengths: Lengths { max_words, overlap_words } })
    }

    /// Replaces the documents by their passages.
    #[endpoint("/index", reads("mime_type"))]
    fn index(&mut self, documents: &mut Documents, received: Vec<Received>, request: &Request) -> Result<()> {
        let mime_types = documents.column("mime_type").texts()?;
        let mut parts = Vec::with_capacity(received.len());
        for (row, document) in received.into_iter().enumerate() {
            request.check()?;
            let mime_type = mime_types.get(row);
            let Some(text) = document.text.as_deref() else {
                warn!("the document {:?} has no text and is left out", document.id);
                continue;
            };
            let found = passages(&blocks(text, document.uri.as_deref(), mime_type), self.lengths);
            split(&document, mime_type, found, &mut parts);
        }
        let rows = documents.append_all(parts)?;
        documents.select(rows)
    }
}

fn blocks<'a>(text: &'a str, uri: Option<&str>, mime_type: Option<&str>) -> Vec<markdown::Block<'a>> {
    let extension =
        uri.and_then(|uri| uri.rsplit_once('.')).map(|(_, extension)| extension.to_ascii_lowercase());
    let by_name = matches!(extension.as_deref(), Some("md" | "markdown" | "mdx"));
    let by_type = mime_type.is_some_and(|mime_type| mime_type.starts_with("text/markdown"));
    if by_name || by_type { markdown::markdown(text) } else { markdown::paragraphs(text) }
}

fn split(document: &Received, mime_type: Option<&str>, found: Vec<Passage>, parts: &mut Vec<Part>) {
    let name = document.uri.as_deref().filter(|uri| !uri.is_empty()).unwrap_or(&document.id);
    let count = found.len();
    for (part, passage) in (1_usize..).zip(found) {
        let mut tags = document.tags.as_ref().map(|tags| tags.0.clone()).unwrap_or_default();
        if !passage.heading.is_empty() {
            tags.insert("heading".into(), passage.heading.into());
        }
        tags.insert("line".into(), passage.line.into());
        tags.insert("part".into(), part.into());
        tags.insert("parts".into(), count.into());
        parts.push(Part {
            id: format!("{name}#{part}"),
            text: passage.text,
            uri: document.uri.clone(),
            mime_type: mime_type.map(Into::into),
            tags: Json(tags),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_its_passages() {
        let text = "# Tea\n\nBoil the water.\n\n## Green\n\nNot quite boiling.";
        let reply = TestHost::new()
            .call::<Chunker>(
                "/index",
                documents![
                    { "text": text, "uri": "tea.md", "tags": { "owner": "me" } },
                    { "id": "x", "text": "# plain" },
                    { "id": "nothing" },
                ],
            )
            .unwrap();
        assert_eq!(
            reply.documents(),
            [
                json!({ "id": "tea.md#1", "text": "Boil the water.", "uri": "tea.md",
                "tags": { "heading": "Tea", "line": 3, "owner": "me", "part": 1, "parts": 2 } }),
                json!({ "id": "tea.md#2", "text": "Not quite boiling.", "uri": "tea.md",
                "tags": { "heading": "Tea > Green", "line": 7, "owner": "me", "part": 2, "parts": 2 } }),
                json!({ "id": "x#1", "text": "# plain", "tags": { "line": 1, "part": 1, "parts": 1 } }),
            ]
        );
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        fn check(configuration: Value, expected: &str) {
            let error =
                TestHost::new().config(configuration).call::<Chunker>("/index", documents![]).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        }
        check(json!({ "max_words": 3 }), "max_words is 3, it must be 20 to 2000");
        check(json!({ "overlap_words": 100 }), "overlap_words is 100, it must be at most 90");
        check(json!({ "max_word": 100 }), "unknown field `max_word`");
    }
}
