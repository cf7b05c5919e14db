//! Where the contract is tested: a store, a namespace of its own, and what cleans up after it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::any::Any;
use std::sync::{Arc, OnceLock};

use chrono::Utc;
use flowsentry::model::Timestamp;
use flowsentry::setup::{Installer, Retention, Scope, Selection};
use flowsentry::stores::{
    Call, Cluster, ClusterSettings, ClusterStore, EmbeddedConfig, EmbeddedStore, Flavour, Method,
    Namespace, Store,
};
use serde_json::Value;

/// A store for one case.
pub struct Site {
    pub store: Arc<dyn Store>,
    pub namespace: Namespace,
    /// How many times random documents are filled in.
    pub fillings: u32,
    /// Cleans up when the case is over, however it ends.
    _guard: Box<dyn Any>,
}

/// A fresh embedded store in a folder that lives as long as the site.
pub fn embedded(case: &str) -> Option<Site> {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
    let namespace = Namespace::new(case).unwrap();
    Some(Site { store: Arc::new(store), namespace, fillings: 16, _guard: Box::new(folder) })
}

pub fn elasticsearch(case: &str) -> Option<Site> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let connect = || connect(Flavour::Elasticsearch, "FLOWSENTRY_TEST_ELASTICSEARCH");
    Some(on_cluster(case, CLUSTER.get_or_init(connect).as_ref()?))
}

pub fn opensearch(case: &str) -> Option<Site> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let connect = || connect(Flavour::OpenSearch, "FLOWSENTRY_TEST_OPENSEARCH");
    Some(on_cluster(case, CLUSTER.get_or_init(connect).as_ref()?))
}

fn connect(flavour: Flavour, variable: &str) -> Option<Cluster> {
    let Ok(host) = std::env::var(variable) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    let settings =
        ClusterSettings { hosts: vec![host], retry_seconds: 10, ..ClusterSettings::default() };
    let cluster = Cluster::connect(flavour, &settings).unwrap();
    let scope = Scope {
        retention: Retention::default(),
        namespace: Namespace::new("contract").unwrap(),
        selection: Selection::ALL,
        now: Timestamp::from_utc(Utc::now()),
    };
    let installer = Installer::new(&cluster, scope).unwrap();
    installer.apply(&installer.plan().unwrap(), false).unwrap();
    Some(cluster)
}

/// Several runs may share a server: the process is part of the name.
fn on_cluster(case: &str, cluster: &Cluster) -> Site {
    let name: String = format!("{}-{case}", std::process::id()).chars().take(50).collect();
    let namespace = Namespace::new(&name).unwrap();
    let guard = Leftovers { cluster: cluster.clone(), namespace: namespace.clone() };
    let store = Arc::new(ClusterStore::new(cluster.clone()));
    Site { store, namespace, fillings: 2, _guard: Box::new(guard) }
}

/// Removes the indices of a case.
struct Leftovers {
    cluster: Cluster,
    namespace: Namespace,
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let path = format!("/_cat/indices/flowsentry-*-{}*", self.namespace);
        let call = Call::new("listing what a case left", Method::Get, path);
        let listed = self.cluster.find(&call.query("h", "index").query("format", "json"));
        let listed = listed.ok().flatten().unwrap_or(Value::Null);
        for row in listed.as_array().into_iter().flatten() {
            let Some(index) = row["index"].as_str() else { continue };
            let call = Call::new("removing what a case left", Method::Delete, format!("/{index}"));
            if let Err(error) = self.cluster.find(&call) {
                println!("{index} is left behind: {error}");
            }
        }
    }
}
