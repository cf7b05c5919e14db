//! The whole simulation: the same again, in order, realistic, and the truth is in the flows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::model::{NetworkType, Protocol};

use super::*;

mod later;

/// 2026-03-02T00:00:00Z, a Monday.
const MONDAY: i64 = 1_772_409_600;

fn simulate(change: impl FnOnce(&mut Config)) -> Simulation {
    let mut config = Config::default();
    change(&mut config);
    Simulation::new(config).unwrap()
}

fn hours(config: &mut Config, first: f64, count: f64) {
    config.start = crate::model::Timestamp::from_seconds(MONDAY + (first * 3_600.0) as i64);
    config.extent = Extent::Hours(count);
}

fn first_kinds() -> Vec<AttackKind> {
    AttackKind::ALL[..AttackKind::FIRST].to_vec()
}

/// The truth and the flows of each episode.
fn labelled(simulation: Simulation) -> Vec<Labelled> {
    let truth = simulation.truth().to_vec();
    let mut all: Vec<_> = truth.into_iter().map(|episode| (episode, Vec::new())).collect();
    for flow in simulation {
        if let Some(index) = flow.episode {
            all[index as usize].1.push(flow);
        }
    }
    all
}

type Labelled = (Episode, Vec<SimulatedFlow>);

/// The default day with the first kinds.
fn episodes() -> &'static [Labelled] {
    static EPISODES: OnceLock<Vec<Labelled>> = OnceLock::new();
    EPISODES.get_or_init(|| labelled(simulate(|config| config.attacks = first_kinds())))
}

fn of_kind(kind: AttackKind) -> Vec<&'static Labelled> {
    let found: Vec<_> = episodes().iter().filter(|(episode, _)| episode.kind == kind).collect();
    assert_eq!(found.len(), 3, "{kind}");
    found
}

/// The flows from an attacker to a victim.
fn forward((episode, flows): &Labelled) -> Vec<&SimulatedFlow> {
    let attackers: HashSet<IpAddr> = episode.attackers.iter().copied().collect();
    let victims: HashSet<IpAddr> = episode.victims.iter().copied().collect();
    let is_forward = |flow: &&SimulatedFlow| {
        flow.source.is_some_and(|ip| attackers.contains(&ip))
            && flow.destination.is_some_and(|ip| victims.contains(&ip))
    };
    flows.iter().filter(is_forward).collect()
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    items.collect::<BTreeSet<T>>().len()
}

fn checksum(config: Config) -> String {
    let mut lines = Vec::new();
    for flow in Simulation::new(config).unwrap().take(10_000) {
        write_goflow2(&flow, &mut lines);
    }
    let digest = Sha256::digest(&lines);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    let short =
        || Config { extent: Extent::Hours(2.0), attacks: first_kinds(), ..Config::default() };
    assert_eq!(checksum(short()), checksum(short()));
    assert_ne!(checksum(short()), checksum(Config { seed: 2, ..short() }));
    // A different value here means that old seeds no longer give what they gave.
    assert_eq!(checksum(short()), "cd2590d3f82cf3c2");
}

#[test]
fn records_come_in_the_order_of_receipt() {
    let mut last = crate::model::Timestamp::MIN;
    let mut is_disordered = false;
    let mut last_end = last;
    for flow in simulate(|config| hours(config, 9.0, 1.0)) {
        assert!(flow.received >= last);
        assert!(flow.start <= flow.end && flow.end <= flow.received);
        let delay = flow.received.seconds_since(flow.end);
        assert!(delay < 10.0, "{delay}");
        assert!(flow.end.seconds_since(flow.start) <= 60.0);
        is_disordered |= flow.end < last_end;
        (last, last_end) = (flow.received, flow.end);
    }
    assert!(is_disordered, "ends are out of order, as with real exporters");
}

#[test]
fn a_number_of_flows_is_met_exactly() {
    for flows in [1, 999, 50_000] {
        let simulation = simulate(|config| config.extent = Extent::Flows(flows));
        assert_eq!(simulation.expected_flows(), flows);
        assert_eq!(simulation.count() as u64, flows);
    }
}

