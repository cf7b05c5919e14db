//! What an encoder learns from training rows: bins, medians, spreads and the places of words.

use crate::models::encode::{Encoded, Encoder, Feature, Place, Word, scale};
use crate::models::schema::Kind;

use super::parallel;
use super::table::Table;

/// Words beyond the commonest 200 share the place of unseen ones: bins are bytes.
const MOST_WORDS: usize = 200;
/// Learns an encoder. `rows` give bins and words, `reference` (normal rows) what is usual.
/// `bins` is 2 to 256.
pub(crate) fn encoder(table: &Table, rows: &[usize], reference: &[usize], bins: usize) -> Encoder {
    let columns: Vec<usize> = (0..table.schema.columns.len()).collect();
    let features = parallel::map(&columns, |&n| match table.schema.columns[n].kind {
        Kind::Number { log, .. } => number(table, n, log, rows, reference, bins),
        Kind::Category => category(table, n, rows, reference),
    });
    Encoder { features }
}

fn values(table: &Table, column: usize, rows: &[usize]) -> Vec<f64> {
    let all = rows.iter().map(|row| table.row(*row)[column]);
    all.filter(|value| value.is_finite()).collect()
}

fn number(
    table: &Table,
    column: usize,
    log: bool,
    rows: &[usize],
    reference: &[usize],
    bins: usize,
) -> Feature {
    let mut seen = values(table, column, rows);
    seen.sort_by(f64::total_cmp);
    let usual = values(table, column, reference);
    let (centre, spread) = moments(usual.iter().map(|value| scale(*value, log)));
    // A number that is constant among normal rows is measured by all rows, so that it can stand out.
    let (_, spread_of_all) = moments(seen.iter().map(|value| scale(*value, log)));
    let spread = [spread, spread_of_all, 1.0].into_iter().find(|spread| *spread > 1e-6);
    Feature::Number {
        log,
        median: median(&seen),
        edges: edges(&seen, bins),
        centre,
        spread: spread.unwrap_or(1.0),
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        // Halves first: the sum of two numbers may be too large.
        (Some(value), _) => sorted[middle - 1] / 2.0 + value / 2.0,
    }
}

fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let squares: f64 = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
    (mean as f32, (squares / count).sqrt() as f32)
}

/// Returns at most `bins` − 1 edges so that about equally many values fall between any two. An edge
/// is a value halfway between two values seen.
pub(crate) fn edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    let mut distinct: Vec<(f64, usize)> = Vec::new();
    for value in sorted {
        match distinct.last_mut() {
            Some((last, count)) if last == value => *count += 1,
            _ => distinct.push((*value, 1)),
        }
    }
    let most = bins.clamp(2, 256) - 1;
    let halfway = |pair: &[(f64, usize)]| pair[0].0 / 2.0 + pair[1].0 / 2.0;
    if distinct.len() <= most + 1 {
        return distinct.windows(2).map(halfway).collect();
    }
    let mut edges = Vec::with_capacity(most);
    let (mut open, mut left) = (0, sorted.len());
    for pair in distinct.windows(2) {
        open += pair[0].1;
        // The share of a bin is what is left, over the bins that are left.
        if edges.len() < most && open * (most + 1 - edges.len()) >= left {
            edges.push(halfway(pair));
            left -= open;
            open = 0;
        }
    }
    edges
}

