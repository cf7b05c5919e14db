//! Algorithms side by side on the same rows: the tables of systems 000, 002, 003 and 004.

use std::time::Duration;

use serde::Serialize;

use super::importance::{self, Importance};
use super::metrics::{Metrics, evaluate, outcomes};
use super::params::{Algorithm, Params};
use super::split;
use super::table::Table;
use super::train::{TrainError, train};

/// What one algorithm reached.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The algorithm by its name in parameter files.
    pub algorithm: &'static str,
    /// What it reached on the test rows.
    pub metrics: Metrics,
    /// By the caller's clock.
    pub fit_seconds: f64,
    /// By the caller's clock, for all test rows on all cores.
    pub predict_seconds: f64,
    /// The size of the model file.
    pub model_bytes: usize,
    /// The features that matter most, first.
    pub importance: Vec<Importance>,
}

/// An algorithm that could not be trained is a row of the table too.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// The algorithm.
    pub algorithm: &'static str,
    /// Why.
    pub reason: String,
}

/// Trains each algorithm on `train_rows` with the other parameters as they are and judges it on
/// `test_rows`. `clock` tells the time since any fixed moment.
pub fn compare(
    train_rows: &Table,
    test_rows: &Table,
    algorithms: &[Algorithm],
    params: &Params,
    seed: u64,
    clock: &dyn Fn() -> Duration,
) -> Vec<Result<Compared, Failed>> {
    let one = |&algorithm: &Algorithm| {
        let params = Params { algorithm, ..params.clone() };
        let failed =
            |error: TrainError| Failed { algorithm: algorithm.name(), reason: error.to_string() };
        let start = clock();
        let model = train(train_rows, &params, seed, "").map_err(failed)?;
        let fitted = clock();
        outcomes(&model, test_rows);
        let predicted = clock();
        Ok(Compared {
            algorithm: algorithm.name(),
            metrics: evaluate(&model, test_rows),
            fit_seconds: fitted.saturating_sub(start).as_secs_f64(),
            predict_seconds: predicted.saturating_sub(fitted).as_secs_f64(),
            model_bytes: model.to_bytes().map_or(0, |bytes| bytes.len()),
            importance: importance::of(&model, test_rows, importance_rows(algorithm), seed),
        })
    };
    algorithms.iter().map(one).collect()
}

/// Neighbours are looked for among all rows kept, once for each feature: a tenth of the rows must do.
fn importance_rows(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Knn | Algorithm::KmeansKnn => importance::ROWS / 10,
        _ => importance::ROWS,
    }
}

/// The metrics of each fold; folds are dealt by vector hash.
pub fn cross_validate(
    table: &Table,
    params: &Params,
    folds: usize,
    seed: u64,
) -> Result<Vec<Metrics>, TrainError> {
    let dealt = split::folds(table, folds, seed);
    let one = |n: usize| {
        let rest: Vec<usize> =
            (0..dealt.len()).filter(|m| *m != n).flat_map(|m| dealt[m].iter().copied()).collect();
        let model = train(&table.choose(&rest), params, seed, "")?;
        Ok(evaluate(&model, &table.choose(&dealt[n])))
    };
    (0..dealt.len()).map(one).collect()
}

/// The mean and the standard deviation of a figure over folds.
pub fn mean_and_deviation(folds: &[Metrics], figure: impl Fn(&Metrics) -> f64) -> (f64, f64) {
    let count = folds.len().max(1) as f64;
    let mean = folds.iter().map(&figure).sum::<f64>() / count;
    let squares: f64 = folds.iter().map(|fold| (figure(fold) - mean).powi(2)).sum();
    (mean, (squares / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::blobs;

    #[test]
    fn every_algorithm_parts_what_is_plainly_parted() {
        let (train, test) = (blobs(600, 1), blobs(300, 2));
        let params = Params { false_positive_rate: 0.02, ..Params::default() };
        let clock = || Duration::ZERO;
        for row in compare(&train, &test, &Algorithm::ALL, &params, 1, &clock) {
            let row = row.unwrap();
            let binary = &row.metrics.binary;
            // Cuts within the normal range hardly part what lies far outside in two columns of eight.
            let is_weak = row.algorithm == "isolation";
            assert!(
                binary.auroc > if is_weak { 0.6 } else { 0.97 },
                "{}: {binary:?}",
                row.algorithm
            );
            assert!(is_weak || binary.accuracy > 0.9, "{}: {binary:?}", row.algorithm);
            assert!(row.model_bytes > 0 && !row.importance.is_empty());
        }
    }

    #[test]
    fn folds_are_judged_apart() {
        let params = Params { algorithm: Algorithm::Tree, ..Params::default() };
        let folds = cross_validate(&blobs(600, 1), &params, 3, 1).unwrap();
        assert_eq!(folds.iter().map(|fold| fold.rows).sum::<u64>(), 600);
        let (mean, deviation) = mean_and_deviation(&folds, |m| m.binary.recall);
        assert!(mean > 0.9 && deviation < 0.1);
    }
}
