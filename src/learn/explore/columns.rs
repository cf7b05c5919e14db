//! What each column holds: box-plot figures of numbers, counts of words.

use serde::Serialize;

use crate::learn::parallel;
use crate::learn::table::Table;
use crate::models::schema::Kind;

use super::ExploreParams;

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnFacts {
    /// The name in the schema.
    pub name: String,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: u64,
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// Numbers.
    Number {
        /// Those of all rows; `None` when all are missing.
        all: Option<BoxPlot>,
        /// Those of each class that has rows with a value, in the order of the schema; empty
        /// without labels.
        classes: Vec<ClassBox>,
    },
    /// Words.
    Category {
        /// The most frequent first; words of equal count by the alphabet.
        words: Vec<WordCount>,
        /// Rows with other words than these.
        others: u64,
    },
}

/// The box plot of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassBox {
    /// The class.
    pub class: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: BoxPlot,
}

/// The figures of a box plot. Quantiles are interpolated linearly (type 7 of Hyndman & Fan 1996,
/// the default of NumPy and pandas).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoxPlot {
    /// Rows with a value.
    pub rows: u64,
    /// The mean.
    pub mean: f64,
    /// The deviation of a sample (divisor n − 1); 0 for one row.
    pub deviation: f64,
    /// The least value.
    pub min: f64,
    /// The quantile 0.25.
    pub p25: f64,
    /// The quantile 0.5.
    pub median: f64,
    /// The quantile 0.75.
    pub p75: f64,
    /// The greatest value.
    pub max: f64,
    /// The share of zeros, 0–1.
    pub zeros: f64,
    /// `None` when the quartiles are equal: there is no basis to call anything an outlier.
    pub fences: Option<Fences>,
}

/// The fences of a box plot and what is beyond them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fences {
    /// Values below are outliers.
    pub low: f64,
    /// Values above are outliers.
    pub high: f64,
    /// The least value that is none: the end of the lower whisker.
    pub low_whisker: f64,
    /// The greatest value that is none.
    pub high_whisker: f64,
    /// Rows beyond the fences.
    pub outliers: u64,
}

/// How often a word occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordCount {
    /// The word.
    pub word: String,
    /// Rows with it.
    pub rows: u64,
    /// Those of them that are attacks; `None` without labels.
    pub attacks: Option<u64>,
}

/// Returns what each column of the schema holds.
pub(super) fn facts(table: &Table, params: &ExploreParams) -> Vec<ColumnFacts> {
    let columns: Vec<usize> = (0..table.schema().columns.len()).collect();
    parallel::map(&columns, |column| match table.schema().columns[*column].kind {
        Kind::Category => category(table, *column, params.words),
        Kind::Number { .. } => number(table, *column, params.fence),
    })
}

/// Returns the values of a number column that are there, with their classes.
pub(super) fn values(table: &Table, column: usize) -> impl Iterator<Item = (f64, usize)> {
    let all = (0..table.len()).map(move |row| (table.row(row)[column], table.class(row)));
    all.filter(|(value, _)| !value.is_nan())
}

fn number(table: &Table, column: usize, fence: f64) -> ColumnFacts {
    let schema = table.schema();
    let mut sorted: Vec<(f64, usize)> = values(table, column).collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // −0 and 0 are one value.
    let distinct = sorted.chunk_by(|a, b| a.0 == b.0).count() as u64;
    let all: Vec<f64> = sorted.iter().map(|(value, _)| *value).collect();
    let of_class = |(code, class): (usize, &String)| {
        let own = sorted.iter().filter(|(_, class)| *class == code).map(|(value, _)| *value);
        let figures = BoxPlot::of(&own.collect::<Vec<_>>(), fence)?;
        Some(ClassBox { class: class.clone(), figures })
    };
    let classes = match table.has_labels() {
        true => schema.classes.iter().enumerate().filter_map(of_class).collect(),
        false => Vec::new(),
    };
    ColumnFacts {
        name: schema.columns[column].name.clone(),
        missing: (table.len() - all.len()) as u64,
        distinct,
        content: Content::Number { all: BoxPlot::of(&all, fence), classes },
    }
}

impl BoxPlot {
    /// The figures of sorted values; `None` when there are none.
    fn of(sorted: &[f64], fence: f64) -> Option<Self> {
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (mean, deviation) = moments(sorted.iter().copied());
        let [p25, median, p75] = [0.25, 0.5, 0.75].map(|share| quantile(sorted, share));
        let rows = sorted.len() as u64;
        let zeros = sorted.iter().filter(|value| **value == 0.0).count() as f64 / rows as f64;
        let fences = (p75 > p25).then(|| Fences::of(sorted, p25, p75, fence));
        Some(Self { rows, mean, deviation, min, p25, median, p75, max, zeros, fences })
    }
}

