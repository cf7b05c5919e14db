//! Recorded and written messages of every producer, and where they stand in a topic.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The producers that both sides read, with the names of our decoders.
pub const DECODERS: &[(&str, &str)] = &[
    ("goflow2", "goflow2"),
    ("goflow2_v1", "goflow2"),
    ("pmacct", "pmacct"),
    ("nfdump", "nfdump"),
];

/// When Kafka got the first message, in milliseconds.
pub const FIRST_MILLIS: i64 = 1_795_234_440_000;

/// One message of a producer.
pub struct Sample {
    pub producer: &'static str,
    pub text: String,
}

impl Sample {
    pub fn record(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All samples: the recordings of six exporters, and records written after the documentation of
/// the other producers, of which no recordings are at hand.
pub fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut recordings: Vec<PathBuf> = std::fs::read_dir(root().join("tests/data/goflow2-json"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ndjson"))
        .collect();
    recordings.sort();
    for recording in recordings {
        samples.extend(read(&recording, "goflow2"));
    }
    assert_eq!(samples.len(), 600);
    for producer in ["goflow2_v1", "pmacct", "nfdump"] {
        samples.extend(written(producer));
    }
    samples
}

/// The written samples of a producer.
pub fn written(producer: &'static str) -> Vec<Sample> {
    read(&root().join(format!("tests/logstash/samples/{producer}.ndjson")), producer)
}

fn read(path: &Path, producer: &'static str) -> Vec<Sample> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| Sample { producer, text: line.to_owned() }).collect()
}

/// A message as the Kafka input of the pipeline decorates it.
pub fn located(text: &str, offset: usize) -> Value {
    json!({"message": text, "topic": "flows", "partition": 3, "offset": offset, "timestamp": millis(offset)})
}

/// The timestamp of the Kafka record at an offset.
pub fn millis(offset: usize) -> i64 {
    FIRST_MILLIS + offset as i64
}
