//! Filters with their fields and values resolved against the catalogue.
//!
//! Checking a filter is resolving it into a [`Condition`], the form in which the embedded store
//! runs it: a check can never be more generous than the store.

use std::net::IpAddr;
use std::ops::Bound;

use super::fields::{self, FieldKind};
use super::response::ip_number;
use super::{Family, Filter, Limit, RequestError, Scalar, SearchRequest};
use crate::model::Timestamp;

/// The most values of one terms filter, as `index.max_terms_count` of Elasticsearch.
const MAX_TERMS: usize = 65_536;

/// The most conditions of one filter: OpenSearch counts a range twice, and takes 1,024
/// (`indices.query.bool.max_clause_count`).
const MAX_CLAUSES: usize = 500;

/// The longest prefix, or end of a range of keywords, in bytes: the servers make automata of them
/// and take none of more states.
const MAX_TEXT_BYTES: usize = 1_000;

/// A filter with its fields and values resolved; ranges include both ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All,
    /// Longs and dates (milliseconds).
    Whole {
        field: String,
        from: i64,
        to: i64,
    },
    Number {
        field: String,
        from: f64,
        to: f64,
    },
    Boolean {
        field: String,
        value: bool,
    },
    Ip {
        field: String,
        from: u128,
        to: u128,
    },
    Text {
        field: String,
        from: Bound<String>,
        to: Bound<String>,
    },
    Prefix {
        field: String,
        prefix: String,
    },
    Exists {
        field: String,
        kind: FieldKind,
    },
    Ids(Vec<String>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

/// Refuses a request.
pub(super) fn invalid<T>(message: String) -> Result<T, RequestError> {
    Err(RequestError::Invalid(message))
}

/// The error for a field of another type than `purpose` needs.
pub(super) fn wrong(field: &str, kind: FieldKind, purpose: &str) -> RequestError {
    let purpose = purpose.to_owned();
    RequestError::WrongType { field: field.to_owned(), kind: kind.name(), purpose }
}

/// Returns the type of `field`.
pub(super) fn known(family: Family, field: &str) -> Result<FieldKind, RequestError> {
    let unknown = || RequestError::UnknownField { field: field.to_owned(), family };
    fields::kind_of(family, field).ok_or_else(unknown)
}

/// Returns the type of `field` if it has searchable values.
pub(super) fn searchable(
    family: Family,
    field: &str,
    purpose: &str,
) -> Result<FieldKind, RequestError> {
    match known(family, field)? {
        kind @ (FieldKind::Text | FieldKind::DoubleMap) => Err(wrong(field, kind, purpose)),
        kind => Ok(kind),
    }
}

/// Returns `filter` with fields and values resolved.
pub(super) fn resolve(family: Family, filter: &Filter) -> Result<Condition, RequestError> {
    let condition = resolve_below(family, filter, SearchRequest::MAX_DEPTH)?;
    if clauses(family, filter) > MAX_CLAUSES {
        return invalid(format!(
            "a filter has at most {MAX_CLAUSES} conditions, use `Terms` for many values of a field"
        ));
    }
    Ok(condition)
}

/// How many conditions the servers make of it: values of one field are a single one, but for dates.
fn clauses(family: Family, filter: &Filter) -> usize {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            filters.iter().map(|filter| clauses(family, filter)).sum()
        }
        Filter::Not(filter) => clauses(family, filter),
        Filter::Terms { field, values } => match fields::kind_of(family, field) {
            Some(FieldKind::Date) => values.len(),
            Some(_) | None => 1,
        },
        Filter::All
        | Filter::Term { .. }
        | Filter::Range { .. }
        | Filter::InNetwork { .. }
        | Filter::Exists { .. }
        | Filter::Prefix { .. }
        | Filter::Ids(_) => 1,
    }
}

