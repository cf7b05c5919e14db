//! `exception`: what is known to be harmless.

mod list;

use std::sync::Arc;

use anyhow::{Context, bail};

use super::Outcome;
use super::common::{grouped, now, open_store, open_store_to_write, print_line};
use crate::alerts::{BudgetState, Exception, Settings};
use crate::cli::{AddExceptionArgs, ExceptionWhat, ScopeArgs, TestExceptionArgs, WhyArgs};
use crate::config::Config;
use crate::model::{AlertStatus, Timestamp};
use crate::pipeline::Claimant;
use crate::sinks::printable;
use crate::stores::{Store, StoreError};
use crate::triage::{Applied, Case, Desk, DryRun, Known, Reach, Signed, TriageError};

/// Does what is asked for.
pub(super) fn exception(config: &Config, what: &ExceptionWhat) -> anyhow::Result<Outcome> {
    match what {
        ExceptionWhat::Add(args) => add(config, args),
        ExceptionWhat::List(args) => list::list(config, args),
        ExceptionWhat::Remove(args) => remove(config, &args.id),
        ExceptionWhat::Test(args) => test(config, args),
        ExceptionWhat::Why(args) => why(config, args),
    }
}

/// A store that a command works on, with its desk.
pub(super) struct Office {
    pub(super) store: Arc<dyn Store>,
    pub(super) desk: Desk,
}

impl Office {
    /// Opens it to read.
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        Self::of(config, open_store(config))
    }

    /// Opens it to write.
    pub(super) fn open_to_write(config: &Config) -> anyhow::Result<Self> {
        Self::of(config, open_store_to_write(config))
    }

    fn of(config: &Config, opened: anyhow::Result<Arc<dyn Store>>) -> anyhow::Result<Self> {
        let store = opened.map_err(|error| match error.downcast_ref::<StoreError>() {
            Some(StoreError::Locked { .. }) => error.context(
                "exceptions and feedback in an embedded store can be used only while no \
                 `flowsentry run` has it open: stop that first",
            ),
            _ => error,
        })?;
        let desk = Desk::new(Arc::clone(&store), config.namespace()?);
        Ok(Self { store, desk })
    }

    /// Finds an alert or anomaly.
    pub(super) fn find(&self, id: &str) -> anyhow::Result<Case> {
        match self.desk.find(id)? {
            Some(case) => Ok(case),
            None => Err(TriageError::Unknown {
                what: "alert or anomaly",
                id: printable(&id.chars().take(64).collect::<String>()),
            }
            .into()),
        }
    }

    /// Lets other programs see what was written.
    pub(super) fn close(self) -> anyhow::Result<Outcome> {
        self.store.flush().context("flushing the store")?;
        Ok(Outcome::Done)
    }
}

/// The account that this program runs under.
pub(super) fn account() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn add(config: &Config, args: &AddExceptionArgs) -> anyhow::Result<Outcome> {
    let office = Office::open_to_write(config)?;
    let now = now();
    let mut exception = scope(&office, &args.scope)?;
    exception.expires = args.until.moment(now);
    if exception.expires.is_some_and(|end| end <= now) {
        eprintln!("note: it has ended already: it covers alerts of the past alone.");
    }
    let signed =
        Signed { owner: args.owner.clone(), comment: args.comment.clone(), by: account(), at: now };
    let stored = office.desk.add_exception(exception, signed)?;
    let what = if stored.version == 1 { "Added" } else { "Changed" };
    let until = until_words(stored.exception.expires);
    print_line(&format!("{what} exception {}: {}, {until}.", stored.id, stored.exception))?;
    print_line(&applied_words(&apply(config, &office)?))?;
    office.close()
}

fn remove(config: &Config, id: &str) -> anyhow::Result<Outcome> {
    let office = Office::open_to_write(config)?;
    let removed = office.desk.remove_exception(id, &account(), now())?;
    print_line(&format!("Removed exception {}: {}.", removed.id, removed.exception))?;
    print_line(&applied_words(&apply(config, &office)?))?;
    office.close()
}

/// Brings stored alerts in line with the exceptions of the store.
fn apply(config: &Config, office: &Office) -> anyhow::Result<Applied> {
    let settings = Settings { exceptions: Vec::new(), ..config.alerts.clone() };
    let rules = office.desk.rules(&settings)?;
    office.desk.apply(&rules, Reach::Stored).context("bringing stored alerts in line")
}

fn applied_words(applied: &Applied) -> String {
    let Applied { alerts, hidden, shown, .. } = *applied;
    let [alerts, hidden, shown] = [alerts, hidden, shown].map(grouped);
    format!(
        "Of {alerts} stored alerts {hidden} are hidden now that were not, {shown} are shown again."
    )
}

