//! The box for tenants' secrets: what is kept on disk can only be read with a key that lies in a file of its own.
//!
//! Each value is sealed by ChaCha20-Poly1305 with a random nonce of 96 bits, together with the tenant and the name it
//! belongs to, so that a sealed value copied to another tenant or another name does not open. Random nonces are good for
//! 2^32 values of one key; a host never gets near. The key file is made with mode 0600 and refused if others may read it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use lockgate_domain::{ErrorCode, Problem, SecretName, TenantName};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// First byte of every sealed value: which cipher, which layout.
const VERSION: u8 = 1;
/// What a key file starts with, so that another file is not taken for one. 64 hexadecimal digits follow.
const FILE_PREFIX: &str = "lockgate-vault-key-1 ";
const FILE_BYTES: usize = FILE_PREFIX.len() + 2 * KEY_BYTES + 1;

/// Seals and opens secrets of tenants.
pub struct Vault {
    cipher: ChaCha20Poly1305,
}

// === impl Vault ===

impl Vault {
    /// Longest secret in bytes.
    pub const MAX_SECRET_BYTES: usize = 64 << 10;

    /// With the key of that file, which is made if it is not there.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let key = match read_key(path) {
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => make_key(path),
            other => other,
        };
        let key = key.map_err(|error| cannot_use(path, &error))?;
        Ok(Self { cipher: ChaCha20Poly1305::new(&(*key).into()) })
    }

    /// Seals one secret.
    pub fn seal(&self, tenant: &TenantName, name: &SecretName, value: &[u8]) -> Result<Vec<u8>, Problem> {
        if value.len() > Self::MAX_SECRET_BYTES {
            let (limit, len) = (Self::MAX_SECRET_BYTES, value.len());
            let message = format!("secret {name:?} has {len} bytes; at most {limit} are kept");
            return Err(Problem::new(ErrorCode::InvalidRequest, message));
        }
        let fault = |_| Problem::new(ErrorCode::HostFault, format!("secret {name:?} could not be sealed"));
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)
            .map_err(|_| Problem::new(ErrorCode::HostFault, "the system gives no random numbers"))?;
        let payload = Payload { msg: value, aad: &context(tenant, name) };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(fault)?;
        Ok([&[VERSION], nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens one secret. Fails if a single bit differs, or if it was sealed for another tenant or name.
    pub fn unseal(
        &self,
        tenant: &TenantName,
        name: &SecretName,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let damaged = |what: &str| {
            Problem::new(ErrorCode::HostFault, format!("secret {name:?} of tenant {tenant:?} {what}"))
                .with_hint(
                    "store the secret again; if it happens to all secrets, the vault's key file was replaced",
                )
        };
        let (version, rest) = sealed.split_first().ok_or_else(|| damaged("is empty on disk"))?;
        if *version != VERSION {
            return Err(damaged(&format!("is sealed in version {version}, which this host does not know")));
        }
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .filter(|(_, body)| body.len() >= TAG_BYTES)
            .ok_or_else(|| damaged("is cut short on disk"))?;
        let payload = Payload { msg: body, aad: &context(tenant, name) };
        let opened = self.cipher.decrypt(&Nonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| damaged("does not open with this host's key"))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// What a sealed value belongs to. Names have no NUL, so no two pairs give the same bytes.
fn context(tenant: &TenantName, name: &SecretName) -> Vec<u8> {
    format!("lockgate secret v{VERSION}\0{tenant}\0{name}").into_bytes()
}

// === the key file ===

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}")]
    Io(io::Error),
    #[error("others may read it (mode {0:o})")]
    Exposed(u32),
    #[error("it is no file")]
    NotAFile,
    #[error("it is no key of a vault")]
    NotAKey,
    #[error("the system gives no random numbers")]
    NoRandomNumbers,
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
    let file = File::open(path)?;
    // Of the file that is open, not of the path: nobody can swap them in between.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(OpenError::NotAFile);
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(OpenError::Exposed(metadata.mode() & 0o777));
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES + 1));
    let read = file.take(FILE_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => OpenError::NotAKey,
        _ => OpenError::Io(error),
    })?;
    parse_key(&text).ok_or(OpenError::NotAKey)
}

fn parse_key(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits = text.strip_prefix(FILE_PREFIX)?.strip_suffix('\n')?;
    if digits.len() != 2 * KEY_BYTES || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Under a name of its own first: a kill in between leaves no half key behind that name, and no secret was sealed yet.
fn make_key(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut_slice()).map_err(|_| OpenError::NoRandomNumbers)?;
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES));
    text.push_str(FILE_PREFIX);
    for byte in key.iter() {
        text.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
        );
    }
    text.push('\n');
    let unfinished = path.with_extension("unfinished");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(key)
}

fn cannot_use(path: &Path, error: &OpenError) -> Problem {
    let path = path.display();
    let problem =
        Problem::new(ErrorCode::HostFault, format!("the vault's key file {path} cannot be used: {error}"));
    match error {
        OpenError::Exposed(_) => problem.with_hint(format!("if nobody read it: chmod 600 {path}")),
        OpenError::NotAKey | OpenError::NotAFile => problem
            .with_hint("put the right file back; without it the secrets of this data directory do not open"),
        OpenError::Io(_) | OpenError::NoRandomNumbers => problem,
    }
}

#[cfg(test)]
mod tests;
