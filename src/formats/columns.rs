//! Rows of text under a header line: which cells a decoder needs, and where they are.

use super::reject::{Reject, RejectReason};

/// What stands between the cells of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// One byte, such as a tab. A cell may be empty.
    Byte(u8),
    /// A comma; cells may be quoted.
    Comma,
    /// Blanks in any number. No cell is empty.
    Blanks,
}

impl Separator {
    /// Returns what separates the names of a header line.
    pub(super) fn of_header(header: &[u8]) -> Self {
        if header.contains(&b'\t') {
            Self::Byte(b'\t')
        } else if header.contains(&b',') {
            Self::Comma
        } else {
            Self::Blanks
        }
    }

    /// Calls `see` with the position and the bytes of every cell.
    pub(super) fn for_each_cell<'a>(self, row: &'a [u8], mut see: impl FnMut(usize, &'a [u8])) {
        match self {
            Self::Byte(separator) => split_byte(row, separator, see),
            Self::Comma if row.contains(&b'"') => split_quoted(row, see),
            Self::Comma => split_byte(row, b',', see),
            Self::Blanks => row
                .split(u8::is_ascii_whitespace)
                .filter(|cell| !cell.is_empty())
                .enumerate()
                .for_each(|(position, cell)| see(position, cell)),
        }
    }
}

fn split_byte<'a>(row: &'a [u8], separator: u8, mut see: impl FnMut(usize, &'a [u8])) {
    let mut from = 0;
    let mut position = 0;
    for at in memchr::memchr_iter(separator, row) {
        see(position, &row[from..at]);
        from = at + 1;
        position += 1;
    }
    see(position, &row[from..]);
}

/// Splits at commas outside quotes. Quotes around a cell are taken off; doubled ones inside stay,
/// because no cell that is read can hold one.
fn split_quoted<'a>(row: &'a [u8], mut see: impl FnMut(usize, &'a [u8])) {
    let mut from = 0;
    let mut position = 0;
    let mut quoted = false;
    for at in memchr::memchr2_iter(b',', b'"', row) {
        if row[at] == b'"' {
            quoted = !quoted;
            continue;
        }
        if !quoted {
            see(position, unquoted(&row[from..at]));
            from = at + 1;
            position += 1;
        }
    }
    see(position, unquoted(&row[from..]));
}

fn unquoted(cell: &[u8]) -> &[u8] {
    cell.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(cell)
}

/// Where `N` named columns are in the rows of a source.
#[derive(Debug)]
pub(super) struct Columns<const N: usize> {
    separator: Separator,
    /// Per position in a row the wanted column that stands there.
    wanted: Vec<Option<usize>>,
}

impl<const N: usize> Columns<N> {
    /// Finds `names` in a header line; names that are not there are absent in every row.
    pub(super) fn find(header: &[u8], separator: Separator, names: &[&str; N]) -> Self {
        let mut wanted = Vec::new();
        separator.for_each_cell(header, |_, cell| {
            let cell = cell.trim_ascii();
            wanted.push(names.iter().position(|name| name.as_bytes() == cell));
        });
        Self { separator, wanted }
    }

    /// Whether the header names the column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.wanted.contains(&Some(column))
    }

    /// Returns the wanted cells of a row, empty where the header does not name the column. A row
    /// with fewer cells than the header is rejected: its last cell may be cut.
    pub(super) fn cells<'a>(&self, row: &'a [u8]) -> Result<[&'a [u8]; N], Reject> {
        let mut cells: [&[u8]; N] = [&[]; N];
        let mut count = 0;
        self.separator.for_each_cell(row, |position, cell| {
            count = position + 1;
            if let Some(Some(column)) = self.wanted.get(position) {
                cells[*column] = cell;
            }
        });
        if count < self.wanted.len() {
            let detail = format!("{count} columns, the header has {}", self.wanted.len());
            return Err(Reject::new(RejectReason::WrongColumns, detail));
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(separator: Separator, row: &str) -> Vec<String> {
        let mut found = Vec::new();
        separator.for_each_cell(row.as_bytes(), |position, cell| {
            assert_eq!(position, found.len());
            found.push(String::from_utf8(cell.to_vec()).unwrap());
        });
        found
    }

    #[test]
    fn rows_are_split_at_their_separator() {
        assert_eq!(cells(Separator::Byte(b'\t'), "a\t\tb c"), ["a", "", "b c"]);
        assert_eq!(cells(Separator::Comma, "a,,b"), ["a", "", "b"]);
        assert_eq!(cells(Separator::Blanks, "a   b \t c  "), ["a", "b", "c"]);
        assert_eq!(cells(Separator::Comma, ""), [""]);
    }

    #[test]
    fn a_quoted_cell_may_hold_commas_and_quotes() {
        assert_eq!(cells(Separator::Comma, "\"a,b\",c"), ["a,b", "c"]);
        assert_eq!(cells(Separator::Comma, "\"a \"\"x\"\", b\",c"), ["a \"\"x\"\", b", "c"]);
        assert_eq!(cells(Separator::Comma, "a,\"\",c"), ["a", "", "c"]);
        assert_eq!(cells(Separator::Comma, "a,\"b,c"), ["a", "\"b,c"]);
    }

    #[test]
    fn columns_are_found_by_name_and_short_rows_rejected() {
        let columns = Columns::find(b"x,b,a,y", Separator::Comma, &["a", "b", "c"]);
        assert_eq!(columns.cells(b"0,1,2,3,4"), Ok([&b"2"[..], b"1", b""]));
        assert!(columns.has(0) && !columns.has(2));
        let reject = columns.cells(b"0,1,2").expect_err("one is missing");
        assert_eq!(reject.reason, RejectReason::WrongColumns);
    }
}
