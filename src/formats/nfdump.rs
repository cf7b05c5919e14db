//! nfdump JSON, versions 1.6 and 1.7: `-o ndjson`, one record a line, and `-o json`, which is one
//! array and so a message, but no file of lines.
//!
//! nfdump writes times in the zone of the machine it runs on and does not say which: they are taken
//! as UTC, so run it with `TZ=UTC`. Its collector has applied the sampling rate already.

use super::fields::{Values, fields};
use super::json::{Claim, First, JsonDecoder, Shape, any_object};
use super::marks::{Marks, Owner};
use super::pick::Picker;
use super::reject::Reject;
use super::scalar::{Scalar, Unit};
use super::transport::{Transport, fill_way_back};
use super::{Decoder, Format, family, flow_between, is_interface};
use crate::model::{Counters, Defects, Flow, FlowOrigin, Protocol, TcpFlags};

/// nfdump JSON.
pub(super) struct Nfdump;

impl Format for Nfdump {
    fn name(&self) -> &'static str {
        "nfdump"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        any_object(head, |text| Marks::owner_in(text) == Some(Owner::Nfdump))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::Nfdump))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

fields! {
    /// The keys that are read, by the names of nfdump's `output_json.c` and `output_ndjson.c`; those
    /// with `t_` are of version 1.6.
    Field {
        Kind = "type",
        First = "first",
        OldFirst = "t_first",
        Last = "last",
        OldLast = "t_last",
        Received = "received",
        OldReceived = "t_received",
        SourceIpv4 = "src4_addr",
        SourceIpv6 = "src6_addr",
        DestinationIpv4 = "dst4_addr",
        DestinationIpv6 = "dst6_addr",
        SourcePort = "src_port",
        DestinationPort = "dst_port",
        Protocol = "proto",
        TcpFlags = "tcp_flags",
        IcmpType = "icmp_type",
        IcmpCode = "icmp_code",
        InPackets = "in_packets",
        InBytes = "in_bytes",
        OutPackets = "out_packets",
        OutBytes = "out_bytes",
        Input = "input_snmp",
        Output = "output_snmp",
        Vlan = "src_vlan",
        RouterIpv4 = "ip4_router",
        RouterIpv6 = "ip6_router",
    }
}

/// Claims records with nfdump's addresses.
pub(super) struct NfdumpShape(Picker);

impl Default for NfdumpShape {
    fn default() -> Self {
        Self(Picker::new(Field::place_of))
    }
}

impl Shape for NfdumpShape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        let mut values = Values::default();
        let marks = self.0.pick(record, &mut values.0)?;
        if marks.owner() != Some(Owner::Nfdump) {
            return Ok(Claim::Foreign);
        }
        Ok(Claim::Mine(Record(values).flow()))
    }
}

struct Record<'a>(Values<'a, { Field::NAMES.len() }>);

