//! What happened to the input, in numbers.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::scorer::Counters;
use crate::sources::{CaptureNotes, RejectReason};

/// What happened to the input.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Records read, headers and comments included.
    pub records: u64,
    /// Records that could not be used, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The first rejected records, in words, at most [`Summary::SAMPLES`].
    pub rejected_samples: Vec<String>,
    /// Sources that could not be used or not to their end, in words.
    pub problems: Vec<String>,
    /// What captures held beside packets of flows.
    pub capture: CaptureNotes,
    /// What the scorer saw.
    pub counters: Counters,
    /// Earliest and latest event time.
    pub extent: Option<(Timestamp, Timestamp)>,
    /// Whether the input had to be sorted first.
    pub sorted: bool,
}

impl Summary {
    /// How many rejected records are kept in words.
    pub const SAMPLES: usize = 5;

    /// All rejected records.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Counts a rejected record and keeps the first few in words.
    pub(super) fn note_rejected(
        &mut self,
        source: &str,
        line: u64,
        reason: RejectReason,
        detail: &str,
    ) {
        *self.rejected.entry(reason.name()).or_default() += 1;
        if self.rejected_samples.len() < Self::SAMPLES {
            self.rejected_samples.push(format!("{source}:{line}: {}: {detail}", reason.name()));
        }
    }
}
