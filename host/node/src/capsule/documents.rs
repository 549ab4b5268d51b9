//! Documents in a capsule: column by column, without loss. The wire's JSON is for people and drops what they do not
//! ask about; here a number keeps its bits, a column its kind although it is empty, and a list its order of columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lockgate_domain::document::{Column, DType, LinkColumn, Tensor, TensorColumn, TextColumn, Values};
use lockgate_domain::{DocumentList, Limits};
use serde::{Deserialize, Serialize};

/// A document list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentsFile {
    len: u32,
    total: u32,
    columns: Vec<ColumnFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnFile {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(flatten)]
    values: ValuesFile,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValuesFile {
    Text(Vec<Option<String>>),
    Json(Vec<Option<String>>),
    /// base64
    Bytes(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
    /// the shortest decimals that give the number again, or `nan:` and its bits
    Number(Vec<Option<String>>),
    Boolean(Vec<Option<bool>>),
    Tensor(Vec<Option<TensorFile>>),
    Link(Vec<Vec<u32>>),
    /// a field that holds one document and not a list
    SingleLink(Vec<Vec<u32>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorFile {
    dtype: String,
    shape: Vec<u32>,
    /// base64
    data: String,
}

impl DocumentsFile {
    pub(crate) fn of(list: &DocumentList) -> Self {
        let columns = list.columns().iter().map(|column| ColumnFile {
            name: column.name().to_owned(),
            hint: column.hint().map(|hint| hint.to_string()),
            values: values_of(column.values()),
        });
        Self { len: list.len(), total: list.total(), columns: columns.collect() }
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let s = if self.len == 1 { "" } else { "s" };
        format!("{} document{s} ({})", self.len, columns.join(", "))
    }

    /// The list; an error says what makes it none.
    pub(crate) fn into_list(self, limits: &Limits) -> Result<DocumentList, String> {
        let mut names = BTreeSet::new();
        let mut columns = Vec::with_capacity(self.columns.len().min(1024));
        for ColumnFile { name, hint, values } in self.columns {
            if !names.insert(name.clone()) {
                return Err(format!("the column {name:?} stands twice"));
            }
            let values = values_from(values).map_err(|error| format!("the column {name:?}: {error}"))?;
            columns.push(Column::new(name, values).with_hint(hint.map(Arc::from)));
        }
        let list = DocumentList::from_columns(self.len, self.total, columns, limits);
        list.map_err(|error| {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })
    }
}

fn values_of(values: &Values) -> ValuesFile {
    let texts = |column: &TextColumn| column.iter().map(|text| text.map(str::to_owned)).collect();
    match values {
        Values::Text(column) => ValuesFile::Text(texts(column)),
        Values::Json(column) => ValuesFile::Json(texts(column)),
        Values::Bytes(values) => {
            ValuesFile::Bytes(values.iter().map(|v| v.as_ref().map(|v| STANDARD.encode(v))).collect())
        }
        Values::Integer(values) => ValuesFile::Integer(values.to_vec()),
        Values::Number(values) => {
            ValuesFile::Number(values.iter().map(|value| value.map(decimals)).collect())
        }
        Values::Boolean(values) => ValuesFile::Boolean(values.to_vec()),
        Values::Tensor(column) => {
            let tensor = |tensor: Tensor| TensorFile {
                dtype: tensor.dtype().name().to_owned(),
                shape: tensor.shape().to_vec(),
                data: STANDARD.encode(tensor.data()),
            };
            ValuesFile::Tensor((0..column.rows()).map(|row| column.get(row).map(tensor)).collect())
        }
        Values::Link(column) => {
            let rows = (0..column.rows()).map(|row| column.get(row).to_vec()).collect();
            if column.is_single() { ValuesFile::SingleLink(rows) } else { ValuesFile::Link(rows) }
        }
    }
}

fn values_from(values: ValuesFile) -> Result<Values, String> {
    let pack = |texts: &[Option<String>]| {
        TextColumn::pack(texts.iter().map(Option::as_deref)).map_err(|_| "more than 4 GiB of text".to_owned())
    };
    let links = |rows: &[Vec<u32>]| LinkColumn::pack(rows.iter().map(Vec::as_slice));
    Ok(match values {
        ValuesFile::Text(texts) => Values::Text(pack(&texts)?),
        ValuesFile::Json(texts) => Values::Json(pack(&texts)?),
        ValuesFile::Bytes(values) => Values::Bytes(each(values, |text| decode(&text))?),
        ValuesFile::Integer(values) => Values::Integer(Arc::new(values)),
        ValuesFile::Number(values) => Values::Number(each(values, |text| number(&text))?),
        ValuesFile::Boolean(values) => Values::Boolean(Arc::new(values)),
        ValuesFile::Tensor(values) => Values::Tensor(TensorColumn::Rows(each(values, tensor)?)),
        ValuesFile::Link(rows) => Values::Link(links(&rows)),
        ValuesFile::SingleLink(rows) => Values::Link(links(&rows).with_single(true)),
    })
}

type Rows<T> = Arc<Vec<Option<T>>>;

fn each<T, U>(values: Vec<Option<T>>, read: impl Fn(T) -> Result<U, String>) -> Result<Rows<U>, String> {
    let read = |value: Option<T>| value.map(&read).transpose();
    values.into_iter().map(read).collect::<Result<Vec<_>, _>>().map(Arc::new)
}

fn decode(text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("no base64: {error}"))
}

fn tensor(file: TensorFile) -> Result<Tensor, String> {
    let dtype = DType::from_name(&file.dtype).ok_or_else(|| format!("no element type: {:?}", file.dtype))?;
    Tensor::new(dtype, file.shape, decode(&file.data)?).map_err(|error| error.to_string())
}

fn decimals(value: f64) -> String {
    if value.is_nan() { format!("nan:{:x}", value.to_bits()) } else { format!("{value:?}") }
}

fn number(text: &str) -> Result<f64, String> {
    let bad = || format!("no number: {text:?}");
    match text.strip_prefix("nan:") {
        Some(bits) => u64::from_str_radix(bits, 16).map(f64::from_bits).map_err(|_| bad()),
        None => text.parse().map_err(|_| bad()),
    }
}

#[cfg(test)]
mod tests {
    use lockgate_domain::document::DocumentListBuilder;

    use super::*;

    /// Numbers from a seed: enough of them, and the same ones in every run.
    struct Draw(u64);

    impl Draw {
        fn next(&mut self, below: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % below
        }
    }

    fn some_list(draw: &mut Draw) -> DocumentList {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let rows: Vec<u32> = (0..=draw.next(4)).map(|_| builder.push_root().unwrap()).collect();
        for row in rows {
            if draw.next(3) > 0 {
                let text = ["", "a", "é\u{0}\n", "\u{1f600} long text"][draw.next(4) as usize];
                builder.set_text("text", row, text).unwrap();
                builder.set_bytes("blob", row, Bytes::copy_from_slice(text.as_bytes())).unwrap();
            }
            if draw.next(2) > 0 {
                let bits = draw.next(1 << 31) << 33 | draw.next(1 << 31);
                let number =
                    [f64::from_bits(bits), f64::NAN, -0.0, 0.1, f64::INFINITY, 1e-320][draw.next(6) as usize];
                builder.set_number("number", row, number).unwrap();
                builder.set_integer("integer", row, i64::MIN + draw.next(9) as i64).unwrap();
                builder.set_boolean("boolean", row, draw.next(2) > 0).unwrap();
                builder.set_json("tags", row, r#"{"a": 1.10}"#).unwrap();
            }
            let shape = [draw.next(3) as u32, 2];
            let data = vec![7; shape[0] as usize * 2 * 4];
            builder
                .set_tensor("embedding", row, Tensor::new(DType::Float32, shape, data.into()).unwrap())
                .unwrap();
            let nested: Vec<u32> = (0..draw.next(3)).map(|_| builder.push_nested().unwrap()).collect();
            nested.iter().for_each(|row| builder.set_text("text", *row, "nested").unwrap());
            let single = nested.len() == 1;
            builder.set_links(if single { "one" } else { "chunks" }, row, nested, single).unwrap();
        }
        builder.declare("blank").unwrap();
        builder.set_hint("text", "TitleText");
        builder.finish().unwrap()
    }

    #[test]
    fn every_kind_of_column_comes_back_as_it_was() {
        let mut draw = Draw(7);
        for _ in 0..300 {
            let list = some_list(&mut draw);
            let text = serde_json::to_string(&DocumentsFile::of(&list)).unwrap();
            let file: DocumentsFile = serde_json::from_str(&text).unwrap();
            let back = file.clone().into_list(&Limits::default()).unwrap();
            // Through the file, because a list's own equality forgives the order of columns.
            assert_eq!(DocumentsFile::of(&back), file);
            assert_eq!((back.len(), back.total()), (list.len(), list.total()));
            let names = |list: &DocumentList| -> Vec<_> {
                list.columns().iter().map(|c| (c.name().to_owned(), c.kind(), c.hint().cloned())).collect()
            };
            assert_eq!(names(&back), names(&list));
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let check = |text: &str, words: &str| {
            let file = serde_json::from_str::<DocumentsFile>(text).map_err(|error| error.to_string());
            let refused = file.and_then(|file| file.into_list(&Limits::default())).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        };
        let column =
            |values: &str| format!(r#"{{"len": 1, "total": 1, "columns": [{{"name": "x", {values}}}]}}"#);
        check(&column(r#""bytes": ["%"]"#), "base64");
        check(&column(r#""number": ["one"]"#), "no number");
        check(&column(r#""link": [[7]]"#), "7");
        check(&column(r#""link": [[0]]"#), "nested");
        check(&column(r#""text": ["a", "b"]"#), "row");
        check(&column(r#""tensor": [{"dtype": "f7", "shape": [], "data": ""}]"#), "element type");
        check(&column(r#""tensor": [{"dtype": "float32", "shape": [4294967295, 9], "data": ""}]"#), "takes");
        check(r#"{"len": 4000000000, "total": 4000000000, "columns": []}"#, "documents");
        check(r#"{"len": 2, "total": 1, "columns": []}"#, "row");
        let twice = r#"{"name": "x", "text": []}"#;
        check(&format!(r#"{{"len": 0, "total": 0, "columns": [{twice}, {twice}]}}"#), "twice");
    }
}
