//! Nodes that are gone, busy or slow.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use flowsentry::stores::{Call, ClusterError, ClusterSettings, Method};
use serde_json::json;

use super::scripted::{Reply, Scripted, on};
use super::{connect, health, patient, root, settings};

/// An address where nobody listens.
fn nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

fn green() -> super::Rule {
    on("GET", "/_cluster/health").json(200, json!({"status": "green"}))
}

fn busy(status: u16) -> Reply {
    let error = json!({"type": "cluster_block_exception", "reason": "state not recovered"});
    Reply::json(status, json!({"error": error, "status": status}))
}

#[test]
fn a_chunked_answer_over_a_kept_connection_is_read_whole() {
    let text = "x".repeat(5_000);
    let whole = json!({"text": text});
    let server = Scripted::with([
        root(),
        on("POST", "/a/_search").reply(Reply::json(200, whole.clone()).chunked()),
        on("POST", "/b/_search").reply(Reply::json(200, whole.clone()).last()),
    ]);
    let cluster = connect(&settings(&[&server]));
    for path in ["/a/_search", "/b/_search", "/a/_search"] {
        let call = Call::new("searching", Method::Post, path).json(json!({"query": text}));
        assert_eq!(cluster.demand(&call.query("a b", "ü&+")).unwrap(), whole);
    }
    let asked = server.requests_to("POST", "/a/");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].parameter("a b"), Some("ü&+"));
    assert_eq!(asked[0].json(), json!({"query": text}));
}

#[test]
fn a_node_that_is_gone_is_left_out() {
    let server = Scripted::with([root(), green()]);
    let hosts = vec![nobody(), server.url()];
    let cluster = connect(&ClusterSettings { hosts, ..settings(&[]) });
    for _ in 0..10 {
        assert_eq!(cluster.demand(&health()).unwrap()["status"], "green");
    }
    assert_eq!(server.requests_to("GET", "/_cluster/health").len(), 10);
}

#[test]
fn a_busy_node_is_left_out_while_another_answers() {
    let sick = Scripted::with([on("*", "/").reply(busy(503)), on("*", "/_").reply(busy(503))]);
    let sound = Scripted::with([root(), green()]);
    let started = Instant::now();
    let cluster = connect(&settings(&[&sick, &sound]));
    for _ in 0..20 {
        assert_eq!(cluster.demand(&health()).unwrap()["status"], "green");
    }
    // Asked again every two seconds at most, so twenty quick calls meet it once.
    let most = 1 + started.elapsed().as_secs() as usize / 2;
    let asked = sick.requests().len();
    assert!((1..=most).contains(&asked), "{asked} requests to the sick node, at most {most}");
    assert_eq!(sound.requests_to("GET", "/_cluster/health").len(), 20);
}

#[test]
fn a_node_that_recovers_is_asked_again() {
    let sick = Scripted::with([
        root(),
        on("GET", "/_cluster/health").reply(Reply::close()).json(200, json!({"status": "yellow"})),
    ]);
    let cluster = connect(&patient(&[&sick]));
    assert_eq!(cluster.demand(&health()).unwrap()["status"], "yellow");
    assert_eq!(sick.requests_to("GET", "/_cluster/health").len(), 2);
}

#[test]
fn a_red_cluster_that_recovers_loses_no_request() {
    for status in [429, 502, 503, 504] {
        let rule = on("POST", "/_search").reply(busy(status)).json(200, json!({"took": 1}));
        let server = Scripted::with([root(), rule]);
        let search = Call::new("searching", Method::Post, "/_search").json(json!({"size": 0}));
        assert_eq!(connect(&patient(&[&server])).demand(&search).unwrap(), json!({"took": 1}));
        let asked = server.requests_to("POST", "/_search");
        assert_eq!(asked.len(), 2, "status {status}");
        assert_eq!(asked[0].body, asked[1].body);
    }
}

#[test]
fn a_cluster_that_stays_red_is_given_up_in_time() {
    let server = Scripted::with([root(), on("GET", "/_").reply(busy(503))]);
    let settings = ClusterSettings { retry_seconds: 1, ..settings(&[&server]) };
    let cluster = connect(&settings);
    let started = Instant::now();
    let error = cluster.demand(&health()).unwrap_err();
    assert!(matches!(error, ClusterError::Unavailable { status: 503, .. }), "{error}");
    // Pauses of 125–250 and 250–500 ms fit into a second; the third does not always.
    let asked = server.requests_to("GET", "/_").len();
    assert!((3..=5).contains(&asked), "{asked} requests in {:?}", started.elapsed());
}

#[test]
fn the_server_says_when_to_come_back() {
    let rule = on("GET", "/_")
        .reply(busy(429).header("Retry-After", "1"))
        .json(200, json!({"status": "green"}));
    let server = Scripted::with([root(), rule]);
    connect(&patient(&[&server])).demand(&health()).unwrap();
    let asked = server.requests_to("GET", "/_");
    let pause = asked[1].arrival - asked[0].arrival;
    // Of itself, the client would have waited for a quarter of a second.
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
}

#[test]
fn a_server_cannot_make_us_wait_for_ever() {
    for wish in ["86400", "99999999999999999999", "-1", "tomorrow"] {
        let reply = busy(503).header("Retry-After", wish);
        let server = Scripted::with([root(), on("GET", "/_").reply(reply)]);
        let settings = ClusterSettings { retry_seconds: 1, ..settings(&[&server]) };
        let cluster = connect(&settings);
        let started = Instant::now();
        let error = cluster.demand(&health()).unwrap_err();
        assert!(matches!(error, ClusterError::Unavailable { status: 503, .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{wish}: {:?}", started.elapsed());
    }
}

#[test]
fn a_node_that_hangs_is_left_for_another() {
    let hanging = Scripted::with([on("*", "/").reply(Reply::hang())]);
    let sound = Scripted::with([root(), green()]);
    let cluster = connect(&settings(&[&hanging, &sound]));
    assert_eq!(cluster.demand(&health()).unwrap()["status"], "green");
    assert_eq!(hanging.requests().len(), 1);
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let whole = json!({"status": "green", "more": "x".repeat(1_000)});
    let rule = on("GET", "/_").reply(Reply::json(200, whole.clone()).cut_after(500));
    let server = Scripted::with([root(), rule.json(200, whole.clone())]);
    assert_eq!(connect(&patient(&[&server])).demand(&health()).unwrap(), whole);
    assert_eq!(server.requests_to("GET", "/_").len(), 2);
}

#[test]
fn what_is_wrong_with_the_request_is_not_repeated() {
    for status in [400, 401, 403, 404, 405, 409, 413] {
        let error = json!({"error": {"type": "some_exception", "reason": "why"}});
        let server = Scripted::with([root(), on("GET", "/_").json(status, error)]);
        let cluster = connect(&patient(&[&server]));
        cluster.demand(&health()).unwrap_err();
        assert_eq!(server.requests_to("GET", "/_").len(), 1, "status {status}");
    }
}
