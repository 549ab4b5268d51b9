//! The kit's own promises: guests are built, made components are what they say, conditions are waited for.

use crate::faults::Faults;
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

/// A shell makes five points below a folder: it creates `a` (1), writes `hello` and a line break (2), writes to what is there
/// (3), creates `b` (4), writes (5); what lies elsewhere does not count.
const CHANGES: &str = "cd below && echo hello > a && echo more >> a && echo elsewhere > $OUTSIDE && echo other > b; echo ended > $OUTSIDE";

#[test]
fn a_process_dies_at_its_point_or_lacks_space_from_there() {
    let check = |kill_at: u64, torn: bool, full_after: Option<u64>, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let faults = Faults::new(folder.path().join("control"));
        faults.kill_at(kill_at, torn);
        if let Some(changes) = full_after {
            faults.fill_after(changes);
        }
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", CHANGES]).current_dir(folder.path()).envs(faults.environment(&below));
        shell.env("OUTSIDE", folder.path().join("outside"));
        let output = shell.output().unwrap();
        let read = |path: std::path::PathBuf| {
            std::fs::read_to_string(path).map_or_else(|_| "-".to_owned(), |text| text.replace('\n', "|"))
        };
        let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
        let found = format!(
            "a={} b={} outside={} points={} refused={}{}",
            read(below.join("a")),
            read(below.join("b")),
            read(folder.path().join("outside")),
            faults.points(),
            faults.refused(),
            if killed { " killed" } else { "" },
        );
        assert_eq!(found, expected, "{kill_at} {torn} {full_after:?}: {output:?}");
    };
    check(0, false, None, "a=hello|more| b=other| outside=ended| points=5 refused=0");
    check(1, false, None, "a=- b=- outside=- points=1 refused=0 killed");
    check(2, false, None, "a= b=- outside=- points=2 refused=0 killed");
    check(2, true, None, "a=hel b=- outside=- points=2 refused=0 killed");
    check(3, true, None, "a=hello|mo b=- outside=- points=3 refused=0 killed");
    check(4, true, None, "a=hello|more| b=- outside=elsewhere| points=4 refused=0 killed");
    check(6, false, None, "a=hello|more| b=other| outside=ended| points=5 refused=0");
    check(0, false, Some(0), "a=- b=- outside=ended| points=1 refused=1");
    check(0, false, Some(1), "a= b=- outside=ended| points=2 refused=1");
    check(0, false, Some(3), "a=hello|more| b=- outside=ended| points=4 refused=1");
}
