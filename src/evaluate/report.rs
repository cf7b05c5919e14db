//! What is told of one run over files or a simulation.

use std::collections::BTreeSet;

use serde::Serialize;

use super::outcome::{AttackOutcome, Evaluation, NameOutcome, OutsideAlert};
use super::rank::Rank;
use super::truth::{Capture, Expectation};
use crate::model::{Kind, Timestamp};

/// A file and what it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileFact {
    /// As it was named.
    pub path: String,
    /// SHA-256 of its bytes as they lie there, in hexadecimal digits.
    pub sha256: String,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it does.
    pub is_met: bool,
    /// The numbers behind it.
    pub detail: String,
}

/// How long the hosts of a network were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Presence {
    /// Own hosts that sent a flow.
    pub hosts: usize,
    /// Days between the first and the last flow of each, added.
    pub host_days: f64,
}

/// What is told of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The data set.
    pub set: String,
    /// The run within it: a file, or the seed of a simulation.
    pub name: String,
    /// The files.
    pub files: Vec<FileFact>,
    /// Why it could not be scored, or not whole.
    pub problems: Vec<String>,
    /// Flows scored.
    pub flows: u64,
    /// Event time of the first and the last flow.
    pub extent: Option<(Timestamp, Timestamp)>,
    /// Who was there.
    pub presence: Presence,
    /// Truth against what was found; `None` when no flow could be scored.
    pub evaluation: Option<Evaluation>,
    /// Where the host of the truth stands.
    pub rank: Option<Rank>,
    /// What must hold.
    pub checks: Vec<Check>,
}

impl Run {
    /// Days between the first and the last flow.
    pub fn days(&self) -> f64 {
        self.extent.map_or(0.0, |(first, last)| last.seconds_since(first) / 86_400.0)
    }

    /// Alerts outside of attacks.
    pub fn outside(&self) -> &[OutsideAlert] {
        self.evaluation.as_ref().map_or(&[], |evaluation| &evaluation.outside)
    }
}

/// Returns what must hold for a capture.
pub fn checks(capture: &Capture, evaluation: &Evaluation, rank: Option<&Rank>) -> Vec<Check> {
    let mut checks = attack_checks(evaluation);
    if capture.normal {
        let above = evaluation.anomalies_above_low;
        checks.push(Check {
            what: "no anomaly above low".to_owned(),
            is_met: above == 0,
            detail: format!("{above} of {} anomalies", evaluation.anomalies),
        });
    }
    if let (Some(wanted), Some(rank)) = (&capture.rank, rank) {
        checks.push(rank_check(wanted, rank));
    }
    checks
}

/// Returns one check per attack that must be found.
fn attack_checks(evaluation: &Evaluation) -> Vec<Check> {
    let required = evaluation.attacks.iter().filter(|attack| attack.is_required);
    let check = |attack: &AttackOutcome| {
        let kinds = |kinds: &BTreeSet<Kind>| {
            let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let detail = match attack.is_found() {
            true => format!("by {}", kinds(&attack.found_by)),
            false => format!(
                "alerts in its time: {}; anomalies: {}",
                kinds(&attack.also),
                kinds(&attack.noticed_by)
            ),
        };
        Check { what: format!("finds {}", attack.name), is_met: attack.is_found(), detail }
    };
    required.map(check).collect()
}

/// Returns one check per name of attack: that at least the share `least` of them is found.
pub fn share_checks(evaluation: &Evaluation, least: f64) -> Vec<Check> {
    let check = |(name, outcome): (&String, &NameOutcome)| {
        let found = if outcome.is_line { outcome.noticed } else { outcome.found };
        Check {
            what: format!("finds {:.0} % of {name}", least * 100.0),
            is_met: found as f64 >= least * outcome.hidden as f64,
            detail: format!("{found} of {}", outcome.hidden),
        }
    };
    evaluation.by_name.iter().map(check).collect()
}

fn rank_check(wanted: &Expectation, rank: &Rank) -> Check {
    let detail = match (rank.rank, rank.score) {
        (Some(place), Some(score)) => {
            format!("rank {place} of {} subjects with score {score:.1}", rank.subjects)
        }
        _ => format!("not among {} subjects", rank.subjects),
    };
    Check {
        what: format!("{} among the first {} of kind {}", wanted.host, wanted.top, wanted.kind),
        is_met: rank.rank.is_some_and(|place| place <= wanted.top),
        detail,
    }
}
