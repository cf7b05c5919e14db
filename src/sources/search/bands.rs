//! A stretch of time, band by band in the order of the disk, put in order here.
//!
//! A cluster packs documents in blocks. In the order of offsets of one partition nearly every
//! document costs a block; as they lie on the disk, ten times as many come in the same time. So a
//! band of time is read as it lies there, and of each partition that is handed over which lies below
//! the first offset that a later band holds. Little waits: what came late, or was early.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::mpsc::sync_channel;
use std::thread;

use serde_json::Value;

use super::requests::{OFFSET, PARTITION, TIME, TOPIC, flows, unplaced_name};
use super::slice::{Decoded, decode, rejection};
use super::{Found, Reading, SearchSource, SourceError, Stretch};
use crate::model::Timestamp;
use crate::sources::{PartitionName, PartitionRead, ReadFlow, RecordPlace};
use crate::stores::{Hit, Moment, SearchRequest};

/// The shortest band.
const SHORTEST_MILLIS: i64 = 1_000;
/// Flows of one hand-over.
const BATCH: usize = 4_096;

/// What was read of a partition and not handed over.
struct Shelf {
    found: Found,
    /// By offset, and by id where several flows share one.
    held: BTreeMap<(i64, String), Decoded>,
    /// Offset and number of the last one that was handed over.
    last: Option<(i64, u32)>,
}

/// How it ended.
pub(super) enum Ended {
    /// Everything was handed over.
    Done,
    /// Nobody listens any more.
    Stopped,
    /// Too much waits; this is left to be read.
    Crowded(Vec<Found>),
}

pub(super) struct Bands<'a> {
    source: &'a SearchSource,
    moment: &'a dyn Moment,
    stretch: Stretch,
    end: Timestamp,
    shelves: Vec<Shelf>,
    by_name: BTreeMap<PartitionName, usize>,
    strays: u64,
}

impl<'a> Bands<'a> {
    pub(super) fn new(
        source: &'a SearchSource,
        moment: &'a dyn Moment,
        stretch: Stretch,
        found: Vec<Found>,
    ) -> Self {
        let names = found.iter().enumerate();
        let by_name = names.map(|(at, found)| (found.partition.name.clone(), at)).collect();
        let shelf = |found| Shelf { found, held: BTreeMap::new(), last: None };
        let shelves = found.into_iter().map(shelf).collect();
        Self { source, moment, stretch, end: stretch.end(), shelves, by_name, strays: 0 }
    }

    /// Reads all bands.
    pub(super) fn read(mut self, reading: &mut Reading<'_>) -> Result<Ended, SourceError> {
        let Some((mut from, mut millis)) = self.first_band()? else {
            self.release(self.end, reading)?;
            return Ok(Ended::Done);
        };
        while from < self.end {
            let (to, documents) = self.band_from(from, &mut millis)?;
            if documents > 0 && !self.fill(from, to, reading)? {
                return Ok(Ended::Stopped);
            }
            if !self.release(to, reading)? {
                return Ok(Ended::Stopped);
            }
            if self.shelves.iter().map(|shelf| shelf.held.len()).sum::<usize>()
                > self.stretch.held_flows
            {
                tracing::info!(
                    "flows lie too far from their order; partitions are read one by one"
                );
                return Ok(Ended::Crowded(self.left()));
            }
            from = to;
        }
        if self.strays > 0 {
            let documents = self.strays;
            tracing::warn!(documents, "documents whose position cannot be read are left out");
        }
        Ok(Ended::Done)
    }

    fn between(&self, from: Timestamp, to: Timestamp) -> SearchRequest {
        flows(&self.source.namespace).between(from, to)
    }

    /// Where the first band begins, and how many milliseconds one may be long.
    fn first_band(&self) -> Result<Option<(Timestamp, i64)>, SourceError> {
        let mut from = self.end;
        for Shelf { found, .. } in &self.shelves {
            let time = self.source.first_time(found, self.stretch.earliest(), self.end)?;
            from = time.map_or(from, |time| from.min(time));
        }
        let documents = self.source.store.search(&self.between(from, self.end).size(0))?.total;
        let span = self.end.millis().saturating_sub(from.millis());
        let bands = i64::try_from(documents.div_ceil(self.stretch.band_documents.max(1)))
            .unwrap_or(i64::MAX);
        Ok((documents > 0).then(|| (from, (span / bands.max(1)).max(SHORTEST_MILLIS))))
    }

