//! Reads flat JSON objects as machines write them, faster than a general parser can.
//!
//! No blanks, no escapes, no nested objects, whole numbers: what goflow2 writes. Everything else is
//! given back, to be read by `serde_json`. Where this reader says yes, `serde_json` says the same.

use std::borrow::Cow;

use super::marks::Marks;
use super::scalar::Scalar;

/// What is known about a key. Two bytes, because it is looked up for every key of every record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The place of its value; [`NO_PLACE`] when nobody reads it.
    place: u8,
    /// Whose record it shows.
    pub(super) marks: Marks,
}

/// Beyond the values of any record.
const NO_PLACE: u8 = u8::MAX;

impl Known {
    pub(super) fn new(place: Option<usize>, marks: Marks) -> Self {
        let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(NO_PLACE);
        Self { place, marks }
    }

    /// The place of the value of the key among those of a record; beyond them when nobody reads it.
    pub(super) fn place(self) -> usize {
        usize::from(self.place)
    }
}

/// What the reader has to know about keys.
pub(super) trait KeyOrder {
    /// The `"key":` expected at a position in the record, and what is known about it.
    fn expected(&self, position: usize) -> Option<(&str, Known)>;
    /// What is known about a key found at a position.
    fn known(&mut self, position: usize, key: &str) -> Known;
}

/// Fills `values` from a flat object and returns whose record its keys show; `None` when `text` is
/// anything else, with `values` in any state.
pub(super) fn read<'a>(
    text: &'a str,
    order: &mut impl KeyOrder,
    values: &mut [Scalar<'a>],
) -> Option<Marks> {
    let mut reader = Reader { text, at: 0 };
    let mut marks = Marks::default();
    reader.take(b'{')?;
    for position in 0.. {
        let known = reader.key(position, order)?;
        marks.insert(known.marks);
        let value = reader.value()?;
        if let Some(wanted) = values.get_mut(known.place()) {
            *wanted = value;
        }
        match reader.next()? {
            b'}' => break,
            b',' => {}
            _ => return None,
        }
    }
    (reader.at == text.len()).then_some(marks)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    fn key(&mut self, position: usize, order: &mut impl KeyOrder) -> Option<Known> {
        if let Some((expected, known)) = order.expected(position)
            && self.text.as_bytes()[self.at..].starts_with(expected.as_bytes())
        {
            self.at += expected.len();
            return Some(known);
        }
        self.take(b'"')?;
        let key = self.string()?;
        self.take(b':')?;
        Some(order.known(position, key))
    }

    fn value(&mut self) -> Option<Scalar<'a>> {
        match self.next()? {
            b'"' => Some(Scalar::Text(Cow::Borrowed(self.string()?))),
            digit @ b'0'..=b'9' => self.number(digit).map(Scalar::Unsigned),
            b'[' => self.array().map(|()| Scalar::Other),
            _ => None,
        }
    }

    /// The text up to the closing quote, which is taken.
    fn string(&mut self) -> Option<&'a str> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        if rest[length] != b'"' {
            return None;
        }
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(text)
    }

    /// A whole number that fits: no sign, fraction, exponent or leading zero.
    fn number(&mut self, first: u8) -> Option<u64> {
        let mut number = u64::from(first - b'0');
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if number == 0 {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        matches!(self.peek()?, b',' | b'}' | b']').then_some(number)
    }

    /// Texts and numbers up to the closing bracket.
    fn array(&mut self) -> Option<()> {
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            match self.next()? {
                b'"' => drop(self.string()?),
                digit @ b'0'..=b'9' => drop(self.number(digit)?),
                _ => return None,
            }
            match self.next()? {
                b']' => return Some(()),
                b',' => {}
                _ => return None,
            }
        }
    }
}