impl Record<'_> {
    fn flow(&self) -> Result<Option<Flow>, Reject> {
        let addresses =
            [Field::SourceIpv4, Field::SourceIpv6, Field::DestinationIpv4, Field::DestinationIpv6];
        if !self.0.has_any(&addresses) {
            return Err(Reject::missing("src4_addr"));
        }
        let mut flow = self.times()?;
        flow.source.ip = self.0.address(&[Field::SourceIpv4, Field::SourceIpv6])?;
        flow.destination.ip = self.0.address(&[Field::DestinationIpv4, Field::DestinationIpv6])?;
        flow.network = family(&flow.source, &flow.destination);
        self.transport()?.fill(&mut flow);
        flow.sent = self.counters(Field::InBytes, Field::InPackets, &mut flow.defects)?;
        let returned = self.counters(Field::OutBytes, Field::OutPackets, &mut flow.defects)?;
        if flow.sent == Counters::default() && returned == flow.sent && self.is_event()? {
            return Ok(None);
        }
        // Aggregated flows of one direction have these keys too, with 0.
        if returned != Counters::default() {
            fill_way_back(&mut flow, returned);
        }
        flow.exporter = self.0.address(&[Field::RouterIpv4, Field::RouterIpv6])?;
        flow.input_interface = self.0.detail(&[Field::Input])?.filter(|&index| is_interface(index));
        flow.output_interface =
            self.0.detail(&[Field::Output])?.filter(|&index| is_interface(index));
        flow.vlan = self.0.detail(&[Field::Vlan])?.filter(|&id| id != 0);
        Ok(Some(flow))
    }

    /// Firewalls and NAT devices announce a connection by an event before they count it.
    fn is_event(&self) -> Result<bool, Reject> {
        Ok(self.0.text(Field::Kind)? == Some("EVENT"))
    }

    fn times(&self) -> Result<Flow, Reject> {
        let time = |fields: [Field; 2]| self.0.time(&fields, Unit::Millis);
        let first = time([Field::First, Field::OldFirst])?;
        let last = time([Field::Last, Field::OldLast])?;
        let received = time([Field::Received, Field::OldReceived])?;
        flow_between(FlowOrigin::Nfdump, first, last, received)
    }

    fn transport(&self) -> Result<Transport, Reject> {
        let protocol = match self.0.get(Field::Protocol) {
            Scalar::Text(name) => Protocol::parse(name),
            _ => self.0.number(&[Field::Protocol])?.map(Protocol),
        };
        let tcp_flags = match self.0.get(Field::TcpFlags) {
            Scalar::Text(letters) => flags(letters),
            _ => self.0.detail(&[Field::TcpFlags])?,
        };
        Ok(Transport {
            protocol,
            source_port: self.0.number(&[Field::SourcePort])?,
            destination_port: self.0.number(&[Field::DestinationPort])?,
            tcp_flags,
            icmp_type: self.0.detail(&[Field::IcmpType])?,
            icmp_code: self.0.detail(&[Field::IcmpCode])?,
            icmp_type_and_code: None,
        })
    }

    fn counters(
        &self,
        bytes: Field,
        packets: Field,
        defects: &mut Defects,
    ) -> Result<Counters, Reject> {
        let bytes = self.0.count(&[bytes], defects)?.unwrap_or(0);
        let packets = self.0.count(&[packets], defects)?.unwrap_or(0);
        Ok(Counters { bytes, packets })
    }
}

/// Returns the flags of letters such as `...AP.SF`: a dot for each that is not set. Anything else is
/// no set of flags.
fn flags(letters: &str) -> Option<u16> {
    let mut flags = 0;
    for letter in letters.bytes() {
        flags |= match letter {
            b'C' => 0x80,
            b'E' => 0x40,
            b'U' => 0x20,
            b'A' => TcpFlags::ACK,
            b'P' => TcpFlags::PSH,
            b'R' => TcpFlags::RST,
            b'S' => TcpFlags::SYN,
            b'F' => TcpFlags::FIN,
            b'.' => 0,
            _ => return None,
        };
    }
    Some(flags)
}

#[cfg(test)]
mod tests {
    use super::super::{RejectReason, by_name};
    use super::*;
    use crate::model::{IcmpMessage, Outcome, Role};

    // Written after `output_ndjson.c` of nfdump 1.7.
    const RECORD: &str = r#"{"cnt":1,"type":"FLOW","export_sysid":1,"first":"2026-11-21T03:48:50.250","last":"2026-11-21T03:48:55.000","received":"2026-11-21T03:49:00.823","in_packets":12,"in_bytes":3456,"proto":6,"tcp_flags":"...AP.SF","src_port":51515,"dst_port":443,"fwd_status":0,"src_tos":32,"src4_addr":"10.1.2.3","dst4_addr":"198.51.100.80","src4_geo":"..","dst4_geo":"US","input_snmp":3,"output_snmp":0,"src_mask":24,"dst_mask":16,"src_net":"10.1.2.0","dst_net":"198.51.0.0","direction":0,"dst_tos":0,"src_vlan":100,"dst_vlan":0,"src_as":64500,"dst_as":64501,"ip4_router":"192.0.2.1","sampled":1}"#;

    fn decode(json: &str) -> Result<Option<Flow>, Reject> {
        by_name("nfdump").unwrap().decoder().decode(json.as_bytes())
    }

    fn with(changes: &[(&str, &str)]) -> Result<Option<Flow>, Reject> {
        let mut record: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        let object = record.as_object_mut().unwrap();
        for (key, value) in changes {
            object.remove(*key);
            if !value.is_empty() {
                object.insert((*key).to_owned(), serde_json::from_str(value).unwrap());
            }
        }
        decode(&record.to_string())
    }

