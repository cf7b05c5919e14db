//! Labelled rows → a model.
//!
//! Rows are parted by a hash of their features, so that equal rows never stand on both sides: most
//! teach the parts, the held-out normal ones give each score its tail and the threshold its rate,
//! and the probability is calibrated on them and on attacks whose names were left out of a second
//! fit, for what will come is not what was learnt by heart.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::models::drift::Profile;
use crate::models::encode::{Encoded, Encoder};
use crate::models::facts::{Facts, Measured, Threshold};
use crate::models::parts::{Part, Spare};
use crate::models::tail::Tail;
use crate::models::{Body, Kinds, Model, Odds, Scratch, Voice};

use super::params::{Algorithm, Decision, Params, ParamsError};
use super::prepare::{Prepared, TableEncoder, encoder};
use super::table::Table;
use super::threshold::{platt, threshold_for_rate, threshold_for_recall};
use super::trees::{Labelled, boost};
use super::{classic, metrics, novelty, parallel, smote, trees, unseen};

/// Fewest normal rows: a third of them must give a tail.
const FEWEST_NORMALS: usize = 30;

/// Keeps what is held out apart from splits and folds by the same seed.
const HELD_OUT: u64 = 0x4e1d_0ff5_0000_0001;

/// Why nothing could be trained.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting is out of range.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// There are too few rows of a kind.
    #[error("training needs at least {needed} {kind} rows, and there are {found}")]
    TooFew {
        /// What kind.
        kind: &'static str,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A part could not be fitted.
    #[error("`{part}` could not be fitted: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// Trains a model. `commit` is what the caller says the program was built from. The same table,
/// parameters, seed and commit give the same bytes on any number of threads.
pub fn train(table: &Table, params: &Params, seed: u64, commit: &str) -> Result<Model, TrainError> {
    let (mut model, parted) = fit(table, params, seed, commit)?;
    let held_out = table.choose(&[&parted.held_normals[..], &parted.held_attacks[..]].concat());
    let figures = metrics::evaluate(&model, &held_out);
    model.add_metrics(Measured {
        data: "training file".to_owned(),
        split: "held-out rows, by vector hash; their normal ones also set the threshold".to_owned(),
        rows: figures.rows,
        figures: figures.figures(),
    });
    Ok(model)
}

/// Trains and tells which rows were used for what; both are places in `table`, or beyond its end
/// for synthetic rows.
pub(crate) fn fit(
    table: &Table,
    params: &Params,
    seed: u64,
    commit: &str,
) -> Result<(Model, Parted), TrainError> {
    params.check()?;
    let parted = Parted::new(table, params, seed)?;
    // Synthetic rows teach; they are never held out.
    let (extended, parted) = smote::extend(table, parted, params, seed)?;
    let table = extended.as_ref().unwrap_or(table);
    let encoder = encoder(table, &parted.teaching, &parted.teaching_normals, params.bins);
    let voices = voices(table, &parted, &encoder, params, seed)?;
    let kinds = kinds(table, &parted, &encoder, params, seed, &voices);
    let odds = Odds { slope: 1.0, start: 0.0 };
    let is_binary = params.algorithm == Algorithm::Combined;
    let profile = profile(table, &parted, &encoder);
    let body = Body { is_binary, encoder, voices, fusion: params.fusion, odds, kinds, profile };
    let facts = facts(table, &parted, params, seed, commit);
    let mut model = Model { schema: table.schema.clone(), facts, body };
    set_threshold(&mut model, table, &parted, params, seed);
    Ok((model, parted))
}

/// Rows by what they are used for; all as places in the table.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    /// The rows of the file, before synthetic ones were added.
    pub(crate) original: usize,
    pub(crate) checksum: String,
    pub(crate) teaching: Vec<usize>,
    pub(crate) teaching_normals: Vec<usize>,
    pub(crate) held_normals: Vec<usize>,
    pub(crate) held_attacks: Vec<usize>,
    /// All attacks: the stage that names them needs no held-out rows.
    pub(crate) attacks: Vec<usize>,
}

