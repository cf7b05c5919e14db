//! pmacct JSON (`print_output: json` and the Kafka and AMQP plugins).
//!
//! Which keys a record has follows from pmacct's `aggregate`. Times are dates, seconds since 1970 or
//! RFC 3339. A date has no zone and is taken as UTC: where pmacct's clock is local, set
//! `timestamps_utc`, `timestamps_since_epoch` or `timestamps_rfc3339`. With `sampling_rate` among the
//! primitives the counters must not be renormalised too, or the rate would count twice.

use std::num::NonZeroU32;

use super::fields::{Field as _, Values, fields};
use super::json::{Claim, First, JsonDecoder, Shape, any_object};
use super::marks::{Marks, Owner};
use super::pick::Picker;
use super::reject::{Reject, RejectReason};
use super::scalar::{Scalar, Unit};
use super::transport::Transport;
use super::{Decoder, Format, family, flow_between, is_interface};
use crate::model::{Counters, Defects, Flow, FlowOrigin, NetworkType, Protocol, Timestamp};

/// pmacct JSON.
pub(super) struct Pmacct;

impl Format for Pmacct {
    fn name(&self) -> &'static str {
        "pmacct"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        any_object(head, |text| Marks::owner_in(text) == Some(Owner::Pmacct))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::Pmacct))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

fields! {
    /// The keys that are read, by the names of pmacct's `plugin_cmn_json.c`.
    Field {
        EventType = "event_type",
        Start = "timestamp_start",
        StitchedStart = "timestamp_min",
        End = "timestamp_end",
        StitchedEnd = "timestamp_max",
        Arrival = "timestamp_arrival",
        Inserted = "stamp_inserted",
        Updated = "stamp_updated",
        SourceIp = "ip_src",
        DestinationIp = "ip_dst",
        SourcePort = "port_src",
        DestinationPort = "port_dst",
        Protocol = "ip_proto",
        EtherType = "etype",
        TcpFlags = "tcp_flags",
        Bytes = "bytes",
        Packets = "packets",
        SamplingRate = "sampling_rate",
        Exporter = "peer_ip_src",
        Sequence = "export_proto_seqno",
        Input = "iface_in",
        Output = "iface_out",
        Vlan = "vlan",
        InnerVlan = "vlan_in",
    }
}

/// Claims records with pmacct's addresses, and its control records.
pub(super) struct PmacctShape(Picker);

impl Default for PmacctShape {
    fn default() -> Self {
        Self(Picker::new(Field::place_of))
    }
}

impl Shape for PmacctShape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        let mut values = Values::default();
        let marks = self.0.pick(record, &mut values.0)?;
        if marks.owner() != Some(Owner::Pmacct) {
            return Ok(Claim::Foreign);
        }
        Ok(Claim::Mine(Record(values).flow()))
    }
}

struct Record<'a>(Values<'a, { Field::NAMES.len() }>);

