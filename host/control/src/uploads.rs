//! How many uploads a tenant may have under way at once.
//!
//! An upload holds a connection, a file and, at its end, a compiling process; one tenant must not hold them all. The map
//! has an entry for tenants that upload just now, so it is bounded by the places for requests.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_domain::{ErrorCode, Problem, TenantName};
use parking_lot::Mutex;

/// Time after which an upload is likely to be over.
const PAUSE_MS: u64 = 2000;

/// Uploads under way.
#[derive(Debug)]
pub(crate) struct Uploads {
    most: u32,
    counts: Arc<Mutex<HashMap<TenantName, u32>>>,
}

/// The place of one upload; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    tenant: TenantName,
    counts: Arc<Mutex<HashMap<TenantName, u32>>>,
}

impl Uploads {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most.max(1), counts: Arc::default() }
    }

    /// A place, or a time to come back.
    pub(crate) fn begin(&self, tenant: &TenantName) -> Result<UploadPlace, Problem> {
        let mut counts = self.counts.lock();
        let count = counts.entry(tenant.clone()).or_default();
        if *count >= self.most {
            let message = format!("tenant {tenant} has {} uploads under way, the most at once", self.most);
            return Err(Problem::new(ErrorCode::QuotaExceeded, message)
                .with_hint("upload one after the other")
                .with_retry_after_ms(PAUSE_MS));
        }
        *count += 1;
        Ok(UploadPlace { tenant: tenant.clone(), counts: Arc::clone(&self.counts) })
    }

    /// Uploads of all tenants.
    pub(crate) fn count(&self) -> u32 {
        self.counts.lock().values().sum()
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.tenant);
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
        assert!(uploads.counts.lock().is_empty());
    }
}
