//! Labels for rows that have none, from rows that are known to be normal: system 000's way, without
//! its constants.
//!
//! K-means groups all rows together. The clusters in which normal rows are at home are the normal ones;
//! a row of another cluster counts as an attack. What is learned from these labels knows which clusters
//! are normal.

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use ndarray::Array2;
use thiserror::Error;

use super::params::Params;
use super::prepare::{Prepared, TableEncoder, encoder};
use super::random::Random;
use super::table::Table;

/// A cluster with a smaller share of the normal rows is not one of theirs: a capture that is known to
/// be normal may hold a few rows that are not.
const LEAST_SHARE: f64 = 0.001;
/// Rounds of the search for centres.
const ROUNDS: u64 = 100;

/// Why rows cannot be labelled.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NormalError {
    /// There are no normal rows, or no others.
    #[error("there are no {0} rows")]
    NoRows(&'static str),
    /// The schema has more than attacks and normal rows.
    #[error(
        "clusters tell normal rows from all others, and schema `{0}` has several classes of attacks"
    )]
    SeveralClasses(String),
    /// The library could not do it.
    #[error("clustering: {0}")]
    Failed(String),
}

/// The clusters that rows were labelled by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Rows of each cluster: normal ones, and those without a label.
    pub rows: Vec<(u64, u64)>,
    /// The clusters in which normal rows are at home, ascending.
    pub normal: Vec<usize>,
}

/// Labels the rows of `unknown` and adds them to `normal`, both read without labels under one schema
/// of two classes. `params` give the number of clusters and the most rows that are clustered; the
/// others go to the nearest centre.
///
/// # Errors
/// When there is nothing to part.
pub fn label_by_clusters(
    normal: &Table,
    unknown: &Table,
    params: &Params,
    seed: u64,
) -> Result<(Table, Clusters), NormalError> {
    let schema = &normal.schema;
    if schema.classes.len() != 2 {
        return Err(NormalError::SeveralClasses(schema.name.clone()));
    }
    for (table, what) in [(normal, "normal"), (unknown, "other")] {
        if table.is_empty() {
            return Err(NormalError::NoRows(what));
        }
    }
    let known = normal.len();
    let mut all = normal.with_rows_of(unknown);
    let rows: Vec<usize> = (0..all.len()).collect();
    let encoder = encoder(&all, &rows, &rows[..known], params.bins);
    let prepared = TableEncoder::new(&all, &encoder).prepare(&rows);
    let of_row = clusters_of(&prepared, params, seed)?;
    let count = of_row.iter().max().map_or(0, |cluster| cluster + 1);
    let mut counts = vec![(0, 0); count];
    for (row, &cluster) in of_row.iter().enumerate() {
        let (normal, others) = &mut counts[cluster];
        if row < known { *normal += 1 } else { *others += 1 }
    }
    let least = (LEAST_SHARE * known as f64).max(1.0);
    let is_home = |cluster: usize| counts[cluster].0 as f64 >= least;
    all.label_anew(|row| row < known || is_home(of_row[row]));
    let normal = (0..count).filter(|cluster| is_home(*cluster)).collect();
    Ok((all, Clusters { rows: counts, normal }))
}

/// The cluster of each row.
fn clusters_of(rows: &Prepared, params: &Params, seed: u64) -> Result<Vec<usize>, NormalError> {
    let failed = |error: &dyn std::fmt::Display| NormalError::Failed(error.to_string());
    let matrix = |chosen: &[usize]| {
        let numbers = chosen.iter().flat_map(|row| rows.wide(*row)).map(|value| f64::from(*value));
        Array2::from_shape_vec((chosen.len(), rows.wide_width), numbers.collect())
    };
    let mut drawn: Vec<usize> = (0..rows.rows).collect();
    Random::new(seed, 1 << 42).choose(&mut drawn, params.reference_rows);
    drawn.truncate(params.reference_rows.max(1));
    drawn.sort_unstable();
    let count = params.clusters.min(drawn.len());
    let data = DatasetBase::from(matrix(&drawn).map_err(|error| failed(&error))?);
    let centres = linfa_clustering::KMeans::params(count).n_runs(2).max_n_iterations(ROUNDS);
    let centres = centres.fit(&data).map_err(|error| failed(&error))?;
    let mut found = Vec::with_capacity(rows.rows);
    let everything: Vec<usize> = (0..rows.rows).collect();
    for block in everything.chunks(4_096) {
        let block = matrix(block).map_err(|error| failed(&error))?;
        found.extend(centres.predict(&block));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::blobs;
    use crate::models::schema::Schema;

    #[test]
    fn rows_of_clusters_without_normal_rows_are_attacks() {
        let both = blobs(900, 1);
        let of = |is_wanted: &dyn Fn(usize) -> bool| {
            both.choose(&(0..both.len()).filter(|row| is_wanted(*row)).collect::<Vec<_>>())
        };
        let normal = of(&|row| !both.is_attack(row) && row < 450);
        let unknown = of(&|row| row >= 450);
        let params = Params { clusters: 12, ..Params::default() };
        let (labelled, clusters) = label_by_clusters(&normal, &unknown, &params, 1).unwrap();
        assert_eq!(labelled.len(), normal.len() + unknown.len());
        assert!(!clusters.normal.is_empty() && clusters.normal.len() < clusters.rows.len());
        let wrong = (0..unknown.len())
            .filter(|row| labelled.is_attack(normal.len() + row) != unknown.is_attack(*row))
            .count();
        assert!(wrong * 50 < unknown.len(), "{wrong} of {}", unknown.len());
        assert!((0..normal.len()).all(|row| !labelled.is_attack(row)));
        let again = label_by_clusters(&normal, &unknown, &params, 1).unwrap();
        assert_eq!(again.0.checksum(), labelled.checksum());
    }

    #[test]
    fn without_rows_of_either_side_nothing_is_labelled() {
        let rows = blobs(30, 1);
        let none = Table::empty(&rows.schema);
        let params = Params::default();
        let label = |a: &Table, b: &Table| label_by_clusters(a, b, &params, 1).unwrap_err();
        assert_eq!(label(&none, &rows), NormalError::NoRows("normal"));
        assert_eq!(label(&rows, &none), NormalError::NoRows("other"));
        let kdd = Table::empty(&Schema::built_in("kdd").unwrap());
        assert_eq!(label(&kdd, &kdd), NormalError::SeveralClasses("kdd".to_owned()));
    }
}
