//! Links from a document to nested ones: row numbers of the same arena.

use std::sync::Arc;

/// Links of rows `0..rows`; rows beyond have none.
#[derive(Debug, Clone, Default)]
pub struct LinkColumn {
    ends: Arc<Vec<u32>>,
    targets: Arc<Vec<u32>>,
    single: bool,
}

impl LinkColumn {
    /// Packs one list of targets per row. Whether targets exist is for the arena to check.
    pub fn pack<'a>(rows: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let (mut ends, mut targets) = (Vec::new(), Vec::new());
        for row in rows {
            targets.extend_from_slice(row);
            ends.push(u32::try_from(targets.len()).unwrap_or(u32::MAX));
        }
        Self { ends: Arc::new(ends), targets: Arc::new(targets), single: false }
    }

    /// Marks the column as holding one nested document per row and not a list (DocArray v2's nested document).
    #[must_use]
    pub fn with_single(mut self, single: bool) -> Self {
        self.single = single;
        self
    }

    /// Whether a row holds one nested document and not a list.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// Rows covered.
    pub fn rows(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Targets of a row, in order.
    pub fn get(&self, row: u32) -> &[u32] {
        let end = self.ends.get(row as usize).copied().unwrap_or(0) as usize;
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before as usize).copied().unwrap_or(0) as usize,
            None => 0,
        };
        self.targets.get(start..end).unwrap_or(&[])
    }

    /// Every target of every row.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }
}
