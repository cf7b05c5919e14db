//! `run` on partitions: one worker of a group judges, others stand by.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use tracing::{error, info, warn};

use super::common::{ScorerFactory, now, open_dead_letters};
use crate::alerts::SharedRules;
use crate::cli::Mode;
use crate::config::Config;
use crate::detect;
use crate::enrich::SharedEnricher;
use crate::formats::Format;
use crate::jobs::Owner;
use crate::model::Timestamp;
use crate::pipeline::{
    Claim, Claimant, DeadLetters, Keep, Keeper, Partitioned, PipelineError, PositionError,
    Progress, Snapshot, Stop, Summary, score_partitions,
};
use crate::scorer::State;
use crate::sinks::{Earlier, EnrichedSink, PatientSink, SinceSink, SinkError, StoreSink};
use crate::sources::kafka::{KafkaInput, KafkaSource};
use crate::sources::{PartitionSource, Partitions, SourceError};
use crate::stores::Store;

/// How often a worker that stands by asks whether it is needed.
const STAND_BY_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a broken source is opened anew.
pub(super) const REOPEN_PAUSE: Duration = Duration::from_secs(5);

/// Partitions that a worker can judge.
pub(super) trait Readable {
    /// The group whose position is kept.
    fn group(&self) -> &str;
    /// Seconds after a worker's last sign of life at which another one takes over.
    fn lease_seconds(&self) -> u32;
    /// Least seconds between two snapshots.
    fn snapshot_seconds(&self) -> u32;
    /// What a group without a snapshot begins with; nothing by default.
    fn beginning(&self) -> Option<State> {
        None
    }
    /// Opens the source; `partitions` says where to begin those that it knows.
    fn open(
        &self,
        partitions: Partitions,
        is_first_start: bool,
    ) -> Result<Box<dyn PartitionSource + '_>, SourceError>;
}

/// Topics of Kafka.
pub(super) struct Topics<'a> {
    pub(super) input: &'a KafkaInput,
    pub(super) format: Option<&'static dyn Format>,
}

impl Readable for Topics<'_> {
    fn group(&self) -> &str {
        &self.input.group_id
    }

    fn lease_seconds(&self) -> u32 {
        self.input.lease_seconds
    }

    fn snapshot_seconds(&self) -> u32 {
        self.input.snapshot_seconds
    }

    fn open(
        &self,
        partitions: Partitions,
        is_first_start: bool,
    ) -> Result<Box<dyn PartitionSource + '_>, SourceError> {
        let source = KafkaSource::open(self.input, self.format, partitions, is_first_start)?;
        Ok(Box::new(source))
    }
}

/// Leaves the group to the next worker.
pub(super) fn release(keeper: &Keeper) {
    if let Err(problem) = keeper.release(now()) {
        warn!(error = %problem, "the group is free for others only after its lease");
    }
}

/// What a worker judges with.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    pub(super) store: Arc<dyn Store>,
    pub(super) context: detect::Context,
    pub(super) rules: SharedRules,
    pub(super) enrichment: Option<SharedEnricher>,
    pub(super) mode: Mode,
    /// Nothing is stored of windows that begin before.
    pub(super) since: Option<Timestamp>,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a dyn Progress,
}

/// Judges with the position that is ours, from a snapshot if there is one.
pub(super) type Work<'w> =
    dyn Fn(&Keeper, Option<Box<Snapshot>>) -> Result<Judged, PipelineError> + 'w;

/// Documents on their way into the store.
pub(super) type StoreOfRun = EnrichedSink<PatientSink<SinceSink<StoreSink>>>;

/// What came of judging: the numbers, and whether the store took every document.
pub(super) type Judged = (Summary, Result<(), SinkError>);

