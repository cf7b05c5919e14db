//! What a store answers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use serde_json::Value;

use super::{DocumentId, IndexName, SortValue, Version};

/// The answer to a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResponse {
    /// How many documents matched, exactly.
    pub total: u64,
    /// The page of hits asked for, in order.
    pub hits: Vec<Hit>,
    /// Results by the names of the request.
    pub aggregations: AggregationResults,
}

/// One document found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Where it is.
    pub index: IndexName,
    /// Its id.
    pub id: DocumentId,
    /// Its version, for a later update.
    pub version: Version,
    /// What was asked for of it; null when nothing was.
    pub source: Value,
    /// The values of the sort keys.
    pub sort: Vec<SortValue>,
}

/// Results by name.
pub type AggregationResults = BTreeMap<String, AggregationResult>;

/// The result of one aggregation.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregationResult {
    /// Of date histogram, terms, range, filters and composite.
    Buckets {
        /// The buckets, in order.
        buckets: Vec<Bucket>,
        /// Terms only: how often documents fell into buckets beyond the size asked for.
        other_doc_count: u64,
    },
    /// Of sum, min, max, avg, value count and cardinality; `None` where no value gives none.
    Value(Option<f64>),
    /// Of stats.
    Stats(Stats),
    /// Of percentiles: the percent and the value, in the order asked for.
    Percentiles(Vec<(f64, Option<f64>)>),
    /// Of top hits.
    Hits(Vec<Hit>),
}

/// One bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// What its documents have in common.
    pub key: Key,
    /// Of a date histogram: the first moment in the time zone asked for, RFC 3339.
    pub key_as_string: Option<String>,
    /// How many documents.
    pub doc_count: u64,
    /// Results within the bucket.
    pub aggregations: AggregationResults,
}

/// Numbers about numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many values.
    pub count: u64,
    /// Their sum; 0 when there are none.
    pub sum: f64,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The mean.
    pub avg: Option<f64>,
}

/// The key of a bucket. Orders as the store orders keys.
#[derive(Clone, Debug)]
pub enum Key {
    /// A boolean.
    Boolean(bool),
    /// A long, or a moment in milliseconds since the epoch.
    Integer(i64),
    /// A double; never NaN.
    Number(f64),
    /// An address.
    Ip(IpAddr),
    /// A keyword, or the key of a range or filter.
    Text(String),
    /// The parts of a composite key, in the order of its sources.
    Parts(Vec<Key>),
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Integer(_) => 1,
            Self::Number(_) => 2,
            Self::Ip(_) => 3,
            Self::Text(_) => 4,
            Self::Parts(_) => 5,
        }
    }

    /// The text, of a keyword, range or filter.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, of a long or a date (milliseconds since the epoch).
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The address.
    pub fn as_ip(&self) -> Option<IpAddr> {
        if let Self::Ip(address) = self { Some(*address) } else { None }
    }
}

/// An address as the number that addresses are ordered by: version 4 as mapped version 6.
pub(super) fn ip_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Ip(a), Self::Ip(b)) => ip_number(*a).cmp(&ip_number(*b)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Parts(a), Self::Parts(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Boolean(value) => value.hash(state),
            Self::Integer(value) => value.hash(state),
            Self::Number(value) => value.to_bits().hash(state),
            Self::Ip(value) => ip_number(*value).hash(state),
            Self::Text(value) => value.hash(state),
            Self::Parts(values) => values.hash(state),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Ip(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Parts(values) => {
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                Ok(())
            }
        }
    }
}

impl SearchResponse {
    /// The buckets of the aggregation `name`; empty when there is none of that name with buckets.
    pub fn buckets(&self, name: &str) -> &[Bucket] {
        self.aggregations.get(name).map_or(&[], AggregationResult::buckets)
    }

    /// The value of the metric `name`; `None` when there is none of that name, or no value.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.aggregations.get(name)?.value()
    }
}

impl Bucket {
    /// The buckets of the aggregation `name` within this one; empty when there are none.
    pub fn buckets(&self, name: &str) -> &[Bucket] {
        self.aggregations.get(name).map_or(&[], AggregationResult::buckets)
    }

    /// The value of the metric `name` within this bucket.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.aggregations.get(name)?.value()
    }
}

impl AggregationResult {
    /// The buckets; empty for metrics.
    pub fn buckets(&self) -> &[Bucket] {
        match self {
            Self::Buckets { buckets, .. } => buckets,
            Self::Value(_) | Self::Stats(_) | Self::Percentiles(_) | Self::Hits(_) => &[],
        }
    }

    /// The single value; `None` for others and where there is no value.
    pub fn value(&self) -> Option<f64> {
        if let Self::Value(value) = self { *value } else { None }
    }

    /// The stats, when it is that.
    pub fn stats(&self) -> Option<Stats> {
        if let Self::Stats(stats) = self { Some(*stats) } else { None }
    }

    /// The top hits; empty for others.
    pub fn hits(&self) -> &[Hit] {
        if let Self::Hits(hits) = self { hits } else { &[] }
    }
}
