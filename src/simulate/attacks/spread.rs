//! Floods that are spread thin: over the hosts of a prefix, and through a server of ours.

use std::net::Ipv4Addr;

use super::super::contact::{Contact, Node, Path, Place};
use super::super::network::outside_ipv4;
use super::super::random::Dice;
use super::{Attack, Cast, Design, HOSTILE, REFLECTORS, Span, moment};

/// Longest burst of one sender at one host, in seconds.
const BURST: f64 = 10.0;
/// Services that senders of a carpet are asked for: port and octets of an answer.
const ANSWERS: [(u16, u64); 4] = [(53, 1_400), (123, 440), (389, 1_400), (1_900, 320)];

/// What the hosts of a prefix get.
#[derive(Debug)]
enum Load {
    /// Packets of so many octets to this port, or to any.
    Direct(Option<u16>, u64),
    /// Answers from this port.
    Answers(u16, u64),
}

#[derive(Debug)]
struct Carpet {
    span: Span,
    bursts: u64,
    senders: Vec<Node>,
    victims: Vec<Node>,
    load: Load,
    /// Fewest and most packets of a burst.
    packets: (u64, u64),
}

impl Attack for Carpet {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for burst in self.span.due(self.bursts, second) {
            let victim = self.victims[burst as usize % self.victims.len()];
            let sender = dice.pick(&self.senders);
            let packets = dice.between(self.packets.0, self.packets.1);
            let (start, seconds) = (moment(second, dice), dice.real(1.0, BURST));
            contacts.push(match self.load {
                Load::Direct(port, octets) => {
                    let port = port.unwrap_or_else(|| dice.port(1, 65_535));
                    let path = Path { client: sender, server: victim, port };
                    let up = (packets, packets * octets);
                    Contact::udp(dice, start, path, up, (0, 0), seconds)
                }
                Load::Answers(port, octets) => {
                    let path = Path { client: victim, server: sender, port };
                    let down = (packets, packets * octets);
                    Contact::udp(dice, start, path, (0, 0), down, seconds)
                }
            });
        }
    }
}

/// The subnet of the public servers, whole or in part, used or not.
pub(super) fn carpet(cast: &mut Cast<'_>, span: Span, is_answers: bool) -> Design {
    let size = [62, 126, 254][cast.amount(0, 2) as usize];
    let node = |host: u8| Node { ip: Ipv4Addr::new(10, 20, 2, host).into(), place: Place::Core };
    let mut victims: Vec<Node> = (1..=size).map(node).collect();
    cast.dice.shuffle(&mut victims);
    let count = cast.amount(60, 400);
    let octets = if is_answers { REFLECTORS } else { HOSTILE };
    let senders: Vec<Node> =
        (0..count).map(|_| Node::outside(outside_ipv4(octets, cast.dice.word()))).collect();
    let load = if is_answers {
        let (port, octets) = cast.dice.pick(&ANSWERS);
        Load::Answers(port, octets)
    } else {
        let port = cast.dice.pick(&[None, Some(80), Some(443), Some(53_413)]);
        Load::Direct(port, cast.dice.between(500, 1_400))
    };
    // Two to five bursts a minute at each host.
    let bursts = cast.amount(2, 5) * u64::from(size) * span.seconds() as u64 / 60;
    let least = cast.dice.between(20, 80);
    Design {
        attackers: senders.iter().map(|node| node.ip).collect(),
        victims: victims.iter().map(|node| node.ip).collect(),
        records: bursts as f64,
        attack: Box::new(Carpet {
            span: span.without_last(BURST as i64 + 1),
            bursts,
            senders,
            victims,
            load,
            packets: (least, least + 70),
        }),
    }
}

/// A service that answers a small question with a large answer.
#[derive(Clone, Copy, Debug)]
struct Amplifier {
    port: u16,
    /// Octets of a question.
    question: u64,
    /// Fewest and most packets of an answer, and their octets.
    answer: (u64, u64, u64),
    /// Fewest and most questions a second.
    rate: (u64, u64),
}

/// Sizes as CISA's alert TA14-017A and the reports on memcached (2018) give them.
const AMPLIFIERS: [Amplifier; 5] = [
    Amplifier { port: 53, question: 40, answer: (2, 3, 1_400), rate: (5, 60) },
    Amplifier { port: 123, question: 8, answer: (10, 60, 440), rate: (2, 20) },
    Amplifier { port: 389, question: 52, answer: (2, 3, 1_400), rate: (5, 60) },
    Amplifier { port: 161, question: 60, answer: (2, 12, 1_400), rate: (5, 40) },
    Amplifier { port: 11_211, question: 15, answer: (100, 500, 1_400), rate: (1, 5) },
];
/// Questions of this many seconds have the same port of the victim.
const SAME_PORT: i64 = 10;

#[derive(Debug)]
struct Reflector {
    span: Span,
    server: Node,
    victims: Vec<Node>,
    amplifier: Amplifier,
    rate: u64,
    packets: u64,
    /// The port that the forged questions come from; any when absent.
    port: Option<u16>,
}

impl Attack for Reflector {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        let is_within = (self.span.start..self.span.end).contains(&second);
        if !is_within || (second - self.span.start) % SAME_PORT != 0 {
            return;
        }
        let client = dice.pick(&self.victims);
        let path = Path { client, server: self.server, port: self.amplifier.port };
        let questions = dice.count(self.rate as f64 * SAME_PORT as f64).max(1);
        let up = (questions, questions * self.amplifier.question);
        let packets = questions * self.packets;
        let down = (packets, packets * self.amplifier.answer.2);
        let (start, seconds) = (moment(second, dice), dice.real(7.0, 9.0));
        let contact = Contact::udp(dice, start, path, up, down, seconds);
        let client_port = self.port.unwrap_or(contact.client_port);
        contacts.push(Contact { client_port, ..contact });
    }
}

/// One of our servers is asked in the name of one or two victims.
pub(super) fn reflector(cast: &mut Cast<'_>, span: Span) -> Design {
    let amplifier = cast.dice.pick(&AMPLIFIERS);
    let [names, more_names, directory, copy, time, monitor, cache] = cast.network.reflectors();
    let server = match amplifier.port {
        53 => cast.dice.pick(&[names, more_names]),
        123 => time,
        389 => cast.dice.pick(&[directory, copy]),
        161 => monitor,
        _ => cache,
    };
    let victims: Vec<Node> = (0..cast.dice.between(1, 2)).map(|_| cast.outsider()).collect();
    Design {
        attackers: vec![server.v4().ip],
        victims: victims.iter().map(|node| node.ip).collect(),
        records: 2.0 * (span.seconds() / SAME_PORT) as f64,
        attack: Box::new(Reflector {
            span: span.without_last(SAME_PORT + 1),
            server: server.v4(),
            victims,
            amplifier,
            rate: cast.amount(amplifier.rate.0, amplifier.rate.1),
            packets: cast.dice.between(amplifier.answer.0, amplifier.answer.1),
            port: cast.dice.pick(&[None, Some(80), Some(443), Some(27_015)]),
        }),
    }
}
