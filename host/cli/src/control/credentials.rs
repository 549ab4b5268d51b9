//! The saved login: which host is meant and the key for it, in a file that only its owner can read.
//!
//! A saved key is sent to the host that it was saved for and to no other, whatever `--url` says.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lockgate_domain::TenantName;
use serde::{Deserialize, Serialize};

use crate::control::HostUrl;
use crate::failure::Report;

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 10;

/// A saved login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

impl Credentials {
    /// What is to be saved.
    pub(crate) fn new(url: &HostUrl, key: Option<String>, tenant: Option<TenantName>) -> Self {
        Self { url: url.to_string(), key, tenant, ca: None }
    }

    /// Trusts whom this file names.
    #[must_use]
    pub(crate) fn trusting(mut self, ca: Option<PathBuf>) -> Self {
        self.ca = ca;
        self
    }

    /// Where it is: `$XDG_CONFIG_HOME/lockgate`, else `~/.config/lockgate`; none where neither is known.
    pub(crate) fn path() -> Option<PathBuf> {
        choose(std::env::var_os("XDG_CONFIG_HOME"), std::env::home_dir())
    }

    /// The saved login, if there is one.
    pub(crate) fn load() -> Result<Option<Self>, Report> {
        Self::path().map_or(Ok(None), |path| Self::read(&path))
    }

    /// The host.
    pub(crate) fn url(&self) -> Result<HostUrl, Report> {
        self.url.parse().map_err(|error: String| {
            Report::new("the saved login names no host").cause(error).hint("run 'lockgate login' again")
        })
    }

    /// The key, if `url` is the host that it was saved for.
    pub(crate) fn key_for(&self, url: &HostUrl) -> Option<&str> {
        self.key.as_deref().filter(|_| self.url == url.to_string())
    }

    /// The tenant, if `url` is the host that it was saved for.
    pub(crate) fn tenant_for(&self, url: &HostUrl) -> Option<&TenantName> {
        self.tenant.as_ref().filter(|_| self.url == url.to_string())
    }

    /// The file of authorities, if `url` is the host that it was saved for.
    pub(crate) fn ca_for(&self, url: &HostUrl) -> Option<&Path> {
        self.ca.as_deref().filter(|_| self.url == url.to_string())
    }

    /// Whether something is on the same host, whatever the port.
    fn is_host_of(&self, authority: &str) -> bool {
        let hosts = self.url().ok().zip(authority.parse::<HostUrl>().ok());
        hosts.is_some_and(|(saved, called)| saved.host() == called.host())
    }

    /// The key for a call to the data plane. One that was saved for TLS never travels without.
    fn key_for_call(self, authority: &str, tls: bool) -> Option<String> {
        let is_safe = tls || self.url().is_ok_and(|url| !url.tls);
        let is_host = self.is_host_of(authority);
        self.key.filter(|_| is_safe && is_host)
    }

    fn read(path: &Path) -> Result<Option<Self>, Report> {
        let cannot = || {
            Report::new(format!("cannot read the saved login {}", path.display()))
                .hint("'lockgate login' writes it anew, 'lockgate logout' removes it")
        };
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| cannot().because(&error))?,
        };
        if metadata.len() > MAX_BYTES {
            return Err(cannot().cause(format!("it has more than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read(path).map_err(|error| cannot().because(&error))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| cannot().because(&error))
    }

    /// Saves it, readable by nobody else; the file is never there in part.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Report> {
        let cannot = |error: &io::Error| {
            Report::new(format!("cannot save the login in {}", path.display())).because(error)
        };
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Report::new("cannot write the login as JSON").because(&error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let written = write_private(&beside, text.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|error| {
            drop(std::fs::remove_file(&beside));
            cannot(&error)
        })
    }

    /// Removes it; false if there was none.
    pub(crate) fn forget(path: &Path) -> Result<bool, Report> {
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Report::new(format!("cannot remove {}", path.display())).because(&error)),
        }
    }
}

/// The saved key for a call to the data plane of the host that it was saved for, whatever the port.
pub(crate) fn saved_key_for(authority: &str, tls: bool) -> Option<String> {
    Credentials::load().ok().flatten()?.key_for_call(authority, tls)
}

/// The saved file of authorities for a call to the data plane of the host that it was saved for, whatever the port.
pub(crate) fn saved_ca_for(authority: &str) -> Option<PathBuf> {
    let saved = Credentials::load().ok().flatten()?;
    let is_host = saved.is_host_of(authority);
    saved.ca.filter(|_| is_host)
}

/// A new file with mode 0600 from its first moment on.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn choose(xdg: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The rules say that a relative path is to be ignored.
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute()).map(|home| home.join(".config"));
    xdg.or(home).map(|folder| folder.join("lockgate").join("credentials.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_login_is_private_and_for_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/credentials.json");
        assert_eq!(Credentials::read(&path).unwrap(), None);
        let url: HostUrl = "http://127.0.0.1:8081".parse().unwrap();
        for key in ["lg_a_1", "lg_b_2"] {
            let saved = Credentials::new(&url, Some(key.into()), Some("acme".parse().unwrap()));
            saved.save(&path).unwrap();
            assert_eq!(Credentials::read(&path).unwrap().as_ref(), Some(&saved));
            assert_eq!(saved.key_for(&url), Some(key));
            let other: HostUrl = "http://127.0.0.1:8082".parse().unwrap();
            assert_eq!((saved.key_for(&other), saved.tenant_for(&other)), (None, None));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(Credentials::forget(&path).unwrap());
        assert!(!Credentials::forget(&path).unwrap());
        std::fs::write(&path, "{").unwrap();
        assert!(Credentials::read(&path).is_err());
    }

    #[test]
    fn a_key_that_was_saved_for_tls_does_not_travel_without() {
        let check = |saved: &str, called: &str, tls: bool, expected: bool| {
            let saved = Credentials::new(&saved.parse().unwrap(), Some("k".into()), None);
            assert_eq!(saved.key_for_call(called, tls).is_some(), expected, "{called} {tls}");
        };
        check("http://h.example:8081", "h.example:8080", false, true);
        check("http://h.example:8081", "h.example:8080", true, true);
        check("https://h.example:8081", "h.example:8080", true, true);
        check("https://h.example:8081", "h.example:8080", false, false);
        check("https://h.example:8081", "other.example:8080", true, false);
    }

    #[test]
    fn xdg_wins_over_home() {
        let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            assert_eq!(choose(xdg.map(Into::into), home.map(Into::into)), expected.map(PathBuf::from));
        };
        check(Some("/x"), Some("/h"), Some("/x/lockgate/credentials.json"));
        check(None, Some("/h"), Some("/h/.config/lockgate/credentials.json"));
        check(Some("relative"), None, None);
    }
}
