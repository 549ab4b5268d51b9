//! What strangers upload: each of it is refused in words or runs within limits, and the process lives.

use lockgate_domain::{ErrorCode, LimitKind};
use wasmparser::{Parser, Validator};

use super::guest::{Guest, OK};
use super::*;

/// Refused for what it is, in words that name what is wrong.
fn refused(runtime: &Runtime, bytes: &[u8], words: &str) -> Problem {
    let problem = runtime.load(bytes).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::InvalidComponent, "{problem:?}");
    assert!(problem.message().contains(words), "{problem:?} lacks {words:?}");
    assert!(problem.digest().is_some(), "{problem:?}");
    problem
}

/// The contract's whole world around an empty program, as the toolchains encode it.
fn encoded() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/executor.wit");
    let package = resolve.push_file(wit).unwrap();
    let world = resolve.select_world(&[package], Some("executor-world")).unwrap();
    let abi = wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, abi);
    wit_component::embed_component_metadata(&mut module, &resolve, world, Default::default()).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[test]
fn cut_off_at_any_section() {
    for bytes in [encoded(), Guest::calling(OK).bytes()] {
        let mut cuts = std::collections::BTreeSet::new();
        for payload in Parser::new(0).parse_all(&bytes) {
            if let Some((_, range)) = payload.unwrap().as_section() {
                cuts.extend([range.start.saturating_sub(1), range.start, range.end - 1, range.end]);
            }
        }
        cuts.remove(&bytes.len());
        assert!(cuts.len() > 50, "{}", cuts.len());
        for cut in cuts {
            let rest = &bytes[..cut];
            if Validator::new().validate_all(rest).is_err() {
                refused(&RUNTIME, rest, "");
                continue;
            }
            // A whole component still, only without what stood at its end.
            if let Err(problem) = RUNTIME.load(rest) {
                assert_ne!(problem.code(), ErrorCode::HostFault, "{cut}: {problem:?}");
            }
        }
    }
}

#[test]
fn random_bytes() {
    let mut state = 1u64;
    for length in [1, 7, 8, 9, 100, 10_000] {
        for with_header in [false, true] {
            let mut bytes = if with_header { b"\0asm\x0d\0\x01\0".to_vec() } else { Vec::new() };
            bytes.extend((0..length).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            }));
            refused(&RUNTIME, &bytes, "");
        }
    }
}

#[tokio::test]
async fn ten_thousand_flipped_bits() {
    let bytes = wat::parse_str(Guest::calling(OK).text()).unwrap();
    let limits = Limits { fuel: 1_000_000, wall_time_ms: 1000, memory_bytes: 1 << 20, ..Limits::default() };
    let (mut ran, mut failed, mut state) = (0, 0, 0x9e37_79b9_7f4a_7c15u64);
    for _ in 0..10_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = (state >> 33) as usize % (bytes.len() * 8);
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // What the validator refuses is refused before it is compiled; that answer is cheap enough to check always.
        let is_valid = Validator::new().validate_all(&damaged).is_ok();
        match RUNTIME.load(&damaged) {
            Ok(component) => {
                assert!(is_valid, "bit {bit}");
                let setup =
                    PoolSetup::new("ex".parse().unwrap(), component, options(InstanceMode::Reused, 1));
                let pool = InstancePool::new(&RUNTIME, PoolSetup { limits, ..setup });
                match pool.invoke(invocation()).await {
                    Ok(_) => ran += 1,
                    Err(problem) => {
                        assert!(!problem.message().is_empty());
                        failed += 1;
                    }
                }
            }
            Err(problem) => {
                assert_ne!(problem.code(), ErrorCode::HostFault, "bit {bit}: {problem:?}");
                failed += 1;
            }
        }
    }
    assert!(ran > 0 && failed > 0, "{ran} ran, {failed} failed");
}

