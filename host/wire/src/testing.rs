//! Arbitrary documents for property tests, and a form in which two lists can be compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use lockgate_domain::document::{DType, DocumentListBuilder, Tensor, Values};
use lockgate_domain::{DocumentList, Limits};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

/// Messages as prost reads them: the oracle of the decoders written by hand.
#[expect(unreachable_pub, clippy::all, reason = "generated")]
#[allow(dead_code, reason = "generated; an expectation of it is never fulfilled through include!")]
pub(crate) mod oracle {
    pub(crate) mod v1 {
        include!(concat!(env!("OUT_DIR"), "/v1/docarray.rs"));
    }
    pub(crate) mod v2 {
        include!(concat!(env!("OUT_DIR"), "/v2/docarray.rs"));
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) cells: Vec<(&'static str, Cell)>,
    pub(crate) links: Vec<(&'static str, bool, Vec<Document>)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    Json(String),
    Bytes(Vec<u8>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Tensor(Tensor),
}

/// The list of these documents.
pub(crate) fn build(documents: &[Document]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for document in documents {
        let row = builder.push_root().unwrap();
        fill(&mut builder, document, row);
    }
    builder.finish().unwrap()
}

fn fill(builder: &mut DocumentListBuilder, document: &Document, row: u32) {
    for (name, cell) in &document.cells {
        match cell {
            Cell::Text(text) => builder.set_text(name, row, text),
            Cell::Json(json) => builder.set_json(name, row, json),
            Cell::Bytes(bytes) => builder.set_bytes(name, row, Bytes::from(bytes.clone())),
            Cell::Integer(value) => builder.set_integer(name, row, *value),
            Cell::Number(value) => builder.set_number(name, row, *value),
            Cell::Boolean(value) => builder.set_boolean(name, row, *value),
            Cell::Tensor(tensor) => builder.set_tensor(name, row, tensor.clone()),
        }
        .unwrap();
    }
    for (name, single, nested) in &document.links {
        let mut rows = Vec::new();
        for document in nested {
            let row = builder.push_nested().unwrap();
            fill(builder, document, row);
            rows.push(row);
        }
        if !rows.is_empty() {
            builder.set_links(name, row, rows, *single).unwrap();
        }
    }
}

/// Documents as trees of printed values: lists that differ only in the order of columns are equal.
pub(crate) fn printed(list: &DocumentList) -> Vec<String> {
    (0..list.len()).map(|row| print_row(list, row)).collect()
}

fn print_row(list: &DocumentList, row: u32) -> String {
    let mut fields = BTreeMap::new();
    let at = row as usize;
    for column in list.columns().iter().filter(|column| column.has_value(row)) {
        let value = match column.values() {
            Values::Text(texts) => format!("{:?}", texts.get(row)),
            Values::Json(texts) => {
                format!("{:?}", serde_json::from_str::<Value>(texts.get(row).unwrap()).unwrap())
            }
            Values::Bytes(values) => format!("{:?}", values[at]),
            Values::Integer(values) => format!("{:?}", values[at]),
            Values::Number(values) => format!("{:?}", values[at].map(f64::to_bits)),
            Values::Boolean(values) => format!("{:?}", values[at]),
            Values::Tensor(tensors) => format!("{:?}", tensors.get(row)),
            Values::Link(links) => {
                let nested: Vec<String> =
                    links.get(row).iter().map(|target| print_row(list, *target)).collect();
                format!("{} {nested:?}", links.is_single())
            }
        };
        fields.insert(column.name().to_owned(), value);
    }
    format!("{fields:?}")
}

/// Lists that DocArray v1 can hold, without values that equal protobuf's defaults.
pub(crate) fn v1_documents() -> impl Strategy<Value = Vec<Document>> {
    vec(with_nested(v1_cells().boxed(), &["chunks", "matches"], None), 0..4)
}

/// Lists that DocArray v2 can hold.
pub(crate) fn v2_documents() -> impl Strategy<Value = Vec<Document>> {
    vec(with_nested(v2_cells().boxed(), &["chunks", "parts"], Some("child")), 0..4)
}

/// Lists that survive JSON: its arrays are 64 bits wide, its numbers finite.
pub(crate) fn json_documents() -> impl Strategy<Value = Vec<Document>> {
    vec(with_nested(json_cells().boxed(), &["chunks", "matches"], None), 0..4)
}

fn with_nested(
    cells: BoxedStrategy<Vec<(&'static str, Cell)>>,
    lists: &'static [&'static str; 2],
    single: Option<&'static str>,
) -> impl Strategy<Value = Document> {
    let leaf = cells.clone().prop_map(|cells| Document { cells, links: Vec::new() });
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let child = vec(inner.clone(), 0..2);
        (cells.clone(), vec(inner.clone(), 0..3), vec(inner, 0..3), child).prop_map(
            move |(cells, first, second, child)| {
                let mut links = vec![(lists[0], false, first), (lists[1], false, second)];
                links.extend(single.map(|name| (name, true, child)));
                Document { cells, links }
            },
        )
    })
}

fn field(
    name: &'static str,
    cell: impl Strategy<Value = Cell> + 'static,
) -> BoxedStrategy<Option<(&'static str, Cell)>> {
    option::of(cell.prop_map(move |cell| (name, cell))).boxed()
}

fn fields(
    fields: Vec<BoxedStrategy<Option<(&'static str, Cell)>>>,
) -> impl Strategy<Value = Vec<(&'static str, Cell)>> {
    fields.prop_map(|cells| cells.into_iter().flatten().collect())
}

fn text() -> impl Strategy<Value = Cell> {
    "\\PC{1,12}".prop_map(Cell::Text)
}

fn any_text() -> impl Strategy<Value = Cell> {
    any::<String>().prop_map(Cell::Text)
}

fn blob() -> impl Strategy<Value = Cell> {
    vec(any::<u8>(), 0..200).prop_map(Cell::Bytes)
}

fn float() -> impl Strategy<Value = Cell> {
    (0.5f32..100.0).prop_map(|value| Cell::Number(f64::from(value)))
}

fn tensor(types: Vec<DType>) -> impl Strategy<Value = Cell> {
    (proptest::sample::select(types), vec(0u32..4, 0..4)).prop_flat_map(|(dtype, shape)| {
        let elements: u32 = shape.iter().product();
        vec(0u8..2, dtype.size() * elements as usize)
            .prop_map(move |data| Cell::Tensor(Tensor::new(dtype, shape.clone(), data.into()).unwrap()))
    })
}

/// Values whose numbers mean the same as integers and as doubles.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i32>().prop_map(|value| Value::from(f64::from(value) + 0.5)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn json_object() -> impl Strategy<Value = Cell> {
    proptest::collection::btree_map("\\PC{0,4}", json_value(), 0..4)
        .prop_map(|map| Cell::Json(Value::Object(map.into_iter().collect()).to_string()))
}

fn json_list() -> impl Strategy<Value = Cell> {
    vec(json_value(), 0..4).prop_map(|values| Cell::Json(Value::from(values).to_string()))
}

fn v1_cells() -> impl Strategy<Value = Vec<(&'static str, Cell)>> {
    let content = prop_oneof![
        text().prop_map(|cell| ("text", cell)),
        blob().prop_map(|cell| ("blob", cell)),
        tensor(DType::ALL.to_vec()).prop_map(|cell| ("tensor", cell)),
    ];
    let location =
        vec(0.5f32..9.0, 1..4).prop_map(|values| Cell::Json(serde_json::json!(values).to_string()));
    let scores =
        proptest::collection::btree_map("[a-c]{0,2}", (0.0f32..1.0, "[a-z]{1,3}"), 1..3).prop_map(|map| {
            let score = |(value, op): (f32, String)| serde_json::json!({ "value": value, "op_name": op });
            let map = map.into_iter().map(|(key, given)| (key, score(given))).collect();
            Cell::Json(Value::Object(map).to_string())
        });
    fields(vec![
        option::of(content).boxed(),
        field("id", text()),
        field("parent_id", text()),
        field("uri", text()),
        field("modality", text()),
        field("mime_type", text()),
        field("granularity", (1..=u32::MAX).prop_map(|value| Cell::Integer(i64::from(value)))),
        field("adjacency", (1..=u32::MAX).prop_map(|value| Cell::Integer(i64::from(value)))),
        field("weight", float()),
        field("offset", float()),
        field("location", location),
        field("embedding", tensor(DType::ALL.to_vec())),
        field("tags", json_object()),
        field("_metadata", json_object()),
        field("scores", scores.clone()),
        field("evaluations", scores),
    ])
}

fn v2_cells() -> impl Strategy<Value = Vec<(&'static str, Cell)>> {
    fields(vec![
        field("id", any_text()),
        field("text", any_text()),
        field("blob", blob()),
        field("embedding", tensor(DType::ALL.to_vec())),
        field("picture", tensor(DType::ALL.to_vec())),
        field("tags", json_object()),
        field("list", json_list()),
        field("count", any::<i32>().prop_map(|value| Cell::Integer(value.into()))),
        field("price", any::<f64>().prop_map(Cell::Number)),
        field("good", any::<bool>().prop_map(Cell::Boolean)),
    ])
}

fn json_cells() -> impl Strategy<Value = Vec<(&'static str, Cell)>> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    fields(vec![
        field("id", any_text()),
        field("text", any_text()),
        field("title", any_text()),
        field("blob", blob()),
        field(
            "embedding",
            vec(any::<i64>(), 1..9).prop_map(|values| {
                let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Cell::Tensor(Tensor::new(DType::Int64, vec![values.len() as u32], data.into()).unwrap())
            }),
        ),
        field(
            "tensor",
            vec(finite.clone(), 2..3).prop_map(|values| {
                let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Cell::Tensor(Tensor::new(DType::Float64, vec![1, 2], data.into()).unwrap())
            }),
        ),
        field("tags", json_object()),
        field("list", json_list()),
        field("count", any::<i64>().prop_map(Cell::Integer)),
        field("price", finite.prop_map(Cell::Number)),
        field("good", any::<bool>().prop_map(Cell::Boolean)),
    ])
}
