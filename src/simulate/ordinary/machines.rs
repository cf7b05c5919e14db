//! What follows the clock: monitoring polls, time, cameras, nightly backups, update bursts, the
//! noise of the Internet, a peer-to-peer talker. These are the classical false alarms.

use std::net::Ipv4Addr;

use crate::model::Protocol;

use super::super::clock::{self, DAY};
use super::super::contact::{Contact, Node, Path, Place};
use super::super::network::{Dual, Network};
use super::super::random::mix;
use super::Scene;

/// Every monitored host is checked once in this many seconds.
const POLL_INTERVAL: i64 = 300;
/// What a desk waits between two questions to the time server.
const TIME_INTERVAL: i64 = 1024;
/// What a program waits between two calls to its maker.
const CALL_INTERVAL: i64 = 240;
/// The copy of the backups leaves the house at 04:40.
const COPY_BEGIN: i64 = 4 * 3600 + 40 * 60;
/// Backups begin at 01:00, one host after the other over three hours.
const BACKUP_BEGIN: i64 = 3600;
const BACKUP_SPREAD: i64 = 3 * 3600;
/// All hosts that are on fetch an update within this time.
const UPDATE_SPREAD: i64 = 600;
/// How often the makers of one server come.
const VISITS_PER_HOUR: f64 = 0.25;
/// Ports that the Internet tries, whoever you are.
const NOISE_PORTS: [u16; 14] =
    [22, 23, 23, 80, 443, 445, 445, 3389, 8080, 2323, 5555, 6379, 1433, 81];

/// Who does what at which time.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    seed: u64,
    /// Hosts and the ports on which their service is checked.
    polled: Vec<(Node, Option<u16>)>,
    saved: Vec<Node>,
    peer: Node,
    public: Vec<Dual>,
}

impl Schedule {
    pub(super) fn new(seed: u64, network: &Network) -> Self {
        let stays_on = network.workstations.iter().filter(|desk| desk.stays_on);
        let servers = network.servers();
        let saved = servers.iter().map(Dual::v4).filter(|&node| node != network.backup.v4());
        let desks = network.core_desks();
        Self {
            seed,
            polled: polled(network),
            saved: saved
                .chain(stays_on.map(|desk| desk.node).filter(|node| node.place == Place::Core))
                .collect(),
            peer: desks[desks.len() / 2].node,
            public: network.public_servers().to_vec(),
        }
    }

    /// Sends what is due in the scene's second.
    pub(super) fn run(&mut self, scene: &mut Scene<'_>) {
        self.poll(scene);
        ask_the_time(scene);
        keep_in_touch(scene);
        stream_video(scene);
        self.back_up(scene);
        self.update(scene);
        self.make_noise(scene);
        self.share_with_peers(scene);
        announce(scene);
    }

    /// Monitoring: echo, SNMP and a connection to the service, spread evenly over the interval.
    fn poll(&self, scene: &mut Scene<'_>) {
        let count = self.polled.len() as i64;
        let moment = scene.second.rem_euclid(POLL_INTERVAL);
        let due = (moment * count / POLL_INTERVAL)..((moment + 1) * count / POLL_INTERVAL);
        for index in due {
            let (server, service) = self.polled[index as usize];
            let client = scene.network.monitor.v4();
            let start = scene.later(0.3);
            let echo = Contact::ping(scene.dice, start, Path { client, server, port: 0 }, 3);
            scene.send(echo);
            let path = Path { client, server, port: 161 };
            let packets = scene.dice.between(2, 6);
            let (up, down) = ((packets, 45 * packets), (packets, 190 * packets));
            let start = scene.later(0.9);
            let snmp = Contact::udp(scene.dice, start, path, up, down, 0.05);
            scene.send(snmp);
            if let Some(port) = service {
                let start = scene.later(0.9);
                let path = Path { client, server, port };
                let check = Contact::tcp(scene.dice, start, path, (180, 420), 0.03);
                scene.send(check);
            }
        }
    }

    /// One large upload per saved host and night, then a copy of the essentials to a data centre
    /// outside, always the same.
    fn back_up(&self, scene: &mut Scene<'_>) {
        let of_day = scene.second.rem_euclid(DAY);
        if of_day == COPY_BEGIN {
            let client = scene.network.backup.v4();
            let path = Path { client, server: scene.network.data_centre(), port: 443 };
            let bytes = scene.dice.lognormal(3.0e9, 0.3);
            let payload = (bytes as u64, bytes as u64 / 500);
            let contact = Contact::tcp(scene.dice, scene.at, path, payload, bytes / 4.0e6);
            scene.send(contact);
        }
        let of_night = of_day - BACKUP_BEGIN;
        if !(0..BACKUP_SPREAD).contains(&of_night) {
            return;
        }
        let count = self.saved.len() as i64;
        let due = (of_night * count / BACKUP_SPREAD)..((of_night + 1) * count / BACKUP_SPREAD);
        for index in due {
            let client = self.saved[index as usize];
            let server = scene.network.backup.facing(client);
            let median = if client.is_ipv6() || index >= 25 { 0.8e9 } else { 4.0e9 };
            let bytes = scene.dice.lognormal(median, 0.9);
            let seconds = bytes / scene.dice.real(8.0e6, 40.0e6);
            let path = Path { client, server, port: 9103 };
            let payload = (bytes as u64, bytes as u64 / 500);
            let contact = Contact::tcp(scene.dice, scene.at, path, payload, seconds);
            scene.send(contact);
        }
    }

