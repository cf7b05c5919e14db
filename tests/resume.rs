//! A scorer that is killed and goes on from a snapshot says what one that was never disturbed says,
//! whatever the order in which partitions are read, late flows included.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "resume/stages.rs"]
mod stages;
#[path = "resume/stored.rs"]
mod stored;
#[path = "resume/topic.rs"]
mod topic;

use flowsentry::pipeline::Snapshot;
use flowsentry::scorer::State;
use flowsentry::sources::{PartitionName, Partitions};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use stored::Stored;
use topic::{PARTITIONS, Topic};

/// Reads the logs in a random order of partitions, asks for a state after every `pause` flows and
/// dies after each number of flows in `deaths`.
fn run(topic: &Topic, order: u64, pause: usize, deaths: &[usize]) -> (Stored, u64) {
    let mut random = StdRng::seed_from_u64(order);
    let mut stored = Stored::default();
    let mut kept: Option<State> = None;
    let mut replayed = 0;
    for life in 0..=deaths.len() {
        let mut scorer = topic.scorer();
        let mut next = vec![0usize; PARTITIONS as usize];
        (0..PARTITIONS).for_each(|partition| scorer.expect(partition));
        if let Some(state) = kept.clone() {
            for (partition, position) in &state.positions {
                next[*partition as usize] = usize::try_from(position.offset).unwrap();
            }
            assert!(scorer.resume(state).is_empty());
        }
        let mut read = 0;
        let mut outputs = Vec::new();
        loop {
            let mut left: Vec<usize> =
                (0..next.len()).filter(|&at| next[at] < topic.logs[at].len()).collect();
            left.shuffle(&mut random);
            let Some(&partition) = left.first() else { break };
            let id = u32::try_from(partition).unwrap();
            for _ in 0..random.random_range(1..2_000) {
                let Some(flow) = topic.logs[partition].get(next[partition]) else { break };
                scorer.at(id, i64::try_from(next[partition]).unwrap());
                scorer.add(id, flow.clone(), &mut outputs);
                next[partition] += 1;
                read += 1;
                if read % pause == 0 {
                    scorer.request_state();
                }
            }
            scorer.at(id, i64::try_from(next[partition]).unwrap());
            outputs.drain(..).for_each(|output| stored.write(&output));
            if let Some(state) = scorer.take_state() {
                // As it comes back from a store.
                let partitions = Partitions::default();
                for partition in 0..PARTITIONS as i32 {
                    partitions.named(&PartitionName { topic: "t".to_owned(), partition });
                }
                let snapshot = Snapshot::new(state, &partitions);
                let text = serde_json::to_string(&snapshot).unwrap();
                kept = Some(serde_json::from_str::<Snapshot>(&text).unwrap().state);
            }
            if deaths.get(life).is_some_and(|&death| read >= death) {
                break;
            }
        }
        replayed += scorer.counters().replayed;
        if life == deaths.len() {
            scorer.finish(&mut outputs);
            outputs.drain(..).for_each(|output| stored.write(&output));
        }
    }
    (stored, replayed)
}

#[test]
fn a_restart_changes_nothing_of_what_is_found() {
    let topic = Topic::new(7);
    let (undisturbed, _) = run(&topic, 0, usize::MAX, &[]);
    assert!(undisturbed.facts.len() > 500 && undisturbed.alerts.len() > 20);
    let mut scorer = topic.scorer();
    let all = topic.logs.iter().enumerate().flat_map(|(at, log)| log.iter().map(move |f| (at, f)));
    all.for_each(|(at, flow)| {
        scorer.add(u32::try_from(at).unwrap(), flow.clone(), &mut Vec::new());
    });
    assert!(scorer.counters().late > 100, "late flows take part");
    for order in 1..4 {
        let (other_order, _) = run(&topic, order, usize::MAX, &[]);
        assert!(other_order == undisturbed, "order {order}");
        let deaths = [9_000, 25_000, 4_000, 30_000, 1];
        let (disturbed, replayed) = run(&topic, order, 5_000, &deaths);
        assert!(replayed > 0, "something was counted before a death");
        undisturbed.assert_is(&disturbed, &format!("order {order}"));
    }
}
