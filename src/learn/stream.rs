//! Test, then train: how a model that is trained again on a schedule does on rows in their order
//! (prequential evaluation: Dawid 1984; Gama et al. 2013).

use super::metrics::{Metrics, Outcome, measure, outcomes};
use super::params::Params;
use super::table::Table;
use super::train::{TrainError, train};

/// When to train again, and on what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The first share of the rows trains the first model and is not judged; 0–1.
    pub start: f64,
    /// Rows between trainings.
    pub every: usize,
    /// The most recent rows that each training sees.
    pub window: usize,
}

/// Judges each block of rows by the model trained on rows before it alone.
pub fn test_then_train(
    table: &Table,
    params: &Params,
    schedule: Schedule,
    seed: u64,
) -> Result<Metrics, TrainError> {
    let all: Vec<usize> = (0..table.len()).collect();
    let mut begin = (table.len() as f64 * schedule.start.clamp(0.0, 1.0)) as usize;
    let mut judged: Vec<Outcome> = Vec::with_capacity(table.len());
    while begin < table.len() {
        let end = (begin + schedule.every.max(1)).min(table.len());
        let past = &all[begin.saturating_sub(schedule.window)..begin];
        let model = train(&table.choose(past), params, seed, "")?;
        judged.extend(outcomes(&model, &table.choose(&all[begin..end])));
        begin = end;
    }
    Ok(measure(&judged, &table.schema.classes, table.schema.normal_code()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::params::Algorithm;
    use crate::learn::testing::blobs;

    #[test]
    fn every_row_after_the_start_is_judged_once() {
        let params = Params { algorithm: Algorithm::Tree, ..Params::default() };
        let schedule = Schedule { start: 0.2, every: 150, window: 1000 };
        let metrics = test_then_train(&blobs(500, 1), &params, schedule, 1).unwrap();
        assert_eq!(metrics.rows, 400);
        assert!(metrics.binary.recall > 0.9);
    }
}
