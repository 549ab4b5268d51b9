//! Tenants, keys, usage and the audit: who there is, what they may use, what they used and did.

use lockgate_domain::tenancy::{ApiKey, Approval, TenantSettings};
use lockgate_domain::usage::{AuditEntry, UsageRecord};
use lockgate_domain::{Tenant, Timestamp, Usage};

use crate::control::show::{fact, heading};
use crate::measures;
use crate::table::{Align, Table};

/// Tenants as a table.
pub(crate) fn table(tenants: &[Tenant], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("TENANT", Align::Left),
        ("WEIGHT", Align::Right),
        ("REQUESTS/S", Align::Right),
        ("FUEL/S", Align::Right),
        ("MEMORY", Align::Right),
        ("STORED", Align::Right),
        ("RULES", Align::Left),
        ("MADE", Align::Left),
    ]);
    for tenant in tenants {
        let quota = &tenant.settings.quota;
        table.push(vec![
            tenant.name.to_string(),
            tenant.settings.weight.to_string(),
            measures::count(quota.requests_per_second.into()),
            measures::count(quota.fuel_per_second),
            measures::bytes(quota.instance_memory_bytes),
            measures::bytes(quota.stored_bytes),
            rules(&tenant.settings).join(", "),
            measures::relative(tenant.created_at, now),
        ]);
    }
    table
}

/// A tenant in full.
pub(crate) fn full(tenant: &Tenant, now: Timestamp) -> Vec<String> {
    let (settings, quota) = (&tenant.settings, &tenant.settings.quota);
    let made =
        format!("{} ({})", measures::moment(tenant.created_at), measures::relative(tenant.created_at, now));
    let rules = rules(settings);
    let limits = &settings.limits;
    let mut lines = vec![heading(tenant.name.as_str()), fact("made", made)];
    lines.push(fact("weight", settings.weight.to_string()));
    lines.push(fact(
        "requests",
        format!("{}/s, {} at once", quota.requests_per_second, quota.concurrent_requests),
    ));
    let fuel = format!(
        "{}/s, {} a month",
        measures::count(quota.fuel_per_second),
        measures::count(quota.fuel_per_month)
    );
    lines.push(fact("fuel", fuel));
    lines.push(fact("instances", format!("{} of memory", measures::bytes(quota.instance_memory_bytes))));
    lines.push(fact(
        "stored",
        format!("{} in {} components", measures::bytes(quota.stored_bytes), quota.components),
    ));
    lines.push(fact("things", format!("{} executors, {} flows", quota.executors, quota.flows)));
    lines.push(fact("egress", format!("{} a month", measures::bytes(quota.egress_bytes_per_month))));
    let call = format!(
        "{} fuel, {}, {} at most",
        measures::count(limits.fuel),
        measures::duration(std::time::Duration::from_millis(limits.wall_time_ms)),
        measures::bytes(limits.memory_bytes)
    );
    lines.push(fact("a call", call));
    if !rules.is_empty() {
        lines.push(fact("rules", rules.join(", ")));
    }
    lines
}

fn rules(settings: &TenantSettings) -> Vec<&'static str> {
    [
        (settings.suspended, "suspended"),
        (settings.approval == Approval::Required, "approval required"),
        (settings.require_signature, "signatures required"),
        (settings.private_networks, "private networks"),
    ]
    .into_iter()
    .filter_map(|(holds, word)| holds.then_some(word))
    .collect()
}

/// Keys as a table.
pub(crate) fn keys(keys: &[ApiKey], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("LABEL", Align::Left),
        ("SCOPES", Align::Left),
        ("MADE", Align::Left),
        ("STATE", Align::Left),
    ]);
    for key in keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(revoked), _) => format!("revoked {}", measures::relative(revoked, now)),
            (None, Some(expires)) if expires <= now => {
                format!("expired {}", measures::relative(expires, now))
            }
            (None, Some(expires)) => format!("expires {}", measures::relative(expires, now)),
            (None, None) => "good".into(),
        };
        table.push(vec![
            key.id.to_string(),
            measures::shorten(&measures::one_line(&key.label), 32),
            scopes(key),
            measures::relative(key.created_at, now),
            state,
        ]);
    }
    table
}

/// The scopes of a key in a line.
pub(crate) fn scopes(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    scopes.join(", ")
}

const COLUMNS: [(&str, Align); 8] = [
    ("REQUESTS", Align::Right),
    ("FAILED", Align::Right),
    ("DOCUMENTS", Align::Right),
    ("FUEL", Align::Right),
    ("TIME", Align::Right),
    ("IN", Align::Right),
    ("OUT", Align::Right),
    ("EGRESS", Align::Right),
];

/// Usage by hour and executor, and the sum below.
pub(crate) fn usage(records: &[UsageRecord], sum: &Usage) -> Vec<String> {
    let columns: Vec<_> =
        [("HOUR", Align::Left), ("EXECUTOR", Align::Left)].into_iter().chain(COLUMNS).collect();
    let mut table = Table::new(&columns);
    for record in records {
        let hour = measures::moment(record.hour);
        let mut row = vec![hour.chars().take(16).collect(), record.executor.to_string()];
        row.extend(cells(&record.usage));
        table.push(row);
    }
    let mut row = vec!["all".to_owned(), String::new()];
    row.extend(cells(sum));
    table.push(row);
    table.render(0)
}

fn cells(usage: &Usage) -> [String; 8] {
    [
        usage.requests.to_string(),
        usage.failures.to_string(),
        usage.documents.to_string(),
        measures::count(usage.fuel),
        measures::duration(std::time::Duration::from_micros(usage.wall_time_us)),
        measures::bytes(usage.bytes_in),
        measures::bytes(usage.bytes_out),
        measures::bytes(usage.egress_bytes),
    ]
}

/// Usage for a spreadsheet or a bill: exact numbers, one hour and executor a line.
pub(crate) fn usage_csv(records: &[UsageRecord]) -> Vec<String> {
    let mut lines = vec![
        "hour,executor,requests,failures,documents,fuel,wall_time_us,bytes_in,bytes_out,egress_bytes"
            .to_owned(),
    ];
    lines.extend(records.iter().map(|UsageRecord { executor, hour, usage }| {
        format!(
            "{hour},{executor},{},{},{},{},{},{},{},{}",
            usage.requests,
            usage.failures,
            usage.documents,
            usage.fuel,
            usage.wall_time_us,
            usage.bytes_in,
            usage.bytes_out,
            usage.egress_bytes
        )
    }));
    lines
}

/// Control actions as a table.
pub(crate) fn audit(entries: &[AuditEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("WHEN", Align::Left),
        ("WHO", Align::Left),
        ("TENANT", Align::Left),
        ("ACTION", Align::Left),
        ("OBJECT", Align::Left),
        ("OUTCOME", Align::Left),
    ]);
    for entry in entries {
        table.push(vec![
            entry.sequence.to_string(),
            measures::relative(entry.at, now),
            measures::shorten(&measures::one_line(&entry.principal), 28),
            entry.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            measures::one_line(&entry.action),
            measures::shorten(&measures::one_line(&entry.object), 40),
            entry.error.as_deref().map_or_else(|| "done".to_owned(), measures::one_line),
        ]);
    }
    table
}
