//! Who is there: the hosts inside and the servers outside.
//!
//! Inside is 10.20.0.0/16, a tenth of the workstations live in fd20:77::/32 alone; servers have
//! both. What is outside is invented: addresses are a function of the seed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::clock;
use super::contact::{Node, Place};
use super::random::{Dice, Weighted, mix};

/// First octets of ordinary outside addresses. Those of attackers, listed addresses and spoofed
/// senders are others, so that ordinary traffic never touches them by chance.
const ORDINARY: &[u8] = &[
    13, 18, 20, 23, 31, 34, 35, 40, 44, 50, 52, 54, 63, 64, 65, 66, 68, 69, 72, 74, 76, 77, 78, 80,
    81, 82, 84, 86, 87, 88, 93, 95, 104, 108, 142, 151, 157, 199, 205, 208, 209, 216,
];
/// Popular servers of the world.
const WORLD_SERVERS: u16 = 6_000;
/// Name servers of the world that the resolvers ask.
const WORLD_NAME_SERVERS: u16 = 800;

/// An IPv4 address that is a function of `number`, with one of these first octets.
pub(super) fn outside_ipv4(first_octets: &[u8], number: u64) -> Ipv4Addr {
    let first = first_octets[(number % first_octets.len() as u64) as usize];
    let [_, _, _, _, _, b, c, d] = number.to_be_bytes();
    Ipv4Addr::new(first, b, c, d % 254 + 1)
}

/// A host with an address of each family, or a server of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dual {
    v4: Node,
    v6: Node,
}

impl Dual {
    fn inside(subnet: u8, host: u8, place: Place) -> Self {
        Self {
            v4: Node { ip: IpAddr::V4(Ipv4Addr::new(10, 20, subnet, host)), place },
            v6: Node { ip: IpAddr::V6(inside_ipv6(subnet, host)), place },
        }
    }

    fn of_the_world(number: u64) -> Self {
        let part = |shift: u32| (number >> shift) as u16;
        let v6 = Ipv6Addr::new(0x2600 + part(0) % 16, part(16), part(32), 0, 0, 0, 0, part(48) | 1);
        Self { v4: Node::outside(outside_ipv4(ORDINARY, number)), v6: Node::outside(v6) }
    }

    /// The address of the family that `client` speaks.
    pub(super) fn facing(&self, client: Node) -> Node {
        if client.is_ipv6() { self.v6 } else { self.v4 }
    }

    /// The IPv6 end.
    pub(super) fn v6(&self) -> Node {
        self.v6
    }

    /// The IPv4 end.
    pub(super) fn v4(&self) -> Node {
        self.v4
    }
}

fn inside_ipv6(subnet: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd20, 0x77, u16::from(subnet), 0, 0, 0, 0, u16::from(host))
}

/// A desk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workstation {
    pub(super) node: Node,
    /// Minutes since midnight.
    arrives: i64,
    leaves: i64,
    /// Left running at night and on week-ends.
    pub(super) stays_on: bool,
}

impl Workstation {
    pub(super) fn is_on(&self, second: i64) -> bool {
        let minute = clock::minute_of_day(second);
        let is_staffed = (self.arrives..self.leaves).contains(&minute);
        self.stays_on || (is_staffed && !clock::is_weekend(second))
    }
}

/// Everybody.
#[derive(Clone, Debug)]
pub(super) struct Network {
    seed: u64,
    pub(super) workstations: Vec<Workstation>,
    by_activity: Weighted,
    /// Visible from the Internet: three web servers, mail, VPN gateway.
    pub(super) web: [Dual; 3],
    pub(super) mail: Dual,
    pub(super) vpn: Dual,
    pub(super) resolvers: [Dual; 2],
    pub(super) time: Dual,
    pub(super) directories: [Dual; 2],
    pub(super) files: [Dual; 2],
    pub(super) databases: [Dual; 2],
    pub(super) applications: [Dual; 6],
    pub(super) code: Dual,
    pub(super) logs: Dual,
    pub(super) backup: Dual,
    pub(super) update: Dual,
    pub(super) monitor: Dual,
    pub(super) switchboard: Node,
    pub(super) recorder: Node,
    pub(super) phones: Vec<Node>,
    pub(super) cameras: Vec<Node>,
    pub(super) printers: Vec<Node>,
    /// Servers that only their makers reach from outside, and on which port.
    looked_after: Vec<(Node, u16)>,
    world: Vec<Dual>,
    by_popularity: Weighted,
    world_names: Vec<Dual>,
    by_names: Weighted,
}

