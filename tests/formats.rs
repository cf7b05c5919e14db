//! The format decoders on real records: golden flows of recorded exporters, whole public captures
//! where they lie at hand, and hundreds of thousands of broken variants.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its data should stop")]

mod samples;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flowsentry::formats::{self, MessageDecoder, Reject, ecs};
use flowsentry::model::{Flow, FlowOrigin, NetworkType, Outcome, Protocol, Role, TcpFlags};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use samples::{SAMPLES, Sample, protobuf};

/// Every decoded record of some bytes, in order.
fn decode_all(bytes: &[u8]) -> Vec<Result<Option<Flow>, Reject>> {
    let head = &bytes[..bytes.len().min(8192)];
    let mut decoder = formats::detect(head).expect("a known format").decoder();
    bytes.split(|&byte| byte == b'\n').map(|record| decoder.decode(record)).collect()
}

/// The flows of some bytes; a rejected record stops the test.
fn flows(bytes: &[u8]) -> Vec<Flow> {
    decode_all(bytes).into_iter().filter_map(Result::unwrap).collect()
}

fn recorded(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/goflow2-json");
    std::fs::read(folder.join(name)).unwrap()
}

const RECORDINGS: [(&str, FlowOrigin); 6] = [
    ("netflow_v5-softflowd.ndjson", FlowOrigin::NetflowV5),
    ("netflow_v9-softflowd.ndjson", FlowOrigin::NetflowV9),
    ("ipfix-softflowd.ndjson", FlowOrigin::Ipfix),
    ("netflow_v9-pmacct.ndjson", FlowOrigin::NetflowV9),
    ("ipfix-pmacct.ndjson", FlowOrigin::Ipfix),
    ("sflow_5-pmacct.ndjson", FlowOrigin::Sflow5),
];

#[test]
fn every_recorded_message_is_a_flow_of_its_exporter() {
    for (name, origin) in RECORDINGS {
        let flows = flows(&recorded(name));
        assert_eq!(flows.len(), 100, "{name}");
        for flow in &flows {
            assert_eq!(flow.origin, origin, "{name}");
            assert!(flow.received.is_some() && flow.exporter.is_some(), "{name}");
            assert!(flow.sent.bytes > 0 && flow.sent.packets > 0, "{name}");
            assert!(flow.defects.is_empty(), "{name}: {flow:?}");
            let is_ip = matches!(flow.network, NetworkType::Ipv4 | NetworkType::Ipv6);
            assert_eq!(flow.protocol.is_some(), is_ip, "{name}");
            let has_ports = flow.protocol.is_some_and(Protocol::has_ports);
            assert_eq!(flow.source.port.is_some(), has_ports, "{name}: {flow:?}");
        }
    }
}

#[test]
fn the_first_flows_of_every_exporter_stay_as_they_are() {
    for (name, _) in RECORDINGS {
        let flows = flows(&recorded(name));
        let icmp = flows.iter().find(|flow| flow.icmp.is_some());
        insta::assert_debug_snapshot!(name.trim_end_matches(".ndjson"), (&flows[0], icmp));
    }
}

#[test]
fn sampling_is_said_only_by_those_who_say_it() {
    for (name, rate) in [
        ("netflow_v5-softflowd.ndjson", None),
        ("netflow_v9-softflowd.ndjson", Some(1)),
        ("sflow_5-pmacct.ndjson", Some(4)),
    ] {
        let flows = flows(&recorded(name));
        assert!(
            flows.iter().all(|flow| flow.sampling_rate.map(|rate| rate.get()) == rate),
            "{name}"
        );
    }
}

#[test]
fn unknown_interfaces_of_sflow_are_absent() {
    let flows = flows(&recorded("sflow_5-pmacct.ndjson"));
    assert!(flows.iter().all(|flow| flow.input_interface != Some(0x3fff_ffff)));
}

