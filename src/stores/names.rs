//! Names of indices and documents, built from checked parts alone: nothing that comes from a
//! setting or a document can leave the folder, or the set of indices, of this store.

use std::fmt;

use chrono::{Datelike, NaiveDate};

use crate::model::Timestamp;

/// What an index holds. Every search addresses one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Raw flows.
    Flows,
    /// Window summaries.
    Windows,
    /// Anomalies: facts, never changed.
    Anomalies,
    /// Alerts: work, with a life.
    Alerts,
    /// Results of the health check.
    Health,
    /// Reports that were sent.
    Reports,
    /// Snapshots, leases and elections of the workers.
    State,
    /// Exceptions that analysts wrote.
    Exceptions,
    /// What could not be used: records that are no flows, documents that were refused.
    DeadLetters,
    /// What learned models said about records.
    Predictions,
    /// Learned models, and which of them is in use.
    Models,
}

impl Family {
    /// All families, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Flows,
        Self::Windows,
        Self::Anomalies,
        Self::Alerts,
        Self::Health,
        Self::Reports,
        Self::State,
        Self::Exceptions,
        Self::DeadLetters,
        Self::Predictions,
        Self::Models,
    ];

    /// The word in index names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Windows => "windows",
            Self::Anomalies => "anomalies",
            Self::Alerts => "alerts",
            Self::Health => "health",
            Self::Reports => "reports",
            Self::State => "state",
            Self::Exceptions => "exceptions",
            Self::DeadLetters => "deadletters",
            Self::Predictions => "predictions",
            Self::Models => "models",
        }
    }

    /// How much event time one index of the family holds.
    pub const fn period(self) -> Period {
        match self {
            Self::Flows | Self::Windows | Self::Predictions => Period::Day,
            Self::Anomalies | Self::Alerts | Self::Health | Self::DeadLetters => Period::Month,
            Self::Reports => Period::Year,
            Self::State | Self::Exceptions | Self::Models => Period::Unlimited,
        }
    }

    /// The family's bit in a set of families.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// How much event time one index holds, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// One day; the name ends in `2026.11.21`.
    Day,
    /// One month; the name ends in `2026.11`.
    Month,
    /// One year; the name ends in `2026`.
    Year,
    /// All time: one index, no date in the name, never dropped.
    Unlimited,
}

impl Period {
    /// The first day of the period that holds `day`.
    fn first_day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => Some(day),
            Self::Month => day.with_day(1),
            Self::Year => NaiveDate::from_ymd_opt(day.year(), 1, 1),
            Self::Unlimited => None,
        }
    }

    /// The first day after the period that begins on `first`.
    fn next_first_day(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => first.succ_opt(),
            Self::Month => first.checked_add_months(chrono::Months::new(1)),
            Self::Year => first.checked_add_months(chrono::Months::new(12)),
            Self::Unlimited => None,
        }
    }
}

/// A namespace: keeps sites and tests apart within one cluster. Lower-case letters, digits, `-`
/// and `_`, 1 to 60 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// The text cannot be a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a namespace (lower-case letters, digits, `-` and `_`, at most 60 characters)"
)]
pub struct InvalidNamespace(String);

impl Namespace {
    /// Returns the namespace `text`.
    ///
    /// # Errors
    /// [`InvalidNamespace`] when it is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if (1..=60).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidNamespace(text.chars().take(64).collect()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The namespace of a fresh installation, `default`.
impl Default for Namespace {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one index, for example `flowsentry-windows-default-2026.11.21`.
///
/// Orders by family, namespace and then time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexName {
    family: Family,
    namespace: Namespace,
    /// First day; `None` exactly for families without a period.
    first_day: Option<NaiveDate>,
}

impl IndexName {
    /// Returns the index of `family` that holds an event at `time` (ignored by families without a
    /// period).
    pub fn for_event(family: Family, namespace: &Namespace, time: Timestamp) -> Self {
        let first_day = family.period().first_day(time.to_utc().date_naive());
        Self { family, namespace: namespace.clone(), first_day }
    }

    /// Returns the index that `text` names; `None` when it is not exactly such a name.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("flowsentry-")?;
        let family = Family::ALL.into_iter().find(|family| {
            rest.strip_prefix(family.name()).is_some_and(|rest| rest.starts_with('-'))
        })?;
        let rest = &rest[family.name().len() + 1..];
        let (namespace, date) = match family.period() {
            Period::Unlimited => (rest, None),
            Period::Day | Period::Month | Period::Year => {
                rest.rsplit_once('-').map(|(name, date)| (name, Some(date)))?
            }
        };
        let first_day = match date {
            Some(date) => Some(parse_date(date)?),
            None => None,
        };
        let name = Self { family, namespace: Namespace::new(namespace).ok()?, first_day };
        (name.to_string() == text).then_some(name)
    }

