//! How many alerts a day, and which: what a noisy kind may not take from a rare one.
//!
//! ```text
//! candidate → its kind's history of scores ─hourly→ share and threshold per kind
//!           → score at the threshold, room of the kind, room of the day → opens, or waits
//! ```
//!
//! All of it is event time and counts: the same windows give the same answers, and what a restart
//! continues from is plain data ([`BudgetState`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Kind, Score, Subject, Timestamp, nanos};

const HOURS_OF_DAY: i64 = 24;
/// Whole days of history beside the current one: habits follow the week.
const HISTORY_DAYS: i64 = 7;
/// Less history than this is taken as so much: a burst in the first minutes is no rate.
const LEAST_HISTORY_HOURS: i64 = 6;
/// Scores are counted in steps of half a point: 0 to 200.
const STEPS_PER_POINT: f64 = 2.0;
/// A kind may open so much of its daily share at once; the rest comes by the hour. Half: an incident
/// shows many of its hosts at once, and the rest of the day is not blind.
const SHARE_AT_ONCE: f64 = 0.5;

/// What a budget goes on from after a restart, and what it knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The first and the current hour of event time, since 1970; none before the first window.
    hours: Option<(i64, i64)>,
    /// Alerts a day that every kind may have.
    level: f64,
    accounts: Vec<(Kind, Account)>,
    waiting: Vec<(Kind, Subject, Waiting)>,
}

/// What is known of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    /// Candidates by day since 1970 and score in steps.
    days: BTreeMap<i64, BTreeMap<u8, u64>>,
    /// Lowest score that opens an alert, as of the beginning of the hour.
    threshold: f64,
    /// Alerts that it may open now.
    room: f64,
    /// Alerts opened in each of the last 24 hours.
    opened: BTreeMap<i64, u64>,
}

/// A candidate that was not opened, while its anomalies go on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    /// End of its last window.
    #[serde(with = "nanos")]
    last: Timestamp,
    /// Where it is counted in the history; moves up with its score.
    day: i64,
    step: u8,
}

/// What the budget knows of one kind, for a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KindFacts {
    /// Lowest score that opens an alert.
    pub threshold: f64,
    /// Candidates a day over the last days.
    pub candidates_per_day: f64,
    /// Alerts a day that the kind may have.
    pub share: f64,
    /// Alerts that it opened in the last 24 hours.
    pub opened: u64,
    /// Whether it may open one more now, as far as its own share goes.
    pub has_room: bool,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It opens an alert; whether it had waited before.
    Opens { waited: bool },
    /// It waits; whether for the first time.
    Waits { is_new: bool },
}

/// Decides which candidates open alerts.
#[derive(Debug)]
pub(super) struct Budget {
    /// Alerts a day; 0 = as many as there are.
    per_day: u32,
    most_waiting: usize,
    hours: Option<(i64, i64)>,
    level: f64,
    accounts: BTreeMap<Kind, Account>,
    waiting: BTreeMap<(Kind, Subject), Waiting>,
}

/// An anomaly that would open an alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    pub(super) score: Score,
    /// A person said that this is an attack: only the day's whole room holds it back.
    pub(super) is_wanted: bool,
}

