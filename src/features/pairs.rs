//! Ten-second windows of (source, destination) pairs: system 001's S1.3 and S1.11.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::Subject;

use super::hashing::HostKey;
use super::matrix::NamedFeatures;
use super::open_pair::PairFlow;
use super::ports::PortSet;
use super::sightings::{PairCounters, Sightings};
use super::table::{Entry, Share};

/// A sender and a receiver, over one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairWindow {
    source: HostKey,
    destination: HostKey,
    /// What went between them.
    pub counters: PairCounters,
    /// Distinct destination ports.
    pub destination_ports: PortSet,
    /// Distinct source ports.
    pub source_ports: PortSet,
    sightings: Sightings,
}

impl Entry for PairWindow {
    type Key = (HostKey, HostKey);

    fn new((source, destination): Self::Key) -> Self {
        Self {
            source,
            destination,
            counters: PairCounters::default(),
            destination_ports: PortSet::default(),
            source_ports: PortSet::default(),
            sightings: Sightings::default(),
        }
    }

    fn key(&self) -> Self::Key {
        (self.source, self.destination)
    }
}

impl Share for PairWindow {
    fn merge(&mut self, other: &Self) {
        self.sightings.merge(&other.sightings, &self.counters, &other.counters);
        self.counters.merge(&other.counters);
        self.destination_ports.merge(&other.destination_ports);
        self.source_ports.merge(&other.source_ports);
    }

    fn additions(&self) -> u64 {
        self.counters.conns
    }
}

impl PairWindow {
    pub(super) fn add(&mut self, flow: &PairFlow) {
        if let Some(own) = self.sightings.note(flow.exporter_key, &self.counters) {
            own.add(flow);
        }
        self.counters.add(flow);
        if let Some(port) = flow.destination_port {
            self.destination_ports.insert(port);
        }
        if let Some(port) = flow.source_port {
            self.source_ports.insert(port);
        }
    }

    /// Counts traffic that several exporters saw once; returns what was counted too often.
    pub(super) fn settle(&mut self) -> Option<Surplus> {
        let most = self.sightings.most(&self.counters)?.clone();
        let sum = std::mem::replace(&mut self.counters, most);
        Some(Surplus {
            class: if sum.tcp > 0 {
                0
            } else if sum.udp > 0 {
                1
            } else {
                3
            },
            records: sum.conns.saturating_sub(self.counters.conns),
            bytes: sum.bytes_up.saturating_sub(self.counters.bytes_up),
            returned_bytes: sum.bytes_down.saturating_sub(self.counters.bytes_down),
            packets: sum.packets_up.saturating_sub(self.counters.packets_up),
        })
    }

    /// The sender.
    pub fn source(&self) -> IpAddr {
        self.source.ip()
    }

    /// The receiver.
    pub fn destination(&self) -> IpAddr {
        self.destination.ip()
    }

    /// Keys of both ends, for tables.
    pub fn hosts(&self) -> (HostKey, HostKey) {
        (self.source, self.destination)
    }

    /// The pair as a subject.
    pub fn subject(&self) -> Subject {
        Subject::Pair(self.source(), self.destination())
    }
}

/// What several exporters counted beyond the one that saw most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surplus {
    /// Traffic class of the totals.
    pub class: usize,
    pub records: u64,
    pub bytes: u64,
    pub returned_bytes: u64,
    pub packets: u64,
}

impl NamedFeatures for PairWindow {
    const NAMES: &'static [&'static str] = &[
        "bytes_up",
        "bytes_dw",
        "num_conns",
        "num_flows",
        "num_dst_port",
        "num_src_port",
        "tcp_conns",
        "udp_conns",
    ];

    fn write_features(&self, out: &mut Vec<f64>) {
        out.extend(
            [
                self.counters.bytes_up,
                self.counters.bytes_down,
                self.counters.conns,
                self.counters.five_tuples.count(),
                self.destination_ports.count(),
                self.source_ports.count(),
                self.counters.tcp,
                self.counters.udp,
            ]
            .map(|value| value as f64),
        );
    }
}