const PHONES: u8 = 30;
const CAMERAS: u8 = 12;
const PRINTERS: u8 = 12;
/// Servers of the core, the switchboard and the video recorder.
const SERVERS: u32 = 27;
/// Desks behind the sampling access switch: the last ones.
const ACCESS_DESKS: usize = 40;
/// Desks of one /24.
const DESKS_OF_SUBNET: usize = 200;

impl Network {
    /// `hosts` as checked by the configuration.
    pub(super) fn new(seed: u64, hosts: u32) -> Self {
        let mut dice = Dice::new(seed, 1);
        let desks = (hosts - SERVERS - u32::from(PHONES + CAMERAS + PRINTERS)) as usize;
        let workstations: Vec<Workstation> =
            (0..desks).map(|index| desk(index, desks, &mut dice)).collect();
        let activity: Vec<f64> = (0..desks).map(|_| dice.lognormal(1.0, 0.6)).collect();
        let server = |host: u8| Dual::inside(1, host, Place::Core);
        let public = |host: u8| Dual::inside(2, host, Place::Core);
        let device = |subnet: u8, host: u8| Dual::inside(subnet, host, Place::Access).v4;
        let world = |tag: u64, count: u16| -> Vec<Dual> {
            (0..count).map(|n| Dual::of_the_world(mix(seed ^ tag, u64::from(n)))).collect()
        };
        let mut network = Self {
            seed,
            looked_after: Vec::new(),
            workstations,
            by_activity: Weighted::new(&activity),
            web: [public(10), public(11), public(12)],
            mail: public(20),
            vpn: public(30),
            resolvers: [server(53), server(54)],
            time: server(60),
            directories: [server(70), server(71)],
            files: [server(40), server(41)],
            databases: [server(30), server(31)],
            applications: [110, 111, 112, 113, 114, 115].map(server),
            code: server(120),
            logs: server(121),
            backup: server(80),
            update: server(90),
            monitor: server(100),
            switchboard: device(5, 10),
            recorder: device(6, 10),
            phones: (0..PHONES).map(|n| device(5, 20 + n)).collect(),
            cameras: (0..CAMERAS).map(|n| device(6, 20 + n)).collect(),
            printers: (0..PRINTERS).map(|n| device(7, 20 + n)).collect(),
            world: world(0x5e7, WORLD_SERVERS),
            by_popularity: Weighted::zipf(WORLD_SERVERS),
            world_names: world(0xd45, WORLD_NAME_SERVERS),
            by_names: Weighted::zipf(WORLD_NAME_SERVERS),
        };
        let private = network.servers().into_iter().skip(network.public_servers().len());
        let ports = [22, 443].into_iter().cycle();
        network.looked_after = private.map(|dual| dual.v4()).zip(ports).collect();
        network
    }

    /// A busy desk that is on at `second`, busier ones more often.
    pub(super) fn someone(&self, second: i64, dice: &mut Dice) -> Workstation {
        let mut chosen = self.workstations[self.by_activity.draw(dice)];
        // At night nine of ten are off; after these tries nearly always one is found that is on.
        for _ in 0..24 {
            if chosen.is_on(second) {
                break;
            }
            chosen = self.workstations[self.by_activity.draw(dice)];
        }
        chosen
    }

    /// A popular server outside, of the client's address family.
    pub(super) fn world_server(&self, client: Node, dice: &mut Dice) -> Node {
        self.world[self.by_popularity.draw(dice)].facing(client)
    }

    /// A name server outside.
    pub(super) fn world_name_server(&self, dice: &mut Dice) -> Node {
        self.world_names[self.by_names.draw(dice)].v4
    }

    /// One of the four public time servers.
    pub(super) fn public_time(&self, index: u64) -> Node {
        Dual::of_the_world(mix(self.seed ^ 0x123, index % 4)).v4
    }

