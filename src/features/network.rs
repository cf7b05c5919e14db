//! The whole network over one window: totals, distributions and entropies.
//!
//! A pane's counters are folded into its longer window when the pane closes; nothing is counted
//! twice on the way of a flow.

use serde::{Deserialize, Serialize};

use crate::model::{ConnectionState, Defects, Flow, Protocol};

use super::entropy::entropy;
use super::hosts::{DestinationWindow, FlowFacts, SourceWindow};
use super::matrix::{NamedFeatures, quantile};
use super::pairs::{PairWindow, Surplus};
use super::port_counts::PortCounts;
use super::wire;

/// Traffic classes of the totals.
const CLASSES: usize = 4;

fn class_of(flow: &Flow) -> usize {
    match flow.protocol {
        Some(Protocol::TCP) => 0,
        Some(Protocol::UDP) => 1,
        Some(protocol) if protocol.is_icmp() => 2,
        _ => 3,
    }
}

/// Additive counters over all flows of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkCounters {
    /// Flow records.
    pub flows: u64,
    /// Bytes both ways, scaled by sampling.
    pub bytes: u64,
    /// Packets from the sources, scaled by sampling.
    pub packets: u64,
    /// Bytes from the sources as exported, not scaled.
    pub raw_bytes: u64,
    /// Packets from the sources as exported, not scaled.
    pub raw_packets: u64,
    /// Records without a sampling rate.
    pub unknown_sampling: u64,
    /// Records whose time was replaced by the receive time.
    pub clock_skew: u64,
    flows_by_class: [u64; CLASSES],
    bytes_by_class: [u64; CLASSES],
    /// Last element: no state.
    by_state: [u64; 7],
    /// Last element: no IP protocol.
    #[serde(with = "wire::counters")]
    by_protocol: Box<[u64; 257]>,
    destination_ports: PortCounts,
    source_ports: PortCounts,
}

impl Default for NetworkCounters {
    fn default() -> Self {
        Self {
            flows: 0,
            bytes: 0,
            packets: 0,
            raw_bytes: 0,
            raw_packets: 0,
            unknown_sampling: 0,
            clock_skew: 0,
            flows_by_class: [0; CLASSES],
            bytes_by_class: [0; CLASSES],
            by_state: [0; 7],
            by_protocol: Box::new([0; 257]),
            destination_ports: PortCounts::default(),
            source_ports: PortCounts::default(),
        }
    }
}

impl NetworkCounters {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        let bytes = facts.bytes.saturating_add(facts.returned_bytes);
        let class = class_of(flow);
        self.flows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.packets = self.packets.saturating_add(facts.packets);
        self.raw_bytes = self.raw_bytes.saturating_add(flow.sent.bytes);
        self.raw_packets = self.raw_packets.saturating_add(flow.sent.packets);
        self.unknown_sampling += u64::from(flow.sampling_rate.is_none());
        self.clock_skew += u64::from(flow.defects.contains(Defects::CLOCK_SKEW));
        self.flows_by_class[class] += 1;
        self.bytes_by_class[class] = self.bytes_by_class[class].saturating_add(bytes);
        self.by_state[flow.state.map_or(6, |state| state as usize)] += 1;
        self.by_protocol[flow.protocol.map_or(256, |protocol| usize::from(protocol.0))] += 1;
        if let Some(port) = flow.destination.port {
            self.destination_ports.add(port, 1);
        }
        if let Some(port) = flow.source.port {
            self.source_ports.add(port, 1);
        }
    }

    /// Takes out what several exporters counted beyond the one that saw most. What exporters sent
    /// (raw counters, states, protocols, ports) stays as it was sent.
    pub(super) fn deduct(&mut self, surplus: &Surplus) {
        let bytes = surplus.bytes.saturating_add(surplus.returned_bytes);
        let class = surplus.class;
        for (counter, excess) in [
            (&mut self.flows, surplus.records),
            (&mut self.bytes, bytes),
            (&mut self.packets, surplus.packets),
            (&mut self.flows_by_class[class], surplus.records),
            (&mut self.bytes_by_class[class], bytes),
        ] {
            *counter = counter.saturating_sub(excess);
        }
    }

    /// Adds the counters of another stretch of time or another partition.
    pub fn merge(&mut self, other: &Self) {
        let sum = |a: &mut u64, b: &u64| *a = a.saturating_add(*b);
        sum(&mut self.flows, &other.flows);
        sum(&mut self.bytes, &other.bytes);
        sum(&mut self.packets, &other.packets);
        sum(&mut self.raw_bytes, &other.raw_bytes);
        sum(&mut self.raw_packets, &other.raw_packets);
        sum(&mut self.unknown_sampling, &other.unknown_sampling);
        sum(&mut self.clock_skew, &other.clock_skew);
        let arrays = [
            (&mut self.flows_by_class[..], &other.flows_by_class[..]),
            (&mut self.bytes_by_class[..], &other.bytes_by_class[..]),
            (&mut self.by_state[..], &other.by_state[..]),
            (&mut self.by_protocol[..], &other.by_protocol[..]),
        ];
        for (ours, theirs) in arrays {
            ours.iter_mut().zip(theirs).for_each(|(a, b)| sum(a, b));
        }
        self.destination_ports.merge(&other.destination_ports);
        self.source_ports.merge(&other.source_ports);
    }

    /// Records in a connection state.
    pub fn in_state(&self, state: ConnectionState) -> u64 {
        self.by_state[state as usize]
    }

    /// Distinct destination ports.
    pub fn distinct_destination_ports(&self) -> u64 {
        self.destination_ports.distinct()
    }

    /// Distinct source ports.
    pub fn distinct_source_ports(&self) -> u64 {
        self.source_ports.distinct()
    }
}

