//! Events of Logstash's netflow codec: NetFlow 5 and 9 and IPFIX under `netflow`, as Cisco and IANA
//! name the fields.
//!
//! `@timestamp` is when the exporter sent the datagram. The exporter is the `host` that the UDP input
//! adds: an address, or with ECS names an object that holds it.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::fields::{Values, fields};
use super::json::{Claim, First, JsonDecoder, Shape, any_object, has_key};
use super::marks::{Marks, Owner};
use super::pick::{Picker, json_reject};
use super::reject::Reject;
use super::scalar::{Scalar, Unit, parse_address};
use super::transport::{Transport, fill_way_back};
use super::{Decoder, Format, family, flow_between, is_interface, tree};
use crate::model::{Counters, Flow, FlowOrigin, Protocol};

/// Events of Logstash's netflow codec.
pub(super) struct LogstashNetflow;

impl Format for LogstashNetflow {
    fn name(&self) -> &'static str {
        "logstash_netflow"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        any_object(head, |text| {
            Marks::owner_in(text) == Some(Owner::LogstashNetflow) && has_key(text, "@timestamp")
        })
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::LogstashNetflow))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

fields! {
    /// The paths that are read, by the names of the codec's `netflow.yaml` and `ipfix.yaml`.
    Field {
        Timestamp = "@timestamp",
        Host = "host",
        HostIp = "host.ip",
        Version = "netflow.version",
        Sequence = "netflow.flow_seq_num",
        FirstSwitched = "netflow.first_switched",
        LastSwitched = "netflow.last_switched",
        StartMillis = "netflow.flow_start_msec",
        EventMillis = "netflow.event_time_msec",
        IpfixStartSeconds = "netflow.flowStartSeconds",
        IpfixStartMillis = "netflow.flowStartMilliseconds",
        IpfixStartMicros = "netflow.flowStartMicroseconds",
        IpfixStartNanos = "netflow.flowStartNanoseconds",
        IpfixEndSeconds = "netflow.flowEndSeconds",
        IpfixEndMillis = "netflow.flowEndMilliseconds",
        IpfixEndMicros = "netflow.flowEndMicroseconds",
        IpfixEndNanos = "netflow.flowEndNanoseconds",
        SourceIpv4 = "netflow.ipv4_src_addr",
        SourceIpv6 = "netflow.ipv6_src_addr",
        IpfixSourceIpv4 = "netflow.sourceIPv4Address",
        IpfixSourceIpv6 = "netflow.sourceIPv6Address",
        DestinationIpv4 = "netflow.ipv4_dst_addr",
        DestinationIpv6 = "netflow.ipv6_dst_addr",
        IpfixDestinationIpv4 = "netflow.destinationIPv4Address",
        IpfixDestinationIpv6 = "netflow.destinationIPv6Address",
        SourcePort = "netflow.l4_src_port",
        UdpSourcePort = "netflow.udp_src_port",
        TcpSourcePort = "netflow.tcp_src_port",
        IpfixSourcePort = "netflow.sourceTransportPort",
        IpfixUdpSourcePort = "netflow.udpSourcePort",
        IpfixTcpSourcePort = "netflow.tcpSourcePort",
        DestinationPort = "netflow.l4_dst_port",
        UdpDestinationPort = "netflow.udp_dst_port",
        TcpDestinationPort = "netflow.tcp_dst_port",
        IpfixDestinationPort = "netflow.destinationTransportPort",
        IpfixUdpDestinationPort = "netflow.udpDestinationPort",
        IpfixTcpDestinationPort = "netflow.tcpDestinationPort",
        Protocol = "netflow.protocol",
        IpfixProtocol = "netflow.protocolIdentifier",
        TcpFlags = "netflow.tcp_flags",
        IpfixTcpFlags = "netflow.tcpControlBits",
        IcmpType = "netflow.icmp_type",
        IcmpCode = "netflow.icmp_code",
        Icmpv6Type = "netflow.icmp_type_ipv6",
        Icmpv6Code = "netflow.icmp_code_ipv6",
        IpfixIcmpTypeAndCode = "netflow.icmpTypeCodeIPv4",
        IpfixIcmpv6TypeAndCode = "netflow.icmpTypeCodeIPv6",
        IpfixIcmpType = "netflow.icmpTypeIPv4",
        IpfixIcmpCode = "netflow.icmpCodeIPv4",
        IpfixIcmpv6Type = "netflow.icmpTypeIPv6",
        IpfixIcmpv6Code = "netflow.icmpCodeIPv6",
        Bytes = "netflow.in_bytes",
        TotalBytes = "netflow.in_permanent_bytes",
        IpfixBytes = "netflow.octetDeltaCount",
        IpfixTotalBytes = "netflow.octetTotalCount",
        ForwardBytes = "netflow.fwd_flow_delta_bytes",
        IpfixForwardBytes = "netflow.initiatorOctets",
        Packets = "netflow.in_pkts",
        TotalPackets = "netflow.in_permanent_pkts",
        IpfixPackets = "netflow.packetDeltaCount",
        IpfixTotalPackets = "netflow.packetTotalCount",
        ForwardPackets = "netflow.initiatorPackets",
        ReturnedBytes = "netflow.rev_flow_delta_bytes",
        IpfixReturnedBytes = "netflow.responderOctets",
        ReturnedPackets = "netflow.responderPackets",
        SamplingInterval = "netflow.sampling_interval",
        IpfixSamplingInterval = "netflow.samplingInterval",
        Input = "netflow.input_snmp",
        IpfixInput = "netflow.ingressInterface",
        Output = "netflow.output_snmp",
        IpfixOutput = "netflow.egressInterface",
        Vlan = "netflow.src_vlan",
        IpfixVlan = "netflow.vlanId",
    }
}

