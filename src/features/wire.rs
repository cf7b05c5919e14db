//! Compact forms of sets for messages: one form per content, whatever the order of insertion.
//!
//! Ascending numbers are written as the steps between them, so that dense sets cost about a byte a
//! member. Reading checks everything: a message may come from anywhere.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Strictly ascending numbers, written as steps: the first from 0, each other from the one before.
pub(super) struct Steps<I>(pub I);

impl<I: Iterator<Item = u64> + Clone> Serialize for Steps<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.0.clone().map(|number| {
            let step = number - before;
            before = number;
            step
        }))
    }
}

/// Undoes [`Steps`].
#[derive(Default)]
pub(super) struct Climb {
    reached: Option<u64>,
}

impl Climb {
    /// Returns the number that is `step` above the one before; `None` when it is not above it.
    pub(super) fn next(&mut self, step: u64) -> Option<u64> {
        let number = match self.reached {
            None => step,
            Some(_) if step == 0 => return None,
            Some(before) => before.checked_add(step)?,
        };
        self.reached = Some(number);
        Some(number)
    }
}

/// A set that can be read from steps.
pub(super) trait Collect: Default {
    /// Takes the next number; `None` when it cannot belong to the set.
    fn take(&mut self, number: u64) -> Option<()>;
}

/// A set read from steps.
pub(super) struct Ascending<T>(pub T);

impl<'de, T: Collect> Deserialize<'de> for Ascending<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Collect> Visitor<'de> for Reader<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ascending numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut steps: A) -> Result<T, A::Error> {
                let (mut set, mut climb) = (T::default(), Climb::default());
                while let Some(step) = steps.next_element()? {
                    let taken = climb.next(step).and_then(|number| set.take(number));
                    taken.ok_or_else(|| A::Error::custom("a number that does not belong here"))?;
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(Reader(PhantomData)).map(Self)
    }
}

/// Bytes as they are.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Exactly `N` bytes, read.
pub(super) struct Block<const N: usize>(pub Box<[u8; N]>);

impl<'de, const N: usize> Deserialize<'de> for Block<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const N: usize>;

        impl<const N: usize> Visitor<'_> for Reader<N> {
            type Value = Box<[u8; N]>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Box::<[u8]>::from(bytes)
                    .try_into()
                    .map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }

        deserializer.deserialize_bytes(Reader::<N>).map(Self)
    }
}

/// Counters of a fixed number, for `serde(with)`.
pub(super) mod counters {
    use super::{Deserialize, Deserializer, Error, Serialize, Serializer};

    pub(in crate::features) fn serialize<S: Serializer, const N: usize>(
        counters: &[u64; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        counters.as_slice().serialize(serializer)
    }

    pub(in crate::features) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<Box<[u64; N]>, D::Error> {
        let counters = Vec::<u64>::deserialize(deserializer)?;
        let length = counters.len();
        let wanted = || D::Error::custom(format_args!("{length} counters instead of {N}"));
        counters.into_boxed_slice().try_into().map_err(|_| wanted())
    }
}

/// Returns whether the keys of `items` ascend strictly.
pub(super) fn is_ascending<T, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> bool {
    items.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_ascend_are_refused() {
        let mut climb = Climb::default();
        assert_eq!([0, 5, 0].map(|step| climb.next(step)), [Some(0), Some(5), None]);
        let mut climb = Climb::default();
        assert_eq!([u64::MAX, 1].map(|step| climb.next(step)), [Some(u64::MAX), None]);
    }
}
