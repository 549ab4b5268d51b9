//! Documents straight from JSON into columns.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use lockgate_domain::document::{BuildError, DocumentListBuilder, Kind, names};
use lockgate_domain::{DocumentList, Limits};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::{OptionalTextSeed, TextSeed, check_kept};
use super::tensor::TensorSeed;
use crate::docs::v1;
use crate::fault::{Cause, Fault, Result, Step};

/// base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Documents while they are read.
pub(super) struct Draft {
    builder: DocumentListBuilder,
    roots: usize,
    /// Blobs wait until the caller's dialect is known.
    blobs: Vec<Blob>,
    has_marks: bool,
    /// What went wrong, where serde's errors cannot say it, and the way out of there, innermost first.
    fault: Option<Fault>,
    path: Vec<Step>,
}

struct Blob {
    row: u32,
    root: usize,
    text: String,
}

impl Draft {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            builder: DocumentListBuilder::new(*limits),
            roots: 0,
            blobs: Vec::new(),
            has_marks: false,
            fault: None,
            path: Vec::new(),
        }
    }

    /// Whether a document had the fields that only v1 clients send.
    pub(super) fn has_marks(&self) -> bool {
        self.has_marks
    }

    /// The documents; `plain` blobs are texts, others base64.
    pub(super) fn finish(mut self, plain: bool) -> Result<DocumentList> {
        for blob in self.blobs {
            let bytes = if plain { Ok(blob.text.into_bytes()) } else { BASE64.decode(&blob.text) };
            let bytes = bytes.map_err(|error| {
                let message = format!("the blob is not base64: {error}");
                Fault::new(message).in_field(names::BLOB).at_index(blob.root).in_field("data")
            })?;
            self.builder.set_bytes(names::BLOB, blob.row, Bytes::from(bytes))?;
        }
        Ok(self.builder.finish()?)
    }

    /// The fault behind an error of serde, with its path.
    pub(super) fn explain(&mut self, error: &serde_json::Error) -> Fault {
        let is_json = error.is_data() || error.to_string().starts_with("recursion limit");
        let words = if is_json { error.to_string() } else { format!("this is not JSON: {error}") };
        let fault = self.fault.take().unwrap_or_else(|| Fault::new(words));
        self.path.drain(..).fold(fault, Fault::under)
    }

    /// Keeps a fault while serde unwinds.
    pub(super) fn raise<E: Error>(&mut self, fault: impl Into<Fault>) -> E {
        self.fault = Some(fault.into());
        E::custom("refused")
    }

    /// Adds a step to the path of an error that passes by.
    pub(super) fn leave<T, E>(&mut self, result: Result<T, E>, step: impl FnOnce() -> Step) -> Result<T, E> {
        if result.is_err() {
            self.path.push(step());
        }
        result
    }

    fn built<T, E: Error>(&mut self, result: Result<T, BuildError>) -> Result<T, E> {
        result.map_err(|error| self.raise(error))
    }

    fn push(&mut self, depth: u32) -> Result<u32, BuildError> {
        if depth > 0 {
            return self.builder.push_nested();
        }
        self.roots += 1;
        self.builder.push_root()
    }
}

/// The value of `data`: a list of documents, an object around one, one document, or null.
pub(super) struct DataSeed<'d>(pub(super) &'d mut Draft);

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of documents, one document, or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        ListSeed { draft: self.0, depth: 0 }.visit_seq(seq).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let first = map.next_key_seed(TextSeed)?;
        if first.as_deref() == Some("docs") {
            let documents = map.next_value_seed(ListSeed { draft: self.0, depth: 0 }).map(drop);
            self.0.leave(documents, || Step::Field("docs".to_owned()))?;
            while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let pushed = self.0.push(0);
        let row = self.0.built(pushed)?;
        DocumentSeed { draft: self.0, row, depth: 0 }.fields(first, map)
    }
}

/// A list of documents; gives their rows.
struct ListSeed<'d> {
    draft: &'d mut Draft,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Option<Vec<u32>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Option<Vec<u32>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of documents or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { draft, depth } = self;
        if depth > Limits::NESTING {
            return Err(draft.raise(Cause::TooDeep));
        }
        let mut rows = Vec::new();
        loop {
            let element = seq.next_element_seed(ElementSeed { draft: &mut *draft, depth });
            match draft.leave(element, || Step::Index(rows.len()))? {
                Some(row) => rows.push(row),
                None => return Ok(Some(rows)),
            }
        }
    }
}

