//! What an intruder's host does inside, and what is new about a host.

use super::super::contact::{Contact, Node, Path};
use super::super::random::Dice;
use super::access::{Connections, connections_design, random_seconds};
use super::{Attack, Cast, Design, Span, moment};

/// SMB, RDP, SSH, WinRM.
const ADMINISTRATION: [u16; 5] = [445, 445, 3389, 22, 5985];
/// Back doors, proxies, remote desktops that nobody ordered.
const BACK_DOORS: [u16; 8] = [4444, 31_337, 1080, 5900, 3389, 2222, 9999, 12_345];
/// Chats, mining pools, onion routers, message brokers, remote help.
const ODD_PORTS: [u16; 8] = [6667, 3333, 14_444, 9001, 1883, 5938, 8333, 4444];
/// Where command servers listen.
const COMMAND_PORTS: [u16; 6] = [443, 443, 80, 8080, 4444, 6667];

/// What becomes of a try to get in.
#[derive(Clone, Copy, Debug)]
enum Door {
    Open,
    Closed,
    Silent,
}

#[derive(Debug)]
struct Lateral {
    seconds: Vec<i64>,
    next: usize,
    client: Node,
    port: u16,
    doors: Vec<(Node, Door)>,
}

impl Attack for Lateral {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        while self.seconds.get(self.next).is_some_and(|&due| due <= second) {
            let (server, door) = self.doors[self.next % self.doors.len()];
            let path = Path { client: self.client, server, port: self.port };
            let start = moment(second, dice);
            contacts.push(match door {
                Door::Open => {
                    // A log-in, and most times a program is copied.
                    let copied = dice.lognormal(60_000.0, 1.5) as u64;
                    let payload = (2_500 + copied, dice.between(3_000, 20_000));
                    let seconds = dice.real(1.0, 40.0);
                    Contact::tcp(dice, start, path, payload, seconds)
                }
                Door::Closed => Contact::refused(dice, start, path),
                Door::Silent => Contact::unanswered(dice, start, path, 2),
            });
            self.next += 1;
        }
    }
}

/// From host to host with stolen credentials.
pub(super) fn lateral(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let port = cast.dice.pick(&ADMINISTRATION);
    let mut hosts: Vec<Node> = cast.network.servers().iter().map(|dual| dual.v4()).collect();
    hosts.extend(cast.network.core_desks().iter().map(|desk| desk.node));
    hosts.retain(|&host| host != client);
    cast.dice.shuffle(&mut hosts);
    hosts.truncate(cast.amount(10, 40) as usize);
    let door = |dice: &mut Dice| match dice.unit() {
        luck if luck < 0.75 => Door::Open,
        luck if luck < 0.85 => Door::Closed,
        _ => Door::Silent,
    };
    let doors: Vec<_> = hosts.iter().map(|&host| (host, door(&mut cast.dice))).collect();
    Design {
        attackers: vec![client.ip],
        victims: hosts.iter().map(|host| host.ip).collect(),
        records: 1.85 * doors.len() as f64,
        attack: Box::new(Lateral {
            seconds: random_seconds(&mut cast.dice, span, 45, doors.len() as u64),
            next: 0,
            client,
            port,
            doors,
        }),
    }
}

#[derive(Debug)]
struct Storm {
    span: Span,
    /// Seconds from one round to the next.
    period: i64,
    client: Node,
    places: Vec<(Node, u16)>,
    /// Whether the host is still there and refuses.
    is_refused: bool,
    syns: u32,
}

impl Attack for Storm {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        let is_due = (second - self.span.start) % self.period == 0;
        if !is_due || !(self.span.start..self.span.end).contains(&second) {
            return;
        }
        for &(server, port) in &self.places {
            let path = Path { client: self.client, server, port };
            let start = moment(second, dice);
            contacts.push(match self.is_refused {
                true => Contact::refused(dice, start, path),
                false => Contact::unanswered(dice, start, path, self.syns),
            });
        }
    }
}

/// A bot whose command servers were taken down.
pub(super) fn storm(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let count = cast.dice.between(1, 3);
    let places: Vec<(Node, u16)> =
        (0..count).map(|_| (cast.outsider(), cast.dice.pick(&COMMAND_PORTS))).collect();
    let period = cast.dice.between(5, 60) as i64;
    Design {
        attackers: vec![client.ip],
        victims: places.iter().map(|(node, _)| node.ip).collect(),
        records: (span.seconds() / period) as f64 * count as f64,
        attack: Box::new(Storm {
            // Three SYNs need three seconds.
            span: span.without_last(5),
            period,
            client,
            places,
            is_refused: cast.dice.chance(0.25),
            syns: cast.dice.between(1, 3) as u32,
        }),
    }
}

/// A back door at a desk, or at every third time on a server.
pub(super) fn new_service(cast: &mut Cast<'_>, span: Span, number: usize) -> Design {
    let server = if number % 3 == 2 { cast.quiet_server().0 } else { cast.insider(span) };
    let is_outside = cast.dice.chance(0.3);
    let clients: Vec<Node> = match is_outside {
        true => vec![cast.outsider()],
        false => (0..cast.dice.between(1, 4)).map(|_| cast.insider(span)).collect(),
    };
    let count = cast.amount(3, 40);
    let attack = Connections {
        seconds: random_seconds(&mut cast.dice, span, 32, count),
        next: 0,
        clients: clients.clone(),
        server,
        port: cast.dice.pick(&BACK_DOORS),
        up: (300, 20_000),
        down: (300, 60_000),
        lasting: (0.3, 30.0),
    };
    connections_design(clients, server, attack)
}

/// Somebody else comes through the door of a maker.
pub(super) fn new_peer(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.outsider();
    let (server, port) = cast.quiet_server();
    let count = cast.amount(3, 30);
    let attack = Connections {
        seconds: random_seconds(&mut cast.dice, span, 62, count),
        next: 0,
        clients: vec![client],
        server,
        port,
        up: (20_000, 2_000_000),
        down: (200_000, 50_000_000),
        lasting: (5.0, 60.0),
    };
    connections_design(vec![client], server, attack)
}

/// A program that nobody ordered calls somebody outside.
pub(super) fn new_port(cast: &mut Cast<'_>, span: Span) -> Design {
    let (client, server) = (cast.insider(span), cast.outsider());
    let count = cast.amount(4, 40);
    let attack = Connections {
        seconds: random_seconds(&mut cast.dice, span, 42, count),
        next: 0,
        clients: vec![client],
        server,
        port: cast.dice.pick(&ODD_PORTS),
        up: (300, 6_000),
        down: (300, 12_000),
        lasting: (0.3, 40.0),
    };
    connections_design(vec![client], server, attack)
}
