//! The empty buckets of a date histogram: made here for all stores, so that days are as long and
//! bounds as wide everywhere, and no server is asked for millions of them.

use super::calendar::{bucket_start, next_start};
use super::{Interval, Key, RequestError, SearchRequest};
use crate::model::Timestamp;

/// The error of a histogram with too many buckets.
pub(super) fn too_many(name: &str) -> RequestError {
    let most = SearchRequest::MAX_BUCKETS;
    RequestError::Invalid(format!(
        "`{name}` gives more than {most} buckets, use a longer interval or a shorter time range"
    ))
}

/// Adds empty buckets, so that those from the first to the last, and from one bound to the other,
/// have no gap. `buckets` are in the order of their keys, the first milliseconds of their times.
///
/// # Errors
/// When it would be too many.
pub(super) fn fill<B>(
    name: &str,
    interval: Interval,
    bounds: Option<(Timestamp, Timestamp)>,
    buckets: Vec<(Key, B)>,
    empty: impl Fn() -> B,
) -> Result<Vec<(Key, B)>, RequestError> {
    let Some((mut start, last)) = range(interval, &buckets, bounds) else { return Ok(buckets) };
    let mut filled = Vec::new();
    let mut present = buckets.into_iter().peekable();
    while start <= last {
        if filled.len() > SearchRequest::MAX_BUCKETS {
            return Err(too_many(name));
        }
        let key = Key::Integer(start);
        match present.next_if(|(present, _)| *present <= key) {
            // A server whose clock changes elsewhere: its bucket stands, none is lost.
            Some((present, bucket)) if present < key => {
                filled.push((present, bucket));
                continue;
            }
            Some(bucket) => filled.push(bucket),
            None => filled.push((key, empty())),
        }
        let next = next_start(interval, start);
        if next <= start {
            break;
        }
        start = next;
    }
    filled.extend(present);
    Ok(filled)
}

/// The starts of the first and last bucket to be shown.
fn range<B>(
    interval: Interval,
    buckets: &[(Key, B)],
    bounds: Option<(Timestamp, Timestamp)>,
) -> Option<(i64, i64)> {
    let first = buckets.first().and_then(|(key, _)| key.as_integer());
    let last = buckets.last().and_then(|(key, _)| key.as_integer());
    let present = first.zip(last);
    let bounds = bounds.map(|(from, to)| {
        (bucket_start(interval, from.millis()), bucket_start(interval, to.millis()))
    });
    match (present, bounds) {
        (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
        (range, None) | (None, range) => range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_bounds_are_filled_and_too_many_refused() {
        let second = Interval::Fixed { seconds: 1 };
        let buckets = || vec![(Key::Integer(3_000), 1), (Key::Integer(6_000), 2)];
        let filled = |bounds| -> Result<Vec<_>, RequestError> {
            let filled = fill("x", second, bounds, buckets(), || 0)?;
            Ok(filled.into_iter().map(|(key, count)| (key.to_string(), count)).collect())
        };
        let shown = filled(None).unwrap();
        assert_eq!(shown.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 0, 0, 2]);
        let wide = Some((Timestamp::from_millis(1_999), Timestamp::from_millis(7_000)));
        assert_eq!(filled(wide).unwrap().len(), 7);
        let ever = Some((Timestamp::default(), Timestamp::from_seconds(70_000)));
        assert!(filled(ever).unwrap_err().to_string().starts_with("`x` gives more than 65535"));
        let none: Vec<(Key, u8)> = Vec::new();
        assert_eq!(fill("x", second, None, none, || 0), Ok(Vec::new()));
    }
}
