//! `classify`, and what a worker does for every entry under `models.classify`.

mod topics;

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::Outcome;
use super::common::{grouped, now, open_dead_letters, open_store_to_write};
use super::models::open_model;
use crate::classify::{BadRecord, Classifier, Place};
use crate::cli::ClassifyArgs;
use crate::config::{Config, DeadLetterSettings};
use crate::formats::{Reject, RejectReason};
use crate::model::Timestamp;
use crate::models::record::{Labels, Record, Rows};
use crate::models::schema::Schema;
use crate::sinks::{DeadLetters, SinkError, printable};
use crate::sources::{Place as LinePlace, Rejected, for_each_record, open_plain};
use crate::stores::{BulkItem, Document, Namespace, Store};

pub(super) use topics::Classifying;

/// Documents of one request.
const BATCH: usize = 500;
/// So many records that cannot be used are told one by one.
const TOLD: u64 = 20;

/// Lets a model judge the records of files.
pub(super) fn classify(config: &Config, args: &ClassifyArgs) -> anyhow::Result<Outcome> {
    let opened = open_model(config, &args.model)?;
    let name = args.name.clone().unwrap_or_else(|| args.model.to_string());
    let store = if args.store { Some(open_store_to_write(config)?) } else { None };
    let places = DeadLetterSettings { path: args.dead_letters.clone(), ..Default::default() };
    let letters =
        open_dead_letters(config, &places, &|| bail!("letters of files go to a file"), None)?;
    let mut out = Out { store: store.clone(), waiting: Vec::new(), letters: letters.clone() };
    let mut run = Run {
        schema: opened.model.schema().clone(),
        classifier: Classifier::new(&name, opened.model, &opened.sha256),
        namespace: config.namespace()?,
        letters,
        rejected: 0,
    };
    for path in &args.files {
        run.file(path, &mut out).with_context(|| format!("reading `{}`", path.display()))?;
    }
    out.flush()?;
    run.letters.flush()?;
    if let Some(store) = store {
        store.flush().context("flushing the store")?;
    }
    run.tell();
    Ok(Outcome::Done)
}

/// A run over files.
struct Run {
    schema: Schema,
    classifier: Classifier,
    namespace: Namespace,
    letters: DeadLetters,
    rejected: u64,
}