#[test]
fn more_than_can_ever_start() {
    let check = |item: &str, kind: LimitKind, limit: u64| {
        let problem = RUNTIME.load(&wat::parse_str(format!("(component (core module {item}))")).unwrap());
        let problem = problem.unwrap_err();
        assert_eq!(problem.limit_passed(), Some((kind, limit)), "{problem:?}");
        assert!(problem.hint().is_some());
    };
    check("(memory 65536)", LimitKind::Memory, 256 << 20);
    check("(memory 2049) (memory 2048)", LimitKind::Memory, 256 << 20);
    check("(table 100001 funcref)", LimitKind::Table, 100_000);
    // A data segment that says it is larger than the file.
    let bytes = Guest { items: r#"(data (i32.const 0) "abcdefgh")"#, ..Guest::calling(OK) }.bytes();
    let at = bytes.windows(9).position(|window| window == b"\x08abcdefgh").unwrap();
    let mut longer = bytes;
    longer[at] = 0x7f;
    refused(&RUNTIME, &longer, "does not compile");
    for wide in ["(memory i64 1)", "(table i64 1 funcref)"] {
        let text = format!("(component (core module {wide}))");
        refused(&RUNTIME, &wat::parse_str(text).unwrap(), "64-bit");
    }
}

#[test]
fn more_of_anything_than_toolchains_make() {
    let check = |text: String, words: &str| {
        refused(&RUNTIME, &wat::parse_str(text).unwrap(), words);
    };
    let times = |count: usize, text: &str| text.repeat(count);
    let module = |text: String| format!("(component (core module {text}))");
    check(module(times(100_000, "(type (func))")), "types");
    check(module(times(100_000, r#"(import "a" "b" (func))"#)), "imports and exports of core modules");
    check(module(times(150_001, "(func)")), "functions");
    check(module(times(500_001, "(global i32 (i32.const 0))")), "section entries");
    check(format!("(component {})", times(100_000, "(type u8)")), "types");
    let imports: String =
        (0..1500).map(|index| format!(r#"(import "a:b/i{index}@0.1.0" (instance))"#)).collect();
    check(format!("(component {imports})"), "imports");
    let exports: String =
        (0..1500).map(|index| format!(r#"(export "a:b/i{index}@0.1.0" (instance 0))"#)).collect();
    check(format!(r#"(component (import "a:b/x@0.1.0" (instance)) {exports})"#), "exports");
}

/// A section with one type that holds another, and so on: three bytes a level.
fn nested_types(depth: usize, kind: u8) -> Vec<u8> {
    let mut types = vec![1];
    for _ in 0..depth {
        types.extend([kind, 1, 1]);
    }
    types.extend([kind, 0]);
    let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut length = types.len();
    while length > 127 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(types);
    bytes
}

#[test]
fn types_within_types() {
    for kind in [0x41, 0x42] {
        for depth in [65, 1_000, 1_000_000] {
            refused(&RUNTIME, &nested_types(depth, kind), "types within types");
        }
        refused(&RUNTIME, &nested_types(20, kind), "does not export");
    }
    let among_others = r#"(component (type (instance
        (type (record (field "a" u8))) (export "r" (type (eq 0))) (core type (module)) (alias outer 1 0 (type))
        (type (component (import "f" (func (param "x" u32))) (type (instance (export "g" (func)))))))))"#;
    let text = among_others.replacen("(component (type", "(component (type u8) (type", 1);
    refused(&RUNTIME, &wat::parse_str(text).unwrap(), "does not export");
}

#[test]
fn names_that_are_no_names() {
    // A name of the same length takes the place of one that the text format allows.
    let with_name = |name: &str| {
        let place = format!("a:b/{}", "x".repeat(name.len() - 4));
        let text = format!(r#"(component (import "{place}" (instance)))"#);
        let mut bytes = wat::parse_str(text).unwrap();
        let at = bytes.windows(place.len()).position(|window| window == place.as_bytes()).unwrap();
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        bytes
    };
    for name in [
        "../../../etc/passwd",
        "a:b/\0\0\0\0",
        "a:b/\u{1b}[2J",
        "lockgate:executor/d\u{43e}cs@0.1.0",
        "lockgate:executor/docs\u{202e}@0.1.0",
        "lockgate:executor/../docs@0.1.0",
    ] {
        let problem = RUNTIME.load(&with_name(name)).unwrap_err();
        assert!(
            matches!(problem.code(), ErrorCode::InvalidComponent | ErrorCode::CapabilityDenied),
            "{problem:?}"
        );
        let shown = problem.message();
        assert!(!shown.contains(['\0', '\u{1b}', '\u{202e}', '\n']), "{shown:?}");
    }
    refused(&RUNTIME, &with_name(&format!("a:b/{}", "x".repeat(10_000))), "bytes in the name");
}

#[test]
fn the_same_component_a_hundred_times_at_once_is_compiled_once() {
    let runtime = Runtime::new(RuntimeOptions { max_instances: 1, ..RuntimeOptions::default() }).unwrap();
    let bytes = Guest::calling(OK).bytes();
    let all: Vec<Arc<Component>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(|| runtime.load(&bytes).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|component| Arc::ptr_eq(component, &all[0])));
    assert_eq!(runtime.compiled(), 1);
}

/// A compiler that waits until it is told, so that others wait behind it.
#[test]
fn a_burst_of_uploads_waits_in_a_line_with_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let script = "while [ ! -e \"$0\" ]; do :; done; exit 1";
    let arguments = ["-c".into(), script.into(), gate.clone().into_os_string()].to_vec();
    let compiler = Some(crate::CompilerCommand { program: "/bin/sh".into(), arguments });
    let options =
        RuntimeOptions { max_instances: 1, compile_queue: 2, compiler, ..RuntimeOptions::default() };
    let runtime = Runtime::new(options).unwrap();
    let component = |number: u32| Guest { manifest: format!("{number}"), ..Guest::calling(OK) }.bytes();
    std::thread::scope(|scope| {
        let inside: Vec<_> = (0..4)
            .map(|number| {
                let upload = scope.spawn({
                    let (runtime, bytes) = (&runtime, component(number));
                    move || runtime.load(&bytes).unwrap_err()
                });
                while runtime.compiling() <= u64::from(number) {
                    std::thread::yield_now();
                }
                upload
            })
            .collect();
        let problem = runtime.load(&component(9)).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::Overloaded, "{problem:?}");
        assert_eq!(problem.limit_passed(), Some((LimitKind::Queue, 2)));
        assert!(problem.retry_after_ms().is_some());
        std::fs::write(&gate, b"").unwrap();
        for upload in inside {
            assert_eq!(upload.join().unwrap().code(), ErrorCode::HostFault, "that compiler gives no answer");
        }
    });
    assert_eq!((runtime.compiling(), runtime.compiled()), (0, 4));
}
