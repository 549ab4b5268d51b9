//! Certificates are read again when their files change, so that a renewal needs no restart.
//!
//! The files are looked at every few seconds; what is wrong with new ones is a warning, and the old ones stay in use.

use std::time::Duration;

use lockgate_socket::Certificate;
use tokio_util::sync::CancellationToken;

use crate::tasks::Turns;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Follows these certificates until the end.
pub(crate) async fn follow(certificates: Vec<Certificate>, ended: CancellationToken) {
    if certificates.is_empty() {
        return;
    }
    let mut turns = Turns::new(INTERVAL, ended);
    while turns.next().await {
        for certificate in &certificates {
            refresh(certificate.clone()).await;
        }
    }
}

async fn refresh(certificate: Certificate) {
    let file = certificate.path().display().to_string();
    match tokio::task::spawn_blocking(move || certificate.refresh()).await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => tracing::info!(file, "the certificate has changed and is in use"),
        Ok(Err(error)) => {
            tracing::warn!(
                file,
                %error,
                hint = error.hint(),
                "the certificate has changed and cannot be used: the one before stays"
            );
        }
        Err(error) => tracing::error!(file, %error, "reading the certificate again failed in the host"),
    }
}
