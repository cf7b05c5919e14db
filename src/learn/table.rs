//! A labelled table in memory: what training and evaluation read.
//!
//! Rows that cannot be used are counted and a few are kept as samples; the others stand in one
//! block of numbers, words as places in a list per column.

use std::collections::HashMap;
use std::io::Read;

use sha2::{Digest, Sha256};

use crate::model::hex;
use crate::models::record::{Labels, ReadError, Record, Row, RowError, Rows};
use crate::models::schema::{Kind, Schema, clean_label};

/// So many rejected rows are kept to be shown.
const SAMPLES: usize = 20;

/// Labelled rows of one schema.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) schema: Schema,
    /// For each column the words seen, in the order of appearance; empty for numbers.
    pub(crate) words: Vec<Vec<String>>,
    /// Row by row; a category is the place of its word.
    pub(crate) cells: Vec<f64>,
    /// The class of each row.
    pub(crate) classes: Vec<u16>,
    /// The label of each row, as a place in `names`.
    pub(crate) labels: Vec<u32>,
    /// The labels seen, cleaned, in the order of appearance.
    pub(crate) names: Vec<String>,
    /// The number of each row among all that were read, bad ones counted, headers not.
    pub(crate) numbers: Vec<u64>,
    /// Rows read so far.
    pub(crate) read: u64,
    /// Whether labels are read; without them every row counts as normal.
    pub(crate) has_labels: bool,
    pub(crate) rejected: Rejected,
}

/// The rows that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub samples: Vec<RowError>,
}

/// Finds the place of words while a table grows.
#[derive(Default)]
struct Places {
    words: Vec<HashMap<String, u32>>,
    labels: HashMap<String, (u32, u16)>,
}

impl Table {
    /// A table without rows.
    pub fn empty(schema: &Schema) -> Self {
        Self {
            words: vec![Vec::new(); schema.columns.len()],
            schema: schema.clone(),
            cells: Vec::new(),
            classes: Vec::new(),
            labels: Vec::new(),
            names: Vec::new(),
            numbers: Vec::new(),
            read: 0,
            has_labels: true,
            rejected: Rejected::default(),
        }
    }

    /// Reads labelled CSV. Bad rows, and rows without a known label, are counted and left out.
    pub fn read(schema: &Schema, source: impl Read) -> Result<Self, ReadError> {
        let mut table = Self::empty(schema);
        table.extend(source)?;
        Ok(table)
    }

    /// Reads CSV whose labels are not looked at, whether there are any or not: every row counts as
    /// normal. For exploring and clustering; nothing can be learned from it.
    pub fn read_unlabelled(schema: &Schema, source: impl Read) -> Result<Self, ReadError> {
        let mut table = Self { has_labels: false, ..Self::empty(schema) };
        table.extend(source)?;
        Ok(table)
    }

    /// Reads more of it, with a header of its own or without one.
    pub fn extend(&mut self, source: impl Read) -> Result<(), ReadError> {
        let mut places = self.places();
        let schema = self.schema.clone();
        let labels = if self.has_labels { Labels::Read } else { Labels::Unread };
        let mut rows = Rows::new(&schema, source, labels)?;
        let mut row = Row::default();
        let base = self.read;
        while let Some(taken) = rows.read(&mut row)? {
            row.number += base;
            self.read += 1;
            let added = taken.and_then(|()| self.add(&mut places, &row));
            if let Err(mut error) = added {
                error.row = row.number;
                self.rejected.count += 1;
                if self.rejected.samples.len() < SAMPLES {
                    self.rejected.samples.push(error);
                }
            }
        }
        Ok(())
    }

    fn places(&self) -> Places {
        let of = |words: &Vec<String>| {
            let placed = words.iter().cloned().zip(0..);
            placed.collect()
        };
        let class = |name: &String| self.schema.class_of(name).unwrap_or_default() as u16;
        let labels = self.names.iter().zip(0..).map(|(name, n)| (name.clone(), (n, class(name))));
        Places { words: self.words.iter().map(of).collect(), labels: labels.collect() }
    }

