//! Slow port scans: too few targets a minute for [`super::port_scan`], too many over many minutes.
//!
//! Every source keeps the targets that it tried in vain during the last windows. It is named in a
//! window that brings a *new* target while the memory holds a scan: so it stays named while it goes
//! on, is silent when it stops, and a client that retries one dead target for hours never counts
//! more than once.

use std::cmp::Reverse;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow, ProbeLog, Probes, SourceWindow};
use crate::model::{Finding, Kind, SettingError};

use super::port_scan::{self, countable_ports};
use super::rules::{
    Keys, counted, list_ports, log_strength, most_involved, over_threshold, rule_probability,
};
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "slow_scan";
/// What a scan just over the threshold claims, as for fast scans.
const PROBABILITY: f64 = 1e-4;
/// Twenty times the threshold is as bad as it gets: more would be a fast scan.
const TOP: f64 = 20.0;
/// Targets kept per source. A scan of one a second for the whole memory has 1,200; what is beyond
/// would not change the verdict. 40 bytes each.
const MAX_TARGETS: usize = 512;
/// Lowest ports kept per host and window: more within one window are a fast scan.
const PORTS_PER_WINDOW: usize = 16;
/// Windows between two sweeps of the tables.
const SWEEP_WINDOWS: i64 = 5;

/// Settings of the detector `slow_scan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) that are remembered; at least 2. Higher: slower scans are found, more
    /// memory and more dead targets of ordinary hosts.
    pub memory_windows: u32,
    /// Distinct ports of one host within the memory that make a scan; at least 2.
    pub min_ports: u64,
    /// Distinct hosts on one port within the memory that make a scan; at least 2.
    pub min_hosts: u64,
    /// The hosts tried on the port are at least this share (0–1) of the contacts of the memory,
    /// counted as the sum of distinct peers per window. Lower: scans of busier hosts are found, and
    /// mail servers with many dead receivers.
    pub min_share: f64,
    /// Ports that never make a scan of many hosts: one-way exports show polling like scanning.
    pub polled_ports: Vec<u16>,
    /// Sources with several targets that are remembered; at least 1. When there are more, those with
    /// the fewest targets go. Up to 20 KB each, mostly below 500 bytes.
    pub max_sources: usize,
    /// Sources with a single target that are remembered; at least 1. When there are more, newcomers
    /// wait until old ones expire. 64 bytes each.
    pub max_single_sources: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_windows: 20,
            min_ports: 12,
            min_hosts: 20,
            min_share: 0.1,
            polled_ports: vec![137, 161],
            max_sources: 10_000,
            max_single_sources: 50_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("memory_windows", u64::from(self.memory_windows), 2)?;
        keys.at_least("min_ports", self.min_ports, 2)?;
        keys.at_least("min_hosts", self.min_hosts, 2)?;
        keys.fraction("min_share", self.min_share)?;
        keys.at_least("max_sources", self.max_sources as u64, 1)?;
        keys.at_least("max_single_sources", self.max_single_sources as u64, 1)
    }

    fn build(&self, settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let fast = settings.port_scan.clone();
        Box::new(SlowScan::new(self.clone(), fast))
    }
}

/// A host and one of its ports.
type Target = (HostKey, u16);

/// Sources with one target so far.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Single {
    target: Target,
    window: i64,
    peers: u32,
}

/// A source with several targets.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// Targets in ascending order, with the last window that tried them.
    targets: Vec<(Target, i64)>,
    /// Windows with probes and how many hosts were contacted in each, oldest first.
    peers: Vec<(i64, u32)>,
}

impl Memory {
    /// Adds a target; returns whether it was not in the memory.
    fn insert(&mut self, target: Target, window: i64) -> bool {
        match self.targets.binary_search_by_key(&target, |(known, _)| *known) {
            Ok(place) => {
                self.targets[place].1 = window;
                false
            }
            Err(place) => {
                self.targets.insert(place, (target, window));
                true
            }
        }
    }

