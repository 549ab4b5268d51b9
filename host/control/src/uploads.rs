//! How many uploads a tenant may have under way at once, and how many of them may be finished at once.
//!
//! An upload holds a connection and a file; at its end it holds a thread and perhaps a compiling process, or waits on its
//! thread for an equal one. One tenant must hold neither all connections nor all threads. The map has an entry for
//! tenants that upload just now, so it is bounded by the places for requests.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_domain::{ErrorCode, Problem, TenantName};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Time after which an upload is likely to be over.
const PAUSE_MS: u64 = 2000;
/// Uploads of one tenant that are finished at once; more wait their turn.
const TURNS: usize = 8;

type Tenants = Arc<Mutex<HashMap<TenantName, UnderWay>>>;

/// Uploads under way.
#[derive(Debug)]
pub(crate) struct Uploads {
    most: u32,
    tenants: Tenants,
}

/// Those of one tenant.
#[derive(Debug)]
struct UnderWay {
    count: u32,
    turns: Arc<Semaphore>,
}

/// The place of one upload; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    tenant: TenantName,
    turns: Arc<Semaphore>,
    tenants: Tenants,
}

impl Uploads {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most.max(1), tenants: Arc::default() }
    }

    /// A place, or a time to come back.
    pub(crate) fn begin(&self, tenant: &TenantName) -> Result<UploadPlace, Problem> {
        let mut tenants = self.tenants.lock();
        let begin = || UnderWay { count: 0, turns: Arc::new(Semaphore::new(TURNS)) };
        let under_way = tenants.entry(tenant.clone()).or_insert_with(begin);
        if under_way.count >= self.most {
            let message = format!("tenant {tenant} has {} uploads under way, the most at once", self.most);
            return Err(Problem::new(ErrorCode::QuotaExceeded, message)
                .with_hint("upload one after the other")
                .with_retry_after_ms(PAUSE_MS));
        }
        under_way.count += 1;
        let turns = Arc::clone(&under_way.turns);
        Ok(UploadPlace { tenant: tenant.clone(), turns, tenants: Arc::clone(&self.tenants) })
    }

    /// Uploads of all tenants.
    pub(crate) fn count(&self) -> u32 {
        self.tenants.lock().values().map(|under_way| under_way.count).sum()
    }
}

impl UploadPlace {
    /// Waits until the upload may be finished.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let closed = |_| Problem::new(ErrorCode::HostFault, "uploads are not finished any more");
        Arc::clone(&self.turns).acquire_owned().await.map_err(closed)
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut tenants = self.tenants.lock();
        if let Some(under_way) = tenants.get_mut(&self.tenant) {
            under_way.count -= 1;
            if under_way.count == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_return() {
        let uploads = Uploads::new(2);
        let (acme, other): (TenantName, TenantName) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let first = uploads.begin(&acme).unwrap();
        let second = uploads.begin(&acme).unwrap();
        let refused = uploads.begin(&acme).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::QuotaExceeded);
        assert!(refused.retry_after_ms().is_some());
        let third = uploads.begin(&other).unwrap();
        assert_eq!(uploads.count(), 3);
        drop(first);
        let fourth = uploads.begin(&acme).unwrap();
        drop((second, third, fourth));
        assert_eq!(uploads.count(), 0);
        assert!(uploads.tenants.lock().is_empty());
    }
}
