//! Messages of a topic: protobuf beside JSON, several records in one message, and a decoder that
//! forgets what it saw.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its data should stop")]

mod samples;

use std::path::Path;

use flowsentry::formats::{self, FORMATS, MAX_RECORD_BYTES, MessageDecoder, Reject, RejectReason};
use flowsentry::model::{Flow, Protocol};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use samples::{GOFLOW2, SAMPLES, protobuf};
use serde_json::{Value, json};

type Answer = Result<Option<Flow>, Reject>;

/// What a decoder says to a message, record by record; the indices must count from 0.
fn answers(decoder: &mut MessageDecoder, message: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    decoder.decode(message, &mut |index, answer| {
        assert_eq!(index as usize, found.len());
        found.push(answer);
    });
    found
}

/// What a new decoder says.
fn fresh(message: &[u8]) -> Vec<Answer> {
    answers(&mut MessageDecoder::new(None), message)
}

fn decoded(format: &str, record: &[u8]) -> Answer {
    formats::by_name(format).unwrap().decoder().decode(record)
}

/// The protobuf message of a JSON record.
fn message_of(record: &str) -> Vec<u8> {
    protobuf::message(&serde_json::from_str(record).unwrap())
}

/// The recorded goflow2 messages of all exporters.
fn recorded() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/goflow2-json");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            let text = std::fs::read_to_string(path).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort_unstable();
    lines
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

// ---- protobuf beside JSON

#[test]
fn every_recorded_message_is_the_same_flow_in_protobuf() {
    let lines = recorded();
    assert_eq!(lines.len(), 600);
    for line in lines {
        let expected = decoded("goflow2", line.as_bytes());
        assert!(matches!(expected, Ok(Some(_))), "{line}");
        let message = message_of(&line);
        assert_eq!(decoded("goflow2_protobuf", &message), expected, "{line}");
        let delimited = protobuf::delimited(&message);
        assert_eq!(decoded("goflow2_protobuf", &delimited), expected, "{line}");
        for message in [message, delimited] {
            assert_eq!(fresh(&message), std::slice::from_ref(&expected), "{line}");
        }
    }
}

/// Records with values from the ends of their ranges as well as from within.
fn records() -> impl Strategy<Value = Value> {
    let named = (0..=255_u8).filter_map(|number| Protocol(number).name()).collect::<Vec<_>>();
    let address = prop_oneof![
        Just(String::new()),
        any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
        any::<[u8; 16]>().prop_map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        Just("0.0.0.0".to_owned()),
        Just("::ffff:10.0.0.1".to_owned()),
    ];
    let time = prop_oneof![Just(0), 1_u64..4_000_000_000_000_000_000, Just(u64::MAX)];
    let kinds = ["SFLOW_5", "NETFLOW_V5", "NETFLOW_V9", "IPFIX", "FLOWUNKNOWN"];
    let numbers = prop_oneof![Just(0), 0_u64..300, any::<u64>()];
    let number = move || numbers.clone();
    (
        (proptest::sample::select(kinds.to_vec()), [time.clone(), time.clone(), time]),
        [address.clone(), address.clone(), address],
        (
            proptest::sample::select(vec!["IPv4", "IPv6", "ARP", ""]),
            proptest::sample::select(named),
        ),
        [any::<u16>(), any::<u16>(), any::<u16>()],
        [number(), number(), number(), number(), number(), number(), number(), number()],
        [any::<u8>(), any::<u8>()],
    )
        .prop_map(|((kind, times), addresses, (etype, proto), ports, numbers, icmp)| {
            json!({
                "type": kind, "time_received_ns": times[0].max(1), "sequence_num": numbers[0],
                "sampling_rate": numbers[1], "sampler_address": addresses[2],
                "time_flow_start_ns": times[1], "time_flow_end_ns": times[2],
                "bytes": numbers[2], "packets": numbers[3],
                "src_addr": addresses[0], "dst_addr": addresses[1], "etype": etype,
                "proto": proto, "src_port": ports[0], "dst_port": ports[1],
                "in_if": numbers[4], "out_if": numbers[5], "src_vlan": numbers[6],
                "vlan_id": numbers[7], "tcp_flags": ports[2],
                "icmp_type": icmp[0], "icmp_code": icmp[1],
                "layer_stack": ["Ethernet", "IPv4"], "layer_size": [14, 20],
            })
        })
}

