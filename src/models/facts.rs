//! What a model says about itself: where it comes from and what it reached, on which rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The readable part of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The algorithm by its name in the parameter file.
    pub algorithm: String,
    /// The commit of the program that trained it, as its caller gave it.
    pub commit: String,
    /// What all chance in training came from.
    pub seed: u64,
    /// Rows that training used.
    pub rows: u64,
    /// Rows that were left out because they were bad.
    pub rejected_rows: u64,
    /// Rows of each class.
    pub class_counts: BTreeMap<String, u64>,
    /// SHA-256 of the training rows, features and labels in their order.
    pub checksum: String,
    /// The parameters, as a parameter file has them.
    pub parameters: serde_json::Value,
    /// How the verdict is reached.
    pub threshold: Threshold,
    /// Measured figures, each with the rows it was measured on.
    pub metrics: Vec<Measured>,
}

/// Where attack begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// A row is an attack when its fused surprise is at least `score`.
    Surprise {
        /// The least surprise of an attack.
        score: f64,
        /// The calibrated probability there.
        probability: f64,
        /// The share of held-out normal training rows that it was set to reach.
        false_positive_rate: f64,
        /// The share of attacks that it was set to reach instead, when it was.
        #[serde(default)]
        recall: Option<f64>,
    },
    /// A row is of its likeliest class, or, where scores are fused, an attack when that is likelier
    /// than not.
    MostLikely,
}

impl Threshold {
    /// The share of held-out normal rows that it was set to call an attack.
    pub fn false_positive_rate(&self) -> Option<f64> {
        match self {
            Self::Surprise { false_positive_rate, .. } => Some(*false_positive_rate),
            Self::MostLikely => None,
        }
    }
}

/// Figures from one set of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The data set, by name or file.
    pub data: String,
    /// How its rows were chosen: "held-out training rows by vector hash", "KDDTest+" …
    pub split: String,
    /// How many rows.
    pub rows: u64,
    /// The figures by name.
    pub figures: BTreeMap<String, f64>,
}
