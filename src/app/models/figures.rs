//! Figures of a model as text for a terminal and as Markdown.

use std::fmt::Write as _;

use crate::learn::metrics::{Binary, Metrics};

/// Labels with misses that are shown.
const MOST_LABELS: usize = 40;

/// The figures for a person.
pub(super) fn text(metrics: &Metrics) -> String {
    let Binary { accuracy, precision, recall, f1, false_positive_rate, auroc, average_precision } =
        metrics.binary;
    let mut text = format!(
        "{} rows; the larger side alone has {:.4}\n\n\
         attack or normal, at the stored threshold\n  \
         accuracy {accuracy:.4}  precision {precision:.4}  recall {recall:.4}  F1 {f1:.4}  \
         false positives {false_positive_rate:.4}\n  \
         AUROC {auroc:.4}  average precision {average_precision:.4}\n\n\
         {} classes\n  accuracy {:.4}  macro F1 {:.4}\n\n",
        metrics.rows,
        metrics.majority,
        metrics.classes.len(),
        metrics.class_accuracy,
        metrics.macro_f1,
    );
    let width = metrics.classes.iter().map(|one| one.class.chars().count()).max().unwrap_or(0);
    let width = width.max(7);
    let _ = writeln!(
        text,
        "  {:width$}  {:>9}  {:>9}  {:>9}  {:>9}   predicted as",
        "class", "rows", "precision", "recall", "F1"
    );
    for (one, predicted) in metrics.classes.iter().zip(&metrics.confusion) {
        let predicted: Vec<_> = predicted.iter().map(|count| format!("{count:>8}")).collect();
        let _ = writeln!(
            text,
            "  {:width$}  {:>9}  {:>9.4}  {:>9.4}  {:>9.4}  {}",
            one.class,
            one.rows,
            one.precision,
            one.recall,
            one.f1,
            predicted.join("")
        );
    }
    let mut misses: Vec<_> = metrics.labels.iter().filter(|(_, it)| it.missed > 0).collect();
    misses.sort_by(|a, b| b.1.missed.cmp(&a.1.missed).then(a.0.cmp(b.0)));
    if !misses.is_empty() {
        text.push_str("\n  on the wrong side, by label\n");
    }
    for (label, it) in misses.iter().take(MOST_LABELS) {
        let share = it.missed as f64 / it.rows.max(1) as f64 * 100.0;
        let _ = writeln!(text, "  {label:20}  {:>7} of {:>7}  {share:>5.1} %", it.missed, it.rows);
    }
    text.truncate(text.trim_end().len());
    text
}
