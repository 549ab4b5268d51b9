//! Faults of a disk, made to order: a process dies at the n-th change of a folder, or finds its disk full from there on.
//!
//! The work is done by a small library in C (`tests/fixtures/faults/faults.c`), which `cc` compiles once per target folder and
//! the dynamic linker loads before the program. It needs Linux and a program that is linked dynamically.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::shared::{lock, repository, target_folder};

/// Bytes of the control file.
const CONTROL_BYTES: usize = 64;
/// Where its numbers lie, each of eight bytes.
const COUNT: u64 = 0;
const KILL_AT: u64 = 8;
const FULL_FROM: u64 = 16;
const TORN: u64 = 24;
const REFUSED: u64 = 32;

/// The faults of one process: what is to come, and what has happened. Both may be changed while it runs.
#[derive(Debug)]
pub struct Faults {
    control: File,
    path: PathBuf,
}

impl Faults {
    /// None yet. `path` is a file that is made for the numbers, outside the folder that is watched.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let control = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let control = control.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let faults = Self { control, path };
        faults.put(0, &[0; CONTROL_BYTES]);
        faults
    }

    /// The same numbers, in the process that they are about.
    pub fn attach(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let control = File::options().read(true).write(true).open(&path);
        let control = control.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { control, path }
    }

    /// What a process needs in its environment so that its changes below `folder` count. Its children are not affected.
    pub fn environment(&self, folder: &Path) -> [(&'static str, OsString); 3] {
        let folder = folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        [
            ("LD_PRELOAD", library().into()),
            ("LOCKGATE_FAULTS_FOLDER", folder.into()),
            ("LOCKGATE_FAULTS_CONTROL", self.path.clone().into()),
        ]
    }

    /// Changes so far.
    pub fn points(&self) -> u64 {
        self.number(COUNT)
    }

    /// Calls that were told that there is no space.
    pub fn refused(&self) -> u64 {
        self.number(REFUSED)
    }

    /// The process dies at that point (the first is 1), before the call happens. `torn`: if it is a write, after half of it.
    pub fn kill_at(&self, point: u64, torn: bool) {
        self.put(TORN, &u64::from(torn).to_ne_bytes());
        self.put(KILL_AT, &point.to_ne_bytes());
    }

    /// After so many further changes there is no space.
    pub fn fill_after(&self, changes: u64) {
        self.put(FULL_FROM, &(self.points() + changes + 1).to_ne_bytes());
    }

    /// There is space again.
    pub fn make_room(&self) {
        self.put(FULL_FROM, &0_u64.to_ne_bytes());
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        match self.control.read_exact_at(&mut bytes, at) {
            Ok(()) => u64::from_ne_bytes(bytes),
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        if let Err(error) = self.control.write_all_at(bytes, at) {
            panic!("{}: {error}", self.path.display());
        }
    }
}

/// A folder in memory where there is one: a kill does not lose what was written, so nothing has to reach a disk.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.or_else(|_| TempDir::new()).unwrap_or_else(|error| panic!("no temporary folder: {error}"))
}

/// The compiled library.
fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let source = repository().join("tests/fixtures/faults/faults.c");
            compile(&source).unwrap_or_else(|why| panic!("cannot compile {}: {why}", source.display()))
        })
        .clone()
}

fn compile(source: &Path) -> Result<PathBuf, String> {
    let _lock = lock("lockgate-faults");
    let text = std::fs::read(source).map_err(|error| error.to_string())?;
    let digest: String = Sha256::digest(&text).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let library = target_folder().join(format!("lockgate-faults-{digest}.so"));
    if library.is_file() {
        return Ok(library);
    }
    let unfinished = library.with_extension("unfinished");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
    let output = compiler.arg(&unfinished).arg(source).arg("-ldl").output();
    let output = output.map_err(|error| format!("this test needs a C compiler called cc: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::rename(&unfinished, &library).map_err(|error| error.to_string())?;
    Ok(library)
}
