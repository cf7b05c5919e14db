//! Carpet bombing: a flood over many hosts of one prefix, small for each of them: packets that nobody
//! answers, or answers that nobody asked for.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError, Subject, is_group};

use super::rules::{
    Keys, LEAST_EVIDENCE, counted, fact, log_strength, most_involved, over_threshold,
    rule_probability,
};
use super::services::amplifier;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "carpet_bombing";
/// Packets without an answer to many hosts of a prefix from many senders at once: no accident.
const PROBABILITY: f64 = 1e-4;
/// A hundred times the threshold is as bad as it gets.
const TOP: f64 = 100.0;
/// Bits of a prefix: the smallest that is routed on its own.
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 48;

/// Settings of the detector `carpet_bombing`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Packets without any answer, or of answers nobody asked for, to hosts of one prefix (/24, /48)
    /// within a window (60 s); positive.
    pub min_packets: u64,
    /// Hosts of the prefix that get them; at least 2. Fewer are floods of single hosts.
    pub min_hosts: u64,
    /// Senders; at least 1. A single one that tries every host is a scan.
    pub min_senders: u64,
    /// Packets per host on average; positive. A scan sends few to each.
    pub min_packets_per_host: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_packets: 5_000,
            min_hosts: 16,
            min_senders: 8,
            min_packets_per_host: 20.0,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_packets", self.min_packets, 1)?;
        keys.at_least("min_hosts", self.min_hosts, 2)?;
        keys.at_least("min_senders", self.min_senders, 1)?;
        keys.positive("min_packets_per_host", self.min_packets_per_host)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(CarpetBombing { config: self.clone() })
    }
}

/// What a prefix got without answering.
#[derive(Default)]
struct Target {
    packets: u64,
    bytes: u64,
    evidence: u64,
    hosts: HashMap<HostKey, u64>,
    senders: HashMap<HostKey, u64>,
}

impl Target {
    fn add(&mut self, load: &Load) {
        self.packets = self.packets.saturating_add(load.packets);
        self.bytes = self.bytes.saturating_add(load.bytes);
        self.evidence = self.evidence.saturating_add(load.evidence);
        let host = self.hosts.entry(load.receiver).or_default();
        *host = host.saturating_add(load.packets);
        let sender = self.senders.entry(load.sender).or_default();
        *sender = sender.saturating_add(load.packets);
    }
}

/// What a host got from another one without having to do with it.
struct Load {
    sender: HostKey,
    receiver: HostKey,
    packets: u64,
    bytes: u64,
    evidence: u64,
}

/// The one-sided part of a conversation: questions without an answer, or answers of a service that
/// amplifies without a question.
fn load_of(c: &Conversation) -> Option<Load> {
    let counters = &c.counters;
    let evidence = counters.evidence();
    let is_unanswered = !counters.is_answered() && counters.requests > 0;
    if is_unanswered && !is_group(c.server.ip()) {
        let (packets, bytes) = (counters.packets_up, counters.bytes_up);
        return Some(Load { sender: c.client, receiver: c.server, packets, bytes, evidence });
    }
    let is_unasked = counters.packets_up == 0 && counters.packets_down > 0;
    if is_unasked && c.protocol == Protocol::UDP.0 && amplifier(c.port).is_some() {
        let (packets, bytes) = (counters.packets_down, counters.bytes_down);
        return Some(Load { sender: c.server, receiver: c.client, packets, bytes, evidence });
    }
    None
}

struct CarpetBombing {
    config: Config,
}

/// The prefix of a host: its first address and its length.
fn prefix_of(host: HostKey) -> (IpAddr, u8) {
    match host.ip() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX << (32 - V4_BITS);
            (Ipv4Addr::from_bits(ip.to_bits() & mask).into(), V4_BITS)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX << (128 - V6_BITS);
            (Ipv6Addr::from_bits(ip.to_bits() & mask).into(), V6_BITS)
        }
    }
}

