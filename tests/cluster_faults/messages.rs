//! What a person reads: cause and remedy of every fault, all in one snapshot.

use std::fmt::Write as _;
use std::net::TcpListener;

use flowsentry::model::Secret;
use flowsentry::stores::{Call, Cluster, ClusterError, ClusterSettings, Flavour, Method, Store};
use serde_json::{Value, json};

use super::scripted::{self, Reply, Request, Scripted, on};
use super::{documents, health, root, settings, store};

/// One line per fault.
#[derive(Default)]
struct Texts(String);

impl Texts {
    /// Addresses differ in every run.
    fn add(&mut self, fault: &str, text: &str, hosts: &[&str]) {
        let text = hosts.iter().fold(text.to_owned(), |text, host| text.replace(host, "HOST"));
        writeln!(self.0, "{fault}\n    {text}\n").unwrap();
    }
}

/// What connecting to a server says that answers everything like this.
fn connecting(flavour: Flavour, reply: Reply) -> (ClusterError, Scripted) {
    let server = Scripted::start(move |_| reply.clone());
    let settings = ClusterSettings {
        username: Some("carol".to_owned()),
        password: Some(Secret::new("secret")),
        ..settings(&[&server])
    };
    (Cluster::connect(flavour, &settings).unwrap_err(), server)
}

/// What a call says that is answered like this.
fn calling(call: &Call, reply: Reply) -> (ClusterError, Scripted) {
    let server = Scripted::with([root(), on("*", "/_").reply(reply)]);
    let cluster = Cluster::connect(Flavour::Elasticsearch, &settings(&[&server])).unwrap();
    (cluster.demand(call).unwrap_err(), server)
}

fn error(status: u16, kind: &str, reason: &str) -> Reply {
    Reply::json(status, json!({"error": {"type": kind, "reason": reason}, "status": status}))
}

#[test]
fn every_fault_is_told_with_its_cause_and_the_way_out() {
    let mut texts = Texts::default();
    connections(&mut texts);
    calls(&mut texts);
    bulks(&mut texts);
    insta::assert_snapshot!(texts.0);
}

fn connections(texts: &mut Texts) {
    use Flavour::{Elasticsearch, OpenSearch};
    let unauthorized = error(401, "security_exception", "unable to authenticate user [carol]");
    let forbidden = error(403, "security_exception", "action [cluster:monitor/main] is denied");
    let no_master = error(503, "master_not_discovered_exception", "");
    let kibana = Reply::json(200, json!({"name": "kibana", "version": {"number": "8.19.2"}}));
    let faults = [
        ("wrong password", OpenSearch, unauthorized),
        ("no privilege to ask for the version", Elasticsearch, forbidden),
        (
            "OpenSearch under the settings of Elasticsearch",
            Elasticsearch,
            Reply::json(200, scripted::opensearch("2.19.4")),
        ),
        (
            "Elasticsearch under the settings of OpenSearch",
            OpenSearch,
            Reply::json(200, scripted::elasticsearch("9.1.0")),
        ),
        ("no master", Elasticsearch, no_master),
        ("a web page instead of a cluster", Elasticsearch, Reply::html(200)),
        ("a proxy without a cluster behind it", Elasticsearch, Reply::html(502)),
        ("a proxy that refuses", Elasticsearch, Reply::html(403)),
        ("another service with JSON", Elasticsearch, kibana),
        ("a path that nobody knows", Elasticsearch, Reply::html(404)),
        ("connections end at once", Elasticsearch, Reply::close()),
        ("no answer", Elasticsearch, Reply::hang()),
    ];
    for (fault, flavour, reply) in faults {
        let (error, server) = connecting(flavour, reply);
        texts.add(fault, &error.to_string(), &[&server.url()]);
    }

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    let settings = ClusterSettings { hosts: vec![nobody.clone()], ..settings(&[]) };
    let error = Cluster::connect(Elasticsearch, &settings).unwrap_err();
    texts.add("nobody listens", &error.to_string(), &[&nobody, &free.to_string()]);

    let server = Scripted::with([root()]);
    let secure = server.url().replace("http:", "https:");
    let settings = ClusterSettings { hosts: vec![secure.clone()], ..settings };
    let error = Cluster::connect(Elasticsearch, &settings).unwrap_err();
    texts.add("https to a server without TLS", &error.to_string(), &[&secure]);
}

