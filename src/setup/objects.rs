//! Where the objects of a cluster live: how each kind is read, written and removed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asset, AssetKind};
use crate::stores::{Call, Cluster, ClusterError, Flavour, Method};

/// An object as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// The object itself, without the name and frame around it.
    pub body: Value,
    /// What a write must name, so that it replaces this very state and no later one (ISM alone).
    pub lock: Option<Lock>,
}

/// A state of an ISM policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `_seq_no`.
    pub sequence: u64,
    /// `_primary_term`.
    pub term: u64,
}

/// What the server has of our names.
pub(super) type Existing = BTreeMap<(AssetKind, String), Present>;

impl AssetKind {
    /// The words for several of it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Policy => "policies",
            Self::Pipeline => "pipelines",
            Self::Component => "component templates",
            Self::Template => "index templates",
        }
    }
}

impl Asset {
    /// Kind and name, for a person.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.name(), self.name)
    }
}

fn path(cluster: &Cluster, kind: AssetKind, name: &str) -> String {
    format!("/{}/{name}", kind.path(cluster.server().flavour))
}

/// Reads what the server has of `assets`.
pub(super) fn read_all(cluster: &Cluster, assets: &[Asset]) -> Result<Existing, ClusterError> {
    let mut existing = Existing::new();
    for kind in [AssetKind::Pipeline, AssetKind::Component, AssetKind::Template] {
        if assets.iter().any(|asset| asset.kind == kind) {
            for (name, body) in read_kind(cluster, kind)? {
                existing.insert((kind, name), Present { body, lock: None });
            }
        }
    }
    // Policies have no search by name that all versions share.
    for asset in assets.iter().filter(|asset| asset.kind == AssetKind::Policy) {
        if let Some(present) = read_one(cluster, AssetKind::Policy, &asset.name)? {
            existing.insert((asset.kind, asset.name.clone()), present);
        }
    }
    Ok(existing)
}

/// All objects of a kind whose names begin like ours.
fn read_kind(cluster: &Cluster, kind: AssetKind) -> Result<Vec<(String, Value)>, ClusterError> {
    let action = format!("reading the {}", kind.plural());
    let call = Call::new(action, Method::Get, path(cluster, kind, "flowsentry-*"));
    let Some(answer) = cluster.find(&call)? else { return Ok(Vec::new()) };
    Ok(listed(kind, answer))
}

/// Takes the objects out of the frame in which a server lists them.
fn listed(kind: AssetKind, answer: Value) -> Vec<(String, Value)> {
    let (list, inner) = match kind {
        AssetKind::Component => ("component_templates", "component_template"),
        AssetKind::Template => ("index_templates", "index_template"),
        AssetKind::Policy | AssetKind::Pipeline => {
            let Value::Object(by_name) = answer else { return Vec::new() };
            return by_name.into_iter().collect();
        }
    };
    let entries = answer.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let entry = |mut entry: Value| Some((text(&entry["name"])?, entry.get_mut(inner)?.take()));
    entries.into_iter().filter_map(entry).collect()
}

/// Reads one object; `None` when there is none of this name.
pub(super) fn read_one(
    cluster: &Cluster,
    kind: AssetKind,
    name: &str,
) -> Result<Option<Present>, ClusterError> {
    let action = format!("reading the {} {name}", kind.name());
    let call = Call::new(action, Method::Get, path(cluster, kind, name));
    let Some(mut answer) = cluster.find(&call)? else { return Ok(None) };
    if kind == AssetKind::Policy && cluster.server().flavour == Flavour::OpenSearch {
        let number = |key: &str| answer.get(key).and_then(Value::as_u64);
        let lock = number("_seq_no").zip(number("_primary_term"));
        let lock = lock.map(|(sequence, term)| Lock { sequence, term });
        return Ok(answer.get_mut("policy").map(|body| Present { body: body.take(), lock }));
    }
    let found = listed(kind, answer).into_iter().find(|(found, _)| found == name);
    let body = found.and_then(|(_, mut body)| match kind {
        AssetKind::Policy => Some(body.get_mut("policy")?.take()),
        AssetKind::Pipeline | AssetKind::Component | AssetKind::Template => Some(body),
    });
    Ok(body.map(|body| Present { body, lock: None }))
}

/// Puts an object in place, over the state `lock` when there is one.
pub(super) fn write(
    cluster: &Cluster,
    asset: &Asset,
    lock: Option<Lock>,
) -> Result<(), ClusterError> {
    let action = format!("writing the {}", asset.title());
    let mut call = Call::new(action, Method::Put, path(cluster, asset.kind, &asset.name))
        .json(asset.body.clone());
    if let Some(lock) = lock {
        call = call
            .query("if_seq_no", lock.sequence.to_string())
            .query("if_primary_term", lock.term.to_string());
    }
    cluster.demand(&call).map(|_| ())
}

/// Removes an object; one that is not there is removed already.
pub(super) fn remove(cluster: &Cluster, asset: &Asset) -> Result<(), ClusterError> {
    let action = format!("removing the {}", asset.title());
    let call = Call::new(action, Method::Delete, path(cluster, asset.kind, &asset.name));
    cluster.find(&call).map(|_| ())
}

/// Puts back what was there before, whatever its state is now.
pub(super) fn restore(
    cluster: &Cluster,
    asset: &Asset,
    previous: &Present,
) -> Result<(), ClusterError> {
    let lock = match &previous.lock {
        Some(_) => read_one(cluster, asset.kind, &asset.name)?.and_then(|now| now.lock),
        None => None,
    };
    let body = writable(asset.kind, &previous.body);
    write(cluster, &Asset { body, ..asset.clone() }, lock)
}

/// Makes the body of a request from an object that was read: without what the server adds itself
/// and would refuse.
fn writable(kind: AssetKind, read: &Value) -> Value {
    let mut body = read.clone();
    let added = ["policy_id", "last_updated_time", "schema_version"];
    if let Value::Object(object) = &mut body {
        object.retain(|key, _| {
            !added.contains(&key.as_str())
                && !key.starts_with("created_date")
                && !key.starts_with("modified_date")
        });
    }
    if let Some(templates) = body.get_mut("ism_template").and_then(Value::as_array_mut) {
        for template in templates.iter_mut().filter_map(Value::as_object_mut) {
            template.remove("last_updated_time");
        }
    }
    if kind == AssetKind::Policy { json!({"policy": body}) } else { body }
}

/// The text in `value`.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_taken_out_of_their_frames() {
        let answer = json!({"index_templates": [
            {"name": "flowsentry-flows", "index_template": {"priority": 500}}, {"no": "name"},
        ]});
        let found = listed(AssetKind::Template, answer);
        assert_eq!(found, [("flowsentry-flows".to_owned(), json!({"priority": 500}))]);
        assert_eq!(listed(AssetKind::Component, json!("hostile")), []);
        assert_eq!(listed(AssetKind::Pipeline, json!([])), []);
    }

    #[test]
    fn what_a_server_adds_is_not_sent_back() {
        let read = json!({"policy_id": "x", "last_updated_time": 5, "schema_version": 21,
            "description": "d", "ism_template": [{"priority": 1, "last_updated_time": 7}]});
        assert_eq!(
            writable(AssetKind::Policy, &read),
            json!({"policy": {"description": "d", "ism_template": [{"priority": 1}]}})
        );
        let read = json!({"processors": [], "created_date_millis": 1, "modified_date": "x"});
        assert_eq!(writable(AssetKind::Pipeline, &read), json!({"processors": []}));
    }
}
