//! `lockgate component`: what tenants upload, and what the host found out about it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use lockgate_domain::{ComponentDigest, ErrorCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::commands::listing::{self, Most, Shown};
use crate::console::{Console, GOOD};
use crate::control::{Ask, Client, ComponentFile, HostArguments, find_component, parse_reply, show, upload};
use crate::failure::{Failure, Report};
use crate::progress::{Progress, Verb as Doing};

/// Upload, look at and download components
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "A digest may be cut to its first digits.\n\nExamples:\n  lockgate component upload upper.wasm\n  lockgate component upload oci:registry.example/team/upper:1.2\n  lockgate component show 3f9a12\n  lockgate component download 3f9a12 --output upper.wasm"
)]
pub(crate) struct ComponentArguments {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Upload a component; a signature beside it (X.wasm.sig) goes with it
    #[command(
        after_help = "What the host has already is not sent again.\n\nExamples:\n  lockgate component upload upper.wasm\n  lockgate component upload oci:registry.example/team/upper:1.2\n  lockgate component upload upper.wasm --json | jq .report.imports"
    )]
    Upload(Upload),
    /// List components
    #[command(
        after_help = "Examples:\n  lockgate component list\n  lockgate component list --json | jq -r '.items[].digest'"
    )]
    List(Most),
    /// Show what the host found out about a component
    #[command(
        after_help = "Examples:\n  lockgate component show 3f9a12\n  lockgate component show 3f9a12 --json | jq .report.manifest"
    )]
    Show(Named),
    /// Download a component; its digest is checked
    #[command(
        after_help = "Examples:\n  lockgate component download 3f9a12\n  lockgate component download 3f9a12 --output upper.wasm"
    )]
    Download(Download),
    /// Delete a component that no revision uses
    #[command(after_help = "Examples:\n  lockgate component delete 3f9a12")]
    Delete(Named),
}

#[derive(Debug, Args)]
struct Upload {
    /// A component file, or oci: and a reference that the host pulls
    #[arg(value_name = "X.wasm|oci:REFERENCE")]
    source: String,
}

#[derive(Debug, Args)]
struct Named {
    /// Its digest, or the first digits of it
    #[arg(value_name = "DIGEST")]
    digest: String,
}

#[derive(Debug, Args)]
struct Download {
    /// Its digest, or the first digits of it
    #[arg(value_name = "DIGEST")]
    digest: String,

    /// Where to write it [default: the digest's first digits and .wasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(arguments: ComponentArguments, console: &Console) -> Result<(), Failure> {
    let host = &arguments.host;
    let mut client = host.client(console)?;
    match arguments.verb {
        Verb::Upload(source) => {
            let progress = Progress::new(console);
            let component = match source.source.strip_prefix("oci:") {
                Some(reference) => pull(&mut client, reference, &progress).await?,
                None => {
                    let file = ComponentFile::read(Path::new(&source.source)).await?;
                    upload(&mut client, &file, &progress).await?
                }
            };
            host.print(console, &component, || {
                Ok(show::component::full(&parse_reply(&component)?, show::now()))
            })
        }
        Verb::List(most) => {
            let path = client.path("/components").await?;
            let nothing =
                "no component yet: 'lockgate component upload X.wasm' or 'lockgate publish' brings one";
            let shown = Shown { table: show::component::table, nothing };
            listing::list((host, console), &mut client, &path, most, shown).await
        }
        Verb::Show(named) => {
            let path = component(&mut client, &named.digest).await?.1;
            let component = client.send(Ask::get(path)).await?.value()?;
            host.print(console, &component, || {
                Ok(show::component::full(&parse_reply(&component)?, show::now()))
            })
        }
        Verb::Download(download) => fetch(&mut client, &download, host, console).await,
        Verb::Delete(named) => {
            let (digest, path) = component(&mut client, &named.digest).await?;
            client.send(Ask::delete(path)).await?;
            host.print(console, &json!({ "deleted": digest }), || {
                Ok(vec![format!("{GOOD}deleted{GOOD:#} component {digest}")])
            })
        }
    }
}

/// The component that is meant, and its path.
async fn component(client: &mut Client, text: &str) -> Result<(ComponentDigest, String), Failure> {
    let digest = find_component(client, text).await?;
    let path = client.path(&format!("/components/{digest}")).await?;
    Ok((digest, path))
}

async fn pull(client: &mut Client, reference: &str, progress: &Progress) -> Result<Value, Failure> {
    let path = client.path("/components").await?;
    let step = progress.begin(Doing("pulling", "pulled"), reference);
    step.now("the host asks the registry and compiles");
    let reply = client.send(Ask::post(path).json(&json!({ "oci": reference })).patiently()).await;
    match reply.and_then(|reply| reply.value()) {
        Ok(component) => {
            step.done("");
            Ok(component)
        }
        Err(error) => {
            step.failed();
            Err(error.into())
        }
    }
}

/// Downloads beside the place where it shall be, checks the digest, and moves it there.
async fn fetch(
    client: &mut Client,
    download: &Download,
    host: &HostArguments,
    console: &Console,
) -> Result<(), Failure> {
    let (digest, path) = component(client, &download.digest).await?;
    let usual = || PathBuf::from(format!("{}.wasm", show::short(digest)));
    let target = download.output.clone().unwrap_or_else(usual);
    let mut beside = target.as_os_str().to_owned();
    beside.push(format!(".part-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let outcome = save(client, &format!("{path}/content"), &beside, digest).await;
    let moved = outcome.and_then(|size| {
        let moved = std::fs::rename(&beside, &target);
        moved.map(|()| size).map_err(|error| cannot_write(&target, &error).into())
    });
    let size = moved.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
    let answer = json!({ "digest": digest, "bytes": size, "path": target.to_string_lossy() });
    host.print(console, &answer, || Ok(vec![target.display().to_string()]))
}

async fn save(
    client: &mut Client,
    path: &str,
    target: &Path,
    digest: ComponentDigest,
) -> Result<u64, Failure> {
    let response = client.open(Ask::get(path).patiently()).await?;
    let mut file = tokio::fs::File::create(target).await.map_err(|error| cannot_write(target, &error))?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut pieces = response.into_body().into_data_stream();
    let broke_off = |error: hyper::Error| Report::new("the download broke off").because(&error);
    while let Some(piece) = pieces.try_next().await.map_err(broke_off)? {
        hash.update(&piece);
        size += piece.len() as u64;
        file.write_all(&piece).await.map_err(|error| cannot_write(target, &error))?;
    }
    file.flush().await.map_err(|error| cannot_write(target, &error))?;
    let came = ComponentDigest::from_sha256(hash.finalize().into());
    if came != digest {
        return Err(Report::new(format!("what came is not component {digest}"))
            .cause(format!("its digest is {came}"))
            .hint(format!("the host reports damage as {}; ask its operator", ErrorCode::HostFault))
            .into());
    }
    Ok(size)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Report {
    Report::new(format!("cannot write {}", path.display())).because(error)
}
