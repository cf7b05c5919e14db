//! Reads flat JSON objects as machines write them, faster than a general parser can.
//!
//! No blanks, no escapes, no nested objects, whole numbers: what goflow2 writes. Everything else is
//! given back, to be read by `serde_json`. Where this reader says yes, `serde_json` says the same.

use std::borrow::Cow;

use super::scalar::Scalar;

/// What the reader has to know about keys.
pub(super) trait KeyOrder {
    /// The `"key":` expected at a position in the record, and the place of its value.
    fn expected(&self, position: usize) -> Option<(&str, Option<usize>)>;
    /// The place of the value of a key found at a position.
    fn place(&mut self, position: usize, key: &str) -> Option<usize>;
}

/// Fills `values` from a flat object; `None` when `text` is anything else, with `values` in any
/// state.
pub(super) fn read<'a>(
    text: &'a str,
    order: &mut impl KeyOrder,
    values: &mut [Scalar<'a>],
) -> Option<()> {
    let mut reader = Reader { text, at: 0 };
    reader.take(b'{')?;
    for position in 0.. {
        let place = reader.key(position, order)?;
        let value = reader.value()?;
        if let Some(wanted) = place.and_then(|place| values.get_mut(place)) {
            *wanted = value;
        }
        match reader.next()? {
            b'}' => break,
            b',' => {}
            _ => return None,
        }
    }
    (reader.at == text.len()).then_some(())
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

    fn key(&mut self, position: usize, order: &mut impl KeyOrder) -> Option<Option<usize>> {
        if let Some((expected, place)) = order.expected(position)
            && self.text.as_bytes()[self.at..].starts_with(expected.as_bytes())
        {
            self.at += expected.len();
            return Some(place);
        }
        self.take(b'"')?;
        let key = self.string()?;
        self.take(b':')?;
        Some(order.place(position, key))
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
