//! Distinct counts that depend on the union alone.
//!
//! Exact up to [`EXACT_LIMIT`] keys, beyond it a HyperLogLog of *all* keys: two partial counts merge
//! into what one count over everything gives, whatever the order. Written here because no kept crate
//! starts exact, costs 24 bytes for the one-peer host that fills a flooded window, and merges.

use std::iter::Copied;
use std::slice::Iter;

use hashbrown::HashSet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hashing::mix;
use super::wire::{Ascending, Block, Bytes, Collect, Steps};

/// Up to so many keys the count is exact.
pub const EXACT_LIMIT: usize = 2048;

/// 2^14 registers: standard error 1.04 / √16384 = 0.8 %, 16 KiB.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// The highest rank that a hash can have.
const MAX_RANK: u8 = (64 - REGISTER_BITS + 1) as u8;
const FEW: usize = 2;
const SOME: usize = 16;

/// A set that is asked for its size. Keys are 64 bits; see [`super::hashing::HostKey::sketch_key`].
#[derive(Clone, Debug, Default)]
pub struct Distinct(Form);

#[derive(Clone, Debug)]
enum Form {
    Few {
        len: u8,
        keys: [u64; FEW],
    },
    /// Ascending. An ordinary host has some peers and some datagrams a minute; a hash table of three keys
    /// would take four times the memory.
    Some(Box<[u64]>),
    Many(Box<HashSet<u64>>),
    Sketch(Box<[u8; REGISTERS]>),
}

impl Default for Form {
    fn default() -> Self {
        Self::Few { len: 0, keys: [0; FEW] }
    }
}

impl Distinct {
    /// Adds a key. O(1).
    pub fn insert(&mut self, key: u64) {
        match &mut self.0 {
            Form::Few { len, keys } => {
                let used = usize::from(*len);
                if keys[..used].contains(&key) {
                    return;
                }
                if used < FEW {
                    keys[used] = key;
                    *len += 1;
                } else {
                    let mut sorted = [keys[0], keys[1], key];
                    sorted.sort_unstable();
                    self.0 = Form::Some(Box::new(sorted));
                }
            }
            Form::Some(sorted) => {
                let Err(place) = sorted.binary_search(&key) else { return };
                if sorted.len() < SOME {
                    let mut keys = std::mem::take(sorted).into_vec();
                    keys.reserve_exact(1);
                    keys.insert(place, key);
                    *sorted = keys.into_boxed_slice();
                } else {
                    let mut set: HashSet<u64> = HashSet::with_capacity(SOME * 2);
                    set.extend(sorted.iter().copied());
                    set.insert(key);
                    self.0 = Form::Many(Box::new(set));
                }
            }
            Form::Many(set) => {
                set.insert(key);
                if set.len() > EXACT_LIMIT {
                    let mut registers = Box::new([0; REGISTERS]);
                    set.iter().for_each(|&key| observe(&mut registers, key));
                    self.0 = Form::Sketch(registers);
                }
            }
            Form::Sketch(registers) => observe(registers, key),
        }
    }

    /// The number of distinct keys: exact up to [`EXACT_LIMIT`], beyond it within about 2.4 %
    /// (three standard errors).
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Few { len, .. } => u64::from(*len),
            Form::Some(sorted) => sorted.len() as u64,
            Form::Many(set) => set.len() as u64,
            Form::Sketch(registers) => estimate(registers),
        }
    }

    /// Whether [`Distinct::count`] is exact.
    pub fn is_exact(&self) -> bool {
        !matches!(self.0, Form::Sketch(_))
    }

    /// Adds everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Form::Few { len, keys } => {
                keys[..usize::from(*len)].iter().for_each(|&key| self.insert(key));
            }
            Form::Some(sorted) => sorted.iter().for_each(|&key| self.insert(key)),
            Form::Many(set) => set.iter().for_each(|&key| self.insert(key)),
            Form::Sketch(theirs) => {
                let mut registers = match std::mem::take(&mut self.0) {
                    Form::Sketch(registers) => registers,
                    Form::Few { len, keys } => sketch_of(&keys[..usize::from(len)]),
                    Form::Some(sorted) => sketch_of(&sorted),
                    Form::Many(set) => sketch_of(&set.into_iter().collect::<Vec<_>>()),
                };
                for (ours, &theirs) in registers.iter_mut().zip(theirs.iter()) {
                    *ours = (*ours).max(theirs);
                }
                self.0 = Form::Sketch(registers);
            }
        }
    }
}