/// One document of a list; gives its row.
pub(super) struct ElementSeed<'d> {
    pub(super) draft: &'d mut Draft,
    pub(super) depth: u32,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document, that is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let pushed = self.draft.push(self.depth);
        let row = self.draft.built(pushed)?;
        let first = map.next_key_seed(TextSeed)?;
        DocumentSeed { draft: self.draft, row, depth: self.depth }.fields(first, map)?;
        Ok(row)
    }
}

/// The fields of one document.
struct DocumentSeed<'d> {
    draft: &'d mut Draft,
    row: u32,
    depth: u32,
}

impl DocumentSeed<'_> {
    fn fields<'de, A: MapAccess<'de>>(
        mut self,
        first: Option<Cow<'de, str>>,
        mut map: A,
    ) -> Result<(), A::Error> {
        let mut marks = 0;
        let mut next = first;
        while let Some(name) = next {
            let value = self.field(&name, &mut map);
            self.draft.leave(value, || Step::Field(name.clone().into_owned()))?;
            marks += usize::from(v1::MARKS.contains(&&*name));
            next = map.next_key_seed(TextSeed)?;
        }
        self.draft.has_marks |= marks >= v1::MARKS.len();
        Ok(())
    }

    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let row = self.row;
        let built = match names::well_known_kind(name) {
            Some(Kind::Text) => match map.next_value_seed(OptionalTextSeed)? {
                Some(text) => self.draft.builder.set_text(name, row, &text),
                None => self.draft.builder.declare(name),
            },
            Some(Kind::Tensor) => match map.next_value_seed(TensorSeed)? {
                Some(Ok(tensor)) => self.draft.builder.set_tensor(name, row, tensor),
                Some(Err(fault)) => return Err(self.draft.raise(fault)),
                None => self.draft.builder.declare(name),
            },
            Some(Kind::Link) => {
                let seed = ListSeed { draft: &mut *self.draft, depth: self.depth + 1 };
                match map.next_value_seed(seed)? {
                    Some(rows) => self.draft.builder.set_links(name, row, rows, false),
                    None => self.draft.builder.declare(name),
                }
            }
            Some(Kind::Bytes) => match map.next_value_seed(OptionalTextSeed)? {
                Some(text) => {
                    let root = self.draft.roots.saturating_sub(1);
                    self.draft.blobs.push(Blob { row, root, text: text.into_owned() });
                    Ok(())
                }
                None => self.draft.builder.declare(name),
            },
            Some(Kind::Json) => {
                let json = map.next_value::<&'de RawValue>()?.get();
                if json == "null" { self.draft.builder.declare(name) } else { return self.json(name, json) }
            }
            Some(Kind::Integer | Kind::Number | Kind::Boolean) | None => {
                let json = map.next_value::<&'de RawValue>()?.get();
                return self.free(name, json);
            }
        };
        self.draft.built(built)
    }

    /// A field of the caller's own schema.
    fn free<E: Error>(&mut self, name: &str, json: &str) -> Result<(), E> {
        let row = self.row;
        let builder = &mut self.draft.builder;
        let built = match json.as_bytes() {
            [b'{' | b'[', ..] => return self.json(name, json),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                builder.set_text(name, row, json.get(1..json.len() - 1).unwrap_or(""))
            }
            [b'"', ..] => match serde_json::from_str::<String>(json) {
                Ok(text) => builder.set_text(name, row, &text),
                Err(error) => return Err(self.draft.raise(Fault::new(error.to_string()))),
            },
            [b'n', ..] => builder.declare(name),
            [b't', ..] => builder.set_boolean(name, row, true),
            [b'f', ..] => builder.set_boolean(name, row, false),
            _ => match (json.parse::<i64>(), serde_json::from_str::<f64>(json)) {
                (Ok(integer), _) => builder.set_integer(name, row, integer),
                (Err(_), Ok(number)) => builder.set_number(name, row, number),
                (Err(_), Err(error)) => return Err(self.draft.raise(Fault::new(error.to_string()))),
            },
        };
        self.draft.built(built)
    }

    fn json<E: Error>(&mut self, name: &str, json: &str) -> Result<(), E> {
        check_kept(json).map_err(|fault| self.draft.raise(fault))?;
        let built = self.draft.builder.set_json(name, self.row, json);
        self.draft.built(built)
    }
}
