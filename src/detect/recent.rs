//! A bounded memory of what was seen of each key, and when last.

use std::hash::Hash;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::features::HostKey;

/// Values by key; when there are too many, those that were not seen for the longest time go.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry<V> {
    /// The number of the window that saw the key last.
    last: i64,
    value: V,
}

/// The form that a snapshot keeps, ascending by key.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved<K, V>(Vec<(K, Entry<V>)>);

impl<K: Copy + Eq + Hash + Ord, V: Default> Recent<K, V> {
    /// Returns a memory for at most `most` keys (at least 2).
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(2), entries: HashMap::new() }
    }

    /// Returns the value of `key`, seen in window `now`; made when it is new.
    pub(super) fn see(&mut self, key: K, now: i64) -> &mut V {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room();
        }
        let fresh = || Entry { last: now, value: V::default() };
        let entry = self.entries.entry(key).or_insert_with(fresh);
        entry.last = entry.last.max(now);
        &mut entry.value
    }

    /// Returns the value of `key`, if it is known.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Forgets what was last seen before window `oldest`.
    pub(super) fn forget_before(&mut self, oldest: i64) {
        self.entries.retain(|_, entry| entry.last >= oldest);
    }

    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Drops the half that was not seen for the longest time; of equally old ones the greater keys.
    /// Half, so that the search for them is paid by many newcomers.
    fn make_room(&mut self) {
        let rank = |(key, entry): (&K, &Entry<V>)| (entry.last, std::cmp::Reverse(*key));
        let mut ranks: Vec<_> = self.entries.iter().map(rank).collect();
        let excess = ranks.len().div_ceil(2);
        let (_, &mut last_to_go, _) = ranks.select_nth_unstable(excess - 1);
        self.entries.retain(|key, entry| rank((key, entry)) > last_to_go);
    }
}

impl<K: Copy + Eq + Hash + Ord, V: Default + Clone> Recent<K, V> {
    /// Returns what a snapshot keeps.
    pub(super) fn save(&self) -> Saved<K, V> {
        let mut entries: Vec<_> =
            self.entries.iter().map(|(key, entry)| (*key, entry.clone())).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        Saved(entries)
    }

    /// Continues from what was saved, as far as there is room.
    pub(super) fn restore(&mut self, saved: Saved<K, V>) {
        self.entries = saved.0.into_iter().collect();
        while self.entries.len() > self.most {
            self.make_room();
        }
    }
}

/// Adds a host to those that are known of something, in ascending order; beyond `most` no more count.
pub(super) fn note_host(known: &mut Vec<HostKey>, host: HostKey, most: usize) {
    if known.len() < most
        && let Err(place) = known.binary_search(&host)
    {
        known.insert(place, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_stays_small_keeps_the_latest_and_does_not_depend_on_hashes(
            seen in prop::collection::vec((0u32..60, 0i64..100), 0..300),
            most in 2usize..20,
        ) {
            let mut seen = seen;
            seen.sort_by_key(|(_, now)| *now);
            let mut memories = [Recent::<u32, u64>::new(most), Recent::new(most)];
            for memory in &mut memories {
                for &(key, now) in &seen {
                    *memory.see(key, now) += 1;
                    prop_assert!(memory.len() <= most);
                    prop_assert!(memory.get(&key).is_some());
                }
            }
            let [first, second] = memories.map(|memory| serde_json::to_string(&memory.save()).unwrap());
            prop_assert_eq!(first, second);
        }
    }
}