impl Detector for CarpetBombing {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let mut targets = HashMap::<(IpAddr, u8), Target>::new();
        for load in window.conversations.iter().filter_map(load_of) {
            targets.entry(prefix_of(load.receiver)).or_default().add(&load);
        }
        let config = &self.config;
        let is_bombed = |target: &Target| {
            let hosts = target.hosts.len() as u64;
            target.packets >= config.min_packets
                && target.evidence >= LEAST_EVIDENCE
                && hosts >= config.min_hosts
                && target.senders.len() as u64 >= config.min_senders
                && target.packets as f64 >= config.min_packets_per_host * hosts as f64
                // Else one host is meant.
                && target.hosts.values().all(|&packets| packets <= target.packets / 2)
        };
        let mut bombed: Vec<_> = targets.into_iter().filter(|(_, t)| is_bombed(t)).collect();
        bombed.sort_unstable_by_key(|(prefix, _)| *prefix);
        findings.extend(bombed.into_iter().map(|(prefix, t)| self.finding(window, prefix, t)));
    }
}

impl CarpetBombing {
    fn finding(&self, window: &HostsWindow, (ip, bits): (IpAddr, u8), target: Target) -> Finding {
        let threshold = self.config.min_packets as f64;
        let packets = target.packets as f64;
        let (hosts, senders) = (target.hosts.len() as u64, target.senders.len() as u64);
        let strength = log_strength(packets, threshold, threshold * TOP);
        let most = target.senders.into_iter().map(|(sender, packets)| (sender.ip(), packets));
        Finding {
            detector: ID,
            kind: Kind::CarpetBombing,
            subject: Subject::Prefix(ip, bits),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("unanswered_packets", packets, threshold),
                over_threshold("uniqDstIPs", hosts as f64, self.config.min_hosts as f64),
                over_threshold("uniqSrcIPs", senders as f64, self.config.min_senders as f64),
                fact("bytes", target.bytes as f64),
            ],
            reason: format!(
                "got {} packets that nobody asked for or answered on {} from {} within {} s",
                target.packets,
                counted(hosts, "host"),
                counted(senders, "sender"),
                window.span.seconds,
            ),
            related: most_involved(most.collect()),
            services: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Endpoint, Flow, Protocol};
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    /// `senders` × `hosts` UDP flows of `packets` each into 203.0.113.0/24.
    fn bombs(senders: u8, hosts: u8, packets: u64) -> Vec<Flow> {
        let pairs = (0..senders).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        pairs
            .map(|(from, to)| {
                let flow = flow().from(&format!("110.1.2.{from}")).to(&format!("203.0.113.{to}"));
                flow.to_port(4_000)
                    .protocol(Protocol::UDP)
                    .packets(packets)
                    .bytes(packets * 500)
                    .build()
            })
            .collect()
    }

    #[test]
    fn a_flood_over_a_prefix_names_the_prefix() {
        let findings = found(&bombs(10, 50, 30));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Prefix("203.0.113.0".parse().unwrap(), 24));
        assert_eq!(
            findings[0].reason,
            "got 15000 packets that nobody asked for or answered on 50 hosts from 10 senders within 60 s"
        );
    }

    #[test]
    fn a_flood_of_answers_that_nobody_asked_for_is_one_as_well() {
        let answers =
            |flow: Flow| Flow { source: Endpoint { port: Some(53), ..flow.source }, ..flow };
        let findings = found(&bombs(10, 50, 30).into_iter().map(answers).collect::<Vec<_>>());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Prefix("203.0.113.0".parse().unwrap(), 24));
    }

    #[test]
    fn scans_and_floods_of_one_host_are_something_else() {
        assert!(found(&bombs(1, 200, 30)).is_empty(), "a single sender");
        assert!(found(&bombs(10, 50, 2)).is_empty(), "few packets to each");
        let mut flood = bombs(10, 1, 10_000);
        flood.extend(bombs(10, 20, 10));
        assert!(found(&flood).is_empty(), "one host is meant");
    }
}
