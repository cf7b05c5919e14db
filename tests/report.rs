//! The daily report from the store to the mail: what was stored is what is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use flowsentry::model::{Kind, Timestamp};
use flowsentry::notify::{FileOutbox, Mail, Part, Sender};
use flowsentry::reports::{
    Day, Fact, Level, Rendered, Renderer, ReportData, Scope, Templates, collect,
};
use flowsentry::stores::{
    BulkItem, Document, DocumentId, EmbeddedConfig, EmbeddedStore, Family, IndexName, Namespace,
    Store,
};
use serde_json::{Value, json};

/// A day in Kathmandu, whose hours begin at a quarter past.
fn day() -> Day {
    Day::new("2026-11-20".parse().unwrap(), chrono_tz::Asia::Kathmandu)
}

struct Filled {
    store: EmbeddedStore,
    documents: Vec<Document>,
    _folder: tempfile::TempDir,
}

impl Filled {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path().join("store"))).unwrap();
        Self { store, documents: Vec::new(), _folder: folder }
    }

    fn add(&mut self, family: Family, time: Timestamp, mut source: Value) {
        source["@timestamp"] = json!(time);
        let index = IndexName::for_event(family, &Namespace::default(), time);
        let id = DocumentId::new(format!("{}-{}", family.name(), self.documents.len())).unwrap();
        self.documents.push(Document { index, id, source });
    }

    fn window(&mut self, time: Timestamp, subject: (&str, &str), features: Value) {
        let (kind, value) = subject;
        let subject = json!({"type": kind, "value": value});
        let mut source = json!({"flowsentry": {"window": {
            "subject": subject, "start": time, "end": time.plus_seconds(60), "seconds": 60,
            "truncated": false, "features": features,
        }}});
        if kind != "network" {
            source[kind] = json!({"ip": value});
        }
        self.add(Family::Windows, time, source);
    }

    fn network(&mut self, time: Timestamp, flows: u32, bytes: u32) {
        let features = json!({
            "flows": flows, "bytes": bytes, "packets": flows * 4, "flows_tcp": flows,
            "bytes_tcp": bytes - 100, "flows_udp": 0, "bytes_udp": 100, "flows_icmp": 0,
            "bytes_icmp": 0, "flows_other": 0, "bytes_other": 0,
        });
        self.window(time, ("network", "network"), features);
    }

    fn anomaly(&mut self, time: Timestamp, kinds: &[&str], grade: &str) {
        let anomaly = json!({"kinds": kinds, "grade": grade, "score": 50.0});
        self.add(Family::Anomalies, time, json!({"flowsentry": {"anomaly": anomaly}}));
    }

    fn alert(&mut self, first: Timestamp, host: &str, kind: &str, score: f64, suppressed: bool) {
        let mut source = json!({
            "event": {"reason": format!("{host} did {kind}")},
            "source": {"ip": host},
            "threat": {"technique": {"id": ["T1046"], "name": ["Network Service Discovery"]}},
            "flowsentry": {"alert": {
                "kind": kind, "status": "open", "first": first, "last": first.plus_seconds(120),
                "count": 2, "score": score, "grade": "high",
                "subject": {"type": "source", "value": host},
                "features": [{"name": "uniqDstPorts", "actual": 150.0, "typical": 3.0, "upper": 20.0}],
                "exception": format!("kind: {kind}, source: {host}"),
            }},
        });
        if suppressed {
            source["flowsentry"]["alert"]["suppressed_by"] = json!("printers");
        }
        self.add(Family::Alerts, first, source);
    }

    fn report(mut self) -> ReportData {
        let outcome = self.store.bulk(std::mem::take(&mut self.documents)).unwrap();
        for item in &outcome.items {
            assert_eq!(*item, BulkItem::Created);
        }
        let facts = vec![Fact::new("Records read", "1,234")];
        let namespace = Namespace::default();
        collect(Scope { store: &self.store, namespace, day: day(), facts }).unwrap()
    }
}

