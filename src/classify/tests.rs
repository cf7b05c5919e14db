use super::*;
use crate::models::shipped;
use crate::stores::Family;

/// An attempt that was refused, one of many, without label.
const ATTACK: &str = "0,tcp,private,REJ,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,136,1,0,0,1,1,0.01,0.06,0,255,1,0,0.06,0,0,0,0,1,1";

fn classifier() -> Classifier {
    Classifier::new("connections", Model::from_bytes(shipped::FILE).unwrap(), "0123456789abcdef99")
}

fn document(classifier: &mut Classifier, bytes: &str, number: u64) -> Document {
    let record = classifier.read(bytes.as_bytes()).unwrap();
    let place = Place { source: "kdd/0", number, bytes: bytes.as_bytes() };
    let time = "2026-03-01T10:00:00Z".parse().unwrap();
    classifier.document(&record, &place, time, &Namespace::default())
}

/// The row as an object of named values, as a pipeline would send it.
fn as_json(classifier: &Classifier, row: &str) -> String {
    let names = classifier.model().schema().columns.iter().map(|column| column.name.clone());
    let cells = row.split(',').map(|cell| match cell.parse::<f64>() {
        Ok(number) => serde_json::json!(number),
        Err(_) => serde_json::json!(cell),
    });
    let mut object: serde_json::Map<_, _> = names.zip(cells).collect();
    object.insert("@timestamp".into(), serde_json::json!("2026-03-01T10:00:00Z"));
    object.insert("host".into(), serde_json::json!({"name": "probe-1"}));
    object.insert("label".into(), serde_json::json!("normal"));
    serde_json::Value::Object(object).to_string()
}

#[test]
fn a_row_and_the_same_as_json_get_the_same_answer_with_its_reasons() {
    let mut classifier = classifier();
    let named = as_json(&classifier, ATTACK);
    let answers = [ATTACK, &named].map(|bytes| document(&mut classifier, bytes, 7));
    let said = answers.clone().map(|it| it.source["flowsentry"]["prediction"].clone());
    assert_eq!(said[0], said[1]);
    assert_eq!(
        (said[0]["class"].as_str(), said[0]["verdict"].as_str()),
        (Some("dos"), Some("attack"))
    );
    assert_eq!(said[0]["model"], "0123456789abcdef");
    assert_eq!(said[0]["input"]["service"], "private");
    assert_eq!(said[0]["features"].as_array().map(Vec::len), Some(EXPLAINED));
    assert_eq!(answers[0].index.to_string(), "flowsentry-predictions-default-2026.03.01");
    assert_eq!(answers[0].index.family(), Family::Predictions);
    let reason = answers[0].source["event"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("Attack of class dos, probability of an attack "), "{reason}");
}

#[test]
fn an_id_is_of_the_place_and_the_bytes() {
    let mut classifier = classifier();
    let ids = [(ATTACK, 7), (ATTACK, 7), (ATTACK, 8)]
        .map(|(bytes, n)| document(&mut classifier, bytes, n).id);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    let named = as_json(&classifier, ATTACK);
    assert_ne!(document(&mut classifier, &named, 7).id, ids[0]);
}

#[test]
fn what_is_no_record_is_named() {
    let classifier = classifier();
    let why = |bytes: &[u8]| classifier.read(bytes).unwrap_err().to_string();
    assert_eq!(why(b"{\"duration\": 1"), "it is not JSON");
    assert_eq!(why(b""), "it is not one row");
    assert_eq!(why(format!("{ATTACK}\n{ATTACK}").as_bytes()), "it is not one row");
    assert_eq!(why(b"1,tcp"), "has 2 cells instead of 41 to 43");
    assert_eq!(
        why(ATTACK.replacen('0', "x", 1).as_bytes()),
        "column `duration` must be a number, got `x`"
    );
    assert_eq!(why(br#"{"duration": 0}"#), "column `protocol_type` is missing");
    assert_eq!(why(br#"{"duratoin": 0}"#), "column `duratoin` is unknown to schema `kdd`");
}

#[test]
fn drift_is_told_by_feature_and_so_is_the_share_of_attacks() {
    let mut classifier = classifier();
    let record = classifier.read(ATTACK.as_bytes()).unwrap();
    for _ in 0..999 {
        classifier.judge(&record);
    }
    assert!(classifier.drift().features.is_empty(), "too few rows to tell");
    classifier.judge(&record);
    let drift = classifier.drift();
    assert_eq!((drift.rows, drift.attack_share), (1_000, 1.0));
    assert!(drift.expected_share.is_some_and(|share| share > 0.0 && share < 0.2));
    assert!(drift.much().any(|feature| feature.feature == "rerror_rate"), "{:?}", drift.features);
}

#[test]
fn totals_do_not_fade_as_drift_does() {
    let mut classifier = classifier();
    let record = classifier.read(ATTACK.as_bytes()).unwrap();
    for _ in 0..DRIFT_ROWS + 10 {
        classifier.judge(&record);
    }
    assert_eq!(classifier.totals(), (DRIFT_ROWS + 10, DRIFT_ROWS + 10));
    assert_eq!(classifier.drift().rows, DRIFT_ROWS / 2 + 10);
}
