//! The parts as lines for a terminal.

use crate::learn::explore::Exploration;
use crate::model::one_line;

use super::Origin;
use super::part::{Grid, Part};
use super::words::list;

/// Widest cell; longer ones are cut.
const WIDEST: usize = 60;
/// Longest sentence.
const LONGEST: usize = 400;
/// Signs of a checksum that are shown.
const CHECKSUM: usize = 16;

pub(super) fn text(found: &Exploration, origin: &Origin, parts: &[Part]) -> String {
    let files = list(origin.files.iter().map(String::as_str), 5);
    let checksum: String = found.checksum.chars().take(CHECKSUM).collect();
    let head =
        format!("{files}: schema {}, seed {}, SHA-256 {checksum}…", found.schema, found.seed);
    let mut lines = vec![one_line(&head, LONGEST)];
    for part in parts {
        lines.push(String::new());
        lines.push(format!("{}: {}", part.heading, one_line(&part.gist, LONGEST)));
        // How it was done is for the page; only remarks have nothing but sentences.
        let is_remark = part.tables.is_empty();
        let sentences = part.sentences.iter().filter(|_| is_remark);
        lines.extend(sentences.map(|sentence| format!("  {}", one_line(sentence, LONGEST))));
        for (place, grid) in part.tables.iter().filter(|grid| !grid.rows.is_empty()).enumerate() {
            if place > 0 {
                lines.push(String::new());
            }
            lines.extend(table(grid));
        }
    }
    lines.join("\n")
}

/// The rows of a table below its head, aligned.
fn table(grid: &Grid) -> Vec<String> {
    let columns: Vec<usize> =
        (0..grid.columns.len()).filter(|place| !grid.columns[*place].is_detail).collect();
    let head = columns.iter().map(|place| grid.columns[*place].name.to_owned()).collect();
    let row = |row: &Vec<String>| -> Vec<String> {
        let cell = |place: &usize| row.get(*place).map_or("", String::as_str);
        columns.iter().map(|place| one_line(cell(place), WIDEST)).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![head];
    rows.extend(grid.rows.iter().take(grid.brief).map(row));
    let width = |place: usize| rows.iter().map(|row| row[place].chars().count()).max();
    let widths: Vec<usize> =
        (0..columns.len()).map(|place| width(place).unwrap_or_default()).collect();
    let aligned = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&columns);
        let cells = cells.map(|((cell, &width), place)| match grid.columns[*place].is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let line = format!("  {}", cells.collect::<Vec<_>>().join("  "));
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(aligned).collect();
    let more = grid.rows.len().saturating_sub(grid.brief);
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    lines
}