impl Fences {
    fn of(sorted: &[f64], p25: f64, p75: f64, fence: f64) -> Self {
        let (low, high) = (p25 - fence * (p75 - p25), p75 + fence * (p75 - p25));
        let first = sorted.partition_point(|value| *value < low);
        let end = sorted.partition_point(|value| *value <= high);
        let at = |place: usize, otherwise| sorted.get(place).copied().unwrap_or(otherwise);
        Self {
            low,
            high,
            low_whisker: at(first, low),
            high_whisker: end.checked_sub(1).map_or(high, |last| at(last, high)),
            outliers: (sorted.len() - end.saturating_sub(first)) as u64,
        }
    }
}

/// Returns the quantile of sorted values, interpolated linearly.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (low, high) = (sorted[place as usize], sorted[(place as usize + 1).min(last)]);
    low + (high - low) * place.fract()
}

/// Returns the mean and the sample deviation (0 for one value), in two passes.
pub(super) fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (count, sum) = values.clone().fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
    let mean = sum / f64::max(count, 1.0);
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / f64::max(count - 1.0, 1.0)).sqrt())
}

fn category(table: &Table, column: usize, most: usize) -> ColumnFacts {
    let known = &table.words[column];
    let mut counts = vec![(0u64, 0u64); known.len()];
    for row in 0..table.len() {
        let (rows, attacks) = &mut counts[table.row(row)[column] as usize];
        *rows += 1;
        *attacks += u64::from(table.is_attack(row));
    }
    let count = |(word, (rows, attacks)): (&String, &(u64, u64))| WordCount {
        word: word.clone(),
        rows: *rows,
        attacks: table.has_labels().then_some(*attacks),
    };
    let mut words: Vec<_> = known.iter().zip(&counts).map(count).collect();
    // A part of a table knows words that only the whole has.
    words.retain(|word| word.rows > 0);
    let distinct = words.len() as u64;
    words.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.word.cmp(&b.word)));
    let others = words.iter().skip(most).map(|word| word.rows).sum();
    words.truncate(most);
    ColumnFacts {
        name: table.schema().columns[column].name.clone(),
        missing: 0,
        distinct,
        content: Content::Category { words, others },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::testing::five;
    use crate::models::schema::Schema;

    #[test]
    fn figures_are_those_of_numpy() {
        let values = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 30.0];
        let plot = BoxPlot::of(&values, 3.0).unwrap();
        // G1.3
        let fences = plot.fences.unwrap();
        assert_eq!((plot.p25, plot.p75, fences.low, fences.high), (1.0, 2.0, -2.0, 5.0));
        assert_eq!((fences.low_whisker, fences.high_whisker, fences.outliers), (1.0, 3.0, 1));
        assert!((plot.mean - 42.0 / 9.0).abs() < 1e-12);
        assert!((plot.deviation - 9.5262).abs() < 1e-4, "{}", plot.deviation);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), 1.75);
    }

    #[test]
    fn equal_quartiles_are_no_basis_for_outliers() {
        let plot = BoxPlot::of(&[0.0, 0.0, 0.0, 0.0, 9.0], 1.5).unwrap();
        assert_eq!((plot.fences, plot.zeros), (None, 0.8));
        assert_eq!(BoxPlot::of(&[], 1.5), None);
    }

    #[test]
    fn words_beyond_the_most_frequent_are_summed() {
        let schema = Schema::built_in("kdd").unwrap();
        let line =
            |word: &str, label: &str| format!("0,{word},http,SF{},{label}\n", ",1".repeat(37));
        let text: String =
            [("udp", "normal"), ("tcp", "neptune"), ("icmp", "smurf"), ("tcp", "normal")]
                .map(|(word, label)| line(word, label))
                .concat();
        let table = Table::read(&schema, text.as_bytes()).unwrap();
        let facts = &facts(&table, &ExploreParams { words: 2, ..ExploreParams::default() })[1];
        assert_eq!((facts.distinct, facts.missing), (3, 0));
        let Content::Category { words, others } = &facts.content else { panic!("{facts:?}") };
        let shown: Vec<_> = words.iter().map(|w| (w.word.as_str(), w.rows, w.attacks)).collect();
        assert_eq!(shown, [("tcp", 2, Some(1)), ("icmp", 1, Some(1))]);
        assert_eq!(*others, 1);
    }

    #[test]
    fn missing_numbers_are_counted_and_left_out() {
        let table = five("1,2,3,4,5\n3,2,3,4,5\n");
        let facts = facts(&table, &ExploreParams::default());
        assert_eq!((facts[0].distinct, facts[0].missing), (2, 0));
        assert_eq!((facts[7].distinct, facts[7].missing), (0, 2));
        assert_eq!(facts[7].content, Content::Number { all: None, classes: Vec::new() });
    }
}
