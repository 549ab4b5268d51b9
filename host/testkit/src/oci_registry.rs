//! A real OCI registry for tests: the Debian package `docker-registry`, one process on a loopback port of its own.
//!
//! It is looked for on the path, then installed with `apt-get`; where neither works, the test ends with one line that
//! says what is missing. What is pushed lies in a temporary folder and goes with it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::shared::lock;
use crate::wait::wait_for;

/// A registry that serves. Dropping it kills the process.
#[derive(Debug)]
pub struct OciRegistry {
    _child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl OciRegistry {
    /// Name and password of [`Self::start_protected`].
    pub const CREDENTIALS: (&str, &str) = ("reader", "pull-me");
    /// The same as a line of an htpasswd file.
    const HTPASSWD: &str = "reader:$2y$05$abcdefghijklmnopqrstuuBp.n58v886n7kD7.z9i0nzqxtQ8I2P.\n";

    /// One that everybody may push to and pull from.
    pub async fn start() -> Self {
        Self::launch("").await
    }

    /// One that asks for [`Self::CREDENTIALS`].
    pub async fn start_protected() -> Self {
        Self::launch("auth:\n  htpasswd:\n    realm: test\n    path: HTPASSWD\n").await
    }

    /// As it stands in references: `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    async fn launch(auth: &str) -> Self {
        let binary = binary().unwrap_or_else(|missing| panic!("{missing}"));
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let htpasswd = folder.path().join("htpasswd");
        let storage = folder.path().join("storage").display().to_string();
        let auth = auth.replace("HTPASSWD", &htpasswd.display().to_string());
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {storage}\n\
             http:\n  addr: 127.0.0.1:0\n{auth}"
        );
        let config = folder.path().join("config.yml");
        for (path, text) in [(&config, text.as_str()), (&htpasswd, Self::HTPASSWD)] {
            std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let log = folder.path().join("log");
        let stderr = File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = Command::new(&binary);
        command.arg("serve").arg(&config).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let address = wait_for("the OCI registry to listen", async || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{} ended with {status}; it said:\n{said}", binary.display());
            }
            let (_, rest) = said.split_once("listening on ")?;
            rest.split(['"', ',', ' ', '\n']).next()?.parse().ok()
        })
        .await;
        Self { _child: child, address, _folder: folder }
    }
}

/// The program, installed if need be.
fn binary() -> Result<PathBuf, String> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let _lock = lock("lockgate-docker-registry");
            find().or_else(install).ok_or_else(|| {
                "this test needs docker-registry (Debian package docker-registry): apt-get install docker-registry"
                    .to_owned()
            })
        })
        .clone()
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin".into(), "/usr/local/bin".into()]);
    folders.map(|folder| folder.join("docker-registry")).find(|file| file.is_file())
}

fn install() -> Option<PathBuf> {
    let apt = |words: &[&str]| {
        let mut program = Program::new("apt-get");
        program.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        program.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let words = ["install", "-y", "-q", "--no-install-recommends", "docker-registry"];
    if !apt(&words) {
        apt(&["update", "-q"]);
        apt(&words);
    }
    find()
}
