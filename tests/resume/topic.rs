//! Two hours of simulated traffic as the logs of a topic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use flowsentry::alerts;
use flowsentry::detect::{self, Blacklist, Detector};
use flowsentry::formats;
use flowsentry::model::Flow;
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub const PARTITIONS: u32 = 3;

/// What every worker reads: a log per partition.
pub struct Topic {
    pub logs: Vec<Vec<Flow>>,
    /// The listed addresses, one a line.
    pub listed: String,
}

impl Topic {
    /// An hour of traffic with attacks. One flow of a hundred comes after its window.
    pub fn new(seed: u64) -> Self {
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
        Self { logs, listed: listed.join("\n") }
    }

    pub fn detectors(&self) -> Vec<Box<dyn Detector>> {
        let context = detect::Context::default();
        context.blacklist.set(Arc::new(Blacklist::parse(self.listed.as_bytes())));
        let mut detectors = detect::Settings::default();
        detectors.iqr.max_probability = 0.05;
        detectors.iqr.warm_up_windows = 60;
        detect::build(&detectors, &context).unwrap()
    }

    pub fn scorer(&self) -> Scorer {
        Scorer::new(Settings::default(), alerts(), self.detectors())
    }
}

/// Much is found, so that there is much to compare.
pub fn alerts() -> alerts::Settings {
    alerts::Settings { minimum_score: 0.0, gap_seconds: 60, ..alerts::Settings::default() }
}
