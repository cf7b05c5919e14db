//! `evaluate published`: the figures of learned models on published data sets.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use crate::learn::params::Params;
use crate::learn::quality::{self, Figure};
use crate::models::Model;
use crate::models::record::{Labels, Row, Rows};
use crate::models::{Prediction, Scratch};

use super::super::Outcome;
use super::super::common::print_line;
use super::{SEED, figures, open};

/// Measures everything that `data` has the files of, one figure after the other.
pub(in super::super) fn published(data: &Path, is_json: bool) -> anyhow::Result<Outcome> {
    let mut report = Report::default();
    let file = |name: &str| {
        let found = ["", ".zst", ".gz"].map(|end| data.join(format!("{name}{end}")));
        found.into_iter().find(|path| path.exists())
    };
    let kdd = (file("nsl-kdd/KDDTrain+.txt"), file("nsl-kdd/KDDTest+.txt"));
    if let (Some(train), Some(test)) = &kdd {
        report.combined(train, test, file("nsl-kdd/KDDTest-21.txt").as_deref())?;
    } else {
        report.skip("NSL-KDD");
    }
    match (&kdd.0, file("kdd-split-003/y_test.csv")) {
        (Some(train), Some(rows)) => {
            let timer = Instant::now();
            let both = quality::kdd_random_split(open(train)?, open(&rows)?, SEED)?;
            both.into_iter().for_each(|figure| report.add(figure, timer, Value::Null));
        }
        _ => report.skip("system 003's split of KDDTrain+"),
    }
    match file("unsw-nb15/unsw_nb15_82332_part_A.csv") {
        Some(path) => {
            let timer = Instant::now();
            report.add(quality::unsw(open(&path)?, SEED)?, timer, Value::Null);
        }
        None => report.skip("UNSW-NB15"),
    }
    match file("cic-ids2017-sample/cic_0.01km.csv") {
        Some(path) => {
            let timer = Instant::now();
            report.add(quality::cic2017(open(&path)?, SEED)?, timer, Value::Null);
        }
        None => report.skip("CIC-IDS2017"),
    }
    match is_json {
        true => print_line(&json!({ "figures": report.values }).to_string())?,
        false => print_line(report.text.trim_end())?,
    }
    Ok(Outcome::Done)
}

#[derive(Default)]
struct Report {
    text: String,
    values: Vec<Value>,
}

impl Report {
    fn skip(&mut self, name: &str) {
        eprintln!("skipped: {name} is not there");
    }

    /// The combined model on KDDTest+, what it makes of the documented record, and its speed.
    fn combined(&mut self, train: &Path, test: &Path, hard: Option<&Path>) -> anyhow::Result<()> {
        let timer = Instant::now();
        let params = Params::default();
        let (figure, model) =
            quality::kdd_test(open(train)?, open(test)?, &params, SEED, "published")?;
        let took = timer.elapsed().as_secs_f64();
        let golden = quality::golden_record(&model)?;
        let mut bytes = Vec::new();
        open(test)?.read_to_end(&mut bytes).context("reading the test rows")?;
        let speed = rows_per_second(&model, &bytes)?;
        let extra = json!({ "golden_record": golden, "csv_rows_per_second": speed.round() });
        self.add(figure, timer, extra);
        let _ = writeln!(
            self.text,
            "system 003's record is `{golden}`; training and judging took {took:.0} s; {speed:.0} rows of \
             CSV a second on one core\n"
        );
        if let Some(hard) = hard {
            let timer = Instant::now();
            self.add(quality::kdd_hard(&model, open(hard)?, SEED)?, timer, Value::Null);
        }
        Ok(())
    }

    fn add(&mut self, figure: Figure, timer: Instant, extra: Value) {
        let _ = writeln!(self.text, "{}\n{}, seed {}", figure.name, figure.split, figure.seed);
        for (role, sum) in &figure.sha256 {
            let _ = writeln!(self.text, "SHA-256 of {role}: {sum}");
        }
        let _ = writeln!(self.text, "{}\n", figures::text(&figure.metrics));
        let seconds = timer.elapsed().as_secs_f64();
        self.values.push(json!({ "figure": figure, "seconds": seconds, "extra": extra }));
    }
}

/// Rows that are read, judged and thrown away in a second on one core.
fn rows_per_second(model: &Model, bytes: &[u8]) -> anyhow::Result<f64> {
    let timer = Instant::now();
    let mut rows = Rows::new(model.schema(), bytes, Labels::Unread)?;
    let (mut row, mut scratch) = (Row::default(), Scratch::default());
    let (mut said, mut count) = (Prediction::default(), 0u64);
    while let Some(taken) = rows.read(&mut row)? {
        if taken.is_ok() {
            model.predict_into(&row.record, &mut scratch, &mut said);
            count += 1;
        }
    }
    Ok(count as f64 / timer.elapsed().as_secs_f64())
}
