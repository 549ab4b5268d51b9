//! Waiting for conditions. The time limit only ends a test that would otherwise hang: no test depends on its length.

use std::time::{Duration, Instant};

/// Long enough for a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until the condition gives something; `what` is named when it never does.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        if start.elapsed() > PATIENCE {
            panic!("waited {} s in vain for: {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
