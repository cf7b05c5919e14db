//! A server that keeps objects and forgets documents, with the functions that the real servers of
//! the tests lack: lifecycle policies of both products, and refused privileges. It answers as the
//! documentation of the products says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowsentry::setup::Installer;
use flowsentry::stores::{Cluster, Flavour};
use serde_json::{Value, json};

use crate::scripted::{Reply, Request, Scripted, elasticsearch, opensearch};
use crate::server::{connect, scope};

/// A played server.
pub struct Fake {
    flavour: Flavour,
    http: Scripted,
    state: Arc<Mutex<State>>,
}

/// What it has.
#[derive(Debug, Default)]
pub struct State {
    /// Objects by path, with the count of their writes.
    pub objects: BTreeMap<String, (Value, u64)>,
    /// Indices with their mapping and the policy that looks after them.
    pub indices: BTreeMap<String, (Value, Option<String>)>,
    /// Every write to a policy from now on finds that somebody was faster.
    pub is_overtaken: bool,
    /// After so many writes nothing is answered any more.
    pub dies_after: Option<usize>,
    is_serverless: bool,
    denied: Vec<(&'static str, &'static str)>,
}

impl Fake {
    /// Starts one that refuses `denied` (method and beginning of the path) for want of privileges.
    pub fn start(flavour: Flavour, denied: &[(&'static str, &'static str)]) -> Self {
        Self::with(flavour, State { denied: denied.to_vec(), ..State::default() })
    }

    /// Starts Elastic's serverless offer.
    pub fn serverless() -> Self {
        let state = State { is_serverless: true, ..State::default() };
        Self::with(Flavour::Elasticsearch, state)
    }

    fn with(flavour: Flavour, state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        let own = state.clone();
        let http = Scripted::start(move |request| {
            let mut state = own.lock().unwrap_or_else(PoisonError::into_inner);
            state.answer(flavour, request)
        });
        Self { flavour, http, state }
    }

    pub fn cluster(&self) -> Cluster {
        connect(self.flavour, &self.http.url())
    }

    pub fn installer(&self) -> Installer {
        Installer::new(&self.cluster(), scope()).expect("it can be asked")
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Method and path of all writes so far, without requests that only ask.
    pub fn writes(&self) -> Vec<String> {
        let requests = self.http.requests();
        let writes = requests.iter().filter(|request| match request.method.as_str() {
            "PUT" | "DELETE" => true,
            "POST" => !request.path.contains("_simulate"),
            _ => false,
        });
        writes.map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.http.requests()
    }

    pub fn forget(&self) {
        self.http.forget();
    }
}

impl State {
    fn answer(&mut self, flavour: Flavour, request: &Request) -> Reply {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let is_denied = |(verb, prefix): &(&str, &str)| *verb == method && path.starts_with(prefix);
        if self.denied.iter().any(is_denied) {
            return error(403, "security_exception", "action is unauthorized for this user");
        }
        if path == "/" {
            return Reply::json(200, self.root(flavour));
        }
        if let Some(left) = &mut self.dies_after {
            *left = left.saturating_sub(usize::from(method == "PUT"));
            if *left == 0 {
                return error(503, "cluster_manager_not_discovered_exception", "no manager");
            }
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (_, ["_ilm", ..]) if flavour != Flavour::Elasticsearch || self.is_serverless => {
                let reason = format!("no handler found for uri [{path}] and method [{method}]");
                Reply::json(400, json!({"error": reason}))
            }
            (_, ["_plugins", "_ism", "policies", ..]) => self.ism_policy(request, &parts[3..]),
            ("GET", ["_plugins", "_ism", "explain", _]) => Reply::json(200, self.explained()),
            ("POST", ["_plugins", "_ism", "add" | "change_policy", index]) => {
                self.attach(index, &request.json()["policy_id"]);
                Reply::json(
                    200,
                    json!({"updated_indices": 1, "failures": false,
                    "failed_indices": []}),
                )
            }
            ("POST", ["_ingest", "pipeline", .., "_simulate"]) => {
                Reply::json(200, json!({"docs": [{"doc": {"_source": {"tried": "yes"}}}]}))
            }
            ("POST", ["_index_template", "_simulate"]) => Reply::json(200, json!({"template": {}})),
            ("POST", ["_index_template", "_simulate_index", index]) => {
                Reply::json(200, self.resolved(index))
            }
            ("GET", ["_data_stream", _]) => Reply::json(200, json!({"data_streams": []})),
            ("GET", ["_resolve", "index", pattern]) => Reply::json(200, self.listed(pattern)),
            ("GET", [_, "_mapping"]) => {
                self.of_indices(|(mapping, _)| json!({"mappings": mapping}))
            }
            ("GET", [_, "_settings", _]) => self.of_indices(|(_, policy)| match policy {
                Some(policy) => json!({"settings": {"index.lifecycle.name": policy}}),
                None => json!({"settings": {}}),
            }),
            ("PUT", [index, "_settings"]) => {
                self.attach(index, &request.json()["index.lifecycle.name"]);
                acknowledged()
            }
            (_, ["_ilm" | "_ingest" | "_component_template" | "_index_template", ..]) => {
                self.object(request)
            }
            ("PUT", [index]) => {
                let mapping = self.resolved(index)["template"]["mappings"].take();
                self.indices.insert((*index).to_owned(), (mapping, None));
                acknowledged()
            }
            _ => error(400, "illegal_argument_exception", "the played server does not know that"),
        }
    }

    fn root(&self, flavour: Flavour) -> Value {
        match flavour {
            Flavour::OpenSearch => opensearch("2.19.4"),
            Flavour::Elasticsearch => {
                let mut root = elasticsearch("8.19.0");
                if self.is_serverless {
                    root["version"]["build_flavor"] = json!("serverless");
                }
                root
            }
        }
    }

