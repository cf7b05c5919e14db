//! What each column holds: boxes of numbers, counts of words.

use crate::charts::format::{count, measure, percent};
use crate::charts::{Bar, Bars, BoxRow, Boxes, Unit, palette};
use crate::learn::explore::{BoxPlot, ColumnFacts, Content, Count, Exploration, WordCount};

use super::part::{Chart, Column, Grid, Part, chart, detail, number, word};
use super::words::{attack_share, class_color, list, plural, share};

/// Words of a column that are drawn.
const DRAWN: usize = 12;
/// Words of a column that are named in a table.
const NAMED: usize = 4;
/// Numbers that are listed on a terminal.
const BRIEF: usize = 45;

const NUMBERS: [Column; 13] = [
    word("column"),
    detail("missing"),
    number("distinct"),
    number("least"),
    detail("25%"),
    number("median"),
    detail("75%"),
    number("greatest"),
    number("mean"),
    detail("deviation"),
    number("zeros"),
    number("outliers"),
    detail("share"),
];

/// Returns the part about the columns.
pub(super) fn part(found: &Exploration) -> Part {
    let (mut numbers, mut words) = (Vec::new(), Vec::new());
    let (mut of_numbers, mut charts) = (Vec::new(), Vec::new());
    for column in &found.columns {
        match &column.content {
            Content::Number { all, classes } => {
                numbers.push(number_row(column, all.as_ref()));
                let own: Vec<_> =
                    classes.iter().map(|one| (one.class.as_str(), &one.figures)).collect();
                of_numbers.extend(boxes(&column.name, all.as_ref(), &own, &found.classes));
            }
            Content::Category { words: counts, others } => {
                words.push(word_row(column, counts, found.rows));
                charts.push(word_bars(column, counts, *others, found.rows));
            }
        }
    }
    charts.extend(of_numbers);
    let gist = gist(found, numbers.len(), words.len());
    let fence = measure(found.params.fence);
    let sentences = vec![
        format!(
            "Outliers lie beyond {fence} interquartile ranges from the quartiles; where the quartiles are equal nothing is called an outlier."
        ),
        "Boxes: quartiles with the median; whiskers to the last values that are no outliers; the thin line goes on to the least and the greatest value; at the right the share of outliers. Where the axis counts in powers of ten it is logarithmic.".to_owned(),
    ];
    let columns = [word("column"), number("distinct"), word("most frequent")].to_vec();
    let tables = vec![
        Grid {
            caption: "Numbers".to_owned(),
            columns: NUMBERS.to_vec(),
            rows: numbers,
            brief: BRIEF,
        },
        Grid { caption: "Words".to_owned(), columns, rows: words, brief: BRIEF },
    ];
    Part { id: "columns", heading: "Columns", gist, sentences, charts, tables }
}

fn gist(found: &Exploration, numbers: usize, words: usize) -> String {
    let columns = plural(numbers as u64, "column");
    let kinds = format!("{columns} of numbers and {words} of words");
    let constant = &found.correlations.constant;
    if constant.is_empty() {
        return format!("{kinds}; each of the numbers varies.");
    }
    let are = if constant.len() == 1 { "is" } else { "are" };
    format!(
        "{kinds}; {} {are} the same in every row: {}.",
        constant.len(),
        list(constant.iter().map(String::as_str), 5)
    )
}

fn number_row(column: &ColumnFacts, all: Option<&BoxPlot>) -> Vec<String> {
    let mut row = vec![column.name.clone(), count(column.missing), count(column.distinct)];
    let Some(plot) = all else {
        row.resize(NUMBERS.len(), "–".to_owned());
        return row;
    };
    let BoxPlot { min, p25, median, p75, max, mean, deviation, .. } = plot;
    row.extend([min, p25, median, p75, max, mean, deviation].map(|value| measure(*value)));
    row.push(percent(plot.zeros));
    let outliers = plot.fences.as_ref().map(|fences| fences.outliers);
    row.push(outliers.map_or_else(|| "–".to_owned(), count));
    row.push(outliers.map_or_else(|| "–".to_owned(), |outliers| share(outliers, plot.rows)));
    row
}

fn word_row(column: &ColumnFacts, words: &[WordCount], rows: u64) -> Vec<String> {
    let most = words.iter().take(NAMED);
    let most: Vec<_> = most.map(|one| format!("{} {}", one.word, share(one.rows, rows))).collect();
    vec![column.name.clone(), count(column.distinct), most.join(", ")]
}

/// The box plots of a column, one a class; `None` where it does not vary.
fn boxes(
    name: &str,
    all: Option<&BoxPlot>,
    own: &[(&str, &BoxPlot)],
    classes: &[Count],
) -> Option<Chart> {
    let all = all.filter(|plot| plot.min < plot.max)?;
    let whole = [("all rows", all)];
    let plots = if own.is_empty() { &whole[..] } else { own };
    let row = |(class, plot): &(&str, &BoxPlot)| {
        let place = classes.iter().position(|one| one.name == *class).unwrap_or_default();
        let fences = plot.fences.as_ref();
        BoxRow {
            label: (*class).to_owned(),
            ends: (plot.min, plot.max),
            whiskers: fences
                .map_or((plot.p25, plot.p75), |fences| (fences.low_whisker, fences.high_whisker)),
            quartiles: [plot.p25, plot.median, plot.p75],
            note: fences.map(|fences| share(fences.outliers, plot.rows)).unwrap_or_default(),
            color: class_color(place),
        }
    };
    let rows = plots.iter().map(row).collect();
    let when_empty = "Every row holds the same".to_owned();
    Some(chart(Boxes { title: name.to_owned(), rows, when_empty }.svg()))
}

fn word_bars(column: &ColumnFacts, words: &[WordCount], others: u64, rows: u64) -> Chart {
    let has_labels = words.iter().any(|one| one.attacks.is_some());
    let note = |one: &WordCount| match one.attacks {
        Some(_) => attack_share(one.attacks, one.rows),
        None => share(one.rows, rows),
    };
    let bar = |one: &WordCount| Bar {
        label: one.word.clone(),
        value: one.rows as f64,
        note: note(one),
        color: palette::BLUE,
    };
    let mut bars: Vec<Bar> = words.iter().take(DRAWN).map(bar).collect();
    let left = words.iter().skip(DRAWN).map(|one| one.rows).sum::<u64>() + others;
    if left > 0 {
        let more = column.distinct.saturating_sub(DRAWN as u64);
        let label = plural(more, "other word");
        let value = left as f64;
        bars.push(Bar { label, value, note: String::new(), color: palette::GREY });
    }
    let what = if has_labels { "rows · share of attacks" } else { "rows" };
    let title = format!("{}: {what}", column.name);
    let when_empty = "There are no rows".to_owned();
    chart(Bars { title, rows: bars, unit: Unit::Count, when_empty }.svg())
}
