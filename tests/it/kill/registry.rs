//! The registry alone, with components that nobody compiles: fast enough to be killed at every single point.
//!
//! The process that is killed is this test binary itself, told by its environment to run the script in a folder. It notes
//! each action that returned in a file outside that folder.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use lockgate_domain::hosting::{ComponentReport, DeploymentSpec, RevisionSpec, Target};
use lockgate_domain::tenancy::TenantSettings;
use lockgate_domain::{ComponentDigest, ErrorCode, Problem, Scope, Timestamp, Usage};
use lockgate_registry::access::{Credential, HostAccess, TenantAccess};
use lockgate_registry::signature::PrivateSigningKey;
use lockgate_registry::{
    AuditDraft, ComponentValidator, Examined, PageRequest, Precondition, Registry, RegistryOptions,
    RevisionOptions, UploadTerms, UsageFilter, UsageSample,
};
use lockgate_testkit::faults::{self, Faults};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{at_all, component_files, leftovers};

/// Tells the test binary to be the process that is killed: the data directory.
const DATA: &str = "LOCKGATE_KILL_DATA";
/// Where it notes what returned; without it the registry is opened and nothing more.
const NOTES: &str = "LOCKGATE_KILL_NOTES";
/// Tells it to lack room instead: the file of the faults.
const CONTROL: &str = "LOCKGATE_KILL_CONTROL";
/// The test in which it does so.
const TEST: &str = "kill::registry::the_script_runs_to_its_end";

