//! Why an alert is hidden or not, and why an anomaly became no alert.

use super::record::{AlertRecord, AnomalyRecord, Case};
use super::{Desk, StoredException, TriageError};
use crate::alerts::{BudgetState, CRITICAL_SCORE, Exception, Rules, Settings, Shift};
use crate::model::{Kind, Subject, Timestamp};
use crate::stores::{Family, Filter};

/// How many near misses are told.
const NEAREST: usize = 3;

/// What is known beside the store.
pub struct Known<'a> {
    /// The settings of the worker.
    pub settings: &'a Settings,
    /// What the budget of the worker knew when it kept its position last.
    pub budget: Option<&'a BudgetState>,
}

impl Desk {
    /// Explains a case, one sentence a line.
    ///
    /// # Errors
    /// When the store fails.
    pub fn why(&self, case: &Case, known: &Known<'_>) -> Result<Vec<String>, TriageError> {
        let rules = self.rules(known.settings)?;
        let stored = self.exceptions()?;
        let mut lines = Vec::new();
        match case {
            Case::Alert(alert) => {
                explain_alert(alert, &rules, &stored, &mut lines);
                tell_shift(&rules, alert.kind, alert.subject, &mut lines);
            }
            Case::Anomaly(anomaly) => {
                for (kind, score) in &anomaly.kinds {
                    self.explain_anomaly(anomaly, (*kind, *score), &rules, known, &mut lines)?;
                }
            }
        }
        Ok(lines)
    }

    /// Why an anomaly is no alert of one of its kinds, or which one it is part of.
    fn explain_anomaly(
        &self,
        anomaly: &AnomalyRecord,
        (kind, score): (Kind, f64),
        rules: &Rules,
        known: &Known<'_>,
        lines: &mut Vec<String>,
    ) -> Result<(), TriageError> {
        let subject = anomaly.subject;
        if !anomaly.folds_into(kind) {
            let (subjects, seconds) = (kind.subject_type().name(), kind.window_seconds());
            lines.push(format!(
                "{kind}: no alert, because its alerts are about a {subjects} over {seconds} s."
            ));
            return Ok(());
        }
        let explained = anomaly.kinds.iter().find(|(other, _)| kind.is_explained_by(*other));
        if let Some((other, _)) = explained {
            lines.push(format!("{kind}: no alert, because {other} says the same and more."));
            return Ok(());
        }
        if let Some(alert) = self.alert_around(anomaly, kind)? {
            let hidden = alert.suppressed_by.as_ref();
            let hidden = hidden.map_or(String::new(), |by| format!(", hidden by {by}"));
            lines.push(format!(
                "{kind}: part of the alert {} ({}{hidden}); `exception why {}` tells of it.",
                alert.id, alert.status, alert.id
            ));
            return Ok(());
        }
        let minimum = known.settings.minimum_score;
        let shift = rules.shift(kind, subject);
        let needed = match shift {
            None => minimum,
            Some(Shift::Raised(score)) => minimum.max(score),
            Some(Shift::Lowered(score)) => minimum.min(score),
        };
        if score < needed {
            let by = if shift.is_some() { "feedback" } else { "`alerts.minimum_score`" };
            lines.push(format!(
                "{kind}: no alert, because its score {score:.1} is below {needed:.1} ({by})."
            ));
            return Ok(());
        }
        lines.push(format!("{kind}: no alert, though its score {score:.1} reaches {needed:.1}."));
        if score >= CRITICAL_SCORE {
            lines.push("  It is critical, which needs no room: it was judged by other settings, or its alert is past its days.".to_owned());
            return Ok(());
        }
        tell_budget(kind, score, known, lines);
        Ok(())
    }

