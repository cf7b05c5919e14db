//! Flows as they arrive in the index.
//!
//! Bulk requests overlap, so a flow may become visible before one of a lower offset. Therefore only
//! flows are read that arrived a while ago, and none behind one that has arrived since.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::requests::{
    INGESTED, arrived, first_offset, flows, names, of, offset_field, unplaced_name,
};
use super::{Found, Reading, SearchInput, SearchSource, SourceError, slice};
use crate::model::Timestamp;
use crate::sources::kafka::Start;
use crate::sources::{Partition, PartitionName, PartitionRead};
use crate::stores::Filter;

/// How long a stop takes to be seen.
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// The state between two looks.
pub(super) struct Following<'a> {
    source: &'a SearchSource,
    input: &'a SearchInput,
    is_first_start: bool,
    now: fn() -> Timestamp,
    /// What arrived before this time was looked at.
    looked: Option<Timestamp>,
    known: Vec<Quiet>,
    told_unstamped: bool,
}

/// Since when a partition has nothing to read.
struct Quiet {
    partition: Arc<Partition>,
    /// The offset at which it stood then.
    next: Option<i64>,
    since: Instant,
    is_told: bool,
}

impl Quiet {
    fn new(partition: Arc<Partition>) -> Self {
        let next = partition.next();
        Self { partition, next, since: Instant::now(), is_told: false }
    }
}

impl<'a> Following<'a> {
    pub(super) fn new(
        source: &'a SearchSource,
        input: &'a SearchInput,
        is_first_start: bool,
        now: fn() -> Timestamp,
    ) -> Self {
        // Those of the snapshot are waited for, whether there is something new or not.
        let known = source.partitions.all().into_iter().map(Quiet::new).collect();
        let looked = None;
        Self { source, input, is_first_start, now, looked, known, told_unstamped: false }
    }

    /// Reads what is new, then waits. Returns whether to go on.
    pub(super) fn look(&mut self, reading: &mut Reading<'_>) -> Result<bool, SourceError> {
        let settled = (self.now)().plus_seconds(-i64::from(self.input.settle_seconds));
        let source = self.source;
        // Once more what the look before may have been too early for.
        let margin = -i64::from(self.input.settle_seconds);
        let from = self.looked.map(|looked| looked.plus_seconds(margin));
        let news = flows(&source.namespace).filter(arrived(from, Some(settled)));
        let names = names(&*source.store, &news)?;
        if !self.meet(&names, settled, reading)? || !self.read(&names, settled, reading)? {
            return Ok(false);
        }
        self.looked = Some(settled);
        Ok(self.tell_of_quiet(reading) && self.wait(reading))
    }

    /// Gives partitions that were not known a place to begin at.
    fn meet(
        &mut self,
        names: &BTreeSet<PartitionName>,
        settled: Timestamp,
        reading: &Reading<'_>,
    ) -> Result<bool, SourceError> {
        let partitions = &self.source.partitions;
        let before = self.known.len();
        for name in names {
            if self.known.iter().any(|quiet| quiet.partition.name == *name) {
                continue;
            }
            let begin = self.begin_of(name, settled)?;
            partitions.begin_at(name, begin);
            self.known.push(Quiet::new(partitions.named(name)));
        }
        if self.known.len() == before && self.looked.is_some() {
            return Ok(true);
        }
        let ids = self.known.iter().map(|quiet| quiet.partition.id).collect();
        Ok(reading.hand_over(PartitionRead::all(ids)))
    }

    /// Where a partition begins that is not known: one that appears later, with its first flow.
    fn begin_of(&self, name: &PartitionName, settled: Timestamp) -> Result<i64, SourceError> {
        if !self.is_first_start || self.looked.is_some() {
            return Ok(0);
        }
        let store = &*self.source.store;
        let all = || flows(&self.source.namespace).filter(of(name));
        let field = offset_field(name, INGESTED);
        let after_last = || {
            let settled = all().filter(arrived(None, Some(settled)));
            first_offset(store, settled, field, true)
                .map(|last| last.map_or(0, |last| last.saturating_add(1)))
        };
        Ok(match self.input.start {
            Start::Earliest => 0,
            Start::Latest => after_last()?,
            Start::At(time) => {
                let first = first_offset(store, all().between(time, Timestamp::MAX), field, false)?;
                first.map_or_else(after_last, Ok)?
            }
        })
    }

    fn read(
        &mut self,
        names: &BTreeSet<PartitionName>,
        settled: Timestamp,
        reading: &mut Reading<'_>,
    ) -> Result<bool, SourceError> {
        if names.is_empty() {
            return Ok(true);
        }
        let source = self.source;
        let moment = source.store.moment(flows(&source.namespace).family, &source.namespace)?;
        let mut slices = Vec::new();
        for quiet in self.known.iter().filter(|one| names.contains(&one.partition.name)) {
            let partition = &quiet.partition;
            let is_unplaced = partition.name == unplaced_name();
            let field = offset_field(&partition.name, INGESTED);
            let unsettled = flows(&source.namespace)
                .filter(of(&partition.name))
                .filter(arrived(Some(settled), None));
            let to = first_offset(&*source.store, unsettled, field, false)?;
            if is_unplaced && !self.told_unstamped {
                self.told_unstamped = tell_of_unstamped(source)?;
            }
            let from = partition.next().unwrap_or_default();
            let request = flows(&source.namespace).filter(arrived(None, Some(settled)));
            let page = self.input.page_documents;
            let found = Found { partition: Arc::clone(partition), from, to };
            slices.push(slice(&*moment, found, request, INGESTED, page)?);
        }
        let goes_on = reading.read_all(slices, &|_| None)?;
        for quiet in &mut self.known {
            if quiet.next != quiet.partition.next() {
                *quiet = Quiet::new(Arc::clone(&quiet.partition));
            }
        }
        Ok(goes_on)
    }

    fn tell_of_quiet(&mut self, reading: &Reading<'_>) -> bool {
        let idle = Duration::from_secs(self.input.idle_seconds.into());
        for quiet in self.known.iter_mut().filter(|quiet| !quiet.is_told) {
            if quiet.since.elapsed() >= idle {
                quiet.is_told = true;
                if !reading.hand_over(PartitionRead::Idle(quiet.partition.id)) {
                    return false;
                }
            }
        }
        true
    }

    fn wait(&self, reading: &Reading<'_>) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(self.input.poll_seconds.into()) {
            if (reading.is_stopped)() {
                return false;
            }
            std::thread::sleep(STOP_PAUSE);
        }
        !(reading.is_stopped)()
    }
}

/// Says when flows cannot be read because nothing tells their order of arrival.
fn tell_of_unstamped(source: &SearchSource) -> Result<bool, SourceError> {
    let unstamped = flows(&source.namespace)
        .filter(of(&unplaced_name()))
        .filter(Filter::exists(INGESTED).negate());
    let documents = source.store.search(&unstamped.size(0))?.total;
    if documents > 0 {
        tracing::error!(
            documents,
            "flows with neither a position in a topic nor `event.ingested` are not read"
        );
    }
    Ok(documents > 0)
}
