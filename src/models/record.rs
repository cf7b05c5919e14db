//! Rows → records: the checked values of one row, in the order of the schema's columns.
//!
//! [`Rows`] reads CSV with or without a header; [`record_of`] takes named values, as a JSON object
//! has them. A bad row is data: it comes out as a [`RowError`] that names row, column and reason.

use std::io::Read;

use thiserror::Error;

use super::schema::{Absent, Invalid, Kind, Layout, Schema, SchemaError, Source};

/// The checked values of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// One for each column. A number; NaN where it is missing; for a category the place of its
    /// word in `words`.
    pub numbers: Vec<f64>,
    /// The words of the categories.
    pub words: Vec<String>,
}

/// A record and the label that came with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// From 0, the header not counted.
    pub number: u64,
    /// The features.
    pub record: Record,
    /// The label as written, where the table has one and it was asked for.
    pub label: Option<String>,
}

/// Why a row cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("row {row}{}: {reason}", column.as_ref().map(|name| format!(", column `{name}`")).unwrap_or_default())]
pub struct RowError {
    /// From 0, the header not counted.
    pub row: u64,
    /// The column at fault, when it is one.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// Why a table cannot be read any further.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The source failed.
    #[error("reading row {row}")]
    Source {
        /// The row that was being read.
        row: u64,
        /// What the source said.
        source: csv::Error,
    },
    /// The header does not fit the schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// A value with a name, as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number, or a truth value as 0 or 1.
    Number(f64),
    /// A word, or a number in quotes.
    Text(&'a str),
    /// Null.
    Null,
}

/// The rows of a CSV table.
pub struct Rows<'s, R> {
    schema: &'s Schema,
    layout: Layout,
    source: csv::Reader<R>,
    cells: csv::ByteRecord,
    /// Whether the first row was no header, and waits in `cells`.
    is_waiting: bool,
    with_labels: bool,
    number: u64,
}

/// Whether labels are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// For training and evaluation.
    Read,
    /// For prediction: label and ignored columns are never looked at.
    Unread,
}

/// Returns the names of a first row that is a header, without a byte order mark; `None` when it is data.
pub fn header(schema: &Schema, cells: &csv::ByteRecord) -> Option<Vec<String>> {
    let mut names: Vec<String> =
        cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
    if let Some(first) = names.first_mut() {
        *first = first.trim_start_matches('\u{feff}').to_owned();
    }
    let is_header =
        Layout::is_header(schema, &names.iter().map(String::as_str).collect::<Vec<_>>());
    is_header.then_some(names)
}

impl<'s, R: Read> Rows<'s, R> {
    /// Starts reading; the first row decides whether there is a header.
    pub fn new(schema: &'s Schema, source: R, labels: Labels) -> Result<Self, ReadError> {
        let mut builder = csv::ReaderBuilder::new();
        let mut source = builder.has_headers(false).flexible(true).from_reader(source);
        let mut cells = csv::ByteRecord::new();
        let failed = |source| ReadError::Source { row: 0, source };
        let mut is_waiting = source.read_byte_record(&mut cells).map_err(failed)?;
        let mut layout = Layout::by_position(schema);
        if is_waiting && let Some(names) = header(schema, &cells) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            layout = Layout::by_header(schema, &names)?;
            is_waiting = false;
        }
        let with_labels = labels == Labels::Read;
        Ok(Self { schema, layout, source, cells, is_waiting, with_labels, number: 0 })
    }

    /// Reads the next row into `row`, whose memory is used again. `Ok(None)` is the end; the inner
    /// error a row that cannot be used, after which reading goes on.
    pub fn read(&mut self, row: &mut Row) -> Result<Option<Result<(), RowError>>, ReadError> {
        if !std::mem::take(&mut self.is_waiting) {
            let failed = |source| ReadError::Source { row: self.number, source };
            if !self.source.read_byte_record(&mut self.cells).map_err(failed)? {
                return Ok(None);
            }
        }
        row.number = self.number;
        self.number += 1;
        let taken = self.fill(row).map_err(|(column, reason)| {
            let column = column.and_then(|n| self.schema.columns.get(n)).map(|c| c.name.clone());
            RowError { row: row.number, column, reason }
        });
        Ok(Some(taken))
    }

    fn fill(&self, row: &mut Row) -> Result<(), (Option<usize>, String)> {
        let (cells, expected) = (self.cells.len(), &self.layout.cells);
        if !expected.contains(&cells) {
            let (least, most) = (expected.start(), expected.end());
            return Err((None, format!("has {cells} cells instead of {least} to {most}")));
        }
        row.record.numbers.clear();
        let mut words = 0;
        for (n, column) in self.schema.columns.iter().enumerate() {
            let cell = match &self.layout.sources.get(n) {
                Some(Source::Cell(place)) => self.cells.get(*place).unwrap_or_default(),
                _ => b"",
            };
            let is_absent = self.layout.sources.get(n) == Some(&Source::Absent);
            let value = match &column.kind {
                Kind::Category => {
                    put_word(&mut row.record.words, words, cell).map_err(|why| (Some(n), why))?;
                    words += 1;
                    (words - 1) as f64
                }
                Kind::Number { .. } if is_absent => absent(&column.absent),
                Kind::Number { least, invalid, .. } => {
                    checked(parse(cell), *least, *invalid, || quoted(cell))
                        .map_err(|why| (Some(n), why))?
                }
            };
            row.record.numbers.push(value);
        }
        row.record.words.truncate(words);
        fill_stand_ins(self.schema, &mut row.record, |n| {
            self.layout.sources.get(n) == Some(&Source::Absent)
        });
        row.label = self.with_labels.then(|| self.label()).flatten();
        Ok(())
    }

    fn label(&self) -> Option<String> {
        let cell = self.cells.get(self.layout.label?)?;
        Some(String::from_utf8_lossy(cell).trim().to_owned())
    }
}

