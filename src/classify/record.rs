//! Messages → records of a schema.

use serde_json::Value as Json;
use thiserror::Error;

use crate::models::record::{Labels, Record, Rows, Value, record_of};
use crate::models::schema::Schema;

/// Why a message is no record of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// It begins like JSON and is none.
    #[error("it is not JSON")]
    NotJson,
    /// It is empty, or several rows.
    #[error("it is not one row")]
    NotOneRow,
    /// A value, or the number of values, does not fit.
    #[error("{}{reason}", column.as_ref().map(|name| format!("column `{name}` ")).unwrap_or_default())]
    Row {
        /// The column at fault, when it is one.
        column: Option<String>,
        /// What is wrong.
        reason: String,
    },
}

/// Reads a JSON object of named values, or the cells of a row in the order of the schema.
///
/// Of an object, names that begin with `@` and values that are objects or lists are what pipelines
/// add on the way, and are passed over. Labels are never looked at.
///
/// # Errors
/// Names the value that cannot be used.
pub fn read_record(schema: &Schema, bytes: &[u8]) -> Result<Record, BadRecord> {
    let bytes = bytes.trim_ascii();
    if bytes.first() == Some(&b'{') {
        return named(schema, bytes);
    }
    let mut rows = Rows::new(schema, bytes, Labels::Unread).map_err(|_| BadRecord::NotOneRow)?;
    let (first, second) = (rows.next(), rows.next());
    match (first, second) {
        (Some(Ok(row)), None) => Ok(row?.record),
        _ => Err(BadRecord::NotOneRow),
    }
}

fn named(schema: &Schema, bytes: &[u8]) -> Result<Record, BadRecord> {
    let object: serde_json::Map<String, Json> =
        serde_json::from_slice(bytes).map_err(|_| BadRecord::NotJson)?;
    let values = object.iter().filter(|(name, _)| !name.starts_with('@'));
    let values = values.filter_map(|(name, value)| {
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(is_true) => Value::Number(f64::from(u8::from(*is_true))),
            Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Value::Text(text),
            Json::Array(_) | Json::Object(_) => return None,
        };
        Some((name.as_str(), value))
    });
    Ok(record_of(schema, values)?)
}