fn calls(texts: &mut Texts) {
    let read_only = "index [flowsentry-state-x] blocked by: [FORBIDDEN/8/index write (api)];";
    let search = || Call::new("searching alerts", Method::Post, "/_search");
    let put = || Call::new("writing the state of x", Method::Put, "/_doc");
    let policy = || Call::new("reading the policy flowsentry-flows", Method::Get, "/_ilm/policy");
    let no_handler = "no handler found for uri [/_ilm/policy] and method [GET]";
    let shards = "Search rejected due to missing shards [[flowsentry-alerts-x][0]]";
    let faults = [
        ("a red cluster", search(), error(503, "search_phase_execution_exception", shards)),
        ("too little memory", search(), error(429, "circuit_breaking_exception", "Data too large")),
        ("a missing privilege", put(), error(403, "security_exception", "action is unauthorized")),
        ("a blocked index", put(), error(403, "cluster_block_exception", read_only)),
        ("a request that is too large", put(), Reply::html(413)),
        ("a proxy that lost its cluster", search(), Reply::html(504)),
        ("a proxy that refuses a request", put(), Reply::html(403)),
        ("a function that is not there", policy(), Reply::json(400, json!({"error": no_handler}))),
        ("a refused request", search(), error(400, "parsing_exception", "unknown query [x]")),
        ("a broken answer", search(), Reply::raw(200, "application/json", "{\"took\": 1, \"hi")),
        ("an answer that breaks off", search(), Reply::json(200, json!({"a": 1})).cut_after(3)),
        ("escape sequences", search(), error(400, "x", "\u{1b}[2J\u{1b}]0;hello\u{7}\r\nfine")),
    ];
    for (fault, call, reply) in faults {
        let (error, server) = calling(&call, reply);
        texts.add(fault, &error.to_string(), &[&server.url()]);
    }
    let (_, server) = calling(&health(), Reply::html(500));
    let missing = ClusterSettings {
        username: Some("carol".to_owned()),
        password_file: Some("/nowhere/password".into()),
        ..settings(&[&server])
    };
    let mut authority = settings(&[&server]);
    authority.ssl.certificate_authorities = vec!["/nowhere/ca.pem".into()];
    for (fault, settings) in [("no password file", missing), ("no authority file", authority)] {
        let error = Cluster::connect(Flavour::OpenSearch, &settings).unwrap_err();
        texts.add(fault, &error.to_string(), &[]);
    }
}

fn bulks(texts: &mut Texts) {
    let mapping = json!({"type": "document_parsing_exception",
        "reason": "[1:71] failed to parse field [source.ip] of type [ip] in document with id '0'",
        "caused_by": {"type": "illegal_argument_exception",
            "reason": "'nobody' is not an IP string literal."}});
    let watermark = json!({"type": "cluster_block_exception",
        "reason": "index [w] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage \
            watermark, index has read-only-allow-delete block];"});
    let busy = json!({"type": "es_rejected_execution_exception", "reason": "queue is full"});
    let absent = json!({"type": "index_not_found_exception",
        "reason": "no such index [w] and [action.auto_create_index] is [false]"});
    let faults = [
        ("a document that the mapping refuses", 400, mapping),
        ("a full disk", 429, watermark),
        ("a busy node", 429, busy),
        ("an index that may not be created", 404, absent),
    ];
    for (fault, status, error) in faults {
        let rule = on("POST", "/_bulk").with(move |request: &Request| {
            scripted::bulk_answer(request, |_, _, _| (status, error.clone()))
        });
        texts.add(fault, &rejection(rule), &[]);
    }
    let rule = on("POST", "/_bulk").reply(Reply::html(413));
    texts.add("a document that is too large", &rejection(rule), &[]);

    let server = Scripted::with([root(), on("POST", "/_bulk").json(200, Value::Null)]);
    let error = store(&settings(&[&server])).bulk(documents("null", 2)).unwrap_err();
    texts.add("a bulk answer without sense", &error.to_string(), &[&server.url()]);
}

/// Why the only document is rejected.
fn rejection(rule: scripted::Rule) -> String {
    let server = Scripted::with([root(), rule]);
    let outcome = store(&settings(&[&server])).bulk(documents("text", 1)).unwrap();
    let mut rejected = outcome.rejected();
    let (_, reason, is_retriable) = rejected.next().unwrap();
    format!("{} [{}]", reason, if is_retriable { "may be taken later" } else { "for good" })
}