    fn add(&mut self, places: &mut Places, row: &Row) -> Result<(), RowError> {
        let fault = |reason: String| {
            let column = self.schema.labels.first().cloned();
            RowError { row: row.number, column, reason }
        };
        let label = match &row.label {
            Some(label) => label,
            None if self.has_labels => return Err(fault("has no label".to_owned())),
            None => &self.schema.normal,
        };
        let label = clean_label(label);
        let (label, class) = match places.labels.get(&label) {
            Some(known) => *known,
            None => {
                let class = self.schema.class_of(&label);
                let class = class.ok_or_else(|| fault(format!("unknown label `{label}`")))?;
                // At most 256 classes, and fewer labels than rows.
                let known = (self.names.len() as u32, class as u16);
                self.names.push(label.clone());
                places.labels.insert(label, known);
                known
            }
        };
        for (n, column) in self.schema.columns.iter().enumerate() {
            let value = row.record.numbers[n];
            if matches!(column.kind, Kind::Number { .. }) {
                self.cells.push(value);
                continue;
            }
            let word = &row.record.words[value as usize];
            let place = match places.words[n].get(word) {
                Some(place) => *place,
                None => {
                    let place = self.words[n].len() as u32;
                    self.words[n].push(word.clone());
                    places.words[n].insert(word.clone(), place);
                    place
                }
            };
            self.cells.push(f64::from(place));
        }
        self.labels.push(label);
        self.classes.push(class);
        self.numbers.push(row.number);
        Ok(())
    }

    /// The schema it was read by.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The number of a row among all that were read: from 0, bad ones counted, headers not.
    pub fn number(&self, row: usize) -> u64 {
        self.numbers[row]
    }

    /// Whether its labels were read; without them every row counts as normal.
    pub fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The same with other facts about rows that could not be used: those of the table that it was
    /// chosen from.
    pub fn with_rejected(self, rejected: Rejected) -> Self {
        Self { rejected, ..self }
    }

    /// The rows that were left out.
    pub fn rejected(&self) -> &Rejected {
        &self.rejected
    }

    /// The class of a row.
    pub fn class(&self, row: usize) -> usize {
        usize::from(self.classes[row])
    }

    /// The label of a row, as it was written but for case and a final dot.
    pub fn label(&self, row: usize) -> &str {
        &self.names[self.labels[row] as usize]
    }

    /// Whether a row is of another class than the normal one.
    pub fn is_attack(&self, row: usize) -> bool {
        self.class(row) != self.schema.normal_code()
    }

