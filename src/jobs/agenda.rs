//! Which runs of a job are to be looked at, and when: no I/O, no clock.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::{Cadence, Schedule, Watermark};
use crate::model::Timestamp;

/// How long a run waits for an input that does not move, in seconds: a network at rest and a
/// pipeline that stands still are judged, too, and the latter is what the health check is for.
const PATIENCE_SECONDS: i64 = 600;
/// How often a watermark is looked at that a run waits for, in seconds.
const WATERMARK_SECONDS: i64 = 10;
/// The longest sleep, in seconds: clocks are set, machines sleep, and a sleep ends by neither.
const LONGEST_SLEEP_SECONDS: i64 = 60;

/// When a job is due, and how long it may be late.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name in the ids of its runs and in the log.
    pub name: &'static str,
    /// When it is due.
    pub schedule: Schedule,
    /// The zone of the schedule.
    pub zone: Tz,
    /// How often it runs at most.
    pub cadence: Cadence,
    /// A run that has not succeeded so many hours after it was due is left out.
    pub catch_up_hours: u32,
}

/// The runs of a job that are due and not known to be over.
#[derive(Debug)]
pub(super) struct Agenda {
    job: Job,
    /// Runs up to here are on the agenda, or have been.
    noted_until: Timestamp,
    /// By the end of what the run is about, which is its place in the order as well.
    pending: BTreeMap<Timestamp, Entry>,
    gate: Gate,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The end of what it is about.
    pub about_until: Timestamp,
    /// When it was due.
    pub due: Timestamp,
    /// When to look at it next.
    look_at: Timestamp,
    /// Whether those after it wait as well.
    blocks: bool,
}

impl Agenda {
    /// Returns an agenda that begins at `now` with nothing noted.
    pub(super) fn new(job: Job, watermark: Watermark, now: Timestamp) -> Self {
        Self {
            job,
            noted_until: Timestamp::MIN,
            pending: BTreeMap::new(),
            gate: Gate { watermark, seen: None, moved_at: now, looked_at: now },
        }
    }

    /// The job.
    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    /// The name of a run within its job.
    pub(super) fn label(&self, entry: Entry) -> String {
        self.job.cadence.label(entry.due, self.job.zone)
    }

    /// Notes what has become due, from the namespace's first start on and no longer ago than runs
    /// are made up for. Returns what is struck off: too late, and still not over.
    pub(super) fn update(&mut self, first_start: Timestamp, now: Timestamp) -> Vec<Entry> {
        self.gate.look(now);
        let oldest = now.plus_seconds(-3_600 * i64::from(self.job.catch_up_hours));
        let from = self.noted_until.max(oldest.max(first_start).plus_nanos(-1));
        let mut time = from;
        while let Some(due) = self.next_after(time).filter(|due| *due <= now) {
            let about_until = self.job.cadence.start(due, self.job.zone);
            let entry = Entry { about_until, due, look_at: now, blocks: false };
            self.pending.entry(about_until).or_insert(entry);
            time = due;
        }
        self.noted_until = time.max(self.noted_until);
        let missed = self.pending.values().filter(|entry| entry.due < oldest).copied();
        let missed: Vec<_> = missed.collect();
        missed.iter().for_each(|entry| self.strike(*entry));
        missed
    }

    /// Returns the oldest run that may be looked at.
    pub(super) fn ready(&self, now: Timestamp) -> Option<Entry> {
        let next = self.pending.values().find(|entry| entry.look_at <= now || entry.blocks)?;
        let is_ready = next.look_at <= now && self.gate.is_open(next.about_until, now);
        is_ready.then_some(*next)
    }

    /// Takes a run off the agenda.
    pub(super) fn strike(&mut self, entry: Entry) {
        self.pending.remove(&entry.about_until);
    }

    /// Looks at a run again at `time`, and at those after it not before it.
    pub(super) fn wait(&mut self, entry: Entry, time: Timestamp) {
        self.postpone(Entry { look_at: time, blocks: true, ..entry });
    }

    /// Looks at a run again at `time`, and at those after it meanwhile.
    pub(super) fn skip(&mut self, entry: Entry, time: Timestamp) {
        self.postpone(Entry { look_at: time, blocks: false, ..entry });
    }

