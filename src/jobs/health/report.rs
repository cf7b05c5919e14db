//! What a health check found: as a document, as JSON and as an exit code.

use serde::Serialize;
use serde_json::{Value, json};

use super::baseline::Basis;
use super::history::HOUR_SECONDS;
use crate::model::{Severity, Timestamp, dataset};
use crate::stores::{Document, DocumentId, Family, IndexName, Namespace};

/// The ECS version that the document follows.
const ECS_VERSION: &str = "9.4.0";

/// How well something is. Orders from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// As it should be.
    Ok,
    /// Cannot be said yet.
    Unknown,
    /// Somebody should look.
    Warn,
    /// Somebody should look now.
    Critical,
}

impl HealthStatus {
    /// The word in documents, mails and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthFinding {
    /// Which check: `outliers`, `outliers.<kind>`, `ingest`, `freshness`, `exporters`, `sampling`,
    /// `clock_skew`, `truncation`, `export_loss`, `worker`, `feed.<name>`.
    pub id: String,
    /// The check in words.
    pub title: String,
    /// How well it is.
    pub status: HealthStatus,
    /// What was found, a sentence.
    pub cause: String,
    /// What to do about it, a sentence; empty when there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Since when it has been so; only when it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The numbers behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// What it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// How likely chance alone gives as much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

impl HealthFinding {
    /// Returns a finding without numbers.
    pub(super) fn new(
        id: impl Into<String>,
        title: impl Into<String>,
        status: HealthStatus,
        cause: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            status,
            cause: cause.into(),
            remedy: String::new(),
            since: None,
            figures: None,
            basis: None,
            probability: None,
        }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    pub(super) fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    pub(super) fn figures(mut self, actual: f64, typical: Option<f64>, upper: Option<f64>) -> Self {
        self.figures = Some(Figures { actual, typical, upper });
        self
    }

    /// Whether it is about outliers, of all kinds or of one.
    pub fn is_about_outliers(&self) -> bool {
        self.id == "outliers" || self.id.starts_with("outliers.")
    }

    /// Whether it says that an hour had abnormally many outliers.
    pub fn is_spike(&self) -> bool {
        self.is_about_outliers() && self.status >= HealthStatus::Warn
    }
}

/// The numbers behind a finding. Outliers, windows and exporters are counts, ages are minutes,
/// sampling, clock, truncation and lost exports are shares from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// What was seen.
    pub actual: f64,
    /// What is usual, where a basis exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical: Option<f64>,
    /// The most that is still in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// What a health check found about one hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthReport {
    /// Whose flows.
    #[serde(serialize_with = "as_text")]
    pub namespace: Namespace,
    /// The first moment of the hour.
    pub hour: Timestamp,
    /// When it was judged, or should have been.
    pub checked_at: Timestamp,
    /// The worst of the findings.
    pub status: HealthStatus,
    /// How many flows the hour had.
    pub flows: u64,
    /// How many outliers it had.
    pub outliers: u64,
    /// What every check found, worst first, otherwise in the order of the checks.
    pub findings: Vec<HealthFinding>,
}

fn as_text<S: serde::Serializer>(value: &Namespace, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.as_str())
}

