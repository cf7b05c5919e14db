//! One flow record, whatever exporter or tool wrote it.

use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{IcmpMessage, Protocol, TcpFlags, Timestamp};

/// One flow: traffic from a source to a destination, as one record of an exporter or tool.
///
/// Counters are as exported; [`Flow::scaled_bytes`] and its siblings apply the sampling rate.
/// Values that a record does not hold are `None`, never 0 or "".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// First packet.
    #[serde(with = "super::time::nanos")]
    pub start: Timestamp,
    /// Last packet; never before `start`. The event time of the flow.
    #[serde(with = "super::time::nanos")]
    pub end: Timestamp,
    /// When the collector (or Kafka) got the record.
    #[serde(with = "super::time::optional_nanos")]
    pub received: Option<Timestamp>,
    /// The sender of `sent`.
    pub source: Endpoint,
    /// The receiver of `sent`.
    pub destination: Endpoint,
    /// Address family or link protocol.
    pub network: NetworkType,
    /// IP protocol; absent for ARP and other non-IP traffic.
    pub protocol: Option<Protocol>,
    /// The OR over all packets from the source; absent when the exporter does not say.
    pub tcp_flags: Option<TcpFlags>,
    /// Type and code of an ICMP flow.
    pub icmp: Option<IcmpMessage>,
    /// Source to destination, as exported.
    pub sent: Counters,
    /// Destination to source, in records that describe both directions (Zeek, Argus, …).
    pub returned: Option<Counters>,
    /// Connection state, in the six words of system 001.
    pub state: Option<ConnectionState>,
    /// What became of the contact, as far as the record says.
    pub outcome: Outcome,
    /// One of so many packets was seen; `None` = the exporter does not say (goflow2 writes 0).
    pub sampling_rate: Option<NonZeroU32>,
    /// The device that exported the record.
    pub exporter: Option<IpAddr>,
    /// Sequence number of the export datagram, per exporter.
    pub sequence: Option<u32>,
    /// SNMP index of the ingress interface.
    pub input_interface: Option<u32>,
    /// SNMP index of the egress interface.
    pub output_interface: Option<u32>,
    /// VLAN of the source side.
    pub vlan: Option<u16>,
    /// Which kind of exporter or tool wrote the record.
    pub origin: FlowOrigin,
    /// What had to be repaired in the record.
    pub defects: Defects,
}

/// Address and port of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Absent for traffic without IP addresses (ARP of some exporters, LLC).
    pub ip: Option<IpAddr>,
    /// Absent where the protocol has none (ICMP, ARP, GRE …).
    pub port: Option<u16>,
}

/// Bytes and packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Octets, with headers where the exporter counts them.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

/// Address family or link protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkType {
    /// IP version 4.
    Ipv4,
    /// IP version 6.
    Ipv6,
    /// Address resolution.
    Arp,
    /// Anything else, or not said.
    Other,
}

impl NetworkType {
    /// The ECS `network.type` value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Arp => "arp",
            Self::Other => "other",
        }
    }
}

/// Connection state in the six words of system 001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ConnectionState {
    /// First packet seen, no answer.
    New,
    /// Opening handshake under way.
    Connecting,
    /// Both sides talk.
    Established,
    /// Closing handshake under way.
    Closing,
    /// Closed in order.
    Closed,
    /// Refused or aborted.
    Reset,
}

impl ConnectionState {
    /// All states, in the order of the published feature names.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Connecting, Self::Established, Self::Closing, Self::Closed, Self::Reset];

    /// The word of system 001.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }

    /// Returns the state of a word, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(text))
    }
}

/// What became of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The record does not say (unidirectional exports).
    Unknown,
    /// Both sides sent payload, or the connection was closed in order with payload.
    Exchanged,
    /// A connection was opened but carried no payload.
    Empty,
    /// The destination refused (TCP RST, ICMP unreachable).
    Refused,
    /// The destination never answered.
    Unanswered,
}

