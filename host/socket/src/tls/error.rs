//! What can be wrong with the files that TLS needs.

use std::io;
use std::path::PathBuf;

/// Why a certificate, a key or a list of authorities was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// the file
        path: PathBuf,
        /// what the system says
        #[source]
        error: io::Error,
    },
    /// A file is no PEM, or broken.
    #[error("{} is no proper PEM file", path.display())]
    NotPem {
        /// the file
        path: PathBuf,
        /// what is wrong with it
        #[source]
        error: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// the file
        path: PathBuf,
        /// whether it holds a private key instead
        has_key: bool,
    },
    /// A file holds no private key.
    #[error("there is no private key in {}", path.display())]
    NoKey {
        /// the file
        path: PathBuf,
        /// whether it holds a certificate instead
        has_certificate: bool,
    },
    /// A private key is encrypted.
    #[error("the private key in {} is encrypted", path.display())]
    EncryptedKey {
        /// the file
        path: PathBuf,
    },
    /// A certificate and a key do not belong together.
    #[error("the private key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// the file of the certificate
        certificate: PathBuf,
        /// the file of the key
        key: PathBuf,
    },
    /// A certificate or key is of no kind that is spoken here.
    #[error("{} and {} cannot be used", certificate.display(), key.display())]
    Unusable {
        /// the file of the certificate
        certificate: PathBuf,
        /// the file of the key
        key: PathBuf,
        /// why not
        #[source]
        error: rustls::Error,
    },
    /// An authority's certificate cannot be used.
    #[error("a certificate in {} is no authority's", path.display())]
    BadAuthority {
        /// the file
        path: PathBuf,
        /// why not
        #[source]
        error: rustls::Error,
    },
}

impl TlsError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "name a file in PEM that this process may read",
            Self::NotPem { .. } => {
                "PEM is text between lines such as -----BEGIN CERTIFICATE-----; openssl converts other forms"
            }
            Self::NoCertificate { has_key: true, .. } | Self::NoKey { has_certificate: true, .. } => {
                "are certificate and key exchanged?"
            }
            Self::NoCertificate { has_key: false, .. } => {
                "it must hold the certificate first, then those that signed it, each as -----BEGIN CERTIFICATE-----"
            }
            Self::NoKey { has_certificate: false, .. } => {
                "it must hold a private key: -----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY"
            }
            Self::EncryptedKey { .. } => {
                "nobody could type its password: 'openssl pkey -in FILE -out PLAIN' writes it without, readable by this process alone"
            }
            Self::Mismatch { .. } => "name the key with which the certificate was asked for",
            Self::Unusable { .. } => {
                "RSA, ECDSA (P-256, P-384) and Ed25519 are spoken, with certificates of X.509 v3"
            }
            Self::BadAuthority { .. } => {
                "name the certificate that signed the server's, or the server's own if it signed itself"
            }
        }
    }
}
