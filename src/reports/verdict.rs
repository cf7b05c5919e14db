//! The one line that a reader in a hurry reads.

use serde::Serialize;

use super::attacks::Attacks;
use super::hosts::Hosts;
use super::traffic::Traffic;
use crate::charts::format;
use crate::model::Severity;

/// The day in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How bad.
    pub level: Level,
    /// `3 hosts need attention`.
    pub headline: String,
    /// What is behind it, or what to do.
    pub detail: String,
    /// `12 alerts`, for the subject of the mail.
    pub alerts: String,
}

/// How bad a day was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing was seen at all: look at the pipeline.
    #[default]
    Blind,
    /// No alerts.
    Quiet,
    /// The worst alert is of severity low.
    Low,
    /// The worst alert is of severity medium.
    Medium,
    /// The worst alert is of severity high.
    High,
    /// The worst alert is of severity critical.
    Critical,
}

impl Level {
    /// The word in templates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Quiet => "quiet",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Returns the verdict on a day.
pub fn judge(traffic: &Traffic, attacks: &Attacks, hosts: &Hosts) -> Verdict {
    let level = level(traffic, attacks);
    let (headline, detail) = match level {
        Level::Blind => (
            "No traffic was seen".to_owned(),
            "Nothing arrived on this day. Check exporters, collector and pipeline.".to_owned(),
        ),
        Level::Quiet => {
            ("A quiet day".to_owned(), "Traffic flowed, and nothing asks for you.".to_owned())
        }
        Level::Low => (
            "Nothing urgent".to_owned(),
            format!("{}, all of low severity.", plural(attacks.alerts.value, "alert")),
        ),
        Level::Medium | Level::High | Level::Critical => {
            (attention(hosts.attention), counts(attacks))
        }
    };
    let alerts = match attacks.alerts.value {
        0 => "no alerts".to_owned(),
        count => plural(count, "alert"),
    };
    Verdict { level, headline, detail, alerts }
}

fn level(traffic: &Traffic, attacks: &Attacks) -> Level {
    let worst = attacks.severities.iter().filter(|s| s.alerts > 0).map(|s| s.severity).max();
    match worst {
        Some(Severity::Critical) => Level::Critical,
        Some(Severity::High) => Level::High,
        Some(Severity::Medium) => Level::Medium,
        Some(Severity::Low) => Level::Low,
        None if traffic.flows.value == 0 => Level::Blind,
        None => Level::Quiet,
    }
}

fn attention(hosts: usize) -> String {
    if hosts == 1 {
        "1 host needs attention".to_owned()
    } else {
        format!("{hosts} hosts need attention")
    }
}

fn counts(attacks: &Attacks) -> String {
    let parts = attacks.severities.iter().filter(|s| s.alerts > 0);
    let parts: Vec<_> = parts.map(|s| format!("{} {}", s.alerts, s.severity)).collect();
    format!("{}: {}.", plural(attacks.alerts.value, "alert"), parts.join(", "))
}

/// Returns `1 alert`, `2 alerts`.
pub(super) fn plural(count: u64, noun: &str) -> String {
    let count_text = format::count(count);
    if count == 1 { format!("{count_text} {noun}") } else { format!("{count_text} {noun}s") }
}
