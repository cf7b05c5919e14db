use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const NOISY: Kind = Kind::PortScanVertical;
const RARE: Kind = Kind::Blacklist;

fn subject(number: u32) -> Subject {
    Subject::Source(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn candidate(kind: Kind, number: u32, score: f64) -> Candidate {
    let score = Score::clamped(score);
    Candidate { kind, subject: subject(number), score, is_wanted: false }
}

/// What opened: second, kind, score.
type Opened = Vec<(i64, Kind, f64)>;

/// Asks for candidates (second, kind, score), each about a subject of its own.
fn opened(budget: &mut Budget, candidates: &[(i64, Kind, f64)]) -> Opened {
    let mut opened = Vec::new();
    for (number, &(second, kind, score)) in candidates.iter().enumerate() {
        let end = Timestamp::from_seconds(second);
        budget.advance(end);
        budget.forget_quiet(end.plus_seconds(-900));
        let number = u32::try_from(number).unwrap();
        if let Admission::Opens { .. } = budget.admit(candidate(kind, number, score), end) {
            opened.push((second, kind, score));
        }
    }
    opened
}

/// Every so many seconds one of the kind, with scores from 40 to 84.
fn noise(random: &mut StdRng, days: i64, pause: i64, kind: Kind) -> Vec<(i64, Kind, f64)> {
    (0..days * DAY / pause).map(|n| (n * pause, kind, random.random_range(40.0..84.0))).collect()
}

fn most_in_a_day(opened: &[(i64, Kind, f64)]) -> usize {
    let day = |second: i64| opened.iter().filter(move |at| (0..DAY).contains(&(at.0 - second)));
    // Days by the clock of every zone with whole hours.
    (0..opened.last().map_or(0, |at| at.0 / HOUR + 1))
        .map(|h| day(h * HOUR).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_noisy_kind_ends_near_its_share_and_prefers_high_scores() {
    let mut random = StdRng::seed_from_u64(1);
    let candidates = noise(&mut random, 10, 180, NOISY);
    let opened = opened(&mut Budget::new(50, 10_000), &candidates);
    assert!(most_in_a_day(&opened) <= 50, "{}", most_in_a_day(&opened));
    let late: Vec<f64> = opened.iter().filter(|at| at.0 >= 3 * DAY).map(|at| at.2).collect();
    assert!((250..=350).contains(&late.len()), "{}", late.len());
    // 480 a day for 50: a tenth of the scores from 40 to 84.
    assert!(late.iter().all(|score| *score >= 78.0), "{late:?}");
}

#[test]
fn a_rare_kind_always_opens_beside_a_noisy_one() {
    for per_day in [3, 5, 10, 50] {
        let mut random = StdRng::seed_from_u64(2);
        let mut candidates = noise(&mut random, 10, 120, NOISY);
        // After a day of noise alone, at any time of the day.
        let rare = (1..10).map(|day| (day * DAY + day * 7_919, RARE, 41.0));
        candidates.extend(rare);
        candidates.sort_by_key(|at| at.0);
        let opened = opened(&mut Budget::new(per_day, 10_000), &candidates);
        let of_rare = opened.iter().filter(|at| at.1 == RARE).count();
        assert_eq!(of_rare, 9, "budget {per_day}");
        let most = most_in_a_day(&opened);
        assert!(most as f64 <= 1.2 * f64::from(per_day), "budget {per_day}: {most}");
    }
}

#[test]
fn what_rare_kinds_leave_free_goes_to_noisy_ones() {
    assert_eq!(water_level(vec![], 50.0), 50.0);
    assert_eq!(water_level(vec![1.0, 2.0], 50.0), 50.0);
    assert_eq!(water_level(vec![1.0, 500.0], 50.0), 49.0);
    assert_eq!(water_level(vec![900.0, 1.0, 500.0], 50.0), 24.5);
}

#[test]
fn a_kind_with_one_score_for_all_is_not_silenced() {
    let candidates: Vec<_> = (0..5 * DAY / 60).map(|n| (n * 60, NOISY, 55.0)).collect();
    let opened = opened(&mut Budget::new(10, 10_000), &candidates);
    assert!((40..=50).contains(&opened.len()), "{}", opened.len());
}

#[test]
fn a_burst_takes_half_a_share_and_the_day_goes_on() {
    let burst = (0..100).map(|n| (n, NOISY, 60.0));
    let later = (1..20).map(|hour| (hour * HOUR + 1, NOISY, 60.0));
    let candidates: Vec<_> = burst.chain(later).collect();
    let opened = opened(&mut Budget::new(50, 10_000), &candidates);
    let (at_once, later): (Opened, Opened) = opened.iter().partition(|at| at.0 < HOUR);
    assert_eq!(at_once.len(), 25);
    assert!(later.len() >= 15, "{}", later.len());
}

#[test]
fn a_candidate_that_goes_on_counts_once_and_by_its_highest_score() {
    let mut budget = Budget::new(1, 10_000);
    let at = Timestamp::from_seconds;
    budget.advance(at(0));
    assert_eq!(budget.admit(candidate(NOISY, 1, 50.0), at(0)), Admission::Opens { waited: false });
    for minute in 0..10 {
        let score = 50.0 + minute as f64;
        let admission = budget.admit(candidate(NOISY, 2, score), at(minute * 60));
        assert_eq!(admission, Admission::Waits { is_new: minute == 0 });
    }
    let account = &budget.accounts[&NOISY];
    assert_eq!(account.candidates(), 2);
    assert_eq!(account.days[&0][&118], 1, "59 in steps of a half");
    budget.forget_quiet(at(10_000));
    assert!(budget.waiting.is_empty());
    let admission = budget.admit(candidate(NOISY, 2, 50.0), at(10_001));
    assert_eq!(admission, Admission::Waits { is_new: true });
    budget.advance(at(DAY + 10_060));
    let admission = budget.admit(candidate(NOISY, 2, 50.0), at(DAY + 10_060));
    assert_eq!(admission, Admission::Opens { waited: true });
}

#[test]
fn what_a_person_wants_to_see_needs_the_room_of_the_day_alone() {
    let mut budget = Budget::new(10, 10_000);
    let end = Timestamp::from_seconds(0);
    budget.advance(end);
    let admitted = (0..100).filter(|n| {
        let candidate = Candidate { is_wanted: true, ..candidate(NOISY, *n, 15.0) };
        matches!(budget.admit(candidate, end), Admission::Opens { .. })
    });
    assert_eq!(admitted.count(), 12);
}

#[test]
fn no_budget_opens_everything_and_remembers_nothing() {
    let candidates: Vec<_> = (0..1_000).map(|n| (n, NOISY, 55.0)).collect();
    let mut budget = Budget::new(0, 10_000);
    assert_eq!(opened(&mut budget, &candidates).len(), 1_000);
    assert_eq!(budget.save(), BudgetState { level: 0.0, ..BudgetState::default() });
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut budget = Budget::new(1, 100);
    let mut random = StdRng::seed_from_u64(3);
    for n in 0..50_000 {
        let end = Timestamp::from_seconds(i64::from(n) * 97);
        budget.advance(end);
        let kind = Kind::ALL[random.random_range(0..Kind::ALL.len())];
        budget.admit(candidate(kind, n, random.random_range(0.0..100.0)), end);
    }
    assert!(budget.waiting.len() <= 100);
    for account in budget.accounts.values() {
        assert!(account.days.len() <= 8 && account.opened.len() <= 24);
        assert!(account.days.values().all(|steps| steps.len() <= 201));
    }
    // Hostile times leave nothing behind, and time does not go back.
    budget.advance(Timestamp::MAX);
    budget.advance(Timestamp::MIN);
    assert!(budget.accounts.values().all(|account| account.days.is_empty()));
    budget.admit(candidate(NOISY, 1, 50.0), Timestamp::MIN);
}

#[test]
fn facts_are_told_for_a_person() {
    let mut budget = Budget::new(10, 10_000);
    let mut random = StdRng::seed_from_u64(4);
    opened(&mut budget, &noise(&mut random, 3, 600, NOISY));
    let state = budget.save();
    let facts = state.of_kind(NOISY).unwrap();
    assert!((140.0..150.0).contains(&facts.candidates_per_day), "{facts:?}");
    assert!(facts.threshold > 75.0 && facts.share == 10.0 && facts.opened <= 10, "{facts:?}");
    assert_eq!((state.of_kind(RARE), state.opened()), (None, facts.opened));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restart_changes_nothing_and_no_day_has_too_many(
        steps in prop::collection::vec((0i64..20_000, 0usize..4, 40.0f64..84.0, 0u32..60), 1..400),
        per_day in 1u32..40,
        deaths in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut undisturbed = Budget::new(per_day, 50);
        let mut disturbed = Budget::new(per_day, 50);
        let deaths: Vec<usize> = deaths.iter().map(|at| at.index(steps.len())).collect();
        let (mut second, mut opened) = (0, Vec::new());
        for (at, (pause, kind, score, number)) in steps.into_iter().enumerate() {
            if deaths.contains(&at) {
                let text = serde_json::to_string(&disturbed.save()).unwrap();
                disturbed = Budget::new(per_day, 50);
                disturbed.resume(serde_json::from_str(&text).unwrap());
            }
            second += pause;
            let end = Timestamp::from_seconds(second);
            let answers = [&mut undisturbed, &mut disturbed].map(|budget| {
                budget.advance(end);
                budget.forget_quiet(end.plus_seconds(-900));
                budget.admit(candidate(Kind::ALL[kind], number, score), end)
            });
            prop_assert_eq!(answers[0], answers[1]);
            if let Admission::Opens { .. } = answers[0] {
                opened.push((second, Kind::ALL[kind], score));
            }
        }
        prop_assert_eq!(undisturbed.save(), disturbed.save());
        let most = most_in_a_day(&opened);
        prop_assert!(most as f64 <= 1.2 * f64::from(per_day), "{} of {}", most, per_day);
    }
}
