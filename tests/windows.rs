//! Windows against golden samples, and the promise that only the flows of a window matter.

use std::collections::BTreeMap;

use flowsentry::features::{
    ClosedWindow, FeatureMatrix, HostsWindow, NamedFeatures, PairsWindow, Placement, WindowLimits,
    Windows,
};
use flowsentry::model::{ConnectionState, Flow, Subject, Timestamp};
use flowsentry::testkit::flow;
use proptest::prelude::*;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 30,
    max_subjects: 100_000,
    count_once: true,
};

/// Everything that a run of windows says, in a form that compares.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    rows: BTreeMap<(i64, u32, String), Vec<f64>>,
}

impl Facts {
    fn note<F: NamedFeatures>(&mut self, start: Timestamp, seconds: u32, subject: &str, row: &F) {
        let mut values = Vec::new();
        row.write_features(&mut values);
        let again = self.rows.insert((start.seconds(), seconds, subject.to_owned()), values);
        assert!(again.is_none(), "{subject} at {start} closed twice");
    }

    fn take(&mut self, closed: ClosedWindow) {
        match closed {
            ClosedWindow::Pairs(window) => {
                let span = window.span;
                for pair in &window.pairs {
                    self.note(span.start, span.seconds, &format!("pair {}", pair.subject()), pair);
                }
                let batch = window.batch_features().values().to_vec();
                self.rows.insert((span.start.seconds(), span.seconds, "batch".into()), batch);
            }
            ClosedWindow::Hosts(window) => {
                let span = window.span;
                for host in &window.sources {
                    self.note(
                        span.start,
                        span.seconds,
                        &format!("source {}", host.subject()),
                        host,
                    );
                }
                for host in &window.destinations {
                    let name = format!("destination {}", host.subject());
                    self.note(span.start, span.seconds, &name, host);
                }
                for device in &window.exporters {
                    let name = format!("exporter {}", device.subject());
                    self.note(span.start, span.seconds, &name, device);
                }
                self.note(span.start, span.seconds, "network", &window.network);
            }
        }
    }
}

fn facts(flows: &[Flow], batch: usize) -> Facts {
    let mut windows = Windows::new(LIMITS);
    let mut facts = Facts::default();
    for flows in flows.chunks(batch.max(1)) {
        for flow in flows {
            assert!(matches!(windows.add(0, flow), Placement::Counted(_)), "nothing is late here");
        }
        while let Some(closed) = windows.next_closed() {
            facts.take(closed);
        }
    }
    windows.finish();
    while let Some(closed) = windows.next_closed() {
        facts.take(closed);
    }
    facts
}

fn all_closed(flows: &[Flow]) -> (Vec<PairsWindow>, Vec<HostsWindow>) {
    let mut windows = Windows::new(LIMITS);
    for flow in flows {
        windows.add(0, flow);
    }
    windows.finish();
    let (mut pairs, mut hosts) = (Vec::new(), Vec::new());
    while let Some(closed) = windows.next_closed() {
        match closed {
            ClosedWindow::Pairs(window) => pairs.push(window),
            ClosedWindow::Hosts(window) => hosts.push(window),
        }
    }
    (pairs, hosts)
}

fn named<F: NamedFeatures>(row: &F) -> BTreeMap<&'static str, f64> {
    let mut values = Vec::new();
    row.write_features(&mut values);
    F::NAMES.iter().copied().zip(values).collect()
}

/// Golden sample G0.2: one source, two destinations, three flows in two export datagrams.
#[test]
fn golden_host_windows_have_the_published_values() {
    let row = |to: &str, port, from_port, sequence, bytes, packets| {
        flow()
            .from("10.0.0.1")
            .from_port(from_port)
            .to(to)
            .to_port(port)
            .vlan(10)
            .bytes(bytes)
            .packets(packets)
            .export("192.0.2.1", sequence)
            .build()
    };
    let (_, hosts) = all_closed(&[
        row("10.0.0.2", 80, 1000, 1, 100, 1),
        row("10.0.0.2", 443, 1001, 1, 200, 2),
        row("10.0.0.3", 443, 1002, 2, 300, 3),
    ]);
    let source = named(&hosts[0].sources[0]);
    assert_eq!(source["sumOfFlows"], 2.0);
    assert_eq!(source["sumOfBytes"], 600.0);
    assert_eq!(source["sumOfPackets"], 6.0);
    assert_eq!(source["uniqDstIPs"], 2.0);
    assert_eq!(source["uniqDstPorts"], 2.0);
    assert_eq!(hosts[0].sources[0].vlan, 10);
    let destination = &hosts[0].destinations[0];
    assert_eq!(destination.subject(), Subject::Destination("10.0.0.2".parse().unwrap()));
    let destination = named(destination);
    assert_eq!(destination["destSumOfFlows"], 1.0);
    assert_eq!(destination["destSumOfBytes"], 300.0);
    assert_eq!(destination["destSumOfPackets"], 3.0);
    assert_eq!(destination["uniqSrcIPs"], 1.0);
    assert_eq!(destination["uniqSrcPorts"], 2.0);
}

