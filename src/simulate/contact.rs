//! What happens on the wire: a contact between two nodes, before any exporter looks at it.

use std::net::IpAddr;

use crate::model::{Counters, Protocol, TcpFlags};

use super::clock::SECOND;
use super::flow::Exporter;
use super::random::Dice;

/// Where a node is attached, which says who exports its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Core,
    Access,
}

/// One end of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) ip: IpAddr,
    pub(super) place: Place,
}

impl Node {
    pub(super) fn outside(ip: impl Into<IpAddr>) -> Self {
        Self { ip: ip.into(), place: Place::Outside }
    }

    pub(super) fn is_ipv6(self) -> bool {
        self.ip.is_ipv6()
    }
}

/// Who asks whom for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) client: Node,
    pub(super) server: Node,
    pub(super) port: u16,
}

/// A contact in both directions; a direction without packets is never exported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    /// Nanoseconds since the epoch.
    pub(super) start: i64,
    /// Nanoseconds from the first packet to the last.
    pub(super) lasting: i64,
    pub(super) path: Path,
    pub(super) client_port: u16,
    pub(super) protocol: Protocol,
    pub(super) up: Counters,
    pub(super) down: Counters,
    pub(super) up_flags: u8,
    pub(super) down_flags: u8,
    /// ICMP type of the way up and of the way down.
    pub(super) icmp: (u8, u8),
    pub(super) tos: u8,
    pub(super) episode: Option<u32>,
    pub(super) luck: Luck,
}

/// Whose dice say how a long contact falls into parts: what was added later changes nothing about
/// what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    Ordinary,
    FirstAttacks,
    LaterAttacks,
}

const FIN: u8 = TcpFlags::FIN as u8;
const SYN: u8 = TcpFlags::SYN as u8;
const RST: u8 = TcpFlags::RST as u8;
const PSH: u8 = TcpFlags::PSH as u8;
const ACK: u8 = TcpFlags::ACK as u8;
/// A whole connection: opened, used, closed.
pub(super) const WHOLE: u8 = SYN | ACK | PSH | FIN;

/// Payload octets of a full packet with the usual TCP options.
const SEGMENT: u64 = 1448;

fn counters(packets: u64, bytes: u64) -> Counters {
    Counters { bytes, packets }
}

impl Contact {
    fn new(dice: &mut Dice, start: i64, path: Path, protocol: Protocol) -> Self {
        Self {
            start,
            lasting: 0,
            path,
            client_port: dice.port(32_768, 65_535),
            protocol,
            up: Counters::default(),
            down: Counters::default(),
            up_flags: 0,
            down_flags: 0,
            icmp: (0, 0),
            tos: 0,
            episode: None,
            luck: Luck::Ordinary,
        }
    }