#[test]
fn any_record_is_the_same_in_protobuf() {
    let flows = std::cell::Cell::new(0);
    let result = runner(5_000).run(&records(), |record| {
        let without_detail = |answer: Answer| answer.map_err(|reject| reject.reason);
        let expected = without_detail(decoded("goflow2", record.to_string().as_bytes()));
        let message = protobuf::message(&record);
        let found = without_detail(decoded("goflow2_protobuf", &message));
        prop_assert_eq!(&found, &expected, "{}", record);
        let found = decoded("goflow2_protobuf", &protobuf::delimited(&message));
        prop_assert_eq!(&without_detail(found), &expected, "{}", record);
        flows.set(flows.get() + u32::from(expected.is_ok()));
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
    assert!(flows.get() > 1_000, "{} of 5,000 records are sound", flows.get());
}

#[test]
fn a_file_of_delimited_messages_is_a_source() {
    use flowsentry::sources::{FileSource, Opening};
    let lines = recorded();
    for separator in [&b""[..], b"\n"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in &lines {
            let record = [&protobuf::delimited(&message_of(line)), separator].concat();
            std::io::Write::write_all(&mut file, &record).unwrap();
        }
        std::io::Write::write_all(&mut file, &protobuf::delimited(b"\x0b")).unwrap();
        let mut source = FileSource::open(file.path(), &Opening::default()).unwrap();
        assert_eq!(source.format(), "goflow2_protobuf");
        let batch = source.next_batch(false).unwrap().unwrap();
        let flows: Vec<_> = batch.flows.into_iter().map(|located| located.flow).collect();
        let expected: Vec<_> = lines
            .iter()
            .map(|line| decoded("goflow2", line.as_bytes()).unwrap().unwrap())
            .collect();
        assert_eq!(flows, expected);
        assert_eq!(batch.records, 601);
        assert_eq!(batch.rejected.len(), 1);
        assert_eq!(batch.rejected[0].reject.reason, RejectReason::NotProtobuf);
        assert_eq!(batch.rejected[0].place.line, 601);
    }
}

// ---- which format

/// Every sample with its format; protobuf in both ways.
fn sources() -> Vec<(&'static str, Vec<u8>)> {
    let mut sources: Vec<_> = SAMPLES
        .iter()
        .map(|sample| match sample.header {
            "" => (sample.format, sample.record.as_bytes().to_vec()),
            header => (sample.format, [header, "\n", sample.record].concat().into_bytes()),
        })
        .collect();
    let message = message_of(GOFLOW2);
    sources.push(("goflow2_protobuf", protobuf::delimited(&message)));
    sources.push(("goflow2_protobuf", message));
    sources.extend(recorded().into_iter().step_by(50).flat_map(|line| {
        let message = message_of(&line);
        [("goflow2", line.into_bytes()), ("goflow2_protobuf", message)]
    }));
    sources
}

#[test]
fn every_sample_is_recognised_by_its_own_format_alone() {
    for (expected, source) in sources() {
        let found: Vec<_> = FORMATS
            .iter()
            .filter(|format| format.recognises(&source))
            .map(|format| format.name())
            .collect();
        assert_eq!(found, [expected], "{}", String::from_utf8_lossy(&source));
    }
    let missing: Vec<_> = FORMATS
        .iter()
        .map(|format| format.name())
        .filter(|name| sources().iter().all(|(format, _)| format != name))
        .collect();
    assert_eq!(missing, [""; 0], "a format without a sample");
}

#[test]
fn every_decoder_answers_to_every_sample_and_only_json_to_json() {
    for (own, source) in sources() {
        let reads_json = formats::by_name(own).unwrap().reads_json();
        for format in FORMATS {
            let mut decoder = format.decoder();
            let flows = source
                .split(|&byte| byte == b'\n')
                .filter(|record| matches!(decoder.decode(record), Ok(Some(_))))
                .count();
            let related = format.name() == own || (reads_json && format.reads_json());
            assert!(related || flows == 0, "{own} read as {}", format.name());
        }
    }
}

#[test]
fn a_message_is_read_as_by_the_decoder_of_its_format() {
    for (own, message) in sources() {
        let format = formats::by_name(own).unwrap();
        let found = fresh(&message);
        assert_eq!(answers(&mut MessageDecoder::new(Some(format)), &message), found, "{own}");
        if format.needs_header() {
            let [Err(reject)] = &found[..] else { panic!("{own}: {found:?}") };
            assert_eq!(reject.reason, RejectReason::UnknownFormat);
            assert_eq!(reject.detail, format!("{own} needs the header line of its file"));
        } else {
            assert_eq!(found, [format.decoder().decode(&message)], "{own}");
            assert!(found[0].is_ok(), "{own}");
        }
    }
}

// ---- several records in one message

/// Two flows and a broken record in one message, in every way that JSON allows.
#[test]
fn lines_arrays_and_spread_objects_hold_the_same_records() {
    let records: Vec<String> = recorded().into_iter().step_by(250).collect();
    let expected: Vec<_> =
        records.iter().map(|record| decoded("goflow2", record.as_bytes())).collect();
    let spread: Vec<_> = records
        .iter()
        .map(|record| {
            let value: Value = serde_json::from_str(record).unwrap();
            serde_json::to_string_pretty(&value).unwrap()
        })
        .collect();
    for message in [
        records.join("\n"),
        format!("\u{feff}{}\r\n\r\n", records.join("\r\n")),
        format!("[{}]", records.join(",")),
        format!(" [\n  {}\n]\n", spread.join(",\n  ")),
        spread.join("\n"),
    ] {
        assert_eq!(fresh(message.as_bytes()), expected, "{message}");
    }
}

#[test]
fn a_broken_record_takes_no_neighbour_with_it() {
    let lines = format!("{GOFLOW2}\n{{\"time_received_ns\":\n{GOFLOW2}");
    let array = format!(
        "[{GOFLOW2},{{\"time_received_ns\":true,\"bytes\":1,\"src_addr\":\"\"}},{GOFLOW2}]"
    );
    let message = message_of(GOFLOW2);
    let broken = [&message[..], &[0x0b]].concat();
    let pieces = [&message, &broken, &message].map(|message| protobuf::delimited(message));
    for (message, reason) in [
        (lines.into_bytes(), RejectReason::NotJson),
        (array.into_bytes(), RejectReason::WrongType),
        (pieces.concat(), RejectReason::NotProtobuf),
        (pieces[1..].concat(), RejectReason::NotProtobuf),
        (pieces.join(&b'\n'), RejectReason::NotProtobuf),
    ] {
        let found = fresh(&message);
        let flow = decoded("goflow2", GOFLOW2.as_bytes());
        let (mut rejected, mut flows) = (Vec::new(), 0);
        for answer in found {
            match answer {
                Err(reject) => rejected.push(reject.reason),
                found => {
                    assert_eq!(found, flow);
                    flows += 1;
                }
            }
        }
        assert_eq!(rejected, [reason], "{message:?}");
        assert!(flows > 0);
    }
}

#[test]
fn a_message_of_several_delimited_messages_is_several_records() {
    let lines: Vec<_> = recorded().into_iter().step_by(100).collect();
    let pieces: Vec<_> = lines.iter().map(|line| protobuf::delimited(&message_of(line))).collect();
    let expected: Vec<_> = lines.iter().map(|line| decoded("goflow2", line.as_bytes())).collect();
    assert_eq!(fresh(&pieces.concat()), expected);
    // Cut in the middle of the last one.
    let mut cut = pieces.concat();
    cut.truncate(cut.len() - 20);
    let found = fresh(&cut);
    assert_eq!(found[..5], expected[..5]);
    assert_eq!(found[5].as_ref().unwrap_err().reason, RejectReason::NotProtobuf);
    assert_eq!(found.len(), 6);
}

#[test]
fn blank_unknown_and_endless_messages_say_what_they_are() {
    for blank in [&b""[..], b" \n\r\n", b"\xef\xbb\xbf\n"] {
        assert_eq!(fresh(blank), [], "{blank:?}");
    }
    let endless = |start: &str| format!("{start}{}", "x".repeat(MAX_RECORD_BYTES + 1)).into_bytes();
    for (message, reason) in [
        (b"hello".to_vec(), RejectReason::UnknownFormat),
        (vec![0, 1, 2, 0xff], RejectReason::UnknownFormat),
        (b"{\"a\":1}".to_vec(), RejectReason::UnknownShape),
        (b"[7]".to_vec(), RejectReason::WrongType),
        (b"{".to_vec(), RejectReason::NotJson),
        (b"[".to_vec(), RejectReason::WrongType),
        (endless(""), RejectReason::TooLong),
        (endless("{"), RejectReason::TooLong),
        (endless("[{"), RejectReason::TooLong),
    ] {
        let found = fresh(&message);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].as_ref().unwrap_err().reason,
            reason,
            "{:?}",
            &message[..4.min(message.len())]
        );
    }
    // Longer than a record may be, but not in one record.
    let many = format!("{GOFLOW2}\n").repeat(MAX_RECORD_BYTES / GOFLOW2.len() + 1);
    assert!(many.len() > MAX_RECORD_BYTES);
    assert!(fresh(many.as_bytes()).iter().all(|answer| matches!(answer, Ok(Some(_)))));
}

