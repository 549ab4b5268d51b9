//! `lockgate sign` and `lockgate signing-key`: who made a component, so that a host can be sure of it.
//!
//! The private key is read here and goes nowhere: only the signature travels, in a file beside the component.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lockgate_domain::{SigningKeyName, Timestamp};
use lockgate_registry::signature::{PrivateSigningKey, PublicSigningKey};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commands::listing::{self, Most, Shown};
use crate::console::{ACCENT, Console, GOOD};
use crate::control::{Ask, ComponentFile, HostArguments, SIGNATURE_SUFFIX, write_private};
use crate::failure::{Failure, Report};
use crate::measures;
use crate::table::{Align, Table};

/// Largest key file that is read.
const MAX_PEM_BYTES: u64 = 64 << 10;

/// Sign a component with your private key
#[derive(Debug, Args)]
#[command(
    after_help = "The signature is written beside the component as X.wasm.sig, and 'publish' and 'component upload' send it along. It names the key as the tenant registered it: the name of the key file unless --name says another one.\n\nExamples:\n  lockgate sign --generate --key release.pem\n  lockgate signing-key add release release.pub.pem\n  lockgate sign shout.wasm --key release.pem"
)]
pub(crate) struct SignArguments {
    /// The component
    #[arg(value_name = "X.wasm", required_unless_present = "generate")]
    component: Option<PathBuf>,

    /// The private key: ed25519, PKCS#8 in PEM
    #[arg(long, value_name = "PRIVATE.pem")]
    key: PathBuf,

    /// What the tenant calls the key [default: the key file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<SigningKeyName>,

    /// Make a new pair of keys first: PRIVATE.pem, and PRIVATE.pub.pem for the host
    #[arg(long)]
    generate: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn sign(arguments: SignArguments, console: &Console) -> Result<(), Failure> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => name_of(&arguments.key)?,
    };
    let mut answer = json!({ "name": name, "key": arguments.key.to_string_lossy() });
    let mut lines = Vec::new();
    let key = if arguments.generate {
        let (key, public) = generate(&arguments.key)?;
        lines.push(format!(
            "{GOOD}✓{GOOD:#} made {} (keep it) and {}",
            arguments.key.display(),
            public.display()
        ));
        lines.push(format!("  {ACCENT}lockgate signing-key add {name} {}{ACCENT:#}", public.display()));
        set(&mut answer, "public", public.to_string_lossy().into());
        key
    } else {
        let pem = read_pem(&arguments.key)?;
        PrivateSigningKey::from_pem(&pem).map_err(|problem| {
            Report::new(format!("cannot sign with {}", arguments.key.display())).problem(&problem)
        })?
    };
    if let Some(component) = &arguments.component {
        let digest = ComponentFile::digest(component).await?;
        let signature = key.sign(name.clone(), digest).to_string();
        let target = beside(component, SIGNATURE_SUFFIX);
        std::fs::write(&target, format!("{signature}\n"))
            .map_err(|error| Report::new(format!("cannot write {}", target.display())).because(&error))?;
        lines.push(format!("{GOOD}✓{GOOD:#} signed as {name}: {}", target.display()));
        set(&mut answer, "digest", json!(digest));
        set(&mut answer, "signature", signature.into());
        set(&mut answer, "path", target.to_string_lossy().into());
    }
    if arguments.json {
        return console.line(answer);
    }
    lines.iter().try_for_each(|line| console.line(line))
}

fn set(answer: &mut Value, name: &str, value: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(name.into(), value);
    }
}

/// `release` of `keys/release.pem`.
fn name_of(path: &Path) -> Result<SigningKeyName, Failure> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(|error| {
        Failure::Usage(
            Report::new(format!("what is the key {} called?", path.display()))
                .because(&error)
                .hint("--name release names it as the tenant registered it"),
        )
    })
}

