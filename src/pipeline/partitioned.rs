//! Partitions that can be read again: judged, stored, kept, committed, in this order.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::Timestamp;
use crate::scorer::{Output, Scorer, State};
use crate::sinks::{Document, Sink, until_done};
use crate::sources::kafka::{KafkaLocated, KafkaRead, KafkaSource, PartitionName, Partitions};
use crate::sources::{Rejected, SourceError};

use super::position::{Keeper, PositionError, Snapshot};
use super::{DeadLetters, PipelineError, Progress, Stop, Summary};
use crate::testkit::crash;

/// Hand-overs that may wait between decoding and judging: about 8 MiB.
const QUEUE: usize = 8;
/// How long the judging side waits for a hand-over before it looks at the clock.
const PAUSE: Duration = Duration::from_millis(100);
/// Results wait at most so long for others before they are stored.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// What to score, and how its position is kept.
pub struct Partitioned<'a> {
    /// The source.
    pub source: &'a KafkaSource,
    /// Its partitions.
    pub partitions: &'a Partitions,
    /// Keeps the position.
    pub keeper: &'a Keeper,
    /// Least time between two snapshots.
    pub snapshot_pause: Duration,
    /// The present.
    pub now: fn() -> Timestamp,
    /// Ends the reading.
    pub stop: &'a Stop,
    /// Told while it goes on.
    pub progress: &'a dyn Progress,
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
    let (sender, receiver) = sync_channel(QUEUE);
    thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("kafka".to_owned())
            .spawn_scoped(scope, move || run.source.read(&sender, &|| run.stop.is_asked()))
            .expect("a thread can be started");
        let mut judging = Judging::new(run, scorer, sink, dead);
        let judged = judging.judge_all(&receiver);
        // The reader ends when nobody listens.
        drop(receiver);
        let read = reader.join().unwrap_or_else(|_| {
            let action = "reading messages".to_owned();
            Err(SourceError::Kafka { action, reason: "the thread failed".to_owned() })
        });
        judged?;
        judging.finish()?;
        read?;
        let mut summary = judging.summary;
        summary.counters = judging.scorer.counters();
        summary.extent = judging.scorer.extent();
        Ok(summary)
    })
}

struct Judging<'a> {
    run: &'a Partitioned<'a>,
    scorer: &'a mut Scorer,
    sink: &'a mut dyn Sink,
    dead: &'a mut DeadLetters,
    summary: Summary,
    outputs: Vec<Output>,
    kept: Instant,
    flushed: Instant,
    is_dirty: bool,
    /// Something was read since the last snapshot.
    has_news: bool,
}

impl<'a> Judging<'a> {
    fn new(
        run: &'a Partitioned<'a>,
        scorer: &'a mut Scorer,
        sink: &'a mut dyn Sink,
        dead: &'a mut DeadLetters,
    ) -> Self {
        Self {
            run,
            scorer,
            sink,
            dead,
            summary: Summary::default(),
            outputs: Vec::new(),
            kept: Instant::now(),
            flushed: Instant::now(),
            is_dirty: false,
            has_news: false,
        }
    }

    fn judge_all(&mut self, reads: &Receiver<KafkaRead>) -> Result<(), PipelineError> {
        loop {
            match reads.recv_timeout(PAUSE) {
                Ok(read) => self.take(read)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.keep()?;
        }
    }

    fn take(&mut self, read: KafkaRead) -> Result<(), PipelineError> {
        self.has_news = true;
        match read {
            // Those that are not ours any more stay known: nobody else reads them while the lease
            // is ours, and windows wait for them.
            KafkaRead::Assigned(ids) => {
                ids.into_iter().for_each(|id| self.scorer.expect(id));
                Ok(())
            }
            KafkaRead::Idle(id) => {
                self.scorer.rest(id, &mut self.outputs);
                if self.scorer.is_at_rest() {
                    tracing::info!("everything is read; waiting for more");
                }
                self.write_outputs()
            }
            KafkaRead::Flows { flows, rejected, next, records } => {
                crash::point("polled");
                self.summary.records += records;
                for (place, rejected) in &rejected {
                    self.reject(*place, rejected)?;
                }
                self.run.progress.scored(flows.len() as u64);
                let mut message = None;
                for read in flows {
                    let KafkaLocated { partition, offset, .. } = read.place;
                    if message.replace((partition, offset)) != Some((partition, offset)) {
                        self.scorer.at(partition, offset);
                    }
                    self.scorer.add(partition, read.flow, &mut self.outputs);
                    self.write_outputs()?;
                }
                next.into_iter().for_each(|(id, offset)| self.scorer.at(id, offset));
                crash::point("scored");
                Ok(())
            }
        }
    }

    fn write_outputs(&mut self) -> Result<(), PipelineError> {
        self.is_dirty |= !self.outputs.is_empty();
        for output in self.outputs.drain(..) {
            self.sink.write(&Document::of(&output))?;
        }
        Ok(())
    }

    fn reject(&mut self, place: KafkaLocated, rejected: &Rejected) -> Result<(), PipelineError> {
        let partition = self.run.partitions.get(place.partition);
        let source = partition.map_or_else(String::new, |partition| partition.name.to_string());
        let reject = &rejected.reject;
        let offset = u64::try_from(place.offset).unwrap_or_default();
        self.summary.note_rejected(&source, offset, reject.reason, &reject.detail);
        self.dead.write(&source, rejected).map_err(PipelineError::DeadLetters)
    }

    /// Stores what waits, and keeps the position when there is a new one.
    fn keep(&mut self) -> Result<(), PipelineError> {
        if let Some(state) = self.scorer.take_state() {
            self.flush()?;
            self.keep_state(state)?;
            (self.kept, self.has_news) = (Instant::now(), false);
        } else if self.is_dirty && self.flushed.elapsed() >= FLUSH_PAUSE {
            self.flush()?;
        }
        if self.has_news && self.kept.elapsed() >= self.run.snapshot_pause {
            self.scorer.request_state();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PipelineError> {
        self.sink.flush()?;
        self.dead.flush().map_err(PipelineError::DeadLetters)?;
        (self.flushed, self.is_dirty) = (Instant::now(), false);
        if let Some(time) = self.scorer.judged_through() {
            self.run.progress.judged_through(time);
        }
        Ok(())
    }

    fn keep_state(&mut self, state: State) -> Result<(), PipelineError> {
        let name_of = |id: u32| self.run.partitions.get(id).map(|known| (id, known.name.clone()));
        let names = state.positions.iter().filter_map(|(id, _)| name_of(*id)).collect();
        let snapshot = Snapshot::new(state, names);
        let passes = |error: &PositionError| matches!(error, PositionError::Store(_));
        let run = self.run;
        until_done(&|pause| run.stop.wait(pause), passes, || {
            run.keeper.save(&snapshot, (run.now)())
        })?;
        tracing::debug!(closed_through = %snapshot.state.closed_through, "the position is kept");
        crash::point("kept");
        let next: Vec<(PartitionName, i64)> =
            snapshot.positions().map(|(name, position)| (name.clone(), position.offset)).collect();
        self.run.source.commit(&next);
        crash::point("committed");
        Ok(())
    }

    /// Everything that was found is stored before the end; the position stays where it was kept.
    fn finish(&mut self) -> Result<(), PipelineError> {
        self.keep()?;
        self.flush()
    }
}
