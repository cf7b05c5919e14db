//! Bytes of one record → [`Flow`].
//!
//! A source cuts its bytes into records (lines or messages), [`detect`] names the [`Format`] from
//! the first bytes, and the format's [`Decoder`] turns every record into a flow, into nothing
//! (headers, comments, control records) or into a [`Reject`] that says why. Decoders are pure: no
//! I/O, no clock; no input makes them panic. Whether a time fits the receive time is judged later.
//!
//! A new format is one file and one adjacent pair of lines here: its module and its [`FORMATS`] row.
//!
//! ```
//! use flowsentry::formats;
//!
//! let line = b"2017-01-27 16:24:42,tcp,closed,10.2.1.39,60707,74.201.65.31,443,21687,8999";
//! let format = formats::detect(line).expect("nine columns are the table of system 001");
//! let flow = format.decoder().decode(line)?.expect("a data row");
//! assert_eq!(flow.destination.port, Some(443));
//! # Ok::<(), formats::Reject>(())
//! ```

mod argus;
mod calendar;
mod columns;
pub mod ecs;
mod fields;
mod flat;
mod goflow2;
mod goflow2_protobuf;
mod icmp;
mod json;
mod labels;
mod logstash_netflow;
mod marks;
mod message;
mod nfdump;
mod pick;
mod pmacct;
mod protobuf;
mod reject;
mod scalar;
mod sequence;
mod table;
mod transport;
mod tree;
mod zeek;
mod zeek_conn;
mod zeek_json;

use crate::model::{Defects, Endpoint, Flow, FlowOrigin, NetworkType, Protocol, Timestamp};

pub use goflow2_protobuf::{RecordLength, record_length};
pub use labels::{LabelReader, RowLabel};
pub use message::MessageDecoder;
pub use reject::{Reject, RejectReason};

/// The longest record that is decoded, in bytes: no exporter writes more than a few kilobytes, and
/// a missing line end must not fill the memory. Longer ones are rejected as `too_long`.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Everything that can be read. The first row that recognises a source wins.
pub static FORMATS: &[&dyn Format] = &[
    &goflow2_protobuf::Goflow2Protobuf,
    &goflow2::Goflow2,
    &zeek_json::ZeekJson,
    &pmacct::Pmacct,
    &nfdump::Nfdump,
    &logstash_netflow::LogstashNetflow,
    &ecs::Ecs,
    &zeek::Zeek,
    &argus::Argus,
    &table::Table,
];

/// A kind of flow record that can be read.
pub trait Format: Sync {
    /// The name in settings and on the command line.
    fn name(&self) -> &'static str;

    /// Whether `head` is of this format: the first bytes of a source, decompressed, maybe cut in
    /// the middle of a line.
    fn recognises(&self, head: &[u8]) -> bool;

    /// Returns a decoder for one source from its first record on.
    fn decoder(&self) -> Box<dyn Decoder>;

    /// How records follow each other in a file.
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    /// Whether a record is a JSON object. All such formats share a decoder that reads each record by
    /// what it holds.
    fn reads_json(&self) -> bool {
        false
    }

    /// Whether a record means nothing without the header line of its file.
    fn needs_header(&self) -> bool {
        false
    }
}

/// How records follow each other in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Each record ends with a line feed.
    Lines,
    /// The length of each record stands before it, as a protobuf number.
    Delimited,
}

/// Decodes the records of one source in order; keeps what a header line said.
pub trait Decoder: Send {
    /// Returns the flow of one record without its line end.
    ///
    /// `None` is no loss: a header, a comment, a blank line, a control record or a record of
    /// another log. A rejected record leaves the decoder as it was.
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject>;
}

/// Returns the format of a source from its first bytes; `None` when no format knows them.
pub fn detect(head: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.recognises(head))
}

/// Returns the format of a name in [`FORMATS`].
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// The first non-blank lines of a source, without line ends; the last one may be cut.
///
/// Sixty-four, because a Zeek header takes eight lines and a stream may begin with a few bad ones.
fn head_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    without_mark(head)
        .split(|&byte| byte == b'\n')
        .map(without_line_end)
        .filter(|line| !line.trim_ascii().is_empty())
        .take(64)
}