impl Budget {
    pub(super) fn new(per_day: u32, most_waiting: usize) -> Self {
        Self {
            per_day,
            most_waiting,
            hours: None,
            level: f64::from(per_day),
            accounts: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Goes on to the window that ends at `end`; once an hour shares and thresholds follow.
    pub(super) fn advance(&mut self, end: Timestamp) {
        if self.per_day == 0 {
            return;
        }
        let hour = end.seconds().div_euclid(3_600);
        let (first, last) = *self.hours.get_or_insert((hour, hour));
        // Windows of several lengths, and a clock that leapt: time does not go back.
        if hour <= last {
            return;
        }
        self.hours = Some((first, hour));
        let (oldest_day, oldest_hour) = (day_of(hour) - HISTORY_DAYS, hour - HOURS_OF_DAY);
        for account in self.accounts.values_mut() {
            account.days.retain(|day, _| *day >= oldest_day);
            account.opened.retain(|opened, _| *opened > oldest_hour);
        }
        let days = history_days(first, hour);
        let demands = self.accounts.values().map(|account| account.candidates() as f64 / days);
        self.level = water_level(demands.collect(), f64::from(self.per_day));
        let (level, gained) = (self.level, self.level * (hour - last) as f64 / 24.0);
        for account in self.accounts.values_mut() {
            account.threshold = account.threshold_for(level * days);
            account.room = (account.room + gained).min(most_at_once(level));
        }
    }

    /// Says what becomes of a candidate. Those of one window come with the highest scores first.
    pub(super) fn admit(&mut self, candidate: Candidate, end: Timestamp) -> Admission {
        if self.per_day == 0 {
            return Admission::Opens { waited: false };
        }
        let key = (candidate.kind, candidate.subject);
        let waited = self.waiting.get(&key).copied();
        let place = self.count(candidate, waited);
        if self.has_room(candidate) {
            let (_, hour) = self.hours.unwrap_or_default();
            let account = self.account(candidate.kind);
            account.room = (account.room - 1.0).max(0.0);
            *account.opened.entry(hour).or_default() += 1;
            self.waiting.remove(&key);
            return Admission::Opens { waited: waited.is_some() };
        }
        if waited.is_some() || self.waiting.len() < self.most_waiting {
            let (day, step) = place;
            self.waiting.insert(key, Waiting { last: end, day, step });
        }
        Admission::Waits { is_new: waited.is_none() }
    }

    /// A candidate opened without asking, or is none any more; whether it had waited.
    pub(super) fn forget(&mut self, kind: Kind, subject: Subject) -> bool {
        self.waiting.remove(&(kind, subject)).is_some()
    }

    /// Forgets the candidates whose last anomaly lies before `time`.
    pub(super) fn forget_quiet(&mut self, time: Timestamp) {
        self.waiting.retain(|_, waiting| waiting.last >= time);
    }

    /// Counts a candidate in the history of its kind, once however long it waits, by its highest
    /// score. Returns its place there.
    fn count(&mut self, candidate: Candidate, waited: Option<Waiting>) -> (i64, u8) {
        let (_, hour) = self.hours.unwrap_or_default();
        let account = self.account(candidate.kind);
        let (mut day, mut step) = (day_of(hour), step_of(candidate.score));
        if let Some(known) = waited {
            if step <= known.step {
                return (known.day, known.step);
            }
            day = known.day;
            let is_counted =
                account.days.get_mut(&day).and_then(|steps| steps.get_mut(&known.step));
            let Some(count) = is_counted else { return (day, step) };
            *count = count.saturating_sub(1);
        }
        step = step.max(waited.map_or(0, |known| known.step));
        *account.days.entry(day).or_default().entry(step).or_default() += 1;
        (day, step)
    }

    fn has_room(&self, candidate: Candidate) -> bool {
        let Some(account) = self.accounts.get(&candidate.kind) else { return false };
        let opened: u64 = self.accounts.values().map(Account::opened).sum();
        // One more than there are: a kind that was never seen must find room as well.
        let in_use = self.accounts.values().filter(|account| account.candidates() > 0).count() + 1;
        let fair = (f64::from(self.per_day) / in_use as f64).max(1.0);
        let is_rare = (account.opened() + 1) as f64 <= fair;
        let (soft, hard) = most_of_day(self.per_day);
        let most = if is_rare || candidate.is_wanted { hard } else { soft };
        let is_chosen = candidate.is_wanted
            || (candidate.score.value() >= account.threshold && account.room >= 1.0);
        is_chosen && opened < most
    }

    fn account(&mut self, kind: Kind) -> &mut Account {
        let room = most_at_once(self.level);
        self.accounts.entry(kind).or_insert_with(|| Account { room, ..Account::default() })
    }

    pub(super) fn save(&self) -> BudgetState {
        let waiting = self.waiting.iter().map(|(&(kind, subject), &at)| (kind, subject, at));
        BudgetState {
            hours: self.hours,
            level: self.level,
            accounts: self.accounts.iter().map(|(kind, of)| (*kind, of.clone())).collect(),
            waiting: waiting.collect(),
        }
    }

    /// Continues from a state; one of a time without a budget is as good as none.
    pub(super) fn resume(&mut self, state: BudgetState) {
        if state.hours.is_none() || self.per_day == 0 {
            return;
        }
        self.hours = state.hours;
        // The setting may have changed meanwhile; shares follow with the next hour.
        self.level = state.level.min(f64::from(self.per_day));
        self.accounts = state.accounts.into_iter().collect();
        let waiting = state.waiting.into_iter();
        self.waiting = waiting.map(|(kind, subject, at)| ((kind, subject), at)).collect();
    }
}

impl BudgetState {
    /// What is known of a kind; `None` when it had no candidate in the last days.
    pub fn of_kind(&self, kind: Kind) -> Option<KindFacts> {
        let (first, hour) = self.hours?;
        let (_, account) = self.accounts.iter().find(|(known, _)| *known == kind)?;
        Some(KindFacts {
            threshold: account.threshold,
            candidates_per_day: account.candidates() as f64 / history_days(first, hour),
            share: self.level,
            opened: account.opened(),
            has_room: account.room >= 1.0,
        })
    }

    /// Alerts opened in the last 24 hours, of all kinds.
    pub fn opened(&self) -> u64 {
        self.accounts.iter().map(|(_, account)| account.opened()).sum()
    }
}

impl Account {
    fn candidates(&self) -> u64 {
        self.days.values().flat_map(BTreeMap::values).sum()
    }

    fn opened(&self) -> u64 {
        self.opened.values().sum()
    }

    /// The lowest score of which, with all above, no more than `allowed` candidates were there. The
    /// step that goes beyond is part of it: room decides there, else a kind with one score for all
    /// would have no alert.
    fn threshold_for(&self, allowed: f64) -> f64 {
        let mut by_step: BTreeMap<u8, u64> = BTreeMap::new();
        for (step, count) in self.days.values().flatten() {
            *by_step.entry(*step).or_default() += count;
        }
        let mut above = 0;
        for (step, count) in by_step.into_iter().rev() {
            above += count;
            if above as f64 > allowed {
                return f64::from(step) / STEPS_PER_POINT;
            }
        }
        0.0
    }
}

fn day_of(hour: i64) -> i64 {
    hour.div_euclid(HOURS_OF_DAY)
}

fn step_of(score: Score) -> u8 {
    // A score lies between 0 and 100.
    (score.value() * STEPS_PER_POINT) as u8
}

/// How many days the history tells of.
fn history_days(first: i64, hour: i64) -> f64 {
    let kept = hour - (day_of(hour) - HISTORY_DAYS) * HOURS_OF_DAY;
    let known = hour.saturating_sub(first).min(kept).max(LEAST_HISTORY_HOURS);
    known as f64 / 24.0
}

fn most_at_once(level: f64) -> f64 {
    (level * SHARE_AT_ONCE).max(1.0)
}

/// Most alerts in 24 hours: for kinds that have had their fair share, and for all others, which may
/// go a fifth beyond the budget. Of a budget below 5 one is left for the others.
fn most_of_day(per_day: u32) -> (u64, u64) {
    let per_day = u64::from(per_day);
    let hard = per_day + per_day / 5;
    (if hard > per_day { per_day } else { per_day - 1 }, hard)
}

/// The level up to which demands are met so that together they are `whole`: what small ones leave
/// free goes to the large ones. `whole` when all are met.
fn water_level(mut demands: Vec<f64>, whole: f64) -> f64 {
    demands.sort_by(f64::total_cmp);
    let (mut rest, mut left) = (whole, demands.len());
    for demand in demands {
        let level = rest / left as f64;
        if demand > level {
            return level;
        }
        rest -= demand;
        left -= 1;
    }
    whole
}

#[cfg(test)]
mod tests;
