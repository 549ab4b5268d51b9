//! What READMEs show is what happens: every `console` block is typed, and the answer compared with what stands below it.
//!
//! An `up` line starts the flow that the commands after it are sent to, a `serve` line a host with tenants; then one shell
//! types all commands, in an empty folder, so that what it is told to remember stays. What differs from run to run (ids,
//! times, ports, digests, sizes, fuel) is masked; all else must be equal to the letter.

use std::path::Path;
use std::process::Stdio;

use lockgate_testkit::host::HostOptions;
use lockgate_testkit::{RunningHost, RunningServe, ServeOptions, fixtures, repository};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::BINARY;

/// What a README tells its reader to do.
#[derive(Debug, PartialEq)]
enum Step {
    /// Serve this flow.
    Up(String),
    /// Serve tenants, with these further words.
    Serve(Vec<String>),
    /// Type the command and see the output.
    Shown { command: String, output: String },
}

async fn check(readme: &str) {
    let text = std::fs::read_to_string(repository().join(readme)).unwrap();
    tokio::task::spawn_blocking(|| fixtures::component("chunker")).await.unwrap();
    let (mut host, mut shown) = (None, 0);
    for step in steps(&text) {
        let (command, output) = match step {
            Step::Up(flow) => {
                let options = HostOptions::flow_file(BINARY, repository().join(flow));
                host = Some(Stage::Flow(Box::new(options.start().await)));
                continue;
            }
            Step::Serve(words) => {
                let options =
                    words.iter().fold(ServeOptions::new(BINARY), |options, word| options.word(word));
                let session = Session::begin(options.start().await);
                session.bring(repository().join(readme).parent().unwrap());
                host = Some(Stage::Tenants(Box::new(session)));
                continue;
            }
            Step::Shown { command, output } => (command, output),
        };
        shown += 1;
        match &mut host {
            Some(Stage::Flow(host)) => {
                let printed = run(host, &command).await;
                assert_eq!(mask(&printed), mask(&output), "{readme}: $ {command}\n{}", host.logs());
            }
            Some(Stage::Tenants(session)) => {
                let printed = session.run(&command).await;
                let logs = session.host.logs();
                assert_eq!(
                    mask_more(&printed),
                    mask_more(&output),
                    "{readme}: $ {command}\n{printed}\n{logs}"
                );
            }
            None => panic!("{readme} shows {command:?} before anything serves"),
        }
    }
    assert!(shown > 0, "{readme} shows no command");
}

/// What the commands of a README are sent to.
enum Stage {
    Flow(Box<RunningHost>),
    Tenants(Box<Session>),
}

/// A shell in the folder of a host with tenants; it remembers variables and folders from command to command.
struct Session {
    host: RunningServe,
    shell: Child,
    words: ChildStdin,
    printed: BufReader<ChildStdout>,
}

/// Ends what a command printed.
const END: &str = "-- end of a command --";

impl Session {
    fn begin(host: RunningServe) -> Self {
        let tools = host.folder().join("bin");
        std::fs::create_dir_all(&tools).unwrap();
        std::os::unix::fs::symlink(BINARY, tools.join("lockgate")).unwrap();
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = lockgate_testkit::host::lockgate(Path::new("sh"))
            .current_dir(host.folder())
            .env("PATH", path)
            .env("XDG_CONFIG_HOME", host.folder().join("config"))
            .env("LOCKGATE_URL", host.control_url(""))
            .env("LOCKGATE_CALL_URL", format!("grpc://{}", host.data_address()))
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (words, printed) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        Self { host, shell, words, printed }
    }

    /// Copies what an example's README has beside it; the root of the repository is no example.
    fn bring(&self, folder: &Path) {
        let files = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file());
        for file in files.filter(|_| folder != repository()) {
            std::fs::copy(file.path(), self.host.folder().join(file.file_name())).unwrap();
        }
    }

    /// Types a command and reads all that it prints.
    async fn run(&mut self, command: &str) -> String {
        let command = command.replace("127.0.0.1:8080", &self.host.data_address().to_string());
        // The braces keep variables in this shell; the commands do not read what the shell is to read.
        let script = format!("{{ {command}\n}} </dev/null 2>&1; printf '\\n{END}\\n'\n");
        self.words.write_all(script.as_bytes()).await.unwrap();
        let (mut text, mut line) = (String::new(), String::new());
        while self.printed.read_line(&mut line).await.unwrap() > 0 && line.trim_end() != END {
            text.push_str(&line);
            line.clear();
        }
        assert!(self.shell.try_wait().unwrap().is_none(), "the shell ended at {command:?}: {text}");
        // A new executor gets the versions of the repository: the test asks no index for newer ones.
        let made = command.strip_prefix("lockgate new ").and_then(|words| words.split_whitespace().next());
        if let Some(name) = made {
            let lock = self.host.folder().join(name).join("Cargo.lock");
            std::fs::copy(repository().join("Cargo.lock"), lock).unwrap();
        }
        text
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_search() {
    check("examples/search/README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_hosting() {
    check("examples/hosting/README.md").await;
}

/// The `up` lines and the commands of `console` blocks, in order. A line that ends in a backslash goes on in the next.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in text.lines() {
        if let Some(flow) = line.strip_prefix("cargo run --release -- up ") {
            steps.extend(flow.split_whitespace().next().map(|flow| Step::Up(flow.to_owned())));
        }
        if let Some(words) = line.strip_prefix("lockgate serve --data data") {
            steps.push(Step::Serve(words.split_whitespace().map(str::to_owned).collect()));
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
            (None, Some(Step::Up(_) | Step::Serve(_)) | None) => {}
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

/// What differs on a host with tenants as well: how long things took, how large they came out, who they are called.
fn mask_more(text: &str) -> String {
    let mut masked = mask(text);
    for (pattern, replacement) in [
        (r"lg_[A-Za-z0-9_-]+", "SECRET"),
        (r"key:[A-Za-z0-9]+", "key:ID"),
        (r"\bkey [A-Za-z0-9]{8,}\b", "key ID"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( UTC)?", "MOMENT"),
        (r"\b(\d+ (s|min) ago|now)\b", "AGO"),
        (r"\b\d+(\.\d+)? ?(µs|ms|s)\b", "TIME"),
        (r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "SIZE"),
        (r"\b\d+(\.\d+)?[kM]? fuel\b", "FUEL"),
        (r"\b\d+(\.\d+)?[kM]\b", "COUNT"),
        (r"\b\d+\.\d\d times", "RATIO times"),
        (r"http://127\.0\.0\.1:\d+", "URL"),
        (r"the machine code was there already|in TIME with SIZE of memory|in TIME", "SOMEHOW"),
        (r"/\S+/", "FOLDER/"),
        (r"[ \t]+", " "),
    ] {
        masked = regex_lite::Regex::new(pattern).unwrap().replace_all(&masked, replacement).into_owned();
    }
    masked.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}
