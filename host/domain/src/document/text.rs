//! Text of a whole column in one piece: one allocation instead of one per row, and one copy into a guest.

use std::sync::{Arc, LazyLock};

/// Texts (or JSON texts) of rows `0..rows`. Rows beyond have no value.
///
/// `ends[i]` is where value i ends in `data`; `missing` lists the rows without a value, ascending, their span is
/// empty. Parts are `Arc`s of growable buffers because that is what the guest boundary lifts and lowers without a copy.
#[derive(Clone, Debug, Default)]
pub struct TextColumn {
    data: Arc<String>,
    ends: Arc<Vec<u32>>,
    missing: Arc<Vec<u32>>,
}

static NO_ROWS: LazyLock<Arc<Vec<u32>>> = LazyLock::new(Arc::default);

/// Why parts do not make a text column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadParts;

impl TextColumn {
    /// Checks parts that come from a guest.
    pub fn from_parts(data: String, ends: Vec<u32>, missing: Vec<u32>) -> Result<Self, BadParts> {
        let mut start = 0;
        for &end in &ends {
            if end < start || !data.is_char_boundary(end as usize) {
                return Err(BadParts);
            }
            start = end;
        }
        if start as usize != data.len() || !missing.is_sorted_by(|a, b| a < b) {
            return Err(BadParts);
        }
        for &row in &missing {
            let start = if row == 0 { Some(0) } else { ends.get(row as usize - 1).copied() };
            match (start, ends.get(row as usize)) {
                (Some(start), Some(end)) if start == *end => {}
                _ => return Err(BadParts),
            }
        }
        let missing = if missing.is_empty() { NO_ROWS.clone() } else { Arc::new(missing) };
        Ok(Self { data: Arc::new(data), ends: Arc::new(ends), missing })
    }

    /// Packs values; fails when all texts together pass 4 GiB.
    pub fn pack<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self, BadParts> {
        let values = values.into_iter();
        let mut packer = TextPacker::with_rows(values.size_hint().0);
        for value in values {
            packer.push(value)?;
        }
        Ok(packer.finish())
    }

    /// Rows covered.
    pub fn rows(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The value of a row.
    pub fn get(&self, row: u32) -> Option<&str> {
        let end = *self.ends.get(row as usize)? as usize;
        if !self.missing.is_empty() && self.missing.binary_search(&row).is_ok() {
            return None;
        }
        let start = if row == 0 { 0 } else { *self.ends.get(row as usize - 1)? as usize };
        self.data.get(start..end)
    }

    /// Values of rows `0..rows()`.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        let (mut start, mut missing) = (0, self.missing.iter().copied().peekable());
        self.ends.iter().zip(0u32..).map(move |(&end, row)| {
            let text = self.data.get(start..end as usize);
            start = end as usize;
            if missing.next_if_eq(&row).is_some() { None } else { text }
        })
    }

    /// The parts, shared: data, ends, missing.
    pub fn parts(&self) -> (&Arc<String>, &Arc<Vec<u32>>, &Arc<Vec<u32>>) {
        (&self.data, &self.ends, &self.missing)
    }

    /// Bytes of text held.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Whether no row has a value.
    pub fn is_blank(&self) -> bool {
        self.missing.len() == self.ends.len()
    }
}

/// Builds a [`TextColumn`] value by value, rows in ascending order.
#[derive(Debug, Default)]
pub(super) struct TextPacker {
    data: String,
    ends: Vec<u32>,
    missing: Vec<u32>,
}

impl TextPacker {
    pub(super) fn with_rows(rows: usize) -> Self {
        Self { data: String::new(), ends: Vec::with_capacity(rows), missing: Vec::new() }
    }

    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push(&mut self, value: Option<&str>) -> Result<(), BadParts> {
        match value {
            Some(text) => self.data.push_str(text),
            None => self.missing.push(self.rows()),
        }
        self.ends.push(u32::try_from(self.data.len()).map_err(|_| BadParts)?);
        Ok(())
    }

    pub(super) fn finish(self) -> TextColumn {
        let missing = if self.missing.is_empty() { NO_ROWS.clone() } else { Arc::new(self.missing) };
        TextColumn { data: Arc::new(self.data), ends: Arc::new(self.ends), missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_reads_back() {
        let values = [Some("a"), None, Some(""), Some("été")];
        let column = TextColumn::pack(values).unwrap();
        assert_eq!(column.iter().collect::<Vec<_>>(), values);
        assert_eq!(
            (0..5).map(|row| column.get(row)).collect::<Vec<_>>(),
            [Some("a"), None, Some(""), Some("été"), None]
        );
    }

    #[test]
    fn refuses_parts_that_do_not_fit() {
        let check = |data: &str, ends: &[u32], missing: &[u32], fits: bool| {
            assert_eq!(
                TextColumn::from_parts(data.into(), ends.into(), missing.into()).is_ok(),
                fits,
                "{data:?} {ends:?} {missing:?}"
            );
        };
        check("ab", &[1, 2], &[], true);
        check("ab", &[1, 1, 2], &[1], true);
        check("ab", &[2, 1], &[], false);
        check("ab", &[1], &[], false);
        check("ab", &[1, 3], &[], false);
        check("é", &[1, 2], &[], false);
        check("ab", &[1, 2], &[0], false);
        check("a", &[1], &[1], false);
        check("", &[0, 0], &[1, 0], false);
    }
}
