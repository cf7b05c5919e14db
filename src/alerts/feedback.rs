//! What people said of alerts, as thresholds of their scope. A function of the entries alone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{Kind, Score, Subject};

/// From this score on an alert is critical, and opens whatever was said.
pub const CRITICAL_SCORE: f64 = 85.0;
/// No feedback makes alerts of less than this: so little is never work.
pub const LEAST_SCORE: f64 = 10.0;
/// How far above the score of a benign alert the threshold goes: the same again is not enough.
const ABOVE: f64 = 1.0;
/// How far below the usual threshold that of a confirmed attack goes.
const BELOW: f64 = 10.0;
/// So many neighbours with the same verdict speak for their network.
const NEIGHBOURS: usize = 3;

/// What a person says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Harmless: such things need a higher score to be work again.
    Benign,
    /// Real: such things are work already at a lower score.
    Attack,
}

impl Verdict {
    /// The word in documents and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Attack => "attack",
        }
    }
}

/// One entry that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// The order in which they were given; higher is later.
    pub version: u64,
    /// What was said.
    pub verdict: Verdict,
    /// Of what.
    pub kind: Kind,
    /// Of whom.
    pub subject: Subject,
    /// The score of the alert.
    pub score: Score,
}

/// What feedback makes of the threshold of a kind and subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// At least this score is needed, never more than [`CRITICAL_SCORE`].
    Raised(f64),
    /// This score is enough, whatever the budget's threshold; never less than [`LEAST_SCORE`].
    Lowered(f64),
}

/// Thresholds by kind and subject, and by kind and network where several neighbours agree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    exact: BTreeMap<(Kind, Subject), Shift>,
    networks: BTreeMap<(Kind, Neighbourhood), Shift>,
}

/// The networks that the addresses of a subject are in: /24 or /64 each.
type Neighbourhood = (Option<IpNet>, Option<IpNet>);

impl Thresholds {
    /// Returns the thresholds of `entries`, in any order; `minimum` is `alerts.minimum_score`. Of
    /// several entries for one kind and subject the latest counts.
    pub fn new(entries: &[Feedback], minimum: f64) -> Self {
        let mut latest: BTreeMap<(Kind, Subject), &Feedback> = BTreeMap::new();
        for entry in entries {
            let known = latest.entry((entry.kind, entry.subject)).or_insert(entry);
            if entry.version > known.version {
                *known = entry;
            }
        }
        let shift = |entry: &Feedback| match entry.verdict {
            Verdict::Benign => Shift::Raised((entry.score.value() + ABOVE).min(CRITICAL_SCORE)),
            Verdict::Attack => {
                Shift::Lowered((entry.score.value().min(minimum) - BELOW).max(LEAST_SCORE))
            }
        };
        let exact: BTreeMap<_, _> =
            latest.into_iter().map(|(key, entry)| (key, shift(entry))).collect();
        let mut together: BTreeMap<(Kind, Neighbourhood), Vec<Shift>> = BTreeMap::new();
        for ((kind, subject), shift) in &exact {
            if let Some(network) = neighbourhood(*subject) {
                together.entry((*kind, network)).or_default().push(*shift);
            }
        }
        let agreed = together.into_iter().filter_map(|(key, all)| Some((key, agreed(&all)?)));
        Self { networks: agreed.collect(), exact }
    }

    /// What feedback makes of the threshold of a kind and subject; what was said of exactly this
    /// subject goes before what was said of its neighbours.
    pub fn of(&self, kind: Kind, subject: Subject) -> Option<Shift> {
        if self.exact.is_empty() {
            return None;
        }
        let network = || self.networks.get(&(kind, neighbourhood(subject)?));
        self.exact.get(&(kind, subject)).or_else(network).copied()
    }
}

/// The least shift of neighbours that agree; `None` when they are too few, or one disagrees.
fn agreed(all: &[Shift]) -> Option<Shift> {
    if all.len() < NEIGHBOURS {
        return None;
    }
    all.iter().copied().map(Some).reduce(|a, b| match (a?, b?) {
        (Shift::Raised(a), Shift::Raised(b)) => Some(Shift::Raised(a.min(b))),
        (Shift::Lowered(a), Shift::Lowered(b)) => Some(Shift::Lowered(a.max(b))),
        (Shift::Raised(_), Shift::Lowered(_)) | (Shift::Lowered(_), Shift::Raised(_)) => None,
    })?
}

