//! goflow2 protobuf (`-format bin`): the message `flowpb.FlowMessage` of goflow2 1 and 2.
//!
//! The same record in JSON and in protobuf gives the same flow. A field that is 0 or empty is not
//! written in protobuf, so that every field begins as what JSON writes for it then. Protocols are
//! numbers here; JSON loses those that it calls `unassigned`, `experimental` or `reserved`.
//!
//! A record is one message, with its length before it or without: goflow2 writes the length,
//! transports and tools between may take it off. Which it is follows from the bytes alone.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::goflow2::{FIELDS, Field, Record};
use super::protobuf::{Broken, Fields, Value, Varint, varint};
use super::reject::{Reject, RejectReason};
use super::scalar::Scalar;
use super::{Decoder, Format, Framing, check_length, is_blank};
use crate::model::Flow;

/// goflow2 protobuf.
pub(super) struct Goflow2Protobuf;

impl Format for Goflow2Protobuf {
    fn name(&self) -> &'static str {
        "goflow2_protobuf"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let head = without_separators(head);
        let begins = begins_like_flow(head)
            || announced(head).is_some_and(|(_, message)| begins_like_flow(message));
        (begins && Opened::read(head).is_flow()) || is_chain_with_a_flow(head)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ProtobufDecoder)
    }

    fn framing(&self) -> Framing {
        Framing::Delimited
    }
}

struct ProtobufDecoder;

impl Decoder for ProtobufDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject> {
        check_length(record)?;
        if is_blank(record) {
            return Ok(None);
        }
        let opened = Opened::read(record);
        let flow = opened.record?.flow()?;
        match record.len() - opened.length {
            0 => Ok(Some(flow)),
            more => {
                let detail = format!("{more} bytes after the message");
                Err(Reject::new(RejectReason::NotProtobuf, detail))
            }
        }
    }
}

/// How many bytes the first record of a delimited file takes, with the length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordLength {
    /// So many; a line feed between records is one by itself.
    Known(u64),
    /// The length itself is cut; more bytes are needed.
    Cut,
    /// There is no length.
    Broken,
}

/// Returns the length of the record at the beginning of some bytes of a [`Framing::Delimited`] file.
pub fn record_length(bytes: &[u8]) -> RecordLength {
    match varint(bytes) {
        _ if bytes.first() == Some(&SEPARATOR) => RecordLength::Known(1),
        Varint::Whole(length, prefix) => RecordLength::Known(length.saturating_add(prefix as u64)),
        Varint::Cut => RecordLength::Cut,
        Varint::TooLong => RecordLength::Broken,
    }
}

/// Calls `each` for every record of a Kafka message, with the length before it if there is one.
pub(super) fn for_each_record<'m>(message: &'m [u8], mut each: impl FnMut(&'m [u8])) {
    let mut rest = without_separators(message);
    let is_delimited = is_delimited(rest);
    while !rest.is_empty() {
        let length = match announced(rest) {
            Some((prefix, body)) if is_delimited => prefix + body.len(),
            _ => rest.len(),
        };
        each(&rest[..length]);
        rest = without_separators(&rest[length..]);
    }
}

/// Whether a length stands before the first message. Most often it shows without reading on: by
/// lengths that go up to the end, or by bytes behind the first number that no flow begins with.
fn is_delimited(bytes: &[u8]) -> bool {
    match announced(bytes) {
        Some((prefix, body)) if prefix + body.len() == bytes.len() => true,
        Some((_, body)) => begins_like_flow(body) && Opened::read(bytes).is_delimited,
        None => false,
    }
}

/// What goflow2 writes between the messages of a file unless `-transport.file.sep` says otherwise. As
/// a length it would announce ten bytes, too few for the times of a flow.
const SEPARATOR: u8 = b'\n';

fn without_separators(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|&&byte| byte == SEPARATOR).count();
    &bytes[length..]
}

/// The first message of some bytes.
struct Opened<'a> {
    record: Result<Record<'a>, Fault>,
    is_delimited: bool,
    /// How many bytes it takes, with the length before it.
    length: usize,
}