/// The part that the source of a flow plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The source opened the contact.
    Initiator,
    /// The source answers: this record is the way back of a contact that the destination opened.
    Responder,
}

/// Which kind of exporter or tool wrote the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FlowOrigin {
    /// sFlow version 5: one sampled packet.
    Sflow5,
    /// NetFlow version 5.
    NetflowV5,
    /// NetFlow version 9.
    NetflowV9,
    /// IPFIX.
    Ipfix,
    /// An export of an unknown kind.
    OtherExport,
    /// Zeek `conn` log.
    Zeek,
    /// Argus binetflow.
    Argus,
    /// pmacct, whatever it collects.
    Pmacct,
    /// nfdump, whatever its collector got.
    Nfdump,
    /// An ECS document.
    Ecs,
    /// The nine-column table of system 001.
    Table,
    /// Packets of a capture, put together here.
    Capture,
}

impl FlowOrigin {
    /// The value of `flowsentry.flow.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sflow5 => "sflow_5",
            Self::NetflowV5 => "netflow_v5",
            Self::NetflowV9 => "netflow_v9",
            Self::Ipfix => "ipfix",
            Self::OtherExport => "export",
            Self::Zeek => "zeek",
            Self::Argus => "argus",
            Self::Pmacct => "pmacct",
            Self::Nfdump => "nfdump",
            Self::Ecs => "ecs",
            Self::Table => "table",
            Self::Capture => "capture",
        }
    }
}

/// What had to be repaired in a record, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defects(u8);

impl Defects {
    /// The event time was implausible and replaced by the receive time.
    pub const CLOCK_SKEW: Self = Self(1);
    /// The end lay before the start; the start was kept.
    pub const END_BEFORE_START: Self = Self(2);
    /// A counter was negative or too large and was clamped.
    pub const COUNTER_CLAMPED: Self = Self(4);

    /// Adds `other` to the set.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing had to be repaired.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Ports at or above 1024 whose owner is nevertheless the server.
const REGISTERED_SERVICES: &[u16] = &[
    1194, 1433, 1521, 1723, 1883, 2049, 3128, 3268, 3306, 3389, 4500, 5060, 5222, 5432, 5671, 5672,
    5900, 5985, 6379, 6443, 8000, 8080, 8443, 9000, 9092, 9200, 9300, 9418, 11211, 27017,
];

/// UDP ports that answer whatever port asks: forged questions for answers to a victim's port 443 come
/// from that port.
const UDP_SERVERS: &[u16] = &[
    17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 623, 1434, 1900, 3283, 3702, 5093,
    5353, 5683, 11_211,
];

/// Operating systems take the ports of clients from here on (Linux; others begin even higher).
const EPHEMERAL_FROM: u16 = 32_768;

fn is_service_port(port: u16) -> bool {
    port < 1024 || REGISTERED_SERVICES.binary_search(&port).is_ok()
}

impl Flow {
    /// Returns a flow with everything absent but times and origin; decoders fill it in.
    pub fn new(origin: FlowOrigin, start: Timestamp, end: Timestamp) -> Self {
        Self {
            start,
            end: end.max(start),
            received: None,
            source: Endpoint::default(),
            destination: Endpoint::default(),
            network: NetworkType::Other,
            protocol: None,
            tcp_flags: None,
            icmp: None,
            sent: Counters::default(),
            returned: None,
            state: None,
            outcome: Outcome::Unknown,
            sampling_rate: None,
            exporter: None,
            sequence: None,
            input_interface: None,
            output_interface: None,
            vlan: None,
            origin,
            defects: Defects::default(),
        }
    }

    /// The factor that turns counted packets into an estimate of all packets: at least 1.
    pub fn sampling_factor(&self) -> u64 {
        self.sampling_rate.map_or(1, |rate| u64::from(rate.get()))
    }

    /// Bytes from source to destination, sampling applied, saturating.
    pub fn scaled_bytes(&self) -> u64 {
        self.sent.bytes.saturating_mul(self.sampling_factor())
    }