    /// Drops what lies before `oldest`, and the longest unseen beyond [`MAX_TARGETS`].
    fn forget_before(&mut self, oldest: i64) {
        self.targets.retain(|&(_, window)| window >= oldest);
        self.peers.retain(|&(window, _)| window >= oldest);
        let excess = self.targets.len().saturating_sub(MAX_TARGETS);
        if excess > 0 {
            let mut ages: Vec<_> = self.targets.iter().map(|&(t, window)| (window, t)).collect();
            let (_, &mut last_to_go, _) = ages.select_nth_unstable(excess - 1);
            self.targets.retain(|&(target, window)| (window, target) > last_to_go);
        }
    }

    fn last_window(&self) -> i64 {
        self.peers.last().map_or(i64::MIN, |&(window, _)| window)
    }
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    singles: Vec<(HostKey, Single)>,
    memories: Vec<(HostKey, Memory)>,
    swept: i64,
}

/// What makes a memory a scan.
struct Scan {
    vertical: bool,
    count: u64,
    /// The victims, or the hosts tried on the port.
    hosts: Vec<HostKey>,
    ports: Vec<u16>,
}

struct SlowScan {
    config: Config,
    fast: port_scan::Config,
    singles: HashMap<HostKey, Single>,
    memories: HashMap<HostKey, Memory>,
    swept: i64,
}

impl Detector for SlowScan {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let mut state = State {
            singles: self.singles.iter().map(|(host, single)| (*host, *single)).collect(),
            memories: self.memories.iter().map(|(host, memory)| (*host, memory.clone())).collect(),
            swept: self.swept,
        };
        state.singles.sort_unstable_by_key(|(host, _)| *host);
        state.memories.sort_unstable_by_key(|(host, _)| *host);
        serde_json::to_vec(&state).expect("hosts, ports and numbers are plain data")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State =
            serde_json::from_slice(state).map_err(|error| RestoreError::new(ID, error))?;
        self.singles = state.singles.into_iter().collect();
        self.memories = state.memories.into_iter().collect();
        self.swept = state.swept;
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.number();
        if now - self.swept >= SWEEP_WINDOWS || now < self.swept {
            self.sweep(now);
        }
        for source in &window.sources {
            let new = match &source.probes {
                ProbeLog::None | ProbeLog::One { port: None, .. } => continue,
                &ProbeLog::One { host, port: Some(port), .. } => {
                    self.note_one(source, (host, port), now)
                }
                ProbeLog::Many(probes) => self.note_many(source, probes, now),
            };
            if new == 0 {
                continue;
            }
            let Some(scan) = self.memories.get(&source.host()).and_then(|m| self.judge(m)) else {
                continue;
            };
            findings.push(self.finding(window, source, new, &scan));
        }
    }
}

impl SlowScan {
    fn new(config: Config, fast: port_scan::Config) -> Self {
        let (singles, memories) = (HashMap::new(), HashMap::new());
        Self { config, fast, singles, memories, swept: i64::MIN / 2 }
    }

    fn oldest(&self, now: i64) -> i64 {
        now - i64::from(self.config.memory_windows) + 1
    }

    /// Remembers a source that tried one target; returns the number of its new targets.
    fn note_one(&mut self, source: &SourceWindow, target: Target, now: i64) -> usize {
        let (host, peers) = (source.host(), peers_of(source));
        if self.memories.contains_key(&host) {
            return self.remember(host, &[target], peers, now);
        }
        let oldest = self.oldest(now);
        match self.singles.get_mut(&host) {
            None => {
                if self.singles.len() < self.config.max_single_sources {
                    self.singles.insert(host, Single { target, window: now, peers });
                }
                0
            }
            Some(single) if single.target == target || single.window < oldest => {
                *single = Single { target, window: now, peers };
                0
            }
            Some(_) => self.remember(host, &[target], peers, now),
        }
    }

