//! An ECS document → a flow.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::super::fields::Field as _;
use super::super::reject::{Reject, RejectReason};
use super::super::scalar::Unit;
use super::super::{family, flow_between, icmp, is_interface, port_of, shifted};
use super::walk::{Document, Path};
use super::words;
use crate::model::{
    ConnectionState, Counters, Defects, Flow, FlowOrigin, NetworkType, Outcome, Protocol, TcpFlags,
    Timestamp,
};

const SOURCE_IP: &[Path] =
    &[Path::SourceIp, Path::NetflowSourceIpv4Address, Path::NetflowSourceIpv6Address];
const DESTINATION_IP: &[Path] = &[
    Path::DestinationIp,
    Path::NetflowDestinationIpv4Address,
    Path::NetflowDestinationIpv6Address,
];
const SOURCE_PORT: &[Path] = &[Path::SourcePort, Path::NetflowSourceTransportPort];
const DESTINATION_PORT: &[Path] = &[Path::DestinationPort, Path::NetflowDestinationTransportPort];
const TCP_FLAGS: &[Path] = &[Path::OwnTcpFlags, Path::NetflowTcpControlBits];
const SAMPLING: &[Path] = &[Path::OwnSamplingRate, Path::NetflowSamplingInterval];
const INPUT: &[Path] = &[Path::ObserverIngressInterfaceId, Path::NetflowIngressInterface];
const OUTPUT: &[Path] = &[Path::ObserverEgressInterfaceId, Path::NetflowEgressInterface];
const VLAN: &[Path] = &[Path::NetworkVlanId, Path::NetflowVlanId];

const ICMP_TYPE: &[Path] =
    &[Path::OwnIcmpType, Path::NetflowIcmpTypeIpv4, Path::NetflowIcmpTypeIpv6];
const ICMP_CODE: &[Path] =
    &[Path::OwnIcmpCode, Path::NetflowIcmpCodeIpv4, Path::NetflowIcmpCodeIpv6];
const ICMP_TYPE_AND_CODE: &[Path] = &[Path::NetflowIcmpTypeCodeIpv4, Path::NetflowIcmpTypeCodeIpv6];

/// Returns the flow of a document.
///
/// What exporters write for "not said" (interface 0, VLAN 0, flags 0) is absent here as it is in
/// the exporters' own records: pipelines copy it.
pub(super) fn flow(document: &Document<'_>) -> Result<Flow, Reject> {
    require_a_flow(document)?;
    let mut flow = times(document)?;
    flow.source.ip = address(document, SOURCE_IP)?;
    flow.destination.ip = address(document, DESTINATION_IP)?;
    flow.network = match text(document, Path::NetworkType)? {
        Some(word) => words::network(word).unwrap_or(NetworkType::Other),
        None => family(&flow.source, &flow.destination),
    };
    if flow.network != NetworkType::Arp {
        flow.protocol = icmp::for_network(protocol(document)?, flow.network);
        fill_transport(document, &mut flow)?;
    }
    fill_counters(document, &mut flow)?;
    flow.sampling_rate = detail::<u32>(document, SAMPLING)?.and_then(NonZeroU32::new);
    flow.exporter = exporter(document)?;
    flow.sequence = detail(document, &[Path::OwnSequence])?;
    flow.input_interface = identifier(document, INPUT).filter(|&index| is_interface(index));
    flow.output_interface = identifier(document, OUTPUT).filter(|&index| is_interface(index));
    flow.vlan = identifier(document, VLAN).filter(|&id| id != 0);
    fill_judgement(document, &mut flow)?;
    Ok(flow)
}

/// A document that names no end and no network is some other log.
fn require_a_flow(document: &Document<'_>) -> Result<(), Reject> {
    if document.has_flow_section {
        return Ok(());
    }
    Err(Reject::new(RejectReason::UnknownShape, "no kind of flow record"))
}

