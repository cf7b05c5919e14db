//! Whether a model may take the place of another one.

use serde::Serialize;

use crate::models::Model;
use crate::models::schema::Schema;

use super::metrics::{Metrics, evaluate};
use super::table::Table;

/// By how much a figure may get worse when nobody says otherwise: half a percentage point is what two
/// seeds of one training differ by.
pub const WORSE_BY: f64 = 0.005;

/// What became of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Why the candidate must not take the place, one sentence each; none when it may.
    pub reasons: Vec<String>,
    /// The figures of both on the same rows; `None` when the rows do not fit the candidate, or when
    /// there is nothing to compare with.
    pub figures: Vec<Compared>,
}

/// A figure of both models.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// What the model in use reaches.
    pub current: f64,
    /// What the candidate reaches.
    pub candidate: f64,
}

/// A figure, how it is read, and whether more of it is better.
type Figure = (&'static str, fn(&Metrics) -> f64, bool);

/// What must not get worse.
const FIGURES: [Figure; 5] = [
    ("accuracy", |it| it.binary.accuracy, true),
    ("recall", |it| it.binary.recall, true),
    ("false_positive_rate", |it| it.binary.false_positive_rate, false),
    ("auroc", |it| it.binary.auroc, true),
    ("macro_f1", |it| it.macro_f1, true),
];

impl Verdict {
    /// Whether the candidate may take the place.
    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Lets the model in use and a candidate judge the same rows, of the schema of the model in use. The
/// candidate must read the same records, and none of five figures may be worse by more than
/// `worse_by`.
pub fn judge(current: &Model, candidate: &Model, table: &Table, worse_by: f64) -> Verdict {
    let mut reasons = differences(current.schema(), candidate.schema());
    if !reasons.is_empty() {
        return Verdict { reasons, figures: Vec::new() };
    }
    let (old, new) = (evaluate(current, table), evaluate(candidate, table));
    let mut figures = Vec::new();
    for (name, value, more_is_better) in FIGURES {
        let (current, candidate) = (value(&old), value(&new));
        let lost = if more_is_better { current - candidate } else { candidate - current };
        if lost > worse_by {
            let name = name.replace('_', " ");
            reasons.push(format!(
                "{name} gets worse by {lost:.4} ({current:.4} → {candidate:.4}), at most {worse_by} is allowed"
            ));
        }
        figures.push(Compared { name, current, candidate });
    }
    Verdict { reasons, figures }
}

/// Why records for one schema are no records for another one.
pub fn differences(current: &Schema, candidate: &Schema) -> Vec<String> {
    let mut reasons = Vec::new();
    for column in &current.columns {
        match candidate.columns.iter().find(|other| other.name == column.name) {
            None => reasons.push(format!("the candidate does not read column `{}`", column.name)),
            Some(other) if other != column => {
                reasons.push(format!("the candidate reads column `{}` otherwise", column.name));
            }
            Some(_) => {}
        }
    }
    for column in &candidate.columns {
        if !current.columns.iter().any(|other| other.name == column.name) {
            reasons.push(format!("the candidate wants a new column `{}`", column.name));
        }
    }
    if current.classes != candidate.classes {
        reasons.push(format!(
            "the candidate tells other classes: {} instead of {}",
            candidate.classes.join(", "),
            current.classes.join(", ")
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::params::Params;
    use crate::learn::testing::blobs;
    use crate::learn::train::train;

    #[test]
    fn a_model_may_take_its_own_place_and_one_that_learned_less_may_not() {
        let table = blobs(600, 1);
        let good = train(&table, &Params::default(), 1, "test").unwrap();
        let verdict = judge(&good, &good, &table, WORSE_BY);
        assert!(verdict.passes(), "{:?}", verdict.reasons);
        assert_eq!(verdict.figures.len(), FIGURES.len());
        let deaf = Params { false_positive_rate: 0.9, ..Params::default() };
        let deaf = train(&table, &deaf, 1, "test").unwrap();
        let verdict = judge(&good, &deaf, &table, WORSE_BY);
        assert!(verdict.reasons.iter().any(|reason| reason.starts_with("false positive rate")));
        assert!(judge(&good, &deaf, &table, 1.0).passes());
    }

    #[test]
    fn a_model_of_other_records_is_refused_by_the_name_of_the_column() {
        let table = blobs(600, 1);
        let good = train(&table, &Params::default(), 1, "test").unwrap();
        let mut other = good.clone();
        let name = std::mem::replace(&mut other.schema.columns[0].name, "octets".to_owned());
        let reasons = judge(&good, &other, &table, WORSE_BY).reasons;
        let expected = [
            format!("the candidate does not read column `{name}`"),
            "the candidate wants a new column `octets`".to_owned(),
        ];
        assert_eq!(reasons, expected);
    }
}
