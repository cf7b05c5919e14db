//! A scorer that is killed and goes on from a snapshot says what one that was never disturbed says,
//! whatever the order in which partitions are read, late flows included.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use flowsentry::detect::{self, Blacklist};
use flowsentry::formats;
use flowsentry::model::Flow;
use flowsentry::pipeline::Snapshot;
use flowsentry::scorer::{Output, Scorer, Settings, State};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use flowsentry::sinks::{Dataset, Document};
use flowsentry::sources::kafka::PartitionName;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

const PARTITIONS: u32 = 3;

/// What every worker reads: a log per partition.
struct Topic {
    logs: Vec<Vec<Flow>>,
    blacklist: Arc<Blacklist>,
}

impl Topic {
    /// An hour of traffic with attacks. One flow of a hundred comes after its window.
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let config = Config { extent: Extent::Hours(2.0), seed, ..Config::default() };
        let simulation = Simulation::new(config).unwrap();
        let listed: Vec<String> = simulation.blacklist().iter().map(ToString::to_string).collect();
        let mut decoder = formats::by_name("goflow2").unwrap().decoder();
        let mut flows: Vec<(usize, Flow)> = Vec::new();
        for (place, simulated) in simulation.enumerate() {
            let mut line = Vec::new();
            write_goflow2(&simulated, &mut line);
            let delay = if random.random_ratio(1, 100) { random.random_range(0..6_000) } else { 0 };
            flows.push((place + delay, decoder.decode(&line).unwrap().unwrap()));
        }
        flows.sort_by_key(|(place, _)| *place);
        let mut logs = vec![Vec::new(); PARTITIONS as usize];
        for (_, flow) in flows {
            logs[random.random_range(0..PARTITIONS as usize)].push(flow);
        }
        let blacklist = Arc::new(Blacklist::parse(listed.join("\n").as_bytes()));
        Self { logs, blacklist }
    }

    /// Much is found, so that there is much to compare.
    fn scorer(&self) -> Scorer {
        let context = detect::Context::default();
        context.blacklist.set(Arc::clone(&self.blacklist));
        let mut detectors = detect::Settings::default();
        detectors.iqr.max_probability = 0.05;
        detectors.iqr.warm_up_windows = 60;
        let alerts = flowsentry::alerts::Settings {
            minimum_score: 0.0,
            gap_seconds: 60,
            ..flowsentry::alerts::Settings::default()
        };
        let detectors = detect::build(&detectors, &context).unwrap();
        Scorer::new(Settings::default(), alerts, detectors)
    }
}

/// A store by the rules of the real one: facts are created once, alerts never go back.
#[derive(Default, PartialEq, Debug)]
struct Stored {
    facts: BTreeMap<String, Value>,
    alerts: BTreeMap<String, Value>,
}

impl Stored {
    fn write(&mut self, output: &Output) {
        let document = Document::of(output);
        let id = document.id().to_owned();
        if document.dataset != Dataset::Alert {
            let known = self.facts.entry(id).or_insert_with(|| document.body.clone());
            assert_eq!(*known, document.body, "a repeated fact is the same fact");
            return;
        }
        let progress = |alert: &Value| {
            let alert = &alert["flowsentry"]["alert"];
            let closed = alert["status"] == "closed";
            (alert["last"].to_string(), alert["count"].as_u64(), closed)
        };
        let known = self.alerts.entry(id).or_insert_with(|| document.body.clone());
        if progress(known) <= progress(&document.body) {
            *known = document.body;
        }
    }
}

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
                let names = (0..PARTITIONS)
                    .map(|id| (id, PartitionName { topic: "t".to_owned(), partition: id as i32 }));
                let snapshot = Snapshot::new(state, names.collect());
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
        for (id, fact) in &undisturbed.facts {
            assert_eq!(disturbed.facts.get(id), Some(fact), "order {order}: {id}");
        }
        for (id, alert) in &undisturbed.alerts {
            assert_eq!(disturbed.alerts.get(id), Some(alert), "order {order}: {id}");
        }
        assert!(disturbed == undisturbed, "order {order}: something is there that should not");
    }
}
