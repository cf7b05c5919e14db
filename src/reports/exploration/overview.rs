//! How many rows of which class, and what must be known beside the figures.

use crate::charts::format::{count, percent};
use crate::charts::{Bar, Bars, Unit, palette};
use crate::learn::explore::{Count, Exploration};

use super::Origin;
use super::part::{Grid, Part, chart, number, word};
use super::words::{attack_share, class_color, list, plural, share};

/// Labels that are drawn: the most frequent.
const DRAWN: usize = 20;
/// Labels that are named in a sentence.
const NAMED: usize = 3;
/// Labels that are listed on a terminal.
const BRIEF: usize = 10;

/// Returns the part about rows, classes and labels.
pub(super) fn part(found: &Exploration) -> Part {
    let (rows, columns) = (plural(found.rows, "row"), plural(found.columns.len() as u64, "column"));
    let gist = match found.attacks {
        Some(attacks) => {
            let attacks = attack_share(Some(attacks), found.rows);
            format!("{rows} of {columns}; {attacks} of them are attacks.")
        }
        None => format!("{rows} of {columns}; labels were not read."),
    };
    let mut part = Part { id: "rows", heading: "Rows", gist, ..Part::default() };
    if !found.has_labels {
        return part;
    }
    part.charts.push(chart(bars("Rows by class", &found.classes, class_color)));
    part.tables.push(grid("Classes", "class", &found.classes, usize::MAX));
    let is_class = |label: &Count| found.classes.iter().any(|class| class.name == label.name);
    if found.labels.iter().all(is_class) {
        return part;
    }
    let names = found.labels.iter().map(|label| label.name.as_str());
    let labels = plural(found.labels.len() as u64, "label");
    part.sentences.push(format!("{labels}, the most frequent first: {}.", list(names, NAMED)));
    part.charts.push(chart(bars("Rows by label", &found.labels, |_| palette::BLUE)));
    part.tables.push(grid("Labels", "label", &found.labels, BRIEF));
    part
}

fn all_rows(counts: &[Count]) -> u64 {
    counts.iter().map(|count| count.rows).sum()
}

fn bars(title: &str, counts: &[Count], color: impl Fn(usize) -> &'static str) -> String {
    let all = all_rows(counts).max(1) as f64;
    let bar = |(place, one): (usize, &Count)| Bar {
        label: one.name.clone(),
        value: one.rows as f64,
        note: percent(one.rows as f64 / all),
        color: color(place),
    };
    let rows = counts.iter().take(DRAWN).enumerate().map(bar).collect();
    let when_empty = "There are no rows".to_owned();
    Bars { title: title.to_owned(), rows, unit: Unit::Count, when_empty }.svg()
}

fn grid(caption: &str, what: &'static str, counts: &[Count], brief: usize) -> Grid {
    let all = all_rows(counts);
    let row = |one: &Count| vec![one.name.clone(), count(one.rows), share(one.rows, all)];
    Grid {
        caption: caption.to_owned(),
        columns: vec![word(what), number("rows"), number("share")],
        rows: counts.iter().map(row).collect(),
        brief,
    }
}

/// Returns the part about what was sampled or left out.
pub(super) fn remarks(found: &Exploration, origin: &Origin) -> Part {
    let gist = match found.rejected {
        0 => "Every row could be used.".to_owned(),
        1 => "1 row could not be used and was left out.".to_owned(),
        rejected => format!("{} rows could not be used and were left out.", count(rejected)),
    };
    let mut sentences: Vec<String> = found.notes.iter().map(|note| sentence(note)).collect();
    sentences.extend(origin.rejected.iter().map(|row| format!("Left out: {row}")));
    let more = found.rejected.saturating_sub(origin.rejected.len() as u64);
    if more > 0 && !origin.rejected.is_empty() {
        sentences.push(format!("Left out: {} more.", plural(more, "row")));
    }
    Part { id: "remarks", heading: "Remarks", gist, sentences, ..Part::default() }
}

/// Returns a note as a sentence.
fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
