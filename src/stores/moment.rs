//! Reading everything in pages, as it was at one moment.

use super::{Family, Hit, Namespace, RequestError, SearchRequest, StoreError};

/// The documents of one family in one namespace as they were when [`super::Store::moment`] was
/// called. Several requests read from it at a time.
pub trait Moment: Send + Sync {
    /// Begins to read the hits of `request`, `page` at a time.
    ///
    /// The request has neither aggregations nor `from` nor `search_after`; its `size` counts for
    /// nothing. Hits that share all their sort values stand on one page; where there are more of
    /// them than a page has room for, some may be left out.
    ///
    /// Without an order, hits come as they lie on the disk of a cluster: many times faster, since
    /// what lies together is unpacked together. Some may come again then, when a server has
    /// forgotten the moment; and the embedded store holds the sort keys of all.
    ///
    /// # Errors
    /// When the request is not of this kind, or of another family or namespace;
    /// [`StoreError::Unsupported`] without an order where no moment can be held.
    fn pages<'a>(
        &'a self,
        request: &SearchRequest,
        page: usize,
    ) -> Result<Box<dyn Pages + 'a>, StoreError>;
}

/// The hits of a request, page by page. Holds a page or a hundred thousand sort keys in memory,
/// whatever the number of hits.
pub trait Pages: Send {
    /// Returns the next hits in order; none when all were returned.
    ///
    /// # Errors
    /// When the store fails. The call may be repeated.
    fn next_page(&mut self) -> Result<Vec<Hit>, StoreError>;
}

/// Whether a moment of `family` in `namespace` can answer `request`.
pub(super) fn check_pages(
    request: &SearchRequest,
    page: usize,
    family: Family,
    namespace: &Namespace,
) -> Result<(), RequestError> {
    request.check_pages(page)?;
    if request.family == family && request.namespace == *namespace {
        return Ok(());
    }
    let problem = format!("this moment holds the {} of `{namespace}`", family.name());
    Err(RequestError::Invalid(problem))
}

/// How many of `sorts`, the sort values of hits in order of which more may follow, make a page of at
/// most `page`: equals of the hits behind it are left for the next one, unless they fill it.
pub(super) fn page_end<S: PartialEq>(sorts: &[S], page: usize) -> usize {
    let end = sorts.len().min(page);
    let Some(last) = end.checked_sub(1).and_then(|last| sorts.get(last)) else { return 0 };
    if sorts.get(end).is_some_and(|next| next != last) {
        return end;
    }
    let before = sorts.iter().take(end).rposition(|sort| sort != last);
    before.map_or(end, |before| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_stay_together_unless_they_fill_a_page() {
        assert_eq!(page_end::<u8>(&[], 3), 0);
        assert_eq!(page_end(&[1, 2, 3, 4], 3), 3);
        assert_eq!(page_end(&[1, 2, 3, 3], 3), 2);
        assert_eq!(page_end(&[1, 2, 3], 3), 2, "more may follow");
        assert_eq!(page_end(&[3, 3, 3, 3], 3), 3);
    }
}