impl<'a> Opened<'a> {
    /// Decides how the bytes are to be read and reads them.
    ///
    /// A length is believed when a flow stands behind it. Nothing that goflow2 writes can be read
    /// both ways: without a length a record begins with its type, 0x08, and the eight bytes that
    /// this would announce begin with a field number of 0. What is a flow in neither way is broken
    /// or empty; where the lengths are right it is taken as delimited, so that the flows after it are
    /// not lost.
    fn read(bytes: &'a [u8]) -> Self {
        let first = announced(bytes);
        if let Some((prefix, body)) = first {
            let opened = Self::delimited(prefix, body);
            if opened.is_flow() {
                return opened;
            }
        }
        let whole = Self { record: fields(bytes), is_delimited: false, length: bytes.len() };
        match first {
            Some((prefix, body)) if !whole.is_flow() && is_sound_framing(bytes, prefix, body) => {
                Self::delimited(prefix, body)
            }
            _ => whole,
        }
    }

    fn delimited(prefix: usize, body: &'a [u8]) -> Self {
        Self { record: fields(body), is_delimited: true, length: prefix + body.len() }
    }

    /// Whether the message has what every record of goflow2 has: a time and an address.
    fn is_flow(&self) -> bool {
        self.record.as_ref().is_ok_and(|Record(values)| {
            let holds = |&field: &Field| {
                !values[field as usize].is_absent() && values[field as usize] != Scalar::Unsigned(0)
            };
            TIMES.iter().any(holds) && ADDRESSES.iter().any(holds)
        })
    }
}

/// Returns the bytes of the length that stands first and the message that it announces; `None` when
/// there are not as many bytes, or none.
fn announced(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let Varint::Whole(length, prefix) = varint(bytes) else { return None };
    let body = bytes.get(prefix..)?.get(..usize::try_from(length).ok()?)?;
    (!body.is_empty()).then_some((prefix, body))
}

/// Whether the first length is to be believed although no flow stands behind it.
fn is_sound_framing(bytes: &[u8], prefix: usize, body: &[u8]) -> bool {
    let is_alone = prefix + body.len() == bytes.len();
    if is_alone { begins_like_flow(body) } else { is_chain_with_a_flow(bytes) }
}

/// Whether lengths lead from one message to the next up to the end, each beginning like a flow, and
/// some of them is one.
fn is_chain_with_a_flow(bytes: &[u8]) -> bool {
    let mut has_flow = false;
    let mut rest = bytes;
    while let Some((prefix, body)) = announced(rest)
        && begins_like_flow(body)
    {
        has_flow = has_flow || Opened::delimited(prefix, body).is_flow();
        rest = without_separators(&rest[prefix + body.len()..]);
    }
    has_flow && rest.is_empty()
}

/// What a message holds before its first field is read: what goflow2's JSON has for 0 and empty.
fn defaults<'a>() -> [Scalar<'a>; FIELDS] {
    let mut values = [const { Scalar::Unsigned(0) }; FIELDS];
    for field in ADDRESSES {
        values[field as usize] = Scalar::Text("".into());
    }
    values
}

const ADDRESSES: [Field; 3] = [Field::SrcAddr, Field::DstAddr, Field::Sampler];

const TIMES: [Field; 8] = [
    Field::ReceivedNs,
    Field::Received,
    Field::StartNs,
    Field::StartMs,
    Field::Start,
    Field::EndNs,
    Field::EndMs,
    Field::End,
];

/// Returns the field of a number in `flow.proto`; those of version 1 are 2, 5, 38, 63 and 64.
fn field_of(number: u32) -> Option<Field> {
    Some(match number {
        1 => Field::Kind,
        2 => Field::Received,
        3 => Field::Sampling,
        4 => Field::Sequence,
        5 => Field::End,
        6 => Field::SrcAddr,
        7 => Field::DstAddr,
        9 => Field::Bytes,
        10 => Field::Packets,
        11 => Field::Sampler,
        18 => Field::InIf,
        19 => Field::OutIf,
        20 => Field::Proto,
        21 => Field::SrcPort,
        22 => Field::DstPort,
        26 => Field::TcpFlags,
        29 => Field::Vlan,
        30 => Field::Etype,
        31 => Field::IcmpType,
        32 => Field::IcmpCode,
        33 => Field::SrcVlan,
        38 => Field::Start,
        63 => Field::StartMs,
        64 => Field::EndMs,
        110 => Field::ReceivedNs,
        111 => Field::StartNs,
        112 => Field::EndNs,
        _ => return None,
    })
}

fn is_address(field: Field) -> bool {
    matches!(field, Field::SrcAddr | Field::DstAddr | Field::Sampler)
}

/// Whether the first field is one of goflow2's: enough to tell text at its first byte.
fn begins_like_flow(message: &[u8]) -> bool {
    match Fields::new(message).next() {
        Ok(Some((number, value))) => {
            field_of(number).is_none_or(|field| scalar(number, field, value).is_ok())
        }
        Ok(None) | Err(_) => false,
    }
}

