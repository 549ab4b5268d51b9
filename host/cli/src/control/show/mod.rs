//! What a host keeps, as lines for a person: the words of strangers in them are tamed.

pub(crate) mod component;
pub(crate) mod deployment;
pub(crate) mod revision;
pub(crate) mod shadow;
pub(crate) mod tenant;

use std::time::SystemTime;

use lockgate_domain::{ComponentDigest, Timestamp};

use crate::console::{FAINT, HEADING};
use crate::control::Listing;
use crate::measures;
use crate::table::Table;

/// Now, for words such as "3 min ago".
pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The first digits of a digest: enough for a person, and for `component show`.
pub(crate) fn short(digest: ComponentDigest) -> String {
    digest.hex().chars().take(12).collect()
}

/// A fact under a heading.
pub(crate) fn fact(label: &str, value: impl AsRef<str>) -> String {
    format!("  {FAINT}{label:<12}{FAINT:#} {}", value.as_ref())
}

/// A heading.
pub(crate) fn heading(text: &str) -> String {
    format!("{HEADING}{text}{HEADING:#}")
}

/// `1 call`, `2 calls`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", measures::count(number), if number == 1 { "" } else { "s" })
}

/// A table, or a word about its emptiness; and that there is more than is shown.
pub(crate) fn table(table: &Table, listing: &Listing, nothing: &str) -> Vec<String> {
    if listing.items.is_empty() {
        return vec![format!("{FAINT}{nothing}{FAINT:#}")];
    }
    let mut lines = table.render(0);
    if listing.next.is_some() {
        lines.push(format!("{FAINT}… and more (--limit shows more){FAINT:#}"));
    }
    lines
}

#[cfg(test)]
mod tests;
