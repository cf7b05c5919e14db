//! `backfill`: the windows of a stretch of time, judged from what is indexed.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::alerts::BudgetState;
use crate::cli::{BackfillArgs, Mode};
use crate::config::Config;
use crate::detect::SharedList;
use crate::evaluate::Found;
use crate::jobs::Owner;
use crate::model::Timestamp;
use crate::pipeline::{Claimant, Stop, Summary};
use crate::scorer::State;
use crate::sources::search::{Reach, SearchInput, SearchSource, Stretch};
use crate::sources::{PartitionSource, Partitions, SourceError};
use crate::stores::{EmbeddedConfig, EmbeddedStore, Family, Namespace, SearchRequest, Sort, Store};

use super::common::{
    detect_context, now, open_enrichment, open_store, open_store_to_write, summary_text,
};
use super::feeds::read_lists;
use super::kafka::{Judge, Readable};
use super::models::learned_model;
use super::progress::Bar;
use super::run::signalled;
use super::{Outcome, logging, rules};

/// Documents that are read back at a time.
const PAGE_DOCUMENTS: usize = 1_000;

/// Scores what is indexed of a stretch of time.
pub(super) fn backfill(config: &Config, args: &BackfillArgs) -> anyhow::Result<Outcome> {
    logging::start(&config.logging);
    let begun = Instant::now();
    let done = judge_stretch(config, args)?;
    eprint!("{}", summary_text(&done.summary, begun.elapsed().as_secs_f64()));
    eprintln!("{}", done.plan.closing_line(args.dry_run));
    Ok(Outcome::Done)
}