fn resolve_below(family: Family, filter: &Filter, depth: usize) -> Result<Condition, RequestError> {
    let Some(below) = depth.checked_sub(1) else {
        return invalid(format!("filters nest at most {} levels deep", SearchRequest::MAX_DEPTH));
    };
    let all = |filters: &[Filter]| {
        filters
            .iter()
            .map(|filter| resolve_below(family, filter, below))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match filter {
        Filter::All => Condition::All,
        Filter::And(filters) => Condition::And(all(filters)?),
        Filter::Or(filters) => Condition::Or(all(filters)?),
        Filter::Not(filter) => Condition::Not(Box::new(resolve_below(family, filter, below)?)),
        Filter::Ids(ids) if ids.len() > MAX_TERMS => {
            return invalid(format!("a filter has at most {MAX_TERMS} ids"));
        }
        Filter::Ids(ids) => Condition::Ids(ids.iter().map(|id| id.as_str().to_owned()).collect()),
        Filter::Term { field, value } => equal(family, field, value)?,
        Filter::Terms { field, values } if values.len() <= MAX_TERMS => {
            searchable(family, field, "a terms filter")?;
            let each = values.iter().map(|value| equal(family, field, value));
            Condition::Or(each.collect::<Result<_, _>>()?)
        }
        Filter::Terms { .. } => return invalid(format!("a filter has at most {MAX_TERMS} values")),
        Filter::Range { from, to, .. } if [from, to].into_iter().any(is_long_text) => {
            return invalid(format!("the end of a range has at most {MAX_TEXT_BYTES} bytes"));
        }
        Filter::Range { field, from, to } => range(family, field, from, to)?,
        Filter::InNetwork { field, network } => match known(family, field)? {
            FieldKind::Ip => Condition::Ip {
                field: field.clone(),
                from: ip_number(network.network()),
                to: ip_number(network.broadcast()),
            },
            kind => return Err(wrong(field, kind, "a filter by network")),
        },
        Filter::Exists { field } => {
            let kind = searchable(family, field, "an exists filter")?;
            Condition::Exists { field: field.clone(), kind }
        }
        Filter::Prefix { prefix, .. } if prefix.len() > MAX_TEXT_BYTES => {
            return invalid(format!("a prefix has at most {MAX_TEXT_BYTES} bytes"));
        }
        Filter::Prefix { field, prefix } => match known(family, field)? {
            FieldKind::Keyword => {
                Condition::Prefix { field: field.clone(), prefix: prefix.clone() }
            }
            kind => return Err(wrong(field, kind, "a prefix filter")),
        },
    })
}

fn is_long_text(limit: &Limit) -> bool {
    match limit {
        Limit::Included(Scalar::Text(text)) | Limit::Excluded(Scalar::Text(text)) => {
            text.len() > MAX_TEXT_BYTES
        }
        Limit::Open | Limit::Included(_) | Limit::Excluded(_) => false,
    }
}

fn equal(family: Family, field: &str, value: &Scalar) -> Result<Condition, RequestError> {
    if let Scalar::Boolean(value) = value {
        return match known(family, field)? {
            FieldKind::Boolean => Ok(Condition::Boolean { field: field.to_owned(), value: *value }),
            kind => Err(wrong(field, kind, "a filter by a boolean")),
        };
    }
    let limit = Limit::Included(value.clone());
    range(family, field, &limit, &limit)
}

fn range(family: Family, field: &str, from: &Limit, to: &Limit) -> Result<Condition, RequestError> {
    let kind = searchable(family, field, "a range filter")?;
    let name = field.to_owned();
    let mismatch = |scalar: &Scalar| wrong(field, kind, &format!("a filter by {scalar:?}"));
    Ok(match kind {
        FieldKind::Long => {
            let (from, to) = (lowest_whole(from, mismatch)?, highest_whole(to, mismatch)?);
            Condition::Whole { field: name, from, to }
        }
        FieldKind::Date => {
            let [from, to] = [from, to].map(|limit| bound(limit, mismatch, time_millis));
            let (from, to) = inclusive(
                from?,
                to?,
                (i64::MIN, i64::MAX),
                |n| n.checked_add(1),
                |n| n.checked_sub(1),
            );
            Condition::Whole { field: name, from, to }
        }
        FieldKind::Ip => {
            let [from, to] = [from, to].map(|limit| bound(limit, mismatch, address));
            let (from, to) = inclusive(
                from?,
                to?,
                (u128::MIN, u128::MAX),
                |n| n.checked_add(1),
                |n| n.checked_sub(1),
            );
            Condition::Ip { field: name, from, to }
        }
        FieldKind::Double => {
            let [from, to] = [from, to].map(|limit| bound(limit, mismatch, number));
            let ends = (f64::NEG_INFINITY, f64::INFINITY);
            let (from, to) =
                inclusive(from?, to?, ends, |n| Some(n.next_up()), |n| Some(n.next_down()));
            Condition::Number { field: name, from, to }
        }
        FieldKind::Keyword => Condition::Text {
            field: name,
            from: bound(from, mismatch, text)?,
            to: bound(to, mismatch, text)?,
        },
        FieldKind::Boolean | FieldKind::Text | FieldKind::DoubleMap => {
            return Err(wrong(field, kind, "a range filter"));
        }
    })
}