/// A new pair; a file that is there is never overwritten.
fn generate(private: &Path) -> Result<(PrivateSigningKey, PathBuf), Failure> {
    let public = private.with_extension("pub.pem");
    let key = PrivateSigningKey::generate()?;
    let cannot = |path: &Path, error: &std::io::Error| {
        let report = Report::new(format!("cannot write {}", path.display())).because(error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => report
                .hint("a key that is lost cannot be made again: name another file, or move this one away"),
            _ => report,
        }
    };
    write_private(private, key.to_pem()?.as_bytes()).map_err(|error| cannot(private, &error))?;
    std::fs::write(&public, key.public().to_pem()?).map_err(|error| cannot(&public, &error))?;
    Ok((key, public))
}

fn read_pem(path: &Path) -> Result<String, Report> {
    let cannot = || {
        Report::new(format!("cannot read the key {}", path.display()))
            .hint("'lockgate sign --generate --key FILE.pem' makes a pair of keys")
    };
    let metadata = std::fs::metadata(path).map_err(|error| cannot().because(&error))?;
    if metadata.len() > MAX_PEM_BYTES {
        return Err(cannot().cause("it is too long to be a key"));
    }
    std::fs::read_to_string(path).map_err(|error| cannot().because(&error))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Register the keys with which a tenant's components are signed
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Needs a key with the scope admin.\n\nExamples:\n  lockgate signing-key add release release.pub.pem\n  lockgate signing-key list\n  lockgate signing-key delete release"
)]
pub(crate) struct SigningKeyArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register a public key
    #[command(after_help = "Examples:\n  lockgate signing-key add release release.pub.pem")]
    Add(Add),
    /// List public keys
    #[command(after_help = "Examples:\n  lockgate signing-key list")]
    List(Most),
    /// Remove a public key; what it signed stays
    #[command(after_help = "Examples:\n  lockgate signing-key delete release")]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Add {
    /// What it is called
    #[arg(value_name = "NAME")]
    name: SigningKeyName,

    /// The public key: ed25519 in PEM
    #[arg(value_name = "PUBLIC.pem")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Named {
    /// The key
    #[arg(value_name = "NAME")]
    name: SigningKeyName,
}

pub(crate) async fn signing_key(arguments: SigningKeyArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Add(add) => {
            let pem = read_pem(&add.file)?;
            // A private key that is named by mistake must not leave this machine.
            let key = PublicSigningKey::from_pem(&pem).map_err(|problem| {
                Report::new(format!("{} is no key to register", add.file.display())).problem(&problem)
            })?;
            let path = client.path(&format!("/signing-keys/{}", add.name)).await?;
            let body = key.to_pem()?.into_bytes().into();
            let added = client.send(Ask::put(path).bytes("application/x-pem-file", body)).await?.value()?;
            host.print(console, &added, || {
                Ok(vec![format!("{GOOD}✓{GOOD:#} signing key {} is registered", add.name)])
            })
        }
        Verb::List(most) => {
            let path = client.path("/signing-keys").await?;
            let nothing = "no signing key yet: 'lockgate sign --generate --key FILE.pem' makes a pair";
            let shown = Shown { table, nothing };
            listing::list((host, console), &mut client, &path, most, shown).await
        }
        Verb::Delete(named) => {
            let path = client.path(&format!("/signing-keys/{}", named.name)).await?;
            client.send(Ask::delete(path)).await?;
            host.print(console, &json!({ "deleted": named.name }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} signing key {}", named.name)])
            })
        }
    }
}

/// A key as the list has it; only what is shown.
#[derive(Debug, Deserialize)]
struct ListedKey {
    name: SigningKeyName,
    #[serde(default, alias = "created_at", alias = "registered_at")]
    added_at: Option<Timestamp>,
}

fn table(keys: &[ListedKey], now: Timestamp) -> Table {
    let mut table = Table::new(&[("NAME", Align::Left), ("ADDED", Align::Left)]);
    for key in keys {
        let added = key.added_at.map(|at| measures::relative(at, now)).unwrap_or_default();
        table.push(vec![key.name.to_string(), added]);
    }
    table
}
