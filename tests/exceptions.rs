//! Exceptions, feedback and the budget as a person uses them: by the program, on every store that is
//! there, and on one that a worker has open.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use flowsentry::stores::{
    Call, Cluster, ClusterSettings, EmbeddedConfig, EmbeddedStore, Flavour, Method,
};
use serde_json::Value;
use tempfile::TempDir;

/// Where the program keeps its documents.
struct Site {
    folder: TempDir,
    cluster: Option<(Flavour, String, String)>,
}

impl Site {
    fn embedded() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), cluster: None };
        site.configure("");
        site
    }

    /// `None` when there is no such server.
    fn on(flavour: Flavour, case: &str) -> Option<Self> {
        let (key, variable) = match flavour {
            Flavour::Elasticsearch => ("elasticsearch", "FLOWSENTRY_TEST_ELASTICSEARCH"),
            Flavour::OpenSearch => ("opensearch", "FLOWSENTRY_TEST_OPENSEARCH"),
        };
        let Ok(url) = std::env::var(variable) else {
            println!("skipped: exceptions on a cluster need {variable}");
            return None;
        };
        let namespace = format!("exceptions-{case}-{}", std::process::id());
        let cluster = Some((flavour, url.clone(), namespace.clone()));
        let site = Self { folder: tempfile::tempdir().unwrap(), cluster };
        site.configure(&format!(
            "namespace: {namespace}\noutput: {{{key}: {{hosts: [\"{url}\"]}}}}\n"
        ));
        let setup = site.run(&["setup"]);
        assert!(setup.status.success(), "{}", text(&setup.stderr));
        Some(site)
    }

    fn configure(&self, settings: &str) {
        std::fs::write(self.path().join("f.yml"), settings).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flowsentry"))
            .current_dir(self.path())
            .args(["-c", "f.yml"])
            .args(arguments)
            .env("USER", "carla")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a command that succeeds prints.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Why a command fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Scores into the store; the alerts as they are printed.
    fn score(&self, file: &str) -> Vec<Value> {
        self.told(&["score", file, "--store", "--only", "alerts"])
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some((flavour, url, namespace)) = &self.cluster else { return };
        let settings = ClusterSettings { hosts: vec![url.clone()], ..ClusterSettings::default() };
        let cluster = Cluster::connect(*flavour, &settings).unwrap();
        let path = format!("/_cat/indices/flowsentry-*-{namespace}*");
        let list = Call::new("listing indices", Method::Get, path);
        let listed = cluster.demand(&list.query("h", "index").query("format", "json"));
        for row in listed.iter().flat_map(|rows| rows.as_array().into_iter().flatten()) {
            let name = row["index"].as_str().unwrap_or_default();
            let call = Call::new("removing an index", Method::Delete, format!("/{name}"));
            if let Err(error) = cluster.find(&call) {
                println!("`{name}` is left behind: {error}");
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// 120 ports of one host from `source`, one probe a second from `hour` on.
fn scan(source: &str, hour: u32) -> String {
    let row = |n: u32| {
        let (minute, second, port) = (20 + n / 60, n % 60, n + 1);
        format!(
            "2017-01-27 {hour:02}:{minute:02}:{second:02},tcp,new,{source},40000,10.0.0.1,{port},60,0\n"
        )
    };
    (0..120).map(row).collect()
}

fn first_alert(alerts: &[Value]) -> (&Value, String) {
    let scans =
        alerts.iter().find(|alert| alert["flowsentry"]["alert"]["kind"] == "port_scan_vertical");
    let alert = scans.unwrap();
    (alert, alert["event"]["id"].as_str().unwrap().to_owned())
}

const SIGNED: [&str; 4] = ["--owner", "anna", "--comment", "our own scanner"];

fn a_life_of_exceptions(site: &Site) {
    std::fs::write(site.path().join("a.csv"), scan("10.9.9.9", 16)).unwrap();
    std::fs::write(site.path().join("b.csv"), scan("10.9.9.8", 18)).unwrap();
    let alerts = site.score("a.csv");
    let (alert, id) = first_alert(&alerts);
    let anomaly = alert["flowsentry"]["alert"]["anomaly_ids"][0].as_str().unwrap();

    let tried = site.told(&["exception", "test", "--from-anomaly", anomaly, "--days", "9999"]);
    assert!(
        tried.starts_with("port_scan_vertical from 10.9.9.9/32: would have hidden "),
        "{tried}"
    );
    assert!(tried.contains(&id), "{tried}");
    let tried = site.told(&["exception", "test", "--from-anomaly", anomaly]);
    assert!(tried.contains("would have hidden 0 of the 0 alerts of the last 30 days"), "{tried}");
    assert!(site.told(&["exception", "why", &id]).contains("Not hidden by any exception."));

    let net = ["exception", "add", "--source", "10.9.9.0/24", "--until", "never"];
    let added = site.told(&[&net[..], &SIGNED].concat());
    assert!(added.contains("any kind from 10.9.9.0/24 (anna: our own scanner)"), "{added}");
    assert!(added.contains("are hidden now that were not"), "{added}");
    let exception = added.split(' ').nth(2).unwrap().trim_end_matches(':').to_owned();
    let why = site.told(&["exception", "why", &id]);
    assert!(why.contains(&format!("Hidden by exception {exception}: ")), "{why}");
    let why = site.told(&["exception", "why", anomaly]);
    assert!(
        why.contains(&format!("part of the alert {id} (closed, hidden by"))
            || why.contains("(open, hidden by"),
        "{why}"
    );

    // What comes later is hidden from the beginning; a repetition does not undo it.
    let later = site.score("b.csv");
    let (later, _) = first_alert(&later);
    let words = later["flowsentry"]["alert"]["suppressed_by"].as_str().unwrap();
    assert!(words.starts_with(&format!("exception {exception}: ")), "{words}");
    site.score("a.csv");
    assert!(site.told(&["exception", "why", &id]).contains("Hidden by exception"));

    let list = site.told(&["exception", "list"]);
    assert!(
        list.contains(&exception) && list.contains("in force") && list.contains("anna"),
        "{list}"
    );
    let whole: Value = serde_json::from_str(&site.told(&["exception", "list", "--json"])).unwrap();
    assert_eq!((&whole["created_by"], &whole["version"]), (&"carla".into(), &1.into()));

    let removed = site.told(&["exception", "remove", &exception]);
    assert!(removed.contains("are shown again"), "{removed}");
    assert!(site.refused(&["exception", "remove", &exception]).contains("was removed at"));
    let why = site.told(&["exception", "why", &id]);
    assert!(why.contains("would hide it, but was removed at"), "{why}");
    assert!(!site.told(&["exception", "list", "--all"]).contains("in force"));
    // Scored again without the exception: still shown.
    site.score("b.csv");
    let report = site.told(&["exception", "test", "--source", "10.9.9.0/24", "--days", "9999"]);
    assert!(!report.contains("hidden already"), "{report}");
}

fn a_life_of_feedback(site: &Site) {
    std::fs::write(site.path().join("c.csv"), scan("10.8.8.8", 10)).unwrap();
    std::fs::write(site.path().join("d.csv"), scan("10.8.8.8", 12)).unwrap();
    std::fs::write(site.path().join("e.csv"), scan("10.8.8.8", 14)).unwrap();
    let (_, id) = {
        let alerts = site.score("c.csv");
        let (alert, id) = first_alert(&alerts);
        (alert.clone(), id)
    };
    let told = site.told(&["feedback", &id, "benign", "--comment", "our\u{1b}[31m scanner"]);
    assert!(told.starts_with(&format!("Feedback 1: {id} is benign.\n")), "{told}");
    assert!(told.contains("port_scan_vertical of 10.8.8.8 needs a score of"), "{told}");
    let kinds = |alerts: &[Value]| -> Vec<String> {
        alerts.iter().map(|alert| alert["flowsentry"]["alert"]["kind"].to_string()).collect()
    };
    let quiet = site.score("d.csv");
    assert!(!kinds(&quiet).contains(&"\"port_scan_vertical\"".to_owned()), "{quiet:?}");
    let anomalies = site.told(&["score", "d.csv", "--only", "anomalies"]);
    assert!(anomalies.contains("port_scan_vertical"), "facts stay");
    let anomaly = anomalies
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|anomaly| anomaly["flowsentry"]["anomaly"]["kinds"].to_string().contains("vertical"))
        .unwrap();
    let why = site.told(&["exception", "why", anomaly["event"]["id"].as_str().unwrap()]);
    assert!(why.contains("is below") && why.contains("(feedback)"), "{why}");
    let list = site.told(&["feedback", "list"]);
    assert!(
        list.contains("benign") && list.contains("counts") && !list.contains('\u{1b}'),
        "{list}"
    );
    let told = site.told(&["feedback", "revert", "1"]);
    assert!(told.contains("its usual score again"), "{told}");
    assert!(site.refused(&["feedback", "revert", "1"]).contains("was taken back at"));
    assert!(site.refused(&["feedback", "revert", "7"]).contains("there is no feedback"));
    assert!(kinds(&site.score("e.csv")).contains(&"\"port_scan_vertical\"".to_owned()));
    let given: Value = serde_json::from_str(&site.told(&["feedback", "list", "--json"])).unwrap();
    assert_eq!((&given["owner"], &given["reverted_by"]), (&"carla".into(), &"carla".into()));
}

#[test]
fn the_embedded_store_keeps_what_people_say() {
    let site = Site::embedded();
    a_life_of_exceptions(&site);
    a_life_of_feedback(&site);
}

#[test]
fn opensearch_keeps_what_people_say() {
    let Some(site) = Site::on(Flavour::OpenSearch, "life") else { return };
    a_life_of_exceptions(&site);
    a_life_of_feedback(&site);
}

#[test]
fn elasticsearch_keeps_what_people_say() {
    let Some(site) = Site::on(Flavour::Elasticsearch, "life") else { return };
    a_life_of_exceptions(&site);
    a_life_of_feedback(&site);
}

/// Repeats a question until the answer is as it should be.
fn ask_until(question: impl Fn() -> String, is_right: impl Fn(&str) -> bool) -> String {
    let mut answer = String::new();
    for _ in 0..600 {
        answer = question();
        if is_right(&answer) {
            return answer;
        }
    }
    panic!("the answer stays: {answer}");
}

/// A worker that reads a file as it grows, while people decide.
fn a_worker_follows(flavour: Flavour) {
    let Some(site) = Site::on(flavour, "worker") else { return };
    let settings = std::fs::read_to_string(site.path().join("f.yml")).unwrap();
    site.configure(&format!(
        "{settings}alerts: {{refresh_seconds: 1}}\n\
         input: {{files: {{paths: [flows.csv], follow: true}}}}\n"
    ));
    let append = |text: &str| {
        let path = site.path().join("flows.csv");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    // Windows close when the time goes on.
    let closing =
        |time: &str| format!("2017-01-27 {time},tcp,closed,10.7.7.7,4000,10.0.0.1,443,6000,9\n");
    append(&(scan("10.9.9.9", 16) + &closing("16:40:00")));
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .current_dir(site.path())
        .args(["-c", "f.yml", "run"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut wait_for = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = std::io::BufRead::read_line(&mut log, &mut line).unwrap();
            assert!(read > 0, "the worker ended before `{words}`");
        }
    };
    let scope = ["--kind", "port_scan_vertical", "--source", "10.9.9.9"];
    let tried = || site.told(&[&["exception", "test", "--days", "9999"], &scope[..]].concat());
    ask_until(tried, |answer| answer.contains("hidden 1 of the"));
    let until = ["--until", "never"];
    let added = site.told(&[&["exception", "add"], &scope[..], &until, &SIGNED].concat());
    assert!(added.contains("1 are hidden now that were not"), "{added}");
    wait_for("exceptions or feedback have changed");
    append(&(scan("10.9.9.9", 17) + &closing("17:40:00")));
    let both = ask_until(tried, |answer| answer.contains("hidden 2 of the"));
    assert!(both.contains("(2 of them are hidden already)"), "{both}");
    let id = added.split(' ').nth(2).unwrap().trim_end_matches(':');
    let removed = site.told(&["exception", "remove", id]);
    assert!(removed.contains("2 are shown again"), "{removed}");
    wait_for("exceptions or feedback have changed");
    // The worker closes the alerts that it knew as hidden: that does not hide them again.
    append(&closing("18:20:00"));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let end = tried();
    assert!(end.contains("hidden 2 of the") && !end.contains("hidden already"), "{end}");
}

#[test]
fn a_worker_on_opensearch_follows_without_a_restart() {
    a_worker_follows(Flavour::OpenSearch);
}

#[test]
fn a_worker_on_elasticsearch_follows_without_a_restart() {
    a_worker_follows(Flavour::Elasticsearch);
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_way_out() {
    let site = Site::embedded();
    let add = |more: &[&str]| {
        let signed = ["--until", "1d", "--owner", "anna", "--comment", "ours"];
        site.refused(&[&["exception", "add"], &signed[..], more].concat())
    };
    assert!(add(&[]).contains("say what is harmless: `--from-anomaly ID`"), "{}", add(&[]));
    let unknown = add(&["--from-anomaly", "no\u{1b}body"]);
    assert!(unknown.contains("there is no alert or anomaly `no\u{fffd}body`"), "{unknown}");
    assert!(add(&["--kind", "scan"]).contains("the kinds are port_scan_vertical, "));
    assert!(add(&["--source", "10.0.0.0/99"]).contains("no address or prefix such as 10.0.0.0/24"));
    let empty = ["--kind", "blacklist", "--until", "1d", "--owner", " ", "--comment", "x"];
    assert!(
        site.refused(&[&["exception", "add"], &empty[..]].concat()).contains("must not be empty")
    );
    assert!(site.refused(&["feedback", "abc", "maybe"]).contains("say `benign` or `attack`"));
    assert!(site.refused(&["feedback", "abc", "benign"]).contains("there is no alert or anomaly"));
    assert!(site.refused(&["feedback"]).contains("required"));
    assert!(text(&site.run(&["exception", "list"]).stderr).contains("No exceptions."));
}

#[test]
fn a_store_that_a_worker_has_open_is_told() {
    let site = Site::embedded();
    let _worker = EmbeddedStore::open(EmbeddedConfig::at(site.path().join("data/store"))).unwrap();
    let refused = site.refused(&["exception", "list"]);
    assert!(refused.starts_with("Exiting: exceptions and feedback in an embedded store can be used only while no `flowsentry run` has it open"), "{refused}");
}

/// The line of an alert does what it says, pasted into a shell.
#[test]
fn the_line_of_an_alert_can_be_pasted() {
    let site = Site::embedded();
    std::fs::write(site.path().join("a.csv"), scan("10.9.9.9", 16)).unwrap();
    let alerts = site.score("a.csv");
    let (alert, id) = first_alert(&alerts);
    let alert = &alert["flowsentry"]["alert"];
    let command = alert["exception_command"].as_str().unwrap();
    let program = env!("CARGO_BIN_EXE_flowsentry");
    let command = command.replacen("flowsentry ", &format!("'{program}' -c f.yml "), 1);
    let shell = Command::new("sh")
        .current_dir(site.path())
        .args(["-c", &command])
        .env("USER", "anna")
        .output()
        .unwrap();
    assert!(shell.status.success(), "{}", text(&shell.stderr));
    let why = site.told(&["exception", "why", &id]);
    assert!(
        why.contains("port_scan_vertical from 10.9.9.9/32 (anna: known and harmless)"),
        "{why}"
    );

    let line = alert["exception"].as_str().unwrap();
    site.configure(&format!("alerts:\n  exceptions:\n    {line}\n"));
    let list = site.told(&["exception", "list"]);
    assert!(list.contains("settings      in force  never"), "{list}");
}

#[test]
fn the_budget_withholds_and_says_so() {
    let site = Site::embedded();
    let rows: String = (1..40).map(|n| scan(&format!("10.9.9.{n}"), 16)).collect();
    std::fs::write(site.path().join("many.csv"), rows).unwrap();
    let with = |budget: &str| {
        let setting = format!("alerts.budget_per_day={budget}");
        let output = site.run(&["-E", &setting, "score", "many.csv", "--only", "alerts"]);
        assert!(output.status.success());
        (text(&output.stdout), text(&output.stderr))
    };
    let (_, all) = with("0");
    assert!(!all.contains("withheld"), "{all}");
    let (_, few) = with("6");
    assert!(few.contains("withheld   "), "{few}");
    assert!(few.contains("alerts for `alerts.budget_per_day`: port_scan_vertical "), "{few}");
}
