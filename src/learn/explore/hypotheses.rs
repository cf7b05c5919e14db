//! Whether normal and attack rows differ in a column: t tests of numbers, chi-square of words.
//!
//! System 003 published the pooled t test of Student (`scipy.stats.ttest_ind` as it comes) between
//! all normal and all attack rows of KDDTrain+, and chi-square of words against the same two. The
//! variances of the two are far from equal there, so the test of Welch stands beside it: by it the
//! difference of `src_bytes` has p = 0.0498 instead of 0.0356.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::learn::parallel;
use crate::learn::table::Table;
use crate::models::schema::Kind;

use super::columns::values;

/// Below this a cell of a table is called sparse, after Cochran's rule (1954).
const SPARSE: f64 = 5.0;

/// The tests of all columns, each on its own: with many columns some differ by chance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hypotheses {
    /// A difference is called significant when p is below.
    pub alpha: f64,
    /// Numbers between normal and attack rows; columns where there is nothing to test are absent.
    pub numbers: Vec<NumberTest>,
    /// Words against normal and attack.
    pub words: Vec<WordTest>,
}

/// Whether the mean of a number differs between normal and attack rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberTest {
    /// The column.
    pub column: String,
    /// The mean of the normal rows.
    pub normal_mean: f64,
    /// The mean of the attack rows.
    pub attack_mean: f64,
    /// Student's test, which takes the variances for equal.
    pub pooled: TTest,
    /// Welch's test, which does not.
    pub welch: TTest,
}

/// A two-sided t test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TTest {
    /// Normal minus attack, in standard errors.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees: f64,
    /// The chance of a difference at least so great where there is none.
    pub p: f64,
    /// Whether p is below alpha.
    pub is_significant: bool,
}

/// Whether the words of a column depend on whether a row is an attack: Pearson's chi-square without
/// correction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordTest {
    /// The column.
    pub column: String,
    /// The statistic.
    pub chi_square: f64,
    /// Degrees of freedom.
    pub degrees: u64,
    /// The chance of a statistic at least so great where there is no dependence; 0 when it is below
    /// the least number.
    pub p: f64,
    /// The share of cells in which fewer than five rows are expected, 0–1. Above a fifth p is rough.
    pub sparse: f64,
    /// Whether p is below alpha.
    pub is_significant: bool,
}

/// Count, mean and sum of squared differences of one side.
#[derive(Clone, Copy, Default)]
struct Side {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Hypotheses {
    /// Returns the tests of every column; `None` without normal or without attack rows.
    pub(super) fn of(table: &Table, alpha: f64) -> Option<Self> {
        let attacks = (0..table.len()).filter(|row| table.is_attack(*row)).count();
        if !table.has_labels() || attacks == 0 || attacks == table.len() {
            return None;
        }
        let columns: Vec<usize> = (0..table.schema().columns.len()).collect();
        let is_number = |n: &usize| matches!(table.schema().columns[*n].kind, Kind::Number { .. });
        let (numbers, words): (Vec<usize>, Vec<usize>) = columns.into_iter().partition(is_number);
        let numbers = parallel::map(&numbers, |column| number(table, *column, alpha));
        let words = words.iter().map(|column| word(table, *column, alpha));
        Some(Self {
            alpha,
            numbers: numbers.into_iter().flatten().collect(),
            words: words.flatten().collect(),
        })
    }
}

fn number(table: &Table, column: usize, alpha: f64) -> Option<NumberTest> {
    let normal_code = table.schema().normal_code();
    let side = |is_attack: bool| {
        let own = move |(_, class): &(f64, usize)| (*class != normal_code) == is_attack;
        Side::of(|| values(table, column).filter(own).map(|(value, _)| value))
    };
    let (normal, attack) = (side(false), side(true));
    Some(NumberTest {
        column: table.schema().columns[column].name.clone(),
        normal_mean: normal.mean,
        attack_mean: attack.mean,
        pooled: pooled(normal, attack, alpha)?,
        welch: welch(normal, attack, alpha)?,
    })
}

impl Side {
    fn of<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> Self {
        let (count, sum) = values().fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
        let mean = sum / f64::max(count, 1.0);
        let squares = values().map(|value| (value - mean) * (value - mean)).sum();
        Self { count, mean, squares }
    }

