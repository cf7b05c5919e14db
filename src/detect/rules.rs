//! What the rules share: strength, probability, wording, checks of settings.

use std::fmt::{Display, Write};
use std::net::IpAddr;

use crate::model::{FeatureEvidence, Finding, SettingError};

/// How many ports a reason lists before "…".
const LISTED_PORTS: usize = 8;

/// Packets that must have been seen before what sampling makes of them is believed: with so many the
/// standard error of a scaled count is 22 % (1 / √20).
pub(super) const LEAST_EVIDENCE: u64 = 20;

/// Returns 0 at `threshold` and 1 at `top`, even steps per factor: ten times the threshold says as
/// much again whether the threshold is 15 or 1,500.
pub(super) fn log_strength(actual: f64, threshold: f64, top: f64) -> f64 {
    let strength = (actual / threshold).ln() / (top / threshold).ln();
    if strength.is_nan() { 0.0 } else { strength.clamp(0.0, 1.0) }
}

/// Returns where `probability` lies, on a logarithmic scale, between `limit` (0) and `floor` (1).
pub(super) fn strength_of(probability: f64, limit: f64, floor: f64) -> f64 {
    if floor >= limit {
        return 1.0;
    }
    ((limit / probability).ln() / (limit / floor).ln()).clamp(0.0, 1.0)
}

/// The tail probability that a rule claims: `at_threshold` where it just holds, a hundredth of it
/// at full strength. A rule has no past to count in, so this is a statement, not a measurement.
pub(super) fn rule_probability(at_threshold: f64, strength: f64) -> f64 {
    at_threshold * 10f64.powf(-2.0 * strength)
}

/// The evidence of a rule: what was seen against the threshold.
pub(super) fn over_threshold(name: &'static str, actual: f64, threshold: f64) -> FeatureEvidence {
    FeatureEvidence {
        name: name.into(),
        actual,
        typical: None,
        lower: None,
        upper: Some(threshold),
        share: None,
    }
}

/// A number that belongs to the story but has no threshold.
pub(super) fn fact(name: &'static str, actual: f64) -> FeatureEvidence {
    FeatureEvidence {
        name: name.into(),
        actual,
        typical: None,
        lower: None,
        upper: None,
        share: None,
    }
}

/// Returns "22, 23, 80" or, for many, the first eight and "…".
pub(super) fn list_ports(ports: &[u16]) -> String {
    let mut text = String::new();
    for (place, port) in ports.iter().take(LISTED_PORTS).enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}{port}");
    }
    if ports.len() > LISTED_PORTS {
        text.push_str(" …");
    }
    text
}

/// Returns "1 host" or "5 hosts".
pub(super) fn counted(count: u64, singular: &str) -> String {
    if count == 1 { format!("1 {singular}") } else { format!("{count} {singular}s") }
}

/// Returns the addresses of `counts`, the most frequent first, ties by address, at most as many as a
/// finding may name.
pub(super) fn most_involved(mut counts: Vec<(IpAddr, u64)>) -> Vec<IpAddr> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts.into_iter().take(Finding::MAX_RELATED).map(|(ip, _)| ip).collect()
}

/// The settings of one detector under their full keys.
pub(super) struct Keys(pub(super) &'static str);

impl Keys {
    fn require(
        &self,
        holds: bool,
        key: &str,
        rule: &str,
        got: impl Display,
    ) -> Result<(), SettingError> {
        if holds {
            return Ok(());
        }
        let full = format!("detectors.{}.{key}", self.0);
        Err(SettingError::new(full, format_args!("{rule}, got {got}")))
    }

    /// Requires a finite number above 0.
    pub(super) fn positive(&self, key: &str, value: f64) -> Result<(), SettingError> {
        self.require(value > 0.0 && value.is_finite(), key, "must be positive", value)
    }

    /// Requires a finite number above `bound`.
    pub(super) fn above(&self, key: &str, value: f64, bound: f64) -> Result<(), SettingError> {
        let holds = value > bound && value.is_finite();
        self.require(holds, key, &format!("must be above {bound}"), value)
    }

    /// Requires a finite number of at least 0.
    pub(super) fn not_negative(&self, key: &str, value: f64) -> Result<(), SettingError> {
        self.require(value >= 0.0 && value.is_finite(), key, "must be at least 0", value)
    }

    /// Requires a whole number of at least `least`.
    pub(super) fn at_least(&self, key: &str, value: u64, least: u64) -> Result<(), SettingError> {
        self.require(value >= least, key, &format!("must be at least {least}"), value)
    }

    /// Requires a whole number of at most `most`.
    pub(super) fn at_most(&self, key: &str, value: u64, most: u64) -> Result<(), SettingError> {
        self.require(value <= most, key, &format!("must be at most {most}"), value)
    }

    /// Requires a number from 0 to 1.
    pub(super) fn fraction(&self, key: &str, value: f64) -> Result<(), SettingError> {
        self.require((0.0..=1.0).contains(&value), key, "must be from 0 to 1", value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_grows_evenly_per_factor_of_ten() {
        assert_eq!(log_strength(15.0, 15.0, 1500.0), 0.0);
        assert!((log_strength(150.0, 15.0, 1500.0) - 0.5).abs() < 1e-12);
        assert_eq!(log_strength(1e9, 15.0, 1500.0), 1.0);
        assert_eq!(log_strength(0.0, 15.0, 1500.0), 0.0);
    }

    #[test]
    fn long_lists_of_ports_are_cut() {
        assert_eq!(list_ports(&[22, 80]), "22, 80");
        assert_eq!(list_ports(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), "1, 2, 3, 4, 5, 6, 7, 8 …");
    }

    #[test]
    fn the_most_involved_come_first_and_ties_by_address() {
        let ip = |n| IpAddr::from([10, 0, 0, n]);
        assert_eq!(most_involved(vec![(ip(3), 1), (ip(2), 1), (ip(9), 5)]), [ip(9), ip(2), ip(3)]);
    }
}
