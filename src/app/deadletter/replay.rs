//! `deadletter replay`: messages to their topics, documents into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::ops::ControlFlow;

use anyhow::{Context, bail};
use serde_json::Value;

use super::Letters;
use crate::app::Outcome;
use crate::app::common::{grouped, open_store_to_write};
use crate::cli::{ReplayLettersArgs, ReplayTarget};
use crate::config::Config;
use crate::model::{Letter, LetterKind, document_id};
use crate::sinks::{Dataset, Document, KafkaProducer, Sink, StoreSink, printable};
use crate::sources::LetterFilter;
use crate::sources::kafka::KafkaInput;
use crate::stores::{Direction, Family, IndexName};

/// Replays letters and says how many of what.
pub(in crate::app) fn replay(config: &Config, args: &ReplayLettersArgs) -> anyhow::Result<Outcome> {
    let filter =
        LetterFilter { reason: args.reason.clone(), ids: args.ids.clone(), ..Default::default() };
    let letters = Letters::new(config, open_store_to_write);
    let mut replay = Replay::new(config, args, &letters);
    let mut failed = None;
    let damaged =
        letters.read(&filter, Direction::Ascending, &mut |letter| match replay.take(&letter) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
    failed.map_or(Ok(()), Err)?;
    replay.finish(damaged)
}

struct Replay<'r> {
    config: &'r Config,
    args: &'r ReplayLettersArgs,
    letters: &'r Letters<'r>,
    producers: BTreeMap<String, (KafkaProducer, u64)>,
    sink: Option<StoreSink>,
    documents: u64,
    printed: u64,
    /// Messages by a hash of their place, since several letters may come of one, and letters by one of
    /// their id, since a letter may be there twice.
    sent: BTreeSet<u128>,
    cut: BTreeSet<u128>,
    used: BTreeSet<u128>,
    homeless: BTreeSet<u128>,
    /// Letters of documents that cannot be written.
    strange: u64,
}

