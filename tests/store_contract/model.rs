//! Window documents as plain rows, and what a filter says about a row: the naive side of the
//! comparisons.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Document, DocumentId, Family, Filter, IndexName, Limit, Namespace, Scalar, SearchRequest, Store,
};
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

pub const BYTES: &str = "flowsentry.window.features.bytes";
pub const SECONDS: &str = "flowsentry.window.seconds";
pub const KIND: &str = "flowsentry.window.subject.type";
pub const TRUNCATED: &str = "flowsentry.window.truncated";

/// The searchable part of a window document.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub time: Timestamp,
    pub source: Option<IpAddr>,
    pub tags: Vec<String>,
    pub kind: Option<String>,
    pub seconds: Option<i64>,
    pub bytes: Option<f64>,
    pub truncated: Option<bool>,
}

impl Row {
    /// A row with a time alone.
    pub fn at(time: &str) -> Self {
        Self {
            time: time.parse().unwrap(),
            source: None,
            tags: Vec::new(),
            kind: None,
            seconds: None,
            bytes: None,
            truncated: None,
        }
    }

    pub fn bytes(mut self, bytes: f64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = Some(kind.to_owned());
        self
    }

    pub fn document(&self, namespace: &Namespace, id: &str) -> Document {
        let mut window = Map::new();
        if let Some(kind) = &self.kind {
            window.insert("subject".into(), json!({"type": kind}));
        }
        if let Some(seconds) = self.seconds {
            window.insert("seconds".into(), json!(seconds));
        }
        if let Some(bytes) = self.bytes {
            window.insert("features".into(), json!({"bytes": bytes}));
        }
        if let Some(truncated) = self.truncated {
            window.insert("truncated".into(), json!(truncated));
        }
        let source = json!({
            "@timestamp": self.time.to_string(),
            "source": {"ip": self.source},
            "tags": self.tags,
            "event": {"id": id},
            "flowsentry": {"window": window},
        });
        let index = IndexName::for_event(Family::Windows, namespace, self.time);
        Document { index, id: DocumentId::new(id).unwrap(), source }
    }

    /// The values of a field, as scalars of the field's own type.
    fn values(&self, field: &str) -> Vec<Scalar> {
        match field {
            "@timestamp" => vec![Scalar::Time(self.time)],
            "source.ip" => self.source.into_iter().map(Scalar::Ip).collect(),
            "tags" => self.tags.iter().cloned().map(Scalar::Text).collect(),
            KIND => self.kind.iter().cloned().map(Scalar::Text).collect(),
            SECONDS => self.seconds.into_iter().map(Scalar::Integer).collect(),
            BYTES => self.bytes.into_iter().map(Scalar::Number).collect(),
            TRUNCATED => self.truncated.into_iter().map(Scalar::Boolean).collect(),
            other => panic!("no such field in the model: {other}"),
        }
    }
}

/// The id of the row at a place.
pub fn id_of(at: usize) -> String {
    format!("row-{at:04}")
}

/// Creates all rows, ids by place.
pub fn fill(store: &dyn Store, namespace: &Namespace, rows: &[Row]) {
    let documents = rows.iter().enumerate().map(|(at, row)| row.document(namespace, &id_of(at)));
    let outcome = store.bulk(documents.collect()).unwrap();
    assert_eq!(outcome.created(), rows.len(), "{:?}", outcome.rejected().next());
}

pub fn windows(namespace: &Namespace) -> SearchRequest {
    SearchRequest::new(Family::Windows, namespace.clone()).size(0)
}

/// The ids that a filter finds.
pub fn ids(store: &dyn Store, request: SearchRequest) -> BTreeSet<String> {
    let response = store.search(&request.size(1000)).unwrap();
    assert_eq!(response.total, response.hits.len() as u64);
    response.hits.iter().map(|hit| hit.id.to_string()).collect()
}

/// Whether `filter` holds for the row, by the words of its documentation.
pub fn holds(filter: &Filter, row: &Row, id: &str) -> bool {
    let any = |field: &str, test: &dyn Fn(&Scalar) -> bool| row.values(field).iter().any(test);
    match filter {
        Filter::All => true,
        Filter::Term { field, value } => any(field, &|own| order(own, value).is_eq()),
        Filter::Terms { field, values } => {
            values.iter().any(|value| any(field, &|own| order(own, value).is_eq()))
        }
        Filter::Range { field, from, to } => any(field, &|own| {
            let above = match from {
                Limit::Open => true,
                Limit::Included(limit) => order(own, limit).is_ge(),
                Limit::Excluded(limit) => order(own, limit).is_gt(),
            };
            let below = match to {
                Limit::Open => true,
                Limit::Included(limit) => order(own, limit).is_le(),
                Limit::Excluded(limit) => order(own, limit).is_lt(),
            };
            above && below
        }),
        Filter::InNetwork { field, network } => any(field, &|own| match (own, network) {
            (Scalar::Ip(IpAddr::V4(own)), IpNet::V4(network)) => network.contains(own),
            // Version 4 addresses are mapped ones: only `::/0` and the like hold them.
            (Scalar::Ip(own), IpNet::V6(network)) => network.contains(&mapped(own)),
            _ => false,
        }),
        Filter::Exists { field } => any(field, &|_| true),
        Filter::Prefix { field, prefix } => {
            any(field, &|own| matches!(own, Scalar::Text(own) if own.starts_with(prefix)))
        }
        Filter::Ids(ids) => ids.iter().any(|one| one.as_str() == id),
        Filter::And(filters) => filters.iter().all(|filter| holds(filter, row, id)),
        Filter::Or(filters) => filters.iter().any(|filter| holds(filter, row, id)),
        Filter::Not(filter) => !holds(filter, row, id),
    }
}

