//! Section: what became of the records on their way, as the caller counted it.

use serde::Serialize;

use super::collect::Source;
use super::{Picture, ReportData, ReportError};

/// Facts about the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// In the order given.
    pub facts: Vec<Fact>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// `Records read`.
    pub label: String,
    /// `1,234,567`.
    pub value: String,
}

impl Fact {
    /// Returns the fact that `label` is `value`.
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into() }
    }
}

pub(super) fn collect(source: &Source<'_>) -> Result<Pipeline, ReportError> {
    Ok(Pipeline { facts: source.scope.facts.clone() })
}

pub(super) fn pictures(_report: &ReportData) -> Vec<Picture> {
    Vec::new()
}
