//! The headerless nine-column table of system 001:
//! `ts,ip_protocol,state,src_ip,src_port,dst_ip,dst_port,src_tx,dst_tx`.
//!
//! It has no packets and no end: one packet stands for each direction that sent bytes.

use super::columns::Separator;
use super::reject::{Reject, RejectReason};
use super::scalar::{Scalar, Unit};
use super::{Decoder, Format, bounded, family, flow_between, head_lines, icmp, port_of};
use crate::model::{ConnectionState, Counters, Defects, Flow, FlowOrigin, Outcome, Protocol};

const COLUMNS: [&str; 9] =
    ["ts", "ip_protocol", "state", "src_ip", "src_port", "dst_ip", "dst_port", "src_tx", "dst_tx"];

/// The table of system 001.
pub(super) struct Table;

impl Format for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head_lines(head).any(|line| matches!(decode(line), Ok(Some(_))))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(TableDecoder)
    }
}

struct TableDecoder;

impl Decoder for TableDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject> {
        decode(bounded(record)?)
    }
}

/// Whether a line names the columns, as files that went through a spreadsheet do.
fn is_header(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"ts,ip_protocol,")
}

fn decode(line: &[u8]) -> Result<Option<Flow>, Reject> {
    if line.trim_ascii().is_empty() || is_header(line) {
        return Ok(None);
    }
    let [time, protocol, state, source, source_port, destination, destination_port, sent, returned] =
        cells(line)?;
    let time = time.time("ts", Unit::Seconds)?;
    let mut flow = flow_between(FlowOrigin::Table, time, None, None)?;
    flow.source.ip = Some(source.address("src_ip")?.ok_or_else(|| Reject::missing("src_ip"))?);
    let to = destination.address("dst_ip")?.ok_or_else(|| Reject::missing("dst_ip"))?;
    flow.destination.ip = Some(to);
    flow.network = family(&flow.source, &flow.destination);
    let named = protocol.text("ip_protocol")?.and_then(Protocol::parse);
    let named = named.ok_or_else(|| protocol.bad(RejectReason::BadProtocol, "ip_protocol"))?;
    flow.protocol = icmp::for_network(Some(named), flow.network);
    flow.source.port = port_of(flow.protocol, source_port.number("src_port")?);
    flow.destination.port = port_of(flow.protocol, destination_port.number("dst_port")?);
    let word = state.text("state")?.and_then(ConnectionState::parse);
    let word = word.ok_or_else(|| state.bad(RejectReason::BadState, "state"))?;
    let mut defects = Defects::default();
    let sent = sent.count("src_tx", &mut defects)?.ok_or_else(|| Reject::missing("src_tx"))?;
    let returned =
        returned.count("dst_tx", &mut defects)?.ok_or_else(|| Reject::missing("dst_tx"))?;
    flow.sent = Counters { bytes: sent, packets: 1 };
    flow.returned = Some(Counters { bytes: returned, packets: u64::from(returned > 0) });
    flow.defects.insert(defects);
    flow.state = Some(word);
    flow.outcome = outcome(word, returned);
    Ok(Some(flow))
}

fn cells(line: &[u8]) -> Result<[Scalar<'_>; 9], Reject> {
    let mut cells: [&[u8]; 9] = [&[]; 9];
    let mut count = 0;
    Separator::Comma.for_each_cell(line, |position, cell| {
        count = position + 1;
        if let Some(place) = cells.get_mut(position) {
            *place = cell;
        }
    });
    if count < cells.len() {
        let detail = format!("{count} columns, 9 are needed");
        return Err(Reject::new(RejectReason::WrongColumns, detail));
    }
    let mut values = [const { Scalar::Absent }; 9];
    for ((value, cell), name) in values.iter_mut().zip(cells).zip(COLUMNS) {
        *value = Scalar::cell(name, cell)?;
    }
    Ok(values)
}

fn outcome(state: ConnectionState, returned: u64) -> Outcome {
    use ConnectionState::{Closed, Closing, Connecting, Established, New, Reset};
    match state {
        New | Connecting if returned == 0 => Outcome::Unanswered,
        Reset if returned == 0 => Outcome::Refused,
        New | Connecting | Reset | Established | Closing | Closed => Outcome::Exchanged,
    }
}

