//! A real server, wiped of everything of ours, for one test alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use flowsentry::model::Timestamp;
use flowsentry::setup::{Asset, AssetKind, Installer, Retention, Scope, Selection, render};
use flowsentry::stores::{
    Call, Cluster, ClusterError, ClusterSettings, Flavour, Method, Namespace,
};
use serde_json::{Value, json};

static ELASTICSEARCH: Mutex<()> = Mutex::new(());
static OPENSEARCH: Mutex<()> = Mutex::new(());

/// The present of the tests.
pub const NOW: &str = "2026-11-21T12:00:00.000Z";
/// What the names of templates of others begin with.
pub const OTHER: &str = "setup-test-other";

/// A server that only this test uses.
pub struct Server {
    pub cluster: Cluster,
    pub url: String,
    pub flavour: Flavour,
    _alone: MutexGuard<'static, ()>,
}

/// Makes two tests of one function, one for each product.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[test]
            fn elasticsearch() {
                $crate::server::with(flowsentry::stores::Flavour::Elasticsearch, super::$name);
            }

            #[test]
            fn opensearch() {
                $crate::server::with(flowsentry::stores::Flavour::OpenSearch, super::$name);
            }
        })*
    };
}
pub(crate) use on_both;

/// Runs `test` on a server without anything of ours, or says that there is none.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub fn with(flavour: Flavour, test: fn(&Server)) {
    let (variable, lock) = match flavour {
        Flavour::Elasticsearch => ("FLOWSENTRY_TEST_ELASTICSEARCH", &ELASTICSEARCH),
        Flavour::OpenSearch => ("FLOWSENTRY_TEST_OPENSEARCH", &OPENSEARCH),
    };
    let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) else {
        println!("skipped: setup on {} needs {variable}", flavour.name());
        return;
    };
    let alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server { cluster: connect(flavour, &url), url, flavour, _alone: alone };
    server.wipe();
    test(&server);
    server.wipe();
}

/// Connects without patience for silent servers.
pub fn connect(flavour: Flavour, url: &str) -> Cluster {
    let settings = ClusterSettings {
        hosts: vec![url.to_owned()],
        retry_seconds: 0,
        ..ClusterSettings::default()
    };
    Cluster::connect(flavour, &settings).expect("the server answers")
}

/// Everything, for the namespace `default`, at [`NOW`].
pub fn scope() -> Scope {
    Scope {
        retention: Retention::default(),
        namespace: Namespace::default(),
        selection: Selection::ALL,
        now: now(),
    }
}

pub fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

impl Server {
    pub fn installer(&self) -> Installer {
        Installer::new(&self.cluster, scope()).expect("the server can be asked")
    }

    /// Sets up and proves it.
    pub fn set_up(&self) {
        let installer = self.installer();
        let plan = installer.plan().expect("a plan");
        installer.apply(&plan, false).expect("it is applied");
        assert_eq!(installer.verify().expect("it is verified").findings, []);
    }

    /// Our objects as this program writes them here.
    pub fn assets(&self) -> Vec<Asset> {
        let capabilities = self.installer().capabilities();
        render(self.cluster.server(), capabilities, Retention::default())
    }

    pub fn asset(&self, name: &str) -> Asset {
        self.assets().into_iter().find(|asset| asset.name == name).expect("an object of ours")
    }

    pub fn put(&self, asset: &Asset) {
        self.send(Method::Put, &self.path(asset.kind, &asset.name), asset.body.clone());
    }

    pub fn path(&self, kind: AssetKind, name: &str) -> String {
        format!("/{}/{name}", kind.path(self.flavour))
    }

