//! The end of something that serves: the first signal drains, the second ends at once.

use lockgate_node::{Ended, Host, Serving, Signals};

use crate::console::Console;
use crate::failure::{Failure, Report};

/// What serves until it is told to end: one flow, or a host with tenants.
pub(crate) trait Endable {
    /// Stops accepting and lets requests in progress finish.
    fn drain(&self);

    /// Whether draining has begun.
    fn is_draining(&self) -> bool;

    /// Ends what is still in progress.
    fn force(&self);

    /// Waits for the end.
    fn ended(&mut self) -> impl Future<Output = Ended> + Send;
}

impl Endable for Serving {
    fn drain(&self) {
        Serving::drain(self);
    }

    fn is_draining(&self) -> bool {
        Serving::is_draining(self)
    }

    fn force(&self) {
        Serving::force(self);
    }

    async fn ended(&mut self) -> Ended {
        Serving::ended(self).await
    }
}

impl Endable for Host {
    fn drain(&self) {
        Host::drain(self);
    }

    fn is_draining(&self) -> bool {
        Host::is_draining(self)
    }

    fn force(&self) {
        Host::force(self);
    }

    async fn ended(&mut self) -> Ended {
        Host::ended(self).await
    }
}

/// The first signal drains, the second forces.
pub(crate) async fn end(serving: &mut impl Endable, signals: &mut Signals, console: &Console) -> Ended {
    loop {
        tokio::select! {
            ended = serving.ended() => return ended,
            signal = signals.next() => {
                if serving.is_draining() {
                    console.note(format_args!("{signal} again: ending at once"));
                    serving.force();
                } else {
                    console.note(format_args!("{signal}: draining, requests in progress finish; once more ends at once"));
                    serving.drain();
                }
            }
        }
    }
}

/// What came of it.
pub(crate) fn say_goodbye(ended: Ended, console: &Console) -> Result<(), Failure> {
    match ended {
        Ended::Drained => {
            console.note("drained");
            Ok(())
        }
        Ended::CutOff(connections) => {
            let plural = if connections == 1 { "" } else { "s" };
            Err(Report::new(format!(
                "{connections} connection{plural} did not finish in time and had to be cut off"
            ))
            .hint("--drain-timeout allows more time")
            .into())
        }
        Ended::Forced => Err(Report::new("ended before requests in progress had finished").into()),
    }
}
