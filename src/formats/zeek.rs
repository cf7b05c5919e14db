//! Zeek `conn` logs as text: TSV with a `#fields` line, or any table under a bare header line of
//! the same names (tabs, commas or blanks between them). Further columns, such as the labels of
//! published captures, are never read.

use super::columns::{Columns, Separator};
use super::reject::{Reject, RejectReason};
use super::scalar::Scalar;
use super::zeek_conn::{COLUMNS, Conn, NEEDED};
use super::{Decoder, Format, bounded, head_lines};
use crate::model::Flow;

/// Zeek `conn` log, text.
pub(super) struct Zeek;

impl Format for Zeek {
    fn name(&self) -> &'static str {
        "zeek"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let header = head_lines(head)
            .find(|line| line.starts_with(b"#fields") || !line.starts_with(b"#"))
            .and_then(Header::read);
        matches!(header, Some(Header::Conn(_)))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ZeekDecoder { header: None })
    }

    fn needs_header(&self) -> bool {
        true
    }
}

/// What the header line of a log said.
enum Header {
    Conn(Columns<{ COLUMNS.len() }>),
    /// `dns.log`, `ssl.log` …: nothing in it is a flow.
    OtherLog,
}

impl Header {
    /// Returns what a header line says, `None` for a line that is no header.
    fn read(line: &[u8]) -> Option<Self> {
        let (separator, names) = match line.strip_prefix(b"#fields") {
            Some(names) => (Separator::of_header(names), names.trim_ascii_start()),
            None => (Separator::of_header(line), line),
        };
        let columns = Columns::find(names, separator, &COLUMNS);
        let is_header = columns.has(NEEDED[0]) || line.starts_with(b"#fields");
        let is_conn = NEEDED.iter().all(|&column| columns.has(column));
        is_header.then_some(if is_conn { Self::Conn(columns) } else { Self::OtherLog })
    }
}

struct ZeekDecoder {
    header: Option<Header>,
}

impl Decoder for ZeekDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject> {
        let line = bounded(record)?;
        if line.starts_with(b"#") || line.trim_ascii().is_empty() {
            if line.starts_with(b"#fields") {
                self.header = Header::read(line);
            }
            return Ok(None);
        }
        // Joined files repeat their header line. Only one that starts with a name can be it, and
        // the search for one name is cheaper than reading the line as a header.
        if !line[0].is_ascii_digit()
            && memchr::memmem::find(line, b"id.orig_h").is_some()
            && let Some(header) = Header::read(line)
        {
            self.header = Some(header);
            return Ok(None);
        }
        match &self.header {
            Some(Header::Conn(columns)) => conn(columns.cells(line)?)?.flow().map(Some),
            Some(Header::OtherLog) => Ok(None),
            None => Err(Reject::new(RejectReason::NoHeader, "a row before the #fields line")),
        }
    }
}

fn conn<'a>(cells: [&'a [u8]; COLUMNS.len()]) -> Result<Conn<'a>, Reject> {
    let mut values = [const { Scalar::Absent }; COLUMNS.len()];
    for ((value, cell), name) in values.iter_mut().zip(cells).zip(COLUMNS) {
        if cell != b"-" && cell != b"(empty)" {
            *value = Scalar::cell(name, cell)?;
        }
    }
    Ok(Conn(values))
}

#[cfg(test)]
mod tests {
    use super::super::{RejectReason, detect};
    use super::*;
    use crate::model::{
        ConnectionState, Counters, Defects, IcmpMessage, NetworkType, Outcome, Protocol, Role,
        Timestamp,
    };

    const NAMES: &str = "ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents";
    const ROW: &str = "1700000000.943239\tC1\t192.0.2.1\t25320\t198.51.100.7\t6008\ttcp\t-\t1.500064\t120\t0\tSF\tF\tT\t0\tSr\t4\t328\t3\t172\t(empty)";

