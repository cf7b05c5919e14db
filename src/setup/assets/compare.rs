//! How an object on a server stands to ours.
//!
//! Servers give back more than they were given (defaults, dates) and other spellings of the same
//! (`"1"` for `1`, settings as a tree). What they add is theirs, but not inside of a `template` or a
//! processor: there everything counts, since it decides what becomes of documents.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Asset, AssetKind, DESCRIPTION, MANAGER, SCHEMA, Standing};

/// How many differences are named.
const MOST_DIFFERENCES: usize = 10;
/// How many characters of a difference are shown; its keys are whatever somebody wrote.
const PATH_CHARACTERS: usize = 200;

/// Returns how `stored`, the object as the server gives it back, stands to `asset`.
///
/// `stored` is the object itself, without its name: `component_template`, `index_template`, the
/// pipeline, the policy with or without `policy` around it.
pub fn compare(asset: &Asset, stored: &Value) -> Standing {
    if asset.is_custom {
        return Standing::Same;
    }
    let (ours, theirs) = match asset.kind {
        AssetKind::Policy => (policy(&asset.body), policy(stored)),
        AssetKind::Pipeline | AssetKind::Component | AssetKind::Template => (&asset.body, stored),
    };
    let Some(schema) = schema_of(theirs) else { return Standing::Foreign };
    match schema.cmp(&SCHEMA) {
        Ordering::Less => return Standing::Older { schema },
        Ordering::Greater => return Standing::Newer { schema },
        Ordering::Equal => {}
    }
    let differences = differences(asset.kind, ours, theirs);
    if differences.is_empty() { Standing::Same } else { Standing::Edited { differences } }
}

fn policy(body: &Value) -> &Value {
    body.get("policy").unwrap_or(body)
}

/// The schema of an object of ours, 0 when it does not say; `None` when it is not ours.
fn schema_of(object: &Value) -> Option<u64> {
    if let Some(meta) = object.get("_meta")
        && meta.get("managed_by").and_then(Value::as_str) == Some(MANAGER)
    {
        let schema = meta.get("schema").map(shown).unwrap_or_default();
        return Some(schema.parse().unwrap_or(0));
    }
    let rest = object.get("description")?.as_str()?.strip_prefix(DESCRIPTION)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    Some(digits.parse().unwrap_or(0))
}

fn differences(kind: AssetKind, ours: &Value, theirs: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let Value::Object(members) = ours else { return found };
    let prefix = if kind == AssetKind::Policy { "policy." } else { "" };
    for (key, our_value) in members.iter().filter(|(key, _)| *key != "template") {
        let path = format!("{prefix}{key}");
        match key.as_str() {
            "processors" | "on_failure" => {
                let their_value = theirs.get(key).unwrap_or(&Value::Null);
                compare_leaves(&leaves(&path, our_value), &leaves(&path, their_value), &mut found);
            }
            _ => compare_subset(&path, Some(our_value), theirs.get(key), &mut found),
        }
    }
    match kind {
        AssetKind::Policy | AssetKind::Pipeline => {}
        AssetKind::Component | AssetKind::Template => {
            compare_template(ours.get("template"), theirs.get("template"), &mut found);
            // A data stream and a plain index are two things, though only one of them says so.
            if !members.contains_key("data_stream") && theirs.get("data_stream").is_some() {
                found.push("data_stream".to_owned());
            }
        }
    }
    found.truncate(MOST_DIFFERENCES);
    found.iter().map(|path| cleaned(path)).collect()
}

/// Compares what decides about documents: all of it, but the life cycle, to which servers add.
fn compare_template(ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<String>) {
    let part = |template: Option<&Value>| {
        let mut leaves = BTreeMap::new();
        let Some(Value::Object(parts)) = template else { return leaves };
        for (name, value) in parts.iter().filter(|(name, _)| *name != "lifecycle") {
            match name.as_str() {
                "settings" => add_settings("", value, &mut leaves),
                _ => add_leaves(&format!("template.{name}"), value, &mut leaves),
            }
        }
        leaves
    };
    compare_leaves(&part(ours), &part(theirs), found);
    let lifecycle = |template: Option<&Value>| template?.get("lifecycle").cloned();
    let (our_lifecycle, their_lifecycle) = (lifecycle(ours), lifecycle(theirs));
    if our_lifecycle.is_some() || their_lifecycle.is_some() {
        let path = "template.lifecycle";
        compare_subset(path, our_lifecycle.as_ref(), their_lifecycle.as_ref(), found);
    }
}

