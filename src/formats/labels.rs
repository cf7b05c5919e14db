//! Labels that published captures carry beside their flows. Decoders never read them; only who
//! compares results with the truth does.

use super::bounded;
use super::columns::{Columns, Separator};

/// What the label columns are called: Zeek captures, Argus binetflow.
const NAMES: [&str; 4] = ["label", "Label", "detailed-label", "detailedlabel"];
/// Columns of which a header of flows has one.
const OF_FLOWS: [&str; 2] = ["id.orig_h", "SrcAddr"];

/// The label of one row, as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLabel {
    /// The label, for example `Malicious` or `flow=From-Botnet-V42`.
    pub label: String,
    /// The second column of labels, for example `C&C`; empty when there is none.
    pub detail: String,
}

/// Reads the labels of the rows of one source in order.
#[derive(Debug, Default)]
pub struct LabelReader {
    columns: Option<Columns<{ NAMES.len() }>>,
}

impl LabelReader {
    /// Returns the label of a row; `None` for headers, comments and rows without one.
    pub fn read(&mut self, record: &[u8]) -> Option<RowLabel> {
        let line = bounded(record).ok()?;
        if let Some(columns) = header(line) {
            self.columns = Some(columns);
            return None;
        }
        if line.starts_with(b"#") {
            return None;
        }
        let cells = self.columns.as_ref()?.cells(line).ok()?;
        let text = |one: &[u8], other: &[u8]| {
            let cell = if one.is_empty() { other } else { one };
            String::from_utf8_lossy(cell.trim_ascii()).into_owned()
        };
        Some(RowLabel { label: text(cells[0], cells[1]), detail: text(cells[2], cells[3]) })
    }

    /// Whether a header named a column of labels.
    pub const fn has_labels(&self) -> bool {
        self.columns.is_some()
    }
}

/// Returns the columns of a header of flows with labels.
fn header(line: &[u8]) -> Option<Columns<{ NAMES.len() }>> {
    let names = line.strip_prefix(b"#fields").unwrap_or(line).trim_ascii_start();
    // The makers of IoT-23 put blanks before their columns where Zeek has tabs.
    let separator = match memchr::memmem::find(names, b"   ") {
        Some(_) => Separator::Blanks,
        None => Separator::of_header(names),
    };
    let is_of_flows = Columns::find(names, separator, &OF_FLOWS);
    if !(0..OF_FLOWS.len()).any(|column| is_of_flows.has(column)) {
        return None;
    }
    let columns = Columns::find(names, separator, &NAMES);
    (columns.has(0) || columns.has(1)).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_of(header: &str, row: &str) -> Option<(String, String)> {
        let mut reader = LabelReader::default();
        assert_eq!(reader.read(header.as_bytes()), None, "{header}");
        reader.read(row.as_bytes()).map(|row| (row.label, row.detail))
    }

    #[test]
    fn labels_of_all_header_variants_are_read() {
        let expected = Some(("Malicious".to_owned(), "C&C".to_owned()));
        let tabs = "#fields\tts\tid.orig_h\tlabel\tdetailedlabel";
        assert_eq!(label_of(tabs, "1\t10.0.0.1\tMalicious\tC&C"), expected);
        let commas = "ts,id.orig_h,label,detailed-label";
        assert_eq!(label_of(commas, "1,10.0.0.1,Malicious,C&C"), expected);
        let blanks = "#fields\tts\tid.orig_h   label   detailed-label";
        assert_eq!(label_of(blanks, "1\t10.0.0.1   Malicious   C&C"), expected);
        let argus = "StartTime,SrcAddr,Label";
        let found = label_of(argus, "1,10.0.0.1,flow=Normal");
        assert_eq!(found, Some(("flow=Normal".to_owned(), String::new())));
    }

    #[test]
    fn a_file_without_labels_says_so() {
        let mut reader = LabelReader::default();
        assert_eq!(reader.read(b"#fields\tts\tid.orig_h"), None);
        assert_eq!(reader.read(b"1\t10.0.0.1"), None);
        assert!(!reader.has_labels());
    }
}
