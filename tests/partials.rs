//! Windows in two stages give what windows in one stage give: folded in parts, sent as messages, and
//! put together again, whatever the split, the order and the repeats.

use std::collections::BTreeMap;

use flowsentry::features::{
    ClosedWindow, MergedWindows, NamedFeatures, Partial, PartitionFold, Receipt, WindowLimits,
    Windows,
};
use flowsentry::model::{Flow, FlowOrigin, Timestamp, WindowSpan};
use flowsentry::testkit::flow;
use proptest::prelude::*;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 30,
    max_subjects: 100_000,
    count_once: true,
};
/// Nothing is late: for tests whose parts see other times than the whole.
const PATIENT: WindowLimits = WindowLimits { lateness_seconds: 86_400, ..LIMITS };

/// Everything that a closed window says.
#[derive(Debug, PartialEq)]
struct Facts {
    span: WindowSpan,
    rows: Vec<(String, Vec<f64>)>,
}

fn rows_of<F: NamedFeatures>(rows: &[F], name: impl Fn(&F) -> String) -> Vec<(String, Vec<f64>)> {
    let values = |row: &F| {
        let mut values = Vec::new();
        row.write_features(&mut values);
        values
    };
    rows.iter().map(|row| (name(row), values(row))).collect()
}

fn facts(closed: &ClosedWindow) -> Facts {
    match closed {
        ClosedWindow::Pairs(window) => {
            let mut rows = rows_of(&window.pairs, |pair| format!("pair {}", pair.subject()));
            rows.push(("batch".into(), window.batch_features().values().to_vec()));
            Facts { span: window.span, rows }
        }
        ClosedWindow::Hosts(window) => {
            let mut rows =
                rows_of(&window.sources, |host| format!("{} vlan {}", host.subject(), host.vlan));
            rows.extend(rows_of(&window.destinations, |host| host.subject().to_string()));
            rows.extend(rows_of(&window.exporters, |device| device.subject().to_string()));
            rows.extend(rows_of(std::slice::from_ref(&window.network), |_| "network".into()));
            Facts { span: window.span, rows }
        }
    }
}

/// Whether flows were counted in it: a late flow may open a window without filling it.
fn is_used(closed: &ClosedWindow) -> bool {
    match closed {
        ClosedWindow::Pairs(window) => window.counters.flows > 0,
        ClosedWindow::Hosts(window) => window.network.counters.flows > 0,
    }
}

fn in_one_stage(flows: &[(u32, Flow)]) -> (Vec<Facts>, u64) {
    let mut windows = Windows::new(LIMITS);
    for (partition, flow) in flows {
        windows.add(*partition, flow);
    }
    windows.finish();
    let closed = std::iter::from_fn(|| windows.next_closed()).filter(is_used);
    (closed.map(|closed| facts(&closed)).collect(), windows.late())
}

fn fold(limits: WindowLimits, flows: &[Flow]) -> Vec<Partial> {
    let mut fold = PartitionFold::new(limits);
    for flow in flows {
        fold.add(flow);
    }
    fold.finish();
    fold.take_complete()
}

/// What a partition sends.
#[derive(Clone)]
enum Message {
    Part(Vec<u8>),
    Passed(Timestamp),
}

/// Folds one partition, sending whatever is complete after every flow.
fn messages<'a>(flows: impl Iterator<Item = &'a Flow>, max_bytes: usize) -> (Vec<Message>, u64) {
    let mut fold = PartitionFold::new(LIMITS);
    let mut messages = Vec::new();
    let mut send = |fold: &mut PartitionFold| {
        for partial in fold.take_complete() {
            let parts = partial.split(max_bytes);
            messages.extend(parts.iter().map(|part| Message::Part(part.encode())));
        }
        messages.extend(fold.watermark().map(Message::Passed));
    };
    for flow in flows {
        fold.add(flow);
        send(&mut fold);
    }
    fold.finish();
    send(&mut fold);
    let late = fold.late();
    messages.push(Message::Passed(Timestamp::MAX));
    (messages, late)
}

fn deliver(merged: &mut MergedWindows, partition: u32, message: &Message) {
    match message {
        Message::Part(bytes) => {
            merged.put(partition, Partial::decode(bytes).expect("it was sent whole"));
        }
        Message::Passed(watermark) => merged.pass(partition, *watermark),
    }
}