    /// A TCP connection that carried `payload` octets (up, down) in `seconds`.
    pub(super) fn tcp(
        dice: &mut Dice,
        start: i64,
        path: Path,
        payload: (u64, u64),
        seconds: f64,
    ) -> Self {
        let header = if path.client.is_ipv6() { 72 } else { 52 };
        let (up, down) = (payload.0.div_ceil(SEGMENT), payload.1.div_ceil(SEGMENT));
        // Opening and closing, data, and one acknowledgement for two data packets.
        let up_packets = 4 + up + down / 2;
        let down_packets = 3 + down + up / 2;
        let aborted = dice.chance(0.06);
        Self {
            lasting: (seconds * SECOND as f64) as i64,
            up: counters(up_packets, payload.0 + header * up_packets + 8),
            down: counters(down_packets, payload.1 + header * down_packets + 8),
            up_flags: if aborted { WHOLE | RST } else { WHOLE },
            down_flags: WHOLE,
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// A TCP connection that the server refused with a reset: 60 octets out, 40 back.
    pub(super) fn refused(dice: &mut Dice, start: i64, path: Path) -> Self {
        let extra = if path.client.is_ipv6() { 20 } else { 0 };
        Self {
            lasting: dice.between(0, 3) as i64 * 1_000_000,
            up: counters(1, 60 + extra),
            down: counters(1, 40 + extra),
            up_flags: SYN,
            down_flags: RST | ACK,
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// So many SYNs that nobody answered, with the usual back-off of 1, 2, 4 … s between them.
    pub(super) fn unanswered(dice: &mut Dice, start: i64, path: Path, syns: u32) -> Self {
        let size = if path.client.is_ipv6() { 80 } else { 60 };
        Self {
            lasting: ((1i64 << (syns.clamp(1, 8) - 1)) - 1) * SECOND,
            up: counters(u64::from(syns), size * u64::from(syns)),
            up_flags: SYN,
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// An open port seen by a scanner: opened and at once reset.
    pub(super) fn probed_open(dice: &mut Dice, start: i64, path: Path) -> Self {
        Self {
            lasting: dice.between(0, 3) as i64 * 1_000_000,
            up: counters(2, 100),
            down: counters(1, 60),
            up_flags: SYN | RST,
            down_flags: SYN | ACK,
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// A half-open connection of a flood: one SYN in, `answers` SYN-ACKs out.
    pub(super) fn half_open(dice: &mut Dice, start: i64, path: Path, answers: u64) -> Self {
        Self {
            up: counters(1, 60),
            down: counters(answers, 60 * answers),
            up_flags: SYN,
            down_flags: if answers > 0 { SYN | ACK } else { 0 },
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// UDP packets with `payload` octets altogether, (packets, octets) up and down.
    pub(super) fn udp(
        dice: &mut Dice,
        start: i64,
        path: Path,
        up: (u64, u64),
        down: (u64, u64),
        seconds: f64,
    ) -> Self {
        let header = if path.client.is_ipv6() { 48 } else { 28 };
        Self {
            lasting: (seconds * SECOND as f64) as i64,
            up: counters(up.0, up.1 + header * up.0),
            down: counters(down.0, down.1 + header * down.0),
            ..Self::new(dice, start, path, Protocol::UDP)
        }
    }

    /// `packets` echo requests, one a second, all answered.
    pub(super) fn ping(dice: &mut Dice, start: i64, path: Path, packets: u64) -> Self {
        let (protocol, icmp, size) = if path.client.is_ipv6() {
            (Protocol::ICMPV6, (128, 129), 104)
        } else {
            (Protocol::ICMP, (8, 0), 84)
        };
        let both = counters(packets, size * packets);
        Self {
            lasting: packets.saturating_sub(1) as i64 * SECOND + 2_000_000,
            up: both,
            down: both,
            icmp,
            client_port: 0,
            ..Self::new(dice, start, Path { port: 0, ..path }, protocol)
        }
    }

    /// Echoes that carry data, (packets, octets with headers) up and down.
    pub(super) fn echoes(
        dice: &mut Dice,
        start: i64,
        path: Path,
        (up, down): ((u64, u64), (u64, u64)),
        seconds: f64,
    ) -> Self {
        Self {
            lasting: (seconds * SECOND as f64) as i64,
            up: counters(up.0, up.1),
            down: counters(down.0, down.1),
            icmp: (8, 0),
            client_port: 0,
            ..Self::new(dice, start, Path { port: 0, ..path }, Protocol::ICMP)
        }
    }

    /// A TCP connection with small packets all the time, (packets, octets with headers) up and
    /// down.
    pub(super) fn held(
        dice: &mut Dice,
        start: i64,
        path: Path,
        (up, down): ((u64, u64), (u64, u64)),
        seconds: f64,
    ) -> Self {
        Self {
            lasting: (seconds * SECOND as f64) as i64,
            up: counters(up.0, up.1),
            down: counters(down.0, down.1),
            up_flags: WHOLE,
            down_flags: WHOLE,
            ..Self::new(dice, start, path, Protocol::TCP)
        }
    }

    /// Who exports it: the access switch for everything attached to it, the border for traffic
    /// with the outside, the core for the rest. Nothing is exported twice.
    pub(super) fn exporter(&self) -> Exporter {
        let places = [self.path.client.place, self.path.server.place];
        if places.contains(&Place::Access) {
            Exporter::Access
        } else if places.contains(&Place::Outside) {
            Exporter::Border
        } else {
            Exporter::Core
        }
    }

    /// The flags of part `index` of `parts`: the opening is in the first, the closing in the last.
    pub(super) fn flags_of_part(flags: u8, is_first: bool, is_last: bool) -> u8 {
        let opening = if is_first { 0 } else { SYN };
        let closing = if is_last { 0 } else { FIN | RST };
        flags & !opening & !closing
    }

    /// Whether an exporter sees the end of it at once; otherwise it waits for its inactive
    /// time-out.
    pub(super) fn is_closed(flags: u8) -> bool {
        flags & (FIN | RST) != 0
    }
}