    /// What it holds.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whose it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The event times that belong into it: from the first (inclusive) to the second (exclusive).
    /// `None` for families without a period.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.first_day?;
        let end = self.family.period().next_first_day(first);
        Some((midnight(first), end.map_or(Timestamp::MAX, midnight)))
    }

    /// Whether an event at `time` belongs into it.
    pub fn holds(&self, time: Timestamp) -> bool {
        self.span().is_none_or(|(from, to)| {
            from <= time && (time < to || (to == Timestamp::MAX && time == to))
        })
    }
}

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flowsentry-{}-{}", self.family.name(), self.namespace)?;
        let Some(day) = self.first_day else { return Ok(()) };
        write!(f, "-{:04}", day.year())?;
        match self.family.period() {
            Period::Day => write!(f, ".{:02}.{:02}", day.month(), day.day()),
            Period::Month => write!(f, ".{:02}", day.month()),
            Period::Year | Period::Unlimited => Ok(()),
        }
    }
}

fn midnight(day: NaiveDate) -> Timestamp {
    Timestamp::from_utc(day.and_time(chrono::NaiveTime::MIN).and_utc())
}

/// Reads `2026`, `2026.11` or `2026.11.21`; the caller compares with the canonical form.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('.');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next().map_or(Ok(1), str::parse).ok()?;
    let day = parts.next().map_or(Ok(1), str::parse).ok()?;
    NaiveDate::from_ymd_opt(year, month, day)
}

/// The id of a document: 1 to 512 bytes, the limit of Elasticsearch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(String);

/// The text cannot be the id of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document id has 1 to 512 bytes, not {0}")]
pub struct InvalidDocumentId(usize);

impl DocumentId {
    /// The longest id in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Returns the id `text`.
    ///
    /// # Errors
    /// [`InvalidDocumentId`] when it is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidDocumentId> {
        let text = text.into();
        if (1..=Self::MAX_BYTES).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(InvalidDocumentId(text.len()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn names_follow_the_event_time_in_utc() {
        let namespace = Namespace::default();
        let time = at("2026-11-21T23:59:59.999+01:00");
        let name = |family| IndexName::for_event(family, &namespace, time).to_string();
        assert_eq!(name(Family::Windows), "flowsentry-windows-default-2026.11.21");
        assert_eq!(name(Family::Alerts), "flowsentry-alerts-default-2026.11");
        assert_eq!(name(Family::Reports), "flowsentry-reports-default-2026");
        assert_eq!(name(Family::State), "flowsentry-state-default");
    }

    #[test]
    fn every_name_reads_back_as_itself_at_every_extreme() {
        let namespaces = ["a", "2026.11".replace('.', "-").as_str(), "x-y_z-1", "-"]
            .map(|text| Namespace::new(text).unwrap());
        for family in Family::ALL {
            for namespace in &namespaces {
                for time in [Timestamp::MIN, Timestamp::default(), Timestamp::MAX] {
                    let name = IndexName::for_event(family, namespace, time);
                    assert_eq!(IndexName::parse(&name.to_string()), Some(name.clone()));
                    assert!(name.holds(time), "{name}");
                }
            }
        }
    }

    #[test]
    fn other_texts_are_no_index_names() {
        for text in [
            "",
            "flowsentry-windows-default-2026.11",
            "flowsentry-windows-default-2026.1.1",
            "flowsentry-windows-default-2026.02.30",
            "flowsentry-windows-../x-2026.11.21",
            "flowsentry-alerts-2026.11",
            "flowsentry-state-Default",
            "logs-default",
        ] {
            assert_eq!(IndexName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hostile_namespaces_and_ids_are_refused() {
        for text in ["", "..", "a/b", "A", "ä", "a b", "a\0", &"a".repeat(61)] {
            assert!(Namespace::new(text).is_err(), "{text}");
        }
        assert!(DocumentId::new("").is_err());
        assert!(DocumentId::new("x".repeat(513)).is_err());
        assert!(DocumentId::new("../\u{0}\n").is_ok());
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let name =
            IndexName::for_event(Family::Alerts, &Namespace::default(), at("2024-02-29T12:00:00Z"));
        let span = (at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z"));
        assert_eq!(name.span(), Some(span));
        assert!(name.holds(span.0) && !name.holds(span.1));
    }
}
