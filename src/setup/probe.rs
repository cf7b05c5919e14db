//! Documents that prove a set-up: through template and pipeline into an index of their own,
//! searched by every field, removed again.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Installer;
use super::finding::Finding;
use super::indices::STREAM_PREFIX;
use crate::model::Timestamp;
use crate::stores::fields::{self, FieldKind};
use crate::stores::{Call, Cluster, ClusterError, Family, IndexName, Method, Namespace, bounded};

/// The namespace of the probe documents; no installation may use it.
pub const PROBE_NAMESPACE: &str = "setupcheck";

/// What the probe came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Probed {
    pub findings: Vec<Finding>,
    /// How many documents were stored, found by all their fields, and removed.
    pub proven: usize,
}

/// Where the probe document of a family goes.
struct Place {
    family: Family,
    index: String,
}

impl Installer {
    /// Stores, finds and removes one document per family. The families whose indices cannot be
    /// removed again are left out.
    pub(super) fn probe(&self) -> Result<Probed, ClusterError> {
        self.clean_probe()?;
        let places: Vec<Place> = Family::ALL
            .into_iter()
            .filter(|family| *family != Family::Flows || self.capabilities.data_stream_api)
            .map(|family| Place {
                family,
                index: self.written_name(family, &namespace(PROBE_NAMESPACE)),
            })
            .collect();
        let probed = self.probe_places(&places);
        // Also after a failure: nothing of the probe stays.
        let cleaned = self.clean_probe();
        let probed = probed?;
        cleaned?;
        Ok(probed)
    }

    /// Removes what a probe, or one that was interrupted, left behind.
    pub(super) fn clean_probe(&self) -> Result<(), ClusterError> {
        for index in self.probe_leftovers()? {
            let path = match index.starts_with(STREAM_PREFIX) {
                true => format!("/_data_stream/{index}"),
                false => format!("/{index}"),
            };
            let action = format!("removing the probe index {index}");
            self.cluster.find(&Call::new(action, Method::Delete, path))?;
        }
        Ok(())
    }

    /// The indices and data streams of the probe that are there.
    pub(super) fn probe_leftovers(&self) -> Result<Vec<String>, ClusterError> {
        let stream = format!("{STREAM_PREFIX}{PROBE_NAMESPACE}");
        let path = format!("/_resolve/index/flowsentry-*-{PROBE_NAMESPACE}*,{stream}*");
        let call = Call::new("looking for probe indices", Method::Get, path);
        let Some(answer) = self.cluster.find(&call)? else { return Ok(Vec::new()) };
        let names = |key: &str| -> Vec<String> {
            let entries = answer.get(key).and_then(Value::as_array).into_iter().flatten();
            entries.filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect()
        };
        let is_probe = |name: &String| {
            IndexName::parse(name).is_some_and(|name| name.namespace().as_str() == PROBE_NAMESPACE)
        };
        let mut found: Vec<String> = names("indices").into_iter().filter(is_probe).collect();
        found.extend(names("data_streams").into_iter().filter(|name| *name == stream));
        Ok(found)
    }

    fn probe_places(&self, places: &[Place]) -> Result<Probed, ClusterError> {
        let mut probed = Probed::default();
        let refused = write_probes(&self.cluster, places, self.scope.now)?;
        for place in places {
            let object = format!("probe document in {}", place.index);
            let cause = match refused.get(&place.index) {
                Some(reason) => Some(format!("it was refused: {reason}")),
                None => find_probe(&self.cluster, place, self.scope.now)?,
            };
            match cause {
                None => probed.proven += 1,
                Some(cause) => probed.findings.push(Finding {
                    object,
                    cause,
                    remedy: format!(
                        "look for another template or a `flowsentry-{0}@custom` that changes the \
                         fields, for a pipeline that fails, and at `action.auto_create_index`, \
                         which must allow `flowsentry-*` and `logs-flowsentry.flow-*`",
                        place.family.name()
                    ),
                }),
            }
        }
        Ok(probed)
    }
}

/// A namespace of our own making.
pub(super) fn namespace(name: &'static str) -> Namespace {
    Namespace::new(name).expect("the name is a valid namespace")
}

/// Writes the documents; returns what was refused, by index.
fn write_probes(
    cluster: &Cluster,
    places: &[Place],
    now: Timestamp,
) -> Result<BTreeMap<String, String>, ClusterError> {
    let mut lines = Vec::new();
    for place in places {
        let document = document(place.family, now);
        let create = json!({"create": {"_index": place.index, "_id": "probe"}});
        lines.extend_from_slice(format!("{create}\n{document}\n").as_bytes());
    }
    let action = "writing the probe documents";
    let answer = cluster
        .demand(&Call::new(action, Method::Post, "/_bulk").query("refresh", "true").lines(lines))?;
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.len() != places.len() {
        let reason = format!("{} outcomes for {} documents", items.len(), places.len());
        return Err(ClusterError::Answer { action: action.to_owned(), reason });
    }
    let mut refused = BTreeMap::new();
    for (place, item) in places.iter().zip(items) {
        let outcome = &item["create"];
        // 409: the first attempt of this very request was taken, its answer lost.
        if outcome["status"].as_u64().is_none_or(|status| status >= 300 && status != 409) {
            let error = &outcome["error"];
            let mut reason = error["reason"].as_str().unwrap_or("no reason given").to_owned();
            if let Some(cause) = error["caused_by"]["reason"].as_str() {
                reason = format!("{reason}: {cause}");
            }
            refused.insert(place.index.clone(), bounded(&reason));
        }
    }
    Ok(refused)
}

