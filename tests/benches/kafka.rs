//! Flows per second from a real broker, everything on, beside a consumer that only counts messages.
//!
//! Needs `FLOWSENTRY_TEST_KAFKA`, the address of a broker, which takes its part of the same cores.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "a bench prints")]

#[path = "kafka/burst.rs"]
mod burst;
#[path = "kafka/workers.rs"]
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use flowsentry::alerts;
use flowsentry::detect;
use flowsentry::model::Timestamp;
use flowsentry::pipeline::{
    Claim, Claimant, DeadLetters, Keep, Partitioned, Progress, Stop, score_partitions,
};
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use flowsentry::sinks::{KafkaProducer, StoreSink};
use flowsentry::sources::Partitions;
use flowsentry::sources::kafka::{KafkaInput, KafkaSource, client_config};
use flowsentry::stores::{EmbeddedConfig, EmbeddedStore, Namespace, Store};
use rdkafka::consumer::{BaseConsumer, Consumer};

const FLOWS: u64 = 1_000_000;
const RUNS: usize = 3;
/// Two minutes of a busy network. With less, days would pass in seconds, and closing windows would
/// be measured instead of flows.
const FLOWS_PER_HOUR: f64 = 30_000_000.0;

fn main() {
    let Ok(broker) = std::env::var("FLOWSENTRY_TEST_KAFKA") else {
        println!("skipped: the bench of Kafka needs FLOWSENTRY_TEST_KAFKA");
        return;
    };
    let topic = format!("bench-{}", std::process::id());
    let input =
        KafkaInput { brokers: vec![broker], topics: vec![topic.clone()], ..KafkaInput::default() };
    // `-- burst` measures that alone.
    let named: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wants = |name: &str| named.is_empty() || named.iter().any(|known| known == name);
    if wants("ratio") || wants("workers") {
        let bytes = fill(&input, &topic);
        println!("{FLOWS} goflow2 messages of {} bytes", bytes / FLOWS);
    }
    if wants("ratio") {
        measure(&input);
    }
    if wants("workers") {
        workers::measure(&input);
    }
    if wants("burst") {
        burst::measure(&input);
    }
}

/// Prints the whole path beside counting, and their ratio.
fn measure(input: &KafkaInput) {
    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let counted = rate(count_only(input, run));
        let (scored, facts) = score(input, run);
        let scored = rate(scored);
        ratios.push(scored / counted);
        println!(
            "count only {counted:>9.0}/s   whole path {scored:>9.0}/s   ratio {:.2}   {facts}",
            scored / counted
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio, median of {RUNS}: {:.2}", ratios[RUNS / 2]);
}

fn rate(elapsed: Duration) -> f64 {
    FLOWS as f64 / elapsed.as_secs_f64()
}

fn fill(input: &KafkaInput, topic: &str) -> u64 {
    let extent = Extent::Flows(FLOWS);
    let config = Config { extent, flows_per_hour: FLOWS_PER_HOUR, ..Config::default() };
    let producer = KafkaProducer::open(input, topic).unwrap();
    let mut record = Vec::new();
    let mut bytes = 0;
    for (number, flow) in Simulation::new(config).unwrap().enumerate() {
        record.clear();
        write_goflow2(&flow, &mut record);
        bytes += record.len() as u64;
        // Spread over the partitions.
        let key = (number / 64).to_le_bytes();
        producer.send(record.trim_ascii_end(), Some(&key), None).unwrap();
    }
    producer.flush().unwrap();
    bytes
}

/// The same client with the same settings, and nothing behind it.
fn count_only(input: &KafkaInput, run: usize) -> Duration {
    let mut config = client_config(input).unwrap();
    config
        .set("group.id", format!("count-{run}-{}", std::process::id()))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "65536");
    let consumer: BaseConsumer = config.create().unwrap();
    let topics: Vec<&str> = input.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).unwrap();
    let (mut begun, mut count) = (None, 0);
    while count < FLOWS {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            // Joining the group is no part of reading.
            begun.get_or_insert_with(Instant::now);
            count += 1;
        }
    }
    begun.unwrap().elapsed()
}

fn now() -> Timestamp {
    Timestamp::from_utc(Utc::now())
}

/// Stops when everything is scored.
#[derive(Default)]
struct Meter {
    scored: AtomicU64,
    begun: std::sync::OnceLock<Instant>,
    ended: std::sync::OnceLock<Instant>,
    stop: Stop,
}

impl Meter {
    /// From the first flow to the last one.
    fn elapsed(&self) -> Duration {
        self.ended.get().unwrap().duration_since(*self.begun.get().unwrap())
    }
}

impl Progress for Meter {
    fn scored(&self, flows: u64) {
        self.begun.get_or_init(Instant::now);
        if self.scored.fetch_add(flows, Ordering::Relaxed) + flows >= FLOWS {
            self.ended.get_or_init(Instant::now);
            self.stop.ask();
        }
    }
}

fn score(input: &KafkaInput, run: usize) -> (Duration, String) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap());
    let namespace = Namespace::new("bench").unwrap();
    let group = format!("score-{run}-{}", std::process::id());
    let input = KafkaInput { group_id: group.clone(), ..input.clone() };
    let claimant = Claimant {
        store: Arc::clone(&store),
        namespace: namespace.clone(),
        group,
        owner: "bench".to_owned(),
        lease_seconds: 60,
    };
    let Claim::Ours(keeper, None) = claimant.claim(now()).unwrap() else { panic!("it is new") };
    let partitions = Partitions::default();
    let source = KafkaSource::open(&input, None, partitions.clone(), true).unwrap();
    let detectors =
        detect::build(&detect::Settings::default(), &detect::Context::default()).unwrap();
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors);
    let mut sink = StoreSink::new(store, namespace);
    let meter = Meter::default();
    let partitioned = Partitioned {
        source: &source,
        keep: Keep {
            partitions: &partitions,
            keeper: &keeper,
            snapshot_pause: Duration::from_secs(1),
            now,
            stop: &meter.stop,
            progress: &meter,
        },
    };
    let mut dead = DeadLetters::discarded();
    let summary = score_partitions(&partitioned, &mut scorer, &mut sink, &mut dead).unwrap();
    let facts = format!(
        "{} windows, {} anomalies, {} late",
        summary.counters.windows, summary.counters.anomalies, summary.counters.late
    );
    (meter.elapsed(), facts)
}
