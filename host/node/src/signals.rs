//! The signals that ask a process to end, SIGTERM and SIGINT, and the one that asks it to read its files again, SIGHUP.
//!
//! Listening replaces the system's own reaction (ending at once) for the rest of the process, so whoever listens must
//! also react.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A listener; signals that arrive before [`Signals::next`] is called are kept.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen. Fails when the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A listener to SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Starts to listen. Fails when the system refuses a handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that came before are one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // There are no more of them.
            std::future::pending::<()>().await;
        }
    }
}
