//! Which runs happen, by whom, and in which order.

use flowsentry::jobs::{Cadence, Ended, Job, Lease, Runner, Schedule, Step, Watermark};
use flowsentry::model::Timestamp;

use crate::election::{put_unreadable, worker};
use crate::sites::Site;

const HOUR: i64 = 3_600;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn health() -> Job {
    Job {
        name: "health",
        schedule: Schedule::parse("5 * * * *").unwrap(),
        zone: chrono_tz::UTC,
        cadence: Cadence::Hourly,
        catch_up_hours: 6,
    }
}

fn report(schedule: &str) -> Job {
    Job {
        name: "report",
        schedule: Schedule::parse(schedule).unwrap(),
        zone: chrono_tz::Europe::Berlin,
        cadence: Cadence::Daily,
        catch_up_hours: 36,
    }
}

/// A worker whose input has been judged up to any time.
fn runner(site: &Site, name: &str, job: Job, now: Timestamp) -> Runner {
    let watermark = Watermark::default();
    watermark.advance_to(Timestamp::MAX);
    Runner::new(job, worker(site, name), watermark, now)
}

fn next_run(runner: &mut Runner, now: Timestamp) -> Option<Box<Lease>> {
    match runner.step(now).unwrap() {
        Step::Run(lease) => Some(lease),
        Step::Sleep(until) => {
            assert!(until > now, "it would not sleep at all");
            None
        }
    }
}

/// Does all that is to be done at `now`, and returns the names of the runs.
fn run_all(runner: &mut Runner, now: Timestamp) -> Vec<String> {
    let runs = std::iter::from_fn(|| {
        let mut lease = next_run(runner, now)?;
        assert_eq!(lease.finish(now, None).unwrap(), Ended::Done);
        Some(lease.run().to_owned())
    });
    runs.collect()
}

/// A worker that is perhaps in the middle of a run.
struct Worker {
    runner: Runner,
    /// How far its clock is ahead, in seconds.
    ahead: i64,
    in_work: Option<Box<Lease>>,
}

/// Three workers whose clocks differ, as long as they live.
struct Crew<'a> {
    site: &'a Site,
    job: Job,
    workers: Vec<Worker>,
    hired: usize,
    now: Timestamp,
    /// Due times in the order in which runs succeeded.
    done: Vec<Timestamp>,
    begun: usize,
}

impl<'a> Crew<'a> {
    /// Starts at `start`, and lets everybody sleep until `now`.
    fn new(site: &'a Site, job: Job, start: Timestamp, now: Timestamp) -> Self {
        let (workers, done) = (Vec::new(), Vec::new());
        let mut crew = Self { site, job, workers, hired: 0, now: start, done, begun: 0 };
        for ahead in [-9, 0, 9] {
            let worker = crew.hire(ahead);
            crew.workers.push(worker);
        }
        crew.now = now;
        crew
    }

    fn hire(&mut self, ahead: i64) -> Worker {
        self.hired += 1;
        let name = format!("worker-{}", self.hired);
        let now = self.now.plus_seconds(ahead);
        let mut runner = runner(self.site, &name, self.job.clone(), now);
        assert!(next_run(&mut runner, now).is_none_or(|_| self.hired > 3));
        Worker { runner, ahead, in_work: None }
    }

    /// Lets every worker take a step: begin a run, renew its lease, or finish. Steps have 40 s.
    fn turn(&mut self, chance: &mut Chance) {
        self.now = self.now.plus_seconds(40);
        for worker in &mut self.workers {
            let now = self.now.plus_seconds(worker.ahead);
            match &mut worker.in_work {
                None => {
                    worker.in_work = next_run(&mut worker.runner, now);
                    self.begun += usize::from(worker.in_work.is_some());
                }
                Some(lease) if chance.one_in(2) => assert!(lease.renew(now).unwrap()),
                Some(lease) => {
                    assert_eq!(lease.finish(now, None).unwrap(), Ended::Done);
                    self.done.push(lease.due());
                    worker.in_work = None;
                }
            }
        }
    }

    /// Replaces one worker by a new one; what it was at is left alone.
    fn kill_one(&mut self, chance: &mut Chance) {
        let place = chance.below(3);
        let ahead = self.workers[place].ahead;
        self.workers[place] = self.hire(ahead);
    }
}

/// Random enough to mix the workers, and the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

pub fn fifty_due_runs_happen_once_each_in_order(site: &Site) {
    let start = at("2026-11-19T00:00:00Z");
    let job = Job { catch_up_hours: 60, ..health() };
    let mut crew = Crew::new(site, job, start, start.plus_seconds(50 * HOUR));
    let mut chance = Chance(1);
    // Time goes on meanwhile, so that a few more become due.
    for _ in 0..300 {
        crew.turn(&mut chance);
    }
    let hours: Vec<_> = due_hours(start, crew.now).collect();
    assert!(hours.len() >= 50);
    assert_eq!(crew.done, hours);
    assert_eq!(crew.begun, hours.len());
}

