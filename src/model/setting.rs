//! A setting that cannot be used.

use std::fmt::Display;

/// A setting that cannot be used, by its full key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting `{key}` {problem}")]
pub struct SettingError {
    /// The key with its path, for example `detectors.iqr.factor`.
    pub key: String,
    /// What is wrong and what would be right, for example "must be positive, got -1".
    pub problem: String,
}

impl SettingError {
    /// Returns the error for `key`; `problem` goes on from the key: "must be positive, got -1".
    pub fn new(key: impl Into<String>, problem: impl Display) -> Self {
        Self { key: key.into(), problem: problem.to_string() }
    }
}
