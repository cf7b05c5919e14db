//! What the embedded store keeps when its process is killed, and when it is opened again.
//!
//! The parent starts this very binary again as a child that writes and reports every
//! acknowledgement, kills it with SIGKILL at a random moment, reopens the folder and compares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Document, DocumentId, EmbeddedConfig, EmbeddedStore, Family, IndexName, Namespace,
    SearchRequest, Store, StoreError, UpdateOutcome,
};
use rand::{Rng, SeedableRng};
use serde_json::json;

const FOLDER: &str = "FLOWSENTRY_TEST_FOLDER";
const FIRST_BATCH: &str = "FLOWSENTRY_TEST_FIRST_BATCH";
const DAYS: i64 = 3;
const PER_DAY: usize = 20;

fn open(folder: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(EmbeddedConfig::at(folder))
}

fn day(number: i64) -> Timestamp {
    "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(number * 86_400)
}

/// The documents of a batch, some on each of the days.
fn batch(number: u64) -> Vec<Document> {
    let ids = (0..DAYS).flat_map(|at| (0..PER_DAY).map(move |item| (at, item)));
    let document = |(at, item)| Document {
        index: IndexName::for_event(Family::Windows, &Namespace::default(), day(at)),
        id: DocumentId::new(format!("{number}-{at}-{item}")).unwrap(),
        source: json!({
            "@timestamp": day(at).to_string(),
            "event": {"id": format!("{number}-{at}-{item}")},
            "filling": "x".repeat(300),
        }),
    };
    ids.map(document).collect()
}

fn counter() -> (IndexName, DocumentId) {
    let index = IndexName::for_event(Family::State, &Namespace::default(), day(0));
    (index, DocumentId::new("counter").unwrap())
}

/// Writes for ever: a batch, then the batch's number into a counter; commits now and then.
#[test]
#[ignore = "the child of the crash test; runs for ever"]
fn child_writes() {
    let folder = std::env::var(FOLDER).unwrap();
    let first: u64 = std::env::var(FIRST_BATCH).unwrap().parse().unwrap();
    // The child writes to four indices: every other child has to close and open writers all the
    // time, and with them to commit.
    let open_writers = if first.is_multiple_of(2) { 2 } else { 4 };
    let config = EmbeddedConfig { open_writers, ..EmbeddedConfig::at(folder) };
    let store = EmbeddedStore::open(config).unwrap();
    let (index, id) = counter();
    let source = json!({"batch": 0});
    store.bulk(vec![Document { index: index.clone(), id: id.clone(), source }]).unwrap();
    let say = |line: String| {
        let mut out = std::io::stdout();
        writeln!(out, "\n{line}").unwrap();
        out.flush().unwrap();
    };
    for number in first.. {
        say(format!("begun {number}"));
        assert_eq!(store.bulk(batch(number)).unwrap().created(), DAYS as usize * PER_DAY);
        say(format!("written {number}"));
        let version = store.get(&index, &id).unwrap().unwrap().version;
        let updated = store.update(&index, &id, json!({"batch": number}), version).unwrap();
        assert!(matches!(updated, UpdateOutcome::Updated(_)));
        say(format!("counted {number}"));
        if number % 5 == 0 {
            store.search(&SearchRequest::new(Family::Windows, Namespace::default())).unwrap();
            store.flush().unwrap();
        }
    }
}

fn start_child(folder: &Path, first_batch: u64) -> (Child, Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST_BATCH, first_batch.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    (child, receiver)
}

/// What the child said before it died.
#[derive(Default)]
struct Said {
    begun: u64,
    written: BTreeSet<u64>,
    counted: u64,
}

impl Said {
    /// Whether the line was one of the child's, not of the test harness around it.
    fn hear(&mut self, line: &str) -> bool {
        let Some((word, number)) = line.split_once(' ') else { return false };
        let Ok(number) = number.parse() else { return false };
        match word {
            "begun" => self.begun = number,
            "written" => drop(self.written.insert(number)),
            "counted" => self.counted = number,
            _ => return false,
        }
        true
    }
}

/// Lets the child say so many lines and then run a little longer, kills it, and notes what it
/// said. Lines, not time alone: a slow disk must not leave it without work done.
fn run_and_kill(folder: &Path, lines_before: usize, longer: Duration, said: &mut Said) {
    let (mut child, lines) = start_child(folder, said.begun + 1);
    let mut count = 0;
    while count < lines_before {
        let line = lines.recv().expect("the child runs for ever");
        count += usize::from(said.hear(&line));
    }
    let end = Instant::now() + longer;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => said.hear(&line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself"),
        };
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        said.hear(&line);
    }
}

fn check(folder: &Path, said: &Said) {
    let store = open(folder).unwrap();
    let request = SearchRequest::new(Family::Windows, Namespace::default());
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let mut page = request.clone().sort(flowsentry::stores::Sort::ascending("event.id"));
        page.size = 10_000;
        page.search_after = after;
        let hits = store.search(&page).unwrap().hits;
        let Some(last) = hits.last() else { break };
        after = Some(last.sort.clone());
        found.extend(hits.into_iter().map(|hit| hit.id.to_string()));
    }
    let distinct: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), found.len(), "a document is there twice");
    for number in 1..=said.begun {
        for at in 0..DAYS {
            let here = |item: &usize| distinct.contains(format!("{number}-{at}-{item}").as_str());
            let count = (0..PER_DAY).filter(here).count();
            let whole = count == PER_DAY;
            let nothing = count == 0 && !said.written.contains(&number);
            assert!(whole || nothing, "batch {number} has {count} documents on day {at}");
        }
    }
    let (index, id) = counter();
    let counted = store.get(&index, &id).unwrap().unwrap().source["batch"].as_u64().unwrap();
    assert!((said.counted..=said.begun).contains(&counted), "{counted}, said {}", said.counted);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut moments = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut said = Said::default();
    for _ in 0..12 {
        let lines = moments.random_range(1..12);
        let longer = Duration::from_micros(moments.random_range(0..20_000));
        run_and_kill(folder.path(), lines, longer, &mut said);
        check(folder.path(), &said);
    }
    assert!(said.written.len() > 12, "only {} batches were written", said.written.len());
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    let (mut child, lines) = start_child(folder.path(), 1);
    while said.begun == 0 {
        said.hear(&lines.recv().unwrap());
    }
    let error = open(folder.path()).err().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let path = folder.path().display();
    let wanted = format!("the embedded store in `{path}` is open in another process");
    assert_eq!(error.to_string(), wanted);
    assert!(open(folder.path()).is_ok());
}

