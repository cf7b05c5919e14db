//! Progress as lines of the log, and as the time that jobs wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

use crate::jobs::Watermark;
use crate::model::Timestamp;
use crate::pipeline::Progress;
use crate::sources::Lag;

/// Progress is logged about every so many flows.
const FLOWS: u64 = 1_000_000;
/// How often it is logged that the reading is behind.
const BEHIND_PAUSE: Duration = Duration::from_secs(60);

/// Logs how far it is.
pub(super) struct LoggedProgress {
    flows: AtomicU64,
    watermark: Watermark,
    /// When it was last logged how far behind it is.
    told: Mutex<Instant>,
}

impl LoggedProgress {
    pub(super) fn new(watermark: Watermark) -> Self {
        Self { flows: AtomicU64::new(0), watermark, told: Mutex::new(Instant::now()) }
    }
}

impl Progress for LoggedProgress {
    fn scored(&self, flows: u64) {
        let before = self.flows.fetch_add(flows, Ordering::Relaxed);
        if before / FLOWS != (before + flows) / FLOWS {
            info!(flows = before + flows, "scoring");
        }
    }

    fn judged_through(&self, time: Timestamp) {
        self.watermark.advance_to(time);
    }

    fn behind(&self, lag: Lag) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if lag.messages > 0 && told.elapsed() >= BEHIND_PAUSE {
            *told = Instant::now();
            info!(messages = lag.messages, seconds = lag.seconds.round(), "behind the topic");
        }
    }

    fn sorting(&self) {
        info!("the input is not in time order and is sorted first");
    }
}