    /// Twice a day at a time of the seed: from the update server inside, then from outside.
    fn update(&self, scene: &mut Scene<'_>) {
        let day = clock::day_of(scene.second) as u64;
        let of_day = scene.second.rem_euclid(DAY);
        for burst in 0..2u64 {
            let luck = mix(self.seed ^ 0xbd47e, day * 2 + burst);
            let begin = 9 * 3600 + burst as i64 * 4 * 3600 + (luck % 9_000) as i64;
            let moment = of_day - begin;
            if !(0..UPDATE_SPREAD).contains(&moment) {
                continue;
            }
            let desks = scene.network.workstations.len() as i64;
            let due = (moment * desks / UPDATE_SPREAD)..((moment + 1) * desks / UPDATE_SPREAD);
            for place in due {
                // A different order every time.
                let index = (place as u64 * 7919 + luck % 1000) % desks as u64;
                fetch_update(scene, index as usize, burst == 0, luck);
            }
        }
    }

    /// The Internet knocks: a SYN or two from somebody who is never seen again.
    fn make_noise(&self, scene: &mut Scene<'_>) {
        for _ in 0..scene.dice.count(1_200.0 / 3_600.0) {
            let client = scene.network.stranger(scene.dice);
            let server = scene.dice.pick(&self.public).v4();
            let path = Path { client, server, port: scene.dice.pick(&NOISE_PORTS) };
            let start = scene.later(1.0);
            let syns = scene.dice.between(1, 2) as u32;
            let contact = match scene.dice.unit() {
                luck if luck < 0.65 => Contact::unanswered(scene.dice, start, path, syns),
                _ => Contact::refused(scene.dice, start, path),
            };
            scene.send(contact);
        }
    }

    /// One desk shares files in the evening: many peers, high ports, half of them gone.
    fn share_with_peers(&self, scene: &mut Scene<'_>) {
        let hour = clock::minute_of_day(scene.second) / 60;
        if !(17..23).contains(&hour) {
            return;
        }
        for _ in 0..scene.dice.count(900.0 / 3_600.0) {
            let server = scene.network.visitor(scene.dice).v4();
            let port = scene.dice.port(10_000, 60_000);
            let path = Path { client: self.peer, server, port };
            let start = scene.later(1.0);
            let contact = match scene.dice.unit() {
                luck if luck < 0.35 => Contact::udp(scene.dice, start, path, (2, 210), (0, 0), 3.0),
                luck if luck < 0.80 => {
                    Contact::udp(scene.dice, start, path, (3, 330), (3, 1_100), 0.4)
                }
                luck if luck < 0.88 => Contact::unanswered(scene.dice, start, path, 2),
                _ => {
                    let bytes = scene.dice.lognormal(300_000.0, 1.5) as u64;
                    Contact::tcp(scene.dice, start, path, (bytes / 3, bytes), 45.0)
                }
            };
            scene.send(contact);
        }
    }
}

/// Every server, with its service, and every device.
fn polled(network: &Network) -> Vec<(Node, Option<u16>)> {
    let services = |duals: &[Dual], port: u16| -> Vec<(Node, Option<u16>)> {
        duals.iter().map(|dual| (dual.v4(), Some(port))).collect()
    };
    let mut all = services(&network.web, 443);
    all.extend(services(&[network.mail], 25));
    all.extend(services(&network.directories, 389));
    all.extend(services(&network.files, 445));
    all.extend(services(&network.databases[..1], 5432));
    all.extend(services(&network.databases[1..], 3306));
    all.extend(services(&network.applications, 8080));
    all.extend(services(&[network.code, network.logs, network.backup], 22));
    all.extend(network.resolvers.iter().map(|dual| (dual.v4(), None)));
    all.extend(network.printers.iter().chain(&network.cameras).map(|&node| (node, None)));
    all
}

/// Makers look after the servers that the public does not reach: each server has one or two of
/// them, who come now and then.
pub(super) fn look_after(scene: &mut Scene<'_>) {
    let servers = scene.network.looked_after();
    let per_second = VISITS_PER_HOUR * servers.len() as f64 / 3_600.0;
    for _ in 0..scene.dice.count(per_second) {
        let number = scene.dice.below(servers.len() as u64);
        let (server, port) = servers[number as usize];
        let client = scene.network.maker(2 * number + scene.dice.below(1 + number % 2));
        for _ in 0..scene.dice.between(1, 3) {
            let path = Path { client, server, port };
            let payload = (scene.dice.between(2_000, 20_000), scene.dice.between(5_000, 200_000));
            let (start, seconds) = (scene.later(2.0), scene.dice.real(3.0, 50.0));
            let contact = Contact::tcp(scene.dice, start, path, payload, seconds);
            scene.send(contact);
        }
    }
}