fn filled() -> Filled {
    let mut filled = Filled::new();
    let at = |seconds: i64| day().from().plus_seconds(seconds);
    // the last minute of the day before, the first and last of the day, the first of the next
    filled.network(at(-60), 10, 1_000);
    filled.network(at(0), 20, 2_000);
    filled.network(at(3_600), 30, 3_000);
    filled.network(at(86_340), 40, 4_000);
    filled.network(at(86_400), 999, 999_000);
    for (time, bytes) in [(0, 700), (3_600, 800)] {
        let features = json!({"sumOfBytes": bytes, "sumOfFlows": 7});
        filled.window(at(time), ("source", "10.0.0.1"), features);
        let features = json!({"destSumOfBytes": bytes / 2, "destSumOfFlows": 3});
        filled.window(at(time), ("destination", "fd00::9"), features);
    }
    filled.anomaly(at(10), &["port_scan_vertical", "too_many_ports"], "critical");
    filled.anomaly(at(3_700), &["port_scan_vertical"], "low");
    filled.anomaly(at(-10), &["blacklist"], "high");
    filled.alert(at(0), "10.0.0.1", "port_scan_vertical", 88.0, false);
    filled.alert(at(60), "10.0.0.1", "too_many_ports", 45.0, false);
    filled.alert(at(120), "10.0.0.2", "new_port", 12.0, false);
    filled.alert(at(180), "10.0.0.3", "new_port", 12.0, true);
    // goes on past midnight, ended exactly at midnight, begins the day after
    filled.alert(at(-60), "10.0.0.4", "blacklist", 70.0, false);
    filled.alert(at(-120), "10.0.0.5", "blacklist", 99.0, false);
    filled.alert(at(86_400), "10.0.0.6", "blacklist", 99.0, false);
    filled
}

#[test]
fn a_report_adds_up_the_local_day_and_nothing_else() {
    let report = filled().report();
    let traffic = &report.traffic;
    assert_eq!((traffic.flows.value, traffic.flows.previous), (90, Some(10)));
    assert_eq!((traffic.bytes.value, traffic.packets.value), (9_000, 360));
    let hours: Vec<_> = traffic.hours.iter().map(|hour| (hour.flows, hour.bytes)).collect();
    assert_eq!(
        (hours.len(), hours[0], hours[1], hours[23]),
        (24, (20, 2_000), (30, 3_000), (40, 4_000))
    );
    assert_eq!(traffic.usual_days, 0, "one day is no habit");
    assert_eq!(traffic.busiest.as_ref().unwrap().label, "23:00");
    let protocols: Vec<_> = traffic.protocols.iter().map(|part| part.bytes).collect();
    assert_eq!(protocols, [8_700, 300, 0, 0]);
    let talkers = &report.talkers;
    assert_eq!(
        (talkers.sources[0].address.as_str(), talkers.sources[0].bytes),
        ("10.0.0.1", 1_500)
    );
    assert!((talkers.sources[0].share - 1.0 / 6.0).abs() < 1e-9);
    assert_eq!(
        (talkers.destinations[0].address.as_str(), talkers.destinations[0].flows),
        ("fd00::9", 6)
    );
}

#[test]
fn a_report_counts_what_was_active_and_names_the_worst_first() {
    let report = filled().report();
    let attacks = &report.attacks;
    assert_eq!((attacks.anomalies.value, attacks.anomalies.previous), (2, Some(1)));
    assert_eq!((attacks.alerts.value, attacks.suppressed), (4, 1));
    assert_eq!(attacks.alerts.previous, Some(2), "two were active on the day before");
    let kinds: Vec<_> = attacks.kinds.iter().map(|kind| (kind.alerts, kind.anomalies)).collect();
    assert_eq!(kinds, [(1, 2), (1, 1), (1, 0), (1, 0)], "what did not occur is a number");
    assert_eq!(attacks.kinds_not_seen + kinds.len(), Kind::ALL.len());
    assert_eq!((attacks.hours[0].critical, attacks.hours[1].low), (1, 1));
    let worst: Vec<_> = report.hosts.worst.iter().map(|host| host.address.as_str()).collect();
    assert_eq!(worst, ["10.0.0.1", "10.0.0.4", "10.0.0.2"]);
    assert_eq!((report.hosts.attention, report.hosts.worst[0].alerts), (2, 2));
    let alert = &report.alerts.worst[0];
    assert_eq!((alert.title.as_str(), alert.when.as_str()), ("Vertical port scan", "00:00–00:02"));
    assert_eq!(alert.features[0].usual, "usually 3, at most 20");
    assert_eq!(alert.techniques[0].id, "T1046");
    assert_eq!(alert.exception.as_deref(), Some("kind: port_scan_vertical, source: 10.0.0.1"));
    assert_eq!(report.verdict.headline, "2 hosts need attention");
    assert_eq!(report.verdict.level, Level::Critical);
}

