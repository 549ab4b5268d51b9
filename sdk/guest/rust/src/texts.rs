//! A text column in one piece: one allocation for all values instead of one for each.
//!
//! [`Texts`] is what the host hands over and takes back; offsets that the host sent are checked
//! when a value is asked for, so a damaged column reads as empty and never panics.

use crate::host::PackedText;
use crate::{Error, Result};

/// The values of a text column, some of which may be missing.
#[derive(Clone, Debug)]
pub struct Texts {
    packed: PackedText,
}

/// What a text column takes: strings, or options of strings for rows without a value.
pub trait TextValue {
    /// The value, `None` for a row that holds none.
    fn as_text(&self) -> Option<&str>;
}

impl Texts {
    /// No values yet; fill with [`push`](Self::push).
    #[must_use]
    pub const fn new() -> Self {
        Self { packed: PackedText { data: String::new(), ends: Vec::new(), missing: Vec::new() } }
    }

    /// No values yet, with room for `rows` values of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let packed = PackedText {
            data: String::with_capacity(bytes),
            ends: Vec::with_capacity(rows),
            missing: Vec::new(),
        };
        Self { packed }
    }

    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.packed.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packed.ends.is_empty()
    }

    /// Bytes of all values together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.packed.data.len()
    }

    /// The value of a row; `None` when the row holds none or is past the end.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&str> {
        let missing = &self.packed.missing;
        let absent = !missing.is_empty() && missing.binary_search(&u32::try_from(row).ok()?).is_ok();
        if absent { None } else { self.slice(row) }
    }

    /// The value of a row, empty when it holds none.
    #[must_use]
    pub fn text(&self, row: usize) -> &str {
        self.slice(row).unwrap_or_default()
    }

    /// The values in order, empty where a row holds none.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|row| self.text(row))
    }

    /// The values in order, `None` where a row holds none.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Adds the value of the next row.
    ///
    /// # Errors
    /// `resource_exhausted` when the column passes 4 GiB.
    pub fn push(&mut self, value: impl TextValue) -> Result<()> {
        match value.as_text() {
            Some(text) => self.packed.data.push_str(text),
            None => self.packed.missing.push(offset(self.packed.ends.len())?),
        }
        self.packed.ends.push(offset(self.packed.data.len())?);
        Ok(())
    }

    /// Every value through `change`; rows without a value stay so.
    ///
    /// # Errors
    /// `resource_exhausted` when the column passes 4 GiB.
    pub fn map<T: AsRef<str>>(&self, mut change: impl FnMut(&str) -> T) -> Result<Self> {
        let mut changed = Self::with_capacity(self.len(), self.bytes());
        for value in self.values() {
            match value {
                Some(text) => changed.push(change(text).as_ref())?,
                None => changed.push(None::<&str>)?,
            }
        }
        Ok(changed)
    }

    pub(crate) const fn from_packed(packed: PackedText) -> Self {
        Self { packed }
    }

    pub(crate) const fn packed(&self) -> &PackedText {
        &self.packed
    }

    fn slice(&self, row: usize) -> Option<&str> {
        let end = *self.packed.ends.get(row)? as usize;
        let start = match row.checked_sub(1) {
            Some(previous) => *self.packed.ends.get(previous)? as usize,
            None => 0,
        };
        self.packed.data.get(start..end)
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: TextValue> FromIterator<T> for Texts {
    /// Stops at 4 GiB, which the length then shows; [`Texts::push`] says so at once.
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut texts = Self::new();
        for value in values {
            if texts.push(value).is_err() {
                break;
            }
        }
        texts
    }
}

impl TextValue for str {
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl TextValue for String {
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl<T: TextValue + ToOwned + ?Sized> TextValue for std::borrow::Cow<'_, T> {
    fn as_text(&self) -> Option<&str> {
        (**self).as_text()
    }
}

impl<T: TextValue + ?Sized> TextValue for &T {
    fn as_text(&self) -> Option<&str> {
        (**self).as_text()
    }
}

impl<T: TextValue> TextValue for Option<T> {
    fn as_text(&self) -> Option<&str> {
        self.as_ref().and_then(TextValue::as_text)
    }
}

fn offset(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Error::resource_exhausted("a text column holds at most 4 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_values() {
        let texts: Texts = [Some("a"), None, Some(""), Some("äö")].into_iter().collect();
        assert_eq!(texts.values().collect::<Vec<_>>(), [Some("a"), None, Some(""), Some("äö")]);
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "", "äö"]);
        assert_eq!(texts.get(4), None);
        let upper = texts.map(str::to_uppercase).unwrap();
        assert_eq!(upper.values().collect::<Vec<_>>(), [Some("A"), None, Some(""), Some("ÄÖ")]);
    }

    #[test]
    fn damaged_offsets_read_as_empty() {
        let packed = PackedText { data: "ä".into(), ends: vec![1, 9, 0], missing: vec![] };
        assert_eq!(Texts::from_packed(packed).iter().collect::<Vec<_>>(), ["", "", ""]);
    }
}
