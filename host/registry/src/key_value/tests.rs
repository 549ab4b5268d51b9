//! Stores are apart, counted exactly, and there after a restart.

use proptest::prelude::*;

use super::*;
use crate::fixture::{Fixture, acme};

fn store(fixture: &Fixture, tenant: &str, executor: &str) -> ExecutorStore {
    fixture.registry.key_value_store(tenant.parse().unwrap(), executor.parse().unwrap())
}

#[test]
fn each_executor_has_a_store_of_its_own() {
    let fixture = Fixture::new();
    let mine = store(&fixture, "acme", "shout");
    for (tenant, executor) in [("acme", "shout-2"), ("acme", "shou"), ("other", "shout"), ("acm", "shout")] {
        store(&fixture, tenant, executor).set("k", b"theirs", 100).unwrap();
    }
    assert_eq!((mine.get("k").unwrap(), mine.keys("", None, 10).unwrap()), (None, vec![]));
    for key in ["a/1", "a/2", "a/3", "b", ""] {
        mine.set(key, key.as_bytes(), 100).unwrap();
    }
    let check = |prefix: &str, after: Option<&str>, limit: usize, expected: &[&str]| {
        assert_eq!(mine.keys(prefix, after, limit).unwrap(), expected, "{prefix} {after:?} {limit}");
    };
    check("", None, 10, &["", "a/1", "a/2", "a/3", "b"]);
    check("", Some(""), 2, &["a/1", "a/2"]);
    check("a/", None, 2, &["a/1", "a/2"]);
    check("a/", Some("a/2"), 2, &["a/3"]);
    check("a/", Some("Z"), 9, &["a/1", "a/2", "a/3"]);
    check("a/", Some("z"), 9, &[]);
    check("c", None, 9, &[]);
    check("", None, 0, &[]);
    assert!(mine.delete("b").unwrap());
    assert!(!mine.delete("b").unwrap());
    drop(mine);
    let fixture = fixture.reopen(|_| ());
    // Only `acme` and `other` are tenants, and none of these is an executor: the start swept them all.
    assert_eq!(store(&fixture, "acme", "shout").size().unwrap(), 0);
    fixture.publish("shout", "one");
    store(&fixture, "acme", "shout").set("k", b"v", 100).unwrap();
    let fixture = fixture.reopen(|_| ());
    assert_eq!(store(&fixture, "acme", "shout").get("k").unwrap().unwrap(), b"v");
    fixture.registry.delete_executor(&acme(), &"shout".parse().unwrap()).unwrap();
    assert_eq!(store(&fixture, "acme", "shout").get("k").unwrap(), None);
    store(&fixture, "acme", "shout").set("late", b"write", 100).unwrap();
    fixture.publish("shout", "two");
    assert_eq!(store(&fixture, "acme", "shout").size().unwrap(), 0);
}

#[test]
fn what_is_too_large_changes_nothing() {
    let fixture = Fixture::new();
    let mine = store(&fixture, "acme", "shout");
    let check = |key: &str, value: &[u8], most: u64, expected: Option<&str>, size: u64| {
        let set = mine.set(key, value, most).err().map(|fault| fault.to_string());
        assert_eq!((set.as_deref(), mine.size().unwrap()), (expected, size));
    };
    check("key", b"12345", 10, None, 8);
    check("key", b"1234567", 10, None, 10);
    check("key", b"12345678", 10, Some("the store would hold more than 10 bytes"), 10);
    check("b", b"", 10, Some("the store would hold more than 10 bytes"), 10);
    assert_eq!(mine.get("key").unwrap().unwrap(), b"1234567");
    // A smaller grant than what is there: it may only shrink.
    check("key", b"123456", 5, None, 9);
    check("key", b"1234567", 5, Some("the store would hold more than 5 bytes"), 9);
    check(&"k".repeat(1025), b"", 10_000, Some("the key has 1025 bytes, at most 1024 are taken"), 9);
    check(
        "v",
        &vec![0; (1 << 20) + 1],
        u64::MAX,
        Some("the value has 1048577 bytes, at most 1048576 are taken"),
        9,
    );
    fixture.registry.flush_key_values().unwrap();
    fixture.registry.flush_key_values().unwrap();
    fixture.registry.compact().unwrap();
    assert_eq!(mine.size().unwrap(), 9);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn bytes_are_what_is_there(steps in proptest::collection::vec(("[ab]{0,2}", proptest::option::of(0_usize..9)), 1..30)) {
        let fixture = Fixture::new();
        let mine = store(&fixture, "acme", "shout");
        let mut model = std::collections::BTreeMap::new();
        for (key, value) in steps {
            let size = |model: &std::collections::BTreeMap<String, usize>| model.iter().map(|(key, len)| key.len() + len).sum::<usize>();
            match value {
                Some(len) => {
                    let mut after = model.clone();
                    after.insert(key.clone(), len);
                    let fits = size(&after) <= 20 || size(&after) <= size(&model);
                    prop_assert_eq!(mine.set(&key, &vec![7; len], 20).is_ok(), fits);
                    if fits {
                        model = after;
                    }
                }
                None => prop_assert_eq!(mine.delete(&key).unwrap(), model.remove(&key).is_some()),
            }
            prop_assert_eq!(mine.size().unwrap(), size(&model) as u64);
            prop_assert_eq!(mine.keys("", None, 99).unwrap(), model.keys().cloned().collect::<Vec<_>>());
        }
    }
}
