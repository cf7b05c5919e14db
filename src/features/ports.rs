//! Sets of ports: always exact, 16 bytes while small.

use std::slice::Iter;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::{Ascending, Block, Bytes, Collect, Steps};

const FEW: usize = 6;
/// From here on a bitmap (8 KiB) is smaller to search than a sorted list.
const SORTED_LIMIT: usize = 512;
const WORDS: usize = 65_536 / 64;
const BITMAP_BYTES: usize = WORDS * 8;
/// From here on the bitmap is smaller to write than one step or more per port.
const STEPS_LIMIT: u64 = 4_096;

/// A set of 16-bit port numbers. Exact at every size, order does not matter.
#[derive(Clone, Debug, Default)]
pub struct PortSet(Form);

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

type Numbers<'a> = std::iter::Map<Iter<'a, u16>, fn(&u16) -> u64>;

/// What binary formats hold; readable ones hold a list.
#[derive(Serialize)]
enum Written<'a> {
    Ports(Steps<Numbers<'a>>),
    Bitmap(Bytes<'a>),
}

#[derive(Deserialize)]
enum Read {
    Ports(Ascending<PortSet>),
    Bitmap(Block<BITMAP_BYTES>),
}

impl Written<'_> {
    fn ports(ports: &[u16]) -> Written<'_> {
        Written::Ports(Steps(ports.iter().map(|&port| u64::from(port))))
    }
}

/// Ascending, or a bitmap when there are many: one form per content.
impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.first(usize::MAX).serialize(serializer);
        }
        match &self.0 {
            Form::Few { len, ports } => {
                let mut ports = *ports;
                let used = &mut ports[..usize::from(*len)];
                used.sort_unstable();
                Written::ports(used).serialize(serializer)
            }
            Form::Bitmap(words) if self.count() > STEPS_LIMIT => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                Written::Bitmap(Bytes(&bytes)).serialize(serializer)
            }
            Form::Sorted(_) | Form::Bitmap(_) => {
                Written::ports(&self.first(usize::MAX)).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let mut set = Self::default();
            Vec::deserialize(deserializer)?.into_iter().for_each(|port| set.insert(port));
            return Ok(set);
        }
        match Read::deserialize(deserializer)? {
            Read::Ports(Ascending(set)) => Ok(set),
            Read::Bitmap(Block(bytes)) => {
                let mut words = Box::new([0; WORDS]);
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                Ok(Self(Form::Bitmap(words)))
            }
        }
    }
}

impl Collect for PortSet {
    fn take(&mut self, number: u64) -> Option<()> {
        self.insert(u16::try_from(number).ok()?);
        Some(())
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

    #[test]
    fn sets_come_back_from_either_form() {
        for n in [0u16, 1, 6, 7, 512, 513, 4_096, 4_097, u16::MAX] {
            let mut set = PortSet::default();
            (0..n).rev().for_each(|port| set.insert(port));
            let written = postcard::to_allocvec(&set).unwrap();
            let read: PortSet = postcard::from_bytes(&written).unwrap();
            assert_eq!(read.first(usize::MAX), set.first(usize::MAX));
            assert_eq!(postcard::to_allocvec(&read).unwrap(), written);
            assert!(written.len() <= BITMAP_BYTES + 4, "{n} ports in {} bytes", written.len());
            let text = serde_json::to_string(&set).unwrap();
            let read: PortSet = serde_json::from_str(&text).unwrap();
            assert_eq!(read.first(usize::MAX), set.first(usize::MAX));
        }
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
