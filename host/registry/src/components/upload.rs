//! An upload: bytes are written and hashed as they come, then examined, then kept.
//!
//! Whatever happens before the last transaction leaves nothing: the file of an upload goes with it. A kill leaves at most
//! a file in `incoming/`, or one in `components/` that no row names; both are swept at the next start.

use lockgate_domain::hosting::StoredComponent;
use lockgate_domain::{ComponentDigest, LimitKind, Problem, Quota, Scope, TenantName};
use sha2::{Digest as _, Sha256};

use super::flight::Verdict;
use super::incoming::IncomingFile;
use crate::access::TenantAccess;
use crate::refusal::{invalid, over_quota};
use crate::registry::Registry;
use crate::signature::ComponentSignature;
use crate::store::table::component_key;
use crate::store::{RowKey, StoreError, Tally, table};
use crate::validator::ComponentValidator;

/// What is said about an upload beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct UploadTerms {
    /// The digest that the bytes must have.
    pub expected: Option<ComponentDigest>,
    /// A signature of a key of the tenant.
    pub signature: Option<ComponentSignature>,
    /// The OCI reference that they were pulled from.
    pub pulled_from: Option<String>,
}

/// Whether an upload brought something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is kept now.
    Created,
    /// The tenant had it already.
    Known,
}

/// An upload in progress. Dropped, it leaves nothing.
pub struct Upload {
    registry: Registry,
    access: TenantAccess,
    file: IncomingFile,
    hasher: Sha256,
    size: u64,
    most: u64,
}

impl Registry {
    /// Begins an upload.
    pub fn begin_upload(&self, access: &TenantAccess) -> Result<Upload, Problem> {
        access.require(Scope::Upload)?;
        self.0.tenants.require(access.tenant())?;
        self.0.incoming.begin(access.tenant())?;
        // From here on the drop of the upload ends the count.
        let file = IncomingFile::create(&self.0.folder.incoming())
            .inspect_err(|_| self.0.incoming.end(access.tenant(), 0))?;
        Ok(Upload {
            registry: self.clone(),
            access: access.clone(),
            file,
            hasher: Sha256::new(),
            size: 0,
            most: self.0.options.max_component_bytes,
        })
    }
}

impl Upload {
    /// Takes the next bytes. After an error the upload is over.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let bytes = chunk.len() as u64;
        if self.size.saturating_add(bytes) > self.most {
            let most = self.most;
            let message = format!("the component has more than {most} bytes, the most that this host takes");
            return Err(Problem::request_limit(LimitKind::RequestBytes, most, message)
                .with_hint("strip it, or ask the operator of the host for more"));
        }
        let tenant = self.access.tenant();
        let stored = self.registry.0.tenants.require(tenant)?.settings.quota.stored_bytes;
        self.registry.0.incoming.grow(tenant, bytes, stored)?;
        self.size += bytes;
        self.hasher.update(chunk);
        self.file.write(chunk)
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes are here: examines the component and keeps it. Blocks for as long as that takes; equal uploads at the same
    /// time wait for the first.
    pub fn finish(
        self,
        terms: &UploadTerms,
        validator: &dyn ComponentValidator,
    ) -> Result<(StoredComponent, Arrival), Problem> {
        let digest = ComponentDigest::from_sha256(self.hasher.clone().finalize().into());
        self.check_terms(digest, terms)?;
        if let Some(found) = self.registry.stored(self.access.tenant(), digest)? {
            return self.known(found, terms);
        }
        self.check_room()?;
        // A place among equal uploads first: whoever waits for its tenant's turn still learns their verdict.
        let ticket = self.registry.0.flights.join(digest);
        let examining = self.registry.0.incoming.examining(self.access.tenant());
        let _one_of_tenant = examining.lock();
        let mut turn = ticket.turn();
        if let Some(found) = self.registry.stored(self.access.tenant(), digest)? {
            return self.known(found, terms);
        }
        let verdict = match turn.take() {
            Some(verdict) => verdict,
            None => self.examine(digest, validator),
        };
        if verdict.as_ref().err().is_none_or(|problem| !problem.code().retryable()) {
            *turn = Some(verdict.clone());
        }
        let component = StoredComponent {
            digest,
            size: self.size,
            uploaded_at: self.registry.now(),
            uploaded_by: self.access.principal().name.clone(),
            pulled_from: terms.pulled_from.clone(),
            signed_by: terms.signature.as_ref().map(|signature| signature.key.clone()),
            report: verdict?,
        };
        self.keep(component)
    }