    /// Packets from source to destination, sampling applied, saturating.
    pub fn scaled_packets(&self) -> u64 {
        self.sent.packets.saturating_mul(self.sampling_factor())
    }

    /// Bytes from destination to source, sampling applied; 0 in unidirectional records.
    pub fn scaled_returned_bytes(&self) -> u64 {
        self.returned.map_or(0, |counters| counters.bytes.saturating_mul(self.sampling_factor()))
    }

    /// Packets from destination to source, sampling applied; 0 in unidirectional records.
    pub fn scaled_returned_packets(&self) -> u64 {
        self.returned.map_or(0, |counters| counters.packets.saturating_mul(self.sampling_factor()))
    }

    /// The part that the source plays.
    ///
    /// Records of both directions name the initiator as source. Unidirectional TCP is judged by its
    /// flags where they decide (SYN alone opens, RST without SYN refuses), else, like UDP, by the
    /// ports: the end with a service port answers, or, when neither has one, the end whose port is
    /// not a client's. In doubt the source is the initiator.
    pub fn role(&self) -> Role {
        if self.returned.is_some() {
            return Role::Initiator;
        }
        if let Some(icmp) = self.icmp {
            return match (self.network, icmp.kind) {
                (NetworkType::Ipv6, 128) | (_, 8) => Role::Initiator,
                _ => Role::Responder,
            };
        }
        if let Some(flags) = self.tcp_flags {
            let opens = flags.has(TcpFlags::SYN);
            if opens && !flags.has(TcpFlags::ACK) {
                return Role::Initiator;
            }
            if !opens && flags.has(TcpFlags::RST) && self.sent.packets <= 1 {
                return Role::Responder;
            }
        }
        let (Some(from), Some(to)) = (self.source.port, self.destination.port) else {
            return Role::Initiator;
        };
        if self.protocol == Some(Protocol::UDP) {
            let answers = |port: u16| UDP_SERVERS.binary_search(&port).is_ok();
            match (answers(from), answers(to)) {
                (true, false) => return Role::Responder,
                (false, true) => return Role::Initiator,
                _ => {}
            }
        }
        match (is_service_port(from), is_service_port(to)) {
            (true, false) => Role::Responder,
            (false, false) if from < EPHEMERAL_FROM && to >= EPHEMERAL_FROM => Role::Responder,
            _ => Role::Initiator,
        }
    }

