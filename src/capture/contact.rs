//! What became of a contact, from what each side was seen to send.
//!
//! The words follow the connection states of Zeek as `formats` reads them. Where Zeek says nothing,
//! because it saw no SYN, packets that no connection ever holds (neither SYN, ACK nor RST: FIN, NULL
//! and Xmas scans) count as questions too.

use super::assembler::Direction;
use super::packet::Packet;
use crate::model::{ConnectionState, Outcome, Protocol, TcpFlags};

/// What was seen of a contact. It outlives the records of a flow that is continued.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contact {
    /// From the initiator.
    forward: Sent,
    /// From the other side.
    backward: Sent,
    /// An ICMP error came for a packet of the initiator.
    is_refused: bool,
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    any: bool,
    payload: bool,
    /// Sequence number of the last SYN without ACK.
    syn: Option<u32>,
    syn_ack: bool,
    ack: bool,
    fin: bool,
    rst: bool,
    /// A TCP packet other than a RST.
    other_than_rst: bool,
    /// A TCP packet without SYN, ACK and RST.
    odd: bool,
}

impl Contact {
    pub(super) fn see(&mut self, packet: &Packet, direction: Direction) {
        let sent = match direction {
            Direction::Forward => &mut self.forward,
            Direction::Backward => &mut self.backward,
        };
        sent.any = true;
        sent.payload |= packet.payload_bytes > 0;
        let Some(tcp) = packet.tcp else { return };
        let has = |flag| TcpFlags(tcp.flags).has(flag);
        let (syn, ack, rst) = (has(TcpFlags::SYN), has(TcpFlags::ACK), has(TcpFlags::RST));
        if syn && !ack {
            sent.syn = Some(tcp.sequence);
        }
        sent.syn_ack |= syn && ack;
        sent.ack |= ack && !rst;
        sent.fin |= has(TcpFlags::FIN);
        sent.rst |= rst;
        sent.other_than_rst |= !rst;
        sent.odd |= !syn && !ack && !rst;
    }

    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// Whether both sides have closed, or one has aborted.
    pub(super) fn is_closed(&self) -> bool {
        (self.forward.fin && self.backward.fin) || self.forward.rst || self.backward.rst
    }

    /// Whether this packet is the first of another connection between the same ports. A repeated SYN
    /// is not, nor is another one while nobody has answered.
    pub(super) fn is_opened_anew_by(&self, packet: &Packet, direction: Direction) -> bool {
        let Some(tcp) = packet.tcp else { return false };
        if TcpFlags(tcp.flags).has(TcpFlags::ACK) || !TcpFlags(tcp.flags).has(TcpFlags::SYN) {
            return false;
        }
        let known = match direction {
            Direction::Forward => self.forward.syn,
            Direction::Backward => self.backward.syn,
        };
        let has_begun_here = self.forward.syn.is_some() || self.backward.syn.is_some();
        self.is_closed()
            || !has_begun_here
            || (self.backward.syn_ack && known != Some(tcp.sequence))
    }

    /// What it comes to.
    pub(super) fn judge(
        &self,
        protocol: Protocol,
        expects_answer: bool,
    ) -> (Option<ConnectionState>, Outcome) {
        if protocol == Protocol::TCP {
            return self.judge_tcp();
        }
        let is_udp = protocol == Protocol::UDP;
        let (state, outcome) = match (self.forward.any, self.backward.any) {
            (true, true) => (ConnectionState::Closed, Outcome::Exchanged),
            (true, false) if self.is_refused => (ConnectionState::Reset, Outcome::Refused),
            (true, false) if expects_answer => (ConnectionState::New, Outcome::Unanswered),
            (_, _) => return (None, Outcome::Unknown),
        };
        (is_udp.then_some(state), outcome)
    }

    fn judge_tcp(&self) -> (Option<ConnectionState>, Outcome) {
        use ConnectionState::{Closing, New, Reset};
        let (ahead, back) = (&self.forward, &self.backward);
        let has_payload = ahead.payload || back.payload;
        if ahead.syn.is_some() && (back.syn_ack || back.other_than_rst) {
            let outcome = if has_payload { Outcome::Exchanged } else { Outcome::Empty };
            return (Some(self.opened_state()), outcome);
        }
        if ahead.syn.is_some() {
            return match (back.rst || self.is_refused, ahead.rst, ahead.fin) {
                (true, _, _) => (Some(Reset), Outcome::Refused),
                (_, true, _) => (Some(Reset), Outcome::Unanswered),
                (_, _, true) => (Some(Closing), Outcome::Unanswered),
                (_, _, _) => (Some(New), Outcome::Unanswered),
            };
        }
        if (ahead.payload && back.payload) || (has_payload && ahead.fin && back.fin) {
            return (Some(self.opened_state()), Outcome::Exchanged);
        }
        if back.syn_ack {
            return match (back.rst, back.fin) {
                (true, _) => (Some(Reset), Outcome::Refused),
                (_, true) => (Some(Closing), Outcome::Unknown),
                (_, _) => (None, Outcome::Unknown),
            };
        }
        let is_odd = ahead.odd && !ahead.ack;
        match (is_odd, back.any) {
            (true, true) if back.rst && !back.other_than_rst => (Some(Reset), Outcome::Refused),
            (true, false) if self.is_refused => (Some(Reset), Outcome::Refused),
            (true, false) => (Some(New), Outcome::Unanswered),
            (_, _) => (None, Outcome::Unknown),
        }
    }

    /// How far an opened connection has come.
    fn opened_state(&self) -> ConnectionState {
        let (ahead, back) = (&self.forward, &self.backward);
        match (ahead.rst || back.rst, ahead.fin, back.fin) {
            (true, _, _) => ConnectionState::Reset,
            (_, true, true) => ConnectionState::Closed,
            (_, false, false) if ahead.ack => ConnectionState::Established,
            (_, false, false) => ConnectionState::Connecting,
            (_, _, _) => ConnectionState::Closing,
        }
    }
}
