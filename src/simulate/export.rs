//! From contacts to export records: two directions, parts of 60 s, sampling, time-outs, datagrams.
//!
//! Everything waits in a ring of one-second slots until its second is over, so memory holds the
//! records and open contacts of a minute or two, never those of the run.

use std::collections::VecDeque;

use crate::model::{Counters, NetworkType, Protocol, Timestamp};

use super::clock::SECOND;
use super::contact::{Contact, Luck, Node};
use super::flow::{Exporter, SimulatedFlow};
use super::random::Dice;

/// Active time-out: a flow that lasts longer is exported in parts of this length, as routers that
/// feed an anomaly detector are usually set.
const ACTIVE_TIMEOUT: i64 = 60 * SECOND;
/// Frame header and checksum, which sFlow counts.
const FRAME: u64 = 18;

/// Things by the second in which they are due.
#[derive(Clone, Debug)]
struct Ring<T> {
    /// The second of the first slot.
    first: i64,
    slots: VecDeque<Vec<T>>,
    /// An emptied slot to use again.
    spare: Vec<T>,
}

impl<T> Ring<T> {
    fn new(first: i64) -> Self {
        Self { first, slots: VecDeque::new(), spare: Vec::new() }
    }

    /// What is due earlier than the first slot goes there.
    fn push(&mut self, second: i64, item: T) {
        let slot = usize::try_from(second - self.first).unwrap_or(0);
        while self.slots.len() <= slot {
            self.slots.push_back(std::mem::take(&mut self.spare));
        }
        self.slots[slot].push(item);
    }

    /// Takes the first slot out; its second is over.
    fn take(&mut self) -> Vec<T> {
        self.first += 1;
        self.slots.pop_front().unwrap_or_default()
    }

    fn give_back(&mut self, mut slot: Vec<T>) {
        slot.clear();
        self.spare = slot;
    }
}

/// A contact of which some parts were exported.
#[derive(Clone, Debug)]
struct OpenContact {
    contact: Contact,
    /// Begin of the next part.
    from: i64,
    up: Counters,
    down: Counters,
}

/// All three exporters.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    due: Ring<SimulatedFlow>,
    open: Ring<OpenContact>,
    sequences: [u32; 3],
}

impl Outbox {
    pub(super) fn new(first_second: i64) -> Self {
        Self { due: Ring::new(first_second), open: Ring::new(first_second), sequences: [0; 3] }
    }

