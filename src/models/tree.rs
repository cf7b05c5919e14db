//! Trees over binned features in a flat layout: decision tree, forest and boosting share it.
//!
//! A node is eight bytes and its children stand side by side, so a walk touches few cache lines.
//! Every node knows what its rows predicted, so that a path can say which feature moved the
//! prediction by how much (Saabas 2014).

use serde::{Deserialize, Serialize};

/// One tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// `width` predictions for each node.
    pub(crate) values: Vec<f32>,
}

/// A cut, or a leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The node to go to when the bin of `feature` is at most `bin`; the next one otherwise. 0 in a
    /// leaf.
    pub(crate) left: u32,
    pub(crate) feature: u16,
    pub(crate) bin: u8,
}

impl Tree {
    /// The leaf of a row.
    #[inline]
    pub(crate) fn leaf(&self, bins: &[u8]) -> usize {
        let mut place = 0;
        loop {
            let node = &self.nodes[place];
            if node.left == 0 {
                return place;
            }
            place = node.left as usize + usize::from(bins[usize::from(node.feature)] > node.bin);
        }
    }

    /// Adds to each feature how much its cuts moved prediction `output` on the way of the row.
    fn explain(&self, bins: &[u8], width: usize, output: usize, shares: &mut [f64]) {
        let mut place = 0;
        while self.nodes[place].left != 0 {
            let node = &self.nodes[place];
            let next = node.left as usize + usize::from(bins[usize::from(node.feature)] > node.bin);
            let moved = self.values[next * width + output] - self.values[place * width + output];
            shares[usize::from(node.feature)] += f64::from(moved);
            place = next;
        }
    }

    /// Whether every walk over `features` features ends inside: children stand behind their parent.
    fn is_sound(&self, features: usize, width: usize) -> bool {
        let leads_on = |(place, node): (usize, &Node)| {
            node.left == 0
                || (node.left as usize > place
                    && (node.left as usize + 1) < self.nodes.len()
                    && usize::from(node.feature) < features)
        };
        !self.nodes.is_empty()
            && self.values.len() == self.nodes.len() * width
            && self.values.iter().all(|value| value.is_finite())
            && self.nodes.iter().enumerate().all(leads_on)
    }
}

/// How the outputs of an ensemble become probabilities of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Link {
    /// The outputs are shares of classes; their mean over the trees counts (forest).
    Mean,
    /// One output: the log-odds of the second of two classes.
    Logistic,
    /// One output for each class, in logarithms up to a constant.
    Softmax,
}

/// Trees whose predictions are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ensemble {
    pub(crate) link: Link,
    /// What each output starts from.
    pub(crate) start: Vec<f64>,
    /// With `Mean` each tree predicts all outputs; otherwise tree n predicts output n modulo their
    /// number.
    pub(crate) trees: Vec<Tree>,
}

impl Ensemble {
    /// How many classes it tells apart.
    pub(crate) fn classes(&self) -> usize {
        match self.link {
            Link::Logistic => 2,
            Link::Mean | Link::Softmax => self.start.len(),
        }
    }

    fn tree_width(&self) -> usize {
        if self.link == Link::Mean { self.start.len() } else { 1 }
    }

