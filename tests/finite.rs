//! Files that do not fit into memory and are in no order of time.

use std::fs;
use std::path::Path;

use flowsentry::alerts;
use flowsentry::detect;
use flowsentry::model::Timestamp;
use flowsentry::pipeline::{DeadLetters, Finite, Input, Quiet, Summary, score_files};
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::sinks::NdjsonSink;

/// Ten minutes of one probe a second from a scanner, and of ordinary flows.
fn rows() -> Vec<String> {
    let row = |second: usize| {
        let (minute, second) = (second / 60, second % 60);
        let clock = format!("2017-01-27 16:{:02}:{second:02}", 20 + minute);
        let probe =
            format!("{clock},tcp,new,10.9.9.9,40000,10.0.0.1,{},60,0", minute * 60 + second + 1);
        let ordinary = format!("{clock},tcp,closed,10.2.1.{second},50000,10.0.0.1,443,900,8000");
        [probe, ordinary]
    };
    (0..600).flat_map(row).collect()
}

/// Scores the rows with room for `in_memory` flows; returns numbers, documents and dead letters.
fn score(rows: &[String], in_memory: usize, folder: &Path) -> (Summary, String, String) {
    let (path, dead_path) = (folder.join("flows.csv"), folder.join("dead.ndjson"));
    fs::write(&path, rows.join("\n")).expect("it is written");
    let _ = fs::remove_file(&dead_path);
    let input = Input { paths: vec![path], ..Input::default() };
    let settings = Settings::default();
    let new_scorer = || {
        let detectors = detect::build(&detect::Settings::default(), &detect::Context::default());
        let detectors = detectors.expect("the defaults are sound");
        Scorer::new(settings.clone(), alerts::Settings::default(), detectors)
    };
    let run = Finite {
        input: &input,
        settings: &settings,
        new_scorer: &new_scorer,
        in_memory_flows: Some(in_memory),
        progress: &Quiet,
    };
    let mut dead =
        DeadLetters::append_to(&dead_path, Timestamp::default).expect("it can be opened");
    let results = score_files(&run, &mut dead).expect("it is scored");
    let mut documents = Vec::new();
    results.spool.release(&mut NdjsonSink::new(&mut documents)).expect("it is written");
    let dead = fs::read_to_string(&dead_path).expect("it is there");
    (results.summary, String::from_utf8(documents).expect("JSON is text"), dead)
}

#[test]
fn a_shuffled_file_beyond_the_memory_is_sorted_and_gives_the_same_documents() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rows = rows();
    rows.insert(700, "no flow".to_owned());
    let (summary, in_order, letters) = score(&rows, 100, folder.path());
    assert!(!summary.sorted, "in order within the lateness: read once");
    assert!(in_order.contains("port_scan_vertical"));
    // 503 is coprime to 1,201: a fixed shuffle.
    let shuffled: Vec<String> =
        (0..rows.len()).map(|n| rows[n * 503 % rows.len()].clone()).collect();
    for in_memory in [1, 100, 100_000] {
        let (summary, documents, shuffled_letters) = score(&shuffled, in_memory, folder.path());
        assert_eq!(summary.sorted, in_memory < rows.len(), "{in_memory}");
        assert_eq!(summary.counters.flows, 1_200, "{in_memory}");
        assert_eq!(summary.counters.late, 0, "{in_memory}");
        assert_eq!(documents, in_order, "{in_memory}");
        assert_eq!(letters.lines().count(), 1);
        assert_eq!(
            shuffled_letters.lines().count(),
            1,
            "{in_memory}: told once, not once a reading"
        );
    }
}