impl<R: Read> Iterator for Rows<'_, R> {
    type Item = Result<Result<Row, RowError>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Row::default();
        let read = self.read(&mut row).transpose()?;
        Some(read.map(|taken| taken.map(|()| row)))
    }
}

/// Returns the record that named values make; every problem names its key. Label and ignored names
/// may be there and are not looked at.
pub fn record_of<'a>(
    schema: &Schema,
    values: impl IntoIterator<Item = (&'a str, Value<'a>)>,
) -> Result<Record, RowError> {
    let fault =
        |column: &str, reason: String| RowError { row: 0, column: Some(column.to_owned()), reason };
    let mut cells: Vec<Option<Value<'a>>> = vec![None; schema.columns.len()];
    for (name, value) in values {
        match schema.column(name) {
            Some(n) if cells[n].is_some() => {
                return Err(fault(name, "is there twice".to_owned()));
            }
            Some(n) => cells[n] = Some(value),
            None if is_passed_over(schema, name) => {}
            None => return Err(fault(name, format!("is unknown to schema `{}`", schema.name))),
        }
    }
    let mut record = Record::default();
    for (column, cell) in schema.columns.iter().zip(&cells) {
        let value = match (&column.kind, cell) {
            (_, None) if column.absent == Absent::Rejected => {
                return Err(fault(&column.name, "is missing".to_owned()));
            }
            (_, None) => absent(&column.absent),
            (Kind::Category, Some(Value::Text(text))) if !text.trim().is_empty() => {
                record.words.push(text.trim().to_owned());
                (record.words.len() - 1) as f64
            }
            (Kind::Category, Some(_)) => {
                return Err(fault(&column.name, "must be a word".to_owned()));
            }
            (Kind::Number { least, invalid, .. }, Some(value)) => {
                let (number, shown) = match value {
                    Value::Number(number) => (Some(*number), number.to_string()),
                    Value::Text(text) => (parse(text.as_bytes()), format!("`{text}`")),
                    Value::Null => (None, "null".to_owned()),
                };
                checked(number, *least, *invalid, || shown)
                    .map_err(|reason| fault(&column.name, reason))?
            }
        };
        record.numbers.push(value);
    }
    fill_stand_ins(schema, &mut record, |n| cells.get(n).is_some_and(Option::is_none));
    Ok(record)
}

fn is_passed_over(schema: &Schema, name: &str) -> bool {
    let name = super::schema::plain(name);
    schema.labels.iter().chain(&schema.ignored).any(|known| super::schema::plain(known) == name)
}

fn absent(rule: &Absent) -> f64 {
    match rule {
        Absent::Value(value) => *value,
        Absent::Rejected | Absent::Median | Absent::SameAs(_) => f64::NAN,
    }
}

/// Gives absent columns the value of the column that stands in for them.
fn fill_stand_ins(schema: &Schema, record: &mut Record, is_absent: impl Fn(usize) -> bool) {
    for (n, column) in schema.columns.iter().enumerate() {
        if let Absent::SameAs(other) = &column.absent
            && is_absent(n)
            && let Some(other) = schema.columns.iter().position(|column| column.name == *other)
        {
            record.numbers[n] = record.numbers.get(other).copied().unwrap_or(f64::NAN);
        }
    }
}

fn parse(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.trim().parse().ok()
}

/// Returns the number, NaN when it is missing, or what is wrong with it.
fn checked(
    number: Option<f64>,
    least: Option<f64>,
    invalid: Invalid,
    shown: impl FnOnce() -> String,
) -> Result<f64, String> {
    let is_valid = |x: &f64| x.is_finite() && least.is_none_or(|least| *x >= least);
    match (number.filter(is_valid), invalid) {
        (Some(number), _) => Ok(number),
        (None, Invalid::Missing) => Ok(f64::NAN),
        (None, Invalid::Rejected) => Err(match (number, least) {
            (Some(x), Some(least)) if x < least => {
                format!("must be at least {least}, got {}", shown())
            }
            _ => format!("must be a number, got {}", shown()),
        }),
    }
}