/// Start and end, one of them with the duration, or `@timestamp` alone.
fn times(document: &Document<'_>) -> Result<Flow, Reject> {
    let time = |path: Path| document.get(path).time(path.name(), Unit::Millis);
    let (start, end) = (time(Path::EventStart)?, time(Path::EventEnd)?);
    let duration = detail::<i64>(document, &[Path::EventDuration])?;
    let moved = |from: Option<Timestamp>, nanos: Option<i64>| match from.zip(nanos) {
        Some((from, nanos)) => shifted(from, nanos, "event.duration").map(Some),
        None => Ok(None),
    };
    let whole_end = if end.is_some() { end } else { moved(start, duration)? };
    let whole_start =
        if start.is_some() { start } else { moved(end, duration.map(i64::saturating_neg))? };
    if whole_start.is_some_and(|start| start.nanos() < 0) {
        return Err(Reject::new(RejectReason::BadTime, "event.duration begins before 1970"));
    }
    let received = time(Path::EventCreated)?;
    let stamp = time(Path::Timestamp)?;
    let mut flow = flow_between(
        origin(document)?,
        whole_start.or(stamp),
        whole_end.or(whole_start),
        received,
    )?;
    flow.received = received;
    Ok(flow)
}

fn origin(document: &Document<'_>) -> Result<FlowOrigin, Reject> {
    let word = text(document, Path::OwnType)?;
    Ok(word.and_then(words::origin).unwrap_or(FlowOrigin::Ecs))
}

fn text<'d>(document: &'d Document<'_>, path: Path) -> Result<Option<&'d str>, Reject> {
    document.get(path).text(path.name())
}

fn address(document: &Document<'_>, paths: &[Path]) -> Result<Option<IpAddr>, Reject> {
    let (path, value) = document.first(paths);
    value.address(path)
}

fn detail<T: TryFrom<u64>>(document: &Document<'_>, paths: &[Path]) -> Result<Option<T>, Reject> {
    let (path, value) = document.first(paths);
    value.detail(path)
}

/// ECS allows any text as an identifier (`GigabitEthernet0/1`); only numbers are kept.
fn identifier<T: TryFrom<u64>>(document: &Document<'_>, paths: &[Path]) -> Option<T> {
    detail(document, paths).ok().flatten()
}

/// The number decides; the name serves where it is missing.
fn protocol(document: &Document<'_>) -> Result<Option<Protocol>, Reject> {
    let (path, number) =
        document.first(&[Path::NetworkIanaNumber, Path::NetflowProtocolIdentifier]);
    if let Some(number) = number.number(path)? {
        return Ok(Some(Protocol(number)));
    }
    Ok(text(document, Path::NetworkTransport)?.and_then(Protocol::parse))
}

fn fill_transport(document: &Document<'_>, flow: &mut Flow) -> Result<(), Reject> {
    let (source_path, source) = document.first(SOURCE_PORT);
    let (destination_path, destination) = document.first(DESTINATION_PORT);
    let destination = destination.number(destination_path)?;
    flow.source.port = port_of(flow.protocol, source.number(source_path)?);
    flow.destination.port = port_of(flow.protocol, destination);
    if flow.protocol == Some(Protocol::TCP) {
        let flags = detail::<u16>(document, TCP_FLAGS)?;
        flow.tcp_flags = flags.filter(|&flags| flags != 0).map(TcpFlags);
    }
    if flow.protocol.is_some_and(Protocol::is_icmp) {
        let kind = detail(document, ICMP_TYPE)?;
        let code = detail(document, ICMP_CODE)?;
        let both = detail::<u16>(document, ICMP_TYPE_AND_CODE)?;
        let hidden = both.or(destination.filter(|&port| port != 0));
        flow.icmp = icmp::exported(flow, kind, code, hidden);
    }
    Ok(())
}

