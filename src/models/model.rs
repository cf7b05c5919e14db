//! A trained model: reads records, says how likely each is an attack, of which class, and why.
//!
//! Row → encoder → one score for each part → surprise of each (`tail`) → the fused surprise, which
//! the threshold and the probability come from. A second stage names the class of an attack.

use serde::{Deserialize, Serialize};

use super::drift::Profile;
use super::encode::{Encoded, Encoder, Feature};
use super::facts::{Facts, Threshold};
use super::file::{self, ModelError, damaged};
use super::parts::{Part, Spare};
use super::record::Record;
use super::schema::Schema;
use super::tail::Tail;
use super::tree::Ensemble;

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) schema: Schema,
    pub(crate) facts: Facts,
    pub(crate) body: Body,
}

/// What only the program reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// Whether the voices tell only normal (0) from attack (1), whatever classes there are.
    pub(crate) is_binary: bool,
    pub(crate) encoder: Encoder,
    pub(crate) voices: Vec<Voice>,
    pub(crate) fusion: Fusion,
    pub(crate) odds: Odds,
    pub(crate) kinds: Option<Kinds>,
    pub(crate) profile: Profile,
}

/// A score with its tail among normal rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Voice {
    pub(crate) name: String,
    pub(crate) part: Part,
    pub(crate) tail: Tail,
}

/// How the surprises of several scores become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// The greatest: one score that is sure is enough (Tippett 1931).
    Max,
    /// Their sum: several that are half sure add up (Fisher 1932).
    Sum,
}

/// From the fused surprise to the log-odds of an attack: a line (Platt 1999).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Odds {
    pub(crate) slope: f64,
    pub(crate) start: f64,
}

/// The stage that names the class of an attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kinds {
    /// The codes of the classes that the ensemble tells apart.
    pub(crate) classes: Vec<u16>,
    pub(crate) trees: Ensemble,
}

/// What a model says about a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The code of the class, a place in [`Schema::classes`].
    pub class: usize,
    /// The probability of an attack, 0–1, calibrated on held-out training rows.
    pub probability: f64,
    /// The fused surprise that the threshold is about; from 0.
    pub score: f64,
    /// Whether the score reaches the stored threshold.
    pub is_attack: bool,
    /// The probability of each class; they add up to 1.
    pub class_probabilities: Vec<f64>,
}

/// How much a feature had to do with a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The column.
    pub feature: String,
    /// Its value in the record.
    pub value: String,
    /// The share of the whole, −1 to 1; their magnitudes add up to 1. Below 0 it spoke for normal.
    pub share: f64,
}

/// Memory for predictions, used again for every row.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(crate) row: Encoded,
    pub(crate) spare: Spare,
    pub(crate) surprises: Vec<f64>,
    kinds: Vec<f64>,
}

impl Fusion {
    /// The fused surprise.
    pub(crate) fn fuse(self, surprises: &[f64]) -> f64 {
        match self {
            Self::Max => surprises.iter().copied().fold(0.0, f64::max),
            Self::Sum => surprises.iter().sum(),
        }
    }
}

impl Odds {
    pub(crate) fn probability(self, score: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * score + self.start)).exp())
    }
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    schema: &'a Schema,
    facts: &'a Facts,
}

#[derive(Deserialize)]
struct Header {
    schema: Schema,
    facts: Facts,
}

