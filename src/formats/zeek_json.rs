//! Zeek `conn` logs as JSON lines (`LogAscii::use_json`).

use super::json::{Claim, First, JsonDecoder, Shape, any_object, has_key};
use super::marks::{Marks, Owner};
use super::pick::Picker;
use super::reject::Reject;
use super::scalar::Scalar;
use super::zeek_conn::{COLUMNS, Conn};
use super::{Decoder, Format};

/// Zeek `conn` log, JSON lines.
pub(super) struct ZeekJson;

impl Format for ZeekJson {
    fn name(&self) -> &'static str {
        "zeek_json"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        any_object(head, |text| {
            Marks::owner_in(text) == Some(Owner::Zeek) && has_key(text, "conn_state")
        })
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::Zeek))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

/// Claims records with an originator; those of other Zeek logs are passed over.
pub(super) struct ZeekShape(Picker);

impl Default for ZeekShape {
    fn default() -> Self {
        Self(Picker::new(|key| COLUMNS.iter().position(|column| *column == key)))
    }
}

impl Shape for ZeekShape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        let mut values = [const { Scalar::Absent }; COLUMNS.len()];
        let marks = self.0.pick(record, &mut values)?;
        if marks.owner() != Some(Owner::Zeek) {
            return Ok(Claim::Foreign);
        }
        let conn = Conn(values);
        if !conn.has_state() {
            return Ok(Claim::Mine(Ok(None)));
        }
        Ok(Claim::Mine(conn.flow().map(Some)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RejectReason, by_name, detect};
    use super::*;
    use crate::model::{ConnectionState, Counters, Flow, FlowOrigin, Outcome, Timestamp};

    const SYN: &str = r#"{"ts":1700000000.314165,"uid":"C1","id.orig_h":"192.0.2.9","id.orig_p":50820,"id.resp_h":"198.51.100.7","id.resp_p":443,"proto":"tcp","duration":0.20696377754211426,"orig_bytes":0,"resp_bytes":0,"conn_state":"REJ","local_orig":true,"orig_pkts":1,"orig_ip_bytes":60,"resp_pkts":1,"resp_ip_bytes":40}"#;
    const DNS_LOG: &str = r#"{"ts":1700000000.3,"uid":"C1","id.orig_h":"192.0.2.9","id.orig_p":5,"id.resp_h":"192.0.2.1","id.resp_p":53,"query":"example.org"}"#;

    fn decode(json: &str) -> Result<Option<Flow>, Reject> {
        by_name("zeek_json").unwrap().decoder().decode(json.as_bytes())
    }

    #[test]
    fn a_refused_connection_keeps_microseconds_and_both_directions() {
        let flow = decode(SYN).unwrap().unwrap();
        assert_eq!(flow.start, Timestamp::from_nanos(1_700_000_000_314_165_000));
        assert_eq!(flow.end, flow.start.plus_nanos(206_964_000));
        assert_eq!(flow.sent, Counters { bytes: 60, packets: 1 });
        assert_eq!(flow.returned, Some(Counters { bytes: 40, packets: 1 }));
        assert_eq!(flow.state, Some(ConnectionState::Reset));
        assert_eq!(flow.outcome, Outcome::Refused);
        assert_eq!(flow.origin, FlowOrigin::Zeek);
        assert!(flow.is_probe());
    }

    #[test]
    fn other_logs_are_unknown_at_the_start_and_passed_over_in_a_stream() {
        assert!(detect(DNS_LOG.as_bytes()).is_none());
        assert_eq!(decode(DNS_LOG), Ok(None));
        assert_eq!(detect(SYN.as_bytes()).map(Format::name), Some("zeek_json"));
    }

    #[test]
    fn a_time_may_be_rfc_3339() {
        let json = SYN.replace("1700000000.314165", "\"2023-11-14T22:13:20.314165Z\"");
        assert_eq!(decode(&json), decode(SYN));
    }

    #[test]
    fn a_line_without_responder_or_time_is_rejected() {
        let json = SYN.replace("id.resp_h", "other");
        assert_eq!(decode(&json).unwrap_err().reason, RejectReason::MissingField);
        let json = SYN.replace("\"ts\"", "\"tz\"");
        assert_eq!(decode(&json).unwrap_err().reason, RejectReason::BadTime);
    }
}
