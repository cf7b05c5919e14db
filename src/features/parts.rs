//! Partials in parts: what is too large for one message.

use serde::{Deserialize, Serialize};

/// Which part of a partial this is, when one message cannot hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Part {
    number: u32,
    of: u32,
}

impl Part {
    /// The only part.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// The number, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many parts there are.
    pub fn of(self) -> u32 {
        self.of
    }
}

impl TryFrom<(u32, u32)> for Part {
    type Error = &'static str;

    fn try_from((number, of): (u32, u32)) -> Result<Self, Self::Error> {
        let is_one = (1..=of).contains(&number);
        is_one.then_some(Self { number, of }).ok_or("a part that cannot be")
    }
}

impl From<Part> for (u32, u32) {
    fn from(part: Part) -> Self {
        (part.number, part.of)
    }
}

/// Bytes that `value` takes in a message.
pub(super) fn size_of_message<T: Serialize>(value: &T) -> usize {
    let size = postcard::ser_flavors::Size::default();
    postcard::serialize_with_flavor(value, size).expect("counting takes what has a form")
}

/// Fills one part after the other.
pub(super) struct Packer<P> {
    parts: Vec<P>,
    empty: P,
    empty_bytes: usize,
    used_bytes: usize,
    max_bytes: usize,
}

/// Room for the version and for what grows with the content: the lengths of four lists and the
/// numbers of the part, five bytes each at most.
const GROWTH_BYTES: usize = 1 + 6 * 5;

impl<P: Clone + Serialize> Packer<P> {
    /// Returns a packer that begins with `first` and goes on with copies of `empty`.
    pub(super) fn new(first: P, empty: P, max_bytes: usize) -> Self {
        let used_bytes = size_of_message(&first) + GROWTH_BYTES;
        let empty_bytes = size_of_message(&empty) + GROWTH_BYTES;
        Self { parts: vec![first], empty, empty_bytes, used_bytes, max_bytes }
    }

    /// Puts items into a list of the last part, or of a new one when it is full.
    pub(super) fn pack<E: Serialize>(
        &mut self,
        items: Vec<E>,
        list: impl Fn(&mut P) -> &mut Vec<E>,
    ) {
        for item in items {
            let bytes = size_of_message(&item);
            if self.used_bytes + bytes > self.max_bytes && self.used_bytes > self.empty_bytes {
                self.parts.push(self.empty.clone());
                self.used_bytes = self.empty_bytes;
            }
            self.used_bytes += bytes;
            if let Some(part) = self.parts.last_mut() {
                list(part).push(item);
            }
        }
    }

    /// Returns the numbered parts.
    pub(super) fn finish(mut self, part: impl Fn(&mut P) -> &mut Part) -> Vec<P> {
        let of = self.parts.len() as u32;
        for (number, own) in (1..).zip(&mut self.parts) {
            *part(own) = Part { number, of };
        }
        self.parts
    }
}
