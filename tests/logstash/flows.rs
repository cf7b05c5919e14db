//! The pipeline against our own decoder: the same records are flows, and the flow that is read
//! back from a document is the flow of the message.

use flowsentry::features::{ClockLimits, event_time, repair_clock};
use flowsentry::formats::{self, Reject};
use flowsentry::model::{Defects, Flow, Timestamp};
use serde_json::{Value, json};

use crate::{ruby, samples};

/// The defaults of `windows.clock_ahead_seconds` and `windows.clock_behind_seconds`.
const LIMITS: ClockLimits = ClockLimits { ahead_seconds: 300, behind_seconds: 3600 };

fn decode(format: &str, text: &str) -> Result<Option<Flow>, Reject> {
    formats::by_name(format).unwrap().decoder().decode(text.as_bytes())
}

/// Checks that scoring the document gives what scoring the message gives.
fn assert_same_flow(text: &str, offset: usize, document: &Value, mut expected: Flow) {
    let mut flow = decode("ecs", &document.to_string()).unwrap().expect("a flow");
    // A source that knows when Kafka got a message says so, where the message does not.
    let receipt = Timestamp::from_millis(samples::millis(offset));
    expected.received = expected.received.or(Some(receipt));
    let time: Timestamp = document["@timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(time, event_time(&expected, LIMITS), "{text}");
    let skewed = flow.defects.contains(Defects::CLOCK_SKEW);
    assert_eq!(repair_clock(&mut expected, LIMITS), skewed, "{text}");
    repair_clock(&mut flow, LIMITS);
    // A document holds counters up to the largest `long`.
    expected.sent.bytes = expected.sent.bytes.min(i64::MAX as u64);
    expected.sent.packets = expected.sent.packets.min(i64::MAX as u64);
    assert_eq!(flow, expected, "{text}\n{document}");
}

#[test]
fn every_sample_is_the_flow_that_our_decoder_reads() {
    if !ruby::is_there() {
        return;
    }
    let samples = samples::all();
    let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
    let documents = ruby::mapped(&texts);
    let (mut compared, mut skewed) = (0, 0);
    for (offset, (sample, document)) in samples.iter().zip(documents).enumerate() {
        let document = document.expect("every sample is a flow");
        assert_eq!(ruby::reason(&document), None, "{document}");
        skewed += usize::from(document["flowsentry"]["flow"]["defects"] == json!(["clock_skew"]));
        let decoder = samples::DECODERS.iter().find(|(producer, _)| *producer == sample.producer);
        let Some((_, format)) = decoder else { continue };
        let flow = decode(format, &sample.text).unwrap().expect("a flow");
        assert_same_flow(&sample.text, offset, &document, flow);
        compared += 1;
    }
    assert_eq!(compared, 609);
    // Exactly the recording of one exporter, whose clock is 49.7 days ahead.
    assert_eq!(skewed, 100);
}

/// One hostile message with what it is: `flow`, `nothing` or the reason of its rejection.
fn hostile() -> Vec<Value> {
    let path = samples::root().join("tests/logstash/hostile.ndjson");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn hostile_messages_are_flows_or_say_why_not() {
    if !ruby::is_there() {
        return;
    }
    let hostile = hostile();
    let texts: Vec<&str> = hostile.iter().map(|one| one["message"].as_str().unwrap()).collect();
    for (offset, (one, document)) in hostile.iter().zip(ruby::mapped(&texts)).enumerate() {
        let found = match &document {
            None => "nothing",
            Some(document) => ruby::reason(document).unwrap_or("flow"),
        };
        assert_eq!(found, one["expected"], "{}", one["name"]);
        let Some(document) = &document else { continue };
        assert_eq!(
            document["event"]["id"],
            format!("flows-3-{offset}-{}", samples::millis(offset)),
            "{document}"
        );
        assert_eq!(document["flowsentry"]["flow"]["offset"], offset, "{document}");
        if found != "flow" {
            let original = document["event"]["original"].as_str().unwrap();
            assert!(!original.is_empty() && document["event"]["kind"] == "pipeline_error");
            assert!(document.get("source").is_none(), "{document}");
        }
    }
}

/// A message may hold what it likes: nothing of it stands where our own fields stand.
#[test]
fn a_message_cannot_write_fields_of_its_own() {
    if !ruby::is_there() {
        return;
    }
    const OWN: [&str; 10] = [
        "@timestamp",
        "destination",
        "ecs",
        "event",
        "flowsentry",
        "network",
        "observer",
        "related",
        "source",
        "tags",
    ];
    let hostile = hostile();
    let texts: Vec<&str> = hostile.iter().map(|one| one["message"].as_str().unwrap()).collect();
    for (one, document) in hostile.iter().zip(ruby::mapped(&texts)) {
        let Some(Value::Object(document)) = document else { continue };
        let names =
            document.keys().filter(|name| !OWN.contains(&name.as_str()) && *name != "error");
        let names: Vec<&String> = names.collect();
        // What Logstash itself cannot take out; nobody searches by it.
        assert!(names.iter().all(|name| name.is_empty() || name.contains('[')), "{names:?}");
        let tags = document.get("tags").cloned().unwrap_or_else(|| json!([]));
        let tags: Vec<String> = serde_json::from_value(tags).unwrap();
        assert!(tags.iter().all(|tag| tag.starts_with("flowsentry_")), "{}: {tags:?}", one["name"]);
        assert_eq!(tags.contains(&"flowsentry_odd_field".to_owned()), !names.is_empty());
    }
}

/// Every value of a record replaced by each of these.
fn odd_values() -> Vec<Value> {
    let texts = [
        "",
        "0",
        "7",
        "+5",
        "-7",
        "1e3",
        "0x10",
        "99999999999999999999999",
        "IPv4",
        "IPv6",
        "udp",
        "ICMP",
        "256",
        "17",
        "2001:db8::1",
        "::",
        "0.0.0.0",
        "010.0.0.1",
        "10.0.0.1%eth0",
        "1_000",
        "2026-11-21T03:48:50Z",
        "2026-11-21 03:48:50.5",
        "2026-02-30T00:00:00Z",
        "1795232930.25",
        "9999-01-01T00:00:00Z",
        "soon",
        " 5",
    ];
    let mut values: Vec<Value> = texts.into_iter().map(Value::from).collect();
    values.extend([
        json!(null),
        json!(true),
        json!([]),
        json!([1]),
        json!({"a": 1}),
        json!(0),
        json!(1),
        json!(-1),
        json!(6),
        json!(17),
        json!(58),
        json!(2048),
        json!(34525),
        json!(2054),
        json!(255),
        json!(256),
        json!(65_535),
        json!(65_536),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(i64::MAX - 1),
        json!(u64::MAX),
        json!(1.5),
        json!(2.0),
        json!(1e30),
        json!(-0.5),
        json!(1_795_232_930_250_000_000_u64),
    ]);
    values
}

#[test]
fn whatever_a_value_is_both_sides_say_the_same() {
    if !ruby::is_there() {
        return;
    }
    let base: Value = serde_json::from_str(
        r#"{"type":"NETFLOW_V9","time_received_ns":1795232940823495790,"sequence_num":42,"sampling_rate":10,"sampler_address":"10.0.0.2","time_flow_start_ns":1795232930000000000,"time_flow_end_ns":1795232935000000000,"bytes":84,"packets":1,"src_addr":"10.1.2.3","dst_addr":"192.0.2.80","etype":"IPv4","proto":"TCP","src_port":51515,"dst_port":2048,"in_if":3,"out_if":4,"src_vlan":0,"vlan_id":7,"tcp_flags":2,"icmp_type":0,"icmp_code":0,"src_as":64500,"ip_tos":32,"ip_ttl":64,"next_hop":"10.0.0.9","src_mac":"02:00:00:00:00:aa"}"#,
    )
    .unwrap();
    let mut texts = Vec::new();
    for proto in ["TCP", "ICMP", "GRE"] {
        for key in base.as_object().unwrap().keys() {
            for value in odd_values() {
                // Which exporter it was is a word for people; unknown ones are taken as they come.
                if key == "type" && value.is_number() {
                    continue;
                }
                let mut record = base.clone();
                record["proto"] = proto.into();
                record[key] = value;
                texts.push(record.to_string());
            }
        }
    }
    assert!(texts.len() > 3_000);
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut rejected = 0;
    for (offset, (text, document)) in texts.iter().zip(ruby::mapped(&borrowed)).enumerate() {
        let document = document.expect("a document");
        match decode("goflow2", text) {
            Ok(flow) => {
                assert_eq!(ruby::reason(&document), None, "{text}\n{document}");
                assert_same_flow(text, offset, &document, flow.expect("a flow"));
            }
            Err(reject) => {
                assert_eq!(ruby::reason(&document), Some(reject.reason.name()), "{text}");
                rejected += 1;
            }
        }
    }
    assert!((500..2_000).contains(&rejected), "{rejected}");
}

#[test]
fn two_workers_share_nothing() {
    if !ruby::is_there() {
        return;
    }
    let samples = samples::all();
    let messages: Vec<Value> = samples
        .iter()
        .enumerate()
        .map(|(offset, sample)| samples::located(&sample.text, offset))
        .collect();
    let alone = ruby::documents(&messages, 1, &[]);
    assert_eq!(ruby::documents(&messages, 4, &[]), alone);
}

/// The trap that the test above is for: with it, it fails.
#[test]
fn a_shared_variable_would_be_seen() {
    if !ruby::is_there() {
        return;
    }
    let trapped = crate::options::file("flows.conf").replacen(
        "record = event.to_hash",
        "e = event.to_hash; Thread.pass; record = e",
        1,
    );
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("trapped.conf");
    std::fs::write(&configuration, trapped).unwrap();
    let samples = samples::all();
    let input: String = samples
        .iter()
        .enumerate()
        .map(|(offset, sample)| format!("{}\n", samples::located(&sample.text, offset)))
        .collect();
    let run = |workers: &str| {
        let arguments = ["tests/logstash/run.rb", configuration.to_str().unwrap(), workers];
        ruby::output(&arguments, &input, &[]).stdout
    };
    assert_ne!(run("4"), run("1"));
}

#[test]
fn settings_come_from_the_environment() {
    if !ruby::is_there() {
        return;
    }
    let goflow2 = &samples::all()[0];
    let mut record = goflow2.record();
    record["src_addr"] = "198.51.100.1".into();
    record["dst_addr"] = "2001:db8::1".into();
    record["time_flow_end_ns"] =
        (record["time_received_ns"].as_i64().unwrap() + 200_000_000_000).into();
    let messages = [samples::located(&record.to_string(), 0)];
    let document = |settings| ruby::documents(&messages, 1, settings)[0][0].clone();
    let usual = document(&[]);
    assert_eq!(usual["network"]["direction"], "external");
    assert_eq!(usual["flowsentry"]["flow"].get("defects"), None);
    let changed = document(&[
        ("FLOWSENTRY_OWN_NETWORKS", "198.51.100.0/24, 2001:db8::/32"),
        ("FLOWSENTRY_CLOCK_AHEAD_SECONDS", "100"),
    ]);
    assert_eq!(changed["network"]["direction"], "internal");
    assert_eq!(changed["flowsentry"]["flow"]["defects"], json!(["clock_skew"]));
    let output = ruby::output(
        &["tests/logstash/run.rb", "logstash/flows.conf"],
        "",
        &[("FLOWSENTRY_OWN_NETWORKS", "everything")],
    );
    assert!(!output.status.success(), "a setting that means nothing stops the start");
}

/// The published test vectors of Community ID, version 1, seed 0.
#[test]
fn community_ids_are_those_of_everybody() {
    if !ruby::is_there() {
        return;
    }
    let vectors = [
        ("TCP", "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("TCP", "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("TCP", "10.1.2.3", "192.0.2.80", 51515, 443, "1:IQe2+wwKtpxyBlTvL+KL7KW1Zvc="),
        ("UDP", "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        ("ICMP", "192.168.0.89", "192.168.0.1", 0, 8 * 256, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        ("ICMP", "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (
            "IPv6-ICMP",
            "fe80::200:86ff:fe05:80da",
            "fe80::260:97ff:fe07:69ea",
            0,
            135 * 256,
            "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=",
        ),
        ("SCTP", "192.168.170.8", "192.168.170.56", 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
    ];
    let texts: Vec<String> = vectors
        .iter()
        .map(|(proto, source, destination, from, to, _)| {
            json!({
                "type": "IPFIX", "time_received_ns": 1_795_232_940_823_495_790_i64, "bytes": 1, "packets": 1,
                "src_addr": source, "dst_addr": destination, "proto": proto, "src_port": from, "dst_port": to,
            })
            .to_string()
        })
        .collect();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (document, (_, _, _, _, _, id)) in ruby::mapped(&borrowed).into_iter().zip(vectors) {
        assert_eq!(document.unwrap()["network"]["community_id"], id);
    }
}

/// A record that did not come from Kafka, for example from a file of the past.
#[test]
fn a_record_without_a_position_is_known_by_its_content() {
    if !ruby::is_there() {
        return;
    }
    let text = &samples::all()[0].text;
    let messages = [json!({"message": text}), json!({"message": text}), json!({"message": "x"})];
    let documents = ruby::documents(&messages, 1, &[]);
    let id = |at: usize| documents[at][0]["event"]["id"].as_str().unwrap().to_owned();
    assert!(id(0).starts_with("record-") && id(0).len() == 71, "{}", id(0));
    assert_eq!(id(0), id(1));
    assert_ne!(id(0), id(2));
    assert_eq!(documents[0][0]["flowsentry"]["flow"].get("offset"), None);
}
