//! Dead letters, read back from where they are kept.

use std::ops::ControlFlow;
use std::path::Path;

use super::{SourceError, for_each_record};
use crate::model::{Letter, Timestamp};
use crate::stores::{Direction, Family, Filter, Namespace, SearchRequest, Sort, Store, StoreError};

/// Letters of one page of a search: a megabyte or so when they are as large as they can be.
const PAGE: usize = 16;

/// Which letters.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
    /// With this reason.
    pub reason: Option<String>,
    /// With one of these ids; with any when empty.
    pub ids: Vec<String>,
}

impl LetterFilter {
    /// Whether `letter` is one of them.
    pub fn takes(&self, letter: &Letter) -> bool {
        self.from.is_none_or(|from| from <= letter.time)
            && self.to.is_none_or(|to| letter.time < to)
            && self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && (self.ids.is_empty() || self.ids.contains(&letter.id))
    }

    fn request(&self, namespace: &Namespace, direction: Direction) -> SearchRequest {
        let order = |field: &str| Sort { field: field.to_owned(), direction };
        // Within a millisecond by their places: many messages are written in one.
        let mut request = SearchRequest::new(Family::DeadLetters, namespace.clone())
            .sort(order("@timestamp"))
            .sort(order("flowsentry.deadletter.source"))
            .sort(order("flowsentry.deadletter.offset"))
            .sort(order("event.id"));
        if self.from.is_some() || self.to.is_some() {
            let (from, to) = (self.from.unwrap_or(Timestamp::MIN), self.to);
            request = request.between(from, to.unwrap_or(Timestamp::MAX));
        }
        if let Some(reason) = &self.reason {
            request = request.filter(Filter::term("flowsentry.deadletter.reason", reason.as_str()));
        }
        if !self.ids.is_empty() {
            request =
                request.filter(Filter::terms("event.id", self.ids.iter().map(String::as_str)));
        }
        request
    }
}

/// Gets letters one by one, until it breaks.
pub type EachLetter<'e> = dyn FnMut(Letter) -> ControlFlow<()> + 'e;

/// Reads one letter, whoever wrote it; `None` when it is none or not asked for. Counts in `damaged`
/// what is no letter.
pub(super) fn read_letter(
    bytes: &[u8],
    filter: &LetterFilter,
    damaged: &mut u64,
) -> Option<Letter> {
    match serde_json::from_slice(bytes) {
        Ok(letter) => Some(letter).filter(|letter| filter.takes(letter)),
        Err(_) => {
            *damaged += 1;
            None
        }
    }
}

/// Hands the letters of a file to `each`, in the order in which they were written; returns how many
/// lines are no letters.
///
/// # Errors
/// When the file cannot be read.
pub fn letters_of_file(
    path: &Path,
    filter: &LetterFilter,
    each: &mut EachLetter<'_>,
) -> Result<u64, SourceError> {
    let mut damaged = 0;
    for_each_record(path, |line| match read_letter(line, filter, &mut damaged) {
        Some(letter) => each(letter),
        None => ControlFlow::Continue(()),
    })?;
    Ok(damaged)
}

/// Hands the letters of a store to `each`, by time in `direction`; returns how many documents are no
/// letters.
///
/// # Errors
/// When the store fails.
pub fn letters_of_index(
    store: &dyn Store,
    namespace: &Namespace,
    filter: &LetterFilter,
    direction: Direction,
    each: &mut EachLetter<'_>,
) -> Result<u64, StoreError> {
    let mut damaged = 0;
    // Page by page and not as a scan, so that `each` may write into the same store.
    let mut request = filter.request(namespace, direction).size(PAGE);
    loop {
        let hits = store.search(&request)?.hits;
        request.search_after = hits.last().map(|hit| hit.sort.clone());
        let is_last = hits.len() < PAGE;
        for hit in hits {
            match Letter::from_document(&hit.source) {
                Some(letter) => {
                    if each(letter).is_break() {
                        return Ok(damaged);
                    }
                }
                None => damaged += 1,
            }
        }
        if is_last {
            return Ok(damaged);
        }
    }
}
