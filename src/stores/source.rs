//! Which parts of a document a hit carries.

use serde_json::{Map, Value};

use super::SourceFields;

/// Returns the parts of `source` that were asked for.
pub(super) fn project(source: Value, wanted: &SourceFields) -> Value {
    match wanted {
        SourceFields::All => source,
        SourceFields::None => Value::Null,
        SourceFields::Only(fields) => {
            let kept = keep(source, "", fields);
            kept.unwrap_or_else(|| Value::Object(Map::new()))
        }
    }
}

/// Returns what of `value` at `path` lies under one of `fields`; `None` when nothing does.
fn keep(value: Value, path: &str, fields: &[String]) -> Option<Value> {
    let below = |field: &str, path: &str| {
        path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if fields.iter().any(|field| below(field, path)) {
        return Some(value);
    }
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                Some((key, keep(value, &path, fields)?))
            });
            let kept: Map<_, _> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(values) => {
            let kept: Vec<_> =
                values.into_iter().filter_map(|value| keep(value, path, fields)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_source_is_cut_to_the_fields_asked_for() {
        let source = json!({"a": {"b": 1, "c": [{"d": 1, "e": 2}]}, "f": 3, "a.b": 4});
        let only = |fields: &[&str]| {
            let fields = fields.iter().map(|field| (*field).to_owned()).collect();
            project(source.clone(), &SourceFields::Only(fields))
        };
        assert_eq!(only(&["a.c.d"]), json!({"a": {"c": [{"d": 1}]}}));
        assert_eq!(only(&["a.b"]), json!({"a": {"b": 1}, "a.b": 4}));
        assert_eq!(only(&["f", "x"]), json!({"f": 3}));
        assert_eq!(only(&[]), json!({}));
    }
}
