//! Who a window, a finding or an alert is about, and the ids that follow from it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Timestamp;

/// The kinds of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectType {
    /// All traffic of the namespace.
    Network,
    /// One exporting device.
    Exporter,
    /// A host as the sender of flows.
    Source,
    /// A host as the receiver of flows.
    Destination,
    /// A sender and a receiver.
    Pair,
    /// The receivers of one prefix.
    Prefix,
}

impl SubjectType {
    /// The word used in documents and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Exporter => "exporter",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Pair => "pair",
            Self::Prefix => "prefix",
        }
    }
}

/// Who it is about. The order (type, then address) is the order in which subjects are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// All traffic of the namespace.
    Network,
    /// One exporting device.
    Exporter(IpAddr),
    /// A host as the sender of flows.
    Source(IpAddr),
    /// A host as the receiver of flows.
    Destination(IpAddr),
    /// A sender and a receiver.
    Pair(IpAddr, IpAddr),
    /// The receivers of one prefix: its first address and its length in bits.
    Prefix(IpAddr, u8),
}

impl Subject {
    /// The kind of this subject.
    pub const fn subject_type(self) -> SubjectType {
        match self {
            Self::Network => SubjectType::Network,
            Self::Exporter(_) => SubjectType::Exporter,
            Self::Source(_) => SubjectType::Source,
            Self::Destination(_) => SubjectType::Destination,
            Self::Pair(..) => SubjectType::Pair,
            Self::Prefix(..) => SubjectType::Prefix,
        }
    }

    /// The address that sends, where the subject has one.
    pub const fn source_ip(self) -> Option<IpAddr> {
        match self {
            Self::Source(ip) | Self::Pair(ip, _) => Some(ip),
            Self::Network | Self::Exporter(_) | Self::Destination(_) | Self::Prefix(..) => None,
        }
    }

    /// The address that receives, where the subject has one.
    pub const fn destination_ip(self) -> Option<IpAddr> {
        match self {
            Self::Destination(ip) | Self::Pair(_, ip) => Some(ip),
            Self::Network | Self::Exporter(_) | Self::Source(_) | Self::Prefix(..) => None,
        }
    }
}

/// The value part: an address, `a → b` written as `a>b`, a prefix as `address/bits`, or `network`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.write_str("network"),
            Self::Exporter(ip) | Self::Source(ip) | Self::Destination(ip) => write!(f, "{ip}"),
            Self::Pair(from, to) => write!(f, "{from}>{to}"),
            Self::Prefix(ip, bits) => write!(f, "{ip}/{bits}"),
        }
    }
}

/// The stretch of event time that something was counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowSpan {
    /// First moment, aligned to the length.
    pub start: Timestamp,
    /// Length in seconds.
    pub seconds: u32,
    /// Whether the cap on subjects was hit, so that some subjects are missing.
    pub truncated: bool,
}

impl WindowSpan {
    /// The first moment after the window.
    pub const fn end(self) -> Timestamp {
        self.start.plus_seconds(self.seconds as i64)
    }

    /// How many windows of this length came before it since 1970: neighbours have neighbouring ones.
    pub const fn number(self) -> i64 {
        let seconds = if self.seconds == 0 { 1 } else { self.seconds };
        self.start.seconds().div_euclid(seconds as i64)
    }

    /// The minute since 1970 in which it begins.
    pub const fn minute(self) -> i64 {
        self.start.seconds().div_euclid(60)
    }
}

/// Returns a document id that is a function of `parts` alone: 32 hexadecimal digits, the first
/// 128 bits of the SHA-256 over the parts, each preceded by its length so that no two lists of
/// parts read the same.
pub fn document_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..16])
}

/// Returns bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_where_parts_end() {
        assert_ne!(document_id(&["ab", "c"]), document_id(&["a", "bc"]));
        assert_eq!(document_id(&["ab", "c"]).len(), 32);
    }

    #[test]
    fn a_pair_names_both_ends() {
        let pair = Subject::Pair("10.0.0.1".parse().unwrap(), "fd00::2".parse().unwrap());
        assert_eq!(pair.to_string(), "10.0.0.1>fd00::2");
        assert_eq!(pair.subject_type().name(), "pair");
    }
}
