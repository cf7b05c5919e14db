//! In two stages, whoever dies in between: partitions are folded into a log, the log is judged.

use flowsentry::features::Partial;
use flowsentry::model::Timestamp;
use flowsentry::scorer::{Fold, FoldPosition, MergedScorer, Settings, State};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::stored::Stored;
use super::topic::{PARTITIONS, Topic, alerts};

/// What stands in the log.
enum Word {
    Owned(i64),
    Partial(Vec<u8>),
    Passed(Timestamp),
    Resting(i64, Timestamp),
}

type Log = Vec<(u32, Word)>;

/// One partition as its readers fold it.
struct Reader {
    partition: u32,
    fold: Fold,
    next: usize,
    term: i64,
    committed: Option<FoldPosition>,
    has_rested: bool,
}

impl Reader {
    fn new(topic: &Topic, partition: u32, log: &mut Log) -> Self {
        log.push((partition, Word::Owned(0)));
        let fold = Fold::new(Settings::default(), topic.detectors());
        Self { partition, fold, next: 0, term: 0, committed: None, has_rested: false }
    }

    fn read(&mut self, topic: &Topic, flows: usize, log: &mut Log) {
        for _ in 0..flows {
            let Some(flow) = topic.logs[self.partition as usize].get(self.next) else {
                return self.rest(log);
            };
            self.fold.at(i64::try_from(self.next).unwrap());
            self.fold.add(flow.clone());
            self.next += 1;
        }
        self.fold.at(i64::try_from(self.next).unwrap());
        self.send(log);
        if let Some(watermark) = self.fold.watermark() {
            log.push((self.partition, Word::Passed(watermark.floor(10))));
        }
    }

    fn send(&mut self, log: &mut Log) {
        while let Some(partial) = self.fold.next_complete() {
            let parts = partial.split(5_000);
            log.extend(parts.iter().map(|part| (self.partition, Word::Partial(part.encode()))));
        }
    }

    fn rest(&mut self, log: &mut Log) {
        self.fold.rest();
        self.send(log);
        let through = self.fold.closed_through().unwrap_or(Timestamp::MIN);
        log.push((self.partition, Word::Resting(self.term, through)));
        self.has_rested = true;
    }

    fn commit(&mut self) {
        self.committed = self.fold.take_position().or(self.committed);
    }

    /// Another reader begins where this one has committed.
    fn die(&mut self, topic: &Topic, log: &mut Log) {
        self.fold = Fold::new(Settings::default(), topic.detectors());
        self.term += 1;
        self.next = 0;
        log.push((self.partition, Word::Owned(self.term)));
        if let Some(committed) = self.committed {
            self.next = usize::try_from(committed.position.offset).unwrap();
            self.fold.resume(committed);
        }
    }
}

/// Folds all partitions in a random order; readers die once in so many times. A reader whose time is
/// over still says that there is nothing to read.
fn fold(topic: &Topic, order: u64, deaths: u32) -> Log {
    let mut random = StdRng::seed_from_u64(order);
    let mut log = Log::new();
    let mut readers: Vec<_> =
        (0..PARTITIONS).map(|partition| Reader::new(topic, partition, &mut log)).collect();
    loop {
        let left: Vec<usize> = (0..readers.len()).filter(|at| !readers[*at].has_rested).collect();
        let Some(&at) = left.choose(&mut random) else { return log };
        let reader = &mut readers[at];
        reader.read(topic, random.random_range(1..3_000), &mut log);
        if random.random_ratio(1, 4) {
            reader.commit();
        }
        if deaths > 0 && random.random_ratio(1, deaths) && !reader.has_rested {
            reader.die(topic, &mut log);
            log.push((reader.partition, Word::Resting(reader.term - 1, Timestamp::MIN)));
        }
    }
}

/// Judges a log; dies once in so many messages, and goes on from the state that it kept. With little
/// `room` it lets windows go. Returns how often it read again.
fn judge(topic: &Topic, log: &Log, order: u64, deaths: u32, room: usize) -> (Stored, u64) {
    let mut random = StdRng::seed_from_u64(order);
    let mut stored = Stored::default();
    let mut kept: Option<State> = None;
    let mut rereads = 0;
    'life: loop {
        let mut scorer =
            MergedScorer::new(Settings::default(), alerts(), topic.detectors(), PARTITIONS);
        scorer.hold_at_most(room);
        let mut next = 0;
        if let Some(state) = kept.clone() {
            next = usize::try_from(state.log.as_ref().unwrap().begin).unwrap();
            assert!(scorer.resume(state).is_empty());
        }
        let mut outputs = Vec::new();
        while let Some((source, word)) = log.get(next) {
            scorer.begin(i64::try_from(next).unwrap(), &mut outputs);
            match word {
                Word::Owned(term) => scorer.own(*source, *term),
                Word::Partial(bytes) => _ = scorer.put(*source, Partial::decode(bytes).unwrap()),
                Word::Passed(time) => scorer.pass(*source, *time, &mut outputs),
                Word::Resting(term, time) => scorer.rest(*source, *term, *time, &mut outputs),
            }
            scorer.end(&mut outputs);
            outputs.drain(..).for_each(|output| stored.write(&output));
            if let Some(state) = scorer.take_state() {
                let text = serde_json::to_string(&state).unwrap();
                kept = Some(serde_json::from_str(&text).unwrap());
            }
            next += 1;
            if let Some(offset) = scorer.rereads_from() {
                next = usize::try_from(offset).unwrap();
                rereads += 1;
            }
            if random.random_ratio(1, 40) {
                scorer.request_state();
            }
            if deaths > 0 && random.random_ratio(1, deaths) {
                continue 'life;
            }
        }
        assert!(scorer.is_at_rest());
        return (stored, rereads);
    }
}

#[test]
fn two_stages_find_what_one_finds_whoever_dies() {
    let topic = Topic::new(7);
    let (undisturbed, _) = super::run(&topic, 0, usize::MAX, &[]);
    for order in 1..4 {
        let log = fold(&topic, order, 0);
        let (stored, _) = judge(&topic, &log, order, 0, usize::MAX);
        undisturbed.assert_is(&stored, &format!("order {order}"));
        let log = fold(&topic, order, 10);
        let (stored, _) = judge(&topic, &log, order, 400, usize::MAX);
        undisturbed.assert_is(&stored, &format!("order {order}, deaths"));
    }
}

#[test]
fn windows_that_find_no_room_are_read_again() {
    let topic = Topic::new(7);
    let (undisturbed, _) = super::run(&topic, 0, usize::MAX, &[]);
    // One partition after the other: nothing can close before the last one is read.
    let mut log = Log::new();
    for partition in 0..PARTITIONS {
        log.push((partition, Word::Owned(0)));
    }
    for partition in 0..PARTITIONS {
        let mut reader = Reader::new(&topic, partition, &mut log);
        while !reader.has_rested {
            reader.read(&topic, 1_000, &mut log);
            if partition + 1 < PARTITIONS && reader.has_rested {
                // It is waited for all the same.
                log.pop();
            }
        }
    }
    for partition in 0..PARTITIONS {
        log.push((partition, Word::Resting(0, Timestamp::MAX)));
    }
    for (deaths, room) in [(0, 20_000), (700, 5_000)] {
        let (stored, rereads) = judge(&topic, &log, 1, deaths, room);
        assert!(rereads > 0, "there is no room for all");
        undisturbed.assert_is(&stored, &format!("room {room}"));
    }
}
