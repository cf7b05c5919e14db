//! Picks the known fields out of a JSON object in one pass, without building a tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::flat::{self, KeyOrder, Known};
use super::marks::Marks;
use super::reject::{Reject, RejectReason};
use super::scalar::Scalar;

/// Keys of one exporter come in one order. Remembering it turns the search for a key's place (some
/// 60 comparisons with all spellings) into one comparison.
pub(super) struct Picker {
    place_of: fn(&str) -> Option<usize>,
    marks_of: fn(&str) -> Marks,
    order: Vec<Remembered>,
}

struct Remembered {
    /// The key as it stands in the record: `"key":`.
    quoted: Box<str>,
    known: Known,
}

/// The keys of a record whose order is remembered; goflow2 writes 50.
const REMEMBERED_KEYS: usize = 96;
const REMEMBERED_KEY_BYTES: usize = 64;

impl Picker {
    /// Returns a picker that puts the value of key `k` at `place_of(k)`.
    pub(super) fn new(place_of: fn(&str) -> Option<usize>) -> Self {
        Self { place_of, marks_of: Marks::of_key, order: Vec::new() }
    }

    /// Returns a picker for the paths of values in nested objects.
    pub(super) fn of_paths(place_of: fn(&str) -> Option<usize>) -> Self {
        Self { marks_of: Marks::of_path, ..Self::new(place_of) }
    }

    /// Fills `values`, which must be absent, from the object in `record`, and returns whose record
    /// its keys show. Of a repeated key the last value counts.
    pub(super) fn pick<'a>(
        &mut self,
        record: &'a [u8],
        values: &mut [Scalar<'a>],
    ) -> Result<Marks, Reject> {
        // Broken text in values that nobody reads is tolerated on the slowest path.
        let picked = match std::str::from_utf8(record) {
            Ok(text) => {
                if let Some(marks) = flat::read(text, self, values) {
                    return Ok(marks);
                }
                values.fill(Scalar::Absent);
                self.run(serde_json::Deserializer::from_str(text), values)
            }
            Err(_) => self.run(serde_json::Deserializer::from_slice(record), values),
        };
        picked.map_err(|error| json_reject(record, &error))
    }

    fn run<'a, R: serde_json::de::Read<'a>>(
        &mut self,
        mut deserializer: serde_json::Deserializer<R>,
        values: &mut [Scalar<'a>],
    ) -> serde_json::Result<Marks> {
        let marks = deserializer.deserialize_map(ObjectVisitor { picker: self, values })?;
        deserializer.end()?;
        Ok(marks)
    }
}

impl KeyOrder for Picker {
    fn expected(&self, position: usize) -> Option<(&str, Known)> {
        self.order.get(position).map(|key| (&*key.quoted, key.known))
    }

    fn known(&mut self, position: usize, key: &str) -> Known {
        if let Some(remembered) = self.order.get(position)
            && remembered.quoted[1..remembered.quoted.len() - 2] == *key
        {
            return remembered.known;
        }
        let known = Known::new((self.place_of)(key), (self.marks_of)(key));
        let plain = !key.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte < b' ');
        if plain && position < REMEMBERED_KEYS && key.len() <= REMEMBERED_KEY_BYTES {
            self.order.truncate(position);
            if self.order.len() == position {
                self.order.push(Remembered { quoted: format!("\"{key}\":").into(), known });
            }
        }
        known
    }
}

/// Returns the reject of a JSON error, which tells broken text from broken syntax.
pub(super) fn json_reject(record: &[u8], error: &serde_json::Error) -> Reject {
    let column = error.column();
    if error.is_data() {
        return Reject::new(RejectReason::WrongType, "the record is not a JSON object");
    }
    if error.is_eof() {
        return Reject::new(RejectReason::NotJson, format!("ends too early, at byte {column}"));
    }
    if std::str::from_utf8(record).is_err() {
        return Reject::new(RejectReason::NotUtf8, format!("at or before byte {column}"));
    }
    Reject::new(RejectReason::NotJson, format!("broken at byte {column}"))
}

struct ObjectVisitor<'p, 'v, 'a> {
    picker: &'p mut Picker,
    values: &'v mut [Scalar<'a>],
}

