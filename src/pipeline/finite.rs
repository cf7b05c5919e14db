//! Finite files → results, in event-time order whatever the order of the files.
//!
//! Small inputs are sorted in memory. A larger one is scored as it comes, in the hope that it is in
//! order within the lateness, as exporters write it; its results wait in a spool. Should a flow turn
//! up too late after all, the results are thrown away and the input is read again through an
//! external sort. So no row of a file is ever late, the usual file is read once, and memory stays
//! bounded.

use std::error::Error;
use std::thread;

use crate::features::{Placement, event_time};
use crate::model::{Flow, Timestamp};
use crate::scorer::{Output, Scorer, Settings};
use crate::sinks::Spool;
use crate::sources::{Batch, Place, Reject, RejectReason, Rejected, SourceError};

use super::order::{Sortable, Sorter};
use super::reader::Read;
use super::{DeadLetters, Input, PipelineError, Progress, Summary};

/// Up to so many flows are sorted in memory: about 60 MB.
const IN_MEMORY_FLOWS: usize = 1 << 18;
/// A last record without receive time that lies further than this after everything else is a wrong
/// clock, not traffic.
const TAIL_LEAP_SECONDS: i64 = 86_400;

/// What to score and how.
pub struct Finite<'a> {
    /// The files.
    pub input: &'a Input,
    /// Settings of the scorer.
    pub settings: &'a Settings,
    /// Makes a scorer that has seen nothing; called again when the input must be sorted.
    pub new_scorer: &'a dyn Fn() -> Scorer,
    /// Flows that are sorted in memory; `None` takes the default.
    pub in_memory_flows: Option<usize>,
    /// Told while it goes on.
    pub progress: &'a dyn Progress,
}

/// What came of it.
pub struct Results {
    /// Numbers.
    pub summary: Summary,
    /// Documents, ready to be released.
    pub spool: Spool,
}

/// Scores finite files. Bad records and unusable files are counted and never stop the rest.
///
/// # Errors
/// When temporary files or the dead letters cannot be written.
pub fn score_files(run: &Finite<'_>, dead: &mut DeadLetters) -> Result<Results, PipelineError> {
    let mark = dead.mark().map_err(PipelineError::DeadLetters)?;
    if let Some(results) = as_it_comes(run, dead)? {
        return Ok(results);
    }
    dead.rewind(mark).map_err(PipelineError::DeadLetters)?;
    run.progress.sorting();
    sorted(run, dead)
}

/// One attempt at the input.
struct Attempt<'a> {
    run: &'a Finite<'a>,
    dead: &'a mut DeadLetters,
    scorer: Scorer,
    spool: Spool,
    summary: Summary,
    outputs: Vec<Output>,
    /// Names of the sources, by number.
    sources: Vec<std::sync::Arc<str>>,
    taken: u64,
}

impl<'a> Attempt<'a> {
    fn new(run: &'a Finite<'a>, dead: &'a mut DeadLetters) -> Self {
        Self {
            run,
            dead,
            scorer: (run.new_scorer)(),
            spool: Spool::default(),
            summary: Summary::default(),
            outputs: Vec::new(),
            sources: Vec::new(),
            taken: 0,
        }
    }

    /// Notes what was rejected and returns the usable flows, numbered.
    fn take(&mut self, batch: Batch) -> Result<Vec<Sortable>, PipelineError> {
        if self.sources.last() != Some(&batch.source) {
            self.sources.push(batch.source.clone());
        }
        let source = self.sources.len() as u32 - 1;
        self.summary.records += batch.records;
        self.summary.capture.add(batch.capture);
        for rejected in &batch.rejected {
            self.reject(source, rejected)?;
        }
        let limits = self.run.settings.clock_limits();
        let mut usable = Vec::with_capacity(batch.flows.len());
        for located in batch.flows {
            let (flow, place) = (located.flow, located.place);
            let time = event_time(&flow, limits);
            usable.push(Sortable::new(time, self.taken, source, place, flow));
            self.taken += 1;
        }
        Ok(usable)
    }

    fn reject_flow(
        &mut self,
        source: u32,
        place: Place,
        detail: String,
    ) -> Result<(), PipelineError> {
        let reject = Reject::new(RejectReason::BadTime, detail);
        self.reject(source, &Rejected::new(place, reject, &[]))
    }

