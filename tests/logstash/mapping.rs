//! `logstash/mapping.yml` against what both sides write.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use flowsentry::formats::{self, ecs};
use flowsentry::model::Timestamp;
use flowsentry::stores::Family;
use flowsentry::stores::fields::{self, FieldKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ruby, rules, samples};

/// The keys of a value, in the order in which they count: times with their units.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Keys {
    Plain(Vec<String>),
    Times(serde_yaml_ng::Mapping),
}

/// One field of a document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub field: String,
    #[serde(rename = "type")]
    kind: String,
    pub rule: String,
    /// Of the rule `constant`.
    pub value: Option<Value>,
    /// The values that the rule takes.
    #[serde(default)]
    pub of: Vec<String>,
    /// Whether our own documents hold it.
    #[serde(default)]
    flowsentry: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    pub values: BTreeMap<String, BTreeMap<String, Keys>>,
    pub not_kept: Vec<String>,
    pub fields: Vec<Row>,
}

fn mapping() -> Mapping {
    let text = std::fs::read_to_string(samples::root().join("logstash/mapping.yml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

/// The leaves of a document by path; lists and leftovers are leaves.
fn leaves(document: &Value) -> BTreeMap<String, Value> {
    fn add(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) if path != "flowsentry.leftovers" => {
                for (name, value) in members {
                    let inner =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    add(&inner, value, found);
                }
            }
            leaf => {
                found.insert(path.to_owned(), leaf.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    add("", document, &mut found);
    found
}

/// A value in the form in which an index of type `kind` sees it.
fn typed(kind: &str, value: &Value) -> Value {
    match (kind, value) {
        (_, Value::Array(values)) => values.iter().map(|value| typed(kind, value)).collect(),
        ("date", Value::String(text)) => json!(text.parse::<Timestamp>().unwrap().nanos()),
        ("ip", Value::String(text)) => json!(text.parse::<IpAddr>().unwrap()),
        (_, other) => other.clone(),
    }
}

/// Compares a document with the table; `is_ours` leaves out what the pipeline alone writes.
fn compare(
    mapping: &Mapping,
    sample: &samples::Sample,
    offset: usize,
    document: &Value,
    is_ours: bool,
) {
    let record = sample.record();
    let input = rules::Input { mapping, producer: sample.producer, record: &record, offset };
    let mut found = leaves(document);
    for row in mapping.fields.iter().filter(|row| row.flowsentry || !is_ours) {
        let expected = input.expected(row).map(|value| typed(&row.kind, &value));
        let written = found.remove(&row.field).map(|value| typed(&row.kind, &value));
        if row.rule == "community_id" {
            // Its value has vectors of its own.
            let text = written.as_ref().map(|id| id.as_str().unwrap());
            assert!(text.is_none_or(|id| id.starts_with("1:") && id.len() == 30), "{text:?}");
            assert_eq!(written.is_some(), expected.is_some(), "{}\n{}", row.field, sample.text);
        } else {
            assert_eq!(written, expected, "{} of {}", row.field, sample.text);
        }
    }
    assert!(found.is_empty(), "not in the table: {found:?}");
}

#[test]
fn the_pipeline_keeps_to_the_table() {
    if !ruby::is_there() {
        return;
    }
    let mapping = mapping();
    let samples = samples::all();
    let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
    let mut written = BTreeSet::new();
    for (offset, (sample, document)) in samples.iter().zip(ruby::mapped(&texts)).enumerate() {
        let document = document.expect("every sample is a flow");
        compare(&mapping, sample, offset, &document, false);
        written.extend(leaves(&document).into_keys());
    }
    // Every row is met by some sample.
    let rows: BTreeSet<String> = mapping.fields.iter().map(|row| row.field.clone()).collect();
    assert_eq!(written, rows);
}

#[test]
fn our_own_documents_keep_to_the_table() {
    let mut table = mapping();
    // Ours is cut to the millisecond, after the clock was judged; `flows` compares the pipeline's.
    table.fields.retain(|row| row.field != "@timestamp");
    assert!(table.fields.iter().filter(|row| row.flowsentry).count() > 30);
    let mut compared = 0;
    for (offset, sample) in samples::all().iter().enumerate() {
        let decoder = samples::DECODERS.iter().find(|(producer, _)| *producer == sample.producer);
        let Some((_, format)) = decoder else { continue };
        let mut decoder = formats::by_name(format).unwrap().decoder();
        let mut flow = decoder.decode(sample.text.as_bytes()).unwrap().expect("a flow");
        let receipt = Timestamp::from_millis(samples::millis(offset));
        flow.received = flow.received.or(Some(receipt));
        let id = format!("flows-3-{offset}-{}", samples::millis(offset));
        let mut document = ecs::flow_document(&flow, &id);
        document.as_object_mut().unwrap().remove("@timestamp");
        compare(&table, sample, offset, &document, true);
        compared += 1;
    }
    assert_eq!(compared, 609);
}

/// The types of the table are those that documents are searched by.
#[test]
fn the_types_are_those_of_the_catalogue() {
    let catalogue: BTreeMap<&str, FieldKind> =
        fields::of_family(Family::Flows).map(|field| (field.name, field.kind)).collect();
    for row in mapping().fields {
        let found = catalogue.get(row.field.as_str()).map(|kind| kind.name());
        match row.kind.as_str() {
            // Kept, not searched by.
            "stored" => assert_eq!(found, None, "{}", row.field),
            "flat" => assert_eq!(row.field, "flowsentry.leftovers"),
            kind => assert_eq!(found, Some(kind), "{}", row.field),
        }
    }
}

/// The sources of the table are the names in the pipeline, so that neither gets ahead of the other.
#[test]
fn every_key_of_the_table_is_named_in_the_pipeline() {
    let text = std::fs::read_to_string(samples::root().join("logstash/flows.conf")).unwrap();
    let words: BTreeSet<&str> =
        text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).collect();
    for (value, producers) in mapping().values {
        for keys in producers.into_values() {
            let keys: Vec<String> = match keys {
                Keys::Plain(keys) => keys,
                Keys::Times(keys) => {
                    keys.into_keys().filter_map(|key| Some(key.as_str()?.to_owned())).collect()
                }
            };
            for key in keys {
                assert!(words.contains(key.as_str()), "{key} of {value}");
            }
        }
    }
}

/// Documents that people read: one of each producer, and a rejected record.
#[test]
fn documents_stay_as_they_are() {
    if !ruby::is_there() {
        return;
    }
    let mut samples = samples::all();
    let mut seen = BTreeSet::new();
    samples.retain(|sample| {
        let kind = sample.record()["type"].as_str().unwrap_or_default().to_owned();
        sample.producer != "goflow2" || seen.insert(kind)
    });
    let mut texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
    texts.push(r#"{"time_received_ns":1795232940823495790,"src_addr":"10.0.0.300","bytes":1}"#);
    let documents: Map<String, Value> = ruby::mapped(&texts)
        .into_iter()
        .enumerate()
        .map(|(at, document)| {
            let producer = samples.get(at).map_or("rejected", |sample| sample.producer);
            (format!("{at:02} {producer}"), document.unwrap())
        })
        .collect();
    insta::assert_json_snapshot!(documents);
}