/// Why a message is no flow message.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Wire(Broken),
    /// The number of a field with another wire type than in `flow.proto`.
    WireType(u32),
    /// The number of an address field and how many bytes it has.
    AddressLength(u32, usize),
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Wire(broken) => Self::new(RejectReason::NotProtobuf, broken.to_string()),
            Fault::WireType(number) => {
                let detail = format!("field {number} has another wire type than in flow.proto");
                Self::new(RejectReason::WrongType, detail)
            }
            Fault::AddressLength(number, length) => {
                let detail = format!("field {number} has {length} bytes, an address has 4 or 16");
                Self::new(RejectReason::BadAddress, detail)
            }
        }
    }
}

/// Reads the fields of one message; of a repeated field the last value counts.
fn fields(message: &[u8]) -> Result<Record<'_>, Fault> {
    let mut values = defaults();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(Fault::Wire)? {
        if let Some(field) = field_of(number) {
            values[field as usize] = scalar(number, field, value)?;
        }
    }
    Ok(Record(values))
}

fn scalar(number: u32, field: Field, value: Value<'_>) -> Result<Scalar<'static>, Fault> {
    match value {
        Value::Varint(number) if !is_address(field) => Ok(Scalar::Unsigned(number)),
        Value::Bytes(bytes) if is_address(field) => address(number, bytes),
        _ => Err(Fault::WireType(number)),
    }
}

fn address(number: u32, bytes: &[u8]) -> Result<Scalar<'static>, Fault> {
    if bytes.is_empty() {
        return Ok(Scalar::Text("".into()));
    }
    if let Ok(ip) = <[u8; 4]>::try_from(bytes) {
        return Ok(Scalar::Address(Ipv4Addr::from(ip).to_ipv6_mapped()));
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(ip) => Ok(Scalar::Address(Ipv6Addr::from(ip))),
        Err(_) => Err(Fault::AddressLength(number, bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::detect;
    use super::*;
    use crate::model::{Counters, FlowOrigin, NetworkType, Protocol, Timestamp};

    /// IPFIX, TCP from 10.0.0.1:443 to 10.0.0.2:50000, 60 bytes in 1 packet, received at 1.8e18 ns.
    const MESSAGE: &[u8] = &[
        0x08, 4, // type
        0x32, 4, 10, 0, 0, 1, // src_addr
        0x3a, 4, 10, 0, 0, 2, // dst_addr
        0x48, 60, 0x50, 1, // bytes, packets
        0xa0, 0x01, 6, // proto
        0xa8, 0x01, 0xbb, 3, 0xb0, 0x01, 0xd0, 0x86, 3, // src_port, dst_port
        0xf0, 0x01, 0x80, 0x10, // etype
        0xf0, 0x06, 0x80, 0x80, 0xd0, 0x9d, 0xe9, 0xce, 0xb8, 0xfd, 0x18, // time_received_ns
    ];

    fn decode(record: &[u8]) -> Result<Option<Flow>, Reject> {
        Goflow2Protobuf.decoder().decode(record)
    }

    fn delimited(message: &[u8]) -> Vec<u8> {
        [&[message.len() as u8], message].concat()
    }

    #[test]
    fn a_message_is_a_flow_with_and_without_its_length() {
        let flow = decode(MESSAGE).unwrap().unwrap();
        assert_eq!(flow.received, Some(Timestamp::from_nanos(1_800_000_000_000_000_000)));
        assert_eq!(Some(flow.end), flow.received);
        assert_eq!(flow.origin, FlowOrigin::Ipfix);
        assert_eq!((flow.network, flow.protocol), (NetworkType::Ipv4, Some(Protocol::TCP)));
        assert_eq!(flow.source.ip, "10.0.0.1".parse().ok());
        assert_eq!((flow.source.port, flow.destination.port), (Some(443), Some(50_000)));
        assert_eq!(flow.sent, Counters { bytes: 60, packets: 1 });
        assert_eq!((flow.exporter, flow.sampling_rate, flow.vlan), (None, None, None));
        assert_eq!(decode(&delimited(MESSAGE)), Ok(Some(flow)));
        for record in [MESSAGE, &delimited(MESSAGE), &delimited(MESSAGE).repeat(3)] {
            assert_eq!(detect(record).map(Format::name), Some("goflow2_protobuf"));
        }
    }

    #[test]
    fn a_decoded_message_stays_as_it_is() {
        insta::assert_debug_snapshot!(decode(MESSAGE).unwrap());
    }

    #[test]
    fn version_1_has_seconds_and_milliseconds_in_other_fields() {
        let addresses = &MESSAGE[..18];
        // time_received 2, time_flow_end 5, time_flow_start 38; 1,800,000,000 s.
        let seconds = [0x80, 0xa4, 0xa7, 0xda, 6];
        let message =
            [&[0x10], &seconds[..], &[0x28], &seconds, addresses, &[0xb0, 2], &seconds].concat();
        let flow = decode(&message).unwrap().unwrap();
        let time = Timestamp::from_seconds(1_800_000_000);
        assert_eq!((flow.start, flow.end, flow.received), (time, time, Some(time)));
    }

    #[test]
    fn a_field_that_is_not_written_is_what_json_writes_for_it() {
        // ARP has no addresses, no protocol and no ports.
        let arp = [&[0x5a, 4, 10, 0, 0, 9, 0xf0, 0x01, 0x86, 0x10], &MESSAGE[MESSAGE.len() - 11..]];
        let flow = decode(&arp.concat()).unwrap().unwrap();
        assert_eq!((flow.network, flow.protocol), (NetworkType::Arp, None));
        assert_eq!((flow.source.ip, flow.sent), (None, Counters::default()));
        // The destination port of TCP is 0, not absent.
        let without_port = [&MESSAGE[..25], &MESSAGE[30..]].concat();
        assert_eq!(decode(&without_port).unwrap().unwrap().destination.port, Some(0));
    }

    #[test]
    fn ipv4_in_ipv6_clothes_is_ipv4() {
        let mut clothed = vec![0x32, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        clothed.splice(0..0, [0x08, 4]);
        clothed.extend_from_slice(&MESSAGE[8..]);
        assert_eq!(decode(&clothed), decode(MESSAGE));
    }

    #[test]
    fn what_is_broken_says_where() {
        let with = |tail: &[u8]| [MESSAGE, tail].concat();
        for (record, text) in [
            (with(&[0x0b]), "not_protobuf: at byte 45: wire type 3"),
            (with(&[0x4a, 0]), "wrong_type: field 9 has another wire type than in flow.proto"),
            (with(&[0x30, 1]), "wrong_type: field 6 has another wire type than in flow.proto"),
            (
                with(&[0x5a, 3, 1, 2, 3]),
                "bad_address: field 11 has 3 bytes, an address has 4 or 16",
            ),
            (with(&[0xa8, 1, 0x80, 0x80, 4]), "bad_number: src_port is 65536"),
            (MESSAGE[..40].to_vec(), "not_protobuf: at byte 36: the record ends in a number"),
            (delimited(MESSAGE).repeat(2), "not_protobuf: 46 bytes after the message"),
            (
                [delimited(&[0x0b]), delimited(MESSAGE)].concat(),
                "not_protobuf: at byte 0: field number 0",
            ),
            (b"{}".to_vec(), "not_protobuf: at byte 0: wire type 3"),
            (vec![0x48, 1], "bad_time: the record has no time"),
        ] {
            let reject = decode(&record).expect_err(text);
            assert_eq!(reject.to_string(), text, "{record:?}");
        }
    }

    #[test]
    fn messages_one_after_the_other_are_cut_apart() {
        let records = |message: &[u8]| {
            let mut found = Vec::new();
            for_each_record(message, |record| found.push(record.to_vec()));
            found
        };
        let record = delimited(MESSAGE);
        assert_eq!(records(MESSAGE), [MESSAGE]);
        assert_eq!(records(&record), std::slice::from_ref(&record));
        let lines = [&record[..], b"\n", &record, b"\n\n"].concat();
        assert_eq!(records(&lines), [record.clone(), record.clone()]);
        let cut = [&record[..], &record[..20]].concat();
        assert_eq!(records(&cut), [&record[..], &record[..20]]);
    }

    #[test]
    fn lengths_of_a_file_are_found_or_awaited() {
        assert_eq!(record_length(&delimited(MESSAGE)), RecordLength::Known(46));
        assert_eq!(record_length(&[0x80, 0x01]), RecordLength::Known(130));
        assert_eq!(record_length(b"\n\n"), RecordLength::Known(1));
        assert_eq!(record_length(&[0x80]), RecordLength::Cut);
        assert_eq!(record_length(&[]), RecordLength::Cut);
        assert_eq!(record_length(&[0xff; 11]), RecordLength::Broken);
    }
}
