//! Sequence numbers of exporting devices → what is missing between them.
//!
//! | export | its number counts | a gap means |
//! |---|---|---|
//! | NetFlow 5, IPFIX | flow records | that many records are missing |
//! | NetFlow 9, sFlow | datagrams | datagrams are missing, or held no flows (templates, counters) |
//!
//! Numbers are kept in blocks, so that a busy device costs little, and an estimate needs neither the
//! order of arrival nor every number: everything here is a function of the set of records.

use serde::{Deserialize, Serialize};

use crate::model::{Flow, FlowOrigin, Timestamp, nanos};

/// Blocks of one device in one window: 65,000 datagrams or 1,000,000 records. Of more, the lowest
/// numbers are kept, which are as good a sample as any. 80 bytes each.
const MOST_BLOCKS: usize = 1_024;
/// Numbers of one block as a power of two: as many datagrams as a word has bits.
const DATAGRAM_BITS: u32 = 6;
/// The same of records, of which a datagram holds about 30.
const RECORD_BITS: u32 = 10;
/// A gap of more than so many times what came is a counter that was set anew, and no loss.
const LARGEST_GAP: u64 = 10;
/// Higher numbers that came so much earlier than lower ones were counted before a restart, or before
/// the counter went past its end.
const DISORDER_SECONDS: f64 = 1.0;
/// A record that came later than this after its flow says nothing of the time of its datagram.
const LONGEST_DELAY_SECONDS: f64 = 3_600.0;

/// A kind of export whose numbers are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Counter {
    NetflowV5,
    Ipfix,
    NetflowV9,
    Sflow5,
}

impl Counter {
    const ALL: [Self; 4] = [Self::NetflowV5, Self::Ipfix, Self::NetflowV9, Self::Sflow5];

    const fn of(origin: FlowOrigin) -> Option<Self> {
        match origin {
            FlowOrigin::NetflowV5 => Some(Self::NetflowV5),
            FlowOrigin::Ipfix => Some(Self::Ipfix),
            FlowOrigin::NetflowV9 => Some(Self::NetflowV9),
            FlowOrigin::Sflow5 => Some(Self::Sflow5),
            FlowOrigin::OtherExport
            | FlowOrigin::Zeek
            | FlowOrigin::Argus
            | FlowOrigin::Pmacct
            | FlowOrigin::Nfdump
            | FlowOrigin::Ecs
            | FlowOrigin::Table
            | FlowOrigin::Capture => None,
        }
    }

    const fn counts_records(self) -> bool {
        matches!(self, Self::NetflowV5 | Self::Ipfix)
    }

    const fn block_of(self, sequence: u32) -> u32 {
        sequence >> if self.counts_records() { RECORD_BITS } else { DATAGRAM_BITS }
    }
}

/// The datagram of one record: whose number, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Export {
    counter: Counter,
    sequence: u32,
    pub(super) received: Timestamp,
}

impl Export {
    /// Returns the datagram of a flow; `None` when its number or the time of its arrival is unknown.
    /// The time of the flow will not do: flows of one datagram end at many times.
    pub(super) fn of(flow: &Flow) -> Option<Self> {
        let (sequence, received) = flow.sequence.zip(flow.received)?;
        let counter = Counter::of(flow.origin)?;
        let is_prompt = received.seconds_since(flow.end) <= LONGEST_DELAY_SECONDS;
        is_prompt.then_some(Self { counter, sequence, received })
    }
}

/// What is missing of what a device sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Records that a device numbered between the first and the last that came.
    pub expected_records: u64,
    /// Records of them that did not come.
    pub lost_records: u64,
    /// Datagrams that a device numbered between the first and the last that came.
    pub expected_datagrams: u64,
    /// Datagrams of them of which no flow came.
    pub lost_datagrams: u64,
}

impl Loss {
    /// The lost share, from 0 to 1; the greater one of a device that does both. 0 when nothing was
    /// expected.
    pub fn share(&self) -> f64 {
        let share = |lost: u64, expected: u64| lost as f64 / expected.max(1) as f64;
        let records = share(self.lost_records, self.expected_records);
        records.max(share(self.lost_datagrams, self.expected_datagrams))
    }
}

/// The sequence numbers of one device over one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Numbered>", into = "Vec<Numbered>")]
pub struct ExportLog {
    /// In ascending order of counter and number.
    blocks: Vec<Numbered>,
}

/// A block behind its counter and number.
type Numbered = ((Counter, u32), Block);

/// The records whose datagrams have their numbers in one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    #[serde(with = "nanos")]
    earliest: Timestamp,
    /// The lowest number, and how many records have it.
    first: (u32, u64),
    /// The highest number, and how many records have it.
    last: (u32, u64),
    records: u64,
    /// A bit for each datagram; none where records are counted.
    datagrams: u64,
}

impl Block {
    fn of(export: Export) -> Self {
        let Export { counter, sequence, received } = export;
        let bit = 1 << (sequence % (1 << DATAGRAM_BITS));
        Self {
            earliest: received,
            first: (sequence, 1),
            last: (sequence, 1),
            records: 1,
            datagrams: if counter.counts_records() { 0 } else { bit },
        }
    }

