//! The indices that exist already: which are ours, and what they need to keep up with the
//! templates, which act on new indices alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mapping::difference;
use super::objects::text;
use super::probe::PROBE_NAMESPACE;
use super::{Asset, AssetKind};
use crate::model::Timestamp;
use crate::stores::{Call, Cluster, ClusterError, Family, Flavour, IndexName, Method};

/// What the names of raw flows begin with; the namespace follows.
pub(super) const STREAM_PREFIX: &str = "logs-flowsentry.flow-";
/// All names that can be ours.
const PATTERNS: &str = "flowsentry-*,logs-flowsentry.flow-*";

/// An index or data stream of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub family: Family,
    /// The indices behind a data stream, the one that is written last; `None` for an index.
    pub backing: Option<Vec<String>>,
}

/// Something that an existing index needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Upgrade {
    /// Fields are added to its mapping.
    Extend {
        /// The index.
        index: String,
        /// The data stream that writes to it, when it is the newest of one.
        stream: Option<String>,
        /// The body of the request.
        additions: Value,
        /// Names of the fields.
        fields: Vec<String>,
    },
    /// A data stream goes on with a new index.
    RollOver {
        /// The data stream.
        stream: String,
        /// Why.
        reason: String,
    },
    /// An index without a policy gets ours.
    Attach {
        /// The index or data stream.
        index: String,
        /// The policy.
        policy: String,
    },
    /// An index goes over to the new version of its policy.
    Follow {
        /// The index or data stream.
        index: String,
        /// The policy.
        policy: String,
    },
}

/// An index that nothing of ours can bring up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The index.
    pub index: String,
    /// What is wrong with it.
    pub cause: String,
    /// The way out.
    pub remedy: String,
    /// Whether documents may still be written to it, so that it matters now.
    pub is_written: bool,
}

/// What the existing indices need.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Needs {
    pub upgrades: Vec<Upgrade>,
    pub stuck: Vec<Stuck>,
    /// Names of the indices without a period, which are made beforehand, that are there.
    pub present: BTreeSet<String>,
}

