//! Tunnels by the shape of their flows: what the two tunnel detectors share.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey};

use super::RestoreError;
use super::alarms;
use super::recent::{Recent, Saved};

/// What a pair exchanged within one window.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Minute {
    window: i64,
    packets_up: u64,
    packets_down: u64,
    bytes_up: u64,
    bytes_down: u64,
    evidence: u64,
}

/// What a pair exchanged within the memory.
#[derive(Clone, Copy, Default)]
pub(super) struct Exchange {
    pub packets_up: u64,
    pub packets_down: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// Packets or records that were seen.
    pub evidence: u64,
}

impl Exchange {
    /// Bytes of a packet from the client on average; 0 without packets.
    pub(super) fn mean_up(&self) -> f64 {
        self.bytes_up as f64 / self.packets_up.max(1) as f64
    }

    /// Bytes of a packet from the server on average; 0 without packets.
    pub(super) fn mean_down(&self) -> f64 {
        self.bytes_down as f64 / self.packets_down.max(1) as f64
    }
}

/// The last windows of pairs.
pub(super) struct Exchanges {
    windows: i64,
    pairs: Recent<(HostKey, HostKey), Vec<Minute>>,
}

impl Exchanges {
    /// Remembers so many `windows` of at most `most` pairs.
    pub(super) fn new(windows: u32, most: usize) -> Self {
        Self { windows: i64::from(windows), pairs: Recent::new(most) }
    }

    /// Drops what lies too far back.
    pub(super) fn begin(&mut self, now: i64) {
        self.pairs.forget_before(now - self.windows + 1);
    }

    /// Adds a conversation of window `now`; returns all of the pair within the memory.
    pub(super) fn add(&mut self, c: &Conversation, now: i64) -> Exchange {
        let oldest = now - self.windows + 1;
        let minutes = self.pairs.see((c.client, c.server), now);
        minutes.retain(|minute| minute.window >= oldest);
        let counters = &c.counters;
        minutes.push(Minute {
            window: now,
            packets_up: counters.packets_up,
            packets_down: counters.packets_down,
            bytes_up: counters.bytes_up,
            bytes_down: counters.bytes_down,
            evidence: counters.evidence(),
        });
        minutes.iter().fold(Exchange::default(), |sum, minute| Exchange {
            packets_up: sum.packets_up.saturating_add(minute.packets_up),
            packets_down: sum.packets_down.saturating_add(minute.packets_down),
            bytes_up: sum.bytes_up.saturating_add(minute.bytes_up),
            bytes_down: sum.bytes_down.saturating_add(minute.bytes_down),
            evidence: sum.evidence.saturating_add(minute.evidence),
        })
    }

    pub(super) fn save(&self) -> Vec<u8> {
        alarms::save(&self.pairs.save())
    }

    pub(super) fn restore(&mut self, id: &'static str, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<(HostKey, HostKey), Vec<Minute>> = alarms::restore(id, state)?;
        self.pairs.restore(saved);
        Ok(())
    }
}