impl Parted {
    fn new(table: &Table, params: &Params, seed: u64) -> Result<Self, TrainError> {
        let rows: Vec<usize> = (0..table.len()).collect();
        let blocks: Vec<&[usize]> = rows.chunks(4096).collect();
        let places = parallel::map(&blocks, |rows| {
            rows.iter()
                .map(|row| place(table.vector_hash(*row), seed ^ HELD_OUT))
                .collect::<Vec<_>>()
        });
        let mut parted = Self {
            original: table.len(),
            checksum: table.checksum(),
            teaching: Vec::new(),
            teaching_normals: Vec::new(),
            held_normals: Vec::new(),
            held_attacks: Vec::new(),
            attacks: Vec::new(),
        };
        for (row, place) in places.concat().into_iter().enumerate() {
            let is_attack = table.is_attack(row);
            let held_out =
                if is_attack { params.held_out_attacks } else { params.held_out_normals };
            match (is_attack, place < held_out) {
                (true, true) => parted.held_attacks.push(row),
                (false, true) => parted.held_normals.push(row),
                (_, false) => parted.teaching.push(row),
            }
            if is_attack {
                parted.attacks.push(row);
            } else if place >= held_out {
                parted.teaching_normals.push(row);
            }
        }
        parted.check(params)?;
        Ok(parted)
    }

    fn check(&self, params: &Params) -> Result<(), TrainError> {
        let too_few = |kind, needed, found| Err(TrainError::TooFew { kind, needed, found });
        let (teaching, held) = (self.teaching_normals.len(), self.held_normals.len());
        if teaching + held < FEWEST_NORMALS || teaching < 2 || held < 2 {
            return too_few("normal", FEWEST_NORMALS, teaching + held);
        }
        let attacks = self.teaching.len() - teaching;
        let is_novelty = match params.algorithm {
            Algorithm::Pca | Algorithm::Hbos | Algorithm::Isolation => true,
            Algorithm::Combined => !params.voices.contains(&Algorithm::Boosting),
            _ => false,
        };
        let needs_attacks = !is_novelty || params.target_recall.is_some();
        if needs_attacks && attacks < 2 {
            return too_few("attack", 2, attacks);
        }
        Ok(())
    }
}

/// A place in [0, 1) that depends on features and seed alone.
pub(crate) fn place(hash: [u8; 32], seed: u64) -> f64 {
    let first = u64::from_le_bytes([
        hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
    ]);
    // One round of splitmix64 (Steele et al. 2014): seeds give independent parts.
    let mut mixed = first ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Fits each part and its tail.
fn voices(
    table: &Table,
    parted: &Parted,
    encoder: &Encoder,
    params: &Params,
    seed: u64,
) -> Result<Vec<Voice>, TrainError> {
    let is_combined = params.algorithm == Algorithm::Combined;
    let algorithms = if is_combined { params.voices.clone() } else { vec![params.algorithm] };
    let rows = TableEncoder::new(table, encoder);
    let teaching = rows.prepare(&parted.teaching);
    let normals = rows.prepare(&parted.teaching_normals);
    let normal = if is_combined { 0 } else { table.schema.normal_code() };
    let lesson = Lesson { table, parted, encoder, params, seed, teaching, normals };
    let fitted = parallel::map(&algorithms, |algorithm| {
        let part = lesson.fit(*algorithm)?;
        let scores = part_scores(&part, &rows, &parted.held_normals, normal);
        Ok(Voice { name: algorithm.name().to_owned(), part, tail: Tail::fit(&scores) })
    });
    fitted.into_iter().collect()
}

/// How the normal rows spread over the bins of each feature.
fn profile(table: &Table, parted: &Parted, encoder: &Encoder) -> Profile {
    let rows = TableEncoder::new(table, encoder);
    let normals = [&parted.teaching_normals[..], &parted.held_normals[..]].concat();
    let mut row = Encoded::default();
    let mut bins = Vec::with_capacity(normals.len() * encoder.features());
    for place in normals {
        rows.encode(place, &mut row);
        bins.extend_from_slice(&row.bins);
    }
    Profile::of(&encoder.bins(), bins.chunks_exact(encoder.features().max(1)))
}

/// All that fitting a part needs.
pub(crate) struct Lesson<'a> {
    pub(crate) table: &'a Table,
    pub(crate) parted: &'a Parted,
    pub(crate) encoder: &'a Encoder,
    pub(crate) params: &'a Params,
    pub(crate) seed: u64,
    pub(crate) teaching: Prepared,
    pub(crate) normals: Prepared,
}

