use serde_json::json;

use super::*;
use crate::alerts::{Alerts, Exception, Shift, Verdict};
use crate::model::{
    Alert, AlertStatus, Anomaly, DetectorVerdict, Kind, Score, Subject, WindowSpan, alert_document,
    anomaly_document,
};
use crate::stores::{EmbeddedConfig, EmbeddedStore};
use crate::testkit::ip;

/// An anomaly of `kinds`, each with its score.
fn anomaly(source: &str, kinds: &[(Kind, f64)]) -> Anomaly {
    let verdict = |&(kind, score): &(Kind, f64)| DetectorVerdict {
        id: "test",
        kind,
        score: Score::clamped(score),
        probability: 0.01,
    };
    Anomaly {
        window: WindowSpan { start: time(), seconds: 60, truncated: false },
        subject: Subject::Source(ip(source)),
        kinds: kinds.iter().map(|(kind, _)| *kind).collect(),
        score: Score::clamped(80.0),
        confidence: 0.5,
        probability: 0.01,
        detectors: kinds.iter().map(verdict).collect(),
        features: vec![],
        reasons: vec![],
        sentence: "It did.".to_owned(),
        related: vec![],
        services: vec![],
        flows: vec![],
        sampled: None,
    }
}

struct Place {
    desk: Desk,
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let desk = Desk::new(Arc::clone(&store), Namespace::default());
        Self { desk, store, _folder: folder }
    }

    fn put(&self, alert: &Alert) -> String {
        let id = alert.id();
        let document = Document {
            index: IndexName::for_event(Family::Alerts, &Namespace::default(), alert.first),
            id: DocumentId::new(id.clone()).unwrap(),
            source: alert_document(alert),
        };
        assert_eq!(self.store.bulk(vec![document]).unwrap().created(), 1);
        id
    }

    fn put_anomaly(&self, anomaly: &Anomaly) -> Case {
        let (id, namespace) = (anomaly.id(), Namespace::default());
        let document = Document {
            index: IndexName::for_event(Family::Anomalies, &namespace, anomaly.window.start),
            id: DocumentId::new(id.clone()).unwrap(),
            source: anomaly_document(anomaly),
        };
        assert_eq!(self.store.bulk(vec![document]).unwrap().created(), 1);
        self.desk.find(&id).unwrap().unwrap()
    }

    fn document(&self, id: &str) -> Value {
        let Some(Case::Alert(alert)) = self.desk.find(id).unwrap() else { panic!("no alert") };
        let id = DocumentId::new(id).unwrap();
        self.store.get(&alert.index, &id).unwrap().unwrap().source
    }

    fn hidden_by(&self, id: &str) -> Option<String> {
        let document = self.document(id);
        document["flowsentry"]["alert"]["suppressed_by"].as_str().map(str::to_owned)
    }

    fn apply(&self) -> Applied {
        let rules = self.desk.rules(&Settings::default()).unwrap();
        self.desk.apply(&rules, Reach::Stored).unwrap()
    }
}

fn time() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn signed() -> Signed {
    let (owner, comment) = ("anna".to_owned(), "our own scanner".to_owned());
    Signed { owner, comment, by: "root".to_owned(), at: time() }
}

fn alert(kind: Kind, source: &str, hours: i64) -> Alert {
    let first = time().plus_seconds(-hours * 3_600);
    Alert {
        kind,
        subject: Subject::Source(ip(source)),
        status: AlertStatus::Open,
        first,
        last: first.plus_seconds(60),
        count: 1,
        anomaly_ids: vec![],
        score: Score::clamped(70.0),
        sentence: "It did.".to_owned(),
        features: vec![],
        related: vec![],
        services: vec![],
        flows: vec![],
        sampled: None,
        suppressed_by: None,
    }
}

fn from(source: &str) -> Exception {
    Exception { source: crate::alerts::parse_network(source).ok(), ..Exception::default() }
}

