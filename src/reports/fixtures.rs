//! Made reports for the tests of rendering.

use super::*;
use crate::model::{Kind, Severity, Timestamp};

pub(super) fn day() -> Day {
    Day::new("2026-11-20".parse().unwrap(), chrono_tz::Europe::Berlin)
}

/// A day with a scan, a blacklisted address and ordinary noise.
pub(super) fn busy_day() -> ReportData {
    let (traffic, attacks, hosts) = (traffic(), attacks(), hosts());
    ReportData {
        namespace: "default".to_owned(),
        period: day().period(),
        verdict: judge(&traffic, &attacks, &hosts),
        hosts,
        alerts: alerts(),
        attacks,
        traffic,
        talkers: talkers(),
        pipeline: pipeline(),
    }
}

/// The first day of an installation: traffic, no anomalies, nothing to compare with.
pub(super) fn quiet_first_day() -> ReportData {
    let mut traffic = traffic();
    for figure in [&mut traffic.flows, &mut traffic.bytes, &mut traffic.packets] {
        *figure = Figure::new(figure.value, None);
    }
    traffic.hours.iter_mut().for_each(|hour| hour.usual = None);
    traffic.usual_days = 0;
    let attacks = no_attacks();
    let hosts = Hosts::default();
    let verdict = judge(&traffic, &attacks, &hosts);
    let alerts = Alerts::default();
    ReportData { verdict, hosts, alerts, attacks, traffic, ..busy_day() }
}

/// Nothing arrived.
pub(super) fn blind_day() -> ReportData {
    let hours = day().hours().into_iter().map(|hour| HourTraffic {
        label: hour.label,
        start: hour.start,
        flows: 0,
        bytes: 0,
        usual: None,
    });
    let traffic = Traffic { hours: hours.collect(), ..Traffic::default() };
    let (attacks, hosts) = (no_attacks(), Hosts::default());
    let verdict = judge(&traffic, &attacks, &hosts);
    let talkers = Talkers::default();
    let pipeline = Pipeline::default();
    ReportData { verdict, traffic, talkers, pipeline, ..quiet_first_day() }
}

fn pipeline() -> Pipeline {
    let facts = [
        ("Records read", "14,233,118"),
        ("Rejected records", "12"),
        ("Late flows", "1,204"),
        ("Windows closed", "8,640"),
    ];
    Pipeline { facts: facts.map(|(label, value)| Fact::new(label, value)).to_vec() }
}

/// A working day: quiet nights, two humps.
fn shape(hour: usize) -> u64 {
    const SHAPE: [u64; 24] =
        [8, 6, 5, 9, 5, 6, 11, 25, 58, 80, 86, 83, 64, 78, 92, 88, 71, 52, 37, 30, 26, 22, 16, 11];
    SHAPE[hour % 24]
}

fn traffic() -> Traffic {
    let hours = day().hours().into_iter().enumerate().map(|(index, hour)| {
        let level = shape(index);
        let bytes = level * 310_000_000 + if index == 3 { 9_000_000_000 } else { 0 };
        let usual = UsualBytes { lower: level * 240_000_000, upper: level * 350_000_000 };
        let usual = Some(usual);
        HourTraffic { label: hour.label, start: hour.start, flows: level * 14_100, bytes, usual }
    });
    let parts = [("TCP", 0.83), ("UDP", 0.16), ("ICMP", 0.01), ("other", 0.0)];
    let protocols = parts.map(|(name, share)| ProtocolShare {
        name: name.to_owned(),
        flows: (14_000_000.0 * share) as u64,
        bytes: (310e9 * share) as u64,
        share,
    });
    Traffic {
        flows: Figure::new(14_231_902, Some(13_604_411)),
        bytes: Figure::new(310_290_000_000, Some(289_114_000_000)),
        packets: Figure::new(402_118_220, Some(371_004_100)),
        protocols: protocols.to_vec(),
        hours: hours.collect(),
        busiest: Some(BusiestHour { label: "14:00".to_owned(), bytes: 28_520_000_000 }),
        usual_days: 7,
    }
}

fn talkers() -> Talkers {
    let talker = |address: &str, gigabytes: f64| Talker {
        address: address.to_owned(),
        bytes: (gigabytes * 1e9) as u64,
        flows: (gigabytes * 41_000.0) as u64,
        share: gigabytes / 310.29,
    };
    let sources = [
        talker("10.77.0.21", 61.2),
        talker("10.77.0.8", 44.7),
        talker("2001:db8:85a3:8d3:1319:8a2e:370:7348", 21.9),
        talker("10.77.3.140", 12.4),
        talker("192.0.2.77", 0.2),
    ];
    let destinations = [
        talker("10.77.0.5", 88.1),
        talker("198.51.100.20", 30.3),
        talker("10.77.0.21", 12.0),
        talker("203.0.113.9", 9.1),
    ];
    Talkers { sources: sources.to_vec(), destinations: destinations.to_vec() }
}