impl Lesson<'_> {
    pub(crate) fn fit(&self, algorithm: Algorithm) -> Result<Part, TrainError> {
        let failed =
            |reason: &str| TrainError::Part { part: algorithm.name(), reason: reason.to_owned() };
        let (params, seed) = (self.params, self.seed);
        let classes = self.classes();
        let weights = self.weights();
        let labelled = Labelled {
            data: &self.teaching,
            classes: &classes,
            weights: &weights,
            count: self.count(),
            judges: self.judges(),
        };
        Ok(match algorithm {
            Algorithm::Combined => return Err(failed("it cannot be a part of itself")),
            Algorithm::Boosting => Part::Trees(boost(&labelled, &params.boosting, seed)),
            Algorithm::Forest => Part::Trees(trees::forest(&labelled, &params.forest, seed)),
            Algorithm::Tree => Part::Trees(trees::forest(&labelled, &params.tree, seed)),
            Algorithm::Pca => {
                let fitted = novelty::pca(&self.normals, self.encoder, &params.novelty, seed);
                Part::Pca(fitted.ok_or_else(|| failed("no component was found"))?)
            }
            Algorithm::Hbos => {
                Part::Hbos(novelty::hbos(&self.normals, self.encoder, &params.novelty))
            }
            Algorithm::Isolation => {
                Part::Isolation(novelty::isolation(&self.normals, &params.novelty, seed))
            }
            Algorithm::Bayes => Part::Bayes(classic::bayes(&labelled)),
            Algorithm::Knn => Part::Neighbours(classic::neighbours(&labelled, params, seed)),
            Algorithm::KmeansKnn => Part::Clusters(
                classic::clusters(&labelled, params, seed).map_err(|reason| failed(&reason))?,
            ),
            Algorithm::Logistic => Part::Linear(
                classic::logistic(&labelled, params).map_err(|reason| failed(&reason))?,
            ),
            Algorithm::Svm => Part::Linear(
                classic::support_vectors(&labelled, params, seed)
                    .map_err(|reason| failed(&reason))?,
            ),
        })
    }

    /// Attack or not when scores are fused; otherwise all classes.
    fn count(&self) -> usize {
        let is_fused = self.params.algorithm == Algorithm::Combined;
        if is_fused { 2 } else { self.table.schema.classes.len() }
    }

    fn classes(&self) -> Vec<u16> {
        let is_fused = self.params.algorithm == Algorithm::Combined;
        let class = |row: &usize| {
            if is_fused { u16::from(self.table.is_attack(*row)) } else { self.table.classes[*row] }
        };
        self.parted.teaching.iter().map(class).collect()
    }

    fn weights(&self) -> Vec<f32> {
        let by_class =
            class_weights(self.table, &self.parted.teaching, self.params, self.params.balance);
        self.parted.teaching.iter().map(|row| by_class[self.table.class(*row)]).collect()
    }

    /// A tenth of the rows, when boosting is to stop early.
    fn judges(&self) -> Vec<bool> {
        if !self.params.early_stopping {
            return Vec::new();
        }
        let mut random = super::random::Random::new(self.seed, u64::MAX);
        self.parted.teaching.iter().map(|_| random.unit() < 0.1).collect()
    }
}

/// The weight of the rows of each class, by their number and by name; their mean over rows is 1.
fn class_weights(table: &Table, rows: &[usize], params: &Params, power: f64) -> Vec<f32> {
    let mut counts = vec![0.0; table.schema.classes.len()];
    rows.iter().for_each(|row| counts[table.class(*row)] += 1.0);
    let most = counts.iter().copied().fold(1.0, f64::max);
    let each = table.schema.classes.iter().zip(&counts).map(|(class, count)| {
        let named = params.class_weights.get(class).copied().unwrap_or(1.0).clamp(0.0, 1e6);
        named * (most / f64::max(*count, 1.0)).powf(power)
    });
    let weights: Vec<f64> = each.collect();
    let sum: f64 = weights.iter().zip(&counts).map(|(weight, count)| weight * count).sum();
    let mean = sum / (rows.len().max(1) as f64);
    weights.iter().map(|weight| (weight / mean.max(f64::MIN_POSITIVE)) as f32).collect()
}

