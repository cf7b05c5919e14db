//! `flowsentry setup` as a person uses it.

use std::process::{Command, Output, Stdio};

use flowsentry::stores::Flavour;
use serde_json::json;

use crate::server::{Server, on_both};

on_both!(the_program_tells_what_it_does, a_diff_changes_nothing, parts_are_set_up_alone);

/// Runs `flowsentry setup` with `arguments` on `server`; gives back what it printed and its code.
fn setup(server: &Server, arguments: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = match server.flavour {
        Flavour::Elasticsearch => "elasticsearch",
        Flavour::OpenSearch => "opensearch",
    };
    let settings = format!("output:\n  {key}:\n    hosts: [\"{}\"]\n", server.url);
    let config = folder.path().join("flowsentry.yml");
    std::fs::write(&config, settings).expect("a file");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .arg("-c")
        .arg(&config)
        .arg("setup")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    (text(stdout) + &text(stderr), status.code())
}

fn the_program_tells_what_it_does(server: &Server) {
    let (text, code) = setup(server, &["--check"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ERROR index template flowsentry-flows: it is missing"), "{text}");
    let (text, code) = setup(server, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("  index templates      12 created\n"), "{text}");
    assert!(text.contains("Verified: 11 index templates resolve as written; "), "{text}");
    assert!(text.ends_with("\nIndex setup finished.\n"), "{text}");
    let (text, code) = setup(server, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("Nothing to change: "), "{text}");
    let (text, code) = setup(server, &["--check"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with(" is set up.\n"), "{text}");
    server.delete("/_index_template/flowsentry-alerts");
    let (text, code) = setup(server, &["--check"]);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(
        text,
        "ERROR index template flowsentry-alerts: it is missing\n      remedy: run `flowsentry \
         setup`\n"
    );
    let (text, code) = setup(server, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("  index templates      1 created\n"), "{text}");
    assert!(!text.contains("component templates"), "{text}");
}

fn a_diff_changes_nothing(server: &Server) {
    let before = server.state();
    let (text, code) = setup(server, &["--diff"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("+ component template flowsentry-windows@custom\n"), "{text}");
    assert!(text.contains("+ index flowsentry-state-default\n"), "{text}");
    assert_eq!(server.state(), before);
    server.set_up();
    let before = server.state();
    let (text, code) = setup(server, &["--diff"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("Nothing to change: "), "{text}");
    let (text, _) = setup(server, &["--diff", "--pipelines", "-E", "output.keep_days.windows=31"]);
    assert!(text.starts_with("Nothing to change: "), "{text}");
    assert_eq!(server.state(), before);
}

fn parts_are_set_up_alone(server: &Server) {
    let (text, code) = setup(server, &["--pipelines"]);
    assert_eq!(code, Some(0), "{text}");
    let has_ingest = server.installer().capabilities().ingest;
    assert_eq!(text.contains("  pipelines            1 created\n"), has_ingest, "{text}");
    assert_eq!(server.read("/_index_template/flowsentry-flows")["index_templates"][0], json!(null));
    let (text, code) = setup(server, &["--index-management"]);
    assert_eq!(code, Some(0), "{text}");
    server.delete("/_ingest/pipeline/flowsentry-flows");
    let (text, code) = setup(server, &["--check", "--index-management"]);
    assert_eq!(code, Some(i32::from(has_ingest)), "{text}");
    let cause = "it names the ingest pipeline `flowsentry-flows`, which is not there";
    assert_eq!(text.contains(cause), has_ingest, "{text}");
}