    fn postpone(&mut self, entry: Entry) {
        self.pending.insert(entry.about_until, entry);
    }

    /// Returns when to look at the agenda again, after `now`.
    pub(super) fn wake_at(&self, now: Timestamp) -> Timestamp {
        let due = self.next_after(now.max(self.noted_until));
        let mut wake_at =
            due.unwrap_or(Timestamp::MAX).min(now.plus_seconds(LONGEST_SLEEP_SECONDS));
        for entry in self.pending.values() {
            if entry.look_at <= now {
                // It may be looked at and is not ready: it waits for the watermark.
                return wake_at.min(now.plus_seconds(WATERMARK_SECONDS));
            }
            wake_at = wake_at.min(entry.look_at);
            if entry.blocks {
                break;
            }
        }
        wake_at
    }

    fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.job.schedule.next_after(time, self.job.zone)
    }
}

/// Whether the input has got far enough.
#[derive(Debug)]
struct Gate {
    watermark: Watermark,
    /// Where it stood.
    seen: Option<Timestamp>,
    /// Since when.
    moved_at: Timestamp,
    /// When it was looked at last.
    looked_at: Timestamp,
}

impl Gate {
    /// Notes whether the watermark has moved.
    fn look(&mut self, now: Timestamp) {
        let current = self.watermark.get();
        let has_slept = now > self.looked_at.plus_seconds(2 * LONGEST_SLEEP_SECONDS);
        // After the sleep of a machine the input had no time to move, and after a clock was set
        // back nobody knows: patience begins again.
        if current != self.seen || has_slept || now < self.looked_at {
            self.moved_at = now;
        }
        (self.seen, self.looked_at) = (current, now);
    }