fn neighbourhood(subject: Subject) -> Option<Neighbourhood> {
    match subject {
        // One of its kind.
        Subject::Network | Subject::Exporter(_) => None,
        // Neighbours of a prefix are other networks.
        Subject::Prefix(..) => None,
        Subject::Source(ip) => Some((network_of(ip), None)),
        Subject::Destination(ip) => Some((None, network_of(ip))),
        Subject::Pair(from, to) => Some((network_of(from), network_of(to))),
    }
}

fn network_of(ip: IpAddr) -> Option<IpNet> {
    let ip = ip.to_canonical();
    IpNet::new(ip, if ip.is_ipv4() { 24 } else { 64 }).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ip;

    fn entry(version: u64, verdict: Verdict, source: &str, score: f64) -> Feedback {
        let (kind, subject) = (Kind::PortScanVertical, Subject::Source(ip(source)));
        Feedback { version, verdict, kind, subject, score: Score::clamped(score) }
    }

    fn of(entries: &[Feedback], source: &str) -> Option<Shift> {
        Thresholds::new(entries, 40.0).of(Kind::PortScanVertical, Subject::Source(ip(source)))
    }

    #[test]
    fn benign_raises_to_just_above_and_never_above_critical() {
        let benign = |score| of(&[entry(1, Verdict::Benign, "10.0.0.1", score)], "10.0.0.1");
        assert_eq!(benign(60.0), Some(Shift::Raised(61.0)));
        assert_eq!(benign(99.0), Some(Shift::Raised(85.0)));
        let entries = [entry(1, Verdict::Benign, "10.0.0.1", 60.0)];
        assert_eq!(of(&entries, "10.0.0.2"), None, "one says nothing of its neighbours");
        let other = Thresholds::new(&entries, 40.0).of(Kind::NewPort, entries[0].subject);
        assert_eq!(other, None, "nor of other kinds");
    }

    #[test]
    fn attack_lowers_and_never_below_the_floor() {
        let attack = |score| of(&[entry(1, Verdict::Attack, "10.0.0.1", score)], "10.0.0.1");
        assert_eq!(attack(70.0), Some(Shift::Lowered(30.0)));
        assert_eq!(attack(25.0), Some(Shift::Lowered(15.0)));
        assert_eq!(attack(5.0), Some(Shift::Lowered(10.0)));
    }

    #[test]
    fn the_latest_counts_whatever_the_order() {
        let (first, second) = (
            entry(1, Verdict::Benign, "10.0.0.1", 60.0),
            entry(2, Verdict::Attack, "10.0.0.1", 60.0),
        );
        assert_eq!(of(&[first, second], "10.0.0.1"), Some(Shift::Lowered(30.0)));
        assert_eq!(of(&[second, first], "10.0.0.1"), Some(Shift::Lowered(30.0)));
    }

    #[test]
    fn three_neighbours_speak_for_their_network_unless_one_disagrees() {
        let mut entries = vec![
            entry(1, Verdict::Benign, "10.0.0.1", 60.0),
            entry(2, Verdict::Benign, "10.0.0.2", 50.0),
        ];
        assert_eq!(of(&entries, "10.0.0.9"), None);
        entries.push(entry(3, Verdict::Benign, "10.0.0.3", 70.0));
        assert_eq!(of(&entries, "10.0.0.9"), Some(Shift::Raised(51.0)));
        assert_eq!(of(&entries, "10.0.0.3"), Some(Shift::Raised(71.0)), "the exact one goes first");
        assert_eq!(of(&entries, "10.0.1.9"), None);
        entries.push(entry(4, Verdict::Attack, "10.0.0.4", 70.0));
        assert_eq!(of(&entries, "10.0.0.9"), None);
        let v6 = [1, 2, 3].map(|n| entry(n, Verdict::Benign, &format!("fd00::{n}"), 60.0));
        assert_eq!(of(&v6, "fd00::ffff:1"), Some(Shift::Raised(61.0)));
        assert_eq!(of(&v6, "fd00:0:0:1::1"), None);
    }
}