impl<'a> Visitor<'a> for ObjectVisitor<'_, '_, 'a> {
    type Value = Marks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<Marks, A::Error> {
        let mut marks = Marks::default();
        let mut position = 0;
        while let Some(known) =
            entries.next_key_seed(KeySeed { picker: &mut *self.picker, position })?
        {
            marks.insert(known.marks);
            match self.values.get_mut(known.place()) {
                Some(value) => *value = entries.next_value()?,
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
            position += 1;
        }
        Ok(marks)
    }
}

struct KeySeed<'p> {
    picker: &'p mut Picker,
    position: usize,
}

impl<'a> DeserializeSeed<'a> for KeySeed<'_> {
    type Value = Known;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.picker.known(self.position, key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;

    fn place(key: &str) -> Option<usize> {
        ["a", "b"].iter().position(|known| *known == key)
    }

    #[test]
    fn values_are_found_in_any_order_after_any_record() {
        let mut picker = Picker::new(place);
        for (json, a, b) in [
            (r#"{"a":1,"x":[{}],"b":2}"#, 1, 2),
            (r#"{"a":3,"x":[{}],"b":4}"#, 3, 4),
            (r#"{"b":6,"a":5}"#, 5, 6),
            (r#"{"x":null,"b":8,"a":0,"a":7}"#, 7, 8),
            (r#"{"a":9,"b":10}"#, 9, 10),
        ] {
            let mut values = [const { Scalar::Absent }; 2];
            picker.pick(json.as_bytes(), &mut values).unwrap();
            assert_eq!(values, [Scalar::Unsigned(a), Scalar::Unsigned(b)], "{json}");
        }
    }

    #[test]
    fn broken_records_say_what_is_broken() {
        let mut picker = Picker::new(place);
        for (record, reason) in [
            (&b"{\"a\":1"[..], RejectReason::NotJson),
            (b"{\"a\":1}{", RejectReason::NotJson),
            (b"\x00\x01\x02", RejectReason::NotJson),
            (b"[1,2]", RejectReason::WrongType),
            (b"7", RejectReason::WrongType),
            (b"{\"a\":\"\xff\"}", RejectReason::NotUtf8),
        ] {
            let mut values = [const { Scalar::Absent }; 2];
            let reject = picker.pick(record, &mut values).expect_err("broken");
            assert_eq!(reject.reason, reason, "{reject}");
        }
    }

    #[test]
    fn the_flat_reader_and_serde_agree_on_what_both_accept() {
        const PIECES: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"x\"",
            "\"ip_src\"",
            "\"\u{e9}\"",
            "\"",
            "\\",
            "\\\"",
            "0",
            "7",
            "00",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "1.5",
            "1e3",
            " ",
            "\t",
            "null",
            "true",
            "{\"a\":1",
            ",\"b\":2",
            ":3}",
            "\"a\":[1,\"x\"]",
            "\"b\":[]",
        ];
        let strategy = proptest::collection::vec(proptest::sample::select(PIECES), 0..9);
        let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let accepted = std::cell::Cell::new(0);
        TestRunner::new_with_rng(config, rng)
            .run(&strategy, |pieces| {
                // Every second one is made an object, or hardly any would be accepted.
                let inner = pieces.concat();
                let text = if pieces.len() % 2 == 0 { inner } else { format!("{{\"a\":{inner}}}") };
                let mut quick = [const { Scalar::Absent }; 2];
                let mut slow = [const { Scalar::Absent }; 2];
                if let Some(marks) = flat::read(&text, &mut Picker::new(place), &mut quick) {
                    accepted.set(accepted.get() + 1);
                    let deserializer = serde_json::Deserializer::from_str(&text);
                    let read = Picker::new(place).run(deserializer, &mut slow);
                    prop_assert_eq!(read.ok(), Some(marks), "{}", text);
                    prop_assert_eq!(quick, slow, "{}", text);
                }
                Ok(())
            })
            .unwrap();
        assert!(accepted.get() > 500, "{}", accepted.get());
    }

    #[test]
    fn broken_text_in_a_value_that_nobody_reads_is_tolerated() {
        let mut values = [const { Scalar::Absent }; 2];
        Picker::new(place).pick(b"{\"note\":\"\xff\",\"a\":1}", &mut values).unwrap();
        assert_eq!(values[0], Scalar::Unsigned(1));
    }
}
