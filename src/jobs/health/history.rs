//! What the store holds about the checked hour and the hours before it, in two requests.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;

use crate::model::{SubjectType, Timestamp};
use crate::stores::{
    Aggregation, AggregationKind, Bucket, Family, Filter, Interval, Namespace, SearchRequest,
    SourceFields, Store, StoreError,
};

pub(super) const HOUR_SECONDS: i64 = 3_600;
/// More kinds than the closed table of kinds will ever have.
const MOST_KINDS: usize = 64;

/// One hour in which flows were indexed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hour {
    pub start: Timestamp,
    /// Windows of the whole network.
    pub windows: u64,
    /// Of these, how many were truncated.
    pub truncated: u64,
    pub flows: f64,
    pub unknown_sampling: f64,
    pub clock_skew: f64,
    pub outliers: u64,
    pub outliers_by_kind: BTreeMap<String, u64>,
}

impl Hour {
    pub(super) fn end(&self) -> Timestamp {
        self.start.plus_seconds(HOUR_SECONDS)
    }

    /// How many outliers it has of `kind`, of all kinds without one.
    pub(super) fn outliers_of(&self, kind: Option<&str>) -> f64 {
        let count = match kind {
            None => self.outliers,
            Some(kind) => self.outliers_by_kind.get(kind).copied().unwrap_or(0),
        };
        count as f64
    }

    /// Weekday (from Monday = 0) and hour by the clock of `zone`.
    pub(super) fn local(&self, zone: Tz) -> (u32, u32) {
        let local: DateTime<Tz> = self.start.to_utc().with_timezone(&zone);
        (local.weekday().num_days_from_monday(), local.hour())
    }
}

/// The hours with flows, oldest first. An hour without any window of the network is not among
/// them: nothing was indexed, which is a gap and not a zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    /// Before the checked hour.
    pub earlier: Vec<Hour>,
    /// The checked hour; `None` when nothing was indexed.
    pub checked: Option<Hour>,
}

impl History {
    /// Reads the `days` before the hour that begins at `hour`, and that hour.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) fn read(
        store: &dyn Store,
        namespace: &Namespace,
        hour: Timestamp,
        days: u32,
    ) -> Result<Self, StoreError> {
        let from = hour.plus_seconds(-i64::from(days) * 24 * HOUR_SECONDS);
        let to = hour.plus_seconds(HOUR_SECONDS);
        let windows = store.search(&windows_request(namespace, from, to))?;
        let anomalies = store.search(&anomalies_request(namespace, from, to))?;
        let outliers: BTreeMap<i64, &Bucket> = anomalies
            .buckets("hours")
            .iter()
            .filter_map(|bucket| Some((bucket.key.as_integer()?, bucket)))
            .collect();
        let hours = windows.buckets("hours").iter().filter_map(|bucket| {
            let millis = bucket.key.as_integer()?;
            Some(read_hour(millis, bucket, outliers.get(&millis).copied()))
        });
        let (mut earlier, mut checked) = (Vec::new(), None);
        for found in hours {
            if found.start == hour { checked = Some(found) } else { earlier.push(found) }
        }
        Ok(Self { earlier, checked })
    }

    /// Returns the first moment of the unbroken run of hours, up to the checked one, for which
    /// `holds`; `None` when it does not hold for the checked hour.
    pub(super) fn since(&self, holds: impl Fn(&Hour) -> bool) -> Option<Timestamp> {
        let newest_first = self.checked.iter().chain(self.earlier.iter().rev());
        let checked = self.checked.as_ref().filter(|hour| holds(hour))?;
        let run = newest_first.take_while(|hour| holds(hour)).last();
        Some(run.unwrap_or(checked).start)
    }
}

/// The windows of the whole network.
pub(super) fn network_windows(namespace: &Namespace) -> SearchRequest {
    let network = SubjectType::Network.name();
    SearchRequest::new(Family::Windows, namespace.clone())
        .filter(Filter::term("flowsentry.window.subject.type", network))
        .source(SourceFields::None)
        .size(0)
}

pub(super) fn feature(name: &str) -> String {
    format!("flowsentry.window.features.{name}")
}

/// Hours with documents; empty ones are left out.
pub(super) fn by_hour() -> Aggregation {
    AggregationKind::DateHistogram {
        field: "@timestamp".to_owned(),
        interval: Interval::Fixed { seconds: HOUR_SECONDS as u32 },
        extended_bounds: None,
        min_doc_count: 1,
    }
    .into()
}

fn windows_request(namespace: &Namespace, from: Timestamp, to: Timestamp) -> SearchRequest {
    let truncated = Filter::term("flowsentry.window.truncated", true);
    let hours = by_hour()
        .with("flows", Aggregation::sum(feature("flows")))
        .with("unknown_sampling", Aggregation::sum(feature("unknown_sampling")))
        .with("clock_skew", Aggregation::sum(feature("clock_skew")))
        .with("truncated", Aggregation::filters([("yes", truncated)]));
    network_windows(namespace).between(from, to).aggregate("hours", hours)
}

fn anomalies_request(namespace: &Namespace, from: Timestamp, to: Timestamp) -> SearchRequest {
    let kinds = Aggregation::terms("flowsentry.anomaly.kinds", MOST_KINDS);
    SearchRequest::new(Family::Anomalies, namespace.clone())
        .between(from, to)
        .source(SourceFields::None)
        .size(0)
        .aggregate("hours", by_hour().with("kinds", kinds))
}

fn read_hour(millis: i64, windows: &Bucket, anomalies: Option<&Bucket>) -> Hour {
    // Far above any network, far below where arithmetic breaks down.
    let sum = |name: &str| {
        windows.value(name).filter(|sum| sum.is_finite()).unwrap_or(0.0).clamp(0.0, 1e15)
    };
    let kinds = anomalies.map_or(&[][..], |bucket| bucket.buckets("kinds"));
    let kind = |bucket: &Bucket| Some((bucket.key.as_text()?.to_owned(), bucket.doc_count));
    Hour {
        start: Timestamp::from_millis(millis),
        windows: windows.doc_count,
        truncated: windows.buckets("truncated").first().map_or(0, |bucket| bucket.doc_count),
        flows: sum("flows"),
        unknown_sampling: sum("unknown_sampling"),
        clock_skew: sum("clock_skew"),
        outliers: anomalies.map_or(0, |bucket| bucket.doc_count),
        outliers_by_kind: kinds.iter().filter_map(kind).collect(),
    }
}
