//! The hidden episodes: chosen before the first record, spread over the run, labelled.
//!
//! Each kind gets equal slots of the run and one episode somewhere in each, so episodes of a kind
//! never overlap. The first tenth of a run (at most two hours) stays clean.

mod access;
mod flood;
mod scan;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

use super::clock::SECOND;
use super::config::{AttackKind, Config};
use super::contact::{Contact, Node};
use super::export::Outbox;
use super::network::{Network, Workstation, outside_ipv4};
use super::random::{Dice, mix};

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

/// Hands out attackers and victims, as far as possible each only once.
struct Cast<'a> {
    network: &'a Network,
    dice: Dice,
    /// Unsampled IPv4 desks in random order, those that were used go to the end.
    inside: Vec<Workstation>,
    listed: Vec<IpAddr>,
    next_listed: usize,
    vigour: Vigour,
}

/// How much of each kind's range is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vigour {
    /// All of it.
    Usual,
    /// The lowest counts and lengths, so that a run of few records has room for every kind.
    Least,
}

impl Vigour {
    fn between(self, dice: &mut Dice, low: u64, high: u64) -> u64 {
        let drawn = dice.between(low, high);
        match self {
            Self::Usual => drawn,
            Self::Least => low,
        }
    }
}

impl Cast<'_> {
    /// A desk that is on during the span; failing that, one that is on at its start; else any.
    fn insider(&mut self, span: Span) -> Node {
        let is_on = |desk: &Workstation| desk.is_on(span.start);
        let stays = |desk: &Workstation| is_on(desk) && desk.is_on(span.end);
        let index = self.inside.iter().position(stays);
        let index = index.or_else(|| self.inside.iter().position(is_on)).unwrap_or(0);
        let desk = self.inside.remove(index);
        self.inside.push(desk);
        desk.node
    }

    /// A number of things to send.
    fn amount(&mut self, low: u64, high: u64) -> u64 {
        self.vigour.between(&mut self.dice, low, high)
    }

    fn outsider(&mut self) -> Node {
        Node::outside(outside_ipv4(HOSTILE, self.dice.word()))
    }

    fn listed(&mut self) -> Node {
        self.next_listed += 1;
        Node::outside(self.listed[(self.next_listed - 1) % self.listed.len()])
    }
}

/// Seconds an episode of a kind lasts: shortest that still is one, usual range.
fn lengths(kind: AttackKind) -> (i64, i64, i64) {
    match kind {
        AttackKind::PortScanVertical => (60, 60, 180),
        AttackKind::PortScanHorizontal => (60, 60, 240),
        AttackKind::PortScanSlow => (600, 600, 2_400),
        AttackKind::Blacklist => (120, 300, 2_400),
        AttackKind::SynFlood => (120, 120, 300),
        AttackKind::UdpAmplification => (60, 60, 300),
        AttackKind::BruteForce => (300, 300, 1_200),
        AttackKind::Exfiltration => (300, 1_200, 3_600),
        AttackKind::Beacon => (600, 7_200, 21_600),
    }
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
    }
}

/// One episode under way.
#[derive(Debug)]
struct Run {
    index: u32,
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
        let (start, seconds) = run;
        let mut dice = Dice::new(config.seed, 10);
        let mut inside = network.core_desks();
        dice.shuffle(&mut inside);
        let listed = listed_addresses(config.seed);
        let mut cast = Cast { network, dice, inside, listed, next_listed: 0, vigour };
        let mut designs = Vec::new();
        for kind in AttackKind::ALL.into_iter().filter(|kind| config.attacks.contains(kind)) {
            let spans = spans(kind, config.episodes_per_kind, (start, seconds), &mut cast);
            for (number, span) in spans.into_iter().enumerate() {
                designs.push((kind, span, design(kind, number, &mut cast, span)));
            }
        }
        designs.sort_by_key(|&(kind, span, _)| (span.start, kind));
        Self::of(config.seed, designs)
    }

    fn of(seed: u64, designs: Vec<(AttackKind, Span, Design)>) -> Self {
        let mut plan = Self::default();
        for (index, (kind, span, design)) in designs.into_iter().enumerate() {
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
                span,
                dice: Dice::new(seed, 1_000 + index as u64),
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
                contact.episode = Some(run.index);
                outbox.send(contact, &mut run.dice);
            }
        }
    }
}

/// A moment within `second`.
fn moment(second: i64, dice: &mut Dice) -> i64 {
    second * SECOND + dice.below(SECOND as u64) as i64
}

/// When the episodes of a kind take place.
fn spans(
    kind: AttackKind,
    per_day: u32,
    (start, seconds): (i64, i64),
    cast: &mut Cast<'_>,
) -> Vec<Span> {
    let (shortest, low, high) = lengths(kind);
    let clean = (seconds / 10).clamp(30, 7_200);
    let usable = seconds - clean - (20 + seconds / 100);
    let days = seconds as f64 / 86_400.0;
    let wanted = ((f64::from(per_day) * days).round() as i64).max(1);
    // Many short slots must not make episodes impossible: rather fewer.
    let count = wanted.min(usable * 4 / 5 / shortest);
    let mut spans = Vec::new();
    for number in 0..count {
        let slot = usable / count;
        let length = (cast.amount(low as u64, high as u64) as i64).min(slot * 4 / 5);
        let begin = start + clean + number * slot + cast.dice.below((slot - length) as u64) as i64;
        spans.push(Span { start: begin, end: begin + length });
    }
    spans
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
