//! The SDK as an author meets it: attributes, documents, errors and the in-memory host.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "endpoints of tests are not marked as tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_sdk::prelude::*;
use lockgate_sdk::serde_json::{Value, json};
use lockgate_sdk::{Column, Dtype, Input, Kind, Level};

/// Exercises what an executor can do.
///
/// In two paragraphs.
#[derive(Default)]
struct Everything {
    calls: u32,
}

#[derive(Deserialize, Parameters)]
struct Echo {
    /// What to say.
    say: String,
}

#[derive(Deserialize)]
struct Undescribed {
    count: usize,
}

#[derive(Document, Clone, Debug, PartialEq)]
struct Page {
    id: String,
    text: Option<String>,
    #[document(default)]
    views: u32,
    price: Option<f64>,
    #[document(column = "public")]
    is_public: Option<bool>,
    blob: Option<Vec<u8>>,
    embedding: Option<Vec<f32>>,
    tags: Option<Json<BTreeMap<String, Value>>>,
    chunks: Vec<Chunk>,
    #[document(skip)]
    seen: bool,
}

#[derive(Document, Clone, Debug, PartialEq)]
struct Chunk {
    text: String,
}

#[derive(Document)]
struct Tree {
    chunks: Vec<Tree>,
}

/// Exercises what an executor can do.
///
/// In two paragraphs.
#[executor(name = "everything", version = "7", stateful)]
impl Everything {
    #[endpoint("/nothing")]
    fn nothing(&mut self) {
        self.calls += 1;
    }

    /// Says it.
    #[endpoint("/echo", writes("text"), streaming)]
    fn echo(&self, parameters: Echo, documents: &mut Documents) -> Result<()> {
        documents.set_texts((0..documents.len()).map(|_| &parameters.say))
    }

    #[endpoint("/pages")]
    fn pages(&self, mut pages: Vec<Page>) -> Vec<Page> {
        for page in &mut pages {
            page.views += 1;
            page.chunks.push(Chunk { text: "end".into() });
        }
        pages
    }

    #[endpoint("/resize")]
    fn resize(&self, parameters: Undescribed) -> Result<Vec<Chunk>> {
        Ok((0..parameters.count).map(|row| Chunk { text: row.to_string() }).collect())
    }

    #[endpoint("/tree")]
    fn tree(&self, _: Vec<Tree>) {}

    #[endpoint("/rows")]
    fn rows(&self, documents: &mut Documents) -> Result<()> {
        documents.for_each(|document| {
            if document.row() == 1 {
                document.set_text("first try");
                document.set_text(Some("second"));
                assert_eq!(document.text()?, "second");
                document.set_number("price", None);
                document.set_bytes("blob", vec![1, 2]);
                document.set_embedding(&[1.0, 2.0]);
            }
            document.set_integer("row", i64::try_from(document.row())?);
            Ok(())
        })
    }

    #[endpoint("/cycle")]
    fn cycle(&self, documents: &mut Documents) -> Result<()> {
        documents.set_chunks([[0]])?;
        documents.read::<Tree>().map(drop)
    }

    #[endpoint("/stream")]
    fn stream(&self, documents: &mut Documents, request: &Request) -> Result<()> {
        for word in ["a", "b", "c"] {
            request.check()?;
            documents.set_texts([word])?;
            if !documents.emit([0])? {
                warn!("nobody listens to {word}");
                break;
            }
        }
        metrics::counter("streams", 1.0, &[("kind", "words")]);
        Ok(())
    }

    #[endpoint("/request")]
    fn request(&self, request: &Request) -> Result<()> {
        assert_eq!(request.id(), "r1");
        assert_eq!(request.header("traceparent").as_deref(), Some("00-1"));
        assert_eq!(request.parameter::<u8>("n")?, Some(3));
        assert_eq!(request.parameter::<u8>("m")?, None);
        assert_eq!(request.remaining(), Some(Duration::from_millis(5)));
        let inputs = [Input { executor: "a".into(), rows: 0..1 }, Input { executor: "b".into(), rows: 1..3 }];
        assert_eq!(request.inputs(), inputs);
        request.parameter::<String>("n").map(drop)
    }
}

