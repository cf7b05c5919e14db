//! Dead letters: what could not be used, with its reason, its place and its bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::document::{ECS_VERSION, dataset};
use super::{Timestamp, document_id, hex};

/// Letters whose own time lies further back, or ahead, carry the time at which they were written: a
/// hostile time would put them into an index of its own, or where they are deleted at once.
const SECONDS_BACK: i64 = 30 * 86_400;
const SECONDS_AHEAD: i64 = 3_600;
/// The longest detail; a cluster may give whole stack traces as reason.
const DETAIL_CHARACTERS: usize = 1_000;

/// One thing that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// A function of the place and the bytes: the same thing, read again, has the same id.
    pub id: String,
    /// What it is.
    pub kind: LetterKind,
    /// When the message was written, or the time of the document, as far as that is credible; else
    /// when it turned out that it cannot be used.
    pub time: Timestamp,
    /// The class: that of the rejected record, or [`Letter::REFUSED`].
    pub reason: String,
    /// What was found, in words.
    pub detail: String,
    /// `topic/partition`, the name of a file, or the index that a document was to go to.
    pub source: String,
    /// The offset of the message, or of the first byte in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The line of a file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The record's place in its message, from 0; absent when it was not in a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// How many other records of the same message could be used; absent when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u32>,
    /// The id of a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Bytes of the whole; what is kept may be less.
    pub length: u64,
    /// What is kept, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    /// What is kept, as hexadecimal digits, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record_hex: Option<String>,
}

/// What a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterKind {
    /// A record that is no flow. Where it came in a message, the first letter of that message keeps
    /// the whole message, and the others nothing.
    Record,
    /// A document that the store refused.
    Document,
}

impl LetterKind {
    /// The word in letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Document => "document",
        }
    }
}

/// Where something stood that could not be used.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'o> {
    /// A record of a file.
    File {
        /// The name of the file.
        name: &'o str,
        /// Offset of its first byte.
        offset: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// A record of a message.
    Message {
        /// `topic/partition`.
        source: &'o str,
        /// The offset of the message.
        offset: u64,
        /// The record's place in the message, from 0.
        index: u32,
        /// When the message was written, as it says itself.
        time: Option<Timestamp>,
        /// How many other records of the message could be used.
        taken: u32,
    },
    /// A document.
    Document {
        /// The index that it was to go to.
        index: &'o str,
        /// Its id.
        id: &'o str,
        /// Its `@timestamp`.
        time: Timestamp,
    },
}

impl Letter {
    /// The reason of refused documents.
    pub const REFUSED: &'static str = "refused";
    /// How many bytes of a record are kept.
    pub const RECORD_BYTES: usize = 64 * 1024;
    /// How many bytes of a document are kept: as text within a letter it fits into the largest message
    /// that brokers take by default.
    pub const DOCUMENT_BYTES: usize = 256 * 1024;

    /// Returns the letter about `bytes` that stood at `origin`, of `length` bytes as a whole.
    pub fn new(
        origin: &Origin<'_>,
        (reason, detail): (&str, &str),
        bytes: &[u8],
        length: u64,
        now: Timestamp,
    ) -> Self {
        let limit = match origin {
            Origin::File { .. } | Origin::Message { .. } => Self::RECORD_BYTES,
            Origin::Document { .. } => Self::DOCUMENT_BYTES,
        };
        let (record, record_hex) = kept(bytes, limit, length);
        let mut letter = Self {
            id: String::new(),
            kind: LetterKind::Record,
            time: now,
            reason: reason.to_owned(),
            detail: detail.chars().take(DETAIL_CHARACTERS).collect(),
            source: String::new(),
            offset: None,
            line: None,
            index: None,
            taken: None,
            document: None,
            length,
            record,
            record_hex,
        };
        let own_time = letter.stand_at(origin);
        letter.time = own_time.filter(|time| is_credible(*time, now)).unwrap_or(now);
        letter.id = letter.own_id(own_time);
        letter
    }

    /// Takes the place over; returns the time that belongs to it.
    fn stand_at(&mut self, origin: &Origin<'_>) -> Option<Timestamp> {
        match *origin {
            Origin::File { name, offset, line } => {
                self.source = name.to_owned();
                (self.offset, self.line) = (Some(offset), Some(line));
                None
            }
            Origin::Message { source, offset, index, time, taken } => {
                self.source = source.to_owned();
                (self.offset, self.index) = (Some(offset), Some(index));
                self.taken = Some(taken).filter(|taken| *taken > 0);
                time
            }
            Origin::Document { index, id, time } => {
                self.kind = LetterKind::Document;
                self.source = index.to_owned();
                self.document = Some(id.to_owned());
                Some(time)
            }
        }
    }

    /// A topic that was made anew, and a file that was replaced, have the same places with other
    /// times or bytes.
    fn own_id(&self, time: Option<Timestamp>) -> String {
        let number =
            |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        document_id(&[
            "letter",
            self.kind.name(),
            &self.source,
            &number(self.offset),
            &number(self.index.map(u64::from)),
            self.document.as_deref().unwrap_or_default(),
            &time.map_or(String::new(), |time| time.millis().to_string()),
            self.record.as_deref().or(self.record_hex.as_deref()).unwrap_or_default(),
        ])
    }

