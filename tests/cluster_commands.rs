//! What commands do with a cluster, told by a scripted one: the words of `test output`, documents
//! that are refused, and who drops what is past its days.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scripted/mod.rs"]
mod scripted;

use std::process::{Command, Stdio};

use flowsentry::setup::SCHEMA;
use scripted::{Reply, Rule, Scripted, bulk_answer, created, elasticsearch, on, opensearch};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "0815";

/// What the program answered.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program in a folder of its own that holds a port scan and the settings.
fn flowsentry(product: &str, server: &Scripted, more: &str, arguments: &[&str]) -> Answer {
    let folder = folder_with_scan();
    let settings = format!(
        "output:\n  {product}:\n    hosts: [{}]\n    retry_seconds: 0\n{more}\
         input: {{files: {{paths: [scan.csv]}}}}\n",
        server.url()
    );
    std::fs::write(folder.path().join("f.yml"), settings).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .current_dir(folder.path())
        .args(["-c", "f.yml"])
        .args(arguments)
        .env("LAB_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap().replace(&server.url(), "URL"),
        stderr: String::from_utf8(output.stderr).unwrap().replace(&server.url(), "URL"),
    }
}

/// 120 ports of one host, one probe a second.
fn folder_with_scan() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row = |n: u32| {
        let (minute, second, port) = (20 + n / 60, n % 60, n + 1);
        format!(
            "2017-01-27 16:{minute:02}:{second:02},tcp,new,10.9.9.9,40000,10.0.0.1,{port},60,0\n"
        )
    };
    std::fs::write(folder.path().join("scan.csv"), (0..120).map(row).collect::<String>()).unwrap();
    folder
}

fn all_templates() -> Value {
    let families = ["flows", "windows", "anomalies", "alerts", "health", "reports", "state"];
    let families =
        families.into_iter().chain(["exceptions", "deadletters", "predictions", "models"]);
    let entry = |family: &str| {
        json!({
            "name": format!("flowsentry-{family}"),
            "index_template": {"_meta": {"managed_by": "flowsentry", "schema": SCHEMA}},
        })
    };
    json!({"index_templates": families.map(entry).collect::<Vec<_>>()})
}

fn nothing_found() -> Value {
    json!({
        "took": 1, "timed_out": false,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []},
    })
}

/// An Elasticsearch where everything is as it should be, after `special`.
fn ready(special: impl IntoIterator<Item = Rule>) -> Scripted {
    let usual = [
        on("GET", "/").json(200, elasticsearch("8.19.21")),
        on("GET", "/_security/_authenticate").json(200, json!({"username": "lab"})),
        on("GET", "/_cluster/health").json(200, json!({"status": "green"})),
        on("GET", "/_index_template/").json(200, all_templates()),
        on("GET", "/flowsentry-").json(200, json!({})),
        on("POST", "/_bulk").with(created),
        // Nobody has excepted anything.
        on("POST", "/flowsentry-exceptions-default/_search").json(200, nothing_found()),
        on("POST", "/flowsentry-").json(200, json!({"_shards": {"failed": 0}})),
        on("GET", "/_cat/indices/").json(200, json!([])),
    ];
    Scripted::with(special.into_iter().chain(usual))
}

#[test]
fn a_ready_cluster_passes_step_by_step() {
    let credentials = "    username: lab\n    password: ${LAB_PASSWORD}\n";
    let server = ready([]);
    let answer = flowsentry("elasticsearch", &server, credentials, &["test", "output"]);
    let expected = "\
elasticsearch: URL
  connection... OK
  server... Elasticsearch 8.19.21
  credentials... OK (user lab)
  cluster health... green
  templates... OK
  disk... OK
";
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), (expected, ""));
    assert_eq!(answer.code, Some(0));
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some("Basic bGFiOjA4MTU="), "lab:0815");
        assert_eq!(request.method, "GET", "nothing is written");
    }
}

