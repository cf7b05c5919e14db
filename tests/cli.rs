//! The program as a person uses it: exit codes, messages, files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flowsentry::testkit::mmdb;
use serde_json::Value;
use tempfile::TempDir;

const ROW: &str = "2017-01-27 16:24:42,tcp,closed,10.2.1.39,60707,74.201.65.31,443,21687,8999";

fn flowsentry(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowsentry"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends").expect("everything is read");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn documents(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    folder
}

/// A vertical scan in the table of system 001, one probe a second.
fn scan() -> String {
    let row = |n: u32| {
        format!(
            "2017-01-27 16:{:02}:{:02},tcp,new,10.9.9.9,40000,10.0.0.1,{},60,0\n",
            20 + n / 60,
            n % 60,
            n + 1
        )
    };
    (0..120).map(row).collect()
}

#[test]
fn a_scan_is_named_with_its_reason() {
    let folder = folder_with(&[("scan.csv", scan().as_bytes())]);
    let output = flowsentry(folder.path(), &["score", "scan.csv", "--only", "alerts"]);
    let documents = documents(&output);
    let scans: Vec<_> = documents
        .iter()
        .filter(|document| document["flowsentry"]["alert"]["kind"] == "port_scan_vertical")
        .collect();
    assert_eq!(scans.len(), 1);
    assert_eq!(scans[0]["source"]["ip"], "10.9.9.9");
    assert_eq!(scans[0]["threat"]["technique"]["id"][0], "T1046");
    let reason = scans[0]["event"]["reason"].as_str().expect("a sentence");
    assert!(reason.starts_with("10.9.9.9 tried 60 ports of 10.0.0.1"), "{reason}");
}

#[test]
fn shuffled_rows_of_a_file_give_the_same_documents() {
    let scan = scan();
    let mut rows: Vec<&str> = scan.lines().collect();
    // A fixed shuffle: 53 is coprime to 120.
    let shuffled: String =
        (0..rows.len()).map(|n| format!("{}\n", rows[n * 53 % rows.len()])).collect();
    rows.reverse();
    let reversed = rows.join("\n");
    let folder = folder_with(&[
        ("a.csv", scan.as_bytes()),
        ("b.csv", shuffled.as_bytes()),
        ("c.csv", reversed.as_bytes()),
    ]);
    let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|name| {
        let output = flowsentry(folder.path(), &["score", name]);
        assert!(!text(&output.stderr).contains("late"), "{}", text(&output.stderr));
        documents(&output)
    });
    assert!(!a.is_empty());
    assert_eq!(a, b);
    assert_eq!(a, c);
}

/// Takes out what enrichment adds.
fn without_places(mut document: Value) -> Value {
    for end in ["source", "destination"] {
        if let Some(end) = document.get_mut(end).and_then(Value::as_object_mut) {
            end.remove("geo");
            end.remove("as");
        }
    }
    document
}

#[test]
fn places_and_names_are_added_and_change_nothing_else() {
    let record = serde_json::json!({
        "country": {"iso_code": "DE", "names": {"en": "Germany"}},
        "autonomous_system_number": 64500,
    });
    let places = mmdb::database(6, "GeoLite2-City", &[("10.9.0.0/16", record)]);
    let folder = folder_with(&[
        ("scan.csv", scan().as_bytes()),
        ("places.mmdb", &places),
        ("names.yml", b"networks: {10.9.9.9: scanner, 10.0.0.0/8: office}"),
    ]);
    let plain = documents(&flowsentry(folder.path(), &["score", "scan.csv"]));
    let names = ["-E", "enrichment.geoip=[places.mmdb]", "-E", "enrichment.names=names.yml"];
    let score = ["score", "scan.csv", "--store"];
    let enriched = documents(&flowsentry(folder.path(), &[&names[..], &score[..]].concat()));
    let scanner = |document: &&Value| document["source"]["ip"] == "10.9.9.9";
    assert!(enriched.iter().filter(scanner).count() >= 2);
    for document in enriched.iter().filter(scanner) {
        assert_eq!(document["source"]["geo"]["country_iso_code"], "DE");
        assert_eq!(document["source"]["geo"]["name"], "scanner");
        assert_eq!(document["source"]["as"]["number"], 64500);
    }
    let stripped: Vec<Value> = enriched.into_iter().map(without_places).collect();
    assert_eq!(stripped, plain);
}