#[test]
fn hours_are_met() {
    let all: Vec<_> = simulate(|config| hours(config, 8.0, 0.5)).collect();
    let begin = crate::model::Timestamp::from_seconds(MONDAY + 8 * 3_600);
    let lasted = all[all.len() - 1].received.seconds_since(begin);
    assert!(all[0].received >= begin);
    assert!((1_795.0..1_800.0).contains(&lasted), "{lasted}");
}

#[test]
fn the_expected_number_is_close_to_the_real_one() {
    let simulation = simulate(|_| {});
    let expected = simulation.expected_flows() as f64;
    let count = simulation.count() as f64;
    assert!((count / expected - 1.0).abs() < 0.06, "{count} of {expected}");
    assert!((1.5e6..2.4e6).contains(&count), "{count}");
}

#[test]
fn the_day_is_busier_than_the_night_and_the_week_than_the_weekend() {
    let records = |first: f64| {
        let calm = |config: &mut Config| {
            hours(config, first, 1.0);
            config.attacks.clear();
        };
        simulate(calm).count() as f64
    };
    let (morning, lunch, night) = (records(10.0), records(12.25), records(3.0));
    let saturday = records(5.0 * 24.0 + 10.0);
    assert!((3.5..8.0).contains(&(morning / night)), "{morning} by day, {night} by night");
    assert!(lunch < 0.95 * morning, "{lunch} at lunch");
    assert!((0.1..0.5).contains(&(saturday / morning)), "{saturday} on Saturday");
}

#[test]
fn the_mixture_is_that_of_an_office() {
    let mut hosts = HashSet::new();
    let (mut records, mut ipv6, mut sampled) = (0.0, 0.0, 0.0);
    let mut protocols: HashMap<u8, f64> = HashMap::new();
    for flow in simulate(|config| hours(config, 9.5, 2.0)).filter(|flow| flow.episode.is_none()) {
        records += 1.0;
        *protocols.entry(flow.protocol.0).or_default() += 1.0;
        ipv6 += f64::from(u8::from(flow.network == NetworkType::Ipv6));
        sampled += f64::from(u8::from(flow.exporter == Exporter::Access));
        hosts.extend(flow.source.filter(|ip| match ip {
            IpAddr::V4(ip) => ip.octets()[..2] == [10, 20],
            IpAddr::V6(ip) => ip.octets()[0] == 0xfd,
        }));
    }
    let share = |protocol: Protocol| protocols.get(&protocol.0).copied().unwrap_or(0.0) / records;
    assert!(hosts.len() >= 300, "{} hosts", hosts.len());
    assert!((0.45..0.70).contains(&share(Protocol::TCP)), "{}", share(Protocol::TCP));
    assert!((0.28..0.50).contains(&share(Protocol::UDP)), "{}", share(Protocol::UDP));
    assert!((0.001..0.03).contains(&share(Protocol::ICMP)), "{}", share(Protocol::ICMP));
    assert!(share(Protocol(0)) > 0.0, "some ARP");
    assert!((0.03..0.12).contains(&(ipv6 / records)), "{}", ipv6 / records);
    assert!((0.03..0.20).contains(&(sampled / records)), "{}", sampled / records);
}

#[test]
fn packets_and_bytes_agree() {
    for flow in simulate(|config| hours(config, 10.0, 0.5)) {
        assert!(flow.packets > 0);
        let size = flow.bytes as f64 / flow.packets as f64;
        assert!((28.0..=1_540.0).contains(&size), "{flow:?}");
        let is_tcp = flow.protocol == Protocol::TCP;
        assert_eq!(is_tcp, flow.tcp_flags != 0, "{flow:?}");
    }
}

#[test]
fn sequence_numbers_count_what_each_exporter_counts() {
    let mut last: HashMap<Exporter, (u32, u32, crate::model::Timestamp)> = HashMap::new();
    for flow in simulate(|config| hours(config, 10.0, 0.2)) {
        let (sequence, records, received) =
            last.get(&flow.exporter).copied().unwrap_or((0, 0, flow.received));
        if flow.sequence == sequence {
            assert_eq!(flow.received, received, "one datagram is received at once");
            last.insert(flow.exporter, (sequence, records + 1, received));
            continue;
        }
        let step = if flow.exporter == Exporter::Core { records } else { 1 };
        assert_eq!(flow.sequence, sequence + step, "{:?}", flow.exporter);
        assert!(records <= 24);
        last.insert(flow.exporter, (flow.sequence, 1, flow.received));
    }
    assert_eq!(last.len(), 3);
}

