//! What a guest was answered that differs from run to run, in order: written down in one run, handed out in another.
//!
//! Everything else that a guest sees follows from its component, its configuration and its request. So a run with the
//! journal of another one burns the same fuel and ends in the same way, on any machine. A guest that asks for something
//! else than what comes next has diverged, which ends the run: an answer to another question would prove nothing.
//! Bounded in bytes; a journal that grew over it is marked and good for nothing.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of one journal; about what its file has.
pub const MAX_JOURNAL_BYTES: usize = 16 << 20;
/// What an entry weighs besides its answer.
const ENTRY_BYTES: usize = 64;

/// One question of a guest and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// which function, such as `wall-clock.now`
    call: String,
    /// a digest of the arguments, where there are any
    #[serde(default, skip_serializing_if = "String::is_empty")]
    asked: String,
    /// what it gave
    #[serde(default, skip_serializing_if = "Value::is_null")]
    answer: Value,
    /// the words of the trap that it ended in instead
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trap: Option<String>,
}

/// The journal of one instance.
#[derive(Debug, Default)]
pub(crate) enum Journal {
    /// answers are not kept
    #[default]
    Off,
    /// answers are written down
    Recording(Pages),
    /// answers come from here
    Replaying(Reader),
}

/// What was written down.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) entries: Vec<JournalEntry>,
    pub(crate) is_truncated: bool,
    bytes: usize,
}

/// What is handed out.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    entries: std::collections::VecDeque<JournalEntry>,
    given: u64,
    /// What was asked that is not in the journal.
    pub(crate) divergence: Option<String>,
    /// Whether the guest asked for more after the last answer.
    pub(crate) has_ended: bool,
}

/// A guest asked for something that the journal does not have.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotInJournal(String);

/// Bytes as the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Blob).map_err(serde::de::Error::custom)
    }
}

impl Journal {
    pub(crate) fn record() -> Self {
        Journal::Recording(Pages::default())
    }

    pub(crate) fn replay(entries: Vec<JournalEntry>) -> Self {
        Journal::Replaying(Reader { entries: entries.into(), ..Reader::default() })
    }

    pub(crate) fn is_replay(&self) -> bool {
        matches!(self, Journal::Replaying(_))
    }

    /// The next answer where answers come from here; none where the host must find it.
    pub(crate) fn next<T: DeserializeOwned>(
        &mut self,
        call: &'static str,
        asked: &[u8],
    ) -> wasmtime::Result<Option<T>> {
        let Journal::Replaying(reader) = self else { return Ok(None) };
        let entry = reader.take(call, asked)?;
        if let Some(words) = entry.trap {
            return Err(wasmtime::Error::msg(words));
        }
        match serde_json::from_value(entry.answer) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) => Err(reader.diverge(format!("answer {} is none to {call}", reader.given))),
        }
    }

    /// Writes an answer down.
    pub(crate) fn note<T: Serialize>(&mut self, call: &'static str, asked: &[u8], answer: &T) {
        if let Journal::Recording(pages) = self {
            let answer = serde_json::to_value(answer);
            pages.is_truncated |= answer.is_err();
            pages.add(call, asked, answer.unwrap_or_default(), None);
        }
    }

    /// Writes down that there was no answer.
    pub(crate) fn note_trap(&mut self, call: &'static str, asked: &[u8], error: &wasmtime::Error) {
        if let Journal::Recording(pages) = self {
            pages.add(call, asked, Value::Null, Some(error.root_cause().to_string()));
        }
    }
}

impl Pages {
    fn add(&mut self, call: &str, asked: &[u8], answer: Value, trap: Option<String>) {
        if self.is_truncated {
            return;
        }
        self.bytes += ENTRY_BYTES + call.len() + weight(&answer) + trap.as_ref().map_or(0, String::len);
        if self.bytes > MAX_JOURNAL_BYTES {
            // What is there is of no use without the rest.
            (self.is_truncated, self.entries) = (true, Vec::new());
            return;
        }
        self.entries.push(JournalEntry { call: call.to_owned(), asked: digest(asked), answer, trap });
    }
}

