//! What the store knows about one run, and what follows from it for one worker: no I/O, no clock.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// How long a run belongs to its holder without a word of him, in seconds. Long enough for two
/// failed renewals, short enough that a report whose worker died is hardly late.
pub(super) const LEASE_SECONDS: i64 = 120;
/// How often the holder renews, in seconds.
pub(super) const RENEW_SECONDS: u64 = 40;
/// How far the clocks of two workers may differ, in seconds. A lease ends by the clock of its holder
/// and is taken over so much later by the clock of another: up to this difference no two workers
/// hold a run at once. Hosts that keep their time by NTP differ by far less than a second.
pub(super) const CLOCK_TOLERANCE_SECONDS: i64 = 30;
/// How often a run is begun before it is given up.
pub(super) const MOST_ATTEMPTS: u32 = 5;

/// The reason of a last attempt whose end nobody wrote down.
const DIED: &str = "its holder ended in the middle of it";

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunStatus {
    /// Somebody holds it.
    Running,
    /// It succeeded: nobody needs to look at it again.
    Done,
    /// Its last attempt failed.
    Failed,
}

/// What is written about a run, under `flowsentry.state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// `run`: other things have a state, too.
    pub kind: String,
    /// Which job.
    pub job: String,
    /// Who holds it, or held it last.
    pub owner: String,
    pub status: RunStatus,
    /// How often it was begun.
    pub attempts: u32,
    /// While running: end of the lease. When failed: end of the pause before the next attempt. By
    /// the clock of the owner.
    pub expires: Timestamp,
    /// Why it failed.
    pub reason: Option<String>,
}

/// What a worker does about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write this: that it begins the run, or that the run is given up.
    Write(RunRecord),
    /// Another worker holds it; look again then.
    Held { until: Timestamp },
    /// It failed and rests; look again then.
    Paused { until: Timestamp },
    /// Done, or given up: there is nothing to do.
    Over,
}

impl RunRecord {
    /// Returns what `owner` writes when it begins the attempt of the number `attempt`.
    pub(super) fn begun(job: &str, owner: &str, attempt: u32, now: Timestamp) -> Self {
        Self {
            kind: "run".to_owned(),
            job: job.to_owned(),
            owner: owner.to_owned(),
            status: RunStatus::Running,
            attempts: attempt,
            expires: now.plus_seconds(LEASE_SECONDS),
            reason: None,
        }
    }

    /// Returns it with a lease from `now` on.
    pub(super) fn renewed(&self, now: Timestamp) -> Self {
        Self { expires: now.plus_seconds(LEASE_SECONDS), ..self.clone() }
    }

    /// Returns it after success.
    pub(super) fn done(&self, now: Timestamp) -> Self {
        Self { status: RunStatus::Done, expires: now, reason: None, ..self.clone() }
    }

    /// Returns it after a failure of its holder `owner`.
    pub(super) fn failed(&self, owner: &str, reason: &str, now: Timestamp) -> Self {
        // An error with all its causes is a few lines; a document need not hold more.
        let reason = reason.chars().take(500).collect();
        Self {
            owner: owner.to_owned(),
            status: RunStatus::Failed,
            expires: now.plus_seconds(pause_seconds(self.attempts)),
            reason: Some(reason),
            ..self.clone()
        }
    }

    /// Whether it failed for good.
    pub(super) fn is_given_up(&self) -> bool {
        self.status == RunStatus::Failed && self.attempts >= MOST_ATTEMPTS
    }

    /// Whether it is written by the holder of the same attempt as `other`.
    pub(super) fn is_attempt_of(&self, other: &Self) -> bool {
        self.owner == other.owner && self.attempts == other.attempts
    }

