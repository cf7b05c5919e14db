//! Gaps, restarts, wraps and floods of sequence numbers.

use proptest::prelude::*;

use super::*;

fn log(counter: Counter, records: impl IntoIterator<Item = (u32, i64)>) -> ExportLog {
    let mut log = ExportLog::default();
    for (sequence, seconds) in records {
        let received = Timestamp::from_seconds(seconds);
        log.insert(Export { counter, sequence, received });
    }
    log
}

fn expected_and_lost(log: &ExportLog) -> (u64, u64) {
    let loss = log.loss();
    assert!(loss.expected_records == 0 || loss.expected_datagrams == 0, "one counter");
    (loss.expected_records + loss.expected_datagrams, loss.lost_records + loss.lost_datagrams)
}

/// The records of datagrams from `begin` on, `size` each, but for those whose place is `gone`.
fn datagrams(
    counter: Counter,
    (begin, count, size): (u32, u32, u32),
    gone: &[u32],
) -> Vec<(u32, i64)> {
    let step = if counter.counts_records() { size } else { 1 };
    (0..count)
        .filter(|place| !gone.contains(place))
        .flat_map(|place| {
            let sequence = begin.wrapping_add(place * step);
            (0..size).map(move |_| (sequence, i64::from(place) / 100))
        })
        .collect()
}

#[test]
fn nothing_is_missing_where_numbers_go_on() {
    for counter in Counter::ALL {
        let log = log(counter, datagrams(counter, (1_000, 500, 30), &[]));
        let expected = if counter.counts_records() { 499 * 30 } else { 500 };
        assert_eq!(expected_and_lost(&log), (expected, 0), "{counter:?}");
        assert!(log.loss().share().abs() < f64::EPSILON);
    }
}

#[test]
fn gaps_are_counted_in_what_the_numbers_count() {
    for counter in Counter::ALL {
        let gone = [1, 63, 64, 65, 200, 201, 202, 203, 204, 498];
        let log = log(counter, datagrams(counter, (7, 500, 30), &gone));
        let expected = if counter.counts_records() { (499 * 30, 300) } else { (500, 10) };
        assert_eq!(expected_and_lost(&log), expected, "{counter:?}");
        assert!((0.019..0.021).contains(&log.loss().share()));
    }
}

#[test]
fn one_datagram_says_nothing_of_others_and_repeats_are_no_gain() {
    assert_eq!(expected_and_lost(&log(Counter::NetflowV5, [(5, 0), (5, 0)])), (0, 0));
    assert_eq!(expected_and_lost(&log(Counter::Sflow5, [(5, 0), (5, 0), (7, 0)])), (3, 1));
    assert_eq!(expected_and_lost(&ExportLog::default()), (0, 0));
}

#[test]
fn a_restart_is_no_loss_on_either_side_of_it() {
    for counter in Counter::ALL {
        let size = if counter.counts_records() { 30 } else { 1 };
        // 3,000 datagrams before, the counter begins anew: later, and lower.
        let before = datagrams(counter, (90_000, 300, size), &[10]);
        let after = datagrams(counter, (0, 300, size), &[20, 21]);
        let after = after.into_iter().map(|(sequence, time)| (sequence, time + 30));
        let log = log(counter, before.into_iter().chain(after));
        assert_eq!(expected_and_lost(&log).1, u64::from(3 * size), "{counter:?}");
    }
}

#[test]
fn a_counter_that_goes_past_its_end_loses_nothing() {
    for counter in Counter::ALL {
        let begin = u32::MAX - 99 * 30 + 1;
        let records = datagrams(counter, (begin, 300, 30), &[]);
        assert_eq!(expected_and_lost(&log(counter, records)).1, 0, "{counter:?}");
    }
}

#[test]
fn a_jump_ahead_is_a_counter_that_was_set_anew() {
    let log = log(Counter::NetflowV9, [(1, 0), (2, 0), (2_000_000, 1), (2_000_001, 1)]);
    assert_eq!(expected_and_lost(&log), (4, 0));
}

#[test]
fn ipfix_numbers_may_stand_before_or_after_their_records() {
    let before = [(0, 24), (24, 32), (56, 32), (88, 7)];
    let after = [(24, 24), (56, 32), (88, 32), (95, 7)];
    for datagrams in [before, after] {
        let records = |gone: u32| {
            let kept = datagrams.into_iter().filter(move |(number, _)| *number != gone);
            kept.flat_map(|(number, size)| (0..size).map(move |_| (number, 0)))
        };
        assert_eq!(expected_and_lost(&log(Counter::Ipfix, records(1))).1, 0);
        // Up to the records of one datagram stay unseen, because the kind is not known.
        let (_, lost) = expected_and_lost(&log(Counter::Ipfix, records(56)));
        assert!((32 - 17..=32).contains(&lost), "{lost}");
    }
}

