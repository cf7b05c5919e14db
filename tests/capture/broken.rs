//! Broken captures: nothing panics, nothing is counted twice or lost in silence.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use flowsentry::capture::Limits;
use flowsentry::formats::ecs;
use flowsentry::testkit::capture::{
    ETHERNET, Frame, PacketBuilder, PcapForm, PcapNgBuilder, packet, pcap,
};

use super::{Reading, read, read_with};

/// One packet of everything that is understood.
fn varied() -> Vec<Frame> {
    let six = |packet: PacketBuilder| packet.from("2001:db8::1", 50_000).to("2001:db8::2", 80);
    let quote = six(packet()).udp().ip();
    let packets = [
        packet().flags(0x02),
        packet().flags(0x12).back(),
        packet().flags(0x10).payload(40),
        packet().udp().to("10.0.0.3", 53).payload(20).vlan(7),
        packet().icmp(8, 0, 9).payload(8),
        packet().icmp(0, 0, 9).back().payload(8),
        packet().icmp(3, 3, 0).quoting(&packet().ip()),
        packet().udp().payload(64).fragment(0, true, 5),
        packet().udp().payload(64).fragment(72, false, 5),
        packet().protocol(47).payload(9),
        six(packet()).udp().payload(9),
        six(packet()).icmp(1, 4, 0).quoting(&quote),
        six(packet()).udp().payload(64).fragment(0, true, 6),
        six(packet()).udp().payload(64).fragment(72, false, 6),
    ];
    let frames = packets.into_iter().enumerate();
    frames.map(|(number, packet)| packet.at_millis(number as u64 * 10).ethernet()).collect()
}

fn files() -> Vec<Vec<u8>> {
    let frames = varied();
    let mut ng = PcapNgBuilder::new().interface(1, None).interface(1, Some(9));
    for (number, frame) in frames.iter().enumerate() {
        let (interface, ticks) = [(0, 1_000_000), (1, 1_000_000_000)][number % 2];
        ng = ng.packet(interface, ticks, frame);
    }
    let raw: Vec<_> = [packet().flags(2), packet().udp()].map(|p| p.behind(&[0; 20])).to_vec();
    vec![
        pcap(ETHERNET, &frames),
        pcap(PcapForm { big_endian: true, nanos: true, link: 1 }, &frames),
        ng.build(),
        pcap(PcapForm { link: 276, ..ETHERNET }, &raw),
        pcap(PcapForm { link: 0, ..ETHERNET }, &raw),
        pcap(PcapForm { link: 101, ..ETHERNET }, &raw),
    ]
}

/// One way to break a file; places are shares of its length.
#[derive(Clone, Debug)]
enum Damage {
    Flip(u16, u8),
    Set(u16, u8),
    Cut(u16),
    Remove(u16, usize),
    Insert(u16, Vec<u8>),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        (any::<u16>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<u16>(), prop_oneof![Just(0), Just(0xff), any::<u8>()])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        any::<u16>().prop_map(Damage::Cut),
        (any::<u16>(), 1usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ];
    prop::collection::vec(damage, 1..6)
}

fn damage(file: &mut Vec<u8>, damage: &Damage) {
    // The first four bytes say that it is a capture.
    let room = file.len().saturating_sub(5);
    let place = |share: u16| 4 + room * usize::from(share) / 65_536;
    if room == 0 {
        return;
    }
    match damage {
        Damage::Flip(at, bit) => file[place(*at)] ^= 1 << bit,
        Damage::Set(at, byte) => file[place(*at)] = *byte,
        Damage::Cut(at) => file.truncate(place(*at)),
        Damage::Remove(at, count) => {
            let at = place(*at);
            file.drain(at..(at + count).min(file.len()));
        }
        Damage::Insert(at, bytes) => {
            let at = place(*at);
            file.splice(at..at, bytes.iter().copied());
        }
    }
}