#[test]
fn an_exception_acts_on_the_past_and_its_removal_as_well() {
    let place = Place::new();
    let inside = place.put(&alert(Kind::Blacklist, "10.0.0.1", 1));
    let old = place.put(&alert(Kind::NewPort, "10.0.0.2", 2_000));
    let outside = place.put(&alert(Kind::Blacklist, "10.0.1.1", 1));
    let stored = place.desk.add_exception(from("10.0.0.0/24"), signed()).unwrap();
    let words =
        format!("exception {}: any kind from 10.0.0.0/24 (anna: our own scanner)", stored.id);
    assert_eq!(place.apply(), Applied { alerts: 3, hidden: 2, ..Applied::default() });
    assert_eq!(place.hidden_by(&inside).as_deref(), Some(words.as_str()));
    assert_eq!(place.hidden_by(&old).as_deref(), Some(words.as_str()));
    assert_eq!(place.hidden_by(&outside), None);
    assert_eq!(place.apply(), Applied { alerts: 3, ..Applied::default() }, "once is enough");
    let removed = place.desk.remove_exception(&stored.id, "bert", time()).unwrap();
    assert_eq!((removed.enabled, removed.version, removed.changed_by.as_str()), (false, 2, "bert"));
    assert_eq!(place.apply(), Applied { alerts: 3, shown: 2, ..Applied::default() });
    assert_eq!((place.hidden_by(&inside), place.hidden_by(&old)), (None, None));
    let hidden = place.desk.request(Family::Alerts);
    let hidden = hidden.filter(Filter::exists("flowsentry.alert.suppressed_by"));
    assert_eq!(place.store.search(&hidden).unwrap().total, 0, "nothing is found as hidden");
}

#[test]
fn what_an_ended_exception_hid_stays_hidden() {
    let place = Place::new();
    let before = place.put(&alert(Kind::Blacklist, "10.0.0.1", 5));
    let after = place.put(&alert(Kind::Blacklist, "10.0.0.1", 1));
    let exception = Exception { expires: Some(time().plus_seconds(-7_200)), ..from("10.0.0.1") };
    place.desk.add_exception(exception, signed()).unwrap();
    place.apply();
    assert!(place.hidden_by(&before).is_some() && place.hidden_by(&after).is_none());
}

#[test]
fn one_scope_has_one_exception_with_versions() {
    let place = Place::new();
    let first = place.desk.add_exception(from("10.0.0.0/24"), signed()).unwrap();
    let ended = Exception { expires: Some(time()), ..from("::ffff:10.0.0.7/120") };
    let second = place.desk.add_exception(ended, signed()).unwrap();
    assert_eq!((&first.id, first.version, second.version), (&second.id, 1, 2));
    place.desk.remove_exception(&first.id, "anna", time()).unwrap();
    let again = place.desk.remove_exception(&first.id, "anna", time()).unwrap_err();
    assert!(again.to_string().contains("was removed at"), "{again}");
    let third = place.desk.add_exception(from("10.0.0.0/24"), signed()).unwrap();
    assert_eq!((third.version, third.enabled, third.exception.expires), (4, true, None));
    let words: Vec<_> = third.history.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(words, ["added", "changed", "removed", "added"]);
    assert_eq!(place.desk.exceptions().unwrap(), [third]);
    assert!(place.desk.add_exception(Exception::default(), signed()).is_err());
    let nobody = place.desk.remove_exception("../\u{1b}[31m", "anna", time()).unwrap_err();
    assert_eq!(
        nobody.to_string(),
        "there is no exception `exception-../\u{fffd}[31m` in this namespace"
    );
}

#[test]
fn hostile_words_are_cut_and_cleaned_and_stay_searchable() {
    let place = Place::new();
    let id = place.put(&alert(Kind::Blacklist, "10.0.0.1", 1));
    let hostile = "\u{1f600}\"'`$(rm)\n\u{1b}[2J\u{202e}".repeat(10_000);
    let signed = Signed { owner: hostile.clone(), comment: hostile, ..signed() };
    place.desk.add_exception(from("10.0.0.1"), signed).unwrap();
    place.apply();
    let words = place.hidden_by(&id).unwrap();
    assert!(!words.chars().any(crate::model::is_unprintable), "{words}");
    let request = place.desk.request(Family::Alerts);
    let request = request.filter(Filter::term("flowsentry.alert.suppressed_by", words));
    assert_eq!(place.store.search(&request).unwrap().total, 1);
}