fn attacks() -> Attacks {
    let mut attacks = no_attacks();
    attacks.alerts = Figure::new(12, Some(5));
    attacks.anomalies = Figure::new(64, Some(31));
    attacks.suppressed = 4;
    let counts = [(2, 9), (1, 3), (1, 14), (2, 11), (3, 12), (1, 4), (0, 0), (2, 11)];
    let seen =
        Kind::ALL.into_iter().zip(counts).filter(|(_, (alerts, anomalies))| alerts + anomalies > 0);
    attacks.kinds = seen
        .map(|(kind, (alerts, anomalies))| KindCount {
            kind,
            title: kind.title().to_owned(),
            alerts,
            anomalies,
        })
        .collect();
    attacks.kinds_not_seen = Kind::ALL.len() - attacks.kinds.len();
    for (severity, (alerts, anomalies)) in
        attacks.severities.iter_mut().zip([(1, 4), (2, 9), (4, 20), (5, 31)])
    {
        (severity.alerts, severity.anomalies) = (alerts, anomalies);
    }
    for (index, hour) in attacks.hours.iter_mut().enumerate() {
        hour.low = [1, 2, 0, 3, 1, 0][index % 6];
        hour.medium = [1, 0, 2][index % 3];
        if index == 3 {
            (hour.high, hour.critical) = (9, 4);
        }
    }
    attacks
}

fn no_attacks() -> Attacks {
    let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];
    let severities = severities.map(|severity| SeverityCount { severity, alerts: 0, anomalies: 0 });
    let hours = day().hours().into_iter().map(|hour| HourAnomalies {
        label: hour.label,
        start: hour.start,
        low: 0,
        medium: 0,
        high: 0,
        critical: 0,
    });
    Attacks {
        kinds: Vec::new(),
        kinds_not_seen: Kind::ALL.len(),
        severities: severities.to_vec(),
        hours: hours.collect(),
        ..Attacks::default()
    }
}

const SCAN: &str =
    "10.77.0.21 tried 1,512 ports of 10.77.0.5 within 60 s; hosts here usually try 3.";
const LISTED: &str = "10.77.3.140 exchanged 18 MB with 203.0.113.9, which is listed in feodo.";

fn hosts() -> Hosts {
    let host = |address: &str, score, severity, alerts, kinds: &[&str], sentence: &str| Host {
        address: address.to_owned(),
        score,
        severity,
        alerts,
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        sentence: sentence.to_owned(),
    };
    let scans = ["Vertical port scan", "Too many ports"];
    let worst = vec![
        host("10.77.0.21", 90, Severity::Critical, 4, &scans, SCAN),
        host("10.77.3.140", 78, Severity::High, 2, &["Blacklisted address"], LISTED),
        host(
            "2001:db8:85a3:8d3:1319:8a2e:370:7348",
            52,
            Severity::Medium,
            1,
            &["Volume outlier"],
            "2001:db8:85a3:8d3:1319:8a2e:370:7348 sent 9.1 GB to 198.51.100.20 within 10 s.",
        ),
    ];
    Hosts { attention: 3, total: 7, worst }
}

fn alerts() -> Alerts {
    let feature = |name: &str, actual: f64, usual: &str| FeatureLine {
        name: name.to_owned(),
        actual,
        typical: Some(3.0),
        lower: None,
        upper: Some(20.0),
        usual: usual.to_owned(),
    };
    let flow = |from: &str, to: &str, bytes| FlowLine {
        from: from.to_owned(),
        to: to.to_owned(),
        transport: "tcp".to_owned(),
        bytes,
        at: "03:12".to_owned(),
        id: "1:vzZ+MytCxXL+ha9tYryWBDEXcoU=".to_owned(),
    };
    let scan = AlertEntry {
        id: "5b0d1c8a9e7f4a3db2c6d1e0f9a8b7c6".to_owned(),
        title: Kind::PortScanVertical.title().to_owned(),
        severity: Severity::Critical,
        score: 90,
        subject: "10.77.0.21".to_owned(),
        sentence: SCAN.to_owned(),
        when: "03:12–03:40".to_owned(),
        first: at(3 * 3600 + 720),
        last: at(3 * 3600 + 2400),
        count: 28,
        status: "open".to_owned(),
        features: vec![
            feature("uniqDstPorts", 1512.0, "usually 3, at most 20"),
            feature("sumOfFlows", 1519.0, "usually 41, at most 260"),
        ],
        flows: vec![
            flow("10.77.0.21:40112", "10.77.1.5:22", 2_180),
            flow("10.77.0.21:40113", "10.77.1.5:443", 960),
        ],
        techniques: vec![TechniqueLine {
            id: "T1046".to_owned(),
            name: "Network Service Discovery".to_owned(),
        }],
        exception: Some("kind: port_scan_vertical, source: 10.77.0.21".to_owned()),
    };
    let listed = AlertEntry {
        title: Kind::Blacklist.title().to_owned(),
        severity: Severity::High,
        score: 78,
        subject: "10.77.3.140".to_owned(),
        sentence: LISTED.to_owned(),
        when: "19 Nov 23:51–00:20".to_owned(),
        count: 4,
        status: "acknowledged".to_owned(),
        features: vec![feature("sumOfBytes", 18_204_113.0, "")],
        flows: vec![],
        techniques: vec![TechniqueLine {
            id: "T1071".to_owned(),
            name: "Application Layer Protocol".to_owned(),
        }],
        exception: Some("kind: blacklist, source: 10.77.3.140".to_owned()),
        ..scan.clone()
    };
    let volume = AlertEntry {
        title: Kind::VolumeOutlier.title().to_owned(),
        severity: Severity::Medium,
        score: 52,
        subject: "2001:db8:85a3:8d3:1319:8a2e:370:7348 → 198.51.100.20".to_owned(),
        sentence: "Sent 9.1 GB within 10 s; pairs here usually send 1.2 MB.".to_owned(),
        when: "03:26".to_owned(),
        count: 1,
        techniques: Vec::new(),
        exception: None,
        ..scan.clone()
    };
    Alerts { total: 12, more: 9, worst: vec![scan, listed, volume] }
}

fn at(seconds: i64) -> Timestamp {
    day().from().plus_seconds(seconds)
}
