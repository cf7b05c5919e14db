//! Public captures, where they lie at hand, against the flow lists of another program (nDPI).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flowsentry::capture::{
    Assembler, Container, Direction, Item, Limits, Packet, PacketPlace, Statistics, Step,
};
use flowsentry::model::{Flow, Outcome};

use super::{ENDLESS, lines, read, read_with};

/// The folder of captures, where there is one.
fn captures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("FLOWSENTRY_SHARED").map_or(beside, PathBuf::from);
    let folder = folder.join("data/pcaps");
    if folder.is_dir() {
        return Some(folder);
    }
    let skipped = format!("skipped: no captures in {} (set FLOWSENTRY_SHARED)\n", folder.display());
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

/// Packets and bytes on the wire, each way: what nDPI counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OnWire {
    forward: (u64, u64),
    backward: (u64, u64),
}

impl Statistics for OnWire {
    fn add(&mut self, packet: &Packet, direction: Direction) {
        let way = match direction {
            Direction::Forward => &mut self.forward,
            Direction::Backward => &mut self.backward,
        };
        *way = (way.0 + 1, way.1 + packet.wire_bytes);
    }
}

/// Flows with statistics, by the parts of the library alone.
fn assembled(bytes: &[u8]) -> Vec<(Flow, OnWire)> {
    let limits = Limits {
        tcp_idle_seconds: u32::MAX,
        idle_seconds: u32::MAX,
        active_seconds: u32::MAX,
        max_flows: 1_000_000,
    };
    let mut container = Container::of(bytes).unwrap();
    let mut assembler = Assembler::<OnWire>::new(limits);
    let (mut ended, mut offset, mut number) = (Vec::new(), 0, 0);
    while offset < bytes.len() {
        let Step::Is(length, item) = container.next(&bytes[offset..]) else {
            panic!("it is sound")
        };
        number += 1;
        if let Item::Packet(raw) = item
            && let Some(packet) = Packet::read(&raw).unwrap()
        {
            let place = PacketPlace { offset: offset as u64, number };
            assembler.add(place, &packet, &mut ended);
        }
        offset += usize::try_from(length).unwrap();
    }
    assembler.finish(&mut ended);
    ended.into_iter().map(|one| (one.flow, one.statistics)).collect()
}

/// A protocol and two ends, the lower one first.
type Ends = (String, (IpAddr, u16), (IpAddr, u16));

/// Packets and bytes from the lower end, and to it.
type Counts = [u64; 4];

fn add(
    flows: &mut BTreeMap<Ends, (u32, Counts)>,
    protocol: &str,
    ends: [(IpAddr, u16); 2],
    counts: Counts,
) {
    let [from, to] = ends;
    let [sent, sent_bytes, returned, returned_bytes] = counts;
    let (key, counts) = match from <= to {
        true => ((protocol.to_owned(), from, to), counts),
        false => ((protocol.to_owned(), to, from), [returned, returned_bytes, sent, sent_bytes]),
    };
    let entry = flows.entry(key).or_default();
    entry.0 += 1;
    for (sum, count) in entry.1.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// The flows of nDPI's list: `1 TCP 10.0.0.1:5 <-> 10.0.0.2:80 …[4 pkts/300 bytes <-> 3 pkts/…]`.
fn expected(list: &str) -> BTreeMap<Ends, (u32, Counts)> {
    let mut flows = BTreeMap::new();
    for line in list.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, protocol, from, arrow, to, ..] = words.as_slice() else { continue };
        if !["->", "<->"].contains(arrow) {
            continue;
        }
        let to = to.split("[VLAN").next().unwrap();
        let to = to.split("[proto").next().unwrap();
        let end = |text: &str| {
            let (ip, port) = text.rsplit_once(':').unwrap();
            (ip.trim_matches(['[', ']']).parse().unwrap(), port.parse().unwrap())
        };
        let counted = line.split('[').find(|part| part.contains(" pkts/")).unwrap();
        let numbers: Vec<u64> = counted
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        let mut counts = [0; 4];
        counts.iter_mut().zip(numbers).for_each(|(count, number)| *count = number);
        add(&mut flows, &protocol.to_lowercase(), [end(from), end(to)], counts);
    }
    flows
}

/// Ours as nDPI sees them: ICMP without identifiers, one flow for one pair of ends.
fn ours(bytes: &[u8]) -> BTreeMap<Ends, (u32, Counts)> {
    let mut flows = BTreeMap::new();
    for (flow, wire) in assembled(bytes) {
        let end = |end: flowsentry::model::Endpoint| (end.ip.unwrap(), end.port.unwrap_or(0));
        let protocol = match flow.protocol.unwrap().0 {
            58 => "icmpv6".to_owned(),
            _ => flow.protocol.unwrap().to_string(),
        };
        let counts = [wire.forward.0, wire.forward.1, wire.backward.0, wire.backward.1];
        add(&mut flows, &protocol, [end(flow.source), end(flow.destination)], counts);
        assert_eq!(flow.sent.packets, wire.forward.0);
        assert_eq!(flow.returned.map_or(0, |returned| returned.packets), wire.backward.0);
    }
    flows
}