const KEYS: &str = "type, time_received_ns, sequence_num, sampling_rate, sampler_address, \
    time_flow_start_ns, time_flow_end_ns, bytes, packets, src_addr, dst_addr, etype, proto, \
    src_port, dst_port, in_if, out_if, src_mac, dst_mac, src_vlan, dst_vlan, vlan_id, ip_tos, \
    forwarding_status, ip_ttl, ip_flags, tcp_flags, icmp_type, icmp_code, ipv6_flow_label, \
    fragment_id, fragment_offset, src_as, dst_as, next_hop, next_hop_as, src_net, dst_net, \
    bgp_next_hop, bgp_communities, as_path, mpls_ttl, mpls_label, mpls_ip, \
    observation_domain_id, observation_point_id, layer_stack, layer_size, \
    ipv6_routing_header_addresses, ipv6_routing_header_seg_left";

/// The keys of an object in the order of the text, which a map would not keep.
struct KeysInOrder(Vec<String>);

impl<'de> serde::Deserialize<'de> for KeysInOrder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = KeysInOrder;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<KeysInOrder, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(KeysInOrder(keys))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[test]
fn every_line_is_json_with_the_fifty_keys_in_order() {
    let keys: Vec<&str> = KEYS.split(", ").collect();
    assert_eq!(keys.len(), 50);
    let mut networks = HashSet::new();
    for flow in simulate(|config| hours(config, 10.0, 0.4)) {
        let mut line = Vec::new();
        write_goflow2(&flow, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        let found: KeysInOrder = serde_json::from_slice(&line).unwrap();
        assert_eq!(found.0, keys);
        let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(record["type"], flow.exporter.record_type());
        assert_eq!(record["sampling_rate"], flow.exporter.sampling_rate());
        assert_eq!(record["sampler_address"], flow.exporter.address().to_string());
        assert_eq!(record["time_flow_end_ns"], flow.end.nanos());
        assert_eq!(record["bytes"], flow.bytes);
        assert_eq!(record["src_addr"], flow.source.map_or(String::new(), |ip| ip.to_string()));
        let is_echo = flow.protocol == Protocol::ICMP && flow.icmp_type == 8;
        if is_echo && flow.exporter == Exporter::Border {
            assert_eq!((&record["dst_port"], &record["icmp_type"]), (&2048.into(), &0.into()));
        }
        networks.insert(flow.network);
    }
    assert_eq!(networks.len(), 3, "IPv4, IPv6 and ARP");
}

#[test]
fn the_truth_is_written_as_agreed() {
    let episode = Episode {
        kind: AttackKind::SynFlood,
        start: "2026-03-02T10:00:00Z".parse().unwrap(),
        end: "2026-03-02T10:02:00Z".parse().unwrap(),
        attackers: vec![],
        victims: vec!["10.20.2.10".parse().unwrap()],
    };
    let text = serde_json::to_string(&episode).unwrap();
    assert_eq!(serde_json::from_str::<Episode>(&text).unwrap(), episode);
    assert_eq!(
        text,
        r#"{"kind":"syn_flood","start":"2026-03-02T10:00:00.000Z","end":"2026-03-02T10:02:00.000Z","attackers":[],"victims":["10.20.2.10"]}"#
    );
}

#[test]
fn episodes_keep_to_their_times_and_do_not_overlap_within_a_kind() {
    for kind in first_kinds() {
        let mut last_end = None;
        for (episode, flows) in of_kind(kind) {
            assert!(last_end.is_none_or(|end| end <= episode.start), "{kind}");
            last_end = Some(episode.end);
            assert!(!flows.is_empty());
            for flow in flows {
                assert!(flow.start >= episode.start, "{kind}");
                assert!(flow.end <= episode.end, "{kind} ends {} with {flow:?}", episode.end);
            }
        }
    }
}

#[test]
fn vertical_scans_try_many_ports_of_one_host() {
    for found in of_kind(AttackKind::PortScanVertical) {
        let probes = forward(found);
        let ports = distinct(probes.iter().map(|flow| flow.destination_port));
        assert!((100..=1_000).contains(&ports), "{ports}");
        assert_eq!((found.0.attackers.len(), found.0.victims.len()), (1, 1));
        let refused = found.1.iter().filter(|flow| flow.tcp_flags == 0x14).count();
        assert!(refused as f64 > 0.8 * probes.len() as f64, "{refused} refused");
        assert!((60.0..=180.0).contains(&found.0.end.seconds_since(found.0.start)));
    }
}

#[test]
fn horizontal_scans_try_one_port_of_many_hosts_and_get_few_answers() {
    for found in of_kind(AttackKind::PortScanHorizontal) {
        let probes = forward(found);
        let hosts = distinct(probes.iter().map(|flow| flow.destination));
        assert!((80..=250).contains(&hosts), "{hosts}");
        assert_eq!(hosts, found.0.victims.len());
        assert_eq!(distinct(probes.iter().map(|flow| flow.destination_port)), 1);
        assert!(found.1.len() < probes.len() + probes.len() / 2, "most do not answer");
    }
}

#[test]
fn slow_scans_try_something_new_every_quarter_of_a_minute() {
    for found in of_kind(AttackKind::PortScanSlow) {
        let probes = forward(found);
        let key = |flow: &&SimulatedFlow| (flow.destination, flow.destination_port);
        assert_eq!(distinct(probes.iter().map(key)), probes.len());
        assert!(probes.len() >= 40);
        let pause = found.0.end.seconds_since(found.0.start) / probes.len() as f64;
        assert!((14.5..15.5).contains(&pause), "{pause}");
    }
}

#[test]
fn blacklist_contacts_are_answered_and_go_both_ways() {
    let listed: HashSet<IpAddr> = simulate(|_| {}).blacklist().into_iter().collect();
    assert_eq!(listed.len(), 300);
    let mut directions = HashSet::new();
    for found in of_kind(AttackKind::Blacklist) {
        let contacts = forward(found).len();
        assert!((5..=40).contains(&contacts), "{contacts}");
        assert_eq!(found.1.len(), 2 * contacts, "every contact is answered");
        let is_inbound = listed.contains(&found.0.attackers[0]);
        assert!(is_inbound || listed.contains(&found.0.victims[0]));
        directions.insert(is_inbound);
    }
    assert_eq!(directions.len(), 2);
}

#[test]
fn syn_floods_come_from_everywhere() {
    for found in of_kind(AttackKind::SynFlood) {
        let syns: Vec<_> = found.1.iter().filter(|flow| flow.tcp_flags == 0x02).collect();
        let minutes = found.0.end.seconds_since(found.0.start) / 60.0;
        assert!((2.0..=5.0).contains(&minutes));
        let per_minute = syns.len() as f64 / minutes;
        assert!((1_990.0..6_010.0).contains(&per_minute), "{per_minute}");
        assert!(distinct(syns.iter().map(|flow| flow.source)) as f64 > 0.99 * syns.len() as f64);
        assert_eq!(distinct(syns.iter().map(|flow| (flow.destination, flow.destination_port))), 1);
    }
}

#[test]
fn amplification_sends_large_answers_to_one_victim() {
    for found in of_kind(AttackKind::UdpAmplification) {
        let answers = forward(found);
        assert_eq!(answers.len(), found.1.len(), "nobody asked");
        assert!((100..=600).contains(&distinct(answers.iter().map(|flow| flow.source))));
        assert!(answers.iter().all(|flow| [53, 123, 389, 11_211].contains(&flow.source_port)));
        let size = answers.iter().map(|flow| flow.bytes / flow.packets).min();
        assert!(size > Some(400), "{size:?}");
    }
}

#[test]
fn brute_force_is_many_short_connections() {
    for found in of_kind(AttackKind::BruteForce) {
        let tries = forward(found);
        assert!((200..=2_000).contains(&tries.len()), "{}", tries.len());
        assert!((1..=3).contains(&found.0.attackers.len()));
        assert!(tries.iter().all(|flow| [21, 22, 3389].contains(&flow.destination_port)));
        assert!(tries.iter().all(|flow| flow.end.seconds_since(flow.start) < 5.0));
    }
}

#[test]
fn exfiltration_carries_gigabytes_out() {
    for found in of_kind(AttackKind::Exfiltration) {
        let bytes: u64 = forward(found).iter().map(|flow| flow.bytes).sum();
        assert!((2_000_000_000..22_000_000_000).contains(&bytes), "{bytes}");
        let minutes = found.0.end.seconds_since(found.0.start) / 60.0;
        assert!((20.0..=60.0).contains(&minutes), "{minutes}");
    }
}

#[test]
fn beacons_keep_their_period_within_a_fifth() {
    for found in of_kind(AttackKind::Beacon) {
        let starts: Vec<_> = forward(found).iter().map(|flow| flow.start).collect();
        assert!(found.0.end.seconds_since(found.0.start) > 7_000.0);
        let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1].seconds_since(pair[0])).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((60.0 * 0.9..=600.0 * 1.1).contains(&mean), "{mean}");
        // Twenty percent, the error of the estimated mean, and whole seconds.
        let is_regular = |gap: &f64| (gap / mean - 1.0).abs() < 0.28;
        assert!(gaps.iter().all(is_regular), "{mean} {gaps:?}");
    }
}

