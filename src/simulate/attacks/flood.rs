//! Floods with forged senders: SYNs at a server, amplified answers at a victim.

use super::super::contact::{Contact, Node, Path};
use super::super::network::outside_ipv4;
use super::super::random::Dice;
use super::{Attack, Cast, Design, FORGED, REFLECTORS, Span, moment};

/// Part of the SYNs that the victim answers, once to three times.
const ANSWERED: f64 = 0.55;

#[derive(Debug)]
struct SynFlood {
    span: Span,
    syns: u64,
    victim: Node,
    port: u16,
}

impl Attack for SynFlood {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for _ in self.span.due(self.syns, second) {
            let client = Node::outside(outside_ipv4(FORGED, dice.word()));
            let path = Path { client, server: self.victim, port: self.port };
            let answers = if dice.chance(ANSWERED) { dice.between(1, 3) } else { 0 };
            let start = moment(second, dice);
            contacts.push(Contact::half_open(dice, start, path, answers));
        }
    }
}

pub(super) fn syn(cast: &mut Cast<'_>, span: Span) -> Design {
    let victim = cast.dice.pick(&cast.network.web).v4();
    let port = cast.dice.pick(&[443, 443, 80]);
    let syns = cast.amount(2_000, 6_000) * span.seconds() as u64 / 60;
    Design {
        attackers: Vec::new(),
        victims: vec![victim.ip],
        records: syns as f64 * (1.0 + ANSWERED),
        attack: Box::new(SynFlood { span: span.without_last(1), syns, victim, port }),
    }
}

/// Services that answer a small question with a large answer: port and octets of a packet.
const AMPLIFIERS: [(u16, u64); 4] = [(53, 1_400), (123, 440), (389, 1_450), (11_211, 1_400)];
/// Longest burst of one reflector, in seconds.
const BURST: f64 = 12.0;

#[derive(Debug)]
struct Amplification {
    span: Span,
    bursts: u64,
    reflectors: Vec<Node>,
    victim: Node,
    /// The port that the forged questions came from.
    victim_port: u16,
    port: u16,
    packet: u64,
}

impl Attack for Amplification {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for burst in self.span.due(self.bursts, second) {
            let server = self.reflectors[burst as usize % self.reflectors.len()];
            let path = Path { client: self.victim, server, port: self.port };
            let packets = dice.lognormal(120.0, 0.7) as u64 + 10;
            let down = (packets, packets * self.packet);
            let (start, seconds) = (moment(second, dice), dice.real(1.0, BURST));
            let contact = Contact::udp(dice, start, path, (0, 0), down, seconds);
            contacts.push(Contact { client_port: self.victim_port, ..contact });
        }
    }
}

pub(super) fn amplification(cast: &mut Cast<'_>, span: Span) -> Design {
    let count = cast.amount(150, 600);
    let (port, packet) = cast.dice.pick(&AMPLIFIERS);
    let victim = cast.dice.pick(&cast.network.public_servers()).v4();
    let reflectors: Vec<Node> =
        (0..count).map(|_| Node::outside(outside_ipv4(REFLECTORS, cast.dice.word()))).collect();
    // Each reflector about three times a minute.
    let bursts = count * (span.seconds() as u64 / 20).max(1);
    Design {
        attackers: reflectors.iter().map(|node| node.ip).collect(),
        victims: vec![victim.ip],
        records: bursts as f64,
        attack: Box::new(Amplification {
            span: span.without_last(BURST as i64 + 1),
            bursts,
            reflectors,
            victim,
            victim_port: cast.dice.pick(&[80, 443, 3074, 27_015, 40_000]),
            port,
            packet,
        }),
    }
}
