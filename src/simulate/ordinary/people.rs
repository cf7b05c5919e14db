//! What people at their desks do.

use super::super::contact::{Contact, Node, Path};
use super::Scene;

/// Web pages: a few name look-ups and a handful of connections to popular servers, HTTP/3 among
/// them.
pub(super) fn open_page(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    let servers = 1 + scene.dice.count(2.6);
    for _ in 0..servers {
        if scene.dice.chance(0.55) {
            resolve(scene, client);
        }
        let server = scene.network.world_server(client, scene.dice);
        fetch(scene, client, server);
    }
}

/// One connection to a web server.
fn fetch(scene: &mut Scene<'_>, client: Node, server: Node) {
    let start = scene.later(3.0);
    let port = if scene.dice.chance(0.07) { 80 } else { 443 };
    let path = Path { client, server, port };
    let up = scene.dice.lognormal(1_800.0, 0.9) as u64;
    let down = scene.dice.lognormal(14_000.0, 1.7) as u64;
    // Keep-alive: most connections end soon, some linger for minutes.
    let seconds = scene.dice.lognormal(4.0, 1.4).min(400.0);
    let dice = &mut *scene.dice;
    let contact = match dice.unit() {
        luck if luck < 0.012 => Contact::unanswered(dice, start, path, 3),
        luck if luck < 0.022 => Contact::refused(dice, start, path),
        luck if luck < 0.25 && port == 443 => {
            let (sent, got) = (2 + up / 1200 + down / 4000, 3 + down / 1230);
            Contact::udp(dice, start, path, (sent, up + 40 * sent), (got, down), seconds.min(90.0))
        }
        _ => Contact::tcp(dice, start, path, (up + 600, down + 3_500), seconds),
    };
    scene.send(contact);
}

/// A name look-up: the resolver answers from its cache or asks around.
pub(super) fn resolve(scene: &mut Scene<'_>, client: Node) {
    let resolver = scene.network.resolver(scene.dice);
    let server = resolver.facing(client);
    let (question, answer) = (scene.dice.between(28, 60), scene.dice.between(60, 320));
    let is_cached = scene.dice.chance(0.68);
    let seconds = if is_cached { 0.001 } else { scene.dice.real(0.02, 0.2) };
    let start = scene.later(0.5);
    let path = Path { client, server, port: 53 };
    let contact = Contact::udp(scene.dice, start, path, (1, question), (1, answer), seconds);
    scene.send(contact);
    if !is_cached {
        ask_the_world(scene, resolver.v4());
    }
}

/// A resolver asks one to three name servers outside; now and then one does not answer.
pub(super) fn ask_the_world(scene: &mut Scene<'_>, resolver: Node) {
    for _ in 0..scene.dice.between(1, 3) {
        let server = scene.network.world_name_server(scene.dice);
        let path = Path { client: resolver, server, port: 53 };
        let answers = u64::from(!scene.dice.chance(0.02));
        let (question, answer) = (scene.dice.between(40, 80), scene.dice.between(80, 900));
        let seconds = scene.dice.real(0.005, 0.15);
        let start = scene.later(0.6);
        let down = (answers, answer * answers);
        let contact = Contact::udp(scene.dice, start, path, (1, question), down, seconds);
        scene.send(contact);
    }
}

/// What a desk does without its owner: telemetry, notifications, presence, discovery.
pub(super) fn chatter(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    resolve(scene, client);
    let server = scene.network.world_server(client, scene.dice);
    let path = Path { client, server, port: 443 };
    let payload = (scene.dice.between(700, 4_000), scene.dice.between(3_500, 9_000));
    let start = scene.later(2.0);
    let seconds = scene.dice.real(0.1, 20.0);
    let contact = Contact::tcp(scene.dice, start, path, payload, seconds);
    scene.send(contact);
}

/// Mail program asks for new mail, sometimes sends one.
pub(super) fn read_mail(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    let server = scene.network.mail.facing(client);
    let is_sending = scene.dice.chance(0.15);
    let port = if is_sending { 587 } else { 993 };
    let small = scene.dice.between(900, 2_500);
    let large = scene.dice.lognormal(9_000.0, 1.6) as u64;
    let payload = if is_sending { (large, small) } else { (small, large) };
    let seconds = scene.dice.lognormal(3.0, 1.2).min(300.0);
    let path = Path { client, server, port };
    let contact = Contact::tcp(scene.dice, scene.at, path, payload, seconds);
    scene.send(contact);
}