/// What must hold of every capture.
fn check(reading: &Reading) -> Result<(), TestCaseError> {
    let mut packets = 0;
    for located in &reading.located {
        let flow = &located.flow;
        prop_assert!(flow.start <= flow.end && flow.start.nanos() >= 0);
        prop_assert!(ecs::flow_document(flow, "id").is_object());
        let _ = (flow.role(), flow.is_probe(), flow.scaled_bytes());
        let here = flow.sent.packets + flow.returned.map_or(0, |returned| returned.packets);
        prop_assert!(here > 0);
        packets += here;
    }
    for rejected in &reading.rejected {
        prop_assert!(rejected.reject.detail.len() < 500);
        prop_assert!(!rejected.reject.to_string().chars().any(char::is_control));
    }
    let others = reading.rejected.len() as u64 + reading.notes.not_ip;
    prop_assert!(packets + others <= reading.records, "{packets} + {others}");
    let places: BTreeMap<_, _> = reading.located.iter().map(|l| (l.place, ())).collect();
    prop_assert_eq!(places.len(), reading.located.len(), "a place names one flow");
    Ok(())
}

/// `FLOWSENTRY_FUZZ_RECORDS` sets how many captures are broken; 20,000 otherwise.
#[test]
fn broken_captures_never_panic() {
    let captures = std::env::var("FLOWSENTRY_FUZZ_RECORDS").ok();
    let cases = captures.and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let files = files();
    let result = TestRunner::new_with_rng(config, rng).run(
        &(0..files.len(), damages(), 1usize..4),
        |(file, damages, max_flows)| {
            let mut file = files[file].clone();
            damages.iter().for_each(|one| damage(&mut file, one));
            check(&read(file.clone()))?;
            check(&read_with(Limits { max_flows, ..Limits::default() }, file))
        },
    );
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

#[test]
fn any_bytes_behind_a_header_are_survived() {
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let links = prop::sample::select(vec![0_u32, 1, 101, 108, 113, 276, 9]);
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..8);
    let result = TestRunner::new_with_rng(config, rng).run(&(links, frames), |(link, frames)| {
        let frames: Vec<_> = frames
            .into_iter()
            .map(|bytes| Frame { nanos: 0, wire_bytes: bytes.len() as u32, bytes })
            .collect();
        let reading = read(pcap(PcapForm { link, ..ETHERNET }, &frames));
        check(&reading)?;
        prop_assert_eq!(reading.records, frames.len() as u64 + 1);
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

/// A packet among a few hosts and ports, so that many meet.
fn any_packet() -> impl Strategy<Value = PacketBuilder> {
    let parts = (0u8..4, 0u8..4, 0u16..3, 0u16..3, 0u16..64, 0usize..20, 0u8..4, 0u64..2_000_000);
    parts.prop_map(|(from, to, from_port, to_port, flags, payload, protocol, millis)| {
        let packet = packet()
            .at_millis(millis)
            .from(&format!("10.0.0.{from}"), 52 + from_port)
            .to(&format!("10.0.0.{to}"), 52 + to_port);
        match protocol {
            0 | 1 => packet.flags(flags).sequence(u32::from(flags)).payload(payload),
            2 => packet.udp().payload(payload),
            _ => packet.icmp([8, 0, 3, 11][usize::from(from_port)], 0, to_port).payload(payload),
        }
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// Whatever the order of the times, every packet and byte is in exactly one flow.
    #[test]
    fn every_packet_is_in_one_flow(
        packets in prop::collection::vec(any_packet(), 1..200),
        max_flows in 1usize..50,
        in_order in any::<bool>(),
    ) {
        let mut frames: Vec<_> = packets.iter().map(PacketBuilder::ethernet).collect();
        if in_order {
            frames.sort_by_key(|frame| frame.nanos);
        }
        let limits = Limits { max_flows, ..Limits::default() };
        let reading = read_with(limits, pcap(ETHERNET, &frames));
        check(&reading)?;
        prop_assert_eq!(reading.reasons(), Vec::<&str>::new());
        let both = |flow: &flowsentry::model::Flow| {
            let returned = flow.returned.unwrap_or_default();
            (flow.sent.packets + returned.packets, flow.sent.bytes + returned.bytes)
        };
        let counted = reading.located.iter().map(|located| both(&located.flow));
        let counted = counted.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let bytes: u64 = packets.iter().map(|packet| packet.ip().len() as u64).sum();
        prop_assert_eq!(counted, (packets.len() as u64, bytes));
        // The same bytes give the same flows: nothing depends on the seeds of tables.
        let again = read_with(limits, pcap(ETHERNET, &frames));
        prop_assert_eq!(reading.located, again.located);
    }
}
