//! The same capture, scored into every kind of store, is the same everywhere: ids, documents, the
//! verdict of the health check and the figures of the report. Scored again it changes nothing.
//!
//! Needs `FLOWSENTRY_TEST_OPENSEARCH` and `FLOWSENTRY_TEST_ELASTICSEARCH`, the addresses of servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "stores_agree/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cluster::TestCluster;
use flowsentry::stores::{
    EmbeddedConfig, EmbeddedStore, Family, Flavour, Namespace, SearchRequest, Sort, Store, Version,
};
use serde_json::Value;
use tempfile::TempDir;

/// What scoring writes.
const FAMILIES: [Family; 3] = [Family::Windows, Family::Anomalies, Family::Alerts];
const DAY: &str = "2026-03-02";
/// An hour with six before it, so that the health check has something to compare it with.
const HOURS: &str = "7";
/// Five minutes after the last simulated hour.
const CHECKED_AT: &str = "2026-03-02T07:05:00Z";

/// Much is found in few hours, so that there is much to compare.
const KEEN: &str = "\
detectors:
  blacklist: {files: [list.txt]}
  iqr: {max_probability: 0.05, warm_up_windows: 60}
alerts: {minimum_score: 0, gap_seconds: 60}
";

/// A document where it lies.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    index: String,
    source: Value,
    version: Version,
}

/// Documents by their ids.
type Documents = BTreeMap<String, Found>;

/// Simulated hours with attacks in a folder.
struct Capture {
    folder: TempDir,
}

impl Capture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flows = File::create(folder.path().join("flows.ndjson")).unwrap();
        let start = format!("{DAY}T00:00:00Z");
        let simulated = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
            .current_dir(folder.path())
            .args(["simulate", "--hours", HOURS, "--seed", "7", "--start", &start])
            .args(["--blacklist", "list.txt"])
            .stdout(flows)
            .status()
            .unwrap();
        assert!(simulated.success());
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// One kind of store, addressed as a person does: by the program and a settings file.
struct Subject<'a> {
    name: &'static str,
    capture: &'a Capture,
    cluster: Option<TestCluster>,
    namespace: Namespace,
}

impl<'a> Subject<'a> {
    /// `None` when there is no such server.
    fn new(capture: &'a Capture, flavour: Option<Flavour>, namespace: &Namespace) -> Option<Self> {
        let (name, cluster) = match flavour {
            None => ("embedded", None),
            Some(flavour) => (flavour.name(), Some(TestCluster::find(flavour, namespace)?)),
        };
        let subject = Self { name, capture, cluster, namespace: namespace.clone() };
        let output = match &subject.cluster {
            None => format!("  embedded: {{path: {}}}\n", subject.store_path().display()),
            Some(cluster) => format!("  {}\n", cluster.settings()),
        };
        let settings = format!("namespace: {namespace}\n{KEEN}output:\n{output}");
        std::fs::write(subject.settings_path(), settings).unwrap();
        let setup = subject.run(&["setup"]);
        assert!(setup.status.success(), "{name}: {}", text(&setup.stderr));
        Some(subject)
    }

    fn settings_path(&self) -> PathBuf {
        self.capture.path().join(format!("{}.yml", self.name))
    }

