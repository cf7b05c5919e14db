//! Reading everything in pages: what is open stays as it is.

use super::finish::candidates;
use super::hits::{Candidate, Shard, fetch};
use crate::stores::moment::{check_pages, page_end};
use crate::stores::{Family, Hit, IndexName, Moment, Namespace, Pages, SearchRequest, StoreError};

/// How many hits are put in order at a time: about a hundred bytes each, and one pass over the
/// indices.
const CANDIDATES: usize = 100_000;

/// Whether the index may hold hits of `request`.
pub(super) fn overlaps(name: &IndexName, request: &SearchRequest) -> bool {
    match (request.time, name.span()) {
        (Some(time), Some((from, to))) => time.from < to && from < time.to,
        _ => true,
    }
}

/// The indices as they were.
pub(super) struct EmbeddedMoment {
    shards: Vec<Shard>,
    family: Family,
    namespace: Namespace,
}

impl EmbeddedMoment {
    pub(super) fn new(shards: Vec<Shard>, family: Family, namespace: &Namespace) -> Self {
        Self { shards, family, namespace: namespace.clone() }
    }
}

impl Moment for EmbeddedMoment {
    fn pages<'a>(
        &'a self,
        request: &SearchRequest,
        page: usize,
    ) -> Result<Box<dyn Pages + 'a>, StoreError> {
        check_pages(request, page, self.family, &self.namespace)?;
        // Without an order there is nothing to go on after.
        let wanted = match request.sort.is_empty() {
            true => usize::MAX,
            false => page.max(CANDIDATES / page * page),
        };
        let shards = self.shards.iter().filter(|shard| overlaps(&shard.name, request));
        Ok(Box::new(EmbeddedPages {
            shards: shards.cloned().collect(),
            request: SearchRequest { size: wanted, ..request.clone() },
            page,
            ordered: Vec::new(),
            next: 0,
            is_last: false,
        }))
    }
}

struct EmbeddedPages {
    shards: Vec<Shard>,
    request: SearchRequest,
    page: usize,
    /// Hits that are in order, of which those from `next` on were not handed out.
    ordered: Vec<Candidate>,
    next: usize,
    is_last: bool,
}

impl EmbeddedPages {
    fn put_in_order(&mut self) -> Result<(), StoreError> {
        let found = candidates(&self.request, &self.shards)?;
        self.is_last = found.len() < self.request.size;
        (self.ordered, self.next) = (found, 0);
        if !self.is_last {
            let whole = page_end(&sorts(&self.ordered), self.ordered.len());
            self.ordered.truncate(whole);
            self.request.search_after = self.ordered.last().map(|last| last.sort.clone());
        }
        Ok(())
    }
}

fn sorts(candidates: &[Candidate]) -> Vec<&[crate::stores::SortValue]> {
    candidates.iter().map(|candidate| candidate.sort.as_slice()).collect()
}

impl Pages for EmbeddedPages {
    fn next_page(&mut self) -> Result<Vec<Hit>, StoreError> {
        if self.next == self.ordered.len() && !self.is_last {
            self.put_in_order()?;
        }
        let rest = self.ordered.get(self.next..).unwrap_or_default();
        let end = match rest.len() > self.page {
            true if self.request.sort.is_empty() => self.page,
            true => page_end(&sorts(rest.get(..=self.page).unwrap_or_default()), self.page),
            false => rest.len(),
        };
        let page = rest.get(..end).unwrap_or_default();
        let hits = fetch(&self.shards, page.to_vec(), &self.request.source)?;
        self.next += end;
        Ok(hits)
    }
}
