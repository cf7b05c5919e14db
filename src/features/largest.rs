//! The largest flows of a conversation: what an operator looks at first.

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, FlowEvidence, IcmpMessage, Protocol, ServicePort, Timestamp, nanos};

use super::hashing::HostKey;
use super::open_pair::PairFlow;

/// How many flows of a conversation are kept.
pub const MOST_FLOWS: usize = 5;

/// One flow, without what its conversation says already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowMark {
    /// Its last packet.
    #[serde(with = "nanos")]
    end: Timestamp,
    /// Source to destination, scaled by sampling.
    bytes: u64,
    /// Destination to source, scaled by sampling.
    returned_bytes: u64,
    /// How long before `end` it began.
    lasted_millis: u32,
    /// Both directions, scaled by sampling.
    packets: u32,
    /// Port of the client; 0 for protocols without ports.
    client_port: u16,
    icmp: Option<IcmpMessage>,
    /// Whether the server is the source.
    is_reply: bool,
}

impl FlowMark {
    pub(super) fn of(flow: &PairFlow) -> Self {
        let packets = flow.packets.saturating_add(flow.returned_packets);
        let millis = flow.end.nanos_since(flow.start) / 1_000_000;
        Self {
            end: flow.end,
            bytes: flow.bytes,
            returned_bytes: flow.returned_bytes,
            lasted_millis: u32::try_from(millis).unwrap_or(u32::MAX),
            packets: u32::try_from(packets).unwrap_or(u32::MAX),
            client_port: flow.client_and_server_port().0,
            icmp: flow.icmp,
            is_reply: !flow.initiates,
        }
    }

    /// Bytes of both directions, scaled by sampling.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.returned_bytes)
    }

    /// Type and code, for ICMP.
    pub fn icmp(&self) -> Option<IcmpMessage> {
        self.icmp
    }

    /// Whether it went from the server to the client.
    pub fn is_reply(&self) -> bool {
        self.is_reply
    }

    /// Ascends from the largest to the smallest; equal marks alone are equal.
    pub fn rank(&self) -> impl Ord + use<> {
        let icmp = self.icmp.map(|message| (message.kind, message.code));
        let size = (u64::MAX - self.total_bytes(), u32::MAX - self.packets);
        let ends = (self.client_port, self.is_reply, icmp, self.bytes);
        (size, self.end, self.lasted_millis, ends)
    }

    /// The flow as people read it; `client`, `server` and `service` are those of its conversation.
    pub fn evidence(&self, client: HostKey, server: HostKey, service: ServicePort) -> FlowEvidence {
        let port = |port: u16| (port != 0).then_some(port);
        let client = Endpoint { ip: Some(client.ip()), port: port(self.client_port) };
        let server = Endpoint { ip: Some(server.ip()), port: port(service.port) };
        let (source, destination) = if self.is_reply { (server, client) } else { (client, server) };
        let lasted = i64::from(self.lasted_millis) * 1_000_000;
        FlowEvidence {
            start: self.end.plus_nanos(-lasted),
            end: self.end,
            source,
            destination,
            protocol: (service.protocol != Protocol::NONE).then_some(service.protocol),
            icmp: self.icmp,
            bytes: self.bytes,
            returned_bytes: self.returned_bytes,
            packets: u64::from(self.packets),
        }
    }
}

/// The largest flows by bytes, at most [`MOST_FLOWS`]; which ones depends on the flows alone, not on
/// their order. Most conversations have one flow, which needs no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<FlowMark>", into = "Vec<FlowMark>")]
pub enum Largest {
    /// None yet.
    #[default]
    None,
    /// One.
    One(FlowMark),
    /// Two or more, the largest first.
    Several(Box<[FlowMark]>),
}

impl Largest {
    /// Adds a flow. The same one (another exporter saw it as well) counts once.
    pub(super) fn add(&mut self, mark: FlowMark) {
        match self {
            Self::None => *self = Self::One(mark),
            Self::One(known) if *known == mark => {}
            Self::One(known) => {
                let mut marks = [*known, mark];
                marks.sort_unstable_by_key(FlowMark::rank);
                *self = Self::Several(Box::new(marks));
            }
            Self::Several(marks) => {
                let is_full = marks.len() >= MOST_FLOWS;
                let least = marks.last().map_or(0, FlowMark::total_bytes);
                if is_full && mark.total_bytes() < least {
                    return;
                }
                let Err(place) = marks.binary_search_by_key(&mark.rank(), FlowMark::rank) else {
                    return;
                };
                if is_full {
                    if place < marks.len() {
                        marks[place..].rotate_right(1);
                        marks[place] = mark;
                    }
                    return;
                }
                let mut more = std::mem::take(marks).into_vec();
                more.reserve_exact(1);
                more.insert(place, mark);
                *marks = more.into_boxed_slice();
            }
        }
    }

