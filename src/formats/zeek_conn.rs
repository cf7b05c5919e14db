//! What a line of a Zeek `conn` log means, in whichever syntax it is written.

use std::net::IpAddr;

use super::reject::Reject;
use super::scalar::{Scalar, Unit};
use super::{family, flow_between, icmp, port_of, shifted};
use crate::model::{
    ConnectionState, Counters, Defects, Flow, FlowOrigin, NetworkType, Outcome, Protocol,
};

/// The columns that make a flow, in the order of [`Field`]. Labels are never among them.
pub(super) const COLUMNS: [&str; 17] = [
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "vlan",
    "ip_proto",
    "_write_ts",
];

/// The columns without which a log is no `conn` log.
pub(super) const NEEDED: [usize; 4] = [
    Field::Ts as usize,
    Field::OrigHost as usize,
    Field::RespHost as usize,
    Field::ConnState as usize,
];

#[derive(Clone, Copy)]
enum Field {
    Ts,
    OrigHost,
    OrigPort,
    RespHost,
    RespPort,
    Proto,
    Duration,
    OrigBytes,
    RespBytes,
    ConnState,
    OrigPackets,
    OrigIpBytes,
    RespPackets,
    RespIpBytes,
    Vlan,
    IpProto,
    Written,
}

/// The values of [`COLUMNS`] in one line.
pub(super) struct Conn<'a>(pub(super) [Scalar<'a>; COLUMNS.len()]);

impl<'a> Conn<'a> {
    /// Whether this line is of the `conn` log.
    pub(super) fn has_state(&self) -> bool {
        *self.get(Field::ConnState) != Scalar::Absent
    }

    pub(super) fn flow(&self) -> Result<Flow, Reject> {
        let mut flow = self.times()?;
        flow.source.ip = Some(self.host(Field::OrigHost, "id.orig_h")?);
        flow.destination.ip = Some(self.host(Field::RespHost, "id.resp_h")?);
        flow.network = family(&flow.source, &flow.destination);
        flow.protocol = self.protocol(flow.network)?;
        let payload = self.fill_counters(&mut flow)?;
        self.fill_ports(&mut flow)?;
        icmp::drop_empty_answer(&mut flow);
        flow.vlan = self.get(Field::Vlan).detail("vlan")?;
        if let Some(word) = self.get(Field::ConnState).text("conn_state")? {
            let is_udp = flow.protocol == Some(Protocol::UDP);
            (flow.state, flow.outcome) = meaning(word, payload > 0, is_udp);
        }
        Ok(flow)
    }

    fn get(&self, field: Field) -> &Scalar<'a> {
        &self.0[field as usize]
    }

    fn times(&self) -> Result<Flow, Reject> {
        let start = self.get(Field::Ts).time("ts", Unit::Seconds)?;
        let duration = self.get(Field::Duration).duration("duration")?;
        let end = match start.zip(duration) {
            Some((start, nanos)) => Some(shifted(start, nanos, "duration")?),
            None => None,
        };
        let written = self.get(Field::Written).time("_write_ts", Unit::Seconds)?;
        flow_between(FlowOrigin::Zeek, start, end, written)
    }

    fn host(&self, field: Field, name: &str) -> Result<IpAddr, Reject> {
        self.get(field).address(name)?.ok_or_else(|| Reject::missing(name))
    }

    /// Zeek says `icmp` for both families, and gives others by number since version 7.1.
    fn protocol(&self, network: NetworkType) -> Result<Option<Protocol>, Reject> {
        let named = self.get(Field::Proto).text("proto")?.and_then(Protocol::parse);
        let protocol = match named {
            Some(protocol) => Some(protocol),
            None => self.get(Field::IpProto).detail("ip_proto")?.map(Protocol),
        };
        Ok(icmp::for_network(protocol, network))
    }

    /// Fills both directions; returns the payload of both in bytes.
    fn fill_counters(&self, flow: &mut Flow) -> Result<u64, Reject> {
        let sent = self.direction(
            [Field::OrigBytes, Field::OrigIpBytes, Field::OrigPackets],
            ["orig_bytes", "orig_ip_bytes", "orig_pkts"],
            &mut flow.defects,
        )?;
        let returned = self.direction(
            [Field::RespBytes, Field::RespIpBytes, Field::RespPackets],
            ["resp_bytes", "resp_ip_bytes", "resp_pkts"],
            &mut flow.defects,
        )?;
        flow.sent = sent.0;
        flow.returned = Some(returned.0);
        Ok(sent.1.saturating_add(returned.1))
    }

    /// Counters and payload of one direction. Bytes with headers are preferred, but some versions
    /// write 0 there beside a payload.
    fn direction(
        &self,
        fields: [Field; 3],
        names: [&str; 3],
        defects: &mut Defects,
    ) -> Result<(Counters, u64), Reject> {
        let payload = self.get(fields[0]).count(names[0], defects)?.unwrap_or(0);
        let with_headers = self.get(fields[1]).count(names[1], defects)?;
        let packets = self.get(fields[2]).count(names[2], defects)?.unwrap_or(0);
        let bytes = with_headers.filter(|&bytes| bytes > 0 || payload == 0).unwrap_or(payload);
        Ok((Counters { bytes, packets }, payload))
    }

    fn fill_ports(&self, flow: &mut Flow) -> Result<(), Reject> {
        let first = self.get(Field::OrigPort);
        let second = self.get(Field::RespPort);
        if flow.protocol.is_some_and(Protocol::is_icmp) {
            let kind = first.number("id.orig_p")?;
            let code = second.number("id.resp_p")?;
            flow.icmp =
                kind.zip(code).map(|(kind, code)| icmp::from_zeek(flow.network, kind, code));
            return Ok(());
        }
        flow.source.port = port_of(flow.protocol, first.number("id.orig_p")?);
        flow.destination.port = port_of(flow.protocol, second.number("id.resp_p")?);
        Ok(())
    }
}

