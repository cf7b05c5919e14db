//! Ways to part a table into rows that teach and rows that test.

use super::random::Random;
use super::table::Table;
use super::train::place;

/// Rows of a table, parted; all as places in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The rows that teach.
    pub train: Vec<usize>,
    /// The rows for choices; may be empty.
    pub validation: Vec<usize>,
    /// The rows that are judged once.
    pub test: Vec<usize>,
}

/// The shares that validation and test get; training gets the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// 0–1.
    pub validation: f64,
    /// 0–1.
    pub test: f64,
}

impl Shares {
    /// 80 / 10 / 10, as system 004 splits.
    pub const TENTHS: Self = Self { validation: 0.1, test: 0.1 };
}

/// The seed of system 004's split, and the default here.
pub const SEED: u64 = 42;

/// By a hash of the features, the default: rows that are equal never stand on both sides, so a model
/// is not asked what it was told. Shares are kept on average.
pub fn by_vector(table: &Table, shares: Shares, seed: u64) -> Split {
    let mut split = Split::default();
    for row in 0..table.len() {
        let place = place(table.vector_hash(row), seed);
        if place < shares.test {
            split.test.push(row);
        } else if place < shares.test + shares.validation {
            split.validation.push(row);
        } else {
            split.train.push(row);
        }
    }
    split
}

/// At random within each label, so that each has its share on every side to within a row. Bursts of
/// like rows fall on both sides: it flatters, and is for comparison with figures got that way.
pub fn stratified(table: &Table, shares: Shares, seed: u64) -> Split {
    let mut by_label = vec![Vec::new(); table.names.len()];
    (0..table.len()).for_each(|row| by_label[table.labels[row] as usize].push(row));
    let mut split = Split::default();
    for (label, mut rows) in by_label.into_iter().enumerate() {
        let count = rows.len();
        Random::new(seed, label as u64).choose(&mut rows, count);
        let share = |share: f64| (count as f64 * share).round() as usize;
        let test = share(shares.test).min(count);
        let validation = share(shares.validation).min(count - test);
        split.test.extend(&rows[..test]);
        split.validation.extend(&rows[test..test + validation]);
        split.train.extend(&rows[test + validation..]);
    }
    for rows in [&mut split.train, &mut split.validation, &mut split.test] {
        rows.sort_unstable();
    }
    split
}

/// In the order of `times` (one for each row; equal ones in the order of the file): the earliest
/// teach and the latest test, as in use.
pub fn by_time(table: &Table, times: &[f64], shares: Shares) -> Split {
    let mut rows: Vec<usize> = (0..table.len()).collect();
    let time = |row: usize| times.get(row).copied().unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| time(*a).total_cmp(&time(*b)).then(a.cmp(b)));
    let count = rows.len() as f64;
    let test = (count * shares.test).round() as usize;
    let validation = (count * shares.validation).round() as usize;
    let train = rows.len().saturating_sub(test + validation);
    let validation_end = (train + validation).min(rows.len());
    Split {
        train: rows[..train].to_vec(),
        validation: rows[train..validation_end].to_vec(),
        test: rows[validation_end..].to_vec(),
    }
}

/// The rows of each of `folds` folds, dealt by vector hash; fold n tests what it holds.
pub fn folds(table: &Table, folds: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut dealt = vec![Vec::new(); folds.max(2)];
    let count = dealt.len();
    for row in 0..table.len() {
        let fold = (place(table.vector_hash(row), seed) * count as f64) as usize;
        dealt[fold.min(count - 1)].push(row);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::schema::Schema;

    fn table() -> Table {
        let mut text = String::new();
        for n in 0..1000 {
            let label = if n % 10 == 0 { "attack" } else { "normal" };
            text += &format!("{},2,3,4,5,6,7,8,{label}\n", n / 2);
        }
        Table::read(&Schema::built_in("flow").unwrap(), text.as_bytes()).unwrap()
    }

    fn assert_whole(split: &Split) {
        let mut all = [&split.train[..], &split.validation, &split.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn equal_rows_stand_on_one_side() {
        let (table, split) = (table(), by_vector(&table(), Shares::TENTHS, SEED));
        assert_whole(&split);
        let test: Vec<_> = split.test.iter().map(|row| table.vector_hash(*row)).collect();
        assert!(split.train.iter().all(|row| !test.contains(&table.vector_hash(*row))));
        assert!((60..140).contains(&split.test.len()), "{}", split.test.len());
    }

    #[test]
    fn each_label_has_its_share_and_the_same_seed_the_same_rows() {
        let split = stratified(&table(), Shares::TENTHS, SEED);
        assert_whole(&split);
        let attacks = |rows: &[usize]| rows.iter().filter(|row| **row % 10 == 0).count();
        assert_eq!(
            [&split.train, &split.validation, &split.test].map(|r| (r.len(), attacks(r))),
            [(800, 80), (100, 10), (100, 10)]
        );
        assert_eq!(split, stratified(&table(), Shares::TENTHS, SEED));
        assert_ne!(split, stratified(&table(), Shares::TENTHS, 1));
    }

    #[test]
    fn the_latest_rows_test() {
        let times: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let split = by_time(&table(), &times, Shares::TENTHS);
        assert_whole(&split);
        assert_eq!((split.train[0], split.test[99]), (999, 0));
    }

    #[test]
    fn folds_are_all_rows_once() {
        let mut all = folds(&table(), 5, 1).concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }
}
