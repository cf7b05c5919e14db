//! What flows are made of: the headers of one packet.

use std::net::IpAddr;

use super::Fault;
use super::container::RawPacket;
use super::ip::{Fragment, Ip, network_of};
use super::link::carried;
use super::transport::{Transport, ports, refuses};
use crate::model::{IcmpMessage, NetworkType, Protocol, Timestamp};

/// One IP packet, as its headers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was seen.
    pub time: Timestamp,
    /// The two ends and what tells their flows apart.
    pub(super) ends: Ends,
    /// TCP only, and only when that much of the header was kept.
    pub tcp: Option<TcpPart>,
    /// Bytes by the IP header, with it.
    pub ip_bytes: u64,
    /// Bytes of the transport header; 0 where it is unknown or in another fragment.
    pub header_bytes: u64,
    /// Bytes behind the transport header.
    pub payload_bytes: u64,
    /// Bytes on the wire, with the header of the link and padding.
    pub wire_bytes: u64,
    /// The outermost VLAN.
    pub vlan: Option<u16>,
    pub(super) fragment: Option<Fragment>,
    /// The packet that an ICMP error refuses.
    pub(super) refused: Option<Ends>,
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: Protocol,
    /// Source and destination.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) icmp: Option<IcmpPart>,
}

/// What a TCP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpPart {
    /// The nine flags, as in [`crate::model::TcpFlags`].
    pub flags: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Window, not scaled.
    pub window: u16,
}

/// What an ICMP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpPart {
    /// Type and code.
    pub message: IcmpMessage,
    /// What tells one series of questions from another, in messages that have it.
    pub identifier: Option<u16>,
}

impl Packet {
    /// Reads the headers of a captured packet; `None` when it is not an IP packet.
    ///
    /// Lengths are those of the headers, however little of the packet was kept.
    ///
    /// # Errors
    /// When a header is cut before what is needed, contradicts itself, or is of an unknown link.
    pub fn read(raw: &RawPacket<'_>) -> Result<Option<Self>, Fault> {
        let Some(carried) = carried(raw.link, raw.bytes)? else { return Ok(None) };
        let link_bytes = raw.bytes.len().saturating_sub(carried.ip.len()) as u64;
        let ip = Ip::read(carried.ip, raw.wire_bytes.saturating_sub(link_bytes))?;
        let transport = Transport::read(&ip)?;
        Ok(Some(Self {
            time: raw.time,
            ends: Ends::of(&ip, transport.ports, transport.icmp),
            tcp: transport.tcp,
            ip_bytes: ip.bytes,
            header_bytes: transport.header_bytes,
            payload_bytes: ip.payload_bytes.saturating_sub(transport.header_bytes),
            wire_bytes: raw.wire_bytes,
            vlan: carried.vlan,
            fragment: ip.fragment,
            refused: refused(&ip, transport.icmp),
        }))
    }

    /// Who sent it.
    pub fn source(&self) -> IpAddr {
        self.ends.source
    }

    /// Who gets it.
    pub fn destination(&self) -> IpAddr {
        self.ends.destination
    }

    /// The IP protocol.
    pub fn protocol(&self) -> Protocol {
        self.ends.protocol
    }

    /// Source and destination port, where the protocol has them and the packet holds them.
    pub fn ports(&self) -> Option<(u16, u16)> {
        self.ends.ports
    }

    /// ICMP only.
    pub fn icmp(&self) -> Option<IcmpPart> {
        self.ends.icmp
    }
}

impl Ends {
    fn of(ip: &Ip<'_>, ports: Option<(u16, u16)>, icmp: Option<IcmpPart>) -> Self {
        let (source, destination, protocol) = (ip.source, ip.destination, ip.protocol);
        Self { source, destination, protocol, ports, icmp }
    }

    pub(super) fn network(&self) -> NetworkType {
        network_of(self.source)
    }
}

/// The ends of the packet that an ICMP error quotes: its IP header and at least eight bytes more.
fn refused(ip: &Ip<'_>, icmp: Option<IcmpPart>) -> Option<Ends> {
    const BEFORE_QUOTE: usize = 8;
    icmp.filter(|icmp| refuses(network_of(ip.source), icmp.message))?;
    let quote = ip.payload.get(BEFORE_QUOTE..)?;
    let quoted = Ip::read(quote, quote.len() as u64).ok().filter(Ip::is_first_part)?;
    let icmp = match quoted.protocol.is_icmp() {
        true => Transport::read(&quoted).ok()?.icmp,
        false => None,
    };
    Some(Ends::of(&quoted, ports(&quoted)?, icmp))
}
