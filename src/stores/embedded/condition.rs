//! Which documents of a segment match: every leaf scans one column, the tree combines bit sets.

use std::fmt::Debug;
use std::ops::Bound;

use tantivy::SegmentReader;
use tantivy::columnar::{Column, StrColumn};

use super::columns::Values;
use super::layout::{documents_with_id, ip_text};
use crate::stores::fields::FieldKind;
use crate::stores::resolve::Condition;

/// A set of documents of one segment.
#[derive(Clone)]
pub(super) struct DocumentSet {
    words: Vec<u64>,
    size: u32,
}

impl DocumentSet {
    fn empty(size: u32) -> Self {
        Self { words: vec![0; (size as usize).div_ceil(64)], size }
    }

    fn full(size: u32) -> Self {
        let mut set = Self { words: vec![u64::MAX; (size as usize).div_ceil(64)], size };
        set.trim();
        set
    }

    /// Clears what lies beyond the last document.
    fn trim(&mut self) {
        let used = self.size % 64;
        if let Some(last) = self.words.last_mut()
            && used > 0
        {
            *last &= (1 << used) - 1;
        }
    }

    fn insert(&mut self, doc: u32) {
        self.words[doc as usize / 64] |= 1 << (doc % 64);
    }

    /// Whether `doc` is in it.
    pub(super) fn contains(&self, doc: u32) -> bool {
        self.words[doc as usize / 64] & (1 << (doc % 64)) != 0
    }

    fn combine(&mut self, other: &Self, operation: impl Fn(u64, u64) -> u64) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word = operation(*word, *other);
        }
    }

    fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    /// The documents that were not deleted, ascending.
    pub(super) fn live(&self, reader: &SegmentReader) -> Vec<u32> {
        let count: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        let mut documents = Vec::with_capacity(count as usize);
        for (base, word) in (0..).step_by(64).zip(&self.words) {
            let mut rest = *word;
            while rest != 0 {
                documents.push(base + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        if reader.has_deletes() {
            documents.retain(|doc| !reader.is_deleted(*doc));
        }
        documents
    }
}

/// Returns the documents of a segment for which `condition` holds, deleted ones included.
pub(super) fn matching(
    reader: &SegmentReader,
    condition: &Condition,
) -> Result<DocumentSet, String> {
    let size = reader.max_doc();
    let mut found = DocumentSet::empty(size);
    let open = |field: &str, kind| Values::open(reader, field, kind);
    match condition {
        Condition::All => found = DocumentSet::full(size),
        Condition::And(conditions) => {
            found = DocumentSet::full(size);
            for condition in conditions {
                found.combine(&matching(reader, condition)?, |a, b| a & b);
            }
        }
        Condition::Or(conditions) => {
            for condition in conditions {
                found.combine(&matching(reader, condition)?, |a, b| a | b);
            }
        }
        Condition::Not(condition) => {
            found = matching(reader, condition)?;
            found.invert();
        }
        Condition::Whole { field, from, to } => {
            if let Some(Values::Whole(column)) = open(field, FieldKind::Long)? {
                scan(&column, *from, *to, &mut found);
            }
        }
        Condition::Number { field, from, to } => {
            if let Some(Values::Number(column)) = open(field, FieldKind::Double)? {
                scan(&column, *from, *to, &mut found);
            }
        }
        Condition::Boolean { field, value } => {
            if let Some(Values::Boolean(column)) = open(field, FieldKind::Boolean)? {
                scan(&column, *value, *value, &mut found);
            }
        }
        Condition::Ip { field, from, to } => {
            if let Some(Values::Ip(column)) = open(field, FieldKind::Ip)? {
                let from = Bound::Included(ip_text(*from));
                scan_texts(&column, &from, &Bound::Included(ip_text(*to)), &mut found)?;
            }
        }
        Condition::Text { field, from, to } => {
            if let Some(Values::Keyword(column)) = open(field, FieldKind::Keyword)? {
                scan_texts(&column, from, to, &mut found)?;
            }
        }
        Condition::Prefix { field, prefix } => {
            if let Some(Values::Keyword(column)) = open(field, FieldKind::Keyword)? {
                scan_prefix(&column, prefix, &mut found)?;
            }
        }
        Condition::Exists { field, kind } => {
            if let Some(values) = open(field, *kind)? {
                let documents = (0..size).filter(|doc| values.has_value(*doc));
                documents.for_each(|doc| found.insert(doc));
            }
        }
        Condition::Ids(ids) => {
            for id in ids {
                let documents = documents_with_id(reader, id)?;
                documents.into_iter().for_each(|doc| found.insert(doc));
            }
        }
    }
    Ok(found)
}

/// Adds the documents with a value from `from` to `to`, both included.
fn scan<T>(column: &Column<T>, from: T, to: T, found: &mut DocumentSet)
where
    T: PartialOrd + Copy + Debug + Send + Sync + 'static,
{
    if from > to || to < column.min_value() || from > column.max_value() {
        return;
    }
    let mut documents = Vec::new();
    column.get_docids_for_value_range(from..=to, 0..found.size, &mut documents);
    documents.into_iter().for_each(|doc| found.insert(doc));
}

fn scan_texts(
    column: &StrColumn,
    from: &Bound<String>,
    to: &Bound<String>,
    found: &mut DocumentSet,
) -> Result<(), String> {
    let bounds = column.dictionary().term_bounds_to_ord(from.as_ref(), to.as_ref());
    let (from, to) = bounds.map_err(|error| error.to_string())?;
    let first = match from {
        Bound::Unbounded => Some(0),
        Bound::Included(ord) => Some(ord),
        Bound::Excluded(ord) => ord.checked_add(1),
    };
    let last = match to {
        Bound::Unbounded => Some(u64::MAX),
        Bound::Included(ord) => Some(ord),
        Bound::Excluded(ord) => ord.checked_sub(1),
    };
    if let Some((first, last)) = first.zip(last) {
        scan(column.ords(), first, last, found);
    }
    Ok(())
}

/// Texts that begin with `prefix` lie between it and the next text of the same length.
fn scan_prefix(column: &StrColumn, prefix: &str, found: &mut DocumentSet) -> Result<(), String> {
    let dictionary = column.dictionary();
    let ord_of = |bytes: &[u8]| -> Result<u64, String> {
        match dictionary.term_ord_or_next(bytes).map_err(|error| error.to_string())? {
            tantivy::columnar::TermOrdHit::Exact(ord)
            | tantivy::columnar::TermOrdHit::Next(ord) => Ok(ord),
        }
    };
    let first = ord_of(prefix.as_bytes())?;
    let mut next = prefix.as_bytes().to_vec();
    while next.pop_if(|byte| *byte == u8::MAX).is_some() {}
    let end = match next.last_mut() {
        Some(last) => {
            *last += 1;
            ord_of(&next)?
        }
        None => u64::MAX,
    };
    if let Some(last) = end.checked_sub(1) {
        scan(column.ords(), first, last, found);
    }
    Ok(())
}
