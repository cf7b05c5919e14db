//! Which features a model leans on: permutation importance (Breiman 2001; Fisher et al. 2019).
//!
//! A column is shuffled among the rows, and what the AUROC of attack against normal loses is the
//! importance of the column. It asks any model the same question, unlike counts of cuts.

use serde::{Deserialize, Serialize};

use crate::models::Model;

use super::metrics::{outcomes, ranking};
use super::random::Random;
use super::table::Table;

/// Rows that are enough for a ranking of features.
pub const ROWS: usize = 2000;

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column.
    pub feature: String,
    /// What the AUROC loses when the column says nothing; about 0 when it is not needed.
    pub loss: f64,
}

/// The importance of each feature on at most `rows` rows drawn by the seed; greatest first.
pub fn of(model: &Model, table: &Table, rows: usize, seed: u64) -> Vec<Importance> {
    let mut random = Random::new(seed, 1 << 43);
    let mut chosen: Vec<usize> = (0..table.len()).collect();
    random.choose(&mut chosen, rows);
    chosen.truncate(rows);
    let sample = table.choose(&chosen);
    let base = area(model, &sample);
    let width = table.schema.columns.len();
    let mut all = Vec::with_capacity(width);
    for (n, column) in table.schema.columns.iter().enumerate() {
        let mut values: Vec<f64> = (0..sample.len()).map(|row| sample.row(row)[n]).collect();
        let count = values.len();
        random.choose(&mut values, count);
        let mut shuffled = sample.clone();
        for (row, value) in values.into_iter().enumerate() {
            shuffled.cells[row * width + n] = value;
        }
        all.push(Importance { feature: column.name.clone(), loss: base - area(model, &shuffled) });
    }
    all.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    all
}

fn area(model: &Model, table: &Table) -> f64 {
    let normal = table.schema.normal_code();
    let judged = outcomes(model, table);
    ranking(judged.iter().map(|outcome| (outcome.score, outcome.truth != normal)).collect()).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::params::Params;
    use crate::learn::testing::blobs;
    use crate::learn::train::train;

    #[test]
    fn the_columns_that_part_the_classes_come_first() {
        let table = blobs(600, 1);
        let model = train(&table, &Params::default(), 1, "").unwrap();
        let all = of(&model, &table, 300, 1);
        assert_eq!(all.len(), 8);
        assert!(all[0].loss > all[7].loss);
        // The last columns of the blobs are noise.
        assert!(["sumOfBytes", "sumOfFlows"].contains(&all[0].feature.as_str()), "{all:?}");
    }
}