/// What an ordinary record is but for its datagram.
fn essence(flow: &SimulatedFlow) -> impl Ord + use<> {
    let ends = (flow.source, flow.destination, flow.source_port, flow.destination_port);
    (flow.start, flow.end, ends, flow.bytes, flow.packets, flow.tcp_flags)
}

#[test]
fn attacks_change_nothing_about_ordinary_traffic() {
    let ordinary = |attacks: Vec<AttackKind>| -> Vec<_> {
        let change = |config: &mut Config| {
            hours(config, 10.0, 0.5);
            config.attacks = attacks;
        };
        let flows = simulate(change).filter(|flow| flow.episode.is_none());
        let mut all: Vec<_> = flows.map(|flow| essence(&flow)).collect();
        all.sort();
        all
    };
    let (with, without) = (ordinary(AttackKind::ALL.to_vec()), ordinary(vec![]));
    assert!(with.len() > 20_000);
    assert!(with == without, "{} and {} records", with.len(), without.len());
}

#[test]
fn no_attacks_means_none() {
    let calm = |config: &mut Config| {
        hours(config, 10.0, 1.0);
        config.attacks.clear();
    };
    let simulation = simulate(calm);
    assert!(simulation.truth().is_empty());
    let listed: HashSet<IpAddr> = simulation.blacklist().into_iter().collect();
    for flow in simulation {
        assert_eq!(flow.episode, None);
        assert!(
            ![flow.source, flow.destination].into_iter().flatten().any(|ip| listed.contains(&ip))
        );
    }
}

