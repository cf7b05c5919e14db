//! The columns of a segment, by the catalogue's types.

use tantivy::SegmentReader;
use tantivy::columnar::{Column, DynamicColumn, NumericalType, StrColumn};

use super::layout::{VALUES, read_ip};
use crate::stores::Key;
use crate::stores::fields::FieldKind;

/// The values of one field in one segment.
pub(super) enum Values {
    /// Longs and dates.
    Whole(Column<i64>),
    Number(Column<f64>),
    Boolean(Column<bool>),
    Keyword(StrColumn),
    /// Addresses, as texts that sort like them.
    Ip(StrColumn),
}

impl Values {
    /// Returns the column of `field`; `None` when no document of the segment has the field.
    pub(super) fn open(
        reader: &SegmentReader,
        field: &str,
        kind: FieldKind,
    ) -> Result<Option<Self>, String> {
        // The engine reads dots as steps unless they are escaped; our names are flat.
        let name = format!("{VALUES}.{}", field.replace('.', "\\."));
        let handles = reader.fast_fields().dynamic_column_handles(&name);
        for handle in handles.map_err(|error| error.to_string())? {
            let column = handle.open().map_err(|error| error.to_string())?;
            if let Some(values) = Self::of_kind(column, kind) {
                return Ok(Some(values));
            }
        }
        Ok(None)
    }

    /// A column of another type is what is left of a field whose type was changed.
    fn of_kind(column: DynamicColumn, kind: FieldKind) -> Option<Self> {
        match (kind, column) {
            (FieldKind::Keyword, DynamicColumn::Str(column)) => Some(Self::Keyword(column)),
            (FieldKind::Ip, DynamicColumn::Str(column)) => Some(Self::Ip(column)),
            (FieldKind::Boolean, DynamicColumn::Bool(column)) => Some(Self::Boolean(column)),
            (FieldKind::Long | FieldKind::Date, column) => {
                match column.coerce_numerical(NumericalType::I64)? {
                    DynamicColumn::I64(column) => Some(Self::Whole(column)),
                    _ => None,
                }
            }
            (FieldKind::Double, column) => match column.coerce_numerical(NumericalType::F64)? {
                DynamicColumn::F64(column) => Some(Self::Number(column)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a document has a value.
    pub(super) fn has_value(&self, doc: u32) -> bool {
        match self {
            Self::Whole(column) => column.index.has_value(doc),
            Self::Number(column) => column.index.has_value(doc),
            Self::Boolean(column) => column.index.has_value(doc),
            Self::Keyword(column) | Self::Ip(column) => column.ords().index.has_value(doc),
        }
    }

    /// Calls `each` with every number of a document; never for texts.
    pub(super) fn numbers(&self, doc: u32, mut each: impl FnMut(f64)) {
        match self {
            Self::Whole(column) => column.values_for_doc(doc).for_each(|value| each(value as f64)),
            Self::Number(column) => column.values_for_doc(doc).for_each(each),
            Self::Boolean(_) | Self::Keyword(_) | Self::Ip(_) => {}
        }
    }

    /// Calls `each` with a code of every different value of a document. Codes are equal exactly
    /// for equal values of this segment; [`Self::keys`] reads them.
    pub(super) fn codes(&self, doc: u32, buffer: &mut Vec<u64>) {
        buffer.clear();
        match self {
            Self::Whole(column) => {
                buffer.extend(column.values_for_doc(doc).map(|value| value as u64));
            }
            Self::Number(column) => {
                buffer.extend(column.values_for_doc(doc).map(f64::to_bits));
            }
            Self::Boolean(column) => buffer.extend(column.values_for_doc(doc).map(u64::from)),
            Self::Keyword(column) | Self::Ip(column) => buffer.extend(column.term_ords(doc)),
        }
        if buffer.len() > 1 {
            buffer.sort_unstable();
            buffer.dedup();
        }
    }

    /// How many values a document has, as Elasticsearch counts them: keywords and addresses of a
    /// document are a set, numbers a list.
    pub(super) fn count(&self, doc: u32, buffer: &mut Vec<u64>) -> u64 {
        let values = match self {
            Self::Whole(column) => column.index.value_row_ids(doc).len(),
            Self::Number(column) => column.index.value_row_ids(doc).len(),
            Self::Boolean(column) => column.index.value_row_ids(doc).len(),
            Self::Keyword(_) | Self::Ip(_) => {
                self.codes(doc, buffer);
                buffer.len()
            }
        };
        values as u64
    }

    /// Returns the keys of `codes`, which must be sorted. Reads a dictionary once, front to back.
    pub(super) fn keys(&self, codes: &[u64]) -> Result<Vec<Key>, String> {
        let (column, is_ip) = match self {
            Self::Whole(_) => {
                return Ok(codes.iter().map(|code| Key::Integer(*code as i64)).collect());
            }
            Self::Number(_) => {
                return Ok(codes.iter().map(|code| Key::Number(f64::from_bits(*code))).collect());
            }
            Self::Boolean(_) => {
                return Ok(codes.iter().map(|code| Key::Boolean(*code == 1)).collect());
            }
            Self::Keyword(column) => (column, false),
            Self::Ip(column) => (column, true),
        };
        let mut keys = Vec::with_capacity(codes.len());
        let complete = column.dictionary().sorted_ords_to_term_cb(codes, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let address = if is_ip { read_ip(&text) } else { None };
            keys.push(address.map_or_else(|| Key::Text(text.into_owned()), Key::Ip));
        });
        match complete {
            Ok(true) if keys.len() == codes.len() => Ok(keys),
            Ok(_) => Err("a column's dictionary is incomplete".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