#[test]
fn what_others_write_into_the_index_is_left_out() {
    let place = Place::new();
    let stored = place.desk.add_exception(from("10.0.0.1"), signed()).unwrap();
    let id = DocumentId::new(format!("exception-{}", stored.id)).unwrap();
    let index = place.desk.index_of_entries();
    let version = place.store.get(&index, &id).unwrap().unwrap().version;
    let forged = json!({"flowsentry": {"exception": {"id": "\u{1b}[2J".repeat(1_000)}}});
    place.store.update(&index, &id, forged, version).unwrap();
    assert_eq!(place.desk.exceptions().unwrap(), []);
    let again = place.desk.add_exception(from("10.0.0.1"), signed()).unwrap();
    assert_eq!(place.desk.exceptions().unwrap(), [again], "and is repaired by adding it again");
}

#[test]
fn what_the_settings_of_a_worker_hide_is_not_shown_by_a_command() {
    let place = Place::new();
    let hidden = Alert {
        suppressed_by: Some("blacklist (anna: ours)".to_owned()),
        ..alert(Kind::Blacklist, "10.0.0.1", 1)
    };
    let id = place.put(&hidden);
    assert_eq!(place.apply(), Applied { alerts: 1, ..Applied::default() });
    let rules = place.desk.rules(&Settings::default()).unwrap();
    let applied = place.desk.apply(&rules, Reach::All).unwrap();
    assert_eq!((applied.shown, place.hidden_by(&id)), (1, None), "the worker's own settings do");
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let place = Place::new();
    for number in 1..=12 {
        place.put(&alert(Kind::Blacklist, &format!("10.0.0.{number}"), number));
    }
    place.put(&Alert { score: Score::clamped(90.0), ..alert(Kind::NewPort, "10.0.0.1", 1) });
    let ancient = place.put(&alert(Kind::Blacklist, "10.0.0.1", 10_000));
    let since = time().plus_seconds(-86_400);
    let run = place.desk.try_exception(&from("10.0.0.0/24"), since).unwrap();
    assert_eq!((run.alerts, run.covered, run.hidden_already, run.samples.len()), (13, 13, 0, 10));
    assert_eq!(run.by_kind[&Kind::Blacklist], 12);
    assert_eq!(run.by_severity[&crate::model::Severity::Critical], 1);
    assert!(run.samples.is_sorted_by_key(|alert| std::cmp::Reverse(alert.first)));
    assert_eq!(place.hidden_by(&ancient), None);
    assert_eq!(place.desk.exceptions().unwrap(), []);
}

#[test]
fn feedback_is_versioned_told_to_the_alert_and_taken_back() {
    let place = Place::new();
    let id = place.put(&alert(Kind::Blacklist, "10.0.0.1", 1));
    let case = place.desk.find(&id).unwrap().unwrap();
    let said = || place.document(&id)["flowsentry"]["alert"]["feedback"].clone();
    let shift = || {
        let rules = place.desk.rules(&Settings::default()).unwrap();
        rules.shift(Kind::Blacklist, case.subject())
    };
    let give = |verdict| place.desk.give_feedback(&case, verdict, signed()).unwrap().version;
    assert_eq!((said(), shift()), (Value::Null, None));
    assert_eq!(give(Verdict::Benign), 1);
    assert_eq!((said(), shift()), (json!("benign"), Some(Shift::Raised(71.0))));
    assert_eq!(give(Verdict::Attack), 2);
    assert_eq!((said(), shift()), (json!("attack"), Some(Shift::Lowered(30.0))));
    place.desk.revert_feedback(2, "bert", time()).unwrap();
    assert_eq!((said(), shift()), (json!("benign"), Some(Shift::Raised(71.0))));
    place.desk.revert_feedback(1, "bert", time()).unwrap();
    assert_eq!((said(), shift()), (Value::Null, None));
    assert_eq!(give(Verdict::Attack), 3, "numbers are not used again");
    let again = place.desk.revert_feedback(1, "bert", time()).unwrap_err();
    assert!(again.to_string().contains("was taken back at"), "{again}");
    assert!(place.desk.revert_feedback(9, "bert", time()).is_err());
    let states: Vec<_> =
        place.desk.feedback().unwrap().iter().map(|given| given.reverted.is_some()).collect();
    assert_eq!(states, [true, true, false]);
}

