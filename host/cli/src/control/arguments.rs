//! The options that every command shares which asks a host: where it is, who asks, for whom.

use std::path::{Path, PathBuf};

use clap::Args;
use lockgate_domain::TenantName;
use serde_json::Value;

use crate::console::Console;
use crate::control::{Client, Credentials, HostUrl, read_secret};
use crate::failure::{Failure, Report};
use crate::tls::TrustArguments;

/// Where the host is and who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Host")]
pub(crate) struct HostArguments {
    /// Where the control API is [default: that of the saved login, else http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL", env = "LOCKGATE_URL", hide_env_values = true)]
    pub(crate) url: Option<HostUrl>,

    /// API key, '-' for standard input. Others see arguments in the list of processes: prefer LOCKGATE_KEY or 'lockgate login'
    #[arg(long, global = true, value_name = "KEY", env = "LOCKGATE_KEY", hide_env_values = true)]
    key: Option<String>,

    /// Whose things are meant [default: the tenant of the key]
    #[arg(long, global = true, value_name = "TENANT", env = "LOCKGATE_TENANT", hide_env_values = true)]
    pub(crate) tenant: Option<TenantName>,

    #[command(flatten)]
    trust: TrustArguments,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl HostArguments {
    /// A client for them: options win over variables, variables over the saved login.
    pub(crate) fn client(&self, console: &Console) -> Result<Client, Failure> {
        let saved = Credentials::load()?;
        let url = match (&self.url, &saved) {
            (Some(url), _) => url.clone(),
            (None, Some(saved)) => saved.url()?,
            (None, None) => HostUrl::default(),
        };
        let saved = saved.as_ref();
        let saved_key = || saved.and_then(|saved| saved.key_for(&url)).map(str::to_owned);
        let key = self.key(console)?.or_else(saved_key);
        let saved_tenant = || saved.and_then(|saved| saved.tenant_for(&url)).cloned();
        let tenant = self.tenant.clone().or_else(saved_tenant);
        if key.is_some() && !url.tls && !url.is_loopback() {
            console.warn(format_args!("{url} is not this machine, and the key travels to it unencrypted"));
        }
        let saved_ca = || saved.and_then(|saved| saved.ca_for(&url)).map(Path::to_owned);
        let ca = self.ca()?.or_else(saved_ca);
        Ok(Client::new(url, key, tenant).trusting(ca))
    }

    /// The file of authorities that was named, wherever the next command runs.
    pub(crate) fn ca(&self) -> Result<Option<PathBuf>, Report> {
        let whole = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|error| Report::new(format!("cannot find {}", path.display())).because(&error))
        };
        self.trust.ca.as_ref().map(whole).transpose()
    }

    /// The key that was named, read from standard input if it was `-`.
    pub(crate) fn key(&self, console: &Console) -> Result<Option<String>, Failure> {
        match self.key.as_deref() {
            None | Some("") => Ok(None),
            Some("-") => Ok(Some(read_secret("API key", console)?.trim().to_owned())),
            Some(key) => Ok(Some(key.to_owned())),
        }
    }

    /// Prints an answer: as JSON if that was asked for, else as these lines.
    pub(crate) fn print(
        &self,
        console: &Console,
        value: &Value,
        lines: impl FnOnce() -> Result<Vec<String>, Failure>,
    ) -> Result<(), Failure> {
        if self.json {
            return console.line(value);
        }
        lines()?.iter().try_for_each(|line| console.line(line))
    }
}
