//! Pairs of a window that is still open. Most pairs have one flow within ten seconds, and a flow takes a
//! third of the room of everything that is known of a pair; so the second one makes the difference.

use crate::model::{Flow, IcmpMessage, Protocol, Timestamp};

use super::hashing::HostKey;
use super::hosts::FlowFacts;
use super::pairs::PairWindow;
use super::table::Entry;

/// What a pair counts of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairFlow {
    pub start: Timestamp,
    pub end: Timestamp,
    /// 0 when the record does not say.
    pub exporter_key: u64,
    /// Source to destination, scaled by sampling.
    pub bytes: u64,
    pub packets: u64,
    /// Destination to source, scaled by sampling.
    pub returned_bytes: u64,
    pub returned_packets: u64,
    /// Both directions, as exported.
    pub seen_packets: u64,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub protocol: Option<Protocol>,
    pub icmp: Option<IcmpMessage>,
    /// Whether the source opened the contact.
    pub initiates: bool,
    pub probes: bool,
}

impl PairFlow {
    pub(super) fn of(flow: &Flow, facts: &FlowFacts) -> Self {
        let returned = flow.returned.map_or(0, |counters| counters.packets);
        Self {
            start: flow.start,
            end: flow.end,
            exporter_key: facts.exporter_key,
            bytes: facts.bytes,
            packets: facts.packets,
            returned_bytes: facts.returned_bytes,
            returned_packets: flow.scaled_returned_packets(),
            seen_packets: flow.sent.packets.saturating_add(returned),
            source_port: flow.source.port,
            destination_port: flow.destination.port,
            protocol: flow.protocol,
            icmp: flow.icmp,
            initiates: facts.initiates,
            probes: facts.probes,
        }
    }

    /// Port of the side that opened the contact, and of the side that answers; 0 where there is none.
    pub(super) fn client_and_server_port(&self) -> (u16, u16) {
        let ports = (self.source_port.unwrap_or(0), self.destination_port.unwrap_or(0));
        if self.initiates { ports } else { (ports.1, ports.0) }
    }
}

/// A pair in a table that is being filled.
#[derive(Debug)]
pub(super) struct OpenPair {
    source: HostKey,
    destination: HostKey,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Nothing,
    One(PairFlow),
    All(Box<PairWindow>),
}

impl Entry for OpenPair {
    type Key = (HostKey, HostKey);

    fn new((source, destination): Self::Key) -> Self {
        Self { source, destination, held: Held::Nothing }
    }

    fn key(&self) -> Self::Key {
        (self.source, self.destination)
    }
}

impl OpenPair {
    pub(super) fn add(&mut self, flow: &PairFlow) {
        match &mut self.held {
            Held::Nothing => self.held = Held::One(*flow),
            Held::One(first) => {
                let mut window = Box::new(PairWindow::new((self.source, self.destination)));
                window.add(first);
                window.add(flow);
                self.held = Held::All(window);
            }
            Held::All(window) => window.add(flow),
        }
    }

    /// What is known of the pair when its window closes.
    pub(super) fn close(self) -> PairWindow {
        match self.held {
            Held::All(window) => *window,
            Held::Nothing => PairWindow::new((self.source, self.destination)),
            Held::One(flow) => {
                let mut window = PairWindow::new((self.source, self.destination));
                window.add(&flow);
                window
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_with_one_flow_takes_112_bytes() {
        assert_eq!(size_of::<OpenPair>(), 112);
    }
}
