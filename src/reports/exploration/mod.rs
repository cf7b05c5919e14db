//! What a table holds, told to a person: as text for a terminal and as a page.
//!
//! ```text
//! Exploration ─parts→ sentences, charts, tables ─┬ text
//!                                                └ page (reports/exploration.html.hbs)
//! ```
//!
//! The page is one file without scripts and without anything from outside. Words and labels come
//! from data and may hold anything: they are cleaned and escaped here, never trusted.

mod columns;
mod groups;
mod hypotheses;
mod overview;
mod page;
mod part;
mod relations;
#[cfg(test)]
mod tests;
mod text;
mod words;

use crate::learn::explore::Exploration;

use super::ReportError;
use part::Part;

/// Where the rows of an exploration came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The names of the files.
    pub files: Vec<String>,
    /// Rows that were left out, in words; the first ones.
    pub rejected: Vec<String>,
}

/// Returns the summary for a terminal: aligned, one line a row, free of what steers a terminal.
pub fn exploration_text(found: &Exploration, origin: &Origin) -> String {
    text::text(found, origin, &parts(found, origin))
}

/// Returns the page.
///
/// # Errors
/// [`ReportError::Template`] when the template names something that the page does not have.
pub fn exploration_page(found: &Exploration, origin: &Origin) -> Result<String, ReportError> {
    page::page(found, origin, &parts(found, origin))
}

/// All parts in their order; those that were left out are absent.
fn parts(found: &Exploration, origin: &Origin) -> Vec<Part> {
    let parts = [
        Some(overview::part(found)),
        Some(columns::part(found)),
        relations::correlations(found),
        found.hypotheses.as_ref().map(|tests| hypotheses::part(found, tests)),
        found.components.as_ref().map(relations::components),
        found.kmeans.as_ref().map(|facts| groups::kmeans(found, facts)),
        found.dbscan.as_ref().map(|facts| groups::dbscan(found, facts)),
        Some(overview::remarks(found, origin)),
    ];
    parts.into_iter().flatten().collect()
}
