//! The hidden episodes: chosen before the first record, spread over the run, labelled.
//!
//! Each kind gets equal slots of the run and one episode somewhere in each, so episodes of a kind
//! never overlap, but for long connections, of which three may be open. The first tenth of a run (at
//! most two hours) stays clean. Kinds that stand out against a past begin later (`spans`).

mod access;
mod cast;
mod flood;
mod inside;
mod masses;
mod scan;
mod spans;
mod spread;
mod tunnel;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

use super::clock::SECOND;
use super::config::{AttackKind, Config};
use super::contact::{Contact, Luck};
use super::export::Outbox;
use super::network::{Network, outside_ipv4};
use super::random::{Dice, mix};

use cast::Cast;
pub(super) use cast::Vigour;
use spans::spans;

/// First octets of attackers outside.
const HOSTILE: &[u8] = &[45, 91, 103, 185, 193, 194, 195];
/// First octets of listed addresses.
const LISTED: &[u8] = &[5, 37, 46, 62, 89, 92, 94, 109, 146, 176];
/// First octets of forged senders.
const FORGED: &[u8] = &[110, 112, 116, 119, 121, 124, 125, 131, 134, 139, 177, 181, 190];
/// First octets of open servers that amplify.
const REFLECTORS: &[u8] = &[27, 36, 58, 59, 60, 61, 79, 83, 85, 90];
/// Listed addresses, used or not.
const LISTED_COUNT: u64 = 300;

/// One labelled attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// What.
    pub kind: AttackKind,
    /// No flow of it begins earlier.
    pub start: Timestamp,
    /// No flow of it ends later.
    pub end: Timestamp,
    /// Who sends: scanners, guessers, the reflectors of an amplification, the inside host of a
    /// beacon or an exfiltration, whoever opens a blacklist contact. Empty when the senders are
    /// forged (SYN flood).
    pub attackers: Vec<IpAddr>,
    /// Who is sent to.
    pub victims: Vec<IpAddr>,
}

/// Whole seconds from `start` up to `end`.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    end: i64,
}

impl Span {
    fn seconds(self) -> i64 {
        self.end - self.start
    }

    /// Which of `total` evenly spread events, the first at the very start, fall into `second`.
    fn due(self, total: u64, second: i64) -> std::ops::Range<u64> {
        if !(self.start..self.end).contains(&second) {
            return 0..0;
        }
        let until = |elapsed: i64| (elapsed as u64 * total).div_ceil(self.seconds() as u64);
        until(second - self.start)..until(second - self.start + 1)
    }

    /// The same without the last `seconds`.
    fn without_last(self, seconds: i64) -> Self {
        Self { start: self.start, end: (self.end - seconds).max(self.start + 1) }
    }
}

/// The conduct of one episode.
trait Attack: std::fmt::Debug + Send {
    /// Gives the contacts that begin in `second`.
    fn happen(&mut self, second: i64, dice: &mut Dice, contacts: &mut Vec<Contact>);
}

/// An episode as its kind designs it.
struct Design {
    attackers: Vec<IpAddr>,
    victims: Vec<IpAddr>,
    /// Expected records.
    records: f64,
    attack: Box<dyn Attack>,
}

fn design(kind: AttackKind, number: usize, cast: &mut Cast<'_>, span: Span) -> Design {
    match kind {
        AttackKind::PortScanVertical => scan::vertical(cast, span),
        AttackKind::PortScanHorizontal => scan::horizontal(cast, span),
        AttackKind::PortScanSlow => scan::slow(cast, span),
        AttackKind::Blacklist => access::blacklist(cast, span, number % 2 == 1),
        AttackKind::SynFlood => flood::syn(cast, span),
        AttackKind::UdpAmplification => flood::amplification(cast, span),
        AttackKind::BruteForce => access::brute_force(cast, span),
        AttackKind::Exfiltration => access::exfiltration(cast, span),
        AttackKind::Beacon => access::beacon(cast, span),
        AttackKind::CarpetBombing => spread::carpet(cast, span, number % 2 == 1),
        AttackKind::Reflector => spread::reflector(cast, span),
        AttackKind::LateralMovement => inside::lateral(cast, span),
        AttackKind::UnansweredStorm => inside::storm(cast, span),
        AttackKind::IcmpTunnel => tunnel::icmp(cast, span),
        AttackKind::DnsTunnel => tunnel::dns(cast, span, number % 2 == 1),
        AttackKind::LongConnection => tunnel::long(cast, span),
        AttackKind::NewService => inside::new_service(cast, span, number),
        AttackKind::NewPeer => inside::new_peer(cast, span),
        AttackKind::NewPort => inside::new_port(cast, span),
        AttackKind::TooManyPorts => masses::swarm(cast, span),
        AttackKind::UnusualVolume => masses::staging(cast, span),
        AttackKind::TrafficShift => masses::worm(cast, span),
    }
}

