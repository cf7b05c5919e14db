//! Who holds a run.

use std::sync::{Arc, Barrier};

use flowsentry::jobs::{Claim, Election, ElectionError, Ended, Lease, Owner};
use flowsentry::model::Timestamp;
use flowsentry::stores::{Document, DocumentId, Family, IndexName};
use serde_json::json;

use crate::sites::Site;

const DUE: Timestamp = Timestamp::from_seconds(1_795_000_000);
/// The lease, and the difference of clocks that it bears.
const TAKEN_OVER_AFTER: i64 = 120 + 30;

fn after(seconds: i64) -> Timestamp {
    DUE.plus_seconds(seconds)
}

pub fn worker(site: &Site, name: &str) -> Election {
    Election::new(Arc::clone(&site.store), &site.namespace, Owner::named(name))
}

fn claim(worker: &Election, now: Timestamp) -> Claim {
    worker.claim("report", "2026-11-21", DUE, now).unwrap()
}

fn won(worker: &Election, now: Timestamp) -> Lease {
    match claim(worker, now) {
        Claim::Won(lease) => *lease,
        other => panic!("{other:?}"),
    }
}

fn is_held(claim: &Claim) -> bool {
    matches!(claim, Claim::Held { .. })
}

pub fn one_of_many_that_claim_at_once_wins(site: &Site) {
    const RUNS: usize = 20;
    let barrier = Barrier::new(3);
    let claim_all = |worker: &Election| {
        let claims = (0..RUNS).map(|run| {
            barrier.wait();
            worker.claim("health", &run.to_string(), DUE, DUE).unwrap()
        });
        claims.map(|claim| matches!(claim, Claim::Won(_))).collect::<Vec<_>>()
    };
    let workers = ["anna", "bert", "cleo"].map(|name| worker(site, name));
    let wins = std::thread::scope(|scope| {
        let claims = workers.each_ref().map(|worker| scope.spawn(move || claim_all(worker)));
        claims.map(|claims| claims.join().unwrap())
    });
    for run in 0..RUNS {
        let winners = wins.iter().filter(|wins| wins[run]).count();
        assert_eq!(winners, 1, "run {run}: {wins:?}");
    }
}

pub fn a_dead_holder_is_taken_over_after_its_lease_and_not_before(site: &Site) {
    let [anna, bert] = ["anna", "bert"].map(|name| worker(site, name));
    drop(won(&anna, after(0)));
    let Claim::Held { until } = claim(&bert, after(1)) else { panic!("it is held") };
    assert_eq!(until, after(TAKEN_OVER_AFTER));
    assert!(is_held(&claim(&bert, until.plus_nanos(-1_000_000))));
    assert_eq!(won(&bert, until).attempt(), 2);
}

pub fn a_holder_that_renews_is_not_taken_over(site: &Site) {
    let [anna, bert] = ["anna", "bert"].map(|name| worker(site, name));
    let mut lease = won(&anna, after(0));
    for renewals in 1..=10 {
        assert!(lease.renew(after(100 * renewals)).unwrap());
        assert!(is_held(&claim(&bert, after(100 * renewals + TAKEN_OVER_AFTER - 1))));
    }
    assert_eq!(lease.finish(after(1_001), None).unwrap(), Ended::Done);
    assert!(matches!(claim(&bert, after(1_000_000)), Claim::Over));
}

pub fn a_stale_holder_cannot_end_the_run_of_another(site: &Site) {
    let [anna, bert, cleo] = ["anna", "bert", "cleo"].map(|name| worker(site, name));
    let mut stale = won(&anna, after(0));
    let mut lease = won(&bert, after(200));
    assert!(!stale.renew(after(201)).unwrap());
    assert_eq!(stale.finish(after(202), Some("no disk")).unwrap(), Ended::Lost);
    assert_eq!(stale.finish(after(203), None).unwrap(), Ended::Lost);
    assert!(is_held(&claim(&cleo, after(204))), "it is still the other's");
    assert!(lease.renew(after(205)).unwrap());
    assert_eq!(lease.finish(after(206), None).unwrap(), Ended::Done);
    assert!(matches!(claim(&cleo, after(1_000)), Claim::Over));
}

pub fn a_late_end_counts_when_nobody_has_taken_over(site: &Site) {
    let [anna, bert] = ["anna", "bert"].map(|name| worker(site, name));
    let mut lease = won(&anna, after(0));
    assert_eq!(lease.finish(after(10_000), None).unwrap(), Ended::Done);
    assert!(matches!(claim(&bert, after(10_001)), Claim::Over));
}

pub fn a_failing_run_is_tried_again_and_then_given_up(site: &Site) {
    let workers = ["anna", "bert", "cleo"].map(|name| worker(site, name));
    let mut now = after(0);
    let mut pauses = Vec::new();
    for attempt in 1..5 {
        let mut lease = won(&workers[attempt % 3], now);
        assert_eq!(lease.attempt() as usize, attempt);
        let Ended::Failed { retry_at } = lease.finish(now, Some("no disk")).unwrap() else {
            panic!("it is tried again")
        };
        let Claim::Paused { until } = claim(&workers[0], retry_at.plus_seconds(-1)) else {
            panic!("it rests")
        };
        assert_eq!(until, retry_at);
        pauses.push(retry_at.seconds_since(now) / 60.0);
        now = retry_at;
    }
    assert_eq!(pauses, [1.0, 4.0, 16.0, 64.0]);
    assert_eq!(won(&workers[1], now).finish(now, Some("no disk")).unwrap(), Ended::GivenUp);
    for worker in &workers {
        assert!(matches!(claim(worker, now.plus_seconds(1_000_000)), Claim::Over));
    }
}

pub fn a_run_that_kills_every_holder_is_given_up(site: &Site) {
    for attempt in 0..5 {
        let worker = worker(site, &format!("worker-{attempt}"));
        assert_eq!(i64::from(won(&worker, after(1_000 * attempt)).attempt()), attempt + 1);
    }
    let last = worker(site, "last");
    assert!(matches!(claim(&last, after(5_000)), Claim::GivenUp));
    assert!(matches!(claim(&last, after(6_000)), Claim::Over));
}

pub fn the_first_start_is_the_first_one_that_was_written(site: &Site) {
    let [anna, bert] = ["anna", "bert"].map(|name| worker(site, name));
    assert_eq!(anna.first_start(after(5)).unwrap(), after(5));
    assert_eq!(bert.first_start(after(0)).unwrap(), after(5));
    assert_eq!(anna.first_start(after(1_000)).unwrap(), after(5));
}

pub fn a_document_of_somebody_else_is_named(site: &Site) {
    put_unreadable(site, "report-2026-11-21");
    let error = worker(site, "anna").claim("report", "2026-11-21", DUE, DUE).unwrap_err();
    assert!(matches!(error, ElectionError::Unreadable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("the document `report-2026-11-21` cannot be read: "), "{text}");
}

/// Writes a state document that is no run.
pub fn put_unreadable(site: &Site, id: &str) {
    let index = IndexName::for_event(Family::State, &site.namespace, DUE);
    let source = json!({"@timestamp": DUE, "flowsentry": {"state": {"kind": "other"}}});
    let id = DocumentId::new(id).unwrap();
    site.store.create(Document { index, id, source }).unwrap();
}
