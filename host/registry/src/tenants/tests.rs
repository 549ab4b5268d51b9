//! Tenants and their keys: created, changed, ended, and what is left of them: nothing.

use lockgate_domain::{ErrorCode, Scope};

use super::*;
use crate::PageRequest;
use crate::access::{Authenticator, Credential};
use crate::fixture::{Fixture, START_MS, acme, host, other, told};

fn name(text: &str) -> TenantName {
    text.parse().unwrap()
}

#[test]
fn settings_change_only_as_they_were_read() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let put = |weight: u32, precondition| {
        let settings = TenantSettings { weight, ..TenantSettings::default() };
        registry.put_tenant(&host(), &name("acme"), settings, precondition).map(|tenant| tenant.etag)
    };
    assert_eq!(put(200, Precondition::Match(1)).unwrap(), 2);
    assert_eq!(registry.tenant(&name("acme")).unwrap().settings.weight, 200);
    assert_eq!(
        told(put(300, Precondition::Match(1))),
        "precondition_failed: tenant acme is at \"2\" now, not at \"1\""
    );
    assert_eq!(told(put(0, Precondition::Any)), "invalid_request: a weight of 0 is not possible");
    let twice = registry.create_tenant(&host(), name("acme"), TenantSettings::default());
    assert_eq!(told(twice), "conflict: there is a tenant acme already");
    let missing = registry.put_tenant(&host(), &name("gone"), TenantSettings::default(), Precondition::Any);
    assert_eq!(told(missing), "not_found: there is no tenant gone");
    let fixture = fixture.reopen(|_| ());
    assert_eq!(fixture.registry.tenant(&name("acme")).unwrap().settings.weight, 200);
    let page = fixture.registry.tenants(&host(), &PageRequest { limit: Some(1), cursor: None }).unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next.is_some()), ("acme", true));
    assert_eq!(fixture.registry.all_tenants().len(), 2);
}

#[test]
fn a_tenant_with_things_goes_only_by_force_and_leaves_nothing_to_the_next_of_its_name() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    fixture.publish("shout", "one");
    registry.put_secret(&acme(), &"token".parse().unwrap(), "s").unwrap();
    let key = registry.create_key(&acme(), "ci".into(), [Scope::Call].into(), None).unwrap();
    let store = registry.key_value_store(name("acme"), "shout".parse().unwrap());
    store.set("k", b"v", 100).unwrap();
    registry.audit(crate::audit::tests::draft(Some("acme"), "revision.create")).unwrap();
    let delete = |force| registry.delete_tenant(&host(), &name("acme"), Precondition::Any, force);
    assert_eq!(told(delete(false)), "conflict: tenant acme is used by 1 executor");
    delete(true).unwrap();
    assert_eq!(told(delete(true)), "not_found: there is no tenant acme");
    let credential = Credential::parse(&key.text).unwrap();
    let authenticator = Authenticator::new(registry.key_book(), None);
    assert_eq!(
        authenticator.authenticate(&credential, registry.now()).unwrap_err().code(),
        ErrorCode::Unauthenticated
    );

    registry.create_tenant(&host(), name("acme"), TenantSettings::default()).unwrap();
    assert!(registry.executor_names(&acme()).unwrap().is_empty());
    assert!(registry.secrets(&acme(), &PageRequest::default()).unwrap().items.is_empty());
    assert!(registry.keys(&acme(), &PageRequest::default()).unwrap().items.is_empty());
    assert!(registry.audit_of_tenant(&acme(), &PageRequest::default()).unwrap().items.is_empty());
    assert_eq!(store.get("k").unwrap(), None);
    assert_eq!(registry.holdings(&acme()).unwrap().stored_bytes, 0);
}

#[test]
fn keys_outlive_a_restart_and_end_at_once() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let minted = registry.create_key(&acme(), "ci".into(), [Scope::Upload].into(), None).unwrap();
    let id = minted.record.key.id.clone();
    assert!(
        told(registry.create_key(&acme(), "x".into(), [Scope::Host].into(), None))
            .starts_with("invalid_request")
    );
    let fixture = fixture.reopen(|_| ());
    let registry = &fixture.registry;
    let credential = Credential::parse(&minted.text).unwrap();
    let authenticator = Authenticator::new(registry.key_book(), None);
    let identity = authenticator.authenticate(&credential, registry.now()).unwrap();
    let access = registry.authorise(&identity.principal, Scope::Upload, "acme").unwrap();
    assert_eq!(access.tenant().as_str(), "acme");
    assert!(told(registry.authorise(&identity.principal, Scope::Upload, "other")).starts_with("not_found"));
    // An access for uploads is none for keys, whatever calls.
    assert!(told(registry.keys(&access, &PageRequest::default())).starts_with("permission_denied"));

    assert_eq!(told(registry.revoke_key(&other(), &id)), format!("not_found: there is no API key {id}"));
    let revoked = registry.revoke_key(&acme(), &id).unwrap();
    assert_eq!(revoked.revoked_at, Some(registry.now()));
    fixture.time.store(START_MS + 5000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(registry.revoke_key(&acme(), &id).unwrap().revoked_at, revoked.revoked_at);
    assert!(authenticator.authenticate(&credential, registry.now()).is_err());
    let listed = registry.keys(&acme(), &PageRequest::default()).unwrap().items;
    assert_eq!(listed, [revoked]);
    assert!(registry.keys(&other(), &PageRequest::default()).unwrap().items.is_empty());
}

#[test]
fn the_first_start_tells_the_operator_its_key_and_no_other_start_does() {
    let fixture = Fixture::new();
    let read =
        |fixture: &Fixture| std::fs::read_to_string(fixture.folder.path().join("data/operator.key")).unwrap();
    let first = read(&fixture);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(fixture.folder.path().join("data/operator.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let authenticator = Authenticator::new(fixture.registry.key_book(), None);
    let credential = Credential::parse(first.trim()).unwrap();
    let identity = authenticator.authenticate(&credential, fixture.registry.now()).unwrap();
    crate::access::authorise_host(&identity.principal).unwrap();
    let fixture = fixture.reopen(|_| ());
    assert_eq!(read(&fixture), first);
    assert_eq!(fixture.registry.host_keys(&host(), &PageRequest::default()).unwrap().items.len(), 1);
}