impl Run {
    fn file(&mut self, path: &Path, out: &mut Out) -> anyhow::Result<()> {
        let source = path.display().to_string();
        let time = modified(path);
        let mut reader = BufReader::new(open_plain(path)?);
        let is_json = reader.fill_buf()?.trim_ascii_start().first() == Some(&b'{');
        if !is_json {
            return self.table(&source, time, reader, out);
        }
        if path == Path::new("-") {
            return self.lines(&source, time, reader, out);
        }
        let (mut number, mut outcome) = (0, Ok(()));
        for_each_record(path, |line| {
            outcome = self.line(&source, time, number, line, out);
            number += 1;
            if outcome.is_err() {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        })?;
        outcome
    }

    /// Reads JSON objects, one a line.
    fn lines(
        &mut self,
        source: &str,
        time: Timestamp,
        mut reader: impl BufRead,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let (mut number, mut line) = (0, Vec::new());
        while {
            line.clear();
            reader.read_until(b'\n', &mut line)? > 0
        } {
            if !line.trim_ascii().is_empty() {
                self.line(source, time, number, &line, out)?;
                number += 1;
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        source: &str,
        time: Timestamp,
        number: u64,
        line: &[u8],
        out: &mut Out,
    ) -> anyhow::Result<()> {
        match self.classifier.read(line) {
            Ok(record) => self.answer(&record, &Place { source, number, bytes: line }, time, out),
            Err(bad) => self.reject(source, number, &bad, line),
        }
    }

    /// Reads rows, with or without a header.
    fn table(
        &mut self,
        source: &str,
        time: Timestamp,
        reader: impl Read,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let schema = self.schema.clone();
        for (number, row) in (0..).zip(Rows::new(&schema, reader, Labels::Unread)?) {
            match row? {
                Ok(row) => {
                    let bytes = text_of(&row.record);
                    let place = Place { source, number, bytes: bytes.as_bytes() };
                    self.answer(&row.record, &place, time, out)?;
                }
                Err(bad) => self.reject(source, number, &bad.into(), b"")?,
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        record: &Record,
        place: &Place<'_>,
        time: Timestamp,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        out.write(self.classifier.document(record, place, time, &self.namespace))
    }

    fn reject(
        &mut self,
        source: &str,
        number: u64,
        bad: &BadRecord,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        self.rejected += 1;
        if self.rejected <= TOLD {
            let problem = format!("{source}, record {number}: {bad}");
            eprintln!("no answer: {}", printable(&problem));
        }
        let place = LinePlace { offset: number, line: number + 1 };
        Ok(self.letters.write(source, &Rejected::new(place, reject_of(bad), bytes))?)
    }

    /// Tells what is to be known at the end.
    fn tell(&self) {
        let (judged, attacks) = self.classifier.totals();
        eprintln!(
            "{} records judged, {:.1} % called an attack, {} without an answer",
            grouped(judged),
            100.0 * attacks as f64 / judged.max(1) as f64,
            grouped(self.rejected)
        );
        let drift = self.classifier.drift();
        let moved: Vec<_> = drift
            .much()
            .take(5)
            .map(|feature| format!("{} {:.2}", feature.feature, feature.index))
            .collect();
        if !moved.is_empty() {
            eprintln!(
                "unlike the normal rows that the model was trained on (stability index): {}",
                printable(&moved.join(", "))
            );
        }
    }
}

/// Where documents go: a store, or standard output.
struct Out {
    store: Option<Arc<dyn Store>>,
    waiting: Vec<Document>,
    letters: DeadLetters,
}

impl Out {
    fn write(&mut self, document: Document) -> anyhow::Result<()> {
        self.waiting.push(document);
        if self.waiting.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(store) = &self.store {
            return Ok(write_out(&**store, &mut self.waiting, &self.letters)?);
        }
        let mut stdout = BufWriter::new(io::stdout().lock());
        for document in self.waiting.drain(..) {
            writeln!(stdout, "{}", document.source)?;
        }
        Ok(stdout.flush()?)
    }
}

/// Writes documents into a store; those that it does not take for now stay in `waiting`, those that
/// it never takes go to the letters.
fn write_out(
    store: &dyn Store,
    waiting: &mut Vec<Document>,
    letters: &DeadLetters,
) -> Result<(), SinkError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let outcome = store.bulk(waiting.clone())?;
    let (mut left, mut why) = (Vec::new(), String::new());
    for (document, item) in std::mem::take(waiting).into_iter().zip(outcome.items) {
        match item {
            BulkItem::Created | BulkItem::Duplicate => {}
            BulkItem::Rejected { reason, retriable: true } => {
                why = reason;
                left.push(document);
            }
            BulkItem::Rejected { reason, retriable: false } => {
                letters.write_refused(&document, &reason)?;
            }
        }
    }
    *waiting = left;
    match waiting.len() {
        0 => Ok(()),
        count => Err(SinkError::Busy { count, reason: why }),
    }
}

/// When a file was changed last: reading it again gives the same documents.
fn modified(path: &Path) -> Timestamp {
    let time = path.metadata().and_then(|file| file.modified()).ok();
    time.map_or_else(now, |time| Timestamp::from_utc(time.into()))
}

/// The values of a record as text.
fn text_of(record: &Record) -> String {
    let numbers: Vec<_> = record.numbers.iter().map(f64::to_string).collect();
    format!("{};{}", numbers.join(","), record.words.join(","))
}

/// Why a record is none, in the classes of rejected records.
fn reject_of(bad: &BadRecord) -> Reject {
    let reason = match bad {
        BadRecord::NotJson => RejectReason::NotJson,
        BadRecord::NotOneRow | BadRecord::Row { column: None, .. } => RejectReason::WrongColumns,
        BadRecord::Row { reason, .. } if reason == "is missing" => RejectReason::MissingField,
        BadRecord::Row { column: Some(_), .. } => RejectReason::BadNumber,
    };
    Reject::new(reason, printable(&bad.to_string()).to_string())
}