pub fn workers_that_die_leave_nothing_undone(site: &Site) {
    let start = at("2026-11-19T00:00:00Z");
    let job = Job { catch_up_hours: 60, ..health() };
    let mut crew = Crew::new(site, job, start, start.plus_seconds(12 * HOUR));
    let mut chance = Chance(2);
    for turn in 0..150 {
        crew.turn(&mut chance);
        if turn % 9 == 8 && turn < 120 {
            crew.kill_one(&mut chance);
        }
    }
    let hours: Vec<_> = due_hours(start, crew.now).collect();
    assert_eq!(crew.done, hours);
    assert!(crew.begun > hours.len(), "nobody died in the middle of a run");
}

/// When the checks of the hours were due.
fn due_hours(start: Timestamp, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    (0..).map(move |hour| start.plus_seconds(hour * HOUR + 300)).take_while(move |due| *due <= now)
}

pub fn missed_runs_are_made_up_for_oldest_first(site: &Site) {
    worker(site, "earlier").first_start(at("2026-11-01T00:00:00Z")).unwrap();
    // 06:00 in Berlin is 05:00 UTC.
    let now = at("2026-11-21T08:00:00Z");
    let mut reports = runner(site, "anna", report("0 6 * * *"), now);
    assert_eq!(run_all(&mut reports, now), ["report-2026-11-20", "report-2026-11-21"]);
    let mut checks = runner(site, "anna", health(), now);
    let hours = ["02", "03", "04", "05", "06", "07"];
    assert_eq!(run_all(&mut checks, now), hours.map(|hour| format!("health-2026-11-21T{hour}")));
    // A machine that sleeps for three hours, and another that is started then.
    let woken = at("2026-11-21T11:04:00Z");
    assert_eq!(
        run_all(&mut checks, woken),
        ["08", "09", "10"].map(|hour| format!("health-2026-11-21T{hour}"))
    );
    let mut other = runner(site, "bert", health(), woken);
    assert_eq!(run_all(&mut other, woken), [""; 0]);
    let due = at("2026-11-21T11:05:00Z");
    assert_eq!(run_all(&mut other, due), ["health-2026-11-21T11"]);
    assert_eq!(run_all(&mut checks, due), [""; 0]);
}

pub fn nothing_runs_before_the_first_start(site: &Site) {
    let first = at("2026-11-21T08:30:00Z");
    let mut checks = runner(site, "anna", health(), first);
    assert_eq!(run_all(&mut checks, first), [""; 0]);
    let mut reports = runner(site, "anna", report("0 6 * * *"), first);
    assert_eq!(run_all(&mut reports, first), [""; 0]);
    let later = at("2026-11-21T10:00:00Z");
    assert_eq!(run_all(&mut checks, later), ["health-2026-11-21T09"]);
}

pub fn a_failing_run_holds_back_no_other(site: &Site) {
    let start = at("2026-11-21T08:00:00Z");
    worker(site, "earlier").first_start(start).unwrap();
    let now = at("2026-11-21T10:10:00Z");
    let mut checks = runner(site, "anna", health(), now);
    let mut lease = next_run(&mut checks, now).unwrap();
    assert_eq!(lease.run(), "health-2026-11-21T08");
    let Ended::Failed { retry_at } = lease.finish(now, Some("no disk")).unwrap() else {
        panic!("it is tried again")
    };
    assert_eq!(run_all(&mut checks, now), ["health-2026-11-21T09", "health-2026-11-21T10"]);
    assert_eq!(run_all(&mut checks, retry_at), ["health-2026-11-21T08"]);
    assert_eq!(run_all(&mut checks, retry_at.plus_seconds(60)), [""; 0]);
}

pub fn a_changed_schedule_repeats_no_report(site: &Site) {
    worker(site, "earlier").first_start(at("2026-11-20T12:00:00Z")).unwrap();
    let now = at("2026-11-21T05:30:00Z");
    let mut reports = runner(site, "anna", report("0 6 * * *"), now);
    assert_eq!(run_all(&mut reports, now), ["report-2026-11-21"]);
    let later = at("2026-11-21T12:00:00Z");
    let mut reports = runner(site, "anna-again", report("0 7,12 * * *"), later);
    assert_eq!(run_all(&mut reports, later), [""; 0]);
}

pub fn a_run_that_cannot_be_read_holds_back_no_other(site: &Site) {
    worker(site, "earlier").first_start(at("2026-11-21T08:00:00Z")).unwrap();
    put_unreadable(site, "health-2026-11-21T08");
    let now = at("2026-11-21T10:00:00Z");
    let mut checks = runner(site, "anna", health(), now);
    assert_eq!(run_all(&mut checks, now), ["health-2026-11-21T09"]);
}
