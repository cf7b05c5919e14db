//! goflow2 JSON, versions 1 and 2: the records of the Kafka topic `flows`.
//!
//! The path that carries the load. Version 2 writes all keys always, "not present" being 0, `""`
//! or all-zero; version 1 writes other key names, whole seconds and numbers for names. A mapping
//! file may render any time as a number or as RFC 3339 and any protocol as a number or a name.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::json::{Claim, First, JsonDecoder, Shape, any_object};
use super::marks::{Marks, Owner};
use super::pick::Picker;
use super::reject::{Reject, RejectReason};
use super::scalar::{Scalar, Unit};
use super::{Decoder, Format, family, flow_between, icmp, is_interface, port_of};
use crate::model::{
    Counters, Defects, Endpoint, Flow, FlowOrigin, IcmpMessage, NetworkType, Protocol, TcpFlags,
    Timestamp,
};

/// goflow2 JSON.
pub(super) struct Goflow2;

impl Format for Goflow2 {
    fn name(&self) -> &'static str {
        "goflow2"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        any_object(head, |text| Marks::owner_in(text) == Some(Owner::Goflow2))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::Goflow2))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

/// The fields that make a flow; the value is the place among the picked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Kind,
    ReceivedNs,
    Received,
    StartNs,
    StartMs,
    Start,
    EndNs,
    EndMs,
    End,
    Sequence,
    Sampling,
    Sampler,
    Bytes,
    Packets,
    SrcAddr,
    DstAddr,
    Etype,
    EtypeName,
    Proto,
    ProtoName,
    SrcPort,
    DstPort,
    InIf,
    OutIf,
    SrcVlan,
    Vlan,
    TcpFlags,
    IcmpType,
    IcmpCode,
}

pub(super) const FIELDS: usize = Field::IcmpCode as usize + 1;

fn place_of(key: &str) -> Option<usize> {
    let field = match key {
        "type" | "Type" => Field::Kind,
        "time_received_ns" | "TimeReceivedNs" => Field::ReceivedNs,
        "time_received" | "TimeReceived" => Field::Received,
        "time_flow_start_ns" | "TimeFlowStartNs" => Field::StartNs,
        "time_flow_start_ms" | "TimeFlowStartMs" => Field::StartMs,
        "time_flow_start" | "TimeFlowStart" => Field::Start,
        "time_flow_end_ns" | "TimeFlowEndNs" => Field::EndNs,
        "time_flow_end_ms" | "TimeFlowEndMs" => Field::EndMs,
        "time_flow_end" | "TimeFlowEnd" => Field::End,
        "sequence_num" | "SequenceNum" => Field::Sequence,
        "sampling_rate" | "SamplingRate" => Field::Sampling,
        "sampler_address" | "SamplerAddress" => Field::Sampler,
        "bytes" | "Bytes" => Field::Bytes,
        "packets" | "Packets" => Field::Packets,
        "src_addr" | "SrcAddr" => Field::SrcAddr,
        "dst_addr" | "DstAddr" => Field::DstAddr,
        "etype" | "Etype" => Field::Etype,
        "etype_name" | "EtypeName" => Field::EtypeName,
        "proto" | "Proto" => Field::Proto,
        "proto_name" | "ProtoName" => Field::ProtoName,
        "src_port" | "SrcPort" => Field::SrcPort,
        "dst_port" | "DstPort" => Field::DstPort,
        "in_if" | "InIf" => Field::InIf,
        "out_if" | "OutIf" => Field::OutIf,
        "src_vlan" | "SrcVlan" => Field::SrcVlan,
        "vlan_id" | "VlanId" => Field::Vlan,
        "tcp_flags" | "TCPFlags" | "TcpFlags" => Field::TcpFlags,
        "icmp_type" | "IcmpType" => Field::IcmpType,
        "icmp_code" | "IcmpCode" => Field::IcmpCode,
        _ => return None,
    };
    Some(field as usize)
}

/// Claims records with a goflow2 time.
pub(super) struct Goflow2Shape(Picker);

impl Default for Goflow2Shape {
    fn default() -> Self {
        Self(Picker::new(place_of))
    }
}

impl Shape for Goflow2Shape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        let mut values = [const { Scalar::Absent }; FIELDS];
        let marks = self.0.pick(record, &mut values)?;
        if marks.owner() != Some(Owner::Goflow2) {
            return Ok(Claim::Foreign);
        }
        Ok(Claim::Mine(Record(values).flow().map(Some)))
    }
}

