//! A burst of ten times the usual flows: how much memory a worker takes, and how long it takes to
//! catch up.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flowsentry::model::Timestamp;
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use flowsentry::sinks::KafkaProducer;
use flowsentry::sources::kafka::KafkaInput;

/// Time in the flows goes faster than the clock by this.
const HASTE: f64 = 8.0;
const USUAL: f64 = 20_000.0;
const BURST: f64 = 10.0 * USUAL;
const SECONDS: u32 = 10;
const IDLE_SECONDS: u32 = 2;

/// Prints the peak of memory before and after a burst, and the time to catch up.
pub fn measure(input: &KafkaInput) {
    let topic = format!("{}-burst", input.topics[0]);
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.yml");
    let text = format!(
        "path: {{data: {}}}\ninput: {{kafka: {{brokers: [\"{}\"], topics: [{topic}], \
         group_id: {topic}, idle_seconds: {IDLE_SECONDS}}}}}\n",
        folder.path().display(),
        input.brokers[0]
    );
    std::fs::File::create(&settings).unwrap().write_all(text.as_bytes()).unwrap();
    let producer = KafkaProducer::open(input, &topic).unwrap();
    let start = Config::default().start;
    // The topic is there before the worker looks for it.
    produce(&producer, start, 1_000.0, 1_000);
    let mut worker = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .args(["-c", settings.to_str().unwrap(), "run"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines();
    let mut until_read =
        || lines.by_ref().map_while(Result::ok).find(|line| line.contains("everything is read"));
    until_read().unwrap();
    let start = start.plus_seconds(60);
    let usual = USUAL * f64::from(SECONDS);
    produce(&producer, start, USUAL, usual as u64);
    until_read().unwrap();
    let before = peak_megabytes(&worker);
    let burst = BURST * f64::from(SECONDS);
    let begun = Instant::now();
    produce(&producer, start.plus_seconds(i64::from(SECONDS) * HASTE as i64), BURST, burst as u64);
    let sent = begun.elapsed();
    let waits = Instant::now();
    until_read().unwrap();
    let behind = waits.elapsed().saturating_sub(Duration::from_secs(IDLE_SECONDS.into()));
    println!(
        "burst: {usual:.0} flows at {USUAL:.0}/s peak at {before:.0} MB; {burst:.0} more at {:.0}/s \
         peak at {:.0} MB, all judged {:.1} s after the last was sent",
        burst / sent.as_secs_f64(),
        peak_megabytes(&worker),
        behind.as_secs_f64()
    );
    worker.kill().unwrap();
    worker.wait().unwrap();
}

/// Sends flows of a network that has so many a second, no faster than they come.
fn produce(producer: &KafkaProducer, start: Timestamp, per_second: f64, flows: u64) {
    let config = Config {
        start,
        extent: Extent::Flows(flows),
        flows_per_hour: per_second / HASTE * 3_600.0,
        ..Config::default()
    };
    let begun = Instant::now();
    let mut record = Vec::new();
    for (number, flow) in Simulation::new(config).unwrap().enumerate() {
        record.clear();
        write_goflow2(&flow, &mut record);
        let key = (number / 64).to_le_bytes();
        producer.send(record.trim_ascii_end(), Some(&key), None).unwrap();
        if number % 1_000 == 0 {
            let due = Duration::from_secs_f64(number as f64 / per_second);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    producer.flush().unwrap();
}

fn peak_megabytes(worker: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes / 1_024.0
}
