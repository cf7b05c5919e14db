//! The files against the field catalogue, and what becomes of them on which server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::stores::fields::{self, FieldKind};
use crate::stores::{Family, ServerVersion};

fn server(flavour: Flavour, version: &str) -> Server {
    Server::new(flavour, version.parse::<ServerVersion>().unwrap())
}

fn elasticsearch(version: &str) -> Server {
    server(Flavour::Elasticsearch, version)
}

fn opensearch(version: &str) -> Server {
    server(Flavour::OpenSearch, version)
}

/// Serverless offers call themselves 8.11.0, whatever they can do.
fn serverless() -> Server {
    Server { serverless: true, ..elasticsearch("8.11.0") }
}

fn every_server() -> [Server; 7] {
    [
        elasticsearch("7.17.0"),
        elasticsearch("8.19.0"),
        elasticsearch("9.1.0"),
        serverless(),
        opensearch("1.3.0"),
        opensearch("2.19.0"),
        opensearch("3.0.0"),
    ]
}

fn released(server: Server) -> Vec<Asset> {
    render(server, Capabilities::of_release(server), Retention::default())
}

fn body<'a>(assets: &'a [Asset], kind: AssetKind, name: &str) -> &'a Value {
    let asset = assets.iter().find(|asset| asset.kind == kind && asset.name == name);
    &asset.unwrap_or_else(|| panic!("{} {name}", kind.name())).body
}

/// The types of all fields below `properties`, by dotted name.
fn types(properties: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    for (name, field) in properties.as_object().unwrap() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match field.get("properties") {
            Some(inner) => types(inner, &path, found),
            None => {
                found.insert(path, field.clone());
            }
        }
    }
}

fn fields_of(assets: &[Asset], family: Family) -> BTreeMap<String, Value> {
    let name = format!("flowsentry-{}@mappings", family.name());
    let mut found = BTreeMap::new();
    let mappings = &body(assets, AssetKind::Component, &name)["template"]["mappings"];
    assert_eq!(mappings["dynamic"], false, "{name}");
    types(&mappings["properties"], "", &mut found);
    found
}

fn wanted(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Keyword => json!({"type": "keyword", "ignore_above": fields::KEYWORD_LIMIT}),
        FieldKind::Ip => json!({"type": "ip"}),
        FieldKind::Date => json!({"type": "date"}),
        FieldKind::Long => json!({"type": "long"}),
        FieldKind::Double => json!({"type": "double"}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Text => json!({"type": "text"}),
        FieldKind::DoubleMap => json!({"type": "object", "dynamic": true}),
    }
}

#[test]
fn every_field_of_the_catalogue_is_in_the_file_with_its_type() {
    for server in every_server() {
        let assets = released(server);
        for family in Family::ALL {
            let found = fields_of(&assets, family);
            for field in fields::of_family(family) {
                let name = field.name;
                assert_eq!(found.get(name), Some(&wanted(field.kind)), "{} {name}", family.name());
            }
        }
    }
}

#[test]
fn the_files_have_no_field_of_ours_that_the_catalogue_lacks() {
    let assets = released(elasticsearch("8.19.0"));
    for family in Family::ALL {
        let known: BTreeSet<&str> = fields::of_family(family).map(|field| field.name).collect();
        let found = fields_of(&assets, family);
        let others = found.keys().filter(|name| !known.contains(name.as_str()));
        // Raw flows are written by others too, with ECS fields that only dashboards look at, as are
        // the points of maps.
        let is_for_dashboards = |name: &String| {
            (family == Family::Flows && !name.starts_with("flowsentry."))
                || name.ends_with(".geo.location")
        };
        let ours: Vec<&String> = others.filter(|name| !is_for_dashboards(name)).collect();
        assert_eq!(ours, ["flowsentry.leftovers"], "{}", family.name());
    }
}

#[test]
fn every_placeholder_and_logical_type_is_replaced() {
    for server in every_server() {
        for asset in released(server) {
            let text = asset.body.to_string();
            assert!(!text.contains("${"), "{} on {server}", asset.name);
            assert!(!text.contains("\"flat\""), "{} on {server}", asset.name);
        }
    }
}

#[test]
fn every_object_is_ours_and_the_same_as_itself() {
    for server in every_server() {
        for asset in released(server) {
            let plain = Asset { is_custom: false, ..asset };
            assert_eq!(compare(&plain, &plain.body), Standing::Same, "{} on {server}", plain.name);
        }
    }
}

#[test]
fn what_an_object_needs_comes_before_it() {
    for server in every_server() {
        let assets = released(server);
        assert!(assets.is_sorted_by_key(|asset| asset.kind), "{server}");
        for asset in assets.iter().filter(|asset| asset.kind == AssetKind::Template) {
            for component in asset.body["composed_of"].as_array().unwrap() {
                body(&assets, AssetKind::Component, component.as_str().unwrap());
            }
        }
        for family in Family::ALL {
            let name = format!("flowsentry-{}", family.name());
            let settings = format!("{name}@settings");
            let settings = &body(&assets, AssetKind::Component, &settings)["template"]["settings"];
            if let Some(policy) = settings["index.lifecycle.name"].as_str() {
                body(&assets, AssetKind::Policy, policy);
            }
            if let Some(pipeline) = settings["index.default_pipeline"].as_str() {
                body(&assets, AssetKind::Pipeline, pipeline);
            }
        }
    }
}