#[test]
fn every_kind_fits_into_twenty_minutes_or_sixty_thousand_records() {
    for seed in 0..20 {
        for extent in [Extent::Hours(1.0 / 3.0), Extent::Flows(60_000)] {
            let simulation = simulate(|config| {
                hours(config, 10.0, 1.0);
                (config.seed, config.extent) = (seed, extent);
            });
            let kinds = simulation.truth().iter().map(|episode| episode.kind);
            let is_short =
                |kind: &AttackKind| !kind.needs_past() && *kind != AttackKind::LongConnection;
            let short = AttackKind::ALL.into_iter().filter(is_short);
            assert_eq!(distinct(kinds), short.count(), "seed {seed}, {extent:?}");
        }
    }
}

#[test]
fn the_truth_is_complete_in_runs_of_a_number_of_flows() {
    for (seed, first, flows) in [
        (1, 0.0, 30_000),
        (2, 3.0, 100_000),
        (3, 10.0, 60_000),
        (4, 22.0, 300_000),
        (5, 7.0, 1_000),
    ] {
        let mut simulation = simulate(|config| {
            hours(config, first, 1.0);
            config.seed = seed;
            config.extent = Extent::Flows(flows);
        });
        let truth = simulation.truth().to_vec();
        let last = simulation.by_ref().last().unwrap().received;
        for episode in truth {
            let spare = last.seconds_since(episode.end);
            assert!(spare > 10.0, "seed {seed}: {} ends {spare} s before the last", episode.kind);
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_extent() {
    let mut simulation = simulate(|config| hours(config, 8.0, 6.0));
    let mut most = 0;
    while simulation.next().is_some() {
        most = most.max(simulation.under_way());
    }
    // At most 40 records a second in the mean wait for at most 70 s; a worm adds 320 for some.
    assert!((100..9_000).contains(&most), "{most}");
}
