//! Usage, as a bill needs it: hours, and the sum of all that was asked for.

use axum::Json;
use axum::extract::State;
use lockgate_domain::usage::UsageRecord;
use lockgate_domain::{ExecutorName, Timestamp, Usage};
use lockgate_registry::UsageFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::extract::{Asked, PageQuery, Tenancy};
use crate::refusal::{Result, invalid};

pub(super) fn routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(show_usage))
}

/// Which usage is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsageQuery {
    /// The first moment, rounded down to the full hour; the oldest there is if it is left out.
    from: Option<Timestamp>,
    /// The moment after the last; now if it is left out.
    to: Option<Timestamp>,
    /// Of one executor only.
    executor: Option<ExecutorName>,
    /// Most items in the answer; 100 if it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the answer before.
    cursor: Option<String>,
}

/// Usage by hour and executor, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct UsageView {
    /// The hours.
    items: Vec<UsageRecord>,
    /// What to pass as `cursor` for the hours after these; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The sum of everything that was asked for, this page and the others.
    sum: Usage,
}

/// What a tenant's executors used, by hour, and the sum. What is metered so far is written down first, so it is exact.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/usage", tag = "usage", params(UsageQuery), responses(
    (status = 200, description = "Hours and sum.", body = UsageView)
))]
async fn show_usage(
    State(control): State<Control>,
    Tenancy(access): Tenancy,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsageView>> {
    let UsageQuery { from, to, executor, limit, cursor } = query;
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(invalid(format!("from, {from}, is after to, {to}")).into());
    }
    let request = PageQuery { limit, cursor }.request()?;
    let filter = UsageFilter { from, to, executor };
    let view = control.blocking(move |control| {
        control.0.serving.settle_usage()?;
        let registry = &control.0.registry;
        let page = registry.usage(&access, &filter, &request)?;
        let sum = registry.usage_sum(&access, &filter)?;
        Ok::<_, lockgate_domain::Problem>(UsageView { items: page.items, next: page.next, sum })
    });
    Ok(Json(view.await??))
}
