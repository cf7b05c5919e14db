//! Much of something: peers, octets, infected hosts.

use super::super::contact::{Contact, Node, Path};
use super::super::network::outside_ipv4;
use super::super::random::Dice;
use super::{Attack, Cast, Design, Span, moment};

/// First octets of people at home who share files.
const HOMES: &[u8] = &[24, 70, 71, 73, 96, 98, 99, 174, 184];
/// First octets of addresses that a worm tries.
const TRIED: &[u8] = &[8, 12, 38, 67, 75, 97, 107, 128, 152, 168, 204, 212, 217];

#[derive(Debug)]
struct Swarm {
    span: Span,
    client: Node,
    contacts: u64,
}

impl Attack for Swarm {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for _ in self.span.due(self.contacts, second) {
            let server = Node::outside(outside_ipv4(HOMES, dice.word()));
            let port = if dice.chance(0.2) { 6881 } else { dice.port(1_025, 65_535) };
            let path = Path { client: self.client, server, port };
            let start = moment(second, dice);
            contacts.push(match dice.unit() {
                luck if luck < 0.35 => Contact::udp(dice, start, path, (2, 210), (0, 0), 3.0),
                luck if luck < 0.50 => Contact::unanswered(dice, start, path, 2),
                luck if luck < 0.85 => Contact::udp(dice, start, path, (4, 500), (4, 2_400), 0.6),
                _ => {
                    let octets = dice.lognormal(300_000.0, 1.5) as u64;
                    let seconds = dice.real(2.0, 30.0);
                    Contact::tcp(dice, start, path, (octets / 3, octets), seconds)
                }
            });
        }
    }
}

/// File sharing at a desk.
pub(super) fn swarm(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let contacts = cast.amount(40, 150) * span.seconds() as u64 / 60;
    Design {
        attackers: vec![client.ip],
        victims: Vec::new(),
        records: 1.5 * contacts as f64,
        attack: Box::new(Swarm { span: span.without_last(32), client, contacts }),
    }
}

#[derive(Debug)]
struct Staging {
    span: Span,
    path: Path,
    files: u64,
    /// Octets of all files.
    octets: u64,
}

impl Attack for Staging {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for _ in self.span.due(self.files, second) {
            let slot = self.span.seconds() as f64 / self.files as f64;
            let octets = self.octets / self.files;
            let start = moment(second, dice);
            contacts.push(Contact::tcp(dice, start, self.path, (octets / 500, octets), slot - 2.0));
        }
    }
}

/// What is worth stealing is fetched to one desk, before it leaves the house.
pub(super) fn staging(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let network = cast.network;
    let (server, port) = match cast.dice.below(4) {
        0 => (network.databases[0], 5432),
        1 => (network.databases[1], 3306),
        2 => (network.code, 443),
        _ => (cast.dice.pick(&network.applications), 8080),
    };
    let octets = cast.amount(1_000_000_000, 8_000_000_000).min(60_000_000 * span.seconds() as u64);
    let files = (span.seconds() as u64 / 120).max(1);
    let path = Path { client, server: server.v4(), port };
    Design {
        attackers: vec![client.ip],
        victims: vec![path.server.ip],
        records: 6.0 * files as f64,
        attack: Box::new(Staging { span: span.without_last(3), path, files, octets }),
    }
}

#[derive(Debug)]
struct Worm {
    span: Span,
    hosts: Vec<Node>,
    tries: u64,
    port: u16,
}

impl Attack for Worm {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for number in self.span.due(self.tries, second) {
            let client = self.hosts[number as usize % self.hosts.len()];
            let server = Node::outside(outside_ipv4(TRIED, dice.word()));
            let path = Path { client, server, port: self.port };
            let start = moment(second, dice);
            contacts.push(match dice.chance(0.06) {
                true => Contact::refused(dice, start, path),
                false => Contact::unanswered(dice, start, path, 1),
            });
        }
    }
}

/// Infected hosts look for others.
pub(super) fn worm(cast: &mut Cast<'_>, span: Span) -> Design {
    let count = cast.amount(2, 4);
    let hosts: Vec<Node> = (0..count).map(|_| cast.insider(span)).collect();
    let tries = count * cast.amount(40, 80) * span.seconds() as u64;
    Design {
        attackers: hosts.iter().map(|node| node.ip).collect(),
        victims: Vec::new(),
        records: 1.06 * tries as f64,
        attack: Box::new(Worm {
            span: span.without_last(2),
            hosts,
            tries,
            port: cast.dice.pick(&[445, 23, 1433, 5555]),
        }),
    }
}
