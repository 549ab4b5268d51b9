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
fn pickles_are_refused() {
    let data = DataContentProto { documents: Some(Documents::DocsBytes(Bytes::from_static(b"\x80\x04"))) };
    let message = proto::DataRequestProto { data: Some(data), ..Default::default() };
    let problem = decode_request(message, &Limits::default()).unwrap_err();
    assert!(problem.message().contains("pickle"));
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
