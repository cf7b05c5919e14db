//! Windows of hosts: as senders (S0.3) and as receivers (S0.4) of flows, and of exporters.
//!
//! Definitions are system 000's, corrected: bytes and packets are scaled by the sampling rate, flow
//! counts keep exporters apart (two devices may use the same sequence number), and a subject seen in
//! two VLANs is one subject.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Flow, Role, Subject};

use super::distinct::Distinct;
use super::hashing::{HostKey, combine};
use super::loss::ExportLog;
use super::matrix::NamedFeatures;
use super::pairs::Surplus;
use super::ports::PortSet;
use super::probes::ProbeLog;
use super::table::{Entry, Share};

/// What is known of a flow before it is counted under several subjects: computed once.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowFacts {
    pub source: Option<HostKey>,
    pub destination: Option<HostKey>,
    pub source_key: u64,
    pub destination_key: u64,
    /// The exporter; 0 when the record does not say.
    pub exporter_key: u64,
    /// (exporter, sequence number), where the record has one.
    pub export_key: Option<u64>,
    pub bytes: u64,
    pub packets: u64,
    pub returned_bytes: u64,
    pub initiates: bool,
    pub probes: bool,
}

impl FlowFacts {
    pub(super) fn of(flow: &Flow) -> Self {
        let source = flow.source.ip.map(HostKey::new);
        let destination = flow.destination.ip.map(HostKey::new);
        let exporter_key = flow.exporter.map_or(0, |ip| HostKey::new(ip).sketch_key());
        Self {
            source,
            destination,
            source_key: source.map_or(0, HostKey::sketch_key),
            destination_key: destination.map_or(0, HostKey::sketch_key),
            exporter_key,
            export_key: flow.sequence.map(|sequence| combine(exporter_key, u64::from(sequence))),
            bytes: flow.scaled_bytes(),
            packets: flow.scaled_packets(),
            returned_bytes: flow.scaled_returned_bytes(),
            initiates: flow.role() == Role::Initiator,
            probes: flow.is_probe(),
        }
    }
}

/// Counters that senders and receivers share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostCounters {
    /// Flow records.
    pub records: u64,
    /// Bytes of these flows, scaled by sampling.
    pub bytes: u64,
    /// Packets of these flows, scaled by sampling.
    pub packets: u64,
    /// Bytes that came back, in records of both directions.
    pub returned_bytes: u64,
    /// Distinct (exporter, sequence number).
    exports: Distinct,
    /// Records without a sequence number.
    unnumbered: u64,
}

impl HostCounters {
    fn add(&mut self, facts: &FlowFacts) {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(facts.bytes);
        self.packets = self.packets.saturating_add(facts.packets);
        self.returned_bytes = self.returned_bytes.saturating_add(facts.returned_bytes);
        match facts.export_key {
            Some(key) => self.exports.insert(key),
            None => self.unnumbered += 1,
        }
    }

    /// Adds the counters of another part of the same window.
    pub fn merge(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.returned_bytes = self.returned_bytes.saturating_add(other.returned_bytes);
        self.exports.merge(&other.exports);
        self.unnumbered = self.unnumbered.saturating_add(other.unnumbered);
    }

    /// Takes out what several exporters counted beyond the one that saw most.
    pub(super) fn deduct(&mut self, surplus: &Surplus) {
        self.records = self.records.saturating_sub(surplus.records);
        self.bytes = self.bytes.saturating_sub(surplus.bytes);
        self.packets = self.packets.saturating_sub(surplus.packets);
        self.returned_bytes = self.returned_bytes.saturating_sub(surplus.returned_bytes);
    }

    /// System 000's `sumOfFlows`: distinct export sequence numbers, each exporter for itself;
    /// records without a number count one each.
    pub fn flows(&self) -> u64 {
        self.exports.count().saturating_add(self.unnumbered)
    }
}

/// A host as the sender of flows, over one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceWindow {
    key: HostKey,
    /// Flows, bytes, packets.
    pub counters: HostCounters,
    /// Distinct receivers.
    pub peers: Distinct,
    /// Destination ports of contacts that this host opened.
    pub opened_ports: PortSet,
    /// Destination ports of its answers: the ephemeral ports of its clients.
    pub answered_ports: PortSet,
    /// What it tried in vain.
    pub probes: ProbeLog,
    /// The highest VLAN of its flows; 0 = none. One subject may be in several.
    pub vlan: u16,
}

impl Entry for SourceWindow {
    type Key = HostKey;

    fn new(key: HostKey) -> Self {
        Self {
            key,
            counters: HostCounters::default(),
            peers: Distinct::default(),
            opened_ports: PortSet::default(),
            answered_ports: PortSet::default(),
            probes: ProbeLog::default(),
            vlan: 0,
        }
    }

    fn key(&self) -> HostKey {
        self.key
    }
}

impl Share for SourceWindow {
    fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.peers.merge(&other.peers);
        self.opened_ports.merge(&other.opened_ports);
        self.answered_ports.merge(&other.answered_ports);
        self.probes.merge(&other.probes);
        self.vlan = self.vlan.max(other.vlan);
    }

    fn additions(&self) -> u64 {
        self.counters.records
    }
}