    /// Returns what `worker` does about it at `now`.
    pub(super) fn decide(&self, worker: &str, now: Timestamp) -> Decision {
        let take = |attempt| Decision::Write(Self::begun(&self.job, worker, attempt, now));
        let free_from = self.expires.plus_seconds(CLOCK_TOLERANCE_SECONDS);
        let is_last = self.attempts >= MOST_ATTEMPTS;
        match self.status {
            RunStatus::Done => Decision::Over,
            RunStatus::Failed if is_last => Decision::Over,
            RunStatus::Failed if now < self.expires => Decision::Paused { until: self.expires },
            RunStatus::Failed => take(self.attempts + 1),
            // Written by us, but the answer was lost: the same attempt.
            RunStatus::Running if self.owner == worker => take(self.attempts),
            RunStatus::Running if now < free_from => Decision::Held { until: free_from },
            RunStatus::Running if is_last => Decision::Write(self.failed(worker, DIED, now)),
            RunStatus::Running => take(self.attempts + 1),
        }
    }
}

/// The pause after the failed attempt of the number `attempt`: 1, 4, 16 and 64 minutes. What is
/// wrong for a moment delays by a moment; an hour is enough to restart a mail server.
fn pause_seconds(attempt: u32) -> i64 {
    60 * 4_i64.pow(attempt.clamp(1, 4) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn after(seconds: i64) -> Timestamp {
        NOW.plus_seconds(seconds)
    }

    fn begun(attempt: u32) -> RunRecord {
        RunRecord::begun("report", "anna", attempt, NOW)
    }

    /// The attempt that `bert` begins at `now`.
    fn taken(record: &RunRecord, now: Timestamp) -> Option<u32> {
        match record.decide("bert", now) {
            Decision::Write(record) if record.status == RunStatus::Running => Some(record.attempts),
            Decision::Write(_)
            | Decision::Held { .. }
            | Decision::Paused { .. }
            | Decision::Over => None,
        }
    }

    #[test]
    fn a_lease_ends_for_others_after_its_time_and_the_tolerance_of_clocks() {
        assert_eq!(begun(1).decide("bert", NOW), Decision::Held { until: after(150) });
        assert_eq!(taken(&begun(1), after(150).plus_nanos(-1)), None);
        assert_eq!(taken(&begun(1), after(150)), Some(2));
        let renewed = begun(1).renewed(after(40));
        assert_eq!(taken(&renewed, after(189)), None);
        assert_eq!(taken(&renewed, after(190)), Some(2));
    }

    #[test]
    fn what_is_over_is_left_alone() {
        assert_eq!(begun(1).done(NOW).decide("bert", after(1_000_000)), Decision::Over);
        let failed = begun(MOST_ATTEMPTS).failed("anna", "no disk", NOW);
        assert!(failed.is_given_up());
        assert_eq!(failed.decide("bert", after(1_000_000)), Decision::Over);
    }

    #[test]
    fn a_failed_run_rests_longer_every_time() {
        let pause = |attempt| begun(attempt).failed("anna", "no disk", NOW).expires;
        let pauses = [1, 2, 3, 4].map(|attempt| pause(attempt).nanos_since(NOW) / 60_000_000_000);
        assert_eq!(pauses, [1, 4, 16, 64]);
        let failed = begun(1).failed("anna", "no disk", NOW);
        assert_eq!(failed.decide("bert", after(59)), Decision::Paused { until: after(60) });
        assert_eq!(taken(&failed, after(60)), Some(2));
        assert!(!failed.is_given_up());
    }

    #[test]
    fn a_worker_goes_on_with_the_attempt_that_it_wrote_itself() {
        assert_eq!(begun(3).decide("anna", NOW), Decision::Write(begun(3)));
    }

    #[test]
    fn a_run_that_kills_its_holders_is_given_up() {
        let decision = begun(MOST_ATTEMPTS).decide("bert", after(200));
        let Decision::Write(record) = decision else { panic!("{decision:?}") };
        assert!(record.is_given_up());
        assert_eq!((record.owner.as_str(), record.reason.as_deref()), ("bert", Some(DIED)));
    }
}
