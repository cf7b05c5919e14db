//! Records of connections in a topic: judged by a model, each stored once, by the model in use.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use flowsentry::stores::{Family, Namespace, SearchRequest, Sort, Store};
use serde_json::Value;

use super::cluster::{Place, set_up};
use super::worker::{Site, Worker};
use super::{broker, produce};

const NORMAL: &str = "0,tcp,http,SF,230,4000,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0,0,0,0,1,0,0,60,255,1,0,0.02,0.04,0,0,0,0";
const ATTACK: &str = "0,tcp,private,REJ,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,136,1,0,0,1,1,0.01,0.06,0,255,1,0,0.06,0,0,0,0,1,1";

/// Sends `count` records, every tenth of them an attack, and one that is none.
fn send(broker: &str, topic: &str, count: usize) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut rows = String::from("this is no record\n");
    for n in 0..count {
        let _ = writeln!(rows, "{}", if n % 10 == 0 { ATTACK } else { NORMAL });
    }
    std::fs::write(file.path(), rows).unwrap();
    produce(broker, topic, &["replay", &file.path().to_string_lossy()]);
}

/// A worker that has nothing to do but to let a model judge.
fn site(broker: &str, place: &Place, model: &str) -> Site {
    let topic = &place.namespace;
    let output = format!("  opensearch: {{hosts: [\"{}\"], retry_seconds: 1}}\n", place.url);
    let more = format!(
        "models:\n  refresh_seconds: 1\n  classify:\n    - name: connections\n      model: {model}\n      \
         kafka: {{brokers: [\"{broker}\"], topics: [{topic}], group_id: {topic}}}\n\
         dead_letters: {{index: true}}\n"
    );
    let site = Site::reading(topic, "capture: {}", &output, &more);
    set_up(&site);
    site
}

fn documents(place: &Place, family: Family) -> Vec<Value> {
    place.refresh();
    let (store, namespace) = (place.store(), Namespace::new(&place.namespace).unwrap());
    let request = SearchRequest::new(family, namespace).sort(Sort::ascending("event.id"));
    let mut all = Vec::new();
    store
        .scan(&request, 500, &mut |hits| {
            all.extend(hits.into_iter().map(|hit| hit.source));
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

fn verdicts(documents: &[Value], verdict: &str) -> usize {
    let of = |document: &&Value| document["flowsentry"]["prediction"]["verdict"] == verdict;
    documents.iter().filter(of).count()
}

/// Reads the log of a worker until so many records are judged.
fn wait_for(worker: &mut Worker, place: &Place, count: usize) -> Vec<Value> {
    loop {
        worker.wait_for("records are judged and stored");
        let found = documents(place, Family::Predictions);
        if found.len() >= count {
            return found;
        }
    }
}

/// The worker dies after a batch was stored, before the broker was told; the next one reads that batch
/// again.
#[test]
fn no_record_is_lost_or_stored_twice_when_a_worker_dies() {
    let (Some(broker), Some(place)) = (broker(), Place::new("records")) else { return };
    let topic = place.namespace.clone();
    send(&broker, &topic, 1_200);
    let site = site(&broker, &place, "kdd");
    assert!(site.start(Some("predictions:2")).dies());
    let before = documents(&place, Family::Predictions).len();
    assert!((2..1_200).contains(&before), "{before}");
    let mut worker = site.start(None);
    let found = wait_for(&mut worker, &place, 1_200);
    worker.stop();
    assert_eq!(found.len(), 1_200);
    assert_eq!((verdicts(&found, "attack"), verdicts(&found, "normal")), (120, 1_080));
    let letters = documents(&place, Family::DeadLetters);
    let reasons: Vec<_> =
        letters.iter().map(|it| &it["flowsentry"]["deadletter"]["reason"]).collect();
    assert_eq!(reasons, ["wrong_columns"]);
}

/// Another model is promoted while the worker runs: what comes later is judged by that one.
#[test]
fn a_worker_follows_a_promotion_without_a_restart() {
    let (Some(broker), Some(place)) = (broker(), Place::new("promoted")) else { return };
    let topic = place.namespace.clone();
    let site = site(&broker, &place, "store:kdd");
    site.command(&["models", "promote", "kdd"]);
    send(&broker, &topic, 300);
    let mut worker = site.start(None);
    wait_for(&mut worker, &place, 300);
    // The same rows and another seed: another model.
    let rows: String = (0..400).fold(String::new(), |mut rows, n| {
        let (row, label) = if n % 4 == 0 { (ATTACK, "neptune") } else { (NORMAL, "normal") };
        let _ = writeln!(rows, "{}{},{label}", n % 50, &row[1..]);
        rows
    });
    let [data, model] = ["rows.csv", "new.model"].map(|name| site.folder.path().join(name));
    std::fs::write(&data, rows).unwrap();
    let [data, model] = [data, model].map(|path| path.to_string_lossy().into_owned());
    site.command(&["train", "--schema", "kdd", "--data", &data, "--out", &model]);
    site.command(&["models", "promote", &model, "--evaluation", &data, "--force"]);
    worker.wait_for("a model is in use");
    send(&broker, &topic, 100);
    let found = wait_for(&mut worker, &place, 400);
    worker.stop();
    let mut versions: Vec<_> = found
        .iter()
        .map(|it| it["flowsentry"]["prediction"]["model"].as_str().unwrap_or_default().to_owned())
        .collect();
    versions.sort_unstable();
    let counts: Vec<_> = versions.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    assert_eq!(counts.iter().sum::<usize>(), 400);
    assert!(counts == [100, 300] || counts == [300, 100], "{counts:?}");
}
