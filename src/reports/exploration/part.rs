//! What a part of an exploration is made of.

/// One part: a gist, more sentences, charts and tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    /// Its anchor in the page.
    pub id: &'static str,
    /// Its heading.
    pub heading: &'static str,
    /// The most important in one sentence.
    pub gist: String,
    /// What else must be said.
    pub sentences: Vec<String>,
    /// Its charts.
    pub charts: Vec<Chart>,
    /// Its tables.
    pub tables: Vec<Grid>,
}

/// A chart, as SVG.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    /// The picture; what came from data is escaped in it.
    pub svg: String,
    /// Whether it needs the whole width of the page.
    pub is_wide: bool,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grid {
    /// What it lists; may be empty.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Row by row, a text for each column.
    pub rows: Vec<Vec<String>>,
    /// Rows that are shown on a terminal.
    pub brief: usize,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// What it holds.
    pub name: &'static str,
    /// Whether it stands at the right.
    pub is_number: bool,
    /// Whether a terminal has no room for it.
    pub is_detail: bool,
}

/// A column of words.
pub(super) const fn word(name: &'static str) -> Column {
    Column { name, is_number: false, is_detail: false }
}

/// A column of numbers.
pub(super) const fn number(name: &'static str) -> Column {
    Column { name, is_number: true, is_detail: false }
}

/// A column of numbers that only the page has.
pub(super) const fn detail(name: &'static str) -> Column {
    Column { name, is_number: true, is_detail: true }
}

/// A chart of ordinary width.
pub(super) fn chart(svg: String) -> Chart {
    Chart { svg, is_wide: false }
}
