//! A component on its way to the host: its digest first, then its bytes as a stream, and its signature beside it.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use indicatif::ProgressBar;
use lockgate_domain::{ComponentDigest, ErrorCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::control::ask::Body;
use crate::control::{Ask, Client, ControlError};
use crate::failure::Report;
use crate::measures;
use crate::progress::{Progress, Verb};

/// What is added to a component's file name for its signature.
pub(crate) const SIGNATURE_SUFFIX: &str = ".sig";
/// The header that carries a signature: the name of the key, a colon, the signature in base64.
const SIGNATURE: HeaderName = HeaderName::from_static("lockgate-signature");
/// Bytes that are read and sent at once.
const PIECE: usize = 64 << 10;
/// Longest signature file.
const MAX_SIGNATURE_BYTES: u64 = 4 << 10;

/// A component file and what identifies it.
#[derive(Debug)]
pub(crate) struct ComponentFile {
    path: PathBuf,
    size: u64,
    /// SHA-256 of its bytes.
    pub(crate) digest: ComponentDigest,
    /// What `lockgate sign` wrote beside it.
    signature: Option<String>,
}

impl ComponentFile {
    /// Reads the file once for its digest, and its signature if one lies beside it.
    pub(crate) async fn read(path: &Path) -> Result<Self, Report> {
        let (digest, size) = hash(path).await?;
        Ok(Self { path: path.to_owned(), size, digest, signature: read_signature(path)? })
    }

    /// The digest alone.
    pub(crate) async fn digest(path: &Path) -> Result<ComponentDigest, Report> {
        Ok(hash(path).await?.0)
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

async fn hash(path: &Path) -> Result<(ComponentDigest, u64), Report> {
    let cannot = |error: &io::Error| {
        Report::new(format!("cannot read the component {}", path.display())).because(error)
    };
    let mut file = tokio::fs::File::open(path).await.map_err(|error| cannot(&error))?;
    if file.metadata().await.is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Report::new(format!("{} is a folder", path.display()))
            .hint("'lockgate build' makes a component of it; 'lockgate publish' takes folders as well"));
    }
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let count = file.read(&mut piece).await.map_err(|error| cannot(&error))?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        size += read.len() as u64;
    }
    Ok((ComponentDigest::from_sha256(hash.finalize().into()), size))
}

fn read_signature(component: &Path) -> Result<Option<String>, Report> {
    let mut path = component.as_os_str().to_owned();
    path.push(SIGNATURE_SUFFIX);
    let path = PathBuf::from(path);
    let cannot = || Report::new(format!("cannot read the signature {}", path.display()));
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot().because(&error)),
        Ok(metadata) if metadata.len() > MAX_SIGNATURE_BYTES => {
            return Err(cannot().cause("it is too long to be one").hint("'lockgate sign' writes it anew"));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(&path).map_err(|error| cannot().because(&error))?;
    let line = text.trim();
    let is_signature = line.contains(':') && line.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_signature {
        return Err(cannot()
            .cause("it does not say NAME:BASE64")
            .hint("'lockgate sign' writes it anew; remove it to upload without a signature"));
    }
    Ok(Some(line.to_owned()))
}

/// Uploads a component unless the host has it; gives what the host found out about it.
pub(crate) async fn upload(
    client: &mut Client,
    file: &ComponentFile,
    progress: &Progress,
) -> Result<Value, ControlError> {
    let path = client.path(&format!("/components/{}", file.digest)).await?;
    // A signature may be new even where the component is not.
    if file.signature.is_none() {
        match client.send(Ask::get(&path)).await {
            Ok(reply) => return reply.value(),
            // Another tenant's component looks like none, and a key may be for uploading alone: the upload tells.
            Err(error) if error.is(ErrorCode::NotFound) || error.is(ErrorCode::PermissionDenied) => {}
            Err(error) => return Err(error),
        }
    }
    let step = progress.begin(Verb("uploading", "uploaded"), file.name());
    let bar = progress.bytes(file.size);
    let mut ask = Ask::put(path)
        .stream("application/wasm", stream(file, bar.clone()).await?)
        .header(CONTENT_LENGTH, &file.size.to_string())
        .patiently();
    if let Some(signature) = &file.signature {
        ask = ask.header(SIGNATURE, signature);
    }
    let reply = client.send(ask).await;
    bar.finish_and_clear();
    match reply.and_then(|reply| reply.value()) {
        Ok(component) => {
            step.done(&measures::bytes(file.size));
            Ok(component)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

/// The file in pieces; a file that grows meanwhile is sent as long as it was said to be.
async fn stream(file: &ComponentFile, bar: ProgressBar) -> Result<Body, Report> {
    let opened = tokio::fs::File::open(&file.path).await.map_err(|error| {
        Report::new(format!("cannot read the component {}", file.path.display())).because(&error)
    })?;
    let pieces = futures_util::stream::try_unfold(opened.take(file.size), move |mut opened| {
        let bar = bar.clone();
        async move {
            let mut piece = vec![0; PIECE];
            let count = opened.read(&mut piece).await?;
            piece.truncate(count);
            bar.inc(count as u64);
            let next = (count > 0).then(|| (Frame::data(Bytes::from(piece)), opened));
            Ok::<_, io::Error>(next)
        }
    });
    Ok(StreamBody::new(pieces).boxed_unsync())
}

/// The component whose digest begins with `text`, as lists show it.
pub(crate) async fn find_component(client: &mut Client, text: &str) -> Result<ComponentDigest, ControlError> {
    const MOST: usize = 100_000;
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if hex.len() < 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Report::new(format!("{text:?} is too short for a digest")).hint(HINT).into());
    }
    if hex.len() >= 64 || hex.len() < 4 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return text.parse().map_err(|error| Report::new(format!("{error}")).hint(HINT).into());
    }
    let path = client.path("/components").await?;
    let components = client.list(|| Ask::get(&path), MOST).await?;
    let digests = components.items.iter().filter_map(|item| item.get("digest")?.as_str()?.parse().ok());
    let fitting: Vec<ComponentDigest> =
        digests.filter(|digest: &ComponentDigest| digest.hex().starts_with(&hex)).collect();
    match fitting.as_slice() {
        [digest] => Ok(*digest),
        [] => Err(Report::new(format!("no component's digest begins with {hex}")).hint(HINT).into()),
        several => Err(Report::new(format!("{} components begin with {hex}", several.len()))
            .hint("write more of the digest")
            .into()),
    }
}

const HINT: &str = "'lockgate component list' shows the digests; their first four digits or more are enough";
