//! Clusters that misbehave: on scripted servers, which fail as they are told to, and on the real
//! ones where those can be made to fail.
//!
//! Scripted are wrong credentials, overload, cuts in the middle of an answer, proxies, answers
//! without sense. Real are the wrong product, blocked indices, refused documents, an index without
//! shards.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cluster_faults/bulk.rs"]
mod bulk;
#[path = "cluster_faults/credentials.rs"]
mod credentials;
#[path = "cluster_faults/messages.rs"]
mod messages;
#[path = "cluster_faults/nodes.rs"]
mod nodes;
#[path = "cluster_faults/real.rs"]
mod real;
#[path = "scripted/mod.rs"]
mod scripted;
#[path = "cluster_faults/secure.rs"]
mod secure;
#[path = "cluster_faults/tls.rs"]
mod tls;

use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Call, Cluster, ClusterSettings, ClusterStore, Document, DocumentId, Family, Flavour, IndexName,
    Method, Namespace,
};
use scripted::{Rule, Scripted, on};
use serde_json::json;

/// Settings for `hosts`: one try, one second.
fn settings(hosts: &[&Scripted]) -> ClusterSettings {
    ClusterSettings {
        hosts: hosts.iter().map(|host| host.url()).collect(),
        timeout_seconds: 1,
        retry_seconds: 0,
        ..ClusterSettings::default()
    }
}

/// As [`settings`] with time to try again, more than any test needs.
fn patient(hosts: &[&Scripted]) -> ClusterSettings {
    ClusterSettings { timeout_seconds: 30, retry_seconds: 60, ..settings(hosts) }
}

/// `GET /` of an Elasticsearch.
fn root() -> Rule {
    on("GET", "/").json(200, scripted::elasticsearch("8.19.21"))
}

fn connect(settings: &ClusterSettings) -> Cluster {
    Cluster::connect(Flavour::Elasticsearch, settings).unwrap()
}

fn store(settings: &ClusterSettings) -> ClusterStore {
    ClusterStore::new(connect(settings))
}

/// A request that any server can be asked.
fn health() -> Call {
    Call::new("reading the cluster's health", Method::Get, "/_cluster/health")
}

/// Window documents with ids `0`, `1`, … that every store takes.
fn documents(namespace: &str, count: usize) -> Vec<Document> {
    let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    let namespace = Namespace::new(namespace).unwrap();
    let document = |number: usize| Document {
        index: IndexName::for_event(Family::Windows, &namespace, start),
        id: DocumentId::new(number.to_string()).unwrap(),
        source: json!({
            "@timestamp": start.to_string(),
            "source": {"ip": format!("10.0.{}.{}", number / 250 % 250, number % 250)},
            "flowsentry": {"window": {
                "subject": {"type": "source", "value": format!("host-{number}")},
                "start": start.to_string(), "seconds": 60,
                "features": {"sumOfFlows": number},
            }},
        }),
    };
    (0..count).map(document).collect()
}