    /// Remembers a source that tried several targets; returns the number of its new targets, 0 for
    /// a fast scanner, whose targets are not kept: they would name it long after it stopped.
    fn note_many(&mut self, source: &SourceWindow, probes: &Probes, now: i64) -> usize {
        if self.fast.enabled && self.fast.is_scanner(source) {
            return 0;
        }
        let mut hosts: Vec<_> = probes.hosts_with_ports().collect();
        hosts.sort_unstable_by_key(|(host, _)| *host);
        let mut targets = Vec::new();
        for (host, ports) in hosts {
            targets.extend(ports.first(PORTS_PER_WINDOW).into_iter().map(|port| (host, port)));
        }
        match (self.memories.contains_key(&source.host()), &targets[..]) {
            (_, []) => 0,
            (false, &[target]) => self.note_one(source, target, now),
            _ => self.remember(source.host(), &targets, peers_of(source), now),
        }
    }

    fn remember(&mut self, host: HostKey, targets: &[Target], peers: u32, now: i64) -> usize {
        let oldest = self.oldest(now);
        if !self.memories.contains_key(&host) && self.memories.len() >= self.config.max_sources {
            self.make_room(oldest);
        }
        let memory = self.memories.entry(host).or_default();
        if let Some(single) = self.singles.remove(&host)
            && single.window >= oldest
        {
            memory.insert(single.target, single.window);
            memory.peers.push((single.window, single.peers));
        }
        memory.forget_before(oldest);
        memory.peers.push((now, peers));
        let new = targets.iter().filter(|&&target| memory.insert(target, now)).count();
        memory.forget_before(oldest);
        new
    }

    /// Drops what expired.
    fn sweep(&mut self, now: i64) {
        let oldest = self.oldest(now);
        self.singles.retain(|_, single| single.window >= oldest);
        self.memories.retain(|_, memory| memory.last_window() >= oldest);
        self.swept = now;
    }

    /// Drops what expired and, when that is not enough, half of the memories (at least one): those
    /// with the fewest targets, then the longest unseen. In a flood of new sources that is the flood
    /// itself; half, so that the search for them is paid by many newcomers.
    fn make_room(&mut self, oldest: i64) {
        self.memories.retain(|_, memory| memory.last_window() >= oldest);
        if self.memories.len() < self.config.max_sources {
            return;
        }
        let rank = |(host, memory): (&HostKey, &Memory)| {
            (memory.targets.len(), memory.last_window(), Reverse(*host))
        };
        let mut ranks: Vec<_> = self.memories.iter().map(rank).collect();
        let excess = ranks.len().div_ceil(2);
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(excess - 1);
        self.memories.retain(|host, memory| rank((host, memory)) > last_to_go);
    }

    /// Returns the scan in a memory: many ports of a host before many hosts of a port.
    fn judge(&self, memory: &Memory) -> Option<Scan> {
        let least = self.config.min_ports.min(self.config.min_hosts) as usize;
        if memory.targets.len() < least {
            return None;
        }
        self.vertical(memory).or_else(|| self.horizontal(memory))
    }

    fn vertical(&self, memory: &Memory) -> Option<Scan> {
        let by_host = memory.targets.chunk_by(|((a, _), _), ((b, _), _)| a == b);
        let ephemeral_from = self.fast.ephemeral_from;
        let counted = by_host.map(|targets| {
            let low = targets.partition_point(|((_, port), _)| *port < ephemeral_from);
            (countable_ports(targets.len() as u64, low as u64), targets)
        });
        let mut victims: Vec<_> =
            counted.filter(|&(count, _)| count >= self.config.min_ports).collect();
        victims.sort_by_key(|&(count, _)| Reverse(count));
        let &(count, targets) = victims.first()?;
        Some(Scan {
            vertical: true,
            count,
            hosts: victims.iter().map(|(_, targets)| targets[0].0.0).collect(),
            ports: targets.iter().map(|((_, port), _)| *port).collect(),
        })
    }