/// Looks at all indices of ours; `renewed` are the policies that this plan writes.
pub(super) fn find_needs(
    cluster: &Cluster,
    assets: &[Asset],
    renewed: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Needs, ClusterError> {
    let (targets, mut stuck) = find_targets(cluster)?;
    let mut needs = Needs {
        present: targets.iter().map(|target| target.name.clone()).collect(),
        ..Needs::default()
    };
    if targets.is_empty() {
        needs.stuck = stuck;
        return Ok(needs);
    }
    let mappings = read_mappings(cluster)?;
    for target in &targets {
        let Some(wanted) = wanted_mapping(assets, target.family) else { continue };
        compare_target(target, wanted, &mappings, now, &mut needs);
    }
    needs.stuck.append(&mut stuck);
    let policies: BTreeSet<&str> = assets
        .iter()
        .filter(|asset| asset.kind == AssetKind::Policy)
        .map(|asset| asset.name.as_str())
        .collect();
    if !policies.is_empty() {
        needs.upgrades.extend(find_unmanaged(cluster, &targets, &policies, renewed)?);
    }
    Ok(needs)
}

/// The mapping that indices of `family` should have.
pub(super) fn wanted_mapping(assets: &[Asset], family: Family) -> Option<&Value> {
    let name = format!("flowsentry-{}@mappings", family.name());
    let component = assets.iter().find(|asset| asset.name == name)?;
    component.body.pointer("/template/mappings")
}

fn compare_target(
    target: &Target,
    wanted: &Value,
    mappings: &BTreeMap<String, Value>,
    now: Timestamp,
    needs: &mut Needs,
) {
    let own = [target.name.clone()];
    let indices = target.backing.as_deref().unwrap_or(&own);
    let newest = indices.last();
    for index in indices {
        let Some(found) = mappings.get(index) else { continue };
        let difference = difference(wanted, found);
        let is_written_of_stream = target.backing.is_some() && Some(index) == newest;
        let conflicts = difference.conflicts.iter().map(ToString::to_string);
        let conflicts = conflicts.collect::<Vec<_>>().join(", ");
        if !difference.additions.is_null() {
            needs.upgrades.push(Upgrade::Extend {
                index: index.clone(),
                stream: is_written_of_stream.then(|| target.name.clone()),
                additions: with_schema(difference.additions, wanted),
                fields: difference.added,
            });
        }
        if conflicts.is_empty() {
            continue;
        }
        if is_written_of_stream {
            needs
                .upgrades
                .push(Upgrade::RollOver { stream: target.name.clone(), reason: conflicts });
        } else if target.backing.is_none() {
            needs.stuck.push(stuck_index(index, &conflicts, is_written_at(index, now)));
        }
    }
}

/// The mapping of an index says of which schema it is.
fn with_schema(mut additions: Value, wanted: &Value) -> Value {
    if let (Some(object), Some(meta)) = (additions.as_object_mut(), wanted.get("_meta")) {
        object.insert("_meta".to_owned(), meta.clone());
    }
    additions
}

/// Whether documents of `now` go into the index.
pub(super) fn is_written_at(index: &str, now: Timestamp) -> bool {
    IndexName::parse(index).is_some_and(|name| name.holds(now))
}

/// A plain index whose fields have other types: only copying its documents helps.
pub(super) fn stuck_index(index: &str, cause: &str, is_written: bool) -> Stuck {
    let remedy = if is_written {
        "stop the writers, copy it away with `_reindex`, delete it, and copy it back; or delete it \
         when its documents are not needed"
    } else {
        "nothing is written to it any more; its documents stay readable until it is dropped"
    };
    Stuck {
        index: index.to_owned(),
        cause: format!("its mapping is another: {cause}"),
        remedy: remedy.to_owned(),
        is_written,
    }
}

fn find_targets(cluster: &Cluster) -> Result<(Vec<Target>, Vec<Stuck>), ClusterError> {
    let call = Call::new("listing the indices", Method::Get, format!("/_resolve/index/{PATTERNS}"));
    let Some(answer) = cluster.find(&call)? else { return Ok(Default::default()) };
    let entries = |key: &str| answer.get(key).and_then(Value::as_array).into_iter().flatten();
    let (mut targets, mut stuck) = (Vec::new(), Vec::new());
    for entry in entries("indices") {
        let Some(name) = text(&entry["name"]) else { continue };
        if let Some(index) = IndexName::parse(&name) {
            if index.namespace().as_str() != PROBE_NAMESPACE {
                targets.push(Target { name, family: index.family(), backing: None });
            }
        } else if name.starts_with(STREAM_PREFIX) {
            stuck.push(Stuck {
                cause: "it is an index and not a data stream: it was made before the templates"
                    .to_owned(),
                remedy: "copy its documents away with `_reindex`, delete it, and copy them back"
                    .to_owned(),
                is_written: true,
                index: name,
            });
        }
    }
    for entry in entries("data_streams") {
        let Some(name) = text(&entry["name"]).filter(|name| is_path_safe(name)) else { continue };
        let Some(namespace) = name.strip_prefix(STREAM_PREFIX) else { continue };
        if namespace == PROBE_NAMESPACE {
            continue;
        }
        let backing: Vec<String> = match &entry["backing_indices"] {
            Value::Array(indices) => indices.iter().filter_map(text).collect(),
            // A list of one may come as a text.
            index => text(index).into_iter().collect(),
        };
        if !backing.iter().all(|index| is_path_safe(index)) {
            continue;
        }
        targets.push(Target { name, family: Family::Flows, backing: Some(backing) });
    }
    Ok((targets, stuck))
}

/// Whether a name that a server gave may stand in a path.
fn is_path_safe(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    name.len() <= 255 && name.bytes().all(allowed)
}

fn read_mappings(cluster: &Cluster) -> Result<BTreeMap<String, Value>, ClusterError> {
    let call = Call::new(
        "reading the mappings of the indices",
        Method::Get,
        format!("/{PATTERNS}/_mapping"),
    );
    let Some(Value::Object(answer)) = cluster.find(&call)? else { return Ok(BTreeMap::new()) };
    let mapping =
        |(name, mut entry): (String, Value)| Some((name, entry.get_mut("mappings")?.take()));
    Ok(answer.into_iter().filter_map(mapping).collect())
}

/// Finds the indices that no policy looks after, and those that must follow a renewed one.
fn find_unmanaged(
    cluster: &Cluster,
    targets: &[Target],
    policies: &BTreeSet<&str>,
    renewed: &BTreeSet<String>,
) -> Result<Vec<Upgrade>, ClusterError> {
    let attached = match cluster.server().flavour {
        Flavour::Elasticsearch => read_attached_ilm(cluster)?,
        Flavour::OpenSearch => read_attached_ism(cluster)?,
    };
    let mut upgrades = Vec::new();
    for target in targets {
        let policy = format!("flowsentry-{}", target.family.name());
        if !policies.contains(policy.as_str()) {
            continue;
        }
        let own = [target.name.clone()];
        let indices = target.backing.as_deref().unwrap_or(&own);
        let of = |index: &String| attached.get(index).map(String::as_str);
        let is_unmanaged = indices.iter().any(|index| of(index).is_none());
        let is_ours = indices.iter().any(|index| of(index) == Some(&policy));
        // ILM passes a changed policy on by itself.
        let follows = cluster.server().flavour == Flavour::OpenSearch && renewed.contains(&policy);
        let index = target.name.clone();
        if is_ours && follows {
            upgrades.push(Upgrade::Follow { index: index.clone(), policy: policy.clone() });
        }
        if is_unmanaged {
            upgrades.push(Upgrade::Attach { index, policy });
        }
    }
    Ok(upgrades)
}

fn read_attached_ilm(cluster: &Cluster) -> Result<BTreeMap<String, String>, ClusterError> {
    let path = format!("/{PATTERNS}/_settings/index.lifecycle.name");
    let call = Call::new("reading which policies look after the indices", Method::Get, path)
        .query("flat_settings", "true");
    let Some(Value::Object(answer)) = cluster.find(&call)? else { return Ok(BTreeMap::new()) };
    let policy = |entry: &Value| text(&entry["settings"]["index.lifecycle.name"]);
    Ok(answer.iter().filter_map(|(name, entry)| Some((name.clone(), policy(entry)?))).collect())
}

fn read_attached_ism(cluster: &Cluster) -> Result<BTreeMap<String, String>, ClusterError> {
    let path = format!("/_plugins/_ism/explain/{PATTERNS}");
    let call = Call::new("reading which policies look after the indices", Method::Get, path);
    let Some(Value::Object(answer)) = cluster.find(&call)? else { return Ok(BTreeMap::new()) };
    let policy = |entry: &Value| text(&entry["index.plugins.index_state_management.policy_id"]);
    Ok(answer.iter().filter_map(|(name, entry)| Some((name.clone(), policy(entry)?))).collect())
}