fn bound<T>(
    limit: &Limit,
    mismatch: impl Fn(&Scalar) -> RequestError,
    read: impl Fn(&Scalar) -> Option<T>,
) -> Result<Bound<T>, RequestError> {
    let value = |scalar: &Scalar| read(scalar).ok_or_else(|| mismatch(scalar));
    Ok(match limit {
        Limit::Open => Bound::Unbounded,
        Limit::Included(scalar) => Bound::Included(value(scalar)?),
        Limit::Excluded(scalar) => Bound::Excluded(value(scalar)?),
    })
}

/// Returns both ends as values that belong to the range; `from > to` when nothing does.
fn inclusive<T: Copy>(
    from: Bound<T>,
    to: Bound<T>,
    ends: (T, T),
    above: impl Fn(T) -> Option<T>,
    below: impl Fn(T) -> Option<T>,
) -> (T, T) {
    let nothing = (ends.1, ends.0);
    let from = match from {
        Bound::Unbounded => Some(ends.0),
        Bound::Included(value) => Some(value),
        Bound::Excluded(value) => above(value),
    };
    let to = match to {
        Bound::Unbounded => Some(ends.1),
        Bound::Included(value) => Some(value),
        Bound::Excluded(value) => below(value),
    };
    from.zip(to).unwrap_or(nothing)
}

fn text(scalar: &Scalar) -> Option<String> {
    match scalar {
        Scalar::Text(text) => Some(text.clone()),
        Scalar::Ip(address) => Some(address.to_string()),
        Scalar::Time(_) | Scalar::Integer(_) | Scalar::Number(_) | Scalar::Boolean(_) => None,
    }
}

fn address(scalar: &Scalar) -> Option<u128> {
    match scalar {
        Scalar::Ip(address) => Some(ip_number(*address)),
        Scalar::Text(text) => text.parse::<IpAddr>().ok().map(ip_number),
        Scalar::Time(_) | Scalar::Integer(_) | Scalar::Number(_) | Scalar::Boolean(_) => None,
    }
}

fn time_millis(scalar: &Scalar) -> Option<i64> {
    match scalar {
        Scalar::Time(time) => Some(time.millis()),
        Scalar::Text(text) => text.parse::<Timestamp>().ok().map(Timestamp::millis),
        Scalar::Ip(_) | Scalar::Integer(_) | Scalar::Number(_) | Scalar::Boolean(_) => None,
    }
}

/// Zero has one sign: `-0.0` is written and compared as `0.0`.
fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Integer(number) => Some(*number as f64),
        Scalar::Number(number) if !number.is_nan() => Some(number + 0.0),
        Scalar::Number(_)
        | Scalar::Text(_)
        | Scalar::Ip(_)
        | Scalar::Time(_)
        | Scalar::Boolean(_) => None,
    }
}

/// The lowest whole number of the range; a fractional limit lies between two of them.
fn lowest_whole(
    limit: &Limit,
    mismatch: impl Fn(&Scalar) -> RequestError,
) -> Result<i64, RequestError> {
    let beyond = i64::MAX;
    Ok(match limit {
        Limit::Open => i64::MIN,
        Limit::Included(Scalar::Integer(number)) => *number,
        Limit::Excluded(Scalar::Integer(number)) => number.checked_add(1).unwrap_or(beyond),
        Limit::Included(Scalar::Number(number)) if !number.is_nan() => number.ceil() as i64,
        Limit::Excluded(Scalar::Number(number)) if !number.is_nan() => {
            (number.floor() as i64).saturating_add(1)
        }
        Limit::Included(scalar) | Limit::Excluded(scalar) => return Err(mismatch(scalar)),
    })
}

/// The highest whole number of the range.
fn highest_whole(
    limit: &Limit,
    mismatch: impl Fn(&Scalar) -> RequestError,
) -> Result<i64, RequestError> {
    Ok(match limit {
        Limit::Open => i64::MAX,
        Limit::Included(Scalar::Integer(number)) => *number,
        Limit::Excluded(Scalar::Integer(number)) => number.checked_sub(1).unwrap_or(i64::MIN),
        Limit::Included(Scalar::Number(number)) if !number.is_nan() => number.floor() as i64,
        Limit::Excluded(Scalar::Number(number)) if !number.is_nan() => {
            (number.ceil() as i64).saturating_sub(1)
        }
        Limit::Included(scalar) | Limit::Excluded(scalar) => return Err(mismatch(scalar)),
    })
}