    fn horizontal(&self, memory: &Memory) -> Option<Scan> {
        let polled = &self.config.polled_ports;
        let mut by_port: Vec<_> =
            memory.targets.iter().map(|&((host, port), _)| (port, host)).collect();
        by_port.retain(|(port, _)| !polled.contains(port));
        by_port.sort_unstable();
        let groups = by_port.chunk_by(|a, b| a.0 == b.0);
        // The last of equals is the highest port: any fixed choice will do.
        let most = groups.max_by_key(|hosts| hosts.len())?;
        let contacts: u64 = memory.peers.iter().map(|&(_, peers)| u64::from(peers)).sum();
        let count = most.len() as u64;
        let is_scan = count >= self.config.min_hosts
            && count as f64 >= self.config.min_share * contacts as f64;
        is_scan.then(|| Scan {
            vertical: false,
            count,
            hosts: most.iter().map(|&(_, host)| host).collect(),
            ports: vec![most[0].0],
        })
    }

    fn finding(
        &self,
        window: &HostsWindow,
        source: &SourceWindow,
        new: usize,
        scan: &Scan,
    ) -> Finding {
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        let threshold = if scan.vertical { self.config.min_ports } else { self.config.min_hosts };
        let strength = log_strength(scan.count as f64, threshold as f64, TOP * threshold as f64);
        let count = scan.count;
        let (name, tried) = if scan.vertical {
            let listed = list_ports(&scan.ports);
            ("probed_ports", format!("tried {count} ports of {} ({listed})", scan.hosts[0].ip()))
        } else {
            ("probed_hosts", format!("tried port {} of {count} hosts", scan.ports[0]))
        };
        let new_targets = counted(new as u64, "new target");
        Finding {
            detector: ID,
            kind: Kind::PortScanSlow,
            subject: source.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![over_threshold(name, count as f64, threshold as f64)],
            reason: format!(
                "{tried} in vain within {minutes} min, {new_targets} in the last {} s (threshold: \
                 {threshold})",
                window.span.seconds
            ),
            related: most_involved(scan.hosts.iter().map(|host| (host.ip(), 1)).collect()),
            services: Vec::new(),
        }
    }
}

