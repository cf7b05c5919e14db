//! Documents on their way in: checked against the catalogue before any store sees them, so that
//! all stores reject the same documents for the same reasons.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::fields::{self, FieldKind, KEYWORD_LIMIT, MAP_KEYS_LIMIT, Meaning};
use super::{DocumentId, Family, IndexName};
use crate::model::Timestamp;

/// The deepest nesting of objects and arrays; Elasticsearch's own limit for objects.
const DEPTH_LIMIT: usize = 20;

/// A document to be created.
///
/// Its `@timestamp` must lie in the period of its index; a search relies on that when it leaves
/// out the indices of other times.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where.
    pub index: IndexName,
    /// Its id, unique within the index.
    pub id: DocumentId,
    /// The document, a JSON object.
    pub source: Value,
}

/// A searchable value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LeafValue<'a> {
    Text(Cow<'a, str>),
    Ip(IpAddr),
    /// Milliseconds since the epoch.
    Date(i64),
    Long(i64),
    Double(f64),
    Boolean(bool),
}

/// One searchable value under its dotted path; arrays give one leaf per element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf<'a> {
    pub path: Cow<'static, str>,
    pub value: LeafValue<'a>,
}

/// Returns the searchable values of `source`.
///
/// # Errors
/// The reason why no store takes the document.
pub(super) fn check_document<'a>(
    index: &IndexName,
    source: &'a Value,
) -> Result<Vec<Leaf<'a>>, String> {
    let Value::Object(object) = source else {
        return Err(format!("a document is a JSON object, not {}", describe(source)));
    };
    let mut walk = Walk {
        family: index.family(),
        path: String::with_capacity(64),
        leaves: Vec::with_capacity(64),
    };
    walk.object(object, DEPTH_LIMIT)?;
    check_time(index, &walk.leaves)?;
    Ok(walk.leaves)
}

/// Refuses a document that a search by time would not find in `index`.
fn check_time(index: &IndexName, leaves: &[Leaf<'_>]) -> Result<(), String> {
    let Some((from, to)) = index.span() else { return Ok(()) };
    let mut found = false;
    for leaf in leaves.iter().filter(|leaf| leaf.path == "@timestamp") {
        let LeafValue::Date(millis) = leaf.value else { continue };
        if found {
            return Err("field `@timestamp` has more than one value".to_owned());
        }
        found = true;
        if !(from.millis()..to.millis().max(from.millis() + 1)).contains(&millis) {
            let time = Timestamp::from_millis(millis);
            return Err(format!("`@timestamp` {time} is outside the period of index `{index}`"));
        }
    }
    if found { Ok(()) } else { Err(format!("`@timestamp` is missing, index `{index}` needs it")) }
}

struct Walk<'a> {
    family: Family,
    path: String,
    leaves: Vec<Leaf<'a>>,
}

