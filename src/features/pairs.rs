//! Ten-second windows of (source, destination) pairs: system 001's S1.3 and S1.11.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Flow, Protocol, Subject};

use super::distinct::Distinct;
use super::hashing::{HostKey, combine};
use super::hosts::FlowFacts;
use super::matrix::NamedFeatures;
use super::ports::PortSet;
use super::table::Entry;

/// A sender and a receiver, over one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairWindow {
    source: HostKey,
    destination: HostKey,
    /// Flow records (`num_conns`).
    pub conns: u64,
    /// Bytes from source to destination, scaled (`bytes_up`, `src_tx`).
    pub bytes_up: u64,
    /// Bytes that came back, scaled (`bytes_dw`, `dst_tx`).
    pub bytes_down: u64,
    /// TCP records.
    pub tcp: u64,
    /// UDP records.
    pub udp: u64,
    /// Distinct destination ports.
    pub destination_ports: PortSet,
    /// Distinct source ports.
    pub source_ports: PortSet,
    /// Distinct five-tuples (`num_flows`).
    pub five_tuples: Distinct,
}

impl Entry for PairWindow {
    type Key = (HostKey, HostKey);

    fn new((source, destination): Self::Key) -> Self {
        Self {
            source,
            destination,
            conns: 0,
            bytes_up: 0,
            bytes_down: 0,
            tcp: 0,
            udp: 0,
            destination_ports: PortSet::default(),
            source_ports: PortSet::default(),
            five_tuples: Distinct::default(),
        }
    }

    fn key(&self) -> Self::Key {
        (self.source, self.destination)
    }

    fn merge(&mut self, other: &Self) {
        self.conns = self.conns.saturating_add(other.conns);
        self.bytes_up = self.bytes_up.saturating_add(other.bytes_up);
        self.bytes_down = self.bytes_down.saturating_add(other.bytes_down);
        self.tcp = self.tcp.saturating_add(other.tcp);
        self.udp = self.udp.saturating_add(other.udp);
        self.destination_ports.merge(&other.destination_ports);
        self.source_ports.merge(&other.source_ports);
        self.five_tuples.merge(&other.five_tuples);
    }

    fn additions(&self) -> u64 {
        self.conns
    }
}

impl PairWindow {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        self.conns += 1;
        self.bytes_up = self.bytes_up.saturating_add(facts.bytes);
        self.bytes_down = self.bytes_down.saturating_add(facts.returned_bytes);
        self.tcp += u64::from(flow.protocol == Some(Protocol::TCP));
        self.udp += u64::from(flow.protocol == Some(Protocol::UDP));
        let (from, to) = (flow.source.port, flow.destination.port);
        if let Some(port) = to {
            self.destination_ports.insert(port);
        }
        if let Some(port) = from {
            self.source_ports.insert(port);
        }
        let ports = port_key(from) << 32 | port_key(to);
        let protocol = flow.protocol.map_or(256, |protocol| u64::from(protocol.0));
        self.five_tuples.insert(combine(ports, protocol));
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

/// A port, or a number beyond all ports.
fn port_key(port: Option<u16>) -> u64 {
    port.map_or(1 << 16, u64::from)
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
                self.bytes_up,
                self.bytes_down,
                self.conns,
                self.five_tuples.count(),
                self.destination_ports.count(),
                self.source_ports.count(),
                self.tcp,
                self.udp,
            ]
            .map(|value| value as f64),
        );
    }
}
