//! Datagrams of exporters → a real goflow2 → a real Kafka → a worker → a real OpenSearch: every record
//! that went in is scored, and the scanner is found.
//!
//! Needs the servers of `make e2e`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(dead_code, reason = "the parts that it shares with other tests have more than it needs")]

#[path = "delivery/worker.rs"]
mod worker;

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use worker::Site;

/// Captures of datagrams, where they are sent to, and the records in them.
const EXPORTS: [(&str, &str, u64); 4] = [
    ("export-netflow-v5.pcap", "NETFLOW", 454),
    ("export-netflow-v9.pcap", "NETFLOW", 523),
    ("export-ipfix.pcap", "NETFLOW", 523),
    ("export-sflow5.pcap", "SFLOW", 349),
];

/// The UDP payloads of a capture of Ethernet frames with IPv4.
fn payloads(capture: &[u8]) -> Vec<&[u8]> {
    assert_eq!(capture[..4], [0xd4, 0xc3, 0xb2, 0xa1], "a classic capture");
    let mut payloads = Vec::new();
    let mut rest = &capture[24..];
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let frame = &rest[16..16 + length];
        rest = &rest[16 + length..];
        if frame[12..14] == [8, 0] && frame[23] == 17 {
            let udp = 14 + usize::from(frame[14] & 15) * 4;
            let size = usize::from(u16::from_be_bytes([frame[udp + 4], frame[udp + 5]]));
            payloads.push(&frame[udp + 8..udp + size]);
        }
    }
    payloads
}

#[test]
fn datagrams_of_every_protocol_are_scored_without_loss() {
    let variable = |name: &str| std::env::var(format!("FLOWSENTRY_TEST_{name}")).ok();
    let (Some(broker), Some(topic), Some(opensearch), Some(_)) = (
        variable("KAFKA"),
        variable("GOFLOW2_TOPIC"),
        variable("OPENSEARCH"),
        variable("GOFLOW2_NETFLOW"),
    ) else {
        println!("skipped: datagrams through goflow2 need the servers of `make e2e`");
        return;
    };
    let name = format!("e2e-{}", std::process::id());
    let input = format!(
        "{{brokers: [\"{broker}\"], topics: [{topic}], group_id: {name}, idle_seconds: 5}}"
    );
    let output = format!("  opensearch: {{hosts: [\"{opensearch}\"]}}\n");
    let site = Site::new(&name, &input, &output, "");
    site.command(&["setup"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut expected = 0;
    for (file, server, records) in EXPORTS {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/goflow2-json");
        let capture = std::fs::read(format!("{folder}/{file}")).unwrap();
        let address = variable(&format!("GOFLOW2_{server}")).unwrap();
        for payload in payloads(&capture) {
            socket.send_to(payload, &address).unwrap();
            // Nobody holds a sender of datagrams back: as fast as an exporter, not faster.
            thread::sleep(Duration::from_millis(2));
        }
        expected += records;
    }
    let mut worker = site.start(None);
    worker.wait_for("everything is read");
    let log = worker.stop();
    let summary = log.lines().rfind(|line| line.contains("the input was scored")).unwrap();
    println!("{summary}");
    assert!(summary.contains(&format!(" flows={expected} ")), "{summary}");
    assert!(!log.contains("records cannot be used"), "{log}");
    let settings = flowsentry::stores::ClusterSettings {
        hosts: vec![opensearch],
        ..flowsentry::stores::ClusterSettings::default()
    };
    let flavour = flowsentry::stores::Flavour::OpenSearch;
    let cluster = flowsentry::stores::Cluster::connect(flavour, &settings).unwrap();
    let documents = worker::read_store(&flowsentry::stores::ClusterStore::new(cluster), &name);
    let sum = |feature: &str| -> f64 {
        let of_exporter = |document: &serde_json::Value| {
            let window = &document["flowsentry"]["window"];
            window["features"][feature].as_f64().filter(|_| window["subject"]["type"] == "exporter")
        };
        documents.values().filter_map(of_exporter).sum()
    };
    // As goflow2 hands the numbers on; a part may lie between two windows.
    assert!(sum("expected_records") > 500.0 && sum("expected_datagrams") > 50.0, "{documents:?}");
    assert_eq!((sum("lost_records"), sum("lost_datagrams")), (0.0, 0.0), "{documents:?}");
    for family in ["anomalies", "alerts"] {
        let scans = documents.iter().filter(|((known, _), document)| {
            *known == family
                && document["source"]["ip"] == "10.77.0.66"
                && document["flowsentry"].to_string().contains("port_scan_vertical")
        });
        assert!(scans.count() >= 1, "{family}: {documents:?}");
    }
}
