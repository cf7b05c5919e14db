//! Faults that real servers can be brought to.

use flowsentry::stores::{
    BulkItem, Call, Cluster, ClusterError, ClusterSettings, ClusterStore, Family, Flavour,
    IndexName, Method, Namespace, SearchRequest, Store, StoreError,
};
use serde_json::{Value, json};

use super::documents;

/// The servers that the environment names; each absence is said aloud.
fn servers() -> Vec<(Flavour, ClusterSettings)> {
    let named = [
        (Flavour::OpenSearch, "FLOWSENTRY_TEST_OPENSEARCH"),
        (Flavour::Elasticsearch, "FLOWSENTRY_TEST_ELASTICSEARCH"),
    ];
    let server = |(flavour, variable): (Flavour, &str)| {
        let Ok(host) = std::env::var(variable) else {
            println!("skipped: faults of a real {} need {variable}", flavour.name());
            return None;
        };
        let settings =
            ClusterSettings { hosts: vec![host], retry_seconds: 5, ..ClusterSettings::default() };
        Some((flavour, settings))
    };
    named.into_iter().filter_map(server).collect()
}

/// A store without anything in `namespace`, and the name of the index of [`documents`].
fn empty_store(
    flavour: Flavour,
    settings: &ClusterSettings,
    namespace: &str,
) -> (ClusterStore, String) {
    let cluster = Cluster::connect(flavour, settings).unwrap();
    let index = documents(namespace, 1)[0].index.to_string();
    drop_index(&cluster, &index);
    (ClusterStore::new(cluster), index)
}

fn drop_index(cluster: &Cluster, index: &str) {
    let call = Call::new("dropping the index", Method::Delete, format!("/{index}"));
    cluster.demand(&call.query("ignore_unavailable", "true")).unwrap();
}

fn put(cluster: &Cluster, path: String, body: Value) {
    cluster.demand(&Call::new("preparing the fault", Method::Put, path).json(body)).unwrap();
}

#[test]
fn the_wrong_product_is_recognised() {
    for (flavour, settings) in servers() {
        let other = match flavour {
            Flavour::Elasticsearch => Flavour::OpenSearch,
            Flavour::OpenSearch => Flavour::Elasticsearch,
        };
        let error = Cluster::connect(other, &settings).unwrap_err();
        assert!(matches!(error, ClusterError::WrongFlavour { .. }), "{error}");
        let expected = format!("move the settings to `{}`", flavour.key());
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn a_blocked_index_is_named_and_takes_documents_again_later() {
    for (flavour, settings) in servers() {
        let settings = ClusterSettings { retry_seconds: 1, ..settings };
        let (store, index) = empty_store(flavour, &settings, "fault-blocked");
        assert_eq!(store.bulk(documents("fault-blocked", 1)).unwrap().created(), 1);
        let path = format!("/{index}/_settings");
        for block in ["index.blocks.write", "index.blocks.read_only_allow_delete"] {
            put(store.cluster(), path.clone(), json!({block: true}));
            let outcome = store.bulk(documents("fault-blocked", 3)).unwrap();
            let retriable: Vec<_> = outcome
                .rejected()
                .filter(|(_, reason, is_retriable)| {
                    *is_retriable && reason.contains("the index is read-only")
                })
                .collect();
            // With the first block a server does not look whether the id exists.
            assert_eq!(retriable.len(), 3, "{} {block}: {outcome:?}", flavour.name());
            put(store.cluster(), path.clone(), json!({block: null}));
        }
        let outcome = store.bulk(documents("fault-blocked", 3)).unwrap();
        assert_eq!((outcome.created(), outcome.duplicates()), (2, 1));
        drop_index(store.cluster(), &index);
    }
}

#[test]
fn a_document_that_a_foreign_mapping_refuses_is_rejected_alone() {
    for (flavour, settings) in servers() {
        let (store, index) = empty_store(flavour, &settings, "fault-mapping");
        // As if somebody had made the index by hand: host names are no numbers.
        let subject = json!({"properties": {"value": {"type": "keyword"}}});
        let window = json!({"properties": {"subject": subject, "seconds": {"type": "byte"}}});
        let ours = json!({"properties": {"window": window}});
        let mappings = json!({"dynamic": false, "properties": {"flowsentry": ours}});
        // Our templates, where they are installed, would forgive it.
        let settings = json!({"index.mapping.ignore_malformed": false});
        let body = json!({"mappings": mappings, "settings": settings});
        put(store.cluster(), format!("/{index}"), body);
        let mut given = documents("fault-mapping", 3_000);
        given[2_345].source["flowsentry"]["window"]["seconds"] = json!(3_600);
        let outcome = store.bulk(given).unwrap();
        assert_eq!(outcome.created(), 2_999, "{}", flavour.name());
        let rejected: Vec<_> = outcome.rejected().collect();
        let [(2_345, reason, false)] = rejected[..] else { panic!("{rejected:?}") };
        assert!(reason.contains("flowsentry.window.seconds"), "{reason}");
        assert!(matches!(outcome.items[2_345], BulkItem::Rejected { .. }));
        drop_index(store.cluster(), &index);
    }
}

#[test]
fn an_index_without_shards_is_an_error_and_no_half_answer() {
    for (flavour, settings) in servers() {
        let settings = ClusterSettings { retry_seconds: 1, ..settings };
        let (store, index) = empty_store(flavour, &settings, "fault-red");
        // One index is sound, that of the next day has no node to live on.
        let mut given = documents("fault-red", 1);
        assert_eq!(store.bulk(given.clone()).unwrap().created(), 1);
        let next_day = "2026-11-22T00:00:00Z".parse().unwrap();
        let namespace = Namespace::new("fault-red").unwrap();
        given[0].index = IndexName::for_event(Family::Windows, &namespace, next_day);
        let red = given[0].index.to_string();
        drop_index(store.cluster(), &red);
        let nowhere = json!({"index.routing.allocation.require._name": "nobody",
            "index.number_of_replicas": 0});
        let call = Call::new("preparing the fault", Method::Put, format!("/{red}"))
            .query("wait_for_active_shards", "0")
            .json(json!({"settings": nowhere}));
        store.cluster().demand(&call).unwrap();
        let error = store.search(&SearchRequest::new(Family::Windows, namespace)).unwrap_err();
        let is_unavailable =
            matches!(error, StoreError::Cluster(ClusterError::Unavailable { status: 503, .. }));
        assert!(is_unavailable, "{}: {error}", flavour.name());
        drop_index(store.cluster(), &red);
        drop_index(store.cluster(), &index);
    }
}