    /// Where the copies of the backups go.
    pub(super) fn data_centre(&self) -> Node {
        Dual::of_the_world(mix(self.seed ^ 0xdc, 0)).v4
    }

    /// A content network's server, among the most popular ones.
    pub(super) fn content_server(&self, number: u64) -> Dual {
        self.world[(number % 20) as usize]
    }

    /// One of 60,000 visitors.
    pub(super) fn visitor(&self, dice: &mut Dice) -> Dual {
        Dual::of_the_world(mix(self.seed ^ 0x715, dice.below(60_000)))
    }

    /// Any address outside, hardly ever the same one twice.
    pub(super) fn stranger(&self, dice: &mut Dice) -> Node {
        Node::outside(outside_ipv4(ORDINARY, dice.word()))
    }

    pub(super) fn looked_after(&self) -> &[(Node, u16)] {
        &self.looked_after
    }

    /// Servers whose services amplify: names, directory (two each), time, monitor, memory cache.
    pub(super) fn reflectors(&self) -> [Dual; 7] {
        let ([names, more_names], [directory, copy]) = (self.resolvers, self.directories);
        [names, more_names, directory, copy, self.time, self.monitor, self.applications[0]]
    }

    /// A maker's own network outside.
    pub(super) fn maker(&self, number: u64) -> Node {
        Dual::of_the_world(mix(self.seed ^ 0x3a4e, number)).v4
    }

    pub(super) fn resolver(&self, dice: &mut Dice) -> Dual {
        self.resolvers[usize::from(dice.chance(0.25))]
    }

    /// Servers that the Internet can reach.
    pub(super) fn public_servers(&self) -> [Dual; 5] {
        [self.web[0], self.web[1], self.web[2], self.mail, self.vpn]
    }

    /// Every server in the core.
    pub(super) fn servers(&self) -> Vec<Dual> {
        let mut all = self.public_servers().to_vec();
        all.extend(self.resolvers.iter().chain(&self.directories).chain(&self.files));
        all.extend(self.databases.iter().chain(&self.applications));
        all.extend([self.time, self.code, self.logs, self.backup, self.update, self.monitor]);
        all
    }

    /// IPv4 desks whose traffic is exported unsampled.
    pub(super) fn core_desks(&self) -> Vec<Workstation> {
        let is_core = |node: Node| node.place == Place::Core && !node.is_ipv6();
        self.workstations.iter().filter(|desk| is_core(desk.node)).copied().collect()
    }
}

fn desk(index: usize, desks: usize, dice: &mut Dice) -> Workstation {
    let is_access = index + ACCESS_DESKS >= desks;
    let place = if is_access { Place::Access } else { Place::Core };
    let subnet = 16 + (index / DESKS_OF_SUBNET) as u8;
    let address = Dual::inside(subnet, 20 + (index % DESKS_OF_SUBNET) as u8, place);
    let arrives = 7 * 60 + dice.below(150) as i64;
    Workstation {
        node: if index % 10 == 9 { address.v6 } else { address.v4 },
        arrives,
        leaves: arrives + 8 * 60 + dice.below(120) as i64,
        stays_on: dice.chance(0.12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_devices_and_desks_make_the_stated_number_of_hosts() {
        let network = Network::new(1, 450);
        let devices = network.phones.len() + network.cameras.len() + network.printers.len();
        let others = network.servers().len() + devices + 2;
        assert_eq!(others + network.workstations.len(), 450);
    }

    #[test]
    fn a_tenth_of_the_desks_speak_ipv6() {
        let network = Network::new(1, 450);
        let ipv6 = network.workstations.iter().filter(|desk| desk.node.is_ipv6()).count();
        assert_eq!(ipv6, network.workstations.len() / 10);
    }

    #[test]
    fn desks_never_leave_the_private_network() {
        for desk in Network::new(1, 10_000).workstations {
            match desk.node.ip {
                IpAddr::V4(ip) => assert_eq!(ip.octets()[..2], [10, 20]),
                IpAddr::V6(ip) => assert_eq!(ip.octets()[0], 0xfd),
            }
        }
    }
}
