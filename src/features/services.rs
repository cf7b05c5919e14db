//! What a pair did per service: the raw material of conversations.
//!
//! A service is a protocol and the port of the side that answers; which side that is follows from
//! [`Flow::role`]. A scan touches thousands of services of one host, so only [`MOST_SERVICES`] of a
//! pair are followed: those that attacks aim at first, then those with the smallest hash. Which
//! ones depends on the flows alone, not on their order.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Flow, Protocol, Timestamp, nanos};

use super::hashing::mix;
use super::hosts::FlowFacts;
use super::probes::keep_in_order;
use super::wire::is_ascending;

/// How many services of one pair are followed.
pub const MOST_SERVICES: usize = 8;

/// Ports of log-ins, remote control, files, databases, names and time: the targets of guessing,
/// spreading, tunnels and amplification. Ascending.
const WATCHED: &[u16] = &[
    0, 21, 22, 23, 25, 53, 80, 110, 123, 135, 139, 143, 389, 443, 445, 465, 587, 993, 995, 1433,
    1723, 1900, 3306, 3389, 5432, 5900, 5985, 5986, 6379, 8080, 8443, 11211,
];

/// One service as seen from a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Whether the source of the pair is the side that answers.
    pub source_answers: bool,
    /// IP protocol; 255 (reserved by IANA) where there is none.
    pub protocol: u8,
    /// Port of the side that answers; 0 for protocols without ports.
    pub port: u16,
}

impl ServiceKey {
    fn of(flow: &Flow, facts: &FlowFacts) -> Self {
        let end = if facts.initiates { flow.destination } else { flow.source };
        Self {
            source_answers: !facts.initiates,
            protocol: flow.protocol.unwrap_or(Protocol(255)).0,
            port: end.port.unwrap_or(0),
        }
    }

    fn rank(self) -> u64 {
        let whole = u64::from(self.source_answers) << 24
            | u64::from(self.protocol) << 16
            | u64::from(self.port);
        let is_other = WATCHED.binary_search(&self.port).is_err();
        u64::from(is_other) << 63 | mix(whole) >> 1
    }
}

/// What went over a service, from the side of the client. All additive or extreme, so that parts
/// merge in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCounters {
    /// Records of the client's direction, or of both directions at once.
    pub requests: u64,
    /// Records of the server's direction alone.
    pub replies: u64,
    /// Requests that were probes: refused, unanswered or without service.
    pub failed: u64,
    /// Client to server, scaled by sampling.
    pub bytes_up: u64,
    /// Server to client, scaled by sampling.
    pub bytes_down: u64,
    /// Client to server, scaled by sampling.
    pub packets_up: u64,
    /// Server to client, scaled by sampling.
    pub packets_down: u64,
    /// Packets that were seen, both ways: as exported, not scaled. A scaled number means little while
    /// few were seen.
    pub seen_packets: u64,
    /// The earliest start of a flow.
    #[serde(with = "nanos")]
    pub begun: Timestamp,
    /// The longest flow, in whole seconds.
    pub longest_seconds: u64,
}

impl ServiceCounters {
    fn of(flow: &Flow, facts: &FlowFacts) -> Self {
        let returned_packets = flow
            .returned
            .map_or(0, |counters| counters.packets.saturating_mul(flow.sampling_factor()));
        let mut counters = Self {
            begun: flow.start,
            seen_packets: flow
                .sent
                .packets
                .saturating_add(flow.returned.map_or(0, |counters| counters.packets)),
            longest_seconds: flow.end.seconds_since(flow.start).max(0.0) as u64,
            ..Self::default()
        };
        if facts.initiates {
            counters.requests = 1;
            counters.failed = u64::from(facts.probes);
            (counters.bytes_up, counters.bytes_down) = (facts.bytes, facts.returned_bytes);
            (counters.packets_up, counters.packets_down) = (facts.packets, returned_packets);
        } else {
            counters.replies = 1;
            (counters.bytes_up, counters.bytes_down) = (facts.returned_bytes, facts.bytes);
            (counters.packets_up, counters.packets_down) = (returned_packets, facts.packets);
        }
        counters
    }

    /// Adds what another part holds.
    pub fn merge(&mut self, other: &Self) {
        if other.records() == 0 {
            return;
        }
        self.begun = if self.records() == 0 { other.begun } else { self.begun.min(other.begun) };
        for (ours, theirs) in [
            (&mut self.requests, other.requests),
            (&mut self.replies, other.replies),
            (&mut self.failed, other.failed),
            (&mut self.bytes_up, other.bytes_up),
            (&mut self.bytes_down, other.bytes_down),
            (&mut self.packets_up, other.packets_up),
            (&mut self.packets_down, other.packets_down),
            (&mut self.seen_packets, other.seen_packets),
        ] {
            *ours = ours.saturating_add(theirs);
        }
        self.longest_seconds = self.longest_seconds.max(other.longest_seconds);
    }

    /// Records of both directions.
    pub fn records(&self) -> u64 {
        self.requests.saturating_add(self.replies)
    }

    /// Connections, as far as records tell: those of the direction that was seen more often.
    pub fn connections(&self) -> u64 {
        self.requests.max(self.replies)
    }

    /// Packets or records that were seen, whichever are more: what a judgement rests on. A sampled
    /// packet counts once, whatever it stands for.
    pub fn evidence(&self) -> u64 {
        self.seen_packets.max(self.records())
    }

    /// Whether the server was seen to answer.
    pub fn is_answered(&self) -> bool {
        self.replies > 0 || self.packets_down > 0
    }
}

/// The services of one pair.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) enum Services {
    #[default]
    None,
    /// The usual case, without memory of its own.
    One(ServiceKey, ServiceCounters),
    /// Ascending.
    Several(Vec<(ServiceKey, ServiceCounters)>),
}

impl Services {
    pub(super) fn add(&mut self, flow: &Flow, facts: &FlowFacts) {
        self.insert(ServiceKey::of(flow, facts), &ServiceCounters::of(flow, facts));
    }

    fn insert(&mut self, key: ServiceKey, counters: &ServiceCounters) {
        match self {
            Self::None => *self = Self::One(key, *counters),
            Self::One(known, ours) if *known == key => ours.merge(counters),
            &mut Self::One(known, ours) => {
                *self = Self::Several(vec![(known, ours)]);
                self.insert(key, counters);
            }
            Self::Several(services) => {
                if let Some(ours) = keep_in_order(services, key, MOST_SERVICES, ServiceKey::rank) {
                    ours.merge(counters);
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.for_each(|key, counters| self.insert(key, counters));
    }

    /// Shows every service with its counters.
    pub(super) fn for_each(&self, mut show: impl FnMut(ServiceKey, &ServiceCounters)) {
        match self {
            Self::None => {}
            Self::One(key, counters) => show(*key, counters),
            Self::Several(services) => {
                services.iter().for_each(|(key, counters)| show(*key, counters))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Read {
            None,
            One(ServiceKey, ServiceCounters),
            Several(Vec<(ServiceKey, ServiceCounters)>),
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::None => Self::None,
            Read::One(key, counters) => Self::One(key, counters),
            Read::Several(services) => {
                let is_sound = (2..=MOST_SERVICES).contains(&services.len())
                    && is_ascending(&services, |(key, _)| *key);
                if !is_sound {
                    return Err(D::Error::custom("services out of order, or too many"));
                }
                Self::Several(services)
            }
        })
    }
}
