//! What READMEs show is what happens: every `console` block is typed, and the answer compared with what stands below it.
//!
//! An `up` line starts the flow that the commands after it are sent to. Ids, times and ports differ from run to run and are
//! masked; all else must be equal to the letter.

use std::path::Path;
use std::process::Stdio;

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, fixtures, repository};
use tokio::process::Command;

use crate::support::BINARY;

/// What a README tells its reader to do.
#[derive(Debug, PartialEq)]
enum Step {
    /// Serve this flow.
    Up(String),
    /// Type the command and see the output.
    Shown { command: String, output: String },
}

async fn check(readme: &str) {
    let text = std::fs::read_to_string(repository().join(readme)).unwrap();
    tokio::task::spawn_blocking(|| fixtures::component("chunker")).await.unwrap();
    let (mut host, mut shown) = (None, 0);
    for step in steps(&text) {
        match (step, &host) {
            (Step::Up(flow), _) => {
                host = Some(HostOptions::flow_file(BINARY, repository().join(flow)).start().await);
            }
            (Step::Shown { command, output }, Some(host)) => {
                let printed = run(host, &command).await;
                assert_eq!(mask(&printed), mask(&output), "{readme}: $ {command}\n{}", host.logs());
                shown += 1;
            }
            (Step::Shown { command, .. }, None) => panic!("{readme} shows {command:?} before any flow is up"),
        }
    }
    assert!(shown > 0, "{readme} shows no command");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_project() {
    check("README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_quickstart() {
    check("examples/quickstart/README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_search() {
    check("examples/search/README.md").await;
}

/// The `up` lines and the commands of `console` blocks, in order. A line that ends in a backslash goes on in the next.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in text.lines() {
        if let Some(flow) = line.strip_prefix("cargo run --release -- up ") {
            steps.extend(flow.split_whitespace().next().map(|flow| Step::Up(flow.to_owned())));
        }
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (None, Some(Step::Shown { command, .. })) if goes_on => {
                command.push('\n');
                command.push_str(line);
            }
            (Some(command), _) => {
                steps.push(Step::Shown { command: command.to_owned(), output: String::new() });
            }
            (None, Some(Step::Shown { output, .. })) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, Some(Step::Up(_)) | None) => {}
        }
        goes_on = line.ends_with('\\') && (goes_on || line.starts_with("$ "));
    }
    steps
}

/// Types the command, with this build's binary and this host's port.
async fn run(host: &RunningHost, command: &str) -> String {
    let address = host.address().to_string();
    let named = command.contains("://");
    let call = if named { "call".to_owned() } else { format!("call grpc://{address}") };
    let script = command
        .replace("cargo run --release -- call", &format!("'{BINARY}' {call}"))
        .replace("127.0.0.1:8080", &address);
    let output = Command::new("sh")
        .args(["-c", &format!("{script} 2>&1")])
        .current_dir(Path::new(&repository()))
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Ids, times and trailing white space look the same in every run.
fn mask(text: &str) -> String {
    let id = regex_lite::Regex::new("[0-9a-f]{32}").unwrap();
    let time = regex_lite::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let masked = time.replace_all(text, "TIME");
    id.replace_all(&masked, "ID").trim_end().to_owned()
}
