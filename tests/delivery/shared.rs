//! Several workers that share a topic find what one worker finds.

use std::process::{Child, Command, Stdio};
use std::thread;

use chrono::{SecondsFormat, Utc};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::cluster::{Place, set_up};
use super::worker::{Site, Worker, assert_same};
use super::{broker, undisturbed, unique};

/// Partitions with flows; one more stays empty.
const PARTITIONS: i32 = 5;

fn admin(broker: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).create().unwrap()
}

fn done<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A topic of which nobody knows yet.
fn new_topic(broker: &str, topic: &str) {
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let made = done(admin(broker).create_topics([&new], &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// One partition more, of which nothing is ever heard.
fn add_partition(broker: &str, topic: &str) {
    let more = NewPartitions::new(topic, PARTITIONS as usize + 1);
    let made = done(admin(broker).create_partitions([&more], &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// Simulated traffic that comes while workers come and go.
pub fn produce_slowly(broker: &str, topic: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .args(["-E", &format!("input.kafka={{brokers: [\"{broker}\"], topics: [{topic}]}}")])
        .args(["simulate", "--hours", "2", "--seed", "7", "--keyed", "--rate", "6000"])
        .args(["--to", "kafka"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until one of the workers has judged everything that was sent before `since`, then stops them
/// all. Before the first flow all partitions may have rested already.
fn until_read(workers: Vec<Worker>, since: &str) {
    let ids: Vec<u32> = workers.iter().map(Worker::id).collect();
    thread::scope(|scope| {
        for mut worker in workers {
            let ids = &ids;
            scope.spawn(move || {
                if worker.reads_after("everything is read", since) {
                    ids.iter().for_each(|id| super::worker::signal(*id, "-TERM"));
                }
                worker.wait();
            });
        }
    });
}

/// What happens to one of three workers.
enum Fate {
    /// The one that judges dies after it kept a position.
    JudgeDies,
    /// Another one dies at a step.
    Dies(&'static str),
    /// Another one sleeps until its partitions were given to others.
    Sleeps,
}

fn three_workers(name: &str, fate: &Fate) {
    let (Some(broker), Some(place)) = (broker(), Place::new(name)) else { return };
    let topic = unique(name);
    new_topic(&broker, &topic);
    let input = format!(
        "{{brokers: [\"{broker}\"], topics: [{topic}], group_id: {topic}, idle_seconds: 5, \
         snapshot_seconds: 1, lease_seconds: 6, partials_topic: {topic}-partials}}"
    );
    let output = format!("  opensearch: {{hosts: [\"{}\"], retry_seconds: 1}}\n", place.url);
    let site = Site::new(&place.namespace, &input, &output, "");
    set_up(&site);
    let of_last = match fate {
        Fate::Dies(step) => Some(*step),
        Fate::JudgeDies | Fate::Sleeps => None,
    };
    let mut workers = vec![site.start(None)];
    workers[0].wait_for("judging for all workers");
    // From now on flows come, so that nobody rests before the end.
    let mut producer = produce_slowly(&broker, &topic);
    for crash in [None, of_last] {
        let mut worker = site.start(crash);
        worker.wait_for("partitions are assigned");
        workers.push(worker);
    }
    match fate {
        Fate::JudgeDies => {
            // Not at a step of its own: on a busy machine another one may judge by then.
            let mut judge = workers.remove(0);
            judge.wait_for("the position is kept");
            judge.signal("-KILL");
            assert!(!judge.wait().success());
        }
        Fate::Dies(step) => {
            assert!(!workers.remove(2).wait().success(), "it was to die at {step}");
        }
        Fate::Sleeps => {
            workers[0].wait_for("the position is kept");
            workers[2].signal("-STOP");
            workers[1].wait_for("partitions are assigned");
            workers[2].signal("-CONT");
        }
    }
    assert!(producer.wait().unwrap().success());
    let sent = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    add_partition(&broker, &topic);
    // Who lives on takes over what the others had.
    until_read(workers, &sent);
    assert_same(name, &undisturbed(&broker, &topic), &place.documents());
}

#[test]
fn three_workers_find_what_one_finds_although_one_of_them_dies() {
    three_workers("shared", &Fate::Dies("marked:2"));
}

#[test]
fn three_workers_find_what_one_finds_although_the_judge_dies() {
    three_workers("judged", &Fate::JudgeDies);
}

#[test]
fn three_workers_find_what_one_finds_although_one_of_them_is_taken_for_dead() {
    three_workers("asleep", &Fate::Sleeps);
}
