//! Revisions, tags and deployments: what refers to what, and a random walk against a model.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_domain::TagName;
use lockgate_domain::hosting::DeploymentSpec;
use lockgate_domain::tenancy::Approval;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture::{Fixture, acme, other, spec, told, usual};
use crate::{Examined, PageRequest, Precondition};

fn shout() -> ExecutorName {
    "shout".parse().unwrap()
}

fn tag(name: &str) -> TagName {
    name.parse().unwrap()
}

fn number(number: u32) -> RevisionNumber {
    format!("@{number}")
        .parse::<Target>()
        .map(|target| match target {
            Target::Revision(number) => number,
            Target::Tag(_) => RevisionNumber::FIRST,
        })
        .unwrap()
}

fn deployment(value: serde_json::Value) -> DeploymentSpec {
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_first_revision_makes_the_executor_its_tag_and_its_deployment() {
    let fixture = Fixture::new();
    let first = fixture.publish("shout", "one");
    assert_eq!(first.revision.number, RevisionNumber::FIRST);
    assert_eq!(first.tag.as_ref().map(|tag| (tag.revision.get(), tag.etag)), Some((1, 1)));
    assert_eq!(
        first.deployment.as_ref().map(|deployment| deployment.spec.primary.to_string()),
        Some("latest".into())
    );
    let second = fixture.publish("shout", "two");
    assert_eq!(
        second.tag.as_ref().map(|tag| (tag.revision.get(), tag.before.clone())),
        Some((2, vec![number(1)]))
    );
    assert_eq!(second.deployment, first.deployment);

    let executor = fixture.registry.executor(&acme(), &shout()).unwrap();
    assert_eq!((executor.newest.get(), executor.tags.len(), executor.deployment.is_some()), (2, 1, true));
    let resolve = |target: &str| {
        fixture.registry.resolve(&acme(), &shout(), &target.parse().unwrap()).map(|found| found.number.get())
    };
    assert_eq!((resolve("latest").unwrap(), resolve("@1").unwrap()), (2, 1));
    assert_eq!(told(resolve("@3")), "not_found: there is no revision shout@3");
    assert_eq!(told(resolve("stable")), "not_found: there is no tag shout:stable");
    let foreign = fixture.registry.resolve(&other(), &shout(), &Target::default());
    assert_eq!(told(foreign), "not_found: there is no executor shout");
    let back = fixture.registry.roll_back(&acme(), &shout(), &tag("latest"), Precondition::Match(2)).unwrap();
    assert_eq!((back.revision.get(), back.before.len(), back.etag), (1, 0, 3));
    assert_eq!(
        told(fixture.registry.roll_back(&acme(), &shout(), &tag("latest"), Precondition::Any)),
        "conflict: tag shout:latest has nowhere to go back to"
    );
}

#[test]
fn revisions_are_listed_newest_first_in_pages() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fixture.publish("shout", "one");
    }
    fixture.publish("shout-2", "one");
    let mut request = PageRequest { limit: Some(2), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = fixture.registry.revisions(&acme(), &shout(), &request).unwrap();
        found.push(page.items.iter().map(|revision| revision.number.get()).collect::<Vec<_>>());
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
        let foreign = fixture.registry.revisions(&acme(), &"shout-2".parse().unwrap(), &request);
        assert_eq!(told(foreign), "invalid_request: the cursor is not one of this list");
    }
    assert_eq!(found, [vec![5, 4], vec![3, 2], vec![1]]);
    assert!(
        told(fixture.registry.revisions(&other(), &shout(), &PageRequest::default()))
            .starts_with("not_found")
    );
}

