//! How a document lies in the engine.
//!
//! It is stored whole, with its id and sequence number; its searchable values become columns under
//! one dynamic field, so that a new field in the catalogue needs no new index. Only ids have an
//! inverted index: all other conditions scan columns, which is exact and takes about a nanosecond
//! per document.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value as EngineValue};
use tantivy::schema::{FAST, Field, IndexRecordOption, JsonObjectOptions, STORED, STRING, Schema};
use tantivy::{DocAddress, DocSet, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};

use super::ids::IdFilter;
use super::index::engine_error;
use crate::stores::document::{Leaf, LeafValue};
use crate::stores::response::ip_number;
use crate::stores::{IndexName, StoreError};

/// The dynamic field that holds all searchable values.
pub(super) const VALUES: &str = "values";
/// The column of sequence numbers.
pub(super) const SEQUENCE: &str = "sequence";

/// The engine's fields.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub id: Field,
    pub sequence: Field,
    pub source: Field,
    pub values: Field,
}

/// The fields in the order in which [`schema`] adds them.
pub(super) fn fields() -> Fields {
    let [id, sequence, source, values] = [0, 1, 2, 3].map(Field::from_field_id);
    Fields { id, sequence, source, values }
}

/// The engine's schema; the same for every family and for ever.
pub(super) fn schema() -> Schema {
    let mut builder = Schema::builder();
    builder.add_text_field("id", STRING | STORED);
    builder.add_u64_field(SEQUENCE, FAST);
    builder.add_bytes_field("source", STORED);
    builder.add_json_field(VALUES, JsonObjectOptions::default().set_fast("raw"));
    builder.build()
}

/// Returns the document without its sequence number.
pub(super) fn to_engine(id: &str, source: &[u8], leaves: &[Leaf<'_>]) -> TantivyDocument {
    let mut document = TantivyDocument::default();
    document.add_text(fields().id, id);
    document.add_bytes(fields().source, source);
    let values: Vec<_> =
        leaves.iter().map(|leaf| (&*leaf.path, Scalar::from(&leaf.value))).collect();
    document.add_field_value(fields().values, Node::Object(&values));
    document
}

/// A searchable value as the engine takes it.
#[derive(Debug)]
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Number(f64),
    Boolean(bool),
}

impl<'a> From<&'a LeafValue<'_>> for Scalar<'a> {
    fn from(value: &'a LeafValue<'_>) -> Self {
        match value {
            LeafValue::Text(text) => Self::Text(Cow::Borrowed(text)),
            LeafValue::Ip(address) => Self::Text(Cow::Owned(ip_text(ip_number(*address)))),
            LeafValue::Date(number) | LeafValue::Long(number) => Self::Whole(*number),
            LeafValue::Double(number) => Self::Number(*number),
            LeafValue::Boolean(flag) => Self::Boolean(*flag),
        }
    }
}

/// The values of a document by path, lent to the engine: it copies them once, into its own form.
#[derive(Clone, Copy, Debug)]
enum Node<'a> {
    Object(&'a [(&'a str, Scalar<'a>)]),
    Scalar(&'a Scalar<'a>),
}

impl<'a> EngineValue<'a> for Node<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = NodeEntries<'a>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        match self {
            Self::Object(entries) => ReferenceValue::Object(NodeEntries(entries.iter())),
            Self::Scalar(scalar) => ReferenceValue::Leaf(match scalar {
                Scalar::Text(text) => ReferenceValueLeaf::Str(text),
                Scalar::Whole(number) => ReferenceValueLeaf::I64(*number),
                Scalar::Number(number) => ReferenceValueLeaf::F64(*number),
                Scalar::Boolean(flag) => ReferenceValueLeaf::Bool(*flag),
            }),
        }
    }
}

struct NodeEntries<'a>(std::slice::Iter<'a, (&'a str, Scalar<'a>)>);

impl<'a> Iterator for NodeEntries<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(path, scalar)| (*path, Node::Scalar(scalar)))
    }
}

/// An address as a text that sorts like the address: the engine has no dynamic address columns.
pub(super) fn ip_text(number: u128) -> String {
    format!("{number:032x}")
}

/// Reads what [`ip_text`] wrote.
pub(super) fn read_ip(text: &str) -> Option<IpAddr> {
    let address = Ipv6Addr::from_bits(u128::from_str_radix(text, 16).ok()?);
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

/// Returns the live documents of a segment that have this id: none or one.
pub(super) fn documents_with_id(reader: &SegmentReader, id: &str) -> Result<Vec<u32>, String> {
    let inverted = reader.inverted_index(fields().id).map_err(|error| error.to_string())?;
    let term = Term::from_field_text(fields().id, id);
    let postings = inverted.read_postings(&term, IndexRecordOption::Basic);
    let Some(mut postings) = postings.map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut doc = postings.doc();
    while doc != TERMINATED {
        if !reader.is_deleted(doc) {
            found.push(doc);
        }
        doc = postings.advance();
    }
    Ok(found)
}

/// The sequence number of a document.
pub(super) fn sequence_of(reader: &SegmentReader, doc: u32) -> Option<u64> {
    reader.fast_fields().u64(SEQUENCE).ok()?.first(doc)
}

/// Returns id and source of a document.
pub(super) fn read_document(
    name: &IndexName,
    searcher: &Searcher,
    address: DocAddress,
) -> Result<(String, Value), StoreError> {
    let document: TantivyDocument =
        searcher.doc(address).map_err(|error| engine_error(name, "reading", error))?;
    let id = document.get_first(fields().id).and_then(|value| value.as_str().map(str::to_owned));
    let source = document.get_first(fields().source).and_then(|value| value.as_bytes());
    let (Some(id), Some(source)) = (id, source) else {
        return Err(engine_error(name, "reading", "a stored document is incomplete"));
    };
    Ok((id, parse_source(name, source)?))
}

/// Reads the JSON of a document.
pub(super) fn parse_source(name: &IndexName, source: &[u8]) -> Result<Value, StoreError> {
    serde_json::from_slice(source).map_err(|error| engine_error(name, "reading", error))
}

/// Returns a filter of all ids that were committed.
pub(super) fn known_ids(searcher: &Searcher) -> Result<IdFilter, tantivy::TantivyError> {
    let mut ids = IdFilter::default();
    for reader in searcher.segment_readers() {
        let inverted = reader.inverted_index(fields().id)?;
        let mut terms = inverted.terms().stream()?;
        while terms.advance() {
            ids.insert(terms.key());
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_schema() {
        let (schema, fields) = (schema(), fields());
        let names = [fields.id, fields.sequence, fields.source, fields.values]
            .map(|field| schema.get_field_name(field).to_owned());
        assert_eq!(names, ["id", SEQUENCE, "source", VALUES]);
    }

    #[test]
    fn addresses_sort_as_texts_and_read_back() {
        let texts = ["::", "9.0.0.1", "10.0.0.1", "fd00::1"];
        let addresses = texts.map(|text| text.parse::<IpAddr>().unwrap());
        let written = addresses.map(|address| ip_text(ip_number(address)));
        assert!(written.is_sorted());
        assert_eq!(written.map(|text| read_ip(&text).unwrap()), addresses);
    }
}