/// The keys in ascending order while they are known, the registers beyond: one form per union.
#[derive(Serialize)]
enum Written<'a> {
    Keys(Steps<Copied<Iter<'a, u64>>>),
    Registers(Bytes<'a>),
}

#[derive(Deserialize)]
enum Read {
    Keys(Ascending<Distinct>),
    Registers(Block<REGISTERS>),
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let write_keys = |keys: &mut [u64], serializer: S| {
            keys.sort_unstable();
            Written::Keys(Steps(keys.iter().copied())).serialize(serializer)
        };
        match &self.0 {
            Form::Few { len, keys } => {
                let mut keys = *keys;
                write_keys(&mut keys[..usize::from(*len)], serializer)
            }
            Form::Some(sorted) => write_keys(&mut sorted.to_vec(), serializer),
            Form::Many(set) => {
                let mut keys: Vec<_> = set.iter().copied().collect();
                write_keys(&mut keys, serializer)
            }
            Form::Sketch(registers) => {
                Written::Registers(Bytes(registers.as_slice())).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Read::deserialize(deserializer)? {
            Read::Keys(Ascending(set)) => Ok(set),
            Read::Registers(Block(registers)) => {
                if registers.iter().any(|&rank| rank > MAX_RANK) {
                    return Err(D::Error::custom("a register holds more than a hash can give"));
                }
                Ok(Self(Form::Sketch(registers)))
            }
        }
    }
}

impl Collect for Distinct {
    fn take(&mut self, number: u64) -> Option<()> {
        self.insert(number);
        self.is_exact().then_some(())
    }
}

fn sketch_of(keys: &[u64]) -> Box<[u8; REGISTERS]> {
    let mut registers = Box::new([0; REGISTERS]);
    keys.iter().for_each(|&key| observe(&mut registers, key));
    registers
}

fn observe(registers: &mut [u8; REGISTERS], key: u64) {
    let hash = mix(key);
    let index = (hash >> (64 - REGISTER_BITS)) as usize;
    let rest = hash << REGISTER_BITS;
    let rank = (rest.leading_zeros() as u8 + 1).min(MAX_RANK);
    registers[index] = registers[index].max(rank);
}

/// The improved estimator of O. Ertl, "New cardinality estimation algorithms for HyperLogLog
/// sketches" (2017), algorithm 6: no bias correction tables, no ranges to switch between.
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    const LAST: usize = MAX_RANK as usize;
    let mut histogram = [0u32; LAST + 1];
    registers.iter().for_each(|&rank| histogram[usize::from(rank)] += 1);
    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - f64::from(histogram[LAST]) / m);
    for rank in (1..LAST).rev() {
        z = 0.5 * (z + f64::from(histogram[rank]));
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    let alpha_infinity = 0.5 / std::f64::consts::LN_2;
    (alpha_infinity * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: impl IntoIterator<Item = u64>) -> Distinct {
        let mut set = Distinct::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }

    #[test]
    fn a_host_with_one_peer_costs_24_bytes() {
        assert_eq!(size_of::<Distinct>(), 24);
    }

    #[test]
    fn counts_are_exact_up_to_the_limit() {
        for n in [0, 1, 2, 3, 16, 17, 100, EXACT_LIMIT as u64] {
            let set = of((0..n).chain(0..n));
            assert_eq!((set.count(), set.is_exact()), (n, true));
        }
    }

    #[test]
    fn large_counts_stay_within_three_standard_errors() {
        for n in [2_049u64, 10_000, 40_000, 70_000, 100_000, 1_000_000] {
            let count = of(0..n).count();
            let error = (count as f64 - n as f64).abs() / n as f64;
            assert!(error < 0.024, "{n} counted as {count}");
        }
    }

    #[test]
    fn the_written_form_depends_on_the_union_alone() {
        for n in [0u64, 1, 2, 3, 16, 17, 100, 2_048, 2_049, 9_000] {
            let written = postcard::to_allocvec(&of(0..n)).unwrap();
            assert_eq!(postcard::to_allocvec(&of((0..n).rev())).unwrap(), written);
            let read: Distinct = postcard::from_bytes(&written).unwrap();
            assert_eq!((read.count(), read.is_exact()), (of(0..n).count(), of(0..n).is_exact()));
            assert_eq!(postcard::to_allocvec(&read).unwrap(), written);
        }
    }

    #[test]
    fn a_register_beyond_any_hash_is_refused() {
        let mut written = postcard::to_allocvec(&of(0..9_000)).unwrap();
        *written.last_mut().unwrap() = MAX_RANK + 1;
        assert!(postcard::from_bytes::<Distinct>(&written).is_err());
    }

    #[test]
    fn merging_gives_the_count_of_the_union_in_every_form() {
        for (left, right) in [
            (1u64, 2u64),
            (2, 5),
            (10, 12),
            (1_500, 1_500),
            (3_000, 10),
            (10, 3_000),
            (9_000, 8_000),
        ] {
            let whole = of((0..left).chain(left / 2..left / 2 + right));
            let mut merged = of(0..left);
            merged.merge(&of(left / 2..left / 2 + right));
            assert_eq!(merged.count(), whole.count(), "{left} and {right}");
        }
    }
}
