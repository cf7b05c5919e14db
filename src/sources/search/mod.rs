//! Indexed raw flows as a source: partitions that are read in order and can be read again.
//!
//! ```text
//! backfill  partitions of a stretch of time → bands of time as they lie on the disk → decode → order ─queue→ judge
//! run       what has arrived → a slice of each partition, in the order of its offsets → decode ─queue→ judge
//! ```
//!
//! The order of the offsets is the order of the topic, so lateness is judged as it was there, and a
//! flow that a data stream holds twice is recognised by its position. Which offsets decide about
//! windows from one moment to another follows from event times alone: reading begins with the first
//! flow that lies at the beginning or later, since nothing before it can have made that one late, and
//! ends before the first one that makes everything before the end late.

mod bands;
mod follow;
mod requests;
mod settings;
mod slice;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::{Partition, PartitionName, PartitionRead, PartitionSource, Partitions, SourceError};
use crate::formats::{self, Decoder};
use crate::model::Timestamp;
use crate::stores::{Moment, Namespace, SearchRequest, Store};
use bands::{Bands, Ended};
use follow::Following;
use requests::{TIME, first_offset, flows, in_order, names, of, offset_field, offsets};
pub use settings::SearchInput;
use slice::Slice;

/// What is read of the indexed flows.
pub enum Reach {
    /// What decides about the windows of a stretch of time.
    Between(Stretch),
    /// Everything, as it arrives.
    Follow {
        /// How.
        input: SearchInput,
        /// Whether `input.start` says where to begin with partitions that are not known.
        is_first_start: bool,
        /// The present.
        now: fn() -> Timestamp,
    },
}

/// A stretch of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Start of the first window.
    pub from: Timestamp,
    /// End of the last window.
    pub to: Timestamp,
    /// How much later than the newest event time a flow may come and still be counted.
    pub lateness_seconds: u32,
    /// How far event times may lie from receive times, both ways together.
    pub clock_seconds: u32,
    /// Documents that are read at a time.
    pub page_documents: usize,
    /// Documents that a band of time should have: 100,000 are some 40 MB of flows.
    pub band_documents: u64,
    /// Flows that may wait for those before them. Beyond it partitions are read one by one, in the
    /// order of their offsets.
    pub held_flows: usize,
}

impl Stretch {
    /// What is usual for `band_documents` and `held_flows`: at most 200 MB wait.
    pub const USUAL: (u64, usize) = (100_000, 500_000);

    /// What lies here or later does not decide about the windows.
    fn end(&self) -> Timestamp {
        self.to.plus_seconds(self.lateness_seconds.into())
    }

    /// What lies before it was not received in the stretch.
    fn earliest(&self) -> Timestamp {
        self.from.plus_seconds(-i64::from(self.clock_seconds))
    }
}

/// Reads the raw flows of a namespace.
pub struct SearchSource {
    store: Arc<dyn Store>,
    namespace: Namespace,
    partitions: Partitions,
    reach: Reach,
}

impl SearchSource {
    /// Returns a source. `partitions` says where to begin those that it knows.
    pub fn new(
        store: Arc<dyn Store>,
        namespace: Namespace,
        partitions: Partitions,
        reach: Reach,
    ) -> Self {
        Self { store, namespace, partitions, reach }
    }

    fn read_between(&self, stretch: Stretch, reading: &mut Reading<'_>) -> Result<(), SourceError> {
        let known = self.partitions.all();
        let within = flows(&self.namespace).between(stretch.from, stretch.end());
        let mut found = Vec::new();
        for name in names(&*self.store, &within)? {
            found.extend(self.find(&name, &stretch)?);
        }
        if found.is_empty() && known.is_empty() {
            return Err(SourceError::Empty { name: "the stretch of time".into() });
        }
        let ids = found.iter().map(|found| found.partition.id).collect();
        if !reading.hand_over(PartitionRead::all(ids)) {
            return Ok(());
        }
        // What a snapshot knows and the index does not, is not waited for.
        let is_found =
            |one: &Arc<Partition>| found.iter().any(|found| found.partition.id == one.id);
        for gone in known.iter().filter(|one| !is_found(one)) {
            if !reading.hand_over(PartitionRead::Passed(gone.id, stretch.to)) {
                return Ok(());
            }
        }
        let moment = self.store.moment(flows(&self.namespace).family, &self.namespace)?;
        match Bands::new(self, &*moment, stretch, found).read(reading)? {
            Ended::Done | Ended::Stopped => Ok(()),
            Ended::Crowded(left) => self.read_one_by_one(&*moment, &stretch, left, reading),
        }
    }

