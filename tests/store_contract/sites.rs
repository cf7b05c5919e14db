//! Where the contract is tested: a store, a namespace of its own, and what cleans up after it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::any::Any;
use std::sync::{Arc, OnceLock};

use flowsentry::stores::fields::{FIELDS, Field, FieldKind};
use flowsentry::stores::{
    Call, Cluster, ClusterSettings, ClusterStore, EmbeddedConfig, EmbeddedStore, Flavour, Method,
    Namespace, Store,
};
use serde_json::{Map, Value, json};

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
    for (name, pattern, is_stream) in [
        ("flowsentry-contract", "flowsentry-*", false),
        ("flowsentry-contract-flows", "logs-flowsentry.flow-*", true),
    ] {
        let mut template = json!({
            "index_patterns": [pattern],
            "priority": 400,
            "template": {
                "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
                "mappings": mapping(),
            },
        });
        if is_stream {
            template["data_stream"] = json!({});
        }
        let path = format!("/_index_template/{name}");
        let call = Call::new("putting the template of the contract", Method::Put, path);
        cluster.demand(&call.json(template)).unwrap();
    }
    Some(cluster)
}

/// The field catalogue as a mapping.
fn mapping() -> Value {
    let mut root = json!({"dynamic": false, "properties": {}});
    for field in FIELDS {
        add(&mut root, field);
    }
    let maps = FIELDS.iter().filter(|field| field.kind == FieldKind::DoubleMap);
    let templates = maps.map(|field| {
        let template =
            json!({"path_match": format!("{}.*", field.name), "mapping": {"type": "double"}});
        json!({field.name: template})
    });
    root["dynamic_templates"] = templates.collect();
    root
}

fn add(root: &mut Value, field: &Field) {
    let of_field = match field.kind {
        FieldKind::Keyword => json!({"type": "keyword", "ignore_above": 1024}),
        FieldKind::Ip => json!({"type": "ip"}),
        FieldKind::Date => json!({"type": "date"}),
        FieldKind::Long => json!({"type": "long"}),
        FieldKind::Double => json!({"type": "double"}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Text => json!({"type": "text"}),
        FieldKind::DoubleMap => json!({"type": "object", "dynamic": true}),
    };
    let mut object = root;
    let (parents, last) = field.name.rsplit_once('.').unwrap_or(("", field.name));
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let properties = object["properties"].as_object_mut().unwrap();
        let empty = || json!({"properties": Map::new()});
        object = properties.entry(parent).or_insert_with(empty);
    }
    object["properties"][last] = of_field;
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
