//! One partition being read: pages of documents → flows with their places.

use std::sync::Arc;

use super::requests::whole;
use crate::formats::{Decoder, Reject};
use crate::model::{Flow, Timestamp};
use crate::sources::{
    Partition, PartitionRead, Place, ReadFlow, RecordPlace, Rejected, SourceError,
};
use crate::stores::{DocumentId, Hit, Pages, SortValue};

/// A partition, or the stretch of it that is read.
pub(super) struct Slice<'m> {
    pub(super) partition: Arc<Partition>,
    pages: Box<dyn Pages + 'm>,
    /// Whether the flows have positions: then one offset is one flow.
    is_placed: bool,
    /// Newest event time that was read.
    pub(super) newest: Timestamp,
    last: Option<Last>,
}

/// The last flow that was read, to recognise it when it comes again.
struct Last {
    offset: i64,
    /// How many flows of this offset came before.
    index: u32,
    sort: Vec<SortValue>,
    /// Those with the same sort values.
    ids: Vec<DocumentId>,
}

/// What came of a page.
pub(super) struct PageRead {
    pub(super) read: PartitionRead,
    /// Documents that were there before: a data stream takes the same id again.
    pub(super) repeated: u64,
}

impl<'m> Slice<'m> {
    pub(super) fn new(
        partition: Arc<Partition>,
        pages: Box<dyn Pages + 'm>,
        is_placed: bool,
    ) -> Self {
        Self { partition, pages, is_placed, newest: Timestamp::MIN, last: None }
    }

    /// Reads the next page; `None` at the end.
    pub(super) fn next(
        &mut self,
        decoder: &mut dyn Decoder,
    ) -> Result<Option<PageRead>, SourceError> {
        let hits = self.pages.next_page()?;
        if hits.is_empty() {
            return Ok(None);
        }
        let (mut flows, mut rejected) = (Vec::with_capacity(hits.len()), Vec::new());
        let (mut records, mut repeated) = (0, 0);
        for hit in hits {
            let Some(place) = self.place_of(&hit) else {
                repeated += 1;
                continue;
            };
            records += 1;
            match decode(decoder, &hit) {
                Ok(None) => {}
                Ok(Some(flow)) => {
                    self.newest = self.newest.max(flow.end);
                    flows.push(ReadFlow { flow, place });
                }
                Err((reject, record)) => rejected.push((place, rejection(place, reject, &record))),
            }
        }
        let next = self.next_offset().map(|next| (self.partition.id, next));
        let next = next.into_iter().collect();
        let read = PartitionRead::Flows { flows, rejected, next, records };
        Ok(Some(PageRead { read, repeated }))
    }

    /// Where reading would go on. Of flows without a position more of the same moment may follow.
    fn next_offset(&self) -> Option<i64> {
        let last = self.last.as_ref()?;
        Some(if self.is_placed { last.offset.saturating_add(1) } else { last.offset })
    }

    /// Notes that everything up to the last flow was read.
    pub(super) fn end(&self) {
        if let Some(last) = &self.last {
            self.partition.set_next(last.offset.saturating_add(1));
        }
    }

    /// Returns the place of a hit; `None` when it was read before.
    fn place_of(&mut self, hit: &Hit) -> Option<RecordPlace> {
        let offset = whole(hit.sort.first()).unwrap_or_default();
        let mut index = 0;
        match &mut self.last {
            Some(last) if last.offset == offset => {
                if self.is_placed || (last.sort == hit.sort && last.ids.contains(&hit.id)) {
                    return None;
                }
                index = last.index.saturating_add(1);
                last.index = index;
                if last.sort != hit.sort {
                    (last.sort, last.ids) = (hit.sort.clone(), Vec::new());
                }
                last.ids.push(hit.id.clone());
            }
            last => {
                let ids = vec![hit.id.clone()];
                *last = Some(Last { offset, index, sort: hit.sort.clone(), ids });
            }
        }
        Some(RecordPlace { partition: self.partition.id, offset, index })
    }
}

/// A flow, nothing, or the document with the reason why it is no flow.
pub(super) type Decoded = Result<Option<Flow>, (Reject, Vec<u8>)>;

/// Decodes a document.
pub(super) fn decode(decoder: &mut dyn Decoder, hit: &Hit) -> Decoded {
    let record = hit.source.to_string().into_bytes();
    decoder.decode(&record).map_err(|reject| (reject, record))
}

pub(super) fn rejection(place: RecordPlace, reject: Reject, record: &[u8]) -> Rejected {
    let offset = u64::try_from(place.offset).unwrap_or_default();
    Rejected::new(Place { offset, line: u64::from(place.index) + 1 }, reject, record)
}
