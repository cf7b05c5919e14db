//! Which documents: the filters that all stores have.

use std::net::IpAddr;

use ipnet::IpNet;

use super::DocumentId;
use crate::model::Timestamp;

/// A value to compare a field with.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// For keywords; for addresses and dates when it reads as one.
    Text(String),
    /// For addresses.
    Ip(IpAddr),
    /// For dates; compared by the millisecond, rounded down.
    Time(Timestamp),
    /// For longs and doubles.
    Integer(i64),
    /// For longs and doubles; never NaN.
    Number(f64),
    /// For booleans.
    Boolean(bool),
}

macro_rules! scalar_from {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

scalar_from!(
    &str => Text, String => Text, IpAddr => Ip, Timestamp => Time,
    i64 => Integer, i32 => Integer, u32 => Integer, f64 => Number, bool => Boolean
);

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Limit {
    /// No end.
    #[default]
    Open,
    /// The value itself belongs to the range.
    Included(Scalar),
    /// The value itself does not belong to the range.
    Excluded(Scalar),
}

/// Which documents. A field with several values matches when one of them does.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every document.
    All,
    /// The field has this value.
    Term {
        /// Dotted field name.
        field: String,
        /// The value.
        value: Scalar,
    },
    /// The field has one of these values; none means no document.
    Terms {
        /// Dotted field name.
        field: String,
        /// The values.
        values: Vec<Scalar>,
    },
    /// The field lies in a range: numbers, dates, addresses.
    Range {
        /// Dotted field name.
        field: String,
        /// Lower end.
        from: Limit,
        /// Upper end.
        to: Limit,
    },
    /// The address lies in this network.
    InNetwork {
        /// Dotted field name.
        field: String,
        /// The network.
        network: IpNet,
    },
    /// The field has a searchable value.
    Exists {
        /// Dotted field name.
        field: String,
    },
    /// The keyword begins with this text.
    Prefix {
        /// Dotted field name.
        field: String,
        /// The beginning.
        prefix: String,
    },
    /// The document has one of these ids.
    Ids(Vec<DocumentId>),
    /// All of these hold; none means every document.
    And(Vec<Filter>),
    /// One of these holds; none means no document.
    Or(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
}

impl Filter {
    /// Returns the filter "`field` has the value `value`".
    pub fn term(field: impl Into<String>, value: impl Into<Scalar>) -> Self {
        Self::Term { field: field.into(), value: value.into() }
    }

    /// Returns the filter "`field` has one of `values`".
    pub fn terms<V: Into<Scalar>>(
        field: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::Terms { field: field.into(), values: values.into_iter().map(Into::into).collect() }
    }

    /// Returns the filter "`from` ≤ `field` < `to`".
    pub fn between(
        field: impl Into<String>,
        from: impl Into<Scalar>,
        to: impl Into<Scalar>,
    ) -> Self {
        let (from, to) = (Limit::Included(from.into()), Limit::Excluded(to.into()));
        Self::Range { field: field.into(), from, to }
    }

    /// Returns the filter "`field` ≥ `from`".
    pub fn at_least(field: impl Into<String>, from: impl Into<Scalar>) -> Self {
        Self::Range { field: field.into(), from: Limit::Included(from.into()), to: Limit::Open }
    }

    /// Returns the filter "`field` has a value".
    pub fn exists(field: impl Into<String>) -> Self {
        Self::Exists { field: field.into() }
    }

    /// Returns the opposite.
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }
}
