//! The detectors on real captures: who must be named is, and the others are counted.
//!
//! Small exporter files lie in `tests/data`. The larger public captures are read when they are there
//! (`FLOWSENTRY_SHARED`, or `../shared`); otherwise the test says so and passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flowsentry::detect::{self, Context, Detector, Settings};
use flowsentry::features::{ClockLimits, ClosedWindow, WindowLimits, Windows, repair_clock};
use flowsentry::formats;
use flowsentry::model::{Finding, Flow, Kind, WindowSpan};

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 60,
    max_subjects: 200_000,
    count_once: true,
};
const CLOCK: ClockLimits = ClockLimits { ahead_seconds: 300, behind_seconds: 3_600 };
const SCANS: [Kind; 3] = [Kind::PortScanVertical, Kind::PortScanHorizontal, Kind::PortScanSlow];

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The folder of public captures, where there is one.
fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("FLOWSENTRY_SHARED").map_or(beside, PathBuf::from);
    let path = folder.join("data").join(name);
    if !path.exists() {
        eprintln!("skipped: {name} is not there");
        return None;
    }
    Some(path)
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_none_or(|extension| extension != "zst") {
        return bytes;
    }
    let mut text = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(&bytes[..]).unwrap().read_to_end(&mut text).unwrap();
    text
}

fn flows(path: &Path) -> Vec<Flow> {
    let bytes = read(path);
    let format = formats::detect(&bytes).expect("a known format");
    let mut decoder = format.decoder();
    let lines = bytes.split(|&byte| byte == b'\n');
    let mut flows: Vec<_> = lines.filter_map(|line| decoder.decode(line).ok().flatten()).collect();
    for flow in &mut flows {
        repair_clock(flow, CLOCK);
    }
    flows.sort_by_key(|flow| flow.end);
    flows
}

fn judge(flows: &[Flow]) -> Vec<Finding> {
    let mut detectors = detect::build(&Settings::default(), &Context::default()).unwrap();
    let mut windows = Windows::new(LIMITS);
    let mut findings = Vec::new();
    for flow in flows {
        let start = flow.end.floor(LIMITS.window_seconds);
        let span = WindowSpan { start, seconds: LIMITS.window_seconds, truncated: false };
        detectors.iter_mut().for_each(|detector| detector.observe(flow, span));
        windows.add(0, flow);
        close(&mut windows, &mut detectors, &mut findings);
    }
    windows.finish();
    close(&mut windows, &mut detectors, &mut findings);
    findings
}

fn close(windows: &mut Windows, detectors: &mut [Box<dyn Detector>], findings: &mut Vec<Finding>) {
    while let Some(closed) = windows.next_closed() {
        for detector in &mut *detectors {
            match &closed {
                ClosedWindow::Pairs(window) => detector.close_pairs(window, findings),
                ClosedWindow::Hosts(window) => detector.close_hosts(window, findings),
            }
        }
    }
}