#[test]
fn what_may_not_be_created_leaves_nothing() {
    let fixture = Fixture::new();
    let (component, _) = fixture.upload(&acme(), b"http client").unwrap();
    let create = |executor: &str, changes: serde_json::Value, options: &RevisionOptions| {
        let mut value = serde_json::to_value(spec(component)).unwrap();
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fixture.create(executor, serde_json::from_value(value).unwrap(), options)
    };
    let granted = json!({ "capabilities": { "http": { "hosts": ["a.org"] } } });
    let check = |executor: &str, changes: serde_json::Value, options: &RevisionOptions, expected: &str| {
        let told = told(create(executor, changes, options));
        assert!(told.starts_with(expected), "{told}");
        assert!(fixture.registry.executor_names(&acme()).unwrap().is_empty());
    };
    check("shout", json!({}), &usual(), "capability_denied: component sha256:");
    check("gateway", granted.clone(), &usual(), "invalid_request: no executor can be called gateway");
    let missing = json!({ "component": crate::fixture::digest_of(b"missing") });
    check("shout", missing, &usual(), "not_found: there is no component sha256:");
    let matched = RevisionOptions { precondition: Precondition::Match(4), ..usual() };
    check("shout", granted.clone(), &matched, "precondition_failed: tag shout:latest is not there any more");
    fixture.change_settings(|settings| settings.quota.executors = 0);
    check("shout", granted.clone(), &usual(), "quota_exceeded: tenant acme has 0 executors");
    fixture.change_settings(|settings| {
        settings.quota.executors = 1;
        settings.quota.stored_bytes = 100;
    });
    check("shout", granted.clone(), &usual(), "quota_exceeded: tenant acme would keep");
    fixture.change_settings(|settings| settings.quota.stored_bytes = 100_000);
    create("shout", granted.clone(), &usual()).unwrap();
    create("shout", granted.clone(), &usual()).unwrap();
    assert!(
        told(create("other", granted, &usual())).starts_with("quota_exceeded: tenant acme has 1 executors")
    );
}

#[test]
fn numbers_are_never_used_twice() {
    let fixture = Fixture::new();
    fixture.publish("shout", "one");
    fixture.publish("shout", "two");
    fixture.registry.delete_executor(&acme(), &shout()).unwrap();
    assert_eq!(told(fixture.registry.executor(&acme(), &shout())), "not_found: there is no executor shout");
    assert_eq!(fixture.publish("shout", "three").revision.number.get(), 3);
    let fixture = fixture.reopen(|_| ());
    assert_eq!(fixture.publish("shout", "four").revision.number.get(), 4);
    assert_eq!(fixture.publish("fresh", "four").revision.number.get(), 1);
}

#[test]
fn what_is_granted_anew_awaits_approval_where_the_tenant_requires_it() {
    let fixture = Fixture::new();
    fixture.publish("shout", "plain");
    fixture.change_settings(|settings| settings.approval = Approval::Required);
    let (component, _) = fixture.upload(&acme(), b"http client").unwrap();
    let mut asks = spec(component);
    asks.capabilities = serde_json::from_value(json!({ "http": { "hosts": ["a.org"] } })).unwrap();
    let judged = fixture.registry.check_revision(&acme(), &shout(), &asks, &usual()).unwrap();
    assert_eq!((judged.0.number.get(), judged.1.added.len()), (2, 3));
    let created = fixture.create("shout", asks.clone(), &usual()).unwrap();
    assert!(matches!(&created.revision.state, RevisionState::AwaitsApproval { added } if added.len() == 3));
    assert_eq!(created.tag, None);
    assert_eq!(fixture.registry.tag(&acme(), &shout(), &tag("latest")).unwrap().revision.get(), 1);
    let two = number(2);
    let put = || fixture.registry.put_tag(&acme(), &shout(), &tag("latest"), two, Precondition::Any);
    assert!(told(put()).starts_with("conflict: revision shout@2 awaits approval of: http: "));
    let to_two = deployment(json!({ "primary": "@2" }));
    let deployed = fixture.registry.put_deployment(&acme(), &shout(), to_two, Precondition::Any);
    assert!(told(deployed).starts_with("conflict: revision shout@2 awaits approval"));
    fixture.registry.approve_revision(&acme(), &shout(), two).unwrap();
    fixture.registry.approve_revision(&acme(), &shout(), two).unwrap();
    assert_eq!(put().unwrap().revision, two);
    // The same grants again add nothing.
    let again = fixture.create("shout", asks, &usual()).unwrap();
    assert_eq!((again.revision.state, again.diff.added.len()), (RevisionState::Ready, 0));
}

