//! Requests kept for replay: one file each, a bounded number and size for each tenant, the oldest removed.
//!
//! A file is written beside its name first, so a reader never sees half of one. What a list shows stands in a small
//! file next to it. Ids become file names, so only those that are names are taken; a request's own id is kept if it is
//! one.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lockgate_control::CapsuleEntry;
use lockgate_domain::ids::fresh_hex_id;
use lockgate_domain::{ErrorCode, ExecutorName, Problem, RequestId, TenantName, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Capsules of one tenant.
const MOST: usize = 200;
/// Bytes of all capsules of one tenant.
const MOST_BYTES: u64 = 256 << 20;
/// Longest id in bytes.
const MAX_ID_BYTES: usize = 64;

/// The folder of all capsules.
#[derive(Debug)]
pub(crate) struct CapsuleStore {
    folder: PathBuf,
    /// Held while files are added and removed, so that bounds are kept exactly.
    writing: Mutex<()>,
}

/// What is known about a request that is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct CapsuleFacts {
    pub(crate) request: RequestId,
    pub(crate) executor: ExecutorName,
    pub(crate) endpoint: String,
    pub(crate) at: Timestamp,
    pub(crate) error: Option<ErrorCode>,
}

/// The small file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Label {
    executor: ExecutorName,
    endpoint: String,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    size: u64,
}

impl CapsuleStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, writing: Mutex::default() }
    }

    /// Keeps a capsule, and removes the oldest ones that there is no room for. Gives its id. Blocks on the disk.
    pub(crate) fn keep(
        &self,
        tenant: &TenantName,
        facts: &CapsuleFacts,
        capsule: &[u8],
    ) -> Result<String, Problem> {
        let size = capsule.len() as u64;
        if size > MOST_BYTES {
            let message = format!("a capsule of {size} bytes is not kept, {MOST_BYTES} is the most");
            return Err(Problem::new(ErrorCode::HostFault, message));
        }
        let _turn = self.writing.lock();
        let folder = self.of_tenant(tenant);
        let write = || -> io::Result<String> {
            fs::create_dir_all(&folder)?;
            self.make_room(&folder, size)?;
            let id = free_id(&folder, &facts.request);
            let label = Label {
                executor: facts.executor.clone(),
                endpoint: facts.endpoint.clone(),
                at: facts.at,
                error: facts.error.map(|code| code.as_str().to_owned()),
                size,
            };
            // The capsule first: a label without one would promise what is not there.
            write_whole(&capsule_path(&folder, &id), capsule)?;
            write_whole(&label_path(&folder, &id), &serde_json::to_vec(&label)?)?;
            Ok(id)
        };
        write().map_err(|error| fault("kept", &error))
    }

    /// Newest first. Blocks on the disk.
    pub(crate) fn list(&self, tenant: &TenantName) -> Result<Vec<CapsuleEntry>, Problem> {
        let mut labels = labels(&self.of_tenant(tenant)).map_err(|error| fault("listed", &error))?;
        labels.reverse();
        let entry = |(id, label): (String, Label)| CapsuleEntry {
            id,
            executor: label.executor,
            endpoint: label.endpoint,
            at: label.at,
            error: label.error,
            size: label.size,
        };
        Ok(labels.into_iter().map(entry).collect())
    }

    /// One file. Blocks on the disk.
    pub(crate) fn read(&self, tenant: &TenantName, id: &str) -> Result<Option<Vec<u8>>, Problem> {
        if !is_id(id) {
            return Ok(None);
        }
        match fs::read(capsule_path(&self.of_tenant(tenant), id)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault("read", &error)),
        }
    }

    /// Removes all of a tenant. Blocks on the disk.
    pub(crate) fn forget(&self, tenant: &TenantName) -> Result<(), Problem> {
        let _turn = self.writing.lock();
        match fs::remove_dir_all(self.of_tenant(tenant)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("removed", &error)),
            _ => Ok(()),
        }
    }

    fn of_tenant(&self, tenant: &TenantName) -> PathBuf {
        self.folder.join(tenant.as_str())
    }

    fn make_room(&self, folder: &Path, size: u64) -> io::Result<()> {
        let labels = labels(folder)?;
        let mut bytes: u64 = labels.iter().map(|(_, label)| label.size).sum();
        let mut count = labels.len();
        for (id, label) in labels {
            if count < MOST && bytes.saturating_add(size) <= MOST_BYTES {
                break;
            }
            fs::remove_file(label_path(folder, &id))?;
            fs::remove_file(capsule_path(folder, &id))?;
            bytes = bytes.saturating_sub(label.size);
            count -= 1;
        }
        Ok(())
    }
}