    fn flow(changes: &[(&str, &str)]) -> Flow {
        with(changes).unwrap().expect("a flow")
    }

    #[test]
    fn a_record_of_version_1_7_is_a_flow() {
        insta::assert_debug_snapshot!(flow(&[]));
    }

    #[test]
    fn version_1_6_has_other_names_for_times() {
        let old = RECORD
            .replace("\"first\"", "\"t_first\"")
            .replace("\"last\"", "\"t_last\"")
            .replace("\"received\"", "\"t_received\"");
        assert_eq!(decode(&old).unwrap().unwrap(), flow(&[]));
    }

    #[test]
    fn letters_are_flags() {
        for (letters, expected) in [
            ("........", Some(0)),
            (".......S.", Some(2)),
            ("CEUAPRSF", Some(0xff)),
            ("...A.R..", Some(0x14)),
            ("", Some(0)),
            ("0x42", None),
        ] {
            assert_eq!(flags(letters), expected, "{letters}");
        }
        assert_eq!(flow(&[("tcp_flags", "\"........\"")]).tcp_flags, None);
        assert_eq!(flow(&[("tcp_flags", "27")]).tcp_flags, Some(TcpFlags(27)));
    }

    #[test]
    fn counters_of_the_way_back_make_a_flow_of_both_directions() {
        let both = flow(&[("out_packets", "9"), ("out_bytes", "8000"), ("aggr_flows", "2")]);
        assert_eq!(both.returned, Some(Counters { bytes: 8000, packets: 9 }));
        assert_eq!(both.outcome, Outcome::Unknown);
        let aggregated = flow(&[("out_packets", "0"), ("out_bytes", "0"), ("aggr_flows", "2")]);
        assert_eq!(aggregated.returned, None);
        let answer = [("proto", "17"), ("src_port", "53"), ("out_packets", "1")];
        let dns = flow(&answer);
        assert_eq!((dns.outcome, dns.role()), (Outcome::Exchanged, Role::Initiator));
        assert!(!dns.is_probe());
    }

    #[test]
    fn ipv6_and_icmp_are_read() {
        let changes = [
            ("src4_addr", ""),
            ("dst4_addr", ""),
            ("src6_addr", "\"2001:db8::1\""),
            ("dst6_addr", "\"ff02::1\""),
            ("ip4_router", ""),
            ("ip6_router", "\"2001:db8::fe\""),
            ("proto", "58"),
            ("icmp_type", "136"),
            ("icmp_code", "0"),
            ("src_port", ""),
            ("dst_port", ""),
        ];
        let flow = flow(&changes);
        assert_eq!(flow.source.ip, "2001:db8::1".parse().ok());
        assert_eq!(flow.exporter, "2001:db8::fe".parse().ok());
        assert_eq!(flow.icmp, Some(IcmpMessage { kind: 136, code: 0 }));
        assert_eq!((flow.source.port, flow.tcp_flags), (None, None));
    }

    #[test]
    fn an_event_without_traffic_is_no_flow() {
        let zero = [("type", "\"EVENT\""), ("in_packets", "0"), ("in_bytes", "0")];
        assert_eq!(with(&zero), Ok(None));
        assert!(with(&[("type", "\"EVENT\"")]).unwrap().is_some());
    }

    #[test]
    fn bad_values_are_rejected_by_name() {
        for (key, value, reason) in [
            ("src4_addr", "\"10.0.0.300\"", RejectReason::BadAddress),
            ("dst_port", "65536", RejectReason::BadNumber),
            ("first", "\"21.11.2026\"", RejectReason::BadTime),
            ("in_bytes", "\"many\"", RejectReason::BadNumber),
            ("proto", "256", RejectReason::BadNumber),
            ("type", "7", RejectReason::WrongType),
        ] {
            let zero = [("in_packets", "0"), ("in_bytes", "0")];
            let changes = [&zero[..], &[(key, value)]].concat();
            let reject = with(&changes).expect_err(value);
            assert_eq!(reject.reason, reason, "{key} {value}");
            assert!(reject.detail.starts_with(key), "{reject}");
        }
        let bare = with(&[("src4_addr", ""), ("dst4_addr", "")]).expect_err("no address");
        assert_eq!(bare.reason, RejectReason::MissingField);
    }
}
