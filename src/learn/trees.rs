//! Ensembles of trees: gradient boosting (Friedman 2001), random forest (Breiman 2001), and the
//! single decision tree, which is a forest of one that sees all rows and all features.

use serde::{Deserialize, Serialize};

use crate::models::tree::{Ensemble, Link, Tree};

use super::grow::{Grower, Limits, Target};
use super::parallel;
use super::prepare::Prepared;
use super::random::Random;

/// Rounds without a better prediction before boosting stops.
const PATIENCE: usize = 50;

/// How boosting grows. The defaults were chosen on training rows of NSL-KDD alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boosting {
    /// Rounds; each adds one tree per class, or one in all for two classes. 1–5000.
    pub rounds: usize,
    /// How much of each tree counts; 0–1. Lower needs more rounds and ranks better.
    pub rate: f64,
    /// Most leaves of a tree.
    pub leaves: usize,
    /// Most cuts on a path.
    pub depth: usize,
    /// Fewest rows of a leaf.
    pub leaf_rows: usize,
    /// λ: pulls the predictions of small leaves towards 0.
    pub l2: f64,
    /// The share of the rows that each round sees; 0–1.
    pub row_share: f64,
    /// The share of the features that each cut chooses from; 0–1.
    pub feature_share: f64,
    /// How much chance there is in the choice of a cut; 0 is none.
    pub noise: f64,
}

impl Boosting {
    /// All rows and all features in every round: where the next rows are like the last.
    pub fn exact() -> Self {
        Self { row_share: 1.0, feature_share: 1.0, ..Self::default() }
    }
}

impl Default for Boosting {
    fn default() -> Self {
        Self {
            rounds: 150,
            rate: 0.1,
            leaves: 31,
            depth: 12,
            leaf_rows: 20,
            l2: 1.0,
            row_share: 0.8,
            feature_share: 0.5,
            noise: 0.0,
        }
    }
}

/// How a forest or a single tree grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forest {
    /// Trees; 1–2000.
    pub trees: usize,
    /// Most cuts on a path.
    pub depth: usize,
    /// Fewest rows of a leaf.
    pub leaf_rows: usize,
}

impl Default for Forest {
    fn default() -> Self {
        Self { trees: 100, depth: 32, leaf_rows: 1 }
    }
}

/// Rows with the class (from 0) and the weight of each.
pub(crate) struct Labelled<'a> {
    pub(crate) data: &'a Prepared,
    pub(crate) classes: &'a [u16],
    pub(crate) weights: &'a [f32],
    pub(crate) count: usize,
    /// Rows that do not teach and say when to stop; empty when nothing does.
    pub(crate) judges: Vec<bool>,
}

impl Labelled<'_> {
    fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.count];
        for (class, weight) in self.classes.iter().zip(self.weights) {
            shares[usize::from(*class)] += f64::from(*weight);
        }
        let sum = shares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        shares.iter_mut().for_each(|share| *share = (*share / sum).clamp(1e-6, 1.0 - 1e-6));
        shares
    }
}

/// Boosts; two classes share one output, of which the second is the positive one.
pub(crate) fn boost(rows: &Labelled, how: &Boosting, seed: u64) -> Ensemble {
    let shares = rows.shares();
    let (link, start) = if rows.count == 2 {
        (Link::Logistic, vec![(shares[1] / shares[0]).ln()])
    } else {
        (Link::Softmax, shares.iter().map(|share| share.ln()).collect())
    };
    let mut ensemble = Ensemble { link, start, trees: Vec::new() };
    let limits = limits(rows, how);
    let outputs = ensemble.start.len();
    let mut scores: Vec<Vec<f32>> =
        ensemble.start.iter().map(|start| vec![*start as f32; rows.classes.len()]).collect();
    let mut best = (f64::INFINITY, 0);
    for round in 0..how.rounds {
        let shifts = normalisers(&scores);
        let each: Vec<usize> = (0..outputs).collect();
        let grown = parallel::map(&each, |&output| {
            let mut random = Random::new(seed, (round * outputs + output) as u64 + 1);
            let bag = Random::new(seed, (round as u64 + 1) << 32);
            one_tree(rows, how, &limits, output, &scores[output], &shifts, bag, &mut random)
        });
        for (output, (tree, added)) in grown.into_iter().enumerate() {
            scores[output].iter_mut().zip(added).for_each(|(score, more)| *score += more);
            ensemble.trees.push(tree);
        }
        if !rows.judges.is_empty() {
            let loss = judged_loss(rows, &scores);
            if loss < best.0 {
                best = (loss, round);
            } else if round >= best.1 + PATIENCE {
                ensemble.trees.truncate((best.1 + 1) * outputs);
                break;
            }
        }
    }
    ensemble
}

/// The mean −ln of the probability of the right class among the rows that judge.
fn judged_loss(rows: &Labelled, scores: &[Vec<f32>]) -> f64 {
    let shifts = normalisers(scores);
    let (mut sum, mut weight) = (0.0, 0.0);
    for row in (0..rows.classes.len()).filter(|row| rows.judges[*row]) {
        let class = usize::from(rows.classes[row]);
        let loss = match shifts.get(row) {
            None if class == 1 => (-scores[0][row]).exp().ln_1p(),
            None => scores[0][row].exp().ln_1p(),
            Some(shift) => shift - scores[class][row],
        };
        sum += f64::from(rows.weights[row] * loss);
        weight += f64::from(rows.weights[row]);
    }
    sum / f64::max(weight, f64::MIN_POSITIVE)
}