fn quoted(cell: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(cell).chars().take(40).collect();
    format!("`{text}`")
}

fn put_word(words: &mut Vec<String>, place: usize, cell: &[u8]) -> Result<(), String> {
    let word = String::from_utf8_lossy(cell.trim_ascii());
    if word.is_empty() {
        return Err("must be a word, got nothing".to_owned());
    }
    match words.get_mut(place) {
        Some(kept) => {
            kept.clear();
            kept.push_str(&word);
        }
        None => words.push(word.into_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0.0,0.0,0.0,0.0,\
        1.0,0.0,0.0,9,9,1.0,0.0,0.11,0.0,0.0,0.0,0.0,0.0";

    fn read(text: &str, labels: Labels) -> Vec<Result<Row, RowError>> {
        let schema = Schema::built_in("kdd").unwrap();
        let rows = Rows::new(&schema, text.as_bytes(), labels).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }

    #[test]
    fn rows_of_41_42_and_43_cells_are_alike_and_shorter_or_longer_ones_are_rejected() {
        let text = format!("{LINE}\n{LINE},neptune\n{LINE},neptune,21\nabc\n{LINE},a,b,c\n");
        let rows = read(&text, Labels::Unread);
        let first = &rows[0].as_ref().unwrap().record;
        assert_eq!(first.words, ["tcp", "http", "SF"]);
        assert_eq!((first.numbers[4], first.numbers[40]), (181.0, 0.0));
        assert!(rows[..3].iter().all(|row| row.as_ref().unwrap().record == *first));
        assert!(rows[..3].iter().all(|row| row.as_ref().unwrap().label.is_none()));
        assert_eq!(
            rows[3].as_ref().unwrap_err().to_string(),
            "row 3: has 1 cells instead of 41 to 43"
        );
        assert!(rows[4].is_err());
        let labelled = read(&text, Labels::Read);
        assert_eq!(labelled[2].as_ref().unwrap().label.as_deref(), Some("neptune"));
    }

    #[test]
    fn a_bad_cell_names_its_row_and_column() {
        let text = format!(
            "{LINE}\n{}\n{}\n",
            LINE.replacen("181", "-1", 1),
            LINE.replacen("5450", "NaN", 1)
        );
        let rows = read(&text, Labels::Unread);
        assert_eq!(
            rows[1].as_ref().unwrap_err().to_string(),
            "row 1, column `src_bytes`: must be at least 0, got `-1`"
        );
        assert!(
            rows[2].as_ref().unwrap_err().to_string().contains("`dst_bytes`: must be a number")
        );
    }

    #[test]
    fn numbers_beyond_32_bits_are_read() {
        let rows = read(&LINE.replacen("181", "18446744073709551615", 1), Labels::Unread);
        assert_eq!(rows[0].as_ref().unwrap().record.numbers[4], 18446744073709551615.0);
    }

    #[test]
    fn named_values_make_the_same_record_and_errors_name_the_key() {
        let schema = Schema::built_in("kdd").unwrap();
        let cells: Vec<&str> = LINE.split(',').collect();
        let named = |n: usize| {
            let name = schema.columns[n].name.as_str();
            let number = cells[n].trim().parse().map(Value::Number);
            (name, number.unwrap_or(Value::Text(cells[n])))
        };
        let record = record_of(&schema, (0..41).map(named)).unwrap();
        assert_eq!(record, read(LINE, Labels::Unread)[0].as_ref().unwrap().record);
        let short = record_of(&schema, (0..41).filter(|n| *n != 4).map(named)).unwrap_err();
        assert_eq!(short.to_string(), "row 0, column `src_bytes`: is missing");
        let long = (0..41).map(named).chain([("colour", Value::Null)]);
        assert!(record_of(&schema, long).unwrap_err().to_string().contains("`colour`"));
        let wrong = (0..41).map(named).filter(|(name, _)| *name != "hot");
        let wrong = record_of(&schema, wrong.chain([("hot", Value::Text("x"))])).unwrap_err();
        assert_eq!(wrong.to_string(), "row 0, column `hot`: must be a number, got `x`");
    }

    #[test]
    fn a_column_that_is_absent_takes_the_value_of_its_stand_in() {
        let schema = Schema::built_in("kdd").unwrap();
        let cells: Vec<&str> = LINE.replacen("8,8,0.0", "8,8,0.5", 1).leak().split(',').collect();
        let named = (0..41).filter(|n| ![15, 25].contains(n)).map(|n| {
            let number = cells[n].trim().parse().map(Value::Number);
            (schema.columns[n].name.as_str(), number.unwrap_or(Value::Text(cells[n])))
        });
        let record = record_of(&schema, named).unwrap();
        assert_eq!((record.numbers[24], record.numbers[25]), (0.5, 0.5));
    }
}
