//! Flows: quotas, entity tags, pages, and the other tenant's view.

use super::*;
use crate::fixture::{Fixture, acme, other, told};

#[test]
fn flows_are_replaced_counted_and_one_tenants_own() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    fixture.change_settings(|settings| settings.quota.flows = 2);
    let put = |name: &str, yaml: &str, precondition| {
        registry
            .put_flow(&acme(), &name.parse().unwrap(), yaml.into(), &[], precondition)
            .map(|flow| flow.etag)
    };
    assert_eq!(put("a", "one", Precondition::New).unwrap(), 1);
    assert_eq!(put("a", "two", Precondition::Match(1)).unwrap(), 2);
    assert!(
        told(put("a", "x", Precondition::New)).starts_with("precondition_failed: flow a is there already")
    );
    put("b", "three", Precondition::Any).unwrap();
    assert_eq!(
        told(put("c", "x", Precondition::Any)),
        "quota_exceeded: tenant acme has 2 flows, the most it may have"
    );
    let long = "x".repeat(MAX_YAML_BYTES + 1);
    assert!(
        told(put("a", &long, Precondition::Any)).starts_with("invalid_request: a flow has 1048577 bytes")
    );
    assert_eq!(registry.flow(&acme(), &"a".parse().unwrap()).unwrap().yaml, "two");
    assert_eq!(told(registry.flow(&other(), &"a".parse().unwrap())), "not_found: there is no flow a");
    let request = PageRequest { limit: Some(1), cursor: None };
    let page = registry.flows(&acme(), &request).unwrap();
    let foreign = PageRequest { cursor: page.next, ..request };
    assert!(told(registry.flows(&other(), &foreign)).starts_with("invalid_request: the cursor"));
    let next = registry.flows(&acme(), &foreign).unwrap();
    assert_eq!((next.items[0].name.as_str(), next.next), ("b", None));
    registry.delete_flow(&acme(), &"a".parse().unwrap(), Precondition::Match(2)).unwrap();
    assert_eq!(
        told(registry.delete_flow(&acme(), &"a".parse().unwrap(), Precondition::Any)),
        "not_found: there is no flow a"
    );
    put("c", "x", Precondition::Any).unwrap();
    assert_eq!(registry.flow_names(&acme()).unwrap().len(), 2);
}

#[test]
fn a_page_of_large_flows_is_short() {
    let fixture = Fixture::new();
    for number in 0..10 {
        let name = format!("flow-{number}").parse().unwrap();
        fixture.registry.put_flow(&acme(), &name, "x".repeat(1 << 20), &[], Precondition::Any).unwrap();
    }
    let page = fixture.registry.flows(&acme(), &PageRequest::default()).unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (8, true));
}
