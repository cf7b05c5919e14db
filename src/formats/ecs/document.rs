//! A flow → our ECS document.

use std::net::IpAddr;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::words;
use crate::model::{Defects, Flow, TcpFlags, Timestamp};

/// The ECS version whose field names are used; all of them exist since 8.0.
const ECS_VERSION: &str = "9.4.0";

/// Returns the document of a flow under the id `id`.
///
/// ECS fields hold what ECS has a field for: `network.bytes`, `source.bytes` and their siblings
/// are estimates with the sampling rate applied, `network.*` over both directions. Everything else
/// is under `flowsentry.flow`, with the counters as exported in `raw_*`, so that decoding the
/// document gives the flow again. Counters stop at 2⁶³ − 1, the largest `long`. Times are UTC with
/// as many digits as they have; what is absent in the flow is absent in the document.
pub fn flow_document(flow: &Flow, id: &str) -> Value {
    let mut document = json!({
        "@timestamp": flow.end.to_string(),
        "ecs": { "version": ECS_VERSION },
        "event": event(flow, id),
        "network": network(flow),
        "flowsentry": { "flow": own_fields(flow) },
    });
    let ends = [
        ("source", flow.source, flow.scaled_bytes(), flow.scaled_packets(), true),
        (
            "destination",
            flow.destination,
            flow.scaled_returned_bytes(),
            flow.scaled_returned_packets(),
            flow.returned.is_some(),
        ),
    ];
    for (name, endpoint, bytes, packets, counted) in ends {
        let mut end = Map::new();
        put(&mut end, "ip", endpoint.ip.map(text));
        put(&mut end, "port", endpoint.port);
        put(&mut end, "bytes", counted.then(|| long(bytes)));
        put(&mut end, "packets", counted.then(|| long(packets)));
        put_object(&mut document, name, end);
    }
    put_object(&mut document, "observer", observer(flow));
    put_object(&mut document, "related", related(flow));
    document
}

fn event(flow: &Flow, id: &str) -> Value {
    let mut event = json!({
        "id": id,
        "kind": "event",
        "category": ["network"],
        "type": ["connection"],
        "module": "flowsentry",
        "dataset": "flowsentry.flow",
        "start": exact(flow.start),
        "end": exact(flow.end),
        "duration": flow.end.nanos_since(flow.start),
    });
    if let Some(received) = flow.received {
        event["created"] = exact(received).into();
    }
    event
}

fn network(flow: &Flow) -> Value {
    let bytes = flow.scaled_bytes().saturating_add(flow.scaled_returned_bytes());
    let packets = flow.scaled_packets().saturating_add(flow.scaled_returned_packets());
    let mut network = Map::new();
    put(&mut network, "type", Some(flow.network.name()));
    put(&mut network, "bytes", Some(long(bytes)));
    put(&mut network, "packets", Some(long(packets)));
    put(&mut network, "transport", flow.protocol.and_then(|protocol| protocol.name()));
    put(&mut network, "iana_number", flow.protocol.map(|protocol| protocol.0.to_string()));
    put(&mut network, "community_id", flow.community_id());
    put(&mut network, "vlan", flow.vlan.map(|id| json!({ "id": id.to_string() })));
    Value::Object(network)
}

fn observer(flow: &Flow) -> Map<String, Value> {
    let interface = |index: u32| json!({ "interface": { "id": index.to_string() } });
    let mut observer = Map::new();
    put(&mut observer, "ip", flow.exporter.map(text));
    put(&mut observer, "ingress", flow.input_interface.map(interface));
    put(&mut observer, "egress", flow.output_interface.map(interface));
    observer
}

fn related(flow: &Flow) -> Map<String, Value> {
    let mut addresses: Vec<String> =
        [flow.source.ip, flow.destination.ip].into_iter().flatten().map(text).collect();
    addresses.dedup();
    let mut related = Map::new();
    put(&mut related, "ip", (!addresses.is_empty()).then_some(addresses));
    related
}

