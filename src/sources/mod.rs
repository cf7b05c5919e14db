//! Where flow records come from: batches of decoded flows with their place in the input.
//!
//! [`FileSource`] opens a file or standard input, decompresses it by its first bytes, names the
//! format from its content and decodes record by record. What cannot be decoded becomes a
//! [`Rejected`] record; it never stops its neighbours.

mod capture;
mod decompress;
mod delimited;
mod file;
pub mod kafka;
mod letters;
mod lines;
mod partitions;
mod raw;
pub mod search;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Flow, Letter, SettingError, Timestamp};
use crate::stores::StoreError;

pub use crate::capture::Limits as CaptureLimits;
pub use crate::formats::{Reject, RejectReason};
pub use capture::CaptureNotes;
pub use decompress::ByteCounter;
pub use file::{FileSource, Opening, Present, open_plain};
pub use letters::{EachLetter, LetterFilter, letters_of_file, letters_of_index};
pub use partitions::{
    Gained, Lag, Partition, PartitionName, PartitionRead, PartitionSource, Partitions, ReadFlow,
    RecordPlace,
};
pub use raw::for_each_record;

/// A flow and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The flow.
    pub flow: Flow,
    /// Where it stands.
    pub place: Place,
}

/// Where a record stands in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Byte offset of its first byte in the decompressed source.
    pub offset: u64,
    /// Line number, from 1; in a file without lines the number of the record.
    pub line: u64,
}

/// A record that could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Where it stands.
    pub place: Place,
    /// Why.
    pub reject: Reject,
    /// Its bytes, at most [`Rejected::KEPT_BYTES`] of them. Of the first rejected record of a message
    /// they are the whole message, of the others nothing.
    pub record: Vec<u8>,
    /// How many bytes there were.
    pub length: u64,
    /// About its message, when it came in one.
    pub message: Option<MessageFacts>,
}

/// What a rejected record's message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageFacts {
    /// The record's place in the message, from 0.
    pub index: u32,
    /// When the message was written, as it says itself.
    pub time: Option<Timestamp>,
    /// How many other records of the message became flows.
    pub taken: u32,
}

impl Rejected {
    /// How many bytes of a rejected record are kept.
    pub const KEPT_BYTES: usize = Letter::RECORD_BYTES;

    /// Returns the rejected record of which `record` is all there is.
    pub fn new(place: Place, reject: Reject, record: &[u8]) -> Self {
        let kept = record[..record.len().min(Self::KEPT_BYTES)].to_vec();
        let length = u64::try_from(record.len()).unwrap_or(u64::MAX);
        Self { place, reject, record: kept, length, message: None }
    }
}

/// Consecutive records of one source.
#[derive(Debug)]
pub struct Batch {
    /// The name of the source.
    pub source: Arc<str>,
    /// Decoded flows in the order of the source.
    pub flows: Vec<Located>,
    /// Records that could not be decoded.
    pub rejected: Vec<Rejected>,
    /// Records read, headers and comments included.
    pub records: u64,
    /// What a capture held beside packets of flows.
    pub capture: CaptureNotes,
}

impl Batch {
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.records == 0 && self.flows.is_empty() && self.rejected.is_empty()
    }
}

/// A whole source that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Reading failed in the middle.
    #[error("cannot read on in `{name}` after line {line}")]
    Read {
        /// The source.
        name: Arc<str>,
        /// The last line that was read.
        line: u64,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A capture whose packets cannot be used like this.
    #[error("`{name}` is a packet capture, {problem}")]
    Capture {
        /// The source.
        name: Arc<str>,
        /// What cannot be done with it.
        problem: &'static str,
    },
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// What keeps the flows does not give them.
    #[error("{action}: {reason}")]
    Failed {
        /// What was tried.
        action: String,
        /// What went wrong.
        reason: String,
    },
    /// The store that keeps the flows does not give them.
    #[error("cannot read the indexed flows")]
    Store(#[from] StoreError),
    /// There is nothing in it.
    #[error("`{name}` is empty")]
    Empty {
        /// The source.
        name: Arc<str>,
    },
    /// No format knows the content.
    #[error("`{name}` is of no known format (known formats are {known})")]
    UnknownFormat {
        /// The source.
        name: Arc<str>,
        /// The names of all formats.
        known: String,
    },
}
