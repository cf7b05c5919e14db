//! How abnormal something is: 0–100, and the word for it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An anomaly score from 0 (ordinary) to 100, never NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "f64", from = "f64")]
pub struct Score(f64);

impl From<Score> for f64 {
    fn from(score: Score) -> Self {
        score.0
    }
}

/// As [`Score::clamped`].
impl From<f64> for Score {
    fn from(value: f64) -> Self {
        Self::clamped(value)
    }
}

impl Score {
    /// Returns `None` outside `[0, 100]` and for NaN.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=100.0).contains(&value).then_some(Self(value))
    }

    /// Returns the nearest score; NaN becomes 0.
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(value.clamp(0.0, 100.0)) }
    }

    /// The number, from 0 to 100.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// The word for this score.
    pub fn severity(self) -> Severity {
        match self.0 {
            score if score >= 85.0 => Severity::Critical,
            score if score >= 65.0 => Severity::High,
            score if score >= 40.0 => Severity::Medium,
            _ => Severity::Low,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

/// The word for a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Below 40: worth a line in a report.
    Low,
    /// From 40: look at it today.
    Medium,
    /// From 65: look at it now.
    High,
    /// From 85: somebody should be woken.
    Critical,
}

impl Severity {
    /// The word in documents and mails.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The number for ECS `event.severity`, on the scale of Elastic's own rules.
    pub const fn number(self) -> u8 {
        match self {
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_stay_in_range() {
        assert_eq!(Score::new(f64::NAN), None);
        assert_eq!(Score::new(100.1), None);
        assert_eq!(Score::clamped(f64::INFINITY).value(), 100.0);
        assert_eq!(Score::clamped(f64::NAN).value(), 0.0);
    }

    #[test]
    fn severity_rises_with_the_score() {
        let words: Vec<_> = [0.0, 39.9, 40.0, 65.0, 85.0, 100.0]
            .map(|value| Score::clamped(value).severity().name())
            .to_vec();
        assert_eq!(words, ["low", "low", "medium", "high", "critical", "critical"]);
    }
}
