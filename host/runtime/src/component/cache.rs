//! Compiled code on disk, so that a component is compiled once per engine configuration.
//!
//! An artefact is machine code that this process will run, and wasmtime does not check its bytes. It is therefore
//! only read from a directory that nobody else may enter, only when its SHA-256 stands beside it, and only under a
//! name that holds the digest of the component and everything the engine's code depends on. Anything else, damaged,
//! stale or half-written, is deleted and compiled again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lockgate_domain::{ComponentDigest, ErrorCode, Problem};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

const EXTENSION: &str = "cwasm";
const CHECKSUM_EXTENSION: &str = "sha256";

/// A directory of artefacts, bounded in bytes.
#[derive(Debug)]
pub(crate) struct ArtefactCache {
    directory: PathBuf,
    max_bytes: u64,
    /// what the code of this engine depends on besides the component
    flavour: String,
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
        let mut hasher = WideHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let flavour = hex(&hasher.0.finalize()).chars().take(16).collect();
        Ok(Self { directory: directory.to_owned(), max_bytes, flavour })
    }

    /// The compiled component, if a sound artefact of it is there.
    pub(crate) fn get(&self, engine: &Engine, digest: ComponentDigest) -> Option<Compiled> {
        let path = self.path(digest);
        if !path.exists() {
            return None;
        }
        if !is_sound(&path).unwrap_or(false) {
            tracing::warn!(path = %path.display(), "compiled code does not match its checksum, compiling again");
            remove(&path);
            return None;
        }
        match load(engine, &path) {
            Ok(compiled) => {
                // The time of last use, for eviction; not worth an error.
                File::open(&path).and_then(|file| file.set_modified(SystemTime::now())).ok();
                Some(compiled)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code does not load, compiling again");
                remove(&path);
                None
            }
        }
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
        self.directory.join(format!("{}-{}.{EXTENSION}", digest.hex(), self.flavour))
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

/// All 256 bits of what wasmtime hashes, where the standard hasher would keep 64.
struct WideHasher(Sha256);

impl Hasher for WideHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}
