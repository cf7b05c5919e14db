//! Figures of classification, by their usual definitions (Fawcett 2006; Manning et al. 2008, ch. 8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::models::{Model, Prediction, Scratch};

use super::prepare::TableEncoder;
use super::table::Table;

/// What a model reached on labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows judged.
    pub rows: u64,
    /// The share of rows in the largest of the two groups: what "all normal" or "all attack" gets.
    pub majority: f64,
    /// Attack or normal, at the stored threshold.
    pub binary: Binary,
    /// The share of rows whose class is right.
    pub class_accuracy: f64,
    /// The mean F1 of the classes that occur or are predicted.
    pub macro_f1: f64,
    /// Each class, in the order of the schema.
    pub classes: Vec<ClassMetrics>,
    /// Rows by true class (outer) and predicted class (inner), in the order of the schema.
    pub confusion: Vec<Vec<u64>>,
    /// For each label: rows, and rows that were called normal if it is an attack, or an attack if it
    /// is not.
    pub labels: BTreeMap<String, Misses>,
}

/// Attack or normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// The share of rows that are right.
    pub accuracy: f64,
    /// The share of alarms that are right.
    pub precision: f64,
    /// The share of attacks that are found.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The share of normal rows that are called attacks.
    pub false_positive_rate: f64,
    /// The chance that an attack has a higher score than a normal row; ties count half.
    pub auroc: f64,
    /// The mean precision over the recalls reached (area under the step curve).
    pub average_precision: f64,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Its name.
    pub class: String,
    /// Rows of it.
    pub rows: u64,
    /// The share of rows given to it that belong to it.
    pub precision: f64,
    /// The share of its rows given to it.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// One label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misses {
    /// Rows with it.
    pub rows: u64,
    /// Those on the wrong side.
    pub missed: u64,
}

/// One judged row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The true class.
    pub truth: usize,
    /// The predicted class.
    pub predicted: usize,
    /// Whether it was called an attack.
    pub is_alarm: bool,
    /// What ranks it.
    pub score: f64,
}

/// Lets a model judge all rows of a table. Rows are encoded as prediction encodes them.
pub fn evaluate(model: &Model, table: &Table) -> Metrics {
    let outcomes = outcomes(model, table);
    let mut metrics = measure(&outcomes, &table.schema.classes, table.schema.normal_code());
    for (row, outcome) in outcomes.iter().enumerate() {
        let misses = metrics.labels.entry(table.label(row).to_owned()).or_default();
        misses.rows += 1;
        misses.missed += u64::from(table.is_attack(row) != outcome.is_alarm);
    }
    metrics
}

/// The outcome of each row of a table.
pub fn outcomes(model: &Model, table: &Table) -> Vec<Outcome> {
    let encoder = TableEncoder::new(table, &model.body.encoder);
    let rows: Vec<usize> = (0..table.len()).collect();
    let blocks: Vec<&[usize]> = rows.chunks(2048).collect();
    let judged = super::parallel::map(&blocks, |rows| {
        let (mut scratch, mut prediction) = (Scratch::default(), Prediction::default());
        let one = |&row: &usize| {
            encoder.encode(row, &mut scratch.row);
            model.judge(&mut scratch, &mut prediction);
            Outcome {
                truth: table.class(row),
                predicted: prediction.class,
                is_alarm: prediction.is_attack,
                score: prediction.score,
            }
        };
        rows.iter().map(one).collect::<Vec<_>>()
    });
    judged.concat()
}

/// The figures of judged rows.
pub fn measure(outcomes: &[Outcome], classes: &[String], normal: usize) -> Metrics {
    let mut confusion = vec![vec![0u64; classes.len()]; classes.len()];
    for outcome in outcomes {
        confusion[outcome.truth][outcome.predicted] += 1;
    }
    let right: u64 = (0..classes.len()).map(|n| confusion[n][n]).sum();
    let per_class: Vec<_> =
        classes.iter().enumerate().map(|(n, c)| class(&confusion, n, c)).collect();
    let given = |n: usize| confusion.iter().map(|row| row[n]).sum::<u64>();
    let occurring: Vec<f64> = (0..classes.len())
        .filter(|n| per_class[*n].rows + given(*n) > 0)
        .map(|n| per_class[n].f1)
        .collect();
    let attacks = outcomes.iter().filter(|outcome| outcome.truth != normal).count();
    let majority = attacks.max(outcomes.len() - attacks);
    Metrics {
        rows: outcomes.len() as u64,
        majority: ratio(majority as u64, outcomes.len() as u64),
        binary: binary(outcomes, normal),
        class_accuracy: ratio(right, outcomes.len() as u64),
        macro_f1: occurring.iter().sum::<f64>() / occurring.len().max(1) as f64,
        classes: per_class,
        confusion,
        labels: BTreeMap::new(),
    }
}

