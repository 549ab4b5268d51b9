//! A component that was examined before is opened without being read, and gone from memory when nobody uses it.

use std::fs;
use std::io;
use std::path::Path;

use lockgate_domain::ErrorCode;
use lockgate_domain::capability::CapabilityKind;

use super::guest::{Guest, OK};
use super::*;
use crate::KnownComponent;

fn runtime(dir: &Path) -> Runtime {
    let options =
        RuntimeOptions { cache_dir: Some(dir.to_owned()), max_instances: 4, ..RuntimeOptions::default() };
    Runtime::new(options).unwrap()
}

fn never() -> io::Result<Vec<u8>> {
    panic!("the bytes are not needed")
}

fn artefact(dir: &Path) -> std::path::PathBuf {
    let mut paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|found| found == "cwasm")).unwrap()
}

/// Whether code of a component in this directory is mapped into this process.
fn is_mapped(dir: &Path) -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().contains(dir.to_str().unwrap())
}

#[tokio::test]
async fn a_known_component_is_mapped_and_forgotten_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let runtime = runtime(dir);
    let loaded = runtime.load(&Guest::calling(OK).bytes()).unwrap();
    let (digest, size, report) = (loaded.digest(), loaded.size(), loaded.report().clone());
    let known = KnownComponent { digest, size, report: &report };
    assert!(Arc::ptr_eq(&loaded, &runtime.open(&known, never).unwrap()), "what is in use is shared");
    assert!(is_mapped(dir));
    drop(loaded);
    assert!(!is_mapped(dir), "the code left memory with its last user");

    for _ in 0..100 {
        let component = runtime.open(&known, never).unwrap();
        assert!(component.loaded_from_cache());
        assert_eq!((component.report(), component.size()), (&report, size));
        let setup = PoolSetup::new("ex".parse().unwrap(), component, options(InstanceMode::Reused, 1));
        let pool = InstancePool::new(&runtime, setup);
        pool.invoke(invocation()).await.unwrap();
        pool.close();
        assert!(is_mapped(dir), "the pool still holds its component");
        drop(pool);
        assert!(!is_mapped(dir));
    }
    assert_eq!(runtime.commons().pools(), 0, "pools that are gone are forgotten");
}

#[test]
fn what_cannot_be_mapped_is_read_verified_and_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let bytes = Guest::calling(OK).bytes();
    let loaded = runtime(dir).load(&bytes).unwrap();
    let (digest, size, report) = (loaded.digest(), loaded.size(), loaded.report().clone());
    drop(loaded);
    let known = KnownComponent { digest, size, report: &report };
    let check = |damage: &dyn Fn(&Path)| {
        damage(&artefact(dir));
        let opened = runtime(dir).open(&known, || Ok(bytes.clone())).unwrap();
        assert!(!opened.loaded_from_cache());
        drop(opened);
        assert!(runtime(dir).open(&known, never).unwrap().loaded_from_cache(), "and kept");
    };
    check(&|artefact| fs::remove_file(artefact).unwrap());
    check(&|artefact| fs::write(artefact, b"stale").unwrap());
    check(&|artefact| fs::remove_file(artefact.with_extension("sha256")).unwrap());

    let other = lockgate_domain::hosting::ComponentReport { engine: "another".into(), ..report.clone() };
    let known = KnownComponent { report: &other, ..known };
    assert_eq!(runtime(dir).open(&known, never).unwrap().manifest(), &report.manifest);

    let refused = |read: &dyn Fn() -> io::Result<Vec<u8>>, words: &str| {
        fs::remove_file(artefact(dir)).ok();
        let problem = runtime(dir).open(&known, read).unwrap_err();
        assert_eq!((problem.code(), problem.digest()), (ErrorCode::HostFault, Some(digest)));
        assert!(problem.message().contains(words), "{problem:?}");
    };
    refused(&|| Err(io::Error::from(io::ErrorKind::NotFound)), "cannot be read");
    fs::write(dir.join("x.cwasm"), b"").unwrap();
    refused(&|| Ok(bytes[1..].to_vec()), "another one");
}

/// A file that changes after it was verified is verified again, in the same process.
#[test]
fn a_changed_artefact_is_noticed_by_the_process_that_verified_it() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let runtime = runtime(dir);
    let bytes = Guest::calling(OK).bytes();
    let loaded = runtime.load(&bytes).unwrap();
    let (digest, size, report) = (loaded.digest(), loaded.size(), loaded.report().clone());
    drop(loaded);
    let known = KnownComponent { digest, size, report: &report };
    let mut damaged = fs::read(artefact(dir)).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(artefact(dir), &damaged).unwrap();
    assert!(!runtime.open(&known, || Ok(bytes)).unwrap().loaded_from_cache());
}

#[test]
fn a_report_says_what_was_found_out() {
    let component = load(&Guest::calling(OK));
    let report = component.report();
    assert_eq!(report.manifest.name, "probe");
    assert_eq!(report.exports, ["lockgate:executor/executor@0.1.0"]);
    let owners: Vec<&str> = report.imports.iter().map(|import| import.owner.as_str()).collect();
    assert_eq!((owners.as_slice(), report.needs().len()), (["lockgate"; 3].as_slice(), 0));
    assert!(report.code_bytes > 0 && report.instantiate_us > 0.0);
    assert!(report.compile_ms.is_some_and(|time| time > 0.0));
    assert_eq!(report.compile_memory_bytes, None, "compiled in this process");
    assert_eq!(report.engine, RUNTIME.engine_id());
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let version = crate::engine::WASMTIME;
    assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{version}\"\n")), "{version}");
    assert!(report.engine.starts_with(&format!("wasmtime-{version}-")), "{}", report.engine);
    let needs = |interface: &str| crate::component::needs(interface);
    assert_eq!(needs("wasi:http/outgoing-handler@0.2.3"), Some(CapabilityKind::Http));
    assert_eq!(needs("wasi:http/types@0.2.3"), None);
    assert_eq!(needs("lockgate:executor/key-value@0.1.0"), Some(CapabilityKind::KeyValue));
}
