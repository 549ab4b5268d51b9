//! Ports and protocols.

use crate::yaml::tests::{errors, spec};

#[test]
fn each_protocol_may_have_a_port_of_its_own() {
    let read =
        |with: &str| spec(&format!("jtype: Flow\nwith: {{{with}}}\nexecutors: [{{uses: e.wasm}}]")).gateway;
    let check = |with: &str, port: Option<u16>, ports: &[(&str, u16)]| {
        let gateway = read(with);
        let read: Vec<_> = gateway.ports.iter().map(|port| (port.protocol.as_str(), port.port)).collect();
        assert_eq!((gateway.port, read.as_slice()), (port, ports), "{with}");
    };
    check("", None, &[]);
    check("port: 9", Some(9), &[]);
    check("port: [9]", Some(9), &[]);
    check("protocol: [grpc, http]", None, &[]);
    check("protocol: [grpc, http], port: 9", Some(9), &[]);
    check("protocol: [grpc, HTTP], port: [9, 10]", None, &[("grpc", 9), ("http", 10)]);
    check("protocol: [websocket, http], port: [0, 0]", None, &[("websocket", 0), ("http", 0)]);
    assert!(read("cors: true").cors && !read("").cors);

    let check = |with: &str, expected: &str| {
        let told = errors(&format!("jtype: Flow\nwith: {{{with}}}\nexecutors: [{{uses: e.wasm}}]"));
        assert!(told.starts_with(expected), "{told}");
    };
    check(
        "protocol: grpc, port: [1, 2]",
        "`port` of `with` names 2 ports, and `protocol` one protocol (line 2): write as many",
    );
    check(
        "protocol: [grpc, http, websocket], port: [1, 2]",
        "`port` of `with` names 2 ports, and `protocol` 3 protocols",
    );
    check("protocol: [grpc, http], port: [7, 7]", "`port` of `with` names 7 twice");
    check("protocol: [grpc, smtp], port: [x, 70000]", "\"smtp\" is not a protocol (line 2): there are grpc");
    check("port: []", "`port` of `with` names none, and `protocol` none");
    check("cors: 1", "`cors` of `with` must be true or false, not 1");
}
