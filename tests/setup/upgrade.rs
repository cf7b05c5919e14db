//! Older templates with documents under them: upgraded in place, nothing is lost.

use flowsentry::setup::{Action, Asset, SCHEMA, Upgrade};
use flowsentry::stores::{Flavour, Method};
use serde_json::{Value, json};

use crate::server::{NOW, Server, on_both};

const WINDOWS: &str = "flowsentry-windows-default-2026.11.21";
const STREAM: &str = "logs-flowsentry.flow-default";

on_both!(
    an_upgrade_keeps_old_documents_readable_and_new_fields_usable,
    own_additions_survive_an_upgrade,
    own_additions_that_break_our_fields_are_named,
    an_index_that_cannot_change_is_named_with_the_way_out,
    an_index_in_the_place_of_the_data_stream_is_named,
);

#[test]
fn a_data_stream_goes_on_with_a_new_index_where_types_change() {
    // The Elasticsearch of the tests could not remove the data stream again.
    crate::server::with(Flavour::OpenSearch, roll_over);
}

/// Our objects as a program before this one would have written them.
fn older_assets(server: &Server) -> Vec<Asset> {
    let mut assets = server.assets();
    assets.retain(|asset| !asset.is_custom || asset.body["_meta"].is_object());
    for asset in &mut assets {
        make_older(&mut asset.body);
        let properties = asset.body.pointer_mut("/template/mappings/properties");
        match (asset.name.as_str(), properties) {
            ("flowsentry-windows@mappings", Some(properties)) => {
                remove(properties, "tags");
                remove(
                    &mut properties["flowsentry"]["properties"]["window"]["properties"],
                    "truncated",
                );
            }
            ("flowsentry-flows@mappings", Some(properties)) => {
                remove(properties, "tags");
                properties["source"]["properties"]["ip"] = json!({"type": "keyword"});
            }
            _ => {}
        }
    }
    assets
}

fn make_older(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("managed_by").is_some_and(|by| by == "flowsentry") {
                object.insert("schema".to_owned(), json!(0));
            }
            object.values_mut().for_each(make_older);
        }
        Value::String(text) => {
            let current = format!("managed, schema {SCHEMA}");
            *text = text.replace(&current, "managed, schema 0");
        }
        Value::Array(values) => values.iter_mut().for_each(make_older),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn remove(object: &mut Value, key: &str) {
    let removed = object.as_object_mut().and_then(|object| object.remove(key));
    assert!(removed.is_some(), "{key} is one of our fields");
}

fn install_older(server: &Server) {
    older_assets(server).iter().for_each(|asset| server.put(asset));
}

fn window(tag: &str) -> Value {
    json!({"@timestamp": NOW, "tags": [tag], "source": {"ip": "192.0.2.1"},
        "flowsentry": {"window": {"seconds": 60, "truncated": true, "features": {"bytes": 5.5}}}})
}

fn an_upgrade_keeps_old_documents_readable_and_new_fields_usable(server: &Server) {
    install_older(server);
    server.create(WINDOWS, "old", &window("old"));
    let by_tag = |tag: &str| server.ids(WINDOWS, json!({"term": {"tags": tag}}));
    let by_address = || server.ids(WINDOWS, json!({"term": {"source.ip": "192.0.2.0/24"}}));
    assert_eq!((by_tag("old").len(), by_address()), (0, vec!["old".to_owned()]));

    let installer = server.installer();
    let plan = installer.plan().expect("a plan");
    let made = |action: &Action| *action == Action::Update { from: 0 } || *action == Action::Keep;
    assert!(plan.steps.iter().all(|step| made(&step.action)), "{plan}");
    let text = plan.to_string();
    let step = format!("~ component template flowsentry-windows@mappings (schema 0 -> {SCHEMA})");
    assert!(text.contains(&step), "{text}");
    assert!(
        text.contains(&format!(
            "~ index {WINDOWS}: the mapping gets flowsentry.window.truncated, tags\n"
        )),
        "{text}"
    );
    installer.apply(&plan, false).expect("it is applied");
    assert_eq!(installer.verify().expect("it is verified").findings, []);
    assert!(installer.plan().expect("a plan").is_empty());

    server.create(WINDOWS, "new", &window("new"));
    assert_eq!(by_tag("new"), ["new"]);
    assert_eq!(by_address(), ["new", "old"]);
    let kept = server.read(&format!("/{WINDOWS}/_doc/old"));
    assert_eq!(kept["_source"], window("old"));
}

