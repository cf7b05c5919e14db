//! A report as a table for a terminal.

use std::fmt::{self, Write};

use super::report::{HealthFinding, HealthReport, HealthStatus};
use crate::model::Timestamp;

const HEADINGS: [&str; 6] = ["STATUS", "CHECK", "ACTUAL", "TYPICAL", "UPPER", "SINCE"];
/// Which columns hold numbers and are flush right.
const IS_NUMBER: [bool; 6] = [false, false, true, true, true, false];

/// The table: one line per finding, and for those that are not well the remedy below.
impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 6]> = self.findings.iter().map(cells).collect();
        let widths: [usize; 6] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
        });
        writeln!(
            f,
            "health of {} to {} UTC, namespace {}: {}",
            self.hour.to_utc().format("%Y-%m-%d %H:%M"),
            self.end().to_utc().format("%H:%M"),
            self.namespace,
            self.status.name()
        )?;
        writeln!(f, "{}CAUSE", line(&HEADINGS.map(str::to_owned), &widths))?;
        let indent = widths.iter().map(|width| width + 2).sum::<usize>();
        for (finding, row) in self.findings.iter().zip(&rows) {
            writeln!(f, "{}{}", line(row, &widths), printable(&finding.cause))?;
            if finding.status > HealthStatus::Ok && !finding.remedy.is_empty() {
                writeln!(f, "{:indent$}→ {}", "", printable(&finding.remedy))?;
            }
        }
        Ok(())
    }
}

fn cells(finding: &HealthFinding) -> [String; 6] {
    let figures = finding.figures;
    [
        finding.status.name().to_owned(),
        printable(&finding.id),
        number(figures.map(|figures| figures.actual)),
        number(figures.and_then(|figures| figures.typical)),
        number(figures.and_then(|figures| figures.upper)),
        finding.since.map_or_else(|| "-".to_owned(), minute),
    ]
}

fn line(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let mut line = String::new();
    for ((cell, width), is_number) in cells.iter().zip(widths).zip(IS_NUMBER) {
        // Writing into a `String` cannot fail.
        let _ = if is_number {
            write!(line, "{cell:>width$}  ")
        } else {
            write!(line, "{cell:<width$}  ")
        };
    }
    line
}

/// Whole numbers without decimals, others with three digits at most after the point.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn minute(time: Timestamp) -> String {
    time.to_utc().format("%Y-%m-%d %H:%M").to_string()
}

/// Replaces what would steer a terminal, or turn the direction of its text: kinds come from stored
/// documents, which others may have written.
fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}