    /// Decodes the last of some lines; the others must be headers.
    fn decode(lines: &str) -> Result<Option<Flow>, Reject> {
        let mut decoder = Zeek.decoder();
        let (before, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
        for line in before.lines() {
            assert_eq!(decoder.decode(line.as_bytes()), Ok(None), "{line}");
        }
        decoder.decode(last.as_bytes())
    }

    fn flow(row: &str) -> Flow {
        decode(&format!("#fields\t{NAMES}\n{row}")).unwrap().unwrap()
    }

    /// A row of a protocol, its two ports, state and packets back.
    fn row(proto: &str, ports: [&str; 2], state: &str, back: [&str; 2]) -> String {
        format!(
            "1700000000.5\tC1\t192.0.2.1\t{}\t198.51.100.7\t{}\t{proto}\t-\t-\t-\t-\t{state}\tF\tT\t0\tS\t1\t60\t{}\t{}\t-",
            ports[0], ports[1], back[0], back[1]
        )
    }

    #[test]
    fn a_line_gives_both_directions_with_headers_counted() {
        let flow = flow(ROW);
        assert_eq!(flow.start, Timestamp::from_nanos(1_700_000_000_943_239_000));
        assert_eq!(flow.end, flow.start.plus_nanos(1_500_064_000));
        assert_eq!(flow.source.ip, "192.0.2.1".parse().ok());
        assert_eq!((flow.source.port, flow.destination.port), (Some(25320), Some(6008)));
        assert_eq!(flow.sent, Counters { bytes: 328, packets: 4 });
        assert_eq!(flow.returned, Some(Counters { bytes: 172, packets: 3 }));
        assert_eq!(flow.state, Some(ConnectionState::Closed));
        assert_eq!(flow.outcome, Outcome::Exchanged);
        assert_eq!(flow.network, NetworkType::Ipv4);
    }

    #[test]
    fn all_header_variants_give_the_same_flow() {
        let expected = Ok(Some(flow(ROW)));
        let node = format!("_node_name\t{NAMES}\nworker-eth0-1\t{ROW}");
        let labelled = format!("#fields\t{NAMES}\tlabel\tdetailedlabel\n{ROW}\tBenign\t(empty)");
        let spaced = format!("#fields\t{NAMES}   label   detailed-label\n{ROW}   Malicious   C&C");
        let comma = format!("{},label\n{},Benign", NAMES, ROW.replace("\t-\t", "\t\t"));
        let quoted = format!("{},label\n{},\"C, C\"", NAMES, ROW).replace('\t', ",");
        let blanks = format!("{NAMES}   label\n{ROW}   Benign").replace('\t', "   ");
        for lines in [node, labelled, spaced, comma.replace('\t', ","), quoted, blanks] {
            assert_eq!(decode(&lines), expected, "{lines}");
            assert_eq!(detect(lines.as_bytes()).map(Format::name), Some("zeek"), "{lines}");
        }
    }

    #[test]
    fn a_full_header_is_recognised_and_repeated_headers_are_passed_over() {
        let header = format!(
            "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2024-01-01-00-00-00\n#fields\t{NAMES}\n#types\ttime\tstring\n"
        );
        assert!(Zeek.recognises(header.as_bytes()));
        let joined = format!("{header}#close\t2024-01-01-01-00-00\n{NAMES}\n{ROW}");
        assert_eq!(decode(&joined), Ok(Some(flow(ROW))));
    }

    #[test]
    fn other_logs_are_unknown_at_the_start_and_passed_over_in_a_stream() {
        for header in [
            "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery",
            "_node_name\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tmethod\thost",
        ] {
            assert!(detect(header.as_bytes()).is_none());
            let row = "1700000000.5\tC1\t192.0.2.1\t1\t192.0.2.2\t53\tudp\texample.org";
            assert_eq!(decode(&format!("{header}\n{row}")), Ok(None));
        }
    }

    #[test]
    fn payload_counts_where_bytes_with_headers_are_missing_or_zero() {
        assert_eq!(flow(&ROW.replace("\t328\t", "\t-\t")).sent.bytes, 120);
        assert_eq!(flow(&ROW.replace("\t328\t", "\t0\t")).sent.bytes, 120);
        assert_eq!(flow(&ROW.replace("\t172\t", "\t0\t")).returned.map(|back| back.bytes), Some(0));
    }

    #[test]
    fn a_lone_syn_is_unanswered_and_an_answer_alone_is_no_probe() {
        let syn = flow(&row("tcp", ["40000", "22"], "S0", ["0", "0"]));
        assert_eq!(syn.outcome, Outcome::Unanswered);
        assert!(syn.is_probe());
        let answer = flow(&row("tcp", ["40000", "22"], "SHR", ["1", "60"]));
        assert_eq!(answer.outcome, Outcome::Unknown);
        assert!(!answer.is_probe());
    }

    #[test]
    fn icmp_has_type_and_code_and_only_questions_have_a_way_back() {
        let echo = flow(&row("icmp", ["8", "0"], "OTH", ["0", "0"]));
        assert_eq!(echo.icmp, Some(IcmpMessage { kind: 8, code: 0 }));
        assert_eq!((echo.source.port, echo.destination.port), (None, None));
        assert_eq!(echo.role(), Role::Initiator);
        let unreachable = flow(&row("icmp", ["3", "1"], "OTH", ["0", "0"]));
        assert_eq!(unreachable.icmp, Some(IcmpMessage { kind: 3, code: 1 }));
        assert_eq!((unreachable.returned, unreachable.role()), (None, Role::Responder));
        assert!(!unreachable.is_probe());
    }

    #[test]
    fn icmp_between_ipv6_addresses_is_icmp_for_ipv6() {
        let row = row("icmp", ["135", "136"], "OTH", ["1", "72"]);
        let flow = flow(&row.replace("192.0.2.1", "fe80::1").replace("198.51.100.7", "fe80::2"));
        assert_eq!(flow.protocol, Some(Protocol::ICMPV6));
        assert_eq!(flow.icmp, Some(IcmpMessage { kind: 135, code: 0 }));
    }

    #[test]
    fn a_negative_duration_is_a_defect() {
        let flow = flow(&ROW.replace("\t1.500064\t", "\t-1.5\t"));
        assert_eq!(flow.end, flow.start);
        assert!(flow.defects.contains(Defects::END_BEFORE_START));
    }

    #[test]
    fn bad_rows_say_why() {
        for (row, reason) in [
            ("1700000000.5\tC1\t192.0.2.1", RejectReason::WrongColumns),
            (&ROW.replace("192.0.2.1", "192.0.2"), RejectReason::BadAddress),
            (&ROW.replace("192.0.2.1", "-"), RejectReason::MissingField),
            (&ROW.replace("25320", "99999"), RejectReason::BadNumber),
            (&ROW.replace("\t120\t", "\tmany\t"), RejectReason::BadNumber),
            (&ROW.replace("1700000000.943239", "1e300"), RejectReason::BadTime),
            (&ROW.replace("1700000000.943239", "-"), RejectReason::BadTime),
        ] {
            let reject = decode(&format!("#fields\t{NAMES}\n{row}")).expect_err(row);
            assert_eq!(reject.reason, reason, "{row}");
        }
        assert_eq!(decode(ROW).expect_err("no header").reason, RejectReason::NoHeader);
    }

    #[test]
    fn broken_text_is_rejected_in_states_and_tolerated_in_labels() {
        let mut decoder = Zeek.decoder();
        let header = format!("#fields\t{NAMES}\tlabel");
        assert_eq!(decoder.decode(header.as_bytes()), Ok(None));
        let label = [ROW.as_bytes(), b"\t\xff"].concat();
        assert_eq!(decoder.decode(&label), Ok(Some(flow(ROW))));
        let at = ROW.find("\tSF\t").unwrap() + 1;
        let mut state = [ROW.as_bytes(), b"\tBenign"].concat();
        state[at] = 0xff;
        assert_eq!(decoder.decode(&state).unwrap_err().reason, RejectReason::NotUtf8);
    }
}
