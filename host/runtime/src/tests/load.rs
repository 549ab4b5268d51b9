//! What is refused when it is loaded, with which words, and what an accepted component says.

use lockgate_domain::{ErrorCode, LimitKind};

use super::guest::{Guest, OK};
use super::*;

fn refused(bytes: &[u8]) -> Problem {
    RUNTIME.load(bytes).unwrap_err()
}

fn check(bytes: &[u8], code: ErrorCode, message: &str, hint: &str) {
    let problem = refused(bytes);
    assert_eq!(problem.code(), code, "{problem:?}");
    assert!(problem.message().contains(message), "{problem:?} lacks {message:?}");
    assert!(problem.hint().unwrap_or_default().contains(hint), "{problem:?} lacks the hint {hint:?}");
}

#[test]
fn a_component_is_described() {
    let component = load(&Guest::calling(OK));
    assert_eq!(component.manifest().name, "probe");
    assert_eq!(component.manifest().endpoints[0].name.as_str(), "/run");
    assert_eq!((component.memories(), component.tables()), (1, 1));
    let imports: Vec<&str> = component.imports().iter().map(|import| import.interface.as_str()).collect();
    assert_eq!(imports, ["types", "docs", "host"].map(|name| format!("lockgate:executor/{name}@0.1.0")));
    assert_eq!(component.exports(), ["lockgate:executor/executor@0.1.0"]);
    let again = load(&Guest::calling(OK));
    assert!(Arc::ptr_eq(&component, &again), "the same bytes are one component");
}

#[test]
fn bytes_that_are_no_component() {
    let invalid = ErrorCode::InvalidComponent;
    check(b"", invalid, "empty", "");
    check(b"\0", invalid, "no WebAssembly", "00 61 73 6d");
    check(b"print('hi')", invalid, "no WebAssembly", "source file");
    check(b"(component)", invalid, "no WebAssembly", "text format");
    check(b"\0asm", invalid, "cut off", "copy it again");
    check(b"\0asm\x0a\0\x01\0", invalid, "version 10", "rebuild");
    check(&wat::parse_str("(module)").unwrap(), invalid, "core module", "component new");
    let wasip1 = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#;
    check(&wat::parse_str(wasip1).unwrap(), invalid, "wasip1", "--adapt");
    check(&wat::parse_str("(component)").unwrap(), invalid, "does not export", "exports nothing");
}

#[test]
fn truncated_anywhere_is_refused() {
    let bytes = Guest::calling(OK).bytes();
    for end in (0..bytes.len()).step_by(7) {
        let problem = refused(&bytes[..end]);
        assert_eq!(problem.code(), ErrorCode::InvalidComponent, "{end}: {problem:?}");
    }
}

#[test]
fn flipped_bits_never_harm_the_host() {
    let bytes = Guest::calling(OK).bytes();
    let mut random = fastrand_seeded();
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let bit = random.next(bytes.len() as u64 * 8) as usize;
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Accepted or refused: either way the host answers.
        drop(RUNTIME.load(&damaged));
    }
}

