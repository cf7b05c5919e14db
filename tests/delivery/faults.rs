//! Messages that cannot be used, and brokers that go away.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flowsentry::sinks::KafkaProducer;
use flowsentry::sources::kafka::KafkaInput;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::shared::produce_slowly;
use super::worker::{Site, assert_same, signal};
use super::{broker, fill, input, produce, undisturbed, unique};

#[test]
fn messages_that_are_no_flows_are_kept_aside_and_disturb_nobody() {
    let Some(broker) = broker() else { return };
    let (clean, poisoned) = (unique("clean"), unique("poisoned"));
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let large =
        NewTopic::new(&poisoned, 3, TopicReplication::Fixed(1)).set("max.message.bytes", "4000000");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.create_topics([&large], &AdminOptions::new())).unwrap();
    let settings = KafkaInput { brokers: vec![broker.clone()], ..KafkaInput::default() };
    let mut config = flowsentry::sources::kafka::client_config(&settings).unwrap();
    config.set("message.max.bytes", "4000000");
    let producer = KafkaProducer::with(config, &poisoned).unwrap();
    let too_large = vec![b'x'; 2_000_000];
    let messages: [&[u8]; 6] =
        [b"no flow", b"{\"time_received_ns\":", b"\x00\xff\xfe", b"", b"[1, 2]", &too_large];
    for message in messages {
        producer.send(message, None, None).unwrap();
    }
    producer.flush().unwrap();
    for topic in [&clean, &poisoned] {
        fill(&broker, topic);
    }
    for message in messages {
        producer.send(message, None, None).unwrap();
    }
    producer.flush().unwrap();
    let letters = "dead_letters: {path: dead.ndjson}\n";
    let input = input(&broker, &poisoned, &unique("poisoned"));
    let site = Site::new("undisturbed", &input, "", letters);
    site.run_to_the_end();
    assert_same("poisoned", &undisturbed(&broker, &clean), &site.documents());
    let letters = std::fs::read_to_string(site.folder.path().join("dead.ndjson")).unwrap();
    let letters: Vec<serde_json::Value> =
        letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<&str> =
        letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"too_long") && reasons.contains(&"unknown_format"), "{reasons:?}");
    for message in [&b"no flow"[..], b"{\"time_received_ns\":"] {
        let text = std::str::from_utf8(message).unwrap();
        let kept = letters.iter().filter(|letter| letter["record"] == text).count();
        assert_eq!(kept, 2, "{text}: {reasons:?}");
    }
    assert!(letters.iter().all(|letter| {
        letter["source"].as_str().unwrap().starts_with(&poisoned) && letter["offset"].is_u64()
    }));
}

#[test]
fn a_broker_that_goes_away_and_comes_back_is_waited_for() {
    let mock = MockCluster::new(1).unwrap();
    let broker = mock.bootstrap_servers();
    mock.create_topic("flows", 3, 1).unwrap();
    produce(&broker, "flows", &["simulate", "--flows", "6000", "--seed", "7", "--keyed"]);
    let expected = undisturbed(&broker, "flows");
    assert!(expected.len() > 100, "{}", expected.len());
    let site = Site::new("undisturbed", &input(&broker, "flows", "away"), "", "");
    // The broker is slow, so that it is left in the middle.
    mock.broker_round_trip_time(1, Duration::from_millis(100)).unwrap();
    let mut worker = site.start(None);
    worker.wait_for("partitions are assigned");
    mock.broker_down(1).unwrap();
    worker.wait_for("waiting for the brokers");
    mock.broker_up(1).unwrap();
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    worker.wait_for("everything is read");
    worker.stop();
    assert_same("the broker was away", &expected, &site.documents());
}

/// A broker of its own, that nobody else misses.
struct OwnBroker {
    folder: tempfile::TempDir,
}

impl OwnBroker {
    fn start() -> Self {
        let broker = Self { folder: tempfile::tempdir().unwrap() };
        broker.stack(&["up", "kafka"]);
        broker
    }