const START: &[Field] = &[
    Field::FirstSwitched,
    Field::StartMillis,
    Field::IpfixStartMillis,
    Field::IpfixStartMicros,
    Field::IpfixStartNanos,
    Field::IpfixStartSeconds,
];
const END: &[Field] = &[
    Field::LastSwitched,
    Field::EventMillis,
    Field::IpfixEndMillis,
    Field::IpfixEndMicros,
    Field::IpfixEndNanos,
    Field::IpfixEndSeconds,
];
const SOURCE_IP: &[Field] =
    &[Field::SourceIpv4, Field::SourceIpv6, Field::IpfixSourceIpv4, Field::IpfixSourceIpv6];
const DESTINATION_IP: &[Field] = &[
    Field::DestinationIpv4,
    Field::DestinationIpv6,
    Field::IpfixDestinationIpv4,
    Field::IpfixDestinationIpv6,
];
const SOURCE_PORT: &[Field] = &[
    Field::SourcePort,
    Field::UdpSourcePort,
    Field::TcpSourcePort,
    Field::IpfixSourcePort,
    Field::IpfixUdpSourcePort,
    Field::IpfixTcpSourcePort,
];
const DESTINATION_PORT: &[Field] = &[
    Field::DestinationPort,
    Field::UdpDestinationPort,
    Field::TcpDestinationPort,
    Field::IpfixDestinationPort,
    Field::IpfixUdpDestinationPort,
    Field::IpfixTcpDestinationPort,
];
const ICMP_TYPE: &[Field] = &[Field::Icmpv6Type, Field::IpfixIcmpType, Field::IpfixIcmpv6Type];
const ICMP_CODE: &[Field] = &[Field::Icmpv6Code, Field::IpfixIcmpCode, Field::IpfixIcmpv6Code];
const ICMP_TYPE_AND_CODE: &[Field] =
    &[Field::IpfixIcmpTypeAndCode, Field::IpfixIcmpv6TypeAndCode, Field::IcmpType];
/// What the exporter counted since its last record; then since the flow began, which is the same
/// where it sends one record per flow; then the forward half of a record of both directions.
const BYTES: &[Field] = &[
    Field::Bytes,
    Field::IpfixBytes,
    Field::TotalBytes,
    Field::IpfixTotalBytes,
    Field::ForwardBytes,
    Field::IpfixForwardBytes,
];
const PACKETS: &[Field] = &[
    Field::Packets,
    Field::IpfixPackets,
    Field::TotalPackets,
    Field::IpfixTotalPackets,
    Field::ForwardPackets,
];
const RETURNED_BYTES: &[Field] = &[Field::ReturnedBytes, Field::IpfixReturnedBytes];
const RETURNED_PACKETS: &[Field] = &[Field::ReturnedPackets];

/// Claims events with fields under `netflow` that only the codec writes.
pub(super) struct LogstashShape(Picker);

impl Default for LogstashShape {
    fn default() -> Self {
        Self(Picker::of_paths(Field::place_of))
    }
}

impl Shape for LogstashShape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        let text = String::from_utf8_lossy(record);
        let mut values = Values::default();
        let marks = tree::read(&text, &mut self.0, &mut values)
            .map_err(|error| json_reject(record, &error))?;
        if marks.owner() != Some(Owner::LogstashNetflow) {
            return Ok(Claim::Foreign);
        }
        Ok(Claim::Mine(Event(values).flow()))
    }
}

