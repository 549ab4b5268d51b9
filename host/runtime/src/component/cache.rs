//! Compiled code on disk, so that a component is compiled once per engine configuration.
//!
//! An artefact is machine code that this process will run, and wasmtime does not check its bytes. It is therefore
//! only read from a directory that nobody else may enter, only when its SHA-256 stands beside it, and only under a
//! name that holds the digest of the component and everything the engine's code depends on. Anything else, damaged,
//! stale or half-written, is deleted and compiled again.
//!
//! The checksum of one file is verified once in a process: after that the file is known by its inode, size and times
//! of change, which the kernel moves with every write. Hashing a large artefact takes longer than mapping it, and what
//! the check is for (a crash in the middle, a bad restore, another program's hand) shows in those.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lockgate_domain::{ComponentDigest, ErrorCode, Problem};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

/// How old the time of last use may grow before it is written again.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);
/// Verified files that are remembered; beyond it all are forgotten and verified once more.
const MAX_REMEMBERED: usize = 100_000;
const EXTENSION: &str = "cwasm";
const CHECKSUM_EXTENSION: &str = "sha256";

/// A directory of artefacts, bounded in bytes.
#[derive(Debug)]
pub(crate) struct ArtefactCache {
    directory: PathBuf,
    max_bytes: u64,
    /// what the code of this engine depends on besides the component
    engine: String,
    /// files whose checksum was verified
    verified: Mutex<HashMap<ComponentDigest, Stamp>>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl ArtefactCache {
    /// Opens the directory, creating it with access for this user only.
    pub(crate) fn open(directory: &Path, max_bytes: u64, engine: &Engine) -> Result<Self, Problem> {
        let problem = |error: io::Error| {
            let path = directory.display();
            Problem::new(ErrorCode::HostFault, format!("the directory for compiled code {path}: {error}"))
                .with_hint("name another directory, or leave it out to compile at every start")
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(problem)?;
        let metadata = fs::metadata(directory).map_err(problem)?;
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(problem)?;
        }
        if !is_ours(directory, metadata.uid()).map_err(problem)? {
            let path = directory.display();
            let message = format!("the directory for compiled code {path} belongs to another user");
            return Err(Problem::new(ErrorCode::HostFault, message)
                .with_hint("name another directory: who can write here decides what this process runs"));
        }
        let (directory, engine) = (directory.to_owned(), crate::engine::identify(engine));
        Ok(Self { directory, max_bytes, engine, verified: Mutex::default() })
    }

    /// The compiled component, if a sound artefact of it is there.
    pub(crate) fn get(&self, engine: &Engine, digest: ComponentDigest) -> Option<Compiled> {
        let path = self.path(digest);
        let metadata = fs::metadata(&path).ok()?;
        if !self.is_verified(digest, &path, &metadata) {
            tracing::warn!(path = %path.display(), "compiled code does not match its checksum, compiling again");
            self.remove(digest, &path);
            return None;
        }
        match load(engine, &path) {
            Ok(compiled) => {
                self.touch(digest, &path, &metadata);
                Some(compiled)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code does not load, compiling again");
                self.remove(digest, &path);
                None
            }
        }
    }

    /// Whether the file's checksum holds, or held when this process looked last and the file is still the same.
    fn is_verified(&self, digest: ComponentDigest, path: &Path, metadata: &Metadata) -> bool {
        let stamp = Stamp::of(metadata);
        if self.verified.lock().get(&digest) == Some(&stamp) {
            return true;
        }
        let sound = is_sound(path).unwrap_or(false);
        if sound {
            self.remember(digest, stamp);
        }
        sound
    }

    fn remember(&self, digest: ComponentDigest, stamp: Stamp) {
        let mut verified = self.verified.lock();
        if verified.len() >= MAX_REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, stamp);
    }

    /// Moves the time of last use, by which artefacts are evicted, at most once an hour; not worth an error.
    fn touch(&self, digest: ComponentDigest, path: &Path, metadata: &Metadata) {
        let now = SystemTime::now();
        let is_recent = |used: SystemTime| now.duration_since(used).is_ok_and(|age| age < TOUCH_AFTER);
        if metadata.modified().is_ok_and(is_recent) {
            return;
        }
        let touched = File::open(path).and_then(|file| file.set_modified(now).and_then(|()| file.metadata()));
        match touched {
            // The same file as a moment ago, but for the time that was just set.
            Ok(after) if (after.ino(), after.len()) == (metadata.ino(), metadata.len()) => {
                self.remember(digest, Stamp::of(&after));
            }
            _ => {}
        }
    }

