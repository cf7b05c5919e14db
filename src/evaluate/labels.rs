//! Labels inside the data → attacks. Nothing here ever reaches a scorer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::attack::{Attack, Deed, fitting_label};
use crate::formats::{self, Decoder, LabelReader, RowLabel};
use crate::model::Flow;
use crate::sources::{SourceError, for_each_record};

/// The bytes within which the format must show itself.
const HEAD_BYTES: usize = 1 << 16;
/// Longer names are cut: they end in tables.
const NAME_CHARACTERS: usize = 64;

/// What the labels of a file say.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    /// One attack per label, by name.
    pub attacks: Vec<Attack>,
    /// Flows of which the makers do not say whether they are harmless.
    pub background: Vec<Deed>,
    /// Flows labelled as harmless.
    pub benign: u64,
}

/// What one label says.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Malicious(String),
    Benign,
    Background,
}

/// Reads the labels of a file; `None` when it has no column of labels.
///
/// # Errors
/// When the file cannot be read; the error names it.
pub fn read_labels(path: &Path) -> Result<Option<Labelled>, SourceError> {
    let mut reading = Reading::default();
    for_each_record(path, |record| reading.take(record))?;
    Ok(reading.finish())
}

/// Labels and flows, row by row.
#[derive(Default)]
struct Reading {
    /// Rows before the format was told, each with its line end.
    head: Vec<u8>,
    decoder: Option<Box<dyn Decoder>>,
    labels: LabelReader,
    attacks: BTreeMap<String, Vec<Deed>>,
    labelled: Labelled,
}

impl Reading {
    fn take(&mut self, record: &[u8]) -> ControlFlow<()> {
        if self.decoder.is_some() {
            self.row(record);
            return ControlFlow::Continue(());
        }
        self.head.extend_from_slice(record);
        self.head.push(b'\n');
        if let Some(format) = formats::detect(&self.head) {
            self.decoder = Some(format.decoder());
            let head = std::mem::take(&mut self.head);
            head.split(|&byte| byte == b'\n').for_each(|line| self.row(line));
        } else if self.head.len() > HEAD_BYTES {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn row(&mut self, record: &[u8]) {
        let label = self.labels.read(record);
        let Some(Ok(Some(flow))) = self.decoder.as_mut().map(|decoder| decoder.decode(record))
        else {
            return;
        };
        match label.as_ref().map_or(Meaning::Background, meaning) {
            Meaning::Malicious(name) => self.attacks.entry(name).or_default().push(deed(&flow)),
            Meaning::Benign => self.labelled.benign += 1,
            Meaning::Background => self.labelled.background.push(deed(&flow)),
        }
    }

    fn finish(mut self) -> Option<Labelled> {
        let attack = |(name, deeds): (String, Vec<Deed>)| {
            let fitting = fitting_label(&name);
            Attack { name, fitting, is_required: true, is_line: false, deeds }
        };
        self.labelled.attacks = self.attacks.into_iter().map(attack).collect();
        self.labels.has_labels().then_some(self.labelled)
    }
}

fn deed(flow: &Flow) -> Deed {
    Deed {
        start: flow.start,
        end: flow.end,
        sources: flow.source.ip.into_iter().collect(),
        destinations: flow.destination.ip.into_iter().collect(),
    }
}

/// Zeek captures say `Malicious` and what in a second column; Argus ones say all in one.
fn meaning(row: &RowLabel) -> Meaning {
    let label = row.label.strip_prefix("flow=").unwrap_or(&row.label);
    let lower = label.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["background", "unknown"]) || matches!(label, "" | "-" | "(empty)") {
        return Meaning::Background;
    }
    if has(&["benign", "normal"]) {
        return Meaning::Benign;
    }
    if !has(&["malicious", "malware", "botnet", "attack"]) {
        return Meaning::Background;
    }
    let name = match row.detail.as_str() {
        "" | "-" | "(empty)" => label,
        detail => detail,
    };
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    Meaning::Malicious(name.chars().take(NAME_CHARACTERS).map(clean).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn rows_become_deeds_by_label_and_background_stays_apart() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let rows = "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,conn_state,label,detailed-label\n\
             10,10.0.0.1,1000,192.0.2.1,80,tcp,SF,Malicious,C&C\n\
             20,10.0.0.1,1000,192.0.2.1,80,tcp,SF,Malicious,C&C\n\
             30,10.0.0.2,1000,192.0.2.1,80,tcp,SF,benign,-\n\
             40,10.0.0.2,1000,192.0.2.1,80,tcp,SF,Background,-\n";
        file.write_all(rows.as_bytes()).unwrap();
        let labelled = read_labels(file.path()).unwrap().expect("there are labels");
        assert_eq!(labelled.attacks.len(), 1);
        assert_eq!(labelled.attacks[0].name, "C&C");
        assert_eq!(labelled.attacks[0].deeds.len(), 2);
        assert_eq!((labelled.benign, labelled.background.len()), (1, 1));
    }

    #[test]
    fn labels_of_argus_say_all_in_one_column() {
        let meaning =
            |label: &str| meaning(&RowLabel { label: label.to_owned(), detail: String::new() });
        assert_eq!(meaning("flow=Malware-TCP"), Meaning::Malicious("Malware-TCP".to_owned()));
        assert_eq!(meaning("flow=Background-ARP"), Meaning::Background);
        assert_eq!(meaning("flow=From-Normal-V42"), Meaning::Benign);
        assert_eq!(meaning("flow=TCP-Established-To-Microsoft-7"), Meaning::Background);
    }
}
