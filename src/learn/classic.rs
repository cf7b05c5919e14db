//! The well-known classifiers that systems 000, 003 and 004 compare, for tables of comparison.

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use ndarray::{Array1, Array2};

use crate::models::parts::bayes::Bayes;
use crate::models::parts::linear::Linear;
use crate::models::parts::neighbours::{Clusters, Neighbours};

use super::params::Params;
use super::random::Random;
use super::trees::Labelled;

/// Rows that support vectors are looked for among at most: 32 MB for each class at work.
const SVM_ROWS: usize = 2000;
/// Rounds of the solver of logistic regression.
const LOGISTIC_ROUNDS: u64 = 100;

/// Means and variances of each class. A variance is at least a billionth of a unit more than
/// scikit-learn's rule would have it, so that a number that never varies stays finite.
pub(crate) fn bayes(rows: &Labelled) -> Bayes {
    let width = rows.data.narrow_width;
    let (mut weights, mut sums) =
        (vec![0.0f64; rows.count], vec![(0.0f64, 0.0f64); rows.count * width]);
    for (row, class) in rows.classes.iter().enumerate() {
        let (class, weight) = (usize::from(*class), f64::from(rows.weights[row]));
        weights[class] += weight;
        for (sum, value) in sums[class * width..].iter_mut().zip(rows.data.narrow(row)) {
            let value = f64::from(*value);
            *sum = (sum.0 + weight * value, sum.1 + weight * value * value);
        }
    }
    let all: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let moments = sums.iter().enumerate().map(|(n, (sum, squares))| {
        let weight = weights[n / width.max(1)].max(f64::MIN_POSITIVE);
        let mean = sum / weight;
        (mean as f32, ((squares / weight - mean * mean).max(0.0) + 1e-4) as f32)
    });
    let priors = weights.iter().map(|weight| (weight / all).max(1e-12).ln()).collect();
    Bayes { moments: moments.collect(), priors }
}

/// Rows drawn by the seed.
fn drawn(rows: &Labelled, most: usize, seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rows.classes.len()).collect();
    Random::new(seed, 1 << 41).choose(&mut all, most);
    all.truncate(most.max(1));
    all.sort_unstable();
    all
}

fn wide(rows: &Labelled, chosen: &[usize]) -> Vec<f32> {
    chosen.iter().flat_map(|row| rows.data.wide(*row)).copied().collect()
}

/// Keeps a sample of the rows.
pub(crate) fn neighbours(rows: &Labelled, params: &Params, seed: u64) -> Neighbours {
    let chosen = drawn(rows, params.reference_rows, seed);
    Neighbours {
        rows: wide(rows, &chosen),
        classes: chosen.iter().map(|row| rows.classes[*row]).collect(),
        k: params.neighbours,
        count: rows.count,
    }
}

/// Parts a sample into clusters, whose classes are those of their rows.
pub(crate) fn clusters(rows: &Labelled, params: &Params, seed: u64) -> Result<Clusters, String> {
    let chosen = drawn(rows, params.reference_rows, seed);
    let stored = wide(rows, &chosen);
    let numbers = stored.iter().map(|value| f64::from(*value)).collect();
    let matrix = Array2::from_shape_vec((chosen.len(), rows.data.wide_width), numbers)
        .map_err(|error| error.to_string())?;
    let count = params.clusters.min(chosen.len());
    let data = DatasetBase::from(matrix);
    let fitted = linfa_clustering::KMeans::params(count).n_runs(2).max_n_iterations(100).fit(&data);
    let fitted = fitted.map_err(|error| error.to_string())?;
    let found = fitted.predict(data.records());
    let mut shares = vec![0.0; count * rows.count];
    for (cluster, row) in found.iter().zip(&chosen) {
        shares[cluster * rows.count + usize::from(rows.classes[*row])] += 1.0;
    }
    for shares in shares.chunks_mut(rows.count) {
        let sum = shares.iter().sum::<f64>();
        shares.iter_mut().for_each(|share| *share /= f64::max(sum, 1.0));
    }
    let neighbours = Neighbours {
        rows: stored,
        // At most 1000 clusters.
        classes: found.iter().map(|cluster| *cluster as u16).collect(),
        k: params.neighbours,
        count,
    };
    Ok(Clusters { neighbours, shares, classes: rows.count })
}

