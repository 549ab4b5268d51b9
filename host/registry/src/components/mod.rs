//! Components that tenants keep: metadata by tenant, one file for all tenants that hold the same bytes.
//!
//! A tenant learns of a file only by handing in its bytes: that another tenant has it already spares the host work and
//! says nothing to the caller. Who holds a file is written in the metadata alone, so a file that no row names is nobody's
//! and is swept at start.
//!
//! Coming, a component is first a file, then a row; going, first a row, then a file. Both happen in the digest's turn
//! ([`Flights`]), so that one tenant's upload and another's deletion of the same bytes never meet.

mod files;
mod flight;
mod incoming;
mod upload;

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

use lockgate_domain::hosting::{ComponentReport, StoredComponent};
use lockgate_domain::{ComponentDigest, ErrorCode, Problem, Scope, TenantName};

pub(crate) use self::flight::Flights;
pub(crate) use self::incoming::IncomingTally;
pub use self::upload::{Arrival, Upload, UploadTerms};

use crate::access::TenantAccess;
use crate::page::{self, Page, PageRequest};
use crate::refusal::{in_use, not_found};
use crate::registry::{Registry, swept_later};
use crate::signature::{ComponentSignature, PublicSigningKey};
use crate::store::table::{component_key, tenant_row};
use crate::store::{RowKey, StoreError, Tally, table};

impl Registry {
    /// The tenant's component of this digest, if it is there: then an upload of it need not be read. A signature that
    /// comes along is verified and kept; where the tenant requires one, a component without any does not count as there.
    pub fn known_component(
        &self,
        access: &TenantAccess,
        digest: ComponentDigest,
        signature: Option<&ComponentSignature>,
    ) -> Result<Option<StoredComponent>, Problem> {
        access.require(Scope::Upload)?;
        if signature.is_some() {
            self.check_signature(access, digest, signature)?;
        }
        let Some(component) = self.stored(access.tenant(), digest)? else { return Ok(None) };
        let must_be_signed = self.0.tenants.require(access.tenant())?.settings.require_signature;
        if must_be_signed && component.signed_by.is_none() && signature.is_none() {
            return Ok(None);
        }
        self.note_signature(access, component, signature).map(Some)
    }

    /// One component.
    pub fn component(
        &self,
        access: &TenantAccess,
        digest: ComponentDigest,
    ) -> Result<StoredComponent, Problem> {
        access.require(Scope::Read)?;
        self.stored(access.tenant(), digest)?.ok_or_else(|| no_component(digest))
    }