impl Judge<'_> {
    /// Judges until it is stopped, alone, with others standing by.
    pub(super) fn run(&self, input: &dyn Readable) -> anyhow::Result<Judged> {
        self.hold(&self.claimant(input)?, &|keeper, snapshot| self.judge(input, keeper, snapshot))
    }

    /// Does `work` while the position is ours: takes it when it is free, hands over the snapshot,
    /// and stands by when another worker has it.
    pub(super) fn hold(&self, claimant: &Claimant, work: &Work<'_>) -> anyhow::Result<Judged> {
        loop {
            let Some((keeper, snapshot)) = self.wait_for(claimant)? else {
                return Ok((Summary::default(), Ok(())));
            };
            match work(&keeper, snapshot) {
                Ok(done) => {
                    release(&keeper);
                    return Ok(done);
                }
                Err(PipelineError::Position(PositionError::Fenced)) => {
                    warn!("another worker has taken over; standing by");
                }
                Err(PipelineError::Source(problem)) => {
                    error!(error = %problem, "the source is opened anew");
                    release(&keeper);
                    self.stop.wait(REOPEN_PAUSE);
                }
                Err(_) if self.stop.is_asked() => {
                    warn!("stopped before everything was stored: the next start reads it again");
                    return Ok((Summary::default(), Ok(())));
                }
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    pub(super) fn claimant(&self, input: &dyn Readable) -> anyhow::Result<Claimant> {
        Ok(Claimant {
            store: Arc::clone(&self.store),
            namespace: self.config.namespace()?,
            group: input.group().to_owned(),
            owner: Owner::of_this_process().to_string(),
            // Who can open a store in a folder is alone with it: nobody else is alive.
            lease_seconds: self.config.output.cluster().map_or(0, |_| input.lease_seconds()),
        })
    }

    /// Waits until the group is ours. `None` when it was stopped first.
    pub(super) fn wait_for(
        &self,
        claimant: &Claimant,
    ) -> anyhow::Result<Option<(Keeper, Option<Box<Snapshot>>)>> {
        let mut known = String::new();
        while !self.stop.is_asked() {
            match claimant.claim(now()) {
                Ok(Claim::Ours(keeper, snapshot)) => return Ok(Some((keeper, snapshot))),
                Ok(Claim::Held { owner, until, judged_through }) => {
                    // Jobs of this worker wait for it too.
                    judged_through.into_iter().for_each(|time| self.progress.judged_through(time));
                    if known != owner {
                        info!(%owner, %until, "another worker has the group; standing by");
                        known = owner;
                    }
                }
                Err(PositionError::Store(problem)) => {
                    error!(error = %problem, "the position cannot be read, asking again");
                }
                Err(problem) => bail!(problem),
            }
            self.stop.wait(STAND_BY_PAUSE);
        }
        Ok(None)
    }

    /// What makes scorers for this run.
    pub(super) fn factory(&self) -> ScorerFactory<'_> {
        let (context, rules) = (self.context.clone(), Some(self.rules.clone()));
        ScorerFactory { config: self.config, context, mode: self.mode, rules }
    }

    /// Writes into the store, however long it is away; what it refuses goes to `letters`.
    pub(super) fn sink(&self, letters: &DeadLetters) -> Result<StoreOfRun, PipelineError> {
        let stop = self.stop.clone();
        let namespace = self.config.namespace().expect("the settings were checked");
        let earlier = match self.since {
            Some(since) => {
                let gap = self.config.alerts.gap_seconds;
                Earlier::find(&*self.store, &namespace, since, gap).map_err(SinkError::Store)?
            }
            None => Earlier::default(),
        };
        let sink = StoreSink::new(Arc::clone(&self.store), namespace).with_letters(letters.clone());
        let sink = SinceSink::new(sink, self.since.unwrap_or(Timestamp::MIN), earlier);
        let sink = PatientSink::new(sink, Box::new(move |pause| stop.wait(pause)));
        Ok(EnrichedSink::new(sink, self.enrichment.clone()))
    }

    pub(super) fn dead_letters(&self) -> Result<DeadLetters, PipelineError> {
        let store = || Ok(Arc::clone(&self.store));
        open_dead_letters(self.config, &self.config.dead_letters, &store, Some(self.stop))
            .map_err(|error| PipelineError::DeadLetters(std::io::Error::other(error).into()))
    }

    /// How positions of this run are kept.
    pub(super) fn keep<'k>(
        &'k self,
        snapshot_seconds: u32,
        keeper: &'k Keeper,
        partitions: &'k Partitions,
    ) -> Keep<'k> {
        let snapshot_pause = Duration::from_secs(snapshot_seconds.into());
        let (stop, progress) = (self.stop, self.progress);
        Keep { partitions, keeper, snapshot_pause, now, stop, progress }
    }

    /// Judges from a snapshot, if there is one, with a position that is ours.
    pub(super) fn judge(
        &self,
        input: &dyn Readable,
        keeper: &Keeper,
        snapshot: Option<Box<Snapshot>>,
    ) -> Result<Judged, PipelineError> {
        let mut scorer = self.factory().make();
        let partitions = Partitions::default();
        let is_first_start = snapshot.is_none();
        if let Some(snapshot) = snapshot {
            let state = snapshot.state_for(&partitions);
            info!(closed_through = %state.closed_through, partitions = state.positions.len(), "going on from the snapshot");
            tell_damaged(&scorer.resume(state));
        } else if let Some(state) = input.beginning() {
            tell_damaged(&scorer.resume(state));
        }
        let source = input.open(partitions.clone(), is_first_start)?;
        let mut dead = self.dead_letters()?;
        let mut sink = self.sink(&dead)?;
        let keep = self.keep(input.snapshot_seconds(), keeper, &partitions);
        let run = Partitioned { source: &*source, keep };
        let summary = while_renewed(keeper, input.lease_seconds(), || {
            score_partitions(&run, &mut scorer, &mut sink, &mut dead)
        })?;
        Ok((summary, verdict(&sink)))
    }
}

/// Whether the store took every document.
pub(super) fn verdict(sink: &StoreOfRun) -> Result<(), SinkError> {
    sink.inner().inner().inner().verdict()
}

/// Says which detectors could not read what they had saved.
pub(super) fn tell_damaged(damaged: &[detect::RestoreError]) {
    for problem in damaged {
        error!(error = %problem, "a detector starts anew");
    }
}

/// Does `work` while the lease is renewed beside it.
pub(super) fn while_renewed<T>(keeper: &Keeper, lease_seconds: u32, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let pause = Duration::from_secs(lease_seconds.into()) / 3;
        let renewing = scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(pause) {
                if let Err(problem) = keeper.renew(now()) {
                    // When another worker has taken over, the next step of the work ends it.
                    warn!(error = %problem, "the lease is not renewed");
                }
            }
        });
        let outcome = work();
        drop(done);
        // It does nothing but wait and write.
        let _ = renewing.join();
        outcome
    })
}
