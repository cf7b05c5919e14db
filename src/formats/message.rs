//! Messages of a topic → flows: each message is read by itself, whatever came before it.

use super::reject::{Reject, RejectReason};
use super::{
    Decoder, FORMATS, Format, Framing, bounded, goflow2_protobuf, is_blank, sequence, without_mark,
};
use crate::model::Flow;

/// Decodes messages such as the values of Kafka records.
///
/// A message holds one record or several: lines, an array of JSON objects, or protobuf messages one
/// after the other. What comes out is a function of the message alone. Formats with a header line
/// (`zeek`, `argus`) cannot be read message by message; their messages are rejected.
///
/// ```
/// use flowsentry::formats::MessageDecoder;
///
/// let mut decoder = MessageDecoder::new(None);
/// let message = br#"{"time_received_ns":1795232940822822736,"bytes":60,"packets":1,"src_addr":"10.0.0.1"}"#;
/// decoder.decode(message, &mut |_, flow| assert!(matches!(flow, Ok(Some(_)))));
/// decoder.decode(b"hello", &mut |index, flow| {
///     let reject = flow.expect_err("no flow");
///     assert_eq!((index, reject.reason.name()), (0, "unknown_format"));
/// });
/// ```
pub struct MessageDecoder {
    format: Option<&'static dyn Format>,
    /// A decoder for each format that was met, by its row. None of them keeps what decides about the
    /// next record: those of formats with a header are never here.
    decoders: [Option<Box<dyn Decoder>>; FORMATS.len()],
}

/// So many first bytes of a message of lines decide on its format.
const HEAD_BYTES: usize = 64 * 1024;

impl MessageDecoder {
    /// Returns a decoder for messages of one format. `None`: the format is found for each message
    /// from its own bytes.
    pub fn new(format: Option<&'static dyn Format>) -> MessageDecoder {
        Self { format, decoders: [const { None }; FORMATS.len()] }
    }

    /// Calls `each` for every record of the message, in order, with its index from 0: with its flow,
    /// with `None` for one that is no loss (see [`Decoder::decode`]), or with why it is no flow.
    ///
    /// A blank message calls nothing; blank lines between records do not count. A message of no known
    /// format is one rejected record.
    pub fn decode(
        &mut self,
        message: &[u8],
        each: &mut dyn FnMut(u32, Result<Option<Flow>, Reject>),
    ) {
        if is_blank(message) {
            return;
        }
        let (row, format) = match self.format_of(message) {
            Ok(found) => found,
            Err(reject) => return each(0, Err(reject)),
        };
        let Some(slot) = self.decoders.get_mut(row) else { return };
        let decoder = slot.get_or_insert_with(|| format.decoder());
        let mut index = 0;
        for_each_record(format, message, &mut |record| {
            if !is_blank(record) {
                each(index, decoder.decode(record));
                index += 1;
            }
        });
    }

    /// Returns the format of a message with its row.
    fn format_of(&self, message: &[u8]) -> Result<(usize, &'static dyn Format), Reject> {
        let found = match self.format {
            Some(format) => rows().find(|(_, row)| row.name() == format.name()),
            None => found(message),
        };
        match found {
            Some((_, format)) if format.needs_header() => {
                let detail = format!("{} needs the header line of its file", format.name());
                Err(Reject::new(RejectReason::UnknownFormat, detail))
            }
            Some(found) => Ok(found),
            None => {
                bounded(message)?;
                let detail = "the message is of no known format";
                Err(Reject::new(RejectReason::UnknownFormat, detail))
            }
        }
    }
}

fn rows() -> impl Iterator<Item = (usize, &'static dyn Format)> {
    FORMATS.iter().copied().enumerate()
}

/// Returns the format of a message from its bytes: the first row that recognises them.
///
/// All JSON formats share one decoder that asks every record what it is, so for a message that
/// begins like JSON any of their rows does and none has to search it for its keys. Protobuf comes
/// first: its length may look like a brace, but what stands behind tells it at once.
fn found(message: &[u8]) -> Option<(usize, &'static dyn Format)> {
    let is_json = begins_like_json(message);
    let head = &message[..message.len().min(HEAD_BYTES)];
    rows().find(|(_, format)| match format.framing() {
        Framing::Delimited => format.recognises(message),
        Framing::Lines if is_json => format.reads_json(),
        Framing::Lines => format.recognises(head),
    })
}

fn begins_like_json(message: &[u8]) -> bool {
    matches!(without_mark(message).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Cuts a message into records. What cannot be cut is one record, which the decoder then rejects.
fn for_each_record<'m>(
    format: &'static dyn Format,
    message: &'m [u8],
    each: &mut dyn FnMut(&'m [u8]),
) {
    if format.framing() == Framing::Delimited {
        return goflow2_protobuf::for_each_record(message, each);
    }
    if format.reads_json() && begins_like_json(message) && !is_of_lines(message) {
        return sequence::for_each(message, each);
    }
    let mut rest = message;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        each(&rest[..end]);
        rest = &rest[end + 1..];
    }
    each(rest);
}

/// Whether every line of a JSON message is a record, as far as its first one shows: an array and an
/// object that is spread over lines are not.
fn is_of_lines(message: &[u8]) -> bool {
    let text = without_mark(message).trim_ascii();
    let first = match memchr::memchr(b'\n', text) {
        Some(end) => text[..end].trim_ascii_end(),
        None => text,
    };
    first.first() == Some(&b'{') && first.last() == Some(&b'}')
}
