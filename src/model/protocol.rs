//! IP protocol numbers and TCP flags.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An IANA IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u8);

/// Names as ECS `network.transport` and exporters write them, lower case. The first name of a
/// number is the one written; the others are understood as well.
const NAMES: &[(&str, u8)] = &[
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipv4", 4),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmp6", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("ospfigp", 89),
    ("ipip", 94),
    ("etherip", 97),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

impl Protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// No protocol, for keys: the number that IANA reserves.
    pub const NONE: Self = Self(255);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);

    /// Returns the protocol of a name (any case) or a decimal number.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<u8>() {
            return Some(Self(number));
        }
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|&(_, number)| Self(number))
    }

    /// The lower-case name, `None` for numbers without one here.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|&&(_, number)| number == self.0).map(|&(name, _)| name)
    }

    /// Whether this is ICMP of either address family.
    pub fn is_icmp(self) -> bool {
        self == Self::ICMP || self == Self::ICMPV6
    }

    /// Whether flows of this protocol have ports.
    pub fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The TCP flags of a flow: the OR over its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u16 = 0x01;
    /// Opens a connection.
    pub const SYN: u16 = 0x02;
    /// Refuses or aborts a connection.
    pub const RST: u16 = 0x04;
    /// Data to hand over at once.
    pub const PSH: u16 = 0x08;
    /// The acknowledgement number is valid.
    pub const ACK: u16 = 0x10;

    /// Whether every flag of `mask` is set.
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }

    /// Whether any flag of `mask` is set.
    pub const fn has_any(self, mask: u16) -> bool {
        self.0 & mask != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood_in_any_case() {
        assert_eq!(Protocol::parse("TCP"), Some(Protocol::TCP));
        assert_eq!(Protocol::parse("17"), Some(Protocol::UDP));
        assert_eq!(Protocol::parse("IPv6-ICMP"), Some(Protocol::ICMPV6));
        assert_eq!(Protocol::parse("carrier-pigeon"), None);
        assert_eq!(Protocol::parse("256"), None);
    }

    #[test]
    fn a_protocol_is_written_by_its_first_name() {
        assert_eq!(Protocol::ICMPV6.to_string(), "ipv6-icmp");
        assert_eq!(Protocol(200).to_string(), "200");
    }
}
