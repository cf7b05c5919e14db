//! What an anomaly rests on, to look at: its largest flows, its services, how well it was seen.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::{Endpoint, Flow, IcmpMessage, NetworkType, Protocol, Timestamp, nanos};

/// A protocol and the port of the side that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    /// [`Protocol::NONE`] where there is none.
    pub protocol: Protocol,
    /// 0 for protocols without ports.
    pub port: u16,
}

/// `tcp/22`; without ports only the protocol's name.
impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.protocol.0)?,
        }
        if self.port == 0 {
            return Ok(());
        }
        write!(f, "/{}", self.port)
    }
}

/// One of the largest flows of an anomaly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowEvidence {
    /// First packet, to the millisecond.
    #[serde(with = "nanos")]
    pub start: Timestamp,
    /// Last packet.
    #[serde(with = "nanos")]
    pub end: Timestamp,
    /// The sender.
    pub source: Endpoint,
    /// The receiver.
    pub destination: Endpoint,
    /// IP protocol, where there is one.
    pub protocol: Option<Protocol>,
    /// Type and code of an ICMP flow.
    pub icmp: Option<IcmpMessage>,
    /// Source to destination, scaled by sampling.
    pub bytes: u64,
    /// Destination to source, scaled by sampling; 0 in records of one direction.
    pub returned_bytes: u64,
    /// Both directions, scaled by sampling.
    pub packets: u64,
}

/// Protocols whose ports are part of a community ID.
const WITH_PORTS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol(132)];
/// Messages that have no partner in the community ID, though they have one in ICMP.
const WITHOUT_PARTNER: [u8; 4] = [42, 43, 160, 161];

impl FlowEvidence {
    /// The id of the flow in every tool that knows community ids; see [`Flow::community_id`].
    pub fn community_id(&self) -> Option<String> {
        community_id(self.source, self.destination, self.protocol, self.icmp)
    }
}

impl Flow {
    /// The community ID, version 1, seed 0 (Corelight's specification): the same for both directions,
    /// and the value of `network.community_id` in documents of raw flows, of Zeek and of Suricata.
    /// `None` for what it does not define: no address, no protocol, ICMP of unknown type.
    pub fn community_id(&self) -> Option<String> {
        community_id(self.source, self.destination, self.protocol, self.icmp)
    }
}

fn community_id(
    source: Endpoint,
    destination: Endpoint,
    protocol: Option<Protocol>,
    icmp: Option<IcmpMessage>,
) -> Option<String> {
    let (from, to) = (source.ip?.to_canonical(), destination.ip?.to_canonical());
    let protocol = protocol?;
    let icmp = icmp.filter(|_| protocol.is_icmp());
    if protocol.is_icmp() && icmp.is_none() {
        return None;
    }
    let (ports, is_one_way) = match (icmp, source.port, destination.port) {
        (Some(message), ..) => {
            let partner = partner(message, protocol);
            let second = u16::from(partner.unwrap_or(message.code));
            (Some((u16::from(message.kind), second)), partner.is_none())
        }
        (None, Some(from), Some(to)) if WITH_PORTS.contains(&protocol) => (Some((from, to)), false),
        _ => (None, false),
    };
    let (sent, received) = ports.unwrap_or_default();
    let (first, second) = ((octets(from), sent), (octets(to), received));
    let is_turned = !is_one_way && second < first;
    let ends = if is_turned { [second, first] } else { [first, second] };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    ends.iter().for_each(|(octets, _)| hash.update(octets));
    hash.update([protocol.0, 0]);
    if ports.is_some() {
        ends.iter().for_each(|(_, port)| hash.update(port.to_be_bytes()));
    }
    Some(format!("1:{}", STANDARD.encode(hash.finalize())))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The type that answers a message or is answered by it.
fn partner(message: IcmpMessage, protocol: Protocol) -> Option<u8> {
    let network = match protocol {
        Protocol::ICMPV6 => NetworkType::Ipv6,
        _ => NetworkType::Ipv4,
    };
    let (ask, answer) = message.pair(network)?;
    let other = if message.kind == ask { answer } else { ask };
    (!WITHOUT_PARTNER.contains(&message.kind)).then_some(other)
}

/// Counts that stand on sampled packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledCounts {
    /// Packets that were seen.
    pub seen_packets: u64,
    /// Packets that they stand for.
    pub packets: u64,
}

