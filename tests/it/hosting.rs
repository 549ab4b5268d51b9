//! Hosting strangers' code: the real host, the real command, two tenants that must not see each other.

use std::path::{Path, PathBuf};
use std::process::Output;

use lockgate_testkit::host::lockgate;
use lockgate_testkit::http::{Answer, HttpClient};
use lockgate_testkit::{RunningServe, ServeOptions, fixtures};
use serde_json::{Value, json};

use crate::support::BINARY;

/// The command as somebody with a key types it.
struct Operator<'a> {
    host: &'a RunningServe,
    key: String,
}

/// What a command printed.
struct Printed {
    output: Output,
}

impl<'a> Operator<'a> {
    fn new(host: &'a RunningServe, key: &str) -> Self {
        Self { host, key: key.to_owned() }
    }

    async fn run(&self, words: &[&str]) -> Printed {
        let output = lockgate(Path::new(BINARY))
            .args(words)
            .current_dir(self.host.folder())
            .env("LOCKGATE_URL", self.host.control_url(""))
            .env("LOCKGATE_KEY", &self.key)
            .output()
            .await
            .unwrap();
        Printed { output }
    }

    /// The JSON that a command prints; it must go well.
    async fn ask(&self, words: &[&str]) -> Value {
        let printed = self.run(&[words, &["--json"]].concat()).await;
        assert!(printed.is_good(), "lockgate {}: {}\n{}", words.join(" "), printed.told(), self.host.logs());
        let text = printed.text();
        serde_json::from_str(text.trim())
            .unwrap_or_else(|error| panic!("lockgate {}: {error}: {text}", words.join(" ")))
    }

    /// A key with these scopes.
    async fn key(&self, tenant: &str, scopes: &str) -> String {
        let printed = self.run(&["key", "create", "--tenant", tenant, "--scopes", scopes]).await;
        assert!(printed.is_good(), "{}", printed.told());
        printed.text().trim().to_owned()
    }

    /// A tenant, and a key with which everything of it can be done.
    async fn tenant(&self, name: &str) -> Operator<'a> {
        self.ask(&["tenant", "create", name]).await;
        Operator::new(self.host, &self.key(name, "admin,call").await)
    }
}

