//! How the rule of the combination is chosen: on training rows alone, by what a later file will
//! bring, which is attacks under names that training did not see and another mix of normal traffic.
//!
//! Several attack names at a time are left out of training, over several folds and seeds. A rule is
//! good when, at its nominal rate, it finds the names left out, each name counting the same, and
//! leaves held-out normal rows alone, each service (first category with many words) counting the
//! same: its mean of both is the criterion. Counting rows instead would ask for what the training
//! file already has most of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::models::encode::Encoded;
use crate::models::{Fusion, Scratch};

use super::metrics::ranking;
use super::params::{Algorithm, Params};
use super::prepare::TableEncoder;
use super::random::Random;
use super::table::Table;
use super::threshold::threshold_for_rate;
use super::train::{self, TrainError};

/// Fewest held-out normal rows of a block that is counted.
const FEWEST_OF_BLOCK: usize = 50;

/// A rule that might be chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The scores that take part.
    pub voices: Vec<Algorithm>,
    /// How they are fused.
    pub fusion: Fusion,
    /// The nominal rate.
    pub false_positive_rate: f64,
}

/// What a candidate reached, as means over folds and seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The rule.
    pub candidate: Candidate,
    /// The mean of the next two: what is chosen by.
    pub criterion: f64,
    /// The share found of the names left out; each name counts the same.
    pub recall_of_unseen: f64,
    /// The share of held-out normal rows left alone; each block counts the same.
    pub specificity_of_blocks: f64,
    /// The standard deviation of the criterion over folds and seeds.
    pub spread: f64,
    /// The standard deviation of the false-positive rate over blocks.
    pub drift: f64,
    /// The share of all rows left out that is found, and their AUROC against held-out normal rows.
    pub recall_of_rows: f64,
    /// The area under the ROC curve.
    pub auroc: f64,
}

/// How the folds are made.
#[derive(Clone, Debug)]
pub struct Folds {
    /// One run of all folds for each.
    pub seeds: Vec<u64>,
    /// The attack names are dealt into so many groups; each is left out once.
    pub groups: usize,
    /// The category whose words are the blocks of normal rows.
    pub block: String,
}

/// Surprises of one fold: normal rows with their block, attacks left out with their name.
struct Fold {
    normals: Vec<(Vec<f64>, u32)>,
    attacks: Vec<(Vec<f64>, u32)>,
}

/// Tries all candidates on the same folds. Best criterion first; ties keep the order given.
pub fn choose(
    table: &Table,
    params: &Params,
    candidates: &[Candidate],
    folds: &Folds,
) -> Result<Vec<Judged>, TrainError> {
    let mut all = Vec::new();
    for seed in &folds.seeds {
        for left_out in groups(table, folds.groups, *seed) {
            all.push(fold(table, params, &left_out, &folds.block, *seed)?);
        }
    }
    let judge = |candidate: &Candidate| judge(candidate, &all, params);
    let mut judged: Vec<Judged> = candidates.iter().map(judge).collect();
    judged.sort_by(|a, b| b.criterion.total_cmp(&a.criterion));
    Ok(judged)
}

/// Deals the labels of attacks into groups, commonest first, so that each group has its share.
pub(crate) fn groups(table: &Table, count: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut rows = vec![0u64; table.names.len()];
    (0..table.len()).filter(|row| table.is_attack(*row)).for_each(|row| {
        rows[table.labels[row] as usize] += 1;
    });
    let mut names: Vec<u32> = (0..rows.len() as u32).filter(|n| rows[*n as usize] > 0).collect();
    let count = count.clamp(1, names.len().max(1));
    names.sort_by_key(|n| (std::cmp::Reverse(rows[*n as usize]), *n));
    let mut random = Random::new(seed, 1 << 42);
    let mut groups = vec![Vec::new(); count];
    for dealt in names.chunks(count) {
        let mut order: Vec<usize> = (0..count).collect();
        random.choose(&mut order, count);
        dealt.iter().zip(order).for_each(|(name, group)| groups[group].push(*name));
    }
    groups
}

