//! Prefixes end where a tenant ends; versions; what happens after the disk failed.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::*;

const WORDS: Shelf<String> = Shelf::new("words");

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("registry.redb")).unwrap();
    (folder, store)
}

#[test]
fn scans_stay_below_their_key() {
    let (_folder, store) = store();
    let keys = ["a", "a-b/x", "a/x", "a/y", "a/y/z", "a0/x", "aa/x", "b/x"];
    store
        .write(|transaction| {
            for key in keys {
                let parts: Vec<&dyn std::fmt::Display> = vec![&key];
                WORDS.put(transaction, &RowKey::of(&parts), &key.to_owned())?;
            }
            Ok(())
        })
        .unwrap();
    let check = |under: &[&str], after: Option<&str>, expected: &[&str], backwards: &[&str]| {
        let parts: Vec<&dyn std::fmt::Display> = under.iter().map(|part| part as _).collect();
        let key = RowKey::of(&parts);
        let (mut found, mut found_back) = (Vec::new(), Vec::new());
        store
            .read(|source| {
                WORDS.scan(source, &key, after, |_, word| {
                    found.push(word);
                    Ok(ControlFlow::Continue(()))
                })?;
                WORDS.scan_back(source, &key, after, |_, word| {
                    found_back.push(word);
                    Ok(ControlFlow::Continue(()))
                })
            })
            .unwrap();
        assert_eq!((found, found_back), (owned(expected), owned(backwards)), "{under:?} {after:?}");
    };
    check(&["a"], None, &["a/x", "a/y", "a/y/z"], &["a/y/z", "a/y", "a/x"]);
    check(&["a"], Some("x"), &["a/y", "a/y/z"], &[]);
    check(&["a"], Some("y"), &["a/y/z"], &["a/x"]);
    check(&["a", "y"], None, &["a/y/z"], &["a/y/z"]);
    check(&["c"], None, &[], &[]);
    check(&[], None, &keys, &["b/x", "aa/x", "a0/x", "a/y/z", "a/y", "a/x", "a-b/x", "a"]);

    let left = store.write(|transaction| {
        WORDS.remove_below(transaction, &RowKey::of(&[&"a"]))?;
        WORDS.all(transaction, &RowKey::of(&[]))
    });
    assert_eq!(left.unwrap(), ["a", "a-b/x", "a0/x", "aa/x", "b/x"]);
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn bytes_are_counted_exactly_and_a_refusal_changes_nothing() {
    let (_folder, store) = store();
    let key = RowKey::of(&[&"k"]);
    let grown = store.write(|transaction| {
        Ok([
            WORDS.put(transaction, &key, &"1234".to_owned())?,
            WORDS.put(transaction, &key, &"12".to_owned())?,
            WORDS.remove(transaction, &key)?,
            WORDS.remove(transaction, &key)?,
        ])
    });
    assert_eq!(grown.unwrap(), [6, -2, -4, 0]);
    let refused: Result<(), Problem> = store.write(|transaction| {
        WORDS.put(transaction, &key, &"x".to_owned())?;
        Err(crate::refusal::not_found("thing", "x").into())
    });
    assert_eq!(refused.unwrap_err().message(), "there is no thing x");
    assert_eq!(store.write(|transaction| WORDS.get(transaction, &key)).unwrap(), None);
}

#[test]
fn a_newer_schema_is_refused() {
    let (folder, store) = store();
    store.write(|transaction| table::META.put(transaction, &RowKey::of(&[&"schema"]), &7).map(drop)).unwrap();
    drop(store);
    let problem = Store::open(&folder.path().join("registry.redb")).err().unwrap();
    assert!(problem.message().ends_with("has schema 7, this version knows 1"), "{problem}");
    assert!(problem.hint().unwrap().contains("run that version"));
}

#[test]
fn the_store_goes_on_after_an_error_of_the_disk() {
    let (_folder, store) = store();
    let key = RowKey::of(&[&"k"]);
    store.write(|transaction| WORDS.put(transaction, &key, &"kept".to_owned()).map(drop)).unwrap();
    let full = || StoreError::Database(redb::Error::Io(std::io::ErrorKind::StorageFull.into()));
    let failed: Result<(), Problem> = store.write(|_| Err(full()));
    let failed = failed.unwrap_err();
    assert_eq!(failed.code(), lockgate_domain::ErrorCode::Overloaded);
    assert_eq!(failed.message(), "the host's disk is full; nothing was changed");
    assert!(store.live.broken.load(Ordering::Acquire));
    assert_eq!(store.read(|source| WORDS.get(source, &key)).unwrap().as_deref(), Some("kept"));
    assert!(!store.live.broken.load(Ordering::Acquire));
    store.compact().unwrap();
    assert_eq!(store.read(|source| WORDS.get(source, &key)).unwrap().as_deref(), Some("kept"));
}

#[test]
fn a_start_that_was_killed_before_the_first_commit_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("registry.unfinished"), [0; 5000]).unwrap();
    let path = folder.path().join("registry.redb");
    drop(Store::open(&path).unwrap());
    drop(Store::open(&path).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // A file that is no database is not overwritten.
    std::fs::write(&path, [0; 5000]).unwrap();
    assert_eq!(Store::open(&path).err().unwrap().code(), lockgate_domain::ErrorCode::HostFault);
    assert_eq!(std::fs::read(&path).unwrap(), [0; 5000]);
}
