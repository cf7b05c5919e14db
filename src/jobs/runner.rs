//! What one worker does about the runs of one job, one after the other.
//!
//! ```text
//! Agenda ─oldest that is due→ Election ─→ Lease │ sleep
//! ```
//!
//! A step decides, with the clock as argument; `drive` waits and works.

use tracing::{error, warn};

use super::agenda::{Agenda, Entry, Job};
use super::election::{Claim, Election, ElectionError};
use super::lease::Lease;
use super::run_record::MOST_ATTEMPTS;
use super::watermark::Watermark;
use crate::model::Timestamp;

/// The runs of one job in one worker.
#[derive(Debug)]
pub struct Runner {
    election: Election,
    agenda: Agenda,
    first_start: Option<Timestamp>,
}

/// What a worker does next.
#[derive(Debug)]
pub enum Step {
    /// Do this run.
    Run(Box<Lease>),
    /// Nothing until then.
    Sleep(Timestamp),
}

impl Runner {
    /// Returns the runner of `job` in a worker that starts at `now`. Runs wait for `watermark` to
    /// pass what they are about, unless it stands still.
    pub fn new(job: Job, election: Election, watermark: Watermark, now: Timestamp) -> Self {
        Self { election, agenda: Agenda::new(job, watermark, now), first_start: None }
    }

    /// Returns what to do at `now`: the oldest run that is due, or how long to wait. Blocks on the
    /// store. The run must be finished before the next step.
    ///
    /// # Errors
    /// When the store fails; the step may be repeated.
    pub fn step(&mut self, now: Timestamp) -> Result<Step, ElectionError> {
        let first_start = match self.first_start {
            Some(time) => time,
            None => *self.first_start.insert(self.election.first_start(now)?),
        };
        let job = self.job();
        for entry in self.agenda.update(first_start, now) {
            warn!(job, due = %entry.due, "a run was missed and is too old to be made up for");
        }
        while let Some(entry) = self.agenda.ready(now) {
            match self.claim(entry, now)? {
                Claim::Won(lease) => return Ok(Step::Run(lease)),
                // Runs keep their order: those after it wait, too.
                Claim::Held { until } => self.agenda.wait(entry, until),
                Claim::Paused { until } => self.agenda.skip(entry, until),
                Claim::Over => self.agenda.strike(entry),
                Claim::GivenUp => {
                    error!(job, due = %entry.due, attempts = MOST_ATTEMPTS, "a run was given up: its holders ended in the middle of it");
                    self.agenda.strike(entry);
                }
            }
        }
        Ok(Step::Sleep(self.agenda.wake_at(now)))
    }

    /// The name of the job.
    pub(super) fn job(&self) -> &'static str {
        self.agenda.job().name
    }

    fn claim(&self, entry: Entry, now: Timestamp) -> Result<Claim, ElectionError> {
        let job = self.job();
        let claim = self.election.claim(job, &self.agenda.label(entry), entry.due, now);
        match claim {
            // It would be the same the next time, and runs after it are not to blame.
            Err(error @ ElectionError::Unreadable { .. }) => {
                warn!(job, due = %entry.due, %error, "a run is left alone");
                Ok(Claim::Over)
            }
            claim => claim,
        }
    }
}
