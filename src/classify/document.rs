//! What a model said, as an ECS document.

use serde_json::{Map, Value, json};

use crate::model::{ECS_VERSION, Timestamp, dataset, document_id};
use crate::models::record::Record;
use crate::models::schema::Kind;
use crate::models::{Contribution, Model, Prediction};
use crate::stores::{Document, DocumentId, Family, IndexName, Namespace};

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'p> {
    /// `topic/partition`, or the name of a file.
    pub source: &'p str,
    /// The offset of the message, or the number of the row from 0.
    pub number: u64,
    /// The bytes of the record, as far as there are such: a topic that was made anew begins with the
    /// same offsets.
    pub bytes: &'p [u8],
}

/// All that a document tells.
pub(super) struct Answer<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) model: &'a Model,
    pub(super) record: &'a Record,
    pub(super) said: &'a Prediction,
    pub(super) reasons: &'a [Contribution],
}

/// Returns the document of a record that was judged.
pub(super) fn prediction_document(
    answer: &Answer<'_>,
    place: &Place<'_>,
    time: Timestamp,
    namespace: &Namespace,
) -> Document {
    let Answer { name, version, model, record, said, reasons } = answer;
    let schema = model.schema();
    let number = place.number.to_string();
    let content = document_id(&[&String::from_utf8_lossy(place.bytes)]);
    let id = document_id(&["prediction", name, place.source, &number, &content]);
    let class = schema.classes.get(said.class).map_or("", String::as_str);
    let verdict = if said.is_attack { "attack" } else { "normal" };
    let names = schema.classes.iter().zip(&said.class_probabilities);
    let classes: Map<_, _> = names.map(|(name, share)| (name.clone(), json!(share))).collect();
    let features: Vec<_> = reasons
        .iter()
        .map(|one| json!({ "name": one.feature, "value": one.value, "attribution": one.share }))
        .collect();
    let source = json!({
        "@timestamp": time,
        "ecs": { "version": ECS_VERSION },
        "event": {
            "id": id,
            "kind": "event",
            "category": ["network"],
            "type": ["info"],
            "module": "flowsentry",
            "dataset": dataset::PREDICTION,
            "reason": sentence(class, said, reasons),
        },
        "flowsentry": { "prediction": {
            "name": name,
            "model": version,
            "schema": schema.name,
            "class": class,
            "verdict": verdict,
            "probability": said.probability,
            "score": said.score,
            "classes": classes,
            "features": features,
            "input": input(model, record),
            "source": place.source,
            "number": place.number,
        } },
    });
    let index = IndexName::for_event(Family::Predictions, namespace, time);
    Document { index, id: DocumentId::new(id).expect("a hash is neither empty nor long"), source }
}

/// The values that the model read, by name.
fn input(model: &Model, record: &Record) -> Value {
    let columns = model.schema().columns.iter().zip(&record.numbers);
    let one = |kind: &Kind, number: f64| match kind {
        Kind::Category => json!(record.words.get(number as usize)),
        // Missing ones are null.
        Kind::Number { .. } => json!(number),
    };
    let named = columns.map(|(column, number)| (column.name.clone(), one(&column.kind, *number)));
    Value::Object(named.collect())
}

/// For a person.
fn sentence(class: &str, said: &Prediction, reasons: &[Contribution]) -> String {
    let verdict = if said.is_attack { format!("Attack of class {class}") } else { "Normal".into() };
    let for_it = reasons.iter().filter(|one| (one.share > 0.0) == said.is_attack);
    let shown: Vec<_> =
        for_it.take(3).map(|one| format!("{} = {}", one.feature, one.value)).collect();
    let why = if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) };
    format!("{verdict}, probability of an attack {:.3}{why}.", said.probability)
}
