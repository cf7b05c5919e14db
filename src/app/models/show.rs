//! `models`: what model files say about themselves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::models::Model;
use crate::models::facts::{Facts, Threshold};
use crate::sinks::printable;

use super::read_file;

/// A model for a person.
pub(super) fn text(model: &Model) -> String {
    let (schema, facts) = (model.schema(), model.facts());
    let mut text = format!(
        "schema      {} ({} columns, {} classes)\n\
         algorithm   {} ({})\n\
         trained on  {} rows ({} left out), SHA-256 {}\n\
         classes     {}\n\
         seed        {}, by {}\n\
         threshold   {}",
        printable(&schema.name),
        schema.columns.len(),
        schema.classes.len(),
        facts.algorithm,
        model.parts().collect::<Vec<_>>().join(", "),
        facts.rows,
        facts.rejected_rows,
        facts.checksum,
        classes(facts),
        facts.seed,
        printable(&facts.commit),
        threshold(&facts.threshold),
    );
    for measured in &facts.metrics {
        let figures: Vec<_> =
            measured.figures.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let _ = write!(
            text,
            "\nmeasured    {}, {}, {} rows: {}",
            printable(&measured.data),
            printable(&measured.split),
            measured.rows,
            figures.join(", ")
        );
    }
    text
}

fn classes(facts: &Facts) -> String {
    let counts = facts.class_counts.iter();
    let counts: Vec<_> =
        counts.map(|(class, count)| format!("{} {count}", printable(class))).collect();
    counts.join(", ")
}

fn threshold(threshold: &Threshold) -> String {
    match threshold {
        Threshold::MostLikely => "the likeliest class".to_owned(),
        Threshold::Surprise { score, probability, false_positive_rate, recall } => {
            let set_for = match recall {
                Some(recall) => format!("for a recall of {:.1} %", recall * 100.0),
                None => format!("for {:.1} % of normal rows", false_positive_rate * 100.0),
            };
            format!("score {score:.3}, probability {probability:.3}, set {set_for}")
        }
    }
}

/// The models of a folder, by name.
pub(super) fn list(folder: &Path) -> anyhow::Result<String> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("reading the folder `{}`", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "model"));
    paths.sort();
    if paths.is_empty() {
        return Ok(format!("no models (*.model) in `{}`", folder.display()));
    }
    let mut lines =
        vec![format!("{:24}  {:10}  {:10}  {:>9}", "file", "schema", "algorithm", "rows")];
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = printable(&name).to_string();
        lines.push(match read_file(&path) {
            Ok(model) => {
                let (schema, facts) = (printable(&model.schema().name).to_string(), model.facts());
                format!("{name:24}  {schema:10}  {:10}  {:>9}", facts.algorithm, facts.rows)
            }
            Err(problem) => format!("{name:24}  {problem:#}"),
        });
    }
    Ok(lines.join("\n"))
}

/// In what two models differ, a line each.
pub(super) fn difference(old: &Model, new: &Model) -> String {
    let mut lines = Vec::new();
    if old.schema() != new.schema() {
        lines.push(format!(
            "schema: {} and {} are not the same columns, labels and classes",
            printable(&old.schema().name),
            printable(&new.schema().name)
        ));
    }
    let values = [old, new].map(|model| serde_json::to_value(model.facts()).unwrap_or_default());
    differing("", &values[0], &values[1], &mut lines);
    match lines.is_empty() {
        true => "the same".to_owned(),
        false => lines.join("\n"),
    }
}

fn differing(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return lines.push(printable(&format!("{path}: {old} → {new}")).to_string());
    };
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let of = |object: &serde_json::Map<_, _>| object.get(name).cloned().unwrap_or_default();
        differing(&path, &of(before), &of(after), lines);
    }
}
