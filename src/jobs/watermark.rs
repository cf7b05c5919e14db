//! How far this worker has read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::Timestamp;

/// The event time up to which the input of this worker has been judged; shared by its clones.
///
/// Whoever scores moves it forward, the jobs read it: an hour that is still being read is not
/// judged yet.
#[derive(Clone, Debug)]
pub struct Watermark(Arc<AtomicI64>);

impl Watermark {
    /// Moves it to `time`. It never moves back.
    pub fn advance_to(&self, time: Timestamp) {
        self.0.fetch_max(time.nanos(), Ordering::Relaxed);
    }

    /// Returns where it stands; `None` before any input.
    pub fn get(&self) -> Option<Timestamp> {
        let nanos = self.0.load(Ordering::Relaxed);
        (nanos != i64::MIN).then_some(Timestamp::from_nanos(nanos))
    }
}

/// Before any input.
impl Default for Watermark {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shared_and_never_moves_back() {
        let watermark = Watermark::default();
        assert_eq!(watermark.get(), None);
        let shared = watermark.clone();
        shared.advance_to(Timestamp::from_seconds(60));
        shared.advance_to(Timestamp::from_seconds(50));
        assert_eq!(watermark.get(), Some(Timestamp::from_seconds(60)));
    }
}
