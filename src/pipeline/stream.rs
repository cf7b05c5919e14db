//! A stream as it comes: standard input, or files that grow.
//!
//! Nothing can be read again, so lateness counts, and results leave as soon as their window is
//! closed.

use std::thread;

use crate::features::{Admitted, LeapGuard};
use crate::model::Flow;
use crate::scorer::{Output, Scorer};
use crate::sinks::{Document, Sink};
use crate::sources::{Batch, Located, Place, Reject, RejectReason, Rejected};

use super::finite::in_words;
use super::reader::Read;
use super::{DeadLetters, Input, PipelineError, Progress, Summary};

/// What to score and where the results go.
pub struct Stream<'a> {
    /// The sources.
    pub input: &'a Input,
    /// A jump ahead of more than so many seconds must be confirmed by the next record.
    pub leap_seconds: u32,
    /// Told while it goes on.
    pub progress: &'a dyn Progress,
}

struct Run<'a> {
    stream: &'a Stream<'a>,
    scorer: &'a mut Scorer,
    sink: &'a mut dyn Sink,
    dead: &'a mut DeadLetters,
    summary: Summary,
    guard: LeapGuard<Located>,
    outputs: Vec<Output>,
}

/// Scores a stream until its sources end or are stopped, and returns the numbers.
///
/// At the end of the input every window is closed. When a growing input is stopped, open windows are
/// not: they would be written incomplete, and a restart reads their flows again.
///
/// # Errors
/// When results or dead letters cannot be written.
pub fn score_stream(
    stream: &Stream<'_>,
    scorer: &mut Scorer,
    sink: &mut dyn Sink,
    dead: &mut DeadLetters,
) -> Result<Summary, PipelineError> {
    let mut run = Run {
        guard: LeapGuard::new(stream.leap_seconds),
        stream,
        scorer,
        sink,
        dead,
        summary: Summary::default(),
        outputs: Vec::new(),
    };
    thread::scope(|scope| -> Result<(), PipelineError> {
        for read in stream.input.read_in(scope) {
            match read {
                Read::Batch(batch) => run.take(batch)?,
                Read::Problem(problem) => run.summary.problems.push(in_words(&problem)),
            }
        }
        Ok(())
    })?;
    if let Some(last) = run.guard.finish() {
        run.add(last.flow)?;
    }
    if !stream.input.was_stopped() {
        run.scorer.finish(&mut run.outputs);
        run.write_outputs()?;
    }
    run.sink.flush()?;
    run.dead.flush().map_err(PipelineError::DeadLetters)?;
    run.summary.counters = run.scorer.counters();
    run.summary.extent = run.scorer.extent();
    Ok(run.summary)
}

impl Run<'_> {
    fn take(&mut self, batch: Batch) -> Result<(), PipelineError> {
        self.summary.records += batch.records;
        self.summary.capture.add(batch.capture);
        for rejected in &batch.rejected {
            self.reject(&batch.source, rejected)?;
        }
        self.stream.progress.scored(batch.flows.len() as u64);
        for located in batch.flows {
            let time = located.flow.end;
            if located.flow.received.is_some() {
                self.add(located.flow)?;
                continue;
            }
            match self.guard.admit(time, located) {
                Admitted::Held => {}
                Admitted::One(flow) => self.add(flow.flow)?,
                Admitted::Confirmed(first, second) => {
                    self.add(first.flow)?;
                    self.add(second.flow)?;
                }
                Admitted::Refuted(wrong, right) => {
                    let detail = format!("{} is a leap that nothing confirms", wrong.flow.end);
                    self.reject_flow(&batch.source, wrong.place, detail)?;
                    self.add(right.flow)?;
                }
            }
        }
        // What is ready leaves with every batch: somebody may be watching.
        self.sink.flush()?;
        self.dead.flush_due().map_err(PipelineError::DeadLetters)?;
        if let Some(time) = self.scorer.judged_through() {
            self.stream.progress.judged_through(time);
        }
        Ok(())
    }

    fn add(&mut self, flow: Flow) -> Result<(), PipelineError> {
        self.scorer.add(0, flow, &mut self.outputs);
        self.write_outputs()
    }

    fn write_outputs(&mut self) -> Result<(), PipelineError> {
        for output in self.outputs.drain(..) {
            self.sink.write(&Document::of(&output))?;
        }
        Ok(())
    }

    fn reject_flow(
        &mut self,
        source: &str,
        place: Place,
        detail: String,
    ) -> Result<(), PipelineError> {
        let reject = Reject::new(RejectReason::BadTime, detail);
        self.reject(source, &Rejected::new(place, reject, &[]))
    }

    fn reject(&mut self, source: &str, rejected: &Rejected) -> Result<(), PipelineError> {
        let Reject { reason, detail } = &rejected.reject;
        self.summary.note_rejected(source, rejected.place.line, *reason, detail);
        self.dead.write(source, rejected).map_err(PipelineError::DeadLetters)
    }
}
