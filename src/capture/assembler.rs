//! Packets of a five-tuple, both ways → one flow.

use std::num::NonZeroU32;

use hashbrown::HashMap;

use super::Limits;
use super::clock::Clock;
use super::contact::Contact;
use super::container::PacketPlace;
use super::fragments::Fragments;
use super::key::{Key, Side, is_from_initiator};
use super::packet::{Ends, Packet};
use super::queues::Queues;
use crate::model::{
    Counters, Flow, FlowOrigin, IcmpMessage, NetworkType, Protocol, TcpFlags, Timestamp,
};

/// So long after its end a connection still takes stragglers: the last ACK, repeated FINs. The time
/// that Zeek gives them.
const LINGER_SECONDS: u32 = 5;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the initiator of the flow.
    Forward,
    /// To the initiator of the flow.
    Backward,
}

/// What is computed of the packets of a flow beside its record.
pub trait Statistics: Default {
    /// Takes the next packet of the flow. Times may go back a little.
    fn add(&mut self, packet: &Packet, direction: Direction);
}

/// Nothing.
impl Statistics for () {
    fn add(&mut self, _packet: &Packet, _direction: Direction) {}
}

/// A flow that has ended, or a part of a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembled<S = ()> {
    /// The record.
    pub flow: Flow,
    /// Its first packet.
    pub first: PacketPlace,
    /// What was computed beside it.
    pub statistics: S,
}

/// Puts packets together.
///
/// The source of a flow is its initiator: who sent a SYN without ACK; else who came first, unless
/// the ports say that this end answers ([`Flow::role`]). A flow is put out when the connection is closed, when it
/// was idle, or when it grew too old; what follows then is a record of its own that knows how the
/// contact began.
#[derive(Debug)]
pub struct Assembler<S = ()> {
    limits: Limits,
    flows: Queues<Open<S>, 3>,
    slots: HashMap<Key, u32>,
    fragments: Fragments,
    clock: Clock,
    ended_early: u64,
}

/// The queues of open flows. Each has one time after which its flows have ended, so that the flow
/// that ends next stands first.
const TCP: usize = 0;
const OTHER: usize = 1;
const CLOSED: usize = 2;

#[derive(Debug)]
struct Open<S> {
    key: Key,
    first: PacketPlace,
    initiator: Side,
    start: Timestamp,
    end: Timestamp,
    /// Time of the packet that came last; not the end where times go back.
    last: Timestamp,
    sent: Counters,
    returned: Counters,
    tcp_flags: Option<u16>,
    icmp: Option<IcmpMessage>,
    vlan: Option<u16>,
    network: NetworkType,
    contact: Contact,
    statistics: S,
}

/// What a packet is to the open flow of its ends.
enum Belongs {
    Here,
    ToItsContinuation,
    ToAnother,
}

impl<S: Statistics> Assembler<S> {
    /// Returns an assembler without flows.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            flows: Queues::default(),
            slots: HashMap::default(),
            fragments: Fragments::default(),
            clock: Clock::default(),
            ended_early: 0,
        }
    }

    /// Takes a packet and appends the flows that ended before it.
    pub fn add(&mut self, place: PacketPlace, packet: &Packet, ended: &mut Vec<Assembled<S>>) {
        let now = self.clock.tell(packet.time);
        self.end_idle(now, ended);
        if let Some(refused) = &packet.refused {
            self.refuse(refused);
        }
        let (key, side) = self.fragments.key_of(packet);
        let mut begun = None;
        if let Some(&slot) = self.slots.get(&key)
            && let Some(open) = self.flows.get(slot)
        {
            match open.takes(packet, side, &self.limits) {
                Belongs::Here => return self.count(slot, side, packet),
                Belongs::ToItsContinuation => begun = Some((open.initiator, open.contact)),
                Belongs::ToAnother => {}
            }
            self.end(slot, ended);
        }
        if self.flows.len() >= self.limits.max_flows
            && let Some(slot) = self.longest_idle()
        {
            self.ended_early += 1;
            self.end(slot, ended);
        }
        let (initiator, contact) = begun.unwrap_or_else(|| {
            let initiator = if is_from_initiator(packet) { side } else { side.other() };
            (initiator, Contact::default())
        });
        let slot = self.flows.push(OTHER, Open::new(key, initiator, contact, place, packet));
        self.slots.insert(key, slot);
        self.count(slot, side, packet);
    }

    /// Ends all flows, at the end of the capture.
    pub fn finish(&mut self, ended: &mut Vec<Assembled<S>>) {
        while let Some(slot) = self.longest_idle() {
            self.end(slot, ended);
        }
    }

    /// No flow that is still open ends before this; `None` when none is open.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.firsts().map(|(_, open)| open.last).min()
    }

    /// How many flows were ended early, because too many were open.
    pub fn ended_early(&self) -> u64 {
        self.ended_early
    }

    /// The first flow of each queue: nothing else can be idle for longest.
    fn firsts(&self) -> impl Iterator<Item = (u32, &Open<S>)> {
        [TCP, OTHER, CLOSED].into_iter().filter_map(|queue| self.flows.first(queue))
    }

    fn longest_idle(&self) -> Option<u32> {
        self.firsts().min_by_key(|(_, open)| open.last).map(|(slot, _)| slot)
    }

    /// Ends what was idle; also what lies as far in the future, which a damaged time left there.
    fn end_idle(&mut self, now: Timestamp, ended: &mut Vec<Assembled<S>>) {
        for queue in [TCP, OTHER, CLOSED] {
            while let Some((slot, open)) = self.flows.first(queue)
                && open.is_idle(now, &self.limits)
            {
                self.end(slot, ended);
            }
        }
    }

    fn count(&mut self, slot: u32, side: Side, packet: &Packet) {
        let Some(open) = self.flows.get_mut(slot) else { return };
        open.count(packet, open.direction(side));
        let queue = open.queue();
        self.flows.move_to_end(slot, queue);
    }

    /// Notes that the packet that an ICMP error quotes was refused.
    fn refuse(&mut self, quoted: &Ends) {
        let (key, side) = Key::of(quoted);
        if let Some(&slot) = self.slots.get(&key)
            && let Some(open) = self.flows.get_mut(slot)
            && open.direction(side) == Direction::Forward
        {
            open.contact.refuse();
        }
    }

    fn end(&mut self, slot: u32, ended: &mut Vec<Assembled<S>>) {
        if let Some(open) = self.flows.remove(slot) {
            self.slots.remove(&open.key);
            ended.push(open.into_flow());
        }
    }
}