fn own_fields(flow: &Flow) -> Value {
    let mut own = Map::new();
    put(&mut own, "type", Some(flow.origin.name()));
    put(&mut own, "raw_bytes", Some(long(flow.sent.bytes)));
    put(&mut own, "raw_packets", Some(long(flow.sent.packets)));
    put(&mut own, "raw_returned_bytes", flow.returned.map(|returned| long(returned.bytes)));
    put(&mut own, "raw_returned_packets", flow.returned.map(|returned| long(returned.packets)));
    put(&mut own, "sampling_rate", flow.sampling_rate.map(std::num::NonZeroU32::get));
    put(&mut own, "tcp_flags", flow.tcp_flags.map(|flags| flags.0));
    put(&mut own, "tcp_flag_names", flow.tcp_flags.map(flag_names));
    put(&mut own, "icmp_type", flow.icmp.map(|message| message.kind));
    put(&mut own, "icmp_code", flow.icmp.map(|message| message.code));
    put(&mut own, "sequence", flow.sequence);
    put(&mut own, "state", flow.state.map(|state| state.name()));
    put(&mut own, "outcome", Some(words::outcome_word(flow.outcome)));
    put(&mut own, "defects", defect_names(flow.defects));
    Value::Object(own)
}

fn flag_names(flags: TcpFlags) -> Vec<&'static str> {
    let names =
        ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"].into_iter().enumerate();
    names.filter(|(bit, _)| flags.has(1 << bit)).map(|(_, name)| name).collect()
}

fn defect_names(defects: Defects) -> Option<Vec<&'static str>> {
    let held = words::DEFECTS.into_iter().filter(|&(defect, _)| defects.contains(defect));
    (!defects.is_empty()).then(|| held.map(|(_, word)| word).collect())
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn put_object(document: &mut Value, key: &str, object: Map<String, Value>) {
    if !object.is_empty() {
        document[key] = Value::Object(object);
    }
}

fn text(ip: IpAddr) -> String {
    ip.to_string()
}

fn long(count: u64) -> u64 {
    count.min(i64::MAX as u64)
}

