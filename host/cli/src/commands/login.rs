//! `lockgate login`, `logout` and `whoami`: which host is meant, and who the host thinks is asking.

use clap::Args;
use serde_json::{Value, json};

use crate::console::{Console, FAINT, GOOD};
use crate::control::{Ask, Client, Credentials, HostArguments, HostUrl, read_secret, show};
use crate::failure::{Failure, Report};
use crate::measures;

/// Save where the host is and a key for it
#[derive(Debug, Args)]
#[command(
    after_help = "The key is asked for, or read from standard input, unless LOCKGATE_KEY or --key gives it. It is tried before it is saved, in a file that only you can read, and sent to this host alone.\n\nExamples:\n  lockgate login --url http://127.0.0.1:8081\n  lockgate login --url http://127.0.0.1:8081 < data/operator.key\n  lockgate login --tenant acme\n  lockgate login --url https://lockgate.example:8081 --ca ca.pem"
)]
pub(crate) struct LoginArguments {
    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn login(arguments: LoginArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let url = host.url.clone().unwrap_or_default();
    let key = match host.key(console)? {
        Some(key) => key,
        None => read_secret(&format!("API key for {url}"), console)?.trim().to_owned(),
    };
    // Without a key only a host in development mode answers, and the question shows whether it is one.
    let key = (!key.is_empty()).then_some(key);
    let path = Credentials::path().ok_or_else(|| {
        Report::new("there is no place to save a login in: neither HOME nor XDG_CONFIG_HOME is set")
            .hint("set LOCKGATE_URL and LOCKGATE_KEY instead")
    })?;
    let ca = host.ca()?;
    let mut client = Client::new(url.clone(), key.clone(), host.tenant.clone()).trusting(ca.clone());
    let whoami = client.send(Ask::get("/v1/whoami")).await?.value()?;
    Credentials::new(&url, key, host.tenant.clone()).trusting(ca).save(&path)?;
    host.print(console, &whoami, || {
        let mut lines = describe(&url, &whoami);
        lines.push(format!("{GOOD}✓{GOOD:#} saved in {}", path.display()));
        Ok(lines)
    })
}

/// Forget the saved login
#[derive(Debug, Args)]
#[command(
    after_help = "The key itself stays good: 'lockgate key revoke' ends it.\n\nExamples:\n  lockgate logout"
)]
pub(crate) struct LogoutArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn logout(arguments: &LogoutArguments, console: &Console) -> Result<(), Failure> {
    let removed = Credentials::path().map_or(Ok(false), |path| Credentials::forget(&path))?;
    if arguments.json {
        return console.line(json!({ "removed": removed }));
    }
    console.line(if removed { "the saved login is gone" } else { "no login was saved" })
}

/// Show who the host thinks is asking
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lockgate whoami\n  lockgate whoami --url http://127.0.0.1:8081 --json")]
pub(crate) struct WhoamiArguments {
    #[command(flatten)]
    host: HostArguments,
}

pub(crate) async fn whoami(arguments: WhoamiArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    let whoami = client.send(Ask::get("/v1/whoami")).await?.value()?;
    host.print(console, &whoami, || Ok(describe(client.url(), &whoami)))
}

fn describe(url: &HostUrl, whoami: &Value) -> Vec<String> {
    let text = |name: &str| whoami.get(name).and_then(Value::as_str).map(measures::one_line);
    let mut lines = vec![show::heading(&text("principal").unwrap_or_else(|| "nobody".into()))];
    let tenant = text("tenant").unwrap_or_else(|| format!("{FAINT}none: it belongs to the host{FAINT:#}"));
    lines.push(show::fact("tenant", tenant));
    let scopes = whoami.get("scopes").and_then(Value::as_array).into_iter().flatten();
    let scopes: Vec<String> = scopes.filter_map(Value::as_str).map(measures::one_line).collect();
    lines.push(show::fact("scopes", scopes.join(", ")));
    let version = text("version").map(|version| format!(", lockgate {version}")).unwrap_or_default();
    lines.push(show::fact("host", format!("{url}{version}")));
    lines
}