struct Event<'a>(Values<'a, { Field::NAMES.len() }>);

impl Event<'_> {
    /// Options (what an exporter says about itself) have no addresses; firewalls announce a
    /// connection without counters before they count it.
    fn flow(&self) -> Result<Option<Flow>, Reject> {
        let has_address = self.0.has_any(SOURCE_IP) || self.0.has_any(DESTINATION_IP);
        let has_counters = self.0.has_any(BYTES) || self.0.has_any(PACKETS);
        if !has_address || !has_counters {
            return Ok(None);
        }
        let start = self.0.time(START, Unit::Millis)?;
        let end = self.0.time(END, Unit::Millis)?;
        let received = self.0.time(&[Field::Timestamp], Unit::Millis)?;
        let mut flow = flow_between(self.origin()?, start, end, received)?;
        flow.source.ip = self.0.address(SOURCE_IP)?;
        flow.destination.ip = self.0.address(DESTINATION_IP)?;
        flow.network = family(&flow.source, &flow.destination);
        self.transport()?.fill(&mut flow);
        self.fill_counters(&mut flow)?;
        let sampling = [Field::SamplingInterval, Field::IpfixSamplingInterval];
        flow.sampling_rate = self.0.detail(&sampling)?.and_then(NonZeroU32::new);
        flow.exporter = self.exporter();
        flow.sequence = self.0.detail(&[Field::Sequence])?;
        flow.input_interface = self.interface(&[Field::Input, Field::IpfixInput])?;
        flow.output_interface = self.interface(&[Field::Output, Field::IpfixOutput])?;
        flow.vlan = self.0.detail(&[Field::Vlan, Field::IpfixVlan])?.filter(|&id| id != 0);
        Ok(Some(flow))
    }

    fn origin(&self) -> Result<FlowOrigin, Reject> {
        Ok(match self.0.detail::<u8>(&[Field::Version])? {
            Some(5) => FlowOrigin::NetflowV5,
            Some(9) => FlowOrigin::NetflowV9,
            Some(10) => FlowOrigin::Ipfix,
            _ => FlowOrigin::OtherExport,
        })
    }

    /// `icmp_type` is NetFlow's field 32, type and code in one, unless `icmp_code` stands beside it:
    /// then the exporter uses the fields 176 and 177, of which the codec calls the first the same.
    fn transport(&self) -> Result<Transport, Reject> {
        let apart = self.0.has_any(&[Field::IcmpCode]);
        let (icmp_type, icmp_code) = match apart {
            true => (&[Field::IcmpType][..], &[Field::IcmpCode][..]),
            false => (ICMP_TYPE, ICMP_CODE),
        };
        let icmp_type_and_code =
            if apart { None } else { self.0.detail(ICMP_TYPE_AND_CODE)?.filter(|&both| both != 0) };
        let protocol = self.0.number(&[Field::Protocol, Field::IpfixProtocol])?;
        Ok(Transport {
            protocol: protocol.map(Protocol),
            source_port: self.0.number(SOURCE_PORT)?,
            destination_port: self.0.number(DESTINATION_PORT)?,
            tcp_flags: self.0.detail(&[Field::TcpFlags, Field::IpfixTcpFlags])?,
            icmp_type: self.0.detail(icmp_type)?,
            icmp_code: self.0.detail(icmp_code)?,
            icmp_type_and_code,
        })
    }

    fn fill_counters(&self, flow: &mut Flow) -> Result<(), Reject> {
        let bytes = self.0.count(BYTES, &mut flow.defects)?.unwrap_or(0);
        let packets = self.0.count(PACKETS, &mut flow.defects)?.unwrap_or(0);
        flow.sent = Counters { bytes, packets };
        let bytes = self.0.count(RETURNED_BYTES, &mut flow.defects)?;
        let packets = self.0.count(RETURNED_PACKETS, &mut flow.defects)?;
        if bytes.is_some() || packets.is_some() {
            let (bytes, packets) = (bytes.unwrap_or(0), packets.unwrap_or(0));
            fill_way_back(flow, Counters { bytes, packets });
        }
        Ok(())
    }

    /// A `host` that is a name says nothing here.
    fn exporter(&self) -> Option<IpAddr> {
        [Field::HostIp, Field::Host].into_iter().find_map(|field| match self.0.get(field) {
            Scalar::Text(host) => parse_address(host).filter(|ip| !ip.is_unspecified()),
            _ => None,
        })
    }

    fn interface(&self, fields: &[Field]) -> Result<Option<u32>, Reject> {
        Ok(self.0.detail(fields)?.filter(|&index| is_interface(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Field as _;
    use super::super::{RejectReason, by_name};
    use super::*;
    use crate::model::{Defects, IcmpMessage, Outcome, TcpFlags, Timestamp};

    // Written after the field tables and the expected events in the tests of logstash-codec-netflow 4.
    const V5: &str = r#"{"@timestamp":"2026-11-21T03:49:00.280Z","@version":"1","host":"192.0.2.1","netflow":{"version":5,"flow_seq_num":42,"engine_type":0,"engine_id":0,"sampling_algorithm":1,"sampling_interval":100,"flow_records":2,"ipv4_src_addr":"10.1.2.3","ipv4_dst_addr":"198.51.100.80","ipv4_next_hop":"0.0.0.0","input_snmp":3,"output_snmp":0,"in_pkts":12,"in_bytes":3456,"first_switched":"2026-11-21T03:48:50.250Z","last_switched":"2026-11-21T03:48:55.000Z","l4_src_port":51515,"l4_dst_port":443,"tcp_flags":27,"protocol":6,"src_tos":32,"src_as":64500,"dst_as":64501,"src_mask":24,"dst_mask":16}}"#;
    const IPFIX: &str = r#"{"@timestamp":"2026-11-21T03:49:00.000Z","@version":"1","host":{"ip":"2001:db8::fe"},"netflow":{"version":10,"sourceIPv6Address":"2001:db8::1","destinationIPv6Address":"2001:db8::2","octetDeltaCount":260,"packetDeltaCount":5,"ingressInterface":1,"egressInterface":2,"sourceTransportPort":60560,"destinationTransportPort":22,"protocolIdentifier":6,"tcpControlBits":16,"ipVersion":6,"icmpTypeCodeIPv6":0,"vlanId":100,"flowStartMilliseconds":"2026-11-21T03:48:50.250Z","flowEndMilliseconds":"2026-11-21T03:48:55.000Z"}}"#;

    fn decode(json: &str) -> Result<Option<Flow>, Reject> {
        by_name("logstash_netflow").unwrap().decoder().decode(json.as_bytes())
    }

    /// An event with some fields under `netflow` replaced or taken away.
    fn with(event: &str, changes: &[(&str, &str)]) -> Result<Option<Flow>, Reject> {
        let mut event: serde_json::Value = serde_json::from_str(event).unwrap();
        let object = event["netflow"].as_object_mut().unwrap();
        for (key, value) in changes {
            object.remove(*key);
            if !value.is_empty() {
                object.insert((*key).to_owned(), serde_json::from_str(value).unwrap());
            }
        }
        decode(&event.to_string())
    }

    fn flow(event: &str, changes: &[(&str, &str)]) -> Flow {
        with(event, changes).unwrap().expect("a flow")
    }

    #[test]
    fn an_event_of_netflow_5_is_a_flow() {
        insta::assert_debug_snapshot!(flow(V5, &[]));
    }

    #[test]
    fn an_event_of_ipfix_is_a_flow() {
        let flow = flow(IPFIX, &[]);
        assert_eq!((flow.start, flow.end), {
            let time = |text: &str| text.parse::<Timestamp>().unwrap();
            (time("2026-11-21T03:48:50.250Z"), time("2026-11-21T03:48:55Z"))
        });
        assert_eq!(flow.origin, FlowOrigin::Ipfix);
        assert_eq!(flow.source.ip, "2001:db8::1".parse().ok());
        assert_eq!((flow.source.port, flow.destination.port), (Some(60560), Some(22)));
        assert_eq!(flow.sent, Counters { bytes: 260, packets: 5 });
        assert_eq!(flow.tcp_flags, Some(TcpFlags(16)));
        assert_eq!((flow.input_interface, flow.output_interface), (Some(1), Some(2)));
        assert_eq!((flow.vlan, flow.exporter), (Some(100), "2001:db8::fe".parse().ok()));
    }

    #[test]
    fn the_exporter_is_an_address_wherever_it_stands() {
        for (host, expected) in [
            ("\"192.0.2.1\"", Some("192.0.2.1")),
            ("{\"ip\":\"192.0.2.1\"}", Some("192.0.2.1")),
            ("{\"ip\":[\"192.0.2.1\",\"10.0.0.1\"],\"name\":\"r1\"}", Some("192.0.2.1")),
            ("\"router.example\"", None),
            ("{\"name\":\"router.example\"}", None),
            ("7", None),
        ] {
            let event = V5.replace("\"192.0.2.1\"", host);
            let expected = expected.and_then(|ip| ip.parse().ok());
            assert_eq!(flow(&event, &[]).exporter, expected, "{host}");
        }
    }

    #[test]
    fn icmp_is_in_one_field_or_in_two_or_in_the_port() {
        let icmp = |changes: &[(&str, &str)]| {
            let none = [("protocol", "1"), ("l4_dst_port", "0")];
            flow(V5, &[&none[..], changes].concat()).icmp.map(|icmp| (icmp.kind, icmp.code))
        };
        assert_eq!(icmp(&[("icmp_type", "2048")]), Some((8, 0)));
        assert_eq!(icmp(&[("icmp_type", "771")]), Some((3, 3)));
        assert_eq!(icmp(&[("icmp_type", "8"), ("icmp_code", "0")]), Some((8, 0)));
        assert_eq!(icmp(&[("icmp_type", "3"), ("icmp_code", "1")]), Some((3, 1)));
        assert_eq!(icmp(&[("l4_dst_port", "771")]), Some((3, 3)));
        assert_eq!(icmp(&[]), None);
        let changes = [("protocolIdentifier", "58"), ("icmpTypeCodeIPv6", "34816")];
        let solicited = flow(IPFIX, &changes);
        assert_eq!(solicited.icmp, Some(IcmpMessage { kind: 136, code: 0 }));
        assert_eq!(solicited.protocol, Some(Protocol::ICMPV6));
    }

    #[test]
    fn counters_of_a_firewall_are_of_both_directions() {
        let asa = [
            ("in_bytes", ""),
            ("in_pkts", ""),
            ("first_switched", ""),
            ("last_switched", ""),
            ("flow_start_msec", "1795232930250"),
            ("event_time_msec", "1795232935000"),
            ("fwd_flow_delta_bytes", "100"),
            ("rev_flow_delta_bytes", "250"),
            ("initiatorPackets", "2"),
            ("responderPackets", "3"),
            ("protocol", "17"),
            ("fw_event", "2"),
        ];
        let flow = flow(V5, &asa);
        assert_eq!(flow.sent, Counters { bytes: 100, packets: 2 });
        assert_eq!(flow.returned, Some(Counters { bytes: 250, packets: 3 }));
        assert_eq!(flow.outcome, Outcome::Exchanged);
        assert_eq!(flow.start, Timestamp::from_millis(1_795_232_930_250));
        assert_eq!(flow.end, Timestamp::from_millis(1_795_232_935_000));
    }

    #[test]
    fn without_times_of_its_own_a_flow_happened_when_it_was_exported() {
        let flow = flow(V5, &[("first_switched", ""), ("last_switched", "")]);
        assert_eq!((Some(flow.start), Some(flow.end)), (flow.received, flow.received));
    }

    /// The codec computes `first_switched` wrongly where the milliseconds borrow from the seconds.
    #[test]
    fn a_start_after_the_end_is_a_defect() {
        let flow = flow(V5, &[("first_switched", "\"2026-12-31T11:40:52.280Z\"")]);
        assert!(flow.defects.contains(Defects::END_BEFORE_START));
    }

    #[test]
    fn options_and_announcements_are_no_flows() {
        let options = r#"{"@timestamp":"2026-11-21T03:49:00.000Z","@version":"1","netflow":{"version":10,"meteringProcessId":2679,"systemInitTimeMilliseconds":1431516013506,"samplingPacketInterval":1}}"#;
        assert_eq!(decode(options), Ok(None));
        assert_eq!(with(V5, &[("in_bytes", ""), ("in_pkts", "")]), Ok(None));
    }

    #[test]
    fn bad_values_are_rejected_by_name() {
        for (key, value, reason) in [
            ("ipv4_src_addr", "\"10.0.0.300\"", RejectReason::BadAddress),
            ("l4_dst_port", "65536", RejectReason::BadNumber),
            ("first_switched", "\"soon\"", RejectReason::BadTime),
            ("in_bytes", "true", RejectReason::WrongType),
            ("protocol", "256", RejectReason::BadNumber),
        ] {
            let reject = with(V5, &[(key, value)]).expect_err(value);
            assert_eq!(reject.reason, reason, "{key} {value}");
            assert!(reject.detail.starts_with(&format!("netflow.{key}")), "{reject}");
        }
    }

    #[test]
    fn the_names_of_the_fields_are_each_written_once() {
        let mut names = Field::NAMES.to_vec();
        names.sort_unstable();
        assert!(names.is_sorted_by(|left, right| left < right));
        assert_eq!(Field::Vlan.name(), "netflow.src_vlan");
    }
}