    /// Whether all that happened before `time` has been judged, or nothing moves any more.
    fn is_open(&self, time: Timestamp, now: Timestamp) -> bool {
        let has_passed = self.seen.is_some_and(|watermark| watermark >= time);
        has_passed || now >= self.moved_at.plus_seconds(PATIENCE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hourly(now: &str) -> (Agenda, Watermark) {
        let watermark = Watermark::default();
        let job = Job {
            name: "health",
            schedule: Schedule::parse("5 * * * *").unwrap(),
            zone: Tz::UTC,
            cadence: Cadence::Hourly,
            catch_up_hours: 6,
        };
        (Agenda::new(job, watermark.clone(), at(now)), watermark)
    }

    fn labels(agenda: &Agenda) -> Vec<String> {
        agenda.pending.values().map(|entry| agenda.label(*entry)).collect()
    }

    #[test]
    fn runs_of_the_last_hours_are_noted_and_none_before_the_first_start() {
        let now = at("2026-11-21T12:00:00Z");
        let (mut agenda, _) = hourly("2026-11-21T12:00:00Z");
        assert_eq!(agenda.update(Timestamp::MIN, now), []);
        let hours = ["06", "07", "08", "09", "10", "11"].map(|hour| format!("2026-11-21T{hour}"));
        assert_eq!(labels(&agenda), hours);

        let (mut agenda, _) = hourly("2026-11-21T12:00:00Z");
        agenda.update(at("2026-11-21T10:05:00Z"), now);
        assert_eq!(labels(&agenda), ["2026-11-21T10", "2026-11-21T11"]);
        agenda.update(at("2026-11-21T10:05:00Z"), at("2026-11-21T12:05:00Z"));
        assert_eq!(labels(&agenda), ["2026-11-21T10", "2026-11-21T11", "2026-11-21T12"]);
    }

    #[test]
    fn a_run_that_is_too_late_is_struck_off_and_named() {
        let (mut agenda, _) = hourly("2026-11-21T12:00:00Z");
        agenda.update(Timestamp::MIN, at("2026-11-21T12:00:00Z"));
        let missed = agenda.update(Timestamp::MIN, at("2026-11-21T13:06:00Z"));
        let missed: Vec<_> = missed.iter().map(|entry| entry.due).collect();
        assert_eq!(missed, [at("2026-11-21T06:05:00Z"), at("2026-11-21T07:05:00Z")]);
        assert_eq!(labels(&agenda).len(), 6);
    }

    #[test]
    fn nothing_is_noted_twice_when_the_clock_is_set_back() {
        let (mut agenda, _) = hourly("2026-11-21T12:00:00Z");
        agenda.update(Timestamp::MIN, at("2026-11-21T12:00:00Z"));
        for entry in agenda.pending.clone().into_values() {
            agenda.strike(entry);
        }
        agenda.update(Timestamp::MIN, at("2026-11-21T09:00:00Z"));
        agenda.update(Timestamp::MIN, at("2026-11-21T12:04:00Z"));
        assert_eq!(labels(&agenda), [""; 0]);
    }

    #[test]
    fn a_run_waits_until_the_input_has_passed_what_it_is_about() {
        let now = at("2026-11-21T12:05:00Z");
        let (mut agenda, watermark) = hourly("2026-11-21T12:05:00Z");
        watermark.advance_to(at("2026-11-21T11:59:59Z"));
        agenda.update(now, now);
        assert_eq!(agenda.ready(now), None);
        assert_eq!(agenda.wake_at(now), at("2026-11-21T12:05:10Z"));
        watermark.advance_to(at("2026-11-21T12:00:00Z"));
        agenda.update(now, now);
        assert_eq!(agenda.ready(now).map(|entry| entry.due), Some(now));
    }

    #[test]
    fn a_run_waits_as_long_as_the_input_moves_and_ten_minutes_more() {
        let (mut agenda, watermark) = hourly("2026-11-21T12:05:00Z");
        let first = at("2026-11-21T12:05:00Z");
        let minute = |minute: i64| first.plus_seconds(60 * minute);
        for passed in 0..30 {
            watermark.advance_to(at("2026-11-21T11:00:00Z").plus_seconds(passed));
            agenda.update(first, minute(passed));
            assert_eq!(agenda.ready(minute(passed)), None, "{passed}");
        }
        for passed in 30..39 {
            agenda.update(first, minute(passed));
            assert_eq!(agenda.ready(minute(passed)), None, "{passed}");
        }
        agenda.update(first, minute(39));
        assert_eq!(agenda.ready(minute(39)).map(|entry| entry.due), Some(first));
    }

    #[test]
    fn without_input_runs_wait_after_the_start_and_after_a_sleep_of_the_machine_only() {
        let (mut agenda, _) = hourly("2026-11-21T11:50:00Z");
        let mut now = at("2026-11-21T11:50:00Z");
        let first_start = at("2026-11-21T11:00:00Z");
        for _ in 0..10 {
            agenda.update(first_start, now);
            assert_eq!(agenda.ready(now), None);
            now = now.plus_seconds(60);
        }
        agenda.update(first_start, now);
        assert_eq!(agenda.ready(now).map(|entry| entry.due), Some(at("2026-11-21T11:05:00Z")));
        let woken = at("2026-11-21T14:05:00Z");
        agenda.update(first_start, woken);
        assert_eq!(agenda.ready(woken), None);
    }

    #[test]
    fn a_run_of_another_holds_back_those_after_it_and_one_that_rests_does_not() {
        let now = at("2026-11-21T12:00:00Z");
        let (mut agenda, watermark) = hourly("2026-11-21T12:00:00Z");
        watermark.advance_to(now);
        agenda.update(at("2026-11-21T10:00:00Z"), now);
        let first = agenda.ready(now).unwrap();
        agenda.wait(first, now.plus_seconds(30));
        assert_eq!(agenda.ready(now), None);
        assert_eq!(agenda.wake_at(now), now.plus_seconds(30));
        assert_eq!(agenda.ready(now.plus_seconds(30)).map(|entry| entry.due), Some(first.due));
        agenda.skip(first, now.plus_seconds(30));
        assert_eq!(agenda.ready(now).map(|entry| entry.due), Some(at("2026-11-21T11:05:00Z")));
    }

    #[test]
    fn the_next_look_is_when_something_may_happen_and_soon_at_the_latest() {
        let (mut agenda, _) = hourly("2026-11-21T12:00:00Z");
        let start = at("2026-11-21T12:00:00Z");
        agenda.update(start, start);
        assert_eq!(agenda.wake_at(start), at("2026-11-21T12:01:00Z"));
        let near = at("2026-11-21T12:04:30Z");
        assert_eq!(agenda.wake_at(near), at("2026-11-21T12:05:00Z"));
    }
}
