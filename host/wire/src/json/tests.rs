//! Requests and replies as callers write and read them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lockgate_domain::document::Values;
use lockgate_domain::{ErrorCode, LimitKind, Parameters};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::envelope::{Dialect, Route};
use crate::testing::{build, json_documents, printed};

fn read(body: &str) -> Request {
    decode_request(body.as_bytes(), &Limits::default()).unwrap()
}

fn refused(body: &str) -> Problem {
    decode_request(body.as_bytes(), &Limits::default()).unwrap_err()
}

fn answered(request: &Request, case: Case) -> Value {
    let reply = Reply {
        request_id: "r1",
        endpoint: "/",
        parameters: &request.parameters,
        routes: &[],
        failure: None,
        documents: &request.documents,
        dialect: request.dialect,
    };
    serde_json::from_slice(&encode_reply(&reply, case)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_come_back(documents in json_documents()) {
        let list = build(&documents);
        let body = format!("{{\"data\":{}}}", encode_documents(&list));
        prop_assert_eq!(printed(&read(&body).documents), printed(&list));
    }

    #[test]
    fn damaged_bodies_are_survived(
        documents in json_documents(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut body = format!("{{\"data\":{}}}", encode_documents(&build(&documents))).into_bytes();
        let len = body.len();
        damage.iter().for_each(|(index, byte)| body[index.index(len)] = *byte);
        if let Ok(request) = decode_request(&body, &Limits::default()) {
            answered(&request, Case::Camel);
        }
    }
}

#[test]
fn all_shapes_of_data_are_taken() {
    let check = |body: &str, documents: u32| assert_eq!(read(body).documents.len(), documents, "{body}");
    check("{}", 0);
    check(r#"{"data":null}"#, 0);
    check(r#"{"data":[]}"#, 0);
    check(r#"{"data":[{"text":"a"},{}]}"#, 2);
    check(r#"{"data":{"docs":[{"text":"a"},{"text":"b"}]}}"#, 2);
    check(r#"{"data":{"docs":null}}"#, 0);
    check(r#"{"data":{"text":"a"}}"#, 1);
    check(r#"{"data":{}}"#, 1);
    check(r#"{"unknown":{"a":[1]},"data":[{"text":"a"}]}"#, 1);
}

#[test]
fn the_envelope_is_read_in_either_case() {
    let check = |body: Value| {
        let request = read(&body.to_string());
        assert_eq!(request.endpoint.as_deref(), Some("/x"), "{body}");
        assert_eq!(request.target_executor.as_deref(), Some("enc"), "{body}");
        assert_eq!(request.parameters.get("k"), Some(&json!(1)), "{body}");
    };
    check(json!({"exec_endpoint": "/x", "target_executor": "enc", "parameters": {"k": 1}}));
    check(json!({"execEndpoint": "/x", "targetExecutor": "enc", "parameters": {"k": 1}, "header": null}));
    check(
        json!({"header": {"exec_endpoint": "/x", "target_executor": "enc", "request_id": "r", "timeout": 3},
        "parameters": {"k": 1}}),
    );
}

#[test]
fn callers_are_answered_in_kind() {
    let check = |body: Value, expected: Value| {
        assert_eq!(answered(&read(&body.to_string()), Case::Camel)["data"], expected, "{body}");
    };
    check(json!({"data": [{"text": "hi"}]}), json!([{"text": "hi"}]));
    check(
        json!({"data": [{"text": "hi", "x": 3, "y": 3.0, "z": [1, {"a": null}], "w": null}]}),
        json!([{"text": "hi", "x": 3, "y": 3.0, "z": [1, {"a": null}]}]),
    );
    check(json!({"data": [{"blob": "aGk="}]}), json!([{"blob": "aGk="}]));
    let v1 =
        json!({"id": "1", "parent_id": null, "granularity": null, "mime_type": null, "text": "a", "more": 1});
    let full = json!([{"id": "1", "parent_id": null, "granularity": null, "adjacency": null, "blob": null,
        "tensor": null, "mime_type": null, "text": "a", "weight": null, "uri": null, "tags": {}, "offset": null,
        "location": null, "embedding": null, "modality": null, "evaluations": null, "scores": null, "chunks": null,
        "matches": null, "more": 1}]);
    check(json!({"data": [v1]}), full);
    let header = json!({"request_id": "r", "exec_endpoint": "/"});
    check(
        json!({"data": [{"id": "1", "blob": "héllo", "url": null, "chunks": []}], "header": header}),
        json!([{"id": "1", "blob": "héllo", "url": null, "chunks": []}]),
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let check = |body: &str, expected: &str| {
        let problem = refused(body);
        assert_eq!(problem.code(), ErrorCode::InvalidRequest);
        assert!(problem.message().contains(expected), "{body}: {}", problem.message());
    };
    check("", "the body is empty");
    check("[]", "expected an object such as");
    check("{", "EOF");
    check(r#"{"data":3}"#, "data: invalid type: integer `3`, expected a list of documents");
    check(r#"{"data":[{},{"embedding":[[1],[1,2]]}]}"#, "data[1].embedding: the list is ragged");
    check(r#"{"data":[{"chunks":[{},{"text":7}]}]}"#, "data[0].chunks[1].text: invalid type: integer `7`");
    check(r#"{"data":[{"blob":"?"}]}"#, "data[0].blob: the blob is not base64");
    check(r#"{"data":[{"a":[1]},{"a":"\ud800"}]}"#, "data[1].a: ");
    check(r#"{"data":[{"a":["\ud800"]}]}"#, "data[0].a: ");
    check(r#"{"data":[{"tags":{"x":01}}]}"#, "data[0].tags");
    check(r#"{"data":[],"data":[]}"#, "more than one \"data\"");
    check(r#"{"parameters":[]}"#, "parameters: ");
    check(r#"{"data":[]} x"#, "trailing characters");
    let latin1 = decode_request(b"{\"data\":[{\"text\":\"\xe9\"}]}", &Limits::default()).unwrap_err();
    assert!(latin1.message().contains("not UTF-8"), "{}", latin1.message());
}

#[test]
fn depth_is_bounded_everywhere() {
    const DEEP: usize = 1_000_000;
    let (open, close) = ("[".repeat(DEEP), "]".repeat(DEEP));
    for body in [
        open.clone(),
        format!("{{\"data\":{open}{close}}}"),
        format!("{{\"parameters\":{{\"a\":{open}{close}}}}}"),
        format!("{{\"data\":[{{\"tags\":{{\"a\":{open}{close}}}}}]}}"),
        format!("{{\"data\":[{{\"x\":{open}{close}}}]}}"),
        format!("{{\"data\":[{{\"tensor\":{open}{close}}}]}}"),
        "{\"data\":[".to_owned() + &"{\"chunks\":[".repeat(DEEP),
    ] {
        refused(&body);
    }
    let nested =
        |depth: usize| format!("{{\"data\":[{}{{}}{}]}}", "{\"chunks\":[".repeat(depth), "]}".repeat(depth));
    assert_eq!(read(&nested(32)).documents.total(), 33);
    let problem = refused(&nested(33));
    assert_eq!(problem.limit_passed(), Some((LimitKind::Nesting, 32)));
}

#[test]
fn replies_are_written_as_clients_expect() {
    let problem = Problem::new(ErrorCode::GuestError, "boom").with_executor(&"enc".parse().unwrap());
    let start = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001);
    let routes = [
        Route { executor: "gateway".into(), start: Some(start), end: Some(start), failure: None },
        Route { executor: "enc".into(), start: Some(start), end: None, failure: Some(problem.clone()) },
    ];
    let (parameters, documents) = (Parameters::default(), DocumentList::default());
    let reply = Reply {
        request_id: "r1",
        endpoint: "/x",
        parameters: &parameters,
        routes: &routes,
        failure: Some(&problem),
        documents: &documents,
        dialect: Dialect::DocArrayV1,
    };
    let problem_text = serde_json::to_string(&problem).unwrap();
    let status = json!({"code": 1, "description": "boom", "exception":
        {"name": "guest_error", "args": ["boom", "", problem_text], "stacks": [], "executor": "enc"}});
    let time = "2023-11-14T22:13:20.000001Z";
    let camel: Value = serde_json::from_slice(&encode_reply(&reply, Case::Camel)).unwrap();
    assert_eq!(
        camel,
        json!({
            "header": {"requestId": "r1", "status": status, "execEndpoint": "/x", "targetExecutor": ""},
            "parameters": {},
            "routes": [
                {"executor": "gateway", "startTime": time, "endTime": time, "status": null},
                {"executor": "enc", "startTime": time, "endTime": null, "status": status},
            ],
            "data": [],
        })
    );
    let snake: Value = serde_json::from_slice(&encode_reply(&reply, Case::Snake)).unwrap();
    assert_eq!(
        snake["header"],
        json!({"request_id": "r1", "status": status, "exec_endpoint": "/x", "target_executor": ""})
    );
    assert_eq!(snake["routes"][0], json!({"executor": "gateway", "start_time": time, "end_time": time}));
    let body: Value = serde_json::from_slice(&encode_problem(Some("r1"), &problem)).unwrap();
    assert_eq!((&body["detail"], &body["error"]["code"]), (&json!("boom"), &json!("guest_error")));
    assert_eq!(body["header"]["status"]["description"], status["description"]);
    assert_eq!((&body["header"]["requestId"], &body["routes"]), (&json!("r1"), &Value::Null));
}

#[test]
fn what_cannot_be_read_is_told_as_fastapi_does() {
    let check = |body: &str, place: Value, words: &str| {
        let problem = refused(body);
        let body: Value = serde_json::from_slice(&encode_unprocessable(&problem)).unwrap();
        assert_eq!(body["detail"][0]["loc"], place, "{body}");
        assert!(body["detail"][0]["msg"].as_str().unwrap().starts_with(words), "{body}");
        assert_eq!(body["error"]["code"], "invalid_request");
    };
    check(r#"{"data": [{"text": 5}]}"#, json!(["body", "data", 0, "text"]), "invalid type");
    check(
        r#"{"data": [{}, {"chunks": [{"id": 5}]}]}"#,
        json!(["body", "data", 1, "chunks", 0, "id"]),
        "invalid",
    );
    check(r#"{"data": 7}"#, json!(["body", "data"]), "invalid type");
    check(r#"{"parameters": 7}"#, json!(["body", "parameters"]), "invalid type");
    check("nonsense", json!(["body"]), "this is not JSON: expected");
    check("", json!(["body"]), "the body is empty");
}

#[test]
fn blobs_of_v2_callers_are_plain() {
    let body = r#"{"header":{"request_id":"r","exec_endpoint":"/"},"data":[{"blob":"aGk="}]}"#;
    let request = read(body);
    assert_eq!(request.dialect, Dialect::DocArrayV2);
    let Some(Values::Bytes(values)) = request.documents.column("blob").map(|column| column.values()) else {
        panic!("a blob")
    };
    assert_eq!(values[0], Some(Bytes::from_static(b"aGk=")));
}

#[test]
fn heads_are_read_without_the_documents() {
    let check = |body: &str, id: Option<&str>, endpoint: Option<&str>| {
        let head = super::decode_head(body.as_bytes());
        assert_eq!((head.id.as_deref(), head.endpoint.as_deref()), (id, endpoint), "{body}");
    };
    check(
        r#"{"header": {"request_id": "a", "exec_endpoint": "/x"}, "data": [{"text": 7}]}"#,
        Some("a"),
        Some("/x"),
    );
    check(r#"{"data": [], "execEndpoint": "/y", "header": {"requestId": "b"}}"#, Some("b"), Some("/y"));
    check(r#"{"header": null, "data": null}"#, None, None);
    check(r#"{"header": {"request_id": ""}}"#, None, None);
    check("nonsense", None, None);
    check(&"[".repeat(10_000), None, None);
}