fn class(confusion: &[Vec<u64>], n: usize, name: &str) -> ClassMetrics {
    let rows = confusion[n].iter().sum();
    let given = confusion.iter().map(|row| row[n]).sum();
    let (precision, recall) = (ratio(confusion[n][n], given), ratio(confusion[n][n], rows));
    ClassMetrics {
        class: name.to_owned(),
        rows,
        precision,
        recall,
        f1: harmonic(precision, recall),
    }
}

fn binary(outcomes: &[Outcome], normal: usize) -> Binary {
    let count = |is_attack: bool, is_alarm: bool| {
        let fits = |o: &&Outcome| (o.truth != normal) == is_attack && o.is_alarm == is_alarm;
        outcomes.iter().filter(fits).count() as u64
    };
    let (found, missed) = (count(true, true), count(true, false));
    let (alarms, quiet) = (count(false, true), count(false, false));
    let (precision, recall) = (ratio(found, found + alarms), ratio(found, found + missed));
    let scored = outcomes.iter().map(|outcome| (outcome.score, outcome.truth != normal));
    let (auroc, average_precision) = ranking(scored.collect());
    Binary {
        accuracy: ratio(found + quiet, outcomes.len() as u64),
        precision,
        recall,
        f1: harmonic(precision, recall),
        false_positive_rate: ratio(alarms, alarms + quiet),
        auroc,
        average_precision,
    }
}

/// The area under the ROC curve and the average precision of scores with their truth. Rows of equal
/// score are taken together.
pub fn ranking(mut scored: Vec<(f64, bool)>) -> (f64, f64) {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let attacks = scored.iter().filter(|(_, is_attack)| *is_attack).count() as f64;
    let normals = scored.len() as f64 - attacks;
    let (mut found, mut alarms, mut area, mut precision) = (0.0, 0.0, 0.0, 0.0);
    for equal in scored.chunk_by(|a, b| a.0 == b.0) {
        let more = equal.iter().filter(|(_, is_attack)| *is_attack).count() as f64;
        let wrong = equal.len() as f64 - more;
        area += wrong * (found + more / 2.0);
        found += more;
        alarms += wrong;
        precision += more * found / (found + alarms);
    }
    (area / (attacks * normals).max(1.0), precision / attacks.max(1.0))
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

impl Metrics {
    /// The headline figures by name, as a model file keeps them.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let b = &self.binary;
        let mut all: BTreeMap<String, f64> = [
            ("accuracy", b.accuracy),
            ("precision", b.precision),
            ("recall", b.recall),
            ("f1", b.f1),
            ("false_positive_rate", b.false_positive_rate),
            ("auroc", b.auroc),
            ("average_precision", b.average_precision),
            ("majority", self.majority),
            ("class_accuracy", self.class_accuracy),
            ("macro_f1", self.macro_f1),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        all.extend(self.classes.iter().map(|c| (format!("recall_{}", c.class), c.recall)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_of_a_table_that_can_be_checked_by_hand() {
        let row =
            |truth, predicted, score| Outcome { truth, predicted, is_alarm: predicted != 0, score };
        let rows = [row(0, 0, 0.1), row(0, 1, 0.6), row(1, 1, 0.9), row(2, 1, 0.7), row(2, 0, 0.2)];
        let classes = ["normal", "dos", "probe"].map(str::to_owned);
        let metrics = measure(&rows, &classes, 0);
        assert_eq!((metrics.binary.accuracy, metrics.class_accuracy), (0.6, 0.4));
        assert_eq!((metrics.binary.precision, metrics.binary.recall), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!(metrics.binary.false_positive_rate, 0.5);
        assert_eq!(metrics.confusion[2], [1, 1, 0]);
        // Five of six pairs of attack and normal are in order.
        assert!((metrics.binary.auroc - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!((metrics.majority, metrics.classes[1].recall), (0.6, 1.0));
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_ordered_pairs(rows in prop::collection::vec((0u8..9, any::<bool>()), 1..80)) {
            let (mut pairs, mut ordered) = (0.0, 0.0);
            for (a, attack) in &rows {
                for (b, other) in &rows {
                    if *attack && !*other {
                        pairs += 1.0;
                        ordered += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                    }
                }
            }
            let (area, precision) = ranking(rows.iter().map(|(s, a)| (f64::from(*s), *a)).collect());
            prop_assert!((area * f64::max(pairs, 1.0) - ordered).abs() < 1e-9);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&precision));
        }
    }
}