#[test]
fn what_traffic_reaches_cannot_be_refused() {
    let fixture = Fixture::new();
    fixture.publish("shout", "one");
    fixture.publish("shout", "two");
    fixture.publish("shout", "three");
    let registry = &fixture.registry;
    let deploy = |value| registry.put_deployment(&acme(), &shout(), deployment(value), Precondition::Any);
    let refuse = |revision: u32| registry.refuse_revision(&acme(), &shout(), number(revision), "it is slow");
    deploy(json!({ "canary": { "target": "@2", "percent": 5.0 }, "shadow": { "target": "@1", "percent": 100.0 } })).unwrap();
    for used in [2, 3] {
        assert_eq!(
            told(refuse(used)),
            format!("conflict: revision shout@{used} is used by the deployment of shout")
        );
    }
    let refused = refuse(1).unwrap();
    assert_eq!(refused.state, RevisionState::Refused { reason: "it is slow".into() });
    assert_eq!(
        told(registry.resolve(&acme(), &shout(), &"@1".parse().unwrap())),
        "conflict: revision shout@1 was refused: it is slow"
    );
    assert!(told(registry.approve_revision(&acme(), &shout(), number(1))).starts_with("conflict"));
    // Rolling back passes over it.
    let back = registry.roll_back(&acme(), &shout(), &tag("latest"), Precondition::Any).unwrap();
    assert_eq!((back.revision.get(), back.before), (2, vec![number(1)]));
    assert!(
        told(registry.roll_back(&acme(), &shout(), &tag("latest"), Precondition::Any))
            .starts_with("conflict")
    );
    let outcome = json!({ "endpoint": "/x", "fuel": 1, "difference": "é".repeat(4000) });
    let outcomes = vec![serde_json::from_value(outcome).unwrap(); 200];
    let examined = Examined { outcomes, engine: "engine 2".into() };
    registry.put_examples(&acme(), &shout(), number(2), examined).unwrap();
    let kept = registry.revision(&acme(), &shout(), number(2)).unwrap();
    let difference = kept.examples[0].difference.as_ref().unwrap();
    assert_eq!((kept.examined_with.as_str(), kept.examples.len(), difference.len()), ("engine 2", 128, 4096));
}

#[test]
fn what_something_goes_through_cannot_be_deleted() {
    let fixture = Fixture::new();
    fixture.publish("shout", "one");
    let registry = &fixture.registry;
    registry.put_tag(&acme(), &shout(), &tag("stable"), number(1), Precondition::New).unwrap();
    registry.put_tag(&acme(), &shout(), &tag("free"), number(1), Precondition::New).unwrap();
    let put_flow = |name: &str, uses: &str| {
        let uses = [uses.parse().unwrap()];
        registry.put_flow(&acme(), &name.parse().unwrap(), "jtype: Flow".into(), &uses, Precondition::Any)
    };
    put_flow("tagged", "shout:stable").unwrap();
    put_flow("deployed", "shout").unwrap();
    let delete_tag = |name: &str| registry.delete_tag(&acme(), &shout(), &tag(name), Precondition::Any);
    assert_eq!(told(delete_tag("latest")), "conflict: tag shout:latest is used by the deployment of shout");
    assert_eq!(told(delete_tag("stable")), "conflict: tag shout:stable is used by flow tagged");
    delete_tag("free").unwrap();
    assert_eq!(told(delete_tag("free")), "not_found: there is no tag shout:free");
    let delete_deployment = || registry.delete_deployment(&acme(), &shout(), Precondition::Any);
    assert_eq!(told(delete_deployment()), "conflict: the deployment of shout is used by flow deployed");
    let delete_executor = || registry.delete_executor(&acme(), &shout());
    assert_eq!(told(delete_executor()), "conflict: executor shout is used by flow deployed, flow tagged");
    registry.delete_flow(&acme(), &"deployed".parse().unwrap(), Precondition::Any).unwrap();
    delete_deployment().unwrap();
    assert_eq!(told(put_flow("late", "shout")), "invalid_flow: flow late: executor shout is not deployed");
    assert_eq!(told(put_flow("late", "nobody")), "invalid_flow: flow late: there is no executor nobody");
    assert_eq!(told(put_flow("late", "shout@9")), "invalid_flow: flow late: there is no revision shout@9");
    registry.delete_flow(&acme(), &"tagged".parse().unwrap(), Precondition::Any).unwrap();
    delete_executor().unwrap();
}

