//! Files that grow, are replaced, and are left when asked.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use flowsentry::alerts;
use flowsentry::pipeline::{DeadLetters, Input, Progress, Stop, Stream, score_stream};
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::sinks::NdjsonSink;

fn row(second: u32) -> String {
    format!("2017-01-27 16:24:{second:02},tcp,closed,10.2.1.39,60707,74.201.65.31,443,21687,8999\n")
}

/// Changes the file whenever what is there has been scored; no waiting for a clock.
struct Writer {
    path: PathBuf,
    stop: Stop,
    scored: Mutex<u64>,
}

impl Progress for Writer {
    fn scored(&self, flows: u64) {
        let mut scored = self.scored.lock().expect("one thread");
        *scored += flows;
        match *scored {
            1 => {
                let file = fs::OpenOptions::new().append(true).open(&self.path);
                let mut file = file.expect("the file is there");
                // The second line has no end yet: it must wait for it.
                write!(file, "{}{}", row(1), row(2).trim_end()).expect("it is written");
            }
            2 => {
                let next = self.path.with_extension("new");
                fs::write(&next, row(3) + &row(4)).expect("it is written");
                fs::rename(&next, &self.path).expect("it is replaced");
            }
            4 => self.stop.ask(),
            _ => {}
        }
    }
}

#[test]
fn a_growing_file_is_followed_through_a_replacement_until_asked_to_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("flows.csv");
    fs::write(&path, row(0)).expect("it is written");
    let stop = Stop::default();
    let writer = Writer { path: path.clone(), stop: stop.clone(), scored: Mutex::new(0) };
    let input = Input { paths: vec![path], follow: true, stop, ..Input::default() };
    let stream = Stream { input: &input, leap_seconds: 3_600, progress: &writer };
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), Vec::new());
    let mut written = Vec::new();
    let summary = score_stream(
        &stream,
        &mut scorer,
        &mut NdjsonSink::new(&mut written),
        &mut DeadLetters::discarded(),
    )
    .expect("the stream is scored");
    assert_eq!(summary.counters.flows, 4, "{summary:?}");
    assert!(summary.problems.is_empty(), "{summary:?}");
    assert!(written.is_empty(), "open windows are not written when the reading is stopped");
}
