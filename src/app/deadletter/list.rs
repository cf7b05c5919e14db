//! `deadletter list`: a table for a person, or letters as they are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Context;

use super::Letters;
use crate::app::Outcome;
use crate::app::common::{grouped, open_store, print_line};
use crate::cli::ListLettersArgs;
use crate::config::Config;
use crate::model::{Letter, LetterKind, Timestamp};
use crate::sinks::printable;
use crate::sources::LetterFilter;
use crate::stores::Direction;

/// The longest place and detail in the table.
const PLACE_CHARACTERS: usize = 48;
const DETAIL_CHARACTERS: usize = 100;

/// Lists the newest letters.
pub(in crate::app) fn list(config: &Config, args: &ListLettersArgs) -> anyhow::Result<Outcome> {
    let filter =
        LetterFilter { from: args.from, to: args.to, reason: args.reason.clone(), ids: Vec::new() };
    let mut newest = Newest::new(usize::from(args.limit));
    let letters = Letters::new(config, open_store);
    let is_by_time = config.dead_letters.index;
    let damaged = letters.read(&filter, Direction::Descending, &mut |mut letter| {
        if !args.json {
            letter.drop_bytes();
        }
        newest.put(letter);
        // By time, what comes now is older than all that is listed.
        match is_by_time && newest.are_more {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    print(&newest, args.json)?;
    if damaged > 0 {
        eprintln!("{} entries are no dead letters and are left out.", grouped(damaged));
    }
    if newest.letters.is_empty() {
        eprintln!("No dead letters.");
    }
    if newest.are_more {
        let shown = grouped(u64::from(args.limit));
        eprintln!("These are the newest {shown}; there are more: see `--limit`.");
    }
    Ok(Outcome::Done)
}

/// So many letters, each id once, by time.
struct Newest {
    letters: BTreeMap<(Timestamp, String), Letter>,
    limit: usize,
    are_more: bool,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { letters: BTreeMap::new(), limit, are_more: false }
    }

    fn put(&mut self, letter: Letter) {
        self.letters.insert((letter.time, letter.id.clone()), letter);
        if self.letters.len() > self.limit {
            self.letters.pop_first();
            self.are_more = true;
        }
    }
}

fn print(newest: &Newest, as_json: bool) -> anyhow::Result<()> {
    if !as_json && !newest.letters.is_empty() {
        print_line(&row(["TIME", "ID", "KIND", "REASON", "WHERE", "WHAT"]))?;
    }
    for letter in newest.letters.values().rev() {
        let line = match as_json {
            true => serde_json::to_string(letter).context("writing a letter as JSON")?,
            false => row_of(letter),
        };
        print_line(&line)?;
    }
    Ok(())
}

fn row_of(letter: &Letter) -> String {
    let time = letter.time.to_string().get(..19).unwrap_or_default().replace('T', " ");
    let place = match (letter.kind, letter.offset, letter.line) {
        (LetterKind::Document, ..) => {
            format!("{}/{}", letter.source, letter.document.as_deref().unwrap_or_default())
        }
        (LetterKind::Record, _, Some(line)) => format!("{}:{line}", letter.source),
        (LetterKind::Record, Some(offset), None) => format!("{}:{offset}", letter.source),
        (LetterKind::Record, None, None) => letter.source.clone(),
    };
    let kind = letter.kind.name();
    let place = end_of(&place, PLACE_CHARACTERS);
    let detail = beginning_of(&letter.detail, DETAIL_CHARACTERS);
    row([&time, &letter.id, kind, &letter.reason, &place, &detail])
}

fn row([time, id, kind, reason, place, what]: [&str; 6]) -> String {
    // Whoever can write into a topic decides on every word.
    let [id, reason] = [id, reason].map(|text| beginning_of(text, 32));
    let row = format!("{time:<19}  {id:<32}  {kind:<8}  {reason:<15}  {place:<24}  {what}");
    printable(row.trim_end())
}

fn beginning_of(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The end says more of a path or an id than its beginning.
fn end_of(text: &str, characters: usize) -> String {
    let count = text.chars().count();
    match count > characters {
        true => format!("…{}", text.chars().skip(count - characters).collect::<String>()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Origin;

    fn letter(seconds: i64, detail: &str) -> Letter {
        let time = Timestamp::from_seconds(seconds);
        let origin =
            Origin::Message { source: "flows/0", offset: 17, index: 0, time: Some(time), taken: 0 };
        Letter::new(&origin, ("not_json", detail), b"{", 1, time)
    }

    #[test]
    fn the_newest_are_kept_each_once() {
        let mut newest = Newest::new(2);
        for seconds in [5, 9, 5, 1, 7, 9] {
            newest.put(letter(seconds, ""));
        }
        let seconds: Vec<i64> = newest.letters.keys().map(|(time, _)| time.seconds()).collect();
        assert_eq!((seconds, newest.are_more), (vec![7, 9], true));
    }

    #[test]
    fn a_row_is_one_line_whatever_the_letter_says() {
        let mut hostile = letter(1_795_255_200, &format!("\u{1b}[2J\n{}", "x".repeat(500)));
        hostile.reason = "\r\u{9b}31m".to_owned();
        hostile.source = format!("{}\u{7}/0", "y".repeat(500));
        let row = row_of(&hostile);
        assert!(!row.chars().any(char::is_control) && row.chars().count() < 300, "{row}");
        assert!(row.starts_with("2026-11-21 10:00:00  "), "{row}");
    }
}
