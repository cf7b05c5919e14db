//! The one tree builder: decision tree, forest and gradient boosting differ in what they hand it.
//!
//! Every row has K targets g and a weight h. A node's worth is Σ gₖ² / (Σh + λ) and a leaf predicts
//! gₖ / (Σh + λ). With gradients and second derivatives this is Newton boosting (Friedman 2001;
//! Chen & Guestrin 2016); with one 0/1 target per class and h the row's weight it is the Gini index
//! (Breiman et al. 1984), since Σ nₖ²/n falls as impurity rises. Cuts are looked for in histograms
//! of binned features (Ke et al. 2017): one pass over the rows per node, and none for the greater
//! child, whose histogram is the difference.

use crate::models::tree::{Node, Tree};

use super::prepare::Prepared;
use super::random::Random;

/// What a tree is to predict.
pub(crate) struct Target<'a> {
    /// How many targets each row has.
    pub(crate) width: usize,
    /// Row by row.
    pub(crate) targets: &'a [f32],
    /// One for each row.
    pub(crate) weights: &'a [f32],
}

/// When to stop.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Most leaves; the cuts of most worth are made first.
    pub(crate) leaves: usize,
    /// Most cuts on a path.
    pub(crate) depth: usize,
    /// Fewest rows of a leaf.
    pub(crate) rows: usize,
    /// Least weight of a leaf.
    pub(crate) weight: f64,
    /// λ above.
    pub(crate) l2: f64,
    /// How many features each cut may choose from.
    pub(crate) features: usize,
    /// Worth is multiplied by up to 1 + this, at random: parts cuts that are all but equal
    /// differently in different trees.
    pub(crate) noise: f64,
}

/// Sums over the rows of a bin: rows, weight, targets.
type Sums = Vec<f64>;

struct Open {
    node: usize,
    depth: usize,
    /// Its rows stand here.
    rows: std::ops::Range<usize>,
    sums: Sums,
    /// Kept for the children only when all features are looked at.
    histogram: Vec<f64>,
    cut: Option<Cut>,
}

#[derive(Clone, Debug)]
struct Cut {
    gain: f64,
    feature: usize,
    bin: usize,
    left: Sums,
}