    /// The stored alert of a kind that an anomaly was folded into.
    fn alert_around(
        &self,
        anomaly: &AnomalyRecord,
        kind: Kind,
    ) -> Result<Option<AlertRecord>, TriageError> {
        let field = |name: &str| format!("flowsentry.alert.{name}");
        let began = Filter::between(field("first"), Timestamp::MIN, anomaly.end);
        let request = self
            .request(Family::Alerts)
            .filter(Filter::term(field("kind"), kind.name()))
            .filter(Filter::term(field("subject.type"), anomaly.subject.subject_type().name()))
            .filter(Filter::term(field("subject.value"), anomaly.subject.to_string()))
            .filter(began)
            .filter(Filter::at_least(field("last"), anomaly.end))
            .size(1);
        let hits = self.store.search(&request)?.hits;
        Ok(hits.first().and_then(AlertRecord::read))
    }
}

fn explain_alert(
    alert: &AlertRecord,
    rules: &Rules,
    stored: &[StoredException],
    lines: &mut Vec<String>,
) {
    let (kind, subject, first) = (alert.kind, alert.subject, alert.first);
    let covering = rules.suppressed_by(kind, subject, first);
    match (&alert.suppressed_by, covering) {
        (Some(by), _) => {
            lines.push(format!("Hidden by {by}."));
            if covering.is_none() {
                lines.push("  No exception of the store or of these settings covers it now: a worker with other settings hides it, or the change is under way.".to_owned());
            }
        }
        (None, Some(by)) => {
            lines.push(format!("Shown, but covered by {by}: the change is under way."));
        }
        (None, None) => lines.push("Not hidden by any exception.".to_owned()),
    }
    for one in stored.iter().filter(|one| !one.enabled) {
        if one.exception.covers(kind, subject, first) {
            lines.push(format!(
                "The exception {} ({}) would hide it, but was removed at {} by {}.",
                one.id,
                one.exception.scope(),
                one.changed,
                one.changed_by
            ));
        }
    }
    if alert.suppressed_by.is_none() {
        tell_nearest(rules, kind, subject, first, lines);
    }
}

/// The exceptions of which the least is missing, and what.
fn tell_nearest(
    rules: &Rules,
    kind: Kind,
    subject: Subject,
    first: Timestamp,
    lines: &mut Vec<String>,
) {
    let misses = |(words, exception): (&str, &Exception)| {
        (exception.misses(kind, subject, first), words.to_owned())
    };
    let mut near: Vec<_> = rules.exceptions().map(misses).collect();
    near.retain(|(misses, _)| !misses.is_empty());
    near.sort_by_key(|(misses, _)| misses.len());
    for (misses, words) in near.iter().take(NEAREST) {
        lines.push(format!("Not covered by {words}: {}.", misses.join("; ")));
    }
    if near.len() > NEAREST {
        lines.push(format!("{} more exceptions do not cover it.", near.len() - NEAREST));
    }
}

fn tell_shift(rules: &Rules, kind: Kind, subject: Subject, lines: &mut Vec<String>) {
    let text = match rules.shift(kind, subject) {
        None => return,
        Some(Shift::Raised(score)) => format!(
            "Feedback (benign): {kind} of {subject} needs a score of {score:.1} to open an alert."
        ),
        Some(Shift::Lowered(score)) => format!(
            "Feedback (attack): {kind} of {subject} opens an alert from a score of {score:.1} on."
        ),
    };
    lines.push(text);
}

fn tell_budget(kind: Kind, score: f64, known: &Known<'_>, lines: &mut Vec<String>) {
    let per_day = known.settings.budget_per_day;
    if per_day == 0 {
        lines.push("  There is no budget: it was judged by other settings.".to_owned());
        return;
    }
    let Some(facts) = known.budget.and_then(|budget| budget.of_kind(kind)) else {
        lines.push(format!(
            "  The budget of {per_day} alerts a day may have held it back; no worker has kept a \
             position that tells more."
        ));
        return;
    };
    lines.push(format!(
        "  The budget: {:.1} candidates of {kind} a day for a share of {:.1} of {per_day}; {} opened \
         in the last 24 h.",
        facts.candidates_per_day, facts.share, facts.opened
    ));
    let now = if score < facts.threshold {
        format!("  A score of {:.1} is needed now.", facts.threshold)
    } else if facts.has_room {
        "  By what is known now it would open: there was no room then.".to_owned()
    } else {
        "  Its score would be enough, but the share is used up for now.".to_owned()
    };
    lines.push(now);
}
