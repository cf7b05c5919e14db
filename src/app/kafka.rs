//! `run` on Kafka: one worker of a group judges, others stand by.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use tracing::{error, info, warn};

use super::common::{ScorerFactory, now, open_dead_letters};
use crate::cli::Mode;
use crate::config::Config;
use crate::detect;
use crate::jobs::Owner;
use crate::pipeline::{
    Claim, Claimant, Keeper, Partitioned, PipelineError, PositionError, Progress, Snapshot, Stop,
    Summary, score_partitions,
};
use crate::sinks::{PatientSink, SinkError, StoreSink};
use crate::sources::kafka::{KafkaInput, KafkaSource, Partitions};
use crate::stores::Store;

/// How often a worker that stands by asks whether it is needed.
const STAND_BY_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a broken source is opened anew.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);

/// Leaves the group to the next worker.
fn release(keeper: &Keeper) {
    if let Err(problem) = keeper.release(now()) {
        warn!(error = %problem, "the group is free for others only after its lease");
    }
}

/// What a worker judges with.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    pub(super) store: Arc<dyn Store>,
    pub(super) context: detect::Context,
    pub(super) mode: Mode,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a dyn Progress,
}

impl Judge<'_> {
    /// Judges until it is stopped: takes the group when it is free, goes on from its snapshot, and
    /// stands by when another worker has it.
    pub(super) fn run(
        &self,
        kafka: &KafkaInput,
    ) -> anyhow::Result<(Summary, Result<(), SinkError>)> {
        let claimant = Claimant {
            store: Arc::clone(&self.store),
            namespace: self.config.namespace()?,
            group: kafka.group_id.clone(),
            owner: Owner::of_this_process().to_string(),
            // Who can open a store in a folder is alone with it: nobody else is alive.
            lease_seconds: self.config.output.cluster().map_or(0, |_| kafka.lease_seconds),
        };
        loop {
            let Some((keeper, snapshot)) = self.wait_for(&claimant)? else {
                return Ok((Summary::default(), Ok(())));
            };
            match self.judge(kafka, &keeper, snapshot) {
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

    /// Waits until the group is ours. `None` when it was stopped first.
    fn wait_for(
        &self,
        claimant: &Claimant,
    ) -> anyhow::Result<Option<(Keeper, Option<Box<Snapshot>>)>> {
        let mut known = String::new();
        while !self.stop.is_asked() {
            match claimant.claim(now()) {
                Ok(Claim::Ours(keeper, snapshot)) => return Ok(Some((keeper, snapshot))),
                Ok(Claim::Held { owner, until }) => {
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

    fn judge(
        &self,
        kafka: &KafkaInput,
        keeper: &Keeper,
        snapshot: Option<Box<Snapshot>>,
    ) -> Result<(Summary, Result<(), SinkError>), PipelineError> {
        let (config, context) = (self.config, self.context.clone());
        let factory = ScorerFactory { config, context, mode: self.mode };
        let mut scorer = factory.make();
        let partitions = Partitions::default();
        let is_first_start = snapshot.is_none();
        if let Some(snapshot) = snapshot {
            // Numbers are given anew, in the order in which the state has them.
            let mut state = snapshot.state.clone();
            state.positions = snapshot
                .positions()
                .map(|(name, position)| (partitions.begin_at(name, position.offset), position))
                .collect();
            info!(closed_through = %state.closed_through, partitions = state.positions.len(), "going on from the snapshot");
            for problem in scorer.resume(state) {
                error!(error = %problem, "a detector starts anew");
            }
        }
        let format = self.config.format().unwrap_or_default();
        let source = KafkaSource::open(kafka, format, partitions.clone(), is_first_start)?;
        let mut dead = open_dead_letters(self.config.dead_letters.path.as_ref())
            .map_err(|error| PipelineError::DeadLetters(std::io::Error::other(error)))?;
        let stop = self.stop.clone();
        let namespace = self.config.namespace().expect("the settings were checked");
        let sink = StoreSink::new(Arc::clone(&self.store), namespace);
        let mut sink = PatientSink::new(sink, Box::new(move |pause| stop.wait(pause)));
        let run = Partitioned {
            source: &source,
            partitions: &partitions,
            keeper,
            snapshot_pause: Duration::from_secs(kafka.snapshot_seconds.into()),
            now,
            stop: self.stop,
            progress: self.progress,
        };
        let summary = thread::scope(|scope| {
            let (done, is_done) = channel::<()>();
            let pause = Duration::from_secs(kafka.lease_seconds.into()) / 3;
            let renewing = scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(pause) {
                    if let Err(problem) = keeper.renew(now()) {
                        // Saving finds it out too, and ends the work.
                        warn!(error = %problem, "the lease is not renewed");
                    }
                }
            });
            let summary = score_partitions(&run, &mut scorer, &mut sink, &mut dead);
            drop(done);
            // It does nothing but wait and write.
            let _ = renewing.join();
            summary
        })?;
        Ok((summary, sink.inner().verdict()))
    }
}
