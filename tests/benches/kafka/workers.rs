//! Several workers that share a topic: flows per second and processor time of folding, and the speed
//! of the one that judges.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flowsentry::alerts;
use flowsentry::detect::{self, Detector};
use flowsentry::model::Timestamp;
use flowsentry::pipeline::{
    Claim, Claimant, DeadLetters, FoldRun, Keep, MergeRun, Progress, Stop, fold_partitions,
    merge_partials,
};
use flowsentry::scorer::{Fold, MergedScorer, Settings};
use flowsentry::sinks::{KafkaProducer, StoreSink};
use flowsentry::sources::Partitions;
use flowsentry::sources::kafka::{KafkaInput, KafkaLog, KafkaSource};
use flowsentry::stores::{EmbeddedConfig, EmbeddedStore, Namespace, Store};

use super::{FLOWS, Meter, now};

/// A partition is done so soon after its last message.
const IDLE_SECONDS: u32 = 1;

/// Prints a line for one, two and three workers.
pub fn measure(input: &KafkaInput) {
    for workers in 1..=3 {
        let log = format!("{}-partials-{workers}", input.topics[0]);
        let group = format!("fold-{workers}-{}", std::process::id());
        let input = KafkaInput { group_id: group, idle_seconds: IDLE_SECONDS, ..input.clone() };
        let (elapsed, busy) = fold(&input, &log, workers);
        let (judged, messages, megabytes) = judge(&input, &log);
        println!(
            "{workers} workers fold {:>9.0}/s, {:.2} µs of processor a flow; {messages} partials of \
             {megabytes:.1} MB, judged alone in {:.2} s",
            FLOWS as f64 / elapsed.as_secs_f64(),
            busy.as_secs_f64() * 1e6 / FLOWS as f64,
            judged.as_secs_f64(),
        );
    }
}

fn detectors() -> Vec<Box<dyn Detector>> {
    detect::build(&detect::Settings::default(), &detect::Context::default()).unwrap()
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Folds everything with so many workers: from the first flow to the last one, and their processor
/// time.
fn fold(input: &KafkaInput, log: &str, workers: usize) -> (Duration, Duration) {
    let meter = Meter::default();
    let resting = Resting::default();
    let before = processor_time();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (meter, resting) = (&meter, &resting);
            scope.spawn(move || {
                let partitions = Partitions::default();
                let producer = KafkaProducer::open_log(input, log).unwrap();
                let source = KafkaSource::join(input, None, partitions.clone()).unwrap();
                let run = FoldRun {
                    source: &source,
                    partitions: &partitions,
                    log: &producer,
                    new_fold: &|| Fold::new(Settings::default(), detectors()),
                    pane_seconds: Settings::default().pane_seconds,
                    commit_pause: Duration::from_secs(1),
                    now,
                    stop: &resting.0,
                    progress: meter,
                };
                fold_partitions(&run, &mut DeadLetters::discarded()).unwrap();
            });
        }
        // Until everything is read, and then until the partitions were told to rest.
        while !meter.stop.wait(Duration::from_millis(20)) {}
        resting.0.wait(Duration::from_secs(u64::from(IDLE_SECONDS) + 3));
        resting.0.ask();
    });
    (meter.elapsed(), processor_time() - before)
}

#[derive(Default)]
struct Resting(Stop);

/// Notes when something was judged last.
struct Judged(Mutex<(Timestamp, Instant)>);

impl Judged {
    fn last(&self) -> Instant {
        self.0.lock().unwrap().1
    }
}

impl Progress for Judged {
    fn scored(&self, _: u64) {}

    fn judged_through(&self, time: Timestamp) {
        let mut last = self.0.lock().unwrap();
        if time > last.0 {
            *last = (time, Instant::now());
        }
    }
}

/// Judges a log that is there; how long it took, its messages and megabytes.
fn judge(input: &KafkaInput, log: &str) -> (Duration, i64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap());
    let namespace = Namespace::new("bench").unwrap();
    let claimant = Claimant {
        store: Arc::clone(&store),
        namespace: namespace.clone(),
        group: input.group_id.clone(),
        owner: "bench".to_owned(),
        lease_seconds: 60,
    };
    let Claim::Ours(keeper, None) = claimant.claim(now()).unwrap() else { panic!("it is new") };
    let (mut messages, mut bytes) = (0, 0);
    let counted = KafkaLog::open(input, log, None).unwrap();
    while let Some((_, message)) = counted.poll(Duration::from_secs(3)).unwrap() {
        (messages, bytes) = (messages + 1, bytes + message.len());
    }
    let partitions = Partitions::default();
    let number = partitions.named(&KafkaLog::name_in(log)).id;
    let mut scorer =
        MergedScorer::new(Settings::default(), alerts::Settings::default(), detectors(), number);
    let mut sink = StoreSink::new(store, namespace);
    let stop = Stop::default();
    let begun = Instant::now();
    let progress = Judged(Mutex::new((Timestamp::MIN, begun)));
    thread::scope(|scope| {
        scope.spawn(|| {
            // It is done when nothing was judged for a while.
            while progress.last().elapsed() < Duration::from_secs(4) {
                stop.wait(Duration::from_millis(100));
            }
            stop.ask();
        });
        let keep = Keep {
            partitions: &partitions,
            keeper: &keeper,
            snapshot_pause: Duration::from_secs(1),
            now,
            stop: &stop,
            progress: &progress,
        };
        let log = KafkaLog::open(input, log, None).unwrap();
        merge_partials(&MergeRun { log: &log, keep }, &mut scorer, &mut sink).unwrap();
    });
    let elapsed = progress.last().duration_since(begun);
    (elapsed, messages, bytes as f64 / 1e6)
}