    fn store_path(&self) -> PathBuf {
        self.capture.path().join("store")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flowsentry"))
            .current_dir(self.capture.path())
            .arg("-c")
            .arg(self.settings_path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Scores into the store; returns what was printed.
    fn score(&self) -> String {
        let output = self.run(&["score", "flows.ndjson", "--store", "--only", "alerts"]);
        assert!(output.status.success(), "{}: {}", self.name, text(&output.stderr));
        text(&output.stdout)
    }

    fn documents(&self, family: Family) -> Documents {
        match &self.cluster {
            None => read_embedded(&self.store_path(), family, &self.namespace),
            Some(cluster) => {
                // What one program wrote the next one may see a little later.
                if family == Family::Health {
                    cluster.refresh();
                }
                cluster.read(family)
            }
        }
    }

    fn health(&self) -> (Option<i32>, Value) {
        let output = self.run(&["health", "--json", "--at", CHECKED_AT]);
        let verdict = serde_json::from_slice(&output.stdout);
        (output.status.code(), verdict.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
    }

    fn report(&self) -> Value {
        let folder = format!("report-{}", self.name);
        let output = self.run(&["report", "--date", DAY, "--out", &folder]);
        assert!(output.status.success(), "{}: {}", self.name, text(&output.stderr));
        let figures = std::fs::read(self.capture.path().join(folder).join("report.json")).unwrap();
        serde_json::from_slice(&figures).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn read_embedded(path: &Path, family: Family, namespace: &Namespace) -> Documents {
    let store = EmbeddedStore::open(EmbeddedConfig::at(path)).unwrap();
    let mut documents = Documents::new();
    let mut after = None;
    loop {
        let mut request = SearchRequest::new(family, namespace.clone())
            .sort(Sort::ascending("event.id"))
            .size(SearchRequest::MAX_HITS);
        request.search_after = after;
        let hits = store.search(&request).unwrap().hits;
        let Some(last) = hits.last() else { return documents };
        after = Some(last.sort.clone());
        documents.extend(hits.into_iter().map(|hit| {
            let (index, source) = (hit.index.to_string(), hit.source);
            (hit.id.to_string(), Found { index, source, version: hit.version })
        }));
    }
}

/// Says where two families of documents differ first.
fn assert_same(name: &str, family: Family, expected: &Documents, found: &Documents) {
    let family = family.name();
    let ids = |documents: &Documents| documents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(expected), ids(found), "{name}: the ids of {family}");
    for (id, document) in expected {
        assert_eq!(document.index, found[id].index, "{name}: the index of {id} in {family}");
        assert_eq!(document.source, found[id].source, "{name}: {id} in {family}");
    }
}

fn subjects<'a>(capture: &'a Capture, namespace: &Namespace) -> Vec<Subject<'a>> {
    let kinds = [None, Some(Flavour::OpenSearch), Some(Flavour::Elasticsearch)];
    let found = kinds.into_iter().filter_map(|kind| Subject::new(capture, kind, namespace));
    found.collect()
}

#[test]
fn every_store_holds_and_tells_the_same_and_scoring_again_changes_nothing() {
    if !cluster::any_is_there() {
        return;
    }
    let capture = Capture::new();
    let namespace = Namespace::new(&format!("agree-{}", std::process::id())).unwrap();
    let subjects = subjects(&capture, &namespace);
    let printed: Vec<String> = subjects.iter().map(Subject::score).collect();
    let reference: Vec<Documents> =
        FAMILIES.into_iter().map(|family| subjects[0].documents(family)).collect();
    let counts: Vec<usize> = reference.iter().map(BTreeMap::len).collect();
    println!("windows, anomalies, alerts: {counts:?}");
    assert!(counts[0] > 1_000 && counts[1] > 50 && counts[2] > 20, "{counts:?}");
    for (subject, printed_here) in subjects.iter().zip(&printed) {
        assert_eq!(&printed[0], printed_here, "{}", subject.name);
        let first: Vec<Documents> =
            FAMILIES.into_iter().map(|family| subject.documents(family)).collect();
        for ((family, expected), found) in FAMILIES.into_iter().zip(&reference).zip(&first) {
            assert_same(subject.name, family, expected, found);
        }
        assert_eq!(&subject.score(), printed_here, "{}: scored again", subject.name);
        for (family, before) in FAMILIES.into_iter().zip(&first) {
            let after = subject.documents(family);
            assert_eq!(before, &after, "{}: {} scored again", subject.name, family.name());
        }
    }
    let health: Vec<_> = subjects.iter().map(Subject::health).collect();
    let reports: Vec<Value> = subjects.iter().map(Subject::report).collect();
    let flows = reports[0].pointer("/traffic/flows/value").and_then(Value::as_u64);
    assert!(flows > Some(100_000) && health[0].1["flows"].as_u64() > Some(10_000), "{flows:?}");
    let kept = subjects[0].documents(Family::Health);
    assert_eq!(kept.len(), 1);
    for (at, subject) in subjects.iter().enumerate() {
        assert_eq!(health[0], health[at], "{}: the verdict", subject.name);
        let kept_here = subject.documents(Family::Health);
        assert_same(subject.name, Family::Health, &kept, &kept_here);
        assert_eq!(reports[0], reports[at], "{}: the report", subject.name);
    }
}
