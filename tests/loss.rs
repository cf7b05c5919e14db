//! Recorded datagrams of real exporters: nothing is missing, and what is taken out is missed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use flowsentry::features::{ClosedWindow, Loss, WindowLimits, Windows};
use flowsentry::formats;
use flowsentry::model::{Flow, FlowOrigin, Timestamp};
use flowsentry::testkit::flow;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 30,
    max_subjects: 1_000,
    count_once: true,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/goflow2-json")
}

/// One datagram: its number, and how many flow records it holds.
#[derive(Clone, Copy, Debug)]
struct Datagram {
    sequence: u32,
    records: u32,
}

fn number(bytes: &[u8], at: usize, length: usize) -> u32 {
    bytes[at..at + length].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The UDP payloads of a recording of IPv4 over Ethernet.
fn payloads(name: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    let link = u32::from_le_bytes(bytes[20..24].try_into().unwrap());
    assert_eq!(link, 1, "Ethernet");
    let (mut rest, mut payloads) = (&bytes[24..], Vec::new());
    while rest.len() > 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16 + 14..16 + length];
        payloads.push(packet[usize::from(packet[0] & 15) * 4 + 8..].to_vec());
        rest = &rest[16 + length..];
    }
    payloads
}

/// The length of the records of each template of a set that defines some.
fn learn(mut set: &[u8], lengths: &mut BTreeMap<u32, usize>) {
    while set.len() > 4 {
        let (template, fields) = (number(set, 0, 2), number(set, 2, 2) as usize);
        let length = (0..fields).map(|field| number(set, 6 + 4 * field, 2) as usize).sum();
        lengths.insert(template, length);
        set = &set[4 + 4 * fields..];
    }
}

/// The flow records in the sets of NetFlow 9 or IPFIX. Set 256 holds options here.
fn records_in(mut sets: &[u8], templates: u32, lengths: &mut BTreeMap<u32, usize>) -> u32 {
    let mut records = 0;
    while sets.len() > 4 {
        let (set, length) = (number(sets, 0, 2), number(sets, 2, 2) as usize);
        let body = &sets[4..length];
        if set == templates {
            learn(body, lengths);
        } else if set > 256 {
            records += (body.len() / lengths[&set]) as u32;
        }
        sets = &sets[length..];
    }
    records
}

fn datagrams(origin: FlowOrigin, name: &str) -> Vec<Datagram> {
    let mut lengths = BTreeMap::new();
    let read = |payload: Vec<u8>| {
        let (sequence, records) = match origin {
            FlowOrigin::NetflowV5 => (number(&payload, 16, 4), number(&payload, 2, 2)),
            FlowOrigin::NetflowV9 => {
                (number(&payload, 12, 4), records_in(&payload[20..], 0, &mut lengths))
            }
            FlowOrigin::Ipfix => {
                (number(&payload, 8, 4), records_in(&payload[16..], 2, &mut lengths))
            }
            // The agent takes no counters: every sample is of a flow.
            _ => (number(&payload, 16, 4), number(&payload, 24, 4)),
        };
        Datagram { sequence, records }
    };
    payloads(name).into_iter().map(read).collect()
}

/// What the records of datagrams become, all received within a window, their flows ended over it.
fn flows(origin: FlowOrigin, datagrams: &[Datagram]) -> Vec<Flow> {
    let records = datagrams.iter().flat_map(|one| (0..one.records).map(|_| one.sequence));
    let flow_of = |(n, sequence): (usize, u32)| {
        let end = 600 - i64::try_from(n % 90).unwrap();
        flow().origin(origin).at(end).received(610).export("10.77.0.1", sequence).build()
    };
    records.enumerate().map(flow_of).collect()
}

fn loss(flows: &[Flow]) -> Loss {
    let limits = WindowLimits { lateness_seconds: 86_400, ..LIMITS };
    let mut windows = Windows::new(limits);
    // A later flow, so that the window of the arrival is used.
    let end = flows.iter().filter_map(|flow| flow.received).max().unwrap();
    let last = flow().at_time(end).export("10.77.0.1", 0).build();
    flows.iter().chain([&last]).for_each(|flow| _ = windows.add(0, flow));
    windows.finish();
    let mut sum = Loss::default();
    while let Some(closed) = windows.next_closed() {
        let ClosedWindow::Hosts(window) = closed else { continue };
        for exporter in window.exporters {
            let loss = exporter.exports.loss();
            sum.expected_records += loss.expected_records;
            sum.lost_records += loss.lost_records;
            sum.expected_datagrams += loss.expected_datagrams;
            sum.lost_datagrams += loss.lost_datagrams;
        }
    }
    sum
}