/// Scores what is indexed of a stretch of time, stores nothing, and returns what was found from its
/// first window on.
pub(super) fn rehearse(config: &Config, from: Timestamp, to: Timestamp) -> anyhow::Result<Found> {
    let args = BackfillArgs { from, to, learned_by: None, dry_run: true };
    let done = judge_stretch(config, &args)?;
    let mut found = Found::default();
    for family in [Family::Anomalies, Family::Alerts] {
        let all = SearchRequest::new(family, done.plan.namespace.clone())
            .sort(Sort::ascending("@timestamp"))
            .sort(Sort::ascending("event.id"));
        done.target.scan(&all, PAGE_DOCUMENTS, &mut |hits| {
            hits.iter().for_each(|hit| found.note(&hit.source));
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

/// What came of a stretch of time.
struct Done {
    plan: Plan,
    summary: Summary,
    /// Where the results are.
    target: Arc<dyn Store>,
    /// Holds them after a dry run.
    _folder: Option<TempDir>,
}

fn judge_stretch(config: &Config, args: &BackfillArgs) -> anyhow::Result<Done> {
    let plan = Plan::new(config, args)?;
    let source = match args.dry_run {
        true => open_store(config)?,
        false => open_store_to_write(config)?,
    };
    let flows = plan.count(&*source)?;
    ensure!(
        flows > 0,
        "there are no flows from {} to {} in `{}`",
        plan.first,
        plan.to,
        index_name(config, &plan.namespace)
    );
    // Lives as long as the store in it.
    let folder = args.dry_run.then(tempfile::tempdir).transpose()?;
    let target: Arc<dyn Store> = match &folder {
        Some(folder) => Arc::new(EmbeddedStore::open(EmbeddedConfig::at(folder.path()))?),
        None => Arc::clone(&source),
    };
    let learned = match &args.learned_by {
        Some(group) => Some(plan.learned_by(Arc::clone(&source), group)?),
        None => None,
    };
    let input = Backfill { beginning: plan.beginning(learned), plan, source };
    let progress = Bar::new("scoring", Some(flows));
    let stop = stop_on_signal()?;
    let context = detect_context(config, SharedList::default(), learned_model(config, None)?);
    context.blacklist.set(Arc::new(read_lists(config, &[])?.0));
    let judge = Judge {
        config,
        store: Arc::clone(&target),
        context,
        rules: rules::load(config, &input.source)?,
        enrichment: open_enrichment(config)?,
        mode: Mode::Detect,
        since: Some(input.plan.from),
        stop: &stop,
        progress: &progress,
    };
    let judged = run(&judge, &input);
    progress.clear();
    let Some(summary) = judged? else {
        bail!("stopped before the end; the same command goes on from there");
    };
    Ok(Done { plan: input.plan, summary, target, _folder: folder })
}

/// Judges to the end; `None` when it was stopped before.
fn run(judge: &Judge<'_>, input: &Backfill) -> anyhow::Result<Option<Summary>> {
    let Some((keeper, snapshot)) = judge.wait_for(&judge.claimant(input)?)? else {
        return Ok(None);
    };
    let judged = judge.judge(input, &keeper, snapshot);
    if judge.stop.is_asked() {
        super::kafka::release(&keeper);
        return Ok(None);
    }
    let (summary, stored) = match judged {
        Ok(judged) => judged,
        Err(problem) => {
            super::kafka::release(&keeper);
            return Err(problem).context("the same command goes on from where it was");
        }
    };
    // From here on the same command begins anew.
    keeper.finish(now())?;
    judge.store.flush().context("flushing the store")?;
    stored?;
    Ok(Some(summary))
}

/// Which windows are judged, and what is read for them.
struct Plan {
    namespace: Namespace,
    /// Start of the first window whose results are stored.
    from: Timestamp,
    /// End of the last one.
    to: Timestamp,
    /// Start of the first window that is judged: alerts that are open at `from` began to be so.
    first: Timestamp,
    group: String,
    input: SearchInput,
    lateness_seconds: u32,
    clock_seconds: u32,
}

impl Plan {
    fn new(config: &Config, args: &BackfillArgs) -> anyhow::Result<Self> {
        let windows = &config.windows;
        let seconds = windows.host_seconds;
        ensure!(args.from < args.to, "`--from` must lie before `--to`");
        let from = args.from.floor(seconds);
        let whole = args.to.floor(seconds);
        let to = if whole == args.to { whole } else { whole.plus_seconds(seconds.into()) };
        let input = config.input.search.clone().unwrap_or_default();
        let wait = i64::from(windows.lateness_seconds) + i64::from(input.settle_seconds);
        let latest = now().plus_seconds(-wait);
        ensure!(
            to <= latest,
            "`--to` must lie {wait} seconds in the past: what belongs before {to} may still arrive"
        );
        // Windows of the gap, and the one that ends where it begins.
        let lead = i64::from(config.alerts.gap_seconds) + i64::from(seconds);
        let learned = args.learned_by.as_ref().map(|group| format!(" learned by {group}"));
        Ok(Self {
            namespace: config.namespace()?,
            from,
            to,
            first: from.plus_seconds(-lead).floor(seconds),
            group: format!("backfill {from} {to}{}", learned.unwrap_or_default()),
            input,
            lateness_seconds: windows.lateness_seconds,
            clock_seconds: windows.clock_ahead_seconds.saturating_add(windows.clock_behind_seconds),
        })
    }

    /// How many documents there are.
    fn count(&self, store: &dyn Store) -> anyhow::Result<u64> {
        let flows = SearchRequest::new(Family::Flows, self.namespace.clone());
        Ok(store.search(&flows.between(self.first, self.to).size(0))?.total)
    }

    /// What a group has learned.
    fn learned_by(&self, store: Arc<dyn Store>, group: &str) -> anyhow::Result<State> {
        let claimant = Claimant {
            store,
            namespace: self.namespace.clone(),
            group: group.to_owned(),
            owner: Owner::of_this_process().to_string(),
            lease_seconds: 0,
        };
        match claimant.look(now())? {
            Some(snapshot) => Ok(snapshot.state),
            None => bail!("the group `{group}` has learned nothing yet: it has no snapshot"),
        }
    }

    /// What is known before the first flow: windows before the first one are not judged, since they
    /// are not read whole. A group that stopped before the end is gone on with where it stopped;
    /// one that is further has only its knowledge to give.
    fn beginning(&self, learned: Option<State>) -> State {
        let state = |detectors| State {
            closed_through: self.first,
            positions: Vec::new(),
            log: None,
            detectors,
            alerts: Vec::new(),
            budget: BudgetState::default(),
        };
        match learned {
            None => state(Vec::new()),
            Some(learned) if learned.closed_through >= self.to => state(learned.detectors),
            Some(learned) => State {
                closed_through: learned.closed_through.max(self.first),
                positions: Vec::new(),
                log: None,
                ..learned
            },
        }
    }

    fn closing_line(&self, is_dry_run: bool) -> String {
        let Self { from, to, first, .. } = self;
        let what = if is_dry_run { "nothing is stored: a dry run of the" } else { "stored the" };
        format!(
            "  windows from {from} to {to}: {what} results; those from {first} on led up to them"
        )
    }
}

/// Raw flows of a stretch of time.
struct Backfill {
    plan: Plan,
    source: Arc<dyn Store>,
    beginning: State,
}

impl Readable for Backfill {
    fn group(&self) -> &str {
        &self.plan.group
    }

    fn lease_seconds(&self) -> u32 {
        self.plan.input.lease_seconds
    }

    fn snapshot_seconds(&self) -> u32 {
        self.plan.input.snapshot_seconds
    }

    fn beginning(&self) -> Option<State> {
        Some(self.beginning.clone())
    }

    fn open(
        &self,
        partitions: Partitions,
        _is_first_start: bool,
    ) -> Result<Box<dyn PartitionSource + '_>, SourceError> {
        let (band_documents, held_flows) = Stretch::USUAL;
        let stretch = Stretch {
            from: self.plan.first,
            to: self.plan.to,
            lateness_seconds: self.plan.lateness_seconds,
            clock_seconds: self.plan.clock_seconds,
            page_documents: self.plan.input.page_documents,
            band_documents,
            held_flows,
        };
        let (store, namespace) = (Arc::clone(&self.source), self.plan.namespace.clone());
        let reach = Reach::Between(stretch);
        Ok(Box::new(SearchSource::new(store, namespace, partitions, reach)))
    }
}

/// What is searched, for messages.
fn index_name(config: &Config, namespace: &Namespace) -> String {
    match config.output.cluster() {
        Some(_) => format!("logs-flowsentry.flow-{namespace}"),
        None => format!("flowsentry-flows-{namespace}-* in {}", config.store_path().display()),
    }
}

/// Asks to stop when a signal comes.
fn stop_on_signal() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the run time")?;
    let asked = stop.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(signalled());
        asked.ask();
    })?;
    Ok(stop)
}
