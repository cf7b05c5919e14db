//! Requests against the catalogue: what passes here, every store understands in the same way.

use std::collections::BTreeSet;

use super::fields::FieldKind;
use super::resolve::{invalid, known, resolve, searchable, wrong};
use super::{
    Aggregation, AggregationKind, Aggregations, CompositeSource, Family, Interval, NamedRange,
    Period, RequestError, SearchRequest, Sort, SortValue, TermsOrder,
};

impl SearchRequest {
    /// Checks it against the fields of its family.
    ///
    /// # Errors
    /// What no store would answer: unknown fields, fields of the wrong type, values beyond a
    /// limit.
    pub fn check(&self) -> Result<(), RequestError> {
        resolve(self.family, &self.filter)?;
        self.check_time()?;
        self.check_page()?;
        check_sort(self.family, &self.sort)?;
        check_aggregations(self.family, &self.aggregations, Self::MAX_DEPTH)
    }

    /// Checks it as a request for all hits in order, `page` at a time.
    pub(super) fn check_scan(&self, page: usize) -> Result<(), RequestError> {
        self.check_pages(page)?;
        if self.sort.is_empty() {
            return invalid("reading all hits needs an order".to_owned());
        }
        Ok(())
    }

    /// Checks it as a request for all hits, `page` at a time.
    pub(super) fn check_pages(&self, page: usize) -> Result<(), RequestError> {
        self.check()?;
        if !(1..=Self::MAX_HITS).contains(&page) {
            return invalid(format!("a page has 1 to {} hits, got {page}", Self::MAX_HITS));
        }
        if self.from > 0 || self.search_after.is_some() || !self.aggregations.is_empty() {
            return invalid(
                "reading all hits goes without `from`, `search_after` and aggregations".to_owned(),
            );
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), RequestError> {
        let Some(time) = self.time else { return Ok(()) };
        if self.family.period() == Period::Unlimited {
            return invalid(format!("{} documents are not kept by time", self.family.name()));
        }
        if time.from > time.to {
            return invalid(format!(
                "the time range from {} to {} is upside down",
                time.from, time.to
            ));
        }
        Ok(())
    }

    fn check_page(&self) -> Result<(), RequestError> {
        if self.from.saturating_add(self.size) > Self::MAX_HITS {
            return invalid(format!(
                "a search returns at most {} hits, use `search_after` for more",
                Self::MAX_HITS
            ));
        }
        let Some(after) = &self.search_after else { return Ok(()) };
        if self.from > 0 || self.sort.is_empty() || after.len() != self.sort.len() {
            return invalid("`search_after` needs one value per sort key and no `from`".to_owned());
        }
        for (sort, value) in self.sort.iter().zip(after) {
            let kind = known(self.family, &sort.field)?;
            let fits = match value {
                SortValue::Missing => true,
                SortValue::Integer(_) => {
                    matches!(kind, FieldKind::Long | FieldKind::Date | FieldKind::Boolean)
                }
                SortValue::Number(number) => kind == FieldKind::Double && !number.is_nan(),
                SortValue::Text(_) => kind == FieldKind::Keyword,
                SortValue::Ip(_) => kind == FieldKind::Ip,
            };
            if !fits {
                return Err(wrong(&sort.field, kind, &format!("`search_after` {value:?}")));
            }
        }
        Ok(())
    }
}

fn check_sort(family: Family, sort: &[Sort]) -> Result<(), RequestError> {
    sort.iter().try_for_each(|key| searchable(family, &key.field, "sorting").map(drop))
}

fn check_aggregations(
    family: Family,
    aggregations: &Aggregations,
    depth: usize,
) -> Result<(), RequestError> {
    let Some(below) = depth.checked_sub(1) else {
        let most = SearchRequest::MAX_DEPTH;
        return invalid(format!("aggregations nest at most {most} levels deep"));
    };
    for (name, aggregation) in aggregations {
        check_name(name)?;
        check_aggregation(family, name, aggregation, depth)?;
        check_aggregations(family, &aggregation.below, below)?;
    }
    Ok(())
}

/// Names are parts of order paths, and Elasticsearch reserves some characters.
fn check_name(name: &str) -> Result<(), RequestError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    invalid(format!("aggregation name `{shown}` needs 1 to 64 letters, digits, `_` or `-`"))
}

