//! How attacks score whose names training did not see: what the probability is calibrated on.
//!
//! Held-out rows of known attacks are recognised almost without fail, so a probability calibrated on
//! them is about 0 at any threshold that also finds new ones. Half of the attack names at a time are
//! left out of a second fit of the supervised score, and their rows stand for what is to come.

use std::collections::BTreeMap;

use crate::models::Model;
use crate::models::tail::Tail;

use super::choose::groups;
use super::parallel;
use super::params::{Algorithm, Params};
use super::prepare::TableEncoder;
use super::table::Table;
use super::train::{Lesson, Parted, fused, part_scores};

/// The names are dealt into so many groups.
const GROUPS: usize = 2;
/// Rows of a name that are enough to know its scores.
const ROWS_OF_NAME: usize = 300;

/// Fused scores of attacks under names left out, with weights: each name counts the same, and all
/// together as much as there are attacks. `None` where the supervised score is not fused, or there
/// are too few names.
pub(crate) fn attacks(
    model: &Model,
    table: &Table,
    parted: &Parted,
    params: &Params,
    seed: u64,
) -> Option<Vec<(f64, f64)>> {
    let is_fused = params.algorithm == Algorithm::Combined;
    let place = params.voices.iter().position(|voice| *voice == Algorithm::Boosting);
    let place = place.filter(|_| is_fused)?;
    let groups = groups(table, GROUPS, seed);
    let is_enough = groups.len() == GROUPS && groups.iter().all(|names| !names.is_empty());
    if !is_enough {
        return None;
    }
    let scored = parallel::map(&groups, |names| {
        group(model, table, parted, params, seed, place, names).unwrap_or_default()
    });
    let mut rows_of: BTreeMap<u32, f64> = BTreeMap::new();
    let scored = scored.concat();
    scored.iter().for_each(|(_, name)| *rows_of.entry(*name).or_default() += 1.0);
    let whole = parted.attacks.len() as f64 / rows_of.len().max(1) as f64;
    let weighted: Vec<_> = scored.iter().map(|(s, name)| (*s, whole / rows_of[name])).collect();
    (!weighted.is_empty()).then_some(weighted)
}

/// The scores of the rows of these names, with their name, by a fit that did not see them.
fn group(
    model: &Model,
    table: &Table,
    parted: &Parted,
    params: &Params,
    seed: u64,
    place: usize,
    names: &[u32],
) -> Option<Vec<(f64, u32)>> {
    let encoder = &model.body.encoder;
    let mut parted = parted.clone();
    parted.teaching.retain(|row| !names.contains(&table.labels[*row]));
    let rows = TableEncoder::new(table, encoder);
    let teaching = rows.prepare(&parted.teaching);
    let normals = rows.prepare(&[]);
    let lesson = Lesson { table, parted: &parted, encoder, params, seed, teaching, normals };
    let part = lesson.fit(Algorithm::Boosting).ok()?;
    let tail = Tail::fit(&part_scores(&part, &rows, &parted.held_normals, 0));
    let mut without = model.clone();
    without.body.voices[place].part = part;
    without.body.voices[place].tail = tail;
    let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
    let is_wanted = |row: &usize| {
        let name = table.labels[*row];
        let count = taken.entry(name).or_default();
        *count += 1;
        names.contains(&name) && *count <= ROWS_OF_NAME
    };
    let chosen: Vec<usize> = parted.attacks.iter().copied().filter(is_wanted).collect();
    let scores = fused(&without, table, &chosen);
    Some(scores.into_iter().zip(chosen).map(|(score, row)| (score, table.labels[row])).collect())
}
