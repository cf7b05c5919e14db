//! Argus `binetflow` text (`ra` with a header line), comma or tab separated.
//!
//! Times are UTC; `Tot…` columns count both directions, `Src…` the one of the source.

use std::net::IpAddr;

use super::columns::{Columns, Separator};
use super::reject::{Reject, RejectReason};
use super::scalar::{Scalar, Unit};
use super::{
    Decoder, Format, bounded, family, flow_between, head_lines, icmp, port_of, shifted, zeek_conn,
};
use crate::model::{
    ConnectionState, Counters, Defects, Flow, FlowOrigin, IcmpMessage, NetworkType, Outcome,
    Protocol,
};

/// Argus binetflow.
pub(super) struct Argus;

impl Format for Argus {
    fn name(&self) -> &'static str {
        "argus"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head_lines(head).next().and_then(header).is_some()
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ArgusDecoder { columns: None })
    }

    fn needs_header(&self) -> bool {
        true
    }
}

const COLUMNS: [&str; 13] = [
    "StartTime",
    "Dur",
    "Proto",
    "SrcAddr",
    "Sport",
    "Dir",
    "DstAddr",
    "Dport",
    "State",
    "TotPkts",
    "TotBytes",
    "SrcBytes",
    "SrcPkts",
];

#[derive(Clone, Copy)]
enum Field {
    StartTime,
    Dur,
    Proto,
    SrcAddr,
    Sport,
    Dir,
    DstAddr,
    Dport,
    State,
    TotPkts,
    TotBytes,
    SrcBytes,
    SrcPkts,
}

/// Returns the columns of a header line, `None` for a line that is none.
fn header(line: &[u8]) -> Option<Columns<{ COLUMNS.len() }>> {
    let columns = Columns::find(line, Separator::of_header(line), &COLUMNS);
    let needed = [Field::StartTime, Field::Proto, Field::SrcAddr, Field::DstAddr, Field::TotBytes];
    needed.into_iter().all(|field| columns.has(field as usize)).then_some(columns)
}

struct ArgusDecoder {
    columns: Option<Columns<{ COLUMNS.len() }>>,
}

impl Decoder for ArgusDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject> {
        let line = bounded(record)?;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        if !line[0].is_ascii_digit()
            && let Some(columns) = header(line)
        {
            self.columns = Some(columns);
            return Ok(None);
        }
        let Some(columns) = &self.columns else {
            return Err(Reject::new(RejectReason::NoHeader, "a row before the StartTime line"));
        };
        let mut values = [const { Scalar::Absent }; COLUMNS.len()];
        for ((value, cell), name) in values.iter_mut().zip(columns.cells(line)?).zip(COLUMNS) {
            *value = Scalar::cell(name, cell)?;
        }
        Row(values).flow()
    }
}

struct Row<'a>([Scalar<'a>; COLUMNS.len()]);

