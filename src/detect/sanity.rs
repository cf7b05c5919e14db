//! Flows that make no sense (S1.5): reserved destination ports, broadcasts, no bytes.
//!
//! One finding per window and source with the counts of every rule, never one per flow. Probes of
//! reserved ports are left to the scan rules: every address on the Internet gets them all day, 2,000
//! sources a day in simulated office traffic.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow, PortSet};
use crate::model::{
    FeatureEvidence, Finding, Flow, FlowOrigin, Kind, Protocol, SettingError, Subject, Timestamp,
    WindowSpan,
};

use super::pending::{Note, Pending};
use super::rules::{Keys, counted, fact, list_ports, log_strength, rule_probability};
use super::{Configured, Context, Detector, NotesError, Settings};

const ID: &str = "sanity";
/// Odd devices send such flows all day: one in a hundred host windows is all that is claimed.
const PROBABILITY: f64 = 1e-2;
/// A thousand odd flows in a window are as bad as it gets.
const TOP: f64 = 1_000.0;

/// Settings of the detector `sanity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// TCP and UDP destination ports that nobody should use. Probes, which get no service there,
    /// do not count.
    pub reserved_ports: Vec<u16>,
    /// Destination ports to which broadcasts (255.255.255.255) are ordinary: DHCP, wake on LAN,
    /// NetBIOS, printers, media and home devices that look for each other.
    pub broadcast_ports: Vec<u16>,
    /// Whether flows without bytes or packets count. Records of system 001's table and those of
    /// answers alone are left out, since they do not say.
    pub empty_flows: bool,
    /// Sources that are noted in one window (60 s); at least 1. About 100 bytes each. In a window
    /// with more, an even sample of them is named.
    pub max_sources: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            reserved_ports: vec![0, 81, 82],
            broadcast_ports: vec![
                7, 9, 67, 68, 137, 138, 1900, 3289, 3702, 5353, 5678, 6666, 6667, 10_001, 17_500,
                32_412, 32_414, 54_915, 57_621,
            ],
            empty_flows: true,
            max_sources: 10_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        Keys(ID).at_least("max_sources", self.max_sources as u64, 1)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(Sanity::new(self.clone()))
    }
}

/// Odd flows of one source in one window.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Oddities {
    reserved: u64,
    broadcast: u64,
    empty: u64,
    reserved_ports: PortSet,
}

impl Note for Oddities {
    fn merge(&mut self, other: Self) {
        self.reserved = self.reserved.saturating_add(other.reserved);
        self.broadcast = self.broadcast.saturating_add(other.broadcast);
        self.empty = self.empty.saturating_add(other.empty);
        self.reserved_ports.merge(&other.reserved_ports);
    }
}

struct Sanity {
    pending: Pending<Oddities>,
    config: Config,
}

impl Detector for Sanity {
    fn id(&self) -> &'static str {
        ID
    }

    fn observe(&mut self, flow: &Flow, window: WindowSpan) {
        let reserved = self.uses_reserved_port(flow);
        let broadcast = self.is_odd_broadcast(flow);
        let empty = self.config.empty_flows && is_empty(flow);
        if !(reserved || broadcast || empty) {
            return;
        }
        let Some(source) = flow.source.ip else { return };
        let note = self.pending.note(window.start, HostKey::new(source));
        let Some(note) = note else { return };
        note.reserved += u64::from(reserved);
        note.broadcast += u64::from(broadcast);
        note.empty += u64::from(empty);
        if let Some(port) = flow.destination.port
            && reserved
        {
            note.reserved_ports.insert(port);
        }
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let noted = self.pending.take_until(window.span.start);
        findings.extend(noted.iter().map(|(host, odd)| finding(window.span, host.ip(), odd)));
    }

    fn take_notes(&mut self, start: Timestamp) -> Vec<Vec<u8>> {
        self.pending.take_pieces_until(start)
    }

    fn add_notes(&mut self, start: Timestamp, notes: &[u8]) -> Result<(), NotesError> {
        self.pending.add(start, notes).map_err(|source| NotesError { detector: ID, source })
    }
}

impl Sanity {
    fn new(config: Config) -> Self {
        Self { pending: Pending::new(config.max_sources), config }
    }

    fn uses_reserved_port(&self, flow: &Flow) -> bool {
        let has_ports = matches!(flow.protocol, Some(Protocol::TCP | Protocol::UDP));
        has_ports
            && flow.destination.port.is_some_and(|port| self.config.reserved_ports.contains(&port))
            && !flow.is_probe()
    }

