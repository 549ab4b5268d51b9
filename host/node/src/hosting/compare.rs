//! Whether two answers are the same, document by document: what a shadow is judged by.
//!
//! A pure function of two answers. Documents are paired by their places, nested ones as well; texts and all other fields
//! must be equal, tags equal as JSON, embeddings within a cosine distance, and what is given beside documents equal. Two ids that both look freshly made (32
//! hexadecimal digits, as DocArray makes them) count as equal, because a guest makes another one for each new document.
//! The work is bounded by the larger list, the words by [`MOST_SAMPLES`].

use half::{bf16, f16};
use lockgate_domain::document::{DType, Tensor, Values, names};
use lockgate_domain::{DocumentList, Limits};
use lockgate_flow::client::{ExecutorReply, GivenResults};

/// Differences that are told in words.
pub(crate) const MOST_SAMPLES: usize = 4;
/// Characters of a value in a sample.
const SAMPLE_CHARACTERS: usize = 60;

/// What differs between two answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Comparison {
    /// Documents compared, nested ones included.
    pub(crate) documents: u64,
    /// Documents whose text differs.
    pub(crate) texts: u64,
    /// Documents whose tags differ.
    pub(crate) tags: u64,
    /// Documents of which another field differs, or which only one of the answers has; and one more for results.
    pub(crate) others: u64,
    /// Largest cosine distance of two embeddings.
    pub(crate) embedding_distance: f64,
    /// Whether anything differs beyond what was accepted.
    pub(crate) differs: bool,
    /// The first differences in words.
    pub(crate) samples: Vec<String>,
}

/// Compares what callers got with what they would have got. Embeddings may be as far apart as `embedding_distance`.
pub(crate) fn compare(
    primary: &ExecutorReply,
    shadow: &ExecutorReply,
    embedding_distance: f64,
) -> Comparison {
    let mut found = documents(&primary.documents, &shadow.documents, embedding_distance);
    if primary.results != shadow.results {
        found.others += 1;
        found.differs = true;
        if found.samples.len() < MOST_SAMPLES {
            let (ours, theirs) = (show(&primary.results), show(&shadow.results));
            found.samples.push(format!("results: {ours}, the shadow gives {theirs}"));
        }
    }
    found
}

fn show(results: &GivenResults) -> String {
    let object = match results {
        GivenResults::Nothing => None,
        GivenResults::Own(results) => Some(results.object()),
        GivenResults::Named(results) => results.object(),
    };
    let Some(object) = object else { return "nothing".into() };
    // What does not fit is not written at all.
    let mut bytes = [0; 4 * SAMPLE_CHARACTERS + 4];
    let mut room = &mut bytes[..];
    serde_json::to_writer(&mut room, object).ok();
    let left = room.len();
    shorten(&String::from_utf8_lossy(bytes.get(..bytes.len() - left).unwrap_or_default()))
}

fn documents(primary: &DocumentList, shadow: &DocumentList, embedding_distance: f64) -> Comparison {
    let mut walk = Walk {
        lists: [primary, shadow],
        fields: fields(primary, shadow),
        embedding_distance,
        path: Vec::new(),
        found: Comparison::default(),
        most_documents: u64::from(primary.total().max(shadow.total())),
    };
    walk.lengths("documents", primary.len(), shadow.len());
    for row in 0..primary.len().min(shadow.len()) {
        walk.path.push(("data", row));
        walk.pair(row, row);
        walk.path.pop();
    }
    walk.found
}

/// A column that at least one list has, as both have it.
struct Field<'a> {
    name: &'a str,
    values: [Option<&'a Values>; 2],
}

fn fields<'a>(primary: &'a DocumentList, shadow: &'a DocumentList) -> Vec<Field<'a>> {
    let values = |list: &'a DocumentList, name: &str| list.column(name).map(|column| column.values());
    let own = primary.columns().iter().map(|column| column.name());
    let more =
        shadow.columns().iter().map(|column| column.name()).filter(|name| primary.column(name).is_none());
    own.chain(more)
        .map(|name| Field { name, values: [values(primary, name), values(shadow, name)] })
        .collect()
}

