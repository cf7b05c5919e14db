//! How the numbers go together: correlations and principal components.

use crate::charts::format::percent;
use crate::charts::{Bar, Bars, HeatMap, Unit, palette};
use crate::learn::explore::{Component, Components, Exploration, Pair};

use super::part::{Chart, Grid, Part, chart, number, word};
use super::words::plural;

/// Components that are drawn at most and at least, where there are so many.
const DRAWN: usize = 20;
const LEAST: usize = 8;
/// Rows of a table that a terminal shows.
const BRIEF: usize = 8;

/// Returns the part about correlations; `None` with fewer than two numbers that vary.
pub(super) fn correlations(found: &Exploration) -> Option<Part> {
    let facts = &found.correlations;
    if facts.columns.len() < 2 {
        return None;
    }
    let limit = found.params.strong;
    let gist = match facts.strong.first() {
        Some(Pair { a, b, correlation }) => {
            let pairs = facts.strong.len() as u64;
            let go = if pairs == 1 { "goes" } else { "go" };
            format!(
                "{} of numbers {go} together strongly ({limit} or more, up or down), first {a} and {b} ({correlation:.3}).",
                plural(pairs, "pair")
            )
        }
        None => format!("No pair of numbers goes together strongly ({limit} or more)."),
    };
    let map = HeatMap {
        title: "Correlations of the numbers".to_owned(),
        labels: facts.columns.clone(),
        values: facts.matrix.clone(),
        when_empty: String::new(),
    };
    let row =
        |pair: &Pair| vec![pair.a.clone(), pair.b.clone(), format!("{:.3}", pair.correlation)];
    let columns = [word("column"), word("with"), number("correlation")].to_vec();
    let rows = facts.strong.iter().map(row).collect();
    let caption = "Strongest pairs".to_owned();
    Some(Part {
        id: "correlations",
        heading: "Correlations",
        gist,
        sentences: vec!["Pearson's correlation over the rows that have both values.".to_owned()],
        charts: vec![Chart { svg: map.svg(), is_wide: true }],
        tables: vec![Grid { caption, columns, rows, brief: BRIEF }],
    })
}

/// Returns the part about principal components.
pub(super) fn components(facts: &Components) -> Part {
    let all = plural(facts.components.len() as u64, "principal component");
    let few = facts.for_90_percent;
    let explain = if few == 1 { "explains" } else { "explain" };
    let row = |(place, one): (usize, &Component)| {
        let weights = one.loadings.iter();
        let weights: Vec<_> =
            weights.map(|it| format!("{} {:+.2}", it.column, it.weight)).collect();
        let shares = [percent(one.share), percent(one.cumulative)];
        [(place + 1).to_string()].into_iter().chain(shares).chain([weights.join(", ")]).collect()
    };
    let columns =
        [number("component"), number("share"), number("together"), word("weights")].to_vec();
    let shown = few.clamp(LEAST, DRAWN);
    let rows = facts.components.iter().take(shown).enumerate().map(row).collect();
    Part {
        id: "components",
        heading: "Principal components",
        gist: format!("{few} of {all} {explain} 90% of the variance."),
        sentences: vec![
            "Of the standardised numbers, with the columns that weigh most in each.".to_owned(),
        ],
        charts: vec![chart(variance(&facts.components, shown))],
        tables: vec![Grid { caption: String::new(), columns, rows, brief: 5 }],
    }
}

fn variance(components: &[Component], shown: usize) -> String {
    let bar = |(place, one): (usize, &Component)| Bar {
        label: (place + 1).to_string(),
        value: one.share,
        note: percent(one.cumulative),
        color: palette::BLUE,
    };
    let rows = components.iter().take(shown).enumerate().map(bar).collect();
    let title = "Variance explained · with those before".to_owned();
    Bars { title, rows, unit: Unit::Share, when_empty: String::new() }.svg()
}