    /// Where the band ends that begins at `from`, and how many documents it has; the next one may be
    /// longer or must be shorter.
    fn band_from(
        &self,
        from: Timestamp,
        millis: &mut i64,
    ) -> Result<(Timestamp, u64), SourceError> {
        let wanted = self.stretch.band_documents;
        loop {
            let to = from.plus_nanos(millis.saturating_mul(1_000_000)).min(self.end);
            let documents = self.source.store.search(&self.between(from, to).size(0))?.total;
            if documents > wanted.saturating_mul(2) && *millis > SHORTEST_MILLIS {
                *millis = (*millis / 2).max(SHORTEST_MILLIS);
                continue;
            }
            if documents < wanted / 2 {
                *millis = millis.saturating_mul(2);
            }
            return Ok((to, documents));
        }
    }

    /// Reads a band: one thread asks for pages while this one decodes. Returns whether to go on.
    fn fill(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        reading: &mut Reading<'_>,
    ) -> Result<bool, SourceError> {
        let mut pages = self.moment.pages(&self.between(from, to), self.stretch.page_documents)?;
        let (sender, receiver) = sync_channel::<Vec<Hit>>(1);
        thread::scope(|scope| {
            let asking = scope.spawn(move || -> Result<(), SourceError> {
                loop {
                    let hits = pages.next_page()?;
                    if hits.is_empty() || sender.send(hits).is_err() {
                        return Ok(());
                    }
                }
            });
            for hits in receiver {
                if (reading.is_stopped)() {
                    return Ok(false);
                }
                hits.into_iter().for_each(|hit| self.put(hit, reading));
            }
            match asking.join() {
                Ok(asked) => asked.map(|()| true),
                Err(_) => Err(SourceError::Failed {
                    action: "reading indexed flows".to_owned(),
                    reason: "the thread failed".to_owned(),
                }),
            }
        })
    }

    /// Puts a document on the shelf of its partition.
    fn put(&mut self, hit: Hit, reading: &mut Reading<'_>) {
        let Some((name, offset)) = position(&hit.source) else {
            self.strays += 1;
            return;
        };
        // One that is not known decides about no window.
        let Some(&at) = self.by_name.get(&name) else { return };
        let Some(shelf) = self.shelves.get_mut(at) else { return };
        let is_wanted = shelf.found.from <= offset && shelf.found.to.is_none_or(|to| offset < to);
        if !is_wanted {
            return;
        }
        let tie = if name == unplaced_name() { hit.id.to_string() } else { String::new() };
        match shelf.held.entry((offset, tie)) {
            Entry::Occupied(_) => reading.repeated += 1,
            Entry::Vacant(place) => {
                place.insert(decode(&mut *reading.decoder, &hit));
            }
        }
    }

    /// Hands over what no flow of `to` or later comes before. Returns whether somebody listens.
    fn release(&mut self, to: Timestamp, reading: &Reading<'_>) -> Result<bool, SourceError> {
        for shelf in &mut self.shelves {
            let name = &shelf.found.partition.name;
            let next = match to < self.end {
                true => self.source.first_of(name, to, self.end)?,
                false => None,
            };
            let rest = next.map(|next| shelf.held.split_off(&(next, String::new())));
            let ready = std::mem::replace(&mut shelf.held, rest.unwrap_or_default());
            let mut ready = ready.into_iter().peekable();
            while ready.peek().is_some() {
                let read = shelf.batch(ready.by_ref().take(BATCH));
                if !reading.hand_over(read) {
                    return Ok(false);
                }
            }
        }
        // What was handed over until now leads to the end of all windows, if this was the last.
        let is_last = to >= self.end;
        Ok(self.shelves.iter().filter(|_| is_last).all(|shelf| {
            reading.hand_over(PartitionRead::Passed(shelf.found.partition.id, self.stretch.to))
        }))
    }