/// Documents on the file servers: reading more than writing, sessions of minutes.
pub(super) fn use_files(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    let server = scene.dice.pick(&scene.network.files).facing(client);
    let path = Path { client, server, port: 445 };
    let (read, written) =
        (scene.dice.lognormal(120_000.0, 2.0) as u64, scene.dice.lognormal(25_000.0, 1.8) as u64);
    let seconds = scene.dice.lognormal(25.0, 1.3).min(900.0);
    let contact = Contact::tcp(scene.dice, scene.at, path, (written, read), seconds);
    scene.send(contact);
}

/// Directory: a ticket and a look-up, sometimes a refused old port.
pub(super) fn log_in(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    let server = scene.dice.pick(&scene.network.directories).facing(client);
    let ticket = Path { client, server, port: 88 };
    let payload = (scene.dice.between(1_400, 2_800), scene.dice.between(1_400, 3_200));
    let contact = Contact::tcp(scene.dice, scene.at, ticket, payload, 0.02);
    scene.send(contact);
    let lookup = Path { client, server, port: 389 };
    let payload = (scene.dice.between(300, 2_500), scene.dice.lognormal(4_000.0, 1.0) as u64);
    let (start, seconds) = (scene.later(1.0), scene.dice.real(0.05, 30.0));
    let contact = Contact::tcp(scene.dice, start, lookup, payload, seconds);
    scene.send(contact);
    if scene.dice.chance(0.05) {
        let start = scene.later(1.0);
        let old = Path { client, server, port: 139 };
        let contact = Contact::refused(scene.dice, start, old);
        scene.send(contact);
    }
}

/// Eight developers: version control, shells, services on odd ports of a colleague or of an
/// application server.
pub(super) fn develop(scene: &mut Scene<'_>) {
    let desks = &scene.network.workstations;
    let client = desks[scene.dice.below(8) as usize * 3].node;
    let colleague = desks[scene.dice.below(8) as usize * 3].node;
    let application = scene.dice.pick(&scene.network.applications).facing(client);
    let is_reachable = colleague.is_ipv6() == client.is_ipv6() && colleague != client;
    let (server, port) = match scene.dice.unit() {
        luck if luck < 0.35 => (scene.network.code.facing(client), scene.dice.pick(&[22, 443])),
        luck if luck < 0.60 => (application, 22),
        luck if luck < 0.85 => (application, scene.dice.pick(&[8080, 8443, 9090, 5601, 3000])),
        _ if is_reachable => (colleague, scene.dice.pick(&[3000, 5173, 8000, 8081, 9229])),
        _ => (scene.network.world_server(client, scene.dice), 22),
    };
    let path = Path { client, server, port };
    let payload =
        (scene.dice.lognormal(5_000.0, 1.5) as u64, scene.dice.lognormal(20_000.0, 1.9) as u64);
    let seconds = scene.dice.lognormal(30.0, 1.8).min(3_600.0);
    let contact = match scene.dice.unit() {
        luck if luck < 0.06 => Contact::refused(scene.dice, scene.at, path),
        _ => Contact::tcp(scene.dice, scene.at, path, payload, seconds),
    };
    scene.send(contact);
}

/// A telephone or video call of some minutes: two steady streams, set up through the switchboard.
pub(super) fn call(scene: &mut Scene<'_>) {
    let phone = scene.dice.pick(&scene.network.phones);
    let signalling = Path { client: phone, server: scene.network.switchboard, port: 5060 };
    let contact = Contact::udp(scene.dice, scene.at, signalling, (7, 3_900), (7, 4_100), 2.0);
    scene.send(contact);
    let other = scene.dice.pick(&scene.network.phones);
    let desk = scene.network.someone(scene.second, scene.dice).node;
    let is_video = scene.dice.chance(0.5);
    let (client, server, port, packets_per_second, size) = if is_video {
        (desk, scene.network.world_server(desk, scene.dice), 3478, 110, 900)
    } else {
        (phone, other, 16_384 + 2 * scene.dice.port(0, 500), 50, 172)
    };
    let seconds = scene.dice.lognormal(180.0, 0.9).min(3_600.0);
    let packets = (seconds * f64::from(packets_per_second)) as u64;
    let stream = (packets, packets * size);
    let path = Path { client, server, port };
    let contact = Contact::udp(scene.dice, scene.at, path, stream, stream, seconds);
    scene.send(contact);
}

/// A print job, behind the sampling switch.
pub(super) fn print(scene: &mut Scene<'_>) {
    let client = scene.network.someone(scene.second, scene.dice).node;
    if client.is_ipv6() {
        return;
    }
    let server = scene.dice.pick(&scene.network.printers);
    let path = Path { client, server, port: 9100 };
    let payload = (scene.dice.lognormal(900_000.0, 1.1) as u64, 400);
    let seconds = scene.dice.real(3.0, 40.0);
    let contact = Contact::tcp(scene.dice, scene.at, path, payload, seconds);
    scene.send(contact);
}