/// Logistic regression by linfa, which takes no weights: rare classes are lifted by none.
pub(crate) fn logistic(rows: &Labelled, params: &Params) -> Result<Linear, String> {
    let chosen: Vec<usize> = (0..rows.classes.len()).collect();
    let numbers = wide(rows, &chosen).iter().map(|value| f64::from(*value)).collect();
    let matrix = Array2::from_shape_vec((chosen.len(), rows.data.wide_width), numbers)
        .map_err(|error| error.to_string())?;
    let targets: Array1<usize> = rows.classes.iter().map(|class| usize::from(*class)).collect();
    let data = DatasetBase::new(matrix, targets);
    let fitted = linfa_logistic::MultiLogisticRegression::default()
        .alpha(params.penalty)
        .max_iterations(LOGISTIC_ROUNDS)
        .fit(&data)
        .map_err(|error| error.to_string())?;
    let mut linear = Linear {
        weights: vec![0.0; rows.count * rows.data.wide_width],
        // A class without rows is never likely.
        intercepts: vec![-1e6; rows.count],
    };
    let found = fitted.classes().iter().zip(fitted.params().columns()).zip(fitted.intercept());
    for ((class, weights), intercept) in found {
        linear.intercepts[*class] = *intercept as f32;
        let own = &mut linear.weights[class * rows.data.wide_width..];
        own.iter_mut().zip(weights).for_each(|(own, weight)| *own = *weight as f32);
    }
    Ok(linear)
}

/// Linear support vectors by linfa for each class against all others, on a sample: its solver keeps
/// a square of the rows in memory.
pub(crate) fn support_vectors(
    rows: &Labelled,
    params: &Params,
    seed: u64,
) -> Result<Linear, String> {
    let chosen = drawn(rows, params.reference_rows.min(SVM_ROWS), seed);
    let stored = wide(rows, &chosen);
    let width = rows.data.wide_width;
    let matrix = Array2::from_shape_vec(
        (chosen.len(), width),
        stored.iter().map(|value| f64::from(*value)).collect(),
    )
    .map_err(|error| error.to_string())?;
    let outputs: Vec<usize> = if rows.count == 2 { vec![1] } else { (0..rows.count).collect() };
    let each = super::parallel::map(&outputs, |&class| {
        let truth: Array1<bool> =
            chosen.iter().map(|row| usize::from(rows.classes[*row]) == class).collect();
        one_against_all(&matrix, truth)
    });
    let mut linear = Linear { weights: Vec::new(), intercepts: Vec::new() };
    for (weights, intercept) in each {
        linear.weights.extend(weights);
        linear.intercepts.push(intercept);
    }
    Ok(linear)
}

/// The plane between a class and the others; a constant when there is nothing to part.
fn one_against_all(matrix: &Array2<f64>, truth: Array1<bool>) -> (Vec<f32>, f32) {
    let width = matrix.ncols();
    if truth.iter().all(|is| *is) || !truth.iter().any(|is| *is) {
        let is_all = truth.first().copied().unwrap_or(false);
        return (vec![0.0; width], if is_all { 10.0 } else { -10.0 });
    }
    let data = DatasetBase::new(matrix.clone(), truth);
    let fitted: Result<_, linfa_svm::SvmError> =
        linfa_svm::Svm::<f64, bool>::params().pos_neg_weights(1.0, 1.0).linear_kernel().fit(&data);
    let Ok(fitted) = fitted else {
        return (vec![0.0; width], -10.0);
    };
    // The plane is read off at the unit points: its decision is linear.
    let decide = |row: &Array1<f64>| fitted.weighted_sum(row) - fitted.rho;
    let start = decide(&Array1::zeros(width));
    let slope = |n: usize| {
        let mut unit = Array1::zeros(width);
        unit[n] = 1.0;
        (decide(&unit) - start) as f32
    };
    ((0..width).map(slope).collect(), start as f32)
}
