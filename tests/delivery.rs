//! Nothing lost, nothing twice: real workers on a real broker, killed at every step between poll and
//! commit, leave what an undisturbed one leaves.
//!
//! Needs `FLOWSENTRY_TEST_KAFKA`, the address of a broker.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "delivery/cluster.rs"]
mod cluster;
#[path = "delivery/faults.rs"]
mod faults;
#[path = "delivery/letters.rs"]
mod letters;
#[path = "delivery/models.rs"]
mod models;
#[path = "delivery/shared.rs"]
mod shared;
#[path = "delivery/worker.rs"]
mod worker;

use std::process::Command;
use std::thread;

use flowsentry::testkit::crash;
use worker::{Documents, Site, assert_same};

fn broker() -> Option<String> {
    let broker = std::env::var("FLOWSENTRY_TEST_KAFKA").ok();
    if broker.is_none() {
        println!("skipped: delivery from Kafka needs FLOWSENTRY_TEST_KAFKA");
    }
    broker
}

/// A name that no other run has used on this broker.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Two hours of simulated traffic in a topic of its own.
fn fill(broker: &str, topic: &str) {
    produce(broker, topic, &["simulate", "--hours", "2", "--seed", "7", "--keyed"]);
}

fn produce(broker: &str, topic: &str, arguments: &[&str]) {
    let sent = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .args(["-E", &format!("input.kafka={{brokers: [\"{broker}\"], topics: [{topic}]}}")])
        .args(arguments)
        .args(["--to", "kafka"])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// What an undisturbed worker finds in a topic.
fn undisturbed(broker: &str, topic: &str) -> Documents {
    let group = format!("undisturbed-{topic}");
    let site = Site::new("undisturbed", &input(broker, topic, &group), "", "");
    site.run_to_the_end();
    site.documents()
}

fn input(broker: &str, topic: &str, group: &str) -> String {
    format!(
        "{{brokers: [\"{broker}\"], topics: [{topic}], group_id: {group}, idle_seconds: 2, \
         snapshot_seconds: 0}}"
    )
}

#[test]
fn a_worker_that_is_killed_at_any_step_loses_and_doubles_nothing() {
    let Some(broker) = broker() else { return };
    let topic = unique("killed");
    fill(&broker, &topic);
    kill_at_all(&broker, &topic, &crash::POINTS, &|group| input(&broker, &topic, group));
}

#[test]
fn a_worker_that_shares_the_work_may_be_killed_at_any_step_too() {
    let Some(broker) = broker() else { return };
    let topic = unique("killed-shared");
    fill(&broker, &topic);
    // Its partitions are free again when its session has ended.
    kill_at_all(&broker, &topic, &crash::SHARED_POINTS, &|group| {
        let input = input(&broker, &topic, group);
        let input = input.trim_end_matches('}');
        format!("{input}, lease_seconds: 6, partials_topic: {group}-partials}}")
    });
}

/// Kills workers twice at each of `points`, early and later, and compares what is there in the end
/// with what an undisturbed worker leaves.
fn kill_at_all(
    broker: &str,
    topic: &str,
    points: &[&str],
    input_of: &(dyn Fn(&str) -> String + Sync),
) {
    let expected = undisturbed(broker, topic);
    let anomalies = expected.keys().filter(|(family, _)| *family == "anomalies").count();
    assert!(expected.len() > 1_000 && anomalies > 50, "{} {anomalies}", expected.len());
    let cases: Vec<(&str, u64)> =
        points.iter().flat_map(|point| [1, 3].map(|times| (*point, times))).collect();
    // A few at a time: the machine is small.
    for cases in cases.chunks(6) {
        thread::scope(|scope| {
            for (point, times) in cases {
                let expected = &expected;
                scope.spawn(move || {
                    let case = format!("{point}:{times}");
                    let group = unique(&format!("{topic}-{point}-{times}"));
                    let site = Site::new("undisturbed", &input_of(&group), "", "");
                    assert!(site.start(Some(&case)).dies(), "{case}: it should have died");
                    // Once more, in the middle of the repetition, if it comes by again.
                    site.start(Some(&case)).dies();
                    site.run_to_the_end();
                    assert_same(&case, expected, &site.documents());
                });
            }
        });
    }
}
