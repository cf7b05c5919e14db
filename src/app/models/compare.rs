//! `compare`: algorithms side by side.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::charts::{Bar, Bars, Painter, Unit, palette};
use crate::cli::{CompareArgs, SplitBy};
use crate::learn::compare::{
    Compared, Failed, compare as side_by_side, cross_validate, mean_and_deviation,
};
use crate::learn::metrics::Metrics;
use crate::learn::params::{Algorithm, Params};
use crate::learn::split::Shares;
use crate::learn::table::Table;

use super::super::Outcome;
use super::super::common::print_line;
use super::split::part;
use super::{read_labelled, read_params, read_table, write};

/// Test rows when the data is parted.
const TEST_SHARE: f64 = 0.3;
/// Features shown of each algorithm.
const FEATURES: usize = 5;

/// Trains algorithms on the same rows and prints how they do on others.
pub(in super::super) fn compare(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let algorithms = algorithms(&args.algorithms)?;
    let (params, _) = read_params(args.params.as_deref())?;
    let table = read_table(&args.rows)?;
    let (text, value, chart) = match args.folds {
        Some(folds) => validated(&table, &algorithms, &params, usize::from(folds), args.seed)?,
        None => judged(args, table, &algorithms, &params)?,
    };
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder)
            .with_context(|| format!("making the folder `{}`", folder.display()))?;
        write(&folder.join("compare.json"), serde_json::to_string_pretty(&value)?.as_bytes())?;
        write(&folder.join("compare.md"), text.as_bytes())?;
        let picture = Painter::new().png(&chart.svg(), 2.0).context("drawing the chart")?;
        write(&folder.join("compare.png"), &picture)?;
    }
    print_line(if args.json { value.to_string() } else { text }.trim_end())?;
    Ok(Outcome::Done)
}

fn algorithms(list: &str) -> anyhow::Result<Vec<Algorithm>> {
    if list.trim() == "all" {
        return Ok(Algorithm::ALL.to_vec());
    }
    let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
    let one = |name: &str| {
        let found = Algorithm::ALL.into_iter().find(|it| it.name() == name.trim());
        found.with_context(|| format!("unknown algorithm `{}` (known: {})", name.trim(), known()))
    };
    list.split(',').map(one).collect()
}

type Answer = (String, Value, Bars);
/// A figure by its name.
type Named = (&'static str, fn(&Metrics) -> f64);

fn judged(
    args: &CompareArgs,
    table: Table,
    algorithms: &[Algorithm],
    params: &Params,
) -> anyhow::Result<Answer> {
    let (teach, test, how) = if args.test.is_empty() {
        let split = part(&table, args.by, Shares { validation: 0.0, test: TEST_SHARE }, args.seed);
        let how = match args.by {
            SplitBy::Vector => "by a hash of the features (equal rows on one side)",
            SplitBy::Label => "at random within each label (like rows on both sides: it flatters)",
            SplitBy::Order => "in the order of the file",
        };
        let how = format!("{:.0} % parted {how}, seed {}", TEST_SHARE * 100.0, args.seed);
        (table.choose(&split.train), table.choose(&split.test), how)
    } else {
        let test = read_labelled(table.schema(), &args.test)?;
        let names: Vec<_> = args.test.iter().map(|path| file_name(path)).collect();
        (table, test, names.join(", "))
    };
    ensure!(!test.is_empty(), "there is no row to judge");
    let begin = Instant::now();
    let rows = side_by_side(&teach, &test, algorithms, params, args.seed, &|| begin.elapsed());
    let mut text = format!(
        "{} rows taught (SHA-256 {}), {} rows judged (SHA-256 {}): {how}.\n\n\
         | algorithm | accuracy | precision | recall | F1 | false positives | AUROC | AP | classes: accuracy | macro F1 | fit s | predict s | bytes |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        teach.len(),
        &teach.checksum()[..16],
        test.len(),
        &test.checksum()[..16],
    );
    for row in &rows {
        match row {
            Ok(row) => text.push_str(&line(row)),
            Err(Failed { algorithm, reason }) => {
                let _ = writeln!(text, "| {algorithm} | {reason} |");
            }
        }
    }
    let good: Vec<&Compared> = rows.iter().flatten().collect();
    text.push_str(&classes(&good));
    text.push_str(&labels(&good));
    text.push_str(&features(&good));
    let value: Vec<Value> = rows
        .iter()
        .map(|row| match row {
            Ok(row) => json!(row),
            Err(failed) => json!(failed),
        })
        .collect();
    let value = json!({
        "train": { "rows": teach.len(), "sha256": teach.checksum() },
        "test": { "rows": test.len(), "sha256": test.checksum(), "split": how },
        "seed": args.seed,
        "algorithms": value,
    });
    let bars = good.iter().map(|row| (row.algorithm, row.metrics.macro_f1)).collect();
    Ok((text, value, chart("Macro F1 over the classes, per cent", bars)))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn line(row: &Compared) -> String {
    let Metrics { binary, class_accuracy, macro_f1, .. } = &row.metrics;
    format!(
        "| {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {class_accuracy:.4} | {macro_f1:.4} | {:.2} | {:.3} | {} |\n",
        row.algorithm,
        binary.accuracy,
        binary.precision,
        binary.recall,
        binary.f1,
        binary.false_positive_rate,
        binary.auroc,
        binary.average_precision,
        row.fit_seconds,
        row.predict_seconds,
        row.model_bytes,
    )
}

/// Precision, recall and F1 of every class, and what its rows were taken for.
fn classes(rows: &[&Compared]) -> String {
    let mut text = String::from(
        "\n| algorithm | class | rows | precision | recall | F1 | taken for |\n|---|---|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        for (class, taken) in row.metrics.classes.iter().zip(&row.metrics.confusion) {
            let names = row.metrics.classes.iter().map(|class| &class.class);
            let taken = names.zip(taken).filter(|(_, count)| **count > 0);
            let taken: Vec<_> = taken.map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.4} | {:.4} | {:.4} | {} |",
                row.algorithm,
                class.class,
                class.rows,
                class.precision,
                class.recall,
                class.f1,
                taken.join(", ")
            );
        }
    }
    text
}