impl SourceWindow {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        self.counters.add(facts);
        self.vlan = self.vlan.max(flow.vlan.unwrap_or(0));
        if let Some(destination) = facts.destination {
            self.peers.insert(facts.destination_key);
            if facts.probes {
                self.probes.insert(destination, flow.destination.port);
            }
        }
        if let Some(port) = flow.destination.port {
            let ports =
                if facts.initiates { &mut self.opened_ports } else { &mut self.answered_ports };
            ports.insert(port);
        }
    }

    /// The host.
    pub fn ip(&self) -> IpAddr {
        self.key.ip()
    }

    /// The key of the host, for tables.
    pub fn host(&self) -> HostKey {
        self.key
    }

    /// The host as a subject.
    pub fn subject(&self) -> Subject {
        Subject::Source(self.ip())
    }

    /// System 000's `uniqDstPorts`: distinct destination ports of all its flows.
    pub fn distinct_ports(&self) -> u64 {
        self.opened_ports.union_count(&self.answered_ports)
    }
}

impl NamedFeatures for SourceWindow {
    const NAMES: &'static [&'static str] = &[
        "sumOfFlows",
        "sumOfBytes",
        "sumOfPackets",
        "uniqDstIPs",
        "uniqDstPorts",
        "records",
        "bytesReturned",
        "probes",
    ];

    fn write_features(&self, out: &mut Vec<f64>) {
        let counters = &self.counters;
        out.extend(
            [
                counters.flows(),
                counters.bytes,
                counters.packets,
                self.peers.count(),
                self.distinct_ports(),
                counters.records,
                counters.returned_bytes,
                self.probes.count(),
            ]
            .map(|value| value as f64),
        );
    }
}

/// A host as the receiver of flows, over one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DestinationWindow {
    key: HostKey,
    /// Flows, bytes, packets.
    pub counters: HostCounters,
    /// Distinct senders.
    pub peers: Distinct,
    /// Distinct source ports.
    pub source_ports: PortSet,
}

impl Entry for DestinationWindow {
    type Key = HostKey;

    fn new(key: HostKey) -> Self {
        Self {
            key,
            counters: HostCounters::default(),
            peers: Distinct::default(),
            source_ports: PortSet::default(),
        }
    }

    fn key(&self) -> HostKey {
        self.key
    }
}

impl Share for DestinationWindow {
    fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.peers.merge(&other.peers);
        self.source_ports.merge(&other.source_ports);
    }

    fn additions(&self) -> u64 {
        self.counters.records
    }
}

impl DestinationWindow {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        self.counters.add(facts);
        if facts.source.is_some() {
            self.peers.insert(facts.source_key);
        }
        if let Some(port) = flow.source.port {
            self.source_ports.insert(port);
        }
    }

    /// The host.
    pub fn ip(&self) -> IpAddr {
        self.key.ip()
    }

    /// The host as a subject.
    pub fn subject(&self) -> Subject {
        Subject::Destination(self.ip())
    }
}

impl NamedFeatures for DestinationWindow {
    const NAMES: &'static [&'static str] = &[
        "destSumOfFlows",
        "destSumOfBytes",
        "destSumOfPackets",
        "uniqSrcIPs",
        "uniqSrcPorts",
        "records",
        "bytesReturned",
    ];

    fn write_features(&self, out: &mut Vec<f64>) {
        let counters = &self.counters;
        out.extend(
            [
                counters.flows(),
                counters.bytes,
                counters.packets,
                self.peers.count(),
                self.source_ports.count(),
                counters.records,
                counters.returned_bytes,
            ]
            .map(|value| value as f64),
        );
    }
}

/// One exporting device, over one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExporterWindow {
    key: HostKey,
    /// Flows, bytes, packets.
    pub counters: HostCounters,
    /// Records that did not say their sampling rate.
    pub unknown_sampling: u64,
    /// The numbers of the datagrams that came in the time of the window, whenever their flows ended.
    pub exports: ExportLog,
}

impl Entry for ExporterWindow {
    type Key = HostKey;

    fn new(key: HostKey) -> Self {
        let (counters, exports) = (HostCounters::default(), ExportLog::default());
        Self { key, counters, unknown_sampling: 0, exports }
    }

    fn key(&self) -> HostKey {
        self.key
    }
}

impl Share for ExporterWindow {
    fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.unknown_sampling = self.unknown_sampling.saturating_add(other.unknown_sampling);
        self.exports.merge(&other.exports);
    }

    fn additions(&self) -> u64 {
        self.counters.records
    }
}

impl ExporterWindow {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        // Every record, not distinct sequence numbers: a device's load is what it exports.
        let counted = FlowFacts { export_key: None, ..*facts };
        self.counters.add(&counted);
        self.unknown_sampling += u64::from(flow.sampling_rate.is_none());
    }

    /// The exporter as a subject.
    pub fn subject(&self) -> Subject {
        Subject::Exporter(self.key.ip())
    }
}

impl NamedFeatures for ExporterWindow {
    const NAMES: &'static [&'static str] = &[
        "flows",
        "bytes",
        "packets",
        "unknown_sampling",
        "expected_records",
        "lost_records",
        "expected_datagrams",
        "lost_datagrams",
        "export_loss",
    ];

    fn write_features(&self, out: &mut Vec<f64>) {
        let (counters, loss) = (&self.counters, self.exports.loss());
        out.extend(
            [
                counters.records,
                counters.bytes,
                counters.packets,
                self.unknown_sampling,
                loss.expected_records,
                loss.lost_records,
                loss.expected_datagrams,
                loss.lost_datagrams,
            ]
            .map(|value| value as f64),
        );
        out.push(loss.share());
    }
}
