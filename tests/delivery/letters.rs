//! What could not be used is in its place however a worker dies, and can be sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use flowsentry::model::Letter;
use flowsentry::sinks::KafkaProducer;
use flowsentry::sources::kafka::{KafkaInput, letters_of_topic};
use flowsentry::sources::{LetterFilter, letters_of_index};
use flowsentry::stores::{Direction, EmbeddedConfig, EmbeddedStore, Namespace};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::worker::{Site, assert_same};
use super::{broker, input, produce, undisturbed, unique};

/// Messages that are no flows.
const POISON: [&[u8]; 4] = [b"no flow \x1b[31m", b"{\"time_received_ns\":", b"\x00\xff", b"[1, 2]"];

fn settings(broker: &str) -> KafkaInput {
    KafkaInput { brokers: vec![broker.to_owned()], ..KafkaInput::default() }
}

/// A topic of one partition, so that its order is kept.
fn new_topic(broker: &str, topic: &str, most_bytes: u32) {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let most_bytes = most_bytes.to_string();
    let new =
        NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &most_bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.create_topics([&new], &AdminOptions::new())).unwrap();
}

/// Flows with messages among them that are none.
fn poisoned(broker: &str, topic: &str) {
    let producer = KafkaProducer::open(&settings(broker), topic).unwrap();
    for seed in ["7", "8", "9"] {
        produce(broker, topic, &["simulate", "--flows", "4000", "--seed", seed, "--keyed"]);
        for number in 0..100 {
            let mut message = POISON[number % POISON.len()].to_vec();
            message.extend_from_slice(number.to_string().as_bytes());
            producer.send(&message, None, None).unwrap();
        }
        producer.flush().unwrap();
    }
}

/// Letters by id, each as often as it is there.
type Letters = BTreeMap<String, Vec<Letter>>;

fn in_store(folder: &Path, namespace: &str) -> Letters {
    let store = EmbeddedStore::open(EmbeddedConfig::at(folder.join("data/store"))).unwrap();
    let namespace = Namespace::new(namespace).unwrap();
    let mut letters = Letters::new();
    let filter = LetterFilter::default();
    letters_of_index(&store, &namespace, &filter, Direction::Ascending, &mut |letter| {
        letters.entry(letter.id.clone()).or_default().push(letter);
        ControlFlow::Continue(())
    })
    .unwrap();
    letters
}

fn in_topic(broker: &str, topic: &str) -> Letters {
    let mut letters = Letters::new();
    let filter = LetterFilter::default();
    letters_of_topic(&settings(broker), topic, &filter, &mut |letter| {
        letters.entry(letter.id.clone()).or_default().push(letter);
        ControlFlow::Continue(())
    })
    .unwrap();
    letters
}

fn ids(letters: &Letters) -> BTreeSet<&str> {
    letters.keys().map(String::as_str).collect()
}

/// How many messages they are about; of an array each value is a letter.
fn messages(letters: &Letters) -> usize {
    let places = letters.values().flatten().map(|letter| (&letter.source, letter.offset));
    places.collect::<BTreeSet<_>>().len()
}

/// Kills a worker at a step, twice, lets another one finish, and returns its site.
fn killed(input: &str, letters: &str, crash: &str) -> Site {
    let site = Site::new("undisturbed", input, "", letters);
    assert!(site.start(Some(crash)).dies(), "{crash}: it should have died");
    site.start(Some(crash)).dies();
    site.run_to_the_end();
    site
}

#[test]
fn a_killed_worker_leaves_each_letter_once_in_the_index_and_at_least_once_in_the_topic() {
    let Some(broker) = broker() else { return };
    let topic = unique("letters");
    poisoned(&broker, &topic);
    let expected = undisturbed(&broker, &topic);
    let place = "dead_letters: {index: true}\n";
    let site = Site::new("undisturbed", &input(&broker, &topic, &unique("whole")), "", place);
    site.run_to_the_end();
    let whole = in_store(site.folder.path(), "undisturbed");
    assert_eq!(messages(&whole), 300);
    assert!(whole.values().flatten().all(|letter| letter.partition().unwrap().0 == topic));
    let kept: BTreeSet<Vec<u8>> = whole.values().flatten().map(Letter::bytes).collect();
    assert!(kept.contains(&b"no flow \x1b[31m0"[..]) && kept.contains(&b"\x00\xff2"[..]));

    for crash in ["letters:1", "kept:1"] {
        let group = unique(&format!("index-{}", crash.replace(':', "-")));
        let site = killed(&input(&broker, &topic, &group), place, crash);
        let letters = in_store(site.folder.path(), "undisturbed");
        assert_eq!(ids(&letters), ids(&whole), "{crash}");
        assert!(letters.values().all(|same| same.len() == 1), "{crash}");
        assert_same(crash, &expected, &site.documents());
    }

    for crash in ["letters:1", "kept:1"] {
        let group = unique(&format!("topic-{}", crash.replace(':', "-")));
        let place = format!("dead_letters: {{topic: {group}-dead}}\n");
        let site = killed(&input(&broker, &topic, &group), &place, crash);
        let letters = in_topic(&broker, &format!("{group}-dead"));
        assert_eq!(ids(&letters), ids(&whole), "{crash}");
        for (id, same) in &letters {
            assert!(same.iter().all(|letter| *letter == whole[id][0]), "{crash}: {same:?}");
        }
        assert_same(crash, &expected, &site.documents());
    }
}

