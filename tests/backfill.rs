//! Scoring what is indexed gives what scoring the topic gives: the same windows, anomalies and
//! alerts, in one go or after being killed anywhere.
//!
//! The embedded store always, a real OpenSearch and Elasticsearch where `FLOWSENTRY_TEST_OPENSEARCH`
//! and `FLOWSENTRY_TEST_ELASTICSEARCH` name them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "backfill/clusters.rs"]
mod clusters;
#[path = "backfill/follow.rs"]
mod follow;
#[path = "backfill/indexed.rs"]
mod indexed;
#[path = "backfill/judged.rs"]
mod judged;
#[path = "backfill/order.rs"]
mod order;
#[path = "store_contract/sites.rs"]
#[allow(dead_code, reason = "shared with the contract of the stores")]
mod sites;
#[path = "resume/topic.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod topic;
#[path = "delivery/worker.rs"]
#[allow(dead_code, reason = "shared with the tests of delivery")]
mod worker;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flowsentry::model::Timestamp;
use flowsentry::testkit::crash;
use indexed::{Indexed, fill_embedded};
use judged::{Judged, blacklist};
use topic::Topic;
use worker::{Documents, Site, assert_same};

/// Reads in small pages and keeps its position after every window.
const SMALL: &str = "search: {page_documents: 500, snapshot_seconds: 0}";

fn site(topic: &Topic) -> Site {
    let site = Site::reading("backfill", SMALL, "", "");
    blacklist(&site, topic);
    site
}

/// `backfill` over a stretch of time.
fn arguments(from: Timestamp, to: Timestamp) -> [String; 5] {
    ["backfill", "--from", &from.to_string(), "--to", &to.to_string()].map(str::to_owned)
}

fn backfill(site: &Site, from: Timestamp, to: Timestamp, more: &[&str]) -> String {
    let arguments = arguments(from, to);
    let arguments: Vec<&str> =
        arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    site.command(&arguments)
}

#[test]
fn what_is_indexed_is_judged_as_the_topic_was() {
    let topic = Topic::new(7);
    let expected = Judged::all(&topic).documents();
    let anomalies = expected.keys().filter(|(family, _)| *family == "anomalies").count();
    assert!(expected.len() > 1_000 && anomalies > 50, "{} {anomalies}", expected.len());
    let site = site(&topic);
    let indexed = Indexed::of(&topic);
    fill_embedded(&site, &indexed.documents);
    let (from, to) = indexed.extent();
    let told = backfill(&site, from, to, &["--dry-run"]);
    assert!(told.contains("nothing is stored"), "{told}");
    assert!(site.documents().is_empty());
    let told = backfill(&site, from, to, &[]);
    assert_same("embedded", &expected, &site.documents());
    let count = topic.logs.iter().map(Vec::len).sum::<usize>();
    assert!(told.contains(&format!("{} records", grouped(count + indexed.odd))), "{told}");
    assert!(told.contains("flows that are indexed twice count once"), "{told}");
    assert!(told.contains(&format!("missing_field {}", indexed.hostile)), "{told}");
    // Again from the beginning: it was done.
    let told = backfill(&site, from, to, &[]);
    assert!(!told.contains("going on from the snapshot"), "{told}");
    assert_same("twice", &expected, &site.documents());
}

fn grouped(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

#[test]
fn a_backfill_that_is_killed_anywhere_goes_on() {
    let topic = Topic::new(8);
    let expected = Judged::all(&topic).documents();
    let indexed = Indexed::of(&topic);
    let (from, to) = indexed.extent();
    let arguments = arguments(from, to);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let filled = site(&topic);
    fill_embedded(&filled, &indexed.documents);
    let resumed = AtomicUsize::new(0);
    for points in crash::POINTS.chunks(2) {
        thread::scope(|scope| {
            for point in points {
                let (site, expected, resumed) = (site(&topic), &expected, &resumed);
                let (filled, arguments) = (&filled, &arguments);
                scope.spawn(move || {
                    copy(filled, &site);
                    for times in [1, 3] {
                        let case = format!("{point}:{times}");
                        let status = site.start_command(arguments, Some(&case)).wait();
                        assert!(!status.success(), "{case}: it should have died");
                    }
                    let told = backfill(&site, from, to, &[]);
                    let goes_on = told.contains("going on from the snapshot");
                    resumed.fetch_add(usize::from(goes_on), Ordering::Relaxed);
                    assert_same(point, expected, &site.documents());
                });
            }
        });
    }
    assert!(resumed.into_inner() > 3, "most were killed after their first snapshot");
}

/// Copies the store of a site.
fn copy(from: &Site, to: &Site) {
    let path = |site: &Site| site.folder.path().join("data");
    let copied = Command::new("cp").arg("-r").args([path(from), path(to)]).status().unwrap();
    assert!(copied.success());
}

/// Windows in the middle are whole, late flows included; nothing outside is stored.
#[test]
fn a_part_is_that_part_of_the_whole() {
    let topic = Topic::new(9);
    let judged = Judged::all(&topic);
    let expected = judged.documents();
    let site = site(&topic);
    let indexed = Indexed::of(&topic);
    fill_embedded(&site, &indexed.documents);
    let begin = indexed.extent().0.floor(60);
    let (from, to) = (begin.plus_seconds(30 * 60), begin.plus_seconds(50 * 60));
    backfill(&site, from.plus_seconds(20), to.plus_seconds(-20), &[]);
    let within = |documents: &Documents| -> BTreeMap<String, serde_json::Value> {
        let windows = documents.iter().filter(|((family, _), _)| *family == "windows");
        let within = windows.filter(|(_, document)| {
            let time: Timestamp = document["@timestamp"].as_str().unwrap().parse().unwrap();
            from <= time && time < to
        });
        within.map(|((_, id), document)| (id.clone(), document.clone())).collect()
    };
    let found = site.documents();
    let windows = found.keys().filter(|(family, _)| *family == "windows").count();
    assert_eq!(within(&found).len(), windows, "no other window is stored");
    assert!(within(&found) == within(&expected));
    assert!(windows > 20 * 20, "{windows}");
}

/// A worker on the topic ended in the middle; a backfill with what it had learned does the rest.
#[test]
fn what_a_worker_has_learned_is_gone_on_with() {
    let topic = Topic::new(10);
    let expected = Judged::all(&topic).documents();
    let judged = Judged::until(&topic, 0.6);
    let indexed = Indexed::of(&topic);
    fill_embedded(&judged.site, &indexed.documents);
    let before = judged.documents().len();
    assert!(before < expected.len());
    let closed = judged.closed_through;
    let (_, to) = indexed.extent();
    backfill(&judged.site, closed, to, &["--learned-by", judged::GROUP]);
    assert_same("learned", &expected, &judged.documents());
}

#[test]
fn an_empty_stretch_and_the_future_are_refused() {
    let site = Site::reading("backfill", SMALL, "", "");
    let refused = |from: &str, to: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
            .arg("-c")
            .arg(site.settings())
            .args(["backfill", "--from", from, "--to", to])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
    let words = "Exiting: there are no flows from 2026-03-01T09:58:00.000Z to \
                 2026-03-01T11:00:00.000Z in `flowsentry-flows-backfill-* in ";
    assert!(told.contains(words), "{told}");
    let told = refused("2026-03-01T10:00:00Z", "2100-01-01T00:00:00Z");
    assert!(told.contains("`--to` must lie 60 seconds in the past"), "{told}");
    let told = refused("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z");
    assert!(told.contains("`--from` must lie before `--to`"), "{told}");
}
