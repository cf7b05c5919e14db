//! Shannon entropy with the natural logarithm, from counts and over a running window.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// Returns the entropy (nats) of a distribution given by counts: 0 for one value, ln n for n equally
/// frequent ones; 0 for no counts at all. Zero counts do not matter.
pub fn entropy(counts: impl IntoIterator<Item = u64>) -> f64 {
    let (mut total, mut weighted) = (0.0, 0.0);
    for count in counts {
        if count > 0 {
            let count = count as f64;
            total += count;
            weighted += count * count.ln();
        }
    }
    if total == 0.0 { 0.0 } else { (f64::ln(total) - weighted / total).max(0.0) }
}

/// Entropy (nats) over the last `capacity` values; system 001 uses 100 flows.
///
/// An update is O(1): only the terms of the value that comes and of the one that goes change. The
/// sum is rebuilt once per `capacity` updates, so that rounding cannot add up.
#[derive(Clone, Debug)]
pub struct RunningEntropy {
    capacity: usize,
    values: VecDeque<u64>,
    counts: HashMap<u64, u32>,
    /// Σ c ln c over the counts.
    weighted: f64,
    updates: usize,
}

impl RunningEntropy {
    /// Returns an empty window over `capacity` values (at least 1).
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            values: VecDeque::new(),
            counts: HashMap::new(),
            weighted: 0.0,
            updates: 0,
        }
    }

    /// Adds a value (a port, a state, or a hash of an address), dropping the oldest beyond the
    /// capacity.
    pub fn push(&mut self, value: u64) {
        if self.values.len() == self.capacity
            && let Some(oldest) = self.values.pop_front()
        {
            self.change(oldest, -1);
        }
        self.values.push_back(value);
        self.change(value, 1);
        self.updates += 1;
        if self.updates.is_multiple_of(self.capacity) {
            self.weighted = self.counts.values().map(|&count| term(count)).sum();
        }
    }

    fn change(&mut self, value: u64, by: i32) {
        let count = self.counts.entry(value).or_insert(0);
        self.weighted -= term(*count);
        *count = count.saturating_add_signed(by);
        self.weighted += term(*count);
        if *count == 0 {
            self.counts.remove(&value);
        }
    }

    /// The entropy (nats) of the values in the window; 0 while it is empty.
    pub fn value(&self) -> f64 {
        let total = self.values.len() as f64;
        if total == 0.0 { 0.0 } else { (total.ln() - self.weighted / total).max(0.0) }
    }
}

fn term(count: u32) -> f64 {
    if count == 0 { 0.0 } else { f64::from(count) * f64::from(count).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn running(values: impl IntoIterator<Item = u64>) -> f64 {
        let mut window = RunningEntropy::new(100);
        values.into_iter().for_each(|value| window.push(value));
        window.value()
    }

    #[test]
    fn a_hundred_equal_values_have_no_entropy() {
        assert_eq!(running(std::iter::repeat_n(443, 100)), 0.0);
    }

    #[test]
    fn a_hundred_distinct_values_have_ln_100() {
        assert!((running(0..100) - 4.605_170_185_988_092).abs() < 1e-12);
    }

    #[test]
    fn two_equal_halves_have_ln_2() {
        assert!((running((0..100).map(|n| n % 2)) - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn old_values_leave_the_window() {
        assert_eq!(running((0..1_000).chain(std::iter::repeat_n(7, 100))), 0.0);
    }

    proptest! {
        #[test]
        fn the_running_form_equals_the_entropy_of_the_last_values(values in prop::collection::vec(0u64..20, 1..400)) {
            let last = &values[values.len().saturating_sub(100)..];
            let mut counts = [0u64; 20];
            last.iter().for_each(|&value| counts[value as usize] += 1);
            prop_assert!((running(values.iter().copied()) - entropy(counts)).abs() < 1e-9);
        }
    }
}