fn limits(rows: &Labelled, how: &Boosting) -> Limits {
    let features = rows.data.counts.iter().filter(|bins| **bins > 1).count();
    Limits {
        leaves: how.leaves.max(1),
        depth: how.depth,
        rows: how.leaf_rows.max(1),
        weight: 1e-3,
        l2: how.l2,
        features: ((features as f64 * how.feature_share).ceil() as usize).max(1),
        noise: how.noise,
    }
}

/// ln Σ exp of the scores of each row; empty for one output.
fn normalisers(scores: &[Vec<f32>]) -> Vec<f32> {
    if scores.len() == 1 {
        return Vec::new();
    }
    let one = |row: usize| {
        let most = scores.iter().map(|score| score[row]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score[row] - most).exp()).sum();
        most + sum.ln()
    };
    (0..scores[0].len()).map(one).collect()
}

/// Grows the tree of one output and returns it with what it adds to each row's score.
#[expect(clippy::too_many_arguments, reason = "one round's state, used here alone")]
fn one_tree(
    rows: &Labelled,
    how: &Boosting,
    limits: &Limits,
    output: usize,
    scores: &[f32],
    shifts: &[f32],
    mut bag: Random,
    random: &mut Random,
) -> (Tree, Vec<f32>) {
    let positive = if shifts.is_empty() { 1 } else { output };
    // Newton's step for one of K symmetric outputs is (K − 1)/K of the diagonal one.
    let factor = if shifts.is_empty() { 1.0 } else { (rows.count - 1) as f32 / rows.count as f32 };
    let count = scores.len();
    let (mut targets, mut weights) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (row, score) in scores.iter().enumerate() {
        let p = match shifts.get(row) {
            None => 1.0 / (1.0 + (-score).exp()),
            Some(shift) => (score - shift).exp(),
        };
        let is_positive = usize::from(rows.classes[row]) == positive;
        targets.push(factor * rows.weights[row] * (f32::from(u8::from(is_positive)) - p));
        weights.push(rows.weights[row] * (p * (1.0 - p)).max(1e-9));
    }
    let mut chosen: Vec<u32> = (0..count as u32).collect();
    if how.row_share < 1.0 {
        chosen.retain(|_| bag.unit() < how.row_share);
    }
    chosen.retain(|row| !rows.judges.get(*row as usize).copied().unwrap_or(false));
    let target = Target { width: 1, targets: &targets, weights: &weights };
    let rate = how.rate as f32;
    let mut added = vec![0.0; count];
    let mut tree =
        Grower::new(rows.data, target, limits).grow(&mut chosen, random, |rows, value| {
            rows.iter().for_each(|row| added[*row as usize] = value[0] * rate);
        });
    tree.values.iter_mut().for_each(|value| *value *= rate);
    if how.row_share < 1.0 || !rows.judges.is_empty() {
        predict_all(&tree, rows.data, &mut added);
    }
    (tree, added)
}

/// The prediction of one tree for every prepared row.
fn predict_all(tree: &Tree, data: &Prepared, out: &mut [f32]) {
    for (row, out) in out.iter_mut().enumerate() {
        let mut place = 0;
        while tree.nodes[place].left != 0 {
            let node = &tree.nodes[place];
            let bin = data.bins[usize::from(node.feature)][row];
            place = node.left as usize + usize::from(bin > node.bin);
        }
        *out = tree.values[place];
    }
}

/// Grows a forest: each tree on rows drawn with repetition, each cut from √features. One tree alone
/// sees everything.
pub(crate) fn forest(rows: &Labelled, how: &Forest, seed: u64) -> Ensemble {
    let features = rows.data.counts.iter().filter(|bins| **bins > 1).count();
    let is_alone = how.trees <= 1;
    let limits = Limits {
        leaves: usize::MAX,
        depth: how.depth,
        rows: how.leaf_rows.max(1),
        weight: 0.0,
        l2: 0.0,
        features: if is_alone { features } else { (features as f64).sqrt().round() as usize }
            .max(1),
        noise: 0.0,
    };
    let each: Vec<u64> = (1..=how.trees.max(1) as u64).collect();
    let trees = parallel::map(&each, |&n| {
        let mut random = Random::new(seed, n);
        let mut drawn = vec![1.0f32; rows.classes.len()];
        if !is_alone {
            drawn.fill(0.0);
            (0..drawn.len()).for_each(|_| drawn[random.below(rows.classes.len())] += 1.0);
        }
        let weights: Vec<f32> = drawn.iter().zip(rows.weights).map(|(n, w)| n * w).collect();
        let mut targets = vec![0.0; weights.len() * rows.count];
        for (row, class) in rows.classes.iter().enumerate() {
            targets[row * rows.count + usize::from(*class)] = weights[row];
        }
        let mut chosen: Vec<u32> = (0..weights.len() as u32).collect();
        chosen.retain(|row| weights[*row as usize] > 0.0);
        let target = Target { width: rows.count, targets: &targets, weights: &weights };
        Grower::new(rows.data, target, &limits).grow(&mut chosen, &mut random, |_, _| ())
    });
    Ensemble { link: Link::Mean, start: vec![0.0; rows.count], trees }
}