/// The labels of a folder, oldest first. What is no label, or is gone by the time it is read, is passed over.
fn labels(folder: &Path) -> io::Result<Vec<(String, Label)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let read = |path: PathBuf| {
        let id = path.file_name()?.to_str()?.strip_suffix(".label")?.to_owned();
        let label = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        Some((id, label))
    };
    let mut labels: Vec<(String, Label)> = entries.flatten().filter_map(|entry| read(entry.path())).collect();
    labels.sort_by(|(a_id, a), (b_id, b)| (a.at, a_id).cmp(&(b.at, b_id)));
    Ok(labels)
}

fn capsule_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

fn label_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.label"))
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The request's id if it can be a file name and no capsule has it.
fn free_id(folder: &Path, request: &RequestId) -> String {
    let wanted = request.as_str();
    if is_id(wanted) && !capsule_path(folder, wanted).exists() { wanted.to_owned() } else { fresh_hex_id() }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn fault(done: &str, error: &io::Error) -> Problem {
    Problem::new(ErrorCode::HostFault, format!("capsules cannot be {done}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(request: &str, at: u64) -> CapsuleFacts {
        CapsuleFacts {
            request: RequestId::accept(request),
            executor: "shout".parse().unwrap(),
            endpoint: "/upper".into(),
            at: Timestamp::from_millis(at),
            error: Some(ErrorCode::GuestTrap),
        }
    }

    #[test]
    fn capsules_are_listed_newest_first_and_read_back_by_their_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let store = CapsuleStore::new(folder.path().to_owned());
        let (acme, beta): (TenantName, TenantName) = ("acme".parse().unwrap(), "beta".parse().unwrap());
        assert_eq!(store.list(&acme).unwrap(), []);
        assert_eq!(store.keep(&acme, &facts("first", 1), b"{1}").unwrap(), "first");
        assert_eq!(store.keep(&acme, &facts("second", 2), b"{22}").unwrap(), "second");
        let again = store.keep(&acme, &facts("second", 3), b"{3}").unwrap();
        assert_ne!(again, "second");
        let told: Vec<(String, u64)> =
            store.list(&acme).unwrap().into_iter().map(|entry| (entry.id, entry.size)).collect();
        assert_eq!(told, [(again, 3), ("second".into(), 4), ("first".into(), 3)]);
        assert_eq!(store.read(&acme, "second").unwrap().as_deref(), Some(&b"{22}"[..]));
        assert_eq!(store.read(&beta, "second").unwrap(), None);
        assert_eq!(store.list(&beta).unwrap(), []);
        store.forget(&beta).unwrap();
        store.forget(&acme).unwrap();
        assert_eq!(store.list(&acme).unwrap(), []);
        assert_eq!(store.read(&acme, "second").unwrap(), None);
    }

    #[test]
    fn ids_never_leave_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = CapsuleStore::new(folder.path().to_owned());
        let acme: TenantName = "acme".parse().unwrap();
        for hostile in ["../beta/x", "a/b", ".", "..", "a.b", "", &"x".repeat(65)] {
            assert_eq!(store.read(&acme, hostile).unwrap(), None, "{hostile:?}");
            let id = store.keep(&acme, &facts(hostile, 1), b"{}").unwrap();
            assert!(is_id(&id), "{hostile:?}: {id}");
            assert!(store.read(&acme, &id).unwrap().is_some());
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = CapsuleStore::new(folder.path().to_owned());
        let acme: TenantName = "acme".parse().unwrap();
        for number in 0..MOST as u64 + 2 {
            store.keep(&acme, &facts(&format!("r{number}"), number), b"{}").unwrap();
        }
        let entries = store.list(&acme).unwrap();
        assert_eq!((entries.len(), entries.last().unwrap().id.as_str()), (MOST, "r2"));
        assert_eq!(store.read(&acme, "r0").unwrap(), None);
    }
}
