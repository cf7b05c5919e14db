//! Answers in the words of the two products.

use serde_json::{Value, json};

use super::message::{Reply, Request};

/// `GET /` of Elasticsearch.
pub fn elasticsearch(version: &str) -> Value {
    json!({
        "name": "scripted", "cluster_name": "scripted", "cluster_uuid": "AAAAAAAAAAAAAAAAAAAAAA",
        "version": {"number": version, "build_flavor": "default", "build_type": "tar",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0"},
        "tagline": "You Know, for Search",
    })
}

/// `GET /` of OpenSearch.
pub fn opensearch(version: &str) -> Value {
    json!({
        "name": "scripted", "cluster_name": "scripted", "cluster_uuid": "AAAAAAAAAAAAAAAAAAAAAA",
        "version": {"distribution": "opensearch", "number": version, "build_type": "tar",
            "minimum_wire_compatibility_version": "7.10.0",
            "minimum_index_compatibility_version": "7.0.0"},
        "tagline": "The OpenSearch Project: https://opensearch.org/",
    })
}

/// The answer to a bulk request whose items are answered one by one: `item(place, index, id)`
/// gives the status and, for 400 and more, the error.
pub fn bulk_answer(
    request: &Request,
    mut item: impl FnMut(usize, &str, &str) -> (u16, Value),
) -> Reply {
    let actions = request.lines().into_iter().step_by(2).enumerate();
    let mut has_errors = false;
    let items = actions.map(|(at, action)| {
        let (operation, target) = action.as_object().and_then(|action| action.iter().next())?;
        let (index, id) = (target["_index"].as_str()?, target["_id"].as_str()?);
        let (status, error) = item(at, index, id);
        has_errors |= status >= 400;
        let result = match status {
            400.. => json!({"_index": index, "_id": id, "status": status, "error": error}),
            _ => json!({"_index": index, "_id": id, "_version": 1, "result": "created",
                "_seq_no": at, "_primary_term": 1, "status": status}),
        };
        Some(json!({operation: result}))
    });
    let items: Option<Vec<Value>> = items.collect();
    let items = items.expect("every action has an operation, an index and an id");
    Reply::json(200, json!({"took": 1, "errors": has_errors, "items": items}))
}

/// The answer to a bulk request all of whose documents were created.
pub fn created(request: &Request) -> Reply {
    bulk_answer(request, |_, _, _| (201, Value::Null))
}
