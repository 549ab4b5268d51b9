//! `lockgate serve`: a host with many tenants, its two sockets, and its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lockgate_domain::spec::Protocol;
use lockgate_node::jwt::{JwtKeySource, JwtOptions};
use lockgate_node::oci::{OciOptions, OciRegistry};
use lockgate_node::{Certificate, Host, HostOptions, ServedPort, Signals};
use serde_json::{Value, json};

use crate::builder;
use crate::cache;
use crate::commands::build::signals_failed;
use crate::console::{ACCENT, Console, FAINT, HEADING, WARNING};
use crate::control::{HostUrl, parse_bytes, span};
use crate::failure::{Failure, Report};
use crate::tls::{self, CertificateArguments};
use crate::up::ending::{end, say_goodbye};
use crate::up::listen::resolve;
use crate::up::summary::url;

/// The file of the first operator key in the data folder.
const OPERATOR_KEY: &str = "operator.key";
/// Largest file of JWT keys that is looked into.
const MAX_KEY_BYTES: u64 = 1 << 20;

/// Serve the executors and flows of many tenants
#[derive(Debug, Args)]
#[command(
    after_help = "Everything is kept in one folder; no other service is needed. The first start writes a key for the operator into it.\n\nWith --dev nobody is asked for a key and everybody is the operator, so only addresses of this machine are taken.\n\nThe first SIGINT or SIGTERM drains, the second ends at once.\n\nExamples:\n  lockgate serve --data data\n  lockgate serve --data data --dev\n  lockgate serve --data data --listen 0.0.0.0:8080 --oci-registry ghcr.io\n  lockgate serve --data data --tls-cert cert.pem --tls-key key.pem\n  lockgate serve --data data --jwt-key keys.json \\\n      --jwt-issuer https://login.example --jwt-audience lockgate"
)]
pub(crate) struct ServeArguments {
    /// The folder in which everything is kept; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,

    /// Where calls come in: HTTP, gRPC and WebSocket on one port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    listen: SocketAddr,

    /// Where the control API is
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081", value_parser = parse_address)]
    control: SocketAddr,

    /// Development mode: nobody needs a key, and only this machine reaches the host
    #[arg(long)]
    dev: bool,

    /// Let web pages of any origin call over HTTP; they still need a key
    #[arg(long)]
    cors: bool,

    /// Print one line of JSON on standard output when the host serves
    #[arg(long)]
    json: bool,

    /// Seconds that requests in progress have to finish when the host drains
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,

    #[command(flatten)]
    secure: SecureArguments,

    #[command(flatten)]
    tokens: TokenArguments,

    #[command(flatten)]
    storage: StorageArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS, on both sockets")]
struct SecureArguments {
    #[command(flatten)]
    both: CertificateArguments,

    /// Another certificate for the control API
    #[arg(long, value_name = "FILE", requires = "control_tls_key")]
    control_tls_cert: Option<PathBuf>,

    /// The private key of that certificate
    #[arg(long, value_name = "FILE", requires = "control_tls_cert")]
    control_tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Who is let in")]
struct TokenArguments {
    /// Who issues JSON Web Tokens: their claim `iss`
    #[arg(long, value_name = "TEXT", requires = "jwt_audience", requires = "jwt_key")]
    jwt_issuer: Option<String>,

    /// For whom they are: their claim `aud`
    #[arg(long, value_name = "TEXT", requires = "jwt_issuer")]
    jwt_audience: Option<String>,

    /// What they are verified with: a public key in PEM, a JSON Web Key Set, or a shared secret of HS256
    #[arg(long, value_name = "FILE", requires = "jwt_issuer")]
    jwt_key: Option<PathBuf>,

    /// The key of all secrets, instead of the one in the data folder
    #[arg(long, value_name = "FILE")]
    vault_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Components and instances")]
struct StorageArguments {
    /// A registry that components may be pulled from; http:// before it for one without TLS; may be repeated
    #[arg(long, value_name = "HOST")]
    oci_registry: Vec<String>,

    /// Largest component
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_bytes)]
    max_component: u64,

    /// Most instances of all executors at once
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    max_instances: u32,

    /// Time without a call after which an executor's code leaves memory
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    evict_after: Duration,