/// Compares what servers do not touch: all of it, in the order of paths.
fn compare_leaves(
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
    found: &mut Vec<String>,
) {
    let differing = ours.iter().filter(|(path, value)| theirs.get(*path) != Some(value));
    let added = theirs.keys().filter(|path| !ours.contains_key(*path));
    let mut paths: Vec<&String> = differing.map(|(path, _)| path).chain(added).collect();
    paths.sort();
    found.extend(paths.into_iter().cloned());
}

/// Compares what servers add to: `theirs` must hold all of `ours`.
fn compare_subset(
    path: &str,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    found: &mut Vec<String>,
) {
    match (ours, theirs) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            for (key, value) in ours {
                compare_subset(&format!("{path}.{key}"), Some(value), theirs.get(key), found);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) if ours.len() == theirs.len() => {
            for (at, pair) in ours.iter().zip(theirs).enumerate() {
                compare_subset(&format!("{path}[{at}]"), Some(pair.0), Some(pair.1), found);
            }
        }
        (Some(ours), Some(theirs)) if is_scalar(ours) && is_scalar(theirs) => {
            if shown(ours) != shown(theirs) {
                found.push(path.to_owned());
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Adds the settings below `path`, each under its full name with `index.` before it.
fn add_settings(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(settings) => {
            for (key, value) in settings {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                add_settings(&path, value, leaves);
            }
        }
        // A setting that is null is one that is not set.
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let name = path.strip_prefix("index.").unwrap_or(path);
            add_leaves(&format!("template.settings.index.{name}"), value, leaves);
        }
    }
}

/// Every scalar below `path` as text.
fn leaves(path: &str, value: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    add_leaves(path, value, &mut leaves);
    leaves
}

/// Adds every scalar below `path` as text; what is empty says nothing.
fn add_leaves(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                add_leaves(&format!("{path}.{key}"), value, leaves);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                add_leaves(&format!("{path}[{at}]"), value, leaves);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            leaves.insert(path.to_owned(), shown(value));
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A scalar as the text that it becomes on some servers.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cleaned(path: &str) -> String {
    path.chars().take(PATH_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::setup::{Capabilities, Retention, render};
    use crate::stores::{Flavour, Server, ServerVersion};

    fn asset(flavour: Flavour, kind: AssetKind, name: &str) -> Asset {
        let server = Server::new(flavour, ServerVersion::new(8, 19, 0));
        let assets = render(server, Capabilities::of_release(server), Retention::default());
        assets.into_iter().find(|asset| asset.kind == kind && asset.name == name).unwrap()
    }

    fn edited(differences: &[&str]) -> Standing {
        Standing::Edited { differences: differences.iter().map(|&path| path.to_owned()).collect() }
    }

    #[test]
    fn settings_are_the_same_in_every_spelling() {
        let name = "flowsentry-windows@settings";
        let asset = asset(Flavour::Elasticsearch, AssetKind::Component, name);
        let mut stored = asset.body.clone();
        stored["template"]["settings"] = json!({"index": {
            "mode": "standard", "lifecycle": {"name": "flowsentry-windows"},
            "number_of_shards": "1", "auto_expand_replicas": "0-1", "codec": "best_compression",
            "refresh_interval": "5s",
            "mapping": {"total_fields": {"limit": "2000"}, "ignore_malformed": "true"},
        }});
        assert_eq!(compare(&asset, &stored), Standing::Same);
        stored["template"]["settings"]["index"]["codec"] = json!("default");
        stored["template"]["settings"]["index"]["hidden"] = json!("true");
        let places = ["template.settings.index.codec", "template.settings.index.hidden"];
        assert_eq!(compare(&asset, &stored), edited(&places));
    }

    #[test]
    fn a_field_more_or_less_is_an_edit() {
        let name = "flowsentry-windows@mappings";
        let asset = asset(Flavour::Elasticsearch, AssetKind::Component, name);
        let mut stored = asset.body.clone();
        let mappings = &mut stored["template"]["mappings"];
        mappings["dynamic"] = json!("false");
        assert_eq!(compare(&asset, &stored), Standing::Same);
        let properties = &mut stored["template"]["mappings"]["properties"];
        properties["source"]["properties"]["ip"]["type"] = json!("keyword");
        properties["mine"] = json!({"type": "long"});
        properties.as_object_mut().unwrap().remove("message");
        let places = [
            "template.mappings.properties.message.type",
            "template.mappings.properties.mine.type",
            "template.mappings.properties.source.properties.ip.type",
        ];
        assert_eq!(compare(&asset, &stored), edited(&places));
    }

    #[test]
    fn many_differences_are_cut_and_cleaned() {
        let name = "flowsentry-windows@mappings";
        let asset = asset(Flavour::Elasticsearch, AssetKind::Component, name);
        let mut stored = asset.body.clone();
        let properties = &mut stored["template"]["mappings"]["properties"];
        for n in 0..1_000 {
            properties[format!("\u{1b}[31m{n:04}{}", "x".repeat(1_000))] = json!({"type": "long"});
        }
        let Standing::Edited { differences } = compare(&asset, &stored) else { panic!() };
        assert_eq!(differences.len(), MOST_DIFFERENCES);
        for path in differences {
            assert!(path.chars().count() <= PATH_CHARACTERS && !path.contains('\u{1b}'), "{path}");
        }
    }

    #[test]
    fn what_a_server_adds_to_a_template_is_its_own() {
        let flows = asset(Flavour::OpenSearch, AssetKind::Template, "flowsentry-flows");
        let mut stored = flows.body.clone();
        stored["data_stream"] = json!({"timestamp_field": {"name": "@timestamp"}});
        stored["version"] = json!(null);
        stored["template"] = json!({});
        assert_eq!(compare(&flows, &stored), Standing::Same);
        stored["composed_of"] = json!(["flowsentry-flows@mappings"]);
        stored["template"] = json!({"aliases": {"all": {"is_hidden": true}}});
        let places = ["composed_of", "template.aliases.all.is_hidden"];
        assert_eq!(compare(&flows, &stored), edited(&places));

        let windows = asset(Flavour::OpenSearch, AssetKind::Template, "flowsentry-windows");
        let mut stored = windows.body.clone();
        stored["data_stream"] = json!({});
        assert_eq!(compare(&windows, &stored), edited(&["data_stream"]));
    }

    /// As Elasticsearch gives policies back.
    #[test]
    fn a_policy_of_ilm_may_have_defaults() {
        let asset = asset(Flavour::Elasticsearch, AssetKind::Policy, "flowsentry-flows");
        let stored = |delete: Value| {
            json!({
                "version": 3, "modified_date": "2026-11-21T12:00:00.000Z",
                "policy": {
                    "phases": {
                        "hot": {"min_age": "0ms", "actions": {"rollover": {
                            "max_age": "1d", "min_docs": 1, "max_primary_shard_docs": 200_000_000,
                            "max_primary_shard_size": "30gb",
                        }}},
                        "delete": delete,
                    },
                    "_meta": {
                        "managed_by": "flowsentry", "schema": SCHEMA,
                        "description": "How long raw flows are kept."
                    },
                },
                "in_use_by": {"indices": [], "data_streams": [], "composable_templates": []},
            })
        };
        let actions = json!({"delete": {"delete_searchable_snapshot": true}});
        let kept = stored(json!({"min_age": "14d", "actions": actions}));
        assert_eq!(compare(&asset, &kept), Standing::Same);
        assert_eq!(compare(&asset, &kept["policy"]), Standing::Same);
        let longer = stored(json!({"min_age": "60d", "actions": actions}));
        assert_eq!(compare(&asset, &longer), edited(&["policy.phases.delete.min_age"]));
        let for_ever = stored(json!({"min_age": "14d", "actions": {}}));
        assert_eq!(compare(&asset, &for_ever), edited(&["policy.phases.delete.actions.delete"]));
    }

    /// As OpenSearch gives policies back.
    #[test]
    fn a_policy_of_ism_may_have_defaults() {
        let asset = asset(Flavour::OpenSearch, AssetKind::Policy, "flowsentry-windows");
        let retry = json!({"count": 3, "backoff": "exponential", "delay": "1m"});
        let mut stored = json!({
            "_id": "flowsentry-windows", "_version": 1, "_seq_no": 0, "_primary_term": 1,
            "policy": {
                "policy_id": "flowsentry-windows",
                "description": format!("{DESCRIPTION}{SCHEMA}: how long window summaries are kept"),
                "last_updated_time": 1_795_232_940_822_i64, "schema_version": 21,
                "error_notification": null, "default_state": "kept",
                "states": [
                    {"name": "kept", "actions": [], "transitions": [
                        {"state_name": "deleted", "conditions": {"min_index_age": "31d"}},
                    ]},
                    {"name": "deleted", "actions": [{"retry": retry, "delete": {}}],
                     "transitions": []},
                ],
                "ism_template": [{
                    "index_patterns": ["flowsentry-windows-*"], "priority": 500,
                    "last_updated_time": 1_795_232_940_822_i64,
                }],
            },
        });
        assert_eq!(compare(&asset, &stored), Standing::Same);
        let state = &mut stored["policy"]["states"][0];
        state["transitions"][0]["conditions"]["min_index_age"] = json!("90d");
        let place = "policy.states[0].transitions[0].conditions.min_index_age";
        assert_eq!(compare(&asset, &stored), edited(&[place]));
    }

    #[test]
    fn an_edited_processor_is_named() {
        let asset = asset(Flavour::OpenSearch, AssetKind::Pipeline, "flowsentry-flows");
        let mut stored = asset.body.clone();
        stored["processors"][7]["set"]["value"] = json!("1.0.0");
        assert_eq!(compare(&asset, &stored), edited(&["processors[7].set.value"]));
        stored["processors"] = asset.body["processors"].clone();
        stored["processors"][8]["set"]["if"] = json!("false");
        stored["on_failure"].as_array_mut().unwrap().pop();
        stored["modified_date_millis"] = json!(1_795_232_940_822_i64);
        let places = [
            "on_failure[1].set.field",
            "on_failure[1].set.ignore_failure",
            "on_failure[1].set.value",
            "processors[8].set.if",
        ];
        assert_eq!(compare(&asset, &stored), edited(&places));
    }

    #[test]
    fn schema_and_owner_are_read_wherever_they_stand() {
        let template = asset(Flavour::OpenSearch, AssetKind::Template, "flowsentry-flows");
        let pipeline = asset(Flavour::OpenSearch, AssetKind::Pipeline, "flowsentry-flows");
        let meta = |meta: Value| compare(&template, &json!({ "_meta": meta }));
        let described = |text: String| compare(&pipeline, &json!({ "description": text }));
        let newer = SCHEMA + 1;
        for (found, standing) in [
            (meta(json!({"managed_by": "flowsentry", "schema": newer})), {
                Standing::Newer { schema: newer }
            }),
            (
                meta(json!({"managed_by": "flowsentry", "schema": "0"})),
                Standing::Older { schema: 0 },
            ),
            (meta(json!({"managed_by": "flowsentry"})), Standing::Older { schema: 0 }),
            (meta(json!({"managed_by": "somebody", "schema": 1})), Standing::Foreign),
            (meta(json!(null)), Standing::Foreign),
            (described(format!("{DESCRIPTION}{newer}: x")), Standing::Newer { schema: newer }),
            (described(format!("{DESCRIPTION}0")), Standing::Older { schema: 0 }),
            (described("flowsentry".to_owned()), Standing::Foreign),
            (compare(&pipeline, &json!("text")), Standing::Foreign),
        ] {
            assert_eq!(found, standing);
        }
    }

    #[test]
    fn what_belongs_to_the_user_is_never_different() {
        let name = "flowsentry-flows@custom";
        let asset = asset(Flavour::OpenSearch, AssetKind::Component, name);
        assert!(asset.is_custom);
        assert_eq!(compare(&asset, &json!({"template": {"settings": {"a": 1}}})), Standing::Same);
    }
}
