//! Documents of both versions against prost's reading of the same bytes, and against bytes of nobody's.

use bytes::Bytes;
use lockgate_domain::Limits;
use lockgate_domain::document::{Column, DocumentListBuilder, Kind, Overlay};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::testing::{build, oracle, printed, v1_documents, v2_documents};

fn limits() -> Limits {
    Limits::default()
}

/// Reads and writes bytes in many damaged forms; nothing may panic.
fn survives(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    for dialect in [Dialect::DocArrayV1, Dialect::DocArrayV2] {
        if let Ok(list) = decode(dialect, &bytes, &limits()) {
            let _written = encode(Dialect::DocArrayV1, &list);
            let _written = encode(Dialect::DocArrayV2, &list);
            let _written = crate::json::encode_documents(&list);
        }
    }
    let _dialect = detect(&bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn v1_documents_come_back(documents in v1_documents()) {
        let list = build(&documents);
        let bytes = v1::encode(&list).unwrap();
        let back = v1::decode(&bytes, &limits()).unwrap();
        prop_assert_eq!(printed(&back), printed(&list));
        let has_fields = documents.iter().any(|d| !d.cells.is_empty() || d.links.iter().any(|l| !l.2.is_empty()));
        prop_assert_eq!(detect(&bytes), has_fields.then_some(Dialect::DocArrayV1));
    }

    #[test]
    fn prost_reads_and_writes_the_same_v1_documents(documents in v1_documents()) {
        let list = build(&documents);
        let message = oracle::v1::DocumentArrayProto::decode(v1::encode(&list).unwrap()).unwrap();
        let back = v1::decode(&message.encode_to_vec().into(), &limits()).unwrap();
        prop_assert_eq!(printed(&back), printed(&list));
    }

    #[test]
    fn v2_documents_come_back(documents in v2_documents()) {
        let list = build(&documents);
        let bytes = v2::encode(&list).unwrap();
        let back = v2::decode(&bytes, &limits()).unwrap();
        prop_assert_eq!(printed(&back), printed(&list));
        prop_assert!(detect(&bytes) != Some(Dialect::DocArrayV1));
    }

    #[test]
    fn prost_reads_and_writes_the_same_v2_documents(documents in v2_documents()) {
        let list = build(&documents);
        let message = oracle::v2::DocListProto::decode(v2::encode(&list).unwrap()).unwrap();
        let back = v2::decode(&message.encode_to_vec().into(), &limits()).unwrap();
        prop_assert_eq!(printed(&back), printed(&list));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn damaged_documents_are_survived(
        (one, two) in (v1_documents(), v2_documents()),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for bytes in [v1::encode(&build(&one)).unwrap(), v2::encode(&build(&two)).unwrap()] {
            let mut bytes = bytes.to_vec();
            if !bytes.is_empty() {
                let len = bytes.len();
                damage.iter().for_each(|(index, byte)| bytes[index.index(len)] = *byte);
                survives(&bytes);
                survives(&bytes[..cut.index(len)]);
            }
        }
    }
}

fn v1_chain(depth: usize) -> Bytes {
    let mut document = oracle::v1::DocumentProto::default();
    for _ in 0..depth {
        document = oracle::v1::DocumentProto { chunks: vec![document], ..Default::default() };
    }
    oracle::v1::DocumentArrayProto { docs: vec![document] }.encode_to_vec().into()
}

#[test]
fn nesting_is_bounded() {
    let check = |depth: usize, fits: bool| {
        let result = v1::decode(&v1_chain(depth), &limits());
        assert_eq!(
            result.as_ref().err().map(Problem::limit_passed),
            (!fits).then_some(Some((lockgate_domain::LimitKind::Nesting, u64::from(Limits::NESTING)))),
            "{depth}"
        );
    };
    check(Limits::NESTING as usize, true);
    check(Limits::NESTING as usize + 1, false);
    check(2000, false);
}

#[test]
fn faults_name_their_place() {
    let check = |dialect: Dialect, bytes: Vec<u8>, expected: &str| {
        assert_eq!(decode(dialect, &bytes.into(), &limits()).unwrap_err().message(), expected);
    };
    let sparse = oracle::v1::NdArrayProto {
        content: Some(oracle::v1::nd_array_proto::Content::Sparse(Default::default())),
        ..Default::default()
    };
    let inner = oracle::v1::DocumentProto { embedding: Some(sparse), ..Default::default() };
    let outer = oracle::v1::DocumentProto { chunks: vec![inner], ..Default::default() };
    let list = oracle::v1::DocumentArrayProto { docs: vec![Default::default(), outer] };
    check(
        Dialect::DocArrayV1,
        list.encode_to_vec(),
        "data[1].chunks[0].embedding: sparse arrays are not supported",
    );
    let blob = oracle::v2::NodeProto {
        content: Some(oracle::v2::node_proto::Content::Blob(Bytes::from_static(b"x"))),
        ..Default::default()
    };
    let dict = oracle::v2::DictOfAnyProto { data: [("k".to_owned(), blob)].into() };
    let node = oracle::v2::NodeProto {
        content: Some(oracle::v2::node_proto::Content::Dict(dict)),
        ..Default::default()
    };
    let document = oracle::v2::DocProto { data: [("extra".to_owned(), node)].into() };
    check(
        Dialect::DocArrayV2,
        oracle::v2::DocListProto { docs: vec![document] }.encode_to_vec(),
        "data[0].extra.k: a list or dictionary holds bytes, which JSON cannot",
    );
}

fn v2_document(fields: Vec<(&str, Option<oracle::v2::node_proto::Content>)>) -> Bytes {
    let node = |content| oracle::v2::NodeProto { content, ..Default::default() };
    let data = fields.into_iter().map(|(name, content)| (name.to_owned(), node(content))).collect();
    oracle::v2::DocListProto { docs: vec![oracle::v2::DocProto { data }] }.encode_to_vec().into()
}

#[test]
fn declared_fields_stay_and_may_be_written() {
    let list = v2::decode(&v2_document(vec![("summary", None)]), &limits()).unwrap();
    let back = oracle::v2::DocListProto::decode(v2::encode(&list).unwrap()).unwrap();
    assert_eq!(back.docs[0].data["summary"].content, None);
    let mut overlay = Overlay::new(list, &limits());
    overlay.set_text("summary", 0, vec![Some("short".to_owned())]).unwrap();
    let back = oracle::v2::DocListProto::decode(v2::encode(&overlay.commit().unwrap()).unwrap()).unwrap();
    let text = oracle::v2::node_proto::Content::Text("short".to_owned());
    assert_eq!(back.docs[0].data["summary"].content, Some(text));
}

#[test]
fn lists_of_numbers_are_arrays_inside() {
    use oracle::v2::node_proto::Content;
    let float = |value| oracle::v2::NodeProto { content: Some(Content::Float(value)), ..Default::default() };
    let numbers = Content::List(oracle::v2::ListOfAnyProto { data: vec![float(1.5), float(2.0)] });
    for (name, kind) in [("embedding", Kind::Tensor), ("prices", Kind::Json)] {
        let list = v2::decode(&v2_document(vec![(name, Some(numbers.clone()))]), &limits()).unwrap();
        assert_eq!(list.column(name).map(Column::kind), Some(kind));
        let back = oracle::v2::DocListProto::decode(v2::encode(&list).unwrap()).unwrap();
        assert_eq!(back.docs[0].data[name].content, Some(numbers.clone()));
    }
}

#[test]
fn sets_and_tuples_go_back_as_such() {
    use oracle::v2::node_proto::Content;
    let some = oracle::v2::ListOfAnyProto {
        data: vec![oracle::v2::NodeProto { content: Some(Content::Integer(1)), ..Default::default() }],
    };
    let fields = vec![("s", Some(Content::Set(some.clone()))), ("t", Some(Content::Tuple(some.clone())))];
    let list = v2::decode(&v2_document(fields), &limits()).unwrap();
    let back = oracle::v2::DocListProto::decode(v2::encode(&list).unwrap()).unwrap();
    assert_eq!(back.docs[0].data["s"].content, Some(Content::Set(some.clone())));
    assert_eq!(back.docs[0].data["t"].content, Some(Content::Tuple(some)));
}

#[test]
fn integers_beyond_32_bits_travel_as_floats_while_exact() {
    use oracle::v2::node_proto::Content;
    let check = |value: i64, expected: Option<Content>| {
        let mut builder = DocumentListBuilder::new(limits());
        let row = builder.push_root().unwrap();
        builder.set_integer("n", row, value).unwrap();
        let encoded = v2::encode(&builder.finish().unwrap());
        let node = encoded.ok().map(|bytes| oracle::v2::DocListProto::decode(bytes).unwrap());
        assert_eq!(node.and_then(|list| list.docs[0].data["n"].content.clone()), expected, "{value}");
    };
    check(-5, Some(Content::Integer(-5)));
    check(i64::from(i32::MAX), Some(Content::Integer(i32::MAX)));
    check(1 << 31, Some(Content::Float(2_147_483_648.0)));
    check(1 << 53, Some(Content::Float(9_007_199_254_740_992.0)));
    check((1 << 53) + 1, None);
    check(i64::MIN, None);
}

#[test]
fn what_v1_has_no_field_for_goes_into_the_tags() {
    let mut builder = DocumentListBuilder::new(limits());
    let row = builder.push_root().unwrap();
    builder.set_json("tags", row, r#"{"a":1}"#).unwrap();
    builder.set_text("language", row, "fr").unwrap();
    let list = builder.finish().unwrap();
    let back = v1::decode(&v1::encode(&list).unwrap(), &limits()).unwrap();
    assert_eq!(crate::json::encode_documents(&back), r#"[{"tags":{"a":1,"language":"fr"}}]"#);
}

#[test]
fn empty_fields_cannot_fill_the_memory() {
    let mut builder = DocumentListBuilder::new(limits());
    for name in 0..32 {
        builder.declare(&format!("{name:0>250}")).unwrap();
    }
    (0..200_000).for_each(|_| {
        builder.push_root().unwrap();
    });
    let list = builder.finish().unwrap();
    assert!(v2::encode(&list).unwrap().len() < 1 << 20);
}

#[test]
fn only_fields_that_were_sent_empty_are_shown_empty() {
    let check = |is_sent_empty: bool, expected: &[&str]| {
        let mut builder = DocumentListBuilder::new(limits());
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, "a").unwrap();
        builder.set_json("tags", row, "{}").unwrap();
        if is_sent_empty {
            let row = builder.push_root().unwrap();
            builder.set_text("id", row, "b").unwrap();
            builder.declare("tags").unwrap();
        }
        // What came over the wire keeps it, through a guest that writes the column and adds a document.
        let sent = v2::encode(&builder.finish().unwrap()).unwrap();
        let mut overlay = Overlay::new(v2::decode(&sent, &limits()).unwrap(), &limits());
        let added = overlay.append(1).unwrap();
        overlay.set_json("tags", 0, vec![Some(r#"{"k":1}"#.to_owned())]).unwrap();
        overlay.select((0..=added).collect()).unwrap();
        let list = overlay.commit().unwrap();
        let message = oracle::v2::DocListProto::decode(v2::encode(&list).unwrap()).unwrap();
        let added = &message.docs[added as usize];
        let mut fields: Vec<&str> = added.data.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, expected, "sent empty: {is_sent_empty}");
    };
    check(false, &["id"]);
    check(true, &["id", "tags"]);
}