const RECORDINGS: [(FlowOrigin, &str, usize, u32); 4] = [
    (FlowOrigin::NetflowV5, "export-netflow-v5.pcap", 16, 454),
    (FlowOrigin::NetflowV9, "export-netflow-v9.pcap", 19, 523),
    (FlowOrigin::Ipfix, "export-ipfix.pcap", 19, 523),
    (FlowOrigin::Sflow5, "export-sflow5.pcap", 48, 349),
];

#[test]
fn nothing_is_missing_of_what_real_exporters_sent() {
    for (origin, name, count, records) in RECORDINGS {
        let datagrams = datagrams(origin, name);
        assert_eq!(datagrams.len(), count, "{name}");
        assert_eq!(datagrams.iter().map(|one| one.records).sum::<u32>(), records, "{name}");
        let loss = loss(&flows(origin, &datagrams));
        assert_eq!((loss.lost_records, loss.lost_datagrams), (0, 0), "{name}");
        let expected = loss.expected_records + loss.expected_datagrams;
        assert!(expected > 15, "{name}: {loss:?}");
    }
}

#[test]
fn datagrams_that_are_taken_out_are_missed() {
    for (origin, name, count, _) in RECORDINGS {
        let mut kept = datagrams(origin, name);
        let places: Vec<usize> = (1..count - 1).step_by(5).collect();
        let gone: Vec<Datagram> = places.iter().rev().map(|place| kept.remove(*place)).collect();
        // Whatever the order in which they come.
        kept.reverse();
        let loss = loss(&flows(origin, &kept));
        let records: u32 = gone.iter().map(|one| one.records).sum();
        let expected = match origin {
            FlowOrigin::NetflowV5 => (u64::from(records), 0),
            // Its numbers stand behind their records here, which is not known: the difference
            // between the first and the last datagram stays unseen.
            FlowOrigin::Ipfix => (u64::from(records) - (24 - 7), 0),
            _ => (0, gone.len() as u64),
        };
        assert_eq!((loss.lost_records, loss.lost_datagrams), expected, "{name}");
    }
}

/// What goflow2 made of all datagrams of two exporters, of which the recordings hold some records
/// each.
#[test]
fn nothing_is_missing_in_recorded_messages_that_hold_every_datagram() {
    for name in ["netflow_v9-softflowd.ndjson", "sflow_5-pmacct.ndjson"] {
        let text = std::fs::read_to_string(folder().join(name)).unwrap();
        let mut decoder = formats::by_name("goflow2").unwrap().decoder();
        let mut flows: Vec<Flow> = text
            .lines()
            .map(|line| decoder.decode(line.as_bytes()).unwrap().expect("a flow"))
            .collect();
        for flow in &mut flows {
            // As the scorer repairs a wrong clock.
            (flow.start, flow.end) = (flow.received.unwrap(), flow.received.unwrap());
        }
        let loss = loss(&flows);
        assert_eq!(loss.lost_datagrams, 0, "{name}: {loss:?}");
        assert!(loss.expected_datagrams >= 17, "{name}: {loss:?}");
        let fewer: Vec<Flow> = flows
            .iter()
            .filter(|flow| ![Some(8), Some(9)].contains(&flow.sequence))
            .cloned()
            .collect();
        assert_eq!(self::loss(&fewer).lost_datagrams, 2, "{name}");
    }
}

/// The number of a datagram counts where it came, not where its flows ended.
#[test]
fn flows_that_end_long_before_they_come_are_not_missed() {
    let mut flows = Vec::new();
    for sequence in 0..600_u32 {
        for age in [1, 40, 200, 1_000] {
            let received = 3_600 + i64::from(sequence) / 10;
            let sent = flow().origin(FlowOrigin::Sflow5).at(received - age).received(received);
            flows.push(sent.export("10.77.0.1", sequence).build());
        }
    }
    let loss = loss(&flows);
    assert_eq!((loss.expected_datagrams, loss.lost_datagrams), (600, 0));
    // A window in which no flow ended says nothing, and is not there.
    let mut windows = Windows::new(LIMITS);
    let late = flow().origin(FlowOrigin::Sflow5).at(0).received(3_600).export("10.77.0.1", 1);
    windows.add(0, &late.build());
    windows.finish();
    let ends: Vec<Timestamp> = std::iter::from_fn(|| windows.next_closed())
        .map(|closed| match closed {
            ClosedWindow::Pairs(window) => window.span.start,
            ClosedWindow::Hosts(window) => window.span.start,
        })
        .collect();
    assert_eq!(ends, [Timestamp::from_seconds(0); 2]);
}