#[test]
fn equal_sequence_numbers_of_two_exporters_are_two_flows() {
    let (_, hosts) = all_closed(&[
        flow().export("192.0.2.1", 7).build(),
        flow().export("192.0.2.2", 7).build(),
        flow().export("192.0.2.2", 7).build(),
    ]);
    assert_eq!(hosts[0].sources[0].counters.flows(), 2);
}

/// Golden sample G1.2: one pair over the edge between two ten-second windows.
#[test]
fn golden_pair_windows_have_the_published_values() {
    let rows = [
        (10, 50275, 803, 2567),
        (13, 50275, 176_677, 662),
        (16, 46813, 740, 328),
        (17, 42170, 740, 488),
        (17, 49128, 378, 164),
        (17, 49726, 4042, 199_732),
        (18, 50233, 370, 164),
        (20, 49129, 756, 328),
        (20, 49322, 740, 328),
    ];
    let flows = rows.map(|(second, port, up, down)| {
        flow()
            .from("10.2.1.20")
            .from_port(port)
            .to("10.12.0.31")
            .to_port(80)
            .at(second)
            .bytes(up)
            .returned(down, 1)
            .state(ConnectionState::Established)
            .build()
    });
    let (pairs, _) = all_closed(&flows);
    assert_eq!(pairs.len(), 2);
    let first = named(&pairs[0].pairs[0]);
    let expected = [
        ("bytes_up", 183_750.0),
        ("bytes_dw", 204_105.0),
        ("num_conns", 7.0),
        ("num_flows", 6.0),
        ("num_dst_port", 1.0),
        ("num_src_port", 6.0),
        ("tcp_conns", 7.0),
        ("udp_conns", 0.0),
    ];
    assert_eq!(first, expected.into_iter().collect());
    let second = named(&pairs[1].pairs[0]);
    assert_eq!((second["bytes_up"], second["bytes_dw"], second["num_conns"]), (1496.0, 656.0, 2.0));
}

#[test]
fn sampling_is_applied_and_unknown_rates_are_counted() {
    let (_, hosts) = all_closed(&[
        flow().bytes(100).packets(1).sampled(1024).build(),
        flow().bytes(50).packets(1).sampled(0).build(),
    ]);
    let network = named(&hosts[0].network);
    assert_eq!(network["bytes"], 102_450.0);
    assert_eq!(network["raw_bytes"], 150.0);
    assert_eq!(network["unknown_sampling"], 1.0);
}

/// "Per" features count distinct values: one source that tries 100 ports of one host stands out in
/// the ports per pair, not in the hosts per source.
#[test]
fn batch_features_see_a_scan() {
    let flows: Vec<_> = (1..=100).map(|port| flow().to_port(port).syn().build()).collect();
    let (pairs, _) = all_closed(&flows);
    let names = flowsentry::features::BatchFeatures::names();
    assert_eq!(names.len(), 57, "56 features and the length of the batch");
    let features = pairs[0].batch_features();
    let value =
        |name: &str| features.values()[names.iter().position(|known| known == name).unwrap()];
    assert_eq!(value("num_entries"), 100.0);
    assert_eq!(value("count_conns"), 1.0);
    assert_eq!(value("count_flows"), 100.0);
    assert_eq!(value("max_dst_port_per_conn"), 100.0);
    assert_eq!(value("max_dst_ip_per_src_ip"), 1.0);
    assert_eq!(value("p90_src_ip_per_dst_port"), 1.0);
}