/// The whole network over one window, with what can only be said once all subjects are known.
#[derive(Clone, Debug)]
pub struct NetworkWindow {
    /// Totals.
    pub counters: NetworkCounters,
    /// Distinct senders.
    pub sources: u64,
    /// Distinct receivers.
    pub destinations: u64,
    /// Entropy (nats) of flows over senders.
    pub source_entropy: f64,
    /// Entropy (nats) of flows over receivers.
    pub destination_entropy: f64,
}

impl NetworkWindow {
    /// Puts the totals together with the hosts of the same window.
    pub(super) fn of_hosts(
        counters: NetworkCounters,
        sources: &[SourceWindow],
        destinations: &[DestinationWindow],
    ) -> Self {
        Self {
            counters,
            sources: sources.len() as u64,
            destinations: destinations.len() as u64,
            source_entropy: entropy(sources.iter().map(|host| host.counters.records)),
            destination_entropy: entropy(destinations.iter().map(|host| host.counters.records)),
        }
    }
}

impl NamedFeatures for NetworkWindow {
    const NAMES: &'static [&'static str] = &[
        "flows",
        "bytes",
        "packets",
        "raw_bytes",
        "raw_packets",
        "unknown_sampling",
        "clock_skew",
        "flows_tcp",
        "flows_udp",
        "flows_icmp",
        "flows_other",
        "bytes_tcp",
        "bytes_udp",
        "bytes_icmp",
        "bytes_other",
        "count_src_ip",
        "count_dst_ip",
        "count_src_port",
        "count_dst_port",
        "entropy_src_ip",
        "entropy_dst_ip",
        "entropy_src_port",
        "entropy_dst_port",
        "entropy_ip_protocol",
        "entropy_state",
    ];

    fn write_features(&self, out: &mut Vec<f64>) {
        let counters = &self.counters;
        let totals = [
            counters.flows,
            counters.bytes,
            counters.packets,
            counters.raw_bytes,
            counters.raw_packets,
            counters.unknown_sampling,
            counters.clock_skew,
        ];
        let classes = counters.flows_by_class.iter().chain(&counters.bytes_by_class).copied();
        let distinct = [
            self.sources,
            self.destinations,
            counters.distinct_source_ports(),
            counters.distinct_destination_ports(),
        ];
        out.extend(totals.into_iter().chain(classes).chain(distinct).map(|value| value as f64));
        out.extend([
            self.source_entropy,
            self.destination_entropy,
            entropy(counters.source_ports.in_order()),
            entropy(counters.destination_ports.in_order()),
            entropy(counters.by_protocol.iter().copied()),
            entropy(counters.by_state.iter().copied()),
        ]);
    }
}

