//! A real server in a namespace of its own, read without the store that is tested.

use flowsentry::stores::{
    Call, Cluster, ClusterSettings, Family, Flavour, Method, Namespace, Version,
};
use serde_json::{Value, json};

use super::{Documents, Found};

/// Documents of one answer.
const PAGE: usize = 5_000;

/// Removes what it made when it goes.
pub struct TestCluster {
    cluster: Cluster,
    url: String,
    namespace: Namespace,
}

fn variable(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Elasticsearch => "FLOWSENTRY_TEST_ELASTICSEARCH",
        Flavour::OpenSearch => "FLOWSENTRY_TEST_OPENSEARCH",
    }
}

/// Whether there is any server; says which are missing.
pub fn any_is_there() -> bool {
    let flavours = [Flavour::OpenSearch, Flavour::Elasticsearch];
    let mut found = false;
    for name in flavours.map(variable) {
        let is_there = std::env::var(name).is_ok();
        found |= is_there;
        if !is_there {
            println!("skipped: the comparison of stores needs {name}");
        }
    }
    found
}

impl TestCluster {
    /// `None` when there is no such server.
    pub fn find(flavour: Flavour, namespace: &Namespace) -> Option<Self> {
        let url = std::env::var(variable(flavour)).ok()?;
        let settings = ClusterSettings { hosts: vec![url.clone()], ..ClusterSettings::default() };
        let cluster = Cluster::connect(flavour, &settings).unwrap();
        Some(Self { cluster, url, namespace: namespace.clone() })
    }

    /// Its part of a settings file.
    pub fn settings(&self) -> String {
        let name = self.cluster.server().flavour.name().to_lowercase();
        format!("{name}: {{hosts: [\"{}\"]}}", self.url)
    }

    fn demand(&self, call: Call) -> Value {
        self.cluster.demand(&call).unwrap()
    }

    /// Makes everything that was written visible.
    pub fn refresh(&self) {
        let path = format!("/flowsentry-*-{}*/_refresh", self.namespace);
        self.demand(Call::new("refreshing", Method::Post, path));
    }

    /// All documents of a family.
    pub fn read(&self, family: Family) -> Documents {
        let path = format!("/flowsentry-{}-{}*/_search", family.name(), self.namespace);
        let mut documents = Documents::new();
        let mut after = Value::Null;
        loop {
            let mut body = json!({
                "size": PAGE, "sort": [{"event.id": "asc"}], "seq_no_primary_term": true
            });
            if !after.is_null() {
                body["search_after"] = after;
            }
            let answer =
                self.demand(Call::new("reading everything", Method::Post, &*path).json(body));
            let hits = answer["hits"]["hits"].as_array().unwrap();
            let Some(last) = hits.last() else { return documents };
            after = last["sort"].clone();
            documents.extend(hits.iter().map(|hit| {
                let number = |name: &str| hit[name].as_u64().unwrap();
                let text = |name: &str| hit[name].as_str().unwrap().to_owned();
                let version =
                    Version { sequence: number("_seq_no"), term: number("_primary_term") };
                let source = hit["_source"].clone();
                (text("_id"), Found { index: text("_index"), source, version })
            }));
        }
    }

    fn remove_all(&self) -> Result<(), flowsentry::stores::ClusterError> {
        let path = format!("/_cat/indices/flowsentry-*-{}*", self.namespace);
        let call = Call::new("listing indices", Method::Get, path)
            .query("h", "index")
            .query("format", "json");
        let listed = self.cluster.demand(&call)?;
        for row in listed.as_array().into_iter().flatten() {
            let name = row["index"].as_str().unwrap_or_default();
            let call = Call::new("removing an index", Method::Delete, format!("/{name}"));
            self.cluster.find(&call)?;
        }
        Ok(())
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if let Err(error) = self.remove_all() {
            println!("what the test made in {} is still there: {error}", self.url);
        }
    }
}