#[test]
fn the_scan_in_the_recording_is_seen_as_probes_in_one_direction() {
    let scanner = "10.77.0.66".parse().ok();
    for name in ["netflow_v5-softflowd.ndjson", "netflow_v9-softflowd.ndjson"] {
        let flows = flows(&recorded(name));
        let tcp = |flow: &&Flow| flow.protocol == Some(Protocol::TCP);
        let sent: Vec<_> = flows.iter().filter(tcp).filter(|f| f.source.ip == scanner).collect();
        let refused: Vec<_> =
            flows.iter().filter(tcp).filter(|f| f.destination.ip == scanner).collect();
        assert!(sent.len() > 10 && refused.len() > 10, "{name}");
        assert!(sent.iter().all(|flow| flow.is_probe()), "{name}");
        let resets = refused.iter().filter(|flow| {
            flow.tcp_flags
                .is_some_and(|flags| flags.has(TcpFlags::RST) && !flags.has(TcpFlags::SYN))
        });
        assert!(resets.clone().count() > 10, "{name}");
        assert!(resets.clone().all(|f| f.role() == Role::Responder && !f.is_probe()), "{name}");
    }
}

#[test]
fn every_recorded_flow_survives_its_document() {
    for (name, _) in RECORDINGS {
        let mut decoder = formats::by_name("ecs").unwrap().decoder();
        for flow in flows(&recorded(name)) {
            let document = ecs::flow_document(&flow, "id").to_string();
            assert_eq!(decoder.decode(document.as_bytes()), Ok(Some(flow)), "{name}");
        }
    }
}

// ---- whole captures, where they are at hand

