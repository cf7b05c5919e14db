//! The values inside nested JSON objects by their dotted paths, picked in one pass whatever mixture
//! of nested objects and dotted keys a document is written in.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::flat::KeyOrder;
use super::marks::Marks;
use super::pick::Picker;
use super::scalar::Scalar;

/// Longer paths are not read, so that a document of huge keys costs no more than its bytes.
pub(super) const LONGEST_PATH: usize = 64;

/// Takes what is read.
pub(super) trait Leaves<'a> {
    /// Takes the value at the place that the picker has for its path, which lies beyond all places for
    /// a path that nobody reads. Of an array it is called with every item, of a path written twice
    /// with both values.
    fn keep(&mut self, place: usize, value: Scalar<'a>);

    /// Sees a key at the top of the document.
    fn see_top(&mut self, _key: &str) {}
}

/// Reads an object into `leaves` and returns whose record its keys show; `order` remembers the order
/// of paths from one document to the next.
pub(super) fn read<'a>(
    text: &'a str,
    order: &mut Picker,
    leaves: &mut impl Leaves<'a>,
) -> serde_json::Result<Marks> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let marks = Marks::default();
    let mut state = State { leaves, order, marks, path: String::new(), depth: 0, count: 0 };
    deserializer.deserialize_map(Walk(&mut state))?;
    deserializer.end()?;
    Ok(state.marks)
}

struct State<'s, L> {
    leaves: &'s mut L,
    order: &'s mut Picker,
    marks: Marks,
    /// The path of the value that is read.
    path: String,
    /// How many objects the value is in.
    depth: usize,
    /// How many values were read.
    count: usize,
}

impl<L> State<'_, L> {
    fn keep<'a>(&mut self, value: Scalar<'a>)
    where
        L: Leaves<'a>,
    {
        let known = self.order.known(self.count, &self.path);
        self.count += 1;
        self.marks.insert(known.marks);
        self.leaves.keep(known.place(), value);
    }
}

/// Reads one value and everything inside it.
struct Walk<'w, 's, L>(&'w mut State<'s, L>);

impl<'a, L: Leaves<'a>> DeserializeSeed<'a> for Walk<'_, '_, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, L: Leaves<'a>> Visitor<'a> for Walk<'_, '_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.keep(Scalar::Other);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.keep(Scalar::Signed(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.keep(Scalar::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.keep(Scalar::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        self.0.keep(Scalar::Text(value.into()));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.keep(Scalar::Text(value.to_owned().into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.keep(Scalar::Absent);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        let parent = self.0.path.len();
        self.0.depth += 1;
        while entries.next_key_seed(Step(&mut *self.0))?.is_some() {
            if self.0.path.len() > LONGEST_PATH {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Walk(&mut *self.0))?;
            }
            self.0.path.truncate(parent);
        }
        self.0.depth -= 1;
        Ok(())
    }
}

/// Reads a key and steps into its path.
struct Step<'w, 's, L>(&'w mut State<'s, L>);

impl<'a, L: Leaves<'a>> DeserializeSeed<'a> for Step<'_, '_, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, L: Leaves<'a>> Visitor<'a> for Step<'_, '_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.0.depth == 1 {
            self.0.marks.insert(Marks::of_key(key));
            self.0.leaves.see_top(key);
        } else {
            self.0.path.push('.');
        }
        self.0.path.push_str(key);
        Ok(())
    }
}