#[test]
fn what_is_off_is_named_with_the_way_out() {
    let mut few = all_templates();
    few["index_templates"].as_array_mut().unwrap().truncate(3);
    let blocked = json!({"index.blocks.read_only_allow_delete": "true"});
    let server = ready([
        on("GET", "/").json(200, opensearch("2.19.4")),
        on("GET", "/_plugins/_security/authinfo").json(200, json!({"user_name": "a\u{1b}[31mb"})),
        on("GET", "/_cluster/health").json(200, json!({"status": "red"})),
        on("GET", "/_index_template/").json(200, few),
        on("GET", "/flowsentry-").json(
            200,
            json!({
                "flowsentry-alerts-default-2026.11": {"settings": blocked},
                "flowsentry-state-default": {"settings": {}},
            }),
        ),
    ]);
    let answer = flowsentry("opensearch", &server, "", &["test", "output"]);
    let expected = "\
opensearch: URL
  connection... OK
  server... OpenSearch 2.19.4
  credentials... OK (user a\u{fffd}[31mb)
  cluster health... ERROR red: primary shards are missing, what belongs there cannot be written or \
found; `GET _cluster/allocation/explain` says why
  templates... ERROR the index template `flowsentry-alerts` is missing, the index template \
`flowsentry-health` is missing, the index template `flowsentry-reports` is missing and 5 more; \
run `flowsentry setup`
  disk... ERROR the server made indices read-only because a disk is nearly full: \
flowsentry-alerts-default-2026.11; free disk space, then set \
`index.blocks.read_only_allow_delete` of these indices to null
";
    assert_eq!(answer.stdout, expected);
    assert_eq!(answer.code, Some(1));
    let stderr = &answer.stderr;
    assert!(stderr.starts_with("Exiting: 3 steps failed, the first one: cluster health: red"));
}

#[test]
fn a_refusal_to_connect_is_told_at_its_step() {
    let refuse = || on("*", "/").json(401, json!({"error": "no"}));
    let credentials = "    username: lab\n    password: ${LAB_PASSWORD}\n";
    let answer = flowsentry("elasticsearch", &ready([refuse()]), credentials, &["test", "output"]);
    let expected = "elasticsearch: URL\n  connection... OK\n  credentials... ERROR `URL` refuses the \
                    credentials (401): ";
    assert!(answer.stdout.starts_with(expected), "{}", answer.stdout);
    assert!(answer.stderr.starts_with("Exiting: credentials: `URL` refuses"), "{}", answer.stderr);
    assert_eq!(answer.code, Some(1));
    assert!(!format!("{}{}", answer.stdout, answer.stderr).contains(PASSWORD));

    let answer = flowsentry("opensearch", &ready([]), "", &["test", "output"]);
    let expected = "  connection... OK\n  server... ERROR `URL` is Elasticsearch 8.19.21, but is \
                    configured under `output.opensearch`: move";
    assert!(answer.stdout.contains(expected), "{}", answer.stdout);
    assert_eq!(answer.code, Some(1));
}

#[test]
fn a_user_who_may_not_look_is_no_failure() {
    let forbidden = || json!({"error": {"type": "security_exception", "reason": "no"}});
    let server = ready([
        on("GET", "/").json(403, forbidden()),
        on("GET", "/_cluster/health").json(403, forbidden()),
        on("GET", "/flowsentry-").json(403, forbidden()),
    ]);
    let version = "    version: 8.19.0\n";
    let answer = flowsentry("elasticsearch", &server, version, &["test", "output"]);
    assert!(answer.stdout.contains("server... Elasticsearch 8.19.0\n"), "{}", answer.stdout);
    assert!(answer.stdout.contains("health... OK (not told to this user)\n"), "{}", answer.stdout);
    assert!(answer.stdout.contains("disk... OK (not told to this user)\n"), "{}", answer.stdout);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
}

#[test]
fn a_refused_document_is_told_at_the_end_and_its_neighbours_are_written() {
    let refuse_third = |request: &scripted::Request| -> Reply {
        bulk_answer(request, |place, _, _| match place {
            2 => (400, json!({"type": "document_parsing_exception", "reason": "no such colour"})),
            _ => (201, Value::Null),
        })
    };
    let server = ready([on("POST", "/_bulk").with(refuse_third).with(created)]);
    let answer = flowsentry(
        "elasticsearch",
        &server,
        "",
        &["score", "scan.csv", "--store", "--only", "windows"],
    );
    assert_eq!(answer.code, Some(1));
    let stderr = &answer.stderr;
    assert!(stderr.contains("Scored 120 flows"), "{stderr}");
    let exit =
        "Exiting: the store refused 1 documents for good, all others are written; the first: `";
    assert!(stderr.contains(exit) && stderr.contains("no such colour"), "{stderr}");
    let bulks = server.requests_to("POST", "/_bulk");
    let index = |request: &scripted::Request| request.lines()[0]["create"]["_index"].clone();
    let indices: Vec<Value> = bulks.iter().map(index).collect();
    assert!(indices.contains(&json!("flowsentry-alerts-default-2017.01")), "{indices:?}");
    assert!(bulks[0].lines().len() > 6, "windows and anomalies go together");
}

#[test]
fn a_refused_document_becomes_a_letter_and_is_written_when_it_is_replayed() {
    let refuse_first = |request: &scripted::Request| -> Reply {
        bulk_answer(request, |place, _, _| match place {
            0 => (400, json!({"type": "document_parsing_exception", "reason": "no such \u{1b}c"})),
            _ => (201, Value::Null),
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("dead.ndjson");
    let place = format!("dead_letters: {{path: {}}}\n", letters.display());
    let server = ready([on("POST", "/_bulk").with(refuse_first).with(created)]);
    let answer = flowsentry("elasticsearch", &server, &place, &["score", "scan.csv", "--store"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let refused = server.requests_to("POST", "/_bulk")[0].lines()[..2].to_vec();

    let repaired = ready([]);
    let list = &["deadletter", "list"];
    let listed = flowsentry("elasticsearch", &repaired, &place, list);
    let id = refused[0]["create"]["_id"].as_str().unwrap();
    assert!(listed.stdout.contains("document  refused"), "{}", listed.stdout);
    assert!(listed.stdout.contains(id) && !listed.stdout.contains('\u{1b}'), "{}", listed.stdout);

    let replayed = flowsentry("elasticsearch", &repaired, &place, &["deadletter", "replay"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.starts_with("Wrote 1 documents again.\n"), "{}", replayed.stderr);
    let bulks = repaired.requests_to("POST", "/_bulk");
    assert_eq!(bulks.len(), 1);
    assert_eq!(bulks[0].lines(), refused);

    // Another namespace has other indices; a letter does not lead out of its own.
    let other = ["-E", "namespace=other", "deadletter", "replay"];
    let replayed = flowsentry("elasticsearch", &repaired, &place, &other);
    assert!(replayed.stderr.starts_with("Nothing was replayed.\n"), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("1 that are no documents of ours"), "{}", replayed.stderr);
}

#[test]
fn the_worker_drops_old_indices_only_where_no_policy_does() {
    let old = json!([{"index": "flowsentry-windows-default-2017.01.26"}]);
    let list = || on("GET", "/_cat/indices/flowsentry-windows").json(200, old.clone());
    let remove = || on("DELETE", "/flowsentry-").json(200, json!({"acknowledged": true}));
    let policies = on("GET", "/_ilm/policy").json(200, json!({}));
    let with = ready([policies, list(), remove()]);
    let answer = flowsentry("elasticsearch", &with, "", &["run", "--once"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(with.requests_to("GET", "/_cat/indices").is_empty());
    assert!(with.requests_to("DELETE", "/").is_empty());

    let without = ready([list(), remove()]);
    let answer = flowsentry("elasticsearch", &without, "", &["run", "--once"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let removed = without.requests_to("DELETE", "/flowsentry-windows-default-2017.01.26");
    assert_eq!(removed.len(), 1, "{}", answer.stderr);
    assert!(answer.stderr.contains("old indices are dropped here"), "{}", answer.stderr);
}

#[test]
fn a_user_who_may_not_read_templates_is_told_by_the_index_of_the_state() {
    let forbidden = || on("GET", "/_index_template/").json(403, json!({"error": "no"}));
    let mapping = |answer| on("GET", "/flowsentry-state-default/_mapping").json(200, answer);
    let meta = |schema: u64| json!({"managed_by": "flowsentry", "schema": schema});
    let of = |meta| json!({"flowsentry-state-default": {"mappings": {"_meta": meta}}});
    let server = ready([forbidden(), mapping(of(meta(SCHEMA)))]);
    let answer = flowsentry("elasticsearch", &server, "", &["test", "output"]);
    assert!(answer.stdout.contains("  templates... OK\n"), "{}", answer.stdout);
    let server = ready([forbidden(), mapping(of(meta(0)))]);
    let answer = flowsentry("elasticsearch", &server, "", &["health"]);
    assert_eq!(answer.code, Some(1));
    assert_eq!(
        answer.stderr,
        format!(
            "Exiting: the cluster is not ready for documents: the index `flowsentry-state-default` \
             is of schema 0, older than {SCHEMA}; run `flowsentry setup`, or set \
             `setup.automatic: true`\n"
        )
    );
    assert!(server.requests().iter().all(|request| request.method == "GET"), "nothing is written");
}
