//! Connections that look whole but should not be: listed addresses, guessed passwords, stolen
//! data, calls home.

use super::super::clock::SECOND;
use super::super::contact::{Contact, Node, Path};
use super::super::random::Dice;
use super::{Attack, Cast, Design, Span, moment};

/// Connections of one size class at planned seconds.
#[derive(Debug)]
pub(super) struct Connections {
    /// When, ascending.
    pub(super) seconds: Vec<i64>,
    pub(super) next: usize,
    pub(super) clients: Vec<Node>,
    pub(super) server: Node,
    pub(super) port: u16,
    /// Smallest and largest payload up, then down.
    pub(super) up: (u64, u64),
    pub(super) down: (u64, u64),
    /// Shortest and longest, in seconds.
    pub(super) lasting: (f64, f64),
}

impl Attack for Connections {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        while self.seconds.get(self.next).is_some_and(|&due| due <= second) {
            let client = self.clients[self.next % self.clients.len()];
            let path = Path { client, server: self.server, port: self.port };
            let payload =
                (dice.between(self.up.0, self.up.1), dice.between(self.down.0, self.down.1));
            let seconds = dice.real(self.lasting.0, self.lasting.1);
            let start = moment(second, dice);
            contacts.push(Contact::tcp(dice, start, path, payload, seconds));
            self.next += 1;
        }
    }
}

pub(super) fn connections_design(clients: Vec<Node>, server: Node, attack: Connections) -> Design {
    Design {
        attackers: clients.iter().map(|node| node.ip).collect(),
        victims: vec![server.ip],
        records: 2.0 * attack.seconds.len() as f64,
        attack: Box::new(attack),
    }
}

/// `count` random seconds of the span without its last ones, ascending; the first is its first.
pub(super) fn random_seconds(dice: &mut Dice, span: Span, last: i64, count: u64) -> Vec<i64> {
    let span = span.without_last(last);
    let mut seconds: Vec<i64> =
        (0..count).map(|_| span.start + dice.below(span.seconds() as u64) as i64).collect();
    seconds.sort_unstable();
    seconds
}

/// A listed address: called from inside, or (`is_inbound`) calling one of our servers.
pub(super) fn blacklist(cast: &mut Cast<'_>, span: Span, is_inbound: bool) -> Design {
    let listed = cast.listed();
    let (client, server) = if is_inbound {
        (listed, cast.dice.pick(&cast.network.web).v4())
    } else {
        (cast.insider(span), listed)
    };
    let port = if is_inbound { 443 } else { cast.dice.pick(&[443, 443, 80, 8443]) };
    let count = cast.amount(5, 40);
    let attack = Connections {
        seconds: random_seconds(&mut cast.dice, span, 8, count),
        next: 0,
        clients: vec![client],
        server,
        port,
        up: (700, 6_000),
        down: (1_500, 40_000),
        lasting: (0.2, 5.0),
    };
    connections_design(vec![client], server, attack)
}

/// Passwords tried over SSH, RDP or FTP.
pub(super) fn brute_force(cast: &mut Cast<'_>, span: Span) -> Design {
    let is_inside = cast.dice.chance(0.4);
    let hosts = cast.dice.between(1, 3);
    let clients: Vec<Node> =
        (0..hosts).map(|_| if is_inside { cast.insider(span) } else { cast.outsider() }).collect();
    let (server, port) = if is_inside {
        (cast.dice.pick(&cast.network.applications).v4(), cast.dice.pick(&[22, 22, 3389]))
    } else {
        (cast.dice.pick(&cast.network.public_servers()).v4(), cast.dice.pick(&[22, 22, 21]))
    };
    // Not more than two a second.
    let count = cast.amount(200, 2_000).min(2 * span.seconds() as u64);
    let attack = Connections {
        seconds: random_seconds(&mut cast.dice, span, 6, count),
        next: 0,
        clients: clients.clone(),
        server,
        port,
        up: (1_300, 2_400),
        down: (1_800, 3_200),
        lasting: (0.8, 4.0),
    };
    connections_design(clients, server, attack)
}

/// Calls home: small, regular, always the same.
pub(super) fn beacon(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let server = cast.outsider();
    // Short runs still show eight calls.
    let longest = (span.seconds() as u64 / 8).clamp(60, 600);
    let period = cast.dice.between(60, longest) as f64;
    let mut seconds = Vec::new();
    let mut at = span.start as f64 + cast.dice.real(0.0, 5.0);
    while at < (span.end - 3) as f64 {
        seconds.push(at as i64);
        at += period * cast.dice.real(0.8, 1.2);
    }
    let size = cast.dice.between(300, 700);
    let attack = Connections {
        seconds,
        next: 0,
        clients: vec![client],
        server,
        port: cast.dice.pick(&[443, 443, 8080, 8443, 4444]),
        up: (size, size + 16),
        down: (180, 196),
        lasting: (0.2, 0.6),
    };
    connections_design(vec![client], server, attack)
}

/// One upload after the other.
#[derive(Debug)]
struct Exfiltration {
    span: Span,
    uploads: u64,
    path: Path,
    /// Octets of one upload.
    bytes: u64,
}

impl Attack for Exfiltration {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for _ in self.span.due(self.uploads, second) {
            let slot = self.span.seconds() as f64 / self.uploads as f64;
            let payload = (self.bytes, self.bytes / 400);
            let start = second * SECOND;
            // Over before the next one begins.
            contacts.push(Contact::tcp(dice, start, self.path, payload, slot - 2.0));
        }
    }
}

/// Two to twenty gigabytes to an address that nobody else knows.
pub(super) fn exfiltration(cast: &mut Cast<'_>, span: Span) -> Design {
    let (client, server) = (cast.insider(span), cast.outsider());
    let port = cast.dice.pick(&[443, 443, 22, 21]);
    // At most 50 MB a second.
    let total = cast.amount(2_000_000_000, 20_000_000_000);
    let total = total.min(50_000_000 * span.seconds() as u64);
    let uploads = (span.seconds() as u64 / 300).max(1);
    let path = Path { client, server, port };
    Design {
        attackers: vec![client.ip],
        victims: vec![server.ip],
        records: 2.0 * (span.seconds() as f64 / 60.0 + uploads as f64),
        attack: Box::new(Exfiltration { span, uploads, path, bytes: total / uploads }),
    }
}
