//! Requests and replies through the messages that tonic sends.

use lockgate_domain::Parameters;
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use super::*;
use crate::testing::{build, printed, v1_documents, v2_documents};

fn request(dialect: Dialect, documents: DocumentList) -> Request {
    let serde_json::Value::Object(parameters) =
        json!({"k": 1, "x": [1.5, null, {"a": "b"}], "__results__": {}})
    else {
        panic!("an object")
    };
    Request {
        id: Some("r1".to_owned()),
        endpoint: Some("/x".to_owned()),
        target_executor: None,
        parameters: Parameters::new(parameters),
        documents,
        dialect,
    }
}

/// Sends a request and its reply over the wire and back.
fn there_and_back(dialect: Dialect, documents: &DocumentList, failure: Option<&Problem>) -> Answer {
    let sent = request(dialect, documents.clone());
    let bytes = encode_request(&sent).unwrap().encode_to_vec();
    let message = proto::DataRequestProto::decode(Bytes::from(bytes)).unwrap();
    let received = decode_request(message, &Limits::default()).unwrap();
    assert_eq!((&received.id, &received.endpoint), (&sent.id, &sent.endpoint));
    assert_eq!(received.parameters, sent.parameters);
    let routes = [Route { executor: "gateway".into(), start: None, end: None, failure: failure.cloned() }];
    let reply = encode_reply(&Reply {
        request_id: "r1",
        endpoint: "/x",
        parameters: &received.parameters,
        routes: &routes,
        failure,
        documents: &received.documents,
        dialect: received.dialect,
    });
    let message = proto::DataRequestProto::decode(Bytes::from(reply.encode_to_vec())).unwrap();
    decode_reply(message, &Limits::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_come_back((one, two) in (v1_documents(), v2_documents())) {
        for (dialect, documents) in [(Dialect::DocArrayV1, one), (Dialect::DocArrayV2, two)] {
            let list = build(&documents);
            prop_assert_eq!(printed(&there_and_back(dialect, &list, None).documents), printed(&list));
        }
    }
}

#[test]
fn failures_come_back() {
    let problem = Problem::new(ErrorCode::GuestTrap, "the executor panicked")
        .with_hint("look at its log")
        .with_executor(&"enc".parse().unwrap())
        .with_backtrace(vec!["frame".to_owned()]);
    let answer = there_and_back(Dialect::DocArrayV1, &DocumentList::default(), Some(&problem));
    assert_eq!(answer.failure.as_ref(), Some(&problem));
    assert_eq!(answer.routes[0].failure.as_ref(), Some(&problem));
    assert_eq!(answer.request_id, "r1");
}

#[test]
fn docs_bytes_are_read_unless_they_are_a_pickle() {
    let read = |bytes: Bytes| {
        let data = DataContentProto { documents: Some(Documents::DocsBytes(bytes)) };
        decode_request(proto::DataRequestProto { data: Some(data), ..Default::default() }, &Limits::default())
    };
    for pickle in [&b"\x80\x04\x95"[..], b"(lp0\n."] {
        assert!(read(Bytes::from_static(pickle)).unwrap_err().message().contains("pickle"));
    }
    assert!(read(Bytes::from_static(b"\x0a\xff")).is_err());
    assert!(read(Bytes::new()).unwrap().documents.is_empty());
    let mut builder = lockgate_domain::document::DocumentListBuilder::new(Limits::default());
    let row = builder.push_root().unwrap();
    builder.set_text("text", row, "hi").unwrap();
    let documents = builder.finish().unwrap();
    for dialect in [Dialect::DocArrayV1, Dialect::DocArrayV2] {
        let request = read(docs::encode(dialect, &documents).unwrap()).unwrap();
        assert_eq!((request.documents, request.dialect), (documents.clone(), dialect));
    }
}

#[test]
fn the_parts_of_a_join_become_one_request() {
    let part = |text: Option<&str>| {
        let mut builder = lockgate_domain::document::DocumentListBuilder::new(Limits::default());
        if let Some(text) = text {
            let row = builder.push_root().unwrap();
            builder.set_text("text", row, text).unwrap();
        }
        encode_request(&request(Dialect::DocArrayV2, builder.finish().unwrap())).unwrap()
    };
    let requests = vec![part(None), part(Some("a")), part(Some("b"))];
    let one = decode_requests(proto::DataRequestListProto { requests }, &Limits::default()).unwrap();
    assert_eq!((one.id.as_deref(), one.dialect), (Some("r1"), Dialect::DocArrayV2));
    let texts: Vec<_> = (0..one.documents.len()).map(|row| one.documents.text("text", row)).collect();
    assert_eq!(texts, [Some("a"), Some("b")]);
    let none = decode_requests(proto::DataRequestListProto::default(), &Limits::default());
    assert_eq!(none.unwrap_err().code(), ErrorCode::InvalidRequest);
    let few = Limits { documents: 1, ..Limits::default() };
    let requests = vec![part(Some("a")), part(Some("b"))];
    let problem = decode_requests(proto::DataRequestListProto { requests }, &few).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::RequestTooLarge);
}