fn refused(endpoint: &str, parameters: Value, documents: Value, expected: &str) {
    let mut host = TestHost::new().parameters(parameters);
    let error = host.call::<Everything>(endpoint, documents).unwrap_err();
    assert!(format!("{error:?}").contains(expected), "{expected:?} is not in {error:?}");
}

#[test]
fn the_manifest_comes_from_the_source() {
    let manifest = TestHost::manifest::<Everything>().unwrap();
    assert_eq!(manifest["name"], "everything");
    assert_eq!(manifest["version"], "7");
    assert_eq!(manifest["stateful"], true);
    assert_eq!(manifest["description"], "Exercises what an executor can do.\n\nIn two paragraphs.");
    let endpoints = manifest["endpoints"].as_array().unwrap();
    let echo = json!({
        "name": "/echo", "description": "Says it.", "reads": [], "writes": ["text"], "streaming": true,
        "parameters": {
            "type": "object", "required": ["say"],
            "properties": { "say": { "type": "string", "description": "What to say." } },
        },
    });
    assert_eq!(endpoints[1], echo);
    let columns = json!(["id", "text", "views", "price", "public", "blob", "embedding", "tags", "chunks"]);
    let pages = json!({ "name": "/pages", "description": "", "reads": columns, "writes": columns, "streaming": false });
    assert_eq!(endpoints[2], pages);
    assert_eq!(
        endpoints[3],
        json!({ "name": "/resize", "description": "", "reads": [], "writes": ["text"], "streaming": false })
    );
}

#[test]
fn a_call_that_touches_nothing_asks_nothing_and_state_survives() {
    let mut host = TestHost::new();
    for _ in 0..3 {
        let reply = host.call::<Everything>("/nothing", documents![{ "text": "a" }]).unwrap();
        assert!(reply.host_calls().is_empty());
        assert_eq!(reply.texts(), ["a"]);
    }
    assert_eq!(host.executor::<Everything>().unwrap().calls, 3);
}

#[test]
fn typed_documents_map_fields_to_columns() {
    let input = documents![
        { "id": "1", "text": "a", "views": 2, "price": 1.5, "public": true, "blob": "xy", "embedding": [1, 2],
          "tags": { "k": [1] }, "chunks": [{ "text": "one" }, { "text": "two" }] },
        { "id": "2" },
    ];
    let mut host = TestHost::new();
    let reply = host.call::<Everything>("/pages", input).unwrap();
    let pages = reply.read::<Page>().unwrap();
    let chunks = |texts: &[&str]| texts.iter().map(|text| Chunk { text: (*text).into() }).collect::<Vec<_>>();
    let expected = Page {
        id: "1".into(),
        text: Some("a".into()),
        views: 3,
        price: Some(1.5),
        is_public: Some(true),
        blob: Some(b"xy".to_vec()),
        embedding: Some(vec![1.0, 2.0]),
        tags: Some(Json([("k".to_owned(), json!([1]))].into())),
        chunks: chunks(&["one", "two", "end"]),
        seen: false,
    };
    assert_eq!(pages[0], expected);
    assert_eq!(pages[1].chunks, chunks(&["end"]));
    assert_eq!((pages[1].views, &pages[1].text, &pages[1].price), (1, &None, &None));
    let again = host.call::<Everything>("/pages", pages).unwrap();
    assert_eq!(again.read::<Page>().unwrap()[0].views, 4);
}