impl<'r> Replay<'r> {
    fn new(
        config: &'r Config,
        args: &'r ReplayLettersArgs,
        letters: &'r Letters<'r>,
    ) -> Replay<'r> {
        Self {
            config,
            args,
            letters,
            producers: BTreeMap::new(),
            sink: None,
            documents: 0,
            printed: 0,
            sent: BTreeSet::new(),
            cut: BTreeSet::new(),
            used: BTreeSet::new(),
            homeless: BTreeSet::new(),
            strange: 0,
        }
    }

    fn take(&mut self, letter: &Letter) -> anyhow::Result<()> {
        let place = place_of(letter);
        if self.sent.contains(&place) || self.sent.contains(&hash_of(&["id", &letter.id])) {
            return Ok(());
        }
        if letter.is_cut() || (letter.kind == LetterKind::Record && letter.length == 0) {
            self.cut.insert(place);
            return Ok(());
        }
        if letter.taken.is_some() && !self.args.partly_used {
            self.used.insert(place);
            return Ok(());
        }
        if self.args.to == ReplayTarget::Stdout {
            let mut line = letter.bytes();
            line.push(b'\n');
            io::stdout().lock().write_all(&line)?;
            self.printed += 1;
            self.note_sent(letter, place);
            return Ok(());
        }
        match letter.kind {
            LetterKind::Document => self.write(letter, place),
            LetterKind::Record => self.send(letter, place),
        }
    }

    fn send(&mut self, letter: &Letter, place: u128) -> anyhow::Result<()> {
        let Some(topic) = self.topic_of(letter) else {
            self.homeless.insert(place);
            return Ok(());
        };
        let kafka = self.config.input.kafka.clone().unwrap_or_default();
        if !self.producers.contains_key(&topic) {
            let producer = KafkaProducer::open(&kafka, &topic)?;
            self.producers.insert(topic.clone(), (producer, 0));
        }
        let Some((producer, sent)) = self.producers.get_mut(&topic) else { return Ok(()) };
        // Records without a receive time are judged by that of their message.
        let time = letter.partition().map(|_| letter.time);
        producer.send(&letter.bytes(), None, time).context("sending")?;
        *sent += 1;
        self.note_sent(letter, place);
        Ok(())
    }

    /// Letters in a topic or file may say anything: without `--topic`, messages go to topics of the
    /// input only.
    fn topic_of(&self, letter: &Letter) -> Option<String> {
        if let Some(topic) = &self.args.topic {
            return Some(topic.clone());
        }
        let (topic, _) = letter.partition()?;
        let kafka = self.config.input.kafka.as_ref()?;
        let is_read = kafka.topics.iter().any(|entry| KafkaInput::may_mean(entry, topic));
        let is_ours = self.config.dead_letters.topic.as_deref() == Some(topic)
            || kafka.partials_topic.as_deref() == Some(topic);
        (is_read && !is_ours && KafkaInput::is_topic(topic)).then(|| topic.to_owned())
    }

    fn write(&mut self, letter: &Letter, place: u128) -> anyhow::Result<()> {
        let namespace = self.config.namespace()?;
        let index =
            IndexName::parse(&letter.source).filter(|index| *index.namespace() == namespace);
        let dataset = index.and_then(|index| dataset_of(index.family()));
        let body = serde_json::from_slice::<Value>(&letter.bytes()).ok();
        let (Some(dataset), Some(body)) = (dataset, body) else {
            self.strange += 1;
            return Ok(());
        };
        let document = Document { dataset, body };
        if Some(document.id()) != letter.document.as_deref() || document.id().is_empty() {
            self.strange += 1;
            return Ok(());
        }
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => none.insert(StoreSink::new(self.letters.store()?, namespace)),
        };
        sink.write(&document).context("writing a document again")?;
        self.documents += 1;
        self.note_sent(letter, place);
        Ok(())
    }

    fn note_sent(&mut self, letter: &Letter, place: u128) {
        self.sent.extend([place, hash_of(&["id", &letter.id])]);
    }

    fn finish(mut self, damaged: u64) -> anyhow::Result<Outcome> {
        let mut verdict = Ok(());
        if let Some(sink) = &mut self.sink {
            sink.flush().context("writing documents again")?;
            verdict = sink.verdict();
            self.letters.store()?.flush().context("flushing the store")?;
        }
        for (producer, _) in self.producers.values() {
            producer.flush()?;
        }
        io::stdout().flush()?;
        eprint!("{}", self.summary(damaged));
        if let Err(problem) = verdict {
            bail!(problem);
        }
        Ok(Outcome::Done)
    }

    fn summary(&self, damaged: u64) -> String {
        let mut text = String::new();
        for (topic, (_, sent)) in &self.producers {
            let _ = writeln!(text, "Sent {} messages to `{}`.", grouped(*sent), printable(topic));
        }
        if self.documents > 0 {
            let _ = writeln!(text, "Wrote {} documents again.", grouped(self.documents));
        }
        if self.printed > 0 {
            let _ = writeln!(text, "Printed {} messages and documents.", grouped(self.printed));
        }
        if text.is_empty() {
            text.push_str("Nothing was replayed.\n");
        }
        let left = |places: &BTreeSet<u128>| places.difference(&self.sent).count() as u64;
        let notes = [
            (left(&self.cut), "of which not everything was kept, or another letter keeps it"),
            (
                left(&self.used),
                "of which other records were used: `--partly-used` sends them, and those count twice",
            ),
            (
                left(&self.homeless),
                "that came from no topic of `input.kafka.topics`: `--topic` says where to",
            ),
            (self.strange, "that are no documents of ours"),
            (damaged, "that are no letters"),
        ];
        for (count, note) in notes.iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "  left out  {} {note}", grouped(*count));
        }
        if !self.sent.is_empty() {
            text.push_str("The letters stay: what is replayed again is sent again.\n");
        }
        text
    }
}

/// Tells messages apart: one has one place and maybe several letters. Of files and documents each
/// letter counts.
fn place_of(letter: &Letter) -> u128 {
    match (letter.index, letter.offset) {
        (Some(_), Some(offset)) => {
            // A topic that was made anew has the same places again.
            let time = letter.time.millis().to_string();
            hash_of(&["message", &letter.source, &offset.to_string(), &time])
        }
        _ => hash_of(&["id", &letter.id]),
    }
}

fn hash_of(parts: &[&str]) -> u128 {
    u128::from_str_radix(&document_id(parts), 16).unwrap_or_default()
}

const fn dataset_of(family: Family) -> Option<Dataset> {
    match family {
        Family::Windows => Some(Dataset::Window),
        Family::Anomalies => Some(Dataset::Anomaly),
        Family::Alerts => Some(Dataset::Alert),
        Family::Flows
        | Family::Health
        | Family::Reports
        | Family::State
        | Family::Exceptions
        | Family::DeadLetters
        | Family::Predictions
        | Family::Models => None,
    }
}
