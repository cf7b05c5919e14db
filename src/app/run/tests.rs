//! The worker's parts that run by the clock.

use super::*;
use std::fs::{self, File};
use std::path::Path;

use crate::stores::Family;
use crate::testkit::ip;

fn worker(folder: &tempfile::TempDir) -> Worker {
    let mut config = Config::default();
    config.path.data = folder.path().to_owned();
    config.detectors.blacklist.files = vec![folder.path().join("list.txt")];
    let store = store_on(None, &config).expect("a new folder");
    let (blacklist, watermark) = (SharedList::default(), Watermark::default());
    Worker {
        learned: SharedModel::default(),
        config,
        store,
        drops_old: true,
        blacklist,
        rules: SharedRules::default(),
        enrichment: None,
        mode: Mode::Detect,
        watermark,
    }
}

/// Writes a file anew, with a later time than before.
fn rewrite(path: &Path, text: &str) {
    let before = path.metadata().and_then(|file| file.modified()).expect("a time");
    fs::write(path, text).expect("it is written");
    let file = File::options().write(true).open(path).expect("it is there");
    file.set_modified(before + Duration::from_secs(60)).expect("its time can be set");
}

#[test]
fn changed_names_are_read_again_and_damaged_ones_leave_the_old() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("names.yml");
    let names = |name: &str| format!("networks: {{10.0.0.0/8: {name}}}");
    fs::write(&path, names("one")).expect("it is written");
    let mut worker = worker(&folder);
    worker.config.enrichment.names = Some(path.clone());
    worker.enrichment = open_enrichment(&worker.config).expect("the file is there");
    let mut look = worker.reload_files();
    let name = |worker: &Worker| {
        let mut document = serde_json::json!({"source": {"ip": "10.0.0.1"}});
        worker.enrichment.as_ref().expect("it is on").get().add_to(&mut document);
        document["source"]["geo"]["name"].as_str().map(str::to_owned)
    };
    for (text, expected) in [
        (names("one"), "one"),
        (names("two"), "two"),
        ("networks: {x: y}".to_owned(), "two"),
        (names("three"), "three"),
    ] {
        look(&worker);
        rewrite(&path, &text);
        look(&worker);
        assert_eq!(name(&worker).as_deref(), Some(expected));
    }
    fs::remove_file(&path).expect("it is there");
    look(&worker);
    assert_eq!(name(&worker).as_deref(), Some("three"));
    assert!(open_enrichment(&worker.config).is_err());
}

#[test]
fn a_changed_blacklist_is_read_again_and_a_missing_one_leaves_the_old() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("list.txt");
    fs::write(&path, "192.0.2.1\n").expect("it is written");
    let worker = worker(&folder);
    worker.load_blacklist().expect("the list is there");
    let mut look = worker.reload_files();
    look(&worker);
    rewrite(&path, "192.0.2.2\n");
    look(&worker);
    let list = worker.blacklist.get();
    assert!(list.contains(ip("192.0.2.2")) && !list.contains(ip("192.0.2.1")));
    fs::remove_file(&path).expect("it is there");
    look(&worker);
    assert!(worker.blacklist.get().contains(ip("192.0.2.2")));
}

#[test]
fn a_feed_that_was_fetched_is_taken_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("list.txt");
    fs::write(&path, "192.0.2.1\n").expect("it is written");
    let mut worker = worker(&folder);
    let feed = format!("[{{name: seen, path: {}}}]", path.display());
    worker.config.detectors.blacklist.feeds = serde_yaml_ng::from_str(&feed).expect("settings");
    worker.config.detectors.blacklist.files = Vec::new();
    worker.load_blacklist().expect("nothing is listed yet");
    let mut look = worker.reload_files();
    look(&worker);
    let (settings, feeds) = (&worker.config.detectors.blacklist, worker.config.feeds_path());
    let mut feeds = crate::feeds::Feeds::new(settings, &feeds);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a run time");
    runtime.block_on(feeds.refresh(Timestamp::default, crate::feeds::Trust::Compare, |_| true));
    look(&worker);
    assert_eq!(worker.blacklist.get().lists_of(ip("192.0.2.1")).len(), 1);
}

#[test]
fn what_people_decide_is_followed_without_a_restart() {
    use crate::alerts::Exception;
    use crate::model::{Kind, Subject};
    use crate::triage::{Desk, Signed};

    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut worker = worker(&folder);
    let own = "{kind: new_port, comment: of the settings}";
    worker.config.alerts.exceptions = vec![serde_yaml_ng::from_str(own).expect("it is sound")];
    worker.rules = rules::load(&worker.config, &worker.store).expect("nothing is there");
    let mut refresher = Refresher::new(&worker.config, &worker.store, worker.rules.clone())
        .expect("the namespace is sound");
    let (subject, first) = (Subject::Source(ip("10.0.0.1")), Timestamp::default());
    let hidden = |kind| worker.rules.get().suppressed_by(kind, subject, first).map(str::to_owned);
    refresher.refresh();
    assert_eq!(hidden(Kind::Blacklist), None);
    assert_eq!(hidden(Kind::NewPort).as_deref(), Some("new_port (of the settings)"));
    let namespace = worker.config.namespace().expect("the default is sound");
    let desk = Desk::new(Arc::clone(&worker.store), namespace);
    let text = || "x".to_owned();
    let signed = Signed { owner: text(), comment: text(), by: text(), at: first };
    let exception = Exception { kind: Some(Kind::Blacklist), ..Exception::default() };
    let added = desk.add_exception(exception, signed).expect("it is taken");
    assert_eq!(hidden(Kind::Blacklist), None, "not before it is read again");
    refresher.refresh();
    assert!(hidden(Kind::Blacklist).is_some() && hidden(Kind::NewPort).is_some());
    desk.remove_exception(&added.id, "x", first).expect("it is there");
    refresher.refresh();
    assert_eq!(hidden(Kind::Blacklist), None);
}

#[test]
fn scheduled_jobs_keep_the_verdict_and_write_the_report_of_the_day_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let worker = worker(&folder);
    let due = "2026-03-03T06:00:00Z".parse().expect("a time");
    worker.check_health(due).expect("the check is made");
    worker.write_report(due).expect("the report is written");
    let report = folder.path().join("reports/2026-03-02");
    for name in ["report.html", "report.eml", "report.json"] {
        assert!(report.join(name).exists(), "{name}");
    }
    let request = crate::stores::SearchRequest::new(
        Family::Health,
        worker.config.namespace().expect("the default is sound"),
    );
    assert_eq!(worker.store.search(&request).expect("an answer").total, 1);
}

#[test]
fn what_is_past_its_days_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let worker = worker(&folder);
    worker.check_health("2001-03-03T06:00:00Z".parse().expect("a time")).expect("a verdict");
    worker.drop_old();
    let request = crate::stores::SearchRequest::new(
        Family::Health,
        worker.config.namespace().expect("the default is sound"),
    );
    assert_eq!(worker.store.search(&request).expect("an answer").total, 0);
}