#[test]
fn a_flood_of_numbers_stays_within_the_room_and_keeps_the_lowest() {
    let mut flood = ExportLog::default();
    for n in 0..20_000_u32 {
        let sequence = n.wrapping_mul(2_654_435_761);
        let received = Timestamp::default();
        flood.insert(Export { counter: Counter::Sflow5, sequence, received });
    }
    assert_eq!(flood.blocks.len(), MOST_BLOCKS);
    let bytes = postcard::to_stdvec(&flood).unwrap();
    assert!(bytes.len() < 32 << 10, "{}", bytes.len());
    assert_eq!(postcard::from_bytes::<ExportLog>(&bytes).unwrap(), flood);
    // A busy device: what is kept is whole.
    let busy = log(Counter::NetflowV9, (0..200_000).map(|n| (n * 2, 0)));
    let (expected, lost) = expected_and_lost(&busy);
    assert_eq!((expected, lost), (65_535, 32_767));
}

#[test]
fn a_damaged_log_is_refused() {
    let log = log(Counter::NetflowV5, [(5, 0), (9_000, 0)]);
    let blocks: Vec<Numbered> = log.into();
    let refused = |change: fn(&mut Vec<Numbered>)| {
        let mut blocks = blocks.clone();
        change(&mut blocks);
        ExportLog::try_from(blocks).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|blocks| blocks.reverse()));
    assert!(refused(|blocks| blocks[0].0.1 = 3));
    assert!(refused(|blocks| blocks[0].1.first.1 = 0));
    assert!(refused(|blocks| blocks[0].1.first.0 = 6));
    assert!(refused(|blocks| blocks[0].1.records = 0));
    assert!(refused(|blocks| blocks[0].1.datagrams = 1));
}

fn exports() -> impl Strategy<Value = Vec<(usize, u32, i64)>> {
    // Few blocks and numbers near both ends, so that everything meets.
    let number = prop_oneof![0_u32..300, (0_u32..40).prop_map(|n| n * 1_000), any::<u32>()];
    prop::collection::vec((0_usize..4, number, 0_i64..60), 0..200)
}

fn log_of(exports: &[(usize, u32, i64)]) -> ExportLog {
    let mut log = ExportLog::default();
    for &(counter, sequence, seconds) in exports {
        let received = Timestamp::from_seconds(seconds);
        log.insert(Export { counter: Counter::ALL[counter], sequence, received });
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_order_nor_grouping_matters(exports in exports(), cuts in any::<u64>()) {
        let whole = log_of(&exports);
        let (mut parts, mut merged) = ([const { Vec::new() }; 3], ExportLog::default());
        for (at, export) in exports.iter().enumerate() {
            parts[(cuts.rotate_left(at as u32) % 3) as usize].push(*export);
        }
        for part in parts.iter_mut().rev() {
            part.reverse();
            merged.merge(&log_of(part));
        }
        prop_assert_eq!(&merged, &whole);
        let bytes = postcard::to_stdvec(&merged).unwrap();
        prop_assert_eq!(postcard::from_bytes::<ExportLog>(&bytes).unwrap(), whole);
    }

    #[test]
    fn a_share_is_a_share(exports in exports()) {
        let loss = log_of(&exports).loss();
        prop_assert!(loss.lost_records <= loss.expected_records);
        prop_assert!(loss.lost_datagrams <= loss.expected_datagrams);
        prop_assert!((0.0..=1.0).contains(&loss.share()));
    }

    #[test]
    fn whatever_is_taken_out_of_the_middle_is_missed(
        counter in prop::sample::select(&[Counter::NetflowV5, Counter::NetflowV9, Counter::Sflow5][..]),
        begin in 0_u32..1_000_000,
        gone in prop::collection::btree_set(1_u32..199, 0..60),
    ) {
        let gone: Vec<u32> = gone.into_iter().collect();
        let log = log(counter, datagrams(counter, (begin, 200, 10), &gone));
        let size = if counter.counts_records() { 10 } else { 1 };
        prop_assert_eq!(expected_and_lost(&log).1, gone.len() as u64 * size);
    }
}
