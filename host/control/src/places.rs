//! How many requests of one tenant the control API works on at once.
//!
//! A request can take long: a body that comes slowly, an instance that is tried out. All places of the API belong to all
//! tenants, so none may have them all. The map has an entry for tenants that ask just now, so it is bounded by the places.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_domain::{ErrorCode, Problem, TenantName};
use parking_lot::Mutex;

/// Time after which one of a tenant's own requests is likely to be over.
const PAUSE_MS: u64 = 500;

type Tenants = Arc<Mutex<HashMap<TenantName, u32>>>;

/// Counts by tenant.
#[derive(Debug)]
pub(crate) struct TenantPlaces {
    most: u32,
    tenants: Tenants,
}

/// One request of a tenant. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct TenantPlace {
    tenant: TenantName,
    tenants: Tenants,
}

impl TenantPlaces {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, tenants: Tenants::default() }
    }

    /// Counts one more request of a tenant, or says that it has too many.
    pub(crate) fn take(&self, tenant: &TenantName) -> Result<TenantPlace, Problem> {
        let mut tenants = self.tenants.lock();
        let count = tenants.get(tenant).copied().unwrap_or(0);
        if count >= self.most {
            let message = format!(
                "tenant {tenant} has {count} requests to the control API in progress, the most at once"
            );
            return Err(Problem::new(ErrorCode::QuotaExceeded, message)
                .with_hint("wait for answers before sending more")
                .with_retry_after_ms(PAUSE_MS));
        }
        tenants.insert(tenant.clone(), count + 1);
        Ok(TenantPlace { tenant: tenant.clone(), tenants: Arc::clone(&self.tenants) })
    }
}

impl Drop for TenantPlace {
    fn drop(&mut self) {
        let mut tenants = self.tenants.lock();
        match tenants.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(tenants.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_return() {
        let places = TenantPlaces::new(2);
        let (acme, other): (TenantName, TenantName) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let (first, second) = (places.take(&acme).unwrap(), places.take(&acme).unwrap());
        let refused = places.take(&acme).unwrap_err();
        assert_eq!((refused.code(), refused.retry_after_ms()), (ErrorCode::QuotaExceeded, Some(PAUSE_MS)));
        let third = places.take(&other).unwrap();
        drop(first);
        let fourth = places.take(&acme).unwrap();
        assert!(places.take(&acme).is_err());
        drop((second, third, fourth));
        assert!(places.tenants.lock().is_empty());
    }
}