/// The folder of the shared data, if there is one.
fn shared_data() -> Option<PathBuf> {
    let folder = match std::env::var_os("FLOWSENTRY_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let data = folder.join("data");
    if data.is_dir() {
        return Some(data);
    }
    // Not `eprintln!`, which the test harness keeps to itself when a test passes.
    let skipped = format!("skipped: no captures in {} (set FLOWSENTRY_SHARED)\n", data.display());
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

fn decompressed(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(std::io::BufReader::new(file))
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Reads a capture; nothing may be rejected, and it must have so many flows.
fn capture(path: &Path, format: &str, expected: usize) -> Vec<Flow> {
    let bytes = decompressed(path);
    let detected = formats::detect(&bytes[..bytes.len().min(4096)]).map(|found| found.name());
    assert_eq!(detected, Some(format), "{}", path.display());
    let results = decode_all(&bytes);
    let rejects: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(rejects.is_empty(), "{}: {} {:?}", path.display(), rejects.len(), rejects[0]);
    let flows: Vec<_> = results.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(flows.len(), expected, "{}", path.display());
    flows
}

#[test]
fn zeek_captures_are_read_whole() {
    let Some(data) = shared_data() else { return };
    for (path, format, rows) in [
        ("zeek-internet-host-3days/conn_2024-04-19.tsv.zst", "zeek", 31_367),
        ("zeek-internet-host-3days/conn_2024-04-20.tsv.zst", "zeek", 39_073),
        ("zeek-stratosphere/001-zeek-scenario-malicious/labeled-conn.log.zst", "zeek", 992),
        ("zeek-stratosphere/002-zeek-scenario-port-scanning/conn.log.zst", "zeek_json", 4_504),
        ("zeek-stratosphere/003-zeek-scenario-malicious/conn.log.zst", "zeek", 361),
        ("zeek-stratosphere/006-zeek-scenario-ssh/conn.log.zst", "zeek", 18),
        ("zeek-stratosphere/008-zeek-mixed/data/conn.log.labeled.zst", "zeek", 5_663),
        ("zeek-stratosphere/010-zeek-mixed/data/conn.log.labeled.zst", "zeek", 5_347),
        ("slips-testsets/port-scans/horizontal/conn.log.zst", "zeek", 41),
        ("slips-testsets/port-scans/vertical/conn.log.zst", "zeek_json", 50),
        (
            "slips-testsets/test18-malicious-ctu-sme-11-win/zeek-labeled/conn.log.labeled.zst",
            "zeek",
            766,
        ),
        ("iot-23/CTU-Malware-Capture-34-1-labeled.csv.zst", "zeek", 23_145),
        ("iot-23/CTU-Malware-Capture-42-1-labeled.csv.zst", "zeek", 4_426),
        ("iot-23/CTU-Malware-Capture-20-1-labeled.csv.zst", "zeek", 3_209),
        ("iot-23/CTU-Honeypot-Capture-4-1-labeled.csv.zst", "zeek", 452),
        ("iot-23/CTU-Honeypot-Capture-5-1-labeled.csv.zst", "zeek", 1_374),
    ] {
        let flows = capture(&data.join(path), format, rows);
        for flow in &flows {
            assert_eq!(flow.origin, FlowOrigin::Zeek);
            assert!(flow.source.ip.is_some() && flow.destination.ip.is_some(), "{path}");
            assert!(flow.protocol.is_some() && flow.defects.is_empty(), "{path}: {flow:?}");
        }
    }
}

#[test]
fn other_zeek_logs_are_of_no_known_format() {
    let Some(data) = shared_data() else { return };
    for path in [
        "zeek-internet-host-3days/http_2024-04-19.tsv.zst",
        "zeek-internet-host-3days/ssh_2024-04-20.tsv.zst",
        "zeek-stratosphere/003-zeek-scenario-malicious/dns.log.zst",
        "zeek-stratosphere/006-zeek-scenario-ssh/ssh.log.zst",
        "zeek-stratosphere/008-zeek-mixed/data/ssl.log.labeled.zst",
        "zeek-stratosphere/010-zeek-mixed/data/dns.log.labeled.zst",
        "slips-testsets/test18-malicious-ctu-sme-11-win/zeek-labeled/dns.log.labeled.zst",
        "slips-testsets/test1-malicious.nfdump.zst",
    ] {
        let bytes = decompressed(&data.join(path));
        let found = formats::detect(&bytes[..bytes.len().min(4096)]).map(|found| found.name());
        assert_eq!(found, None, "{path}");
    }
}

#[test]
fn argus_captures_are_read_whole() {
    let Some(data) = shared_data() else { return };
    for (path, rows) in [
        ("test2-malicious.binetflow.zst", 6_751),
        ("test3-mixed.binetflow.zst", 89),
        // 300 rows, of which one is Argus reporting about itself.
        ("test5-mixed.binetflow.zst", 299),
        ("test11-portscan.binetflow.zst", 66),
    ] {
        let flows = capture(&data.join("slips-testsets").join(path), "argus", rows);
        assert!(flows.iter().all(|flow| flow.defects.is_empty()), "{path}");
        assert!(flows.iter().any(|flow| flow.outcome == Outcome::Exchanged) != path.contains("11"));
        if path.contains("portscan") {
            assert!(flows.iter().all(Flow::is_probe), "{path}");
        }
    }
}

#[test]
fn the_port_scan_capture_is_probes_and_the_beacon_is_not() {
    let Some(data) = shared_data() else { return };
    let day = data.join("zeek-internet-host-3days/conn_2024-04-19.tsv.zst");
    let flows = capture(&day, "zeek", 31_367);
    let beacon = flows.iter().filter(|flow| {
        flow.source.ip == "73.54.23.243".parse().ok() && flow.destination.port == Some(80)
    });
    assert_eq!(beacon.clone().count(), 317);
    assert!(beacon.clone().all(|flow| !flow.is_probe() && flow.outcome == Outcome::Exchanged));
    // The host answers scans with ICMP errors: those are no probes of its own.
    let errors = flows.iter().filter(|flow| flow.icmp.is_some_and(|message| message.kind == 3));
    assert!(errors.clone().count() > 100 && errors.clone().all(|flow| !flow.is_probe()));
}

// ---- broken records

/// Real records of every kind, with the lines that a decoder has to see before them.
fn seeds() -> Vec<(Vec<u8>, Vec<u8>)> {
    let sample = |sample: &Sample| (sample.header.into(), sample.record.into());
    let mut seeds: Vec<(Vec<u8>, Vec<u8>)> = SAMPLES.iter().map(sample).collect();
    for (name, _) in RECORDINGS {
        for line in String::from_utf8(recorded(name)).unwrap().lines().step_by(33) {
            let message = protobuf::message(&serde_json::from_str(line).unwrap());
            seeds.push((Vec::new(), protobuf::delimited(&message)));
            seeds.push((Vec::new(), message));
            seeds.push((Vec::new(), line.into()));
        }
    }
    seeds
}

#[derive(Clone, Debug)]
enum Mutation {
    FlipBit(usize, u8),
    Cut(usize, usize),
    Truncate(usize),
    Splice(usize, usize, usize),
    Digit(usize, u8),
    Insert(usize, &'static str),
    Random(usize, Vec<u8>),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = || any::<u16>().prop_map(usize::from);
    let hostile = proptest::sample::select(vec![
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\t",
        "-",
        "\0",
        ".",
        ":",
        "e999",
        "99999999999999999999",
        "\\u0000",
        "\\ud800",
        "null",
        "\u{feff}",
        "\u{1b}[31m",
        "#fields\t",
        "::",
        "%",
        "0x",
        "\r",
    ]);
    let mutation = prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        (at(), 0..40_usize).prop_map(|(at, length)| Mutation::Cut(at, length)),
        at().prop_map(Mutation::Truncate),
        (at(), at(), 0..80_usize).prop_map(|(to, from, length)| Mutation::Splice(to, from, length)),
        (at(), b'0'..=b'9').prop_map(|(at, digit)| Mutation::Digit(at, digit)),
        (at(), hostile).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (at(), proptest::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(at, bytes)| Mutation::Random(at, bytes)),
    ];
    proptest::collection::vec(mutation, 1..5)
}

fn mutate(record: &mut Vec<u8>, mutation: &Mutation, other: &[u8]) {
    let place = |at: &usize, length: usize| if length == 0 { 0 } else { at % length };
    let length = record.len();
    match mutation {
        Mutation::FlipBit(at, bit) => {
            if let Some(byte) = record.get_mut(place(at, length)) {
                *byte ^= 1 << bit;
            }
        }
        Mutation::Cut(at, count) => {
            let from = place(at, length);
            record.drain(from..(from + count).min(length));
        }
        Mutation::Truncate(at) => record.truncate(place(at, length)),
        Mutation::Splice(to, from, count) => {
            let from = place(from, other.len());
            let piece = other[from..(from + count).min(other.len())].to_vec();
            let to = place(to, length);
            record.splice(to..to, piece);
        }
        Mutation::Digit(at, digit) => {
            let digits: Vec<usize> =
                (0..length).filter(|&position| record[position].is_ascii_digit()).collect();
            if let Some(&position) = digits.get(place(at, digits.len())) {
                record[position] = *digit;
            }
        }
        Mutation::Insert(at, text) => {
            let at = place(at, length);
            record.splice(at..at, text.bytes());
        }
        Mutation::Random(at, bytes) => {
            let at = place(at, length);
            record.splice(at..at, bytes.iter().copied());
        }
    }
}

/// Checks what must hold of every answer.
fn check(answer: &Result<Option<Flow>, Reject>) -> Result<(), TestCaseError> {
    match answer {
        Ok(None) => {}
        Ok(Some(flow)) => {
            prop_assert!(flow.end >= flow.start && flow.start.nanos() >= 0);
            prop_assert!(ecs::flow_document(flow, "id").is_object());
            let _ = (flow.role(), flow.is_probe(), flow.scaled_bytes());
        }
        Err(reject) => {
            prop_assert!(reject.detail.len() < 500, "{}", reject.detail);
            prop_assert!(!reject.to_string().chars().any(char::is_control), "{reject:?}");
        }
    }
    Ok(())
}

/// `FLOWSENTRY_FUZZ_RECORDS` sets how many records are broken; 20,000 otherwise.
#[test]
fn broken_records_never_panic() {
    let records = std::env::var("FLOWSENTRY_FUZZ_RECORDS").ok();
    let cases = records.and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seeds = seeds();
    let picks = (0..seeds.len(), 0..seeds.len(), mutations());
    let result = runner.run(&picks, |(seed, other, mutations)| {
        let (header, original) = &seeds[seed];
        let mut record = original.clone();
        for mutation in &mutations {
            mutate(&mut record, mutation, &seeds[other].1);
        }
        let _ = formats::detect(&record);
        for format in formats::FORMATS {
            let mut fresh = format.decoder();
            let _ = fresh.decode(header);
            let answer = fresh.decode(&record);
            check(&answer)?;
            // The records before may make a decoder faster, never decide what it answers.
            let mut experienced = format.decoder();
            let _ = experienced.decode(header);
            let _ = experienced.decode(original);
            prop_assert_eq!(experienced.decode(&record), answer);
        }
        let answers = |before: Option<&[u8]>| {
            let mut decoder = MessageDecoder::new(None);
            decoder.decode(before.unwrap_or_default(), &mut |_, _| {});
            let mut found = Vec::new();
            decoder.decode(&record, &mut |_, answer| found.push(answer));
            found
        };
        let found = answers(None);
        found.iter().try_for_each(check)?;
        prop_assert_eq!(answers(Some(original)), found);
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
}