#[test]
fn a_missing_database_ends_the_start_and_names_its_key() {
    let folder = folder_with(&[("scan.csv", scan().as_bytes())]);
    let arguments = ["-E", "enrichment.geoip=[gone.mmdb]", "score", "scan.csv"];
    let output = flowsentry(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let expected = "Exiting: setting `enrichment.geoip`: cannot read `gone.mmdb`: No such file";
    assert!(stderr.starts_with(expected), "{stderr}");
}

#[test]
fn one_bad_source_does_not_hurt_the_others() {
    let folder = folder_with(&[
        ("good.csv", format!("{ROW}\n").as_bytes()),
        ("empty.csv", b""),
        ("binary.bin", &[0, 159, 146, 150, 255, 10, 0, 0]),
    ]);
    let arguments = ["score", "missing.csv", "empty.csv", ".", "binary.bin", "good.csv"];
    let output = flowsentry(folder.path(), &arguments);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.starts_with("Scored 1 flows of 1 records"), "{stderr}");
    assert!(stderr.contains("cannot open `missing.csv`: No such file"), "{stderr}");
    assert!(stderr.contains("`empty.csv` is empty"), "{stderr}");
    assert!(stderr.contains("cannot open `.`: it is a directory"), "{stderr}");
    assert!(stderr.contains("`binary.bin` is of no known format"), "{stderr}");
}