    /// Whether this looks like a probe: the initiator's contact that got no service out of it.
    ///
    /// Multicast and broadcast never probe, nor does UDP to DNS, NTP and QUIC, where silence is
    /// ordinary (dead time servers, blocked QUIC). Else known outcomes decide. In unidirectional
    /// exports a TCP flow probes when it holds a SYN and no ACK, or SYN and RST in at most three
    /// packets; an ICMP echo request does unless its answer is in the record; a UDP flow when it is
    /// one small packet.
    pub fn is_probe(&self) -> bool {
        let is_udp = self.protocol == Some(Protocol::UDP);
        let silence_is_ordinary =
            is_udp && matches!(self.destination.port, None | Some(53 | 123 | 443));
        if silence_is_ordinary || self.destination.ip.is_some_and(is_group) {
            return false;
        }
        match self.outcome {
            Outcome::Exchanged => return false,
            Outcome::Empty | Outcome::Refused | Outcome::Unanswered => {
                return self.role() == Role::Initiator;
            }
            Outcome::Unknown => {}
        }
        // A record of both directions without a packet in either tells of an attempt only.
        if self.returned.is_some_and(|back| back.packets == 0) && self.sent.packets == 0 {
            return self.role() == Role::Initiator;
        }
        match self.protocol {
            Some(Protocol::TCP) => self.tcp_flags.is_some_and(|flags| {
                let unanswered = flags.has(TcpFlags::SYN) && !flags.has(TcpFlags::ACK);
                let aborted = flags.has(TcpFlags::SYN | TcpFlags::RST) && self.sent.packets <= 3;
                unanswered || aborted
            }),
            Some(Protocol::UDP) => {
                let small = self.sent.packets <= 1 && self.sent.bytes <= 100;
                small && self.role() == Role::Initiator
            }
            Some(protocol) if protocol.is_icmp() => {
                let answered = self.returned.is_some_and(|counters| counters.packets > 0);
                let echo_request = self.icmp.is_some() && self.role() == Role::Initiator;
                echo_request && !answered
            }
            _ => false,
        }
    }
}

/// Whether the address stands for many hosts: multicast or the limited broadcast.
pub fn is_group(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(from: u16, to: u16, flags: u16) -> Flow {
        let mut flow = Flow::new(FlowOrigin::NetflowV9, Timestamp::default(), Timestamp::default());
        flow.protocol = Some(Protocol::TCP);
        flow.source.port = Some(from);
        flow.destination.port = Some(to);
        flow.tcp_flags = Some(TcpFlags(flags));
        flow.sent = Counters { bytes: 40, packets: 1 };
        flow
    }

    #[test]
    fn the_registered_services_are_sorted_for_the_search() {
        assert!(REGISTERED_SERVICES.is_sorted() && UDP_SERVERS.is_sorted());
    }

    #[test]
    fn a_refusal_is_the_way_back_and_no_probe() {
        let refusal = tcp(7, 57_800, TcpFlags::RST | TcpFlags::ACK);
        assert_eq!(refusal.role(), Role::Responder);
        assert!(!refusal.is_probe());
    }

    #[test]
    fn a_lone_syn_is_a_probe_to_any_port() {
        let syn = tcp(443, 60_000, TcpFlags::SYN);
        assert_eq!(syn.role(), Role::Initiator);
        assert!(syn.is_probe());
    }

    #[test]
    fn an_answer_from_a_service_port_is_the_way_back() {
        assert_eq!(tcp(443, 50_000, 0x1b).role(), Role::Responder);
        assert_eq!(tcp(50_000, 443, 0x1b).role(), Role::Initiator);
    }

    #[test]
    fn silence_of_time_servers_and_groups_is_no_probe() {
        let mut flow = tcp(50_000, 123, 0);
        flow.protocol = Some(Protocol::UDP);
        flow.outcome = Outcome::Unanswered;
        assert!(!flow.is_probe());
        flow.destination.port = Some(161);
        assert!(flow.is_probe());
        flow.destination.ip = Some("239.255.255.250".parse().unwrap());
        assert!(!flow.is_probe());
    }

    #[test]
    fn a_record_without_a_packet_tells_of_an_attempt() {
        let mut flow = tcp(50_000, 80, 0);
        flow.tcp_flags = None;
        flow.returned = Some(Counters::default());
        assert!(!flow.is_probe(), "something was sent");
        flow.sent = Counters::default();
        assert!(flow.is_probe());
    }

    #[test]
    fn an_amplifier_answers_whatever_port_asked() {
        let mut flow = tcp(389, 443, 0);
        (flow.protocol, flow.tcp_flags) = (Some(Protocol::UDP), None);
        assert_eq!(flow.role(), Role::Responder);
        std::mem::swap(&mut flow.source, &mut flow.destination);
        assert_eq!(flow.role(), Role::Initiator);
    }

    #[test]
    fn the_client_port_of_two_high_ones_is_the_ephemeral_one() {
        assert_eq!(tcp(5555, 40_000, 0x18).role(), Role::Responder);
        assert_eq!(tcp(40_000, 5555, 0x18).role(), Role::Initiator);
        assert_eq!(tcp(40_000, 50_000, 0x18).role(), Role::Initiator, "in doubt");
    }

    #[test]
    fn sampling_applies_to_every_counter_and_saturates() {
        let mut flow = tcp(1, 2, 2);
        flow.sampling_rate = NonZeroU32::new(1024);
        assert_eq!(flow.scaled_bytes(), 40 * 1024);
        flow.sent.bytes = u64::MAX;
        assert_eq!(flow.scaled_bytes(), u64::MAX);
    }
}
