//! The field catalogue: every field that documents of ours can be searched by, with its type.
//!
//! It plays the part of an Elasticsearch mapping with `dynamic: false`: the files in
//! `index-templates/component/` hold the same fields, requests are checked against it, and a
//! document whose catalogued field has a value of another type is rejected. Fields that are not
//! listed are stored, not searchable. A new field is one line, in the order of names, and one in
//! the file of each of its families.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Family;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A text that is compared as a whole. Texts longer than [`KEYWORD_LIMIT`] are
    /// stored, not searchable (`ignore_above`).
    Keyword,
    /// An IP address of either version; version 4 sorts as its mapped version 6 address.
    Ip,
    /// A moment, kept to the millisecond.
    Date,
    /// A signed whole number of 64 bits.
    Long,
    /// A finite floating point number.
    Double,
    /// True or false.
    Boolean,
    /// Prose: stored, not searchable by the common subset of the three stores.
    Text,
    /// An object whose keys are not known beforehand and whose values are all [`Self::Double`].
    /// Its parts are addressed as `<field>.<key>`; keys are 1 to 64 letters, digits, `_` and `-`.
    DoubleMap,
}

impl FieldKind {
    /// The word in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Ip => "ip",
            Self::Date => "date",
            Self::Long => "long",
            Self::Double => "double",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::DoubleMap => "map of doubles",
        }
    }
}

/// The longest searchable keyword, in units of UTF-16, as Java counts: what Elasticsearch's own templates use.
pub const KEYWORD_LIMIT: usize = 1024;

/// The most keys of one [`FieldKind::DoubleMap`] in one document; every key of an index costs a
/// column.
pub const MAP_KEYS_LIMIT: usize = 256;

/// One field of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted name.
    pub name: &'static str,
    /// Type.
    pub kind: FieldKind,
    families: u16,
}

impl Field {
    /// Whether documents of `family` have it.
    pub const fn belongs_to(&self, family: Family) -> bool {
        self.families & family.bit() != 0
    }
}

const FLOW: u16 = Family::Flows.bit();
const WINDOW: u16 = Family::Windows.bit();
const ANOMALY: u16 = Family::Anomalies.bit();
const ALERT: u16 = Family::Alerts.bit();
const HEALTH: u16 = Family::Health.bit();
const REPORT: u16 = Family::Reports.bit();
const STATE: u16 = Family::State.bit();
const EXCEPTION: u16 = Family::Exceptions.bit();
const LETTER: u16 = Family::DeadLetters.bit();
const PREDICTION: u16 = Family::Predictions.bit();
const MODEL: u16 = Family::Models.bit();
const VERDICT: u16 = ANOMALY | ALERT;
const TRAFFIC: u16 = FLOW | WINDOW | VERDICT;
const ALL: u16 = u16::MAX;

const fn field(name: &'static str, kind: FieldKind, families: u16) -> Field {
    Field { name, kind, families }
}

use FieldKind::{Boolean, Date, Double, DoubleMap, Ip, Keyword, Long, Text};

