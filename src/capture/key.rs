//! Which packets belong together, and who began.

use super::packet::{Ends, Packet};
use crate::model::{Endpoint, Flow, FlowOrigin, Protocol, Role, TcpFlags, Timestamp};

/// What the packets of a flow have in common, whichever way they go.
///
/// VLANs are not part of it: on many mirror ports only one direction has a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    low: Endpoint,
    high: Endpoint,
    pub(super) protocol: Protocol,
    /// Tells flows of ICMP apart; 0 elsewhere.
    mark: u32,
}

/// One end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Low,
    High,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl Key {
    /// Returns the key and the side of the sender.
    pub(super) fn of(ends: &Ends) -> (Self, Side) {
        let (from, to) = ends.ports.unzip();
        let is_low = (ends.source, from) <= (ends.destination, to);
        let source = Endpoint { ip: Some(ends.source), port: from };
        let destination = Endpoint { ip: Some(ends.destination), port: to };
        let (low, high) = if is_low { (source, destination) } else { (destination, source) };
        let side = if is_low { Side::Low } else { Side::High };
        (Self { low, high, protocol: ends.protocol, mark: mark(ends, side) }, side)
    }

    pub(super) fn end(&self, side: Side) -> Endpoint {
        match side {
            Side::Low => self.low,
            Side::High => self.high,
        }
    }

    /// Whether the ends are known as exactly as the protocol knows them.
    pub(super) fn is_whole(&self) -> bool {
        !self.protocol.has_ports() || self.low.port.is_some()
    }
}

/// Questions and answers of ICMP with one identifier are one flow. Any other message has a flow for
/// each type, code and direction.
fn mark(ends: &Ends, side: Side) -> u32 {
    const ONE_WAY: u32 = 1 << 31;
    const FROM_HIGH: u32 = 1 << 30;
    let Some(icmp) = ends.icmp else { return 0 };
    if let Some((ask, _)) = icmp.message.pair(ends.network()) {
        return u32::from(ask) << 16 | u32::from(icmp.identifier.unwrap_or(0));
    }
    let direction = if side == Side::High { FROM_HIGH } else { 0 };
    ONE_WAY | direction | u32::from(icmp.message.kind) << 8 | u32::from(icmp.message.code)
}

/// Whether the sender of the first packet of a flow began it. A SYN tells, with or without ACK; else
/// the ports do, as in exports of one direction; else the sender of a RST or of an answer did not.
pub(super) fn is_from_initiator(packet: &Packet) -> bool {
    let has = |flags| packet.tcp.is_some_and(|tcp| TcpFlags(tcp.flags).has(flags));
    if has(TcpFlags::SYN) {
        return !has(TcpFlags::ACK);
    }
    if let Some(icmp) = packet.icmp() {
        let network = packet.ends.network();
        return icmp.message.pair(network).is_none() || icmp.message.asks(network);
    }
    let Some((from, to)) = packet.ports() else { return true };
    match (role_by_ports(from, to), role_by_ports(to, from)) {
        (Role::Responder, _) => false,
        (Role::Initiator, Role::Responder) => true,
        (Role::Initiator, Role::Initiator) => !has(TcpFlags::RST),
    }
}

/// The part of the end with the port `from`, as far as ports alone tell.
fn role_by_ports(from: u16, to: u16) -> Role {
    let time = Timestamp::default();
    let mut flow = Flow::new(FlowOrigin::Capture, time, time);
    (flow.source.port, flow.destination.port) = (Some(from), Some(to));
    flow.role()
}
