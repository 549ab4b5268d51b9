//! Lists in pages. A cursor is opaque: a check over kind, tenant and position, then the position.
//!
//! The check makes a cursor of another list or tenant an error instead of a wrong page. It keeps no secret: a forged one
//! moves within the caller's own list only, because the scan below never leaves the tenant's prefix.

use std::fmt::Display;
use std::io;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_domain::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::refusal::invalid;
use crate::store::{RowKey, Shelf, Source, StoreError};

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Most items; 100 if none is given, never over 500.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// Most items of one page.
    pub const MOST: usize = 500;
    /// Bytes of JSON with which a page is full, whatever its limit.
    pub const MOST_BYTES: usize = 8 << 20;
    /// Items of a page if nobody says how many.
    pub const USUAL: usize = 100;

    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(Self::USUAL).clamp(1, Self::MOST)
    }

    /// The position after which the page begins.
    pub(crate) fn position(&self, kind: &str, scope: impl Display) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bad = || invalid("the cursor is not one of this list", "begin again without a cursor");
        if cursor.len() > 1024 {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        let (check, position) = bytes.split_at_checked(8).ok_or_else(bad)?;
        let position = std::str::from_utf8(position).map_err(|_| bad())?;
        if check != cursor_check(kind, &scope, position) {
            return Err(bad());
        }
        Ok(Some(position.to_owned()))
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// Collects a page while a scan runs.
pub(crate) struct PageBuilder<T> {
    limit: usize,
    bytes: usize,
    items: Vec<T>,
    last: String,
    more: bool,
}

impl<T: Serialize> PageBuilder<T> {
    pub(crate) fn new(request: &PageRequest) -> Self {
        Self { limit: request.limit(), bytes: 0, items: Vec::new(), last: String::new(), more: false }
    }

    /// Takes the next item; breaks once there is one more than fits. A page is short rather than huge.
    pub(crate) fn push(&mut self, position: &str, item: T) -> ControlFlow<()> {
        if self.items.len() == self.limit || self.bytes > PageRequest::MOST_BYTES {
            self.more = true;
            return ControlFlow::Break(());
        }
        let mut counted = Counted(0);
        // Whatever cannot be counted cannot be answered either, and says so there.
        drop(serde_json::to_writer(&mut counted, &item));
        self.bytes = self.bytes.saturating_add(counted.0);
        self.items.push(item);
        position.clone_into(&mut self.last);
        ControlFlow::Continue(())
    }

    pub(crate) fn finish(self, kind: &str, scope: impl Display) -> Page<T> {
        let next = self.more.then(|| encode_cursor(kind, &scope, &self.last));
        Page { items: self.items, next }
    }
}

/// One page of the rows below a key.
pub(crate) fn rows<V: Serialize + DeserializeOwned, T: Serialize>(
    shelf: &Shelf<V>,
    source: &impl Source,
    under: &RowKey,
    (kind, request): (&str, &PageRequest),
    mut make: impl FnMut(V) -> Result<Option<T>, StoreError>,
) -> Result<Page<T>, StoreError> {
    let after = request.position(kind, under)?;
    let mut page = PageBuilder::new(request);
    shelf.scan(source, under, after.as_deref(), |position, row| {
        Ok(match make(row)? {
            Some(item) => page.push(position, item),
            None => ControlFlow::Continue(()),
        })
    })?;
    Ok(page.finish(kind, under))
}

/// Counts bytes and keeps none.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode_cursor(kind: &str, scope: &impl Display, position: &str) -> String {
    let mut bytes = cursor_check(kind, scope, position).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn cursor_check(kind: &str, scope: &impl Display, position: &str) -> [u8; 8] {
    let digest = Sha256::digest(format!("{kind}\0{scope}\0{position}"));
    let mut check = [0; 8];
    check.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_belong_to_one_list_of_one_tenant() {
        let cursor = encode_cursor("flows", &"acme", "search");
        let check = |cursor: &str, kind: &str, tenant: &str, expected: Option<&str>| {
            let request = PageRequest { cursor: Some(cursor.to_owned()), limit: None };
            let found = request.position(kind, tenant);
            assert_eq!(
                found.as_ref().ok().and_then(|found| found.as_deref()),
                expected,
                "{cursor} {kind} {tenant}"
            );
            if expected.is_none() {
                assert_eq!(found.unwrap_err().code(), lockgate_domain::ErrorCode::InvalidRequest);
            }
        };
        check(&cursor, "flows", "acme", Some("search"));
        check(&cursor, "flows", "other", None);
        check(&cursor, "executors", "acme", None);
        check(&cursor[1..], "flows", "acme", None);
        check("", "flows", "acme", None);
        check("%%%", "flows", "acme", None);
        check(&"A".repeat(5000), "flows", "acme", None);
        let damaged = format!("{}A", &cursor[..cursor.len() - 1]);
        check(&damaged, "flows", "acme", None);
    }

    #[test]
    fn limits_are_clamped() {
        let check = |limit: Option<usize>, expected: usize| {
            assert_eq!(PageRequest { limit, cursor: None }.limit(), expected);
        };
        check(None, 100);
        check(Some(0), 1);
        check(Some(7), 7);
        check(Some(usize::MAX), 500);
    }
}