    fn reject(&mut self, source: u32, rejected: &Rejected) -> Result<(), PipelineError> {
        let name = &self.sources[source as usize];
        let Reject { reason, detail } = &rejected.reject;
        self.summary.note_rejected(name, rejected.place.line, *reason, detail);
        self.dead.write(name, rejected).map_err(PipelineError::DeadLetters)
    }

    fn note_problem(&mut self, problem: &SourceError) {
        self.summary.problems.push(in_words(problem));
    }

    fn add(&mut self, flow: Flow) -> Result<Placement, PipelineError> {
        let placement = self.scorer.add(0, flow, &mut self.outputs);
        self.spool_outputs()?;
        Ok(placement)
    }

    fn spool_outputs(&mut self) -> Result<(), PipelineError> {
        for output in self.outputs.drain(..) {
            self.spool.push(&output)?;
        }
        Ok(())
    }

    /// Adds flows that come in time order, all of them, but for a last one far behind the others.
    fn add_sorted(&mut self, sorter: Sorter) -> Result<(), PipelineError> {
        let mut last: Option<Sortable> = None;
        let mut before_last: Option<Timestamp> = None;
        let mut flows = 0;
        sorter.finish(|flow| -> Result<(), PipelineError> {
            if let Some(previous) = last.replace(flow) {
                before_last = Some(previous.time());
                self.add(previous.flow)?;
            }
            flows += 1;
            if flows % 4_096 == 0 {
                self.run.progress.scored(4_096);
            }
            Ok(())
        })?;
        self.run.progress.scored(flows % 4_096);
        let Some(last) = last else { return Ok(()) };
        let leap =
            before_last.is_some_and(|time| last.time() > time.plus_seconds(TAIL_LEAP_SECONDS));
        if leap && last.flow.received.is_none() {
            let detail = format!("{} lies more than a day after every other record", last.time());
            return self.reject_flow(last.source, last.place(), detail);
        }
        self.add(last.flow).map(drop)
    }

    fn finish(mut self) -> Result<Results, PipelineError> {
        self.scorer.finish(&mut self.outputs);
        self.spool_outputs()?;
        self.dead.flush().map_err(PipelineError::DeadLetters)?;
        self.summary.counters = self.scorer.counters();
        self.summary.extent = self.scorer.extent();
        Ok(Results { summary: self.summary, spool: self.spool })
    }
}

/// Returns `None` when a flow came too late for the order of the input to be good enough.
fn as_it_comes(run: &Finite<'_>, dead: &mut DeadLetters) -> Result<Option<Results>, PipelineError> {
    let limit = run.in_memory_flows.unwrap_or(IN_MEMORY_FLOWS);
    let mut attempt = Attempt::new(run, dead);
    let mut waiting: Option<Vec<Sortable>> = Some(Vec::new());
    let in_order = thread::scope(|scope| -> Result<bool, PipelineError> {
        for read in run.input.read_in(scope) {
            let mut flows = match read {
                Read::Batch(batch) => attempt.take(batch)?,
                Read::Problem(problem) => {
                    attempt.note_problem(&problem);
                    continue;
                }
            };
            if let Some(waiting_flows) = &mut waiting {
                waiting_flows.append(&mut flows);
                if waiting_flows.len() <= limit {
                    continue;
                }
                flows = waiting.take().unwrap_or_default();
            }
            run.progress.scored(flows.len() as u64);
            for flow in flows {
                if matches!(attempt.add(flow.flow)?, Placement::Late(_)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    })?;
    if !in_order {
        return Ok(None);
    }
    if let Some(flows) = waiting {
        let mut sorter = Sorter::new(limit + flows.len());
        flows.into_iter().try_for_each(|flow| sorter.push(flow))?;
        attempt.add_sorted(sorter)?;
    }
    attempt.finish().map(Some)
}

fn sorted(run: &Finite<'_>, dead: &mut DeadLetters) -> Result<Results, PipelineError> {
    let mut attempt = Attempt::new(run, dead);
    attempt.summary.sorted = true;
    let mut sorter = Sorter::new(run.in_memory_flows.unwrap_or(IN_MEMORY_FLOWS));
    thread::scope(|scope| -> Result<(), PipelineError> {
        for read in run.input.read_in(scope) {
            match read {
                Read::Batch(batch) => {
                    attempt.take(batch)?.into_iter().try_for_each(|flow| sorter.push(flow))?;
                }
                Read::Problem(problem) => attempt.note_problem(&problem),
            }
        }
        Ok(())
    })?;
    attempt.add_sorted(sorter)?;
    attempt.finish()
}

/// An error with its causes on one line.
pub(super) fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
