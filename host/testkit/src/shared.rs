//! Where the repository and its target folder are, and the lock behind which test processes share what they make.

use std::fs::File;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}

/// The folder in which cargo built the running test; cargo marks it with a tag.
pub fn target_folder() -> PathBuf {
    let tests = std::env::current_exe().unwrap_or_default();
    let tagged = tests.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| repository().join("target"), Path::to_path_buf)
}

/// Holds `target/NAME.lock` until dropped. Another process that wants it waits.
pub(crate) fn lock(name: &str) -> File {
    let path = target_folder().join(format!("{name}.lock"));
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()))
}