/// The scope that is asked for, completed from an alert or anomaly.
fn scope(office: &Office, args: &ScopeArgs) -> anyhow::Result<Exception> {
    let mut exception = Exception {
        kind: args.kind,
        source: args.source,
        destination: args.destination,
        exporter: args.exporter,
        ..Exception::default()
    };
    if let Some(id) = &args.from_anomaly {
        let case = office.find(id)?;
        let of = Exception::of(case.kind(), case.subject());
        exception.kind = exception.kind.or(of.kind);
        exception.source = exception.source.or(of.source);
        exception.destination = exception.destination.or(of.destination);
        exception.exporter = exception.exporter.or(of.exporter);
    }
    if exception.hides_everything() {
        bail!(
            "say what is harmless: `--from-anomaly ID`, or a scope of `--kind`, `--source`, \
             `--destination`, `--exporter`"
        );
    }
    Ok(exception)
}

fn test(config: &Config, args: &TestExceptionArgs) -> anyhow::Result<Outcome> {
    let office = Office::open(config)?;
    let exception = scope(&office, &args.scope)?;
    let since = now().plus_seconds(-i64::from(args.days) * 86_400);
    let run = office.desk.try_exception(&exception, since)?;
    for line in dry_run_lines(&exception, args.days, &run) {
        print_line(&printable(&line))?;
    }
    Ok(Outcome::Done)
}

fn dry_run_lines(exception: &Exception, days: u32, run: &DryRun) -> Vec<String> {
    let counts = |pairs: Vec<(String, u64)>| {
        let words = pairs.into_iter().map(|(word, count)| format!("{word} {}", grouped(count)));
        words.collect::<Vec<_>>().join(", ")
    };
    let already = match run.hidden_already {
        0 => String::new(),
        count => format!(" ({} of them are hidden already)", grouped(count)),
    };
    let mut lines = vec![format!(
        "{}: would have hidden {} of the {} alerts of the last {days} days{already}.",
        exception.scope(),
        grouped(run.covered),
        grouped(run.alerts),
    )];
    if run.covered == 0 {
        return lines;
    }
    let kinds = run.by_kind.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
    lines.push(format!("  kinds      {}", counts(kinds)));
    let severities = run.by_severity.iter().rev();
    let severities = severities.map(|(word, count)| (word.to_string(), *count)).collect();
    lines.push(format!("  severity   {}", counts(severities)));
    for alert in &run.samples {
        lines.push(format!(
            "  {}  {}  {:<8}  {:>3.0}  {} {}",
            moment(alert.first),
            alert.id,
            alert.severity().name(),
            alert.score,
            alert.kind,
            alert.subject,
        ));
    }
    let more = run.covered.saturating_sub(run.samples.len() as u64);
    if more > 0 {
        lines.push(format!("  and {} more", grouped(more)));
    }
    lines
}

fn why(config: &Config, args: &WhyArgs) -> anyhow::Result<Outcome> {
    let office = Office::open(config)?;
    let case = office.find(&args.id)?;
    print_line(&head_of(&case))?;
    let budget = budget_of(config, &office)?;
    let known = Known { settings: &config.alerts, budget: budget.as_ref() };
    for line in office.desk.why(&case, &known)? {
        print_line(&printable(&line))?;
    }
    Ok(Outcome::Done)
}

fn head_of(case: &Case) -> String {
    match case {
        Case::Alert(alert) => {
            let status = if alert.is_open() { &alert.status } else { AlertStatus::Closed.name() };
            let (first, last) = (moment(alert.first), moment(alert.last));
            let (kind, subject) = (alert.kind, alert.subject);
            printable(&format!(
                "Alert {}: {kind} {subject}, {first} to {last}, score {:.0}, {status}.",
                alert.id, alert.score
            ))
        }
        Case::Anomaly(anomaly) => {
            let start = moment(anomaly.start);
            format!("Anomaly {}: {}, {start}, {} s.", anomaly.id, anomaly.subject, anomaly.seconds)
        }
    }
}

/// What the budget of the worker of these settings knew when it kept its position last.
fn budget_of(config: &Config, office: &Office) -> anyhow::Result<Option<BudgetState>> {
    let group = match (&config.input.kafka, &config.input.search) {
        (Some(kafka), _) => match &kafka.partials_topic {
            Some(topic) => format!("{} by way of {topic}", kafka.group_id),
            None => kafka.group_id.clone(),
        },
        (None, Some(search)) => search.group_id.clone(),
        (None, None) => return Ok(None),
    };
    let claimant = Claimant {
        store: Arc::clone(&office.store),
        namespace: config.namespace()?,
        group,
        owner: String::new(),
        lease_seconds: 0,
    };
    // A person asks: what cannot be read is left out.
    let snapshot = claimant.look(now()).unwrap_or_default();
    Ok(snapshot.map(|snapshot| snapshot.state.budget))
}

/// `until 2026-12-31 00:00:00`, or that there is no end.
pub(super) fn until_words(expires: Option<Timestamp>) -> String {
    expires.map_or("without end".to_owned(), |time| format!("until {}", moment(time)))
}

/// A time by the second, for a person.
pub(super) fn moment(time: Timestamp) -> String {
    time.to_string().get(..19).unwrap_or_default().replace('T', " ")
}