/// Sources named as scanners, with the kinds.
fn scanners(findings: &[Finding]) -> BTreeMap<IpAddr, Vec<Kind>> {
    let mut scanners = BTreeMap::<_, Vec<_>>::new();
    for finding in findings.iter().filter(|finding| SCANS.contains(&finding.kind)) {
        let ip = finding.subject.source_ip().expect("scans are of sources");
        scanners.entry(ip).or_default().push(finding.kind);
    }
    for kinds in scanners.values_mut() {
        kinds.sort();
        kinds.dedup();
    }
    scanners
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// 100 of 454–523 messages, evenly spaced, with a connect scan of 150 ports by 10.77.0.66; the
/// victim 10.77.0.21 refuses most of them.
#[test]
fn the_scanner_of_the_exporter_files_is_named_and_its_victim_is_not() {
    for name in [
        "netflow_v5-softflowd",
        "netflow_v9-softflowd",
        "ipfix-softflowd",
        "netflow_v9-pmacct",
        "ipfix-pmacct",
    ] {
        let flows = flows(&committed(&format!("goflow2-json/{name}.ndjson")));
        let findings = judge(&flows);
        let named = scanners(&findings);
        let expected = BTreeMap::from([(ip("10.77.0.66"), vec![Kind::PortScanVertical])]);
        assert_eq!(named, expected, "{name}");
        let finding = findings.iter().find(|f| f.kind == Kind::PortScanVertical).unwrap();
        assert_eq!(finding.related, [ip("10.77.0.21")], "{name}");
    }
}

/// The scan of test11 (20 ports in 20 s) lies on the edge between two windows, 9 ports before and 11
/// after it, so the slow rule names it. The host of slips' `horizontal` fails at 9 hosts on port 80
/// within a minute while it reaches about as many: the rule of bursts; an office PC of these captures
/// fails at 5.
#[test]
fn scanners_of_public_captures_are_named() {
    let cases = [
        ("slips-testsets/port-scans/vertical/conn.log.zst", "192.168.1.9", Kind::PortScanVertical),
        ("slips-testsets/test11-portscan.binetflow.zst", "10.8.0.69", Kind::PortScanSlow),
        (
            "slips-testsets/port-scans/horizontal/conn.log.zst",
            "10.0.2.112",
            Kind::PortScanHorizontal,
        ),
        (
            "zeek-stratosphere/002-zeek-scenario-port-scanning/conn.log.zst",
            "172.16.1.11",
            Kind::PortScanVertical,
        ),
        (
            "zeek-stratosphere/002-zeek-scenario-port-scanning/conn.log.zst",
            "172.16.1.11",
            Kind::PortScanHorizontal,
        ),
    ];
    for (name, scanner, kind) in cases {
        let Some(path) = shared(name) else { continue };
        let named = scanners(&judge(&flows(&path)));
        assert!(
            named.get(&ip(scanner)).is_some_and(|kinds| kinds.contains(&kind)),
            "{name}: {named:?}"
        );
        assert_eq!(named.len(), 1, "{name}: nobody else: {named:?}");
    }
}

/// Counts findings per detector and names scanners, so that thresholds can be judged.
#[test]
fn hosts_of_the_network_itself_are_no_scanners() {
    // (capture, its own hosts that do not scan)
    let cases: [(&str, &[&str]); 10] = [
        ("zeek-internet-host-3days/conn_2024-04-19.tsv.zst", &["64.225.56.201"]),
        ("zeek-stratosphere/001-zeek-scenario-malicious/labeled-conn.log.zst", &["192.168.1.115"]),
        ("zeek-stratosphere/003-zeek-scenario-malicious/conn.log.zst", &["10.8.0.61"]),
        ("zeek-stratosphere/008-zeek-mixed/data/conn.log.labeled.zst", &["147.32.81.167"]),
        ("zeek-stratosphere/010-zeek-mixed/data/conn.log.labeled.zst", &["147.32.83.234"]),
        ("iot-23/CTU-Honeypot-Capture-4-1-labeled.csv.zst", &["192.168.1.132"]),
        ("iot-23/CTU-Honeypot-Capture-5-1-labeled.csv.zst", &["192.168.2.3"]),
        ("iot-23/CTU-Malware-Capture-20-1-labeled.csv.zst", &["192.168.100.103"]),
        ("iot-23/CTU-Malware-Capture-42-1-labeled.csv.zst", &["192.168.1.197"]),
        (
            "slips-testsets/test18-malicious-ctu-sme-11-win/zeek-labeled/conn.log.labeled.zst",
            &["192.168.1.107"],
        ),
    ];
    for (name, own) in cases {
        let Some(path) = shared(name) else { continue };
        let flows = flows(&path);
        let findings = judge(&flows);
        summarise(name, &flows, &findings);
        let named = scanners(&findings);
        for host in own {
            assert!(!named.contains_key(&ip(host)), "{name}: {host} does not scan: {named:?}");
        }
    }
}

/// Captures without a truth for every host: printed, with an upper bound that a flood of false
/// findings would break.
#[test]
fn other_captures_name_few() {
    for name in [
        "zeek-internet-host-3days/conn_2024-04-20.tsv.zst",
        "iot-23/CTU-Malware-Capture-34-1-labeled.csv.zst",
        "slips-testsets/port-scans/horizontal/conn.log.zst",
        "slips-testsets/test2-malicious.binetflow.zst",
        "slips-testsets/test3-mixed.binetflow.zst",
        "slips-testsets/test5-mixed.binetflow.zst",
    ] {
        let Some(path) = shared(name) else { continue };
        let flows = flows(&path);
        let findings = judge(&flows);
        summarise(name, &flows, &findings);
        assert!(scanners(&findings).len() <= 20, "{name}");
    }
}

/// Detectors that learn what is usual.
const LEARNERS: [&str; 9] =
    ["change_point", "dbscan", "entropy", "forest", "hbos", "kmeans", "knn", "pca", "seasonal"];

/// Hosts that do what they always do: a day has hardly a window about which a learner speaks.
#[test]
fn learners_are_quiet_on_captures_of_hosts_that_do_what_they_always_do() {
    for name in [
        "zeek-internet-host-3days/conn_2024-04-19.tsv.zst",
        "zeek-internet-host-3days/conn_2024-04-20.tsv.zst",
        "iot-23/CTU-Honeypot-Capture-4-1-labeled.csv.zst",
        "iot-23/CTU-Honeypot-Capture-5-1-labeled.csv.zst",
    ] {
        let Some(path) = shared(name) else { continue };
        let flows = flows(&path);
        let findings = judge(&flows);
        let learned = findings.iter().filter(|finding| LEARNERS.contains(&finding.detector));
        let told: Vec<_> = learned.collect();
        let worst = told.iter().filter(|finding| finding.strength >= 0.6).count();
        summarise(name, &flows, &findings);
        assert!(told.len() <= 40 && worst <= 8, "{name}: {} {worst}", told.len());
    }
}

#[expect(clippy::print_stdout, reason = "the figures are for people who judge thresholds")]
fn summarise(name: &str, flows: &[Flow], findings: &[Finding]) {
    let mut per_detector = BTreeMap::<_, u32>::new();
    for finding in findings {
        *per_detector.entry((finding.detector, finding.kind.name())).or_default() += 1;
    }
    let hours = flows.last().map_or(0.0, |last| last.end.seconds_since(flows[0].end) / 3600.0);
    println!("{name}: {} flows, {hours:.1} h, findings {per_detector:?}", flows.len());
    for (ip, kinds) in scanners(findings) {
        let is_his = |finding: &&Finding| {
            finding.subject.source_ip() == Some(ip) && SCANS.contains(&finding.kind)
        };
        let windows = findings.iter().filter(is_his).count();
        let reason = findings.iter().find(is_his).map_or("", |finding| &finding.reason);
        println!("  {ip} {kinds:?} in {windows} findings: {reason}");
    }
}