/// Grows trees over one set of prepared rows.
pub(crate) struct Grower<'a> {
    data: &'a Prepared,
    target: Target<'a>,
    limits: &'a Limits,
    /// The features that vary, and where the histogram of each begins, in bins.
    features: Vec<usize>,
    starts: Vec<usize>,
    bins: usize,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(data: &'a Prepared, target: Target<'a>, limits: &'a Limits) -> Self {
        let mut starts = Vec::with_capacity(data.counts.len());
        let mut bins = 0;
        for count in &data.counts {
            starts.push(bins);
            bins += count;
        }
        let features = (0..data.counts.len()).filter(|n| data.counts[*n] > 1).collect();
        Self { data, target, limits, features, starts, bins }
    }

    fn channels(&self) -> usize {
        self.target.width + 2
    }

    /// Grows one tree on `rows` (which it reorders). `leaf` is told the rows of each leaf and its
    /// prediction.
    pub(crate) fn grow(
        &self,
        rows: &mut [u32],
        random: &mut Random,
        mut leaf: impl FnMut(&[u32], &[f32]),
    ) -> Tree {
        let mut tree = Tree::default();
        let sums = self.sums(rows);
        self.add_node(&mut tree, &sums);
        let mut root =
            Open { node: 0, depth: 0, rows: 0..rows.len(), sums, histogram: Vec::new(), cut: None };
        self.look(&mut root, rows, None, random);
        let (mut open, mut done) = (vec![root], Vec::new());
        let mut leaves = 1;
        while let Some(mut next) = self.take(&mut open) {
            let cut = next.cut.take().filter(|_| leaves < self.limits.leaves);
            let Some(cut) = cut else {
                done.push((next.node, next.rows));
                continue;
            };
            leaves += 1;
            let (left, right) = self.cut(&mut tree, next, &cut, rows, random);
            open.extend([left, right]);
        }
        done.sort_by_key(|(node, _)| *node);
        for (node, range) in done {
            let values = &tree.values[node * self.target.width..(node + 1) * self.target.width];
            leaf(&rows[range], values);
        }
        tree
    }

    /// The next node to cut: the one of most worth, or any when the number of leaves is free, for
    /// then the last is best (fewest histograms are kept).
    fn take(&self, open: &mut Vec<Open>) -> Option<Open> {
        if self.limits.leaves == usize::MAX {
            return open.pop();
        }
        let gain = |open: &Open| open.cut.as_ref().map_or(f64::NEG_INFINITY, |cut| cut.gain);
        // The first of equals, so that the order is a rule.
        let best =
            (0..open.len()).reduce(|a, b| if gain(&open[b]) > gain(&open[a]) { b } else { a });
        best.map(|best| open.remove(best))
    }

    fn cut(
        &self,
        tree: &mut Tree,
        parent: Open,
        cut: &Cut,
        rows: &mut [u32],
        random: &mut Random,
    ) -> (Open, Open) {
        let column = &self.data.bins[cut.feature];
        let range = parent.rows.clone();
        let middle =
            partition(&mut rows[range.clone()], |row| usize::from(column[row as usize]) <= cut.bin);
        let middle = range.start + middle;
        let right_sums: Sums =
            parent.sums.iter().zip(&cut.left).map(|(all, left)| all - left).collect();
        let left_node = tree.nodes.len();
        // Features are at most 4096, bins 256 and nodes at most twice the rows.
        let node = Node { left: left_node as u32, feature: cut.feature as u16, bin: cut.bin as u8 };
        tree.nodes[parent.node] = node;
        self.add_node(tree, &cut.left);
        self.add_node(tree, &right_sums);
        let child = |node, rows, sums| Open {
            node,
            depth: parent.depth + 1,
            rows,
            sums,
            histogram: Vec::new(),
            cut: None,
        };
        let mut left = child(left_node, range.start..middle, cut.left.clone());
        let mut right = child(left_node + 1, middle..range.end, right_sums);
        let left_is_smaller = left.rows.len() <= right.rows.len();
        let (small, large) =
            if left_is_smaller { (&mut left, &mut right) } else { (&mut right, &mut left) };
        self.look(small, rows, None, random);
        let inherited = (!small.histogram.is_empty()).then(|| {
            let mut histogram = parent.histogram;
            histogram.iter_mut().zip(&small.histogram).for_each(|(all, part)| *all -= part);
            histogram
        });
        self.look(large, rows, inherited, random);
        (left, right)
    }

    fn add_node(&self, tree: &mut Tree, sums: &[f64]) {
        tree.nodes.push(Node::default());
        let weight = (sums[1] + self.limits.l2).max(f64::MIN_POSITIVE);
        tree.values.extend(sums[2..].iter().map(|target| (target / weight) as f32));
    }

    fn sums(&self, rows: &[u32]) -> Sums {
        let mut sums = vec![0.0; self.channels()];
        for &row in rows {
            let row = row as usize;
            sums[0] += 1.0;
            sums[1] += f64::from(self.target.weights[row]);
            let targets =
                &self.target.targets[row * self.target.width..(row + 1) * self.target.width];
            sums[2..].iter_mut().zip(targets).for_each(|(sum, target)| *sum += f64::from(*target));
        }
        sums
    }

    /// Finds the best cut of a node, if it may be cut.
    fn look(
        &self,
        open: &mut Open,
        rows: &[u32],
        inherited: Option<Vec<f64>>,
        random: &mut Random,
    ) {
        let is_cuttable = open.depth < self.limits.depth && open.rows.len() >= 2 * self.limits.rows;
        let chooses = self.limits.features < self.features.len();
        if !is_cuttable {
            // Its sibling may still need the difference.
            if !chooses && inherited.is_none() && open.depth < self.limits.depth {
                open.histogram = self.histogram(&rows[open.rows.clone()], &self.features);
            }
            return;
        }
        let mut features = self.features.clone();
        if chooses {
            random.choose(&mut features, self.limits.features);
            features.truncate(self.limits.features);
        }
        let histogram =
            inherited.unwrap_or_else(|| self.histogram(&rows[open.rows.clone()], &features));
        let worth = self.worth(&open.sums);
        let mut best: Option<Cut> = None;
        for feature in features {
            let noise =
                1.0 + if self.limits.noise > 0.0 { self.limits.noise * random.unit() } else { 0.0 };
            if let Some(cut) = self.best_cut(feature, &histogram, &open.sums, worth, noise)
                && best.as_ref().is_none_or(|best| cut.gain > best.gain)
            {
                best = Some(cut);
            }
        }
        open.cut = best;
        if !chooses {
            open.histogram = histogram;
        }
    }

    fn best_cut(
        &self,
        feature: usize,
        histogram: &[f64],
        all: &[f64],
        worth: f64,
        noise: f64,
    ) -> Option<Cut> {
        let channels = self.channels();
        let start = self.starts[feature] * channels;
        let bins = &histogram[start..start + self.data.counts[feature] * channels];
        let mut left = vec![0.0; channels];
        let mut right = vec![0.0; channels];
        let (mut best, mut best_left) = (None, vec![0.0; channels]);
        for (bin, sums) in bins.chunks_exact(channels).enumerate() {
            if sums[0] == 0.0 {
                continue;
            }
            left.iter_mut().zip(sums).for_each(|(left, sum)| *left += sum);
            right
                .iter_mut()
                .zip(all)
                .zip(&left)
                .for_each(|((right, all), left)| *right = all - left);
            if right[0] < self.limits.rows as f64 {
                break;
            }
            let is_allowed = left[0] >= self.limits.rows as f64
                && left[1] >= self.limits.weight
                && right[1] >= self.limits.weight;
            let gain = (self.worth(&left) + self.worth(&right) - worth) * noise;
            // Below a millionth of the worth a gain is rounding.
            let floor = best.map_or(worth.abs() * 1e-9 + 1e-12, |(gain, _)| gain);
            if is_allowed && gain > floor {
                best = Some((gain, bin));
                best_left.copy_from_slice(&left);
            }
        }
        best.map(|(gain, bin)| Cut { gain, feature, bin, left: best_left })
    }

    fn worth(&self, sums: &[f64]) -> f64 {
        let squares: f64 = sums[2..].iter().map(|target| target * target).sum();
        squares / (sums[1] + self.limits.l2).max(f64::MIN_POSITIVE)
    }

    fn histogram(&self, rows: &[u32], features: &[usize]) -> Vec<f64> {
        let channels = self.channels();
        let mut histogram = vec![0.0; self.bins * channels];
        // The rows' numbers side by side: one walk through memory for all features.
        let mut own = Vec::with_capacity(rows.len() * (channels - 1));
        for &row in rows {
            let row = row as usize;
            own.push(self.target.weights[row]);
            let width = self.target.width;
            own.extend_from_slice(&self.target.targets[row * width..(row + 1) * width]);
        }
        for &feature in features {
            let start = self.starts[feature] * channels;
            let bins = &mut histogram[start..start + self.data.counts[feature] * channels];
            let column = &self.data.bins[feature];
            if channels == 3 {
                for (row, own) in rows.iter().zip(own.as_chunks::<2>().0) {
                    let place = usize::from(column[*row as usize]) * 3;
                    let sums = &mut bins[place..place + 3];
                    sums[0] += 1.0;
                    sums[1] += f64::from(own[0]);
                    sums[2] += f64::from(own[1]);
                }
            } else {
                for (row, own) in rows.iter().zip(own.chunks_exact(channels - 1)) {
                    let place = usize::from(column[*row as usize]) * channels;
                    let sums = &mut bins[place..place + channels];
                    sums[0] += 1.0;
                    sums[1..].iter_mut().zip(own).for_each(|(sum, own)| *sum += f64::from(*own));
                }
            }
        }
        histogram
    }
}

