//! Stage one: the partitions of this worker → partials → log → commit.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::features::{Partial, Position};
use crate::model::{Timestamp, nanos};
use crate::scorer::{Fold, FoldPosition};
use crate::sinks::KafkaProducer;
use crate::sources::kafka::KafkaSource;
use crate::sources::{
    Gained, PartitionName, PartitionRead, PartitionSource, Partitions, RecordPlace,
};

use super::super::partitioned::{PAUSE, TELL_PAUSE, read_beside, reject_all};
use super::super::{DeadLetters, PipelineError, Progress, Stop, Summary};
use super::message::{Message, Word};
use crate::testkit::crash;

/// Bytes of one partial in a message: below what brokers take by default, with room for its frame.
const MESSAGE_BYTES: usize = 900_000;

/// What to fold, and where to.
pub struct FoldRun<'a> {
    /// A source that joined its group with others.
    pub source: &'a KafkaSource,
    /// Its partitions.
    pub partitions: &'a Partitions,
    /// The log.
    pub log: &'a KafkaProducer,
    /// Makes the fold of a partition.
    pub new_fold: &'a dyn Fn() -> Fold,
    /// Length of the short windows, in seconds.
    pub pane_seconds: u32,
    /// Least time between two commits.
    pub commit_pause: Duration,
    /// The present.
    pub now: fn() -> Timestamp,
    /// Ends the reading.
    pub stop: &'a Stop,
    /// Told while it goes on.
    pub progress: &'a dyn Progress,
}

/// Folds the partitions that fall to this worker until it is stopped, and returns the numbers.
///
/// # Errors
/// When the source or the log is broken. Nothing is lost: what was not committed is read again, by
/// whoever reads it next.
pub fn fold_partitions(
    run: &FoldRun<'_>,
    dead: &mut DeadLetters,
) -> Result<Summary, PipelineError> {
    let mut folding = Folding {
        run,
        dead,
        open: BTreeMap::new(),
        ended: Summary::default(),
        committed: Instant::now(),
        told: Instant::now(),
    };
    let stop = run.stop;
    let read = read_beside(run.source, &|| stop.is_asked(), |reads| folding.fold_all(reads))?;
    read?;
    folding.commit()?;
    Ok(folding.summary())
}

/// What is kept with an offset that is committed: how far its partition was there.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    #[serde(with = "nanos")]
    watermark: Timestamp,
    #[serde(with = "nanos")]
    closed_through: Timestamp,
    term: i64,
}

struct OpenFold {
    name: PartitionName,
    fold: Fold,
    term: i64,
    /// The last watermark that was told.
    told: Timestamp,
    is_resting: bool,
}

struct Folding<'a> {
    run: &'a FoldRun<'a>,
    dead: &'a mut DeadLetters,
    open: BTreeMap<u32, OpenFold>,
    /// Numbers of what this worker does not read any more.
    ended: Summary,
    committed: Instant,
    /// When it was told last how far behind the reading is.
    told: Instant,
}