/// The values of one record, whatever encoding they came in.
pub(super) struct Record<'a>(pub(super) [Scalar<'a>; FIELDS]);

impl<'a> Record<'a> {
    fn get(&self, field: Field) -> &Scalar<'a> {
        &self.0[field as usize]
    }

    fn has(&self, field: Field) -> bool {
        *self.get(field) != Scalar::Absent
    }

    /// Returns the flow that the values describe.
    pub(super) fn flow(&self) -> Result<Flow, Reject> {
        let mut flow = self.times()?;
        flow.source.ip = self.address(Field::SrcAddr, "src_addr")?;
        flow.destination.ip = self.address(Field::DstAddr, "dst_addr")?;
        if !self.has(Field::SrcAddr) && !self.has(Field::DstAddr) {
            return Err(Reject::missing("src_addr"));
        }
        flow.network = self.network(&flow.source, &flow.destination)?;
        if matches!(flow.network, NetworkType::Ipv4 | NetworkType::Ipv6) {
            flow.protocol = icmp::for_network(self.protocol()?, flow.network);
            self.fill_transport(&mut flow)?;
        }
        flow.sent = self.counters(&mut flow.defects)?;
        flow.sampling_rate =
            self.get(Field::Sampling).detail::<u32>("sampling_rate")?.and_then(NonZeroU32::new);
        flow.exporter = self.address(Field::Sampler, "sampler_address")?;
        flow.sequence = self.get(Field::Sequence).detail("sequence_num")?;
        flow.input_interface = self.interface(Field::InIf, "in_if")?;
        flow.output_interface = self.interface(Field::OutIf, "out_if")?;
        flow.vlan = self.vlan()?;
        Ok(flow)
    }

    fn times(&self) -> Result<Flow, Reject> {
        let start = self.first_time([
            (Field::StartNs, "time_flow_start_ns", Unit::Nanos),
            (Field::StartMs, "TimeFlowStartMs", Unit::Millis),
            (Field::Start, "TimeFlowStart", Unit::Seconds),
        ])?;
        let end = self.first_time([
            (Field::EndNs, "time_flow_end_ns", Unit::Nanos),
            (Field::EndMs, "TimeFlowEndMs", Unit::Millis),
            (Field::End, "TimeFlowEnd", Unit::Seconds),
        ])?;
        let received = self.first_time([
            (Field::ReceivedNs, "time_received_ns", Unit::Nanos),
            (Field::Received, "TimeReceived", Unit::Seconds),
        ])?;
        flow_between(self.origin(), start, end, received)
    }

    fn first_time<const N: usize>(
        &self,
        places: [(Field, &str, Unit); N],
    ) -> Result<Option<Timestamp>, Reject> {
        for (field, name, unit) in places {
            if let Some(time) = self.get(field).time(name, unit)? {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }

    fn origin(&self) -> FlowOrigin {
        match self.get(Field::Kind) {
            Scalar::Unsigned(1) => FlowOrigin::Sflow5,
            Scalar::Unsigned(2) => FlowOrigin::NetflowV5,
            Scalar::Unsigned(3) => FlowOrigin::NetflowV9,
            Scalar::Unsigned(4) => FlowOrigin::Ipfix,
            Scalar::Text(kind) => match kind.as_ref() {
                "SFLOW_5" => FlowOrigin::Sflow5,
                "NETFLOW_V5" => FlowOrigin::NetflowV5,
                "NETFLOW_V9" => FlowOrigin::NetflowV9,
                "IPFIX" => FlowOrigin::Ipfix,
                _ => FlowOrigin::OtherExport,
            },
            _ => FlowOrigin::OtherExport,
        }
    }

    /// All-zero stands for "not present".
    fn address(&self, field: Field, name: &str) -> Result<Option<IpAddr>, Reject> {
        Ok(self.get(field).address(name)?.filter(|ip| !ip.is_unspecified()))
    }

    fn network(&self, source: &Endpoint, destination: &Endpoint) -> Result<NetworkType, Reject> {
        let named = match self.get(Field::Etype) {
            Scalar::Absent => self.get(Field::EtypeName).text("EtypeName")?,
            Scalar::Text(name) => Some(name.as_ref()),
            number => {
                return Ok(match number.detail::<u16>("etype")? {
                    Some(0x0800) => NetworkType::Ipv4,
                    Some(0x86dd) => NetworkType::Ipv6,
                    Some(0x0806) => NetworkType::Arp,
                    _ => family(source, destination),
                });
            }
        };
        Ok(match named {
            Some("IPv4" | "2048") => NetworkType::Ipv4,
            Some("IPv6" | "34525") => NetworkType::Ipv6,
            Some("ARP" | "2054") => NetworkType::Arp,
            _ => family(source, destination),
        })
    }

    /// Names that goflow2 knows and we do not (`unassigned`, `SWIPE` …) are no reason to lose a
    /// flow: its protocol is then absent.
    fn protocol(&self) -> Result<Option<Protocol>, Reject> {
        match self.get(Field::Proto) {
            Scalar::Absent => {
                Ok(self.get(Field::ProtoName).text("ProtoName")?.and_then(Protocol::parse))
            }
            Scalar::Text(name) => Ok(match name.as_ref() {
                "TCP" => Some(Protocol::TCP),
                "UDP" => Some(Protocol::UDP),
                name => Protocol::parse(name),
            }),
            number => Ok(number.number("proto")?.map(Protocol)),
        }
    }

    fn fill_transport(&self, flow: &mut Flow) -> Result<(), Reject> {
        let source_port = self.get(Field::SrcPort).number("src_port")?;
        let destination_port = self.get(Field::DstPort).number("dst_port")?;
        flow.source.port = port_of(flow.protocol, source_port);
        flow.destination.port = port_of(flow.protocol, destination_port);
        if flow.protocol == Some(Protocol::TCP) {
            let flags = self.get(Field::TcpFlags).detail::<u16>("tcp_flags")?;
            flow.tcp_flags = flags.filter(|&flags| flags != 0).map(TcpFlags);
        }
        if flow.protocol.is_some_and(Protocol::is_icmp) {
            flow.icmp = self.icmp(flow, destination_port)?;
        }
        Ok(())
    }

    fn icmp(&self, flow: &Flow, port: Option<u16>) -> Result<Option<IcmpMessage>, Reject> {
        let kind = self.get(Field::IcmpType).detail("icmp_type")?;
        let code = self.get(Field::IcmpCode).detail("icmp_code")?;
        Ok(icmp::exported(flow, kind, code, port))
    }

    fn interface(&self, field: Field, name: &str) -> Result<Option<u32>, Reject> {
        Ok(self.get(field).detail(name)?.filter(|&index| is_interface(index)))
    }

    fn counters(&self, defects: &mut Defects) -> Result<Counters, Reject> {
        let bytes = self.get(Field::Bytes).count("bytes", defects)?;
        let packets = self.get(Field::Packets).count("packets", defects)?;
        if bytes.is_none() && packets.is_none() {
            return Err(Reject::new(RejectReason::MissingField, "bytes and packets are missing"));
        }
        Ok(Counters { bytes: bytes.unwrap_or(0), packets: packets.unwrap_or(0) })
    }

    fn vlan(&self) -> Result<Option<u16>, Reject> {
        let source = self.get(Field::SrcVlan).detail::<u16>("src_vlan")?.filter(|&id| id != 0);
        match source {
            Some(id) => Ok(Some(id)),
            None => Ok(self.get(Field::Vlan).detail("vlan_id")?.filter(|&id| id != 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::by_name;
    use super::*;

    const V1: &str = r#"{"Type":"SFLOW_5","TimeReceived":1621820000,"TimeFlowStart":1621820000,"TimeFlowEnd":1621820000,"Bytes":70,"Packets":1,"SamplingRate":100,"SamplerAddress":"192.168.1.254","SrcAddr":"192.168.1.1","DstAddr":"10.0.0.1","InIf":1,"OutIf":2,"Etype":2048,"Proto":6,"SrcPort":443,"DstPort":46344,"FragmentId":54044,"FragmentOffset":16384,"IPTTL":64,"IPTos":0,"TCPFlags":16,"SequenceNum":7,"VlanId":10}"#;
    const V2: &str = r#"{"type":"SFLOW_5","time_received_ns":1621820000000000000,"sequence_num":7,"sampling_rate":100,"sampler_address":"192.168.1.254","time_flow_start_ns":"1621820000000000000","time_flow_end_ns":"2021-05-24T01:33:20Z","bytes":70,"packets":1,"src_addr":"192.168.1.1","dst_addr":"10.0.0.1","etype":"IPv4","proto":"TCP","src_port":443,"dst_port":46344,"in_if":1,"out_if":2,"vlan_id":10,"tcp_flags":16}"#;

    fn decode(json: &str) -> Result<Flow, Reject> {
        let flow = by_name("goflow2").unwrap().decoder().decode(json.as_bytes())?;
        Ok(flow.expect("a flow"))
    }

    /// A version 2 record with some values replaced.
    fn with(changes: &[(&str, &str)]) -> Result<Flow, Reject> {
        let mut record: serde_json::Value = serde_json::from_str(V2).unwrap();
        for (key, value) in changes {
            record[key] = serde_json::from_str(value).unwrap();
        }
        decode(&record.to_string())
    }

    #[test]
    fn version_1_and_version_2_of_a_flow_are_the_same_flow() {
        let flow = decode(V1).unwrap();
        assert_eq!(flow, decode(V2).unwrap());
        assert_eq!(flow.source.ip, "192.168.1.1".parse().ok());
        assert_eq!((flow.source.port, flow.destination.port), (Some(443), Some(46344)));
        assert_eq!(flow.sent, Counters { bytes: 70, packets: 1 });
        assert_eq!(flow.protocol, Some(Protocol::TCP));
        assert_eq!(flow.tcp_flags, Some(TcpFlags(TcpFlags::ACK)));
        assert_eq!(flow.sampling_factor(), 100);
        assert_eq!(flow.start, Timestamp::from_seconds(1_621_820_000));
        assert_eq!((flow.vlan, flow.sequence), (Some(10), Some(7)));
        assert_eq!((flow.input_interface, flow.output_interface), (Some(1), Some(2)));
        assert_eq!(flow.origin, FlowOrigin::Sflow5);
        assert!(flow.defects.is_empty());
    }

    #[test]
    fn version_1_milliseconds_beat_its_seconds() {
        let json = V1.replace("\"Bytes\"", "\"TimeFlowStartMs\":1621819999250,\"Bytes\"");
        assert_eq!(decode(&json).unwrap().start, Timestamp::from_millis(1_621_819_999_250));
    }

    #[test]
    fn a_record_without_ports_is_kept() {
        let json = V1
            .replace("\"SrcPort\":443,\"DstPort\":46344,", "")
            .replace("\"Proto\":6", "\"Proto\":1");
        let flow = decode(&json).unwrap();
        assert_eq!((flow.source.port, flow.icmp), (None, None));
        assert_eq!(flow.protocol, Some(Protocol::ICMP));
    }

    #[test]
    fn what_goflow2_writes_for_absent_is_absent() {
        let flow = with(&[
            ("sampling_rate", "0"),
            ("sampler_address", "\"\""),
            ("src_addr", "\"0.0.0.0\""),
            ("in_if", "1073741823"),
            ("out_if", "0"),
            ("vlan_id", "0"),
            ("tcp_flags", "0"),
        ])
        .unwrap();
        assert_eq!((flow.sampling_rate, flow.exporter, flow.source.ip), (None, None, None));
        assert_eq!((flow.input_interface, flow.output_interface, flow.vlan), (None, None, None));
        assert_eq!(flow.tcp_flags, None);
        assert_eq!(flow.network, NetworkType::Ipv4);
    }

    #[test]
    fn icmp_type_and_code_come_from_the_port_unless_the_fields_hold_them() {
        let message = |kind: &str, changes: &[(&str, &str)]| {
            let base = [("type", kind), ("proto", "\"ICMP\""), ("src_port", "0")];
            let flow = with(&[&base[..], changes].concat()).unwrap();
            assert_eq!((flow.source.port, flow.destination.port), (None, None));
            flow.icmp.map(|message| (message.kind, message.code))
        };
        let netflow = "\"NETFLOW_V9\"";
        assert_eq!(message(netflow, &[("dst_port", "2048")]), Some((8, 0)));
        assert_eq!(message(netflow, &[("dst_port", "771"), ("icmp_type", "0")]), Some((3, 3)));
        assert_eq!(message(netflow, &[("dst_port", "0"), ("icmp_type", "11")]), Some((11, 0)));
        assert_eq!(message("\"SFLOW_5\"", &[("dst_port", "0"), ("icmp_type", "0")]), Some((0, 0)));
        let v6 = [("etype", "\"IPv6\""), ("proto", "\"IPv6-ICMP\""), ("dst_port", "0")];
        assert_eq!(message(netflow, &[&v6[..], &[("icmp_type", "0")]].concat()), None);
        assert_eq!(message(netflow, &[&v6[..], &[("icmp_type", "136")]].concat()), Some((136, 0)));
    }

    #[test]
    fn arp_is_kept_without_ports_and_protocol() {
        let flow = with(&[
            ("etype", "\"ARP\""),
            ("proto", "\"HOPOPT\""),
            ("src_addr", "\"\""),
            ("dst_addr", "\"\""),
            ("src_port", "0"),
        ])
        .unwrap();
        assert_eq!(flow.network, NetworkType::Arp);
        assert_eq!((flow.protocol, flow.source, flow.tcp_flags), (None, Endpoint::default(), None));
    }

    #[test]
    fn both_families_and_numbers_for_names_are_understood() {
        let flow = with(&[
            ("etype", "34525"),
            ("proto", "\"17\""),
            ("src_addr", "\"2001:db8::1\""),
            ("dst_addr", "\"ff02::1\""),
        ])
        .unwrap();
        assert_eq!((flow.network, flow.protocol), (NetworkType::Ipv6, Some(Protocol::UDP)));
        assert_eq!(flow.source.ip, "2001:db8::1".parse().ok());
    }

    #[test]
    fn a_tcp_port_of_zero_is_a_port() {
        assert_eq!(with(&[("dst_port", "0")]).unwrap().destination.port, Some(0));
    }

    #[test]
    fn repairs_are_recorded_as_defects() {
        let flow = with(&[("bytes", "-5"), ("packets", "1e30")]).unwrap();
        assert_eq!(flow.sent, Counters { bytes: 0, packets: u64::MAX });
        assert!(flow.defects.contains(Defects::COUNTER_CLAMPED));
        let flow = with(&[("time_flow_end_ns", "1621819999000000000")]).unwrap();
        assert_eq!(flow.end, flow.start);
        assert!(flow.defects.contains(Defects::END_BEFORE_START));
    }

    #[test]
    fn a_zero_time_gives_way_to_the_others() {
        let flow = with(&[("time_flow_start_ns", "0"), ("time_flow_end_ns", "0")]).unwrap();
        assert_eq!(Some(flow.start), flow.received);
        let zero =
            [("time_flow_start_ns", "0"), ("time_flow_end_ns", "0"), ("time_received_ns", "0")];
        assert_eq!(with(&zero).expect_err("no time").reason, RejectReason::BadTime);
    }

    #[test]
    fn bad_values_are_rejected_by_name() {
        for (key, value, reason) in [
            ("src_addr", "\"10.0.0.300\"", RejectReason::BadAddress),
            ("src_addr", "[1]", RejectReason::WrongType),
            ("src_addr", "7", RejectReason::WrongType),
            ("dst_port", "65536", RejectReason::BadNumber),
            ("dst_port", "\"http\"", RejectReason::BadNumber),
            ("dst_port", "-1", RejectReason::BadNumber),
            ("bytes", "\"many\"", RejectReason::BadNumber),
            ("bytes", "{}", RejectReason::WrongType),
            ("time_flow_start_ns", "-1", RejectReason::BadTime),
            ("time_flow_start_ns", "18446744073709551615", RejectReason::BadTime),
            ("time_received_ns", "\"yesterday\"", RejectReason::BadTime),
            ("proto", "256", RejectReason::BadNumber),
        ] {
            let reject = with(&[(key, value)]).expect_err(value);
            assert_eq!(reject.reason, reason, "{key} {value}");
            assert!(reject.detail.starts_with(key), "{reject}");
        }
        let lean = decode(r#"{"time_received_ns":1621820000000000000}"#).expect_err("no address");
        assert_eq!(lean.reason, RejectReason::MissingField);
    }

    #[test]
    fn a_cut_first_line_is_recognised() {
        assert!(Goflow2.recognises(&V2.as_bytes()[..300]));
        assert!(Goflow2.recognises(V1.as_bytes()));
        assert!(!Goflow2.recognises(b"{\"time\":1}\n"));
    }
}
