//! `logstash/names.conf` against our own enrichment: one file, the same names.

use std::fs;

use flowsentry::enrich::{Enricher, Settings};
use serde_json::Value;

use crate::{ruby, samples};

const BOTH: &str = "logstash/flows.conf,logstash/names.conf";

/// Networks of the recordings, nested and hostile ones among them.
const NETWORKS: &str = r#"
networks:
  0.0.0.0/0: elsewhere
  10.0.0.0/8: "  Berlin\u0007\u202e\ufeff\u00a0"
  10.1.2.3/16: 1.10
  10.9.8.7: no
  "192.168.0.0/16": "x\ty"
  ::ffff:172.16.0.0/108: mapped
  2000::/3: 'the world'
  2001:db8::/32: ~x
  2001:db8:1::/48: Zürich
"#;

fn text_at<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    document.pointer(path).and_then(Value::as_str)
}

/// Names for the first exporters and interfaces that occur.
fn names_for(documents: &[Value]) -> String {
    let mut names = NETWORKS.to_owned() + "  198.18.0.0/15: " + &"n".repeat(400) + "\nexporters:\n";
    let mut exporters: Vec<_> =
        documents.iter().filter_map(|document| text_at(document, "/observer/ip")).collect();
    exporters.sort_unstable();
    exporters.dedup();
    for (number, exporter) in exporters.into_iter().enumerate() {
        names += &format!("  \"{exporter}\":\n");
        if number % 2 == 0 {
            names += &format!("    name: {number}\n");
        }
        names += "    interfaces: {1: one, 2: \"two\\e[31m\", 3: 3, 4: 0x4, 7: on}\n";
    }
    names
}

#[test]
fn the_pipeline_gives_the_names_that_we_give() {
    if !ruby::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.yml");
    let samples = samples::all();
    let messages: Vec<Value> = (0..)
        .zip(&samples)
        .map(|(offset, sample)| samples::located(&sample.text, offset))
        .collect();
    let plain: Vec<Value> = ruby::documents(&messages, 2, &[]).into_iter().flatten().collect();
    fs::write(&path, names_for(&plain)).unwrap();
    let settings = Settings { names: Some(path.clone()), ..Settings::default() };
    let enricher = Enricher::read(&settings).unwrap();
    let variable = [("FLOWSENTRY_NAMES", path.to_str().unwrap())];
    let named: Vec<Value> =
        ruby::through(BOTH, &messages, 2, &variable).into_iter().flatten().collect();
    let mut expected = plain;
    expected.iter_mut().for_each(|document| enricher.add_to(document));
    assert_eq!(named, expected);
    for (path, least) in [
        ("/source/geo/name", 500),
        ("/destination/geo/name", 500),
        ("/observer/name", 50),
        ("/observer/ingress/interface/name", 3),
        ("/observer/egress/interface/name", 3),
    ] {
        let count = named.iter().filter(|document| text_at(document, path).is_some()).count();
        assert!(count >= least, "{count} documents have {path}");
    }
}

#[test]
fn records_that_are_no_flows_get_no_names() {
    if !ruby::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.yml");
    fs::write(&path, "# nothing\n").unwrap();
    let variable = [("FLOWSENTRY_NAMES", path.to_str().unwrap())];
    let messages = [samples::located("{}", 0), samples::located("no JSON", 1)];
    let documents = ruby::through(BOTH, &messages, 1, &variable);
    assert_eq!(documents, ruby::documents(&messages, 1, &[]));
}

/// A pipeline that cannot read its names does not start, as flowsentry does not.
#[test]
fn names_that_cannot_be_used_end_the_start() {
    if !ruby::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.yml");
    for (text, complaint) in [
        ("networks: {10.0.0.0/8: ' '}", "the name of `10.0.0.0/8` is empty"),
        ("networks: {10.0.0.300: x}", "`10.0.0.300` is neither an address nor a prefix"),
        ("exporters: {10.0.0.0/8: {}}", "`10.0.0.0/8` under `exporters` is no address"),
        ("exporters: {10.0.0.1: {interfaces: {eth0: x}}}", "eth0"),
        ("networks: [x]", "something else than names"),
    ] {
        fs::write(&path, text).unwrap();
        let settings = Settings { names: Some(path.clone()), ..Settings::default() };
        assert!(Enricher::read(&settings).is_err(), "{text}");
        let variable = [("FLOWSENTRY_NAMES", path.to_str().unwrap())];
        let output = ruby::output(&["tests/logstash/run.rb", "logstash/names.conf"], "", &variable);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaints.contains(complaint), "{complaints}");
    }
}
