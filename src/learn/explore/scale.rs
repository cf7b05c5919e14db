//! Number columns on one scale: centred, in units of their deviation, gaps filled.

use ndarray::Array2;

use crate::learn::parallel;
use crate::learn::table::Table;
use crate::models::schema::Kind;

use super::columns::{moments, quantile, values};

/// Rows that one thread takes at a time.
const BLOCK: usize = 4096;

/// How the numbers of one column are standardised.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) column: usize,
    pub(super) name: String,
    is_log: bool,
    /// Stands for missing values: the median.
    stand_in: f64,
    mean: f64,
    deviation: f64,
}

/// The number columns that vary.
#[derive(Clone, Debug, Default)]
pub(super) struct Scales {
    pub(super) kept: Vec<Scale>,
    /// Columns with one value, none, or such that their spread is beyond all numbers.
    pub(super) constant: Vec<String>,
}

fn signed_log(value: f64) -> f64 {
    value.abs().ln_1p().copysign(value)
}

impl Scale {
    fn of(table: &Table, column: usize, logarithms: bool) -> Self {
        let facts = &table.schema().columns[column];
        let is_log = logarithms && matches!(facts.kind, Kind::Number { log: true, .. });
        let taken = |value: f64| if is_log { signed_log(value) } else { value };
        let mut sorted: Vec<f64> = values(table, column).map(|(value, _)| taken(value)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (mean, deviation) = moments(sorted.iter().copied());
        let varies = sorted.first() != sorted.last() && mean.is_finite();
        Self {
            column,
            name: facts.name.clone(),
            is_log,
            stand_in: quantile(&sorted, 0.5),
            mean,
            // A constant may come out a rounding above 0.
            deviation: if varies { deviation } else { 0.0 },
        }
    }

    /// The standardised value; NaN for NaN.
    pub(super) fn standard(&self, value: f64) -> f64 {
        let value = if self.is_log { signed_log(value) } else { value };
        (value - self.mean) / self.deviation
    }

    /// The same with the median for NaN.
    pub(super) fn filled(&self, value: f64) -> f64 {
        if value.is_nan() {
            return (self.stand_in - self.mean) / self.deviation;
        }
        self.standard(value)
    }

    /// The value in units of the column.
    pub(super) fn original(&self, standard: f64) -> f64 {
        let value = standard * self.deviation + self.mean;
        if self.is_log { value.abs().exp_m1().copysign(value) } else { value }
    }
}

impl Scales {
    /// Those of all number columns, or of the named ones.
    pub(super) fn of(table: &Table, names: &[String], logarithms: bool) -> Self {
        let columns = &table.schema().columns;
        let is_number = |n: &usize| matches!(columns[*n].kind, Kind::Number { .. });
        let named: Vec<_> = names.iter().filter_map(|name| table.schema().column(name)).collect();
        let chosen = |n: &usize| is_number(n) && (names.is_empty() || named.contains(n));
        let chosen: Vec<usize> = (0..columns.len()).filter(chosen).collect();
        let all = parallel::map(&chosen, |column| Scale::of(table, *column, logarithms));
        let varies = |scale: &Scale| scale.deviation > 0.0 && scale.deviation.is_finite();
        let (kept, constant) = all.into_iter().partition::<Vec<_>, _>(varies);
        Self { kept, constant: constant.into_iter().map(|scale| scale.name).collect() }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.kept.iter().map(|scale| scale.name.clone()).collect()
    }

    /// The standardised, filled numbers of some rows, row by row.
    pub(super) fn points(&self, table: &Table, rows: impl IntoIterator<Item = usize>) -> Vec<f64> {
        let of = |row: usize| {
            let cells = table.row(row);
            self.kept.iter().map(move |scale| scale.filled(cells[scale.column]))
        };
        rows.into_iter().flat_map(of).collect()
    }

    /// The same as a matrix.
    pub(super) fn matrix(&self, table: &Table, rows: &[usize]) -> Array2<f64> {
        let points = self.points(table, rows.iter().copied());
        Array2::from_shape_vec((rows.len(), self.kept.len()), points)
            .expect("every row has as many numbers as there are columns")
    }

    /// What `work` makes of the points of all rows, a block at a time: the points of a table are
    /// never in memory at once.
    pub(super) fn map_blocks<T: Send>(
        &self,
        table: &Table,
        work: impl Fn(&[f64]) -> Vec<T> + Sync,
    ) -> Vec<T> {
        let starts: Vec<usize> = (0..table.len()).step_by(BLOCK).collect();
        let blocks = parallel::map(&starts, |start| {
            work(&self.points(table, *start..(start + BLOCK).min(table.len())))
        });
        blocks.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::testing::five;

    #[test]
    fn columns_are_centred_in_units_of_their_deviation_and_constant_ones_are_named() {
        let table = five("1,2,3,4,5\n3,2,4,4,5\n5,2,3,4,5\n");
        let scales = Scales::of(&table, &[], false);
        assert_eq!(scales.names(), ["sumOfBytes", "sumOfPackets"]);
        assert_eq!(scales.constant.len(), 6, "columns without any value, too");
        let matrix = scales.matrix(&table, &[0, 1, 2]);
        assert_eq!(matrix.column(0).to_vec(), [-1.0, 0.0, 1.0]);
        assert_eq!(scales.kept[0].original(1.0), 5.0);
        let scales = Scales::of(&table, &["sum_of_packets".to_owned()], true);
        assert_eq!(scales.names(), ["sumOfPackets"]);
        assert!((scales.kept[0].original(scales.kept[0].standard(4.0)) - 4.0).abs() < 1e-12);
        assert_eq!(scales.kept[0].filled(f64::NAN), scales.kept[0].standard(3.0));
    }
}
