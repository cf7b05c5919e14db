//! The documents of the pipeline on real servers, through the templates that `setup` puts there.
//!
//! Names of their own (`logs-logstashtrial.…`), so that an installation on the same server stays as
//! it is. Where data streams cannot be removed, plain indices with the resolved templates take
//! the documents.

use flowsentry::formats;
use flowsentry::setup::{AssetKind, Capabilities, Retention, render};
use flowsentry::stores::{Call, Cluster, ClusterSettings, Flavour, Method};
use serde_json::{Value, json};

use crate::{ruby, samples};

#[test]
fn elasticsearch_takes_the_documents_once() {
    with_server(Flavour::Elasticsearch, "FLOWSENTRY_TEST_ELASTICSEARCH");
}

#[test]
fn opensearch_takes_the_documents_once() {
    with_server(Flavour::OpenSearch, "FLOWSENTRY_TEST_OPENSEARCH");
}

fn with_server(flavour: Flavour, variable: &str) {
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: documents of Logstash on {} ({variable} is not set)", flavour.name());
        return;
    };
    if !ruby::is_there() {
        return;
    }
    let settings =
        ClusterSettings { hosts: vec![url], retry_seconds: 0, ..ClusterSettings::default() };
    let trial = Trial { cluster: Cluster::connect(flavour, &settings).unwrap() };
    trial.clear();
    trial.make_indices();
    trial.takes_every_sample_once();
    trial.takes_what_is_no_flow();
    trial.refuses_what_cannot_be_stored();
}

/// A server, and our indices under other names.
struct Trial {
    cluster: Cluster,
}

const FLOWS: &str = "logstashtrial-flows";
const REJECTED: &str = "logstashtrial-rejected";

impl Drop for Trial {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Trial {
    fn clear(&self) {
        for index in [FLOWS, REJECTED] {
            let _ = self.cluster.find(&Call::new("clearing", Method::Delete, format!("/{index}")));
        }
    }

    fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let call = Call::new(format!("{method:?} {path}"), method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        self.cluster.demand(&call).unwrap()
    }

    /// Makes two indices of what the templates are made of, without what belongs to data streams,
    /// lifecycles and pipelines.
    fn make_indices(&self) {
        let server = self.cluster.server();
        let capabilities = Capabilities {
            lifecycle: false,
            ingest: false,
            data_stream_api: false,
            constant_keyword: false,
        };
        let assets = render(server, capabilities, Retention::default());
        let part = |name: &str| {
            let component = assets
                .iter()
                .find(|asset| asset.kind == AssetKind::Component && asset.name == name)
                .unwrap();
            component.body["template"].clone()
        };
        let settings = part("flowsentry-flows@settings")["settings"].clone();
        for (index, component) in
            [(FLOWS, "flowsentry-flows@mappings"), (REJECTED, "flowsentry-rejected@mappings")]
        {
            let mappings = part(component)["mappings"].clone();
            self.ask(
                Method::Put,
                &format!("/{index}"),
                json!({"mappings": mappings, "settings": settings}),
            );
        }
    }

    /// Writes documents as Logstash does; returns the status of each.
    fn create(&self, documents: &[Value]) -> Vec<u64> {
        let mut lines = Vec::new();
        for document in documents {
            let is_flow = ruby::reason(document).is_none();
            let index = if is_flow { FLOWS } else { REJECTED };
            let action = json!({"create": {"_index": index, "_id": document["event"]["id"]}});
            lines.extend(format!("{action}\n{document}\n").into_bytes());
        }
        let call = Call::new("writing", Method::Post, "/_bulk").query("refresh", "true");
        let answer = self.cluster.demand(&call.lines(lines)).unwrap();
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["create"]["status"].as_u64().unwrap()).collect()
    }

    fn count(&self, index: &str, query: Value) -> Value {
        let body = json!({"query": query, "track_total_hits": true, "size": 0});
        self.ask(Method::Post, &format!("/{index}/_search"), body)["hits"]["total"]["value"].clone()
    }

    fn takes_every_sample_once(&self) {
        let samples = samples::all();
        let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
        let documents: Vec<Value> = ruby::mapped(&texts).into_iter().flatten().collect();
        assert_eq!(documents.len(), 609);
        assert_eq!(self.create(&documents), vec![201; 609]);
        assert_eq!(self.create(&documents), vec![409; 609], "read again");
        // Nothing was left out of the index for its type.
        assert_eq!(self.count(FLOWS, json!({"exists": {"field": "_ignored"}})), 0);
        assert_eq!(
            self.count(FLOWS, json!({"term": {"source.ip": "10.77.0.66"}})),
            self.scanned(&documents)
        );
        for (field, value, hits) in [
            ("flowsentry.flow.defects", json!("clock_skew"), 100),
            ("flowsentry.flow.offset", json!(17), 1),
            ("flowsentry.flow.type", json!("nfdump"), 3),
        ] {
            assert_eq!(self.count(FLOWS, json!({"term": {field: value}})), hits, "{field}");
        }
        self.gives_the_flows_back(&documents);
    }

    fn scanned(&self, documents: &[Value]) -> usize {
        documents.iter().filter(|one| one["source"]["ip"] == "10.77.0.66").count()
    }

    /// What is read back is what was written, as our decoder sees it.
    fn gives_the_flows_back(&self, documents: &[Value]) {
        let body = json!({"size": 1_000, "sort": [{"flowsentry.flow.offset": "asc"}]});
        let answer = self.ask(Method::Post, &format!("/{FLOWS}/_search"), body);
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let mut decoder = formats::by_name("ecs").unwrap().decoder();
        let mut flow =
            |document: &Value| decoder.decode(document.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(hits.len(), documents.len());
        for (hit, document) in hits.iter().zip(documents) {
            assert_eq!(flow(&hit["_source"]), flow(document), "{document}");
        }
    }

    fn takes_what_is_no_flow(&self) {
        let texts = ["{", r#"{"time_received_ns":1,"src_addr":"x"}"#, r#"{"hello":"world"}"#];
        let documents: Vec<Value> = ruby::mapped(&texts).into_iter().flatten().collect();
        assert_eq!(self.create(&documents), [201, 201, 201]);
        for reason in ["not_json", "bad_address", "unknown_shape"] {
            assert_eq!(
                self.count(REJECTED, json!({"term": {"error.type": reason}})),
                1,
                "{reason}"
            );
        }
    }

    /// What would go to the dead letters of Logstash: a name that no document may have.
    fn refuses_what_cannot_be_stored(&self) {
        let mut record = samples::all()[0].record();
        record[""] = "x".into();
        let documents: Vec<Value> =
            ruby::documents(&[samples::located(&record.to_string(), 9_000)], 1, &[]).concat();
        assert_eq!(self.create(&documents), [400]);
        let hostile =
            std::fs::read_to_string(samples::root().join("tests/logstash/hostile.ndjson"));
        let hostile: Vec<Value> =
            hostile.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let texts: Vec<&str> = hostile
            .iter()
            .filter(|one| one["name"] != "an empty name")
            .map(|one| one["message"].as_str().unwrap())
            .collect();
        let messages: Vec<Value> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| samples::located(text, 10_000 + at))
            .collect();
        let documents = ruby::documents(&messages, 1, &[]).concat();
        assert_eq!(self.create(&documents), vec![201; documents.len()]);
    }
}