    /// What is to be read when nothing is held any more.
    fn left(self) -> Vec<Found> {
        let left = self.shelves.into_iter().map(|Shelf { found, last, .. }| {
            let from = last.map_or(found.from, |(last, _)| last.saturating_add(1));
            Found { from, ..found }
        });
        left.collect()
    }
}

impl Shelf {
    fn batch(&mut self, ready: impl Iterator<Item = ((i64, String), Decoded)>) -> PartitionRead {
        let partition = self.found.partition.id;
        let (mut flows, mut rejected, mut records) = (Vec::new(), Vec::new(), 0);
        for ((offset, _), decoded) in ready {
            let index = match self.last {
                Some((last, index)) if last == offset => index.saturating_add(1),
                _ => 0,
            };
            self.last = Some((offset, index));
            records += 1;
            let place = RecordPlace { partition, offset, index };
            match decoded {
                Ok(None) => {}
                Ok(Some(flow)) => flows.push(ReadFlow { flow, place }),
                Err((reject, record)) => rejected.push((place, rejection(place, reject, &record))),
            }
        }
        let is_placed = self.found.partition.name != unplaced_name();
        let next = self.last.map(|(last, _)| if is_placed { last.saturating_add(1) } else { last });
        let next = next.map(|next| (partition, next)).into_iter().collect();
        PartitionRead::Flows { flows, rejected, next, records }
    }
}

/// The partition and the offset of a document; without a position, the milliseconds of its time.
/// `None` when it has neither.
fn position(document: &Value) -> Option<(PartitionName, i64)> {
    let topic = look_up(document, TOPIC).and_then(Value::as_str);
    let partition = look_up(document, PARTITION).and_then(whole);
    let partition = partition.and_then(|number| i32::try_from(number).ok()).filter(|n| *n >= 0);
    let offset = look_up(document, OFFSET).and_then(whole).filter(|offset| *offset >= 0);
    if let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) {
        return Some((PartitionName { topic: topic.to_owned(), partition }, offset));
    }
    let time = look_up(document, TIME)?;
    let millis = match time {
        Value::String(text) => text.parse::<Timestamp>().ok()?.millis(),
        time => time.as_i64()?,
    };
    Some((unplaced_name(), millis))
}

/// A number, or a text that a cluster takes for one.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The value under a dotted path, whether written as objects or with dots; of an array the first.
fn look_up<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(path) {
        return match found {
            Value::Array(values) => values.first(),
            found => Some(found),
        };
    }
    let mut dots = path.match_indices('.').map(|(dot, _)| path.split_at(dot));
    dots.find_map(|(head, rest)| look_up(value.get(head)?, rest.strip_prefix('.')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_position_is_read_however_it_is_written() {
        let own = |topic: &str| PartitionName { topic: topic.to_owned(), partition: 3 };
        for document in [
            json!({"flowsentry": {"flow": {"topic": "t", "partition": 3, "offset": 7}}}),
            json!({"flowsentry.flow": {"topic": "t", "partition": 3}, "flowsentry.flow.offset": 7}),
            json!({"flowsentry": {"flow.topic": ["t"], "flow": {"partition": "3", "offset": "7"}}}),
        ] {
            assert_eq!(position(&document), Some((own("t"), 7)), "{document}");
        }
        for document in [
            json!({"@timestamp": "2026-11-21T10:00:00.123456Z"}),
            json!({"@timestamp": 1_795_255_200_123_i64, "flowsentry": {"flow": {"topic": "t"}}}),
            json!({"@timestamp": "2026-11-21T10:00:00.123Z",
                "flowsentry": {"flow": {"topic": "t", "partition": -3, "offset": 7}}}),
        ] {
            let found = position(&document).map(|(name, millis)| (name == unplaced_name(), millis));
            assert_eq!(found, Some((true, 1_795_255_200_123)), "{document}");
        }
        assert_eq!(position(&json!({"@timestamp": "x"})), None);
    }
}