impl<'a> Row<'a> {
    fn get(&self, field: Field) -> &Scalar<'a> {
        &self.0[field as usize]
    }

    fn text(&self, field: Field) -> Result<&str, Reject> {
        Ok(self.get(field).text(COLUMNS[field as usize])?.unwrap_or(""))
    }

    /// `man` rows are Argus reporting about itself.
    fn flow(&self) -> Result<Option<Flow>, Reject> {
        let name = self.text(Field::Proto)?;
        if name == "man" {
            return Ok(None);
        }
        let mut flow = self.times()?;
        flow.source.ip = self.host(Field::SrcAddr)?;
        flow.destination.ip = self.host(Field::DstAddr)?;
        flow.network = match name {
            "arp" | "rarp" => NetworkType::Arp,
            _ => family(&flow.source, &flow.destination),
        };
        if matches!(flow.network, NetworkType::Ipv4 | NetworkType::Ipv6) {
            flow.protocol = icmp::for_network(Protocol::parse(name), flow.network);
            self.fill_ports(&mut flow)?;
        }
        self.fill_counters(&mut flow)?;
        let leftward = self.text(Field::Dir)? == "<-";
        if leftward {
            swap_ends(&mut flow);
        }
        (flow.state, flow.outcome) = meaning(self.text(Field::State)?, leftward, &flow);
        icmp::drop_empty_answer(&mut flow);
        Ok(Some(flow))
    }

    fn times(&self) -> Result<Flow, Reject> {
        let start = self.get(Field::StartTime).time("StartTime", Unit::Seconds)?;
        let duration = self.get(Field::Dur).duration("Dur")?;
        let end = match start.zip(duration) {
            Some((start, nanos)) => Some(shifted(start, nanos, "Dur")?),
            None => None,
        };
        flow_between(FlowOrigin::Argus, start, end, None)
    }

    /// Link-layer rows have MAC addresses, which no flow needs.
    fn host(&self, field: Field) -> Result<Option<IpAddr>, Reject> {
        let text = self.text(field)?;
        if is_mac(text) { Ok(None) } else { self.get(field).address(COLUMNS[field as usize]) }
    }

    /// In ICMP rows the source port holds code · 256 + type, in decimal or hexadecimal, and the
    /// destination port an identifier.
    fn fill_ports(&self, flow: &mut Flow) -> Result<(), Reject> {
        let source = self.get(Field::Sport).number::<u16>("Sport")?;
        if flow.protocol.is_some_and(Protocol::is_icmp) {
            flow.icmp =
                source.map(|port| IcmpMessage { kind: port as u8, code: (port >> 8) as u8 });
            return Ok(());
        }
        flow.source.port = port_of(flow.protocol, source);
        flow.destination.port = port_of(flow.protocol, self.get(Field::Dport).number("Dport")?);
        Ok(())
    }

    fn fill_counters(&self, flow: &mut Flow) -> Result<(), Reject> {
        let mut defects = Defects::default();
        let mut count = |field: Field| self.get(field).count(COLUMNS[field as usize], &mut defects);
        let bytes = count(Field::TotBytes)?.unwrap_or(0);
        let packets = count(Field::TotPkts)?.unwrap_or(0);
        let sent_bytes = count(Field::SrcBytes)?.unwrap_or(bytes);
        let sent_packets = match count(Field::SrcPkts)? {
            Some(packets) => packets,
            None => share_of_packets(packets, sent_bytes, bytes),
        };
        if sent_bytes > bytes || sent_packets > packets {
            defects.insert(Defects::COUNTER_CLAMPED);
        }
        flow.sent = Counters { bytes: sent_bytes, packets: sent_packets };
        flow.returned = Some(Counters {
            bytes: bytes.saturating_sub(sent_bytes),
            packets: packets.saturating_sub(sent_packets),
        });
        flow.defects.insert(defects);
        Ok(())
    }
}

/// Splits packets like bytes: older files have no `SrcPkts`. Each direction with bytes has at
/// least one packet.
fn share_of_packets(packets: u64, sent_bytes: u64, bytes: u64) -> u64 {
    if sent_bytes >= bytes || packets == 0 {
        return packets;
    }
    let share = (packets as f64 * (sent_bytes as f64 / bytes as f64)).round() as u64;
    share.clamp(u64::from(sent_bytes > 0), packets - 1)
}

fn swap_ends(flow: &mut Flow) {
    std::mem::swap(&mut flow.source, &mut flow.destination);
    if let Some(returned) = &mut flow.returned {
        std::mem::swap(&mut flow.sent, returned);
    }
}

fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_hexdigit() })
}

