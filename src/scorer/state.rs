//! What a scorer goes on from after a restart.

use serde::{Deserialize, Serialize};

use crate::alerts::BudgetState;
use crate::detect::RestoreError;
use crate::features::Position;
pub use crate::features::SourceProgress;
use crate::model::{Alert, Timestamp, nanos};

use super::Scorer;

/// What a scorer has learned from closed windows, and from where each source partition must be read
/// again to rebuild the open ones. A scorer that resumes from it and reads on from there says what
/// the first one would have said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Every window that ended here or before is part of it, no later one.
    #[serde(with = "nanos")]
    pub closed_through: Timestamp,
    /// Where to read on, by the numbers that partitions have here.
    pub positions: Vec<(u32, Position)>,
    /// Of a scorer of partials: how far it was in their log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPosition>,
    /// What the detectors learned.
    pub detectors: Vec<Learned>,
    /// The open alerts.
    pub alerts: Vec<Alert>,
    /// How many alerts of which kinds there were.
    #[serde(default)]
    pub budget: BudgetState,
}

/// How far a scorer of partials is in the log that holds those of all source partitions.
///
/// What lies from `begin` to `next` rebuilds the open windows; how far the source partitions are is
/// known already, and counts again from `next` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Offset of the first message that belongs to an open window.
    pub begin: i64,
    /// Offset of the first message that was not read.
    pub next: i64,
    /// How far the source partitions were at `next`, by the numbers that they have here.
    pub sources: Vec<(u32, SourceProgress)>,
}

/// What one detector learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The detector's id.
    pub id: String,
    /// As it saved it.
    #[serde(with = "base64_text")]
    pub state: Vec<u8>,
}

/// Bytes as text: a list of numbers would take four times as much.
mod base64_text {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        BASE64_STANDARD.encode(bytes).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

impl Scorer {
    /// Asks for the state at the end of the next long window that closes; at once when none is open.
    pub fn request_state(&mut self) {
        self.judge.wants_state = true;
        if self.windows.is_empty()
            && let Some(closed_through) = self.windows.closed_through()
        {
            let windows = &self.windows;
            self.judge.note_state(closed_through, || (windows.positions(), None));
        }
    }

    /// Returns the state that was asked for, once. Everything that the scorer gave out until now is
    /// to be written before it is kept.
    pub fn take_state(&mut self) -> Option<State> {
        self.judge.state.take()
    }

    /// Continues from a state. Call it before the first flow. Detectors whose saved state cannot be
    /// read start anew; they are returned.
    pub fn resume(&mut self, state: State) -> Vec<RestoreError> {
        self.windows.resume(state.closed_through, &state.positions);
        self.judge.resume(state)
    }
}
