//! Results of the windows that were asked for, without those that only led up to them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde_json::Value;

use super::{Dataset, Document, Sink, SinkError};
use crate::model::Timestamp;
use crate::stores::{
    Family, Filter, Namespace, SearchRequest, Sort, SourceFields, Store, StoreError,
};

/// Alerts that are read at a time.
const PAGE: usize = 1_000;

/// Leaves out windows and anomalies that begin before a time, and alerts that ended before it.
///
/// An alert that began before is left out, too, where the store knows one of the same kind and
/// subject that began earlier still: it goes on, and a second one would tell of the same.
pub struct SinceSink<S> {
    inner: S,
    since: Timestamp,
    earlier: Earlier,
    left_out: u64,
}

/// Stored alerts that began before a time and were not over then: ids by kind and subject.
#[derive(Debug, Default)]
pub struct Earlier(HashMap<String, Vec<String>>);

impl Earlier {
    /// Finds the alerts that began before `since` and had an anomaly in the last `gap_seconds`
    /// before it, or later.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find(
        store: &dyn Store,
        namespace: &Namespace,
        since: Timestamp,
        gap_seconds: u32,
    ) -> Result<Self, StoreError> {
        let begun = Filter::between("flowsentry.alert.first", Timestamp::MIN, since);
        let quiet = since.plus_seconds(-i64::from(gap_seconds));
        let request = SearchRequest::new(Family::Alerts, namespace.clone())
            .filter(begun)
            .filter(Filter::at_least("flowsentry.alert.last", quiet))
            .sort(Sort::ascending("event.id"))
            .source(SourceFields::Only(vec!["flowsentry.alert".to_owned()]));
        let mut found = Self::default();
        store.scan(&request, PAGE, &mut |hits| {
            for hit in hits {
                let ids = found.0.entry(subject_of(&hit.source)).or_default();
                ids.push(hit.id.to_string());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Whether another alert than this one tells of the same.
    fn covers(&self, alert: &Document) -> bool {
        let known = self.0.get(&subject_of(&alert.body));
        known.is_some_and(|ids| ids.iter().all(|id| id != alert.id()))
    }
}

/// Kind and subject of an alert, as text.
fn subject_of(alert: &Value) -> String {
    let alert = &alert["flowsentry"]["alert"];
    format!("{} {} {}", alert["kind"], alert["subject"]["type"], alert["subject"]["value"])
}

impl<S: Sink> SinceSink<S> {
    /// Returns a sink that hands on to `inner` what `since` does not exclude.
    pub fn new(inner: S, since: Timestamp, earlier: Earlier) -> Self {
        Self { inner, since, earlier, left_out: 0 }
    }

    /// The sink below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How many documents were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn excludes(&self, document: &Document) -> bool {
        match document.dataset {
            Dataset::Window | Dataset::Anomaly => document.time() < self.since,
            Dataset::Alert => {
                let last = document.body["flowsentry"]["alert"]["last"].as_str();
                let last: Timestamp = last.and_then(|text| text.parse().ok()).unwrap_or_default();
                last <= self.since
                    || (document.time() < self.since && self.earlier.covers(document))
            }
        }
    }
}

impl<S: Sink> Sink for SinceSink<S> {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        if self.excludes(document) {
            self.left_out += 1;
            return Ok(());
        }
        self.inner.write(document)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::stores::{EmbeddedConfig, EmbeddedStore};

    /// Remembers the ids of what it gets.
    #[derive(Default)]
    struct Ids(Vec<String>);

    impl Sink for Ids {
        fn write(&mut self, document: &Document) -> Result<(), SinkError> {
            self.0.push(document.id().to_owned());
            Ok(())
        }

        fn flush(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_255_200 + minute * 60)
    }

    fn anomaly(id: &str, minute: i64) -> Document {
        let body = json!({"@timestamp": at(minute), "event": {"id": id}});
        Document { dataset: Dataset::Anomaly, body }
    }

    fn alert(id: &str, subject: &str, first: i64, last: i64) -> Document {
        let body = json!({
            "@timestamp": at(first), "event": {"id": id},
            "flowsentry": {"alert": {
                "kind": "blacklist", "subject": {"type": "source", "value": subject},
                "first": at(first), "last": at(last),
            }},
        });
        Document { dataset: Dataset::Alert, body }
    }

    #[test]
    fn what_only_leads_up_to_the_windows_is_left_out() {
        let mut sink = SinceSink::new(Ids::default(), at(10), Earlier::default());
        for document in [
            anomaly("before", 9),
            anomaly("first", 10),
            alert("over", "a", 5, 10),
            alert("goes on", "b", 5, 11),
            alert("new", "c", 12, 13),
        ] {
            sink.write(&document).unwrap();
        }
        assert_eq!(sink.inner().0, ["first", "goes on", "new"]);
        assert_eq!(sink.left_out(), 2);
    }

    #[test]
    fn an_alert_that_began_earlier_has_no_second_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let namespace = Namespace::default();
        let stored = [
            alert("long", "a", -90, 20),
            alert("same", "b", 5, 20),
            alert("quiet", "c", -90, -60),
            alert("later", "d", 10, 20),
        ];
        let stored = stored.map(|alert| crate::stores::Document {
            index: crate::stores::IndexName::for_event(Family::Alerts, &namespace, alert.time()),
            id: crate::stores::DocumentId::new(alert.id()).unwrap(),
            source: alert.body,
        });
        assert_eq!(store.bulk(stored.to_vec()).unwrap().created(), 4);
        let earlier = Earlier::find(&store, &namespace, at(10), 900).unwrap();
        let mut sink = SinceSink::new(Ids::default(), at(10), earlier);
        for document in [
            alert("second", "a", 5, 11),
            alert("same", "b", 5, 12),
            alert("after the pause", "c", 5, 12),
            alert("of its own", "d", 5, 12),
            alert("inside", "a", 11, 12),
        ] {
            sink.write(&document).unwrap();
        }
        assert_eq!(sink.inner().0, ["same", "after the pause", "of its own", "inside"]);
    }
}
