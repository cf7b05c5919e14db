//! Vertical, horizontal and slow port scans.

use std::net::Ipv4Addr;

use super::super::contact::{Contact, Node, Path, Place};
use super::super::random::Dice;
use super::{Attack, Cast, Design, Span, moment};

/// Ports that are worth a try besides the first 1,024.
const HIGH_PORTS: [u16; 16] = [
    1194, 1433, 1521, 2049, 2375, 3128, 3306, 3389, 5432, 5900, 5985, 6379, 8080, 8443, 9200, 27017,
];
/// Ports that scanned servers have open.
const OPEN: [u16; 4] = [22, 80, 443, 8080];
/// Ports that horizontal scans look for.
const SOUGHT: [u16; 7] = [22, 23, 80, 445, 1433, 3389, 5900];
/// Subnets where nobody is behind the sampling switch.
const SUBNETS: [u8; 3] = [1, 2, 16];
/// What a slow scan waits between two probes, in seconds.
const SLOW_INTERVAL: i64 = 15;

/// What becomes of a probe.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Open,
    Closed,
    Silent,
}

/// Probes, evenly spread over the span.
#[derive(Debug)]
struct Scan {
    span: Span,
    scanner: Node,
    probes: Vec<(Node, u16, Answer)>,
}

impl Attack for Scan {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for index in self.span.due(self.probes.len() as u64, second) {
            let (server, port, answer) = self.probes[index as usize];
            let path = Path { client: self.scanner, server, port };
            let start = moment(second, dice);
            contacts.push(match answer {
                Answer::Open => Contact::probed_open(dice, start, path),
                Answer::Closed => Contact::refused(dice, start, path),
                Answer::Silent => Contact::unanswered(dice, start, path, 1),
            });
        }
    }
}

fn design(scanner: Node, span: Span, probes: Vec<(Node, u16, Answer)>) -> Design {
    let mut victims: Vec<_> = probes.iter().map(|&(node, _, _)| node.ip).collect();
    victims.sort();
    victims.dedup();
    let answered = probes.iter().filter(|(_, _, answer)| !matches!(answer, Answer::Silent)).count();
    Design {
        attackers: vec![scanner.ip],
        victims,
        records: (probes.len() + answered) as f64,
        // A probe never lasts a second, but it may begin at the end of one.
        attack: Box::new(Scan { span: span.without_last(1), scanner, probes }),
    }
}

/// Who scans, and whether from inside.
fn scanner(cast: &mut Cast<'_>, span: Span) -> (Node, bool) {
    let is_inside = cast.dice.chance(0.6);
    (if is_inside { cast.insider(span) } else { cast.outsider() }, is_inside)
}

fn victim(cast: &mut Cast<'_>, is_inside: bool) -> Node {
    let servers =
        if is_inside { cast.network.servers() } else { cast.network.public_servers().to_vec() };
    cast.dice.pick(&servers).v4()
}

/// `count` different ports in random order, with what becomes of each.
fn ports(dice: &mut Dice, count: usize) -> Vec<(u16, Answer)> {
    let mut ports: Vec<u16> = (1..=1024).chain(HIGH_PORTS).collect();
    dice.shuffle(&mut ports);
    ports.truncate(count);
    let mut answers = Vec::with_capacity(count);
    for port in ports {
        let answer = match dice.unit() {
            _ if OPEN.contains(&port) => Answer::Open,
            luck if luck < 0.05 => Answer::Silent,
            _ => Answer::Closed,
        };
        answers.push((port, answer));
    }
    answers
}

pub(super) fn vertical(cast: &mut Cast<'_>, span: Span) -> Design {
    let (scanner, is_inside) = scanner(cast, span);
    let victim = victim(cast, is_inside);
    let count = cast.amount(150, 1_000) as usize;
    let ports = ports(&mut cast.dice, count);
    let probes = ports.into_iter().map(|(port, answer)| (victim, port, answer)).collect();
    design(scanner, span, probes)
}

/// `count` different addresses of a subnet, with what becomes of a probe of `port`.
fn addresses(cast: &mut Cast<'_>, subnet: u8, port: u16, count: usize) -> Vec<(Node, u16, Answer)> {
    let mut present: Vec<_> = cast.network.servers().iter().map(|dual| dual.v4().ip).collect();
    present.extend(cast.network.core_desks().iter().map(|desk| desk.node.ip));
    let mut hosts: Vec<u8> = (1..=254).collect();
    cast.dice.shuffle(&mut hosts);
    hosts.truncate(count);
    let mut probes = Vec::with_capacity(count);
    for host in hosts {
        let ip = Ipv4Addr::new(10, 20, subnet, host).into();
        // Most desks have a firewall that says nothing.
        let answer = match cast.dice.unit() {
            _ if !present.contains(&ip) => Answer::Silent,
            luck if luck < 0.6 => Answer::Silent,
            luck if luck < 0.7 => Answer::Open,
            _ => Answer::Closed,
        };
        probes.push((Node { ip, place: Place::Core }, port, answer));
    }
    probes
}

pub(super) fn horizontal(cast: &mut Cast<'_>, span: Span) -> Design {
    let (scanner, is_inside) = scanner(cast, span);
    let subnet = if is_inside { cast.dice.pick(&SUBNETS) } else { 2 };
    let port = cast.dice.pick(&SOUGHT);
    let count = cast.amount(80, 250) as usize;
    let probes = addresses(cast, subnet, port, count);
    design(scanner, span, probes)
}

pub(super) fn slow(cast: &mut Cast<'_>, span: Span) -> Design {
    let (scanner, is_inside) = scanner(cast, span);
    let count = (span.seconds() / SLOW_INTERVAL) as usize;
    let probes = if cast.dice.chance(0.6) {
        let victim = victim(cast, is_inside);
        let ports = ports(&mut cast.dice, count);
        ports.into_iter().map(|(port, answer)| (victim, port, answer)).collect()
    } else {
        let subnet = if is_inside { cast.dice.pick(&SUBNETS) } else { 2 };
        let port = cast.dice.pick(&SOUGHT);
        addresses(cast, subnet, port, count)
    };
    design(scanner, span, probes)
}