fn peers_of(source: &SourceWindow) -> u32 {
    u32::try_from(source.peers.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::{FlowBuilder, flow};

    fn detector(config: Config) -> SlowScan {
        SlowScan::new(config, port_scan::Config::default())
    }

    fn found(mut flows: Vec<Flow>) -> Vec<Finding> {
        flows.sort_by_key(|flow| flow.end);
        run(&mut detector(Config::default()), &flows)
    }

    /// One flow every 15 s for 10 minutes.
    fn slowly(target: impl Fn(i64) -> FlowBuilder) -> Vec<Flow> {
        (0..40).map(|n| target(n).at(n * 15).build()).collect()
    }

    fn new_ports() -> Vec<Flow> {
        slowly(|n| flow().to_port(1 + n as u16).syn())
    }

    fn new_hosts() -> Vec<Flow> {
        slowly(|n| flow().to(&format!("10.0.9.{n}")).to_port(445).syn())
    }

    /// `per_minute` answered contacts with varying hosts for half an hour.
    fn busy(per_minute: i64) -> Vec<Flow> {
        let contact = |n: i64| {
            let to = format!("192.0.2.{}", n * 7 % 200);
            flow().to(&to).to_port(443).flags(0x1b).at(n * 60 / per_minute).build()
        };
        (0..per_minute * 30).map(contact).collect()
    }

    #[test]
    fn a_new_port_every_15_seconds_is_found_while_it_goes_on() {
        let findings = found(new_ports());
        let minutes: Vec<_> = findings.iter().map(|f| f.window.start.seconds() / 60).collect();
        assert_eq!(minutes, (2..10).collect::<Vec<_>>(), "from the 12th port to the end");
        let last = findings.last().unwrap();
        assert_eq!(last.kind, Kind::PortScanSlow);
        assert_eq!(last.features[0], over_threshold("probed_ports", 40.0, 12.0));
        assert_eq!(
            last.reason,
            "tried 40 ports of 10.0.0.2 (1, 2, 3, 4, 5, 6, 7, 8 …) in vain within 20 min, 4 new \
             targets in the last 60 s (threshold: 12)"
        );
    }

    #[test]
    fn a_new_host_every_15_seconds_is_found_beside_ordinary_traffic() {
        assert_eq!(found(new_hosts()).len(), 6, "from the 20th host on");
        let beside = found([new_hosts(), busy(20)].concat());
        assert_eq!(beside.len(), 6);
        assert!(beside[0].reason.starts_with("tried port 445 of 20 hosts in vain"));
    }

    #[test]
    fn a_scan_that_stopped_is_not_named_any_more() {
        let after =
            (600..3_000).step_by(20).map(|second| flow().to_port(1).syn().at(second).build());
        let findings = found(new_ports().into_iter().chain(after).collect());
        assert!(findings.iter().all(|finding| finding.window.start.seconds() < 600));
    }

    #[test]
    fn retries_of_one_dead_target_are_no_scan() {
        let flows = (0..10_000).map(|n| flow().to_port(5000).syn().at(n * 3).build());
        assert_eq!(found(flows.collect()), []);
    }

    #[test]
    fn failing_peers_on_random_ports_are_no_scan() {
        let flow_of = |n: i64| {
            let port = 1024 + (n * 40_503 % 60_000) as u16;
            flow().to(&format!("198.51.{}.{}", n % 90, n % 251)).to_port(port).syn().at(n).build()
        };
        assert_eq!(found((0..1_800).map(flow_of).collect()), []);
    }

    #[test]
    fn a_mail_server_with_a_few_dead_receivers_a_minute_is_no_scan() {
        let dead = |n: i64| flow().to(&format!("203.0.113.{}", n % 80)).to_port(25).syn();
        let dead = (0..90).map(|n| dead(n).at(n * 20).build());
        let flows = busy(60).into_iter().chain(dead).collect();
        assert_eq!(found(flows), []);
    }

    #[test]
    fn a_fast_scanner_is_left_to_the_fast_rule_and_leaves_no_trace() {
        let fast: Vec<_> = (1..=100).map(|port| flow().to_port(port).syn().at(5).build()).collect();
        let after = (1..10).map(|n| flow().to_port(200 + n as u16).syn().at(n * 60).build());
        assert_eq!(found(fast.into_iter().chain(after).collect()), []);
    }

    #[test]
    fn the_memory_stays_bounded_and_keeps_who_tried_most() {
        let config = Config { max_sources: 20, max_single_sources: 10, ..Config::default() };
        let mut detector = detector(config);
        let noise = (0..3_000i64).flat_map(|n| {
            let from = format!("172.16.{}.{}", n / 250, n % 250);
            (0..2).map(move |port| flow().from(&from).to_port(port).syn().at(n / 5).build())
        });
        let mut flows: Vec<_> = new_ports().into_iter().chain(noise).collect();
        flows.sort_by_key(|flow| flow.end);
        let findings = run(&mut detector, &flows);
        assert!(detector.memories.len() <= 20 && detector.singles.len() <= 10);
        assert!(findings.iter().all(|finding| finding.subject.to_string() == "10.0.0.1"));
        assert_eq!(findings.len(), 8, "the scan among 3,000 others is found as if it were alone");
    }

    #[test]
    fn one_source_keeps_a_bounded_number_of_targets() {
        let mut memory = Memory::default();
        for n in 0..2_000u16 {
            memory.insert((HostKey::new([10, 0, 0, 1].into()), n), i64::from(n));
        }
        memory.forget_before(0);
        assert_eq!(memory.targets.len(), MAX_TARGETS);
        assert_eq!(memory.targets[0].0.1, 2_000 - MAX_TARGETS as u16, "the oldest went");
    }
}
