//! The kit's own promises: guests are built, made components are what they say, conditions are waited for.

use crate::{fixtures, process, wait_for};

#[test]
fn guests_are_built_and_others_are_made_of_them() {
    let bytes = |path: std::path::PathBuf| std::fs::read(path).unwrap();
    let honest = bytes(fixtures::component("manifests"));
    let changed = bytes(fixtures::manifest_component("garbage"));
    assert_eq!(honest.len(), changed.len());
    let difference = honest.iter().zip(&changed).filter(|(a, b)| a != b).count();
    assert!((1..=32).contains(&difference), "{difference} bytes differ");
    let starts = |path, magic: &[u8]| assert!(bytes(path).starts_with(magic));
    starts(fixtures::component("hostile"), b"\0asm\x0d\0\x01\0");
    starts(fixtures::component("chunker"), b"\0asm\x0d\0\x01\0");
    starts(fixtures::component_without_exports(), b"\0asm\x0d\0\x01\0");
    starts(fixtures::core_module(), b"\0asm\x01\0\0\0");
}

#[tokio::test]
async fn a_condition_is_asked_until_it_holds() {
    let mut asked = 0;
    let value = wait_for("three questions", async || {
        asked += 1;
        (asked == 3).then_some("held")
    })
    .await;
    assert_eq!((value, asked), ("held", 3));
}

#[test]
fn a_process_has_memory_while_it_lives() {
    assert!(process::resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
    assert_eq!(process::resident_bytes(u32::MAX - 1), None);
}