#[test]
fn a_letter_that_the_brokers_refuse_for_good_is_told_and_stops_nobody() {
    let Some(broker) = broker() else { return };
    let (topic, dead) = (unique("small"), unique("small-dead"));
    new_topic(&broker, &dead, 2_000);
    let producer = KafkaProducer::open(&settings(&broker), &topic).unwrap();
    // Nothing that compression makes small.
    let noise: Vec<u8> =
        (0..20_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for message in [b"before".as_slice(), &noise, b"after"] {
        producer.send(message, None, None).unwrap();
        producer.flush().unwrap();
    }
    produce(&broker, &topic, &["simulate", "--flows", "3000", "--seed", "7"]);
    let place = format!("dead_letters: {{topic: {dead}}}\n");
    let site = Site::new("undisturbed", &input(&broker, &topic, &unique("small")), "", &place);
    let log = site.run_to_the_end();
    assert!(log.contains("a dead letter is too large for its topic: it is lost"), "{log}");
    let letters = in_topic(&broker, &dead);
    let kept: BTreeSet<Vec<u8>> = letters.values().flatten().map(Letter::bytes).collect();
    assert_eq!(kept, [b"before".to_vec(), b"after".to_vec()].into_iter().collect());
}

#[test]
fn workers_that_share_the_work_leave_each_letter_once() {
    let Some(broker) = broker() else { return };
    let topic = unique("letters-shared");
    poisoned(&broker, &topic);
    let group = unique("letters-shared-group");
    let input = input(&broker, &topic, &group);
    let input = input.trim_end_matches('}');
    let input = format!("{input}, lease_seconds: 6, partials_topic: {group}-partials}}");
    let site = killed(&input, "dead_letters: {index: true}\n", "letters:1");
    let letters = in_store(site.folder.path(), "undisturbed");
    assert_eq!(messages(&letters), 300);
    assert!(letters.values().all(|same| same.len() == 1));
}

#[test]
fn what_was_rejected_for_a_wrong_setting_is_listed_replayed_and_found() {
    let Some(broker) = broker() else { return };
    let (topic, again) = (unique("wrong"), unique("again"));
    new_topic(&broker, &topic, 1_000_000);
    produce(&broker, &topic, &["simulate", "--flows", "3000", "--seed", "7"]);
    let expected = undisturbed(&broker, &topic);
    let input_of = |topic: &str, group: &str, more: &str| {
        let input = input(&broker, topic, &unique(group));
        format!("{}{more}}}", input.trim_end_matches('}'))
    };
    for place in ["index: true".to_owned(), format!("topic: {topic}-dead"), "path: dead".to_owned()]
    {
        let name = place.split(':').next().unwrap();
        let wrong = Site::new(
            "undisturbed",
            &input_of(&topic, &format!("wrong-{name}"), ", format: goflow2_protobuf"),
            "",
            &format!("dead_letters: {{{place}}}\n"),
        );
        let mut worker = wrong.start(None);
        worker.wait_for("everything is read");
        worker.stop();
        let told =
            wrong.command(&["deadletter", "list", "--reason", "not_protobuf", "--limit", "7"]);
        assert!(told.contains("These are the newest 7"), "{place}: {told}");
        let again = format!("{again}-{name}");
        new_topic(&broker, &again, 1_000_000);
        let told = wrong.command(&["deadletter", "replay", "--topic", &again]);
        assert!(told.contains(&format!("Sent 3,000 messages to `{again}`.")), "{place}: {told}");
        assert!(!told.contains("left out"), "{place}: {told}");
        let right =
            Site::new("undisturbed", &input_of(&again, &format!("right-{name}"), ""), "", "");
        right.run_to_the_end();
        assert_same(&place, &expected, &right.documents());
    }
}