#[test]
fn a_typed_reply_may_be_longer_or_shorter() {
    for (count, expected) in [(0, vec![]), (1, vec!["0"]), (2, vec!["0", "1"]), (4, vec!["0", "1", "2", "3"])]
    {
        let mut host = TestHost::new().parameters(json!({ "count": count }));
        let reply = host.call::<Everything>("/resize", documents![{ "text": "a" }, { "text": "b" }]).unwrap();
        assert_eq!(reply.texts(), expected);
    }
}

#[test]
fn rows_write_what_they_change_and_keep_the_rest() {
    let input = documents![{ "text": "a", "price": 1.5 }, { "text": "b", "price": 2.5 }, { "text": "c" }];
    let reply = TestHost::new().call::<Everything>("/rows", input).unwrap();
    assert_eq!(reply.texts(), ["a", "second", "c"]);
    assert_eq!(reply.column("price"), [json!(1.5), json!(null), json!(null)]);
    assert_eq!(reply.column("row"), [json!(0), json!(1), json!(2)]);
    assert_eq!(reply.column("blob"), [json!(null), json!([1, 2]), json!(null)]);
    assert_eq!(reply.column("embedding"), [json!(null), json!([1.0, 2.0]), json!(null)]);
}

#[test]
fn streams_end_when_nobody_listens() {
    let reply = TestHost::new().call::<Everything>("/stream", documents![{ "id": "x" }]).unwrap();
    let word = |word: &str| vec![json!({ "id": "x", "text": word })];
    assert_eq!(reply.emitted(), [word("a"), word("b"), word("c")]);
    let mut host = TestHost::new().listener_leaves_after(1);
    assert_eq!(host.call::<Everything>("/stream", documents![{}]).unwrap().emitted().len(), 1);
    assert_eq!(host.logs(), [(Level::Warn, "nobody listens to b".to_owned())]);
    assert_eq!(host.metric("streams"), Some(1.0));
    let cancelled = TestHost::new().cancelled().call::<Everything>("/stream", documents![{}]).unwrap_err();
    assert_eq!(cancelled.code(), Code::Cancelled);
    let late =
        TestHost::new().remaining(Duration::ZERO).call::<Everything>("/stream", documents![{}]).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[test]
fn the_request_is_known() {
    let mut host =
        TestHost::new().request_id("r1").header("traceparent", "00-1").parameters(json!({ "n": 3 }));
    host = host.remaining(Duration::from_millis(5)).input("a", 1).input("b", 2);
    let error = host.call::<Everything>("/request", documents![]).unwrap_err();
    assert!(error.message().starts_with("the parameter \"n\": invalid type: integer"), "{error}");
}

/// Gives what the request asks for beside the documents.
#[derive(Default)]
struct Giving;

#[executor]
impl Giving {
    #[endpoint("/give")]
    fn give(&self, request: &Request) -> Result<()> {
        for given in request.parameter::<Vec<Value>>("given")?.unwrap_or_default() {
            request.set_results(&given)?;
        }
        Ok(())
    }

    #[endpoint("/nothing")]
    fn nothing(&self) {}
}

#[test]
fn results_stand_beside_the_documents() {
    let give = |given: Value| {
        let mut host = TestHost::new().parameters(json!({ "given": given }));
        host.call::<Giving>("/give", documents![{ "text": "a" }])
    };
    let reply = give(json!([{ "n": 1 }, { "n": 2 }])).unwrap();
    assert_eq!((reply.results(), reply.texts()), (Some(&json!({ "n": 2 })), vec!["a".to_owned()]));
    assert_eq!(reply.host_calls(), ["parameter", "set_results", "set_results"]);
    assert_eq!(give(json!([])).unwrap().results(), None);
    let refused = |given: Value| format!("{:?}", give(json!([given])).unwrap_err());
    assert_eq!(refused(json!([1])), "internal: giving results: they are no JSON object");
    let deep = (0..30).fold(json!({ "a": 1 }), |inner, _| json!({ "a": inner }));
    assert!(refused(deep).starts_with("resource_exhausted: giving results: a limit"));
    let mut host = TestHost::new().parameters(json!({ "given": [{ "n": 1 }] }));
    host.call::<Giving>("/give", documents![]).unwrap();
    assert_eq!(host.call::<Giving>("/nothing", documents![]).unwrap().results(), None);
}

#[test]
fn refusals_name_what_is_wrong() {
    refused(
        "/echo",
        json!({}),
        documents![],
        "invalid_argument: the request's parameters: missing field `say`",
    );
    refused(
        "/none",
        json!({}),
        documents![],
        "unimplemented: everything has no endpoint \"/none\", it has /nothing,",
    );
    let wrong_kind = documents![{ "text": 3 }];
    refused(
        "/pages",
        json!({}),
        wrong_kind,
        "invalid_argument: reading the column \"text\" as text: the column holds",
    );
    let too_small = documents![{ "views": -1 }];
    refused("/pages", json!({}), too_small, "row 0 of the column \"views\": the value is no u32");
    let missing = documents![{}, { "chunks": [{}] }];
    refused("/pages", json!({}), missing, "invalid_argument: row 2 holds no value in the column \"text\"");
    refused(
        "/cycle",
        json!({}),
        documents![{}],
        "resource_exhausted: documents are nested deeper than 32 levels",
    );
}

/// One access each, inside of a call.
struct Access;

#[executor]
impl Access {
    #[init]
    fn new() -> Result<Self> {
        Ok(Self)
    }

    #[endpoint("/default")]
    fn all(&self, documents: &mut Documents) -> Result<()> {
        columns(documents)?;
        ranges(documents)?;
        nested(documents)
    }
}

fn columns(documents: &mut Documents) -> Result<()> {
    assert_eq!((documents.len(), documents.total()), (2, 2));
    assert_eq!(documents.columns(), [("id".to_owned(), Kind::Text), ("text".to_owned(), Kind::Text)]);
    assert_eq!(documents.ids()?.values().collect::<Vec<_>>(), [Some("id-0"), Some("id-1")]);
    documents.set_texts([Some("x"), None])?;
    assert_eq!(documents.texts()?.values().collect::<Vec<_>>(), [Some("x"), None]);
    documents.set_blobs([vec![1, 2, 3], vec![]])?;
    assert_eq!(documents.blobs()?, [Some(vec![1, 2, 3]), Some(vec![])]);
    documents.set_scores([json!({ "cosine": 0.5 }), Value::Null])?;
    assert_eq!(documents.scores::<BTreeMap<String, f64>>()?[0].as_ref().unwrap()["cosine"], 0.5);
    documents.set_tags([json!({ "a": 1 }), json!({})])?;
    assert_eq!(documents.tags::<Value>()?, [Some(json!({ "a": 1 })), Some(json!({}))]);
    documents.set_embeddings(&Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0])?)?;
    assert_eq!(documents.embeddings()?.get(1), Some(&[3.0, 4.0][..]));
    let tensor = documents.column("embedding").tensors()?[0].clone().unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::Float32, &[2][..]));
    documents.column("absent").matrix().unwrap_err();
    Ok(())
}