/// Searches a document by each of its fields; returns what is wrong.
fn find_probe(
    cluster: &Cluster,
    place: &Place,
    now: Timestamp,
) -> Result<Option<String>, ClusterError> {
    let filters: Map<String, Value> = samples(place.family, now)
        .map(|(field, kind, value)| (field.to_owned(), query(field, kind, &value)))
        .collect();
    let action = format!("searching the probe document in {}", place.index);
    let call = Call::new(action, Method::Post, format!("/{}/_search", place.index)).json(json!({
        "size": 1,
        "query": {"ids": {"values": ["probe"]}},
        "aggs": {"fields": {"filters": {"filters": filters}}},
    }));
    let answer = cluster.demand(&call)?;
    let Some(hit) = answer.pointer("/hits/hits/0") else {
        return Ok(Some("it was taken and cannot be found".to_owned()));
    };
    if let Some(failure) = hit.pointer("/_source/error/message").and_then(Value::as_str) {
        return Ok(Some(format!("its pipeline failed: {}", bounded(failure))));
    }
    if let Some(ignored) = hit["_ignored"].as_array().filter(|ignored| !ignored.is_empty()) {
        let fields = Value::from(ignored.clone()).to_string();
        return Ok(Some(format!(
            "the types of these fields refuse their values: {}",
            bounded(&fields)
        )));
    }
    let buckets = &answer["aggregations"]["fields"]["buckets"];
    let lost: Vec<&str> = filters
        .keys()
        .filter(|field| buckets[field.as_str()]["doc_count"] != 1)
        .map(String::as_str)
        .collect();
    if lost.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("it cannot be searched by {}", bounded(&lost.join(", ")))))
}

/// A document with every field of the catalogue.
pub(super) fn document(family: Family, now: Timestamp) -> Value {
    let mut document = json!({});
    for (field, _, value) in samples(family, now) {
        let mut place = &mut document;
        for part in field.split('.') {
            place = &mut place[part];
        }
        *place = value;
    }
    document
}

fn samples(
    family: Family,
    now: Timestamp,
) -> impl Iterator<Item = (&'static str, FieldKind, Value)> {
    let written = fields::of_family(family);
    // What a pipeline or server fills in is not ours to say.
    let written = written.filter(|field| field.name != "event.ingested");
    written.map(move |field| (field.name, field.kind, sample(field.kind, now)))
}

fn sample(kind: FieldKind, now: Timestamp) -> Value {
    match kind {
        FieldKind::Keyword | FieldKind::Text => json!(PROBE_NAMESPACE),
        FieldKind::Ip => json!("192.0.2.1"),
        FieldKind::Date => json!(now.to_string()),
        FieldKind::Long => json!(7),
        FieldKind::Double => json!(1.5),
        FieldKind::Boolean => json!(true),
        FieldKind::DoubleMap => json!({"probe": 1.5}),
    }
}

/// A query that only a field of the right type answers.
fn query(field: &str, kind: FieldKind, value: &Value) -> Value {
    match kind {
        FieldKind::Keyword | FieldKind::Boolean => json!({"term": {field: value}}),
        // A keyword holds no prefix length, and is not compared by number or time.
        FieldKind::Ip => json!({"term": {field: "192.0.2.0/24"}}),
        FieldKind::Date => json!({"range": {field: {"gte": "now-10000d", "lte": "now+10000d"}}}),
        FieldKind::Long => json!({"range": {field: {"gte": 6, "lt": 10}}}),
        FieldKind::Double => json!({"range": {field: {"gt": 1.25, "lt": 11}}}),
        FieldKind::Text => json!({"match": {field: value}}),
        FieldKind::DoubleMap => {
            let key = format!("{field}.probe");
            json!({"range": {key: {"gt": 1.25, "lt": 11}}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_every_field_of_its_family() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let flow = document(Family::Flows, now);
        assert_eq!(flow["source"]["ip"], "192.0.2.1");
        assert_eq!(flow["@timestamp"], now.to_string());
        let window = document(Family::Windows, now);
        assert_eq!(window["flowsentry"]["window"]["features"]["probe"], 1.5);
        assert_eq!(window["flowsentry"]["window"]["truncated"], true);
    }
}