    /// What is kept of the bytes; empty when they cannot be read back.
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.record, &self.record_hex) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(digits)) => from_hex(digits).unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }

    /// Forgets the bytes, for a list that shows none.
    pub fn drop_bytes(&mut self) {
        (self.record, self.record_hex) = (None, None);
    }

    /// Whether not everything was kept.
    pub fn is_cut(&self) -> bool {
        u64::try_from(self.bytes().len()).is_ok_and(|kept| kept < self.length)
    }

    /// The topic and the number of the partition, when it came in a message.
    pub fn partition(&self) -> Option<(&str, i32)> {
        self.index?;
        let (topic, partition) = self.source.rsplit_once('/')?;
        Some((topic, partition.parse().ok()?))
    }

    /// Returns the ECS document. Its id is that of the letter.
    pub fn document(&self) -> Value {
        let mut letter = serde_json::to_value(self).expect("a letter is plain data");
        if let Some(letter) = letter.as_object_mut() {
            ["id", "time", "detail"].iter().for_each(|key| drop(letter.remove(*key)));
        }
        json!({
            "@timestamp": self.time,
            "ecs": { "version": ECS_VERSION },
            "event": {
                "id": self.id,
                "kind": "pipeline_error",
                "category": ["network"],
                "type": ["error"],
                "module": "flowsentry",
                "dataset": dataset::DEADLETTER,
                "reason": self.detail,
            },
            "flowsentry": { "deadletter": letter },
        })
    }

    /// Returns the letter of such a document; `None` when it is none.
    pub fn from_document(document: &Value) -> Option<Self> {
        let mut letter: Map<String, Value> =
            document.pointer("/flowsentry/deadletter")?.as_object()?.clone();
        for (key, pointer) in
            [("id", "/event/id"), ("time", "/@timestamp"), ("detail", "/event/reason")]
        {
            letter.insert(key.to_owned(), document.pointer(pointer)?.clone());
        }
        serde_json::from_value(Value::Object(letter)).ok()
    }
}

fn is_credible(time: Timestamp, now: Timestamp) -> bool {
    (now.plus_seconds(-SECONDS_BACK)..=now.plus_seconds(SECONDS_AHEAD)).contains(&time)
}

/// The first bytes, as text or as digits. Text that is cut ends with a whole character.
fn kept(bytes: &[u8], limit: usize, length: u64) -> (Option<String>, Option<String>) {
    let bytes = &bytes[..bytes.len().min(limit)];
    let is_cut = u64::try_from(bytes.len()).is_ok_and(|kept| kept < length);
    let text = match std::str::from_utf8(bytes) {
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()])
        }
        text => text,
    };
    match text {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(hex(bytes))),
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn message(offset: u64, time: Option<Timestamp>) -> Origin<'static> {
        Origin::Message { source: "flows/3", offset, index: 1, time, taken: 2 }
    }

    fn letter(origin: &Origin<'_>, bytes: &[u8], now: Timestamp) -> Letter {
        let length = u64::try_from(bytes.len()).unwrap();
        Letter::new(origin, ("not_json", "it ends \u{1b} early"), bytes, length, now)
    }

    #[test]
    fn letters_are_the_agreed_ones() {
        let (time, now) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:05Z"));
        let file = Origin::File { name: "a.ndjson", offset: 7, line: 2 };
        let document = Origin::Document { index: "flowsentry-alerts-x-2026.11", id: "ab", time };
        let letters = [
            letter(&message(5, Some(time)), b"{\"type\":", now),
            letter(&file, b"\xff\x00", now),
            letter(&document, b"{}", now),
        ];
        insta::assert_json_snapshot!(letters);
        insta::assert_json_snapshot!(letters.map(|letter| letter.document()));
    }

    #[test]
    fn the_same_thing_read_again_is_the_same_letter_and_another_one_is_not() {
        let (time, now) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:05Z"));
        let first = letter(&message(5, Some(time)), b"x", now);
        assert_eq!(letter(&message(5, Some(time)), b"x", now.plus_seconds(60)), first);
        let others = [
            letter(&message(6, Some(time)), b"x", now),
            letter(&message(5, None), b"x", now),
            letter(&message(5, Some(time)), b"y", now),
            letter(&Origin::File { name: "flows/3", offset: 5, line: 2 }, b"x", now),
        ];
        assert!(others.iter().all(|other| other.id != first.id));
    }

    #[test]
    fn a_time_that_cannot_be_is_replaced_and_still_tells_letters_apart() {
        let now = at("2026-11-21T10:00:05Z");
        let times = ["1970-01-01T00:00:00Z", "2026-10-01T00:00:00Z", "2261-01-01T00:00:00Z"];
        let letters = times.map(|time| letter(&message(5, Some(at(time))), b"x", now));
        assert!(letters.iter().all(|letter| letter.time == now));
        assert!(letters[0].id != letters[1].id && letters[1].id != letters[2].id);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let now = at("2026-11-21T10:00:05Z");
        let long = "ä".repeat(Letter::RECORD_BYTES);
        let cut = letter(&message(5, None), format!("x{long}").as_bytes(), now);
        assert_eq!(cut.bytes().len(), Letter::RECORD_BYTES - 1);
        assert!(cut.is_cut() && cut.record.is_some());
        assert_eq!(cut.length, u64::try_from(long.len() + 1).unwrap());
        assert!(!letter(&message(5, None), b"", now).is_cut());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_a_line_and_from_a_document(
            bytes in prop::collection::vec(any::<u8>(), 0..200), offset in 0..=u64::from(u32::MAX),
        ) {
            let now = at("2026-11-21T10:00:05Z");
            let letter = letter(&message(offset, None), &bytes, now);
            prop_assert_eq!(letter.bytes(), bytes);
            prop_assert_eq!(letter.partition(), Some(("flows", 3)));
            let line = serde_json::to_string(&letter).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Letter>(&line).unwrap(), &letter);
            prop_assert_eq!(Letter::from_document(&letter.document()), Some(letter));
        }
    }
}
