//! The objects of `index-templates/` on real servers: taken, given back the same, and resolved to
//! the types of the field catalogue.
//!
//! Everything goes by names of its own, so that an installation on the same server stays as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that lacks its server says so")]

use flowsentry::setup::{
    Asset, AssetKind, Capabilities, Retention, Standing, compare, constant_keyword_probe, render,
};
use flowsentry::stores::fields::{self, FieldKind};
use flowsentry::stores::{Call, Cluster, ClusterSettings, Family, Flavour, Method};
use serde_json::{Value, json};

#[test]
fn elasticsearch_takes_the_templates() {
    let url = "FLOWSENTRY_TEST_ELASTICSEARCH";
    with_server(Flavour::Elasticsearch, url, the_templates_hold);
}

#[test]
fn opensearch_takes_the_templates() {
    let url = "FLOWSENTRY_TEST_OPENSEARCH";
    with_server(Flavour::OpenSearch, url, the_templates_hold);
}

fn with_server(flavour: Flavour, variable: &str, test: fn(&Trial)) {
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: index templates on {} ({variable} is not set)", flavour.name());
        return;
    };
    let settings =
        ClusterSettings { hosts: vec![url], retry_seconds: 0, ..ClusterSettings::default() };
    let trial = Trial::new(Cluster::connect(flavour, &settings).unwrap());
    trial.clear();
    test(&trial);
}

fn the_templates_hold(trial: &Trial) {
    for asset in &trial.assets {
        trial.put(asset, &asset.body);
        assert_eq!(compare(asset, &trial.stored(asset)), Standing::Same, "{}", asset.name);
    }
    for family in Family::ALL {
        trial.resolves_to_the_catalogue(family);
    }
    trial.takes_odd_documents();
    trial.keeps_a_flow_that_the_pipeline_cannot_handle();
    trial.names_an_edit_by_hand();
}

