//! Entries are numbered, shown newest first, and the oldest are dropped.

use std::thread;

use super::*;
use crate::fixture::{Fixture, acme, host, other};

pub(crate) fn draft(tenant: Option<&str>, action: &str) -> AuditDraft {
    AuditDraft {
        principal: "key:test".into(),
        tenant: tenant.map(|name| name.parse().unwrap()),
        action: action.into(),
        object: "shout@3".into(),
        error: None,
        request_id: "r".into(),
    }
}

fn pages(list: impl Fn(&PageRequest) -> Result<Page<AuditEntry>, Problem>) -> Vec<(u64, String)> {
    let mut request = PageRequest { limit: Some(2), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = list(&request).unwrap();
        found.extend(page.items.into_iter().map(|entry| (entry.sequence, entry.action)));
        request.cursor = page.next;
        if request.cursor.is_none() {
            return found;
        }
    }
}

#[test]
fn the_last_entries_are_kept_and_each_tenant_reads_its_own() {
    let fixture = Fixture::new();
    for (tenant, action) in [
        (Some("acme"), "one"),
        (Some("other"), "two"),
        (None, "three"),
        (Some("acme"), "four"),
        (Some("gone"), "five"),
        (Some("acme"), "six"),
    ] {
        fixture.registry.audit(draft(tenant, action)).unwrap();
    }
    let check = |found: Vec<(u64, String)>, expected: &[(u64, &str)]| {
        let found: Vec<(u64, &str)> =
            found.iter().map(|(sequence, action)| (*sequence, action.as_str())).collect();
        assert_eq!(found, expected);
    };
    let registry = &fixture.registry;
    check(
        pages(|request| registry.audit_of_host(&host(), request)),
        &[(6, "six"), (5, "five"), (4, "four"), (3, "three"), (2, "two")],
    );
    check(pages(|request| registry.audit_of_tenant(&acme(), request)), &[(6, "six"), (4, "four")]);
    check(pages(|request| registry.audit_of_tenant(&other(), request)), &[(2, "two")]);
    let fixture = fixture.reopen(|_| ());
    fixture.registry.audit(AuditDraft { object: "é".repeat(300), ..draft(Some("acme"), "long") }).unwrap();
    let entry = fixture.registry.audit_of_tenant(&acme(), &PageRequest::default()).unwrap().items.remove(0);
    assert_eq!((entry.sequence, entry.object.len(), entry.at), (7, 256, fixture.registry.now()));
}

#[test]
fn entries_written_at_the_same_time_all_get_their_number() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| fixture.registry.audit(draft(Some("acme"), "at once")).unwrap());
        }
    });
    let found = pages(|request| fixture.registry.audit_of_tenant(&acme(), request));
    assert_eq!(found.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
}
