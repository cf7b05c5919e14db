//! How few random cuts part a row from normal ones: isolation forest (Liu, Ting & Zhou 2008).

use serde::{Deserialize, Serialize};

/// Trees of random cuts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// The trees one after the other; `roots` says where each begins.
    pub(crate) nodes: Vec<Cut>,
    pub(crate) roots: Vec<u32>,
    /// The mean depth of an unsuccessful search among as many rows as a tree was given.
    pub(crate) usual_depth: f32,
}

/// A cut, or a leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// The node for values below `value`; the next one for others. 0 in a leaf.
    pub(crate) left: u32,
    pub(crate) feature: u16,
    /// Where the cut is; in a leaf the depth that its rows count for.
    pub(crate) value: f32,
}

impl Isolation {
    /// The usual depth over the depth found: about 1 for ordinary rows, more for odd ones.
    pub(crate) fn score(&self, row: &[f32]) -> f64 {
        let mut depths = 0.0f32;
        for root in &self.roots {
            let mut node = &self.nodes[*root as usize];
            while node.left != 0 {
                let is_right = row[usize::from(node.feature)] >= node.value;
                node = &self.nodes[node.left as usize + usize::from(is_right)];
            }
            depths += node.value;
        }
        let mean = depths / self.roots.len().max(1) as f32;
        f64::from(self.usual_depth / mean.max(1e-3))
    }

    /// Each cut on the way blames its feature, early ones more.
    pub(crate) fn explain(&self, row: &[f32], shares: &mut [f64]) {
        for root in &self.roots {
            let mut node = &self.nodes[*root as usize];
            let mut blame = 1.0;
            let depth = self.leaf_depth(*root, row);
            while node.left != 0 {
                let feature = usize::from(node.feature);
                // A path that ends early says more than one that goes on for long.
                shares[feature] += blame / f64::from(depth.max(1.0)).powi(2);
                blame *= 0.8;
                node = &self.nodes[node.left as usize + usize::from(row[feature] >= node.value)];
            }
        }
    }

    fn leaf_depth(&self, root: u32, row: &[f32]) -> f32 {
        let mut node = &self.nodes[root as usize];
        while node.left != 0 {
            let is_right = row[usize::from(node.feature)] >= node.value;
            node = &self.nodes[node.left as usize + usize::from(is_right)];
        }
        node.value
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let leads_on = |(place, node): (usize, &Cut)| {
            node.value.is_finite()
                && (node.left == 0
                    || (node.left as usize > place
                        && (node.left as usize + 1) < self.nodes.len()
                        && usize::from(node.feature) < features))
        };
        self.usual_depth.is_finite()
            && self.nodes.iter().enumerate().all(leads_on)
            && self.roots.iter().all(|root| (*root as usize) < self.nodes.len())
    }
}

/// The mean depth of an unsuccessful search in a binary tree of so many rows: 2 H(n − 1) −
/// 2 (n − 1)/n, with the harmonic number by Euler's formula.
pub(crate) fn usual_depth(rows: usize) -> f32 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = rows as f64;
            let harmonic = (n - 1.0).ln() + 0.577_215_664_901_532_9;
            (2.0 * harmonic - 2.0 * (n - 1.0) / n) as f32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_depth_is_that_of_the_paper() {
        assert!((usual_depth(256) - 10.24).abs() < 0.01);
    }

    #[test]
    fn rows_that_are_parted_early_score_higher() {
        let cut = Cut { left: 1, feature: 0, value: 1.0 };
        let leaf = |depth| Cut { left: 0, feature: 0, value: depth };
        let forest =
            Isolation { nodes: vec![cut, leaf(8.0), leaf(1.0)], roots: vec![0], usual_depth: 8.0 };
        assert!(forest.score(&[5.0]) > forest.score(&[0.0]));
        assert!(forest.is_sound(1));
    }
}