    /// Records and open contacts that are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let waiting: usize = self.due.slots.iter().map(Vec::len).sum();
        waiting + self.open.slots.iter().map(Vec::len).sum::<usize>()
    }

    /// Exports a contact: at once when it is short, else its first part now and the others later.
    pub(super) fn send(&mut self, contact: Contact, dice: &mut Dice) {
        let (up, down) = (contact.up, contact.down);
        if contact.lasting <= ACTIVE_TIMEOUT {
            self.export_part(&contact, (contact.start, contact.lasting), (up, down), dice);
        } else {
            self.advance(OpenContact { contact, from: contact.start, up, down }, dice);
        }
    }

    /// Exports the parts of long contacts that begin in the first second of the ring. Every
    /// [`Luck`] has dice of its own, so that one never changes the other.
    pub(super) fn continue_open(&mut self, dice: &mut [Dice; 3]) {
        let mut due = self.open.take();
        let [ordinary, first, later] = dice;
        for open in due.drain(..) {
            let dice = match open.contact.luck {
                Luck::Ordinary => &mut *ordinary,
                Luck::FirstAttacks => &mut *first,
                Luck::LaterAttacks => &mut *later,
            };
            self.advance(open, dice);
        }
        self.open.give_back(due);
    }

    fn advance(&mut self, mut open: OpenContact, dice: &mut Dice) {
        let end = open.contact.start + open.contact.lasting;
        let lasting = (end - open.from).min(ACTIVE_TIMEOUT);
        let is_last = open.from + lasting >= end;
        let share = if is_last {
            1.0
        } else {
            (lasting as f64 / (end - open.from) as f64 * dice.real(0.85, 1.15)).min(1.0)
        };
        let part = (take_share(&mut open.up, share), take_share(&mut open.down, share));
        self.export_part(&open.contact, (open.from, lasting), part, dice);
        if !is_last {
            open.from += ACTIVE_TIMEOUT;
            self.open.push(open.from.div_euclid(SECOND), open);
        }
    }

    fn export_part(
        &mut self,
        contact: &Contact,
        (from, lasting): (i64, i64),
        (up, down): (Counters, Counters),
        dice: &mut Dice,
    ) {
        let is_first = from == contact.start;
        let is_last = from + lasting >= contact.start + contact.lasting;
        let exporter = contact.exporter();
        for (is_up, counters) in [(true, up), (false, down)] {
            if counters.packets == 0 {
                continue;
            }
            let mut record = record_of(contact, exporter, is_up);
            record.tcp_flags = Contact::flags_of_part(record.tcp_flags, is_first, is_last);
            if exporter == Exporter::Access {
                self.sample(record, (from, lasting), counters, dice);
            } else {
                (record.bytes, record.packets) = (counters.bytes, counters.packets);
                self.meter(record, (from, lasting), is_last, dice);
            }
        }
    }

    /// Unsampled: one record, sent when the exporter believes that the flow (or part) is over.
    fn meter(
        &mut self,
        mut record: SimulatedFlow,
        (from, lasting): (i64, i64),
        is_last: bool,
        dice: &mut Dice,
    ) {
        let is_known_to_be_over = !is_last || Contact::is_closed(record.tcp_flags);
        let delay = if is_known_to_be_over {
            dice.between(100_000_000, 1_400_000_000)
        } else {
            dice.between(2_000_000_000, 8_500_000_000)
        };
        const MILLISECOND: i64 = 1_000_000;
        record.start = Timestamp::from_nanos(from - from % MILLISECOND);
        let end = from + lasting;
        record.end = Timestamp::from_nanos(end - end % MILLISECOND);
        let received = end + delay as i64;
        record.received = Timestamp::from_nanos(received);
        self.due.push(received.div_euclid(SECOND), record);
    }

    /// Sampled: one record for each packet that happens to be chosen.
    fn sample(
        &mut self,
        record: SimulatedFlow,
        (from, lasting): (i64, i64),
        counters: Counters,
        dice: &mut Dice,
    ) {
        let mean = counters.packets as f64 / f64::from(Exporter::ACCESS_SAMPLING_RATE);
        let chosen = if mean < 0.05 { u64::from(dice.chance(mean)) } else { dice.count(mean) };
        for _ in 0..chosen.min(counters.packets) {
            let at = from + dice.below(lasting as u64 + 1) as i64 + 1_000_000;
            let moment = Timestamp::from_nanos(at);
            let mut packet = record.clone();
            (packet.start, packet.end, packet.received) = (moment, moment, moment);
            packet.bytes = (counters.bytes / counters.packets).clamp(46, 1500) + FRAME;
            packet.packets = 1;
            // The opening and closing packets are a few of many; the rest are acknowledgements.
            if packet.tcp_flags & 0x10 != 0 && counters.packets > 3 {
                packet.tcp_flags = if dice.chance(0.3) { 0x18 } else { 0x10 };
            }
            self.due.push(at.div_euclid(SECOND), packet);
        }
    }

    /// An ARP request seen by the access switch: no addresses in the record.
    pub(super) fn send_arp(&mut self, at: i64) {
        let moment = Timestamp::from_nanos(at);
        let record = SimulatedFlow {
            exporter: Exporter::Access,
            received: moment,
            start: moment,
            end: moment,
            sequence: 0,
            bytes: 64,
            packets: 1,
            source: None,
            destination: None,
            source_port: 0,
            destination_port: 0,
            network: NetworkType::Arp,
            protocol: Protocol(0),
            tcp_flags: 0,
            icmp_type: 0,
            icmp_code: 0,
            tos: 0,
            episode: None,
        };
        self.due.push(at.div_euclid(SECOND), record);
    }

    /// Takes the records received in the first second of the ring, which must be over, in the
    /// order of their datagrams.
    pub(super) fn take_second(&mut self) -> Vec<SimulatedFlow> {
        let mut records = self.due.take();
        records.sort_by_key(|record| record.received);
        for exporter in Exporter::ALL {
            self.pack(exporter, &mut records);
        }
        records.sort_by_key(|record| (record.received, record.exporter));
        records
    }

    /// Packs the records of one exporter and second into datagrams: all records of a datagram are
    /// received together, with one sequence number.
    fn pack(&mut self, exporter: Exporter, records: &mut [SimulatedFlow]) {
        // What fits into 1,400 octets.
        let capacity = if exporter == Exporter::Access { 6 } else { 24 };
        let sequence = &mut self.sequences[exporter as usize];
        let own = (0..records.len()).filter(|&index| records[index].exporter == exporter);
        let own: Vec<usize> = own.collect();
        for datagram in own.chunks(capacity) {
            let sent = records[datagram[datagram.len() - 1]].received;
            for &index in datagram {
                let record = &mut records[index];
                record.sequence = *sequence;
                record.received = sent;
                if exporter == Exporter::Access {
                    (record.start, record.end) = (sent, sent);
                }
            }
            let counts_records = exporter == Exporter::Core;
            *sequence =
                sequence.wrapping_add(if counts_records { datagram.len() as u32 } else { 1 });
        }
    }
}

