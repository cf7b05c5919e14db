//! The first documents in an order: compared by codes within a segment, by values across segments.

use std::cmp::Ordering;

use tantivy::columnar::TermOrdHit;
use tantivy::{DocAddress, Searcher};

use super::aggregate::{Segment, SegmentError};
use super::columns::Values;
use super::layout::{SEQUENCE, ip_text, read_document};
use crate::stores::fields::FieldKind;
use crate::stores::resolve::known;
use crate::stores::response::ip_number;
use crate::stores::source::project;
use crate::stores::{
    Direction, DocumentId, Hit, IndexName, Key, Sort, SortValue, SourceFields, StoreError, Version,
};

/// One index of a search.
#[derive(Clone)]
pub(super) struct Shard {
    pub name: IndexName,
    pub searcher: Searcher,
}

/// A document that may become a hit.
#[derive(Clone)]
pub(super) struct Candidate {
    pub sort: Vec<SortValue>,
    /// Breaks ties: indices in order of time, documents in order of writing.
    pub shard: usize,
    pub sequence: u64,
    pub address: DocAddress,
}

/// Keeps the first `size` of `candidates`, in order.
pub(super) fn first_hits(candidates: &mut Vec<Candidate>, sort: &[Sort], size: usize) {
    candidates.sort_by(|a, b| {
        let keys = sort.iter().zip(&a.sort).zip(&b.sort);
        keys.map(|((sort, a), b)| compare_values(sort.direction, a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| (a.shard, a.sequence).cmp(&(b.shard, b.sequence)))
    });
    candidates.truncate(size);
}

/// The number in whose place a missing one is ordered.
fn last_whole(direction: Direction) -> i64 {
    match direction {
        Direction::Ascending => i64::MAX,
        Direction::Descending => i64::MIN,
    }
}

/// Missing values come last in either direction, beside the number that does.
fn compare_values(direction: Direction, a: &SortValue, b: &SortValue) -> Ordering {
    let order = match (a, b) {
        (SortValue::Missing, SortValue::Missing) => return Ordering::Equal,
        (SortValue::Missing, SortValue::Integer(number))
        | (SortValue::Integer(number), SortValue::Missing)
            if *number == last_whole(direction) =>
        {
            return Ordering::Equal;
        }
        (SortValue::Missing, _) => return Ordering::Greater,
        (_, SortValue::Missing) => return Ordering::Less,
        (SortValue::Integer(a), SortValue::Integer(b)) => a.cmp(b),
        (SortValue::Number(a), SortValue::Number(b)) => a.total_cmp(b),
        (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
        (SortValue::Ip(a), SortValue::Ip(b)) => ip_number(*a).cmp(&ip_number(*b)),
        // Values of one field are of one type.
        _ => Ordering::Equal,
    };
    directed(direction, order)
}

fn directed(direction: Direction, order: Ordering) -> Ordering {
    match direction {
        Direction::Ascending => order,
        Direction::Descending => order.reverse(),
    }
}

/// An order made ready for one segment.
pub(super) struct Sorter {
    shard: usize,
    ord: u32,
    keys: Vec<SortKey>,
    sequences: tantivy::columnar::Column<u64>,
    after: Option<Vec<Code>>,
}

struct SortKey {
    values: Option<Values>,
    direction: Direction,
    /// The code in whose place a missing one is ordered.
    last: Code,
}

/// A value as a number that sorts like it within the segment; `None` where there is none.
type Code = Option<u64>;

impl Sorter {
    /// Opens the columns of `sort`; only documents after `after` count.
    pub(super) fn prepare(
        segment: &Segment<'_>,
        sort: &[Sort],
        after: Option<&[SortValue]>,
    ) -> Result<Self, SegmentError> {
        let mut keys = Vec::with_capacity(sort.len());
        for Sort { field, direction } in sort {
            let kind = known(segment.family, field)?;
            let values = Values::open(segment.reader, field, kind)?;
            let is_whole = kind == FieldKind::Long;
            let last = is_whole.then(|| whole_code(last_whole(*direction)));
            keys.push(SortKey { values, direction: *direction, last });
        }
        let after = match after {
            Some(after) => {
                let codes = keys.iter().zip(after).map(|(key, value)| key.place(value));
                Some(codes.collect::<Result<_, _>>()?)
            }
            None => None,
        };
        let sequences = segment.reader.fast_fields().u64(SEQUENCE);
        let sequences = sequences.map_err(|error| error.to_string())?;
        Ok(Self { shard: segment.shard, ord: segment.ord, keys, sequences, after })
    }

    /// Returns the first `size` of `documents`, in order.
    pub(super) fn first(&self, documents: &[u32], size: usize) -> Result<Vec<Candidate>, String> {
        let coded = documents.iter().map(|doc| {
            let codes: Vec<Code> = self.keys.iter().map(|key| key.code(*doc)).collect();
            (codes, self.sequences.first(*doc).unwrap_or_default(), *doc)
        });
        let mut coded: Vec<_> = coded.filter(|(codes, ..)| self.is_after(codes)).collect();
        let by_order = |a: &(Vec<Code>, u64, u32), b: &(Vec<Code>, u64, u32)| {
            self.compare(&a.0, &b.0).then(a.1.cmp(&b.1))
        };
        if size == 0 {
            return Ok(Vec::new());
        }
        if coded.len() > size {
            coded.select_nth_unstable_by(size - 1, by_order);
            coded.truncate(size);
        }
        coded.sort_unstable_by(by_order);
        let candidate = |(codes, sequence, doc): (Vec<Code>, u64, u32)| {
            let values = self.keys.iter().zip(codes).map(|(key, code)| key.value(code));
            Ok(Candidate {
                sort: values.collect::<Result<_, String>>()?,
                shard: self.shard,
                sequence,
                address: DocAddress::new(self.ord, doc),
            })
        };
        coded.into_iter().map(candidate).collect()
    }

    fn is_after(&self, codes: &[Code]) -> bool {
        self.after.as_ref().is_none_or(|after| self.compare(codes, after).is_gt())
    }

    fn compare(&self, a: &[Code], b: &[Code]) -> Ordering {
        let keys = self.keys.iter().zip(a).zip(b);
        let orders = keys.map(|((key, a), b)| match (a.or(key.last), b.or(key.last)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => directed(key.direction, a.cmp(&b)),
        });
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl SortKey {
    fn code(&self, doc: u32) -> Code {
        let pick = |codes: &mut dyn Iterator<Item = u64>| match self.direction {
            Direction::Ascending => codes.min(),
            Direction::Descending => codes.max(),
        };
        match self.values.as_ref()? {
            Values::Whole(column) => pick(&mut column.values_for_doc(doc).map(whole_code)),
            Values::Number(column) => pick(&mut column.values_for_doc(doc).map(number_code)),
            Values::Boolean(column) => pick(&mut column.values_for_doc(doc).map(u64::from)),
            Values::Keyword(column) | Values::Ip(column) => {
                pick(&mut column.term_ords(doc).map(ord_code))
            }
        }
    }

    /// The code of a value that need not occur in the segment: then it lies between two codes.
    fn place(&self, value: &SortValue) -> Result<Code, String> {
        Ok(match (value, &self.values) {
            (SortValue::Missing, _) => None,
            (SortValue::Integer(number), Some(Values::Boolean(_))) => Some((*number).max(0) as u64),
            (SortValue::Integer(number), _) => Some(whole_code(*number)),
            (SortValue::Number(number), _) => Some(number_code(*number + 0.0)),
            (SortValue::Text(text), Some(values)) => Some(place_text(values, text)?),
            (SortValue::Ip(address), Some(values)) => {
                Some(place_text(values, &ip_text(ip_number(*address)))?)
            }
            // All documents of the segment are without the field: any value is before them.
            (SortValue::Text(_) | SortValue::Ip(_), None) => Some(0),
        })
    }

    fn value(&self, code: Code) -> Result<SortValue, String> {
        let (Some(code), Some(values)) = (code, &self.values) else {
            return Ok(SortValue::Missing);
        };
        Ok(match values {
            Values::Whole(_) => SortValue::Integer(code_whole(code)),
            Values::Number(_) => SortValue::Number(tantivy::u64_to_f64(code)),
            Values::Boolean(_) => SortValue::Integer(code as i64),
            Values::Keyword(_) | Values::Ip(_) => match values.keys(&[code / 2])?.pop() {
                Some(Key::Text(text)) => SortValue::Text(text),
                Some(Key::Ip(address)) => SortValue::Ip(address),
                _ => SortValue::Missing,
            },
        })
    }
}

fn whole_code(number: i64) -> u64 {
    tantivy::i64_to_u64(number)
}

fn code_whole(code: u64) -> i64 {
    tantivy::u64_to_i64(code)
}

fn number_code(number: f64) -> u64 {
    tantivy::f64_to_u64(number)
}

/// Odd, so that even numbers are the places between texts.
fn ord_code(ord: u64) -> u64 {
    ord.saturating_mul(2).saturating_add(1)
}

fn place_text(values: &Values, text: &str) -> Result<u64, String> {
    let (Values::Keyword(column) | Values::Ip(column)) = values else { return Ok(0) };
    match column.dictionary().term_ord_or_next(text).map_err(|error| error.to_string())? {
        TermOrdHit::Exact(ord) => Ok(ord_code(ord)),
        TermOrdHit::Next(ord) => Ok(ord.saturating_mul(2)),
    }
}

/// Reads the documents of `candidates`.
pub(super) fn fetch(
    shards: &[Shard],
    candidates: Vec<Candidate>,
    wanted: &SourceFields,
) -> Result<Vec<Hit>, StoreError> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // In the order of the disk: neighbours share compressed blocks.
    order.sort_by_key(|at| (candidates[*at].shard, candidates[*at].address));
    let mut hits: Vec<Option<Hit>> = vec![None; candidates.len()];
    for at in order {
        let candidate = &candidates[at];
        let Shard { name, searcher } = &shards[candidate.shard];
        let (id, source) = read_document(name, searcher, candidate.address)?;
        let id = DocumentId::new(id).map_err(|error| StoreError::Engine {
            action: format!("reading index {name}"),
            reason: error.to_string(),
        })?;
        hits[at] = Some(Hit {
            index: name.clone(),
            id,
            version: Version { sequence: candidate.sequence, term: 1 },
            source: project(source, wanted),
            sort: candidate.sort.clone(),
        });
    }
    Ok(hits.into_iter().flatten().collect())
}
