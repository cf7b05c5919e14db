//! The wire form of protobuf: fields one after the other, each with its number and its wire type.

use std::fmt;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// Four or eight bytes, of which no flow is made.
    Fixed,
    /// Text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

/// Reads the fields of a message in order.
///
/// After an error the rest means nothing: the length of a broken field is unknown.
pub(super) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

/// The largest field number of the wire form.
const MAX_NUMBER: u64 = (1 << 29) - 1;

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// Returns number and value of the next field, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.at == self.message.len() {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let (number, wire_type) = (tag >> 3, tag & 7);
        if number == 0 || number > MAX_NUMBER {
            return Err(Broken { at: start, what: Breach::FieldNumber(number) });
        }
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3 and 4) are of a version that goflow2 never used.
            other => return Err(Broken { at: start, what: Breach::WireType(other) }),
        };
        Ok(Some((number as u32, value)))
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        // Tags, ports and most counters: one byte, or a few.
        if let Some(&byte) = self.message.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        match varint(self.message.get(self.at..).unwrap_or_default()) {
            Varint::Whole(number, length) => {
                self.at += length;
                Ok(number)
            }
            Varint::Cut => Err(Broken { at: self.at, what: Breach::Cut }),
            Varint::TooLong => Err(Broken { at: self.at, what: Breach::TooLong }),
        }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Broken> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => {
                let what = Breach::Announced { length, left: rest.len() };
                Err(Broken { at: self.at, what })
            }
        }
    }
}

/// Why a message cannot be read on, in words only when somebody asks: most bytes that are tried are
/// of another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    at: usize,
    what: Breach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    FieldNumber(u64),
    WireType(u64),
    Cut,
    TooLong,
    Announced { length: u64, left: usize },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match self.what {
            Breach::FieldNumber(number) => write!(f, "field number {number}"),
            Breach::WireType(wire_type) => write!(f, "wire type {wire_type}"),
            Breach::Cut => f.write_str("the record ends in a number"),
            Breach::TooLong => f.write_str("a number beyond 64 bits"),
            Breach::Announced { length, left } => {
                write!(f, "{length} bytes announced, {left} left")
            }
        }
    }
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varint {
    /// A number and how many bytes it took.
    Whole(u64, usize),
    /// The beginning of a number.
    Cut,
    /// A number that does not fit 64 bits.
    TooLong,
}

/// Reads a number of 7 bits a byte, the lowest first.
pub(super) fn varint(bytes: &[u8]) -> Varint {
    let mut number = 0;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has room for the last bit alone.
        if place == 9 && byte > 1 {
            return Varint::TooLong;
        }
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Varint::Whole(number, place + 1);
        }
    }
    Varint::Cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Broken> {
        let mut fields = Fields::new(message);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type_is_read_or_passed_over() {
        let message = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x03, b'a', b'b', b'c'],
            &[0x19, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x25, 1, 2, 3, 4],
            &[0xf0, 0x06, 0x00],
        ]
        .concat();
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"abc")),
            (3, Value::Fixed),
            (4, Value::Fixed),
            (110, Value::Varint(0)),
        ];
        assert_eq!(read(&message), Ok(expected));
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        for (message, detail) in [
            (&[0x08][..], "at byte 1: the record ends in a number"),
            (&[0x08, 0x80], "at byte 1: the record ends in a number"),
            (&[0x00, 0x01], "at byte 0: field number 0"),
            (&[0x80, 0x80, 0x80, 0x80, 0x10], "at byte 0: field number 536870912"),
            (&[0x08, 0x01, 0x0b], "at byte 2: wire type 3"),
            (&[0x0f], "at byte 0: wire type 7"),
            (&[0x0a, 0x05, 1, 2], "at byte 2: 5 bytes announced, 2 left"),
            (&[0x09, 1], "at byte 1: 8 bytes announced, 1 left"),
            (&[0x0d, 1], "at byte 1: 4 bytes announced, 1 left"),
        ] {
            assert_eq!(read(message).expect_err(detail).to_string(), detail);
        }
    }

    #[test]
    fn a_number_has_at_most_64_bits() {
        assert_eq!(varint(&[0x7f, 0xff]), Varint::Whole(127, 1));
        let mut largest = [0xff; 10];
        assert_eq!(varint(&largest), Varint::TooLong);
        largest[9] = 1;
        assert_eq!(varint(&largest), Varint::Whole(u64::MAX, 10));
        assert_eq!(varint(&largest[..9]), Varint::Cut);
        assert_eq!(varint(&[]), Varint::Cut);
    }
}