    /// Adds those of another part.
    pub(super) fn merge(&mut self, other: &Self) {
        other.marks().iter().for_each(|mark| self.add(*mark));
    }

    /// The flows, the largest first.
    pub fn marks(&self) -> &[FlowMark] {
        match self {
            Self::None => &[],
            Self::One(mark) => std::slice::from_ref(mark),
            Self::Several(marks) => marks,
        }
    }
}

impl From<Largest> for Vec<FlowMark> {
    fn from(largest: Largest) -> Self {
        largest.marks().to_vec()
    }
}

impl TryFrom<Vec<FlowMark>> for Largest {
    type Error = &'static str;

    fn try_from(marks: Vec<FlowMark>) -> Result<Self, Self::Error> {
        if marks.len() > MOST_FLOWS || !marks.is_sorted_by(|a, b| a.rank() < b.rank()) {
            return Err("largest flows out of order, or too many");
        }
        Ok(match marks.as_slice() {
            [] => Self::None,
            [mark] => Self::One(*mark),
            _ => Self::Several(marks.into_boxed_slice()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::hosts::FlowFacts;
    use crate::testkit::flow;
    use proptest::prelude::*;

    fn mark(bytes: u64, port: u16) -> FlowMark {
        let flow = flow().from_port(port).to_port(443).bytes(bytes).build();
        FlowMark::of(&PairFlow::of(&flow, &FlowFacts::of(&flow)))
    }

    fn largest(marks: &[FlowMark]) -> Largest {
        let mut largest = Largest::default();
        marks.iter().for_each(|mark| largest.add(*mark));
        largest
    }

    #[test]
    fn a_mark_costs_forty_bytes() {
        assert_eq!(size_of::<FlowMark>(), 40);
        assert_eq!(size_of::<Largest>(), 40);
    }

    #[test]
    fn a_reply_is_shown_with_the_server_as_its_source() {
        let flow = flow().from("10.0.0.2").from_port(53).to("10.0.0.1").to_port(40_000).build();
        let mark = FlowMark::of(&PairFlow::of(&flow, &FlowFacts::of(&flow)));
        let [client, server] = ["10.0.0.1", "10.0.0.2"].map(|ip| HostKey::new(ip.parse().unwrap()));
        let service = ServicePort { protocol: flow.protocol.unwrap(), port: 53 };
        let shown = mark.evidence(client, server, service);
        assert_eq!((shown.source, shown.destination), (flow.source, flow.destination));
        assert_eq!((shown.start, shown.end), (flow.start, flow.end));
    }

    #[test]
    fn messages_out_of_order_are_refused() {
        let marks = vec![mark(100, 1), mark(200, 2)];
        assert!(Largest::try_from(marks.clone()).is_err());
        assert!(Largest::try_from(vec![marks[0]; 2]).is_err());
        assert_eq!(Largest::try_from(vec![marks[1], marks[0]]).unwrap(), largest(&marks));
    }

    proptest! {
        #[test]
        fn the_largest_are_kept_in_whatever_order_and_parts_they_come(
            flows in prop::collection::vec((0u64..6, 1u16..5), 0..30),
            cut in 0usize..30,
        ) {
            let marks: Vec<_> = flows.iter().map(|&(bytes, port)| mark(bytes, port)).collect();
            let whole = largest(&marks);
            let mut expected = marks.clone();
            expected.sort_by_key(FlowMark::rank);
            expected.dedup();
            expected.truncate(MOST_FLOWS);
            prop_assert_eq!(whole.marks(), &expected);
            let (first, second) = marks.split_at(cut.min(marks.len()));
            let mut merged = largest(second);
            merged.merge(&largest(first));
            prop_assert_eq!(&merged, &whole);
            let bytes = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Largest>(&bytes).unwrap(), whole);
        }
    }
}