// ---- history

/// Messages of every format, some of several records, some broken.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let sources: Vec<Vec<u8>> = sources()
        .into_iter()
        .map(|(_, source)| source)
        .chain([b"".to_vec(), b"hello".to_vec(), b"{\"a\":1}".to_vec(), vec![0x7b; 130]])
        .collect();
    let one = proptest::sample::select(sources);
    let join = proptest::sample::select(vec![&b""[..], b"\n", b","]);
    let parts = (proptest::collection::vec(one, 1..4), join, any::<bool>());
    let whole = parts.prop_map(|(parts, join, bracketed)| {
        let message = parts.join(join);
        if bracketed { [b"[", &message[..], b"]"].concat() } else { message }
    });
    (whole, proptest::option::weighted(0.3, (any::<u16>(), any::<u8>()))).prop_map(
        |(mut message, change)| {
            if let Some((at, byte)) = change
                && !message.is_empty()
            {
                let at = usize::from(at) % message.len();
                message[at] = byte;
            }
            message
        },
    )
}

#[test]
fn what_came_before_never_changes_an_answer() {
    let result = runner(2_000).run(&proptest::collection::vec(messages(), 1..8), |messages| {
        for format in [None, Some("goflow2"), Some("goflow2_protobuf"), Some("ecs")] {
            let format = format.map(|name| formats::by_name(name).unwrap());
            let mut experienced = MessageDecoder::new(format);
            for message in &messages {
                let alone = answers(&mut MessageDecoder::new(format), message);
                prop_assert_eq!(answers(&mut experienced, message), alone);
            }
        }
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
}
