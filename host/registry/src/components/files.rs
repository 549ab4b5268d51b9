//! Component files: `components/ab/<hex>`, whole or not there, and the sweep at start that makes files and rows agree.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::{fs, io};

use lockgate_domain::{ComponentDigest, Problem};

use super::incoming::IncomingFile;
use crate::folder::{make_folder, remove_file, sync_folder};
use crate::registry::Registry;
use crate::store::{RowKey, StoreError, table};

/// The folder of component files.
pub(super) struct ComponentFiles {
    root: PathBuf,
}

impl ComponentFiles {
    pub(super) fn path(&self, digest: ComponentDigest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(hex.get(..2).unwrap_or_default()).join(&hex)
    }

    /// Whether the file is there with all its bytes.
    pub(super) fn is_whole(&self, digest: ComponentDigest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|file| file.is_file() && file.len() == size)
    }

    /// Moves an upload to its place; when this returns, it is there to stay.
    pub(super) fn publish(&self, incoming: &IncomingFile, digest: ComponentDigest) -> Result<(), StoreError> {
        incoming.sync()?;
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.exists() {
            make_folder(folder)?;
            sync_folder(&self.root)?;
        }
        fs::rename(incoming.path(), &path).map_err(StoreError::file("rename", incoming.path()))?;
        sync_folder(folder)
    }

    pub(super) fn remove(&self, digest: ComponentDigest) -> Result<(), StoreError> {
        remove_file(&self.path(digest))
    }

    /// Every file, with the digest that its name says; none for a name that is no digest.
    fn list(&self) -> Result<Vec<(PathBuf, Option<ComponentDigest>)>, StoreError> {
        let mut files = Vec::new();
        for folder in entries(&self.root)? {
            if folder.is_dir() {
                files.extend(entries(&folder)?);
            }
        }
        let digest =
            |path: &Path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        Ok(files.into_iter().map(|path| (path.clone(), digest(&path))).collect())
    }
}

impl Registry {
    pub(super) fn files(&self) -> ComponentFiles {
        ComponentFiles { root: self.0.folder.components() }
    }

    /// Removes the file of a component that no tenant holds any more.
    pub(crate) fn forget_file_unless_held(&self, digest: ComponentDigest) -> Result<(), Problem> {
        let ticket = self.0.flights.join(digest);
        let _turn = ticket.turn();
        if !self.is_held(digest)? {
            self.files().remove(digest)?;
        }
        Ok(())
    }

    pub(super) fn is_held(&self, digest: ComponentDigest) -> Result<bool, Problem> {
        self.0.store.read(|source| table::HOLDERS.any(source, &RowKey::of(&[&digest.hex()])))
    }

    /// Makes files and rows agree: a file that no row names is removed, a row whose file is gone is hidden and told.
    pub(crate) fn sweep_components(&self) -> Result<(), Problem> {
        let mut held = HashSet::new();
        self.0.store.read(|source| {
            table::COMPONENTS.scan(source, &RowKey::of(&[]), None, |_, component| {
                held.insert((component.digest, component.size));
                Ok(ControlFlow::Continue(()))
            })
        })?;
        let digests: HashSet<ComponentDigest> = held.iter().map(|(digest, _)| *digest).collect();
        for (path, digest) in self.files().list()? {
            if digest.is_none_or(|digest| !digests.contains(&digest)) {
                tracing::info!(path = %path.display(), "removed what a broken upload or deletion left");
                remove_file(&path)?;
            }
        }
        let files = self.files();
        let gone =
            held.iter().filter(|(digest, size)| !files.is_whole(*digest, *size)).map(|(digest, _)| *digest);
        let gone: HashSet<ComponentDigest> = gone.collect();
        for digest in &gone {
            tracing::error!(component.digest = %digest, "the file of a component is gone; upload it again");
        }
        *self.0.lost.write() = gone;
        Ok(())
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(StoreError::file("read", folder))
}
