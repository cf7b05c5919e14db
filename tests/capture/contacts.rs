//! What became of TCP contacts: the words of Zeek for the same packets mean the same.

use flowsentry::formats;
use flowsentry::model::{ConnectionState, Flow, Outcome};
use flowsentry::testkit::capture::{Frame, packet};

use super::flows_of;

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

/// Packets between a client and port 80: `>` or `<`, flags, bytes of payload.
type Packets = &'static [(char, u16, usize)];

fn frames(packets: Packets) -> Vec<Frame> {
    let made = packets.iter().enumerate().map(|(number, &(way, flags, bytes))| {
        let forward = packet().at_millis(number as u64).flags(flags).payload(bytes);
        let packet = if way == '>' { forward } else { forward.back() };
        packet.ethernet()
    });
    made.collect()
}

fn only(packets: Packets) -> Flow {
    let flows = flows_of(&frames(packets));
    assert_eq!(flows.len(), 1, "{packets:?}");
    assert_eq!(flows[0].destination.port, Some(80), "{packets:?}");
    flows[0].clone()
}

/// The state and outcome that a line of Zeek's log with this word is read as.
fn zeek(word: &str, payload: usize) -> (Option<ConnectionState>, Outcome) {
    let head = "#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\torig_bytes\tresp_bytes\tconn_state\torig_pkts\tresp_pkts";
    let mut decoder = formats::by_name("zeek").unwrap().decoder();
    for line in head.lines() {
        decoder.decode(line.as_bytes()).unwrap();
    }
    let line = format!("1.0\t10.0.0.1\t50000\t10.0.0.2\t80\ttcp\t{payload}\t0\t{word}\t3\t3");
    let flow = decoder.decode(line.as_bytes()).unwrap().unwrap();
    (flow.state, flow.outcome)
}

#[test]
fn the_words_of_zeek_mean_what_the_packets_mean() {
    let cases: [(&str, Packets); 17] = [
        ("S0", &[('>', SYN, 0)]),
        ("S0", &[('>', SYN, 0), ('>', SYN, 0), ('>', SYN, 0)]),
        ("S1", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', ACK, 0)]),
        ("S1", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', ACK, 9), ('<', ACK, 9)]),
        (
            "SF",
            &[
                ('>', SYN, 0),
                ('<', SYN | ACK, 0),
                ('>', ACK, 9),
                ('>', FIN | ACK, 0),
                ('<', FIN | ACK, 0),
                ('>', ACK, 0),
            ],
        ),
        (
            "SF",
            &[
                ('>', SYN, 0),
                ('<', SYN | ACK, 0),
                ('>', ACK, 0),
                ('>', FIN | ACK, 0),
                ('<', FIN | ACK, 0),
            ],
        ),
        ("S2", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', ACK, 0), ('>', FIN | ACK, 9)]),
        ("S3", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', ACK, 0), ('<', FIN | ACK, 9)]),
        ("REJ", &[('>', SYN, 0), ('<', RST | ACK, 0)]),
        ("RSTO", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', RST, 0)]),
        ("RSTR", &[('>', SYN, 0), ('<', SYN | ACK, 0), ('>', ACK, 9), ('<', RST, 0)]),
        ("RSTOS0", &[('>', SYN, 0), ('>', RST, 0)]),
        ("RSTRH", &[('<', SYN | ACK, 0), ('<', RST, 0)]),
        ("SH", &[('>', SYN, 0), ('>', FIN, 0)]),
        ("SHR", &[('<', SYN | ACK, 0), ('<', FIN, 0)]),
        ("OTH", &[('<', SYN | ACK, 0)]),
        ("OTH", &[('>', ACK, 0), ('<', ACK, 9)]),
    ];
    for (word, packets) in cases {
        let payload = packets.iter().map(|packet| packet.2).sum();
        let flow = only(packets);
        assert_eq!((flow.state, flow.outcome), zeek(word, payload), "{word}: {packets:?}");
    }
}

/// Where Zeek says nothing, because it saw no SYN.
#[test]
fn contacts_that_no_syn_began_say_what_can_be_seen() {
    use ConnectionState::{Closed, Connecting, Established, New, Reset};
    let cases: [(Option<ConnectionState>, Outcome, Packets); 7] = [
        // The capture began in the middle.
        (Some(Established), Outcome::Exchanged, &[('>', ACK, 9), ('<', ACK, 9)]),
        (
            Some(Closed),
            Outcome::Exchanged,
            &[('>', ACK, 9), ('>', FIN | ACK, 0), ('<', FIN | ACK, 0)],
        ),
        // The way of FIN, NULL and Xmas scans.
        (Some(Reset), Outcome::Refused, &[('>', FIN, 0), ('<', RST | ACK, 0)]),
        (Some(New), Outcome::Unanswered, &[('>', 0, 0)]),
        // An ordinary end of a connection that the server has forgotten.
        (None, Outcome::Unknown, &[('>', ACK, 0), ('<', RST, 0)]),
        (None, Outcome::Unknown, &[('<', RST, 0)]),
        // Zeek's S1, half way.
        (Some(Connecting), Outcome::Empty, &[('>', SYN, 0), ('<', SYN | ACK, 0)]),
    ];
    for (state, outcome, packets) in cases {
        let flow = only(packets);
        assert_eq!((flow.state, flow.outcome), (state, outcome), "{packets:?}");
    }
}

#[test]
fn who_was_refused_probes_and_who_was_served_does_not() {
    assert!(only(&[('>', SYN, 0), ('<', RST | ACK, 0)]).is_probe());
    assert!(only(&[('>', SYN, 0)]).is_probe());
    assert!(only(&[('>', FIN, 0), ('<', RST | ACK, 0)]).is_probe());
    assert!(!only(&[('>', ACK, 9), ('<', ACK, 9)]).is_probe());
    assert!(!only(&[('<', RST, 0)]).is_probe());
}
