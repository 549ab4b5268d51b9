//! What READMEs show is what happens: every `console` block is typed, and the answer compared with what stands below it.
//!
//! A README serves the flow of its first `up` line. Ids, times and ports differ from run to run and are masked; all else must
//! be equal to the letter.

use std::path::Path;
use std::process::Stdio;

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, fixtures, repository};
use tokio::process::Command;

use crate::support::BINARY;

/// A command of a `console` block, and what it printed.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    output: String,
}

async fn check(readme: &str) {
    let text = std::fs::read_to_string(repository().join(readme)).unwrap();
    let flow = text.lines().find_map(|line| line.strip_prefix("cargo run --release -- up ")).unwrap();
    let flow = flow.split_whitespace().next().unwrap_or_default();
    tokio::task::spawn_blocking(|| fixtures::component("chunker")).await.unwrap();
    let host = HostOptions::flow_file(BINARY, repository().join(flow)).start().await;
    let shown = console(&text);
    assert!(!shown.is_empty(), "{readme} shows no command");
    for Shown { command, output } in shown {
        let printed = run(&host, &command).await;
        assert_eq!(mask(&printed), mask(&output), "{readme}: $ {command}\n{}", host.logs());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_project() {
    check("README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_quickstart() {
    check("examples/quickstart/README.md").await;
}

/// The commands of all `console` blocks, in order. A line that ends in a backslash goes on in the next.
fn console(text: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        let command = line.strip_prefix("$ ").or(goes_on.then_some(line));
        match (command, shown.last_mut()) {
            (Some(part), Some(last)) if goes_on => {
                last.command.push('\n');
                last.command.push_str(part);
            }
            (Some(part), _) => shown.push(Shown { command: part.to_owned(), output: String::new() }),
            (None, Some(last)) => {
                last.output.push_str(line);
                last.output.push('\n');
            }
            (None, None) => {}
        }
        goes_on = command.is_some_and(|command| command.ends_with('\\'));
    }
    shown
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