/// Takes the messages of partitions in the order of `steps`; a step may first go back as many
/// messages as it says, as a worker does that begins anew.
fn in_two_stages(sent: &[Vec<Message>], steps: &[(usize, usize, bool)]) -> Vec<Facts> {
    let mut merged = MergedWindows::new(LIMITS);
    (0..sent.len() as u32).for_each(|partition| merged.expect(partition));
    let mut closed = Vec::new();
    let mut next = vec![0usize; sent.len()];
    for &(partition, back, asks) in steps {
        let partition = partition % sent.len();
        next[partition] = next[partition].saturating_sub(back);
        if let Some(message) = sent[partition].get(next[partition]) {
            deliver(&mut merged, partition as u32, message);
            next[partition] += 1;
        }
        if asks {
            closed.extend(std::iter::from_fn(|| merged.next_closed()));
        }
    }
    for (partition, messages) in sent.iter().enumerate() {
        for message in &messages[next[partition].min(messages.len())..] {
            deliver(&mut merged, partition as u32, message);
        }
    }
    closed.extend(std::iter::from_fn(|| merged.next_closed()));
    assert_eq!((merged.late(), merged.incomplete(), merged.misplaced()), (0, 0, 0));
    closed.iter().filter(|closed| is_used(closed)).map(facts).collect()
}

/// Kinds of export whose numbers count different things, and one whose numbers mean nothing.
const ORIGINS: [FlowOrigin; 4] =
    [FlowOrigin::NetflowV5, FlowOrigin::NetflowV9, FlowOrigin::Ipfix, FlowOrigin::Pmacct];

fn any_flow() -> impl Strategy<Value = Flow> {
    let hosts = (0u8..6, 0u8..6);
    let ports = (prop::option::of(0u16..4), 0u16..60);
    let form = (any::<bool>(), any::<bool>(), 0u16..3, 0u32..3);
    let export = (0u32..300, 0i64..150, 0usize..ORIGINS.len());
    (0i64..200, hosts, ports, 0u64..10_000, export, form).prop_map(
        |(second, (from, to), (from_port, to_port), bytes, export, (syn, six, vlan, rate))| {
            let (sequence, delay, origin) = export;
            let to = if six { format!("fd00::{to}") } else { format!("10.0.1.{to}") };
            let flow = flow()
                .from(&format!("10.0.0.{from}"))
                .to(&to)
                .from_port(50_000 + from_port.unwrap_or(9))
                .to_port(to_port)
                .at(second)
                .bytes(bytes)
                .vlan(vlan)
                .sampled(rate);
            let flow = flow.origin(ORIGINS[origin]).received(second + delay);
            let flow = if from_port.is_some() { flow.export("192.0.2.1", sequence) } else { flow };
            if syn { flow.syn().build() } else { flow.returned(bytes / 2, 1).build() }
        },
    )
}

/// In time order but for less than `jitter` seconds.
fn roughly_sorted(mut flows: Vec<(u32, Flow, i64)>) -> Vec<(u32, Flow)> {
    flows.sort_by_key(|(_, flow, jitter)| flow.end.plus_seconds(*jitter));
    flows.into_iter().map(|(partition, flow, _)| (partition, flow)).collect()
}