    fn merge(&mut self, other: &Self) {
        self.earliest = self.earliest.min(other.earliest);
        self.first = edge(self.first, other.first, other.first.0 < self.first.0);
        self.last = edge(self.last, other.last, other.last.0 > self.last.0);
        self.records = self.records.saturating_add(other.records);
        self.datagrams |= other.datagrams;
    }

    /// Whether it can be the block of `key`: a message may hold anything.
    fn is_sound(&self, (counter, number): (Counter, u32)) -> bool {
        let edges = [self.first, self.last];
        self.first.0 <= self.last.0
            && edges.iter().all(|edge| counter.block_of(edge.0) == number && edge.1 > 0)
            && edges.iter().all(|edge| edge.1 <= self.records)
            && counter.counts_records() == (self.datagrams == 0)
    }

    /// Records or datagrams that came.
    fn received(&self, counter: Counter) -> u64 {
        if counter.counts_records() { self.records } else { self.datagrams.count_ones().into() }
    }
}

/// The edge of two blocks: theirs when it lies further out, both when they are the same number.
fn edge(ours: (u32, u64), theirs: (u32, u64), is_beyond: bool) -> (u32, u64) {
    match (is_beyond, ours.0 == theirs.0) {
        (true, _) => theirs,
        (false, true) => (ours.0, ours.1.saturating_add(theirs.1)),
        (false, false) => ours,
    }
}

impl ExportLog {
    /// Adds a record.
    pub(super) fn insert(&mut self, export: Export) {
        let key = (export.counter, export.counter.block_of(export.sequence));
        self.add(key, &Block::of(export));
    }

    /// Adds what another part of the same window holds.
    pub(super) fn merge(&mut self, other: &Self) {
        other.blocks.iter().for_each(|(key, block)| self.add(*key, block));
    }

    fn add(&mut self, key: (Counter, u32), block: &Block) {
        match self.blocks.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(place) => self.blocks[place].1.merge(block),
            Err(place) if place >= MOST_BLOCKS => {}
            Err(place) => {
                self.blocks.truncate(MOST_BLOCKS - 1);
                if self.blocks.is_empty() {
                    // Forged devices have one block each, and there may be many of them.
                    self.blocks.reserve_exact(1);
                }
                self.blocks.insert(place, (key, block.clone()));
            }
        }
    }

    /// What is missing between the first and the last number. What was lost before and after is not
    /// known; where a counter was set anew, each side counts for itself.
    pub fn loss(&self) -> Loss {
        let mut loss = Loss::default();
        for counter in Counter::ALL {
            let of_counter = self.blocks.iter().filter(|((own, _), _)| *own == counter);
            let blocks: Vec<&Block> = of_counter.map(|(_, block)| block).collect();
            let received = sum(&blocks, counter);
            for run in blocks.chunk_by(|before, after| follows(before, after, received)) {
                let (expected, lost) = missing(run, counter);
                let (all, gone) = match counter.counts_records() {
                    true => (&mut loss.expected_records, &mut loss.lost_records),
                    false => (&mut loss.expected_datagrams, &mut loss.lost_datagrams),
                };
                *all = all.saturating_add(expected);
                *gone = gone.saturating_add(lost);
            }
        }
        loss
    }
}

fn sum(blocks: &[&Block], counter: Counter) -> u64 {
    blocks.iter().map(|block| block.received(counter)).fold(0, u64::saturating_add)
}

/// Whether the counter went on from one block to the next.
fn follows(before: &Block, after: &Block, received: u64) -> bool {
    let gap = u64::from(after.first.0 - before.last.0);
    let is_in_order = before.earliest.seconds_since(after.earliest) <= DISORDER_SECONDS;
    is_in_order && gap <= received.saturating_mul(LARGEST_GAP)
}

/// What a counter counted over a run of blocks, and how much of it is missing.
fn missing(run: &[&Block], counter: Counter) -> (u64, u64) {
    let (Some(begin), Some(end)) = (run.first(), run.last()) else { return (0, 0) };
    let (received, span) = (sum(run, counter), u64::from(end.last.0 - begin.first.0));
    let (counted, came) = match counter {
        Counter::NetflowV9 | Counter::Sflow5 => (span + 1, received),
        // The number is that of the first record; those of the last datagram come after it.
        Counter::NetflowV5 => (span, received.saturating_sub(end.last.1)),
        // Some write the number before, some the number after their records.
        Counter::Ipfix => (span, received.saturating_sub(begin.first.1.min(end.last.1))),
    };
    let lost = counted.saturating_sub(came);
    (came.saturating_add(lost), lost)
}

impl From<ExportLog> for Vec<Numbered> {
    fn from(log: ExportLog) -> Self {
        log.blocks
    }
}

impl TryFrom<Vec<Numbered>> for ExportLog {
    type Error = &'static str;

    fn try_from(blocks: Vec<Numbered>) -> Result<Self, Self::Error> {
        let ascend = super::wire::is_ascending(&blocks, |(key, _)| *key);
        let are_sound = blocks.iter().all(|(key, block)| block.is_sound(*key));
        if !ascend || !are_sound || blocks.len() > MOST_BLOCKS {
            return Err("sequence numbers that cannot be");
        }
        Ok(Self { blocks })
    }
}

#[cfg(test)]
mod tests;
