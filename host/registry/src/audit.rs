//! The audit: who did what to whose things, successful or not.
//!
//! An entry is on the disk when [`Registry::audit`] returns. Callers that come at the same time share one transaction:
//! the first writes what all of them left in the queue. The last `RegistryOptions::audit_entries` are kept.

use std::ops::ControlFlow;
use std::sync::Arc;

use lockgate_domain::usage::AuditEntry;
use lockgate_domain::{Problem, Scope, TenantName, Timestamp};
use parking_lot::Mutex;
use redb::{ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use crate::access::{HostAccess, TenantAccess};
use crate::page::{Page, PageBuilder, PageRequest};
use crate::registry::Registry;
use crate::store::{RowKey, Source as _, StoreError, table};

/// Longest text of one field; the rest is cut.
const MAX_FIELD_BYTES: usize = 256;

/// One control action, before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// Who, as `Principal::name` says it.
    pub principal: String,
    /// On whose things; none for the host's own.
    pub tenant: Option<TenantName>,
    /// What, such as `revision.create`.
    pub action: String,
    /// The object, such as `shout@3`.
    pub object: String,
    /// The code of the error, if it was refused or failed.
    pub error: Option<String>,
    /// The id of the request.
    pub request_id: String,
}

/// Entries that wait for the next transaction. Bounded by the callers: each waits for its own.
#[derive(Default)]
pub(crate) struct AuditQueue {
    waiting: Mutex<Vec<Waiting>>,
    writing: Mutex<()>,
}

struct Waiting {
    at: Timestamp,
    draft: AuditDraft,
    outcome: Arc<Mutex<Option<Result<(), Problem>>>>,
}

impl Registry {
    /// Writes an entry.
    pub fn audit(&self, draft: AuditDraft) -> Result<(), Problem> {
        let outcome = Arc::new(Mutex::new(None));
        let waiting = Waiting { at: self.now(), draft: draft.cut(), outcome: Arc::clone(&outcome) };
        self.0.audit.waiting.lock().push(waiting);
        let _turn = self.0.audit.writing.lock();
        if let Some(done) = outcome.lock().take() {
            return done;
        }
        let batch = std::mem::take(&mut *self.0.audit.waiting.lock());
        let done = self.0.store.write(|transaction| self.append(transaction, &batch));
        for waiting in batch {
            *waiting.outcome.lock() = Some(done.clone());
        }
        done
    }

    /// What was done to the tenant's things, newest first.
    pub fn audit_of_tenant(
        &self,
        access: &TenantAccess,
        request: &PageRequest,
    ) -> Result<Page<AuditEntry>, Problem> {
        access.require(Scope::Read)?;
        let under = RowKey::of(&[access.tenant()]);
        let before = request.position("audit", &under)?;
        let mut page = PageBuilder::new(request);
        self.0.store.read(|source| {
            table::AUDIT_OF_TENANT.scan_back(source, &under, before.as_deref(), |sequence, ()| {
                let entry = table::AUDIT.get(source, &RowKey::of(&[&sequence]))?;
                Ok(entry.map_or(ControlFlow::Continue(()), |entry| page.push(sequence, entry)))
            })
        })?;
        Ok(page.finish("audit", &under))
    }

    /// What was done on the whole host, newest first.
    pub fn audit_of_host(
        &self,
        _access: &HostAccess,
        request: &PageRequest,
    ) -> Result<Page<AuditEntry>, Problem> {
        let under = RowKey::of(&[]);
        let before = request.position("audit", &under)?;
        let mut page = PageBuilder::new(request);
        self.0.store.read(|source| {
            table::AUDIT.scan_back(source, &under, before.as_deref(), |sequence, entry| {
                Ok(page.push(sequence, entry))
            })
        })?;
        Ok(page.finish("audit", &under))
    }

    fn append(&self, transaction: &WriteTransaction, batch: &[Waiting]) -> Result<(), StoreError> {
        let counter = RowKey::of(&[&"audit"]);
        let mut sequence = table::META.get(transaction, &counter)?.unwrap_or(0);
        for Waiting { at, draft, outcome: _ } in batch {
            sequence += 1;
            let entry = draft.clone().numbered(sequence, *at);
            let number = format!("{sequence:020}");
            table::AUDIT.put(transaction, &RowKey::of(&[&number]), &entry)?;
            // Of a tenant that is there: else a later one of the same name would read it.
            if let Some(tenant) = &entry.tenant
                && table::TENANTS.get(transaction, &RowKey::of(&[tenant]))?.is_some()
            {
                table::AUDIT_OF_TENANT.put(transaction, &RowKey::of(&[tenant, &number]), &())?;
            }
        }
        table::META.put(transaction, &counter, &sequence)?;
        forget_oldest(transaction, self.0.options.audit_entries)
    }
}

impl AuditDraft {
    fn cut(mut self) -> Self {
        let fields = [&mut self.principal, &mut self.action, &mut self.object, &mut self.request_id];
        for field in fields.into_iter().chain(self.error.as_mut()) {
            let end = field.floor_char_boundary(MAX_FIELD_BYTES);
            field.truncate(end);
        }
        self
    }

    fn numbered(self, sequence: u64, at: Timestamp) -> AuditEntry {
        let Self { principal, tenant, action, object, error, request_id } = self;
        AuditEntry { sequence, at, principal, tenant, action, object, error, request_id }
    }
}

fn forget_oldest(transaction: &WriteTransaction, kept: u64) -> Result<(), StoreError> {
    let mut old = Vec::new();
    {
        let rows = transaction.table(table::AUDIT.definition())?;
        let surplus = rows.len()?.saturating_sub(kept);
        for entry in rows.iter()?.take(usize::try_from(surplus).unwrap_or(usize::MAX)) {
            let (key, bytes) = entry?;
            let entry: Option<AuditEntry> = serde_json::from_slice(bytes.value()).ok();
            old.push((key.value().to_owned(), entry.and_then(|entry| entry.tenant)));
        }
    }
    for (number, tenant) in old {
        table::AUDIT.remove(transaction, &RowKey::of(&[&number]))?;
        if let Some(tenant) = tenant {
            table::AUDIT_OF_TENANT.remove(transaction, &RowKey::of(&[&tenant, &number]))?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