/// Rows on the wrong side, by label.
fn labels(rows: &[&Compared]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let names: Vec<_> = rows.iter().map(|row| row.algorithm).collect();
    let mut text = format!(
        "\nRows on the wrong side of attack or normal, by label:\n\n| label | rows | {} |\n|---|--:|{}\n",
        names.join(" | "),
        "--:|".repeat(rows.len())
    );
    for (label, of_first) in &first.metrics.labels {
        let missed = |row: &&Compared| row.metrics.labels.get(label).map_or(0, |it| it.missed);
        let missed: Vec<_> = rows.iter().map(|row| missed(row).to_string()).collect();
        let _ = writeln!(text, "| {label} | {} | {} |", of_first.rows, missed.join(" | "));
    }
    text
}

/// What each algorithm goes by most.
fn features(rows: &[&Compared]) -> String {
    let mut text = String::from(
        "\n| algorithm | features that matter most (AUROC lost when shuffled) |\n|---|---|\n",
    );
    for row in rows {
        let most = row.importance.iter().take(FEATURES);
        let most: Vec<_> = most.map(|it| format!("{} {:.4}", it.feature, it.loss)).collect();
        let _ = writeln!(text, "| {} | {} |", row.algorithm, most.join(", "));
    }
    text
}

fn validated(
    table: &Table,
    algorithms: &[Algorithm],
    params: &Params,
    folds: usize,
    seed: u64,
) -> anyhow::Result<Answer> {
    let mut text = format!(
        "{} rows (SHA-256 {}), {folds} folds by a hash of the features, seed {seed}; mean ± standard deviation.\n\n\
         | algorithm | accuracy | recall | false positives | AUROC | classes: accuracy | macro F1 |\n|---|--:|--:|--:|--:|--:|--:|\n",
        table.len(),
        &table.checksum()[..16],
    );
    let (mut values, mut bars) = (Vec::new(), Vec::new());
    for &algorithm in algorithms {
        let name = algorithm.name();
        let params = Params { algorithm, ..params.clone() };
        let judged = match cross_validate(table, &params, folds, seed) {
            Ok(judged) => judged,
            Err(problem) => {
                let _ = writeln!(text, "| {name} | {problem} |");
                values.push(json!({ "algorithm": name, "reason": problem.to_string() }));
                continue;
            }
        };
        let figures: [Named; 6] = [
            ("accuracy", |it| it.binary.accuracy),
            ("recall", |it| it.binary.recall),
            ("false_positive_rate", |it| it.binary.false_positive_rate),
            ("auroc", |it| it.binary.auroc),
            ("class_accuracy", |it| it.class_accuracy),
            ("macro_f1", |it| it.macro_f1),
        ];
        let mut cells = Vec::new();
        let mut of = serde_json::Map::new();
        for (figure, value) in figures {
            let (mean, deviation) = mean_and_deviation(&judged, value);
            cells.push(format!("{mean:.4} ± {deviation:.4}"));
            of.insert(figure.into(), json!({ "mean": mean, "deviation": deviation }));
        }
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        bars.push((name, mean_and_deviation(&judged, |it| it.macro_f1).0));
        values.push(json!({ "algorithm": name, "figures": of, "folds": judged }));
    }
    if bars.is_empty() {
        bail!("no algorithm could be trained");
    }
    let value = json!({
        "rows": table.len(),
        "sha256": table.checksum(),
        "folds": folds,
        "seed": seed,
        "algorithms": values,
    });
    Ok((text, value, chart("Macro F1 over the classes, per cent, mean of the folds", bars)))
}

fn chart(title: &str, rows: Vec<(&'static str, f64)>) -> Bars {
    let row = |(label, value): (&str, f64)| Bar {
        label: label.to_owned(),
        value: value * 100.0,
        note: String::new(),
        color: palette::BLUE,
    };
    Bars {
        title: title.to_owned(),
        rows: rows.into_iter().map(row).collect(),
        unit: Unit::Count,
        when_empty: "Nothing was learned.".into(),
    }
}
