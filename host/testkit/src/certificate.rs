//! A certificate for this machine and the authority that signed it, made anew for each test. No key is ever kept.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files in PEM, gone with the value.
#[derive(Debug)]
pub struct TestCertificate(TempDir);

impl TestCertificate {
    /// A certificate for `localhost` and 127.0.0.1.
    #[expect(clippy::new_without_default, reason = "making keys is work, and no default")]
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let made = Self(folder);
        if let Err(error) = made.write() {
            panic!("no certificate can be made: {error}");
        }
        made
    }

    fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With one name for both OpenSSL would take the certificate for one that signed itself.
        authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let issuer = Issuer::from_params(&authority, &authority_key);
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        std::fs::write(self.authority(), root.pem())?;
        std::fs::write(self.chain(), certificate.pem())?;
        std::fs::write(self.key(), key.serialize_pem())?;
        Ok(())
    }

    /// The folder of all three files.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// What clients trust.
    pub fn authority(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// What servers show.
    pub fn chain(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    /// Its private key.
    pub fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }
}
