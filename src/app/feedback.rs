//! `feedback`: harmless, or an attack.

use anyhow::bail;

use super::Outcome;
use super::common::{now, print_line};
use super::exception::{Office, account, moment};
use crate::alerts::{CRITICAL_SCORE, Shift, Verdict};
use crate::cli::{FeedbackArgs, FeedbackWhat, ListFeedbackArgs};
use crate::config::Config;
use crate::model::{Kind, Subject, one_line};
use crate::triage::{GivenFeedback, Signed};

/// Does what is asked for.
pub(super) fn feedback(config: &Config, args: &FeedbackArgs) -> anyhow::Result<Outcome> {
    match (&args.what, &args.id, args.verdict) {
        (Some(FeedbackWhat::List(args)), ..) => list(config, args),
        (Some(FeedbackWhat::Revert(args)), ..) => revert(config, args.version),
        (None, Some(id), Some(verdict)) => give(config, args, id, verdict),
        (None, ..) => bail!("say of which alert, and whether it is benign or an attack"),
    }
}

fn give(
    config: &Config,
    args: &FeedbackArgs,
    id: &str,
    verdict: Verdict,
) -> anyhow::Result<Outcome> {
    let office = Office::open_to_write(config)?;
    let case = office.find(id)?;
    let by = account();
    let owner = args.owner.clone().unwrap_or_else(|| by.clone());
    let signed = Signed { owner, comment: args.comment.clone(), by, at: now() };
    let given = office.desk.give_feedback(&case, verdict, signed)?;
    print_line(&format!("Feedback {}: {} is {}.", given.version, given.of, verdict.name()))?;
    print_line(&shift_words(config, &office, case.kind(), case.subject())?)?;
    if verdict == Verdict::Benign && given.score >= CRITICAL_SCORE {
        eprintln!(
            "note: it was critical, and such alerts open all the same; `flowsentry exception add \
             --from-anomaly {}` hides them.",
            given.of
        );
    }
    office.close()
}

fn revert(config: &Config, version: u64) -> anyhow::Result<Outcome> {
    let office = Office::open_to_write(config)?;
    let reverted = office.desk.revert_feedback(version, &account(), now())?;
    let GivenFeedback { of, verdict, kind, .. } = &reverted;
    let of = one_line(of, 64);
    print_line(&format!("Took feedback {version} back: {of} is {}.", verdict.name()))?;
    if let Some(subject) = reverted.about() {
        print_line(&shift_words(config, &office, *kind, subject)?)?;
    }
    office.close()
}

/// What the threshold of a kind and subject is now.
fn shift_words(
    config: &Config,
    office: &Office,
    kind: Kind,
    subject: Subject,
) -> anyhow::Result<String> {
    let shift = office.desk.rules(&config.alerts)?.shift(kind, subject);
    let words = match shift {
        None => "its usual score again".to_owned(),
        Some(Shift::Raised(score)) => format!("a score of {score:.1} at least"),
        Some(Shift::Lowered(score)) => format!("a score of {score:.1}, whatever the budget's"),
    };
    Ok(format!("From the next window on {kind} of {subject} needs {words} to open an alert."))
}

fn list(config: &Config, args: &ListFeedbackArgs) -> anyhow::Result<Outcome> {
    let office = Office::open(config)?;
    let given = office.desk.feedback()?;
    if given.is_empty() && !args.json {
        eprintln!("No feedback.");
        return Ok(Outcome::Done);
    }
    if !args.json {
        print_line("VERSION  TIME                 VERDICT  STATE     SCORE  WHAT")?;
    }
    for entry in &given {
        let line = match args.json {
            true => serde_json::to_string(entry)?,
            false => row_of(entry),
        };
        print_line(&line)?;
    }
    Ok(Outcome::Done)
}

fn row_of(entry: &GivenFeedback) -> String {
    let state = if entry.reverted.is_some() { "reverted" } else { "counts" };
    let what = format!(
        "{} {} ({}: {})",
        entry.kind,
        one_line(&entry.subject, 80),
        one_line(&entry.owner, 40),
        one_line(&entry.comment, 60)
    );
    format!(
        "{:<7}  {:<19}  {:<7}  {state:<8}  {:>5.1}  {what}",
        entry.version,
        moment(entry.at),
        entry.verdict.name(),
        entry.score
    )
}