    /// How many rows each class has, in the order of the schema.
    pub fn class_counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.schema.classes.len()];
        self.classes.iter().for_each(|class| counts[usize::from(*class)] += 1);
        counts
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        let width = self.schema.columns.len();
        &self.cells[row * width..(row + 1) * width]
    }

    /// One row as prediction takes it.
    pub fn record(&self, row: usize) -> Record {
        let mut record = Record::default();
        for (column, cell) in self.row(row).iter().enumerate() {
            match self.words[column].get(*cell as usize) {
                Some(word) => {
                    record.numbers.push(record.words.len() as f64);
                    record.words.push(word.clone());
                }
                None => record.numbers.push(*cell),
            }
        }
        record
    }

    /// The same table with these rows only, in this order.
    pub fn choose(&self, rows: &[usize]) -> Self {
        Self {
            schema: self.schema.clone(),
            words: self.words.clone(),
            cells: rows.iter().flat_map(|row| self.row(*row)).copied().collect(),
            classes: rows.iter().map(|row| self.classes[*row]).collect(),
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
            names: self.names.clone(),
            numbers: rows.iter().map(|row| self.numbers[*row]).collect(),
            read: self.read,
            has_labels: self.has_labels,
            rejected: Rejected::default(),
        }
    }

    /// The rows of both, these first; both must have been read under one schema.
    pub(crate) fn with_rows_of(&self, other: &Self) -> Self {
        let mut both = self.clone();
        let mut places = both.places();
        for row in 0..other.len() {
            let record = other.record(row);
            let label = other.has_labels.then(|| other.label(row).to_owned());
            // Its label was known where it was read.
            let _ = both.add(&mut places, &Row { number: both.read, record, label });
            both.read += 1;
        }
        both.rejected.count += other.rejected.count;
        both
    }

    /// Labels every row anew, in a schema of two classes.
    pub(crate) fn label_anew(&mut self, is_normal: impl Fn(usize) -> bool) {
        let normal = self.schema.normal_code();
        self.names = self.schema.classes.clone();
        self.has_labels = true;
        for row in 0..self.len() {
            let class = if is_normal(row) { normal } else { 1 - normal.min(1) };
            self.classes[row] = class as u16;
            self.labels[row] = class as u32;
        }
    }

    /// A hash of the features of a row; rows with equal features, and practically no others, have
    /// the same. Independent of the order of rows.
    pub fn vector_hash(&self, row: usize) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.hash_row(row, &mut hash);
        hash.finalize().into()
    }

    fn hash_row(&self, row: usize, hash: &mut Sha256) {
        for (column, cell) in self.row(row).iter().enumerate() {
            match self.words[column].get(*cell as usize) {
                Some(word) => {
                    hash.update((word.len() as u64).to_le_bytes());
                    hash.update(word);
                }
                None => hash.update(cell.to_bits().to_le_bytes()),
            }
        }
    }

    /// SHA-256, in hexadecimal, of all features and labels in their order.
    pub fn checksum(&self) -> String {
        let mut hash = Sha256::new();
        for row in 0..self.len() {
            self.hash_row(row, &mut hash);
            hash.update(self.label(row));
            hash.update([0]);
        }
        hex(&hash.finalize())
    }

    /// The rows that are the first of their features and label.
    pub fn distinct(&self) -> Vec<usize> {
        let mut seen = std::collections::HashSet::new();
        (0..self.len())
            .filter(|row| seen.insert((self.vector_hash(*row), self.labels[*row])))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table::read(&Schema::built_in("flow").unwrap(), text.as_bytes()).unwrap()
    }

    #[test]
    fn bad_rows_are_counted_and_explained() {
        let table = table("1,2,3,4,5,6,7,8,normal\n1,x,3,4,5,6,7,8,attack\n1,2,3,4,5,6,7,8,odd\n");
        assert_eq!((table.len(), table.rejected().count), (1, 2));
        let reasons: Vec<_> = table.rejected().samples.iter().map(ToString::to_string).collect();
        assert_eq!(reasons[0], "row 1, column `sumOfFlows`: must be a number, got `x`");
        assert_eq!(reasons[1], "row 2, column `label`: unknown label `odd`");
    }

    #[test]
    fn equal_rows_are_found_and_equal_tables_have_equal_checksums() {
        let text = "1,2,3,4,5,6,7,8,normal\n1,2,3,4,5,6,7,8,normal\n1,2,3,4,5,6,7,8,attack\n";
        let table = table(text);
        assert_eq!(table.distinct(), [0, 2]);
        assert_eq!(table.choose(&[0, 1, 2]).checksum(), table.checksum());
        assert_ne!(table.choose(&[1, 0, 2]).choose(&[0, 2]).checksum(), table.checksum());
    }

    #[test]
    fn a_table_without_labels_is_read_and_says_so() {
        let schema = Schema::built_in("flow").unwrap();
        let text = "1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8,attack\n1,x,3,4,5,6,7,8\n";
        let table = Table::read_unlabelled(&schema, text.as_bytes()).unwrap();
        assert_eq!((table.len(), table.rejected().count), (2, 1));
        assert!(!table.has_labels() && !table.choose(&[0]).has_labels());
        assert!(!table.is_attack(1));
    }

    #[test]
    fn a_record_of_the_table_is_the_record_that_was_read() {
        let schema = Schema::built_in("kdd").unwrap();
        let line = format!("0,tcp,http,SF{}", ",1".repeat(37));
        let text = format!("{line},normal\n");
        let table = Table::read(&schema, text.as_bytes()).unwrap();
        let row = Rows::new(&schema, line.as_bytes(), Labels::Unread).unwrap().next();
        assert_eq!(table.record(0), row.unwrap().unwrap().unwrap().record);
    }
}
