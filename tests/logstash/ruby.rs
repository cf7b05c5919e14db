//! Runs the ruby filter under plain Ruby (`FLOWSENTRY_RUBY`, else `ruby`).

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::samples;

/// Whether there is a Ruby; says so aloud when there is none.
pub fn is_there() -> bool {
    let there = Command::new(program())
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        println!(
            "skipped: the ruby filter of the Logstash pipeline (no ruby; `make setup` installs it as root)"
        );
    }
    there
}

fn program() -> String {
    std::env::var("FLOWSENTRY_RUBY").unwrap_or_else(|_| "ruby".to_owned())
}

/// Runs `arguments` of ruby with `input`; of the settings of the filter only `settings` are set.
pub fn output(arguments: &[&str], input: &str, settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    for name in ["NAMES", "OWN_NETWORKS", "CLOCK_AHEAD_SECONDS", "CLOCK_BEHIND_SECONDS"] {
        command.env_remove(format!("FLOWSENTRY_{name}"));
    }
    let mut child = command
        .args(arguments)
        .envs(settings.iter().copied())
        .current_dir(samples::root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A program that does not load reads nothing.
    let _ = writer.join().unwrap();
    output
}

/// What the filter makes of messages: for each its documents, mostly one.
pub fn documents(messages: &[Value], workers: usize, settings: &[(&str, &str)]) -> Vec<Vec<Value>> {
    through("logstash/flows.conf", messages, workers, settings)
}

/// What the filters of several files make of messages, one after the other; commas between the files.
pub fn through(
    files: &str,
    messages: &[Value],
    workers: usize,
    settings: &[(&str, &str)],
) -> Vec<Vec<Value>> {
    let input: String = messages.iter().map(|message| format!("{message}\n")).collect();
    let arguments = ["tests/logstash/run.rb", files, &workers.to_string()];
    let output = output(&arguments, &input, settings);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), messages.len());
    documents
}

/// The document of each text, as messages at the offsets from 0; `None` where there is none.
pub fn mapped(texts: &[&str]) -> Vec<Option<Value>> {
    let messages: Vec<Value> =
        texts.iter().enumerate().map(|(offset, text)| samples::located(text, offset)).collect();
    let documents = documents(&messages, 2, &[]);
    documents
        .into_iter()
        .map(|mut of_one| {
            assert!(of_one.len() <= 1, "{of_one:?}");
            of_one.pop()
        })
        .collect()
}

/// Why a document is no flow; `None` for flows.
pub fn reason(document: &Value) -> Option<&str> {
    let reason = document.pointer("/error/type").and_then(Value::as_str);
    let dataset = if reason.is_some() { "flowsentry.rejected" } else { "flowsentry.flow" };
    assert_eq!(document["event"]["dataset"], dataset, "{document}");
    reason
}
