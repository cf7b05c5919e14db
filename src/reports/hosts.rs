//! Section: the hosts to look at first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::collect::{Source, StoredAlert, text};
use super::{Picture, ReportData, ReportError};
use crate::model::Severity;

/// The worst hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hosts {
    /// Hosts with an alert of severity medium or above.
    pub attention: usize,
    /// All hosts with alerts.
    pub total: usize,
    /// The worst, worst first, at most [`MOST_HOSTS`].
    pub worst: Vec<Host>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// Address.
    pub address: String,
    /// Score of its worst alert, from 0 to 100.
    pub score: u64,
    /// The word for it.
    pub severity: Severity,
    /// How many alerts.
    pub alerts: u64,
    /// Titles of the kinds, the worst alert's first.
    pub kinds: Vec<String>,
    /// What the worst alert says.
    pub sentence: String,
}

/// How many hosts a report names.
pub const MOST_HOSTS: usize = 5;

pub(super) fn collect(source: &Source<'_>) -> Result<Hosts, ReportError> {
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    // alerts come worst first, so the first one of a host says how bad it is
    for alert in &source.alerts {
        let host = hosts.entry(alert.host()).or_insert_with(|| first_sight(alert));
        host.alerts += 1;
        let title = alert.title();
        if !host.kinds.contains(&title) {
            host.kinds.push(title);
        }
    }
    let total = hosts.len();
    let mut worst: Vec<Host> = hosts.into_values().collect();
    let attention = worst.iter().filter(|host| host.severity >= Severity::Medium).count();
    // ties in the order of addresses: sorting is stable
    worst.sort_by_key(|host| std::cmp::Reverse((host.score, host.alerts)));
    worst.truncate(MOST_HOSTS);
    Ok(Hosts { attention, total, worst })
}

fn first_sight(alert: &StoredAlert) -> Host {
    Host {
        address: alert.host(),
        score: alert.score.round() as u64,
        severity: alert.severity(),
        alerts: 0,
        kinds: Vec::new(),
        sentence: text(&alert.document, "/event/reason"),
    }
}

pub(super) fn pictures(_report: &ReportData) -> Vec<Picture> {
    Vec::new()
}
