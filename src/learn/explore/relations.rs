//! How number columns go together: Pearson correlations and principal components.

use linfa_linalg::eigh::EighInto;
use ndarray::Array2;
use serde::Serialize;

use crate::learn::parallel;
use crate::learn::table::Table;

use super::scale::{Scale, Scales};

/// Rows whose products are summed by one thread; the sums are added in order, so that they are the
/// same on any machine.
const BLOCK: usize = 16_384;
/// Columns named for each component: the rest weighs less.
const LOADINGS: usize = 5;

/// Pearson correlations of the number columns that vary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Correlations {
    /// The columns, in the order of the matrix.
    pub columns: Vec<String>,
    /// Row by row; −1 to 1, over rows that have both values. `None` where these do not vary.
    pub matrix: Vec<Vec<Option<f64>>>,
    /// Number columns that were left out, since they hold one value or none.
    pub constant: Vec<String>,
    /// The strongly correlated pairs, the strongest first.
    pub strong: Vec<Pair>,
}

/// Two columns that go together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// One column.
    pub a: String,
    /// The other.
    pub b: String,
    /// Their correlation.
    pub correlation: f64,
}

/// Principal components of the standardised numbers, all rows, medians for missing values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Components {
    /// From the one that explains most.
    pub components: Vec<Component>,
    /// Components that explain nine tenths of the variance together.
    pub for_90_percent: usize,
}

/// One principal component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// The share of the variance it explains, 0–1.
    pub share: f64,
    /// The share it explains with those before it.
    pub cumulative: f64,
    /// The columns that weigh most in it, at most five. The greatest weight is positive.
    pub loadings: Vec<Loading>,
}

/// The weight of a column in a component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loading {
    /// The column.
    pub column: String,
    /// −1 to 1; the squares of all weights of a component sum to 1.
    pub weight: f64,
}