#[test]
fn the_exit_code_says_when_nothing_could_be_scored() {
    let folder = folder_with(&[]);
    let output = flowsentry(folder.path(), &["score", "missing.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).ends_with("Exiting: no flow could be scored\n"));
}

#[test]
fn bad_records_go_to_the_dead_letters_with_place_reason_and_bytes() {
    let goflow2 = |fields: &str| {
        format!(
            "{{\"type\":\"NETFLOW_V9\",\"time_received_ns\":1795234469421276811,\"src_addr\":\"10.0.0.1\",\"dst_addr\":\"10.0.0.2\",\"etype\":\"IPv4\",\"proto\":\"TCP\",\"src_port\":5,\"dst_port\":80{fields}}}\n"
        )
    };
    let mut input = Vec::new();
    input.extend(goflow2(",\"bytes\":60,\"packets\":1").bytes());
    input.extend(b"{\"type\":\"NETFLOW_V9\",\"time_rec\n");
    input.extend(b"\xff\xfe\x00garbage\n");
    input.extend(goflow2(",\"bytes\":-5,\"packets\":99999999999999999999999").bytes());
    input.extend(std::iter::repeat_n(b'x', 10_000_000));
    input.extend(b"\n");
    input.extend(goflow2(",\"bytes\":60,\"packets\":1,\"src_port\":\"many\"").bytes());
    input.extend(goflow2(",\"bytes\":60,\"packets\":1").bytes());
    let folder = folder_with(&[("flows.ndjson", &input)]);
    let arguments = ["score", "flows.ndjson", "--dead-letters", "dead.ndjson"];
    let output = flowsentry(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let dead = std::fs::read_to_string(folder.path().join("dead.ndjson")).expect("dead letters");
    let letters: Vec<Value> =
        dead.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let places: Vec<_> = letters.iter().map(|letter| letter["line"].as_u64()).collect();
    assert!(
        places.contains(&Some(2)) && places.contains(&Some(3)) && places.contains(&Some(5)),
        "{dead:.2000}"
    );
    assert_eq!(letters[0]["record"], "{\"type\":\"NETFLOW_V9\",\"time_rec");
    assert_eq!(letters[1]["record_hex"], "fffe0067617262616765");
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&format!("rejected   {} records", letters.len())), "{stderr}");
    assert!(stderr.contains("too_long 1"), "{stderr}");
}

#[test]
fn a_lone_leap_into_the_future_is_a_dead_letter_and_nobody_is_late() {
    let mut rows: Vec<String> = scan().lines().map(String::from).collect();
    rows.insert(60, ROW.replace("2017-01-27", "2019-01-27"));
    rows.insert(30, ROW.replace("2017-01-27", "2199-01-27"));
    let folder = folder_with(&[("leap.csv", rows.join("\n").as_bytes())]);
    for name in ["leap.csv", "-"] {
        let dead = folder.path().join("dead.ndjson");
        let _ = std::fs::remove_file(&dead);
        let arguments = &["score", name, "--dead-letters", "dead.ndjson"][..];
        let output = with_input(folder.path(), arguments, rows.join("\n").as_bytes());
        let stderr = text(&output.stderr);
        assert!(stderr.contains("Scored 120 flows"), "{arguments:?}: {stderr}");
        assert!(stderr.contains("rejected   2 records: bad_time 2"), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("late"), "{arguments:?}: {stderr}");
        let dead = std::fs::read_to_string(dead).expect("dead letters");
        let future = ROW.replace("2017-01-27", "2199-01-27");
        assert!(dead.contains(&format!("\"record\":\"{future}\"")), "with its bytes: {dead}");
    }
}

#[test]
fn unknown_settings_name_key_and_line() {
    let folder = folder_with(&[("f.yml", b"namespace: lab\nwindows:\n  pane: 10\n")]);
    let output = flowsentry(folder.path(), &["-c", "f.yml", "test", "config"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("Exiting: settings file `f.yml`: windows: unknown field `pane`"),
        "{stderr}"
    );
    assert!(stderr.contains("line 3"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn the_reference_settings_pass_their_own_test() {
    let folder = folder_with(&[]);
    let reference = flowsentry(folder.path(), &["export", "config"]).stdout;
    std::fs::write(folder.path().join("flowsentry.yml"), reference).expect("a file");
    let output = flowsentry(folder.path(), &["-c", "flowsentry.yml", "test", "config"]);
    assert_eq!(text(&output.stdout), "Config OK\n", "{}", text(&output.stderr));
}

#[test]
fn scoring_twice_into_a_store_stores_once_and_feeds_health_and_report() {
    let folder = folder_with(&[("scan.csv", scan().as_bytes())]);
    let path = folder.path();
    let first = documents(&flowsentry(path, &["score", "scan.csv", "--store"]));
    let again = documents(&flowsentry(path, &["score", "scan.csv", "--store"]));
    assert_eq!(first, again);
    let report = flowsentry(path, &["report", "--date", "2017-01-27", "--out", "out"]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let figures = std::fs::read_to_string(path.join("out/report.json")).expect("figures");
    let html = std::fs::read_to_string(path.join("out/report.html")).expect("a page");
    assert!(path.join("out/report.eml").exists());
    assert!(html.contains("10.9.9.9"), "the scanner is in the report");
    let figures: Value = serde_json::from_str(&figures).expect("JSON");
    assert_eq!(figures.pointer("/traffic/flows/value"), Some(&Value::from(120)), "once, not twice");
    let health = flowsentry(path, &["health", "--at", "2017-01-27T17:05:00Z", "--json"]);
    let verdict: Value = serde_json::from_str(&text(&health.stdout)).expect("JSON");
    assert!(verdict.is_object());
    assert!(matches!(health.status.code(), Some(0..=2)));
}

#[test]
fn run_once_scores_the_configured_input_and_ends() {
    let settings = "input: {files: {paths: [scan.csv]}}\n";
    let folder = folder_with(&[("scan.csv", scan().as_bytes()), ("f.yml", settings.as_bytes())]);
    let output = flowsentry(folder.path(), &["-c", "f.yml", "run", "--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("flows=120"), "{stderr}");
}

#[test]
fn simulated_traffic_is_reproducible_and_its_truth_is_written() {
    let folder = folder_with(&[]);
    let arguments = ["simulate", "--flows", "70000", "--seed", "3", "--truth", "truth.json"];
    let first = flowsentry(folder.path(), &arguments).stdout;
    let truth = std::fs::read_to_string(folder.path().join("truth.json")).expect("the truth");
    assert_eq!(first.iter().filter(|&&byte| byte == b'\n').count(), 70_000);
    assert_eq!(first, flowsentry(folder.path(), &arguments).stdout);
    let truth: Vec<Value> = serde_json::from_str(&truth).expect("an array");
    assert!(
        truth.iter().all(|episode| episode["kind"].is_string() && episode["attackers"].is_array())
    );
    let scored = with_input(folder.path(), &["score", "-", "--only", "windows"], &first);
    assert!(text(&scored.stderr).contains("Scored 70,000 flows"), "{}", text(&scored.stderr));
}

#[test]
fn output_that_nobody_wants_any_more_is_no_failure() {
    let folder = folder_with(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .current_dir(folder.path())
        .args(["simulate", "--flows", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn the_demo_finds_what_is_hidden() {
    let folder = folder_with(&[]);
    let output = flowsentry(folder.path(), &["demo", "--json", "--out", "demo"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    let number = |key: &str| figures[key].as_f64().unwrap_or_else(|| panic!("{key}: {figures}"));
    assert!(number("episodes_hidden") >= 12.0, "{figures}");
    assert!(number("episodes_found") >= 0.9 * number("episodes_hidden"), "{figures}");
    assert!(number("false_alerts") <= number("simulated_hours"), "{figures}");
    assert!(number("flows") >= 1_500_000.0, "{figures}");
    for name in ["report.html", "report.eml", "report.json"] {
        let file = folder.path().join("demo").join(name);
        assert!(file.metadata().is_ok_and(|file| file.len() > 1_000), "{}", file.display());
    }
}

#[test]
fn templates_are_printed_or_written_for_a_version() {
    let folder = folder_with(&[]);
    let requests = |version: &str| {
        let name = "flowsentry-windows";
        let arguments =
            ["export", "template", name, "--flavour", "opensearch", "--version", version];
        let output = flowsentry(folder.path(), &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(requests("2.19").starts_with("PUT _component_template/flowsentry-windows@mappings\n{"));
    assert!(requests("2.19").contains("flat_object"));
    assert!(!requests("1.3").contains("flat_object"));

    let output = flowsentry(folder.path(), &["export", "pipeline", "--dir", "out"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = text(&output.stdout);
    let written = std::fs::read(folder.path().join(path.trim_end())).expect("a file");
    let pipeline: Value = serde_json::from_slice(&written).expect("JSON");
    assert!(pipeline["processors"].is_array());

    let output = flowsentry(folder.path(), &["export", "policy", "nobody"]);
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("unknown policy `nobody` (available are flowsentry-flows")
    );
}

/// Letters of a scoring: two records that are no flows, one of which is no text.
fn folder_with_letters() -> TempDir {
    let bad = format!("{ROW}\nno \u{1b}[31mflow\n{ROW}\n");
    let bad = [bad.as_bytes(), b"\xff\xfe\n"].concat();
    let settings = b"dead_letters: {path: dead.ndjson}\n";
    let folder = folder_with(&[("bad.csv", &bad), ("f.yml", settings)]);
    let scored = flowsentry(folder.path(), &["-c", "f.yml", "score", "bad.csv"]);
    assert!(scored.status.success(), "{}", text(&scored.stderr));
    folder
}

/// The time of a letter of a file is the time of its writing.
fn without_times(letters: &str) -> String {
    let line = |line: &str| match line.starts_with("20") {
        true => format!("TIME{}", &line[19..]),
        false => line.to_owned(),
    };
    letters.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn dead_letters_are_listed_in_a_table_that_steers_no_terminal() {
    let folder = folder_with_letters();
    let list = |arguments: &[&str]| {
        let all = [&["-c", "f.yml", "deadletter", "list"], arguments].concat();
        let output = flowsentry(folder.path(), &all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (table, _) = list(&[]);
    let mut lines: Vec<String> = without_times(&table).lines().map(str::to_owned).collect();
    // Both were written in the same moment.
    lines[1..].sort();
    insta::assert_snapshot!(lines.join("\n"));
    let (letters, _) = list(&["--json", "--reason", "wrong_columns"]);
    let letters: Vec<Value> =
        letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // In either order, for the same reason.
    assert!(letters.iter().any(|letter| letter["record"] == "no \u{1b}[31mflow"), "{letters:?}");
    let (one, told) = list(&["--limit", "1"]);
    assert_eq!(one.lines().count(), 2);
    assert!(told.contains("there are more: see `--limit`"), "{told}");
    assert_eq!(list(&["--to", "2001-01-01T00:00:00Z"]).1, "No dead letters.\n");
}

#[test]
fn dead_letters_of_files_are_printed_again_and_need_a_topic() {
    let folder = folder_with_letters();
    let replay = |arguments: &[&str]| {
        let all = [&["-c", "f.yml", "deadletter", "replay"], arguments].concat();
        let output = flowsentry(folder.path(), &all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    };
    let printed = replay(&["--to", "stdout"]);
    assert_eq!(printed.stdout, b"no \x1b[31mflow\n\xff\xfe\n");
    assert!(text(&printed.stderr).starts_with("Printed 2 messages and documents.\n"));
    insta::assert_snapshot!(text(&replay(&[]).stderr));
}

#[test]
fn without_a_place_of_letters_the_settings_are_named() {
    let folder = folder_with(&[]);
    let output = flowsentry(folder.path(), &["deadletter", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("Exiting: no dead letters are kept: set `dead_letters."),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn letters_go_to_the_store_without_anything_else() {
    let folder = folder_with(&[("bad.csv", format!("{ROW}\nno flow\n").as_bytes())]);
    let with = ["-E", "dead_letters.index=true"];
    let run = |arguments: &[&str]| {
        let output = flowsentry(folder.path(), &[&with, arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["score", "bad.csv"]);
    run(&["score", "bad.csv"]);
    let letters = run(&["deadletter", "list", "--json"]);
    assert_eq!(letters.lines().count(), 1, "once: {letters}");
    let letter: Value = serde_json::from_str(&letters).expect("JSON");
    assert_eq!(
        (&letter["source"], &letter["line"], &letter["record"]),
        (&"bad.csv".into(), &2.into(), &"no flow".into())
    );
    let report = flowsentry(folder.path(), &["report", "--date", "2017-01-27", "--out", "out"]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let figures = std::fs::read_to_string(folder.path().join("out/report.json")).expect("figures");
    let figures: Value = serde_json::from_str(&figures).expect("JSON");
    assert_ne!(figures.pointer("/traffic/flows/value"), Some(&Value::from(1)), "no document");
}
