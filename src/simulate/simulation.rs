//! The simulation: second after second, ordinary traffic and attacks go through the exporters.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::vec;

use crate::model::Timestamp;

use super::attacks::{Episode, Plan, Vigour, listed_addresses};
use super::clock::DAY;
use super::config::{Config, Extent, SimulateError};
use super::export::Outbox;
use super::flow::SimulatedFlow;
use super::network::Network;
use super::ordinary::Ordinary;
use super::random::Dice;

/// Part of a run of a given number of records into which its episodes are put, so that chance
/// never pushes the end of one beyond the last record.
const SAFE_PART: f64 = 0.85;

/// A week in seconds.
const WEEK: i64 = 7 * DAY;

/// Simulated export records in the order in which a collector receives them.
///
/// Memory holds what is under way (a minute or two) and the plan of the episodes (about 150 KiB
/// per simulated day), never the records of the run. Ordinary records are
/// the same with and without attacks, except for the numbers of the datagrams that they share.
#[derive(Debug)]
pub struct Simulation {
    seed: u64,
    network: Network,
    ordinary: Ordinary,
    plan: Plan,
    outbox: Outbox,
    /// For contacts under way: ordinary ones, the first kinds of attack, later ones.
    dice: [Dice; 3],
    /// The second that is simulated next.
    second: i64,
    /// Nothing received from here on is given.
    end: Timestamp,
    /// Records that may still be given.
    left: u64,
    expected: u64,
    ready: vec::IntoIter<SimulatedFlow>,
}

impl Simulation {
    /// Prepares a simulation. Costs a few milliseconds.
    pub fn new(config: Config) -> Result<Self, SimulateError> {
        let config = config.checked()?;
        let start = config.start.seconds();
        let network = Network::new(config.seed, config.hosts);
        let ordinary = Ordinary::new(config.seed, &network, config.flows_per_hour);
        let (plan, expected) = match config.extent {
            Extent::Hours(hours) => {
                let seconds = (hours * 3_600.0) as i64;
                let plan = Plan::new(&config, &network, (start, seconds), Vigour::Usual);
                let records = expected_ordinary(&ordinary, start, seconds) + plan.records;
                (plan, records as u64)
            }
            Extent::Flows(flows) => (plan_for_flows(&config, &network, &ordinary, flows), flows),
        };
        let (end, left) = match config.extent {
            Extent::Hours(hours) => {
                let nanos = (hours * 3_600e9) as i64;
                (Timestamp::from_seconds(start).plus_nanos(nanos), u64::MAX)
            }
            Extent::Flows(flows) => (Timestamp::MAX, flows),
        };
        Ok(Self {
            seed: config.seed,
            network,
            ordinary,
            plan,
            outbox: Outbox::new(start),
            dice: [4, 5, 6].map(|stream| Dice::new(config.seed, stream)),
            second: start,
            end,
            left,
            expected,
            ready: Vec::new().into_iter(),
        })
    }

    /// The hidden episodes, by their start. Complete before the first record.
    pub fn truth(&self) -> &[Episode] {
        &self.plan.episodes
    }

    /// The listed addresses: those of the blacklist episodes and a few hundred that never appear.
    pub fn blacklist(&self) -> Vec<IpAddr> {
        listed_addresses(self.seed)
    }

    /// How many records to expect: exact for [`Extent::Flows`], else good to about a tenth.
    pub fn expected_flows(&self) -> u64 {
        self.expected
    }

    /// Records and contacts that are held.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.outbox.len() + self.ready.len()
    }

    /// Simulates one more second.
    fn advance(&mut self) {
        self.outbox.continue_open(&mut self.dice);
        self.ordinary.happen(&self.network, self.second, &mut self.outbox);
        self.plan.happen(self.second, &mut self.outbox);
        self.ready = self.outbox.take_second().into_iter();
        self.second += 1;
    }
}

impl Iterator for Simulation {
    type Item = SimulatedFlow;

    fn next(&mut self) -> Option<SimulatedFlow> {
        while self.left > 0 {
            match self.ready.next() {
                Some(flow) if flow.received < self.end => {
                    self.left -= 1;
                    return Some(flow);
                }
                Some(_) => self.left = 0,
                None if Timestamp::from_seconds(self.second) >= self.end => self.left = 0,
                None => self.advance(),
            }
        }
        None
    }
}

/// Expected ordinary records of `seconds` from `start` on.
fn expected_ordinary(ordinary: &Ordinary, start: i64, seconds: i64) -> f64 {
    let until = |end: i64| -> f64 {
        let minutes = (0..end / 60).map(|minute| start + minute * 60);
        let whole: f64 = minutes.map(|second| ordinary.expected_per_minute(second)).sum();
        let rest = (end % 60) as f64 / 60.0;
        whole + rest * ordinary.expected_per_minute(start + end - end % 60)
    };
    // All weeks are alike, wherever they begin.
    match seconds / WEEK {
        0 => until(seconds),
        weeks => weeks as f64 * until(WEEK) + until(seconds % WEEK),
    }
}

/// Plans episodes for a run of `flows` records: the usual ones when every wanted kind finds room,
/// else the least ones when those are of more kinds.
fn plan_for_flows(config: &Config, network: &Network, ordinary: &Ordinary, flows: u64) -> Plan {
    let kinds = |plan: &Plan| {
        plan.episodes.iter().map(|episode| episode.kind).collect::<BTreeSet<_>>().len()
    };
    let usual = longest_plan(config, network, ordinary, (flows, Vigour::Usual));
    let wanted = config.attacks.iter().collect::<BTreeSet<_>>().len();
    if kinds(&usual) == wanted {
        return usual;
    }
    let least = longest_plan(config, network, ordinary, (flows, Vigour::Least));
    if kinds(&least) > kinds(&usual) { least } else { usual }
}

/// Plans for the longest time in which ordinary traffic and its episodes together stay safely
/// below a number of records.
fn longest_plan(
    config: &Config,
    network: &Network,
    ordinary: &Ordinary,
    (flows, vigour): (u64, Vigour),
) -> Plan {
    let start = config.start.seconds();
    let safe = flows as f64 * SAFE_PART;
    let (mut fits, mut exceeds) = (0, 60);
    while expected_ordinary(ordinary, start, exceeds) < safe {
        exceeds *= 2;
    }
    while exceeds - fits > 60.max(fits / 200) {
        let middle = fits + (exceeds - fits) / 2;
        let plan = Plan::new(config, network, (start, middle), vigour);
        if expected_ordinary(ordinary, start, middle) + plan.records < safe {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    Plan::new(config, network, (start, fits), vigour)
}