impl Printed {
    fn is_good(&self) -> bool {
        self.output.status.success()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn told(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

async fn serve() -> RunningServe {
    tokio::task::spawn_blocking(|| fixtures::component("neighbour")).await.unwrap();
    ServeOptions::new(BINARY).start().await
}

/// The well-behaved guest.
fn neighbour() -> String {
    fixtures::component("neighbour").display().to_string()
}

async fn call(host: &RunningServe, key: &str, headers: &[(&str, &str)], text: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let usual = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let body = json!({ "data": [{ "text": text }], "execEndpoint": "/upper" }).to_string();
    let headers = [&usual, headers].concat();
    HttpClient::http1().send(http::Method::POST, &host.data_url("/post"), &headers, body.into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_publishes_calls_and_rolls_back() {
    let host = serve().await;
    let operator = Operator::new(&host, &host.operator_key());
    let acme = operator.tenant("acme").await;

    let component = neighbour();
    let published = acme.ask(&["publish", &component, "--executor", "shout", "--note", "first"]).await;
    assert_eq!(published["revision"]["number"], 1, "{published}");
    assert_eq!(published["tag"]["revision"], 1, "{published}");
    let answer = call(&host, &acme.key, &[("lockgate-executor", "shout")], "hello").await;
    assert_eq!(
        (answer.status.as_u16(), answer.texts()),
        (200, vec!["HELLO".to_owned()]),
        "{}",
        answer.text()
    );
    // The tenant's only executor is meant where none is named.
    assert_eq!(call(&host, &acme.key, &[], "hello").await.texts(), ["HELLO"]);

    for url in ["http", "grpc", "ws"] {
        let target = format!("{url}://{}", host.data_address());
        let printed = acme
            .run(&["call", &target, "--executor", "shout", "--endpoint", "/upper", "--text", "over it"])
            .await;
        assert!(printed.is_good() && printed.text().contains("OVER IT"), "{url}: {}", printed.told());
        let refused =
            acme.run(&["call", &target, "--executor", "nobody", "--endpoint", "/upper", "--text", "x"]).await;
        assert!(refused.told().contains("nobody"), "{url}: {}", refused.told());
    }

    let limits = ["--limits", "fuel=1G"];
    let second = acme.ask(&[&["publish", &component, "--executor", "shout"][..], &limits].concat()).await;
    assert_eq!(
        (&second["revision"]["number"], &second["tag"]["revision"]),
        (&json!(2), &json!(2)),
        "{second}"
    );
    let rolled = acme.ask(&["rollback", "shout"]).await;
    assert_eq!(rolled["revision"], 1, "{rolled}");
    let status = acme.ask(&["status", "shout"]).await;
    assert!(status["revisions"].as_array().is_some_and(|revisions| !revisions.is_empty()), "{status}");
    assert_eq!(call(&host, &acme.key, &[("lockgate-executor", "shout@2")], "still").await.texts(), ["STILL"]);

    // Known bytes are not sent again, and a digest may be cut.
    let listed = acme.ask(&["component", "list"]).await;
    let digest = listed["items"][0]["digest"].as_str().unwrap().to_owned();
    let short = &digest["sha256:".len()..][..12];
    assert_eq!(acme.ask(&["component", "show", short]).await["digest"], digest);
    let back = acme.ask(&["component", "download", short, "--output", "back.wasm"]).await;
    assert_eq!(back["digest"], digest);
    assert_eq!(std::fs::read(host.folder().join("back.wasm")).unwrap(), std::fs::read(&component).unwrap());
    let in_use = acme.run(&["component", "delete", short]).await;
    assert!(!in_use.is_good() && in_use.told().contains("shout@1"), "{}", in_use.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_is_replayed_from_its_capsule() {
    let host = serve().await;
    let acme = Operator::new(&host, &host.operator_key()).tenant("acme").await;
    let component = fixtures::component("hostile").display().to_string();
    acme.ask(&["publish", &component, "--executor", "broken"]).await;
    acme.ask(&["deploy", "broken", "--capture-failures"]).await;
    let target = format!("http://{}", host.data_address());
    let failed =
        acme.run(&["call", &target, "--executor", "broken", "--endpoint", "/trap", "--text", "x"]).await;
    assert!(!failed.is_good(), "{}", failed.text());
    let listed = acme.ask(&["capsule", "list"]).await;
    let [capsule] = listed["items"].as_array().unwrap().as_slice() else { panic!("one capsule: {listed}") };
    assert_eq!((&capsule["executor"], &capsule["error"]), (&json!("broken"), &json!("guest_trap")));
    let id = capsule["id"].as_str().unwrap();
    assert!(acme.run(&["capsule", "download", id, "--output", "kept.json"]).await.is_good());
    let replayed = acme.ask(&["replay", "kept.json", "--component", &component]).await;
    assert_eq!(replayed["is_same"], true, "{replayed}");
    assert_eq!(replayed["recorded"], replayed["replayed"], "{replayed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_take_their_part() {
    let host = serve().await;
    let acme = Operator::new(&host, &host.operator_key()).tenant("acme").await;
    let component = neighbour();
    acme.ask(&["publish", &component, "--executor", "shout"]).await;
    acme.ask(&[
        "publish",
        &component,
        "--executor",
        "shout",
        "--tag",
        "next",
        "--no-deploy",
        "--limits",
        "fuel=1G",
    ])
    .await;
    let deployed = acme.ask(&["deploy", "shout", "--canary", "next=50", "--max", "4"]).await;
    assert_eq!(deployed["spec"]["canary"], json!({ "target": "next", "percent": 50.0 }), "{deployed}");
    for _ in 0..60 {
        assert_eq!(call(&host, &acme.key, &[], "x").await.texts(), ["X"]);
    }
    let status = acme.ask(&["status", "shout"]).await;
    let calls: Vec<u64> =
        status["revisions"].as_array().unwrap().iter().map(|r| r["calls"].as_u64().unwrap()).collect();
    assert_eq!(calls.iter().sum::<u64>(), 60, "{status}");
    assert!(calls.len() == 2 && calls.iter().all(|calls| *calls > 10), "{status}");
    let alone = acme.ask(&["deploy", "shout", "--no-canary"]).await;
    assert_eq!((alone["spec"].get("canary"), &alone["spec"]["scale"]["max"]), (None, &json!(4)), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_sees_nothing() {
    let host = serve().await;
    let operator = Operator::new(&host, &host.operator_key());
    let (acme, other) = (operator.tenant("acme").await, operator.tenant("other").await);
    let published = acme.ask(&["publish", &neighbour(), "--executor", "shout"]).await;
    let digest = published["revision"]["spec"]["component"].as_str().unwrap().to_owned();
    std::fs::write(
        host.folder().join("flow.yml"),
        "jtype: Flow\nwith: { name: search }\nexecutors:\n  - name: a\n    uses: shout\n",
    )
    .unwrap();
    acme.ask(&["flow", "apply", "flow.yml"]).await;
    let unknown = format!("sha256:{}", "0".repeat(64));

    // What is another tenant's and what nobody has are told apart by the name alone.
    let verbs: &[(&[&str], &str, &str)] = &[
        (&["component", "show", "{}"], &digest, &unknown),
        (&["component", "download", "{}"], &digest, &unknown),
        (&["component", "delete", "{}"], &digest, &unknown),
        (&["executor", "show", "{}"], "shout", "nobody"),
        (&["executor", "delete", "{}"], "shout", "nobody"),
        (&["revision", "list", "{}"], "shout", "nobody"),
        (&["revision", "show", "{}@1"], "shout", "nobody"),
        (&["revision", "approve", "{}@1"], "shout", "nobody"),
        (&["revision", "refuse", "{}@1"], "shout", "nobody"),
        (&["tag", "list", "{}"], "shout", "nobody"),
        (&["tag", "set", "{}:latest", "@1"], "shout", "nobody"),
        (&["tag", "delete", "{}:latest"], "shout", "nobody"),
        (&["rollback", "{}"], "shout", "nobody"),
        (&["deploy", "{}"], "shout", "nobody"),
        (&["deploy", "{}", "--remove"], "shout", "nobody"),
        (&["status", "{}"], "shout", "nobody"),
        (&["shadow", "{}"], "shout", "nobody"),
        (&["flow", "show", "{}"], "search", "nobody"),
        (&["flow", "delete", "{}"], "search", "nobody"),
        (&["executor", "list", "--tenant", "{}"], "acme", "nobody"),
        (&["key", "list", "--tenant", "{}"], "acme", "nobody"),
        (&["usage", "--tenant", "{}"], "acme", "nobody"),
        (&["audit", "--tenant", "{}"], "acme", "nobody"),
        (&["secret", "list", "--tenant", "{}"], "acme", "nobody"),
        (&["capsule", "list", "--tenant", "{}"], "acme", "nobody"),
        (&["signing-key", "list", "--tenant", "{}"], "acme", "nobody"),
        (&["tenant", "show", "{}"], "acme", "nobody"),
    ];
    for (words, theirs, nobodys) in verbs {
        let told = async |name: &str| {
            let words: Vec<String> = words.iter().map(|word| word.replace("{}", name)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let printed = other.run(&words).await;
            assert_eq!(
                printed.output.status.code(),
                Some(1),
                "{words:?}: {}{}",
                printed.text(),
                printed.told()
            );
            printed.told().replace(name, "NAME")
        };
        let (theirs, nobodys) = (told(theirs).await, told(nobodys).await);
        assert_eq!(theirs, nobodys, "{words:?}");
        assert!(theirs.contains("no ") || theirs.contains("not "), "{words:?}: {theirs}");
    }
    for list in [&["component", "list"][..], &["executor", "list"], &["flow", "list"]] {
        assert_eq!(other.ask(list).await["items"], json!([]), "{list:?}");
    }
    for name in ["shout", "nobody"] {
        let answer = call(&host, &other.key, &[("lockgate-executor", name)], "x").await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(!answer.text().contains("acme"), "{}", answer.text());
    }
    // The same bytes are the other tenant's own once it uploads them, and only then.
    let own = other.ask(&["component", "upload", &neighbour()]).await;
    assert_eq!(own["digest"], digest);
    other.ask(&["component", "delete", &digest]).await;
    assert_eq!(call(&host, &acme.key, &[("lockgate-executor", "shout")], "x").await.texts(), ["X"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_do_what_they_are_for_until_they_end() {
    let host = serve().await;
    let operator = Operator::new(&host, &host.operator_key());
    let acme = operator.tenant("acme").await;
    acme.ask(&["publish", &neighbour(), "--executor", "shout"]).await;
    let check = async |scopes: &str, words: &[&str], allowed: bool| {
        let holder = Operator::new(&host, &operator.key("acme", scopes).await);
        let printed = holder.run(words).await;
        assert_eq!(printed.is_good(), allowed, "{scopes} {words:?}: {}", printed.told());
    };
    // One that the tenant does not have: what is there already is not sent.
    let component = fixtures::component("chunker").display().to_string();
    check("call", &["executor", "list"], false).await;
    check("read", &["executor", "list"], true).await;
    check("read", &["component", "upload", &component], false).await;
    check("upload", &["component", "upload", &component], true).await;
    check("upload", &["rollback", "shout"], false).await;
    check("deploy", &["deploy", "shout", "--max", "3"], true).await;
    check("deploy", &["key", "list"], false).await;
    check("admin", &["key", "list"], true).await;
    check("admin", &["tenant", "list"], false).await;

    let caller = operator.key("acme", "call").await;
    assert_eq!(call(&host, &caller, &[], "x").await.texts(), ["X"]);
    let reader = operator.key("acme", "read").await;
    assert_eq!(call(&host, &reader, &[], "x").await.status, 403);
    assert_eq!(call(&host, "lg_nobody_0", &[], "x").await.status, 401);

    let keys = acme.ask(&["key", "list"]).await;
    let id = |secret: &str| secret.split('_').nth(1).unwrap().to_owned();
    assert!(keys["items"].as_array().unwrap().iter().any(|key| key["id"] == id(&caller)), "{keys}");
    assert!(!keys.to_string().contains(&caller), "a list shows a secret");
    acme.ask(&["key", "revoke", &id(&caller)]).await;
    assert_eq!(call(&host, &caller, &[], "x").await.status, 401);

    let made = acme.ask(&["key", "create", "--scopes", "call", "--expires", "1s"]).await;
    let short_lived = made["secret"].as_str().unwrap().to_owned();
    lockgate_testkit::wait_for("the key to expire", async || {
        (call(&host, &short_lived, &[], "x").await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_exact_and_the_audit_has_everything() {
    let mut host = serve().await;
    let key = host.operator_key();
    {
        let operator = Operator::new(&host, &key);
        let acme = operator.tenant("acme").await;
        acme.ask(&["publish", &neighbour(), "--executor", "shout"]).await;
        for _ in 0..25 {
            assert_eq!(call(&host, &acme.key, &[], "x").await.texts(), ["X"]);
        }
        let usage = acme.ask(&["usage"]).await;
        let sum = &usage["sum"];
        assert_eq!(
            (&sum["requests"], &sum["documents"], &sum["failures"]),
            (&json!(25), &json!(25), &json!(0)),
            "{usage}"
        );
        assert!(sum["fuel"].as_u64().is_some_and(|fuel| fuel > 0), "{usage}");
        let csv = acme.run(&["usage", "--csv", "--executor", "shout"]).await.text();
        assert!(csv.lines().nth(1).is_some_and(|line| line.contains(",shout,25,0,25,")), "{csv}");

        let refused = acme.run(&["tenant", "create", "more"]).await;
        assert!(!refused.is_good(), "{}", refused.text());
        let audit = operator.ask(&["audit", "--of-host"]).await;
        let entries = audit["items"].as_array().unwrap();
        let actions = |wanted: &str| entries.iter().filter(|entry| entry["action"] == wanted).count();
        for action in ["tenant.create", "key.create", "component.upload", "revision.create"] {
            assert!(actions(action) > 0, "{action}: {audit}");
        }
        let refused =
            |entry: &&Value| entry["action"] == "tenant.create" && entry["error"] == "permission_denied";
        assert_eq!(entries.iter().filter(refused).count(), 1, "{audit}");
        let sequence: Vec<u64> = entries.iter().filter_map(|entry| entry["sequence"].as_u64()).collect();
        assert!(sequence.is_sorted_by(|a, b| a > b), "{audit}");
    }
    host.terminate();
    assert!(host.ended().await.success(), "{}", host.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_example_that_differs_changes_nothing() {
    let host = serve().await;
    let acme = Operator::new(&host, &host.operator_key()).tenant("acme").await;
    let examples = |expected: &str| {
        json!([{ "endpoint": "/upper", "data": [{ "text": "a" }], "expect": [{ "text": expected }] }])
            .to_string()
    };
    std::fs::write(host.folder().join("good.json"), examples("A")).unwrap();
    std::fs::write(host.folder().join("bad.json"), examples("B")).unwrap();
    let component = neighbour();
    let good = acme.ask(&["publish", &component, "--executor", "shout", "--examples", "good.json"]).await;
    assert_eq!(good["revision"]["examples"][0]["endpoint"], "/upper", "{good}");
    let bad = acme.run(&["publish", &component, "--executor", "shout", "--examples", "bad.json"]).await;
    assert!(!bad.is_good() && bad.told().contains("golden example 1"), "{}", bad.told());
    assert_eq!(acme.ask(&["executor", "show", "shout"]).await["newest"], 1);
    let dry = acme.ask(&["publish", &component, "--executor", "shout", "--dry-run"]).await;
    assert_eq!(dry["dry_run"], true);
    assert_eq!(acme.ask(&["executor", "show", "shout"]).await["newest"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_that_must_be_signed() {
    let host = serve().await;
    let operator = Operator::new(&host, &host.operator_key());
    let acme = operator.tenant("acme").await;
    operator.ask(&["tenant", "set", "acme", "--require-signature", "true"]).await;
    let component = host.folder().join("shout.wasm");
    std::fs::copy(neighbour(), &component).unwrap();
    let unsigned = acme.run(&["publish", "shout.wasm", "--executor", "shout"]).await;
    assert!(!unsigned.is_good() && unsigned.told().contains("sign"), "{}", unsigned.told());

    acme.ask(&["sign", "--generate", "--key", "release.pem"]).await;
    let private = acme.run(&["signing-key", "add", "release", "release.pem"]).await;
    assert!(!private.is_good() && private.told().contains("private key"), "{}", private.told());
    acme.ask(&["signing-key", "add", "release", "release.pub.pem"]).await;
    acme.ask(&["sign", "shout.wasm", "--key", "release.pem"]).await;
    acme.ask(&["publish", "shout.wasm", "--executor", "shout"]).await;
    assert_eq!(acme.ask(&["component", "list"]).await["items"][0]["signed_by"], "release");
    let again = acme.run(&["sign", "--generate", "--key", "release.pem"]).await;
    assert!(!again.is_good(), "a key was overwritten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn development_mode_is_for_this_machine() {
    for words in [["--listen", "0.0.0.0:0"], ["--control", "[::]:0"]] {
        let told = ServeOptions::new(BINARY).word("--dev").word(words[0]).word(words[1]).try_start().await;
        let told = told.err().unwrap_or_else(|| panic!("{words:?} was taken"));
        assert!(told.contains("--dev asks nobody for a key"), "{told}");
    }
    tokio::task::spawn_blocking(|| fixtures::component("neighbour")).await.unwrap();
    let host = ServeOptions::new(BINARY).word("--dev").start().await;
    let anybody = Operator::new(&host, "");
    assert_eq!(anybody.ask(&["whoami"]).await["principal"], "local");
    anybody.ask(&["publish", &neighbour(), "--executor", "shout"]).await;
    let body = json!({ "data": [{ "text": "x" }] });
    assert_eq!(
        HttpClient::http1().post(&host.data_url("/executors/shout/upper"), &body).await.texts(),
        ["X"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_kept_until_it_is_forgotten() {
    let host = serve().await;
    let home = tempfile::TempDir::new().unwrap();
    let run = async |words: &[&str], input: Option<PathBuf>| {
        let mut command = lockgate(Path::new(BINARY));
        command.args(words).env("XDG_CONFIG_HOME", home.path());
        if let Some(input) = input {
            command.stdin(std::fs::File::open(input).unwrap());
        }
        Printed { output: command.output().await.unwrap() }
    };
    let url = host.control_url("");
    let key = host.data_folder().join("operator.key");
    let logged_in = run(&["login", "--url", &url], Some(key.clone())).await;
    assert!(logged_in.is_good() && logged_in.text().contains("host"), "{}", logged_in.told());
    let whoami = run(&["whoami"], None).await;
    assert!(whoami.is_good() && whoami.text().contains(&url), "{}{}", whoami.text(), whoami.told());
    assert!(run(&["logout"], None).await.is_good());
    assert!(!run(&["whoami", "--url", &url], None).await.is_good());
    // A wrong key is not saved.
    assert!(!run(&["login", "--url", &url, "--key", "lg_nobody_0"], None).await.is_good());
    assert_eq!(run(&["logout"], None).await.text().trim(), "no login was saved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_at_the_door_is_told() {
    let host = ServeOptions::new(BINARY).word("--dev").word("--max-component").word("1MiB").start().await;
    let anybody = Operator::new(&host, "");
    let check = async |bytes: &[u8], told: &str| {
        std::fs::write(host.folder().join("upload.wasm"), bytes).unwrap();
        let printed = anybody.run(&["component", "upload", "upload.wasm"]).await;
        assert!(!printed.is_good() && printed.told().contains(told), "{}", printed.told());
    };
    // Refused by its length alone, while the command still sends.
    check(&vec![7; 32 << 20], "larger than 1048576 bytes").await;
    check(&vec![7; 1 << 10], "no WebAssembly").await;
    check(b"", "empty").await;
    check(&std::fs::read(fixtures::core_module()).unwrap(), "component").await;
    let pulled = anybody.run(&["component", "upload", "oci:registry.example/x:1"]).await;
    assert!(pulled.told().contains("pulls no components"), "{}", pulled.told());
    assert_eq!(anybody.ask(&["component", "list"]).await["items"], json!([]));
}