/// Fits the stage that names the class of an attack, where there are several and nothing else names
/// them.
fn kinds(
    table: &Table,
    parted: &Parted,
    encoder: &Encoder,
    params: &Params,
    seed: u64,
    voices: &[Voice],
) -> Option<Kinds> {
    let names_classes = params.algorithm != Algorithm::Combined
        && voices.iter().any(|v| v.part.classes().is_some());
    let mut classes: Vec<u16> = parted.attacks.iter().map(|row| table.classes[*row]).collect();
    let mut present = classes.clone();
    present.sort_unstable();
    present.dedup();
    if names_classes || present.len() < 2 {
        return None;
    }
    let by_class = class_weights(table, &parted.attacks, params, params.kinds_balance);
    let weights: Vec<f32> = classes.iter().map(|class| by_class[usize::from(*class)]).collect();
    for class in &mut classes {
        // It is there, since `present` is made of them.
        *class = present.binary_search(class).unwrap_or(0) as u16;
    }
    let data = TableEncoder::new(table, encoder).prepare(&parted.attacks);
    let count = present.len();
    let labelled =
        Labelled { data: &data, classes: &classes, weights: &weights, count, judges: Vec::new() };
    Some(Kinds { trees: boost(&labelled, &params.kinds, seed), classes: present })
}

pub(crate) fn part_scores(
    part: &Part,
    rows: &TableEncoder,
    chosen: &[usize],
    normal: usize,
) -> Vec<f64> {
    let blocks: Vec<&[usize]> = chosen.chunks(2048).collect();
    let scored = parallel::map(&blocks, |block| {
        let (mut row, mut spare) = (Encoded::default(), Spare::default());
        let one = |n: &usize| {
            rows.encode(*n, &mut row);
            part.score(&row, normal, &mut spare)
        };
        block.iter().map(one).collect::<Vec<_>>()
    });
    scored.concat()
}

fn facts(table: &Table, parted: &Parted, params: &Params, seed: u64, commit: &str) -> Facts {
    let mut counts = vec![0; table.schema.classes.len()];
    (0..parted.original).for_each(|row| counts[table.class(row)] += 1);
    let named = table.schema.classes.iter().cloned().zip(counts);
    Facts {
        algorithm: params.algorithm.name().to_owned(),
        commit: commit.to_owned(),
        seed,
        rows: parted.original as u64,
        rejected_rows: table.rejected.count,
        class_counts: named.collect::<BTreeMap<_, _>>(),
        checksum: parted.checksum.clone(),
        parameters: serde_json::to_value(params).unwrap_or_default(),
        threshold: Threshold::MostLikely,
        metrics: Vec::new(),
    }
}

/// Sets threshold and probability on the held-out rows.
fn set_threshold(model: &mut Model, table: &Table, parted: &Parted, params: &Params, seed: u64) {
    let normals = fused(model, table, &parted.held_normals);
    let attacks = fused(model, table, &parted.held_attacks);
    // Held-out rows stand for all rows of their side.
    let all = (parted.teaching_normals.len() + normals.len()) as f64;
    let side = |scores: &[f64], rows: f64| -> Vec<(f64, f64)> {
        let weight = rows / scores.len().max(1) as f64;
        scores.iter().map(|score| (*score, weight)).collect()
    };
    let known = side(&attacks, parted.attacks.len() as f64);
    let attacks_to_come = match params.decision {
        Decision::MostLikely => known,
        Decision::Threshold => unseen::attacks(model, table, parted, params, seed).unwrap_or(known),
    };
    model.body.odds = platt(&side(&normals, all), &attacks_to_come);
    if params.decision == Decision::MostLikely {
        return;
    }
    let score = match params.target_recall {
        Some(recall) if !attacks.is_empty() => threshold_for_recall(&attacks, recall),
        _ => threshold_for_rate(&normals, params.false_positive_rate),
    };
    let above = normals.iter().filter(|s| **s >= score).count();
    model.facts.threshold = Threshold::Surprise {
        score,
        probability: model.body.odds.probability(score),
        false_positive_rate: match params.target_recall {
            Some(_) => above as f64 / normals.len().max(1) as f64,
            None => params.false_positive_rate,
        },
        recall: params.target_recall,
    };
}