/// Returns what a `conn_state` word means. `OTH` and `SHR` saw only the middle or the answer of a
/// contact, so nothing is known about its outcome; unknown words mean nothing.
pub(super) fn meaning(
    word: &str,
    has_payload: bool,
    is_udp: bool,
) -> (Option<ConnectionState>, Outcome) {
    use ConnectionState::{Closed, Closing, Established, New, Reset};
    let opened = if has_payload { Outcome::Exchanged } else { Outcome::Empty };
    let (state, outcome) = match word {
        "S0" => (New, Outcome::Unanswered),
        // UDP has no handshake: an answer, even without payload, is all there can be.
        "SF" if is_udp => (Closed, Outcome::Exchanged),
        "SF" => (Closed, opened),
        "S1" => (Established, opened),
        "S2" | "S3" => (Closing, opened),
        "REJ" => (Reset, Outcome::Refused),
        "RSTO" | "RSTR" => (Reset, opened),
        "RSTOS0" => (Reset, Outcome::Unanswered),
        "RSTRH" => (Reset, Outcome::Refused),
        "SH" => (Closing, Outcome::Unanswered),
        "SHR" => (Closing, Outcome::Unknown),
        _ => return (None, Outcome::Unknown),
    };
    (Some(state), outcome)
}

/// Whether `word` is one of Zeek's connection states.
pub(super) fn is_state(word: &str) -> bool {
    word == "OTH" || meaning(word, false, false).0.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_word_has_its_meaning() {
        use ConnectionState::{Closed, Closing, Established, New, Reset};
        use Outcome::{Empty, Exchanged, Refused, Unanswered, Unknown};
        for (word, state, without, with) in [
            ("S0", Some(New), Unanswered, Unanswered),
            ("SF", Some(Closed), Empty, Exchanged),
            ("S1", Some(Established), Empty, Exchanged),
            ("S2", Some(Closing), Empty, Exchanged),
            ("S3", Some(Closing), Empty, Exchanged),
            ("REJ", Some(Reset), Refused, Refused),
            ("RSTO", Some(Reset), Empty, Exchanged),
            ("RSTR", Some(Reset), Empty, Exchanged),
            ("RSTOS0", Some(Reset), Unanswered, Unanswered),
            ("RSTRH", Some(Reset), Refused, Refused),
            ("SH", Some(Closing), Unanswered, Unanswered),
            ("SHR", Some(Closing), Unknown, Unknown),
            ("OTH", None, Unknown, Unknown),
            ("XYZ", None, Unknown, Unknown),
        ] {
            assert_eq!(meaning(word, false, false), (state, without), "{word}");
            assert_eq!(meaning(word, true, false), (state, with), "{word}");
            assert_eq!(is_state(word), word != "XYZ", "{word}");
        }
        assert_eq!(meaning("SF", false, true).1, Exchanged);
    }
}
