//! `explore` from the command line: what is written, said and refused.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowsentry"));
    command.arg("explore").args(arguments);
    command
}

fn done(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn failed(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A folder for the files of one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.0.path().join(name), content).expect("written");
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("a file")
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }
}

const HEADER: &str = "sumOfBytes,sumOfFlows,sumOfPackets,uniqDstIPs,uniqDstPorts,label\n";

/// Windows of hosts: two thirds quiet, a third that scans; the last row is bad.
fn windows(rows: u64) -> String {
    let mut table = HEADER.to_owned();
    for row in 0..rows {
        let (more, label) = if row % 3 == 0 { (100, "attack") } else { (0, "normal") };
        let _ = writeln!(
            table,
            "{},{},{},{},{},{label}",
            5_000 - 30 * more + row * 37 % 400,
            10 + more + row % 7,
            40 + more + row * 3 % 50,
            2 + more + row % 3,
            3 + 2 * more + row % 4,
        );
    }
    table + "1,many,3,4,5,normal\n"
}

#[test]
fn every_file_is_written_and_every_row_has_its_cluster() {
    let folder = Folder::new();
    let (data, out) = (folder.write("windows.csv", &windows(300)), folder.path("out"));
    let said = done(&["--schema", "flow", "--data", &data, "--out", &out]);
    assert!(said.starts_with("windows.csv: schema flow, seed 42, SHA-256 "), "{said}");
    assert!(said.contains("Rows: 300 rows of 8 columns; 33.3% of them are attacks."), "{said}");
    assert!(said.contains("Remarks: 1 row could not be used and was left out."), "{said}");
    assert!(said.contains("must be a number, got `many`"), "{said}");
    let found = folder.json("out/explore.json");
    assert_eq!((&found["rows"], &found["rejected"]), (&300.into(), &1.into()));
    assert_eq!(found["kmeans"]["chosen"], 2);
    assert!(folder.read("out/explore.html").contains("id=\"tests\""));
    for name in ["out/rows-kmeans.csv", "out/rows-dbscan.csv"] {
        let rows = folder.read(name);
        let lines: Vec<&str> = rows.lines().collect();
        assert_eq!(lines.len(), 301, "{name}");
        assert_eq!(lines[0], format!("{},cluster", HEADER.trim_end()));
        for (line, source) in lines.iter().zip(windows(300).lines()) {
            assert!(line.starts_with(&format!("{source},")), "{line}");
        }
        let cluster = |row: usize| lines[row + 1].rsplit(',').next().expect("a cluster");
        assert!((0..300).all(|row| cluster(row) == cluster(row % 3)), "{name}");
        assert_ne!(cluster(0), cluster(1));
    }
}

#[test]
fn the_json_has_these_keys() {
    let folder = Folder::new();
    let data = folder.write("windows.csv", &windows(60));
    let arguments = ["--schema", "flow", "--data", &data, "--json"];
    let said = done(&arguments);
    assert_eq!(done(&arguments), said, "the same each time");
    let found: Value = serde_json::from_str(&said).expect("JSON");
    let mut keys = Vec::new();
    list_keys("", &found, &mut keys);
    keys.sort();
    keys.dedup();
    insta::assert_snapshot!(keys.join("\n"));
}

/// The path of every value, those of lists by their elements.
fn list_keys(path: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                list_keys(&format!("{path}{dot}{name}"), value, keys);
            }
        }
        Value::Array(values) => values.iter().for_each(|one| list_keys(path, one, keys)),
        _ => keys.push(path.to_owned()),
    }
}

#[test]
fn labels_are_not_looked_at_when_there_are_none_to_trust() {
    let folder = Folder::new();
    let data = folder.write("windows.csv", &windows(60).replace("attack", "no such label"));
    let arguments = ["--schema", "flow", "--data", &data, "--unlabelled", "--json"];
    let found: Value = serde_json::from_str(&done(&arguments)).expect("JSON");
    assert_eq!((&found["rows"], &found["has_labels"]), (&60.into(), &false.into()));
    assert!(found["hypotheses"].is_null() && found["attacks"].is_null());
    assert!(
        failed(&["--schema", "flow", "--data", &folder.write("none.csv", HEADER)])
            .contains("there is no row with a known label")
    );
}

/// A column of words and a label that would do harm where they are not taken for text.
const SCHEMA: &str = r#"{
  "name": "made",
  "columns": [
    {"name": "<img src=x onerror=alert(2)>", "kind": {"number": {"log": true}}},
    {"name": "word", "kind": "category"}
  ],
  "labels": ["label"],
  "classes": ["normal", "<b>attack</b>"],
  "normal": "normal"
}"#;

