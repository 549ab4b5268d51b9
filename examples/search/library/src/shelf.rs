//! The shelf: what was indexed, by id, within a bound; and the documents that go in and come out of it.
//!
//! A part of a longer document has the id `<document>#<part>`, and tags that say how many `parts` there are: indexing
//! a document again replaces its parts and drops those that are gone. Slots are numbers that stay while their entry
//! does, for an executor's own tables; a slot that became free is used again. A full shelf refuses the whole request.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_sdk::serde_json::{Map, Value, json};
use lockgate_sdk::{Document, Documents, Error, Json, Result};
use serde::{Deserialize, Serialize};

use crate::snippet::query_stems;
use crate::{plain, snippet};

/// What stands between the headings above a passage in its tag `heading`.
pub const HEADINGS_JOINED_BY: &str = " > ";
/// Bytes that an entry costs beside its text, its name and its tags.
const ENTRY_BYTES: usize = 256;

/// How much a shelf holds; part of the configuration of the executors that have one.
#[derive(Debug, Clone, Copy)]
pub struct ShelfOptions {
    /// Most documents.
    pub max_documents: usize,
    /// Most bytes of memory, as counted by the shelf.
    pub max_bytes: usize,
    /// Longest text of a match in bytes, 0 for the whole text.
    pub snippet_bytes: usize,
}

impl Default for ShelfOptions {
    fn default() -> Self {
        Self { max_documents: 50_000, max_bytes: 128 << 20, snippet_bytes: 280 }
    }
}

/// A document as the executors of this example receive it.
#[derive(Debug, Clone, Document)]
pub struct Received {
    /// The document's id.
    pub id: String,
    /// What is indexed, or asked.
    pub text: Option<String>,
    /// Where it comes from.
    pub uri: Option<String>,
    /// Anything the caller keeps with it.
    pub tags: Option<Json<Map<String, Value>>>,
}

impl Received {
    /// What is counted, and how often: the text once, the heading above it twice, the headings above that half.
    #[must_use]
    pub fn counted(&self) -> Vec<(String, f32)> {
        let mut counted = vec![(plain(self.text.as_deref().unwrap_or_default()), 1.0)];
        let heading = self
            .tags
            .as_ref()
            .and_then(|tags| tags.get("heading"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        for (above, heading) in heading.rsplit(HEADINGS_JOINED_BY).enumerate() {
            counted.push((heading.to_owned(), if above == 0 { 2.0 } else { 0.5 }));
        }
        counted
    }
}

/// One document on the shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The document's id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Where it comes from.
    pub uri: Option<String>,
    /// Anything the caller keeps with it.
    pub tags: Map<String, Value>,
}

impl From<Received> for Entry {
    fn from(received: Received) -> Self {
        let tags = received.tags.map(|tags| tags.0).unwrap_or_default();
        Self { id: received.id, text: received.text.unwrap_or_default(), uri: received.uri, tags }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
        let uri = self.uri.as_ref().map_or(0, String::len);
        [self.id.len() * 2, self.text.len(), uri, tags]
            .iter()
            .fold(ENTRY_BYTES, |sum, part| sum.saturating_add(*part))
    }
}

/// A score as DocArray writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The higher, the better.
    pub value: f64,
}

/// One found document.
#[derive(Debug, Clone, PartialEq, Document)]
pub struct Match {
    /// The id it was indexed under.
    pub id: String,
    /// The part of its text that answers the query.
    #[document(default)]
    pub text: String,
    /// Where it comes from.
    pub uri: Option<String>,
    /// What was kept with it.
    #[document(default)]
    pub tags: Json<Map<String, Value>>,
    /// By the name of what scored.
    #[document(default)]
    pub scores: Json<BTreeMap<String, Score>>,
}

/// What a search writes: the matches of one query, best first.
#[derive(Debug, Clone, PartialEq, Document)]
pub struct Answer {
    /// Best first.
    pub matches: Vec<Match>,
}

/// Entries by id and by slot.
#[derive(Debug, Default)]
pub struct Shelf {
    options: ShelfOptions,
    /// Bytes of the executor's own tables for one document.
    extra: usize,
    slots: BTreeMap<String, usize>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    bytes: usize,
}

impl Shelf {
    /// An empty shelf.
    ///
    /// # Errors
    /// `invalid_argument` for a limit of 0.
    pub fn new(options: ShelfOptions) -> Result<Self> {
        if options.max_documents == 0 || options.max_bytes == 0 {
            return Err(Error::invalid_argument("max_documents and max_bytes must be at least 1"));
        }
        Ok(Self { options, ..Self::default() })
    }

    /// Counts this many bytes more for every document from now on.
    pub const fn set_extra(&mut self, bytes: usize) {
        self.extra = bytes;
    }

