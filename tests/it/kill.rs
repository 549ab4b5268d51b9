//! A kill at any moment leaves the old state or the new one, and a full disk is an answer: shown by killing at every moment.
//!
//! A library before libc counts what a process changes below its data directory and ends it with SIGKILL at one of these
//! points (`lockgate_testkit::faults`); every other kill of a write leaves half of it on the disk. After each, what is there
//! is compared with what a process that nobody killed had before and after the action that was in progress.

mod host;
mod process;
mod registry;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tries all points from 1 on, as many at once as there are processors; gives everything that was wrong.
fn at_all(points: u64, attempt: impl Fn(u64) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicU64::new(1);
    let violations = Mutex::new(Vec::new());
    let work = || loop {
        let point = next.fetch_add(1, Ordering::Relaxed);
        if point > points {
            return;
        }
        let wrong = attempt(point).into_iter().map(|wrong| format!("point {point}: {wrong}"));
        violations.lock().unwrap().extend(wrong);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    violations.into_inner().unwrap()
}

/// Files below the data directory that nothing may have left: uploads in progress, and files beside their name.
fn leftovers(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_unfinished = path.extension().is_some_and(|end| end == "new" || end == "unfinished");
            if path.is_dir() {
                folders.push(path);
            } else if is_unfinished || folder.ends_with("incoming") {
                found.push(path.strip_prefix(data).unwrap_or(&path).display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The names of all component files, in order.
fn component_files(data: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(data.join("components")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let mut names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
