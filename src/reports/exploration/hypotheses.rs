//! Whether normal and attack rows differ.

use crate::charts::format::{count, measure, percent};
use crate::learn::explore::{Exploration, Hypotheses, NumberTest, WordTest};

use super::part::{Column, Grid, Part, detail, number, word};
use super::words::chance;

/// Tests that a terminal shows.
const BRIEF: usize = 8;

const NUMBERS: [Column; 9] = [
    word("column"),
    number("normal mean"),
    number("attack mean"),
    number("t (Welch)"),
    detail("degrees"),
    number("p (Welch)"),
    detail("t (Student)"),
    number("p (Student)"),
    word("differs"),
];

const WORDS: [Column; 6] = [
    word("column"),
    number("chi-square"),
    number("degrees"),
    number("p"),
    number("sparse cells"),
    word("go with it"),
];

/// Returns the part about the tests.
pub(super) fn part(found: &Exploration, tests: &Hypotheses) -> Part {
    let of_numbers = tests.numbers.iter().filter(|test| test.welch.is_significant).count();
    let of_words = tests.words.iter().filter(|test| test.is_significant).count();
    let gist = format!(
        "{of_numbers} of {} numbers differ in their mean between normal and attack rows; {of_words} of {} columns of words go with it (p < {}).",
        tests.numbers.len(),
        tests.words.len(),
        tests.alpha,
    );
    let mut numbers: Vec<&NumberTest> = tests.numbers.iter().collect();
    numbers.sort_by(|a, b| b.welch.t.abs().total_cmp(&a.welch.t.abs()));
    Part {
        id: "tests",
        heading: "Normal or attack",
        gist,
        sentences: sentences(found, tests),
        charts: Vec::new(),
        tables: vec![
            Grid {
                caption: "Numbers, the clearest first".to_owned(),
                columns: NUMBERS.to_vec(),
                rows: numbers.into_iter().map(number_row).collect(),
                brief: BRIEF,
            },
            Grid {
                caption: "Words".to_owned(),
                columns: WORDS.to_vec(),
                rows: tests.words.iter().map(word_row).collect(),
                brief: BRIEF,
            },
        ],
    }
}

fn sentences(found: &Exploration, tests: &Hypotheses) -> Vec<String> {
    let all = tests.numbers.len() + tests.words.len();
    let by_chance = tests.alpha * all as f64;
    let mut sentences = vec![
        "Numbers: is the mean of normal rows that of attack rows? The t test of Welch takes the variances as they are, that of Student for equal; p is the chance of such a difference where there is none.".to_owned(),
        "Words: is a row with one word as likely an attack as one with another? Pearson's chi-square; p is rough where more than a fifth of the cells is sparse (fewer than five rows expected).".to_owned(),
        format!(
            "Each column is tested by itself: of {all} tests some {} would be significant by chance alone.",
            measure(by_chance)
        ),
    ];
    if found.rows > 1_000 {
        sentences.push(
            "With so many rows small differences are significant, too: look at the means."
                .to_owned(),
        );
    }
    sentences
}

fn number_row(test: &NumberTest) -> Vec<String> {
    let NumberTest { column, normal_mean, attack_mean, pooled, welch } = test;
    vec![
        column.clone(),
        measure(*normal_mean),
        measure(*attack_mean),
        format!("{:.2}", welch.t),
        measure(welch.degrees),
        chance(welch.p),
        format!("{:.2}", pooled.t),
        chance(pooled.p),
        verdict(welch.is_significant),
    ]
}

fn word_row(test: &WordTest) -> Vec<String> {
    vec![
        test.column.clone(),
        measure(test.chi_square),
        count(test.degrees),
        chance(test.p),
        percent(test.sparse),
        verdict(test.is_significant),
    ]
}

fn verdict(is_significant: bool) -> String {
    if is_significant { "yes" } else { "no" }.to_owned()
}
