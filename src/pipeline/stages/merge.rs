//! Stage two: partials of all source partitions → judged, stored, kept.

use std::time::Duration;

use crate::features::Partial;
use crate::scorer::{MergedScorer, Output};
use crate::sinks::Sink;
use crate::sources::kafka::KafkaLog;

use super::super::keeping::{Keep, Keeping};
use super::super::{PipelineError, Summary};
use super::message::{Message, Word};
use crate::testkit::crash;

/// How long the log is asked for a message before the clock is looked at.
const WAIT: Duration = Duration::from_millis(100);
/// Messages between two looks at the clock.
const MESSAGES: usize = 256;

/// What to judge, and how its position is kept.
pub struct MergeRun<'a> {
    /// The log of partials.
    pub log: &'a KafkaLog,
    /// How its position is kept.
    pub keep: Keep<'a>,
}

/// Judges partials until it is stopped, and returns the numbers.
///
/// # Errors
/// When results or positions cannot be kept, or the log is broken. Nothing is lost: what was not
/// kept is read again.
pub fn merge_partials(
    run: &MergeRun<'_>,
    scorer: &mut MergedScorer,
    sink: &mut dyn Sink,
) -> Result<Summary, PipelineError> {
    let keeping = Keeping::new(run.keep, sink);
    let mut merging =
        Merging { run, scorer, keeping, outputs: Vec::new(), damaged: 0, was_at_rest: false };
    while !run.keep.stop.is_asked() {
        merging.read_some()?;
        merging.step()?;
    }
    merging.step()?;
    merging.keeping.flush(merging.scorer)?;
    let summary = Summary { counters: merging.scorer.counters(), ..Summary::default() };
    Ok(summary)
}

struct Merging<'a> {
    run: &'a MergeRun<'a>,
    scorer: &'a mut MergedScorer,
    keeping: Keeping<'a>,
    outputs: Vec<Output>,
    damaged: u64,
    was_at_rest: bool,
}

impl Merging<'_> {
    fn step(&mut self) -> Result<(), PipelineError> {
        let log = self.run.log;
        self.keeping.step(self.scorer, &mut || Ok(()), &|next| log.commit(next))
    }

    /// Reads what is there, up to the next look at the clock.
    fn read_some(&mut self) -> Result<(), PipelineError> {
        let mut wait = WAIT;
        for _ in 0..MESSAGES {
            let Some((offset, bytes)) = self.run.log.poll(wait)? else { return Ok(()) };
            wait = Duration::ZERO;
            self.keeping.has_news = true;
            self.scorer.begin(offset, &mut self.outputs);
            self.take(offset, &bytes);
            self.scorer.end(&mut self.outputs);
            self.keeping.write(&mut self.outputs)?;
            crash::point("merged");
            if let Some(offset) = self.scorer.rereads_from() {
                tracing::info!(offset, "windows that found no room are read again");
                self.run.log.seek(offset)?;
            }
            self.tell_rest();
        }
        Ok(())
    }

    fn take(&mut self, offset: i64, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(message) => {
                if let Err(problem) = self.hear(message) {
                    self.refuse(offset, &problem.to_string());
                }
            }
            Err(problem) => self.refuse(offset, &problem.to_string()),
        }
    }

    fn hear(&mut self, message: Message<'_>) -> Result<(), crate::features::PartialError> {
        let partitions = self.run.keep.partitions;
        let source = partitions.named(&message.of).id;
        let (scorer, outputs) = (&mut *self.scorer, &mut self.outputs);
        match message.word {
            Word::Exist(names) => {
                let ids: Vec<u32> = names.iter().map(|name| partitions.named(name).id).collect();
                scorer.exist(&ids, outputs);
            }
            Word::Owned { term } => scorer.own(source, term),
            Word::Partial(bytes) => {
                scorer.put(source, Partial::decode(bytes)?);
            }
            Word::Passed(watermark) => scorer.pass(source, watermark, outputs),
            Word::Resting { term, closed_through } => {
                scorer.rest(source, term, closed_through, outputs);
            }
        }
        Ok(())
    }

    /// Says what cannot be read: with workers of different versions, everything.
    fn refuse(&mut self, offset: i64, problem: &str) {
        self.damaged += 1;
        if self.damaged.is_power_of_two() {
            tracing::error!(
                offset,
                problem,
                messages = self.damaged,
                "a message of the partials' topic cannot be read"
            );
        }
    }

    fn tell_rest(&mut self) {
        let is_at_rest = self.scorer.is_at_rest();
        if is_at_rest && !self.was_at_rest {
            tracing::info!("everything is read; waiting for more");
        }
        self.was_at_rest = is_at_rest;
    }
}
