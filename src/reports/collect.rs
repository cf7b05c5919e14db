//! What the sections read from: one day of one namespace, with what several of them need.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Day, Fact, ReportError};
use crate::model::{Kind, Score, Severity, Timestamp};
use crate::stores::{
    Aggregation, Direction, Family, Filter, Interval, Limit, Namespace, SearchRequest,
    SearchResponse, Sort, Store, TermsOrder,
};

/// Histograms are asked for in steps that every time zone's hours are made of (offsets are
/// multiples of 15 min), and folded into local hours here.
pub(super) const STEP: Interval = Interval::Fixed { seconds: 900 };

/// An alert goes on for at most so many days before a report looks no further back.
const LONGEST_ALERT_DAYS: u64 = 7;

/// What to report on.
pub struct Scope<'a> {
    /// Where the documents are.
    pub store: &'a dyn Store,
    /// Whose documents.
    pub namespace: Namespace,
    /// Which day.
    pub day: Day,
    /// What the caller knows about the pipeline: records read, rejected, late …
    pub facts: Vec<Fact>,
}

/// A scope with the answers that several sections share.
pub(super) struct Source<'a> {
    pub scope: Scope<'a>,
    /// Alerts that were active on the day and are not suppressed, worst first.
    pub alerts: Vec<StoredAlert>,
    /// How many alerts of the day an exception hides.
    pub suppressed: u64,
    /// Whether anything is stored of the day before.
    pub has_previous: bool,
}

/// What a report needs of an alert document.
#[derive(Clone, Debug)]
pub(super) struct StoredAlert {
    pub id: String,
    pub score: f64,
    pub kind: Option<Kind>,
    pub document: Value,
}

impl<'a> Source<'a> {
    pub fn load(scope: Scope<'a>) -> Result<Self, ReportError> {
        let mut source = Self { scope, alerts: Vec::new(), suppressed: 0, has_previous: false };
        let day = source.scope.day;
        let windows = source.network_windows(day.earlier(1).from(), day.from()).size(0);
        source.has_previous = source.search(&windows)?.total > 0;
        source.suppressed = source.search(&source.active_alerts(day, true).size(0))?.total;
        source.alerts = source.read_alerts()?;
        Ok(source)
    }

    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse, ReportError> {
        Ok(self.scope.store.search(request)?)
    }

    pub fn request(&self, family: Family) -> SearchRequest {
        SearchRequest::new(family, self.scope.namespace.clone())
    }

    /// The 60 s summaries of the whole network; no flow is in two of them.
    pub fn network_windows(&self, from: Timestamp, to: Timestamp) -> SearchRequest {
        let network = Filter::term("flowsentry.window.subject.type", "network");
        self.request(Family::Windows).between(from, to).filter(network)
    }

    /// Alerts with a window on `day`, suppressed ones or the others.
    pub fn active_alerts(&self, day: Day, suppressed: bool) -> SearchRequest {
        let hidden = Filter::exists("flowsentry.alert.suppressed_by");
        let ends_on_day = Filter::Range {
            field: "flowsentry.alert.last".to_owned(),
            from: Limit::Excluded(day.from().into()),
            to: Limit::Open,
        };
        self.request(Family::Alerts)
            .between(day.earlier(LONGEST_ALERT_DAYS).from(), day.to())
            .filter(ends_on_day)
            .filter(if suppressed { hidden } else { hidden.negate() })
    }

    fn read_alerts(&self) -> Result<Vec<StoredAlert>, ReportError> {
        let request = self
            .active_alerts(self.scope.day, false)
            .sort(Sort::descending("flowsentry.alert.score"))
            .sort(Sort::ascending("@timestamp"))
            .size(SearchRequest::MAX_HITS);
        let hits = self.search(&request)?.hits;
        let alerts = hits.into_iter().map(|hit| StoredAlert {
            id: hit.id.to_string(),
            score: number(&hit.source, "/flowsentry/alert/score").unwrap_or_default(),
            kind: Kind::parse(&text(&hit.source, "/flowsentry/alert/kind")),
            document: hit.source,
        });
        Ok(alerts.collect())
    }

    /// Sums of network features in steps of 15 minutes, by the start of the step.
    pub fn network_steps(
        &self,
        from: Timestamp,
        to: Timestamp,
        features: &[&str],
    ) -> Result<BTreeMap<Timestamp, Vec<u64>>, ReportError> {
        let sums = features.iter().fold(Aggregation::over_time(STEP), |histogram, feature| {
            let field = format!("flowsentry.window.features.{feature}");
            histogram.with(*feature, Aggregation::sum(field))
        });
        let request = self.network_windows(from, to).size(0).aggregate("steps", sums);
        let response = self.search(&request)?;
        let steps = response.buckets("steps").iter().filter(|bucket| bucket.doc_count > 0);
        let rows = steps.map(|bucket| {
            let time = Timestamp::from_millis(bucket.key.as_integer().unwrap_or_default());
            let value = |feature: &&str| bucket.value(feature).map_or(0, |sum| sum as u64);
            (time, features.iter().map(value).collect())
        });
        Ok(rows.collect())
    }

    /// The network's total of one feature over the day.
    pub fn network_total(&self, feature: &str) -> Result<u64, ReportError> {
        let sum = Aggregation::sum(format!("flowsentry.window.features.{feature}"));
        let (from, to) = (self.scope.day.from(), self.scope.day.to());
        let request = self.network_windows(from, to).size(0).aggregate("total", sum);
        Ok(self.search(&request)?.value("total").map_or(0, |sum| sum as u64))
    }
}

impl StoredAlert {
    /// The word for the score.
    pub fn severity(&self) -> Severity {
        Score::clamped(self.score).severity()
    }

    /// The host it is about: the sender, else the receiver, else what the document calls it.
    pub fn host(&self) -> String {
        let candidates = ["/source/ip", "/destination/ip", "/flowsentry/alert/subject/value"];
        let mut texts = candidates.iter().map(|pointer| text(&self.document, pointer));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// The title of the kind; the word in the document when it is none of ours.
    pub fn title(&self) -> String {
        let word = || text(&self.document, "/flowsentry/alert/kind");
        self.kind.map_or_else(word, |kind| kind.title().to_owned())
    }
}

/// Returns the aggregation "the `size` values of `field` with the largest sum of `feature`".
pub(super) fn most_bytes(field: &str, feature: &str, size: usize) -> Aggregation {
    let order = TermsOrder::metric("bytes", Direction::Descending);
    let bytes = Aggregation::sum(format!("flowsentry.window.features.{feature}"));
    Aggregation::terms_by(field, size, order).with("bytes", bytes)
}

/// Returns the text at a JSON pointer; empty when there is none. Of several values the first.
pub(super) fn text(document: &Value, pointer: &str) -> String {
    match document.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            values.first().and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Returns the number at a JSON pointer.
pub(super) fn number(document: &Value, pointer: &str) -> Option<f64> {
    document.pointer(pointer)?.as_f64()
}

/// Returns the moment at a JSON pointer.
pub(super) fn time(document: &Value, pointer: &str) -> Option<Timestamp> {
    document.pointer(pointer)?.as_str()?.parse().ok()
}
