//! Behind the IP header: ports, flags, and what ICMP says.

use super::Fault;
use super::container::Order;
use super::ip::{Ip, network_of};
use super::packet::{IcmpPart, TcpPart};
use crate::model::{IcmpMessage, NetworkType, Protocol};

const TCP_HEADER: u64 = 20;
const UDP_HEADER: u64 = 8;
const ICMP_HEADER: u64 = 8;

/// What stands behind the IP header of a packet.
#[derive(Debug, Default)]
pub(super) struct Transport {
    /// Source and destination.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) tcp: Option<TcpPart>,
    pub(super) icmp: Option<IcmpPart>,
    pub(super) header_bytes: u64,
}

impl Transport {
    /// Reads as much as was kept. What the datagram itself has no room for is a fault.
    pub(super) fn read(ip: &Ip<'_>) -> Result<Self, Fault> {
        if !ip.is_first_part() {
            return Ok(Self::default());
        }
        let needed = match ip.protocol {
            // A first part may be as short as eight bytes.
            Protocol::TCP if ip.fragment.is_none() => TCP_HEADER,
            protocol if protocol.has_ports() || protocol.is_icmp() => UDP_HEADER,
            _ => return Ok(Self::default()),
        };
        if ip.payload_bytes < needed {
            let found = ip.payload_bytes;
            return Err(Fault::packet(format!("{} in {found} bytes", ip.protocol)));
        }
        let cut = || Fault::packet(format!("{} cut before what it says", ip.protocol));
        if ip.protocol.is_icmp() {
            return Self::icmp(ip).ok_or_else(cut);
        }
        Self::with_ports(ip, ports(ip).ok_or_else(cut)?)
    }

    fn with_ports(ip: &Ip<'_>, ports: Option<(u16, u16)>) -> Result<Self, Fault> {
        if ip.protocol != Protocol::TCP {
            return Ok(Self { ports, header_bytes: UDP_HEADER, ..Self::default() });
        }
        let is_whole = ip.fragment.is_none();
        let (header_bytes, tcp) = match tcp(ip.payload) {
            Some((length, _)) if length < TCP_HEADER || (is_whole && length > ip.payload_bytes) => {
                return Err(Fault::packet(format!("a tcp header of {length} bytes")));
            }
            Some((length, tcp)) => (length, Some(tcp)),
            None => (TCP_HEADER, None),
        };
        Ok(Self { ports, tcp, icmp: None, header_bytes })
    }

    fn icmp(ip: &Ip<'_>) -> Option<Self> {
        let &[kind, code] = ip.payload.first_chunk()?;
        let identifier = match has_identifier(network_of(ip.source), kind) {
            true => Order::Big.u16(ip.payload, 4),
            false => None,
        };
        let icmp = IcmpPart { message: IcmpMessage { kind, code }, identifier };
        Some(Self { icmp: Some(icmp), header_bytes: ICMP_HEADER, ..Self::default() })
    }
}

/// The two ports, where the protocol has them; `None` when they were not kept.
pub(super) fn ports(ip: &Ip<'_>) -> Option<Option<(u16, u16)>> {
    if !ip.protocol.has_ports() || !ip.is_first_part() {
        return Some(None);
    }
    let ports = (Order::Big.u16(ip.payload, 0)?, Order::Big.u16(ip.payload, 2)?);
    Some(Some(ports))
}

/// The length of a TCP header and what it says, when it was kept up to the window.
fn tcp(header: &[u8]) -> Option<(u64, TcpPart)> {
    let sequence = Order::Big.u32(header, 4)?;
    let length_and_flags = Order::Big.u16(header, 12)?;
    let window = Order::Big.u16(header, 14)?;
    let length = u64::from(length_and_flags >> 12) * 4;
    Some((length, TcpPart { flags: length_and_flags & 0x01ff, sequence, window }))
}

/// Echo, timestamp, information, address mask, and the extended echo; in IPv6 echo, the home agent
/// discovery and the extended echo.
fn has_identifier(network: NetworkType, kind: u8) -> bool {
    match network {
        NetworkType::Ipv6 => matches!(kind, 128 | 129 | 144 | 145 | 160 | 161),
        NetworkType::Ipv4 | NetworkType::Arp | NetworkType::Other => {
            matches!(kind, 0 | 8 | 13..=18 | 42 | 43)
        }
    }
}

/// Whether an ICMP message says that a contact is refused. That a packet is too large or took too
/// long refuses nothing.
pub(super) fn refuses(network: NetworkType, message: IcmpMessage) -> bool {
    const FRAGMENTATION_NEEDED: u8 = 4;
    match network {
        NetworkType::Ipv6 => message.kind == 1,
        NetworkType::Ipv4 | NetworkType::Arp | NetworkType::Other => {
            message.kind == 3 && message.code != FRAGMENTATION_NEEDED
        }
    }
}