struct Walk<'a> {
    lists: [&'a DocumentList; 2],
    fields: Vec<Field<'a>>,
    embedding_distance: f64,
    path: Vec<(&'a str, u32)>,
    found: Comparison,
    /// A nested document can be linked more than once; each is looked at about once.
    most_documents: u64,
}

impl<'a> Walk<'a> {
    fn pair(&mut self, a: u32, b: u32) {
        if self.found.documents >= self.most_documents {
            return;
        }
        self.found.documents += 1;
        let (mut text, mut tags, mut other) = (false, false, false);
        for place in 0..self.fields.len() {
            let Some(field) = self.fields.get(place) else { break };
            let (name, values) = (field.name, field.values);
            if is_link(values) {
                self.nested(name, a, b);
            } else if let Some(words) = self.field(name, values, a, b) {
                match name {
                    names::TEXT => text = true,
                    names::TAGS => tags = true,
                    // Told by its distance.
                    names::EMBEDDING if words.is_distance => {}
                    _ => other = true,
                }
                self.tell(name, &words.text);
            }
        }
        self.found.texts += u64::from(text);
        self.found.tags += u64::from(tags);
        self.found.others += u64::from(other);
    }

    fn nested(&mut self, name: &'a str, a: u32, b: u32) {
        let [primary, shadow] = self.lists;
        let (ours, theirs) = (primary.links(name, a), shadow.links(name, b));
        let length = |rows: &[u32]| u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.lengths(name, length(ours), length(theirs));
        if self.path.len() > Limits::NESTING as usize {
            return;
        }
        for ((a, b), place) in ours.iter().zip(theirs).zip(0..) {
            self.path.push((name, place));
            self.pair(*a, *b);
            self.path.pop();
        }
    }

    fn lengths(&mut self, name: &str, ours: u32, theirs: u32) {
        if ours != theirs {
            self.found.others += u64::from(ours.abs_diff(theirs));
            self.tell(name, &format!("{ours} of them, the shadow gives {theirs}"));
        }
    }

    fn field(&mut self, name: &str, values: [Option<&Values>; 2], a: u32, b: u32) -> Option<Words> {
        let (ours, theirs) = (Cell::of(values[0], a), Cell::of(values[1], b));
        if ours.same(&theirs) || (name == names::ID && ours.is_fresh_id() && theirs.is_fresh_id()) {
            return None;
        }
        if let (names::EMBEDDING, Cell::Tensor(ours), Cell::Tensor(theirs)) = (name, &ours, &theirs)
            && let Some(distance) = cosine_distance(ours, theirs)
        {
            self.found.embedding_distance = self.found.embedding_distance.max(distance);
            let text = format!("at a distance of {distance:.6}");
            return (distance > self.embedding_distance).then_some(Words { text, is_distance: true });
        }
        let text = format!("{}, the shadow gives {}", ours.show(), theirs.show());
        Some(Words { text, is_distance: false })
    }

    fn tell(&mut self, name: &str, words: &str) {
        self.found.differs = true;
        if self.found.samples.len() >= MOST_SAMPLES {
            return;
        }
        let mut sample = String::new();
        for (name, place) in &self.path {
            let dot = if sample.is_empty() { "" } else { "." };
            sample.push_str(&format!("{dot}{name}[{place}]"));
        }
        let dot = if sample.is_empty() { "" } else { "." };
        sample.push_str(&format!("{dot}{}: {words}", shorten(name)));
        self.found.samples.push(sample);
    }
}

struct Words {
    text: String,
    is_distance: bool,
}

fn is_link(values: [Option<&Values>; 2]) -> bool {
    // A column of links on one side and of something else on the other is told as a field.
    let link = |values: Option<&Values>| matches!(values, Some(Values::Link(_)));
    let absent_or_link = |values: Option<&Values>| values.is_none() || link(values);
    values.into_iter().any(link) && values.into_iter().all(absent_or_link)
}

/// One value of one row.
enum Cell<'a> {
    None,
    Text(&'a str),
    Json(&'a str),
    Bytes(&'a [u8]),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Tensor(Tensor),
    Links(usize),
}

impl<'a> Cell<'a> {
    fn of(values: Option<&'a Values>, row: u32) -> Self {
        let index = row as usize;
        let cell = values.and_then(|values| match values {
            Values::Text(column) => column.get(row).map(Cell::Text),
            Values::Json(column) => column.get(row).map(Cell::Json),
            Values::Bytes(values) => values.get(index)?.as_deref().map(Cell::Bytes),
            Values::Integer(values) => values.get(index).copied().flatten().map(Cell::Integer),
            Values::Number(values) => values.get(index).copied().flatten().map(Cell::Number),
            Values::Boolean(values) => values.get(index).copied().flatten().map(Cell::Boolean),
            Values::Tensor(column) => column.get(row).map(Cell::Tensor),
            Values::Link(column) => {
                Some(Cell::Links(column.get(row).len())).filter(|cell| !matches!(cell, Cell::Links(0)))
            }
        });
        cell.unwrap_or(Cell::None)
    }

    fn same(&self, other: &Self) -> bool {
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        match (self, other) {
            (Cell::None, Cell::None) => true,
            (Cell::Text(a), Cell::Text(b)) => a == b,
            (Cell::Json(a), Cell::Json(b)) => a == b || (parse(a).is_some() && parse(a) == parse(b)),
            (Cell::Bytes(a), Cell::Bytes(b)) => a == b,
            (Cell::Integer(a), Cell::Integer(b)) => a == b,
            (Cell::Number(a), Cell::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Cell::Boolean(a), Cell::Boolean(b)) => a == b,
            (Cell::Tensor(a), Cell::Tensor(b)) => a == b,
            (Cell::Links(a), Cell::Links(b)) => a == b,
            _ => false,
        }
    }

    fn is_fresh_id(&self) -> bool {
        matches!(self, Cell::Text(text) if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    fn show(&self) -> String {
        match self {
            Cell::None => "nothing".into(),
            Cell::Text(text) => format!("{:?}", shorten(text)),
            Cell::Json(text) => shorten(text),
            Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Cell::Integer(value) => value.to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Tensor(tensor) => format!("a {} tensor of shape {:?}", tensor.dtype(), tensor.shape()),
            Cell::Links(count) => format!("{count} nested documents"),
        }
    }
}

fn shorten(text: &str) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut short: String = characters.by_ref().take(SAMPLE_CHARACTERS).collect();
    if characters.next().is_some() {
        short.push_str("...");
    }
    short
}

/// 0 for vectors of the same direction, 1 for right angles, 2 for opposite ones; none if they cannot be compared.
fn cosine_distance(a: &Tensor, b: &Tensor) -> Option<f64> {
    if a.shape() != b.shape() {
        return None;
    }
    let (a, b) = (elements(a)?, elements(b)?);
    let (mut dot, mut norm_a, mut norm_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        dot += a * b;
        norm_a += a * a;
        norm_b += b * b;
    }
    if norm_a == 0.0 && norm_b == 0.0 {
        return Some(0.0);
    }
    let distance = 1.0 - dot / (norm_a.sqrt() * norm_b.sqrt());
    // A zero vector has no direction, and what is not a number is as far off as can be.
    Some(if distance.is_nan() { 2.0 } else { distance.clamp(0.0, 2.0) })
}

/// The elements as numbers; none for types that embeddings do not have.
fn elements(tensor: &Tensor) -> Option<Box<dyn Iterator<Item = f64> + '_>> {
    fn read<const N: usize>(
        tensor: &Tensor,
        convert: fn([u8; N]) -> f64,
    ) -> Option<Box<dyn Iterator<Item = f64> + '_>> {
        Some(Box::new(tensor.data().as_chunks::<N>().0.iter().map(move |bytes| convert(*bytes))))
    }
    match tensor.dtype() {
        DType::Float64 => read(tensor, f64::from_le_bytes),
        DType::Float32 => read(tensor, |bytes| f32::from_le_bytes(bytes).into()),
        DType::Float16 => read(tensor, |bytes| f16::from_le_bytes(bytes).into()),
        DType::Bfloat16 => read(tensor, |bytes| bf16::from_le_bytes(bytes).into()),
        DType::Int8 => read(tensor, |bytes| i8::from_le_bytes(bytes).into()),
        DType::Uint8 => read(tensor, |bytes| u8::from_le_bytes(bytes).into()),
        DType::Int32 => read(tensor, |bytes| i32::from_le_bytes(bytes).into()),
        DType::Boolean
        | DType::Uint16
        | DType::Int16
        | DType::Uint32
        | DType::Uint64
        | DType::Int64
        | DType::Float8E4m3
        | DType::Float8E5m2 => None,
    }
}

#[cfg(test)]
mod tests;
