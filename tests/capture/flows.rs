//! Packets that belong together, who began, and when a flow ends.

use flowsentry::model::{FlowOrigin, Role, Timestamp};
use flowsentry::sources::CaptureLimits;
use flowsentry::testkit::capture::{Frame, PacketBuilder, packet};

use super::{ENDLESS, flows_of, flows_within, line, lines};

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

fn ethernet(packets: &[PacketBuilder]) -> Vec<Frame> {
    packets.iter().map(PacketBuilder::ethernet).collect()
}

/// A whole connection that begins at `millis`, three packets there and three back.
fn connection(millis: u64, sequence: u32) -> [PacketBuilder; 7] {
    let ahead = |after: u64, flags| packet().at_millis(millis + after).flags(flags);
    [
        ahead(0, SYN).sequence(sequence),
        ahead(1, SYN | ACK).back(),
        ahead(2, ACK),
        ahead(3, ACK).payload(100),
        ahead(4, ACK | FIN).payload(1_000).back(),
        ahead(5, ACK | FIN),
        ahead(6, ACK).back(),
    ]
}

#[test]
fn a_connection_is_one_flow_of_its_initiator() {
    let flows = flows_of(&ethernet(&connection(1_000, 7)));
    assert_eq!(
        lines(&flows),
        ["tcp 10.0.0.1:50000 > 10.0.0.2:80 4/260 3/1120 flags 0x13 closed Exchanged"]
    );
    let flow = &flows[0];
    assert_eq!(flow.origin, FlowOrigin::Capture);
    assert_eq!(flow.start, Timestamp::from_seconds(1));
    assert_eq!(flow.end.nanos(), 1_006_000_000);
    assert_eq!((flow.received, flow.exporter), (None, None));
    assert_eq!(flow.sampling_factor(), 1);
    assert!(flow.sampling_rate.is_some(), "a capture holds every packet");
}

#[test]
fn a_new_connection_between_the_same_ports_is_a_flow_of_its_own() {
    let both = [connection(0, 7), connection(100, 8)].concat();
    assert_eq!(flows_of(&ethernet(&both)).len(), 2);
    // A repeated SYN begins nothing, nor does the next try of somebody who is not answered.
    let tries = [0, 1_000, 3_000].map(|at| packet().at_millis(at).flags(SYN).sequence(at as u32));
    assert_eq!(flows_of(&ethernet(&tries)).len(), 1);
}

#[test]
fn stragglers_belong_to_the_connection_that_was_closed() {
    let mut packets = connection(0, 7).to_vec();
    packets.push(packet().at_millis(900).flags(ACK | FIN));
    packets.push(packet().at_millis(1_000).flags(RST).back());
    let flows = flows_of(&ethernet(&packets));
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].sent.packets + flows[0].returned.unwrap().packets, 9);
    packets.push(packet().at_millis(60_000).flags(RST).back());
    assert_eq!(flows_of(&ethernet(&packets)).len(), 2, "a minute later nobody waits for them");
}

#[test]
fn an_end_with_the_port_of_a_service_did_not_begin() {
    let answer = packet().udp().payload(50).back();
    assert_eq!(
        line(&flows_of(&[answer.ethernet()])[0]),
        "udp 10.0.0.1:50000 > 10.0.0.2:80 0/0 1/78 - Unknown"
    );
    let between_clients = packet().udp().to("10.0.0.2", 40_000).back();
    assert_eq!(
        line(&flows_of(&[between_clients.ethernet()])[0]),
        "udp 10.0.0.2:40000 > 10.0.0.1:50000 1/28 0/0 new Unanswered"
    );
    let backscatter = packet().to("10.0.0.2", 40_000).back().flags(SYN | ACK);
    assert_eq!(
        line(&flows_of(&[backscatter.ethernet()])[0]),
        "tcp 10.0.0.1:50000 > 10.0.0.2:40000 0/0 1/40 - Unknown"
    );
}

