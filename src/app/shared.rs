//! `run` on Kafka with several workers: all fold partitions into partials, one of them judges.

use std::thread;
use std::time::Duration;

use tracing::{error, info};

use super::common::now;
use super::kafka::{Judge, Judged, REOPEN_PAUSE, Topics, tell_damaged, verdict, while_renewed};
use crate::pipeline::{
    FoldRun, Keeper, MergeRun, PipelineError, Snapshot, Summary, fold_partitions, merge_partials,
};
use crate::sinks::KafkaProducer;
use crate::sources::Partitions;
use crate::sources::kafka::{KafkaInput, KafkaLog, KafkaSource};

impl Judge<'_> {
    /// Folds what falls to this worker, and judges for all while nobody else does.
    pub(super) fn run_shared(&self, kafka: &KafkaInput, topic: &str) -> anyhow::Result<Judged> {
        let mut claimant = self.claimant(&Topics { input: kafka, format: None })?;
        // A snapshot over flows and one over partials have nothing in common.
        claimant.group = format!("{} by way of {topic}", kafka.group_id);
        thread::scope(|scope| {
            let folding = scope.spawn(|| {
                let folded = self.fold(kafka, topic);
                // A worker that cannot fold leaves its partitions to others.
                self.stop.ask();
                folded
            });
            let judged = self
                .hold(&claimant, &|keeper, snapshot| self.merge(kafka, topic, keeper, snapshot));
            self.stop.ask();
            let folded = folding.join().unwrap_or_else(|_| {
                Err(PipelineError::DeadLetters(std::io::Error::other("the folding failed").into()))
            })?;
            let (merged, stored) = judged?;
            Ok((together(folded, &merged), stored))
        })
    }

    /// Folds until it is stopped; a source that breaks is opened anew.
    fn fold(&self, kafka: &KafkaInput, topic: &str) -> Result<Summary, PipelineError> {
        let mut dead = self.dead_letters()?;
        let factory = self.factory();
        let format = self.config.format().unwrap_or_default();
        loop {
            let partitions = Partitions::default();
            let log = KafkaProducer::open_log(kafka, topic)?;
            let source = KafkaSource::join(kafka, format, partitions.clone())?;
            let run = FoldRun {
                source: &source,
                partitions: &partitions,
                log: &log,
                new_fold: &|| factory.make_fold(),
                pane_seconds: self.config.windows.pane_seconds,
                commit_pause: Duration::from_secs(kafka.snapshot_seconds.into()),
                now,
                stop: self.stop,
                progress: self.progress,
            };
            match fold_partitions(&run, &mut dead) {
                Err(problem @ (PipelineError::Source(_) | PipelineError::Send(_)))
                    if !self.stop.is_asked() =>
                {
                    error!(error = %problem, "the source is opened anew");
                    self.stop.wait(REOPEN_PAUSE);
                }
                ended => return ended,
            }
        }
    }

    fn merge(
        &self,
        kafka: &KafkaInput,
        topic: &str,
        keeper: &Keeper,
        snapshot: Option<Box<Snapshot>>,
    ) -> Result<Judged, PipelineError> {
        let partitions = Partitions::default();
        let number = partitions.named(&KafkaLog::name_in(topic)).id;
        let mut scorer = self.factory().make_merged(number);
        let mut begin = None;
        if let Some(snapshot) = snapshot {
            let state = snapshot.state_for(&partitions);
            begin = state.log.as_ref().map(|log| log.begin);
            info!(closed_through = %state.closed_through, "going on from the snapshot");
            tell_damaged(&scorer.resume(state));
        }
        info!(topic, "judging for all workers");
        let log = KafkaLog::open(kafka, topic, begin)?;
        let mut sink = self.sink(&self.dead_letters()?)?;
        let keep = self.keep(kafka.snapshot_seconds, keeper, &partitions);
        let run = MergeRun { log: &log, keep };
        let summary = while_renewed(keeper, kafka.lease_seconds, || {
            merge_partials(&run, &mut scorer, &mut sink)
        })?;
        Ok((summary, verdict(&sink)))
    }
}

/// What this worker read, and what it found for all.
fn together(folded: Summary, merged: &Summary) -> Summary {
    let mut summary = folded;
    let (own, all) = (summary.counters, merged.counters);
    summary.counters = all;
    summary.counters.flows = own.flows;
    summary.counters.late = own.late + all.late;
    summary.counters.replayed = own.replayed;
    summary.counters.clock_skew = own.clock_skew;
    summary.counters.unknown_sampling = own.unknown_sampling;
    summary
}