/// Takes `share` of what is left, at least one packet while there are packets.
fn take_share(left: &mut Counters, share: f64) -> Counters {
    if share >= 1.0 {
        return std::mem::take(left);
    }
    let packets = ((left.packets as f64 * share) as u64).max(1).min(left.packets);
    // By packets, so that the size of a packet stays what it was.
    let bytes = match left.packets {
        0 => 0,
        all => (u128::from(left.bytes) * u128::from(packets) / u128::from(all)) as u64,
    };
    left.packets -= packets;
    left.bytes -= bytes;
    Counters { bytes, packets }
}

/// One direction, without times and counters.
fn record_of(contact: &Contact, exporter: Exporter, is_up: bool) -> SimulatedFlow {
    let Contact { path, client_port, .. } = *contact;
    let client = (path.client, client_port);
    let server = (path.server, path.port);
    let ((from, from_port), (to, to_port)): ((Node, u16), (Node, u16)) =
        if is_up { (client, server) } else { (server, client) };
    SimulatedFlow {
        exporter,
        received: Timestamp::default(),
        start: Timestamp::default(),
        end: Timestamp::default(),
        sequence: 0,
        bytes: 0,
        packets: 0,
        source: Some(from.ip),
        destination: Some(to.ip),
        source_port: from_port,
        destination_port: to_port,
        network: if from.is_ipv6() { NetworkType::Ipv6 } else { NetworkType::Ipv4 },
        protocol: contact.protocol,
        tcp_flags: if is_up { contact.up_flags } else { contact.down_flags },
        icmp_type: if is_up { contact.icmp.0 } else { contact.icmp.1 },
        icmp_code: 0,
        tos: contact.tos,
        episode: contact.episode,
    }
}

#[cfg(test)]
mod tests {
    use super::super::contact::{Path, Place};
    use super::*;

    fn node(ip: &str, place: Place) -> Node {
        Node { ip: ip.parse().unwrap(), place }
    }

    fn records_of(contact: Contact) -> Vec<SimulatedFlow> {
        let (mut outbox, mut dice) = (Outbox::new(1000), [1, 2, 3].map(|n| Dice::new(1, n)));
        outbox.send(contact, &mut dice[0]);
        let mut all = Vec::new();
        for _ in 0..400 {
            outbox.continue_open(&mut dice);
            all.extend(outbox.take_second());
        }
        all
    }

    #[test]
    fn a_long_connection_is_exported_in_parts_that_add_up() {
        let path = Path {
            client: node("10.20.16.1", Place::Core),
            server: node("10.20.1.40", Place::Core),
            port: 445,
        };
        let mut dice = Dice::new(3, 0);
        let contact = Contact::tcp(&mut dice, 1000 * SECOND, path, (50_000_000, 9_000), 250.0);
        let records = records_of(contact);
        let up: Vec<_> = records.iter().filter(|r| r.destination_port == 445).collect();
        assert_eq!(up.len(), 5);
        assert_eq!(up.iter().map(|r| r.bytes).sum::<u64>(), contact.up.bytes);
        assert_eq!(up.iter().map(|r| r.packets).sum::<u64>(), contact.up.packets);
        assert_eq!(up[0].tcp_flags & 0x07, 0x02, "only the first part opens");
        assert!(up[1..4].iter().all(|r| r.tcp_flags & 0x07 == 0), "the middle carries data");
        assert_eq!(up[4].tcp_flags & 0x03, 0x01, "only the last part closes");
        assert!(up.iter().all(|r| r.end.seconds_since(r.start) <= 60.0));
    }

    #[test]
    fn sampled_packets_are_one_in_1024() {
        let path = Path {
            client: node("10.20.6.20", Place::Access),
            server: node("10.20.6.10", Place::Access),
            port: 554,
        };
        let mut dice = Dice::new(4, 0);
        let packets = 1024 * 2000;
        let up = (packets, packets * 1000);
        let contact = Contact::udp(&mut dice, 1000 * SECOND, path, up, (0, 0), 200.0);
        let records = records_of(contact);
        // Poisson with mean 2000: five deviations are 224.
        assert!((1776..2224).contains(&records.len()), "{}", records.len());
        assert!(records.iter().all(|r| r.packets == 1 && r.bytes == 1028 + FRAME));
    }
}