/// All fields, sorted by name.
pub const FIELDS: &[Field] = &[
    field("@timestamp", Date, ALL),
    field("destination.as.number", Long, TRAFFIC),
    field("destination.as.organization.name", Keyword, TRAFFIC),
    field("destination.bytes", Long, FLOW),
    field("destination.geo.city_name", Keyword, TRAFFIC),
    field("destination.geo.country_iso_code", Keyword, TRAFFIC),
    field("destination.geo.country_name", Keyword, TRAFFIC),
    field("destination.geo.name", Keyword, TRAFFIC),
    field("destination.ip", Ip, TRAFFIC),
    field("destination.mac", Keyword, FLOW),
    field("destination.packets", Long, FLOW),
    field("destination.port", Long, FLOW),
    field("ecs.version", Keyword, ALL),
    field("event.action", Keyword, ALL),
    field("event.category", Keyword, ALL),
    field("event.created", Date, ALL),
    field("event.dataset", Keyword, ALL),
    field("event.duration", Long, ALL),
    field("event.end", Date, ALL),
    field("event.id", Keyword, ALL),
    field("event.ingested", Date, ALL),
    field("event.kind", Keyword, ALL),
    field("event.module", Keyword, ALL),
    field("event.outcome", Keyword, ALL),
    field("event.reason", Text, ALL),
    field("event.risk_score", Double, ALL),
    field("event.risk_score_norm", Double, ALL),
    field("event.severity", Long, ALL),
    field("event.start", Date, ALL),
    field("event.type", Keyword, ALL),
    field("flowsentry.alert.anomaly_ids", Keyword, ALERT),
    field("flowsentry.alert.count", Long, ALERT),
    field("flowsentry.alert.exception", Keyword, ALERT),
    field("flowsentry.alert.exception_command", Keyword, ALERT),
    field("flowsentry.alert.features.actual", Double, ALERT),
    field("flowsentry.alert.features.attribution", Double, ALERT),
    field("flowsentry.alert.features.lower", Double, ALERT),
    field("flowsentry.alert.features.name", Keyword, ALERT),
    field("flowsentry.alert.features.typical", Double, ALERT),
    field("flowsentry.alert.features.upper", Double, ALERT),
    field("flowsentry.alert.feedback", Keyword, ALERT),
    field("flowsentry.alert.first", Date, ALERT),
    field("flowsentry.alert.flows.community_id", Keyword, ALERT),
    field("flowsentry.alert.flows.destination.bytes", Long, ALERT),
    field("flowsentry.alert.flows.destination.ip", Ip, ALERT),
    field("flowsentry.alert.flows.destination.port", Long, ALERT),
    field("flowsentry.alert.flows.end", Date, ALERT),
    field("flowsentry.alert.flows.packets", Long, ALERT),
    field("flowsentry.alert.flows.source.bytes", Long, ALERT),
    field("flowsentry.alert.flows.source.ip", Ip, ALERT),
    field("flowsentry.alert.flows.source.port", Long, ALERT),
    field("flowsentry.alert.flows.start", Date, ALERT),
    field("flowsentry.alert.flows.transport", Keyword, ALERT),
    field("flowsentry.alert.grade", Keyword, ALERT),
    field("flowsentry.alert.kind", Keyword, ALERT),
    field("flowsentry.alert.last", Date, ALERT),
    field("flowsentry.alert.owner", Keyword, ALERT),
    field("flowsentry.alert.sampling.error", Double, ALERT),
    field("flowsentry.alert.sampling.factor", Double, ALERT),
    field("flowsentry.alert.sampling.packets", Long, ALERT),
    field("flowsentry.alert.score", Double, ALERT),
    field("flowsentry.alert.services", Keyword, ALERT),
    field("flowsentry.alert.status", Keyword, ALERT),
    field("flowsentry.alert.subject.type", Keyword, ALERT),
    field("flowsentry.alert.subject.value", Keyword, ALERT),
    field("flowsentry.alert.suppressed_by", Keyword, ALERT),
    field("flowsentry.anomaly.confidence", Double, ANOMALY),
    field("flowsentry.anomaly.detectors.id", Keyword, ANOMALY),
    field("flowsentry.anomaly.detectors.kind", Keyword, ANOMALY),
    field("flowsentry.anomaly.detectors.probability", Double, ANOMALY),
    field("flowsentry.anomaly.detectors.score", Double, ANOMALY),
    field("flowsentry.anomaly.features.actual", Double, ANOMALY),
    field("flowsentry.anomaly.features.attribution", Double, ANOMALY),
    field("flowsentry.anomaly.features.lower", Double, ANOMALY),
    field("flowsentry.anomaly.features.name", Keyword, ANOMALY),
    field("flowsentry.anomaly.features.typical", Double, ANOMALY),
    field("flowsentry.anomaly.features.upper", Double, ANOMALY),
    field("flowsentry.anomaly.flows.community_id", Keyword, ANOMALY),
    field("flowsentry.anomaly.flows.destination.bytes", Long, ANOMALY),
    field("flowsentry.anomaly.flows.destination.ip", Ip, ANOMALY),
    field("flowsentry.anomaly.flows.destination.port", Long, ANOMALY),
    field("flowsentry.anomaly.flows.end", Date, ANOMALY),
    field("flowsentry.anomaly.flows.packets", Long, ANOMALY),
    field("flowsentry.anomaly.flows.source.bytes", Long, ANOMALY),
    field("flowsentry.anomaly.flows.source.ip", Ip, ANOMALY),
    field("flowsentry.anomaly.flows.source.port", Long, ANOMALY),
    field("flowsentry.anomaly.flows.start", Date, ANOMALY),
    field("flowsentry.anomaly.flows.transport", Keyword, ANOMALY),
    field("flowsentry.anomaly.grade", Keyword, ANOMALY),
    field("flowsentry.anomaly.kinds", Keyword, ANOMALY),
    field("flowsentry.anomaly.probability", Double, ANOMALY),
    field("flowsentry.anomaly.reasons", Text, ANOMALY),
    field("flowsentry.anomaly.sampling.error", Double, ANOMALY),
    field("flowsentry.anomaly.sampling.factor", Double, ANOMALY),
    field("flowsentry.anomaly.sampling.packets", Long, ANOMALY),
    field("flowsentry.anomaly.score", Double, ANOMALY),
    field("flowsentry.anomaly.services", Keyword, ANOMALY),
    field("flowsentry.anomaly.subject.type", Keyword, ANOMALY),
    field("flowsentry.anomaly.subject.value", Keyword, ANOMALY),
    field("flowsentry.anomaly.window.end", Date, ANOMALY),
    field("flowsentry.anomaly.window.seconds", Long, ANOMALY),
    field("flowsentry.anomaly.window.start", Date, ANOMALY),
    field("flowsentry.anomaly.window.truncated", Boolean, ANOMALY),
    field("flowsentry.deadletter.document", Keyword, LETTER),
    field("flowsentry.deadletter.index", Long, LETTER),
    field("flowsentry.deadletter.kind", Keyword, LETTER),
    field("flowsentry.deadletter.length", Long, LETTER),
    field("flowsentry.deadletter.line", Long, LETTER),
    field("flowsentry.deadletter.offset", Long, LETTER),
    field("flowsentry.deadletter.reason", Keyword, LETTER),
    field("flowsentry.deadletter.source", Keyword, LETTER),
    field("flowsentry.deadletter.taken", Long, LETTER),
    field("flowsentry.exception.enabled", Boolean, EXCEPTION),
    field("flowsentry.exception.expires", Date, EXCEPTION),
    field("flowsentry.exception.id", Keyword, EXCEPTION),
    field("flowsentry.exception.owner", Keyword, EXCEPTION),
    field("flowsentry.flow.defects", Keyword, FLOW),
    field("flowsentry.flow.icmp_code", Long, FLOW),
    field("flowsentry.flow.icmp_type", Long, FLOW),
    field("flowsentry.flow.ip_tos", Long, FLOW),
    field("flowsentry.flow.ip_ttl", Long, FLOW),
    field("flowsentry.flow.next_hop", Ip, FLOW),
    field("flowsentry.flow.offset", Long, FLOW),
    field("flowsentry.flow.partition", Long, FLOW),
    field("flowsentry.flow.raw_bytes", Long, FLOW),
    field("flowsentry.flow.raw_packets", Long, FLOW),
    field("flowsentry.flow.sampling_rate", Long, FLOW),
    field("flowsentry.flow.sequence", Long, FLOW),
    field("flowsentry.flow.tcp_flags", Long, FLOW),
    field("flowsentry.flow.topic", Keyword, FLOW),
    field("flowsentry.flow.type", Keyword, FLOW),
    field("flowsentry.health.checks.actual", Double, HEALTH),
    field("flowsentry.health.checks.basis", Keyword, HEALTH),
    field("flowsentry.health.checks.cause", Text, HEALTH),
    field("flowsentry.health.checks.name", Keyword, HEALTH),
    field("flowsentry.health.checks.probability", Double, HEALTH),
    field("flowsentry.health.checks.remedy", Text, HEALTH),
    field("flowsentry.health.checks.since", Date, HEALTH),
    field("flowsentry.health.checks.status", Keyword, HEALTH),
    field("flowsentry.health.checks.title", Text, HEALTH),
    field("flowsentry.health.checks.typical", Double, HEALTH),
    field("flowsentry.health.checks.upper", Double, HEALTH),
    field("flowsentry.health.flows", Long, HEALTH),
    field("flowsentry.health.outliers.actual", Long, HEALTH),
    field("flowsentry.health.outliers.per_1000_flows", Double, HEALTH),
    field("flowsentry.health.outliers.typical", Double, HEALTH),
    field("flowsentry.health.outliers.upper", Double, HEALTH),
    field("flowsentry.health.spikes", Keyword, HEALTH),
    field("flowsentry.health.status", Keyword, HEALTH),
    field("flowsentry.model.alias", Keyword, MODEL),
    field("flowsentry.model.kind", Keyword, MODEL),
    field("flowsentry.model.revision", Long, MODEL),
    field("flowsentry.model.sha256", Keyword, MODEL),
    field("flowsentry.prediction.class", Keyword, PREDICTION),
    field("flowsentry.prediction.features.attribution", Double, PREDICTION),
    field("flowsentry.prediction.features.name", Keyword, PREDICTION),
    field("flowsentry.prediction.model", Keyword, PREDICTION),
    field("flowsentry.prediction.name", Keyword, PREDICTION),
    field("flowsentry.prediction.probability", Double, PREDICTION),
    field("flowsentry.prediction.schema", Keyword, PREDICTION),
    field("flowsentry.prediction.score", Double, PREDICTION),
    field("flowsentry.prediction.source", Keyword, PREDICTION),
    field("flowsentry.prediction.verdict", Keyword, PREDICTION),
    field("flowsentry.report.status", Keyword, REPORT),
    field("flowsentry.state.epoch", Long, STATE),
    field("flowsentry.state.expires", Date, STATE),
    field("flowsentry.state.kind", Keyword, STATE),
    field("flowsentry.state.owner", Keyword, STATE),
    field("flowsentry.window.end", Date, WINDOW),
    field("flowsentry.window.features", DoubleMap, WINDOW),
    field("flowsentry.window.seconds", Long, WINDOW),
    field("flowsentry.window.start", Date, WINDOW),
    field("flowsentry.window.subject.type", Keyword, WINDOW),
    field("flowsentry.window.subject.value", Keyword, WINDOW),
    field("flowsentry.window.truncated", Boolean, WINDOW),
    field("message", Text, ALL),
    field("network.bytes", Long, FLOW),
    field("network.community_id", Keyword, FLOW | VERDICT),
    field("network.direction", Keyword, FLOW),
    field("network.iana_number", Keyword, FLOW),
    field("network.packets", Long, FLOW),
    field("network.transport", Keyword, FLOW),
    field("network.type", Keyword, FLOW),
    field("network.vlan.id", Keyword, FLOW),
    field("observer.egress.interface.id", Keyword, FLOW),
    field("observer.egress.interface.name", Keyword, FLOW),
    field("observer.ingress.interface.id", Keyword, FLOW),
    field("observer.ingress.interface.name", Keyword, FLOW),
    field("observer.ip", Ip, TRAFFIC),
    field("observer.name", Keyword, TRAFFIC),
    field("related.ip", Ip, TRAFFIC),
    field("source.as.number", Long, TRAFFIC),
    field("source.as.organization.name", Keyword, TRAFFIC),
    field("source.bytes", Long, FLOW),
    field("source.geo.city_name", Keyword, TRAFFIC),
    field("source.geo.country_iso_code", Keyword, TRAFFIC),
    field("source.geo.country_name", Keyword, TRAFFIC),
    field("source.geo.name", Keyword, TRAFFIC),
    field("source.ip", Ip, TRAFFIC),
    field("source.mac", Keyword, FLOW),
    field("source.packets", Long, FLOW),
    field("source.port", Long, FLOW),
    field("tags", Keyword, ALL),
    field("threat.framework", Keyword, VERDICT),
    field("threat.tactic.id", Keyword, VERDICT),
    field("threat.tactic.name", Keyword, VERDICT),
    field("threat.technique.id", Keyword, VERDICT),
    field("threat.technique.name", Keyword, VERDICT),
];