/// Merges partials of the same window, in the given order.
fn merged(partials: impl IntoIterator<Item = Partial>) -> BTreeMap<(Timestamp, bool), Vec<u8>> {
    let mut windows = BTreeMap::<_, Partial>::new();
    for partial in partials {
        let key = (partial.start(), matches!(partial, Partial::Pane(_)));
        match windows.get_mut(&key) {
            Some(known) => assert!(known.merge(&partial), "both are of one window"),
            None => _ = windows.insert(key, partial),
        }
    }
    windows.into_iter().map(|(key, partial)| (key, partial.encode())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn two_stages_give_what_one_stage_gives(
        flows in prop::collection::vec((0u32..4, any_flow(), 0i64..45), 0..200),
        steps in prop::collection::vec((0usize..4, 0usize..4, any::<bool>()), 0..400),
        max_bytes in 1usize..4_000,
    ) {
        let flows = roughly_sorted(flows);
        let partitions = flows.iter().map(|(partition, _)| partition + 1).max().unwrap_or(1);
        let (sent, late): (Vec<_>, Vec<_>) = (0..partitions)
            .map(|own| {
                let flows = flows.iter().filter(|(partition, _)| *partition == own);
                messages(flows.map(|(_, flow)| flow), max_bytes)
            })
            .unzip();
        let (expected, expected_late) = in_one_stage(&flows);
        prop_assert_eq!(late.iter().sum::<u64>(), expected_late);
        prop_assert_eq!(in_two_stages(&sent, &steps), expected);
    }

    #[test]
    fn any_split_merged_in_any_order_is_the_whole_to_the_byte(
        flows in prop::collection::vec((0usize..3, any_flow()), 0..300),
        order in prop::sample::select(vec![[0, 1, 2], [2, 0, 1], [1, 0, 2]]),
    ) {
        let all: Vec<_> = flows.iter().map(|(_, flow)| flow.clone()).collect();
        let part = |n| {
            let own = flows.iter().filter(move |(part, _)| *part == n);
            fold(PATIENT, &own.map(|(_, flow)| flow.clone()).collect::<Vec<_>>())
        };
        prop_assert_eq!(merged(order.into_iter().flat_map(part)), merged(fold(PATIENT, &all)));
    }

    #[test]
    fn parts_merge_back_in_any_order_and_keep_their_size(
        flows in prop::collection::vec(any_flow(), 1..300),
        max_bytes in 900usize..5_000,
    ) {
        for partial in fold(PATIENT, &flows) {
            let whole = partial.encode();
            let parts = partial.split(max_bytes);
            let messages: Vec<_> = parts.iter().map(Partial::encode).collect();
            prop_assert!(messages.iter().all(|message| message.len() <= max_bytes));
            prop_assert!(whole.len() > max_bytes || parts.len() == 1);
            for (number, part) in (1..).zip(&parts) {
                prop_assert_eq!((part.part().number(), part.part().of()), (number, parts.len() as u32));
            }
            let back = merged(messages.iter().rev().map(|bytes| Partial::decode(bytes).unwrap()));
            prop_assert_eq!(back.into_values().collect::<Vec<_>>(), [whole]);
        }
    }

    #[test]
    fn broken_messages_are_refused_or_harmless(
        flows in prop::collection::vec(any_flow(), 1..60),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut windows = MergedWindows::new(LIMITS);
        let mut put = |bytes: &[u8]| {
            if let Ok(partial) = Partial::decode(bytes) {
                windows.put(0, partial);
            }
        };
        put(&noise);
        for partial in fold(PATIENT, &flows) {
            let mut bytes = partial.encode();
            put(&bytes[..cut.index(bytes.len())]);
            for (place, byte) in &breaks {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            put(&bytes);
            // Behind the version: what a length says is not believed.
            bytes.truncate(1);
            bytes.extend(&noise);
            put(&bytes);
        }
        windows.pass(0, Timestamp::MAX);
        while let Some(closed) = windows.next_closed() {
            facts(&closed);
        }
    }
}

#[test]
fn beyond_what_is_counted_exactly_parts_still_merge_into_the_whole() {
    // One host meets 9,000 others at as many ports, answers, probes, and is probed.
    let meeting = |n: u32| {
        let peer = std::net::Ipv4Addr::from_bits(0x0a01_0000 + n).into();
        let port = (n % 60_000) as u16;
        let flow = match n % 3 {
            0 => flow().to_ip(peer).to_port(port).syn(),
            1 => flow().to_port(port).from_port(port).syn(),
            _ => flow().from_ip(peer).from_port(port).to_port(port),
        };
        flow.export("192.0.2.1", n).at(i64::from(n % 60)).build()
    };
    let flows: Vec<_> = (0..27_000).map(meeting).collect();
    let thirds = (0..3).flat_map(|part| {
        let own = flows.iter().skip(part).step_by(7).chain(flows.iter().skip(part + 3).step_by(7));
        fold(PATIENT, &own.cloned().collect::<Vec<_>>())
    });
    let rest = fold(PATIENT, &flows.iter().skip(6).step_by(7).cloned().collect::<Vec<_>>());
    assert_eq!(merged(thirds.chain(rest)), merged(fold(PATIENT, &flows)));
}

#[test]
fn the_busiest_source_fits_into_a_message() {
    // Every port of 32 hosts, and one of 32 ports of every host of a network.
    let hosts = (0..32u32).flat_map(|host| (0..=u16::MAX).map(move |port| (host, port)));
    let ports = (0..32u16).flat_map(|port| (0..3_000).map(move |host| (host, port)));
    let mut fold = PartitionFold::new(PATIENT);
    for (number, (host, port)) in (0..).zip(hosts.chain(ports)) {
        let host = std::net::Ipv4Addr::from_bits(0x0a01_0000 + host).into();
        let probe = flow().to_ip(host).to_port(port).syn().export("192.0.2.1", number);
        fold.add(&probe.build());
    }
    fold.finish();
    let parts = fold.take_complete().into_iter().flat_map(|partial| partial.split(900_000));
    let largest = parts.map(|part| part.encode().len()).max();
    assert!((800_000..=900_000).contains(&largest.unwrap()), "{largest:?} bytes");
}

/// `sources` sources from number `first` on, two flows each, in one pane.
fn crowd(first: u32, sources: u32) -> Vec<Flow> {
    let numbers = (first..first + sources).flat_map(|n| [n, n]);
    numbers.map(|n| flow().from_ip(std::net::Ipv4Addr::from_bits(n).into()).build()).collect()
}

fn put_all(windows: &mut MergedWindows, partition: u32, partials: Vec<Partial>) {
    for partial in partials {
        assert_eq!(windows.put(partition, partial), Receipt::Kept);
    }
    windows.pass(partition, Timestamp::MAX);
}

#[test]
fn under_the_cap_the_first_subjects_stay_and_every_flow_is_accounted_for() {
    let limits = WindowLimits { max_subjects: 10, ..LIMITS };
    let parts = [crowd(4, 8), crowd(0, 6), crowd(20, 30)].map(|flows| fold(limits, &flows));
    let closed = [[0, 1, 2], [2, 1, 0]].map(|order| {
        let mut windows = MergedWindows::new(limits);
        (0..3).for_each(|partition| windows.expect(partition));
        for n in order {
            put_all(&mut windows, n as u32, parts[n].clone());
        }
        let closed: Vec<_> =
            std::iter::from_fn(|| windows.next_closed()).map(|closed| facts(&closed)).collect();
        (closed, windows.overflow())
    });
    assert_eq!(closed[0], closed[1], "the order of the parts does not matter");
    let (closed, overflow) = &closed[0];
    assert!(closed.iter().all(|window| window.span.truncated));
    let sources: Vec<_> = closed[1].rows.iter().take(10).map(|(name, _)| &name[..]).collect();
    let expected: Vec<_> = (0..10).map(|n| format!("0.0.0.{n} vlan 0")).collect();
    assert_eq!(sources, expected);
    // 42 sources of two flows, ten of which stay: 0 to 3 and 6 to 9 once, 4 and 5 in two parts.
    let all_flows = 2 * (8 + 6 + 30);
    assert_eq!(*overflow, 2 * (all_flows - 2 * (8 + 2 * 2)), "as pairs and as sources");
}

#[test]
fn a_window_waits_for_every_partition_that_is_not_forgotten() {
    let mut windows = MergedWindows::new(LIMITS);
    (0..3).for_each(|partition| windows.expect(partition));
    put_all(&mut windows, 0, fold(LIMITS, &crowd(0, 2)));
    windows.pass(1, Timestamp::from_seconds(59));
    assert!(windows.next_closed().is_none(), "partition 2 has sent nothing");
    windows.forget(2);
    assert!(matches!(windows.next_closed(), Some(ClosedWindow::Pairs(_))));
    assert!(windows.next_closed().is_none(), "partition 1 may still add to the minute");
    windows.pass(1, Timestamp::from_seconds(60));
    assert!(matches!(windows.next_closed(), Some(ClosedWindow::Hosts(_))));
    assert_eq!(windows.closed_through(), Some(Timestamp::from_seconds(60)));
}

#[test]
fn when_all_partitions_rest_everything_closes_and_the_next_flow_is_in_time() {
    let mut windows = MergedWindows::new(LIMITS);
    for partial in fold(LIMITS, &crowd(0, 2)) {
        windows.put(0, partial);
    }
    windows.forget(0);
    assert_eq!(std::iter::from_fn(|| windows.next_closed()).count(), 2);
    for partial in fold(LIMITS, &[flow().at(60).build()]) {
        assert_eq!(windows.put(0, partial), Receipt::Kept);
    }
}

#[test]
fn what_comes_after_its_window_is_late_and_what_comes_again_is_not() {
    let mut windows = MergedWindows::new(LIMITS);
    let partials = fold(LIMITS, &crowd(0, 2));
    put_all(&mut windows, 0, partials.clone());
    for partial in &partials {
        assert_eq!(windows.put(0, partial.clone()), Receipt::Repeated);
        assert_eq!(windows.put(1, partial.clone()), Receipt::Late);
    }
    assert_eq!(windows.late(), 4, "flows");
    let mut resumed = MergedWindows::new(LIMITS);
    resumed.resume(Timestamp::from_seconds(60), &[]);
    resumed.rebuilt();
    assert_eq!(resumed.put(1, partials[0].clone()), Receipt::Repeated);
}

#[test]
fn a_window_with_a_missing_part_says_that_it_is_not_whole() {
    let mut windows = MergedWindows::new(LIMITS);
    let mut parts = fold(LIMITS, &crowd(0, 500)).remove(0).split(2_000);
    assert!(parts.len() > 2);
    parts.remove(1);
    put_all(&mut windows, 0, parts);
    let Some(ClosedWindow::Pairs(pane)) = windows.next_closed() else { panic!("it has passed") };
    assert!(pane.span.truncated);
    assert_eq!(windows.incomplete(), 1);
}

#[test]
fn a_partial_that_is_split_in_another_way_replaces_all_parts() {
    let mut windows = MergedWindows::new(LIMITS);
    let [pane, _] = &fold(LIMITS, &crowd(0, 500))[..] else { panic!("one pane, one window") };
    for max_bytes in [2_000, 9_000] {
        for part in pane.clone().split(max_bytes) {
            windows.put(0, part);
        }
    }
    windows.pass(0, Timestamp::MAX);
    let Some(ClosedWindow::Pairs(pane)) = windows.next_closed() else { panic!("it has passed") };
    assert_eq!((pane.counters.flows, pane.pairs.len()), (1_000, 500));
    assert!(!pane.span.truncated);
}

#[test]
fn windows_of_another_length_are_refused() {
    let odd = WindowLimits { pane_seconds: 7, window_seconds: 49, ..LIMITS };
    let partials = fold(odd, &[flow().at(100).build()]);
    let mut windows = MergedWindows::new(LIMITS);
    for partial in partials {
        assert_eq!(windows.put(0, partial), Receipt::Misplaced);
    }
    assert_eq!(windows.misplaced(), 2);
}

#[test]
fn notes_come_out_with_their_window() {
    let mut windows = MergedWindows::new(LIMITS);
    (0..2).for_each(|partition| windows.expect(partition));
    for partition in 0..2u8 {
        for mut partial in fold(LIMITS, &crowd(0, 500)) {
            if let Partial::Window(window) = &mut partial {
                window.add_notes("sanity", vec![vec![partition; 1_500], vec![7]]);
            }
            for part in partial.split(2_000) {
                windows.put(partition.into(), part);
            }
        }
        windows.pass(partition.into(), Timestamp::MAX);
    }
    assert!(matches!(windows.next_closed(), Some(ClosedWindow::Pairs(_))));
    assert_eq!(windows.take_notes(), []);
    assert!(matches!(windows.next_closed(), Some(ClosedWindow::Hosts(_))));
    let notes = windows.take_notes();
    assert!(notes.iter().all(|notes| notes.detector == "sanity"));
    let mut bytes: Vec<_> = notes.into_iter().map(|notes| notes.bytes).collect();
    bytes.sort();
    assert_eq!(bytes, [vec![0; 1_500], vec![1; 1_500], vec![7], vec![7]]);
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let mut bytes = fold(LIMITS, &crowd(0, 1)).remove(0).encode();
    let error = |bytes: &[u8]| Partial::decode(bytes).expect_err("it is refused").to_string();
    assert_eq!(error(&bytes[..9]), "damaged partial window");
    bytes.push(0);
    assert_eq!(error(&bytes), "partial window with 1 bytes too many");
    bytes[0] = 99;
    assert!(error(&bytes).starts_with("partial window of unknown version Some(99)"));
    assert!(error(&[]).starts_with("partial window of unknown version None"));
}