#[test]
fn hostile_words_are_text_on_the_page_and_steer_no_terminal() {
    let folder = Folder::new();
    let mut rows = String::new();
    for row in 0..60 {
        let label = if row % 3 == 0 { "<b>attack</b>" } else { "normal" };
        let _ = writeln!(rows, "{row},<script>alert({})</script>\u{1b}[31m,{label}", row % 2);
    }
    rows.push_str("1,word,\u{1b}]0;evil\u{7}<i>\n");
    let (data, schema) = (folder.write("<u>.csv", &rows), folder.write("schema.json", SCHEMA));
    let out = folder.path("out");
    let said = done(&["--schema", &schema, "--data", &data, "--out", &out]);
    assert!(said.contains("<script>alert(0)</script>") && said.contains("unknown label"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
    let page = folder.read("out/explore.html");
    for raw in ["<script", "<img", "<b>attack", "<u>", "<i>", "\u{1b}"] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    for shown in ["&lt;script&gt;", "&lt;img", "&lt;b&gt;attack", "&lt;u&gt;", "&lt;i&gt;"] {
        assert!(page.contains(shown), "{shown}");
    }
    // Data stays data.
    assert!(folder.read("out/rows-kmeans.csv").contains("</script>\u{1b}[31m,normal,"));
}

#[test]
fn kinds_of_a_schema_file_may_be_maps_or_tags() {
    let folder = Folder::new();
    let data = folder.write("rows.csv", "1,normal\n2,attack\n3,normal\n");
    for kind in ["{number: {log: true}}", "!number {log: true}"] {
        let schema = format!(
            "name: made\ncolumns: [{{name: bytes, kind: {kind}}}]\nlabels: [label]\n\
             classes: [normal, attack]\nnormal: normal\n"
        );
        let schema = folder.write("schema.yml", &schema);
        assert!(done(&["--schema", &schema, "--data", &data]).contains("3 rows of 1 column;"));
    }
    let schema = folder.write("schema.yml", "name: made\ncolour: red\n");
    let told = failed(&["--schema", &schema, "--data", &data]);
    assert!(told.contains("schema.yml`: unknown field `colour`"), "{told}");
}

#[test]
fn what_is_skipped_is_not_done_and_settings_are_checked() {
    let folder = Folder::new();
    let (data, out) = (folder.write("windows.csv", &windows(60)), folder.path("out"));
    let plain = ["--schema", "flow", "--data", &data, "--out", &out];
    let said = done(&[&plain[..], &["--skip", "kmeans,rows"]].concat());
    assert!(!said.contains("K-means:") && said.contains("DBSCAN:"), "{said}");
    assert!(folder.json("out/explore.json")["kmeans"].is_null());
    let files = || {
        let entries = fs::read_dir(Path::new(&out)).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files(), ["explore.html", "explore.json"]);
    let params = folder.write("p.yml", "fence: 3\nkmeans: {most: 4}\ndbscan: {enabled: false}\n");
    done(&[&plain[..], &["--params", &params]].concat());
    let found = folder.json("out/explore.json");
    assert_eq!(found["kmeans"]["sweep"].as_array().map(Vec::len), Some(3));
    assert_eq!(files(), ["explore.html", "explore.json", "rows-kmeans.csv"]);
    folder.write("p.yml", "fence: 0\n");
    let told = failed(&[&plain[..], &["--params", &params]].concat());
    assert!(told.contains("setting `fence` must be above 0, got 0"), "{told}");
    folder.write("p.yml", "fences: 3\n");
    assert!(failed(&[&plain[..], &["--params", &params]].concat()).contains("`fences`"));
}

#[test]
fn files_are_one_table_and_standard_input_is_read_once() {
    let folder = Folder::new();
    let (data, out) = (folder.write("a.csv", &windows(30)), folder.path("out"));
    let arguments = ["--schema", "flow", "--data", &data, "-", "--out", &out];
    let mut child = command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("standard input");
    input.write_all(windows(60).as_bytes()).expect("written");
    drop(input);
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    assert!(status.success());
    assert!(text(&stdout).starts_with("a.csv, standard input: "), "{}", text(&stdout));
    assert_eq!(folder.read("out/rows-kmeans.csv").lines().count(), 91);
    let other = windows(30).replace("sumOfFlows,sumOfPackets", "sumOfPackets,sumOfFlows");
    let other = folder.write("b.csv", &other);
    let arguments = ["--schema", "flow", "--data", &data, &other, "--out", &out];
    assert!(failed(&arguments).contains("b.csv` has another header than `"));
    done(&[&arguments[..], &["--skip", "rows"]].concat());
}

#[test]
fn the_connections_of_kddtrain_are_explored() {
    let shared = std::env::var("FLOWSENTRY_SHARED").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let data = shared.join("data/nsl-kdd/KDDTrain+.txt.zst");
    if !data.exists() {
        println!("skipped: exploring NSL-KDD needs {}", data.display());
        return;
    }
    let data = data.to_string_lossy();
    let arguments = ["--schema", "kdd", "--data", &data, "--skip", "dbscan,kmeans", "--json"];
    let found: Value = serde_json::from_str(&done(&arguments)).expect("JSON");
    assert_eq!((&found["rows"], &found["attacks"]), (&125_973.into(), &58_630.into()));
    assert_eq!(found["correlations"]["strong"].as_array().map(Vec::len), Some(15));
    assert_eq!(found["components"]["for_90_percent"], 19);
}
