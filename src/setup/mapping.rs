//! How the mapping of an index stands to the one we want: what can be added, what contradicts.

use serde_json::{Map, Value, json};

/// Parameters of a field or object that may change on an index that exists.
const CHANGEABLE: [&str; 3] = ["ignore_above", "dynamic", "dynamic_templates"];

/// What an index lacks, and what it has otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The body of a mapping request that adds what is missing; null when nothing is.
    pub additions: Value,
    /// Names of the missing or changeable fields.
    pub added: Vec<String>,
    /// Fields of another type, which an index keeps for life.
    pub conflicts: Vec<Conflict>,
}

/// A field of another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Dotted name.
    pub field: String,
    /// The type it should have.
    pub wanted: String,
    /// The type it has.
    pub found: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is {} instead of {}", self.field, self.found, self.wanted)
    }
}

/// Compares the mapping `found` with `wanted`. What `found` has beyond is fine.
pub fn difference(wanted: &Value, found: &Value) -> Difference {
    let mut difference = Difference::default();
    if let Some(additions) = node(wanted, found, "", &mut difference) {
        difference.additions = additions;
    }
    difference
}

/// Returns what must be said about one field or object so that `found` becomes `wanted`.
fn node(wanted: &Value, found: &Value, path: &str, out: &mut Difference) -> Option<Value> {
    let (wanted_type, found_type) = (type_of(wanted), type_of(found));
    if wanted_type != found_type {
        let (wanted, found) = (wanted_type.to_owned(), found_type.to_owned());
        out.conflicts.push(Conflict { field: path.to_owned(), wanted, found });
        return None;
    }
    let mut said = Map::new();
    for name in CHANGEABLE {
        if let Some(value) = wanted.get(name)
            && found.get(name).map(in_words) != Some(in_words(value))
        {
            said.insert(name.to_owned(), value.clone());
            out.added.push(if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path} ({name})")
            });
        }
    }
    for below in ["properties", "fields"] {
        let Some(children) = wanted.get(below).and_then(Value::as_object) else { continue };
        let mut missing = Map::new();
        for (name, child) in children {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let answer = match found.get(below).and_then(|below| below.get(name)) {
                Some(found) => node(child, found, &path, out),
                None => {
                    name_leaves(child, &path, &mut out.added);
                    Some(child.clone())
                }
            };
            missing.extend(answer.map(|answer| (name.clone(), answer)));
        }
        if !missing.is_empty() {
            said.insert(below.to_owned(), Value::Object(missing));
        }
    }
    if said.is_empty() {
        return None;
    }
    // A field is named with its type whenever it is touched.
    if let Some(kind) = wanted.get("type") {
        said.insert("type".to_owned(), kind.clone());
    }
    Some(Value::Object(said))
}

fn type_of(node: &Value) -> &str {
    node.get("type").and_then(Value::as_str).unwrap_or("object")
}

/// Servers give some booleans and numbers back as texts.
fn in_words(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => json!(value.to_string()),
        Value::Array(values) => values.iter().map(in_words).collect(),
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), in_words(value))).collect()
        }
        Value::Null | Value::String(_) => value.clone(),
    }
}

fn name_leaves(node: &Value, path: &str, names: &mut Vec<String>) {
    match node.get("properties").and_then(Value::as_object) {
        Some(children) => {
            for (name, child) in children {
                name_leaves(child, &format!("{path}.{name}"), names);
            }
        }
        None => names.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_mappings_do_not_differ_however_booleans_are_written() {
        let wanted = json!({"dynamic": false, "properties": {"a": {"type": "keyword", "ignore_above": 1024}}});
        let found = json!({"dynamic": "false", "properties": {
            "a": {"type": "keyword", "ignore_above": 1024}, "own": {"type": "long"}}});
        assert_eq!(difference(&wanted, &found), Difference::default());
    }

    #[test]
    fn missing_fields_are_added_and_other_types_contradict() {
        let wanted = json!({"properties": {
            "source": {"properties": {"ip": {"type": "ip"}, "port": {"type": "long"}}},
            "tags": {"type": "keyword"},
            "new": {"properties": {"x": {"type": "date"}}},
        }});
        let found = json!({"properties": {
            "source": {"properties": {"ip": {"type": "keyword"}}},
            "tags": {"type": "keyword"},
        }});
        let difference = difference(&wanted, &found);
        assert_eq!(
            difference.additions,
            json!({"properties": {
                "source": {"properties": {"port": {"type": "long"}}},
                "new": {"properties": {"x": {"type": "date"}}},
            }})
        );
        assert_eq!(difference.added, ["new.x", "source.port"]);
        assert_eq!(difference.conflicts[0].to_string(), "`source.ip` is keyword instead of ip");
        assert_eq!(difference.conflicts.len(), 1);
    }

    #[test]
    fn a_changed_parameter_is_said_with_the_type() {
        let wanted = json!({"properties": {"a": {"type": "keyword", "ignore_above": 1024}}});
        let found = json!({"properties": {"a": {"type": "keyword", "ignore_above": 256}}});
        assert_eq!(
            difference(&wanted, &found).additions,
            json!({"properties": {"a": {"type": "keyword", "ignore_above": 1024}}})
        );
    }

    #[test]
    fn an_index_without_a_mapping_lacks_everything() {
        let wanted = json!({"properties": {"a": {"type": "ip"}}});
        assert_eq!(difference(&wanted, &json!({})).additions, wanted);
        assert_eq!(difference(&wanted, &Value::Null).added, ["a"]);
    }
}