impl HealthReport {
    /// Returns the report over `findings`, worst first.
    pub(super) fn new(
        namespace: Namespace,
        hour: Timestamp,
        checked_at: Timestamp,
        mut findings: Vec<HealthFinding>,
    ) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
        let status = findings.first().map_or(HealthStatus::Unknown, |finding| finding.status);
        Self { namespace, hour, checked_at, status, flows: 0, outliers: 0, findings }
    }

    /// The first moment after the hour.
    pub fn end(&self) -> Timestamp {
        self.hour.plus_seconds(HOUR_SECONDS)
    }

    /// Returns what the check `id` found; `None` when there was no such check.
    pub fn finding(&self, id: &str) -> Option<&HealthFinding> {
        self.findings.iter().find(|finding| finding.id == id)
    }

    /// Whether the hour had abnormally many outliers, of all kinds or of one.
    pub fn has_spike(&self) -> bool {
        self.findings.iter().any(HealthFinding::is_spike)
    }

    /// The exit code of a command: 0 when nothing is wrong as far as can be said, 1 for a warning,
    /// 2 when it is critical.
    pub fn exit_code(&self) -> u8 {
        match self.status {
            HealthStatus::Ok | HealthStatus::Unknown => 0,
            HealthStatus::Warn => 1,
            HealthStatus::Critical => 2,
        }
    }

    /// The id of the document: a function of hour and namespace, the same for every worker and
    /// every repetition.
    pub fn id(&self) -> String {
        format!("health-{}-{}", self.hour.to_utc().format("%Y-%m-%dT%H"), self.namespace)
    }

    /// One sentence: the cause of the worst finding, or that all is well.
    pub fn summary(&self) -> &str {
        let worst = self.findings.first().filter(|finding| finding.status > HealthStatus::Ok);
        worst.map_or("All checks passed.", |finding| &finding.cause)
    }

    /// Returns the document: `event.dataset` is `flowsentry.health`, `@timestamp` the first moment
    /// of the hour.
    pub fn to_document(&self) -> Document {
        let index = IndexName::for_event(Family::Health, &self.namespace, self.hour);
        let id = DocumentId::new(self.id()).expect("a namespace has at most 60 bytes");
        let spikes = self.findings.iter().filter(|finding| finding.is_spike());
        let spikes: Vec<_> = spikes.map(|finding| finding.id.as_str()).collect();
        let mut source = json!({
            "@timestamp": self.hour,
            "ecs": { "version": ECS_VERSION },
            "event": {
                "id": self.id(),
                "kind": "state",
                "category": ["network"],
                "type": ["info"],
                "module": "flowsentry",
                "dataset": dataset::HEALTH,
                "start": self.hour,
                "end": self.end(),
                "created": self.checked_at,
                "severity": self.severity(),
                "reason": self.summary(),
            },
            "flowsentry": { "health": {
                "status": self.status,
                "flows": self.flows,
                "outliers": { "actual": self.outliers },
                "spikes": spikes,
                "checks": self.findings.iter().map(check_object).collect::<Vec<_>>(),
            }},
        });
        let figures = self.finding("outliers").and_then(|finding| finding.figures);
        let outliers = &mut source["flowsentry"]["health"]["outliers"];
        for (key, value) in figures.map(|figures| bounds(&figures)).into_iter().flatten() {
            outliers[key] = json!(value);
        }
        if self.flows > 0 {
            let per_thousand = 1000.0 * self.outliers as f64 / self.flows as f64;
            outliers["per_1000_flows"] = json!(rounded(per_thousand));
        }
        Document { index, id, source }
    }

    /// The number for ECS `event.severity`; 0 when nothing is wrong.
    fn severity(&self) -> u8 {
        match self.status {
            HealthStatus::Ok | HealthStatus::Unknown => 0,
            HealthStatus::Warn => Severity::Medium.number(),
            HealthStatus::Critical => Severity::Critical.number(),
        }
    }
}

/// A finding as one of `flowsentry.health.checks`.
fn check_object(finding: &HealthFinding) -> Value {
    let mut object = json!({
        "name": finding.id,
        "title": finding.title,
        "status": finding.status,
        "cause": finding.cause,
    });
    if !finding.remedy.is_empty() {
        object["remedy"] = json!(finding.remedy);
    }
    if let Some(since) = finding.since {
        object["since"] = json!(since);
    }
    if let Some(figures) = &finding.figures {
        object["actual"] = json!(rounded(figures.actual));
        for (key, value) in bounds(figures) {
            object[key] = json!(value);
        }
    }
    if let Some(basis) = finding.basis {
        object["basis"] = json!(basis);
    }
    if let Some(probability) = finding.probability {
        object["probability"] = json!(four_digits(probability));
    }
    object
}

fn bounds(figures: &Figures) -> impl Iterator<Item = (&'static str, f64)> + use<> {
    let bounds = [("typical", figures.typical), ("upper", figures.upper)];
    bounds.into_iter().filter_map(|(key, value)| Some((key, rounded(value?))))
}

/// Three decimals are enough for a person and keep documents short.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Four digits, however small: the others are those of the arithmetic.
fn four_digits(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