#[test]
fn ids_and_versions_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (index, id) = counter();
    let document = |id: &DocumentId| Document {
        index: index.clone(),
        id: id.clone(),
        source: json!({"n": 1}),
    };
    let mut version = None;
    for round in 0..6 {
        let store = open(folder.path()).unwrap();
        let outcome = store.bulk(vec![document(&id)]).unwrap();
        assert_eq!(outcome.created(), usize::from(round == 0), "round {round}");
        let stored = store.get(&index, &id).unwrap().unwrap();
        assert!(version.is_none_or(|version| version == stored.version), "round {round}");
        let outcome = store.update(&index, &id, json!({"n": round}), stored.version).unwrap();
        let UpdateOutcome::Updated(new) = outcome else { panic!("{outcome:?}") };
        let late = store.update(&index, &id, json!({}), stored.version).unwrap();
        assert_eq!(late, UpdateOutcome::Conflict);
        version = Some(new);
        // With and without a commit before the end.
        if round % 2 == 0 {
            store.flush().unwrap();
        }
    }
}

#[test]
fn a_backfill_over_many_days_keeps_few_writers_open() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        EmbeddedConfig { open_writers: 2, open_indices: 5, ..EmbeddedConfig::at(folder.path()) };
    let store = EmbeddedStore::open(config).unwrap();
    let documents = |round: i64| -> Vec<Document> {
        let documents = (0..20).map(|at| Document {
            index: IndexName::for_event(Family::Windows, &Namespace::default(), day(at)),
            id: DocumentId::new(format!("{round}")).unwrap(),
            source: json!({"@timestamp": day(at).to_string()}),
        });
        documents.collect()
    };
    for round in 0..3 {
        assert_eq!(store.bulk(documents(round)).unwrap().created(), 20);
        assert!(store.open_writers() <= 2, "{} writers are open", store.open_writers());
    }
    assert_eq!(store.bulk(documents(1)).unwrap().duplicates(), 20);
    let request = SearchRequest::new(Family::Windows, Namespace::default());
    assert_eq!(store.search(&request).unwrap().total, 60);
}

#[test]
fn an_index_half_dropped_is_gone_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.bulk(batch(1)).unwrap();
    drop(store);
    let name = IndexName::for_event(Family::Windows, &Namespace::default(), day(0)).to_string();
    let rename = |from: &str, to: &str| {
        std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    };
    rename(&name, &format!("dropped-{name}"));
    let store = open(folder.path()).unwrap();
    assert_eq!(store.indices().len(), DAYS as usize - 1);
    assert!(!folder.path().join(format!("dropped-{name}")).exists());
}

/// Copies the files of a folder and of those in it for which `wants` says so.
fn copy(from: &Path, to: &Path, wants: &dyn Fn(&str) -> bool) -> usize {
    // A merge in the background may take a file away after it was listed: then all is copied again.
    loop {
        match try_copy(from, to, wants) {
            Ok(copied) => return copied,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

fn try_copy(from: &Path, to: &Path, wants: &dyn Fn(&str) -> bool) -> std::io::Result<usize> {
    std::fs::create_dir_all(to)?;
    let mut copied = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copied += try_copy(&path, &to.join(name), wants)?;
        } else if wants(name.to_str().unwrap()) {
            std::fs::copy(&path, to.join(name))?;
            copied += 1;
        }
    }
    Ok(copied)
}

#[test]
fn a_commit_that_was_cut_short_is_made_again_over_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let store = EmbeddedStore::open(EmbeddedConfig::at(&whole)).unwrap();
    let (index, id) = counter();
    let document =
        |id: DocumentId| Document { index: index.clone(), id, source: json!({"batch": 0}) };
    let other = DocumentId::new("other").unwrap();
    assert_eq!(store.bulk(vec![document(id.clone()), document(other)]).unwrap().created(), 2);
    store.flush().unwrap();
    let version = store.get(&index, &id).unwrap().unwrap().version;
    store.update(&index, &id, json!({"batch": 7}), version).unwrap();
    // Killed before the commit is named by the index, but after it has written what is deleted.
    copy(&whole, &cut, &|name| name != "lock");
    store.flush().unwrap();
    let written = copy(&whole, &cut, &|name| name.ends_with(".del") || name == ".managed.json");
    assert!(written > 1, "a commit writes what is deleted");
    drop(store);
    let store = EmbeddedStore::open(EmbeddedConfig::at(&cut)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.get(&index, &id).unwrap().unwrap().source["batch"], 7);
    let (version, next) = (store.get(&index, &id).unwrap().unwrap().version, json!({"batch": 8}));
    assert!(matches!(store.update(&index, &id, next, version).unwrap(), UpdateOutcome::Updated(_)));
    store.flush().unwrap();
    assert_eq!(store.get(&index, &id).unwrap().unwrap().source["batch"], 8);
}