#[test]
fn a_server_without_a_function_is_not_asked_for_it() {
    let server = elasticsearch("8.19.0");
    let capabilities = Capabilities {
        lifecycle: false,
        ingest: false,
        data_stream_api: false,
        constant_keyword: false,
    };
    let assets = render(server, capabilities, Retention::default());
    assert!(assets.iter().all(|asset| asset.kind >= AssetKind::Component));
    let text: String = assets.iter().map(|asset| asset.body.to_string()).collect();
    for word in ["index.lifecycle.name", "index.default_pipeline", "constant_keyword"] {
        assert!(!text.contains(word), "{word}");
    }
    let dataset = &fields_of(&assets, Family::Flows)["data_stream.dataset"];
    assert_eq!(*dataset, wanted(FieldKind::Keyword));
}

#[test]
fn an_index_is_deleted_when_its_youngest_document_is_old_enough() {
    let retention = Retention {
        flows: 1,
        windows: 2,
        anomalies: 3,
        reports: 4,
        deadletters: 5,
        predictions: 6,
    };
    for server in [elasticsearch("8.19.0"), opensearch("2.19.0")] {
        let assets = render(server, Capabilities::of_release(server), retention);
        for (name, days) in [
            ("flowsentry-flows", "1d"),
            ("flowsentry-windows", "3d"),
            ("flowsentry-anomalies", "34d"),
            ("flowsentry-alerts", "34d"),
            ("flowsentry-health", "35d"),
            ("flowsentry-reports", "370d"),
            ("flowsentry-deadletters", "36d"),
            ("flowsentry-predictions", "7d"),
        ] {
            let policy = &body(&assets, AssetKind::Policy, name)["policy"];
            let ilm = &policy["phases"]["delete"]["min_age"];
            let conditions = &policy["states"][0]["transitions"][0]["conditions"];
            let ism = match name {
                "flowsentry-flows" => &conditions["min_rollover_age"],
                _ => &conditions["min_index_age"],
            };
            let found = if server.flavour == Flavour::OpenSearch { ism } else { ilm };
            assert_eq!(found, days, "{name} on {server}");
        }
    }
}

/// One line per scalar; the fields of mappings only where their types depend on the server.
fn lines(assets: &[Asset]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for asset in assets {
        let label = format!("{} {}", asset.kind.name(), asset.name);
        add_lines(&label, "", &asset.body, &mut lines);
    }
    lines
}

fn add_lines(label: &str, path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                add_lines(label, &below(key), value, lines);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            for (at, value) in values.iter().enumerate() {
                add_lines(label, &format!("{path}[{at}]"), value, lines);
            }
        }
        value => {
            lines.insert(format!("{label}: {path} = {value}"));
        }
    }
}

/// What `assets` have and `others` lack (`+`), and the other way round (`-`).
fn changes(others: &[Asset], assets: &[Asset]) -> String {
    let (others, ours) = (lines(others), lines(assets));
    let gone = others.difference(&ours).map(|line| format!("- {line}\n"));
    let new = ours.difference(&others).map(|line| format!("+ {line}\n"));
    let all: Vec<String> = gone.chain(new).collect();
    if all.is_empty() { "nothing differs\n".to_owned() } else { all.concat() }
}

fn overview(assets: &[Asset]) -> String {
    let mut text = String::from("In this order:\n");
    for asset in assets {
        text += &format!("{} {}\n", asset.kind.name(), asset.name);
    }
    text.push('\n');
    let is_dull = |line: &String| {
        let is_field = line.contains(".properties.");
        let depends = ["\"flattened\"", "\"flat_object\"", "\"constant_keyword\""];
        is_field && !depends.iter().any(|kind| line.contains(kind))
    };
    for line in lines(assets).iter().filter(|line| !is_dull(line)) {
        text += &format!("{line}\n");
    }
    text
}

#[test]
fn elasticsearch_gets_what_its_version_knows() {
    let usual = released(elasticsearch("8.19.0"));
    insta::assert_snapshot!("elasticsearch_8_19", overview(&usual));
    let than_usual = |server| changes(&usual, &released(server));
    insta::assert_snapshot!("elasticsearch_7_17", than_usual(elasticsearch("7.17.0")));
    insta::assert_snapshot!("elasticsearch_9_1", than_usual(elasticsearch("9.1.0")));
    insta::assert_snapshot!("elasticsearch_serverless", than_usual(serverless()));
}

#[test]
fn opensearch_gets_what_its_version_knows() {
    let usual = released(opensearch("2.19.0"));
    insta::assert_snapshot!("opensearch_2_19", overview(&usual));
    let than_usual = |server| changes(&usual, &released(server));
    insta::assert_snapshot!("opensearch_1_3", than_usual(opensearch("1.3.0")));
    insta::assert_snapshot!("opensearch_3_0", than_usual(opensearch("3.0.0")));
}