    fn read_one_by_one(
        &self,
        moment: &dyn Moment,
        stretch: &Stretch,
        left: Vec<Found>,
        reading: &mut Reading<'_>,
    ) -> Result<(), SourceError> {
        let slices = left.into_iter().map(|found| {
            let request = flows(&self.namespace).between(stretch.earliest(), stretch.end());
            slice(moment, found, request, TIME, stretch.page_documents)
        });
        let slices = slices.collect::<Result<_, _>>()?;
        let passed = |slice: &Slice<'_>| PartitionRead::Passed(slice.partition.id, stretch.to);
        reading.read_all(slices, &|slice| Some(passed(slice)))?;
        Ok(())
    }

    /// Returns from which offset on a partition decides about the windows, and from which on it does
    /// not any more; `None` when it has no such flow.
    fn find(&self, name: &PartitionName, stretch: &Stretch) -> Result<Option<Found>, SourceError> {
        let Some(from) = self.first_of(name, stretch.from, stretch.end())? else {
            return Ok(None);
        };
        let to = self.first_of(name, stretch.end(), Timestamp::MAX)?;
        if to.is_some_and(|to| to <= from) {
            return Ok(None);
        }
        let partition = self.partitions.named(name);
        let from = partition.next().map_or(from, |next| next.max(from));
        Ok(Some(Found { partition, from, to }))
    }

    /// The lowest offset of a partition whose time lies from `from` on and before `to`.
    fn first_of(
        &self,
        name: &PartitionName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<i64>, SourceError> {
        let request = flows(&self.namespace).between(from, to).filter(of(name));
        Ok(first_offset(&*self.store, request, offset_field(name, TIME), false)?)
    }

    /// The earliest time, from `from` on and before `to`, of what is to be read of a partition.
    fn first_time(
        &self,
        found: &Found,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Timestamp>, SourceError> {
        let name = &found.partition.name;
        let left = offsets(offset_field(name, TIME), found.from, found.to);
        let request = flows(&self.namespace).between(from, to).filter(of(name)).filter(left);
        let first = first_offset(&*self.store, request, TIME, false)?;
        Ok(first.map(Timestamp::from_millis))
    }
}

/// A partition, and the offsets that are read of it.
struct Found {
    partition: Arc<Partition>,
    from: i64,
    to: Option<i64>,
}

/// Begins to read a partition by the order of `time` or of its offsets.
fn slice<'m>(
    moment: &'m dyn Moment,
    found: Found,
    request: SearchRequest,
    time: &'static str,
    page: usize,
) -> Result<Slice<'m>, SourceError> {
    let Found { partition, from, to } = found;
    let field = offset_field(&partition.name, time);
    let request = request.filter(of(&partition.name)).filter(offsets(field, from, to));
    let pages = moment.pages(&in_order(request, field), page)?;
    Ok(Slice::new(partition, pages, field != time))
}

impl PartitionSource for SearchSource {
    fn read(
        &self,
        to: &SyncSender<PartitionRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), SourceError> {
        let decoder = formats::by_name("ecs").expect("the format of our documents").decoder();
        let mut reading = Reading { to, is_stopped, decoder, repeated: 0 };
        match &self.reach {
            Reach::Between(stretch) => self.read_between(*stretch, &mut reading)?,
            Reach::Follow { input, is_first_start, now } => {
                let mut following = Following::new(self, input, *is_first_start, *now);
                while following.look(&mut reading)? {}
            }
        }
        if reading.repeated > 0 {
            tracing::info!(documents = reading.repeated, "flows that are indexed twice count once");
        }
        Ok(())
    }

    /// The snapshot alone says how far it was read.
    fn commit(&self, _: &[(PartitionName, i64)]) {}
}

/// The thread that reads.
struct Reading<'a> {
    to: &'a SyncSender<PartitionRead>,
    is_stopped: &'a dyn Fn() -> bool,
    decoder: Box<dyn Decoder>,
    repeated: u64,
}

impl Reading<'_> {
    /// Waits for room. Returns whether somebody still listens.
    fn hand_over(&self, read: PartitionRead) -> bool {
        self.to.send(read).is_ok()
    }

    /// Reads slices to their ends, the one that lags behind first: so few windows are open at a
    /// time. `ended` says what is told of one that has ended. Returns whether to go on.
    fn read_all(
        &mut self,
        mut slices: Vec<Slice<'_>>,
        ended: &dyn Fn(&Slice<'_>) -> Option<PartitionRead>,
    ) -> Result<bool, SourceError> {
        while let Some(behind) = (0..slices.len()).min_by_key(|at| slices[*at].newest) {
            if (self.is_stopped)() {
                return Ok(false);
            }
            let page = slices[behind].next(&mut *self.decoder)?;
            let told = match page {
                Some(page) => {
                    self.repeated += page.repeated;
                    Some(page.read)
                }
                None => {
                    let slice = slices.swap_remove(behind);
                    slice.end();
                    ended(&slice)
                }
            };
            if told.is_some_and(|read| !self.hand_over(read)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
