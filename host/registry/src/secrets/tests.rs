//! Secrets are read by the host alone, and by nobody from the files.

use super::*;
use crate::fixture::{Fixture, acme, other, told};

#[test]
fn secrets_are_sealed_listed_by_name_and_revealed_to_the_host() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let (name, value): (SecretName, _) = ("openai".parse().unwrap(), "sk-very-secret-value");
    registry.put_secret(&acme(), &name, "first").unwrap();
    registry.put_secret(&acme(), &name, value).unwrap();
    let reveal = |access| registry.reveal_secrets(&access, [&name]).map(|found| found[&name].to_string());
    assert_eq!(reveal(acme()).unwrap(), value);
    assert_eq!(told(reveal(other())), "not_found: there is no secret openai");
    let listed = registry.secrets(&acme(), &PageRequest::default()).unwrap();
    assert_eq!(serde_json::to_value(&listed.items).unwrap()[0]["name"], "openai");
    assert!(!serde_json::to_string(&listed).unwrap().contains("secret-value"));
    let admin = lockgate_domain::Principal {
        name: "key:x".into(),
        tenant: Some("acme".parse().unwrap()),
        scopes: [Scope::Admin].into(),
    };
    let access = registry.authorise(&admin, Scope::Admin, "acme").unwrap();
    assert!(told(reveal(access)).starts_with("permission_denied"));
    let long = "x".repeat(Vault::MAX_SECRET_BYTES + 1);
    assert!(
        told(registry.put_secret(&acme(), &name, &long))
            .starts_with("invalid_request: a secret has 65537 bytes")
    );

    let fixture = fixture.reopen(|folder| {
        let bytes = std::fs::read(folder.join("data/registry.redb")).unwrap();
        assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()));
    });
    let registry = &fixture.registry;
    assert_eq!(registry.reveal_secrets(&acme(), [&name]).unwrap()[&name].as_str(), value);
    registry.delete_secret(&acme(), &name).unwrap();
    assert_eq!(told(registry.delete_secret(&acme(), &name)), "not_found: there is no secret openai");
    assert_eq!(registry.holdings(&acme()).unwrap().stored_bytes, 0);
}