    fn stack(&self, arguments: &[&str]) -> String {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stack/stack"))
            .args(arguments)
            .env("FLOWSENTRY_STACK_PORTS", "free")
            .env("FLOWSENTRY_STACK_RUN", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn address(&self) -> String {
        let variables = self.stack(&["env", "kafka"]);
        let of_kafka =
            |line: &str| Some(line.strip_prefix("export FLOWSENTRY_TEST_KAFKA=")?.to_owned());
        variables.lines().find_map(of_kafka).unwrap()
    }

    /// As by a loss of power.
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("kafka/pid")).unwrap();
        signal(pid.split_whitespace().next().unwrap().parse().unwrap(), "-KILL");
        // Waits until it is gone.
        self.stack(&["down", "kafka"]);
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.stack(&["down", "kafka"]);
    }
}

#[test]
fn a_broker_that_is_killed_and_started_again_is_waited_for_and_nobody_rests_meanwhile() {
    // The test servers were fetched when there is one.
    if broker().is_none() {
        return;
    }
    let own = OwnBroker::start();
    let (broker, topic) = (own.address(), "restarted");
    // Longer than the producer takes to find the broker again.
    let input = input(&broker, topic, "restarted").replace("idle_seconds: 2", "idle_seconds: 8");
    let site = Site::new("undisturbed", &input, "", "");
    let mut producer = produce_slowly(&broker, topic);
    let mut worker = site.start(None);
    worker.wait_for("the position is kept");
    own.kill();
    worker.wait_for("waiting for the brokers");
    // The broker is away for longer than partitions take to rest.
    thread::sleep(Duration::from_secs(8));
    own.stack(&["up", "kafka"]);
    assert!(producer.wait().unwrap().success(), "the producer waits for the broker too");
    worker.wait_for("everything is read");
    let log = worker.stop();
    assert_same(&log, &undisturbed(&broker, topic), &site.documents());
}

#[test]
fn a_partition_that_brings_no_flows_holds_nobody_up() {
    let Some(broker) = broker() else { return };
    let topic = unique("garbage");
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let two = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.create_topics([&two], &AdminOptions::new())).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let send = |partition: i32, message: &str| {
        let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload(message);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/goflow2-json");
    let flows = std::fs::read_to_string(format!("{folder}/ipfix-pmacct.ndjson")).unwrap();
    flows.lines().for_each(|flow| send(0, flow));
    let site = Site::new("garbage", &input(&broker, &topic, &topic), "", "");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                send(1, "this is no flow");
                thread::sleep(Duration::from_millis(50));
            }
        });
        let log = site.run_to_the_end();
        is_done.store(true, Ordering::Relaxed);
        assert!(log.contains(" flows=100 "), "{log}");
    });
    assert!(!site.documents().is_empty());
}

#[test]
fn a_broker_that_wants_a_certificate_checked_and_a_password_is_read() {
    let Some(broker) = broker() else { return };
    let variable = |name: &str| std::env::var(format!("FLOWSENTRY_TEST_KAFKA_{name}")).ok();
    let (Some(secure), Some(authority), Some(user), Some(password)) =
        (variable("SASL_SSL"), variable("CA"), variable("USER"), variable("PASSWORD"))
    else {
        println!("skipped: passwords of brokers need FLOWSENTRY_TEST_KAFKA_SASL_SSL and more");
        return;
    };
    let topic = unique("secure");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/goflow2-json");
    produce(&broker, &topic, &["replay", &format!("{folder}/ipfix-pmacct.ndjson")]);
    for mechanism in ["plain", "scram-sha-256"] {
        let group = unique(mechanism);
        let input = input(&secure, &topic, &group);
        let input = format!(
            "{}, ssl: {{certificate_authority: {authority}}}, sasl: {{mechanism: {mechanism}, \
             username: {user}, password_file: password}}}}",
            input.trim_end_matches('}')
        );
        let site = Site::new("secure", &input, "", "");
        std::fs::write(site.folder.path().join("password"), format!("{password}\n")).unwrap();
        let log = site.run_to_the_end();
        assert!(log.contains(" flows=100 "), "{mechanism}: {log}");
        assert!(!log.contains(&password), "a password is in the log");
    }
}
