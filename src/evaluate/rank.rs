//! Where one host stands among all that a kind names.

use std::collections::BTreeMap;

use serde::Serialize;

use super::found::Found;
use super::truth::Expectation;
use crate::model::Timestamp;

/// Where the host stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rank {
    /// From 1; `None` when nothing of the kind names it.
    pub rank: Option<usize>,
    /// Its highest score of the kind.
    pub score: Option<f64>,
    /// How many subjects have a score of the kind.
    pub subjects: usize,
    /// Hours after the first flow at which it first was among the first ones.
    pub first_hours: Option<f64>,
}

/// Ranks subjects by their highest score of the kind up to `after_hours` after `first`. Subjects with
/// the same score share the best rank.
pub fn rank(found: &Found, wanted: &Expectation, first: Timestamp) -> Rank {
    let until = first.plus_seconds(i64::from(wanted.after_hours) * 3_600);
    let mut best = BTreeMap::<&str, (f64, bool)>::new();
    let mut at_end = None;
    let mut first_hours = None;
    for anomaly in &found.anomalies {
        let mark = &anomaly.mark;
        let scores = anomaly.verdicts.iter().filter(|(_, kind, _)| *kind == wanted.kind);
        let Some(score) = scores.map(|(_, _, score)| *score).max_by(f64::total_cmp) else {
            continue;
        };
        if mark.end > until && at_end.is_none() {
            at_end = Some(standing(&best));
        }
        let known = best.entry(&mark.subject).or_insert((0.0, mark.names(&wanted.host)));
        known.0 = known.0.max(score);
        let (rank, ..) = standing(&best);
        if first_hours.is_none() && rank.is_some_and(|rank| rank <= wanted.top) {
            first_hours = Some(mark.end.seconds_since(first) / 3_600.0);
        }
    }
    let (rank, score, subjects) = at_end.unwrap_or_else(|| standing(&best));
    Rank { rank, score, subjects, first_hours }
}

fn standing(best: &BTreeMap<&str, (f64, bool)>) -> (Option<usize>, Option<f64>, usize) {
    let his = best.values().filter(|(_, is_he)| *is_he).map(|(score, _)| *score);
    let Some(score) = his.max_by(f64::total_cmp) else { return (None, None, best.len()) };
    let higher = best.values().filter(|(other, _)| *other > score).count();
    (Some(higher + 1), Some(score), best.len())
}