fn ranges(documents: &Documents) -> Result<()> {
    let check = |result: Result<()>, code: Code| assert_eq!(result.unwrap_err().code(), code);
    let text = || documents.column("text");
    check(text().set_texts(["only one"]), Code::InvalidArgument);
    check(text().set_integers([1, 2]), Code::InvalidArgument);
    check(text().rows(1..4)?.texts().map(drop), Code::OutOfRange);
    check(text().rows(4..usize::MAX).map(drop), Code::OutOfRange);
    check(documents.column("blob").bytes_range(2, 0, 1).map(drop), Code::OutOfRange);
    assert_eq!(documents.column("blob").bytes_range(0, 1, 9)?, [2, 3]);
    assert_eq!(documents.column("blob").bytes_range(0, 9, 9)?, [] as [u8; 0]);
    check(documents.column("chunks").set_links([vec![9], vec![]]), Code::OutOfRange);
    assert_eq!(text().rows(1..2).map(|column: Column<'_>| column.len())?, 1);
    Ok(())
}

fn nested(documents: &mut Documents) -> Result<()> {
    let rows = documents.append_all(vec![Chunk { text: "m".into() }])?;
    assert_eq!(rows, 2..3);
    documents.set_matches([rows, 0..0])?;
    assert_eq!(documents.matches()?, [vec![2], vec![]]);
    documents.select([1, 0])?;
    assert_eq!(documents.select([9]).unwrap_err().code(), Code::OutOfRange);
    Ok(())
}

#[test]
fn columns_follow_the_contract() {
    let reply = TestHost::new().call::<Access>("/anything", documents![{ "text": "a" }, {}]).unwrap();
    let expected = json!({
        "id": "id-0", "text": "x", "blob": [1, 2, 3], "embedding": [1.0, 2.0], "tags": { "a": 1 },
        "scores": { "cosine": 0.5 }, "matches": [{ "id": "id-2", "text": "m" }],
    });
    assert_eq!(reply.documents()[1], expected);
}

/// Asks a service and remembers its answers.
#[derive(Default)]
struct Asking;

/// Asks and remembers.
#[executor]
impl Asking {
    #[endpoint("/ask")]
    fn ask(&mut self, documents: &mut Documents) -> Result<()> {
        let known: Option<Vec<String>> = key_value::get_json("words")?;
        let words = match known {
            Some(words) => words,
            None => {
                let request = http::Request::post("https://api.example.org/words?v=1").bearer("key");
                let words: Vec<String> = request.json(&["a", "b"]).send()?.success()?.json()?;
                key_value::set_json("words", &words)?;
                words
            }
        };
        documents.map_texts(|_| words.join(" "))
    }

    #[endpoint("/forget")]
    fn forget(&mut self, documents: &mut Documents) -> Result<()> {
        let keys = key_value::keys("")?;
        let gone: Vec<bool> = keys.iter().map(|key| key_value::delete(key)).collect::<Result<_>>()?;
        documents.map_texts(|_| format!("{keys:?} {gone:?} {:?}", key_value::get("words")))
    }
}

#[test]
fn doubles_stand_for_what_is_granted() {
    let text = || documents![{ "text": "?" }];
    let denied = TestHost::new().call::<Asking>("/ask", text()).unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    let denied = TestHost::new().key_value().call::<Asking>("/ask", text()).unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    assert!(denied.to_string().contains("POST https://api.example.org/words: "), "{denied:?}");
    let mut host = TestHost::new().key_value().http(|request| {
        assert_eq!((request.method(), request.url()), ("POST", "https://api.example.org/words?v=1"));
        assert_eq!(request.sent_header("authorization"), Some("Bearer key"));
        assert_eq!(request.sent_header("content-type"), Some("application/json"));
        Ok(http::Response::new(200).with_body(request.sent_body()))
    });
    for _ in 0..2 {
        assert_eq!(host.call::<Asking>("/ask", text()).unwrap().texts(), ["a b"]);
    }
    assert_eq!(host.stored_value("words"), Some(&br#"["a","b"]"#[..]));
    let reply = host.call::<Asking>("/forget", text()).unwrap();
    assert_eq!(reply.texts(), [r#"["words"] [true] Ok(None)"#]);
    let mut host = TestHost::new().key_value().http(|_| Ok(http::Response::new(503)));
    assert_eq!(host.call::<Asking>("/ask", text()).unwrap_err().code(), Code::Unavailable);
}

#[test]
fn the_contract_is_the_repositorys() {
    let own = include_str!("../wit/executor.wit");
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit/executor.wit");
    match std::fs::read_to_string(published) {
        Ok(text) => assert_eq!(own, text, "copy wit/executor.wit to sdk/guest/rust/wit/"),
        // A copy of the SDK outside of the repository has only its own.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
