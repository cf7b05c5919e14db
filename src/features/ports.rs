//! Sets of ports: always exact, 16 bytes while small.

use serde::{Deserialize, Serialize};

const FEW: usize = 6;
/// From here on a bitmap (8 KiB) is smaller to search than a sorted list.
const SORTED_LIMIT: usize = 512;
const WORDS: usize = 65_536 / 64;

/// A set of 16-bit port numbers. Exact at every size, order does not matter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u16>", into = "Vec<u16>")]
pub struct PortSet(Form);

impl From<Vec<u16>> for PortSet {
    fn from(ports: Vec<u16>) -> Self {
        let mut set = Self::default();
        ports.into_iter().for_each(|port| set.insert(port));
        set
    }
}

/// Ascending.
impl From<PortSet> for Vec<u16> {
    fn from(set: PortSet) -> Self {
        set.first(usize::MAX)
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::box_collection, reason = "a bare Vec would make every small set 8 bytes larger")]
enum Form {
    Few { len: u8, ports: [u16; FEW] },
    Sorted(Box<Vec<u16>>),
    Bitmap(Box<[u64; WORDS]>),
}

impl Default for Form {
    fn default() -> Self {
        Self::Few { len: 0, ports: [0; FEW] }
    }
}

impl PortSet {
    /// Adds a port.
    pub fn insert(&mut self, port: u16) {
        match &mut self.0 {
            Form::Few { len, ports } => {
                let used = usize::from(*len);
                if ports[..used].contains(&port) {
                    return;
                }
                if used < FEW {
                    ports[used] = port;
                    *len += 1;
                } else {
                    let mut sorted = ports.to_vec();
                    sorted.push(port);
                    sorted.sort_unstable();
                    self.0 = Form::Sorted(Box::new(sorted));
                }
            }
            Form::Sorted(sorted) => {
                let Err(place) = sorted.binary_search(&port) else { return };
                if sorted.len() < SORTED_LIMIT {
                    sorted.insert(place, port);
                } else {
                    let mut words = Box::new([0; WORDS]);
                    sorted.iter().for_each(|&port| set_bit(&mut words, port));
                    set_bit(&mut words, port);
                    self.0 = Form::Bitmap(words);
                }
            }
            Form::Bitmap(words) => set_bit(words, port),
        }
    }

    /// The number of distinct ports. O(1), or 1,024 words for large sets.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Few { len, .. } => u64::from(*len),
            Form::Sorted(sorted) => sorted.len() as u64,
            Form::Bitmap(words) => words.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }

    /// The number of distinct ports below `limit`.
    pub fn count_below(&self, limit: u16) -> u64 {
        match &self.0 {
            Form::Few { len, ports } => {
                ports[..usize::from(*len)].iter().filter(|&&port| port < limit).count() as u64
            }
            Form::Sorted(sorted) => sorted.partition_point(|&port| port < limit) as u64,
            Form::Bitmap(words) => {
                let (whole, rest) = (usize::from(limit) / 64, limit % 64);
                let below: u64 =
                    words[..whole].iter().map(|word| u64::from(word.count_ones())).sum();
                below + u64::from((words[whole] & ((1 << rest) - 1)).count_ones())
            }
        }
    }

    /// Whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        match &self.0 {
            Form::Few { len, ports } => ports[..usize::from(*len)].contains(&port),
            Form::Sorted(sorted) => sorted.binary_search(&port).is_ok(),
            Form::Bitmap(words) => words[usize::from(port) / 64] >> (port % 64) & 1 == 1,
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Form::Few { len: 0, .. })
    }

    /// Calls `visit` with every port; in no fixed order.
    pub fn for_each(&self, mut visit: impl FnMut(u16)) {
        match &self.0 {
            Form::Few { len, ports } => {
                ports[..usize::from(*len)].iter().for_each(|&port| visit(port));
            }
            Form::Sorted(sorted) => sorted.iter().for_each(|&port| visit(port)),
            Form::Bitmap(words) => {
                for (index, &word) in words.iter().enumerate() {
                    let mut rest = word;
                    while rest != 0 {
                        visit((index * 64) as u16 + rest.trailing_zeros() as u16);
                        rest &= rest - 1;
                    }
                }
            }
        }
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Self) {
        other.for_each(|port| self.insert(port));
    }

    /// The number of ports in either set, without building the union where that can be avoided.
    pub fn union_count(&self, other: &Self) -> u64 {
        if other.is_empty() {
            return self.count();
        }
        if self.is_empty() {
            return other.count();
        }
        let mut union = self.clone();
        union.merge(other);
        union.count()
    }

    /// The ports in ascending order, at most `limit`.
    pub fn first(&self, limit: usize) -> Vec<u16> {
        let mut ports = Vec::new();
        self.for_each(|port| ports.push(port));
        ports.sort_unstable();
        ports.truncate(limit);
        ports
    }
}

fn set_bit(words: &mut [u64; WORDS], port: u16) {
    words[usize::from(port) / 64] |= 1 << (port % 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_set_costs_16_bytes() {
        assert_eq!(size_of::<PortSet>(), 16);
    }

    proptest! {
        #[test]
        fn a_port_set_is_a_set(ports in prop::collection::vec(any::<u16>(), 0..1500), more in prop::collection::vec(0u16..700, 0..700)) {
            let mut set = PortSet::default();
            ports.iter().for_each(|&port| set.insert(port));
            let mut expected: std::collections::BTreeSet<u16> = ports.iter().copied().collect();
            prop_assert_eq!(set.count(), expected.len() as u64);
            let mut other = PortSet::default();
            more.iter().for_each(|&port| other.insert(port));
            let union = set.union_count(&other);
            set.merge(&other);
            expected.extend(more.iter().copied());
            prop_assert_eq!(set.first(usize::MAX), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(union, expected.len() as u64);
            prop_assert!(expected.iter().all(|&port| set.contains(port)));
            for limit in [0, 1, 64, 350, 32_768, u16::MAX] {
                prop_assert_eq!(set.count_below(limit), expected.range(..limit).count() as u64);
            }
        }
    }
}
