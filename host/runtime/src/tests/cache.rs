//! Compiled code on disk: found again, and never run when anything is wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::guest::{Guest, OK};
use super::*;

/// What a new process would see: whether the component came from the cache.
fn load_from(dir: &Path) -> bool {
    let options = RuntimeOptions {
        cache_dir: Some(dir.to_owned()),
        max_instances: 1,
        cache_bytes: 1 << 20,
        ..RuntimeOptions::default()
    };
    Runtime::new(options).unwrap().load(&Guest::calling(OK).bytes()).unwrap().loaded_from_cache()
}

fn file(dir: &Path, extension: &str) -> PathBuf {
    let mut paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
}

#[test]
fn artefacts_are_found_again_and_damaged_ones_are_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("compiled");
    assert!(!load_from(&dir), "nothing there yet");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(load_from(&dir));

    let damage = |damage: &dyn Fn(&Path)| {
        damage(&dir);
        assert!(!load_from(&dir), "compiled again");
        assert!(load_from(&dir), "and kept");
    };
    damage(&|dir| {
        let path = file(dir, "cwasm");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    });
    damage(&|dir| fs::write(file(dir, "cwasm"), b"").unwrap());
    damage(&|dir| fs::remove_file(file(dir, "sha256")).unwrap());
    damage(&|dir| fs::write(file(dir, "sha256"), "0".repeat(64)).unwrap());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "no temporary files stay behind");
}

#[test]
fn the_oldest_artefacts_are_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let options = RuntimeOptions {
        cache_dir: Some(directory.path().to_owned()),
        max_instances: 1,
        cache_bytes: 1,
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::new(options).unwrap();
    runtime.load(&Guest::calling(OK).bytes()).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
