//! Points at which the tests of delivery kill the process.
//!
//! `FLOWSENTRY_TEST_CRASH=step:n` ends the process, as a kill would, the `n`-th time that it comes
//! by `step`. Without the variable a point costs a comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Every point, in the order in which a message passes them. Who writes dead letters passes `letters`
/// too, after they were written.
pub const POINTS: [&str; 7] = ["polled", "scored", "facts", "alerts", "parts", "kept", "committed"];

/// As [`POINTS`], of a worker that shares the work with others.
pub const SHARED_POINTS: [&str; 9] =
    ["folded", "sent", "marked", "merged", "facts", "alerts", "parts", "kept", "committed"];

/// The process comes by a step.
pub fn point(step: &str) {
    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("FLOWSENTRY_TEST_CRASH").ok()?;
        let (step, times) = text.split_once(':')?;
        Some((step.to_owned(), times.parse().ok()?))
    });
    if let Some((wanted, times)) = plan
        && wanted == step
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        // No destructor runs, nothing is flushed.
        std::process::abort();
    }
}