fn check_aggregation(
    family: Family,
    name: &str,
    aggregation: &Aggregation,
    depth: usize,
) -> Result<(), RequestError> {
    use AggregationKind as Kind;
    match &aggregation.kind {
        Kind::DateHistogram { field, interval, extended_bounds, .. } => {
            check_histogram(family, name, field, *interval)?;
            match extended_bounds {
                Some((from, to)) if from > to => {
                    return invalid(format!("the bounds of `{name}` are upside down"));
                }
                Some(_) | None => return Ok(()),
            }
        }
        Kind::Terms { field, size, order } => {
            searchable(family, field, "a terms aggregation")?;
            check_size(name, *size, SearchRequest::MAX_BUCKETS)?;
            return check_order(name, order, &aggregation.below);
        }
        Kind::Range { field, ranges } => {
            numeric(family, field, "a range aggregation")?;
            return check_ranges(name, ranges);
        }
        Kind::Filters { filters } => {
            check_unique(name, filters.iter().map(|(key, _)| key))?;
            return filters.iter().try_for_each(|(_, filter)| resolve(family, filter).map(drop));
        }
        Kind::Composite { .. } if depth < SearchRequest::MAX_DEPTH => {
            return invalid(format!("`{name}` is composite, which stands at the top only"));
        }
        Kind::Composite { sources, size, after } => {
            check_unique(name, sources.iter().map(|(key, _)| key))?;
            check_size(name, *size, SearchRequest::MAX_BUCKETS)?;
            if after.as_ref().is_some_and(|after| after.len() != sources.len()) {
                return invalid(format!("`after` of `{name}` needs one part per source"));
            }
            for (_, source) in sources {
                match source {
                    CompositeSource::Terms { field } => {
                        searchable(family, field, "a composite aggregation")?;
                    }
                    CompositeSource::DateHistogram { field, interval } => {
                        check_histogram(family, name, field, *interval)?;
                    }
                }
            }
            return Ok(());
        }
        Kind::Sum { field } | Kind::Avg { field } | Kind::Stats { field } => {
            numeric(family, field, "arithmetic")?;
        }
        Kind::Percentiles { field, percents } => {
            numeric(family, field, "percentiles")?;
            if percents.is_empty() || percents.iter().any(|at| !(0.0..=100.0).contains(at)) {
                return invalid(format!("the percents of `{name}` go from 0 to 100"));
            }
        }
        Kind::Min { field } | Kind::Max { field } => match known(family, field)? {
            FieldKind::Long | FieldKind::Double | FieldKind::Date => {}
            kind => return Err(wrong(field, kind, "a smallest or largest value")),
        },
        Kind::ValueCount { field } | Kind::Cardinality { field } => {
            searchable(family, field, "counting values")?;
        }
        Kind::TopHits { size, sort, .. } => {
            check_size(name, *size, SearchRequest::MAX_TOP_HITS)?;
            check_sort(family, sort)?;
        }
    }
    if aggregation.below.is_empty() {
        return Ok(());
    }
    invalid(format!("`{name}` has no buckets to aggregate within"))
}

fn check_histogram(
    family: Family,
    name: &str,
    field: &str,
    interval: Interval,
) -> Result<(), RequestError> {
    match known(family, field)? {
        FieldKind::Date => {}
        kind => return Err(wrong(field, kind, "a date histogram")),
    }
    match interval {
        Interval::Fixed { seconds: 0 } => {
            invalid(format!("the interval of `{name}` is at least one second"))
        }
        Interval::Fixed { .. } | Interval::Calendar { .. } => Ok(()),
    }
}

fn numeric(family: Family, field: &str, purpose: &str) -> Result<(), RequestError> {
    match known(family, field)? {
        FieldKind::Long | FieldKind::Double => Ok(()),
        kind => Err(wrong(field, kind, purpose)),
    }
}

fn check_size(name: &str, size: usize, most: usize) -> Result<(), RequestError> {
    if (1..=most).contains(&size) {
        return Ok(());
    }
    invalid(format!("the size of `{name}` is 1 to {most}, got {size}"))
}

fn check_unique<'a>(
    name: &str,
    keys: impl Iterator<Item = &'a String>,
) -> Result<(), RequestError> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return invalid(format!("key `{key}` of `{name}` occurs twice"));
        }
    }
    if seen.is_empty() { invalid(format!("`{name}` is empty")) } else { Ok(()) }
}

fn check_ranges(name: &str, ranges: &[NamedRange]) -> Result<(), RequestError> {
    check_unique(name, ranges.iter().map(|range| &range.key))?;
    for range in ranges {
        let from = range.from.unwrap_or(f64::NEG_INFINITY);
        let to = range.to.unwrap_or(f64::INFINITY);
        // Not `from >= to`: that would let NaN pass.
        let in_order = from < to;
        if !in_order {
            return invalid(format!("range `{}` of `{name}` is empty", range.key));
        }
    }
    Ok(())
}

/// Checks that a terms aggregation is ordered by something below it that is one number. A mean is
/// none where there are no values, and the servers do not agree where that stands.
fn check_order(name: &str, order: &TermsOrder, below: &Aggregations) -> Result<(), RequestError> {
    use AggregationKind as Kind;
    let TermsOrder::Metric { path, .. } = order else { return Ok(()) };
    let (metric, part) =
        path.split_once('.').map_or((path.as_str(), None), |(metric, part)| (metric, Some(part)));
    let fits = match (below.get(metric).map(|aggregation| &aggregation.kind), part) {
        (Some(Kind::Stats { .. }), Some(part)) => {
            matches!(part, "count" | "sum" | "min" | "max")
        }
        (
            Some(
                Kind::Sum { .. }
                | Kind::Min { .. }
                | Kind::Max { .. }
                | Kind::ValueCount { .. }
                | Kind::Cardinality { .. },
            ),
            None,
        ) => true,
        _ => false,
    };
    if fits { Ok(()) } else { invalid(format!("`{name}` cannot be ordered by `{path}`")) }
}