    /// Number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of memory, as counted.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry of a slot, if it is in use.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&Entry> {
        self.entries.get(slot)?.as_ref()
    }

    /// Whether all of these fit, those that they replace counted out.
    ///
    /// # Errors
    /// `resource_exhausted`, which says what is full and what to do.
    pub fn make_room(&self, entries: &[Entry]) -> Result<()> {
        let mut latest = BTreeMap::new();
        for entry in entries {
            latest.insert(entry.id.as_str(), entry);
        }
        let replaced: Vec<&Entry> = latest.keys().filter_map(|id| self.get(*self.slots.get(*id)?)).collect();
        let documents = self.len() + latest.len() - replaced.len();
        let freed: usize = replaced.iter().map(|entry| self.cost(entry)).sum();
        let bytes =
            latest.values().map(|entry| self.cost(entry)).fold(self.bytes - freed, usize::saturating_add);
        let ShelfOptions { max_documents, max_bytes, .. } = self.options;
        let advice = "nothing of this request was indexed: delete documents, or raise the limit in uses_with";
        if documents > max_documents {
            let message = format!("{documents} documents would pass max_documents {max_documents}; {advice}");
            return Err(Error::resource_exhausted(message));
        }
        if bytes > max_bytes {
            let message = format!("{bytes} bytes of documents would pass max_bytes {max_bytes}; {advice}");
            return Err(Error::resource_exhausted(message));
        }
        Ok(())
    }

    /// Puts a document on the shelf; take away first what it replaces (see [`replaced_by`](Self::replaced_by)).
    pub fn put(&mut self, entry: Entry) -> usize {
        self.bytes = self.bytes.saturating_add(self.cost(&entry));
        let slot = self.free.pop().unwrap_or(self.entries.len());
        self.slots.insert(entry.id.clone(), slot);
        match self.entries.get_mut(slot) {
            Some(place) => *place = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        slot
    }

    /// Takes a document away; the slot that it had.
    pub fn take(&mut self, id: &str) -> Option<usize> {
        let slot = self.slots.remove(id)?;
        let entry = self.entries.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.bytes = self.bytes.saturating_sub(self.cost(&entry));
        Some(slot)
    }

    /// The ids that a document takes the place of: its own, and if it is the last part of a longer document, those of
    /// parts beyond it.
    #[must_use]
    pub fn replaced_by(&self, entry: &Entry) -> Vec<String> {
        let mut ids: Vec<String> =
            self.slots.contains_key(&entry.id).then(|| entry.id.clone()).into_iter().collect();
        let last = entry.tags.get("parts").and_then(Value::as_u64);
        if let (Some(last), Some((document, part))) = (last, entry.id.rsplit_once('#'))
            && part.parse() == Ok(last)
        {
            ids.extend(self.parts(document).filter(|(_, part)| *part > last).map(|(id, _)| id.to_owned()));
        }
        ids
    }

    /// What a request to delete means: documents by id, and all parts of documents by id or uri.
    #[must_use]
    pub fn named_by(&self, received: &Received) -> Vec<String> {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        ids.extend(self.slots.get_key_value(&received.id).map(|(id, _)| id.as_str()));
        for document in [Some(&received.id), received.uri.as_ref()].into_iter().flatten() {
            ids.extend(self.parts(document).map(|(id, _)| id));
        }
        ids.into_iter().map(str::to_owned).collect()
    }

    /// The matches of one query from slots and their scores, best first.
    #[must_use]
    pub fn answer(&self, query: &str, score: &str, hits: &[(usize, f64)]) -> Answer {
        let stems = query_stems(query);
        let found = |(slot, value): &(usize, f64)| {
            let entry = self.get(*slot)?;
            Some(Match {
                id: entry.id.clone(),
                text: snippet(&entry.text, &stems, self.options.snippet_bytes),
                uri: entry.uri.clone(),
                tags: Json(entry.tags.clone()),
                scores: Json(BTreeMap::from([(score.to_owned(), Score { value: rounded(*value) })])),
            })
        };
        Answer { matches: hits.iter().filter_map(found).collect() }
    }

    /// The parts of a document that are on the shelf, with their numbers.
    fn parts(&self, document: &str) -> impl Iterator<Item = (&str, u64)> {
        let prefix = format!("{document}#");
        let from = self.slots.range(prefix.clone()..);
        from.map_while(move |(id, _)| Some((id.as_str(), id.strip_prefix(prefix.as_str())?)))
            .filter_map(|(id, part)| Some((id, part.parse().ok()?)))
    }

    fn cost(&self, entry: &Entry) -> usize {
        entry.bytes().saturating_add(self.extra)
    }
}

/// Says in the tags of each document of the request how many documents it deleted.
///
/// # Errors
/// Those of the host.
pub fn deletion(documents: &mut Documents, name: &str, counts: &[usize]) -> Result<()> {
    documents.set_tags(counts.iter().map(|count| json!({ name: { "deleted": count } })))
}

/// Writes one document that says how full the shelf is, under the executor's name in its tags.
///
/// # Errors
/// Those of the host.
pub fn status(documents: &mut Documents, name: &str, shelf: &Shelf, more: Value) -> Result<()> {
    let row = if documents.is_empty() { documents.append(1)? } else { 0..1 };
    let mut state = json!({
        "documents": shelf.len(),
        "bytes": shelf.bytes(),
        "max_documents": shelf.options.max_documents,
        "max_bytes": shelf.options.max_bytes,
    });
    if let (Some(state), Value::Object(more)) = (state.as_object_mut(), more) {
        state.extend(more);
    }
    documents.column("tags").rows(row.clone())?.set_json([json!({ name: state })])?;
    documents.select(row)
}