/// Returns the fields of `family`, sorted by name.
pub fn of_family(family: Family) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.belongs_to(family))
}

/// What a dotted path means in documents of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A field of the catalogue.
    Field(&'static Field),
    /// A well-formed key of a map of doubles.
    MapKey,
    /// A key of a map of doubles that could not be addressed.
    BadMapKey,
    /// Not a field itself, but catalogued fields lie below it.
    Parent,
    /// Not in the catalogue.
    Unknown,
}

/// The catalogue by path. Every value of every document is looked up here, which as a binary
/// search over long common beginnings took as long as writing the document.
struct Paths {
    fields: HashMap<&'static str, &'static Field>,
    /// The families that have fields below a path.
    parents: HashMap<&'static str, u16>,
    maps: Vec<&'static Field>,
}

static PATHS: LazyLock<Paths> = LazyLock::new(|| {
    let mut parents = HashMap::new();
    for field in FIELDS {
        for (dot, _) in field.name.match_indices('.') {
            *parents.entry(&field.name[..dot]).or_default() |= field.families;
        }
    }
    let maps = FIELDS.iter().filter(|field| field.kind == DoubleMap).collect();
    Paths { fields: FIELDS.iter().map(|field| (field.name, field)).collect(), parents, maps }
});

/// Returns what `path` means in documents of `family`. Cost: two look-ups.
pub(super) fn meaning(family: Family, path: &str) -> Meaning {
    if let Some(field) = PATHS.fields.get(path) {
        return if field.belongs_to(family) { Meaning::Field(field) } else { Meaning::Unknown };
    }
    if let Some(key) = map_key(family, path) {
        return if is_map_key(key) { Meaning::MapKey } else { Meaning::BadMapKey };
    }
    let families = PATHS.parents.get(path).copied().unwrap_or_default();
    if families & family.bit() != 0 { Meaning::Parent } else { Meaning::Unknown }
}

