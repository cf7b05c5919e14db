//! Time of one core: one run to warm up, then the best and the median of several.
//!
//! Time on the processors where Linux tells it, so that whatever else runs on the machine counts
//! less; elapsed time elsewhere. That of all threads of the process is added up: a library that
//! works on several at once does not hide what it costs.

use std::fs;
use std::time::{Duration, Instant};

/// Runs that are timed, after one that is not. Odd, so that the median is one of them.
const REPEATS: usize = 5;

/// How long the same work took.
#[derive(Clone, Copy)]
pub struct Times {
    pub best: Duration,
    pub median: Duration,
}

/// Times `work`. What it returns is dropped outside the measured time.
pub fn times<T>(mut work: impl FnMut() -> T) -> Times {
    drop(std::hint::black_box(work()));
    let mut runs: Vec<Duration> = (0..REPEATS)
        .map(|_| {
            let (start, on_processor) = (Instant::now(), time_on_processor());
            let result = std::hint::black_box(work());
            let elapsed = start.elapsed();
            let spent = time_on_processor().zip(on_processor).map(|(now, then)| now - then);
            drop(result);
            spent.unwrap_or(elapsed)
        })
        .collect();
    runs.sort_unstable();
    Times { best: runs[0], median: runs[REPEATS / 2] }
}

/// What the threads of this process have spent on processors so far: the first number of their
/// `schedstat`, nanoseconds. Threads of a pool stay, so that none is forgotten.
fn time_on_processor() -> Option<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

impl Times {
    /// A line of the table: flows per second of one core, from the median and from the best run.
    pub fn line(self, workload: &str, step: &str, flows: usize) -> String {
        let rate = |time: Duration| with_groups((flows as f64 / time.as_secs_f64()) as u64);
        format!(
            "{workload:<12} {step:<28} {:>9} {:>12} {:>12}",
            with_groups(flows as u64),
            rate(self.median),
            rate(self.best)
        )
    }
}

/// `1234567` as `1,234,567`.
fn with_groups(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