#[test]
fn deployments_are_checked() {
    let fixture = Fixture::new();
    fixture.publish("shout", "one");
    let check = |value: serde_json::Value, precondition: Precondition, expected: &str| {
        let put = fixture.registry.put_deployment(&acme(), &shout(), deployment(value), precondition);
        let told = put.map_or_else(
            |problem| told(Err::<(), _>(problem)),
            |deployment| format!("etag {}", deployment.etag),
        );
        assert!(told.starts_with(expected), "{told}");
    };
    check(json!({}), Precondition::New, "precondition_failed: deployment shout is there already, at \"1\"");
    check(
        json!({}),
        Precondition::Match(2),
        "precondition_failed: deployment shout is at \"1\" now, not at \"2\"",
    );
    check(json!({}), Precondition::Match(1), "etag 2");
    check(json!({ "primary": "@1", "scale": { "min": 2, "max": 2 } }), Precondition::Any, "etag 3");
    let any = Precondition::Any;
    check(json!({ "primary": "@7" }), any, "not_found: there is no revision shout@7");
    check(
        json!({ "canary": { "target": "next", "percent": 1.0 } }),
        any,
        "not_found: there is no tag shout:next",
    );
    check(
        json!({ "canary": { "target": "latest", "percent": 100.5 } }),
        any,
        "invalid_request: canary.percent of 100.5",
    );
    check(
        json!({ "shadow": { "target": "latest", "percent": -1.0 } }),
        any,
        "invalid_request: shadow.percent of -1",
    );
    check(
        json!({ "capsules": { "sample_percent": 101.0 } }),
        any,
        "invalid_request: capsules.sample_percent of 101",
    );
    check(
        json!({ "shadow": { "target": "latest", "percent": 1.0, "accept": { "fuel_ratio": -2.0 } } }),
        any,
        "invalid_request: shadow.accept.fuel_ratio of -2",
    );
    check(
        json!({ "scale": { "min": 3, "max": 2 } }),
        any,
        "invalid_request: scale.min of 3 is over scale.max, 2",
    );
    check(json!({ "scale": { "max": 0 } }), any, "invalid_request: scale.max of 0");
    check(json!({ "scale": { "queue": 1_000_000 } }), any, "invalid_request: scale.queue of 1000000");
    let mut endless = deployment(json!({ "canary": { "target": "latest", "percent": 1.0 } }));
    endless.canary.as_mut().unwrap().percent = f64::NAN;
    let put = fixture.registry.put_deployment(&acme(), &shout(), endless, any);
    assert!(told(put).starts_with("invalid_request: canary.percent of NaN"));
}

// === a random walk ===

#[derive(Debug, Clone)]
enum Step {
    Create { tag: Option<usize> },
    Put { tag: usize, revision: u32 },
    RollBack { tag: usize },
    Delete { tag: usize },
    Refuse { revision: u32 },
    Restart,
}

/// What must be: tags with their past, and who was refused.
#[derive(Debug, Default)]
struct Model {
    newest: u32,
    refused: BTreeSet<u32>,
    tags: BTreeMap<String, (u32, Vec<u32>)>,
}

const NAMES: [&str; 3] = ["latest", "stable", "next"];