    pub fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let call = Call::new(format!("{method:?} {path}"), method, path).json(body);
        self.cluster.demand(&call).expect("the server does it")
    }

    /// What the templates make of an index of this name.
    pub fn resolve(&self, index: &str) -> Value {
        let path = format!("/_index_template/_simulate_index/{index}");
        let call = Call::new("resolving the templates", Method::Post, path);
        self.cluster.demand(&call).expect("the server does it")
    }

    /// Reads; null when there is nothing.
    pub fn read(&self, path: &str) -> Value {
        let call = Call::new(path, Method::Get, path);
        self.cluster.find(&call).expect("the server answers").unwrap_or_default()
    }

    pub fn delete(&self, path: &str) {
        self.cluster.find(&Call::new(path, Method::Delete, path)).expect("the server answers");
    }

    /// Creates a document at once visible.
    pub fn create(&self, index: &str, id: &str, source: &Value) {
        let action = json!({"create": {"_index": index, "_id": id}});
        let lines = format!("{action}\n{source}\n").into_bytes();
        let call = Call::new("writing", Method::Post, "/_bulk").query("refresh", "true");
        let answer = self.cluster.demand(&call.lines(lines)).expect("the server answers");
        assert_eq!(answer["errors"], false, "{answer}");
    }

    /// The ids that a query finds, sorted.
    pub fn ids(&self, index: &str, query: Value) -> Vec<String> {
        let answer = self.send(
            Method::Post,
            &format!("/{index}/_search"),
            json!({"query": query, "size": 100}),
        );
        let hits = answer["hits"]["hits"].as_array().expect("hits");
        let ids = hits.iter().map(|hit| hit["_id"].as_str().expect("an id").to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    }

    /// Everything of ours and about ours.
    pub fn state(&self) -> Value {
        let paths = [
            "/_component_template/flowsentry-*",
            "/_index_template/*flowsentry*",
            "/_ingest/pipeline/flowsentry-*",
            "/_resolve/index/flowsentry-*,logs-flowsentry.flow-*",
            "/flowsentry-*,logs-flowsentry.flow-*/_mapping",
            "/flowsentry-*/_settings",
        ];
        paths.iter().map(|path| (*path, self.read(path))).collect::<Vec<_>>().into_iter().fold(
            json!({}),
            |mut state, (path, value)| {
                state[path] = sorted(value);
                state
            },
        )
    }

    fn names(&self, path: &str, list: &str) -> Vec<String> {
        let answer = self.read(path);
        let entries = answer[list].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
    }

    /// A server without that part of the product keeps what another test left. A template of the
    /// stream's own lets ours go all the same.
    fn remove_stream(&self, stream: &str) {
        let path = format!("/_data_stream/{stream}");
        let removed = self.cluster.find(&Call::new("removing a stream", Method::Delete, &*path));
        if let Err(ClusterError::Missing { .. }) = removed {
            let own = json!({"index_patterns": [stream], "data_stream": {}, "priority": 1});
            self.send(Method::Put, &format!("/_index_template/left-{stream}"), own);
        } else {
            removed.expect("the server answers");
        }
    }

    fn wipe(&self) {
        let everything = "/_resolve/index/flowsentry-*,logs-flowsentry.flow-*";
        for stream in self.names(everything, "data_streams") {
            self.remove_stream(&stream);
        }
        for index in self.names(everything, "indices") {
            self.delete(&format!("/{index}"));
        }
        for kind in ["index_template", "component_template"] {
            for pattern in ["flowsentry-*".to_owned(), format!("{OTHER}*")] {
                for name in self.names(&format!("/_{kind}/{pattern}"), &format!("{kind}s")) {
                    self.delete(&format!("/_{kind}/{name}"));
                }
            }
        }
        self.delete("/_ingest/pipeline/flowsentry-flows");
    }
}

/// Servers list objects in any order, and newer ones tell when each was written.
fn sorted(mut value: Value) -> Value {
    for list in ["component_templates", "index_templates"] {
        if let Some(entries) = value.get_mut(list).and_then(Value::as_array_mut) {
            entries.sort_by_key(|entry| entry["name"].to_string());
            for entry in entries {
                let object = &mut entry[list.trim_end_matches('s')];
                // When it was written last is no part of what was written.
                if let Some(object) = object.as_object_mut() {
                    object.retain(|name, _| !name.ends_with("_date_millis"));
                }
            }
        }
    }
    value
}