/// A server, and our objects under other names.
struct Trial {
    cluster: Cluster,
    capabilities: Capabilities,
    assets: Vec<Asset>,
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Trial {
    fn new(cluster: Cluster) -> Self {
        let capabilities = capabilities(&cluster);
        let assets = render(cluster.server(), capabilities, Retention::default());
        let assets = assets.into_iter().map(renamed).collect();
        Self { cluster, capabilities, assets }
    }

    fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let call = Call::new(format!("{method:?} {path}"), method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        self.cluster.demand(&call).unwrap()
    }

    fn path(&self, asset: &Asset) -> String {
        format!("/{}/{}", asset.kind.path(self.cluster.server().flavour), asset.name)
    }

    fn put(&self, asset: &Asset, body: &Value) {
        self.ask(Method::Put, &self.path(asset), body.clone());
    }

    /// The object itself, out of what GET wraps around it.
    fn stored(&self, asset: &Asset) -> Value {
        let path = self.path(asset);
        let answer = self.cluster.demand(&Call::new("reading", Method::Get, path)).unwrap();
        let stored = match asset.kind {
            AssetKind::Component => &answer["component_templates"][0]["component_template"],
            AssetKind::Template => &answer["index_templates"][0]["index_template"],
            AssetKind::Pipeline => &answer[&asset.name],
            AssetKind::Policy => answer.get(&asset.name).unwrap_or(&answer),
        };
        stored.clone()
    }

    fn simulated(&self, family: Family) -> Value {
        let index = match family {
            Family::Flows => "logs-trial.flow-default".to_owned(),
            other => format!("trial-{}-default-2026.11", other.name()),
        };
        let path = format!("/_index_template/_simulate_index/{index}");
        self.ask(Method::Post, &path, Value::Null)["template"].take()
    }

    fn resolves_to_the_catalogue(&self, family: Family) {
        let template = self.simulated(family);
        for field in fields::of_family(family) {
            let path = format!("/mappings/properties/{}", field.name.replace('.', "/properties/"));
            let found = template.pointer(&format!("{path}/type"));
            // What has parts and no type is an object.
            let found = found.and_then(Value::as_str).unwrap_or("object");
            assert!(template.pointer(&path).is_some(), "{} is missing", field.name);
            assert_eq!(found, type_name(field.kind), "{} of {}", field.name, family.name());
        }
        let settings = &template["settings"]["index"];
        assert_eq!(settings["mapping"]["ignore_malformed"], "true");
        let has_pipeline = family == Family::Flows && self.capabilities.ingest;
        assert_eq!(settings["default_pipeline"] == "trial-flows", has_pipeline);
    }

    /// Writes one document to an index with the template of windows, and one with that of flows.
    fn takes_odd_documents(&self) {
        let window = json!({
            "@timestamp": "2026-11-21T10:00:00Z", "event": {"severity": "not a number"},
            "unknown": {"field": 5},
            "flowsentry": {
                "window": {"features": {"bytes": 5, "ratio": 0.5}},
                "leftovers": {"a": {"b": [1, null, {"c": "x"}]}},
            },
        });
        let index = "/trial-windows-default-2026.11.21";
        self.ask(Method::Put, &format!("{index}/_doc/1?refresh=true"), window);
        let query = json!({"query": {"bool": {"filter": [
            {"range": {"flowsentry.window.features.ratio": {"gt": 0.4, "lt": 0.6}}},
            {"range": {"flowsentry.window.features.bytes": {"gt": 4.5, "lt": 5.5}}},
            {"exists": {"field": "@timestamp"}},
        ], "must_not": [{"exists": {"field": "event.severity"}}, {"exists": {"field": "unknown"}}]}}});
        let found = self.ask(Method::Post, &format!("{index}/_search"), query);
        assert_eq!(found["hits"]["total"]["value"], 1, "{found}");
        let mapping = self.ask(Method::Get, &format!("{index}/_mapping"), Value::Null).to_string();
        assert!(mapping.contains(r#""bytes":{"type":"double"}"#), "{mapping}");

        // A plain index, since this build may have no function that removes a data stream.
        let mut template = self.simulated(Family::Flows);
        let mappings = template["mappings"].as_object_mut().unwrap();
        mappings.remove("_data_stream_timestamp");
        let body = json!({"mappings": mappings, "settings": template["settings"]});
        self.ask(Method::Put, "/trial-stream", body);
        let flow = json!({
            "@timestamp": "2026-11-21T10:00:00Z", "event": {"original": "x".repeat(40_000)},
            "source": {"ip": "10.0.0.1", "port": "", "geo": {"location": "nowhere"}},
            "destination": {"ip": "", "geo": {"location": {"lat": 52.5, "lon": 13.4}}},
            "labels": {"site": "north"},
        });
        self.ask(Method::Put, "/trial-stream/_doc/1?refresh=true", flow);
        let query = json!({"query": {"term": {"source.ip": "10.0.0.0/8"}}});
        let found = self.ask(Method::Post, "/trial-stream/_search", query);
        assert_eq!(found["hits"]["total"]["value"], 1, "{found}");
    }

    fn keeps_a_flow_that_the_pipeline_cannot_handle(&self) {
        if !self.capabilities.ingest {
            println!("skipped: ingest pipeline on {} (no processors)", self.cluster.server());
            return;
        }
        let docs = json!({"docs": [
            {"_source": {
                "source": {"ip": "", "mac": "", "port": 0}, "destination": {"ip": "10.0.0.1"},
                "observer": {"ip": ""}, "flowsentry": {"flow": {"next_hop": ""}},
            }},
            {"_source": {"event": "a text", "error": "a text", "source": "a text"}},
        ]});
        let path = "/_ingest/pipeline/trial-flows/_simulate";
        let answer = self.ask(Method::Post, path, docs);
        let source = |at: usize| &answer["docs"][at]["doc"]["_source"];
        assert_eq!(source(0)["source"], json!({"port": 0}));
        assert_eq!(source(0)["event"]["type"], json!(["connection"]));
        assert_eq!(source(0)["ecs"]["version"], "9.4.0");
        assert!(source(0)["event"]["ingested"].is_string(), "{answer}");
        assert_eq!(source(0)["destination"], json!({"ip": "10.0.0.1"}));
        assert_eq!(source(0)["observer"], json!({}));
        assert_eq!(source(0)["flowsentry"], json!({"flow": {}}));
        let marked = json!({
            "event": "a text", "error": "a text", "source": "a text",
            "tags": ["flowsentry_pipeline_failed"],
        });
        assert_eq!(*source(1), marked);
    }

    fn names_an_edit_by_hand(&self) {
        let asset = self.asset("trial-windows@mappings");
        let mut body = asset.body.clone();
        body["template"]["mappings"]["properties"]["source"]["properties"]["ip"]["type"] =
            json!("keyword");
        self.put(asset, &body);
        let place = "template.mappings.properties.source.properties.ip.type".to_owned();
        let edited = Standing::Edited { differences: vec![place] };
        assert_eq!(compare(asset, &self.stored(asset)), edited);

        let asset = self.asset("trial-windows@custom");
        self.put(asset, &json!({"template": {"settings": {"index.refresh_interval": "30s"}}}));
        assert_eq!(compare(asset, &self.stored(asset)), Standing::Same);
        let settings = &self.simulated(Family::Windows)["settings"]["index"];
        assert_eq!(settings["refresh_interval"], "30s");
    }

    fn asset(&self, name: &str) -> &Asset {
        self.assets.iter().find(|asset| asset.name == name).unwrap()
    }

    /// Deletes what a trial makes. What is not there needs no deleting.
    fn clear(&self) {
        for index in ["/trial-windows-default-2026.11.21", "/trial-stream"] {
            let _ = self.cluster.find(&Call::new("clearing", Method::Delete, index));
        }
        for asset in self.assets.iter().rev() {
            let _ = self.cluster.find(&Call::new("clearing", Method::Delete, self.path(asset)));
        }
    }
}

/// `asset` under a name of its own, as all that it refers to.
fn renamed(asset: Asset) -> Asset {
    let rename = |text: &str| {
        text.replace("logs-flowsentry.", "logs-trial.").replace("flowsentry-", "trial-")
    };
    let body = serde_json::from_str(&rename(&asset.body.to_string())).unwrap();
    Asset { name: rename(&asset.name), body, ..asset }
}

fn capabilities(cluster: &Cluster) -> Capabilities {
    let succeeds = |method, path: &str, body: Value| {
        let call = Call::new("asking for a function", method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        cluster.call(&call).unwrap().status < 400
    };
    let flavour = cluster.server().flavour;
    let policies = format!("/{}", AssetKind::Policy.path(flavour));
    let processors = "/_nodes/ingest?filter_path=nodes.*.ingest.processors.type";
    let processors = cluster.demand(&Call::new("asking", Method::Get, processors)).unwrap();
    Capabilities {
        lifecycle: succeeds(Method::Get, &policies, Value::Null),
        ingest: processors.to_string().contains(r#""type":"set""#),
        data_stream_api: succeeds(Method::Get, "/_data_stream", Value::Null),
        constant_keyword: succeeds(
            Method::Post,
            "/_index_template/_simulate",
            constant_keyword_probe(),
        ),
    }
}

fn type_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::DoubleMap => "object",
        FieldKind::Keyword
        | FieldKind::Ip
        | FieldKind::Date
        | FieldKind::Long
        | FieldKind::Double
        | FieldKind::Boolean
        | FieldKind::Text => kind.name(),
    }
}