impl Reader {
    fn take(&mut self, call: &str, asked: &[u8]) -> wasmtime::Result<JournalEntry> {
        let Some(entry) = self.entries.pop_front() else {
            self.has_ended = true;
            return Err(NotInJournal(format!("asked for {call} after the last recorded answer")).into());
        };
        self.given += 1;
        if entry.call != call {
            let number = self.given;
            return Err(
                self.diverge(format!("asked for {call} where answer {number} is one to {}", entry.call))
            );
        }
        if entry.asked != digest(asked) {
            let number = self.given;
            return Err(self.diverge(format!("asked {call} something else than for answer {number}")));
        }
        Ok(entry)
    }

    fn diverge(&mut self, what: String) -> wasmtime::Error {
        self.divergence.get_or_insert_with(|| what.clone());
        NotInJournal(what).into()
    }

    /// Answers that nobody asked for.
    pub(crate) fn left(&self) -> usize {
        self.entries.len()
    }
}

fn digest(asked: &[u8]) -> String {
    if asked.is_empty() {
        return String::new();
    }
    let digest = Sha256::digest(asked);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// About the bytes of a value in a file.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => 2 + text.len(),
        Value::Array(items) => 2 + items.iter().map(|item| 1 + weight(item)).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, item)| 4 + key.len() + weight(item)).sum::<usize>(),
    }
}

/// The answer of a host function: from the journal, or from `$live`, which is written down.
macro_rules! answered {
    ($store:expr, $call:expr, $asked:expr, $live:expr) => {
        match $store.data_mut().journal.next($call, $asked)? {
            Some(answer) => answer,
            None => match $live {
                Ok(answer) => {
                    $store.data_mut().journal.note($call, $asked, &answer);
                    answer
                }
                Err(error) => {
                    let error = wasmtime::Error::from(error);
                    $store.data_mut().journal.note_trap($call, $asked, &error);
                    return Err(error);
                }
            },
        }
    };
}
pub(crate) use answered;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_in_order_and_to_the_same_questions() {
        let mut journal = Journal::record();
        journal.note("a", &[], &1u64);
        journal.note("b", b"key", &Some(Blob(vec![0, 255])));
        journal.note_trap("c", &[], &wasmtime::Error::msg("too much"));
        let Journal::Recording(pages) = journal else { panic!() };
        let text = serde_json::to_string(&pages.entries).unwrap();
        let entries: Vec<JournalEntry> = serde_json::from_str(&text).unwrap();
        assert_eq!(entries, pages.entries);
        let mut journal = Journal::replay(entries.clone());
        assert_eq!(journal.next::<u64>("a", &[]).unwrap(), Some(1));
        assert_eq!(journal.next::<Option<Blob>>("b", b"key").unwrap(), Some(Some(Blob(vec![0, 255]))));
        assert_eq!(journal.next::<u64>("c", &[]).unwrap_err().to_string(), "too much");
        assert!(journal.next::<u64>("d", &[]).is_err());
        let Journal::Replaying(reader) = journal else { panic!() };
        assert!(reader.has_ended && reader.divergence.is_none());
        let diverged = |call: &'static str, asked: &[u8]| {
            let mut journal = Journal::replay(entries.clone());
            journal.next::<String>(call, asked).unwrap_err();
            let Journal::Replaying(reader) = journal else { panic!() };
            reader.divergence.unwrap()
        };
        assert_eq!(diverged("b", &[]), "asked for b where answer 1 is one to a");
        assert_eq!(diverged("a", b"x"), "asked a something else than for answer 1");
        assert_eq!(diverged("a", &[]), "answer 1 is none to a");
    }

    #[test]
    fn a_journal_has_an_end() {
        let mut journal = Journal::record();
        for _ in 0..20 {
            journal.note("bytes", &[], &Blob(vec![0; 1 << 20]));
        }
        let Journal::Recording(pages) = journal else { panic!() };
        assert!(pages.is_truncated && pages.entries.is_empty());
    }
}