/// Each desk asks the time server in turn; the time server asks four outside.
fn ask_the_time(scene: &mut Scene<'_>) {
    let desks = scene.network.workstations.len() as i64;
    let moment = scene.second.rem_euclid(TIME_INTERVAL);
    let due = (moment * desks / TIME_INTERVAL)..((moment + 1) * desks / TIME_INTERVAL);
    for index in due {
        let desk = scene.network.workstations[index as usize];
        if desk.is_on(scene.second) {
            let server = scene.network.time.facing(desk.node);
            ask(scene, Path { client: desk.node, server, port: 123 });
        }
    }
    if scene.second % 16 == 0 {
        let client = scene.network.time.v4();
        let server = scene.network.public_time((scene.second / 16 % 4) as u64);
        ask(scene, Path { client, server, port: 123 });
    }
}

fn ask(scene: &mut Scene<'_>, path: Path) {
    let start = scene.later(1.0);
    let contact = Contact::udp(scene.dice, start, path, (1, 48), (1, 48), 0.01);
    scene.send(contact);
}

/// A seventh of the desks runs a program that calls its maker, every few minutes as long as the
/// desk is on: a beacon, but to a server that many call.
fn keep_in_touch(scene: &mut Scene<'_>) {
    let desks = scene.network.workstations.len();
    // The desk that is due: one with a number of the form 7 n, n being the second of the interval.
    let moment = scene.second.rem_euclid(CALL_INTERVAL) as usize;
    for index in (moment * 7..desks).step_by(CALL_INTERVAL as usize * 7) {
        let desk = scene.network.workstations[index];
        if !desk.is_on(scene.second) {
            continue;
        }
        let server = scene.network.content_server(index as u64 % 5).facing(desk.node);
        let path = Path { client: desk.node, server, port: 443 };
        let start = scene.later(20.0);
        let contact = Contact::tcp(scene.dice, start, path, (640, 410), 0.4);
        scene.send(contact);
    }
}

/// Each camera sends about 1 Mbit/s to the recorder, day and night; one minute at a time.
fn stream_video(scene: &mut Scene<'_>) {
    let moment = scene.second.rem_euclid(60);
    if moment % 5 != 0 {
        return;
    }
    let Some(&camera) = scene.network.cameras.get((moment / 5) as usize) else { return };
    let path = Path { client: camera, server: scene.network.recorder, port: 554 };
    let packets = scene.dice.between(5_700, 6_300);
    let (up, down) = ((packets, packets * 1_250), (packets / 40, packets / 40 * 60));
    let contact = Contact::udp(scene.dice, scene.at, path, up, down, 60.0);
    scene.send(contact);
}

fn fetch_update(scene: &mut Scene<'_>, index: usize, is_inside: bool, luck: u64) {
    let desk = scene.network.workstations[index];
    if !desk.is_on(scene.second) {
        return;
    }
    let (server, port) = if is_inside {
        (scene.network.update.facing(desk.node), 8530)
    } else {
        (scene.network.content_server(luck).facing(desk.node), 443)
    };
    let path = Path { client: desk.node, server, port };
    // The same package for everybody, so nearly the same size.
    let bytes = 60_000_000 + luck % 300_000_000 + scene.dice.below(40_000);
    let seconds = bytes as f64 / scene.dice.real(1.0e6, 6.0e6);
    let start = scene.later(1.0);
    let contact = Contact::tcp(scene.dice, start, path, (bytes / 4_000, bytes), seconds);
    scene.send(contact);
}

/// Broadcast and multicast: DHCP, service discovery, group membership, address resolution.
fn announce(scene: &mut Scene<'_>) {
    for _ in 0..scene.dice.count(400.0 / 3_600.0) {
        let desk = scene.network.someone(scene.second, scene.dice).node;
        let start = scene.later(1.0);
        if scene.dice.chance(0.15) {
            scene.outbox.send_arp(start);
            continue;
        }
        let at = |ip: [u8; 4]| Node { ip: Ipv4Addr::from(ip).into(), place: Place::Core };
        let (client, server, port, size) = match scene.dice.unit() {
            _ if desk.is_ipv6() => continue,
            luck if luck < 0.5 => (desk, at([224, 0, 0, 251]), 5353, 120),
            luck if luck < 0.7 => (desk, at([239, 255, 255, 250]), 1900, 175),
            luck if luck < 0.85 => (at([0; 4]), at([255; 4]), 67, 300),
            _ => (desk, at([224, 0, 0, 22]), 0, 12),
        };
        let path = Path { client, server, port };
        let packets = scene.dice.between(1, 4);
        let up = (packets, packets * size);
        let mut contact = Contact::udp(scene.dice, start, path, up, (0, 0), 0.9);
        match port {
            5353 => contact.client_port = 5353,
            67 => contact.client_port = 68,
            0 => (contact.protocol, contact.client_port) = (Protocol(2), 0),
            _ => {}
        }
        scene.send(contact);
    }
}