/// Brings the rows that go left to the front, in their order, and returns how many they are.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let (mut left, mut right) = (0, Vec::new());
    for n in 0..rows.len() {
        let row = rows[n];
        if goes_left(row) {
            rows[left] = row;
            left += 1;
        } else {
            right.push(row);
        }
    }
    rows[left..].copy_from_slice(&right);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prepared(columns: Vec<Vec<u8>>) -> Prepared {
        let rows = columns[0].len();
        let counts = columns.iter().map(|c| usize::from(*c.iter().max().unwrap()) + 1).collect();
        Prepared {
            bins: columns,
            counts,
            narrow: vec![],
            wide: vec![],
            narrow_width: 0,
            wide_width: 0,
            rows,
        }
    }

    fn limits() -> Limits {
        Limits {
            leaves: usize::MAX,
            depth: 20,
            rows: 1,
            weight: 0.0,
            l2: 0.0,
            features: 99,
            noise: 0.0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Without limits a tree learns by heart whatever is a function of the features; and it
        /// makes no difference in which order cuts are made.
        #[test]
        fn a_free_tree_repeats_what_it_was_shown(
            rows in prop::collection::vec((0u8..6, 0u8..6, 0u8..6), 1..200), features in 1usize..4,
        ) {
            let columns = vec![
                rows.iter().map(|row| row.0).collect(),
                rows.iter().map(|row| row.1).collect(),
                rows.iter().map(|row| row.2).collect::<Vec<_>>(),
            ];
            let wanted: Vec<f32> =
                rows.iter().map(|row| f32::from(row.0 * 3 + row.1 * 11 % 7 + row.2 / 2)).collect();
            let data = prepared(columns);
            let weights = vec![1.0; rows.len()];
            for leaves in [usize::MAX, 10_000] {
                let limits = Limits { leaves, features, ..limits() };
                let target = Target { width: 1, targets: &wanted, weights: &weights };
                let mut order: Vec<u32> = (0..rows.len() as u32).collect();
                let mut told = 0;
                let tree = Grower::new(&data, target, &limits).grow(
                    &mut order, &mut Random::new(1, 1), |rows, _| told += rows.len(),
                );
                prop_assert_eq!(told, rows.len());
                // With fewer features to choose from a node may see only ones that do not vary.
                if features == 3 {
                    for (row, wanted) in rows.iter().zip(&wanted) {
                        let leaf = tree.leaf(&[row.0, row.1, row.2]);
                        prop_assert!((tree.values[leaf] - wanted).abs() < 1e-3);
                    }
                }
            }
        }

        #[test]
        fn limits_are_kept(
            bins in prop::collection::vec(any::<u8>(), 1..300), leaves in 1usize..9, least in 1usize..20,
        ) {
            let wanted: Vec<f32> = bins.iter().map(|bin| f32::from(bin % 5)).collect();
            let weights = vec![1.0; bins.len()];
            let data = prepared(vec![bins.clone()]);
            let limits = Limits { leaves, rows: least, ..limits() };
            let target = Target { width: 1, targets: &wanted, weights: &weights };
            let mut order: Vec<u32> = (0..bins.len() as u32).collect();
            let mut sizes = Vec::new();
            Grower::new(&data, target, &limits)
                .grow(&mut order, &mut Random::new(1, 1), |rows, _| sizes.push(rows.len()));
            prop_assert!(sizes.len() <= leaves);
            prop_assert!(sizes.len() == 1 || sizes.iter().all(|size| *size >= least));
        }
    }

    #[test]
    fn a_node_with_as_many_of_both_in_every_bin_is_not_cut() {
        let data = prepared(vec![vec![0, 0, 1, 1]]);
        let target = Target { width: 1, targets: &[0.0, 1.0, 0.0, 1.0], weights: &[1.0; 4] };
        let tree = Grower::new(&data, target, &limits()).grow(
            &mut [0, 1, 2, 3],
            &mut Random::new(1, 1),
            |_, _| (),
        );
        assert_eq!((tree.nodes.len(), tree.values[0]), (1, 0.5));
    }
}
