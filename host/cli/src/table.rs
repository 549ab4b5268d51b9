//! Columns of text, aligned by what a terminal shows and without rules: easy to read, easy to cut.

use crate::console::HEADING;
use crate::measures::width;

/// How cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// words
    Left,
    /// numbers
    Right,
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, headings first. Columns in which no row has anything are left out.
    pub(crate) fn render(&self, indent: usize) -> Vec<String> {
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|&index| self.rows.iter().any(|row| row.get(index).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let widths: Vec<usize> = used.iter().map(|&index| self.column_width(index)).collect();
        let heading = self.render_row(&used, &widths, |index| {
            self.columns.get(index).map_or("", |(name, _)| name.as_str())
        });
        let lead = " ".repeat(indent);
        let mut lines = vec![format!("{lead}{HEADING}{heading}{HEADING:#}")];
        for row in &self.rows {
            let line = self.render_row(&used, &widths, |index| row.get(index).map_or("", String::as_str));
            lines.push(format!("{lead}{line}"));
        }
        lines
    }

    fn column_width(&self, index: usize) -> usize {
        let heading = self.columns.get(index).map_or(0, |(name, _)| width(name));
        self.rows.iter().filter_map(|row| row.get(index)).map(|cell| width(cell)).fold(heading, usize::max)
    }

    fn render_row<'a>(&self, used: &[usize], widths: &[usize], cell: impl Fn(usize) -> &'a str) -> String {
        let mut line = String::new();
        for (&index, &column_width) in used.iter().zip(widths) {
            let text = cell(index);
            let blanks = " ".repeat(column_width.saturating_sub(width(text)));
            if !line.is_empty() {
                line.push_str("  ");
            }
            match self.columns.get(index).map(|(_, align)| *align) {
                Some(Align::Right) => {
                    line.push_str(&blanks);
                    line.push_str(text);
                }
                _ => {
                    line.push_str(text);
                    line.push_str(&blanks);
                }
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[
            ("stage", Align::Left),
            ("size", Align::Right),
            ("needs", Align::Left),
            ("x", Align::Left),
        ]);
        table.push(vec!["encoder".into(), "68 KiB".into(), String::new(), "a".into()]);
        table.push(vec!["日本".into(), "1.5 MiB".into()]);
        let lines = table.render(2).join("\n");
        insta::assert_snapshot!(anstream::adapter::strip_str(&lines).to_string(), @r"
        stage       size  x
        encoder   68 KiB  a
        日本     1.5 MiB
        ");
    }
}