/// A fixed sequence, so that a failure can be repeated.
struct Sequence(u64);
fn fastrand_seeded() -> Sequence {
    Sequence(0x9e37_79b9_7f4a_7c15)
}
impl Sequence {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn imports_that_are_not_offered() {
    let with = |import: &str| {
        let imports = format!(r#"(import "{import}" (instance (export "f" (func))))"#);
        Guest { imports, ..Guest::calling(OK) }.bytes()
    };
    let denied = ErrorCode::CapabilityDenied;
    let invalid = ErrorCode::InvalidComponent;
    check(&with("wasi:sockets/tcp@0.2.0"), denied, "wasi:sockets/tcp", "--stub-wasi");
    check(&with("wasi:cli/stdou@0.2.0"), denied, "stdou", "wasi:cli/stdout@0.2");
    check(&with("lockgate:executor/docs@0.2.0"), invalid, "offers version 0.1.2", "SDK");
    check(&with("lockgate:executor/requests@0.1.0"), invalid, "does not exist", "executor/request@0.1.2");
    check(
        &with("lockgate:executor/request@0.1.7"),
        invalid,
        "uses f of lockgate:executor/request",
        "upgrade",
    );
    let plain = Guest { imports: r#"(import "f" (func))"#.into(), ..Guest::calling(OK) };
    check(&plain.bytes(), invalid, "\"f\"", "world");
}

#[test]
fn exports_of_another_contract() {
    let newer = Guest { export: "0.2.0", ..Guest::calling(OK) };
    check(&newer.bytes(), ErrorCode::InvalidComponent, "executor@0.2.0, this host speaks 0.1.2", "exports");
    let patched = Guest { export: "0.1.9", ..Guest::calling(OK) };
    load(&patched);
}

#[test]
fn descriptions_that_do_not_work() {
    let spins = Guest { describe: "(loop $l (br $l)) (unreachable)", ..Guest::calling(OK) };
    let problem = refused(&spins.bytes());
    assert_eq!(problem.limit_passed().map(|(kind, _)| kind), Some(LimitKind::Fuel), "{problem:?}");
    assert!(problem.hint().is_some_and(|hint| hint.contains("is fixed")), "{problem:?}");
    let traps = Guest { describe: "(unreachable)", ..Guest::calling(OK) };
    check(&traps.bytes(), ErrorCode::GuestTrap, "unreachable", "");
    let reads = Guest { describe: "(drop (call $len)) (i32.const 8)", ..Guest::calling(OK) };
    check(&reads.bytes(), ErrorCode::ContractViolation, "only while `call` runs", "");
    let text = Guest { manifest: "hello".into(), ..Guest::calling(OK) };
    check(&text.bytes(), ErrorCode::InvalidComponent, "not what the contract asks for", "describe");
    let huge =
        Guest { describe: "(i32.store (i32.const 12) (i32.const -1)) (i32.const 8)", ..Guest::calling(OK) };
    check(&huge.bytes(), ErrorCode::ContractViolation, "out of bounds", "");
}

#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let locals = format!("(component (core module (func (local {}))))", "i64 ".repeat(30_000));
    check(&wat::parse_str(locals).unwrap(), ErrorCode::InvalidComponent, "locals", "limit of the host");
    let deep = format!("{}{}", "(component ".repeat(30), ")".repeat(30));
    check(&wat::parse_str(deep).unwrap(), ErrorCode::InvalidComponent, "nested parts", "");
    let body = format!("(component (core module (func {})))", "(drop (i32.const 1))".repeat(400_000));
    check(&wat::parse_str(body).unwrap(), ErrorCode::InvalidComponent, "bytes in one function", "");
    let flow = format!(
        "(component (core module (func (local {}) {})))",
        "i32 ".repeat(5000),
        "(block (br_if 0 (i32.const 1)))".repeat(5000)
    );
    check(&wat::parse_str(flow).unwrap(), ErrorCode::InvalidComponent, "branches times locals", "");
    let modules = format!("(component {})", "(core module)".repeat(600));
    check(&wat::parse_str(modules).unwrap(), ErrorCode::InvalidComponent, "core modules", "");
}

#[test]
fn strings_must_be_utf8() {
    let text = Guest::calling(OK).text();
    let utf16 = text.replace(
        r#"(canon lift (core func $m "describe") (memory"#,
        r#"(canon lift (core func $m "describe") string-encoding=utf16 (memory"#,
    );
    check(&wat::parse_str(utf16).unwrap(), ErrorCode::InvalidComponent, "UTF-16", "UTF-8");
}

#[test]
fn components_compile_in_a_process_of_their_own() {
    let with = |program: std::path::PathBuf, arguments: &[&str]| {
        let arguments = arguments.iter().map(std::ffi::OsString::from).collect();
        let compiler = Some(crate::CompilerCommand { program, arguments });
        let options = RuntimeOptions { max_instances: 1, compiler, ..RuntimeOptions::default() };
        Runtime::new(options).unwrap().load(&Guest::calling(OK).bytes())
    };
    let tests = std::env::current_exe().unwrap();
    let worker = tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/compile_worker");
    let component = with(worker, &[]).unwrap();
    assert_eq!(component.manifest().name, "probe");
    let memory = component.report().compile_memory_bytes;
    assert!(memory.is_some_and(|bytes| bytes > 1 << 20), "{memory:?}");
    let check = |program: &str, arguments: &[&str], code: ErrorCode, words: &str| {
        let problem = with(program.into(), arguments).unwrap_err();
        assert_eq!(problem.code(), code, "{problem:?}");
        assert!(problem.message().contains(words), "{problem:?}");
    };
    check("/nonexistent", &[], ErrorCode::HostFault, "does not start");
    check("/bin/false", &[], ErrorCode::HostFault, "no answer");
    check("/bin/sh", &["-c", "kill -9 $$"], ErrorCode::InvalidComponent, "did not compile within");
    check("/bin/sh", &["-c", "printf '\\001too large'"], ErrorCode::InvalidComponent, "too large");
}

/// A component that imports all that a world of a contract has.
fn dummy(text: &str, world: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("executor.wit", text).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wit_component::dummy_module(
        &resolve,
        world,
        wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
    );
    wit_component::embed_component_metadata(&mut module, &resolve, world, Default::default()).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[test]
fn the_linker_offers_the_whole_contract() {
    let wit = include_str!("../../../../wit/executor.wit").replace(
        "  import host;\n  export executor;",
        "  import host;\n  import key-value;\n  export executor;",
    );
    let component = dummy(&wit, "executor-world");
    assert!(String::from_utf8_lossy(&component).contains("lockgate:executor/key-value@0.1.2"));
    // Everything links; only then the dummy's `describe` runs, which is `unreachable`.
    check(&component, ErrorCode::GuestTrap, "unreachable", "");
}

#[test]
fn components_of_older_contracts_link() {
    for (wit, version) in [
        (include_str!("../../../../wit/0.1.0/executor.wit"), "0.1.0"),
        (include_str!("../../../../wit/0.1.1/executor.wit"), "0.1.1"),
    ] {
        let component = dummy(wit, "executor-world");
        let import = format!("lockgate:executor/docs@{version}");
        assert!(String::from_utf8_lossy(&component).contains(&import), "{version}");
        check(&component, ErrorCode::GuestTrap, "unreachable", "");
    }
}

#[tokio::test]
async fn what_an_import_needs_must_be_granted() {
    let check = |import: &'static str, kind: &'static str, shown: &'static str, granted: &'static str| async move {
        let imports = format!(r#"(import "{import}" (instance))"#);
        let component = load(&Guest { imports, ..Guest::calling(OK) });
        let found = component.imports().iter().find(|found| found.interface == import).unwrap();
        assert_eq!(found.needs.map(|kind| kind.as_str()), Some(kind));
        let setup = PoolSetup::new("ex".parse().unwrap(), component.clone(), options(InstanceMode::Fresh, 1));
        let pool = InstancePool::new(&RUNTIME, setup.clone());
        for problem in [pool.prewarm().await.unwrap_err(), fails(&pool).await] {
            assert_eq!(problem.code(), ErrorCode::CapabilityDenied);
            assert!(problem.message().contains(import) && problem.message().ends_with(kind), "{problem:?}");
            assert!(problem.hint().is_some_and(|hint| hint.contains(shown)), "{problem:?}");
        }
        let capabilities = serde_json::from_str(granted).unwrap();
        let pool = InstancePool::new(&RUNTIME, PoolSetup { capabilities, ..setup });
        pool.invoke(invocation()).await.unwrap();
    };
    let http = r#"{"http": {"hosts": ["api.example.org"]}}"#;
    check("wasi:http/outgoing-handler@0.2.4", "http", "{ http: { hosts: [api.example.org] } }", http).await;
    check("wasi:http/outgoing-handler@0.2.10", "http", "QuickJS", http).await;
    let store = r#"{"key_value": {"bytes": 1048576}}"#;
    check("lockgate:executor/key-value@0.1.1", "key_value", "{ key_value: { bytes: 1MiB } }", store).await;
}