fn mapped(address: &IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => *address,
    }
}

/// Compares a value of a document with one of a filter.
fn order(own: &Scalar, other: &Scalar) -> std::cmp::Ordering {
    match (own, other) {
        (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
        (Scalar::Ip(a), Scalar::Ip(b)) => mapped(a).cmp(&mapped(b)),
        (Scalar::Time(a), Scalar::Time(b)) => a.millis().cmp(&b.millis()),
        (Scalar::Integer(a), Scalar::Integer(b)) => a.cmp(b),
        (Scalar::Integer(a), Scalar::Number(b)) => (*a as f64).partial_cmp(b).unwrap(),
        (Scalar::Number(a), Scalar::Integer(b)) => a.partial_cmp(&(*b as f64)).unwrap(),
        (Scalar::Number(a), Scalar::Number(b)) => a.partial_cmp(b).unwrap(),
        (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
        _ => panic!("{own:?} is not comparable with {other:?}"),
    }
}

const TIME: i64 = 1_795_000_000;

fn time() -> impl Strategy<Value = Timestamp> {
    // Three days, so that several indices take part.
    (0..3 * 86_400_000_i64).prop_map(|millis| Timestamp::from_millis(TIME * 1000 + millis))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u8, 0..4_u8).prop_map(|(a, b)| IpAddr::from([10, 0, a, b])),
        (0..4_u16).prop_map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])),
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(""), Just("a"), Just("ab"), Just("b c"), Just("ä"), Just("\u{10ffff}x")]
        .prop_map(str::to_owned)
}

fn bytes() -> impl Strategy<Value = f64> {
    prop_oneof![(-4..4_i32).prop_map(f64::from), -1e6..1e6_f64, Just(-0.0), Just(1e300)]
}

pub fn row() -> impl Strategy<Value = Row> {
    (
        time(),
        proptest::option::of(address()),
        proptest::collection::vec(word(), 0..3),
        proptest::option::of(word()),
        proptest::option::of(prop_oneof![-3..3_i64, Just(i64::MIN), Just(i64::MAX)]),
        proptest::option::of(bytes()),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(time, source, tags, kind, seconds, bytes, truncated)| Row {
            time,
            source,
            tags,
            kind,
            seconds,
            bytes,
            truncated,
        })
}

/// A field with values to compare it with.
fn field_and_value() -> impl Strategy<Value = (&'static str, Scalar)> {
    prop_oneof![
        time().prop_map(|time| ("@timestamp", Scalar::Time(time))),
        address().prop_map(|address| ("source.ip", Scalar::Ip(address))),
        word().prop_map(|word| ("tags", Scalar::Text(word))),
        word().prop_map(|word| (KIND, Scalar::Text(word))),
        (-3..3_i64).prop_map(|number| (SECONDS, Scalar::Integer(number))),
        (-3.0..3.0_f64).prop_map(|number| (SECONDS, Scalar::Number(number))),
        bytes().prop_map(|number| (BYTES, Scalar::Number(number))),
        (-3..3_i64).prop_map(|number| (BYTES, Scalar::Integer(number))),
    ]
}

fn limit(value: Scalar, form: u8) -> Limit {
    match form {
        0 => Limit::Open,
        1 => Limit::Included(value),
        _ => Limit::Excluded(value),
    }
}

fn leaf() -> impl Strategy<Value = Filter> {
    let field = prop_oneof![
        Just("@timestamp"),
        Just("source.ip"),
        Just("tags"),
        Just(KIND),
        Just(SECONDS),
        Just(BYTES),
        Just(TRUNCATED)
    ];
    prop_oneof![
        Just(Filter::All),
        field_and_value().prop_map(|(field, value)| Filter::term(field, value)),
        any::<bool>().prop_map(|flag| Filter::term(TRUNCATED, flag)),
        proptest::collection::vec(word(), 0..3).prop_map(|words| Filter::terms("tags", words)),
        (field_and_value(), 0..3_u8, 0..3_u8).prop_flat_map(|((field, from), low, high)| {
            field_and_value()
                .prop_filter("the same field", move |(other, _)| *other == field)
                .prop_map(move |(_, to)| Filter::Range {
                    field: field.to_owned(),
                    from: limit(from.clone(), low),
                    to: limit(to, high),
                })
        }),
        (address(), 0..=32_u8).prop_map(|(address, length)| Filter::InNetwork {
            field: "source.ip".to_owned(),
            network: IpNet::new(address, length).unwrap().trunc(),
        }),
        field.prop_map(Filter::exists),
        word().prop_map(|prefix| Filter::Prefix { field: "tags".to_owned(), prefix }),
        proptest::collection::vec(0..60_usize, 0..4).prop_map(|places| {
            Filter::Ids(places.into_iter().map(|at| DocumentId::new(id_of(at)).unwrap()).collect())
        }),
    ]
}

pub fn filter() -> impl Strategy<Value = Filter> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(Filter::negate),
        ]
    })
}

/// The JSON of a state document, a family without a period.
pub fn state(namespace: &Namespace, id: &str, source: Value) -> Document {
    let index = IndexName::for_event(Family::State, namespace, Timestamp::default());
    Document { index, id: DocumentId::new(id).unwrap(), source }
}
