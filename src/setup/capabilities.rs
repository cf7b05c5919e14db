//! What a server can do beyond its version: asked, because plugins may be missing and offers
//! restricted.

use serde_json::{Value, json};

use super::{Capabilities, constant_keyword_probe};
use crate::stores::{Call, Cluster, ClusterError, Flavour, Method};

/// Asks the server what it can do.
///
/// # Errors
/// When it does not answer, or when asking is not allowed.
pub fn find_capabilities(cluster: &Cluster) -> Result<Capabilities, ClusterError> {
    Ok(Capabilities {
        lifecycle: has_lifecycle(cluster)?,
        ingest: has_ingest(cluster)?,
        data_stream_api: has_data_stream_api(cluster)?,
        constant_keyword: has_constant_keyword(cluster)?,
    })
}

fn has_lifecycle(cluster: &Cluster) -> Result<bool, ClusterError> {
    let server = cluster.server();
    if server.serverless {
        return Ok(false);
    }
    let action = "looking for lifecycle policies";
    let call = match server.flavour {
        Flavour::Elasticsearch => Call::new(action, Method::Get, "/_ilm/policy"),
        Flavour::OpenSearch => {
            Call::new(action, Method::Get, "/_plugins/_ism/policies").query("size", "1")
        }
    };
    is_there(cluster.find(&call))
}

/// A node without the usual processors takes pipelines, but none that does something.
fn has_ingest(cluster: &Cluster) -> Result<bool, ClusterError> {
    let call = Call::new("trying an ingest pipeline", Method::Post, "/_ingest/pipeline/_simulate")
        .json(json!({
            "pipeline": {"processors": [{"set": {"field": "tried", "value": "yes"}}]},
            "docs": [{"_index": "flowsentry", "_id": "1", "_source": {}}],
        }));
    match cluster.call(&call)? {
        reply if reply.status < 400 => {
            Ok(reply.body.pointer("/docs/0/doc/_source/tried").is_some_and(Value::is_string))
        }
        reply if reply.body.to_string().contains("No processor type exists") => Ok(false),
        _ => is_there(cluster.demand(&call).map(Some)),
    }
}

/// Data streams themselves are everywhere; the functions that list and delete them are a module.
fn has_data_stream_api(cluster: &Cluster) -> Result<bool, ClusterError> {
    let path = "/_data_stream/logs-flowsentry.flow-*";
    is_there(cluster.find(&Call::new("looking for data streams", Method::Get, path)))
}

/// A type of the default distribution of Elasticsearch; we use it there alone.
fn has_constant_keyword(cluster: &Cluster) -> Result<bool, ClusterError> {
    if cluster.server().flavour == Flavour::OpenSearch {
        return Ok(false);
    }
    let call = Call::new("trying a field type", Method::Post, "/_index_template/_simulate")
        .json(constant_keyword_probe());
    match cluster.call(&call)?.status {
        400 => Ok(false),
        status if status < 400 => Ok(true),
        _ => cluster.demand(&call).map(|_| true),
    }
}

/// `false` when the server has no such function; not finding anything is an answer as well.
fn is_there(answer: Result<Option<Value>, ClusterError>) -> Result<bool, ClusterError> {
    match answer {
        Ok(_) => Ok(true),
        Err(ClusterError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
