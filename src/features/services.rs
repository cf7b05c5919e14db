//! What a pair did per service: the raw material of conversations.
//!
//! A service is a protocol and the port of the side that answers; which side that is follows from
//! [`crate::model::Flow::role`]. A scan touches thousands of services of one host, so only [`MOST_SERVICES`] of a
//! pair are followed: those that attacks aim at first, then those with the smallest hash. Which
//! ones depends on the flows alone, not on their order.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Protocol, Timestamp, nanos};

use super::hashing::mix;
use super::largest::{FlowMark, Largest};
use super::open_pair::PairFlow;
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
    fn of(flow: &PairFlow) -> Self {
        Self {
            source_answers: !flow.initiates,
            protocol: flow.protocol.unwrap_or(Protocol::NONE).0,
            port: flow.client_and_server_port().1,
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
    fn of(flow: &PairFlow) -> Self {
        let mut counters = Self {
            begun: flow.start,
            seen_packets: flow.seen_packets,
            longest_seconds: flow.end.seconds_since(flow.start).max(0.0) as u64,
            ..Self::default()
        };
        let (sent, returned) =
            ((flow.bytes, flow.packets), (flow.returned_bytes, flow.returned_packets));
        let (up, down) = if flow.initiates {
            counters.requests = 1;
            counters.failed = u64::from(flow.probes);
            (sent, returned)
        } else {
            counters.replies = 1;
            (returned, sent)
        };
        (counters.bytes_up, counters.packets_up) = up;
        (counters.bytes_down, counters.packets_down) = down;
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

/// What was seen of one service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    pub counters: ServiceCounters,
    pub largest: Largest,
}

impl Seen {
    fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.largest.merge(&other.largest);
    }
}

/// The services of one pair.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) enum Services {
    #[default]
    None,
    /// The usual case, without memory of its own.
    One(ServiceKey, Seen),
    /// Ascending.
    Several(Vec<(ServiceKey, Seen)>),
}

impl Services {
    pub(super) fn add(&mut self, flow: &PairFlow) {
        if let Some(seen) = self.entry(ServiceKey::of(flow)) {
            seen.counters.merge(&ServiceCounters::of(flow));
            seen.largest.add(FlowMark::of(flow));
        }
    }

    /// What was seen of a service; `None` when it is not among those that are followed.
    fn entry(&mut self, key: ServiceKey) -> Option<&mut Seen> {
        match self {
            Self::None => *self = Self::One(key, Seen::default()),
            Self::One(known, _) if *known == key => {}
            Self::One(known, seen) => {
                *self = Self::Several(vec![(*known, std::mem::take(seen))]);
            }
            Self::Several(_) => {}
        }
        match self {
            Self::None => None,
            Self::One(_, seen) => Some(seen),
            Self::Several(services) => {
                keep_in_order(services, key, MOST_SERVICES, ServiceKey::rank)
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.for_each(|key, theirs| {
            if let Some(ours) = self.entry(key) {
                ours.merge(theirs);
            }
        });
    }

    /// Shows every service with what was seen of it.
    pub(super) fn for_each(&self, mut show: impl FnMut(ServiceKey, &Seen)) {
        match self {
            Self::None => {}
            Self::One(key, seen) => show(*key, seen),
            Self::Several(services) => services.iter().for_each(|(key, seen)| show(*key, seen)),
        }
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Read {
            None,
            One(ServiceKey, Seen),
            Several(Vec<(ServiceKey, Seen)>),
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::None => Self::None,
            Read::One(key, seen) => Self::One(key, seen),
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
