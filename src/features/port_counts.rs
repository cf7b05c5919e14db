//! How often each port was used: a map while few are, an array when many are.
//!
//! A quiet network closes thousands of windows a day with a dozen ports each; clearing and adding
//! 65,536 counters for each of them was nine tenths of its cost.

use std::fmt;

use hashbrown::HashMap;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::Climb;

const PORTS: usize = 1 << 16;
/// From here on the array (256 KiB) is the cheaper form.
const SPARSE_LIMIT: usize = 2_048;

/// Counts per port number.
#[derive(Clone, Debug)]
pub(super) enum PortCounts {
    Sparse(HashMap<u16, u32>),
    Dense(Vec<u32>),
}

impl Default for PortCounts {
    fn default() -> Self {
        Self::Sparse(HashMap::new())
    }
}

impl PortCounts {
    /// Counts `times` uses of a port, saturating.
    pub(super) fn add(&mut self, port: u16, times: u32) {
        match self {
            Self::Dense(counts) => {
                let count = &mut counts[usize::from(port)];
                *count = count.saturating_add(times);
            }
            Self::Sparse(counts) => {
                let count = counts.entry(port).or_insert(0);
                *count = count.saturating_add(times);
                if counts.len() > SPARSE_LIMIT {
                    let mut dense = vec![0; PORTS];
                    counts.iter().for_each(|(&port, &count)| dense[usize::from(port)] = count);
                    *self = Self::Dense(dense);
                }
            }
        }
    }

    /// Adds the counts of another stretch of time.
    pub(super) fn merge(&mut self, other: &Self) {
        match other {
            Self::Sparse(counts) => {
                counts.iter().for_each(|(&port, &count)| self.add(port, count));
            }
            Self::Dense(theirs) => {
                let mut counts = match std::mem::take(self) {
                    Self::Dense(counts) => counts,
                    Self::Sparse(sparse) => {
                        let mut dense = vec![0; PORTS];
                        sparse.iter().for_each(|(&port, &count)| dense[usize::from(port)] = count);
                        dense
                    }
                };
                for (ours, &theirs) in counts.iter_mut().zip(theirs) {
                    *ours = ours.saturating_add(theirs);
                }
                *self = Self::Dense(counts);
            }
        }
    }

    /// Distinct ports.
    pub(super) fn distinct(&self) -> u64 {
        match self {
            Self::Sparse(counts) => counts.len() as u64,
            Self::Dense(counts) => counts.iter().filter(|&&count| count > 0).count() as u64,
        }
    }

    /// The counts in ascending order of their ports, so that sums of them are reproducible.
    pub(super) fn in_order(&self) -> Vec<u64> {
        self.by_port().into_iter().map(|(_, count)| u64::from(count)).collect()
    }

    /// Ports and counts in ascending order of the ports.
    fn by_port(&self) -> Vec<(u16, u32)> {
        match self {
            Self::Sparse(counts) => {
                let mut counts: Vec<_> =
                    counts.iter().map(|(&port, &count)| (port, count)).collect();
                counts.sort_unstable();
                counts
            }
            Self::Dense(counts) => {
                let used = (0..).zip(counts).filter(|&(_, &count)| count > 0);
                used.map(|(port, &count)| (port, count)).collect()
            }
        }
    }
}

/// Steps between ascending ports, and counts.
impl Serialize for PortCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.by_port().into_iter().map(|(port, count)| {
            let step = port - before;
            before = port;
            (step, count)
        }))
    }
}

impl<'de> Deserialize<'de> for PortCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = PortCounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ascending ports with their counts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PortCounts, A::Error> {
                let (mut counts, mut climb) = (PortCounts::default(), Climb::default());
                while let Some((step, count)) = items.next_element::<(u16, u32)>()? {
                    let port = climb.next(step.into()).and_then(|port| u16::try_from(port).ok());
                    let port = port.filter(|_| count > 0);
                    let port = port.ok_or_else(|| A::Error::custom("a count of no port"))?;
                    counts.add(port, count);
                }
                Ok(counts)
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_are_those_of_the_ports_in_either_form(
            ports in prop::collection::vec(any::<u16>(), 0..4_000),
            cut in 0usize..4_000,
        ) {
            let mut expected = std::collections::BTreeMap::<u16, u64>::new();
            ports.iter().for_each(|&port| *expected.entry(port).or_default() += 1);
            let cut = cut.min(ports.len());
            let mut halves = [PortCounts::default(), PortCounts::default()];
            ports[..cut].iter().for_each(|&port| halves[0].add(port, 1));
            ports[cut..].iter().for_each(|&port| halves[1].add(port, 1));
            let [mut all, rest] = halves;
            all.merge(&rest);
            prop_assert_eq!(all.distinct(), expected.len() as u64);
            prop_assert_eq!(all.in_order(), expected.into_values().collect::<Vec<_>>());
            let written = postcard::to_allocvec(&all).unwrap();
            let read: PortCounts = postcard::from_bytes(&written).unwrap();
            prop_assert_eq!(read.by_port(), all.by_port());
        }
    }
}
