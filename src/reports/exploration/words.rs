//! Numbers of an exploration as people read them.

use crate::charts::format::{count, percent};
use crate::charts::palette;

/// Below this a chance is no longer told from others.
const LEAST_CHANCE: f64 = 1e-300;

/// Returns a p value: `0.0498`, `3.2e-15`, `<1e-300`.
pub(super) fn chance(p: f64) -> String {
    match p {
        p if p < LEAST_CHANCE => "<1e-300".to_owned(),
        p if p < 0.001 => format!("{p:.1e}"),
        p => format!("{p:.4}"),
    }
}

/// Returns a part of a whole: `12.3%`; `–` where the whole is nothing.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { percent(part as f64 / whole as f64) }
}

/// Returns the share of attacks among some rows; `–` without labels.
pub(super) fn attack_share(attacks: Option<u64>, rows: u64) -> String {
    attacks.map_or_else(|| "–".to_owned(), |attacks| share(attacks, rows))
}

/// Returns a number of things: `1 row`, `2,000 rows`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {noun}{end}", count(number))
}

/// Returns names one after the other, the rest as a number: `a, b and 3 more`.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let shown = names.take(most).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Returns the colour of the class at a place of the schema.
pub(super) fn class_color(place: usize) -> &'static str {
    palette::CATEGORIES[place % palette::CATEGORIES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_short_and_never_nothing() {
        let shown = [0.0, 3.21e-15, 0.00012, 0.0498, 1.0].map(chance);
        assert_eq!(shown, ["<1e-300", "3.2e-15", "1.2e-4", "0.0498", "1.0000"]);
    }

    #[test]
    fn long_lists_end_in_a_number() {
        assert_eq!(list(["a", "b", "c"].into_iter(), 2), "a, b and 1 more");
        assert_eq!(list(["a"].into_iter(), 2), "a");
        assert_eq!(plural(1, "row") + &plural(0, "row"), "1 row0 rows");
    }
}