pub(crate) fn fused(model: &Model, table: &Table, rows: &[usize]) -> Vec<f64> {
    let encoder = TableEncoder::new(table, &model.body.encoder);
    let normal = model.schema.normal_code();
    let blocks: Vec<&[usize]> = rows.chunks(2048).collect();
    let scored = parallel::map(&blocks, |block| {
        let mut scratch = Scratch::default();
        let one = |row: &usize| {
            encoder.encode(*row, &mut scratch.row);
            model.body.listen(normal, &mut scratch);
            model.body.fusion.fuse(&scratch.surprises)
        };
        block.iter().map(one).collect::<Vec<_>>()
    });
    scored.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::blobs;
    use crate::models::ModelError;

    fn small() -> Params {
        let mut params = Params::default();
        params.boosting.rounds = 20;
        params
    }

    #[test]
    fn the_same_rows_and_seed_give_the_same_bytes_and_another_seed_others() {
        let bytes =
            |seed| train(&blobs(600, 1), &small(), seed, "abc").unwrap().to_bytes().unwrap();
        assert!(bytes(1) == bytes(1));
        assert!(bytes(1) != bytes(2));
    }

    #[test]
    fn a_model_survives_its_file_and_says_where_it_comes_from() {
        let table = blobs(600, 1);
        for algorithm in Algorithm::ALL {
            let model = train(&table, &Params { algorithm, ..small() }, 1, "abc").unwrap();
            let read = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
            assert!(read == model, "{}", algorithm.name());
            let (record, prediction) = (table.record(5), model.predict(&table.record(5)));
            assert_eq!(read.predict(&record), prediction);
            let sum: f64 = prediction.class_probabilities.iter().sum();
            assert!((sum - 1.0).abs() < 1e-9 && (0.0..=1.0).contains(&prediction.probability));
            let shares: f64 = model.explain(&record).iter().map(|c| c.share.abs()).sum();
            assert!((shares - 1.0).abs() < 1e-9 || shares == 0.0, "{}: {shares}", algorithm.name());
        }
        let model = train(&table, &small(), 1, "abc").unwrap();
        let facts = model.facts();
        assert_eq!((facts.rows, facts.commit.as_str(), facts.seed), (600, "abc", 1));
        assert_eq!(facts.class_counts["attack"], 200);
        assert_eq!(facts.checksum, table.checksum());
    }

    #[test]
    fn a_model_whose_parts_do_not_fit_is_damaged() {
        let model = train(&blobs(300, 1), &small(), 1, "").unwrap();
        let refused = |change: fn(&mut Model)| {
            let mut model = model.clone();
            change(&mut model);
            let read = Model::from_bytes(&model.to_bytes().unwrap());
            matches!(read, Err(ModelError::Damaged { .. }))
        };
        assert!(!refused(|_| ()));
        assert!(refused(|model| model.schema.columns.truncate(3)));
        assert!(refused(|model| model.body.voices.clear()));
        assert!(refused(|model| model.body.is_binary = false) || model.schema.classes.len() == 2);
        assert!(refused(|model| model.body.odds.slope = f64::NAN));
        assert!(refused(|model| {
            if let Part::Trees(trees) = &mut model.body.voices[0].part {
                trees.trees[0].nodes[0].left = u32::MAX;
            }
        }));
    }

    #[test]
    fn too_few_rows_are_named() {
        let error = train(&blobs(12, 1), &small(), 1, "").unwrap_err().to_string();
        assert_eq!(error, "training needs at least 30 normal rows, and there are 8");
    }

    #[test]
    fn the_threshold_keeps_its_rate_on_rows_it_has_not_seen() {
        let params = Params { false_positive_rate: 0.1, ..small() };
        let model = train(&blobs(3000, 1), &params, 1, "").unwrap();
        let figures = metrics::evaluate(&model, &blobs(3000, 2));
        let rate = figures.binary.false_positive_rate;
        assert!((0.06..0.15).contains(&rate), "{rate}");
        assert!(figures.binary.recall > 0.99);
    }

    #[test]
    fn unseen_words_and_huge_numbers_have_an_answer() {
        let line = |n: usize, label: &str| {
            let service = if n.is_multiple_of(2) { "http" } else { "smtp" };
            format!("{n},tcp,{service},SF{},{label}\n", format!(",{}", n % 7).repeat(37))
        };
        let rows = (0..200).map(|n| line(n, if n % 4 == 0 { "neptune" } else { "normal" }));
        let schema = crate::models::schema::Schema::built_in("kdd").unwrap();
        let table = Table::read(&schema, rows.collect::<String>().as_bytes()).unwrap();
        let model = train(&table, &small(), 1, "").unwrap();
        let mut record = table.record(3);
        record.words[1] = "quic".to_owned();
        record.numbers[4] = 1e19;
        let prediction = model.predict(&record);
        assert!(prediction.score.is_finite() && prediction.probability.is_finite());
        // A record that does not fit the schema has one, too.
        assert!(model.predict(&crate::models::record::Record::default()).score.is_finite());
    }
}
