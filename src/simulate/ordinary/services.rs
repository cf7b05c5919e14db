//! What servers do for the public and among themselves.

use super::super::contact::{Contact, Path};
use super::Scene;
use super::people;

/// A visitor of the public web servers: one to six connections.
pub(super) fn answer_visitor(scene: &mut Scene<'_>) {
    let visitor = scene.network.visitor(scene.dice);
    let site = scene.dice.pick(&scene.network.web);
    // A tenth of the public comes by IPv6.
    let has_ipv6 = scene.dice.chance(0.1);
    let (v4, v6) = (visitor.v4(), visitor.v6());
    let client = if has_ipv6 { v6 } else { v4 };
    let port = if scene.dice.chance(0.12) { 80 } else { 443 };
    let path = Path { client, server: site.facing(client), port };
    for _ in 0..1 + scene.dice.count(1.0) {
        let start = scene.later(4.0);
        let payload =
            (scene.dice.lognormal(1_500.0, 0.8) as u64, scene.dice.lognormal(22_000.0, 1.5) as u64);
        let seconds = scene.dice.lognormal(5.0, 1.3).min(300.0);
        let contact = match scene.dice.unit() {
            luck if luck < 0.005 => Contact::refused(scene.dice, start, path),
            _ => Contact::tcp(scene.dice, start, path, payload, seconds),
        };
        scene.send(contact);
    }
}

/// Mail between the servers of the world and ours, with the look-ups that checking a sender needs.
pub(super) fn exchange_mail(scene: &mut Scene<'_>) {
    let ours = scene.network.mail.v4();
    let theirs = scene.network.world_server(ours, scene.dice);
    let is_incoming = scene.dice.chance(0.7);
    let (client, server) = if is_incoming { (theirs, ours) } else { (ours, theirs) };
    people::resolve(scene, ours);
    let path = Path { client, server, port: 25 };
    let payload = (scene.dice.lognormal(18_000.0, 1.5) as u64, scene.dice.between(800, 2_000));
    let (start, seconds) = (scene.later(2.0), scene.dice.lognormal(2.0, 0.9).min(120.0));
    let contact = match scene.dice.unit() {
        luck if luck < 0.03 => Contact::unanswered(scene.dice, start, path, 4),
        _ => Contact::tcp(scene.dice, start, path, payload, seconds),
    };
    scene.send(contact);
}

/// Application and web servers ask the databases.
pub(super) fn query_database(scene: &mut Scene<'_>) {
    let is_web = scene.dice.chance(0.3);
    let client = if is_web {
        scene.dice.pick(&scene.network.web).v4()
    } else {
        scene.dice.pick(&scene.network.applications).v4()
    };
    let which = usize::from(scene.dice.chance(0.35));
    let path =
        Path { client, server: scene.network.databases[which].v4(), port: [5432, 3306][which] };
    let payload =
        (scene.dice.lognormal(900.0, 0.9) as u64, scene.dice.lognormal(6_000.0, 1.8) as u64);
    let seconds = scene.dice.lognormal(0.4, 1.6).min(50.0);
    let contact = Contact::tcp(scene.dice, scene.at, path, payload, seconds);
    scene.send(contact);
}

/// Servers look up names.
pub(super) fn look_up_name(scene: &mut Scene<'_>) {
    let client = match scene.dice.unit() {
        luck if luck < 0.5 => scene.network.mail.v4(),
        luck if luck < 0.7 => scene.network.logs.v4(),
        _ => scene.dice.pick(&scene.network.applications).v4(),
    };
    people::resolve(scene, client);
}

/// Log lines and metrics to the log server, over UDP or TCP.
pub(super) fn write_log(scene: &mut Scene<'_>) {
    let client = match scene.dice.unit() {
        luck if luck < 0.4 => scene.dice.pick(&scene.network.web).v4(),
        luck if luck < 0.8 => scene.dice.pick(&scene.network.applications).v4(),
        _ => scene.dice.pick(&scene.network.directories).v4(),
    };
    let server = scene.network.logs.v4();
    let contact = if scene.dice.chance(0.5) {
        let path = Path { client, server, port: 514 };
        let packets = scene.dice.between(1, 30);
        let size = scene.dice.between(120, 600);
        Contact::udp(scene.dice, scene.at, path, (packets, packets * size), (0, 0), 8.0)
    } else {
        let path = Path { client, server, port: 5044 };
        let payload = (scene.dice.lognormal(40_000.0, 1.2) as u64, 600);
        Contact::tcp(scene.dice, scene.at, path, payload, 20.0)
    };
    scene.send(contact);
}