/// Five packets of this capture were cut together with the lengths of their records, so that their IP
/// headers name more bytes than the wire had. nDPI leaves them out; here headers are believed.
const CUT_TELNET: (Counts, Counts) = ([44, 4_283, 43, 3_135], [44, 4_283, 48, 3_465]);

/// Every five-tuple of nDPI's lists is there with the same packets and bytes each way.
#[test]
fn packets_and_bytes_agree_with_the_lists_of_ndpi() {
    let Some(folder) = captures() else { return };
    let mut compared = 0;
    for entry in fs::read_dir(folder.join("ndpi-expected")).unwrap() {
        let list = entry.unwrap().path();
        let name = list.file_stem().unwrap().to_string_lossy().into_owned();
        let stem = name.rsplit_once('.').unwrap();
        let files = [format!("ndpi__{name}"), format!("ndpi__{}.snap96.{}", stem.0, stem.1)];
        let file = files.iter().map(|file| folder.join(file)).find(|file| file.exists()).unwrap();
        let expected = expected(&fs::read_to_string(&list).unwrap());
        let ours = ours(&fs::read(file).unwrap());
        assert!(!expected.is_empty(), "{name}");
        let differ = |ends: &&Ends| ours.get(ends) != expected.get(ends);
        let differences: Vec<_> = expected.keys().chain(ours.keys()).filter(differ).collect();
        if name == "telnet.pcap" {
            let counts = |flows: &BTreeMap<Ends, (u32, Counts)>| flows.values().next().unwrap().1;
            assert_eq!((counts(&expected), counts(&ours)), CUT_TELNET);
        } else {
            assert!(differences.is_empty(), "{name}: {differences:?}");
        }
        compared += expected.len();
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn one_capture_in_two_formats_gives_the_same_flows() {
    let Some(folder) = captures() else { return };
    let both = ["cs__synscan.pcapng", "ndpi__synscan.pcap"]
        .map(|name| read(fs::read(folder.join(name)).unwrap()));
    let [first, second] = both.map(|reading| reading.flows());
    assert_eq!(first, second);
    let probes = first.iter().filter(|flow| flow.is_probe()).count();
    let refused = first.iter().filter(|flow| flow.outcome == Outcome::Refused).count();
    assert_eq!((first.len(), probes, refused), (1_994, 1_994, 5));
}

#[test]
fn every_capture_is_read_whole() {
    let Some(folder) = captures() else { return };
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    for row in manifest.lines().skip(1) {
        let columns: Vec<_> = row.split('\t').collect();
        let (name, packets) = (columns[0], columns[5].parse::<u64>().unwrap());
        let reading = read_with(ENDLESS, fs::read(folder.join(name)).unwrap());
        assert_eq!(reading.problem, None, "{name}");
        assert_eq!(reading.reasons(), Vec::<&str>::new(), "{name}: {:?}", reading.rejected.first());
        let counted: u64 = reading
            .located
            .iter()
            .map(|located| &located.flow)
            .map(|flow| flow.sent.packets + flow.returned.map_or(0, |returned| returned.packets))
            .sum();
        assert_eq!(counted + reading.notes.not_ip, packets, "{name}");
    }
}

/// Small captures of single contacts, line by line.
#[test]
fn small_captures_stay_as_they_are() {
    let Some(folder) = captures() else { return };
    let cases: [(&str, &[&str]); 5] = [
        (
            "cs__tcp_handshake",
            &["tcp 172.16.16.128:2826 > 212.58.226.142:80 2/92 1/52 flags 0x12 established Empty"],
        ),
        (
            "cs__tcp_refuseconnection",
            &["tcp 192.168.100.138:3372 > 192.168.100.1:80 1/48 1/40 flags 0x2 reset Refused"],
        ),
        (
            "cs__tcp_teardown",
            &["tcp 172.16.16.128:3363 > 67.228.110.120:80 2/80 2/80 flags 0x11 - Unknown"],
        ),
        (
            "cs__ipv6_fragments",
            &[
                "ipv6-icmp 2001:db8:1:2::1003 > 2001:db8:1:2::1000 10/8020 10/8020 icmp 128/0 - Exchanged",
                "ipv6-icmp fe80::20c:29ff:fe1f:a755 > 2001:db8:1:2::1003 1/72 1/64 icmp 135/0 - Exchanged",
            ],
        ),
        (
            "cs__dns_axfr",
            &["tcp 172.16.16.164:1108 > 172.16.16.139:53 6/283 5/1364 flags 0x1b closed Exchanged"],
        ),
    ];
    for (name, expected) in cases {
        let reading = read(fs::read(folder.join(format!("{name}.pcapng"))).unwrap());
        assert_eq!(lines(&reading.flows()), expected, "{name}");
    }
}