    /// Components by digest.
    pub fn components(
        &self,
        access: &TenantAccess,
        request: &PageRequest,
    ) -> Result<Page<StoredComponent>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        self.0.store.read(|source| {
            page::rows(&table::COMPONENTS, source, &under, ("components", request), |component| {
                let is_lost = self.0.lost.read().contains(&component.digest);
                Ok((!is_lost).then_some(component))
            })
        })
    }

    /// The file of a component of the tenant. It does not change; it may go when the component is deleted.
    pub fn component_path(&self, access: &TenantAccess, digest: ComponentDigest) -> Result<PathBuf, Problem> {
        self.component(access, digest)?;
        Ok(self.files().path(digest))
    }

    /// The bytes of a component of the tenant, open to be read, and how many there are. They stay readable even if the
    /// component is deleted meanwhile.
    pub fn component_content(
        &self,
        access: &TenantAccess,
        digest: ComponentDigest,
    ) -> Result<(File, u64), Problem> {
        let component = self.component(access, digest)?;
        let path = self.files().path(digest);
        let file = File::open(&path).map_err(|error| match error.kind() {
            // Deleted since its row was read.
            ErrorKind::NotFound => no_component(digest),
            _ => StoreError::file("open", &path)(error).into(),
        })?;
        Ok((file, component.size))
    }

    /// Deletes a component; one that a revision uses is a conflict. The file goes with the last tenant that holds it.
    pub fn delete_component(&self, access: &TenantAccess, digest: ComponentDigest) -> Result<(), Problem> {
        access.require(Scope::Upload)?;
        let tenant = access.tenant();
        self.0.store.write(|transaction| {
            let key = component_key(tenant, digest);
            let found = table::COMPONENTS.get(transaction, &key)?.ok_or_else(|| no_component(digest))?;
            let uses = table::USES.names(transaction, &RowKey::of(&[tenant, &digest.hex()]))?;
            if !uses.is_empty() {
                let users: Vec<String> = uses.iter().map(|use_of| revision_name(use_of)).collect();
                let problem = in_use("component", digest, &users).with_digest(digest);
                return Err(problem
                    .with_hint("delete the executors first: revisions never let go of it")
                    .into());
            }
            table::COMPONENTS.remove(transaction, &key)?;
            table::HOLDERS.remove(transaction, &RowKey::of(&[&digest.hex(), tenant]))?;
            Tally::adjust(transaction, tenant, |tally| {
                tally.components = tally.components.saturating_sub(1);
                tally.component_bytes = tally.component_bytes.saturating_sub(found.size);
                Ok(())
            })
        })?;
        swept_later(self.forget_file_unless_held(digest));
        Ok(())
    }

    /// Writes down what another engine found out about a component, for every tenant that holds it.
    pub fn put_report(&self, digest: ComponentDigest, report: &ComponentReport) -> Result<(), Problem> {
        self.0.store.write(|transaction| {
            for tenant in table::HOLDERS.names(transaction, &RowKey::of(&[&digest.hex()]))? {
                let key = RowKey::of(&[&tenant, &digest.hex()]);
                if let Some(component) = table::COMPONENTS.get(transaction, &key)? {
                    let component = StoredComponent { report: report.clone(), ..component };
                    table::COMPONENTS.put(transaction, &key, &component)?;
                }
            }
            Ok(())
        })
    }

    /// Components whose report another engine made, with one tenant that holds each: to be examined again after an update
    /// of the host. For the host alone.
    pub fn outdated_components(&self, engine: &str) -> Result<Vec<(TenantName, ComponentDigest)>, Problem> {
        let mut outdated = std::collections::BTreeMap::new();
        self.0.store.read(|source| {
            table::COMPONENTS.scan(source, &RowKey::of(&[]), None, |key, component| {
                if component.report.engine != engine
                    && let Some(tenant) = key.split('/').next().and_then(|name| name.parse().ok())
                {
                    outdated.entry(component.digest).or_insert(tenant);
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })
        })?;
        let lost = self.0.lost.read();
        let there = outdated.into_iter().filter(|(digest, _)| !lost.contains(digest));
        Ok(there.map(|(digest, tenant)| (tenant, digest)).collect())
    }

    /// The row of a component whose file is there.
    pub(crate) fn stored(
        &self,
        tenant: &TenantName,
        digest: ComponentDigest,
    ) -> Result<Option<StoredComponent>, Problem> {
        if self.0.lost.read().contains(&digest) {
            return Ok(None);
        }
        self.0.store.read(|source| table::COMPONENTS.get(source, &component_key(tenant, digest)))
    }

    /// Refuses a signature that is not one of the tenant's keys, and none where the tenant requires one.
    fn check_signature(
        &self,
        access: &TenantAccess,
        digest: ComponentDigest,
        signature: Option<&ComponentSignature>,
    ) -> Result<(), Problem> {
        let Some(signature) = signature else {
            if !self.0.tenants.require(access.tenant())?.settings.require_signature {
                return Ok(());
            }
            let message = format!("component {digest} came without a signature, and the tenant requires one");
            return Err(Problem::new(ErrorCode::PermissionDenied, message)
                .with_digest(digest)
                .with_hint("sign the file with lockgate sign, then send lockgate-signature: NAME:BASE64"));
        };
        let key = RowKey::of(&[access.tenant(), &signature.key]);
        let key = self.0.store.read(|source| table::SIGNING_KEYS.get(source, &key))?;
        let key = key.ok_or_else(|| {
            let message =
                format!("the signature names key {}, and the tenant has no such key", signature.key);
            Problem::new(ErrorCode::PermissionDenied, message).with_hint("register the public key first")
        })?;
        PublicSigningKey::from_pem(&key.pem)?.verify(digest, signature)
    }

    /// Writes down who signed a component that was there without a signature.
    fn note_signature(
        &self,
        access: &TenantAccess,
        component: StoredComponent,
        signature: Option<&ComponentSignature>,
    ) -> Result<StoredComponent, Problem> {
        let Some(signature) = signature.filter(|_| component.signed_by.is_none()) else {
            return Ok(component);
        };
        let key = component_key(access.tenant(), component.digest);
        self.0.store.write(|transaction| {
            tenant_row(transaction, access.tenant())?;
            let found = table::COMPONENTS.get(transaction, &key)?;
            let found = found.ok_or_else(|| no_component(component.digest))?;
            let signed = StoredComponent { signed_by: Some(signature.key.clone()), ..found };
            table::COMPONENTS.put(transaction, &key, &signed)?;
            Ok(signed)
        })
    }
}

fn no_component(digest: ComponentDigest) -> Problem {
    not_found("component", digest).with_digest(digest)
}

/// `shout/0000000003` as people write it: `shout@3`.
fn revision_name(use_of: &str) -> String {
    use_of.split_once('/').map_or_else(
        || use_of.to_owned(),
        |(executor, number)| format!("{executor}@{}", number.trim_start_matches('0')),
    )
}

#[cfg(test)]
mod tests;