/// One episode under way.
#[derive(Debug)]
struct Run {
    index: u32,
    luck: Luck,
    span: Span,
    dice: Dice,
    attack: Box<dyn Attack>,
}

/// All episodes of a simulation.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) episodes: Vec<Episode>,
    /// Expected records of all episodes.
    pub(super) records: f64,
    /// The next one last.
    waiting: Vec<Run>,
    active: Vec<Run>,
    /// Of one run and second; kept for its memory.
    contacts: Vec<Contact>,
}

impl Plan {
    /// Plans the episodes of a run (first second, number of seconds). Kinds whose shortest episode
    /// does not fit are left out.
    pub(super) fn new(config: &Config, network: &Network, run: (i64, i64), vigour: Vigour) -> Self {
        let mut cast = Cast::new(config.seed, network, vigour);
        let mut designs = Vec::new();
        let (first, later) = AttackKind::ALL.split_at(AttackKind::FIRST);
        let mut add = |kinds: &[AttackKind], luck: Luck, cast: &mut Cast<'_>| {
            for &kind in kinds.iter().filter(|kind| config.attacks.contains(kind)) {
                let spans = spans(kind, config.episodes_per_kind, run, cast);
                for (number, span) in spans.into_iter().enumerate() {
                    designs.push((kind, span, luck, design(kind, number, cast, span)));
                }
            }
        };
        add(first, Luck::FirstAttacks, &mut cast);
        cast.for_later_kinds(config.seed);
        add(later, Luck::LaterAttacks, &mut cast);
        designs.sort_by_key(|&(kind, span, ..)| (span.start, kind));
        Self::of(config.seed, designs)
    }

    fn of(seed: u64, designs: Vec<(AttackKind, Span, Luck, Design)>) -> Self {
        let mut plan = Self::default();
        // Dice are numbered apart, so that later kinds change nothing about the first ones.
        let mut streams = (1_000, 10_000_000);
        for (index, (kind, span, luck, design)) in designs.into_iter().enumerate() {
            let next = if luck == Luck::FirstAttacks { &mut streams.0 } else { &mut streams.1 };
            let stream = *next;
            *next += 1;
            plan.records += design.records;
            plan.episodes.push(Episode {
                kind,
                start: Timestamp::from_seconds(span.start),
                end: Timestamp::from_seconds(span.end),
                attackers: design.attackers,
                victims: design.victims,
            });
            plan.waiting.push(Run {
                index: index as u32,
                luck,
                span,
                dice: Dice::new(seed, stream),
                attack: design.attack,
            });
        }
        plan.waiting.reverse();
        plan
    }

    /// Sends everything that begins in `second`.
    pub(super) fn happen(&mut self, second: i64, outbox: &mut Outbox) {
        while self.waiting.last().is_some_and(|run| run.span.start <= second) {
            self.active.extend(self.waiting.pop());
        }
        self.active.retain(|run| second < run.span.end);
        for run in &mut self.active {
            run.attack.happen(second, &mut run.dice, &mut self.contacts);
            for mut contact in self.contacts.drain(..) {
                (contact.episode, contact.luck) = (Some(run.index), run.luck);
                outbox.send(contact, &mut run.dice);
            }
        }
    }
}

/// A moment within `second`.
fn moment(second: i64, dice: &mut Dice) -> i64 {
    second * SECOND + dice.below(SECOND as u64) as i64
}

/// The listed addresses, the ones that episodes use first.
pub(super) fn listed_addresses(seed: u64) -> Vec<IpAddr> {
    let address = |number| outside_ipv4(LISTED, mix(seed ^ 0xb1ac, number));
    let mut all: Vec<Ipv4Addr> = Vec::new();
    for candidate in (0..).map(address) {
        if !all.contains(&candidate) {
            all.push(candidate);
        }
        if all.len() as u64 == LISTED_COUNT {
            break;
        }
    }
    all.into_iter().map(IpAddr::V4).collect()
}