fn fill_counters(document: &Document<'_>, flow: &mut Flow) -> Result<(), Reject> {
    let mut defects = Defects::default();
    let mut count = |paths: &[Path]| {
        let (path, value) = document.first(paths);
        value.count(path, &mut defects)
    };
    let raw_bytes = count(&[Path::OwnRawBytes])?;
    if let Some(bytes) = raw_bytes {
        let packets = count(&[Path::OwnRawPackets])?.unwrap_or(0);
        flow.sent = Counters { bytes, packets };
        let returned = count(&[Path::OwnRawReturnedBytes])?;
        let packets = count(&[Path::OwnRawReturnedPackets])?.unwrap_or(0);
        flow.returned = returned.map(|bytes| Counters { bytes, packets });
    } else {
        let total = count(&[Path::NetworkBytes, Path::NetflowOctetDeltaCount])?;
        let source = count(&[Path::SourceBytes])?;
        let destination = count(&[Path::DestinationBytes])?;
        let total_packets = count(&[Path::NetworkPackets, Path::NetflowPacketDeltaCount])?;
        let source_packets = count(&[Path::SourcePackets])?;
        let destination_packets = count(&[Path::DestinationPackets])?;
        if [total, source, total_packets, source_packets].iter().all(Option::is_none) {
            return Err(Reject::missing("network.bytes"));
        }
        flow.sent = Counters {
            bytes: source.or(total).unwrap_or(0),
            packets: source_packets.or(total_packets).unwrap_or(0),
        };
        flow.returned = way_back(total, source, destination)
            .map(|bytes| Counters { bytes, packets: destination_packets.unwrap_or(0) });
    }
    flow.defects.insert(defects);
    Ok(())
}

/// Returns the bytes of the way back where the document clearly has both: each end counted by
/// itself, and the total, if any, their sum. Some pipelines copy one counter into all three.
fn way_back(total: Option<u64>, source: Option<u64>, destination: Option<u64>) -> Option<u64> {
    let sum = source?.saturating_add(destination?);
    total.is_none_or(|total| total == sum).then_some(destination).flatten()
}

/// Netflow's `exporter.address` carries the port of the exporter.
fn exporter(document: &Document<'_>) -> Result<Option<IpAddr>, Reject> {
    if let Some(ip) = address(document, &[Path::ObserverIp])? {
        return Ok(Some(ip));
    }
    let with_port = Path::NetflowExporterAddress;
    let Some(written) = text(document, with_port)? else { return Ok(None) };
    match written.parse::<SocketAddr>() {
        Ok(socket) => Ok(Some(socket.ip().to_canonical())),
        Err(_) => address(document, &[with_port]),
    }
}