impl<S: Statistics> Open<S> {
    fn new(
        key: Key,
        initiator: Side,
        contact: Contact,
        first: PacketPlace,
        packet: &Packet,
    ) -> Self {
        Self {
            key,
            first,
            initiator,
            start: packet.time,
            end: packet.time,
            last: packet.time,
            sent: Counters::default(),
            returned: Counters::default(),
            tcp_flags: None,
            icmp: None,
            vlan: None,
            network: packet.ends.network(),
            contact,
            statistics: S::default(),
        }
    }

    fn direction(&self, side: Side) -> Direction {
        if side == self.initiator { Direction::Forward } else { Direction::Backward }
    }

    fn queue(&self) -> usize {
        match self.key.protocol {
            Protocol::TCP if self.contact.is_closed() => CLOSED,
            Protocol::TCP => TCP,
            _ => OTHER,
        }
    }

    fn is_idle(&self, now: Timestamp, limits: &Limits) -> bool {
        let seconds = match self.queue() {
            CLOSED => LINGER_SECONDS.min(limits.tcp_idle_seconds),
            TCP => limits.tcp_idle_seconds,
            _ => limits.idle_seconds,
        };
        now.nanos_since(self.last).unsigned_abs() > nanos(seconds)
    }

    fn takes(&self, packet: &Packet, side: Side, limits: &Limits) -> Belongs {
        let is_new = self.contact.is_opened_anew_by(packet, self.direction(side));
        if is_new || self.is_idle(packet.time, limits) {
            return Belongs::ToAnother;
        }
        let age = packet.time.nanos_since(self.start).unsigned_abs();
        match age >= nanos(limits.active_seconds) {
            true => Belongs::ToItsContinuation,
            false => Belongs::Here,
        }
    }

    fn count(&mut self, packet: &Packet, direction: Direction) {
        self.start = self.start.min(packet.time);
        self.end = self.end.max(packet.time);
        self.last = packet.time;
        let is_first_ahead = self.sent == Counters::default();
        let counters = match direction {
            Direction::Forward => &mut self.sent,
            Direction::Backward => &mut self.returned,
        };
        counters.packets += 1;
        counters.bytes = counters.bytes.saturating_add(packet.ip_bytes);
        if direction == Direction::Forward {
            if let Some(tcp) = packet.tcp {
                self.tcp_flags = Some(self.tcp_flags.unwrap_or(0) | tcp.flags);
            }
            self.vlan = self.vlan.or(packet.vlan);
        }
        // The question, even when its answer was seen first.
        let message = packet.icmp().map(|icmp| icmp.message);
        if self.icmp.is_none() || (direction == Direction::Forward && is_first_ahead) {
            self.icmp = message.or(self.icmp);
        }
        self.contact.see(packet, direction);
        self.statistics.add(packet, direction);
    }

    fn into_flow(self) -> Assembled<S> {
        let mut flow = Flow::new(FlowOrigin::Capture, self.start, self.end);
        flow.source = self.key.end(self.initiator);
        flow.destination = self.key.end(self.initiator.other());
        flow.network = self.network;
        flow.protocol = Some(self.key.protocol);
        flow.tcp_flags = self.tcp_flags.map(TcpFlags);
        flow.icmp = self.icmp;
        flow.sent = self.sent;
        // Nobody answers errors, so their sender is not the one who opened a contact.
        let is_one_way = self.icmp.is_some_and(|message| message.pair(self.network).is_none());
        flow.returned = (!is_one_way).then_some(self.returned);
        flow.vlan = self.vlan;
        // A capture holds every packet that it saw.
        flow.sampling_rate = Some(NonZeroU32::MIN);
        let expects_answer = match self.icmp {
            Some(message) => message.asks(self.network),
            None => self.key.is_whole() && self.key.protocol == Protocol::UDP,
        };
        (flow.state, flow.outcome) = self.contact.judge(self.key.protocol, expects_answer);
        Assembled { flow, first: self.first, statistics: self.statistics }
    }
}

fn nanos(seconds: u32) -> u64 {
    u64::from(seconds) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_flow_takes_what_the_settings_say() {
        // Tables are up to half empty.
        let bytes = size_of::<Open<()>>() + 2 * size_of::<(Key, u32)>();
        assert!((200..400).contains(&bytes), "{bytes}");
    }
}
