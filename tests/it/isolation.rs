//! What a hostile guest can do to its host: nothing.
//!
//! Every endpoint of the hostile guest gives one structured error, or an answer within its limits. After each, the
//! same executor and its neighbour answer; after all, the process lives and its memory is where it was.

use lockgate_testkit::{RunningHost, http, wait_for};
use serde_json::{Value, json};

use crate::support::{assert_texts, flow, hostile_flow, post, serve, shown};

/// How a call of the hostile guest must end; its limits are [`SMALL_LIMITS`](crate::support::SMALL_LIMITS).
pub(crate) enum Expected {
    /// Code, limit with its value, and a part of message, hint or details.
    Problem(&'static str, Option<(&'static str, u64)>, &'static str),
    /// No answer but a refusal with this HTTP status, code, and limit: time that is over is over for the caller too.
    Refusal(u16, &'static str, (&'static str, u64)),
    /// An answer with these texts.
    Texts(&'static [&'static str]),
    /// Any answer without a problem.
    Answer,
}

use Expected::{Answer, Problem, Refusal, Texts};

pub(crate) fn cases() -> Vec<(&'static str, Value, Expected)> {
    let fuel = || Problem("limit_exceeded", Some(("fuel", 300_000_000)), "units of fuel");
    let memory = || Problem("limit_exceeded", Some(("memory_bytes", 67_108_864)), "bytes of memory");
    let host_call = || Problem("limit_exceeded", Some(("host_call_bytes", 1_048_576)), "1048576 bytes");
    let told = |words| Problem("guest_error", None, words);
    let contract = |words| Problem("contract_violation", None, words);
    vec![
        ("/spin", json!({}), fuel()),
        ("/recurse", json!({}), Problem("limit_exceeded", None, "stack_bytes")),
        ("/recurse-in-memory", json!({}), Problem("guest_trap", None, "out of bounds")),
        ("/trap", json!({}), Problem("guest_trap", None, "unreachable")),
        ("/panic", json!({}), Problem("guest_trap", None, "the hostile guest panics on purpose")),
        ("/exit", json!({}), Problem("guest_trap", None, "exit(0)")),
        ("/wild-pointer", json!({}), Problem("guest_trap", None, "out of bounds")),
        ("/wait-forever", json!({}), Refusal(504, "deadline_exceeded", ("wall_time_ms", 12_000))),
        ("/host-calls", json!({}), fuel()),
        ("/memory-bomb", json!({}), memory()),
        ("/memory-creep", json!({}), memory()),
        ("/huge-reply", json!({}), contract("")),
        ("/large-write", json!({}), host_call()),
        ("/many-writes", json!({}), told("too-large")),
        ("/many-empty-strings", json!({}), contract("")),
        ("/many-empty-strings", json!({ "count": 1_000_000 }), host_call()),
        ("/many-documents", json!({}), told("too-large")),
        ("/many-columns", json!({}), told("too-large")),
        ("/huge-error-message", json!({}), host_call()),
        ("/huge-error-message", json!({ "bytes": 100_000 }), told("hostile hostile")),
        ("/invalid-utf8", json!({}), contract("utf-8")),
        ("/invalid-utf8-error", json!({}), contract("utf-8")),
        ("/bad-discriminant", json!({}), contract("")),
        ("/bad-error-code", json!({}), contract("")),
        ("/unaligned", json!({}), contract("")),
        ("/spin-in-callback", json!({}), fuel()),
        ("/trap-in-callback", json!({}), Problem("guest_trap", None, "unreachable")),
        ("/call-in-callback", json!({}), Problem("guest_trap", None, "leave")),
        ("/lie-in-callback", json!({}), contract("")),
        ("/out-of-range", json!({}), told("out-of-range")),
        ("/wrong-kind", json!({}), told("wrong-kind")),
        ("/bad-tensor", json!({}), told("invalid")),
        ("/bad-json", json!({}), told("invalid")),
        ("/bad-offsets", json!({}), told("invalid")),
        ("/link-cycle", json!({}), Problem("limit_exceeded", Some(("nesting", 32)), "in a cycle")),
        ("/link-diamonds", json!({}), Problem("limit_exceeded", None, "")),
        ("/link-chain", json!({}), Problem("limit_exceeded", Some(("nesting", 32)), "")),
        ("/log-line", json!({}), memory()),
        ("/log-line", json!({ "bytes": 500_000 }), Texts(&["hello"])),
        ("/log-lines", json!({ "lines": 10_000 }), Texts(&["hello"])),
        ("/log-escapes", json!({}), Texts(&["hello"])),
        ("/stdout-flood", json!({ "lines": 2_000 }), Texts(&["hello"])),
        ("/metric-names", json!({ "names": 2_000 }), Texts(&["hello"])),
        ("/emit-forever", json!({}), fuel()),
        ("/select-twice", json!({}), Answer),
        ("/results", json!({}), told("too-large")),
        ("/results", json!({ "way": 1 }), told("too-large")),
        ("/results", json!({ "way": 2 }), told("invalid")),
        ("/results", json!({ "way": 3 }), host_call()),
        ("/results", json!({ "way": 4 }), told("too-large")),
        ("/results", json!({ "way": 5 }), told("changed its mind")),
        ("/half-written", json!({}), told("changed its mind")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_call_ends_as_one_error_and_hurts_nobody() {
    let mut host = serve(&hostile_flow()).await;
    assert_both_answer(&host).await;
    let before = host.resident_bytes();
    let mut wrong = Vec::new();
    for (endpoint, parameters, expected) in cases() {
        let what = format!("{endpoint} {parameters}");
        let answer = post(&host, endpoint, &["hello"], parameters).await;
        assert!(host.is_alive(), "{what} ended the host; it said:\n{}", host.logs());
        let problem = answer.problem();
        if let Err(why) = judge(&answer, problem.as_ref(), &expected) {
            let found = problem.unwrap_or_else(|| json!(shown(&answer.text())));
            wrong.push(format!("{what}: {why}: {found}"));
        }
        assert_both_answer(&host).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let allowed = before + (96 << 20);
    wait_for("memory to return", async || (host.resident_bytes() < allowed).then_some(())).await;
}

/// What was wrong with an ending, if anything.
pub(crate) fn judge(
    answer: &http::Answer,
    problem: Option<&Value>,
    expected: &Expected,
) -> Result<(), String> {
    let (status, answer) = (answer.status.as_u16(), answer.json());
    let same = |what: &str, found: &Value, wanted: &Value| {
        if found == wanted { Ok(()) } else { Err(format!("{what} is {found}, not {wanted}")) }
    };
    let wanted = if let Refusal(status, ..) = expected { *status } else { 200 };
    same("status", &json!(status), &json!(wanted))?;
    match (expected, problem) {
        (Answer, None) => Ok(()),
        (Refusal(_, code, (name, value)), Some(problem)) => {
            same("code", &problem["code"], &json!(code))?;
            same("source", &problem["source"], &json!("guest"))?;
            same("executor", &problem["executor"], &json!("hostile"))?;
            same("limit", &problem["limit"], &json!({ "name": name, "value": value }))
        }
        (Texts(texts), None) => same("the texts", &json!(http::texts(&answer)), &json!(texts)),
        (Problem(code, limit, words), Some(problem)) => {
            same("code", &problem["code"], &json!(code))?;
            same("source", &problem["source"], &json!("guest"))?;
            same("executor", &problem["executor"], &json!("hostile"))?;
            if let Some((name, value)) = limit {
                same("limit", &problem["limit"], &json!({ "name": name, "value": value }))?;
            }
            if !problem["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")) {
                return Err("no digest".to_owned());
            }
            if !problem.to_string().contains(words) || problem.to_string().contains("\\u001b") {
                return Err(format!("no {words:?}, or an escape, in the problem"));
            }
            // The documents are those that were sent: nothing of a failed call is seen.
            same("the texts", &json!(http::texts(&answer)), &json!(["hello"]))?;
            let given = [&answer["data"], &answer["parameters"]];
            if given.iter().any(|part| part.to_string().contains("intruder"))
                || answer.to_string().len() > 64 << 10
            {
                return Err(format!("an answer of {} bytes", answer.to_string().len()));
            }
            Ok(())
        }
        _ => Err("it ended in the other way".to_owned()),
    }
}

async fn assert_both_answer(host: &RunningHost) {
    assert_texts(&post(host, "/calm", &["calm"], json!({})).await, &["CALM"]);
    assert_texts(&post(host, "/upper", &["quiet"], json!({})).await, &["QUIET"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_flood_is_cut_counted_and_cannot_forge_lines() {
    let host = serve(&hostile_flow()).await;
    post(&host, "/log-lines", &["hello"], json!({ "lines": 5_000 })).await;
    host.wait_for_log("more lines dropped").await;
    let lines = host.logs().lines().filter(|line| line.contains("line ")).count();
    assert!(lines <= 40, "{lines} lines of a guest with 20");
    post(&host, "/log-escapes", &["hello"], json!({})).await;
    host.wait_for_log("a separator").await;
    let logs = host.logs();
    assert!(!logs.contains('\u{1b}') && !logs.contains('\u{202e}') && !logs.contains('\u{2028}'), "{logs}");
    let forged = logs.lines().any(|line| line.trim_start().starts_with("2026-01-01T00:00:00Z"));
    assert!(!forged && !logs.lines().any(|line| line.starts_with("{\"level\":\"ERROR\"")), "{logs}");
    post(&host, "/log-line", &["hello"], json!({ "bytes": 500_000 })).await;
    let line = host.wait_for_log("[cut]").await;
    assert!(line.len() < 1024, "a line of {} bytes", line.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_in_a_fresh_instance_and_nothing_crosses_executors() {
    let host = serve(&flow(
        "
  - name: fresh
    uses: {hostile}
    instances: { mode: fresh }
  - name: warm
    uses: {hostile}
    instances: { mode: reused, max: 1 }
  - name: other
    uses: {hostile}
    instances: { mode: reused, max: 1 }
",
    ))
    .await;
    let call = async |endpoint: &str, target: &str, text: &str| {
        let body = json!({
            "data": [{ "text": text }], "execEndpoint": endpoint, "targetExecutor": target,
        });
        let client = http::HttpClient::http1();
        let answer = client.post(&host.url("/post"), &body).await;
        (answer.texts(), answer.problem())
    };
    for (executor, left) in [("fresh", ""), ("warm", "a secret"), ("other", "")] {
        if executor != "other" {
            assert_eq!(call("/leak-write", executor, "a secret").await.1, None);
        }
        assert_eq!(call("/leak-read", executor, "x").await.0, [left], "{executor}");
    }
    // The second call of an instance traps: a fresh one has no second call, a reused one is replaced after it.
    let mut outcomes = Vec::new();
    for executor in ["fresh", "fresh", "other", "other", "other", "other"] {
        outcomes.push(call("/every-second-traps", executor, "x").await.1.is_some());
    }
    assert_eq!(outcomes, [false, false, false, true, false, true]);
    // What was in the instance that trapped is gone with it.
    assert_eq!(call("/leak-write", "other", "a secret").await.1, None);
    assert!(call("/trap", "other", "x").await.1.is_some());
    assert_eq!(call("/leak-read", "other", "x").await.0, [""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_has_one_budget_of_fuel() {
    let text = flow(
        "
  - name: hostile
    uses: {hostile}
",
    )
    .replace("jtype: Flow", "jtype: Flow\nfuel: 50000000");
    let host = serve(&text).await;
    let problem = post(&host, "/spin", &["x"], json!({})).await.problem().expect("a problem");
    assert_eq!(problem["limit"], json!({ "name": "flow_fuel", "value": 50_000_000 }), "{problem}");
    assert_texts(&post(&host, "/calm", &["calm"], json!({})).await, &["CALM"]);
}