/// RFC 3339 with every digit that the time has: milliseconds would lose what exporters measured.
fn exact(time: Timestamp) -> String {
    time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::{by_name, is_interface};
    use super::*;
    use crate::model::{
        ConnectionState, Counters, Endpoint, FlowOrigin, IcmpMessage, NetworkType, Outcome,
        Protocol,
    };

    fn decode(document: &Value) -> Flow {
        let record = document.to_string();
        by_name("ecs").unwrap().decoder().decode(record.as_bytes()).unwrap().unwrap()
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (1..i64::MAX).prop_map(Timestamp::from_nanos)
    }

    fn counters() -> impl Strategy<Value = Counters> {
        let long = 0..=i64::MAX as u64;
        (long.clone(), long).prop_map(|(bytes, packets)| Counters { bytes, packets })
    }

    fn defects() -> impl Strategy<Value = Defects> {
        any::<[bool; 3]>().prop_map(|held| {
            let mut defects = Defects::default();
            let named = words::DEFECTS.into_iter().zip(held).filter(|(_, held)| *held);
            named.for_each(|((defect, _), _)| defects.insert(defect));
            defects
        })
    }

    /// Addresses and the network type that goes with them.
    fn ends() -> impl Strategy<Value = (Option<IpAddr>, Option<IpAddr>, NetworkType)> {
        let v4 = || any::<u32>().prop_map(|bits| IpAddr::V4(bits.into()));
        let v6 = || any::<u128>().prop_map(|bits| IpAddr::V6((bits | 1 << 127).into()));
        prop_oneof![
            (v4(), v4()).prop_map(|(a, b)| (Some(a), Some(b), NetworkType::Ipv4)),
            (v6(), v6()).prop_map(|(a, b)| (Some(a), Some(b), NetworkType::Ipv6)),
            (v4(), v4()).prop_map(|(a, b)| (Some(a), Some(b), NetworkType::Arp)),
            Just((None, None, NetworkType::Other)),
        ]
    }

    fn judgement() -> impl Strategy<Value = (Option<ConnectionState>, Outcome, FlowOrigin)> {
        (
            proptest::option::of(proptest::sample::select(&ConnectionState::ALL[..])),
            proptest::sample::select(&words::OUTCOMES[..]),
            proptest::sample::select(&words::ORIGINS[..]),
        )
    }

    prop_compose! {
        /// Flows as decoders make them: ports where the protocol has them, ICMP where it is ICMP.
        fn flows()(
            (start, end, received) in (time(), time(), proptest::option::of(time())),
            (from, to, network) in ends(),
            protocol in prop_oneof![Just(6_u8), Just(17), Just(1), any::<u8>()],
            (ports, icmp, flags) in (any::<(u16, u16)>(), any::<(u8, u8)>(), any::<Option<u16>>()),
            (sent, returned) in (counters(), proptest::option::of(counters())),
            (state, outcome, origin) in judgement(),
            (rate, sequence, vlan) in any::<(Option<u32>, Option<u32>, Option<u16>)>(),
            (input, output, exporter) in any::<(Option<u32>, Option<u32>, Option<u32>)>(),
            defects in defects(),
        ) -> Flow {
            let mut flow = Flow::new(origin, start, end);
            flow.received = received;
            flow.network = network;
            let is_ip = matches!(network, NetworkType::Ipv4 | NetworkType::Ipv6);
            let v6_icmp = network == NetworkType::Ipv6 && protocol == 1;
            flow.protocol = is_ip.then_some(Protocol(if v6_icmp { 58 } else { protocol }));
            let with_ports = flow.protocol.is_some_and(Protocol::has_ports);
            flow.source = Endpoint { ip: from, port: with_ports.then_some(ports.0) };
            flow.destination = Endpoint { ip: to, port: with_ports.then_some(ports.1) };
            // Type 0 means nothing in IPv6.
            let is_icmp = flow.protocol.is_some_and(Protocol::is_icmp)
                && (network == NetworkType::Ipv4 || icmp.0 != 0);
            flow.icmp = is_icmp.then_some(IcmpMessage { kind: icmp.0, code: icmp.1 });
            flow.tcp_flags = flags.filter(|&flags| protocol == 6 && is_ip && flags != 0).map(TcpFlags);
            (flow.sent, flow.returned) = (sent, returned);
            (flow.state, flow.outcome) = (state, outcome);
            flow.sampling_rate = rate.and_then(std::num::NonZeroU32::new);
            flow.exporter = exporter.map(|bits| IpAddr::V4(bits.into()));
            (flow.sequence, flow.vlan) = (sequence, vlan.filter(|&id| id != 0));
            flow.input_interface = input.filter(|&index| is_interface(index));
            flow.output_interface = output.filter(|&index| is_interface(index));
            flow.defects = defects;
            flow
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn decoding_the_document_gives_the_flow_again(flow in flows()) {
            prop_assert_eq!(decode(&flow_document(&flow, "id")), flow);
        }
    }

    #[test]
    fn a_document_holds_estimates_and_raw_counters() {
        let mut flow = Flow::new(
            FlowOrigin::Sflow5,
            Timestamp::from_millis(1_795_232_940_822),
            Timestamp::from_nanos(1_795_232_940_823_495_790),
        );
        flow.network = NetworkType::Ipv4;
        flow.protocol = Some(Protocol::TCP);
        flow.source = Endpoint { ip: "203.0.113.5".parse().ok(), port: Some(1234) };
        flow.destination = Endpoint { ip: "10.9.8.7".parse().ok(), port: Some(22) };
        flow.tcp_flags = Some(TcpFlags(TcpFlags::SYN | TcpFlags::ACK));
        flow.sent = Counters { bytes: 1518, packets: 1 };
        flow.sampling_rate = std::num::NonZeroU32::new(2048);
        flow.exporter = "10.0.0.2".parse().ok();
        flow.input_interface = Some(3);
        flow.vlan = Some(100);
        flow.defects.insert(Defects::CLOCK_SKEW);
        let document = flow_document(&flow, "flows-0-17");
        insta::assert_json_snapshot!(document);
        assert_eq!(decode(&document), flow);
    }

    #[test]
    fn counters_beyond_a_long_stop_at_its_end() {
        let mut flow = Flow::new(FlowOrigin::Zeek, Timestamp::default(), Timestamp::default());
        flow.sent = Counters { bytes: u64::MAX, packets: u64::MAX };
        flow.returned = Some(flow.sent);
        let document = flow_document(&flow, "id");
        for path in ["/network/bytes", "/source/packets", "/destination/bytes"] {
            let count = document.pointer(path).and_then(Value::as_i64);
            assert_eq!(count, Some(i64::MAX), "{path}");
        }
    }
}