    /// The variance of the mean.
    fn of_mean(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

fn pooled(a: Side, b: Side, alpha: f64) -> Option<TTest> {
    let degrees = a.count + b.count - 2.0;
    let variance = (a.squares + b.squares) / degrees;
    t_test(a.mean - b.mean, variance * (1.0 / a.count + 1.0 / b.count), degrees, alpha)
}

fn welch(a: Side, b: Side, alpha: f64) -> Option<TTest> {
    let (of_a, of_b) = (a.of_mean(), b.of_mean());
    let square = (of_a + of_b) * (of_a + of_b);
    let degrees = square / (of_a * of_a / (a.count - 1.0) + of_b * of_b / (b.count - 1.0));
    t_test(a.mean - b.mean, of_a + of_b, degrees, alpha)
}

/// `None` where there is nothing to test: a side has fewer than two values, or none varies.
fn t_test(difference: f64, variance: f64, degrees: f64, alpha: f64) -> Option<TTest> {
    let t = difference / variance.sqrt();
    let is_testable = t.is_finite() && degrees.is_finite() && degrees > 0.0;
    let students = StudentsT::new(0.0, 1.0, degrees).ok().filter(|_| is_testable)?;
    let p = (2.0 * students.sf(t.abs())).min(1.0);
    Some(TTest { t, degrees, p, is_significant: p < alpha })
}

fn word(table: &Table, column: usize, alpha: f64) -> Option<WordTest> {
    let mut counts = vec![[0.0f64; 2]; table.words[column].len()];
    for row in 0..table.len() {
        counts[table.row(row)[column] as usize][usize::from(table.is_attack(row))] += 1.0;
    }
    counts.retain(|[normal, attack]| normal + attack > 0.0);
    let (chi_square, sparse) = chi_square(&counts);
    let degrees = counts.len().checked_sub(1)?;
    let spread = ChiSquared::new(degrees as f64).ok()?;
    let p = spread.sf(chi_square);
    Some(WordTest {
        column: table.schema().columns[column].name.clone(),
        chi_square,
        degrees: degrees as u64,
        p,
        sparse,
        is_significant: p < alpha,
    })
}

/// Returns the statistic of a table with two columns, neither empty, and the share of sparse cells.
fn chi_square(counts: &[[f64; 2]]) -> (f64, f64) {
    let sums = [0, 1].map(|side| counts.iter().map(|row| row[side]).sum::<f64>());
    let all = sums[0] + sums[1];
    let (mut statistic, mut sparse) = (0.0, 0.0);
    for row in counts {
        for side in [0, 1] {
            let expected = (row[0] + row[1]) * sums[side] / all;
            statistic += (row[side] - expected) * (row[side] - expected) / expected;
            sparse += f64::from(u8::from(expected < SPARSE));
        }
    }
    (statistic, sparse / (2.0 * counts.len().max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::testing::kdd_train;
    use crate::learn::testing::blobs;

    fn side(values: &[f64]) -> Side {
        Side::of(|| values.iter().copied())
    }

    #[test]
    fn t_tests_are_those_of_the_textbook() {
        // Student's sleep data (1908), as R prints it: t = −1.8608, df = 18, p = 0.07919;
        // Welch: df = 17.776, p = 0.07939.
        let a = side(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]);
        let b = side(&[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]);
        let student = pooled(a, b, 0.05).unwrap();
        assert!((student.t + 1.8608).abs() < 5e-5 && student.degrees == 18.0);
        assert!((student.p - 0.07919).abs() < 5e-6 && !student.is_significant, "{student:?}");
        let welch = welch(a, b, 0.08).unwrap();
        assert!((welch.degrees - 17.776).abs() < 5e-4);
        assert!((welch.p - 0.07939).abs() < 5e-6 && welch.is_significant, "{welch:?}");
    }

    #[test]
    fn what_does_not_vary_or_is_alone_is_not_tested() {
        let constant = side(&[1.0, 1.0]);
        assert_eq!(pooled(constant, constant, 0.05), None);
        assert_eq!(welch(side(&[1.0]), side(&[2.0, 3.0]), 0.05), None);
        assert_eq!(welch(side(&[]), side(&[2.0, 3.0]), 0.05), None);
        assert_eq!(Hypotheses::of(&blobs(30, 1).choose(&[0, 3, 6]), 0.05), None, "attacks alone");
    }

    #[test]
    fn chi_square_is_that_of_the_textbook() {
        // Fisher's tea: (2·2 table of 3, 1, 1, 3) has 2.0; one of four expected rows per cell is 2.
        let (statistic, sparse) = chi_square(&[[3.0, 1.0], [1.0, 3.0]]);
        assert_eq!((statistic, sparse), (2.0, 1.0));
        let p = ChiSquared::new(1.0).unwrap().sf(statistic);
        assert!((p - 0.157_299_2).abs() < 1e-7);
    }

    #[test]
    fn the_published_tests_of_system_003_are_reproduced_on_kddtrain() {
        let Some(table) = kdd_train() else { return };
        let found = Hypotheses::of(&table, 0.05).unwrap();
        let number = |name: &str| found.numbers.iter().find(|test| test.column == name).unwrap();
        let (sent, returned) = (number("src_bytes"), number("dst_bytes"));
        assert!((sent.pooled.t + 2.102).abs() < 5e-4, "{sent:?}");
        assert!((sent.pooled.p - 0.0356).abs() < 5e-5 && sent.pooled.is_significant, "{sent:?}");
        assert!((returned.pooled.p - 0.144).abs() < 5e-4, "{returned:?}");
        assert!(!returned.pooled.is_significant);
        assert!((sent.welch.t + 1.9616).abs() < 5e-5 && (sent.welch.p - 0.0498).abs() < 5e-5);
        let word = |name: &str| found.words.iter().find(|test| test.column == name).unwrap();
        let (protocol, service) = (word("protocol_type"), word("service"));
        assert_eq!((protocol.chi_square.round(), protocol.degrees), (10_029.0, 2));
        assert_eq!((service.chi_square.round(), service.degrees), (93_240.0, 69));
        assert!(service.is_significant && service.p < 1e-300);
        assert!(found.numbers.iter().all(|test| test.column != "num_outbound_cmds"), "constant");
    }
}
