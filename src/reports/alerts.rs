//! Section: the alerts, each with its proof.

use serde::Serialize;
use serde_json::Value;

use super::collect::{Source, StoredAlert, number, text, time};
use super::{Day, Picture, ReportData, ReportError};
use crate::charts::format::measure;
use crate::model::{Severity, Timestamp};

/// The alerts, worst first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alerts {
    /// How many there are.
    pub total: usize,
    /// How many are not in the list.
    pub more: usize,
    /// The worst, at most [`MOST_ALERTS`].
    pub worst: Vec<AlertEntry>,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertEntry {
    /// Id of the alert document.
    pub id: String,
    /// Title of the kind.
    pub title: String,
    /// The word for the score.
    pub severity: Severity,
    /// From 0 to 100.
    pub score: u64,
    /// Who: an address, or `sender → receiver`.
    pub subject: String,
    /// What happened.
    pub sentence: String,
    /// Local clock time, `03:12–03:40`.
    pub when: String,
    /// Start of the first window.
    pub first: Timestamp,
    /// End of the last window.
    pub last: Timestamp,
    /// How many anomalies were folded in.
    pub count: u64,
    /// `open`, `acknowledged` or `closed`.
    pub status: String,
    /// The numbers behind it, at most [`MOST_FEATURES`].
    pub features: Vec<FeatureLine>,
    /// The largest flows behind it, at most [`MOST_FLOWS`].
    pub flows: Vec<FlowLine>,
    /// MITRE ATT&CK techniques.
    pub techniques: Vec<TechniqueLine>,
    /// The line to paste into the exceptions when this is benign.
    pub exception: Option<String>,
}

/// One number: what it was, what it usually is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureLine {
    /// Published feature name.
    pub name: String,
    /// What was seen.
    pub actual: f64,
    /// What is usual, where known.
    pub typical: Option<f64>,
    /// Lower end of what is usual.
    pub lower: Option<f64>,
    /// Upper end of what is usual.
    pub upper: Option<f64>,
    /// `usually 3, at most 20`; empty when nothing is known.
    pub usual: String,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowLine {
    /// `10.0.0.66:40000`.
    pub from: String,
    /// `10.0.0.21:22`.
    pub to: String,
    /// `tcp`; empty where the record does not say.
    pub transport: String,
    /// Both directions, scaled by sampling.
    pub bytes: u64,
    /// Local clock time of its end.
    pub at: String,
    /// `network.community_id` of the flow's own document; empty where it has none.
    pub id: String,
}

/// One MITRE ATT&CK technique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TechniqueLine {
    /// `T1046`.
    pub id: String,
    /// `Network Service Discovery`.
    pub name: String,
}

/// How many alerts a report lists; a mail of more is not read.
pub const MOST_ALERTS: usize = 20;
/// How many flows an alert shows.
pub const MOST_FLOWS: usize = 3;
/// How many numbers an alert shows.
pub const MOST_FEATURES: usize = 4;

pub(super) fn collect(source: &Source<'_>) -> Result<Alerts, ReportError> {
    let total = source.alerts.len();
    let worst: Vec<_> = source
        .alerts
        .iter()
        .take(MOST_ALERTS)
        .map(|alert| entry(alert, source.scope.day))
        .collect();
    Ok(Alerts { total, more: total - worst.len(), worst })
}

fn entry(alert: &StoredAlert, day: Day) -> AlertEntry {
    let document = &alert.document;
    let first = time(document, "/flowsentry/alert/first").unwrap_or(day.from());
    let last = time(document, "/flowsentry/alert/last").unwrap_or(first);
    let exception = text(document, "/flowsentry/alert/exception");
    AlertEntry {
        id: alert.id.clone(),
        title: alert.title(),
        severity: alert.severity(),
        score: alert.score.round() as u64,
        subject: subject(document),
        sentence: text(document, "/event/reason"),
        when: day.clock_range(first, last),
        first,
        last,
        count: number(document, "/flowsentry/alert/count").map_or(1, |count| count as u64),
        status: text(document, "/flowsentry/alert/status"),
        features: list(document, "/flowsentry/alert/features", MOST_FEATURES, feature),
        flows: list(document, "/flowsentry/alert/flows", MOST_FLOWS, |value| flow(value, day)),
        techniques: techniques(document),
        exception: Some(exception).filter(|line| !line.is_empty()),
    }
}

fn subject(document: &Value) -> String {
    // documents write a pair as `a>b`
    text(document, "/flowsentry/alert/subject/value").replace('>', " → ")
}

fn feature(document: &Value) -> FeatureLine {
    let [typical, lower, upper] = ["/typical", "/lower", "/upper"].map(|end| number(document, end));
    let clauses = [
        typical.map(|value| format!("usually {}", measure(value))),
        lower.filter(|lower| *lower > 0.0).map(|value| format!("at least {}", measure(value))),
        upper.map(|value| format!("at most {}", measure(value))),
    ];
    let usual: Vec<String> = clauses.into_iter().flatten().collect();
    FeatureLine {
        name: text(document, "/name"),
        actual: number(document, "/actual").unwrap_or_default(),
        typical,
        lower,
        upper,
        usual: usual.join(", "),
    }
}

fn flow(document: &Value, day: Day) -> FlowLine {
    let end = |name: &str| {
        let ip = text(document, &format!("/{name}/ip"));
        match number(document, &format!("/{name}/port")) {
            Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
            Some(port) => format!("{ip}:{port}"),
            None => ip,
        }
    };
    let bytes = |name| number(document, name).unwrap_or_default();
    FlowLine {
        from: end("source"),
        to: end("destination"),
        transport: text(document, "/transport"),
        bytes: (bytes("/source/bytes") + bytes("/destination/bytes")) as u64,
        at: time(document, "/end").map_or_else(String::new, |end| day.clock(end)),
        id: text(document, "/community_id"),
    }
}

fn techniques(document: &Value) -> Vec<TechniqueLine> {
    let read =
        |part| list(document, part, 5, |value| value.as_str().unwrap_or_default().to_owned());
    let ids = read("/threat/technique/id");
    let mut names = read("/threat/technique/name").into_iter();
    let lines =
        ids.into_iter().map(|id| TechniqueLine { id, name: names.next().unwrap_or_default() });
    lines.collect()
}

/// Returns what `read` makes of the first `most` values at a JSON pointer; one value alone counts
/// as a list of one.
fn list<T>(document: &Value, pointer: &str, most: usize, read: impl Fn(&Value) -> T) -> Vec<T> {
    match document.pointer(pointer) {
        Some(Value::Array(values)) => values.iter().take(most).map(read).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(value) => vec![read(value)],
    }
}

pub(super) fn pictures(_report: &ReportData) -> Vec<Picture> {
    Vec::new()
}