    /// Revisions whose code may be in memory at once
    #[arg(long, value_name = "COUNT", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_resident: u32,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let bad = || "expected HOST:PORT, such as 127.0.0.1:8080; port 0 takes any free one".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().map_err(|_| bad())?;
    resolve(host, port).map_err(|_| bad())
}

pub(crate) async fn run(arguments: ServeArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let options = arguments.options()?;
    warn(&options, console);
    let (data_tls, control_tls) = (options.data_certificate.is_some(), options.control_certificate.is_some());
    let is_first = !arguments.data.join(OPERATOR_KEY).exists();
    let starting = async { Host::start(options).await.map_err(Failure::from) };
    let mut host = builder::unless_interrupted(&mut signals, starting).await?;
    let started = Started {
        data: ServedPort { address: host.data_address(), protocol: None, tls: data_tls },
        control: ServedPort {
            address: host.control_address(),
            protocol: Some(Protocol::Http),
            tls: control_tls,
        },
        operator_key: std::path::absolute(arguments.data.join(OPERATOR_KEY))
            .ok()
            .filter(|path| path.exists()),
        is_first,
        dev: arguments.dev,
    };
    if arguments.json {
        console.line(started.to_json())?;
    } else {
        started.describe().iter().try_for_each(|line| console.line(line))?;
    }
    say_goodbye(end(&mut host, &mut signals, console).await, console)
}

impl ServeArguments {
    fn options(&self) -> Result<HostOptions, Failure> {
        for (option, address) in [("--listen", self.listen), ("--control", self.control)] {
            if self.dev && !address.ip().is_loopback() {
                let report = Report::new(format!(
                    "--dev asks nobody for a key, and {address} can be reached from other machines"
                ));
                let hint = format!(
                    "{option} 127.0.0.1:{} keeps it on this machine; without --dev keys are asked for",
                    address.port()
                );
                return Err(Failure::Usage(report.hint(hint)));
            }
        }
        let mut options = HostOptions::new(&self.data);
        options.data_address = self.listen;
        options.control_address = self.control;
        let (data, control) = self.secure.load()?;
        options.data_certificate = data;
        options.control_certificate = control;
        options.dev = self.dev;
        options.compiler = cache::compiler();
        options.max_component_bytes = self.storage.max_component;
        options.max_instances = self.storage.max_instances;
        options.vault_key_file.clone_from(&self.tokens.vault_key_file);
        options.tokens = self.tokens.read()?;
        options.oci = self.storage.registries()?;
        options.evict_after = self.storage.evict_after;
        options.max_resident = self.storage.max_resident as usize;
        options.gateway.cors = self.cors;
        options.gateway.drain_timeout = Duration::from_secs(self.drain_timeout);
        self.check_folder()?;
        Ok(options)
    }

