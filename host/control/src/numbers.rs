//! The numbers of a host's control side, for `/v1/status` and `/metrics`. Read when somebody asks; nothing is kept.

use lockgate_domain::Problem;
use lockgate_registry::access::TenantAccess;
use lockgate_telemetry::inventory::{
    CONTROL_REFUSED, CONTROL_REQUESTS_IN_FLIGHT, STORED_BYTES, STORED_COMPONENTS, STORED_EXECUTORS,
    STORED_FLOWS, TENANTS, UPLOADS_IN_FLIGHT,
};
use lockgate_telemetry::page::Page;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Control;

/// Sums over all tenants.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct Numbers {
    /// Tenants.
    tenants: u64,
    /// Components that tenants keep; one that two of them keep counts twice.
    components: u64,
    /// Bytes that count against the tenants' quotas.
    stored_bytes: u64,
    /// Executors.
    executors: u64,
    /// Flows.
    flows: u64,
    /// Uploads under way.
    uploads: u32,
}

impl Numbers {
    /// As they are now. Reads one row for each tenant.
    pub(crate) fn of(control: &Control) -> Result<Self, Problem> {
        let registry = &control.0.registry;
        let tenants = registry.all_tenants();
        let mut numbers = Self {
            tenants: u64::try_from(tenants.len()).unwrap_or(u64::MAX),
            uploads: control.0.uploads.count(),
            ..Self::default()
        };
        for tenant in tenants {
            // One that is gone meanwhile has nothing.
            let held = registry.holdings(&TenantAccess::of_host(tenant.name.clone(), "numbers"))?;
            numbers.components += u64::from(held.components);
            numbers.stored_bytes = numbers.stored_bytes.saturating_add(held.stored_bytes);
            numbers.executors += u64::from(held.executors);
            numbers.flows += u64::from(held.flows);
        }
        Ok(numbers)
    }
}

/// Adds them to a page. Those that cannot be read are left out, and the log says why.
pub(crate) fn add(control: &Control, page: &mut Page) {
    let places = control.0.options.max_concurrent_requests;
    let in_flight = places.saturating_sub(control.0.places.available_permits());
    page.add(&CONTROL_REQUESTS_IN_FLIGHT, &[], in_flight as f64);
    for (code, count) in control.0.refusals.read() {
        page.add(&CONTROL_REFUSED, &[code.as_str()], count as f64);
    }
    page.add(&UPLOADS_IN_FLIGHT, &[], f64::from(control.0.uploads.count()));
    match Numbers::of(control) {
        Ok(numbers) => {
            page.add(&TENANTS, &[], numbers.tenants as f64);
            page.add(&STORED_COMPONENTS, &[], numbers.components as f64);
            page.add(&STORED_BYTES, &[], numbers.stored_bytes as f64);
            page.add(&STORED_EXECUTORS, &[], numbers.executors as f64);
            page.add(&STORED_FLOWS, &[], numbers.flows as f64);
        }
        Err(problem) => tracing::warn!(%problem, "the numbers of the registry are not on the page"),
    }
}