impl Folding<'_> {
    fn fold_all(&mut self, reads: &Receiver<PartitionRead>) -> Result<(), PipelineError> {
        loop {
            match reads.recv_timeout(PAUSE) {
                Ok(read) => self.take(read)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.told.elapsed() >= TELL_PAUSE {
                self.told = Instant::now();
                self.run.source.lag().into_iter().for_each(|lag| self.run.progress.behind(lag));
            }
            self.dead.flush_due().map_err(PipelineError::DeadLetters)?;
            if self.committed.elapsed() >= self.run.commit_pause {
                self.commit()?;
            }
        }
    }

    fn take(&mut self, read: PartitionRead) -> Result<(), PipelineError> {
        match read {
            PartitionRead::Gained { partitions, existing } => {
                for gained in &partitions {
                    self.begin(gained)?;
                }
                self.tell_existing(&existing)
            }
            PartitionRead::Lost(ids) => {
                ids.into_iter().for_each(|id| self.end(id));
                Ok(())
            }
            PartitionRead::Idle(id) => self.rest(id),
            // Said of stretches of time, and a topic has no end.
            PartitionRead::Passed(..) => Ok(()),
            PartitionRead::Flows { flows, rejected, next, records } => {
                crash::point("polled");
                self.ended.records += records;
                reject_all(self.run.partitions, &rejected, &mut self.ended, self.dead)?;
                self.run.progress.scored(flows.len() as u64);
                let mut message = None;
                for read in flows {
                    let RecordPlace { partition, offset, .. } = read.place;
                    let Some(open) = self.open.get_mut(&partition) else { continue };
                    if message.replace((partition, offset)) != Some((partition, offset)) {
                        open.fold.at(offset);
                    }
                    open.fold.add(read.flow);
                    open.is_resting = false;
                }
                for (id, offset) in next {
                    if let Some(open) = self.open.get_mut(&id) {
                        open.fold.at(offset);
                        send_complete(self.run, open)?;
                    }
                }
                crash::point("folded");
                Ok(())
            }
        }
    }

    /// Takes a partition over where its last reader left it.
    fn begin(&mut self, gained: &Gained) -> Result<(), PipelineError> {
        let Some(partition) = self.run.partitions.get(gained.id) else { return Ok(()) };
        let left = gained.left.as_ref();
        let left =
            left.and_then(|(at, mark)| Some((*at, serde_json::from_str::<Mark>(mark).ok()?)));
        let mut fold = (self.run.new_fold)();
        let now = (self.run.now)().millis();
        let mut term = now;
        if let Some((offset, mark)) = left {
            let position = Position { offset, watermark: mark.watermark };
            fold.resume(FoldPosition { closed_through: mark.closed_through, position });
            term = now.max(mark.term.saturating_add(1));
        }
        tracing::info!(partition = %partition.name, "folding");
        let name = partition.name.clone();
        let told = Timestamp::MIN;
        let open = OpenFold { name, fold, term, told, is_resting: false };
        say(self.run, &open.name, Word::Owned { term })?;
        self.open.insert(gained.id, open);
        Ok(())
    }

    /// Windows wait for partitions that nobody has read yet.
    fn tell_existing(&self, existing: &[u32]) -> Result<(), PipelineError> {
        let names = existing.iter().filter_map(|id| self.run.partitions.get(*id));
        let names: Vec<_> = names.map(|partition| partition.name.clone()).collect();
        match names.first().cloned() {
            Some(any) => say(self.run, &any, Word::Exist(names)),
            None => Ok(()),
        }
    }

    fn end(&mut self, id: u32) {
        if let Some(open) = self.open.remove(&id) {
            tracing::info!(partition = %open.name, "another worker folds it from now on");
            add_counters(&mut self.ended, &open.fold);
        }
    }

    fn rest(&mut self, id: u32) -> Result<(), PipelineError> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        open.fold.rest();
        open.is_resting = true;
        send_complete(self.run, open)?;
        let closed_through = open.fold.closed_through().unwrap_or(Timestamp::MIN);
        say(self.run, &open.name, Word::Resting { term: open.term, closed_through })
    }

    /// Commits from where each partition would be folded again, once what was sent has arrived.
    fn commit(&mut self) -> Result<(), PipelineError> {
        self.committed = Instant::now();
        self.dead.flush().map_err(PipelineError::DeadLetters)?;
        let positions: Vec<_> = self
            .open
            .values_mut()
            .filter_map(|open| {
                let at = open.fold.take_position()?;
                let (watermark, term) = (at.position.watermark, open.term);
                let mark = Mark { watermark, closed_through: at.closed_through, term };
                let mark = serde_json::to_string(&mark).expect("a mark is plain data");
                Some((open.name.clone(), at.position.offset, mark))
            })
            .collect();
        if positions.is_empty() {
            return Ok(());
        }
        self.run.log.wait_until_taken(&|| self.run.stop.is_asked())?;
        crash::point("sent");
        self.run.source.commit_marked(&positions);
        crash::point("marked");
        Ok(())
    }

    fn summary(mut self) -> Summary {
        for open in self.open.values() {
            add_counters(&mut self.ended, &open.fold);
        }
        self.ended
    }
}

fn add_counters(summary: &mut Summary, fold: &Fold) {
    let (total, own) = (&mut summary.counters, fold.counters());
    total.flows += own.flows;
    total.late += own.late;
    total.replayed += own.replayed;
    total.clock_skew += own.clock_skew;
    total.unknown_sampling += own.unknown_sampling;
}

/// Sends what is complete, and then how far the partition is.
fn send_complete(run: &FoldRun<'_>, open: &mut OpenFold) -> Result<(), PipelineError> {
    while let Some(partial) = open.fold.next_complete() {
        for part in partial.split(MESSAGE_BYTES) {
            say(run, &open.name, Word::Partial(&Partial::encode(&part)))?;
        }
    }
    if open.is_resting {
        return Ok(());
    }
    let Some(watermark) = open.fold.watermark() else { return Ok(()) };
    // Windows end at such times only. After a rest the first word wakes those who wait.
    let passed = watermark.floor(run.pane_seconds);
    if passed > open.told {
        open.told = passed;
        say(run, &open.name, Word::Passed(passed))?;
    }
    Ok(())
}

fn say(run: &FoldRun<'_>, of: &PartitionName, word: Word<'_>) -> Result<(), PipelineError> {
    let message = Message { of: of.clone(), word };
    Ok(run.log.send(&message.encode(), None, None)?)
}
