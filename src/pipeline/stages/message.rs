//! What workers tell each other through the log.

use serde::{Deserialize, Serialize};

use crate::features::PartialError;
use crate::model::{Timestamp, nanos};
use crate::sources::PartitionName;

/// First byte of every message; another one whenever the form of anything but partials changes.
const VERSION: u8 = 1;

/// The word of a worker about a source partition.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message<'m> {
    /// The source partition.
    pub(super) of: PartitionName,
    #[serde(borrow)]
    pub(super) word: Word<'m>,
}

/// What is said. New words go to the end.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word<'m> {
    /// These source partitions, and no others, exist.
    Exist(Vec<PartitionName>),
    /// I read it from now on.
    Owned {
        /// Grows from one reader to the next.
        term: i64,
    },
    /// What it adds to a window: a [`crate::features::Partial`].
    Partial(#[serde(borrow)] &'m [u8]),
    /// Everything that ends at `watermark` or before was sent.
    Passed(#[serde(with = "nanos")] Timestamp),
    /// There is nothing more to read; everything that ends at `closed_through` or before was sent.
    Resting {
        /// The term of whoever says so.
        term: i64,
        #[serde(with = "nanos")]
        closed_through: Timestamp,
    },
}

impl<'m> Message<'m> {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a vector takes what has a form")
    }

    /// Reads a message. Any bytes will do.
    pub(super) fn decode(bytes: &'m [u8]) -> Result<Self, PartialError> {
        let Some((&VERSION, content)) = bytes.split_first() else {
            return Err(PartialError::Version(bytes.first().copied()));
        };
        let (message, rest) = postcard::take_from_bytes(content)?;
        if rest.is_empty() { Ok(message) } else { Err(PartialError::Surplus(rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(partition: i32) -> PartitionName {
        PartitionName { topic: "flows".to_owned(), partition }
    }

    fn any_word() -> impl Strategy<Value = Word<'static>> {
        let time = any::<i64>().prop_map(Timestamp::from_nanos);
        prop_oneof![
            prop::collection::vec(0..9, 0..9)
                .prop_map(|all| Word::Exist(all.into_iter().map(name).collect())),
            any::<i64>().prop_map(|term| Word::Owned { term }),
            Just(()).prop_map(|()| Word::Partial(b"partial")),
            time.clone().prop_map(Word::Passed),
            (any::<i64>(), time)
                .prop_map(|(term, closed_through)| Word::Resting { term, closed_through }),
        ]
    }

    proptest! {
        #[test]
        fn what_was_said_is_understood_and_noise_is_refused(
            word in any_word(), partition in 0i32..9, noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let said = Message { of: name(partition), word };
            let mut bytes = said.encode();
            prop_assert_eq!(&Message::decode(&bytes).unwrap(), &said);
            bytes.push(0);
            prop_assert!(Message::decode(&bytes).is_err());
            let _ = Message::decode(&noise);
        }
    }
}