#[test]
fn single_documents_go_there_and_back() {
    let mut builder = lockgate_domain::document::DocumentListBuilder::new(Limits::default());
    for text in ["a", "b"] {
        let row = builder.push_root().unwrap();
        builder.set_text("text", row, text).unwrap();
    }
    let documents = builder.finish().unwrap();
    let problem = Problem::new(ErrorCode::GuestError, "no");
    for dialect in [Dialect::DocArrayV1, Dialect::DocArrayV2] {
        let reply = |failure| {
            encode_singles(&Reply {
                request_id: "r1",
                endpoint: "/x",
                parameters: &Parameters::default(),
                routes: &[],
                failure,
                documents: &documents,
                dialect,
            })
        };
        let read = |message| {
            let request = decode_single(message, &Limits::default()).unwrap();
            assert_eq!((request.id.as_deref(), request.endpoint.as_deref()), (Some("r1"), Some("/x")));
            assert_eq!(request.dialect, dialect);
            request.documents.text("text", 0).unwrap().to_owned()
        };
        assert_eq!(reply(None).into_iter().map(read).collect::<Vec<_>>(), ["a", "b"]);
        let failed = reply(Some(&problem));
        assert_eq!(failed[0].header.as_ref().unwrap().status.as_ref().unwrap().code, 1);
        assert_eq!(failed.into_iter().map(read).collect::<Vec<_>>(), ["a"]);
    }
    let empty = proto::SingleDocumentRequestProto::default();
    assert_eq!(decode_single(empty, &Limits::default()).unwrap().documents.len(), 1);
}

#[test]
fn clients_write_and_read_single_documents() {
    let list = |texts: &[&str]| {
        let mut builder = lockgate_domain::document::DocumentListBuilder::new(Limits::default());
        for text in texts {
            let row = builder.push_root().unwrap();
            builder.set_text("text", row, text).unwrap();
        }
        builder.finish().unwrap()
    };
    let problem = Problem::new(ErrorCode::GuestError, "no");
    for dialect in [Dialect::DocArrayV1, Dialect::DocArrayV2] {
        let sent = request(dialect, list(&["a"]));
        let read = decode_single(encode_single(&sent).unwrap(), &Limits::default()).unwrap();
        assert_eq!((&read.id, &read.endpoint, read.dialect), (&sent.id, &sent.endpoint, dialect));
        assert_eq!((read.parameters, read.documents.text("text", 0)), (sent.parameters, Some("a")));
        for texts in [&[][..], &["a", "b"]] {
            let refused = encode_single(&request(dialect, list(texts))).unwrap_err();
            assert!(refused.message().contains(&format!("not with {}", texts.len())), "{refused:?}");
        }
        let documents = list(&["a"]);
        let reply = |failure| {
            let reply = Reply {
                request_id: "r1",
                endpoint: "/x",
                parameters: &Parameters::default(),
                routes: &[],
                failure,
                documents: &documents,
                dialect,
            };
            decode_single_reply(encode_singles(&reply).remove(0), &Limits::default()).unwrap()
        };
        let answer = reply(None);
        assert_eq!((answer.request_id.as_str(), answer.documents.text("text", 0)), ("r1", Some("a")));
        assert!(answer.failure.is_none());
        assert_eq!(reply(Some(&problem)).failure.map(|told| told.code()), Some(ErrorCode::GuestError));
    }
}

#[test]
fn what_streams_is_read_of_schemas() {
    let check = |schemas: serde_json::Value, expected: bool| {
        let serde_json::Value::Object(schemas) = schemas else { panic!("an object") };
        let message = encode_endpoints(vec!["/x".to_owned()], schemas);
        assert_eq!(decode_endpoints(message), [("/x".to_owned(), expected)]);
    };
    check(json!({}), false);
    check(json!({ "/x": { "is_generator": true } }), true);
    check(json!({ "/x": { "is_generator": false }, "/y": { "is_generator": true } }), false);
    check(json!({ "/x": { "is_generator": "true" } }), false);
    check(json!({ "/x": true }), false);
}

#[test]
fn documents_that_do_not_fit_make_an_error_reply() {
    let mut builder = lockgate_domain::document::DocumentListBuilder::new(Limits::default());
    let row = builder.push_root().unwrap();
    builder.set_integer("granularity", row, -1).unwrap();
    let documents = builder.finish().unwrap();
    let reply = encode_reply(&Reply {
        request_id: "r1",
        endpoint: "/",
        parameters: &Parameters::default(),
        routes: &[],
        failure: None,
        documents: &documents,
        dialect: Dialect::DocArrayV1,
    });
    let status = reply.header.unwrap().status.unwrap();
    assert_eq!(status.description, "data[0].granularity: -1 is no unsigned integer of 32 bits");
    assert!(reply.data.is_none());
}

#[test]
fn heads_are_read_without_the_documents() {
    let check = |message: proto::DataRequestProto, id: Option<&str>, endpoint: Option<&str>| {
        let head = super::decode_head(&message.encode_to_vec());
        assert_eq!((head.id.as_deref(), head.endpoint.as_deref()), (id, endpoint));
    };
    let header = proto::HeaderProto {
        request_id: "a".to_owned(),
        exec_endpoint: Some("/x".to_owned()),
        ..Default::default()
    };
    let broken = super::content(Bytes::from_static(&[255; 40]));
    let message = proto::DataRequestProto { header: Some(header), data: Some(broken), ..Default::default() };
    check(message, Some("a"), Some("/x"));
    check(proto::DataRequestProto::default(), None, None);
    assert_eq!(super::decode_head(&[255; 10]), Head::default());
}
