//! Ways out that do not look like one: echoes, names, a connection that never ends.

use super::super::contact::{Contact, Node, Path};
use super::super::random::Dice;
use super::{Attack, Cast, Design, Span, moment};

/// Packets and octets with headers, up and down.
type Amounts = ((u64, u64), (u64, u64));

/// One long contact after the other.
#[derive(Debug)]
struct Sessions {
    span: Span,
    count: u64,
    path: Path,
    /// Packets a second, up and down, and their mean octets with headers.
    rate: (f64, f64),
    octets: (u64, u64),
    make: fn(&mut Dice, i64, Path, Amounts, f64) -> Contact,
}

impl Attack for Sessions {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        for _ in self.span.due(self.count, second) {
            // Over before the next one begins.
            let seconds = self.span.seconds() as f64 / self.count as f64 - 3.0;
            let amount = |rate: f64, octets: u64, dice: &mut Dice| {
                let packets = ((rate * seconds * dice.real(0.8, 1.2)) as u64).max(1);
                (packets, packets * (octets * dice.between(90, 110) / 100))
            };
            let up = amount(self.rate.0, self.octets.0, dice);
            let down = amount(self.rate.1, self.octets.1, dice);
            let start = moment(second, dice);
            contacts.push((self.make)(dice, start, self.path, (up, down), seconds));
        }
    }
}

fn sessions_design(sessions: Sessions) -> Design {
    let span = sessions.span;
    Design {
        attackers: vec![sessions.path.client.ip],
        victims: vec![sessions.path.server.ip],
        records: 2.0 * (span.seconds() as f64 / 60.0 + sessions.count as f64),
        attack: Box::new(sessions),
    }
}

/// IP, or files, inside echoes (ptunnel, hans).
pub(super) fn icmp(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.insider(span);
    let path = Path { client, server: cast.outsider(), port: 0 };
    let rate = cast.dice.real(2.0, 40.0);
    // Mostly one way; the other way acknowledges.
    let (much, little) = (cast.dice.between(300, 1_300), cast.dice.between(150, 400));
    let is_upload = cast.dice.chance(0.6);
    sessions_design(Sessions {
        span: span.without_last(5),
        count: cast.dice.between(1, 3),
        path,
        rate: (rate, rate),
        octets: if is_upload { (much, little) } else { (little, much) },
        make: Contact::echoes,
    })
}

/// Remote control that keeps its connection.
pub(super) fn long(cast: &mut Cast<'_>, span: Span) -> Design {
    let client = cast.night_owl();
    let server = cast.outsider();
    let port = cast.dice.pick(&[443, 443, 22, 4444, 8443, 5938]);
    let rate = cast.dice.real(0.05, 1.0);
    sessions_design(Sessions {
        span: span.without_last(5),
        count: 1,
        path: Path { client, server, port },
        rate: (rate, rate),
        octets: (cast.dice.between(60, 300), cast.dice.between(60, 600)),
        make: Contact::held,
    })
}

/// Seconds that queries from one port are counted together.
const SAME_PORT: i64 = 20;

#[derive(Debug)]
struct Dns {
    span: Span,
    client: Node,
    /// The resolver that passes the queries on.
    resolver: Option<Node>,
    name_server: Node,
    /// Queries a second.
    rate: f64,
    /// Mean octets of a query and of an answer.
    octets: (u64, u64),
}

impl Dns {
    /// `count` queries on one path, with their answers.
    fn ask(&self, dice: &mut Dice, start: i64, path: Path, count: u64, seconds: f64) -> Contact {
        let about = |octets: u64, dice: &mut Dice| count * (octets * dice.between(85, 115) / 100);
        let up = (count, about(self.octets.0, dice));
        let down = (count, about(self.octets.1, dice));
        Contact::udp(dice, start, path, up, down, seconds)
    }
}

impl Attack for Dns {
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        if !(self.span.start..self.span.end).contains(&second) {
            return;
        }
        let (client, server) = (self.client, self.name_server);
        let Some(resolver) = self.resolver else {
            // One socket.
            if (second - self.span.start) % SAME_PORT == 0 {
                let count = dice.count(self.rate * SAME_PORT as f64).max(1);
                let path = Path { client, server, port: 53 };
                let start = moment(second, dice);
                contacts.push(self.ask(dice, start, path, count, SAME_PORT as f64 - 2.0));
            }
            return;
        };
        for _ in 0..dice.count(self.rate) {
            let start = moment(second, dice);
            let path = Path { client, server: resolver, port: 53 };
            contacts.push(self.ask(dice, start, path, 1, 0.1));
            let path = Path { client: resolver, server, port: 53 };
            contacts.push(self.ask(dice, start, path, 1, 0.09));
        }
    }
}

/// Data in long names (iodine, dnscat2).
pub(super) fn dns(cast: &mut Cast<'_>, span: Span, is_resolved: bool) -> Design {
    let (client, name_server) = (cast.insider(span), cast.outsider());
    let resolver = is_resolved.then(|| cast.dice.pick(&cast.network.resolvers).v4());
    let most = if is_resolved { 6.0 } else { 40.0 };
    let rate = cast.dice.real(1.0, most);
    let seconds = span.seconds() as f64;
    let records = if is_resolved { 4.0 * rate } else { 2.0 / SAME_PORT as f64 };
    Design {
        attackers: vec![client.ip],
        victims: vec![name_server.ip],
        records: records * seconds,
        attack: Box::new(Dns {
            span: span.without_last(SAME_PORT),
            client,
            resolver,
            name_server,
            rate,
            octets: (cast.dice.between(90, 230), cast.dice.between(120, 1_100)),
        }),
    }
}
