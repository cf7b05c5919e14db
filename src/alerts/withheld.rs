//! How many alerts the budget held back, by kind.

use crate::model::Kind;

/// Alerts that were not opened for the budget, by kind. Their anomalies are written all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld([u64; Kind::ALL.len()]);

impl Default for Withheld {
    fn default() -> Self {
        Self([0; Kind::ALL.len()])
    }
}

impl Withheld {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Kinds of which alerts were withheld, and how many, in the order of the table.
    pub fn by_kind(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, kind: Kind) {
        if let Some(count) = self.of(kind) {
            *count += 1;
        }
    }

    /// One that was withheld is opened after all. After a restart it may not be counted here.
    pub(super) fn take_back(&mut self, kind: Kind) {
        if let Some(count) = self.of(kind) {
            *count = count.saturating_sub(1);
        }
    }

    fn of(&mut self, kind: Kind) -> Option<&mut u64> {
        Kind::ALL
            .into_iter()
            .zip(&mut self.0)
            .find_map(|(one, count)| (one == kind).then_some(count))
    }
}
