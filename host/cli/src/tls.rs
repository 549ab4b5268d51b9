//! TLS on the command line: what a listener shows, and whom a client trusts.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_socket::{Certificate, ClientSocket, ClientTls, TlsError, client_hint};
use tokio::net::TcpStream;

use crate::failure::Report;

/// What a listener shows to callers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub(crate) struct CertificateArguments {
    /// Speak TLS: the certificate and those that signed it, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Whom a client trusts.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustArguments {
    /// Trust certificates that those in this file signed, in PEM, and no others [default: the system's authorities]
    #[arg(long, global = true, value_name = "FILE", env = "LOCKGATE_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
}

impl CertificateArguments {
    /// The certificate that was named.
    pub(crate) fn load(&self) -> Result<Option<Certificate>, Report> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref()).map(|(cert, key)| load(cert, key)).transpose()
    }
}

/// Reads a certificate and its key.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Certificate, Report> {
    Certificate::load(certificate, key).map_err(|error| explain(&error))
}

/// How to speak TLS with a server.
pub(crate) fn client(ca: Option<&Path>, alpn: &[u8]) -> Result<ClientTls, Report> {
    ClientTls::new(ca, &[alpn]).map_err(|error| explain(&error))
}

fn explain(error: &TlsError) -> Report {
    let mut report = Report::new(error.to_string());
    if let Some(source) = std::error::Error::source(error) {
        report = report.because(source);
    }
    report.hint(error.hint())
}

/// Connects to `host:port`, with TLS if there is a client for it.
pub(crate) async fn connect(authority: &str, tls: Option<&ClientTls>) -> io::Result<ClientSocket> {
    let stream = TcpStream::connect(authority).await?;
    // A request is written in one piece: waiting for more only delays it.
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(ClientSocket::Left(stream)),
        Some(tls) => {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            tls.connect(host, stream).await
        }
    }
}

/// Adds what to do about an error of a connection, where TLS is the reason.
pub(crate) fn hinted(report: Report, error: &(dyn std::error::Error + 'static)) -> Report {
    match error.downcast_ref::<io::Error>().and_then(client_hint) {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let check = |report: Report, expected: &[&str]| {
            let text = anstream::adapter::strip_str(&report.render()).to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        };
        check(
            load(Path::new("nowhere.pem"), &empty).unwrap_err(),
            &["cannot read nowhere.pem", "caused by: No such file", "hint: "],
        );
        check(load(&empty, &empty).unwrap_err(), &["there is no certificate in", "hint: it must hold"]);
        check(client(Some(&empty), b"h2").unwrap_err(), &["there is no certificate in"]);
        assert!(CertificateArguments::default().load().unwrap().is_none());
    }
}