/// Returns what a `State` word means for a flow: flags of both directions (`SPA_SRPA`), a word of
/// Argus (`CON`, `INT` …), or a word of Zeek in files that were converted.
fn meaning(word: &str, leftward: bool, flow: &Flow) -> (Option<ConnectionState>, Outcome) {
    let answered = flow.returned.is_some_and(|returned| returned.packets > 0);
    if zeek_conn::is_state(word) {
        let is_udp = flow.protocol == Some(Protocol::UDP);
        return zeek_conn::meaning(word, has_payload(flow), is_udp);
    }
    if let Some((left, right)) = word.split_once('_') {
        let (sent, returned) = if leftward { (right, left) } else { (left, right) };
        return (Some(flags_state(sent, returned)), flags_outcome(sent, returned, flow));
    }
    let state = match word {
        "INT" | "REQ" => Some(ConnectionState::New),
        "ACC" => Some(ConnectionState::Connecting),
        "CON" | "EST" => Some(ConnectionState::Established),
        "FIN" => Some(ConnectionState::Closing),
        "CLO" | "TIM" => Some(ConnectionState::Closed),
        "RST" => Some(ConnectionState::Reset),
        _ => None,
    };
    let asks = flow.icmp.is_none_or(|message| message.asks(flow.network));
    let outcome = match word {
        // Errors and answers say nothing about a contact of their sender.
        _ if !asks => Outcome::Unknown,
        _ if !answered && (state == Some(ConnectionState::New) || flow.icmp.is_some()) => {
            Outcome::Unanswered
        }
        "RST" if !has_payload(flow) => Outcome::Refused,
        _ if flow.protocol == Some(Protocol::TCP) && !has_payload(flow) => Outcome::Empty,
        _ if answered => Outcome::Exchanged,
        _ => Outcome::Unknown,
    };
    (state, outcome)
}

fn flags_state(sent: &str, returned: &str) -> ConnectionState {
    let either = |flag| sent.contains(flag) || returned.contains(flag);
    if returned.is_empty() && !either('R') && !either('F') && !either('A') {
        ConnectionState::New
    } else if sent.contains('F') && returned.contains('F') {
        // A reset after both ends closed is the habit of some stacks, not an abort.
        ConnectionState::Closed
    } else if either('R') {
        ConnectionState::Reset
    } else if either('F') {
        ConnectionState::Closing
    } else if !sent.contains('A') {
        ConnectionState::Connecting
    } else {
        ConnectionState::Established
    }
}

fn flags_outcome(sent: &str, returned: &str, flow: &Flow) -> Outcome {
    let opened = returned.contains('S') || !sent.contains('S');
    if returned.is_empty() && sent.contains('A') {
        // It acknowledges answers that were not captured.
        Outcome::Unknown
    } else if returned.is_empty() {
        Outcome::Unanswered
    } else if returned.contains('R') && !opened && !sent.contains('P') {
        Outcome::Refused
    } else if sent.contains('P') || returned.contains('P') || has_payload(flow) {
        Outcome::Exchanged
    } else {
        Outcome::Empty
    }
}

/// Whether the packets are larger than headers alone: Ethernet, IPv6 and TCP with the options of a
/// SYN take at most 94 bytes.
fn has_payload(flow: &Flow) -> bool {
    const HEADERS: u64 = 94;
    let returned = flow.returned.unwrap_or_default();
    let larger = |counters: Counters| counters.bytes > counters.packets.saturating_mul(HEADERS);
    larger(flow.sent) || larger(returned)
}

#[cfg(test)]
mod tests {
    use super::super::detect;
    use super::*;
    use crate::model::Timestamp;

    const HEADER: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label";
    const ROW: &str = "2019/04/04 16:23:00.325010,0.027947,udp,192.0.2.9,48427,  <->,198.51.100.8,53,CON,0,0,2,142,63,1,";

    fn decode_with(header: &str, row: &str) -> Result<Option<Flow>, Reject> {
        let mut decoder = Argus.decoder();
        assert_eq!(decoder.decode(header.as_bytes()), Ok(None));
        decoder.decode(row.as_bytes())
    }

    fn flow(row: &str) -> Flow {
        decode_with(HEADER, row).unwrap().unwrap()
    }

