//! The other end: whom to trust, and connections to them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::certificate::read_certificates;
use super::{TlsError, provider};

/// A connection to a server, plain or after its TLS handshake.
pub type ClientSocket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How a client shakes hands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the authorities in that file and no other; without one those of the system, or, where the system knows
    /// none, those that browsers trust. `alpn` names what is to be spoken, best first.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn new(authorities: Option<&Path>, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let roots = match authorities {
            Some(path) => from_file(path)?,
            None => of_system(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
        let path = || authorities.map(Path::to_owned).unwrap_or_default();
        let mut config = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::BadAuthority { path: path(), error })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with the server that has this name or address.
    ///
    /// # Errors
    /// What [`client_hint`] explains, and what the system says.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<ClientSocket> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(bare).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(self.0.clone()).connect(name, stream).await?;
        Ok(Either::Right(Box::new(stream)))
    }
}

/// What to do about a handshake that failed; none if it failed for another reason than TLS.
pub fn client_hint(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::InvalidPurpose,
        ) => {
            "nobody that is trusted here signed its certificate: --ca FILE or the variable SSL_CERT_FILE names the authority's, or the server's own if it signed itself"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for other names: use one of them in the URL",
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate is over: its owner must renew it",
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "its certificate is an authority's own: let the authority sign one for the server, or make it with 'openssl req -x509 -addext basicConstraints=critical,CA:FALSE'"
        }
        rustls::Error::InvalidMessage(_) => {
            "the port speaks no TLS: use http://, grpc:// or ws:// if the network is to be trusted"
        }
        _ => "the server and this client agree on no TLS",
    })
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::BadAuthority { path: path.to_owned(), error })?;
    }
    Ok(roots)
}

fn of_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Single certificates of the system that cannot be read are no reason to trust none.
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
