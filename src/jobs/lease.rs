//! A run in the hands of its holder.
//!
//! A lease does not stop its holder: a machine that slept through its lease in the middle of a run
//! goes on with it when it wakes up, while another has taken over. It learns of it at the end. What
//! jobs leave behind therefore has a name that comes from the run.

use super::election::{Election, ElectionError, MOST_ROUNDS, whole_millis};
use super::run_record::RunRecord;
use crate::model::Timestamp;
use crate::stores::{DocumentId, Version};

/// A run that this worker holds. Dropping it does not give it back: it is as if the worker died, and
/// others wait for its end.
#[derive(Debug)]
pub struct Lease {
    election: Election,
    id: DocumentId,
    due: Timestamp,
    record: RunRecord,
    version: Version,
}

/// How an attempt ended in the eyes of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done.
    Done,
    /// Failed; it will be tried again.
    Failed {
        /// Not before.
        retry_at: Timestamp,
    },
    /// Failed for the last time.
    GivenUp,
    /// The lease had ended and somebody else has begun it again: this attempt does not count.
    Lost,
}

impl Lease {
    /// Returns the lease of a run that was begun as `record` says.
    pub(super) fn new(
        election: Election,
        id: DocumentId,
        due: Timestamp,
        record: RunRecord,
        version: Version,
    ) -> Self {
        Self { election, id, due, record, version }
    }

    /// When the run was due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The name of the run over all jobs: `report-2026-11-21`.
    pub fn run(&self) -> &str {
        self.id.as_str()
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.record.attempts
    }

    /// Begins the lease again at `now`, and returns whether the run is still this worker's.
    ///
    /// # Errors
    /// When the store fails; the lease goes on until its end then.
    pub fn renew(&mut self, now: Timestamp) -> Result<bool, ElectionError> {
        self.write(self.record.renewed(whole_millis(now)))
    }

    /// Writes down how the attempt ended; `failure` says why it failed. May be called again after an
    /// error.
    ///
    /// # Errors
    /// When the store fails; the others do not know of the end then.
    pub fn finish(
        &mut self,
        now: Timestamp,
        failure: Option<&str>,
    ) -> Result<Ended, ElectionError> {
        let now = whole_millis(now);
        let wanted = match failure {
            None => self.record.done(now),
            Some(reason) => self.record.failed(&self.record.owner, reason, now),
        };
        let ended = match failure {
            None => Ended::Done,
            Some(_) if wanted.is_given_up() => Ended::GivenUp,
            Some(_) => Ended::Failed { retry_at: wanted.expires },
        };
        Ok(if self.write(wanted)? { ended } else { Ended::Lost })
    }

    /// Returns whether `wanted` was written, which it is not when the run is somebody else's.
    fn write(&mut self, wanted: RunRecord) -> Result<bool, ElectionError> {
        for _ in 0..MOST_ROUNDS {
            if let Some(version) = self.election.update(&self.id, &wanted, self.version)? {
                self.record = wanted;
                self.version = version;
                return Ok(true);
            }
            // Either somebody took over, or an earlier write of ours got no answer.
            match self.election.read(&self.id)? {
                Some((record, version)) if record.is_attempt_of(&self.record) => {
                    self.version = version;
                }
                Some(_) | None => return Ok(false),
            }
        }
        Ok(false)
    }
}