    /// A TCP row of a state, with total and source packets of 60 bytes each.
    fn tcp(state: &str, packets: u64, sent: u64) -> Flow {
        flow(&format!(
            "2019/04/04 16:23:00.0,1.5,tcp,192.0.2.9,48427,   ->,198.51.100.8,443,{state},0,0,{packets},{},{},{sent},",
            packets * 60,
            sent * 60
        ))
    }

    #[test]
    fn a_row_gives_both_directions() {
        let flow = flow(ROW);
        let start: Timestamp = "2019-04-04T16:23:00.325010Z".parse().unwrap();
        assert_eq!((flow.start, flow.end), (start, start.plus_nanos(27_947_000)));
        assert_eq!((flow.source.port, flow.destination.port), (Some(48427), Some(53)));
        assert_eq!(flow.sent, Counters { bytes: 63, packets: 1 });
        assert_eq!(flow.returned, Some(Counters { bytes: 79, packets: 1 }));
        assert_eq!(flow.outcome, Outcome::Exchanged);
        assert_eq!(flow.state, Some(ConnectionState::Established));
        assert_eq!(flow.origin, FlowOrigin::Argus);
    }

    #[test]
    fn the_tab_variant_is_the_same() {
        let lines = [HEADER, ROW].map(|line| line.replace(',', "\t"));
        assert_eq!(decode_with(&lines[0], &lines[1]), Ok(Some(flow(ROW))));
        assert_eq!(detect(lines[0].as_bytes()).map(Format::name), Some("argus"));
        assert_eq!(detect(HEADER.as_bytes()).map(Format::name), Some("argus"));
    }

    #[test]
    fn a_leftward_arrow_swaps_the_ends() {
        let swapped = flow(&ROW.replace("  <->", "  <-"));
        assert_eq!(swapped.source.port, Some(53));
        assert_eq!(swapped.sent, Counters { bytes: 79, packets: 1 });
        assert_eq!(swapped.returned, Some(Counters { bytes: 63, packets: 1 }));
        assert_eq!(flow(&ROW.replace("  <->", "  <?>")), flow(ROW));
        let refused = flow(
            "2019/04/04 16:23:00.0,0.1,tcp,192.0.2.9,445,  <-,198.51.100.8,50000,RA_S,0,0,2,120,60,1,",
        );
        assert_eq!((refused.outcome, refused.destination.port), (Outcome::Refused, Some(445)));
    }

    #[test]
    fn states_have_their_meaning() {
        use ConnectionState::{Closed, Closing, Connecting, Established, New, Reset};
        use Outcome::{Empty, Exchanged, Refused, Unanswered};
        for (word, packets, sent, state, outcome) in [
            ("S_", 1, 1, New, Unanswered),
            ("S0", 31, 15, New, Unanswered),
            ("S_RA", 2, 1, Reset, Refused),
            ("S_R", 2, 1, Reset, Refused),
            ("SR_SA", 3, 2, Reset, Empty),
            ("S_SA", 2, 1, Connecting, Empty),
            ("SPA_SPA", 9, 5, Established, Exchanged),
            ("SPA_SRPA", 9, 5, Reset, Exchanged),
            ("FSPA_FSPA", 9, 5, Closed, Exchanged),
            ("FSA_FSA", 7, 4, Closed, Empty),
            ("FSPA_SPA", 9, 5, Closing, Exchanged),
            ("PA_RA", 2, 1, Reset, Exchanged),
            ("REQ", 1, 1, New, Unanswered),
            ("RST", 2, 1, Reset, Refused),
        ] {
            let flow = tcp(word, packets, sent);
            assert_eq!((flow.state, flow.outcome), (Some(state), outcome), "{word}");
        }
        assert_eq!(tcp("SRPA_", 5, 5).outcome, Outcome::Unknown);
        assert!(tcp("S_RA", 2, 1).is_probe() && !tcp("FSPA_FSPA", 9, 5).is_probe());
    }