/// The best of these by score, the best first; of equals the one with the lower slot.
#[must_use]
pub fn best(mut hits: Vec<(usize, f64)>, limit: usize) -> Vec<(usize, f64)> {
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if hits.len() > limit {
        hits.select_nth_unstable_by(limit, order);
        hits.truncate(limit);
    }
    hits.sort_unstable_by(order);
    hits
}

/// How many matches a search asks for: 5 if it does not say. Callers over gRPC know no integers, so 3.0 is 3.
///
/// # Errors
/// `invalid_argument` for anything but a whole number from 1 to 1000.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
pub fn limit(asked: Option<f64>) -> Result<usize> {
    match asked {
        None => Ok(5),
        Some(limit) if (1.0..=1_000.0).contains(&limit) && limit.fract() == 0.0 => Ok(limit as usize),
        Some(limit) => Err(Error::invalid_argument(format!(
            "limit is {limit}, it must be a whole number from 1 to 1000"
        ))),
    }
}

/// A score with four digits, which is what a person compares.
#[must_use]
pub fn rounded(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, parts: Option<u64>) -> Entry {
        let tags =
            parts.map(|parts| Map::from_iter([("parts".to_owned(), json!(parts))])).unwrap_or_default();
        Entry { id: id.into(), text: "some text".into(), uri: None, tags }
    }

    fn shelf(max_documents: usize, ids: &[&str]) -> Shelf {
        let mut shelf = Shelf::new(ShelfOptions { max_documents, ..ShelfOptions::default() }).unwrap();
        for id in ids {
            shelf.put(entry(id, None));
        }
        shelf
    }

    #[test]
    fn a_document_replaces_itself_and_its_lost_parts() {
        let shelf = shelf(9, &["a#1", "a#2", "a#3", "a#10", "a#x", "ab#3", "b"]);
        assert_eq!(shelf.replaced_by(&entry("a#2", Some(2))), ["a#2", "a#10", "a#3"]);
        assert_eq!(shelf.replaced_by(&entry("a#1", Some(2))), ["a#1"]);
        assert_eq!(shelf.replaced_by(&entry("b", None)), ["b"]);
        assert_eq!(shelf.replaced_by(&entry("c#1", Some(1))), [""; 0]);
    }

    #[test]
    fn deleting_by_id_by_document_and_by_uri() {
        let shelf = shelf(9, &["a#1", "a#2", "b"]);
        let named = |id: &str, uri: Option<&str>| {
            shelf.named_by(&Received { id: id.into(), text: None, uri: uri.map(Into::into), tags: None })
        };
        assert_eq!(named("a#2", None), ["a#2"]);
        assert_eq!(named("a", None), ["a#1", "a#2"]);
        assert_eq!(named("b", Some("a")), ["a#1", "a#2", "b"]);
        assert_eq!(named("c", None), [""; 0]);
    }

    #[test]
    fn a_full_shelf_says_so_and_replacing_needs_no_room() {
        let mut shelf = shelf(2, &["a", "b"]);
        let full = shelf.make_room(&[entry("a", None), entry("c", None)]).unwrap_err();
        assert!(full.message().starts_with("3 documents would pass max_documents 2; nothing"), "{full}");
        assert!(shelf.make_room(&[entry("a", None), entry("b", None)]).is_ok());
        let before = shelf.bytes();
        let slot = shelf.take("a").unwrap();
        assert!(shelf.make_room(&[entry("c", None)]).is_ok());
        assert_eq!(shelf.put(entry("c", None)), slot);
        assert_eq!(shelf.bytes(), before);
        assert!(shelf.take("nobody").is_none());
    }

    #[test]
    fn limits_are_whole_numbers() {
        for (asked, expected) in [(None, Some(5)), (Some(3.0), Some(3)), (Some(1000.0), Some(1000))] {
            assert_eq!(limit(asked).ok(), expected);
        }
        for wrong in [0.0, -1.0, 2.5, 1001.0, f64::NAN, f64::INFINITY] {
            assert!(limit(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_best_come_first() {
        let hits = vec![(0, 0.1), (1, 0.5), (2, 0.3), (3, 0.5)];
        assert_eq!(best(hits.clone(), 3), [(1, 0.5), (3, 0.5), (2, 0.3)]);
        assert_eq!(best(hits.clone(), 9).len(), 4);
        assert_eq!(best(hits, 0), []);
    }

    #[test]
    fn bytes_are_a_limit_too() {
        let shelf = Shelf::new(ShelfOptions { max_bytes: 300, ..ShelfOptions::default() }).unwrap();
        let full = shelf.make_room(&[entry("a", None), entry("b", None)]).unwrap_err();
        assert!(full.message().contains("would pass max_bytes 300"), "{full}");
    }
}