    fn known(
        &self,
        found: StoredComponent,
        terms: &UploadTerms,
    ) -> Result<(StoredComponent, Arrival), Problem> {
        let found = self.registry.note_signature(&self.access, found, terms.signature.as_ref())?;
        Ok((found, Arrival::Known))
    }

    fn check_terms(&self, digest: ComponentDigest, terms: &UploadTerms) -> Result<(), Problem> {
        if self.size == 0 {
            return Err(invalid("the upload is empty", "send the bytes of a component as the body"));
        }
        if let Some(expected) = terms.expected.filter(|expected| *expected != digest) {
            let message = format!("the bytes have digest {digest}, not {expected}");
            return Err(invalid(message, "send the file that the digest was made of").with_digest(digest));
        }
        let is_signed = terms.signature.is_none()
            && self
                .registry
                .stored(self.access.tenant(), digest)?
                .is_some_and(|found| found.signed_by.is_some());
        if is_signed {
            Ok(())
        } else {
            self.registry.check_signature(&self.access, digest, terms.signature.as_ref())
        }
    }

    /// Refuses what has no room before it costs an examination.
    fn check_room(&self) -> Result<(), Problem> {
        let tenant = self.access.tenant();
        self.registry.0.store.read(|source| {
            let quota = table::tenant_row(source, tenant)?.settings.quota;
            Ok(take_room(&mut Tally::of(source, tenant)?, tenant, &quota, self.size)?)
        })
    }

    /// What is found out about the bytes: from another tenant's row of the same engine, else by looking.
    fn examine(&self, digest: ComponentDigest, validator: &dyn ComponentValidator) -> Verdict {
        let elsewhere = self.registry.0.store.read(|source| {
            let holders = table::HOLDERS.names(source, &RowKey::of(&[&digest.hex()]))?;
            let row = |tenant: &String| table::COMPONENTS.get(source, &RowKey::of(&[tenant, &digest.hex()]));
            holders.iter().take(1).find_map(|tenant| row(tenant).transpose()).transpose()
        })?;
        if let Some(found) = elsewhere.filter(|found| found.report.engine == validator.engine()) {
            return Ok(found.report);
        }
        let path = self.file.path();
        let bytes = std::fs::read(path).map_err(StoreError::file("read", path))?;
        validator.examine(digest, &bytes)
    }

    /// File, then row. In the digest's turn.
    fn keep(&self, component: StoredComponent) -> Result<(StoredComponent, Arrival), Problem> {
        let (registry, tenant, digest) = (&self.registry, self.access.tenant(), component.digest);
        let files = registry.files();
        if !files.is_whole(digest, component.size) {
            files.publish(&self.file, digest)?;
        }
        let kept = registry.0.store.write(|transaction| {
            let quota = table::tenant_row(transaction, tenant)?.settings.quota;
            let key = component_key(tenant, digest);
            // A row without its file was hidden: now it has one again, and counts already.
            if table::COMPONENTS.get(transaction, &key)?.is_none() {
                Tally::adjust(transaction, tenant, |tally| take_room(tally, tenant, &quota, component.size))?;
            }
            table::COMPONENTS.put(transaction, &key, &component)?;
            table::HOLDERS.put(transaction, &RowKey::of(&[&digest.hex(), tenant]), &()).map(drop)
        });
        if let Err(problem) = kept {
            if !registry.is_held(digest)? {
                files.remove(digest)?;
            }
            return Err(problem);
        }
        registry.0.lost.write().remove(&digest);
        Ok((component, Arrival::Created))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.registry.0.incoming.end(self.access.tenant(), self.size);
    }
}

fn take_room(tally: &mut Tally, tenant: &TenantName, quota: &Quota, size: u64) -> Result<(), Problem> {
    tally.components += 1;
    tally.component_bytes = tally.component_bytes.saturating_add(size);
    if tally.components > quota.components {
        let most = quota.components;
        let message = format!("tenant {tenant} has {most} components, the most it may have");
        return Err(over_quota(LimitKind::Components, most.into(), message));
    }
    tally.check_bytes(tenant, quota, 1)
}