    /// What is wrong with the folder's place is for who starts the host, and not only for its log.
    fn check_folder(&self) -> Result<(), Report> {
        let above = match self.data.parent() {
            Some(above) if above == Path::new("") => Path::new("."),
            Some(above) => above,
            None => return Ok(()),
        };
        let folder = if self.data.exists() { self.data.as_path() } else { above };
        if !folder.exists() || folder.is_dir() {
            return Ok(());
        }
        Err(Report::new(format!("{} is no folder", folder.display()))
            .hint("--data names the host's own folder"))
    }
}

fn warn(options: &HostOptions, console: &Console) {
    let sockets = [
        (options.data_address, &options.data_certificate),
        (options.control_address, &options.control_certificate),
    ];
    let is_open = |address: &SocketAddr, certificate: &Option<Certificate>| {
        certificate.is_none() && !address.ip().is_loopback()
    };
    let open: Vec<String> = sockets
        .iter()
        .filter(|(address, certificate)| is_open(address, certificate))
        .map(|(address, _)| address.to_string())
        .collect();
    if !open.is_empty() {
        console.warn(format_args!(
            "{} can be reached from other machines, and keys travel there unencrypted: --tls-cert and --tls-key turn TLS on",
            open.join(" and ")
        ));
    }
}

impl SecureArguments {
    /// What the data plane and the control API show.
    fn load(&self) -> Result<(Option<Certificate>, Option<Certificate>), Report> {
        let both = self.both.load()?;
        let control = match self.control_tls_cert.as_deref().zip(self.control_tls_key.as_deref()) {
            Some((certificate, key)) => Some(tls::load(certificate, key)?),
            None => both.clone(),
        };
        Ok((both, control))
    }
}

impl TokenArguments {
    fn read(&self) -> Result<Option<JwtOptions>, Report> {
        let (Some(issuer), Some(audience), Some(path)) =
            (&self.jwt_issuer, &self.jwt_audience, &self.jwt_key)
        else {
            return Ok(None);
        };
        let key = key_source(path)?;
        Ok(Some(JwtOptions { issuer: issuer.clone(), audience: audience.clone(), key }))
    }
}

/// What kind of key a file holds, by how it begins.
fn key_source(path: &Path) -> Result<JwtKeySource, Report> {
    let cannot = || Report::new(format!("cannot read the keys of tokens from {}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| cannot().because(&error))?;
    if metadata.len() > MAX_KEY_BYTES {
        return Err(cannot().cause("it is too long to hold keys"));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot().because(&error))?;
    let text = String::from_utf8_lossy(&bytes);
    let path = path.to_owned();
    Ok(match text.trim_start() {
        text if text.starts_with('{') => JwtKeySource::Jwks(path),
        text if text.starts_with("-----BEGIN") => JwtKeySource::Pem(path),
        _ => JwtKeySource::Secret(path),
    })
}

impl StorageArguments {
    fn registries(&self) -> Result<OciOptions, Failure> {
        let mut options = OciOptions::default();
        for word in &self.oci_registry {
            let (host, plain_http) = match word.split_once("://") {
                Some(("http", host)) => (host, true),
                Some(("https", host)) => (host, false),
                Some(_) | None => (word.as_str(), false),
            };
            let is_host = !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
            if !is_host {
                let report = Report::new(format!("--oci-registry {word:?} is no registry"));
                return Err(Failure::Usage(
                    report.hint("name its host: ghcr.io, or http://localhost:5000 without TLS"),
                ));
            }
            let host = host.to_owned();
            options.registries.push(OciRegistry { host, plain_http, credentials: None, roots_pem: None });
        }
        Ok(options)
    }
}

/// A host that serves, for whoever started it.
struct Started {
    data: ServedPort,
    control: ServedPort,
    operator_key: Option<PathBuf>,
    is_first: bool,
    dev: bool,
}

impl Started {
    /// One line for programs.
    fn to_json(&self) -> Value {
        let data = |protocol| url(&self.data, protocol);
        json!({
            "event": "ready",
            "dev": self.dev,
            "data": {
                "address": self.data.address.to_string(),
                "urls": {
                    "http": data(Protocol::Http),
                    "grpc": data(Protocol::Grpc),
                    "websocket": data(Protocol::WebSocket),
                },
            },
            "control": { "address": self.control.address.to_string(), "url": url(&self.control, Protocol::Http) },
            "operator_key": self.operator_key.as_ref().map(|path| path.to_string_lossy()),
            "first_start": self.is_first,
        })
    }

    /// Addresses, and what to type next.
    fn describe(&self) -> Vec<String> {
        let calls = [Protocol::Http, Protocol::Grpc, Protocol::WebSocket];
        let calls = calls.map(|protocol| url(&self.data, protocol)).join("  ");
        let control = url(&self.control, Protocol::Http);
        let mut lines = vec![format!("{HEADING}The host serves:{HEADING:#}")];
        for (name, url) in
            [("calls", calls), ("control", control.clone()), ("docs", format!("{control}/docs"))]
        {
            lines.push(format!("  {name:<10} {ACCENT}{url}{ACCENT:#}"));
        }
        if self.dev {
            lines.push(format!(
                "  {WARNING}development mode{WARNING:#}: nobody needs a key, the tenant is `local`"
            ));
        } else if let Some(path) = &self.operator_key {
            let what = if self.is_first {
                "the first key of the operator is in"
            } else {
                "the key of the operator is in"
            };
            lines.push(format!("  {FAINT}{what}{FAINT:#} {}", path.display()));
        }
        lines.push(String::new());
        lines.push(format!("{HEADING}Next:{HEADING:#}"));
        lines.extend(self.next(&control).into_iter().map(|command| format!("  {command}")));
        lines.push(String::new());
        lines.push(format!("{FAINT}Ctrl-C drains and ends.{FAINT:#}"));
        lines
    }

    fn next(&self, control: &str) -> Vec<String> {
        let is_usual = control == HostUrl::default().to_string();
        let url = if is_usual { String::new() } else { format!(" --url {control}") };
        if self.dev {
            return vec![
                "lockgate new shout".into(),
                format!("lockgate publish shout --executor shout{url}"),
            ];
        }
        let key = self.operator_key.as_ref().map(|path| format!(" < {}", path.display())).unwrap_or_default();
        vec![
            format!("lockgate login{url}{key}"),
            "lockgate tenant create acme".into(),
            "lockgate key create --tenant acme --scopes admin,call".into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        serve: ServeArguments,
    }

    fn parse(words: &[&str]) -> Result<ServeArguments, clap::Error> {
        Wrapper::try_parse_from([&["serve", "--data", "d"], words].concat()).map(|parsed| parsed.serve)
    }

    #[test]
    fn development_mode_stays_on_this_machine() {
        let check = |words: &[&str], expected: Option<&str>| {
            let told = match parse(words).unwrap().options() {
                Ok(_) => None,
                Err(Failure::Usage(report)) => {
                    Some(anstream::adapter::strip_str(&report.render()).to_string())
                }
                Err(other) => panic!("{other:?}"),
            };
            match (told, expected) {
                (None, None) => {}
                (Some(told), Some(expected)) => assert!(told.contains(expected), "{told}"),
                (told, _) => panic!("{words:?}: {told:?}"),
            }
        };
        check(&[], None);
        check(&["--dev"], None);
        check(&["--dev", "--listen", "localhost:0", "--control", "[::1]:0"], None);
        check(&["--listen", "0.0.0.0:80"], None);
        check(&["--dev", "--listen", "0.0.0.0:80"], Some("--listen 127.0.0.1:80"));
        check(&["--dev", "--control", "[::]:81"], Some("--control 127.0.0.1:81"));
        check(&["--oci-registry", "ghcr.io/acme"], Some("is no registry"));
    }

    #[test]
    fn words_become_options() {
        let options = parse(&[
            "--oci-registry",
            "ghcr.io",
            "--oci-registry",
            "http://localhost:5000",
            "--evict-after",
            "5m",
            "--max-component",
            "10MiB",
            "--drain-timeout",
            "3",
        ]);
        let options = options.unwrap().options().unwrap();
        let registries: Vec<_> = options
            .oci
            .registries
            .iter()
            .map(|registry| (registry.host.as_str(), registry.plain_http))
            .collect();
        assert_eq!(registries, [("ghcr.io", false), ("localhost:5000", true)]);
        assert_eq!(options.evict_after, Duration::from_secs(300));
        assert_eq!(
            (options.max_component_bytes, options.gateway.drain_timeout),
            (10 << 20, Duration::from_secs(3))
        );
        for words in
            [&["--listen", "8080"][..], &["--jwt-issuer", "a"], &["--jwt-key", "k"], &["--evict-after", "5"]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn key_files_tell_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, kind: fn(PathBuf) -> JwtKeySource| {
            let path = folder.path().join("key");
            std::fs::write(&path, text).unwrap();
            assert_eq!(key_source(&path).unwrap(), kind(path), "{text}");
        };
        check("{\"keys\": []}", JwtKeySource::Jwks);
        check("-----BEGIN PUBLIC KEY-----\n", JwtKeySource::Pem);
        check("0123456789abcdef0123456789abcdef\n", JwtKeySource::Secret);
        assert!(key_source(Path::new("nowhere")).is_err());
    }

    #[test]
    fn the_start_says_what_to_type_next() {
        let started = |control: &str, is_first: bool, dev: bool| {
            let key = (!dev).then(|| PathBuf::from("/d/operator.key"));
            let started = Started {
                data: ServedPort { address: "127.0.0.1:8080".parse().unwrap(), protocol: None, tls: false },
                control: ServedPort { address: control.parse().unwrap(), protocol: None, tls: false },
                operator_key: key,
                is_first,
                dev,
            };
            anstream::adapter::strip_str(&started.describe().join("\n")).to_string()
        };
        insta::assert_snapshot!("serve_first", started("127.0.0.1:8081", true, false));
        insta::assert_snapshot!("serve_again", started("0.0.0.0:9001", false, false));
        insta::assert_snapshot!("serve_dev", started("127.0.0.1:8081", false, true));
    }
}