#[cfg(test)]
mod tests {
    use super::super::detect;
    use super::*;

    const ROW: &str = "2017-01-27 16:24:42,tcp,closed,10.2.1.39,60707,74.201.65.31,443,21687,8999";

    fn decode(line: &str) -> Result<Option<Flow>, Reject> {
        Table.decoder().decode(line.as_bytes())
    }

    #[test]
    fn the_golden_rows_parse() {
        let flow = decode(ROW).unwrap().unwrap();
        assert_eq!(flow.start.to_string(), "2017-01-27T16:24:42.000Z");
        assert_eq!(flow.protocol, Some(Protocol::TCP));
        assert_eq!((flow.source.port, flow.destination.port), (Some(60707), Some(443)));
        assert_eq!(flow.sent, Counters { bytes: 21687, packets: 1 });
        assert_eq!(flow.returned, Some(Counters { bytes: 8999, packets: 1 }));
        assert_eq!(flow.state, Some(ConnectionState::Closed));
        assert_eq!(flow.outcome, Outcome::Exchanged);
        let udp = "2017-01-27 16:24:44,udp,established,179.126.22.176,59671,192.168.100.254,1194,136079,229111";
        assert_eq!(decode(udp).unwrap().unwrap().protocol, Some(Protocol::UDP));
    }

    #[test]
    fn the_outcome_follows_from_state_and_answer() {
        for (state, returned, outcome) in [
            ("new", 0, Outcome::Unanswered),
            ("connecting", 0, Outcome::Unanswered),
            ("connecting", 60, Outcome::Exchanged),
            ("Reset", 0, Outcome::Refused),
            ("reset", 90, Outcome::Exchanged),
            ("closed", 0, Outcome::Exchanged),
        ] {
            let row = ROW.replace("closed", state).replace("8999", &returned.to_string());
            assert_eq!(decode(&row).unwrap().unwrap().outcome, outcome, "{state} {returned}");
        }
    }

    #[test]
    fn ipv6_and_a_header_line_are_accepted() {
        let row = ROW.replace("10.2.1.39", "2001:db8::1").replace("74.201.65.31", "2001:db8::2");
        let flow = decode(&row).unwrap().unwrap();
        assert_eq!(flow.source.ip, "2001:db8::1".parse().ok());
        assert_eq!(decode(&COLUMNS.join(",")), Ok(None));
        let file = format!("{}\n{ROW}\n", COLUMNS.join(","));
        assert_eq!(detect(file.as_bytes()).map(Format::name), Some("table"));
    }

    #[test]
    fn bad_rows_say_why() {
        for (row, reason) in [
            ("2017-01-27 16:24:42,tcp,closed,10.2.1.39", RejectReason::WrongColumns),
            (&ROW.replace("closed", "open"), RejectReason::BadState),
            (&ROW.replace("tcp", "xyz"), RejectReason::BadProtocol),
            (&ROW.replace("10.2.1.39", "10.2.1"), RejectReason::BadAddress),
            (&ROW.replace("10.2.1.39", ""), RejectReason::MissingField),
            (&ROW.replace("60707", "70000"), RejectReason::BadNumber),
            (&ROW.replace("01-27", "13-27"), RejectReason::BadTime),
            (&ROW.replace("8999", ""), RejectReason::MissingField),
        ] {
            assert_eq!(decode(row).expect_err(row).reason, reason, "{row}");
        }
        let flow = decode(&ROW.replace("8999", "-1")).unwrap().unwrap();
        assert!(flow.defects.contains(Defects::COUNTER_CLAMPED));
    }

    #[test]
    fn other_tables_are_not_recognised() {
        for head in ["a,b,c,d,e,f,g,h,i\n", "1,2,3\n", "2017-01-27 16:24:42,x,y,z,1,2,3,4,5\n"] {
            assert!(!Table.recognises(head.as_bytes()), "{head}");
        }
    }
}
