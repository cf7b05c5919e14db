//! The same on real clusters: flows in the data stream that the templates make.

use flowsentry::stores::{
    Call, Cluster, ClusterSettings, Family, Flavour, Method, Namespace, SearchRequest, Sort,
};

use super::indexed::{Indexed, fill};
use super::judged::{Judged, blacklist};
use super::sites;
use super::topic::Topic;
use super::worker::{Site, assert_same, read_store};
use super::{arguments, backfill};

fn is_judged_alike(flavour: Flavour, variable: &str, made: Option<sites::Site>) {
    let (Ok(url), Some(made)) = (std::env::var(variable), made) else { return };
    let topic = Topic::new(7);
    let expected = Judged::all(&topic).documents();
    let indexed = Indexed::of(&topic);
    fill(&*made.store, &made.namespace, &indexed.documents);
    made.store.flush().unwrap();
    let output = format!("  {}: {{hosts: [\"{url}\"], retry_seconds: 1}}\n", key(flavour));
    let input = "search: {page_documents: 1000, snapshot_seconds: 0, lease_seconds: 5}";
    let site = Site::reading(made.namespace.as_str(), input, &output, "");
    blacklist(&site, &topic);
    let (from, to) = indexed.extent();
    let case = arguments(from, to);
    let case: Vec<&str> = case.iter().map(String::as_str).collect();
    assert!(!site.start_command(&case, Some("kept:2")).wait().success(), "it should have died");
    let told = backfill(&site, from, to, &[]);
    assert!(told.contains("going on from the snapshot"), "{told}");
    let found = read_store(&*made.store, made.namespace.as_str());
    assert_same(flavour.name(), &expected, &found);
    remove_stream(flavour, &url, &made.namespace);
}

const fn key(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Elasticsearch => "elasticsearch",
        Flavour::OpenSearch => "opensearch",
    }
}

fn connect(flavour: Flavour, url: &str) -> Cluster {
    let settings = ClusterSettings { hosts: vec![url.to_owned()], ..ClusterSettings::default() };
    Cluster::connect(flavour, &settings).unwrap()
}

/// Where the server has the function for it.
fn remove_stream(flavour: Flavour, url: &str, namespace: &Namespace) {
    let path = format!("/_data_stream/logs-flowsentry.flow-{namespace}");
    let cluster = connect(flavour, url);
    if let Err(error) = cluster.find(&Call::new("removing the flows", Method::Delete, path)) {
        println!("flows are left behind: {error}");
    }
}

#[test]
fn opensearch_is_judged_as_the_topic_was() {
    let site = sites::opensearch("backfill");
    is_judged_alike(Flavour::OpenSearch, "FLOWSENTRY_TEST_OPENSEARCH", site);
}

#[test]
fn elasticsearch_is_judged_as_the_topic_was() {
    let site = sites::elasticsearch("backfill");
    is_judged_alike(Flavour::Elasticsearch, "FLOWSENTRY_TEST_ELASTICSEARCH", site);
}

/// A server that was restarted, or asked too late, has forgotten the point in time.
#[test]
fn a_forgotten_moment_is_opened_anew() {
    let Some(made) = sites::opensearch("forgotten") else { return };
    let url = std::env::var("FLOWSENTRY_TEST_OPENSEARCH").unwrap();
    let mut indexed = Indexed::of(&Topic::new(13));
    indexed.documents.truncate(500);
    fill(&*made.store, &made.namespace, &indexed.documents);
    let moment = made.store.moment(Family::Flows, &made.namespace).unwrap();
    let request = SearchRequest::new(Family::Flows, made.namespace.clone());
    let ordered =
        request.clone().sort(Sort::ascending("@timestamp")).sort(Sort::ascending("event.id"));
    let mut in_order = moment.pages(&ordered, 100).unwrap();
    let mut on_disk = moment.pages(&request, 100).unwrap();
    let mut times = in_order.next_page().unwrap();
    let mut ids: Vec<_> = on_disk.next_page().unwrap().into_iter().map(|hit| hit.id).collect();
    let cluster = connect(Flavour::OpenSearch, &url);
    let forget = Call::new("forgetting", Method::Delete, "/_search/point_in_time/_all");
    cluster.demand(&forget).unwrap();
    for _ in 0..9 {
        times.extend(in_order.next_page().unwrap());
        ids.extend(on_disk.next_page().unwrap().into_iter().map(|hit| hit.id));
    }
    assert_eq!(times.len(), 500, "in order, each comes once");
    assert!(times.is_sorted_by_key(|hit| hit.source["@timestamp"].to_string()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 500, "on disk, each comes");
    remove_stream(Flavour::OpenSearch, &url, &made.namespace);
}