    /// Templates, pipelines and ILM policies: kept and given back in their frames.
    fn object(&mut self, request: &Request) -> Reply {
        let path = request.path.as_str();
        match request.method.as_str() {
            "PUT" => {
                let writes = self.objects.get(path).map_or(0, |(_, writes)| *writes);
                self.objects.insert(path.to_owned(), (request.json(), writes + 1));
                acknowledged()
            }
            "DELETE" => match self.objects.remove(path) {
                Some(_) => acknowledged(),
                None => error(404, "resource_not_found_exception", "missing"),
            },
            _ => self.read_objects(path),
        }
    }

    fn read_objects(&self, path: &str) -> Reply {
        let beginning = path.trim_end_matches('*');
        let fits =
            |key: &str| if beginning == path { key == path } else { key.starts_with(beginning) };
        let found: Vec<(&str, &Value)> = self
            .objects
            .iter()
            .filter(|(key, _)| fits(key) || key.starts_with(&format!("{path}/")))
            .map(|(key, (body, _))| (key.rsplit('/').next().unwrap_or_default(), body))
            .collect();
        let framed = |list: &str, inner: &str| {
            let entries = found.iter().map(|(name, body)| json!({"name": name, inner: body}));
            json!({list: entries.collect::<Vec<_>>()})
        };
        let by_name = |object: &dyn Fn(&Value) -> Value| {
            found.iter().map(|(name, body)| ((*name).to_owned(), object(body))).collect::<Value>()
        };
        let answer = if path.starts_with("/_component_template") {
            framed("component_templates", "component_template")
        } else if path.starts_with("/_index_template") {
            framed("index_templates", "index_template")
        } else if path.starts_with("/_ilm") {
            by_name(
                &|body| json!({"version": 3, "modified_date": "2026", "policy": body["policy"]}),
            )
        } else {
            by_name(&Value::clone)
        };
        let is_list = path.split('/').filter(|part| !part.is_empty()).count() < 3;
        Reply::json(if found.is_empty() && !is_list { 404 } else { 200 }, answer)
    }

    /// ISM policies: written over the state that the request names, and no other.
    fn ism_policy(&mut self, request: &Request, name: &[&str]) -> Reply {
        let path = request.path.clone();
        let known = self.objects.get(&path).cloned();
        match (request.method.as_str(), name) {
            ("GET", []) => Reply::json(200, json!({"policies": [], "total_policies": 0})),
            ("GET", _) => match known {
                None => error(404, "status_exception", "Policy not found"),
                Some((body, writes)) => {
                    let mut policy = body["policy"].clone();
                    policy["policy_id"] = json!(name[0]);
                    policy["last_updated_time"] = json!(1_700_000_000_000_u64);
                    policy["schema_version"] = json!(21);
                    Reply::json(
                        200,
                        json!({"_id": name[0], "_version": writes, "_seq_no": writes,
                        "_primary_term": 1, "policy": policy}),
                    )
                }
            },
            ("DELETE", _) => {
                self.objects.remove(&path);
                Reply::json(200, json!({"result": "deleted"}))
            }
            _ => {
                let writes = known.map(|(_, writes)| writes);
                let named = request.parameter("if_seq_no").map(|text| text.parse().ok());
                if self.is_overtaken || named.flatten() != writes {
                    let reason = "version conflict, required seqNo differs";
                    return error(409, "version_conflict_engine_exception", reason);
                }
                let policy = request.json();
                for added in ["policy_id", "last_updated_time", "schema_version"] {
                    assert!(policy["policy"].get(added).is_none(), "{added} is sent back");
                }
                self.objects.insert(path, (policy, writes.unwrap_or(0) + 1));
                Reply::json(201, json!({"_id": name[0]}))
            }
        }
    }

    fn attach(&mut self, index: &str, policy: &Value) {
        let entry = self.indices.get_mut(index).expect("the index is there");
        entry.1 = policy.as_str().map(str::to_owned);
    }

    fn explained(&self) -> Value {
        let entry = |(index, (_, policy)): (&String, &(Value, Option<String>))| {
            let explained = json!({"index.plugins.index_state_management.policy_id": policy});
            (index.clone(), explained)
        };
        self.indices.iter().map(entry).collect()
    }

    fn of_indices(&self, part: impl Fn(&(Value, Option<String>)) -> Value) -> Reply {
        let parts = self.indices.iter().map(|(name, index)| (name.clone(), part(index)));
        Reply::json(200, parts.collect())
    }

    fn listed(&self, pattern: &str) -> Value {
        let names = self.indices.keys().filter(|_| !pattern.contains("setupcheck"));
        let indices: Vec<Value> = names.map(|name| json!({"name": name})).collect();
        json!({"indices": indices, "aliases": [], "data_streams": []})
    }

    /// What the components of the template for `index` make together.
    fn resolved(&self, index: &str) -> Value {
        let family = match index.strip_prefix("flowsentry-") {
            Some(rest) => rest.split('-').next().unwrap_or_default(),
            None => "flows",
        };
        let part = |part: &str, inner: &str| {
            let component =
                self.objects.get(&format!("/_component_template/flowsentry-{family}@{part}"));
            component.map_or(json!({}), |(body, _)| body["template"][inner].clone())
        };
        json!({"template": {"mappings": part("mappings", "mappings"),
            "settings": part("settings", "settings")}, "overlapping": []})
    }
}

fn acknowledged() -> Reply {
    Reply::json(200, json!({"acknowledged": true}))
}

fn error(status: u16, kind: &str, reason: &str) -> Reply {
    Reply::json(status, json!({"error": {"type": kind, "reason": reason}, "status": status}))
}