fn step() -> impl Strategy<Value = Step> {
    let (tag, revision) = (0..NAMES.len(), 1_u32..12);
    prop_oneof![
        4 => proptest::option::of(tag.clone()).prop_map(|tag| Step::Create { tag }),
        4 => (tag.clone(), revision.clone()).prop_map(|(tag, revision)| Step::Put { tag, revision }),
        4 => tag.clone().prop_map(|tag| Step::RollBack { tag }),
        1 => tag.prop_map(|tag| Step::Delete { tag }),
        2 => revision.prop_map(|revision| Step::Refuse { revision }),
        1 => Just(Step::Restart),
    ]
}

impl Model {
    fn move_to(&mut self, tag: usize, revision: u32) {
        match self.tags.get_mut(NAMES[tag]) {
            Some((now, before)) if *now != revision => {
                before.insert(0, *now);
                before.truncate(Tag::REMEMBERED);
                *now = revision;
            }
            Some(_) => {}
            None => drop(self.tags.insert(NAMES[tag].into(), (revision, vec![]))),
        }
    }

    /// Whether the step succeeds.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Create { tag } => {
                self.newest += 1;
                let revision = self.newest;
                tag.inspect(|tag| self.move_to(*tag, revision));
                true
            }
            Step::Put { tag, revision } => {
                let is_ready = *revision <= self.newest && !self.refused.contains(revision);
                if is_ready {
                    self.move_to(*tag, *revision);
                }
                is_ready
            }
            Step::RollBack { tag } => {
                let Some((now, before)) = self.tags.get_mut(NAMES[*tag]) else { return false };
                let ready = before.iter().position(|revision| !self.refused.contains(revision));
                ready
                    .inspect(|at| {
                        *now = before[*at];
                        before.drain(..=*at);
                    })
                    .is_some()
            }
            Step::Delete { tag } => self.tags.remove(NAMES[*tag]).is_some(),
            Step::Refuse { revision } => {
                let is_there = *revision <= self.newest;
                if is_there {
                    self.refused.insert(*revision);
                }
                is_there
            }
            Step::Restart => true,
        }
    }
}

fn act(fixture: &Fixture, component: lockgate_domain::ComponentDigest, step: &Step) -> Result<(), Problem> {
    let registry = &fixture.registry;
    let named = |at: usize| tag(NAMES[at]);
    match step {
        Step::Create { tag } => {
            let options = RevisionOptions { tag: tag.map(named), ..RevisionOptions::default() };
            fixture.create("shout", spec(component), &options).map(drop)
        }
        Step::Put { tag, revision } => {
            registry.put_tag(&acme(), &shout(), &named(*tag), number(*revision), Precondition::Any).map(drop)
        }
        Step::RollBack { tag } => {
            registry.roll_back(&acme(), &shout(), &named(*tag), Precondition::Any).map(drop)
        }
        Step::Delete { tag } => registry.delete_tag(&acme(), &shout(), &named(*tag), Precondition::Any),
        Step::Refuse { revision } => {
            registry.refuse_revision(&acme(), &shout(), number(*revision), "test").map(drop)
        }
        Step::Restart => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn tags_move_as_the_model_says(steps in proptest::collection::vec(step(), 1..40)) {
        let mut fixture = Fixture::new();
        let (component, _) = fixture.upload(&acme(), b"walk").unwrap();
        let mut model = Model::default();
        for step in &steps {
            if matches!(step, Step::Restart) {
                fixture = fixture.reopen(|_| ());
            }
            let done = act(&fixture, component, step);
            prop_assert_eq!(done.is_ok(), model.take(step), "{:?} after {:?}: {:?}", step, steps, done);
            let executor = fixture.registry.executor(&acme(), &shout()).ok();
            prop_assert_eq!(executor.as_ref().map_or(0, |executor| executor.newest.get()), model.newest);
            let tags = executor.map_or_else(Vec::new, |executor| executor.tags);
            let tags: BTreeMap<String, (u32, Vec<u32>)> = tags
                .into_iter()
                .map(|tag| {
                    let before = tag.before.iter().map(|number| number.get()).collect();
                    (tag.name.to_string(), (tag.revision.get(), before))
                })
                .collect();
            prop_assert_eq!(&tags, &model.tags);
        }
    }
}