/// System 001's 56 features of one batch of flows (S1.9), plus its `time_delta`, over one pane.
///
/// "Per" features are numbers of *distinct* values, as their names say; the original counted rows,
/// which made three families equal and scans invisible. A conn is a pair, a flow a five-tuple.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchFeatures {
    values: Vec<f64>,
}

/// What is distributed over what, in the order of the published names.
const FAMILIES: [&str; 7] = [
    "dst_port_per_conn",
    "dst_port_per_dst_ip",
    "src_ip_per_dst_ip",
    "dst_port_per_src_ip",
    "dst_ip_per_src_ip",
    "dst_ip_per_dst_port",
    "src_ip_per_dst_port",
];
const STATISTICS: [&str; 6] = ["max", "mean", "p25", "p50", "p75", "p90"];

impl BatchFeatures {
    /// Returns the 57 names in the order of the values.
    pub fn names() -> Vec<String> {
        let mut names: Vec<String> = [
            "num_entries",
            "time_delta",
            "count_dst_port",
            "count_src_port",
            "count_dst_ip",
            "count_src_ip",
        ]
        .map(String::from)
        .to_vec();
        names.extend(ConnectionState::ALL.map(|state| format!("num_state_{}", state.name())));
        names.extend(["count_conns", "count_flows", "num_flows_per_conn_mean"].map(String::from));
        for family in FAMILIES {
            names.extend(STATISTICS.map(|statistic| format!("{statistic}_{family}")));
        }
        names
    }

    /// The values in the order of [`BatchFeatures::names`]; all finite.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns the features of one pane. O(p log p) for p (pair, port) combinations.
    pub(super) fn of(counters: &NetworkCounters, pairs: &[PairWindow], seconds: u32) -> Self {
        let mut links: Vec<(u16, u128, u128)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (source, destination) = pair.hosts();
            pair.destination_ports.for_each(|port| {
                links.push((port, source.number(), destination.number()));
            });
        }
        let hosts = || pairs.iter().map(|pair| pair.hosts());
        let to_sources =
            || hosts().map(|(source, destination)| (destination.number(), source.number()));
        let to_destinations =
            || hosts().map(|(source, destination)| (source.number(), destination.number()));
        let families: [Vec<f64>; 7] = [
            pairs.iter().map(|pair| pair.destination_ports.count() as f64).collect(),
            distinct_per(
                links.iter().map(|&(port, _, destination)| (destination, u128::from(port))),
            ),
            distinct_per(to_sources()),
            distinct_per(links.iter().map(|&(port, source, _)| (source, u128::from(port)))),
            distinct_per(to_destinations()),
            distinct_per(
                links.iter().map(|&(port, _, destination)| (u128::from(port), destination)),
            ),
            distinct_per(links.iter().map(|&(port, source, _)| (u128::from(port), source))),
        ];
        let flows =
            pairs.iter().map(|pair| pair.counters.five_tuples.count()).fold(0, u64::saturating_add);
        let conns = pairs.len() as f64;
        let mut values = vec![
            counters.flows as f64,
            f64::from(seconds),
            counters.distinct_destination_ports() as f64,
            counters.distinct_source_ports() as f64,
            families[2].len() as f64,
            families[4].len() as f64,
        ];
        values.extend(ConnectionState::ALL.map(|state| counters.in_state(state) as f64));
        values.extend([conns, flows as f64, if conns == 0.0 { 0.0 } else { flows as f64 / conns }]);
        families.into_iter().for_each(|family| values.extend(statistics(family)));
        Self { values }
    }
}

/// Returns, for each distinct first part, the number of distinct second parts.
fn distinct_per(links: impl Iterator<Item = (u128, u128)>) -> Vec<f64> {
    let mut links: Vec<_> = links.collect();
    links.sort_unstable();
    links.dedup();
    links.chunk_by(|a, b| a.0 == b.0).map(|group| group.len() as f64).collect()
}

/// Maximum, mean and quantiles; zeros when there are no values.
fn statistics(mut values: Vec<f64>) -> [f64; 6] {
    values.sort_unstable_by(f64::total_cmp);
    let Some(&max) = values.last() else { return [0.0; 6] };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let at = |q| quantile(&values, q).unwrap_or(0.0);
    [max, mean, at(0.25), at(0.5), at(0.75), at(0.9)]
}