impl<'a> Walk<'a> {
    fn object(&mut self, object: &'a Map<String, Value>, depth: usize) -> Result<(), String> {
        for (key, value) in object {
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            if key.split('.').any(|part| part.trim().is_empty()) {
                return Err(format!("field `{}` has an empty part in its name", self.shown()));
            }
            if length == 0 && key.starts_with('_') {
                let shown = self.shown();
                return Err(format!(
                    "field `{shown}`: names that begin with `_` are the stores' own"
                ));
            }
            self.value(value, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    /// Reads the value at the current path.
    fn value(&mut self, value: &'a Value, depth: usize) -> Result<(), String> {
        if depth == 0 {
            return Err(format!("nested deeper than {DEPTH_LIMIT} levels"));
        }
        let meaning = fields::meaning(self.family, &self.path);
        match (value, meaning) {
            (Value::Null, _) => Ok(()),
            (Value::Array(values), _) => {
                values.iter().try_for_each(|value| self.value(value, depth - 1))
            }
            (Value::Object(object), Meaning::Field(field)) => match field.kind {
                FieldKind::DoubleMap => self.map(object),
                _ => Err(self.wrong(field.kind.name(), value)),
            },
            (Value::Object(object), Meaning::Parent) => self.object(object, depth - 1),
            (Value::Object(_), Meaning::Unknown) => check_depth(value, depth),
            (Value::Object(_), Meaning::MapKey) => Err(self.wrong(FieldKind::Double.name(), value)),
            (_, Meaning::BadMapKey) => Err(self.bad_key()),
            (_, Meaning::Parent) => Err(self.wrong("object", value)),
            (_, Meaning::Unknown) => Ok(()),
            (_, Meaning::MapKey) => {
                let path = Cow::Owned(self.path.clone());
                self.leaf(path, FieldKind::Double, value)
            }
            (_, Meaning::Field(field)) => self.leaf(Cow::Borrowed(field.name), field.kind, value),
        }
    }

    /// Reads a map of doubles at the current path, without looking every key up.
    fn map(&mut self, object: &'a Map<String, Value>) -> Result<(), String> {
        if object.len() > MAP_KEYS_LIMIT {
            return Err(format!("field `{}` has more than {MAP_KEYS_LIMIT} keys", self.shown()));
        }
        for (key, value) in object {
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(key);
            if !fields::is_map_key(key) {
                return Err(self.bad_key());
            }
            match value {
                Value::Null => {}
                value => self.leaf(Cow::Owned(self.path.clone()), FieldKind::Double, value)?,
            }
            self.path.truncate(length);
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        path: Cow<'static, str>,
        kind: FieldKind,
        value: &'a Value,
    ) -> Result<(), String> {
        match read(kind, value) {
            Ok(Some(value)) => {
                self.leaves.push(Leaf { path, value });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(()) => Err(self.wrong(kind.name(), value)),
        }
    }

    fn wrong(&self, wanted: &str, value: &Value) -> String {
        format!("field `{}` is of type {wanted}, got {}", self.shown(), describe(value))
    }

    fn bad_key(&self) -> String {
        format!("key `{}` needs 1 to 64 letters, digits, `_` or `-`", self.shown())
    }

    /// The path for a message: bounded, whatever the document holds.
    fn shown(&self) -> String {
        self.path.chars().take(160).collect()
    }
}

/// Returns the searchable form of `value`; `Ok(None)` when it is stored only, `Err` when it is of
/// another type than `kind`.
fn read(kind: FieldKind, value: &Value) -> Result<Option<LeafValue<'_>>, ()> {
    let leaf = match (kind, value) {
        (FieldKind::Text, Value::String(_) | Value::Number(_) | Value::Bool(_)) => return Ok(None),
        (FieldKind::Keyword, Value::String(text)) => {
            // Bytes first: counting is only needed for long texts.
            if text.len() > KEYWORD_LIMIT && text.encode_utf16().count() > KEYWORD_LIMIT {
                return Ok(None);
            }
            LeafValue::Text(Cow::Borrowed(text))
        }
        (FieldKind::Keyword, Value::Number(number)) => {
            LeafValue::Text(Cow::Owned(number.to_string()))
        }
        (FieldKind::Keyword, Value::Bool(flag)) => LeafValue::Text(Cow::Owned(flag.to_string())),
        (FieldKind::Ip, Value::String(text)) => LeafValue::Ip(text.parse().map_err(drop)?),
        (FieldKind::Date, Value::String(text)) if is_plain_time(text) => {
            LeafValue::Date(text.parse::<Timestamp>().map_err(drop)?.millis())
        }
        (FieldKind::Date, Value::Number(number)) => {
            LeafValue::Date(whole_number(number).filter(|millis| is_time(*millis)).ok_or(())?)
        }
        (FieldKind::Long, Value::Number(number)) => {
            LeafValue::Long(whole_number(number).ok_or(())?)
        }
        (FieldKind::Double | FieldKind::DoubleMap, Value::Number(number)) => {
            // Zero has one sign: `-0.0` becomes `0.0`, so that all stores compare it alike.
            let number = number.as_f64().filter(|number| number.is_finite());
            LeafValue::Double(number.ok_or(())? + 0.0)
        }
        (FieldKind::Boolean, Value::Bool(flag)) => LeafValue::Boolean(*flag),
        _ => return Err(()),
    };
    Ok(Some(leaf))
}

/// Whether a text is a time in the one form of RFC 3339 that all stores read: no space for the `T`,
/// no small letters, no leap second, nothing finer than a nanosecond.
fn is_plain_time(text: &str) -> bool {
    let fraction = text.get(19..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let decimals = fraction.bytes().take_while(u8::is_ascii_digit).count();
    text.as_bytes().get(10) == Some(&b'T')
        && !text.ends_with('z')
        && text.get(17..19) != Some("60")
        && decimals <= 9
}

/// Whether so many milliseconds after the epoch are a [`Timestamp`].
fn is_time(millis: i64) -> bool {
    (Timestamp::MIN.millis() + 1..=Timestamp::MAX.millis()).contains(&millis)
}

/// The number as a whole one, when it is one and fits; `5.0` is.
fn whole_number(number: &serde_json::Number) -> Option<i64> {
    if let Some(whole) = number.as_i64() {
        return Some(whole);
    }
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let fits = float.fract() == 0.0 && float.abs() < i64::MAX as f64;
    fits.then_some(float as i64)
}

/// Walks what is not in the catalogue, for its depth alone.
fn check_depth(value: &Value, depth: usize) -> Result<(), String> {
    let too_deep = || format!("nested deeper than {DEPTH_LIMIT} levels");
    let below = depth.checked_sub(1).ok_or_else(too_deep)?;
    match value {
        Value::Object(object) => object.values().try_for_each(|value| check_depth(value, below)),
        Value::Array(values) => values.iter().try_for_each(|value| check_depth(value, below)),
        _ => Ok(()),
    }
}

/// A value for a message: its type and a bounded excerpt.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) => format!("`{}`", text.chars().take(64).collect::<String>()),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Gives every zero in `source` a positive sign: servers keep two zeros apart.
pub(super) fn unsign_zeros(source: &mut Value) {
    match source {
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => {
            *source = Value::from(0.0);
        }
        Value::Array(values) => values.iter_mut().for_each(unsign_zeros),
        Value::Object(object) => object.values_mut().for_each(unsign_zeros),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Merges `partial` into `source` as Elasticsearch's update does: objects merge key by key, all
/// else (arrays too) is replaced, null stays as null.
pub(super) fn merge(source: &mut Value, partial: Value) {
    match (source, partial) {
        (Value::Object(source), Value::Object(partial)) => {
            for (key, value) in partial {
                merge(source.entry(key).or_insert(Value::Null), value);
            }
        }
        (source, partial) => *source = partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Namespace;
    use serde_json::json;

    fn check(family: Family, source: Value) -> Result<Vec<(String, String)>, String> {
        let time = "2026-11-21T10:00:00Z".parse().unwrap();
        let index = IndexName::for_event(family, &Namespace::default(), time);
        let leaves = check_document(&index, &source)?;
        Ok(leaves.iter().map(|leaf| (leaf.path.to_string(), format!("{:?}", leaf.value))).collect())
    }

    fn window(extra: Value) -> Result<Vec<(String, String)>, String> {
        let mut source = json!({"@timestamp": "2026-11-21T10:00:00Z"});
        merge(&mut source, extra);
        check(Family::Windows, source)
    }

    #[test]
    fn nested_and_dotted_names_are_the_same_field() {
        let nested = window(json!({"source": {"ip": "10.0.0.1"}})).unwrap();
        let dotted = window(json!({"source.ip": "10.0.0.1"})).unwrap();
        assert_eq!(nested, dotted);
        assert_eq!(nested[1], ("source.ip".to_owned(), "Ip(10.0.0.1)".to_owned()));
    }

    #[test]
    fn wrong_types_are_rejected_by_field() {
        let features = |value| json!({"flowsentry": {"window": {"features": value}}});
        let seconds = |value| json!({"flowsentry": {"window": {"seconds": value}}});
        for (source, wanted) in [
            (json!({"source": {"ip": "nobody"}}), "field `source.ip` is of type ip, got `nobody`"),
            (json!({"source": {"ip": {"v": 4}}}), "field `source.ip` is of type ip, got an object"),
            (json!({"event": 5}), "field `event` is of type object, got `5`"),
            (seconds(json!(1.5)), "field `flowsentry.window.seconds` is of type long, got `1.5`"),
            (
                seconds(json!(u64::MAX)),
                "field `flowsentry.window.seconds` is of type long, got `18446744073709551615`",
            ),
            (
                features(json!({"bytes": "5"})),
                "field `flowsentry.window.features.bytes` is of type double, got `5`",
            ),
            (
                features(json!({"a.b": 5})),
                "key `flowsentry.window.features.a.b` needs 1 to 64 letters, digits, `_` or `-`",
            ),
            (
                json!({"flowsentry": {"window": {"truncated": "no"}}}),
                "field `flowsentry.window.truncated` is of type boolean, got `no`",
            ),
        ] {
            assert_eq!(window(source), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn the_time_decides_the_index() {
        let missing = check(Family::Windows, json!({})).unwrap_err();
        assert!(missing.starts_with("`@timestamp` is missing"), "{missing}");
        let outside = check(Family::Windows, json!({"@timestamp": "2026-11-22T00:00:00Z"}));
        assert!(outside.unwrap_err().contains("is outside the period of index"));
        assert!(check(Family::State, json!({})).is_ok());
        let twice = json!({"@timestamp": ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"]});
        assert!(check(Family::Windows, twice).is_err());
    }

    #[test]
    fn leftovers_are_stored_not_searched() {
        let leaves = window(json!({"x": {"y": [1, {"z": null}]}, "message": "hello"})).unwrap();
        assert_eq!(leaves.len(), 1);
        let long = "x".repeat(KEYWORD_LIMIT + 1);
        assert_eq!(window(json!({"tags": [long, "ok"]})).unwrap().len(), 2);
    }

    #[test]
    fn hostile_nesting_is_rejected() {
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        assert!(window(json!({"source": {"ip": deep.clone()}})).is_err());
        assert!(window(json!({"x": {"y": deep}})).is_err());
        assert!(check(Family::State, json!([1])).is_err());
    }

    #[test]
    fn a_partial_document_merges_key_by_key() {
        let mut source = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut source, json!({"a": {"c": [3], "e": {"f": 1}}, "d": null}));
        assert_eq!(source, json!({"a": {"b": 1, "c": [3], "e": {"f": 1}}, "d": null}));
    }
}
