//! Where external executors are, in all the ways in which a file may say it.

use crate::yaml::tests::{errors, parse, spec};

#[test]
fn external_executors_are_read() {
    let read = |keys: &str| {
        let text = format!("jtype: Flow\nexecutors: [{{name: a, external: true, {keys}}}]");
        let stage = spec(&text).stages.remove(0);
        assert!(!stage.has_component() && !stage.is_passing(), "{keys}");
        stage.external.unwrap()
    };
    let check = |keys: &str, expected: &str| assert_eq!(read(keys).to_string(), expected, "{keys}");
    check("port: 80", "grpc://127.0.0.1:80");
    check("host: a, port: 80", "grpc://a:80");
    check("host: 'a:81'", "grpc://a:81");
    check("host: 'a:81', port: 80", "grpc://a:81");
    check("host: 'grpc://a:80/', tls: true", "grpc://a:80");
    check("host: 'grpcs://a', port: 443", "grpcs://a:443");
    check("host: '[::1]:80', tls: true", "grpcs://[::1]:80");
    check("host: '[::1]', port: 80", "grpc://[::1]:80");
    check("host: [a, b], port: 80", "grpc://a:80, grpc://b:80");
    check("host: [a, 'grpcs://b:81'], port: 80", "grpc://a:80, grpcs://b:81");
    check("host: a, port: [80, 81]", "grpc://a:80, grpc://a:81");
    check("host: [a, b], port: [80, 81], tls: true", "grpcs://a:80, grpcs://b:81");
    check("host: [a, a], port: 80", "grpc://a:80");
    let external = read("host: 'a:1', grpc_metadata: {Authorization: Bearer x, n: 5}, timeout_ready: 3s");
    let metadata = [("authorization".to_owned(), "Bearer x".to_owned()), ("n".to_owned(), "5".to_owned())];
    assert_eq!((external.metadata.as_slice(), external.ready_timeout_ms), (&metadata[..], 3000));
    assert_eq!(read("host: 'a:1', timeout_ready: -1").ready_timeout_ms, 600_000);

    let check = |keys: &str, expected: &str| {
        let told = errors(&format!("jtype: Flow\nexecutors: [{{name: a, external: true, {keys}}}]"));
        assert!(told.starts_with(expected), "{told}");
    };
    check("host: a", "executor `a` does not say on which port a is (line 2): write `port`");
    check("host: [a, b, c], port: [1, 2]", "executor `a` names 3 hosts and 2 ports (line 2): write one port");
    check(
        "host: 'http://a:80'",
        "`host` of executor `a` must be the name of a machine, not \"http://a:80\" (line 2): such as",
    );
    check("host: 'a b', port: 1", "`host` of executor `a` must be");
    check("host: 'a:0'", "`host` of executor `a` must be");
    check("host: ':80'", "`host` of executor `a` must be");
    check("port: 0", "`port` of executor `a` must be a number from 1 to 65535, not 0");
    check("port: [1, x]", "`port` of executor `a` must be a number from 1 to 65535");
    check(
        "port: 1, grpc_metadata: {'a b': c}",
        "`grpc_metadata` of executor `a` must be a set of at most 32 keys",
    );
    check("port: 1, grpc_metadata: {key-bin: c}", "`grpc_metadata` of executor `a` must be");
    check("port: 1, grpc_metadata: [secret]", "`grpc_metadata` of executor `a` must be");

    let notes = |keys: &str| {
        let file = parse(&format!("jtype: Flow\nexecutors: [{{name: a, {keys}}}]"));
        file.notes.iter().map(|note| note.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(notes("uses: a.wasm, host: b, port: 1").len(), 2);
    assert_eq!(
        notes("external: true, port: 1, uses: MyExecutor"),
        ["`uses` in executor `a` is ignored: it runs elsewhere"]
    );
}
