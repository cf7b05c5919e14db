//! Why a record is no flow: data for counters and the dead-letter place, never a failure.

use std::fmt;

/// A record that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Reject {
    /// The class, for counters.
    pub reason: RejectReason,
    /// What was found where: at most a few hundred characters, without control characters.
    pub detail: String,
}

/// The classes of rejected records: a closed set, so that each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Bytes that are not UTF-8 where text is needed.
    NotUtf8,
    /// Not JSON: truncated, or garbage.
    NotJson,
    /// Not protobuf: truncated, or garbage.
    NotProtobuf,
    /// A value of the wrong type, for example an array for an address.
    WrongType,
    /// Something without which a record is no flow is missing.
    MissingField,
    /// No time, or one outside 1970 to 2262.
    BadTime,
    /// Text that is no IP address.
    BadAddress,
    /// Text that is no number, or a port beyond 65535.
    BadNumber,
    /// An unknown protocol name, where the record means nothing without it.
    BadProtocol,
    /// An unknown connection state, where the record means nothing without it.
    BadState,
    /// More bytes than [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES).
    TooLong,
    /// Fewer columns than the header, or than the format has.
    WrongColumns,
    /// A data row before any header line.
    NoHeader,
    /// A JSON object that is no flow of a known kind.
    UnknownShape,
    /// A message of no known format, or of one that cannot be read message by message.
    UnknownFormat,
    /// A capture that is broken at this place, or ends in the middle of a packet.
    BadCapture,
    /// A packet whose headers are cut or contradict themselves.
    BadPacket,
    /// A packet of a kind of link that cannot be read.
    UnknownLink,
}

impl RejectReason {
    /// All classes.
    pub const ALL: [Self; 18] = [
        Self::NotUtf8,
        Self::NotJson,
        Self::NotProtobuf,
        Self::WrongType,
        Self::MissingField,
        Self::BadTime,
        Self::BadAddress,
        Self::BadNumber,
        Self::BadProtocol,
        Self::BadState,
        Self::TooLong,
        Self::WrongColumns,
        Self::NoHeader,
        Self::UnknownShape,
        Self::UnknownFormat,
        Self::BadCapture,
        Self::BadPacket,
        Self::UnknownLink,
    ];

    /// The name in counters and dead letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotProtobuf => "not_protobuf",
            Self::WrongType => "wrong_type",
            Self::MissingField => "missing_field",
            Self::BadTime => "bad_time",
            Self::BadAddress => "bad_address",
            Self::BadNumber => "bad_number",
            Self::BadProtocol => "bad_protocol",
            Self::BadState => "bad_state",
            Self::TooLong => "too_long",
            Self::WrongColumns => "wrong_columns",
            Self::NoHeader => "no_header",
            Self::UnknownShape => "unknown_shape",
            Self::UnknownFormat => "unknown_format",
            Self::BadCapture => "bad_capture",
            Self::BadPacket => "bad_packet",
            Self::UnknownLink => "unknown_link",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Reject {
    /// Returns a reject with a detail in our own words.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Returns a reject that quotes the value found in `field`.
    pub(super) fn value(reason: RejectReason, field: &str, value: &[u8]) -> Self {
        Self::new(reason, format!("{field} is `{}`", excerpt(value)))
    }

    /// Returns a reject for a field that a flow cannot do without.
    pub(super) fn missing(field: &str) -> Self {
        Self::new(RejectReason::MissingField, format!("{field} is missing"))
    }
}

/// Returns the first characters of hostile bytes with control characters escaped.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const CHARACTERS: usize = 40;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * CHARACTERS)]);
    let mut shown: String = text.chars().take(CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_has_no_control_characters() {
        let hostile = [b"\x1b[31m\r\n\x00".as_slice(), &[b'a'; 5000]].concat();
        let reject = Reject::value(RejectReason::BadAddress, "src_addr", &hostile);
        let text = reject.to_string();
        assert!(text.starts_with("bad_address: src_addr is `\\u{1b}[31m\\r\\n\\0aaa"), "{text}");
        assert!(text.len() < 200 && !text.chars().any(char::is_control), "{text}");
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            RejectReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), RejectReason::ALL.len());
    }
}