#[test]
fn questions_and_answers_of_a_ping_are_one_flow_by_their_identifier() {
    let ping = |at, id| packet().at_millis(at).icmp(8, 0, id).payload(56);
    let pong = |at, id| packet().at_millis(at).back().icmp(0, 0, id).payload(56);
    let flows = flows_of(&ethernet(&[ping(0, 1), pong(1, 1), ping(2, 2), ping(1_000, 1)]));
    assert_eq!(
        lines(&flows),
        [
            "icmp 10.0.0.1 > 10.0.0.2 2/168 1/84 icmp 8/0 - Exchanged",
            "icmp 10.0.0.1 > 10.0.0.2 1/84 0/0 icmp 8/0 - Unanswered",
        ]
    );
    assert!(!flows[0].is_probe() && flows[1].is_probe());
    // The capture began between question and answer.
    let flows = flows_of(&ethernet(&[pong(0, 1), ping(1_000, 1), pong(1_001, 1)]));
    assert_eq!(lines(&flows), ["icmp 10.0.0.1 > 10.0.0.2 1/84 2/168 icmp 8/0 - Exchanged"]);
}

#[test]
fn an_unreachable_port_refuses_what_it_quotes() {
    let question = packet().udp().to("10.0.0.2", 33_434).payload(20);
    let quote = question.ip();
    let error = packet().at_millis(1).back().icmp(3, 3, 0).quoting(&quote[..28]);
    let flows = flows_of(&ethernet(&[question.clone(), error]));
    assert_eq!(
        lines(&flows),
        [
            "udp 10.0.0.1:50000 > 10.0.0.2:33434 1/48 0/0 reset Refused",
            "icmp 10.0.0.2 > 10.0.0.1 1/56 - icmp 3/3 - Unknown",
        ]
    );
    assert!(flows[0].is_probe());
    assert_eq!(flows[1].role(), Role::Responder);
    // That a packet is too large refuses nothing.
    let too_large = packet().at_millis(1).back().icmp(3, 4, 0).quoting(&quote[..28]);
    let flows = flows_of(&ethernet(&[question, too_large]));
    assert!(lines(&flows)[0].ends_with("new Unanswered"));
}

#[test]
fn a_refused_ping_and_a_refused_syn_are_told_too() {
    let six = |packet: PacketBuilder| packet.from("2001:db8::1", 50_000).to("2001:db8::2", 80);
    for question in [
        packet().icmp(8, 0, 5),
        packet().flags(SYN),
        six(packet()).icmp(128, 0, 5),
        six(packet()).flags(SYN),
        six(packet()).udp(),
    ] {
        let quote = question.ip();
        let error = match quote[0] >> 4 {
            4 => packet().back().icmp(3, 1, 0),
            _ => six(packet()).back().icmp(1, 4, 0),
        };
        let flows = flows_of(&ethernet(&[question, error.at_millis(3).quoting(&quote)]));
        assert!(line(&flows[0]).ends_with("Refused"), "{}", line(&flows[0]));
    }
}

#[test]
fn later_fragments_follow_their_datagram() {
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        let part = |at, offset, more, bytes| {
            let packet = packet().from(from, 4_000).to(to, 53).udp().at_millis(at).payload(bytes);
            packet.fragment(offset, more, 77)
        };
        let whole =
            [part(0, 0, true, 1_000), part(1, 1_008, true, 1_000), part(2, 2_008, false, 9)];
        let flows = flows_of(&ethernet(&whole));
        assert_eq!(flows.len(), 1, "{from}");
        let headers = if from.contains(':') { 3 * 48 } else { 3 * 20 };
        assert_eq!(flows[0].sent.bytes, headers + 8 + 2_009, "{from}");
        // Without the first nobody knows the ports.
        let flows = flows_of(&ethernet(&whole[1..]));
        assert_eq!((flows.len(), flows[0].source.port), (1, None), "{from}");
        assert_eq!(flows[0].protocol.unwrap().0, 17, "{from}");
    }
}

#[test]
fn other_protocols_have_a_flow_for_each_pair_of_hosts() {
    let gre = |at| packet().at_millis(at).protocol(47).payload(100);
    let flows = flows_of(&ethernet(&[gre(0), gre(1).back(), gre(2)]));
    assert_eq!(lines(&flows), ["gre 10.0.0.1 > 10.0.0.2 2/240 1/120 - Exchanged"]);
}