#[test]
fn the_usual_range_needs_three_days() {
    let mut filled = filled();
    for (days, bytes) in [(2, 500), (3, 5_000)] {
        filled.network(day().earlier(days).from().plus_seconds(5), 1, bytes);
    }
    let report = filled.report();
    assert_eq!(report.traffic.usual_days, 3);
    let usual = report.traffic.hours[0].usual.unwrap();
    assert_eq!((usual.lower, usual.upper), (0, 5_000));
}

#[test]
fn an_empty_store_gives_a_report_that_says_so() {
    let report = Filled::new().report();
    assert_eq!(report.verdict.level, Level::Blind);
    assert_eq!(report.traffic.flows.previous, None);
    let rendered = render(&report);
    assert!(rendered.text.contains("No traffic was seen"), "{}", rendered.text);
    assert!(!rendered.text.contains("NaN") && !rendered.mail.contains("NaN"));
}

fn render(report: &ReportData) -> Rendered {
    Renderer::new(&Templates::embedded(), "Network report").unwrap().render(report).unwrap()
}

fn mail(report: &ReportData) -> Mail {
    let rendered = render(report);
    let pictures = rendered.pictures.into_iter().map(|picture| Part {
        content_id: picture.content_id,
        name: picture.name,
        media_type: "image/png",
        bytes: picture.png,
    });
    Mail {
        identity: vec!["report".to_owned(), report.namespace.clone(), report.period.date.clone()],
        from: "flowsentry@example.org".to_owned(),
        to: vec!["ops@example.org".to_owned()],
        subject: rendered.subject,
        date: report.period.to,
        text: rendered.text,
        html: rendered.mail,
        pictures: pictures.collect(),
        attachments: vec![Part {
            content_id: String::new(),
            name: "report.json".to_owned(),
            media_type: "application/json",
            bytes: rendered.json.into_bytes(),
        }],
    }
}

/// Reads a mail the way mail programs do and prints what it holds as JSON.
const READ_MAIL: &str = r#"
import email, email.policy, json, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
def shape(part):
    if part.is_multipart():
        return {part.get_content_type(): [shape(p) for p in part.iter_parts()]}
    return part.get_content_type()
html = message.get_body(("html",)).get_content()
ids = [p["Content-ID"][1:-1] for p in message.walk() if p["Content-ID"]]
pngs = [p.get_content() for p in message.walk() if p.get_content_type() == "image/png"]
attached = [p for p in message.iter_attachments() if p.get_filename() == "report.json"]
print(json.dumps({
    "subject": message["Subject"], "date": message["Date"], "shape": shape(message),
    "text": message.get_body(("plain",)).get_content(), "html": html,
    "every_id_is_shown": all("cid:" + i in html for i in ids), "ids": len(ids),
    "pngs": all(p.startswith(b"\x89PNG") for p in pngs),
    "report": attached[0].get_content().decode(),
    "defects": [str(d) for p in message.walk() for d in p.defects],
}))
"#;

#[test]
fn a_mail_program_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.eml");
    let report = filled().report();
    let mail = mail(&report);
    FileOutbox::new(&path).send(&mail).unwrap();
    let python = Command::new("python3")
        .args(["-c", READ_MAIL])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        let mut output = std::io::stderr();
        let _ = writeln!(output, "skipped: python3 is not installed");
        return;
    };
    let mut input = python.stdin.take().unwrap();
    input.write_all(&std::fs::read(&path).unwrap()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["subject"], mail.subject);
    assert_eq!(read["date"], "Fri, 20 Nov 2026 18:15:00 +0000");
    assert_eq!(read["text"].as_str().unwrap().trim_end(), mail.text.trim_end());
    assert_eq!(read["html"].as_str().unwrap().trim_end(), mail.html.trim_end());
    assert_eq!((&read["every_id_is_shown"], &read["pngs"]), (&json!(true), &json!(true)));
    assert_eq!(read["ids"], mail.pictures.len());
    assert_eq!(read["report"], report.to_json());
    assert_eq!(read["defects"], json!([]));
    let related: Vec<Value> =
        std::iter::once("text/html").chain(vec!["image/png"; 7]).map(Value::from).collect();
    let alternative =
        json!({"multipart/alternative": ["text/plain", {"multipart/related": related}]});
    assert_eq!(read["shape"], json!({"multipart/mixed": [alternative, "application/json"]}));
}