fn fold(
    table: &Table,
    params: &Params,
    left_out: &[u32],
    block: &str,
    seed: u64,
) -> Result<Fold, TrainError> {
    let is_left_out = |row: &usize| left_out.contains(&table.labels[*row]);
    let (out, kept): (Vec<usize>, Vec<usize>) = (0..table.len()).partition(is_left_out);
    let kept = table.choose(&kept);
    let (model, parted) = train::fit(&kept, params, seed, "")?;
    let column = table.schema.column(block).unwrap_or(0);
    let surprises = |table: &Table, rows: &[usize], key: &(dyn Fn(usize) -> u32 + Sync)| {
        let encoder = TableEncoder::new(table, &model.body.encoder);
        let blocks: Vec<&[usize]> = rows.chunks(2048).collect();
        let each = super::parallel::map(&blocks, |rows| {
            let mut scratch = Scratch::default();
            let one = |row: &usize| {
                let row_view: &mut Encoded = &mut scratch.row;
                encoder.encode(*row, row_view);
                model.body.listen(0, &mut scratch);
                (scratch.surprises.clone(), key(*row))
            };
            rows.iter().map(one).collect::<Vec<_>>()
        });
        each.concat()
    };
    Ok(Fold {
        normals: surprises(&kept, &parted.held_normals, &|row| kept.row(row)[column] as u32),
        attacks: surprises(table, &out, &|row| table.labels[row]),
    })
}

fn judge(candidate: &Candidate, folds: &[Fold], params: &Params) -> Judged {
    let places: Vec<usize> = candidate
        .voices
        .iter()
        .filter_map(|voice| params.voices.iter().position(|known| known == voice))
        .collect();
    let fuse = |surprises: &[f64]| {
        let chosen: Vec<f64> = places.iter().map(|place| surprises[*place]).collect();
        candidate.fusion.fuse(&chosen)
    };
    let mut each = Vec::new();
    for fold in folds {
        let normals: Vec<(f64, u32)> = fold.normals.iter().map(|(s, k)| (fuse(s), *k)).collect();
        let attacks: Vec<(f64, u32)> = fold.attacks.iter().map(|(s, k)| (fuse(s), *k)).collect();
        let scores: Vec<f64> = normals.iter().map(|(score, _)| *score).collect();
        let threshold = threshold_for_rate(&scores, candidate.false_positive_rate);
        let found = shares(&attacks, threshold, 1);
        let alarmed = shares(&normals, threshold, FEWEST_OF_BLOCK);
        let recall = mean(&found);
        let specificity = 1.0 - mean(&alarmed);
        let rows = attacks.iter().filter(|(score, _)| *score >= threshold).count();
        let truth = normals.iter().map(|(s, _)| (*s, false));
        let (auroc, _) = ranking(truth.chain(attacks.iter().map(|(s, _)| (*s, true))).collect());
        each.push([
            (recall + specificity) / 2.0,
            recall,
            specificity,
            deviation(&alarmed),
            rows as f64 / attacks.len().max(1) as f64,
            auroc,
        ]);
    }
    let over_folds = |n: usize| mean(&each.iter().map(|fold| fold[n]).collect::<Vec<_>>());
    Judged {
        candidate: candidate.clone(),
        criterion: over_folds(0),
        recall_of_unseen: over_folds(1),
        specificity_of_blocks: over_folds(2),
        spread: deviation(&each.iter().map(|fold| fold[0]).collect::<Vec<_>>()),
        drift: over_folds(3),
        recall_of_rows: over_folds(4),
        auroc: over_folds(5),
    }
}

/// For each key with enough rows, the share at or above the threshold.
fn shares(scored: &[(f64, u32)], threshold: f64, fewest: usize) -> Vec<f64> {
    let mut counts: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (score, key) in scored {
        let (all, above) = counts.entry(*key).or_default();
        *all += 1;
        *above += usize::from(*score >= threshold);
    }
    let enough = counts.values().filter(|(all, _)| *all >= fewest);
    enough.map(|(all, above)| *above as f64 / *all as f64).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
