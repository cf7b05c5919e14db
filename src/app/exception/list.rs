//! `exception list`: a table for a person, or documents as they are.

use super::{Office, moment};
use crate::alerts::Exception;
use crate::app::Outcome;
use crate::app::common::{now, print_line};
use crate::cli::ListExceptionsArgs;
use crate::config::Config;
use crate::model::{Timestamp, one_line};
use crate::triage::StoredException;

/// The longest owner and comment in the table.
const CELL_CHARACTERS: usize = 40;

/// Lists those of the settings, then those of the store.
pub(super) fn list(config: &Config, args: &ListExceptionsArgs) -> anyhow::Result<Outcome> {
    let office = Office::open(config)?;
    let mut stored = office.desk.exceptions()?;
    stored.retain(|one| one.enabled || args.all);
    stored.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    if args.json {
        for one in &stored {
            print_line(&serde_json::to_string(one)?)?;
        }
        return Ok(Outcome::Done);
    }
    let of_settings = &config.alerts.exceptions;
    if stored.is_empty() && of_settings.is_empty() {
        eprintln!("No exceptions.");
        return Ok(Outcome::Done);
    }
    print_line(&row(["ID", "STATE", "UNTIL", "OWNER", "SCOPE AND COMMENT"]))?;
    let now = now();
    for exception in of_settings {
        print_line(&row_of("settings", true, exception, now))?;
    }
    for StoredException { id, enabled, exception, .. } in &stored {
        print_line(&row_of(id, *enabled, exception, now))?;
    }
    Ok(Outcome::Done)
}

fn row_of(id: &str, enabled: bool, exception: &Exception, now: Timestamp) -> String {
    let state = match (enabled, exception.expires) {
        (false, _) => "removed",
        (true, Some(end)) if end <= now => "ended",
        (true, _) => "in force",
    };
    let until = exception.expires.map_or("never".to_owned(), moment);
    let text =
        |text: &Option<String>| one_line(text.as_deref().unwrap_or_default(), CELL_CHARACTERS);
    let what = format!("{}  {}", exception.scope(), text(&exception.comment));
    row([id, state, &until, &text(&exception.owner), &what])
}

fn row([id, state, until, owner, what]: [&str; 5]) -> String {
    let id = one_line(id, 12);
    format!("{id:<12}  {state:<8}  {until:<19}  {owner:<12}  {what}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_whatever_people_wrote() {
        let hostile = Exception {
            source: crate::alerts::parse_network("10.0.0.0/8").ok(),
            owner: Some("\u{1b}[31m\n".repeat(50)),
            comment: Some("x\r".repeat(500)),
            ..Exception::default()
        };
        let row = row_of("abc", true, &hostile, Timestamp::default());
        assert!(!row.chars().any(char::is_control) && row.chars().count() < 200, "{row}");
        assert!(row.contains("in force  never") && row.contains("any kind from 10.0.0.0/8"));
    }
}