#[test]
fn why_names_what_hides_what_would_and_what_is_missing() {
    let place = Place::new();
    let id = place.put(&alert(Kind::Blacklist, "10.0.0.1", 1));
    let settings = Settings::default();
    let known = Known { settings: &settings, budget: None };
    let why = || {
        let case = place.desk.find(&id).unwrap().unwrap();
        place.desk.why(&case, &known).unwrap().join("\n")
    };
    assert_eq!(why(), "Not hidden by any exception.");
    place.desk.add_exception(from("10.1.0.0/16"), signed()).unwrap();
    let right = place.desk.add_exception(from("10.0.0.1"), signed()).unwrap();
    assert!(why().starts_with("Shown, but covered by exception"), "{}", why());
    place.apply();
    assert!(why().starts_with(&format!("Hidden by exception {}: any kind from", right.id)));
    place.desk.remove_exception(&right.id, "bert", time()).unwrap();
    place.apply();
    assert!(why().contains("would hide it, but was removed at"), "{}", why());
    assert!(why().contains("by bert."), "{}", why());
    assert!(why().contains("source 10.0.0.1 is not in 10.1.0.0/16"), "{}", why());
    let case = place.desk.find(&id).unwrap().unwrap();
    place.desk.give_feedback(&case, Verdict::Benign, signed()).unwrap();
    assert!(why().contains("needs a score of 71.0"), "{}", why());
    assert!(place.desk.find("nobody").unwrap().is_none());
    assert!(place.desk.find("").is_err());
}

#[test]
fn why_tells_what_kept_an_anomaly_from_being_an_alert() {
    let place = Place::new();
    let settings = Settings { budget_per_day: 2, ..Settings::default() };
    let kinds = [
        (Kind::PortScanVertical, 60.0),
        (Kind::TooManyPorts, 55.0),
        (Kind::Blacklist, 30.0),
        (Kind::VolumeOutlier, 50.0),
    ];
    let case = place.put_anomaly(&anomaly("10.0.0.1", &kinds));
    assert_eq!((case.kind(), case.score()), (Kind::PortScanVertical, 60.0));
    let mut alerts = Alerts::new(settings.clone());
    for number in 2..9 {
        let noise = anomaly(&format!("10.0.0.{number}"), &[(Kind::PortScanVertical, 70.0)]);
        alerts.fold(noise.window.end(), &[noise], &mut Vec::new());
    }
    let budget = alerts.budget();
    let known = Known { settings: &settings, budget: Some(&budget) };
    let lines = place.desk.why(&case, &known).unwrap();
    assert_eq!(
        lines,
        [
            "port_scan_vertical: no alert, though its score 60.0 reaches 40.0.",
            "  The budget: 28.0 candidates of port_scan_vertical a day for a share of 2.0 of 2; 1 \
             opened in the last 24 h.",
            "  Its score would be enough, but the share is used up for now.",
            "too_many_ports: no alert, because port_scan_vertical says the same and more.",
            "blacklist: no alert, because its score 30.0 is below 40.0 (`alerts.minimum_score`).",
            "volume_outlier: no alert, because its alerts are about a pair over 10 s.",
        ]
    );
    let unknown = Known { settings: &settings, budget: None };
    let lines = place.desk.why(&case, &unknown).unwrap();
    assert!(lines[1].contains("no worker has kept a position"), "{}", lines[1]);
    place.desk.give_feedback(&case, Verdict::Benign, signed()).unwrap();
    let lines = place.desk.why(&case, &known).unwrap();
    assert!(lines[0].contains("its score 60.0 is below 61.0 (feedback)"), "{}", lines[0]);
}
