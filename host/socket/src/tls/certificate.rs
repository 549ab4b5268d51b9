//! A certificate and its key, as files that may change while they are used.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{MAX_PEM_BYTES, TlsError, provider};

/// Certificates of one file: more make no chain that anybody follows.
const MAX_CERTIFICATES: usize = 64;
const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// What a listener shows to callers. Cheap to clone; clones are the same one, so reading it again is for all.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    server: ServerConfig,
    /// What the files looked like when they were last read, whatever came of it.
    seen: Mutex<[Option<Stamp>; 2]>,
}

/// The pair that the next handshake uses.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

/// Enough of a file to see that it is another one. Replacing a file by renaming gives another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Certificate {
    /// Reads a chain and its key from PEM files.
    ///
    /// # Errors
    /// Says which file is missing, holds something else, or does not belong to the other one.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let seen = Mutex::new([Stamp::of(&certificate), Stamp::of(&key)]);
        let pair = read_pair(&certificate, &key)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let server = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable {
                certificate: certificate.clone(),
                key: key.clone(),
                error,
            })?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        Ok(Self(Arc::new(Inner { certificate, key, current, server, seen })))
    }

    /// Reads the files again if they have changed; says whether there is another pair now. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Certificate::load`], once per change; the pair before stays in use.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let inner = &*self.0;
        let now = [Stamp::of(&inner.certificate), Stamp::of(&inner.key)];
        if std::mem::replace(&mut *inner.seen.lock(), now) == now {
            return Ok(false);
        }
        self.read()?;
        Ok(true)
    }

    /// Reads the files again, whatever they look like; says whether there is another certificate now. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Certificate::load`]; the pair before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let inner = &*self.0;
        *inner.seen.lock() = [Stamp::of(&inner.certificate), Stamp::of(&inner.key)];
        let before = inner.current.0.load_full();
        Ok(self.read()?.cert != before.cert)
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let pair = Arc::new(read_pair(&self.0.certificate, &self.0.key)?);
        self.0.current.0.store(pair.clone());
        Ok(pair)
    }

    /// The file of the certificate.
    pub fn path(&self) -> &Path {
        &self.0.certificate
    }

    /// How a listener shakes hands that speaks these protocols.
    pub(crate) fn server(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut server = self.0.server.clone();
        server.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(server)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self {
            device: data.dev(),
            inode: data.ino(),
            length: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
        })
    }
}

/// The certificates of a file, in its order.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found = CertificateDer::pem_slice_iter(&text).take(MAX_CERTIFICATES).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| TlsError::NotPem { path: path.to_owned(), error })?;
    if found.is_empty() {
        let has_key = holds(&text, |kind| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
        });
        return Err(TlsError::NoCertificate { path: path.to_owned(), has_key });
    }
    Ok(found)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) => {
            TlsError::EncryptedKey { path: path.to_owned() }
        }
        PemError::NoItemsFound => {
            let has_certificate = holds(&text, |kind| kind == SectionKind::Certificate);
            TlsError::NoKey { path: path.to_owned(), has_certificate }
        }
        error => TlsError::NotPem { path: path.to_owned(), error },
    })
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(certificate)?;
    let secret = read_key(key)?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate, key }
            }
            error => TlsError::Unusable { certificate, key, error },
        }
    })
}

fn holds(text: &[u8], is_wanted: impl Fn(SectionKind) -> bool) -> bool {
    let mut rest = text;
    while let Ok(Some((kind, _))) = rustls::pki_types::pem::from_buf(&mut rest) {
        if is_wanted(kind) {
            return true;
        }
    }
    false
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_PEM_BYTES {
        let message = format!("it has more than {MAX_PEM_BYTES} bytes");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