fn own_additions_survive_an_upgrade(server: &Server) {
    install_older(server);
    let own = json!({"template": {"mappings": {"properties": {"site": {"type": "keyword"}}},
        "settings": {"index.number_of_shards": "2"}}});
    let path = "/_component_template/flowsentry-windows@custom";
    server.send(Method::Put, path, own);
    let before = server.read(path);
    server.set_up();
    assert_eq!(server.read(path), before);
    let resolved = server.resolve(WINDOWS);
    assert_eq!(resolved["template"]["mappings"]["properties"]["site"]["type"], "keyword");
    assert_eq!(resolved["template"]["settings"]["index"]["number_of_shards"], "2");
}

fn own_additions_that_break_our_fields_are_named(server: &Server) {
    server.set_up();
    let own = json!({"template": {"mappings": {"properties": {
        "source": {"properties": {"ip": {"type": "keyword"}}}}}}});
    server.send(Method::Put, "/_component_template/flowsentry-windows@custom", own);
    let findings = server.installer().check().expect("it is checked");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].cause.contains("`source.ip` is keyword instead of ip"), "{findings:?}");
    assert!(findings[0].remedy.contains("`flowsentry-windows@custom`"), "{findings:?}");
}

fn an_index_that_cannot_change_is_named_with_the_way_out(server: &Server) {
    // Both were made before any template: the servers guessed the types.
    let guessed = json!({"@timestamp": NOW, "source": {"ip": "192.0.2.1"}});
    let yesterday = "flowsentry-windows-default-2026.11.20";
    server.create(WINDOWS, "old", &guessed);
    server.create(yesterday, "old", &guessed);
    let installer = server.installer();
    let applied = installer.apply(&installer.plan().expect("a plan"), false).expect("applied");
    let stuck = |index: &str| applied.stuck.iter().find(|stuck| stuck.index == index).cloned();
    assert!(stuck(WINDOWS).is_some_and(|stuck| stuck.is_written));
    assert!(stuck(yesterday).is_some_and(|stuck| !stuck.is_written));
    let findings = installer.verify().expect("it is verified").findings;
    // The one that is still written matters; the other goes with its day.
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, format!("index {WINDOWS}"));
    assert!(findings[0].cause.contains("`source.ip` is text instead of ip"), "{findings:?}");
    assert!(findings[0].remedy.contains("_reindex"), "{findings:?}");
    assert_eq!(server.ids(WINDOWS, json!({"match_all": {}})), ["old"]);
}

fn an_index_in_the_place_of_the_data_stream_is_named(server: &Server) {
    server.create(STREAM, "early", &json!({"@timestamp": NOW, "source": {"ip": "192.0.2.1"}}));
    let installer = server.installer();
    installer.apply(&installer.plan().expect("a plan"), false).expect("it is applied");
    let findings = installer.verify().expect("it is verified").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, format!("index {STREAM}"));
    assert!(findings[0].cause.contains("made before the templates"), "{findings:?}");
    assert!(findings[0].remedy.contains("_reindex"), "{findings:?}");
}

fn roll_over(server: &Server) {
    install_older(server);
    let flow = |tag: &str| json!({"@timestamp": NOW, "tags": [tag], "source": {"ip": "192.0.2.1"}});
    server.create(STREAM, "old", &flow("old"));
    let by_prefix = || server.ids(STREAM, json!({"term": {"source.ip": "192.0.2.0/24"}}));
    assert_eq!(by_prefix().len(), 0, "a keyword knows no prefixes");

    let installer = server.installer();
    let plan = installer.plan().expect("a plan");
    let rolled = plan.upgrades.iter().filter(|upgrade| matches!(upgrade, Upgrade::RollOver { .. }));
    assert_eq!(rolled.count(), 1, "{plan}");
    assert!(
        plan.to_string().contains(&format!(
            "~ data stream {STREAM}: rolled over, `source.ip` is keyword instead of ip"
        )),
        "{plan}"
    );
    installer.apply(&plan, false).expect("it is applied");
    assert_eq!(installer.verify().expect("it is verified").findings, []);
    assert!(installer.plan().expect("a plan").is_empty(), "the old index is left alone");

    server.create(STREAM, "new", &flow("new"));
    assert_eq!(by_prefix(), ["new"]);
    assert_eq!(server.ids(STREAM, json!({"match_all": {}})), ["new", "old"]);
    assert_eq!(server.ids(STREAM, json!({"term": {"source.ip": "192.0.2.1"}})), ["new", "old"]);
    let stream = server.read(&format!("/_data_stream/{STREAM}"));
    assert_eq!(stream["data_streams"][0]["indices"].as_array().map(Vec::len), Some(2));
}