    fn is_odd_broadcast(&self, flow: &Flow) -> bool {
        flow.destination.ip == Some(IpAddr::V4(Ipv4Addr::BROADCAST))
            && !flow
                .destination
                .port
                .is_some_and(|port| self.config.broadcast_ports.contains(&port))
    }
}

/// Whether nothing was sent although the record says what was sent.
fn is_empty(flow: &Flow) -> bool {
    let is_answer_alone = flow.returned.is_some_and(|counters| counters.packets > 0);
    let is_nothing = flow.sent.bytes == 0 || flow.sent.packets == 0;
    is_nothing && !is_answer_alone && flow.origin != FlowOrigin::Table
}

fn finding(window: WindowSpan, source: IpAddr, odd: &Oddities) -> Finding {
    let mut features: Vec<FeatureEvidence> = Vec::new();
    let mut clauses = Vec::new();
    let mut say = |name, count: u64, what: &str| {
        if count > 0 {
            features.push(fact(name, count as f64));
            clauses.push(format!("{} {what}", counted(count, "flow")));
        }
    };
    let ports = list_ports(&odd.reserved_ports.first(9));
    say("reserved_port_flows", odd.reserved, &format!("to reserved ports ({ports})"));
    say("broadcast_flows", odd.broadcast, "to 255.255.255.255");
    say("empty_flows", odd.empty, "without bytes or packets");
    let count = odd.reserved.saturating_add(odd.broadcast).saturating_add(odd.empty);
    let strength = log_strength(count as f64, 1.0, TOP);
    Finding {
        detector: ID,
        kind: Kind::MalformedFlow,
        subject: Subject::Source(source),
        window,
        probability: rule_probability(PROBABILITY, strength),
        strength,
        features,
        reason: format!("sent {} within {} s", clauses.join(", "), window.seconds),
        related: Vec::new(),
        services: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::testkit::{FlowBuilder, flow};

    fn reasons(flows: impl IntoIterator<Item = FlowBuilder>) -> Vec<String> {
        let flows: Vec<_> = flows.into_iter().map(FlowBuilder::build).collect();
        let findings = run(&mut Sanity::new(Config::default()), &flows);
        findings.into_iter().map(|finding| finding.reason).collect()
    }

    fn broadcast(port: u16) -> FlowBuilder {
        flow().protocol(Protocol::UDP).from("0.0.0.0").to("255.255.255.255").to_port(port)
    }

    #[test]
    fn a_flow_to_port_81_is_one_finding_however_often_it_comes() {
        assert_eq!(
            reasons([flow().to_port(81)]),
            ["sent 1 flow to reserved ports (81) within 60 s"]
        );
        let many = (0..500).map(|_| flow().to_port(81)).chain([flow().to_port(0)]);
        assert_eq!(reasons(many), ["sent 501 flows to reserved ports (0, 81) within 60 s"]);
    }

    #[test]
    fn dhcp_is_legal_and_other_broadcasts_are_odd() {
        assert_eq!(reasons([broadcast(67), broadcast(68)]), [] as [&str; 0]);
        assert_eq!(reasons([broadcast(4444)]), ["sent 1 flow to 255.255.255.255 within 60 s"]);
    }

    #[test]
    fn flows_without_bytes_or_packets_are_odd_unless_the_record_is_an_answer_alone() {
        let empty = "sent 1 flow without bytes or packets within 60 s";
        assert_eq!(reasons([flow().bytes(0)]), [empty]);
        assert_eq!(reasons([flow().packets(0)]), [empty]);
        assert_eq!(reasons([flow().bytes(0).packets(0).returned(139, 1)]), [] as [&str; 0]);
    }

    #[test]
    fn probes_are_left_to_the_scan_rules() {
        assert_eq!(reasons([flow().to_port(81).syn()]), [] as [&str; 0]);
    }

    #[test]
    fn port_0_of_protocols_without_ports_is_ordinary() {
        assert_eq!(reasons([flow().protocol(Protocol::ICMP).to_port(0)]), [] as [&str; 0]);
    }

    #[test]
    fn sources_and_windows_are_kept_apart() {
        let flows =
            [flow().to_port(81), flow().from("10.0.0.9").to_port(81), flow().to_port(81).at(60)];
        assert_eq!(reasons(flows).len(), 3);
    }

    #[test]
    fn so_many_sources_are_noted_and_no_more() {
        let config = Config { max_sources: 5, ..Config::default() };
        let flows: Vec<_> =
            (1..100).map(|n| flow().from(&format!("10.0.0.{n}")).to_port(81).build()).collect();
        assert_eq!(run(&mut Sanity::new(config), &flows).len(), 5);
    }
}