/// One action of the script.
type Action = (&'static str, fn(&Registry) -> Result<(), Problem>);

/// Everything that changes the data directory, at least once.
const SCRIPT: &[Action] = &[
    ("create tenant", |registry| tenant(registry, "acme")),
    ("create another tenant", |registry| tenant(registry, "rival")),
    ("change settings", |registry| {
        let settings = TenantSettings { weight: 200, ..TenantSettings::default() };
        let host = HostAccess::of_host("test");
        registry.put_tenant(&host, &name("acme"), settings, Precondition::Any).map(drop)
    }),
    ("make a key", |registry| make_key(registry, "first")),
    ("make another key", |registry| make_key(registry, "second")),
    ("register a signing key", |registry| {
        let key = PrivateSigningKey::from_pem(SIGNING_KEY)?;
        registry.put_signing_key(&acme(), &name("release"), key.public().to_pem()?).map(drop)
    }),
    ("upload", |registry| upload(registry, &acme(), 1, None)),
    ("upload what another tenant has", |registry| upload(registry, &rival(), 1, None)),
    ("upload with a signature", |registry| {
        let key = PrivateSigningKey::from_pem(SIGNING_KEY)?;
        upload(registry, &acme(), 2, Some(key.sign(name("release"), digest(2))))
    }),
    ("publish", |registry| publish(registry, 1, "latest")),
    ("publish the next revision", |registry| publish(registry, 2, "latest")),
    ("set a tag", |registry| put_tag(registry, 1)),
    ("move a tag", |registry| put_tag(registry, 2)),
    ("roll back", |registry| {
        registry.roll_back(&acme(), &name("shout"), &name("latest"), Precondition::Any).map(drop)
    }),
    ("keep a secret", |registry| registry.put_secret(&acme(), &name("openai"), "sk-1").map(drop)),
    ("replace a secret", |registry| registry.put_secret(&acme(), &name("openai"), "sk-2").map(drop)),
    ("put a flow", |registry| put_flow(registry, "first")),
    ("replace a flow", |registry| put_flow(registry, "second")),
    ("change the deployment", |registry| {
        let mut spec = DeploymentSpec { primary: Target::Tag(name("stable")), ..DeploymentSpec::default() };
        spec.scale.min = Some(1);
        registry.put_deployment(&acme(), &name("shout"), spec, Precondition::Any).map(drop)
    }),
    ("meter", |registry| {
        let usage = Usage { requests: 3, fuel: 1000, ..Usage::default() };
        let sample = UsageSample { tenant: name("acme"), executor: name("shout"), at: moment(), usage };
        registry.add_usage(&[sample])
    }),
    ("keep a value of an executor", |registry| {
        let store = registry.key_value_store(name("acme"), name("shout"));
        // A guest is told in its own way; here the code counts.
        let told = |fault| Problem::new(ErrorCode::Overloaded, format!("{fault}"));
        store.set("count", b"1", 1 << 20).map_err(told).and_then(|()| registry.flush_key_values())
    }),
    ("note in the audit", |registry| {
        registry.audit(AuditDraft {
            principal: "key:test".into(),
            tenant: Some(name("acme")),
            action: "flow.put".into(),
            object: "search".into(),
            error: None,
            request_id: "r".into(),
        })
    }),
    ("upload a third", |registry| upload(registry, &acme(), 3, None)),
    ("delete a component", |registry| registry.delete_component(&acme(), digest(3))),
    ("delete what another tenant keeps", |registry| registry.delete_component(&rival(), digest(1))),
    ("revoke a key", |registry| {
        let keys = registry.keys(&acme(), &PageRequest::default())?;
        let key = keys.items.iter().find(|key| key.label == "first").expect("the first key");
        registry.revoke_key(&acme(), &key.id).map(drop)
    }),
    ("compact", |registry| registry.compact().map(drop)),
    ("delete a flow", |registry| registry.delete_flow(&acme(), &name("search"), Precondition::Any)),
    ("upload to be deleted with its tenant", |registry| upload(registry, &rival(), 4, None)),
    ("delete a tenant", |registry| {
        registry.delete_tenant(&HostAccess::of_host("test"), &name("rival"), Precondition::Any, true)
    }),
    ("delete an executor", |registry| registry.delete_executor(&acme(), &name("shout"))),
    ("compact again", |registry| registry.compact().map(drop)),
];

const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n-----END PRIVATE KEY-----\n";

// === the actions ===

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn acme() -> TenantAccess {
    TenantAccess::of_host(name("acme"), "test")
}

fn rival() -> TenantAccess {
    TenantAccess::of_host(name("rival"), "test")
}

fn moment() -> Timestamp {
    Timestamp::from_millis(1_795_709_724_500)
}

/// Several pages of bytes that are different for each number.
fn component(number: u8) -> Vec<u8> {
    (0..40_000_u32).map(|at| (at % 251) as u8 ^ number).collect()
}

fn digest(number: u8) -> ComponentDigest {
    ComponentDigest::from_sha256(Sha256::digest(component(number)).into())
}

fn tenant(registry: &Registry, tenant: &str) -> Result<(), Problem> {
    let host = HostAccess::of_host("test");
    registry.create_tenant(&host, name(tenant), TenantSettings::default()).map(drop)
}

fn make_key(registry: &Registry, label: &str) -> Result<(), Problem> {
    registry.create_key(&acme(), label.into(), BTreeSet::from([Scope::Call]), None).map(drop)
}

/// Finds every component good.
struct Indulgent;

impl ComponentValidator for Indulgent {
    fn examine(&self, _: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem> {
        let code_bytes = bytes.len() as u64;
        Ok(ComponentReport { engine: self.engine().to_owned(), code_bytes, ..ComponentReport::default() })
    }

    fn engine(&self) -> &str {
        "none"
    }
}

fn upload(
    registry: &Registry,
    access: &TenantAccess,
    number: u8,
    signature: Option<lockgate_registry::signature::ComponentSignature>,
) -> Result<(), Problem> {
    let mut upload = registry.begin_upload(access)?;
    for chunk in component(number).chunks(16_384) {
        upload.write(chunk)?;
    }
    let terms = UploadTerms { expected: None, signature, pulled_from: None };
    let (kept, _) = upload.finish(&terms, &Indulgent)?;
    assert_eq!(kept.digest, digest(number));
    Ok(())
}

fn publish(registry: &Registry, number: u8, tag: &str) -> Result<(), Problem> {
    let spec: RevisionSpec = serde_json::from_value(json!({
        "component": digest(number), "configuration": { "number": number },
    }))
    .unwrap();
    let options = RevisionOptions { tag: Some(name(tag)), deploy: true, precondition: Precondition::Any };
    let examined = Examined { outcomes: Vec::new(), engine: "none".into() };
    registry.create_revision(&acme(), &name("shout"), spec, examined, &options).map(drop)
}

fn put_tag(registry: &Registry, number: u32) -> Result<(), Problem> {
    let revision = serde_json::from_value(json!(number)).unwrap();
    let (executor, tag) = (name("shout"), name("stable"));
    registry.put_tag(&acme(), &executor, &tag, revision, Precondition::Any).map(drop)
}

fn put_flow(registry: &Registry, words: &str) -> Result<(), Problem> {
    let yaml = format!("jtype: Flow\n# {words}\nexecutors:\n  - name: shout\n    uses: shout\n");
    registry.put_flow(&acme(), &name("search"), yaml, &[name("shout")], Precondition::Any).map(drop)
}

// === the process that is killed ===

fn open(data: &Path) -> Result<Registry, Problem> {
    Registry::open(RegistryOptions { clock: Arc::new(moment), ..RegistryOptions::new(data) })
}

#[test]
fn the_script_runs_to_its_end() {
    let variable = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    if let (Some(data), Some(control)) = (variable(DATA), variable(CONTROL)) {
        return lack_room(&data, &Faults::attach(control));
    }
    if let Some(data) = variable(DATA) {
        return be_killed(&data, variable(NOTES).as_deref());
    }
    let folder = faults::folder();
    let data = folder.path().join("data");
    let states = states(&data);
    assert_eq!(states.len(), SCRIPT.len() + 1);
    for (at, pair) in states.windows(2).enumerate() {
        let (what, _) = SCRIPT[at];
        let changes_nothing = what.starts_with("compact");
        assert_eq!(pair[0] == pair[1], changes_nothing, "{what}: {:#}", pair[1]);
    }
    assert_eq!(
        open(&data).map(|registry| state(&registry)).unwrap(),
        states[SCRIPT.len()],
        "after a restart"
    );
}

fn be_killed(data: &Path, notes: Option<&Path>) {
    let registry = open(data).unwrap();
    let Some(notes) = notes else { return };
    let mut notes = std::fs::File::create(notes).unwrap();
    for (what, action) in SCRIPT {
        action(&registry).unwrap_or_else(|problem| panic!("{what}: {problem:?}"));
        writeln!(notes, "{what}").unwrap();
    }
}

/// Tries each action with less and less room until it works, and compares what is there with what was before.
fn lack_room(data: &Path, faults: &Faults) {
    let registry = open(data).unwrap();
    let (mut refusals, mut violations) = (0, Vec::new());
    for (what, action) in SCRIPT {
        let before = state(&registry);
        for changes in 0.. {
            faults.fill_after(changes);
            let outcome = action(&registry);
            faults.make_room();
            let Err(problem) = outcome else { break };
            refusals += 1;
            let mut wrong = faults_on_disk(data, &registry);
            if problem.code() != ErrorCode::Overloaded {
                wrong.push(format!("no clear answer: {problem:?}"));
            }
            if state(&registry) != before {
                wrong.push(format!("something changed, and the answer was {problem:?}"));
            }
            violations
                .extend(wrong.into_iter().map(|wrong| format!("{what}, after {changes} changes: {wrong}")));
            assert!(
                changes < 1000 && violations.len() < 100,
                "{what} never works: {}",
                violations.join("\n")
            );
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    println!("full disk, registry: {refusals} refusals, {} violations", violations.len());
}

/// Runs this binary under faults; gives how many actions returned, and whether it was killed.
fn run(data: &Path, faults: &Faults, notes: Option<&Path>) -> (usize, bool) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([TEST, "--exact", "--nocapture"]).env(DATA, data).envs(faults.environment(data));
    process.env_remove(NOTES).env_remove(CONTROL).envs(notes.map(|notes| (NOTES, notes)));
    let output = process.stdin(Stdio::null()).output().unwrap();
    let is_killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(is_killed || output.status.success(), "the process failed by itself: {said}");
    let noted = notes.map(|notes| std::fs::read_to_string(notes).unwrap_or_default());
    (noted.unwrap_or_default().lines().count(), is_killed)
}

// === what is there ===

/// What there is before the first action and after each.
fn states(data: &Path) -> Vec<Value> {
    let registry = open(data).unwrap();
    let mut states = vec![state(&registry)];
    for (what, action) in SCRIPT {
        action(&registry).unwrap_or_else(|problem| panic!("{what}: {problem:?}"));
        states.push(state(&registry));
    }
    states
}

/// Everything that the registry tells, without what is random: the ids of keys.
fn state(registry: &Registry) -> Value {
    let host = HostAccess::of_host("test");
    let all = PageRequest { limit: Some(500), cursor: None };
    let tenants = registry.tenants(&host, &all).unwrap().items;
    let of_tenants: Vec<Value> = tenants
        .iter()
        .map(|tenant| of_tenant(registry, &TenantAccess::of_host(tenant.name.clone(), "test")))
        .collect();
    json!({
        "tenants": tenants,
        "of_tenants": of_tenants,
        "host_keys": registry.host_keys(&host, &all).unwrap().items.len(),
        "audit": registry.audit_of_host(&host, &all).unwrap().items,
    })
}

fn of_tenant(registry: &Registry, access: &TenantAccess) -> Value {
    let all = PageRequest { limit: Some(500), cursor: None };
    let executors = registry.executors(access, &all).unwrap().items;
    let revisions: Vec<_> = executors
        .iter()
        .map(|executor| registry.revisions(access, &executor.name, &all).unwrap().items)
        .collect();
    let mut keys: Vec<Value> = registry
        .keys(access, &all)
        .unwrap()
        .items
        .into_iter()
        .map(|key| json!([key.label, key.scopes, key.revoked_at]))
        .collect();
    keys.sort_by_key(Value::to_string);
    let secrets = registry.secrets(access, &all).unwrap().items;
    let names: Vec<_> = secrets.iter().map(|secret| secret.name.clone()).collect();
    let revealed = registry.reveal_secrets(access, &names).unwrap();
    let revealed: Vec<_> = revealed.iter().map(|(name, value)| json!([name, value.as_str()])).collect();
    let count = registry.key_value_store(access.tenant().clone(), name("shout")).get("count").unwrap();
    json!({
        "components": registry.components(access, &all).unwrap().items,
        "executors": executors,
        "revisions": revisions,
        "flows": registry.flows(access, &all).unwrap().items,
        "keys": keys,
        "secrets": revealed,
        "signing_keys": registry.signing_keys(access, &all).unwrap().items,
        "usage": registry.usage(access, &UsageFilter::default(), &all).unwrap().items,
        "month": registry.month_usage(access.tenant(), moment()).unwrap(),
        "audit": registry.audit_of_tenant(access, &all).unwrap().items,
        "count": count,
    })
}

/// What is wrong after a kill, beside the state itself.
fn faults_on_disk(data: &Path, registry: &Registry) -> Vec<String> {
    let mut wrong: Vec<String> = leftovers(data).iter().map(|file| format!("{file} was left")).collect();
    let all = PageRequest { limit: Some(500), cursor: None };
    let mut named = BTreeSet::new();
    for tenant in registry.all_tenants() {
        let access = TenantAccess::of_host(tenant.name.clone(), "test");
        for component in registry.components(&access, &all).unwrap().items {
            let bytes = std::fs::read(registry.component_path(&access, component.digest).unwrap());
            let found = bytes.map(|bytes| ComponentDigest::from_sha256(Sha256::digest(bytes).into()));
            if found.as_ref().ok() != Some(&component.digest) {
                wrong.push(format!("component {} is {found:?}", component.digest));
            }
            named.insert(component.digest.hex());
        }
    }
    let files = component_files(data);
    if !files.iter().eq(named.iter()) {
        wrong.push(format!("component files {files:?}, named are {named:?}"));
    }
    let operator = std::fs::read_to_string(data.join("operator.key")).unwrap_or_default();
    let credential = Credential::parse(operator.trim());
    if let Err(problem) = credential.and_then(|key| registry.key_book().authenticate(&key, moment())) {
        wrong.push(format!("the operator's key: {problem}"));
    }
    wrong
}

// === the test ===

/// Kills at one point, looks at what is left, and lets the script go on from there; gives what is wrong.
fn kill_once(point: u64, states: &[Value]) -> Vec<String> {
    let folder = faults::folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let faults = Faults::new(folder.path().join("control"));
    faults.kill_at(point, point % 2 == 1);
    let (returned, _) = run(&data, &faults, Some(&folder.path().join("notes")));
    if point.is_multiple_of(3) {
        // The start that follows is killed as well, early or late.
        let faults = Faults::new(folder.path().join("control of the restart"));
        faults.kill_at(1 + point / 3 % 40, point.is_multiple_of(2));
        run(&data, &faults, None);
    }
    let registry = match open(&data) {
        Ok(registry) => registry,
        Err(problem) => return vec![format!("it does not open again: {problem:?}")],
    };
    let mut wrong = faults_on_disk(&data, &registry);
    let found = state(&registry);
    let Some(at) = (returned..=returned + 1).find(|at| states.get(*at) == Some(&found)) else {
        wrong.push(format!("neither the state before nor after: {found:#}"));
        return wrong;
    };
    for (what, action) in &SCRIPT[at..] {
        if let Err(problem) = action(&registry) {
            wrong.push(format!("{what} does not work afterwards: {problem:?}"));
            return wrong;
        }
    }
    if Some(&state(&registry)) != states.last() {
        wrong.push(format!("the script ends otherwise afterwards: {:#}", state(&registry)));
    }
    wrong
}

#[test]
fn a_kill_at_any_point_leaves_the_old_state_or_the_new() {
    let folder = faults::folder();
    let states = states(&folder.path().join("reference"));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let faults = Faults::new(folder.path().join("control"));
    assert_eq!(run(&data, &faults, Some(&folder.path().join("notes"))), (SCRIPT.len(), false));
    let points = faults.points();
    let violations = at_all(points, |point| kill_once(point, &states));
    println!("kill -9, registry: {points} points, {} violations", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn a_full_disk_is_an_answer() {
    let folder = faults::folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let control = folder.path().join("control");
    let faults = Faults::new(&control);
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([TEST, "--exact", "--nocapture"]).env(DATA, &data).env(CONTROL, &control);
    let output = process.envs(faults.environment(&data)).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = said.lines().find_map(|line| line.strip_prefix("full disk, registry: "));
    assert!(
        output.status.success() && figures.is_some(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("full disk, registry: {}", figures.unwrap_or_default());
    assert_ne!(faults.refused(), 0, "the disk was never full");
}