#[test]
fn a_feature_matrix_has_a_row_per_subject_and_columns_by_name() {
    let flows = ["10.0.0.1", "10.0.0.5", "10.0.0.9"].map(|from| flow().from(from).bytes(7).build());
    let (_, hosts) = all_closed(&flows);
    let matrix = FeatureMatrix::of(&hosts[0].sources);
    assert_eq!(matrix.values.dim(), (3, matrix.names.len()));
    assert_eq!(matrix.column("sumOfBytes").unwrap().to_vec(), [7.0; 3]);
    assert!(matrix.column("no_such_feature").is_none());
}

#[test]
fn a_flow_of_a_closed_window_is_late_and_changes_nothing() {
    let mut windows = Windows::new(LIMITS);
    windows.add(0, &flow().at(0).build());
    windows.add(0, &flow().at(100).build());
    assert!(matches!(windows.add(0, &flow().at(5).build()), Placement::Late(_)));
    assert_eq!(windows.late(), 1);
    let Some(ClosedWindow::Pairs(pane)) = windows.next_closed() else { panic!("the pane is over") };
    assert_eq!(pane.pairs[0].counters.conns, 1);
}

#[test]
fn a_slow_partition_holds_windows_open_for_itself_alone() {
    let mut windows = Windows::new(LIMITS);
    windows.add(0, &flow().at(0).build());
    windows.add(1, &flow().at(0).build());
    windows.add(0, &flow().at(500).build());
    assert!(windows.next_closed().is_none(), "partition 1 is still at 0");
    assert_eq!(windows.add(1, &flow().at(3).build()), Placement::Counted(Timestamp::default()));
    assert!(matches!(windows.add(0, &flow().at(3).build()), Placement::Late(_)));
}

#[test]
fn beyond_the_cap_subjects_are_counted_and_the_window_says_so() {
    let limits = WindowLimits { max_subjects: 10, ..LIMITS };
    let mut windows = Windows::new(limits);
    for n in 0..1000u32 {
        windows.add(0, &flow().from_ip(std::net::Ipv4Addr::from_bits(n).into()).build());
    }
    windows.finish();
    let mut truncated = Vec::new();
    while let Some(closed) = windows.next_closed() {
        match closed {
            ClosedWindow::Pairs(window) => {
                truncated.push((window.span.truncated, window.pairs.len()))
            }
            ClosedWindow::Hosts(window) => {
                truncated.push((window.span.truncated, window.sources.len()));
                assert_eq!(window.network.counters.flows, 1000, "totals stay whole");
            }
        }
    }
    assert_eq!(truncated, [(true, 10), (true, 10)]);
    assert_eq!(windows.overflow(), 990 * 2);
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let hosts = (0u8..6, 0u8..6);
    let ports = (prop::sample::select(vec![22u16, 80, 443, 50_000, 50_001]), 0u16..40);
    (0i64..150, hosts, ports, 0u64..10_000, 0u32..4, any::<bool>()).prop_map(
        |(second, (from, to), (from_port, to_port), bytes, sequence, syn)| {
            let flow = flow()
                .from(&format!("10.0.0.{from}"))
                .to(&format!("fd00::{to}"))
                .from_port(from_port)
                .to_port(to_port)
                .at(second)
                .bytes(bytes)
                .export("192.0.2.1", sequence);
            if syn { flow.syn().build() } else { flow.build() }
        },
    )
}

proptest! {
    #[test]
    fn neither_batches_nor_order_within_the_lateness_change_a_window(
        mut flows in prop::collection::vec(any_flow(), 0..200),
        jitter in prop::collection::vec(0i64..30, 200),
        batch in 1usize..50,
    ) {
        flows.sort_by_key(|flow| flow.end);
        let in_order = facts(&flows, usize::MAX);
        let mut keyed: Vec<_> = flows.into_iter().zip(jitter).collect();
        // A flow may be overtaken by later ones as long as they are less than the lateness ahead.
        keyed.sort_by_key(|(flow, jitter)| flow.end.plus_seconds(*jitter));
        let shuffled: Vec<_> = keyed.into_iter().map(|(flow, _)| flow).collect();
        prop_assert_eq!(in_order, facts(&shuffled, batch));
    }
}