impl SampledCounts {
    /// How many packets one that was seen stands for, on average.
    pub fn factor(&self) -> f64 {
        self.packets as f64 / self.seen_packets.max(1) as f64
    }

    /// How far, as a share, the estimate may be off at 95 % confidence: 1.96 / √n for n seen packets
    /// (Phaal and Panchen, "Packet Sampling Basics"; the sampled share is small). 1 at most.
    pub fn relative_error(&self) -> f64 {
        (1.96 / (self.seen_packets.max(1) as f64).sqrt()).min(1.0)
    }

    /// A sentence; `None` where the error is too small to matter to a reader (below 5 %).
    pub fn sentence(&self) -> Option<String> {
        let error = self.relative_error();
        let text = format!(
            "Sampled about 1:{:.0}: counts are estimates from {} {} (±{:.0} %).",
            self.factor(),
            self.seen_packets,
            if self.seen_packets == 1 { "packet" } else { "packets" },
            100.0 * error,
        );
        (error >= 0.05).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(protocol: u8, source: (&str, u16), destination: (&str, u16)) -> Option<String> {
        let end =
            |(ip, port): (&str, u16)| Endpoint { ip: Some(ip.parse().unwrap()), port: Some(port) };
        evidence(protocol, end(source), end(destination), None).community_id()
    }

    fn icmp_id(
        protocol: u8,
        source: &str,
        destination: &str,
        kind: u8,
        code: u8,
    ) -> Option<String> {
        let end = |ip: &str| Endpoint { ip: Some(ip.parse().unwrap()), port: None };
        let message = IcmpMessage { kind, code };
        evidence(protocol, end(source), end(destination), Some(message)).community_id()
    }

    fn evidence(
        protocol: u8,
        source: Endpoint,
        destination: Endpoint,
        icmp: Option<IcmpMessage>,
    ) -> FlowEvidence {
        FlowEvidence {
            start: Timestamp::default(),
            end: Timestamp::default(),
            source,
            destination,
            protocol: Some(Protocol(protocol)),
            icmp,
            bytes: 0,
            returned_bytes: 0,
            packets: 0,
        }
    }

    /// From the baseline of the specification.
    #[test]
    fn community_ids_are_those_of_the_specification() {
        let tcp = Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg=".to_owned());
        assert_eq!(id(6, ("128.232.110.120", 34_855), ("66.35.250.204", 80)), tcp);
        assert_eq!(id(6, ("66.35.250.204", 80), ("128.232.110.120", 34_855)), tcp);
        let udp = Some("1:d/FP5EW3wiY1vCndhwleRRKHowQ=".to_owned());
        assert_eq!(id(17, ("192.168.1.52", 54_585), ("8.8.8.8", 53)), udp);
        let ping = Some("1:X0snYXpgwiv9TZtqg64sgzUn6Dk=".to_owned());
        assert_eq!(icmp_id(1, "192.168.0.89", "192.168.0.1", 8, 0), ping);
        assert_eq!(icmp_id(1, "192.168.0.1", "192.168.0.89", 0, 0), ping);
    }

    #[test]
    fn what_has_no_community_id_gets_none() {
        let mut flow = evidence(1, Endpoint::default(), Endpoint::default(), None);
        assert_eq!(flow.community_id(), None, "no addresses");
        flow.source.ip = Some("10.0.0.1".parse().unwrap());
        flow.destination.ip = Some("10.0.0.2".parse().unwrap());
        assert_eq!(flow.community_id(), None, "ICMP of unknown type");
        flow.protocol = None;
        assert_eq!(flow.community_id(), None, "no protocol");
    }

    #[test]
    fn sampled_counts_tell_their_error() {
        let counts = SampledCounts { seen_packets: 96, packets: 96_000 };
        assert_eq!(
            counts.sentence().unwrap(),
            "Sampled about 1:1000: counts are estimates from 96 packets (±20 %)."
        );
        assert_eq!(SampledCounts { seen_packets: 9_600, ..counts }.sentence(), None);
        assert!((SampledCounts { seen_packets: 1, packets: 500 }).relative_error() <= 1.0);
    }

    #[test]
    fn a_service_is_written_as_people_write_it() {
        let words = |protocol, port| ServicePort { protocol: Protocol(protocol), port }.to_string();
        assert_eq!(words(6, 22), "tcp/22");
        assert_eq!(words(1, 0), "icmp");
        assert_eq!(words(200, 0), "200");
    }
}
