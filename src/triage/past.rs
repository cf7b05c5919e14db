//! Exceptions on alerts that are stored already: what they hide, and what they would.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::{AlertRecord, Desk, TriageError, document_id};
use crate::alerts::{Exception, Rules};
use crate::model::{Kind, Severity, Timestamp};
use crate::stores::{Family, SearchRequest, Sort, StoreError};

/// How many alerts a dry run names.
const SAMPLES: usize = 10;

/// Whose exceptions an application is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All: the rules hold those of the settings of the workers.
    All,
    /// Those of the store. What the settings of a worker hide stays hidden: whoever types a command
    /// may have other settings.
    Stored,
}

/// What became of stored alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Alerts that were looked at.
    pub alerts: u64,
    /// Alerts that are hidden now and were not.
    pub hidden: u64,
    /// Alerts that are shown again.
    pub shown: u64,
    /// Alerts whose words were brought up to date.
    pub renamed: u64,
}

/// What an exception would hide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DryRun {
    /// Alerts that were looked at.
    pub alerts: u64,
    /// Alerts that it covers.
    pub covered: u64,
    /// Of these, alerts that another one hides already.
    pub hidden_already: u64,
    /// Covered ones by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Covered ones by severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// The newest covered ones.
    pub samples: Vec<AlertRecord>,
}

/// A document that is to say something else.
struct Wrong {
    alert: AlertRecord,
    wanted: Option<String>,
}

impl Desk {
    /// Brings `suppressed_by` of all stored alerts in line with `rules`, in both directions. May be
    /// repeated and done by several at once: the outcome is a function of the rules.
    ///
    /// # Errors
    /// When the store fails; some alerts may be done then.
    pub fn apply(&self, rules: &Rules, reach: Reach) -> Result<Applied, TriageError> {
        let (mut applied, mut wrong) = (Applied::default(), Vec::new());
        self.each_alert(None, &mut |alert| {
            applied.alerts += 1;
            let wanted = wanted(rules, reach, &alert, alert.suppressed_by.as_deref());
            if let Some(wanted) = wanted {
                wrong.push(Wrong { alert, wanted });
            }
        })?;
        for Wrong { alert, wanted: first_wanted } in wrong {
            let id = document_id(&alert.id, "alert")?;
            let mut was = None;
            let changed = self.change(&alert.index, &id, "alert", |stored| {
                let now = stored["flowsentry"]["alert"]["suppressed_by"].as_str();
                was = now.map(str::to_owned);
                let Some(wanted) = wanted(rules, reach, &alert, now) else { return Ok(None) };
                let words = wanted.map_or(Value::Null, Value::String);
                Ok(Some(json!({"flowsentry": {"alert": {"suppressed_by": words}}})))
            });
            match changed {
                Ok(false) => {}
                // Dropped after its days.
                Err(TriageError::Unknown { .. }) => {}
                Err(problem) => return Err(problem),
                Ok(true) => match (was, first_wanted) {
                    (None, _) => applied.hidden += 1,
                    (Some(_), None) => applied.shown += 1,
                    (Some(_), Some(_)) => applied.renamed += 1,
                },
            }
        }
        Ok(applied)
    }

    /// Says what `exception` would have hidden of the alerts that began at `since` or later.
    ///
    /// # Errors
    /// When the store fails.
    pub fn try_exception(
        &self,
        exception: &Exception,
        since: Timestamp,
    ) -> Result<DryRun, StoreError> {
        let mut run = DryRun::default();
        self.each_alert(Some(since), &mut |alert| {
            run.alerts += 1;
            if !exception.covers(alert.kind, alert.subject, alert.first) {
                return;
            }
            run.covered += 1;
            run.hidden_already += u64::from(alert.suppressed_by.is_some());
            *run.by_kind.entry(alert.kind).or_default() += 1;
            *run.by_severity.entry(alert.severity()).or_default() += 1;
            if run.samples.len() < SAMPLES {
                run.samples.push(alert);
            }
        })?;
        Ok(run)
    }

    /// Hands all stored alerts to `each`, the newest first.
    fn each_alert(
        &self,
        since: Option<Timestamp>,
        each: &mut dyn FnMut(AlertRecord),
    ) -> Result<(), StoreError> {
        let request: SearchRequest = self
            .request(Family::Alerts)
            .sort(Sort::descending("@timestamp"))
            .sort(Sort::ascending("event.id"))
            .source(AlertRecord::fields());
        let request = match since {
            Some(since) => request.between(since, Timestamp::MAX),
            None => request,
        };
        self.each_page(request, &mut |hits| {
            hits.iter().filter_map(AlertRecord::read).for_each(&mut *each);
            ControlFlow::Continue(())
        })
    }
}

/// What `suppressed_by` of an alert should say, if that is not what it says.
fn wanted(
    rules: &Rules,
    reach: Reach,
    alert: &AlertRecord,
    now: Option<&str>,
) -> Option<Option<String>> {
    let is_of_settings = now.is_some_and(|words| !Rules::is_of_store(words));
    if reach == Reach::Stored && is_of_settings {
        return None;
    }
    let wanted = rules.suppressed_by(alert.kind, alert.subject, alert.first);
    (wanted != now).then(|| wanted.map(str::to_owned))
}