impl Record<'_> {
    /// `purge_init`, `purge_close` and `purge_schema` frame what pmacct writes at a time.
    fn flow(&self) -> Result<Option<Flow>, Reject> {
        if let Scalar::Text(kind) = self.0.get(Field::EventType)
            && kind.starts_with("purge_")
        {
            return Ok(None);
        }
        if !self.0.has_any(&[Field::SourceIp, Field::DestinationIp]) {
            return Err(Reject::missing(Field::SourceIp.name()));
        }
        let mut flow = self.times()?;
        flow.source.ip = self.0.address(&[Field::SourceIp])?;
        flow.destination.ip = self.0.address(&[Field::DestinationIp])?;
        flow.network = match self.ether_type()? {
            Some(0x0806) => NetworkType::Arp,
            _ => family(&flow.source, &flow.destination),
        };
        if flow.network != NetworkType::Arp {
            self.transport()?.fill(&mut flow);
        }
        flow.sent = self.counters(&mut flow.defects)?;
        flow.sampling_rate = self.0.detail(&[Field::SamplingRate])?.and_then(NonZeroU32::new);
        flow.exporter = self.0.address(&[Field::Exporter])?;
        flow.sequence = self.0.detail(&[Field::Sequence])?.filter(|&number| number != 0);
        flow.input_interface = self.0.detail(&[Field::Input])?.filter(|&index| is_interface(index));
        flow.output_interface =
            self.0.detail(&[Field::Output])?.filter(|&index| is_interface(index));
        flow.vlan = self.0.detail(&[Field::Vlan, Field::InnerVlan])?.filter(|&id| id != 0);
        Ok(Some(flow))
    }

    /// Without times of its own a flow lasted from the start of its time bin (`history`) until the bin
    /// was written; `stamp_updated` is then also when the record was received.
    fn times(&self) -> Result<Flow, Reject> {
        let updated = self.time(&[Field::Updated])?;
        let received = self.time(&[Field::Arrival])?.or(updated);
        let start = self.time(&[Field::Start, Field::StitchedStart])?;
        let end = self.time(&[Field::End, Field::StitchedEnd])?;
        match start.or(end) {
            Some(_) => flow_between(FlowOrigin::Pmacct, start, end, received),
            None => {
                let bin = self.time(&[Field::Inserted])?;
                flow_between(FlowOrigin::Pmacct, bin, updated, received)
            }
        }
    }

    /// A date of zeros stands for no time.
    fn time(&self, fields: &[Field]) -> Result<Option<Timestamp>, Reject> {
        for &field in fields {
            match self.0.get(field) {
                Scalar::Text(text) if text.starts_with("0000-00-00") => {}
                _ => {
                    if let Some(time) = self.0.time(&[field], Unit::Seconds)? {
                        return Ok(Some(time));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Text is hexadecimal without a prefix: `800`, `86dd`.
    fn ether_type(&self) -> Result<Option<u16>, Reject> {
        match self.0.get(Field::EtherType) {
            Scalar::Text(text) => Ok(u16::from_str_radix(text, 16).ok()),
            _ => self.0.detail(&[Field::EtherType]),
        }
    }

    fn transport(&self) -> Result<Transport, Reject> {
        let protocol = match self.0.get(Field::Protocol) {
            // What has a name that we do not know is no reason to lose a flow.
            Scalar::Text(name) => Protocol::parse(name),
            _ => self.0.number(&[Field::Protocol])?.map(Protocol),
        };
        Ok(Transport {
            protocol,
            source_port: self.0.number(&[Field::SourcePort])?,
            destination_port: self.0.number(&[Field::DestinationPort])?,
            tcp_flags: self.0.detail(&[Field::TcpFlags])?,
            ..Transport::default()
        })
    }

    fn counters(&self, defects: &mut Defects) -> Result<Counters, Reject> {
        let bytes = self.0.count(&[Field::Bytes], defects)?;
        let packets = self.0.count(&[Field::Packets], defects)?;
        if bytes.is_none() && packets.is_none() {
            return Err(Reject::new(RejectReason::MissingField, "bytes and packets are missing"));
        }
        Ok(Counters { bytes: bytes.unwrap_or(0), packets: packets.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::by_name;
    use super::*;
    use crate::model::{IcmpMessage, TcpFlags};

    // Written after `plugin_cmn_json.c` and `compose_timestamp` of pmacct 1.7: numbers as text where
    // it writes them so, six digits of a second, "" for what is not known.
    const RECORD: &str = r#"{"event_type":"purge","mac_src":"02:00:00:00:00:aa","vlan":100,"etype":"800","as_src":64500,"peer_ip_src":"192.0.2.1","iface_in":3,"iface_out":0,"ip_src":"10.1.2.3","ip_dst":"198.51.100.80","port_src":51515,"port_dst":443,"tcp_flags":"27","ip_proto":"tcp","tos":32,"sampling_rate":100,"timestamp_start":"2026-11-21 03:48:50.250000","timestamp_end":"2026-11-21 03:48:55.000000","timestamp_arrival":"2026-11-21 03:49:00.823495","export_proto_seqno":42,"stamp_inserted":"2026-11-21 03:45:00","stamp_updated":"2026-11-21 03:50:01","packets":12,"flows":1,"bytes":3456,"writer_id":"default_kafka/77"}"#;

    fn decode(json: &str) -> Result<Option<Flow>, Reject> {
        by_name("pmacct").unwrap().decoder().decode(json.as_bytes())
    }

    fn with(changes: &[(&str, &str)]) -> Result<Flow, Reject> {
        let mut record: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        let object = record.as_object_mut().unwrap();
        for (key, value) in changes {
            object.remove(*key);
            if !value.is_empty() {
                object.insert((*key).to_owned(), serde_json::from_str(value).unwrap());
            }
        }
        decode(&record.to_string()).map(|flow| flow.expect("a flow"))
    }

    #[test]
    fn a_record_of_the_kafka_plugin_is_a_flow() {
        insta::assert_debug_snapshot!(with(&[]).unwrap());
    }

    #[test]
    fn a_time_is_a_date_or_seconds_or_rfc_3339() {
        let flow = with(&[]).unwrap();
        for time in [
            "\"1795232930.250000\"",
            "1795232930.25",
            "\"2026-11-21T03:48:50.250000Z\"",
            "\"2026-11-21T04:48:50.250000+01:00\"",
        ] {
            assert_eq!(with(&[("timestamp_start", time)]).unwrap(), flow, "{time}");
        }
    }

    #[test]
    fn a_time_bin_stands_in_for_the_times_of_a_flow() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        for absent in ["", "\"0000-00-00 00:00:00.000000\"", "\"0000-00-00T00:00:00Z\""] {
            let keys = ["timestamp_start", "timestamp_end", "timestamp_arrival"];
            let flow = with(&keys.map(|key| (key, absent))).unwrap();
            assert_eq!(flow.start, time("2026-11-21T03:45:00Z"), "{absent}");
            assert_eq!(flow.end, time("2026-11-21T03:50:01Z"));
            assert_eq!(flow.received, Some(flow.end));
        }
        let no_time = ["timestamp_start", "timestamp_end", "timestamp_arrival", "stamp_inserted"]
            .map(|key| (key, ""));
        let flow = with(&no_time).unwrap();
        assert_eq!((flow.start, flow.end), (time("2026-11-21T03:50:01Z"), flow.start));
        let nothing = [&no_time[..], &[("stamp_updated", "")]].concat();
        assert_eq!(with(&nothing).expect_err("no time").reason, RejectReason::BadTime);
    }

    #[test]
    fn protocols_and_numbers_are_text_or_numbers() {
        for (value, expected) in [
            ("\"udp\"", Some(Protocol::UDP)),
            ("\"17\"", Some(Protocol::UDP)),
            ("17", Some(Protocol::UDP)),
            ("\"ipv6-icmp\"", Some(Protocol::ICMPV6)),
            ("\"crtp\"", None),
            ("", None),
        ] {
            assert_eq!(with(&[("ip_proto", value)]).unwrap().protocol, expected, "{value}");
        }
        for flags in ["\"27\"", "27"] {
            let flow = with(&[("tcp_flags", flags), ("port_dst", "\"443\"")]).unwrap();
            assert_eq!(flow.tcp_flags, Some(TcpFlags(27)));
            assert_eq!(flow.destination.port, Some(443));
        }
    }

    #[test]
    fn what_is_empty_or_zero_is_absent() {
        let flow = with(&[
            ("ip_src", "\"\""),
            ("peer_ip_src", "\"\""),
            ("sampling_rate", "0"),
            ("vlan", "0"),
            ("tcp_flags", "\"0\""),
            ("export_proto_seqno", "0"),
            ("iface_in", "0"),
        ])
        .unwrap();
        assert_eq!((flow.source.ip, flow.exporter, flow.sampling_rate), (None, None, None));
        assert_eq!((flow.vlan, flow.tcp_flags, flow.sequence), (None, None, None));
        assert_eq!((flow.input_interface, flow.output_interface), (None, None));
        let without = with(&[("ip_src", ""), ("ip_dst", "")]).map(|_| ());
        assert_eq!(without.expect_err("no address").reason, RejectReason::MissingField);
    }

    #[test]
    fn ethertypes_are_hexadecimal() {
        let arp = with(&[("etype", "\"806\""), ("ip_proto", "\"ip\"")]).unwrap();
        assert_eq!((arp.network, arp.protocol, arp.source.port), (NetworkType::Arp, None, None));
        for same in ["\"800\"", "\"0\"", "2048", ""] {
            assert_eq!(with(&[("etype", same)]).unwrap().network, NetworkType::Ipv4, "{same}");
        }
    }

    #[test]
    fn icmp_is_in_the_destination_port_or_nowhere() {
        let icmp = |port: &str| with(&[("ip_proto", "\"icmp\""), ("port_dst", port)]).unwrap().icmp;
        assert_eq!(icmp("771"), Some(IcmpMessage { kind: 3, code: 3 }));
        assert_eq!(icmp("0"), None);
    }

    #[test]
    fn control_records_are_passed_over() {
        for json in [
            r#"{"event_type":"purge_init","writer_id":"default_kafka/77"}"#,
            r#"{"event_type":"purge_close","writer_id":"default_kafka/77","purged_entries":1,"total_entries":1,"duration":0}"#,
        ] {
            assert_eq!(decode(json), Ok(None), "{json}");
        }
    }

    #[test]
    fn bad_values_are_rejected_by_name() {
        for (key, value, reason) in [
            ("ip_src", "\"10.0.0.300\"", RejectReason::BadAddress),
            ("port_dst", "\"http\"", RejectReason::BadNumber),
            ("timestamp_start", "\"soon\"", RejectReason::BadTime),
            ("bytes", "[]", RejectReason::WrongType),
            ("ip_proto", "256", RejectReason::BadNumber),
        ] {
            let reject = with(&[(key, value)]).expect_err(value);
            assert_eq!(reject.reason, reason, "{key} {value}");
            assert!(reject.detail.starts_with(key), "{reject}");
        }
        let bare = with(&[("bytes", ""), ("packets", "")]).expect_err("no counters");
        assert_eq!(bare.reason, RejectReason::MissingField);
    }
}