fn category(table: &Table, column: usize, rows: &[usize], reference: &[usize]) -> Feature {
    let count = table.words[column].len();
    let (mut seen, mut usual) = (vec![0u64; count], vec![0.0; count]);
    rows.iter().for_each(|row| seen[table.row(*row)[column] as usize] += 1);
    reference.iter().for_each(|row| usual[table.row(*row)[column] as usize] += 1.0);
    let name = |word: usize| &table.words[column][word];
    let mut chosen: Vec<usize> = (0..count).filter(|word| seen[*word] > 0).collect();
    chosen.sort_by(|a, b| seen[*b].cmp(&seen[*a]).then_with(|| name(*a).cmp(name(*b))));
    chosen.truncate(MOST_WORDS);
    let all = reference.len() as f64;
    let rarity = |usual: f64| (-((usual + 0.5) / (all + 1.0)).ln()).max(0.0) as f32;
    let words = chosen.iter().enumerate().map(|(bin, &word)| {
        // At most 200 words.
        let place = Place { bin: bin as u8, rarity: rarity(usual[word]) };
        Word { word: name(word).clone(), place }
    });
    let mut words: Vec<_> = words.collect();
    words.sort_by(|a, b| a.word.cmp(&b.word));
    // Next to the rarest.
    let unseen = Place { bin: words.len() as u8, rarity: rarity(0.0) };
    Feature::Category { words, unseen }
}

/// Rows as models see them, in one block per view.
pub(crate) struct Prepared {
    /// Feature by feature.
    pub(crate) bins: Vec<Vec<u8>>,
    /// How many bins each feature has.
    pub(crate) counts: Vec<usize>,
    /// Row by row.
    pub(crate) narrow: Vec<f32>,
    /// Row by row.
    pub(crate) wide: Vec<f32>,
    pub(crate) narrow_width: usize,
    pub(crate) wide_width: usize,
    pub(crate) rows: usize,
}

impl Prepared {
    pub(crate) fn narrow(&self, row: usize) -> &[f32] {
        &self.narrow[row * self.narrow_width..(row + 1) * self.narrow_width]
    }

    pub(crate) fn wide(&self, row: usize) -> &[f32] {
        &self.wide[row * self.wide_width..(row + 1) * self.wide_width]
    }
}

/// Encodes rows of a table without going through records.
pub(crate) struct TableEncoder<'a> {
    table: &'a Table,
    encoder: &'a Encoder,
    /// For each column, from the place of a word in the table to that in the encoder.
    codes: Vec<Vec<Option<usize>>>,
}

impl<'a> TableEncoder<'a> {
    pub(crate) fn new(table: &'a Table, encoder: &'a Encoder) -> Self {
        let code = |(feature, words): (&Feature, &Vec<String>)| {
            words.iter().map(|word| feature.code(word)).collect()
        };
        let codes = encoder.features.iter().zip(&table.words).map(code).collect();
        Self { table, encoder, codes }
    }

    pub(crate) fn encode(&self, row: usize, out: &mut Encoded) {
        self.encoder.encode_with(self.table.row(row), out, |column, _, cell| {
            *self.codes[column].get(cell as usize)?
        });
    }

    /// Encodes these rows in their order.
    pub(crate) fn prepare(&self, rows: &[usize]) -> Prepared {
        let (features, width) = (self.encoder.features(), self.encoder.width());
        let mut bins = vec![Vec::with_capacity(rows.len()); features];
        let mut narrow = Vec::with_capacity(rows.len() * features);
        let mut wide = Vec::with_capacity(rows.len() * width);
        let mut one = Encoded::default();
        for &row in rows {
            self.encode(row, &mut one);
            bins.iter_mut().zip(&one.bins).for_each(|(column, bin)| column.push(*bin));
            narrow.extend_from_slice(&one.narrow);
            wide.extend_from_slice(&one.wide);
        }
        let counts = self.encoder.bins();
        Prepared {
            bins,
            counts,
            narrow,
            wide,
            narrow_width: features,
            wide_width: width,
            rows: rows.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn edges_part_the_values_into_like_bins(
            mut values in prop::collection::vec(-50i32..50, 1..400), bins in 2usize..40,
        ) {
            values.sort_unstable();
            let sorted: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let edges = edges(&sorted, bins);
            prop_assert!(edges.len() < bins);
            prop_assert!(edges.is_sorted_by(|a, b| a < b));
            // No edge is a value, so no value lies on both sides.
            prop_assert!(edges.iter().all(|edge| !sorted.contains(edge)));
            let mut distinct = values.clone();
            distinct.dedup();
            if distinct.len() <= bins {
                prop_assert_eq!(edges.len(), distinct.len() - 1);
            }
        }
    }

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }
}
