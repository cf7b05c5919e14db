//! Partitions that can be read again: judged, stored, kept, committed, in this order.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::scorer::{Output, Scorer};
use crate::sinks::Sink;
use crate::sources::{
    PartitionRead, PartitionSource, Partitions, RecordPlace, Rejected, SourceError,
};

use super::keeping::{Keep, Keeping};
use super::{DeadLetters, PipelineError, Summary};
use crate::testkit::crash;

/// Hand-overs that may wait between decoding and judging: about 8 MiB.
const QUEUE: usize = 8;
/// How often it is told how far behind the reading is.
pub(super) const TELL_PAUSE: Duration = Duration::from_secs(1);
/// How long the judging side waits for a hand-over before it looks at the clock.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// What to score, and how its position is kept.
pub struct Partitioned<'a> {
    /// The source.
    pub source: &'a dyn PartitionSource,
    /// How its position is kept.
    pub keep: Keep<'a>,
}

/// Scores partitions until it is stopped, and returns the numbers.
///
/// Open windows are not closed at the end: the next worker rebuilds them from the position.
///
/// # Errors
/// When results or positions cannot be kept, or the source is broken. Nothing is lost: what was not
/// kept is read again.
pub fn score_partitions(
    run: &Partitioned<'_>,
    scorer: &mut Scorer,
    sink: &mut dyn Sink,
    dead: &mut DeadLetters,
) -> Result<Summary, PipelineError> {
    let stop = run.keep.stop;
    let mut judging = Judging::new(run, scorer, sink, dead);
    let judged = read_beside(run.source, &|| stop.is_asked(), |reads| judging.judge_all(reads));
    judged.and_then(|read| {
        judging.finish()?;
        read?;
        let mut summary = judging.summary;
        summary.counters = judging.scorer.counters();
        summary.extent = judging.scorer.extent();
        Ok(summary)
    })
}

/// Reads on a thread of its own while `take` takes what is read; how the reading ended.
pub(super) fn read_beside(
    source: &dyn PartitionSource,
    is_stopped: &(dyn Fn() -> bool + Sync),
    take: impl FnOnce(&Receiver<PartitionRead>) -> Result<(), PipelineError>,
) -> Result<Result<(), SourceError>, PipelineError> {
    let (sender, receiver) = sync_channel(QUEUE);
    thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("partitions".to_owned())
            .spawn_scoped(scope, move || source.read(&sender, &|| is_stopped()))
            .expect("a thread can be started");
        let taken = take(&receiver);
        // The reader ends when nobody listens.
        drop(receiver);
        let read = reader.join().unwrap_or_else(|_| {
            let action = "reading messages".to_owned();
            Err(SourceError::Failed { action, reason: "the thread failed".to_owned() })
        });
        taken.map(|()| read)
    })
}

/// Counts records that cannot be used, and keeps them aside.
pub(super) fn reject_all(
    partitions: &Partitions,
    rejected: &[(RecordPlace, Rejected)],
    summary: &mut Summary,
    dead: &mut DeadLetters,
) -> Result<(), PipelineError> {
    for (place, rejected) in rejected {
        let partition = partitions.get(place.partition);
        let source = partition.map_or_else(String::new, |partition| partition.name.to_string());
        let reject = &rejected.reject;
        let offset = u64::try_from(place.offset).unwrap_or_default();
        summary.note_rejected(&source, offset, reject.reason, &reject.detail);
        dead.write(&source, rejected).map_err(PipelineError::DeadLetters)?;
    }
    Ok(())
}

struct Judging<'a> {
    run: &'a Partitioned<'a>,
    scorer: &'a mut Scorer,
    keeping: Keeping<'a>,
    dead: &'a mut DeadLetters,
    summary: Summary,
    outputs: Vec<Output>,
    /// When it was told last how far behind it is.
    told: Instant,
}

impl<'a> Judging<'a> {
    fn new(
        run: &'a Partitioned<'a>,
        scorer: &'a mut Scorer,
        sink: &'a mut dyn Sink,
        dead: &'a mut DeadLetters,
    ) -> Self {
        let keeping = Keeping::new(run.keep, sink);
        let (summary, outputs) = (Summary::default(), Vec::new());
        Self { run, scorer, keeping, dead, summary, outputs, told: Instant::now() }
    }

    fn judge_all(&mut self, reads: &Receiver<PartitionRead>) -> Result<(), PipelineError> {
        loop {
            match reads.recv_timeout(PAUSE) {
                Ok(read) => self.take(read)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.dead.flush_due().map_err(PipelineError::DeadLetters)?;
            self.keep()?;
        }
    }

    fn take(&mut self, read: PartitionRead) -> Result<(), PipelineError> {
        self.keeping.has_news = true;
        match read {
            PartitionRead::Gained { partitions, existing } => {
                partitions.iter().for_each(|gained| self.scorer.expect(gained.id));
                self.forget_all_but(&existing);
                self.keeping.write(&mut self.outputs)
            }
            // They stay known: nobody else reads them while the lease is ours, and windows wait for
            // them.
            PartitionRead::Lost(_) => Ok(()),
            PartitionRead::Idle(id) => {
                self.scorer.rest(id, &mut self.outputs);
                if self.scorer.is_at_rest() {
                    tracing::info!("everything is read; waiting for more");
                }
                self.keeping.write(&mut self.outputs)
            }
            PartitionRead::Passed(id, time) => {
                self.scorer.pass(id, time, &mut self.outputs);
                self.keeping.write(&mut self.outputs)
            }
            PartitionRead::Flows { flows, rejected, next, records } => {
                crash::point("polled");
                self.summary.records += records;
                let known = self.run.keep.partitions;
                reject_all(known, &rejected, &mut self.summary, self.dead)?;
                self.run.keep.progress.scored(flows.len() as u64);
                let mut message = None;
                for read in flows {
                    let RecordPlace { partition, offset, .. } = read.place;
                    if message.replace((partition, offset)) != Some((partition, offset)) {
                        self.scorer.at(partition, offset);
                    }
                    self.scorer.add(partition, read.flow, &mut self.outputs);
                    self.keeping.write(&mut self.outputs)?;
                }
                next.into_iter().for_each(|(id, offset)| self.scorer.at(id, offset));
                crash::point("scored");
                Ok(())
            }
        }
    }

    /// Does not wait for partitions that do not exist any more.
    fn forget_all_but(&mut self, existing: &[u32]) {
        if existing.is_empty() {
            return;
        }
        for id in self.scorer.partitions() {
            if !existing.contains(&id) {
                tracing::info!(partition = id, "a partition is gone and not waited for");
                self.scorer.rest(id, &mut self.outputs);
            }
        }
    }

    /// Stores what waits, and keeps the position when there is a new one.
    fn keep(&mut self) -> Result<(), PipelineError> {
        let (dead, source) = (&mut *self.dead, self.run.source);
        if self.told.elapsed() >= TELL_PAUSE {
            self.told = Instant::now();
            if let Some(lag) = source.lag() {
                self.run.keep.keeper.note_lag(lag);
                self.run.keep.progress.behind(lag);
            }
        }
        self.keeping.step(
            self.scorer,
            &mut || dead.flush().map_err(PipelineError::DeadLetters),
            &|next| source.commit(next),
        )
    }

    /// Everything that was found is stored before the end; the position stays where it was kept.
    fn finish(&mut self) -> Result<(), PipelineError> {
        self.keep()?;
        self.dead.flush().map_err(PipelineError::DeadLetters)?;
        self.keeping.flush(self.scorer)
    }
}
