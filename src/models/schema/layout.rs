//! Where the columns of a schema stand in the rows of one table.

use super::{Absent, Schema, SchemaError, plain};

/// Where each column comes from. Made once for a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// One for each column of the schema.
    pub(crate) sources: Vec<Source>,
    /// The cell that holds the label.
    pub(crate) label: Option<usize>,
    /// The fewest and the most cells of a row.
    pub(crate) cells: std::ops::RangeInclusive<usize>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Cell(usize),
    Absent,
}

impl Layout {
    /// The layout of a table without a header: the features in order, then the label, then what is
    /// ignored; the last two may be missing.
    pub fn by_position(schema: &Schema) -> Self {
        let width = schema.columns.len();
        // All names of the label mean one cell, and all names to ignore (KDD's difficulty) another.
        let extra =
            usize::from(!schema.labels.is_empty()) + usize::from(!schema.ignored.is_empty());
        Self {
            sources: (0..width).map(Source::Cell).collect(),
            label: (!schema.labels.is_empty()).then_some(width),
            cells: width..=width + extra,
        }
    }

    /// The layout by a header, in any order; unknown columns are left out of account.
    pub fn by_header(schema: &Schema, header: &[&str]) -> Result<Self, SchemaError> {
        let names: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let place = |wanted: &str| names.iter().position(|name| *name == plain(wanted));
        let mut missing = Vec::new();
        let mut sources = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            match column.spellings().find_map(place) {
                Some(cell) => sources.push(Source::Cell(cell)),
                None if column.absent == Absent::Rejected => missing.push(column.name.clone()),
                None => sources.push(Source::Absent),
            }
        }
        if !missing.is_empty() {
            let schema = schema.name.clone();
            return Err(SchemaError::MissingColumns { schema, columns: missing });
        }
        let label = schema.labels.iter().find_map(|name| place(name));
        Ok(Self { sources, label, cells: header.len()..=header.len() })
    }

    /// Whether a first row is a header: most of its cells that mean anything are names. An empty
    /// schema name or a row of numbers never is.
    pub fn is_header(schema: &Schema, row: &[&str]) -> bool {
        let known = row.iter().filter(|cell| schema.column(cell).is_some()).count();
        known * 2 > schema.columns.len().min(row.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_may_be_in_any_order_and_names_what_it_lacks() {
        let schema = Schema::built_in("flow").unwrap();
        let header = ["label", "uniqDstPorts", "uniqDstIPs", "sumOfPackets", "sumOfFlows"];
        assert!(Layout::is_header(&schema, &header));
        let error = Layout::by_header(&schema, &header).unwrap_err().to_string();
        assert_eq!(error, "schema `flow`: the header has no column `sumOfBytes`");
        let layout =
            Layout::by_header(&schema, &[&header[..], &["sum_of_bytes"]].concat()).unwrap();
        assert_eq!(layout.sources[0], Source::Cell(5));
        assert_eq!(layout.sources[7], Source::Absent);
        assert_eq!(layout.label, Some(0));
    }

    #[test]
    fn numbers_are_no_header() {
        let schema = Schema::built_in("flow").unwrap();
        assert!(!Layout::is_header(&schema, &["1", "2", "3", "4", "5"]));
    }
}