/// State, outcome and defects: only our own documents have them.
fn fill_judgement(document: &Document<'_>, flow: &mut Flow) -> Result<(), Reject> {
    let state = text(document, Path::OwnState)?;
    flow.state = state.and_then(ConnectionState::parse);
    let outcome = text(document, Path::OwnOutcome)?;
    flow.outcome = outcome.and_then(words::outcome).unwrap_or(Outcome::Unknown);
    flow.defects.insert(document.defects);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::by_name;
    use super::*;
    use crate::model::IcmpMessage;

    const FILEBEAT: &str = r#"{"@timestamp":"2026-11-21T10:00:05.000Z","event":{"start":"2026-11-21T10:00:00.250Z","end":"2026-11-21T10:00:04.750Z","duration":4500000000,"created":"2026-11-21T10:00:06.000Z","kind":"event","category":["network"],"action":"netflow_flow"},"source":{"ip":"192.0.2.9","port":40000,"bytes":3456,"packets":12},"destination":{"ip":"198.51.100.7","port":443},"network":{"iana_number":"6","transport":"tcp","bytes":3456,"packets":12,"type":"ipv4"},"observer":{"ip":["203.0.113.1"]},"netflow":{"exporter":{"address":"203.0.113.1:2055","version":9},"sampling_interval":100,"tcp_control_bits":27,"ingress_interface":3,"egress_interface":4,"vlan_id":0}}"#;

    fn decode(json: &str) -> Result<Option<Flow>, Reject> {
        by_name("ecs").unwrap().decoder().decode(json.as_bytes())
    }

    fn flow(json: &str) -> Flow {
        decode(json).unwrap().unwrap()
    }

    #[test]
    fn a_filebeat_document_is_a_flow() {
        let flow = flow(FILEBEAT);
        assert_eq!(flow.start.to_string(), "2026-11-21T10:00:00.250Z");
        assert_eq!(flow.end.to_string(), "2026-11-21T10:00:04.750Z");
        assert_eq!(flow.received, "2026-11-21T10:00:06Z".parse().ok());
        assert_eq!((flow.source.port, flow.destination.port), (Some(40000), Some(443)));
        assert_eq!(flow.sent, Counters { bytes: 3456, packets: 12 });
        assert_eq!(flow.returned, None);
        assert_eq!(flow.protocol, Some(Protocol::TCP));
        assert_eq!(flow.tcp_flags, Some(TcpFlags(27)));
        assert_eq!(flow.sampling_factor(), 100);
        assert_eq!(flow.exporter, "203.0.113.1".parse().ok());
        assert_eq!((flow.input_interface, flow.output_interface), (Some(3), Some(4)));
        assert_eq!(flow.origin, FlowOrigin::Ecs);
    }

    #[test]
    fn dotted_keys_mean_the_same_as_objects() {
        let dotted = r#"{"@timestamp":"2026-11-21T10:00:05.000Z","event.start":"2026-11-21T10:00:00.250Z","event.end":"2026-11-21T10:00:04.750Z","event.created":1795255206000,"source.ip":"192.0.2.9","source.port":"40000","source.bytes":3456,"source.packets":12,"destination.ip":"198.51.100.7","destination.port":443,"network.transport":"tcp","network.bytes":3456,"network.packets":12,"netflow.exporter.address":"203.0.113.1:2055","netflow.sampling_interval":100,"netflow":{"tcp_control_bits":27,"ingress_interface":3,"egress_interface":4,"vlan_id":0}}"#;
        assert_eq!(flow(dotted), flow(FILEBEAT));
    }

    #[test]
    fn the_way_back_is_believed_only_where_both_ends_were_counted() {
        let counted = |total: &str, back: u64| {
            let json = format!(
                r#"{{"@timestamp":"2026-11-21T10:00:05Z","source":{{"ip":"192.0.2.9","bytes":100}},"destination":{{"ip":"192.0.2.8","bytes":{back},"packets":3}},"network":{{"transport":"udp"{total}}}}}"#
            );
            flow(&json).returned
        };
        let back = Some(Counters { bytes: 250, packets: 3 });
        assert_eq!(counted(",\"bytes\":350", 250), back);
        assert_eq!(counted("", 250), back);
        assert_eq!(counted(",\"bytes\":100", 100), None);
    }

    #[test]
    fn a_missing_end_comes_from_the_duration_or_the_timestamp() {
        let only_start = FILEBEAT.replace(r#""end":"2026-11-21T10:00:04.750Z","#, "");
        assert_eq!(flow(&only_start), flow(FILEBEAT));
        let only_end = FILEBEAT.replace(r#""start":"2026-11-21T10:00:00.250Z","#, "");
        assert_eq!(flow(&only_end), flow(FILEBEAT));
        let neither = r#"{"@timestamp":"2026-11-21T10:00:05Z","source":{"ip":"192.0.2.9"},"network":{"bytes":1}}"#;
        assert_eq!(flow(neither).end.to_string(), "2026-11-21T10:00:05.000Z");
    }

    #[test]
    fn icmp_comes_from_netflow_or_the_port() {
        let icmp = |extra: &str, port: u16| {
            let json = format!(
                r#"{{"@timestamp":"2026-11-21T10:00:05Z","source":{{"ip":"192.0.2.9","port":0}},"destination":{{"ip":"192.0.2.8","port":{port}}},"network":{{"iana_number":1,"bytes":84}}{extra}}}"#
            );
            flow(&json).icmp.map(|message| (message.kind, message.code))
        };
        assert_eq!(icmp(r#","netflow":{"icmp_type_code_ipv4":771}"#, 0), Some((3, 3)));
        assert_eq!(icmp("", 2048), Some((8, 0)));
        assert_eq!(icmp("", 0), None);
    }

    #[test]
    fn an_interface_without_a_number_is_absent() {
        let named = FILEBEAT.replace(
            "\"observer\":{",
            "\"observer\":{\"ingress\":{\"interface\":{\"id\":\"Gi0/1\"}},",
        );
        assert_eq!(flow(&named), Flow { input_interface: None, ..flow(FILEBEAT) });
    }

    /// goflow2's record, and what a pipeline that copies its values makes of it.
    #[test]
    fn a_copied_goflow2_record_is_the_same_flow() {
        let goflow2 = r#"{"type":"NETFLOW_V9","time_received_ns":1795232940823495790,"sequence_num":42,"sampling_rate":0,"sampler_address":"10.0.0.2","time_flow_start_ns":1795232930000000000,"time_flow_end_ns":1795232935000000000,"bytes":84,"packets":1,"src_addr":"10.1.2.3","dst_addr":"192.0.2.80","etype":"IPv4","proto":"ICMP","src_port":0,"dst_port":2048,"in_if":1073741823,"out_if":0,"src_vlan":0,"vlan_id":100,"tcp_flags":0,"icmp_type":0,"icmp_code":0}"#;
        let document = r#"{"@timestamp":"2026-11-21T03:48:55.000Z","event":{"created":"2026-11-21T03:49:00.823495790Z","start":"2026-11-21T03:48:50Z","end":"2026-11-21T03:48:55Z","duration":5000000000,"dataset":"flowsentry.flow"},"network":{"bytes":84,"packets":1,"type":"ipv4","transport":"icmp","iana_number":"1","vlan":{"id":"100"}},"source":{"port":0,"ip":"10.1.2.3"},"destination":{"port":2048,"ip":"192.0.2.80"},"observer":{"ingress":{"interface":{"id":"1073741823"}},"egress":{"interface":{"id":"0"}},"ip":"10.0.0.2"},"flowsentry":{"flow":{"type":"NETFLOW_V9","raw_bytes":84,"raw_packets":1,"sampling_rate":0,"tcp_flags":0,"icmp_type":0,"icmp_code":0,"sequence":42}}}"#;
        let mut decoder = by_name("goflow2").unwrap().decoder();
        let expected = decoder.decode(goflow2.as_bytes()).unwrap().unwrap();
        assert_eq!(expected.icmp, Some(IcmpMessage { kind: 8, code: 0 }));
        assert_eq!(flow(document), expected);
    }

    #[test]
    fn what_is_no_flow_is_said_or_passed_over() {
        for (json, expected) in [
            (r#"{"@timestamp":"2026-11-21T10:00:05Z","message":"hi"}"#, RejectReason::UnknownShape),
            (r#"{"source":{"ip":"192.0.2.9"},"network":{"bytes":1}}"#, RejectReason::BadTime),
            (
                r#"{"@timestamp":1795255205000,"source":{"ip":"192.0.2.9"}}"#,
                RejectReason::MissingField,
            ),
            (r#"{"@timestamp":1795255205000,"source":{"ip":"x"}}"#, RejectReason::BadAddress),
            (r#"{"@timestamp":true,"source":{"ip":"192.0.2.9"}}"#, RejectReason::WrongType),
        ] {
            assert_eq!(decode(json).expect_err(json).reason, expected, "{json}");
        }
        let anomaly = r#"{"@timestamp":1795255205000,"event":{"dataset":"flowsentry.anomaly"},"source":{"ip":"192.0.2.9"}}"#;
        assert_eq!(decode(anomaly), Ok(None));
    }
}
