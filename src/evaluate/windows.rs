//! Precision and recall by (subject, window).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::attack::{Attack, Deed};
use super::found::{Found, FoundAnomaly, Mark, is_above_low};
use crate::model::{SubjectType, Timestamp};

/// Which anomalies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Least {
    /// All.
    Low,
    /// Those that somebody should look at.
    Medium,
}

/// Counts over windows of one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowScores {
    /// The length.
    pub seconds: u32,
    /// Which anomalies count.
    pub least: Least,
    /// (Source, window) in which a malicious flow ended.
    pub malicious: usize,
    /// Those of them in which an anomaly names the source or one of its victims.
    pub found: usize,
    /// (Subject, window) with an anomaly.
    pub alarmed: usize,
    /// Those of them that name a host of a malicious flow in its time.
    pub right: usize,
    /// Those of them that name only background flows; not counted in the precision.
    pub background: usize,
}

impl WindowScores {
    /// Share of the malicious ones that were found; `None` without any.
    pub fn recall(&self) -> Option<f64> {
        share(self.found, self.malicious)
    }

    /// Share of the alarmed ones that are right; `None` without any.
    pub fn precision(&self) -> Option<f64> {
        share(self.right, self.alarmed - self.background)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Hosts met by a source in a malicious way, by window.
type Units = BTreeMap<(i64, IpAddr), BTreeSet<IpAddr>>;

/// Counts windows of `seconds`.
pub(super) fn score_windows(
    attacks: &[Attack],
    background: &[Deed],
    found: &Found,
    (seconds, least): (u32, Least),
) -> WindowScores {
    let counts = |anomaly: &&FoundAnomaly| least == Least::Low || is_above_low(anomaly.score);
    let deeds = || attacks.iter().flat_map(|attack| &attack.deeds);
    let mut by_window = BTreeMap::<i64, Vec<&Mark>>::new();
    let mut alarmed = BTreeMap::<(i64, SubjectType, &str), Concern>::new();
    let (malicious_deeds, background) = (by_time(deeds()), by_time(background.iter()));
    for anomaly in found.anomalies.iter().filter(counts) {
        let mark = &anomaly.mark;
        let concern = match mark {
            mark if concerns_any(mark, &malicious_deeds) => Concern::Malicious,
            mark if concerns_any(mark, &background) => Concern::Background,
            _ => Concern::Nothing,
        };
        for window in windows(mark.start, mark.end.plus_nanos(-1), seconds) {
            by_window.entry(window).or_default().push(mark);
            let worst =
                alarmed.entry((window, mark.subject_type, &mark.subject)).or_insert(concern);
            *worst = concern.max(*worst);
        }
    }
    let units = units(deeds(), seconds);
    let is_found = |((window, source), peers): &(&(i64, IpAddr), &BTreeSet<IpAddr>)| {
        let marks = by_window.get(window).into_iter().flatten();
        marks.copied().any(|mark| mark.names(source) || peers.iter().any(|ip| mark.names(ip)))
    };
    let how_many = |wanted| alarmed.values().filter(|&&concern| concern == wanted).count();
    WindowScores {
        seconds,
        least,
        malicious: units.len(),
        found: units.iter().filter(is_found).count(),
        alarmed: alarmed.len(),
        right: how_many(Concern::Malicious),
        background: how_many(Concern::Background),
    }
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    Nothing,
    Background,
    Malicious,
}

/// Deeds by the hour in which they began or went on, since there may be many thousands.
fn by_time<'a>(deeds: impl Iterator<Item = &'a Deed>) -> BTreeMap<i64, Vec<&'a Deed>> {
    let mut by_time = BTreeMap::<i64, Vec<&Deed>>::new();
    for deed in deeds {
        for hour in windows(deed.start, deed.end, 3_600) {
            by_time.entry(hour).or_default().push(deed);
        }
    }
    by_time
}

fn concerns_any(mark: &Mark, deeds: &BTreeMap<i64, Vec<&Deed>>) -> bool {
    // An hour around it, because a mark concerns deeds that lie a little outside of it.
    let hours = windows(mark.start.plus_seconds(-60), mark.end.plus_seconds(60), 3_600);
    hours.filter_map(|hour| deeds.get(&hour)).flatten().any(|deed| mark.concerns(deed))
}

/// The event time of a flow is its end, so that is where windows show it.
fn units<'a>(deeds: impl Iterator<Item = &'a Deed>, seconds: u32) -> Units {
    let mut units = Units::new();
    for deed in deeds {
        let window = deed.end.seconds().div_euclid(i64::from(seconds));
        for source in &deed.sources {
            units.entry((window, *source)).or_default().extend(&deed.destinations);
        }
    }
    units
}

/// The numbers of the windows from a moment to another one.
fn windows(first: Timestamp, last: Timestamp, seconds: u32) -> impl Iterator<Item = i64> {
    let number = |time: Timestamp| time.seconds().div_euclid(i64::from(seconds));
    number(first)..=number(last)
}
