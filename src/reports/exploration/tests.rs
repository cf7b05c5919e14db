//! What the text and the page make of a table.

use std::fmt::Write as _;

use crate::learn::explore::{Exploration, ExploreParams};
use crate::learn::table::Table;
use crate::models::schema::Schema;

use super::{Origin, exploration_page, exploration_text};

const HOSTILE: &str = "</td><script>alert(1)</script>\u{1b}[31m\u{202e}{{{title}}}";

/// A hundred and twenty rows of connections, a third of them attacks, and a bad one.
fn rows(service: &str) -> String {
    let mut text = String::new();
    for row in 0..120u64 {
        let is_attack = row % 3 == 0;
        let (bytes, service) =
            if is_attack { (0, "private") } else { (200 + row * 37 % 500, service) };
        let (flag, label) = if is_attack { ("S0", "neptune") } else { ("SF", "normal") };
        let mixed = |column: u64| (row * 31 + column + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let rate = |column: u64| (mixed(column) >> 40) % 100;
        let rates: Vec<_> = (0..18).map(|column| format!("0.{:02}", rate(column))).collect();
        let _ = writeln!(
            text,
            "{},tcp,{service},{flag},{bytes},{}{},{},{},{label}",
            row % 5,
            bytes * 3,
            ",0".repeat(16),
            row % 50,
            rates.join(","),
        );
    }
    text + "0,tcp,http\n"
}

fn explored(text: &str, has_labels: bool) -> (Exploration, Origin) {
    let schema = Schema::built_in("kdd").unwrap();
    let read = if has_labels { Table::read } else { Table::read_unlabelled };
    let table = read(&schema, text.as_bytes()).unwrap();
    let rejected = table.rejected().samples.iter().map(ToString::to_string).collect();
    let found = Exploration::of(&table, &ExploreParams::default(), 42);
    (found, Origin { files: vec!["made.csv".to_owned()], rejected })
}

#[test]
fn the_text_is_short_and_aligned() {
    let (found, origin) = explored(&rows("http"), true);
    assert_eq!((found.rows, found.rejected), (120, 1));
    insta::assert_snapshot!(exploration_text(&found, &origin));
}

#[test]
fn the_page_brings_everything_along_and_runs_nothing() {
    let (found, origin) = explored(&rows("http"), true);
    let page = exploration_page(&found, &origin).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for part in ["rows", "columns", "correlations", "tests", "components", "kmeans", "dbscan"] {
        assert!(page.contains(&format!("<section class=\"card\" id=\"{part}\">")), "{part}");
        assert!(page.contains(&format!("href=\"#{part}\"")), "{part}");
    }
    assert!(page.contains(&found.checksum) && page.contains("has 3 cells"));
    assert!(page.matches("<svg ").count() > 20, "{}", page.matches("<svg ").count());
    let own = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["<script", "://", "src=", "url(", "@import", "<link", "<iframe"] {
        assert!(!own.contains(outside), "{outside}");
    }
}

#[test]
fn hostile_words_and_names_are_only_text() {
    let (mut found, mut origin) = explored(&rows(HOSTILE), true);
    found.schema = HOSTILE.to_owned();
    found.labels[0].name = HOSTILE.to_owned();
    found.classes[0].name = HOSTILE.to_owned();
    found.columns[0].name = HOSTILE.to_owned();
    found.correlations.columns[0] = HOSTILE.to_owned();
    found.notes.push(HOSTILE.to_owned());
    origin.files.push(HOSTILE.to_owned());
    origin.rejected.push(HOSTILE.to_owned());
    let page = exploration_page(&found, &origin).unwrap();
    assert!(page.matches("&lt;script&gt;").count() > 5, "shown, as text");
    for raw in ["<script", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    let text = exploration_text(&found, &origin);
    assert!(text.contains("<script>alert(1)</script>\u{fffd}[31m\u{fffd}"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn a_table_without_labels_has_no_classes_and_no_tests() {
    let (found, origin) = explored(&rows("http"), false);
    let page = exploration_page(&found, &origin).unwrap();
    assert!(!page.contains("id=\"tests\"") && !page.contains("Rows by class"));
    assert!(page.contains("all rows") && page.contains("labels were not read"));
    let text = exploration_text(&found, &origin);
    assert!(!text.contains("Normal or attack") && text.contains("K-means:"), "{text}");
}

#[test]
fn what_was_left_out_is_absent() {
    let schema = Schema::built_in("kdd").unwrap();
    let found = Exploration::of(&Table::empty(&schema), &ExploreParams::default(), 42);
    let page = exploration_page(&found, &Origin::default()).unwrap();
    for part in ["correlations", "tests", "components", "kmeans", "dbscan"] {
        assert!(!page.contains(&format!("id=\"{part}\"")), "{part}");
    }
    assert!(
        page.contains("too few rows")
            && exploration_text(&found, &Origin::default()).contains("0 rows")
    );
}