    /// The added predictions.
    fn outputs(&self, bins: &[u8], outputs: &mut Vec<f64>) {
        outputs.clear();
        outputs.extend_from_slice(&self.start);
        let count = outputs.len();
        match self.link {
            Link::Mean => {
                for tree in &self.trees {
                    let leaf = tree.leaf(bins) * count;
                    let values = &tree.values[leaf..leaf + count];
                    outputs.iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(*v));
                }
            }
            Link::Logistic => {
                let leaf = |tree: &Tree| f64::from(tree.values[tree.leaf(bins)]);
                outputs[0] += self.trees.iter().map(leaf).sum::<f64>();
            }
            Link::Softmax => {
                for trees in self.trees.chunks(count) {
                    for (sum, tree) in outputs.iter_mut().zip(trees) {
                        *sum += f64::from(tree.values[tree.leaf(bins)]);
                    }
                }
            }
        }
    }

    /// Fills in the probability of each class.
    pub(crate) fn probabilities(&self, bins: &[u8], out: &mut Vec<f64>) {
        self.outputs(bins, out);
        match self.link {
            Link::Mean => {
                let sum = out.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                out.iter_mut().for_each(|share| *share /= sum);
            }
            Link::Logistic => {
                let attack = 1.0 / (1.0 + (-out[0]).exp());
                out.splice(.., [1.0 - attack, attack]);
            }
            Link::Softmax => softmax(out),
        }
    }

    /// The log-odds that the class is not `normal`: what ranks rows where probabilities are all but
    /// 0 or 1. `spare` is memory to work in.
    pub(crate) fn margin(&self, bins: &[u8], normal: usize, spare: &mut Vec<f64>) -> f64 {
        self.outputs(bins, spare);
        match self.link {
            Link::Logistic if normal == 0 => spare[0],
            Link::Logistic => -spare[0],
            Link::Mean => {
                let sum = spare.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                let normal = spare.get(normal).map_or(0.0, |share| share / sum);
                1.0 - normal
            }
            Link::Softmax => margin_of_logs(spare, normal),
        }
    }

    /// Adds to `shares` how much each feature speaks for an attack.
    pub(crate) fn explain(&self, bins: &[u8], normal: usize, shares: &mut [f64]) {
        let count = self.start.len();
        for (n, tree) in self.trees.iter().enumerate() {
            let output = if self.link == Link::Mean { normal } else { 0 };
            let mut one = vec![0.0; shares.len()];
            tree.explain(bins, self.tree_width(), output, &mut one);
            let speaks_for_normal = self.link == Link::Mean || n % count == normal;
            let is_reversed = match self.link {
                Link::Logistic => normal != 0,
                Link::Mean | Link::Softmax => speaks_for_normal,
            };
            let sign = if is_reversed { -1.0 } else { 1.0 };
            shares.iter_mut().zip(one).for_each(|(share, moved)| *share += sign * moved);
        }
    }

    /// Whether no row of `features` bins can lead outside.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let outputs = self.start.len();
        let fits = match self.link {
            Link::Logistic => outputs == 1,
            Link::Mean => outputs > 0,
            Link::Softmax => outputs > 0 && self.trees.len().is_multiple_of(outputs),
        };
        fits && self.start.iter().all(|start| start.is_finite())
            && self.trees.iter().all(|tree| tree.is_sound(features, self.tree_width()))
    }
}

/// The log-odds against `normal` of classes whose probabilities have these logarithms, up to a
/// constant. Finite where the probabilities themselves are 0 or 1 to the last digit.
pub(crate) fn margin_of_logs(logs: &[f64], normal: usize) -> f64 {
    let others = || logs.iter().enumerate().filter(|(n, _)| *n != normal);
    let most = others().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|(_, v)| (v - most).exp()).sum();
    most + sum.ln() - logs.get(normal).copied().unwrap_or(0.0)
}

/// Logarithms → shares that add up to 1.
pub(crate) fn softmax(values: &mut [f64]) {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter_mut().for_each(|value| *value = (*value - most).exp());
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum.max(f64::MIN_POSITIVE));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts feature 1 at bin 3: −1 to the left, 2 to the right.
    fn stump() -> Tree {
        let cut = Node { left: 1, feature: 1, bin: 3 };
        Tree { nodes: vec![cut, Node::default(), Node::default()], values: vec![0.5, -1.0, 2.0] }
    }

    #[test]
    fn rows_go_left_up_to_the_bin_of_the_cut() {
        assert_eq!([stump().leaf(&[9, 3]), stump().leaf(&[0, 4])], [1, 2]);
    }

    #[test]
    fn the_path_says_which_feature_moved_the_prediction() {
        let ensemble = Ensemble { link: Link::Logistic, start: vec![0.0], trees: vec![stump(); 2] };
        let mut shares = [0.0; 2];
        ensemble.explain(&[0, 4], 0, &mut shares);
        assert_eq!(shares, [0.0, 3.0]);
        assert_eq!(ensemble.margin(&[0, 4], 0, &mut Vec::new()), 4.0);
    }

    #[test]
    fn the_margin_of_classes_is_the_log_odds_against_normal() {
        let leaf = |value: f32| Tree { nodes: vec![Node::default()], values: vec![value] };
        let trees = vec![leaf(1.0), leaf(0.0), leaf(-1.0)];
        let ensemble = Ensemble { link: Link::Softmax, start: vec![0.0; 3], trees };
        let mut out = Vec::new();
        ensemble.probabilities(&[], &mut out);
        let odds = (1.0 - out[0]) / out[0];
        assert!((ensemble.margin(&[], 0, &mut Vec::new()) - odds.ln()).abs() < 1e-12);
    }

    #[test]
    fn trees_that_lead_outside_or_in_circles_are_found() {
        let sound = |change: fn(&mut Tree)| {
            let mut tree = stump();
            change(&mut tree);
            tree.is_sound(2, 1)
        };
        assert!(sound(|_| ()));
        assert!(!sound(|tree| tree.nodes[0].left = 2));
        assert!(!sound(|tree| tree.nodes[0].feature = 2));
        assert!(!sound(|tree| tree.nodes[2].left = 1));
        assert!(!sound(|tree| tree.values.truncate(2)));
        assert!(!sound(|tree| tree.values[1] = f32::NAN));
    }
}
