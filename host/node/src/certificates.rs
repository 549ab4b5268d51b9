//! Certificates are read again when their files change, so that a renewal needs no restart.
//!
//! The files are looked at every few seconds, and read at once on SIGHUP, whether they look changed or not; what is wrong
//! with new ones is a warning, and the old ones stay in use. A host without certificates does not listen for SIGHUP, which
//! ends it as it ends any process.

use std::io;
use std::time::Duration;

use lockgate_socket::Certificate;
use tokio_util::sync::CancellationToken;

use crate::signals::Hangups;
use crate::tasks::Turns;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Follows the files of certificates.
pub(crate) struct Follower {
    /// With what says that somebody wants them read; none without certificates.
    followed: Option<(Vec<Certificate>, Hangups)>,
}

/// Why a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Turn,
    Hangup,
}

impl Follower {
    /// Begins to listen, so that no SIGHUP from now on ends the process. Runs inside a runtime.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn new(certificates: Vec<Certificate>) -> io::Result<Self> {
        let followed = match certificates.is_empty() {
            true => None,
            false => Some((certificates, Hangups::listen()?)),
        };
        Ok(Self { followed })
    }

    /// Follows them until the end.
    pub(crate) async fn follow(self, ended: CancellationToken) {
        let Some((certificates, mut hangups)) = self.followed else { return };
        let mut turns = Turns::new(INTERVAL, ended);
        loop {
            let reason = tokio::select! {
                biased;
                is_turn = turns.next() => match is_turn {
                    true => Reason::Turn,
                    false => return,
                },
                () = hangups.next() => Reason::Hangup,
            };
            for certificate in &certificates {
                refresh(certificate.clone(), reason).await;
            }
        }
    }
}

async fn refresh(certificate: Certificate, reason: Reason) {
    let file = certificate.path().display().to_string();
    let reading = move || match reason {
        Reason::Turn => certificate.refresh(),
        Reason::Hangup => certificate.reload(),
    };
    match tokio::task::spawn_blocking(reading).await {
        Ok(Ok(false)) if reason == Reason::Turn => {}
        Ok(Ok(false)) => tracing::info!(file, "SIGHUP: the certificate has been read and is the same"),
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