    fn remove(&self, digest: ComponentDigest, path: &Path) {
        self.verified.lock().remove(&digest);
        remove(path);
    }

    /// Keeps an artefact, then evicts the longest unused ones beyond the bound. A full disk is logged, not an error:
    /// the component runs without its artefact.
    pub(crate) fn put(&self, digest: ComponentDigest, artefact: &[u8]) {
        if let Err(error) = self.write(&self.path(digest), artefact) {
            tracing::warn!(directory = %self.directory.display(), %error, "compiled code cannot be kept");
        }
        if let Err(error) = self.evict() {
            tracing::warn!(directory = %self.directory.display(), %error, "old compiled code cannot be evicted");
        }
    }

    fn path(&self, digest: ComponentDigest) -> PathBuf {
        self.directory.join(format!("{}-{}.{EXTENSION}", digest.hex(), self.engine))
    }

    /// Checksum first: an artefact without its checksum, or with another's, is never run.
    fn write(&self, path: &Path, artefact: &[u8]) -> io::Result<()> {
        let checksum = hex(&Sha256::digest(artefact));
        self.replace(&path.with_extension(CHECKSUM_EXTENSION), checksum.as_bytes())?;
        self.replace(path, artefact)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unique = format!("tmp-{}-{:016x}", std::process::id(), rand_name(path));
        let temporary = self.directory.join(unique);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.directory)?.sync_all()
        })();
        if written.is_err() {
            fs::remove_file(&temporary).ok();
        }
        written
    }

    fn evict(&self) -> io::Result<()> {
        let mut artefacts = Vec::new();
        let mut total = 0u64;
        for entry in fs::read_dir(&self.directory)? {
            let (entry, metadata) = match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok(found) => found,
                Err(_) => continue,
            };
            let extension = entry.extension().and_then(|extension| extension.to_str());
            if extension == Some(EXTENSION) {
                total += metadata.len();
                artefacts.push((
                    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    metadata.len(),
                    entry,
                ));
            }
        }
        artefacts.sort();
        for (_, size, path) in artefacts {
            if total <= self.max_bytes {
                break;
            }
            remove(&path);
            total -= size;
        }
        Ok(())
    }
}

#[expect(unsafe_code, reason = "mapping machine code that this process compiled itself, see below")]
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Compiled> {
    // SAFETY: the file holds what `Engine::precompile_component` of the same configuration gave: its bytes match the
    // checksum that was written with them, its name holds the configuration's hash, and the directory is closed to
    // other users (0700), so nobody can have put other bytes there or change them while they are mapped.
    unsafe { Compiled::deserialize_file(engine, path) }
}

/// Machine code that was compiled a moment ago and is not on disk.
#[expect(unsafe_code, reason = "running machine code that this program compiled itself, see below")]
pub(crate) fn map_bytes(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Compiled> {
    // SAFETY: the bytes come straight from `compile`, in this process or in a child of the same program.
    unsafe { Compiled::deserialize(engine, artefact) }
}

fn is_sound(path: &Path) -> io::Result<bool> {
    let expected = fs::read_to_string(path.with_extension(CHECKSUM_EXTENSION))?;
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(bytes) => hasher.update(bytes),
        }
    }
    Ok(hex(&hasher.finalize()) == expected)
}

fn remove(path: &Path) {
    // Gone already is as good; anything else shows at the next write.
    fs::remove_file(path).ok();
    fs::remove_file(path.with_extension(CHECKSUM_EXTENSION)).ok();
}

/// Whether files that this process makes there have the directory's owner.
fn is_ours(directory: &Path, owner: u32) -> io::Result<bool> {
    let probe = directory.join(format!("tmp-{}-{:016x}", std::process::id(), rand_name(directory)));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
    let ours = file.metadata()?.uid() == owner;
    fs::remove_file(&probe)?;
    Ok(ours)
}

/// Distinguishes two threads that write the same artefact at once.
fn rand_name(path: &Path) -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