/// Checks the length of a record and takes off what is not part of it: the byte order mark that
/// some tools write at the start of a file, and a line end.
fn bounded(record: &[u8]) -> Result<&[u8], Reject> {
    check_length(record)?;
    Ok(without_line_end(without_mark(record)))
}

fn check_length(record: &[u8]) -> Result<(), Reject> {
    if record.len() > MAX_RECORD_BYTES {
        let detail = format!("{} bytes, at most {MAX_RECORD_BYTES} are read", record.len());
        return Err(Reject::new(RejectReason::TooLong, detail));
    }
    Ok(())
}

fn is_blank(record: &[u8]) -> bool {
    without_mark(record).trim_ascii().is_empty()
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns a flow with the times that a record gives. One missing end is the other; a record
/// without both happened when it was received; an end before the start is a defect.
fn flow_between(
    origin: FlowOrigin,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    received: Option<Timestamp>,
) -> Result<Flow, Reject> {
    let Some(from) = start.or(end).or(received) else {
        return Err(Reject::new(RejectReason::BadTime, "the record has no time"));
    };
    let to = end.unwrap_or(from);
    let mut flow = Flow::new(origin, from, to);
    flow.received = received;
    if to < from {
        flow.defects.insert(Defects::END_BEFORE_START);
    }
    Ok(flow)
}

/// Returns the moment `nanos` after `time`; beyond 2262 it is rejected.
fn shifted(time: Timestamp, nanos: i64, field: &str) -> Result<Timestamp, Reject> {
    match time.nanos().checked_add(nanos) {
        Some(nanos) => Ok(Timestamp::from_nanos(nanos)),
        None => Err(Reject::new(RejectReason::BadTime, format!("{field} ends after 2262"))),
    }
}

/// Returns the network type that the addresses of a flow show.
fn family(source: &Endpoint, destination: &Endpoint) -> NetworkType {
    match source.ip.or(destination.ip) {
        Some(ip) if ip.is_ipv4() => NetworkType::Ipv4,
        Some(_) => NetworkType::Ipv6,
        None => NetworkType::Other,
    }
}

/// Whether an SNMP index is one: exporters write 0 for none, and sFlow writes `0x3fffffff` for the
/// device itself and for unknown.
fn is_interface(index: u32) -> bool {
    index != 0 && index != 0x3fff_ffff
}

/// Returns `port` where `protocol` has ports; without a known protocol, 0 stands for none.
fn port_of(protocol: Option<Protocol>, port: Option<u16>) -> Option<u16> {
    match protocol {
        Some(protocol) => port.filter(|_| protocol.has_ports()),
        None => port.filter(|&port| port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name() {
        for format in FORMATS {
            let found = by_name(format.name()).expect("the table holds it");
            assert_eq!(found.name(), format.name());
        }
        assert!(by_name("carrier-pigeon").is_none());
    }

    #[test]
    fn unknown_bytes_are_of_no_format() {
        for head in
            [&b""[..], b"\n\n", b"hello\nworld\n", b"\x00\x01\xff\xfe", b"{\"a\":1}\n", b"["]
        {
            assert!(detect(head).is_none(), "{head:?}");
        }
    }

    #[test]
    fn every_decoder_refuses_a_record_without_end() {
        let record = vec![b'{'; MAX_RECORD_BYTES + 1];
        for format in FORMATS {
            let reject = format.decoder().decode(&record).expect_err("too long");
            assert_eq!(reject.reason, RejectReason::TooLong, "{}", format.name());
        }
    }

    #[test]
    fn every_decoder_passes_over_blank_lines() {
        for format in FORMATS {
            for line in [&b""[..], b"\r\n", b"  ", b"\xef\xbb\xbf"] {
                assert_eq!(format.decoder().decode(line), Ok(None), "{}", format.name());
            }
        }
    }

    #[test]
    fn an_end_before_the_start_is_kept_as_a_defect() {
        let time = Timestamp::from_seconds;
        let flow = flow_between(FlowOrigin::Ecs, Some(time(9)), Some(time(5)), None).unwrap();
        assert_eq!((flow.start, flow.end), (time(9), time(9)));
        assert!(flow.defects.contains(Defects::END_BEFORE_START));
    }
}