/// Sums over the rows that have both values of a pair.
struct Sums {
    counts: Array2<f64>,
    /// Of the first column of the pair.
    values: Array2<f64>,
    squares: Array2<f64>,
    products: Array2<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        let zeros = || Array2::zeros((width, width));
        Self { counts: zeros(), values: zeros(), squares: zeros(), products: zeros() }
    }

    fn of(table: &Table, scales: &[Scale], rows: std::ops::Range<usize>, take: Take) -> Self {
        let width = scales.len();
        let mut sums = Self::new(width);
        // What rows without gaps add to every pair of a column.
        let mut whole = (0.0, vec![(0.0, 0.0); width]);
        let mut values = vec![0.0; width];
        for row in rows {
            let cells = table.row(row);
            for (value, scale) in values.iter_mut().zip(scales) {
                *value = take(scale, cells[scale.column]);
            }
            if values.iter().any(|value| value.is_nan()) {
                sums.add_with_gaps(&values);
                continue;
            }
            whole.0 += 1.0;
            for (a, x) in values.iter().enumerate() {
                let (sum, squares) = &mut whole.1[a];
                (*sum, *squares) = (*sum + x, *squares + x * x);
                let products = sums.products.row_mut(a);
                products.into_iter().zip(&values).for_each(|(product, y)| *product += x * y);
            }
        }
        for a in 0..width {
            let (sum, squares) = whole.1[a];
            sums.counts.row_mut(a).mapv_inplace(|n| n + whole.0);
            sums.values.row_mut(a).mapv_inplace(|n| n + sum);
            sums.squares.row_mut(a).mapv_inplace(|n| n + squares);
        }
        sums
    }

    fn add_with_gaps(&mut self, values: &[f64]) {
        let there = || values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        for (a, x) in there() {
            for (b, y) in there() {
                self.counts[(a, b)] += 1.0;
                self.values[(a, b)] += x;
                self.squares[(a, b)] += x * x;
                self.products[(a, b)] += x * y;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.counts += &other.counts;
        self.values += &other.values;
        self.squares += &other.squares;
        self.products += &other.products;
    }

    fn correlation(&self, a: usize, b: usize) -> Option<f64> {
        let count = self.counts[(a, b)];
        let (x, y) = (self.values[(a, b)], self.values[(b, a)]);
        let product = self.products[(a, b)] - x * y / count;
        let of_x = self.squares[(a, b)] - x * x / count;
        let of_y = self.squares[(b, a)] - y * y / count;
        // Both are 1 per row where all rows have both values; what is left of a constant is
        // rounding.
        let varies = of_x > 1e-9 * count.sqrt() && of_y > 1e-9 * count.sqrt();
        let correlation = (product / (of_x * of_y).sqrt()).clamp(-1.0, 1.0);
        (count >= 2.0 && varies && correlation.is_finite()).then_some(correlation)
    }
}

/// How a cell is read: with gaps, or with gaps filled.
type Take = fn(&Scale, f64) -> f64;

fn correlate(table: &Table, scales: &[Scale], take: Take) -> Vec<Vec<Option<f64>>> {
    let starts: Vec<usize> = (0..table.len()).step_by(BLOCK).collect();
    let blocks = parallel::map(&starts, |start| {
        Sums::of(table, scales, *start..(start + BLOCK).min(table.len()), take)
    });
    let mut sums = Sums::new(scales.len());
    blocks.iter().for_each(|block| sums.add(block));
    let of = |a: usize| (0..scales.len()).map(|b| sums.correlation(a, b)).collect();
    (0..scales.len()).map(of).collect()
}

impl Correlations {
    pub(super) fn of(table: &Table, scales: &Scales, strong: f64) -> Self {
        let columns = scales.names();
        let matrix = correlate(table, &scales.kept, Scale::standard);
        let mut pairs = Vec::new();
        for (a, row) in matrix.iter().enumerate() {
            for (b, correlation) in row.iter().enumerate().skip(a + 1) {
                let Some(correlation) = correlation.filter(|r| r.abs() >= strong) else { continue };
                let (a, b) = (columns[a].clone(), columns[b].clone());
                pairs.push(Pair { a, b, correlation });
            }
        }
        pairs.sort_by(|a, b| b.correlation.abs().total_cmp(&a.correlation.abs()));
        Self { columns, matrix, constant: scales.constant.clone(), strong: pairs }
    }
}

impl Components {
    /// Returns the components; `None` without columns that vary. Those of standardised numbers are
    /// the eigenvectors of their correlations, so one pass over all rows does. `linfa_reduction`
    /// wants the rows as one matrix, and what it calls explained variance is the square of the
    /// singular value by the number of components but one (0.8.1).
    pub(super) fn of(table: &Table, scales: &Scales) -> Option<Self> {
        let width = scales.kept.len();
        if width == 0 {
            return None;
        }
        let matrix = correlate(table, &scales.kept, Scale::filled);
        let matrix = Array2::from_shape_fn((width, width), |(a, b)| {
            let own = if a == b { 1.0 } else { 0.0 };
            matrix[a][b].unwrap_or(own)
        });
        let (values, vectors) = matrix.eigh_into().ok()?;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
        let all: f64 = values.iter().map(|value| value.max(0.0)).sum();
        let mut cumulative = 0.0;
        let mut components = Vec::with_capacity(width);
        for place in order {
            let share = values[place].max(0.0) / all;
            cumulative += share;
            let weights: Vec<f64> = vectors.column(place).to_vec();
            let loadings = loadings(&scales.kept, &weights);
            components.push(Component { share, cumulative: f64::min(cumulative, 1.0), loadings });
        }
        let before = components.iter().take_while(|one| one.cumulative < 0.9).count();
        Some(Self { components, for_90_percent: (before + 1).min(width) })
    }
}

fn loadings(scales: &[Scale], weights: &[f64]) -> Vec<Loading> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].abs().total_cmp(&weights[*a].abs()).then(a.cmp(b)));
    // The sign of an eigenvector is arbitrary.
    let sign = order.first().map_or(1.0, |first| 1f64.copysign(weights[*first]));
    let one = |n: &usize| Loading { column: scales[*n].name.clone(), weight: sign * weights[*n] };
    order.iter().take(LOADINGS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::testing::five;
    use crate::learn::testing::blobs;
    use linfa::DatasetBase;
    use linfa::traits::Fit;

    #[test]
    fn correlations_are_pearsons_and_constant_columns_are_named() {
        let table = five("1,2,3,8,5\n2,1,3,6,5\n3,4,3,4,5\n4,3,3,2,5\n");
        let found = Correlations::of(&table, &Scales::of(&table, &[], false), 0.8);
        assert_eq!(found.columns, ["sumOfBytes", "sumOfFlows", "uniqDstIPs"]);
        assert_eq!(found.constant.len(), 5);
        let near = |value: Option<f64>, truth: f64| (value.unwrap() - truth).abs() < 1e-12;
        assert!(near(found.matrix[0][0], 1.0) && near(found.matrix[0][1], 0.6));
        assert!(near(found.matrix[2][0], -1.0) && near(found.matrix[1][2], -0.6));
        assert_eq!(found.strong.len(), 1);
        assert_eq!(
            (found.strong[0].a.as_str(), found.strong[0].b.as_str()),
            ("sumOfBytes", "uniqDstIPs")
        );
    }

    #[test]
    fn a_gap_takes_its_row_out_of_the_pairs_of_its_column_only() {
        let mut table = five("1,2,3,8,5\n2,1,4,6,5\n3,4,9,4,5\n4,3,1,2,5\n9,7,3,4,5\n");
        table.cells[4 * 8] = f64::NAN;
        let matrix = Correlations::of(&table, &Scales::of(&table, &[], false), 0.8).matrix;
        assert!((matrix[0][1].unwrap() - 0.6).abs() < 1e-12, "{matrix:?}");
        // sumOfFlows and uniqDstIPs in all five rows
        let (x, y) = ([2.0, 1.0, 4.0, 3.0, 7.0f64], [8.0, 6.0, 4.0, 2.0, 4.0f64]);
        let (mx, my) = (3.4, 4.8);
        let xy: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
        let xx: f64 = x.iter().map(|x| (x - mx) * (x - mx)).sum();
        let yy: f64 = y.iter().map(|y| (y - my) * (y - my)).sum();
        assert!((matrix[1][3].unwrap() - xy / (xx * yy).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn components_are_those_of_linfa() {
        let table = blobs(300, 3);
        let scales = Scales::of(&table, &[], false);
        let ours = Components::of(&table, &scales).unwrap();
        let matrix = scales.matrix(&table, &(0..300).collect::<Vec<_>>());
        let theirs = linfa_reduction::Pca::params(8).fit(&DatasetBase::from(matrix)).unwrap();
        for (one, singular) in ours.components.iter().zip(theirs.singular_values()) {
            // Its solver stops early; the variance is the square by the rows but one.
            let variance = singular * singular / 299.0;
            assert!((one.share * 8.0 - variance).abs() < 0.02, "{one:?} {variance}");
        }
        let all: f64 = ours.components.iter().map(|one| one.share).sum();
        assert!((all - 1.0).abs() < 1e-9 && ours.components.len() == 8);
        // Bytes and flows rise together in the blobs.
        let heaviest: Vec<_> =
            ours.components[0].loadings.iter().map(|l| l.column.as_str()).take(2).collect();
        assert!(heaviest.contains(&"sumOfBytes") && heaviest.contains(&"sumOfFlows"));
    }

    #[test]
    fn components_of_three_columns_are_those_of_the_formula() {
        // Correlations 0.6, −1, −0.6: one column is the first turned round, so a component is empty
        // and the others are (3 ± √(1 + 8·0.6²)) / 2.
        let table = five("1,2,3,8,5\n2,1,3,6,5\n3,4,3,4,5\n4,3,3,2,5\n");
        let found = Components::of(&table, &Scales::of(&table, &[], false)).unwrap();
        let root = f64::sqrt(1.0 + 8.0 * 0.36);
        for (one, truth) in
            found.components.iter().zip([(3.0 + root) / 2.0, (3.0 - root) / 2.0, 0.0])
        {
            assert!((one.share * 3.0 - truth).abs() < 1e-12, "{one:?} {truth}");
        }
        assert_eq!(found.for_90_percent, 2);
        let first = &found.components[0].loadings[0];
        assert!(first.weight > 0.5 && first.column != "sumOfFlows");
    }

    #[test]
    fn nothing_that_varies_has_no_components() {
        let table = five("1,2,3,8,5\n");
        assert_eq!(Components::of(&table, &Scales::of(&table, &[], false)), None);
    }
}