/// Returns the type that requests see under `path`: that of a field, or of a key of a map.
pub(super) fn kind_of(family: Family, path: &str) -> Option<FieldKind> {
    match meaning(family, path) {
        Meaning::Field(field) => Some(field.kind),
        Meaning::MapKey => Some(Double),
        Meaning::BadMapKey | Meaning::Parent | Meaning::Unknown => None,
    }
}

/// The part of `path` below a map of doubles of `family`.
fn map_key(family: Family, path: &str) -> Option<&str> {
    let mut maps = PATHS.maps.iter().filter(|field| field.belongs_to(family));
    maps.find_map(|field| path.strip_prefix(field.name)?.strip_prefix('.'))
}

pub(super) fn is_map_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&key.len()) && key.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        for pair in FIELDS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
        }
    }

    #[test]
    fn no_field_lies_below_another() {
        for field in FIELDS {
            let below = format!("{}.", field.name);
            assert!(!FIELDS.iter().any(|other| other.name.starts_with(&below)), "{below}");
        }
    }

    #[test]
    fn every_family_has_a_time_and_every_field_a_family() {
        for family in Family::ALL {
            assert_eq!(kind_of(family, "@timestamp"), Some(Date));
        }
        for field in FIELDS {
            assert!(Family::ALL.into_iter().any(|family| field.belongs_to(family)));
        }
    }

    #[test]
    fn paths_mean_what_the_family_says() {
        let window = |path| meaning(Family::Windows, path);
        assert_eq!(window("flowsentry.window.features.bytes"), Meaning::MapKey);
        assert_eq!(window("flowsentry.window.features.a.b"), Meaning::BadMapKey);
        assert_eq!(window("flowsentry.window"), Meaning::Parent);
        assert_eq!(window("flowsentry.alert"), Meaning::Unknown);
        assert_eq!(window("flowsentry.alert.count"), Meaning::Unknown);
        assert_eq!(window(""), Meaning::Unknown);
        assert_eq!(kind_of(Family::Alerts, "flowsentry.alert.count"), Some(Long));
    }
}
