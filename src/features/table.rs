//! The subjects of one window: found by key, capped, in one piece of memory.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Something that is counted per subject.
pub trait Entry {
    /// What identifies the subject.
    type Key: Copy + Eq + Ord + Hash;
    /// Returns the empty entry of a subject.
    fn new(key: Self::Key) -> Self;
    /// The subject.
    fn key(&self) -> Self::Key;
}

/// An entry of which several parts of a window may each hold a share.
pub trait Share: Entry {
    /// Adds what another part of the window holds of the same subject. Neither order nor grouping
    /// of merges matters.
    fn merge(&mut self, other: &Self);
    /// How many flows were added.
    fn additions(&self) -> u64;
}

/// Returns the union of the entries of several parts, in ascending order of their keys: the first
/// `cap` subjects, and how many additions went to the others.
pub(super) fn union<E: Share>(mut entries: Vec<E>, cap: usize) -> (Vec<E>, u64) {
    // Stable, because that sort is quick on runs: every part is in order.
    entries.sort_by_key(Entry::key);
    entries.dedup_by(|next, kept| {
        let is_same = next.key() == kept.key();
        if is_same {
            kept.merge(next);
        }
        is_same
    });
    let others = entries.split_off(cap.min(entries.len()));
    (entries, others.iter().map(Share::additions).fold(0, u64::saturating_add))
}

/// Adds the entries of one list in ascending order of their keys to another one, from the end to the
/// beginning, so that nothing is copied beside: lists of a busy minute are large.
pub(super) fn merge_ascending<E: Share + Clone>(ours: &mut Vec<E>, theirs: &[E]) {
    let (Some(first), mut own) = (theirs.first(), ours.len()) else { return };
    let whole = size_of_union(ours, theirs);
    ours.reserve_exact(whole - own);
    ours.resize_with(whole, || E::new(first.key()));
    let mut place = whole;
    for entry in theirs.iter().rev() {
        while own > 0 && ours[own - 1].key() > entry.key() {
            (own, place) = (own - 1, place - 1);
            ours.swap(own, place);
        }
        place -= 1;
        if own > 0 && ours[own - 1].key() == entry.key() {
            own -= 1;
            ours[own].merge(entry);
            ours.swap(own, place);
        } else {
            ours[place] = entry.clone();
        }
    }
}

fn size_of_union<E: Entry>(ours: &[E], theirs: &[E]) -> usize {
    let mut others = theirs.iter().peekable();
    let mut common = 0;
    for entry in ours {
        while others.next_if(|other| other.key() < entry.key()).is_some() {}
        common += usize::from(others.next_if(|other| other.key() == entry.key()).is_some());
    }
    ours.len() + theirs.len() - common
}

/// Entries by key, at most `cap` of them.
#[derive(Debug)]
pub struct SubjectTable<E: Entry> {
    places: HashTable<u32>,
    entries: Vec<E>,
    hasher: DefaultHashBuilder,
    cap: usize,
    overflow: u64,
}

impl<E: Entry> SubjectTable<E> {
    /// Returns an empty table for at most `cap` subjects (at most 2^32 − 1).
    pub fn new(cap: usize) -> Self {
        Self {
            places: HashTable::new(),
            entries: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            cap: cap.min(u32::MAX as usize),
            overflow: 0,
        }
    }

    /// Returns the entry of `key`, made when it is new; `None`, counted, when the table is full.
    pub fn entry(&mut self, key: E::Key) -> Option<&mut E> {
        let place = self.place_of(key);
        self.overflow += u64::from(place.is_none());
        self.entries.get_mut(place?)
    }

    /// The same for what is no addition: nothing is counted when the table is full.
    pub fn note(&mut self, key: E::Key) -> Option<&mut E> {
        let place = self.place_of(key)?;
        self.entries.get_mut(place)
    }

    fn place_of(&mut self, key: E::Key) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self.places.find(hash, |&place| self.entries[place as usize].key() == key);
        match found {
            Some(&place) => Some(place as usize),
            None if self.entries.len() >= self.cap => None,
            None => {
                let place = self.entries.len();
                self.entries.push(E::new(key));
                let entries = &self.entries;
                let hasher = &self.hasher;
                self.places.insert_unique(hash, place as u32, |&place| {
                    hasher.hash_one(entries[place as usize].key())
                });
                Some(place)
            }
        }
    }

    /// How many additions found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The number of subjects.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no subjects.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries in ascending order of their keys: judged in this order, a window gives
    /// the same findings whatever order its flows came in.
    pub fn into_sorted(self) -> Vec<E> {
        let mut entries = self.entries;
        entries.sort_unstable_by_key(Entry::key);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Counted(u8, u64);

    impl Entry for Counted {
        type Key = u8;

        fn new(key: u8) -> Self {
            Self(key, 0)
        }

        fn key(&self) -> u8 {
            self.0
        }
    }

    impl Share for Counted {
        fn merge(&mut self, other: &Self) {
            self.1 += other.1;
        }

        fn additions(&self) -> u64 {
            self.1
        }
    }

    proptest! {
        #[test]
        fn merging_two_lists_gives_their_union(
            ours in prop::collection::btree_map(0u8..20, 1u64..9, 0..20),
            theirs in prop::collection::btree_map(0u8..20, 1u64..9, 0..20),
        ) {
            let list = |map: std::collections::BTreeMap<u8, u64>| -> Vec<_> {
                map.into_iter().map(|(key, count)| Counted(key, count)).collect()
            };
            let (ours, theirs) = (list(ours), list(theirs));
            let expected = union([ours.clone(), theirs.clone()].concat(), usize::MAX).0;
            let mut merged = ours;
            merge_ascending(&mut merged, &theirs);
            prop_assert_eq!(merged, expected);
        }
    }
}