impl Model {
    /// Reads a model file. Every index in it is checked, so that prediction cannot fail.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (header, body) = file::open(bytes)?;
        let Header { schema, facts } =
            serde_json::from_slice(header).map_err(|error| damaged(format!("header: {error}")))?;
        let body: Body =
            postcard::from_bytes(body).map_err(|error| damaged(format!("body: {error}")))?;
        let model = Self { schema, facts, body };
        model.check()?;
        Ok(model)
    }

    /// The model file; the same for equal models.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let header = HeaderOut { schema: &self.schema, facts: &self.facts };
        let header = serde_json::to_vec(&header).map_err(|error| damaged(error.to_string()))?;
        let body = postcard::to_allocvec(&self.body).map_err(|error| damaged(error.to_string()))?;
        Ok(file::seal(&header, &body))
    }

    /// The schema of the records it reads.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Where it comes from and what it reached.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Adds figures that were measured after training. They are part of the file.
    pub fn add_metrics(&mut self, measured: super::facts::Measured) {
        self.facts.metrics.push(measured);
    }

    /// The names of the scores that are fused.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.body.voices.iter().map(|voice| voice.name.as_str())
    }

    /// What the model says about a record of its schema.
    pub fn predict(&self, record: &Record) -> Prediction {
        let mut prediction = Prediction::default();
        self.predict_into(record, &mut Scratch::default(), &mut prediction);
        prediction
    }

    /// What it says about each record.
    pub fn predict_all(&self, records: &[Record]) -> Vec<Prediction> {
        let mut scratch = Scratch::default();
        let one = |record| {
            let mut prediction = Prediction::default();
            self.predict_into(record, &mut scratch, &mut prediction);
            prediction
        };
        records.iter().map(one).collect()
    }

    /// The same without making memory for each row.
    pub fn predict_into(&self, record: &Record, scratch: &mut Scratch, out: &mut Prediction) {
        self.body.encoder.encode(record, &mut scratch.row);
        self.judge(scratch, out);
    }

    /// The surprise of each part about a record, in the order of [`Model::parts`].
    pub fn scores(&self, record: &Record) -> Vec<f64> {
        let mut scratch = Scratch::default();
        self.body.encoder.encode(record, &mut scratch.row);
        self.body.listen(self.schema.normal_code(), &mut scratch);
        scratch.surprises
    }

    /// Why a record has its score: what each feature had to do with the part that was surprised
    /// most. Greatest first.
    pub fn explain(&self, record: &Record) -> Vec<Contribution> {
        let mut scratch = Scratch::default();
        let (body, normal) = (&self.body, self.schema.normal_code());
        body.encoder.encode(record, &mut scratch.row);
        body.listen(normal, &mut scratch);
        let surprises = &scratch.surprises;
        let loudest =
            (0..surprises.len()).reduce(|a, b| if surprises[b] > surprises[a] { b } else { a });
        let mut shares = vec![0.0; body.encoder.features()];
        if let Some(voice) = loudest.and_then(|n| body.voices.get(n)) {
            voice.part.explain(&scratch.row, &body.encoder.wide_features(), normal, &mut shares);
        }
        let sum = shares.iter().map(|share| share.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
        let columns = self.schema.columns.iter().zip(&shares).enumerate();
        let mut all: Vec<_> = columns
            .map(|(n, (column, share))| Contribution {
                feature: column.name.clone(),
                value: self.shown(record, n),
                share: share / sum,
            })
            .collect();
        all.sort_by(|a, b| b.share.abs().total_cmp(&a.share.abs()));
        all
    }

    fn shown(&self, record: &Record, column: usize) -> String {
        let number = record.numbers.get(column).copied().unwrap_or(f64::NAN);
        match self.body.encoder.features.get(column) {
            Some(Feature::Category { .. }) => {
                record.words.get(number as usize).cloned().unwrap_or_default()
            }
            _ => number.to_string(),
        }
    }

    /// Fills in the prediction of the row that was encoded into `scratch`.
    pub(crate) fn judge(&self, scratch: &mut Scratch, out: &mut Prediction) {
        let normal = self.schema.normal_code();
        self.body.listen(normal, scratch);
        let score = self.body.fusion.fuse(&scratch.surprises);
        out.score = score;
        out.class_probabilities.clear();
        out.class_probabilities.resize(self.schema.classes.len(), 0.0);
        let only = self.body.voices.first().filter(|_| self.body.voices.len() == 1);
        let knows_classes = only.filter(|_| !self.body.is_binary).is_some_and(|voice| {
            voice.part.probabilities(&scratch.row, &mut scratch.spare, &mut scratch.kinds)
        });
        if self.facts.threshold == Threshold::MostLikely && knows_classes {
            out.class_probabilities.copy_from_slice(&scratch.kinds);
            out.probability = 1.0 - scratch.kinds[normal];
            out.class = greatest(&out.class_probabilities, |_| true);
            out.is_attack = out.class != normal;
            return;
        }
        out.probability = self.body.odds.probability(score);
        out.is_attack = match self.facts.threshold {
            Threshold::Surprise { score: least, .. } => score >= least,
            Threshold::MostLikely => out.probability >= 0.5,
        };
        self.share_out(knows_classes, normal, scratch, out);
        out.class = normal;
        if out.is_attack {
            out.class = greatest(&out.class_probabilities, |class| class != normal);
        }
    }

    /// Parts the probability of an attack among the classes of attacks.
    fn share_out(
        &self,
        knows_classes: bool,
        normal: usize,
        scratch: &mut Scratch,
        out: &mut Prediction,
    ) {
        let classes = &mut out.class_probabilities;
        if let Some(kinds) = &self.body.kinds {
            kinds.trees.probabilities(&scratch.row.bins, &mut scratch.kinds);
            for (class, share) in kinds.classes.iter().zip(&scratch.kinds) {
                classes[usize::from(*class)] = *share;
            }
        } else if knows_classes {
            classes.copy_from_slice(&scratch.kinds);
            classes[normal] = 0.0;
        } else {
            classes.fill(1.0);
            classes[normal] = 0.0;
        }
        let sum = classes.iter().sum::<f64>();
        let even = 1.0 / (classes.len() - 1) as f64;
        for (n, share) in classes.iter_mut().enumerate() {
            let part = if sum > 0.0 { *share / sum } else { even };
            *share = if n == normal { 1.0 - out.probability } else { out.probability * part };
        }
    }

    fn check(&self) -> Result<(), ModelError> {
        self.schema.check().map_err(|error| damaged(error.to_string()))?;
        let (body, classes) = (&self.body, self.schema.classes.len());
        let encoder = &body.encoder;
        if encoder.features() != self.schema.columns.len() || !encoder.is_sound() {
            return Err(damaged("its encoder does not fit its schema"));
        }
        let fits = |voice: &Voice| {
            voice.tail.is_sound()
                && voice.part.is_sound(encoder)
                && voice
                    .part
                    .classes()
                    .is_none_or(|count| count == if body.is_binary { 2 } else { classes })
        };
        if body.voices.is_empty() || !body.voices.iter().all(fits) {
            return Err(damaged("one of its parts does not fit the others"));
        }
        let kinds_fit = |kinds: &Kinds| {
            kinds.trees.is_sound(encoder.features())
                && kinds.trees.classes() == kinds.classes.len()
                && kinds.classes.iter().all(|class| usize::from(*class) < classes)
        };
        if !body.kinds.as_ref().is_none_or(kinds_fit) {
            return Err(damaged("its classes of attacks do not fit its schema"));
        }
        if !body.profile.is_sound(&encoder.bins()) {
            return Err(damaged("its profile does not fit its encoder"));
        }
        if !(body.odds.slope.is_finite() && body.odds.start.is_finite()) {
            return Err(damaged("its probabilities are not finite"));
        }
        Ok(())
    }
}

impl Body {
    /// Fills in the surprise of each part about the encoded row.
    pub(crate) fn listen(&self, normal: usize, scratch: &mut Scratch) {
        scratch.surprises.clear();
        for voice in &self.voices {
            let normal = if self.is_binary { 0 } else { normal };
            let score = voice.part.score(&scratch.row, normal, &mut scratch.spare);
            scratch.surprises.push(voice.tail.surprise(score));
        }
    }
}

/// The first of the greatest among those allowed; 0 when none is.
fn greatest(values: &[f64], is_allowed: impl Fn(usize) -> bool) -> usize {
    let allowed = (0..values.len()).filter(|n| is_allowed(*n));
    allowed.reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0)
}