    #[test]
    fn an_icmp_port_holds_code_and_type() {
        let icmp = |port: &str, state: &str, packets: u64| {
            flow(&format!(
                "2019/04/04 16:23:07.96,0.0,icmp,192.0.2.9,{port},   ->,198.51.100.1,0x7208,{state},0,,{packets},{},72,1,",
                packets * 72
            ))
        };
        let echo = icmp("0x0008", "ECO", 1);
        assert_eq!(echo.icmp, Some(IcmpMessage { kind: 8, code: 0 }));
        assert_eq!((echo.source.port, echo.destination.port), (None, None));
        assert_eq!(echo.outcome, Outcome::Unanswered);
        assert_eq!(icmp("0x0008", "ECO", 2).outcome, Outcome::Exchanged);
        let unreachable = icmp("0x0403", "URF", 1);
        assert_eq!(unreachable.icmp, Some(IcmpMessage { kind: 3, code: 4 }));
        assert_eq!((unreachable.returned, unreachable.outcome), (None, Outcome::Unknown));
        assert!(!unreachable.is_probe());
    }

    #[test]
    fn management_rows_are_passed_over_and_link_rows_kept_without_addresses() {
        let man = "2018/05/10 10:52:47.283479,0.045010,man,0,0,,0,0,STA,,,0,0,0,0,";
        assert_eq!(decode_with(HEADER, man), Ok(None));
        let llc = flow(
            "1970/01/01 01:00:00.0,0.0,llc,00:00:00:00:00:00,0,   ->,00:00:00:00:00:00,0,INT,,,1,60,60,1,",
        );
        assert_eq!((llc.source.ip, llc.network, llc.protocol), (None, NetworkType::Other, None));
        let arp = flow(
            "1970/01/01 01:00:08.1,3554.2,arp,192.0.2.15,,  who,192.0.2.2,,CON,,,22,924,462,11,",
        );
        assert_eq!((arp.network, arp.protocol), (NetworkType::Arp, None));
        assert_eq!(arp.destination.ip, "192.0.2.2".parse().ok());
    }

    #[test]
    fn packets_are_shared_like_bytes_where_the_file_does_not_say() {
        let header = HEADER.replace(",SrcPkts", "");
        let row =
            "2011/08/10 09:46:53.0,1.0,tcp,192.0.2.9,1,->,192.0.2.8,2,FSPA_FSPA,0,0,10,1000,300,";
        let flow = decode_with(&header, row).unwrap().unwrap();
        assert_eq!((flow.sent.packets, flow.returned.map(|back| back.packets)), (3, Some(7)));
        assert_eq!(share_of_packets(2, 1, 1_000_000), 1);
        assert_eq!(share_of_packets(5, 700, 700), 5);
        assert_eq!(share_of_packets(u64::MAX, 1, 0), u64::MAX);
    }

    #[test]
    fn more_sent_than_in_total_is_a_defect() {
        let flow = flow(&ROW.replace(",142,63,", ",142,263,"));
        assert_eq!(flow.returned, Some(Counters { bytes: 0, packets: 1 }));
        assert!(flow.defects.contains(Defects::COUNTER_CLAMPED));
    }

    #[test]
    fn bad_rows_say_why() {
        for (row, reason) in [
            ("2019/04/04 16:23:00.3,0.02,udp", RejectReason::WrongColumns),
            (&ROW.replace("192.0.2.9", "host"), RejectReason::BadAddress),
            (&ROW.replace("2019/04/04", "2019/14/04"), RejectReason::BadTime),
            (&ROW.replace("2019/04/04 16:23:00.325010", ""), RejectReason::BadTime),
            (&ROW.replace("48427", "0x123456"), RejectReason::BadNumber),
            (&ROW.replace(",142,", ",x,"), RejectReason::BadNumber),
            (&ROW.replace("0.027947", "9000000000"), RejectReason::BadTime),
        ] {
            assert_eq!(decode_with(HEADER, row).expect_err(row).reason, reason, "{row}");
        }
        let reject = Argus.decoder().decode(ROW.as_bytes()).expect_err("no header");
        assert_eq!(reject.reason, RejectReason::NoHeader);
    }
}
