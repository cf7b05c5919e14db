//! `predict`: what a model makes of rows.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use serde_json::json;

use crate::cli::{PredictArgs, PredictForm};
use crate::config::Config;
use crate::models::record::{Labels, Row, Rows};
use crate::models::{Model, Prediction, Scratch};
use crate::sinks::printable;

use super::super::Outcome;
use super::open;
use super::stored::open_model;

/// So many rows that cannot be used are told one by one.
const TOLD: u64 = 20;

/// Prints the answer to every row. Rows that cannot be used have none, and are told.
pub(in super::super) fn predict(config: &Config, args: &PredictArgs) -> anyhow::Result<Outcome> {
    let model = open_model(config, &args.model)?.model;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.output == PredictForm::Csv {
        writeln!(out, "row,class,probability,verdict")?;
    }
    let mut answers = Answers { model: &model, form: args.output, base: 0, rejected: 0 };
    for path in &args.data {
        let rows = Rows::new(model.schema(), open(path)?, Labels::Unread)
            .with_context(|| format!("reading `{}`", path.display()))?;
        answers.of(rows, &mut out).with_context(|| format!("reading `{}`", path.display()))?;
    }
    out.flush()?;
    match answers.rejected {
        0 => {}
        1 => eprintln!("1 row has no answer"),
        rejected => eprintln!("{rejected} rows have no answer"),
    }
    Ok(Outcome::Done)
}

struct Answers<'m> {
    model: &'m Model,
    form: PredictForm,
    /// Rows of the files before.
    base: u64,
    rejected: u64,
}

impl Answers<'_> {
    fn of(
        &mut self,
        mut rows: Rows<'_, impl io::Read>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut row = Row::default();
        let (mut scratch, mut prediction) = (Scratch::default(), Prediction::default());
        let mut count = 0;
        while let Some(taken) = rows.read(&mut row)? {
            count += 1;
            if let Err(mut error) = taken {
                error.row += self.base;
                self.rejected += 1;
                if self.rejected <= TOLD {
                    eprintln!("no answer: {}", printable(&error.to_string()));
                }
                continue;
            }
            self.model.predict_into(&row.record, &mut scratch, &mut prediction);
            self.answer(&row, &prediction, out)?;
        }
        self.base += count;
        Ok(())
    }

    fn answer(&self, row: &Row, said: &Prediction, out: &mut impl Write) -> io::Result<()> {
        let number = self.base + row.number;
        let class = self.class(said.class);
        let verdict = if said.is_attack { "attack" } else { "normal" };
        if self.form == PredictForm::Csv {
            return writeln!(out, "{number},{class},{:.6},{verdict}", said.probability);
        }
        let classes: serde_json::Map<_, _> = said
            .class_probabilities
            .iter()
            .enumerate()
            .map(|(place, probability)| (self.class(place).to_owned(), json!(probability)))
            .collect();
        let reasons: Vec<_> = self.model.explain(&row.record).into_iter().take(5).collect();
        let reasons: Vec<_> = reasons
            .iter()
            .map(|one| json!({ "name": one.feature, "value": one.value, "attribution": one.share }))
            .collect();
        let answer = json!({
            "row": number,
            "class": class,
            "probability": said.probability,
            "verdict": verdict,
            "score": said.score,
            "classes": classes,
            "features": reasons,
        });
        writeln!(out, "{answer}")
    }

    fn class(&self, place: usize) -> &str {
        self.model.schema().classes.get(place).map_or("", String::as_str)
    }
}