#[test]
fn the_outermost_vlan_of_the_source_is_told() {
    let [syn, answer, ..] = connection(0, 7);
    let flows = flows_of(&ethernet(&[syn.vlan(100).vlan(7), answer]));
    assert_eq!((flows.len(), flows[0].vlan), (1, Some(100)));
}

#[test]
fn silence_ends_a_flow_and_age_continues_it() {
    let keep_alive = |seconds: u64| {
        let packet = packet().at_millis(seconds * 1_000).flags(ACK);
        if seconds.is_multiple_of(200) { packet.payload(1) } else { packet.back() }
    };
    let mut packets = connection(0, 7)[..5].to_vec();
    packets.extend((1..30).map(|number| keep_alive(100 * number)));
    let flows = flows_of(&ethernet(&packets));
    assert_eq!(flows.len(), 2, "active for 2,900 s");
    assert_eq!(flows[1].start, Timestamp::from_seconds(1_800));
    let states: Vec<_> = flows.iter().map(|flow| (flow.state, flow.outcome)).collect();
    assert_eq!(states[0], states[1], "the second knows how the contact began");
    assert!(flows.iter().all(|flow| flow.source.port == Some(50_000) && !flow.is_probe()));

    let udp = |seconds: u64| packet().udp().at_millis(seconds * 1_000);
    assert_eq!(flows_of(&ethernet(&[udp(0), udp(60), udp(121)])).len(), 2);
    let tcp = |seconds: u64| packet().at_millis(seconds * 1_000);
    assert_eq!(flows_of(&ethernet(&[tcp(0), tcp(300), tcp(601)])).len(), 2);
    let short = CaptureLimits { tcp_idle_seconds: 10, ..CaptureLimits::default() };
    assert_eq!(flows_within(short, &ethernet(&[tcp(0), tcp(11)])).len(), 2);
    assert_eq!(flows_within(ENDLESS, &ethernet(&[tcp(0), tcp(900_000)])).len(), 1);
}

#[test]
fn flows_come_in_the_order_of_their_ends() {
    // A scan that nobody answers, and a busy exchange beside it that closes at once.
    let mut packets = Vec::new();
    for number in 0..200_u16 {
        let at = u64::from(number) * 5_000;
        packets.push(packet().at_millis(at).flags(SYN).to("10.0.0.9", number + 1));
        let [open, .., last] = connection(at + 1, u32::from(number));
        packets.extend([open, last]);
        packets.push(packet().at_millis(at + 3).udp().to("10.0.0.3", 53));
    }
    let reading = super::read(flowsentry::testkit::capture::pcap(
        flowsentry::testkit::capture::ETHERNET,
        &ethernet(&packets),
    ));
    let ends: Vec<_> = reading.located.iter().map(|located| located.flow.end).collect();
    assert!(ends.len() > 200 && ends.is_sorted());
}

#[test]
fn times_that_go_back_or_leap_break_nothing() {
    let [a, b, c, d, e, f, g] = connection(10_000, 7);
    let shuffled = [a.clone(), c.clone(), b.clone(), e.clone(), d.clone(), f.clone(), g.clone()];
    let in_order = lines(&flows_of(&ethernet(&[a, b, c, d, e, f, g])));
    assert_eq!(lines(&flows_of(&ethernet(&shuffled))), in_order);
    // One damaged time ends no other flow.
    let wild = packet().udp().at_millis(4_000_000_000).from("10.9.9.9", 5_000);
    let [a, b, c, d, e, f, g] = connection(10_000, 7);
    let flows = flows_of(&ethernet(&[a, b, c, wild, d, e, f, g]));
    assert_eq!(flows.len(), 2);
    assert_eq!(line(&flows[0]), in_order[0]);
}

#[test]
fn beyond_the_limit_the_longest_idle_is_ended_and_counted() {
    let limits = CaptureLimits { max_flows: 10, ..CaptureLimits::default() };
    let probes: Vec<_> = (0..25_u64)
        .map(|number| packet().flags(SYN).at_millis(number).to("10.0.0.2", number as u16 + 1))
        .collect();
    let file = flowsentry::testkit::capture::pcap(
        flowsentry::testkit::capture::ETHERNET,
        &ethernet(&probes),
    );
    let reading = super::read_with(limits, file);
    assert_eq!((reading.located.len(), reading.notes.ended_early), (25, 15));
}
