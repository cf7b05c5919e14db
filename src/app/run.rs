//! `run`: the worker.
//!
//! One blocking task scores; beside it jobs run by the clock: health checks, reports, retention,
//! lists of addresses, and the reload of changed files. A signal stops the input, everything is awaited, nothing is
//! left half written.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::alerts::SharedRules;
use crate::cli::{Mode, RunArgs};
use crate::config::Config;
use crate::detect::SharedList;
use crate::detect::learned::SharedModel;
use crate::enrich::{Enricher, SharedEnricher};
use crate::feeds;
use crate::jobs::{
    Cadence, Election, Job, Owner, Runner, Schedule, Watermark, drive, is_asked_within,
};
use crate::model::Timestamp;
use crate::pipeline::{Finite, Input, Stop, Stream, Summary, score_files, score_stream};
use crate::sinks::{EnrichedSink, SinkError, StoreSink, printable};
use crate::stores::Store;

use super::classify::Classifying;
use super::common::{
    Patience, ScorerFactory, detect_context, ensure_set_up, now, open_cluster, open_dead_letters,
    open_enrichment, present, store_on, withheld_words,
};
use super::feeds::{Refreshing, read_lists};
use super::kafka::{Judge, Readable, Topics};
use super::logged::LoggedProgress;
use super::models::{LearnedWatch, learned_model};
use super::reload::Watched;
use super::rules::{self, Refresher};
use super::search::Indexed;
use super::{Outcome, health, logging, report, retention, retrain};

/// How often files are looked at for a change.
const RELOAD_PAUSE: Duration = Duration::from_secs(5);
/// A model that could not be learned anew for so long waits for the next time.
const RETRAIN_CATCH_UP_HOURS: u32 = 24;
/// How often retention is applied.
const RETENTION_PAUSE: Duration = Duration::from_secs(3600);

/// Runs until the input ends (`--once`) or a signal comes.
pub(super) fn run(config: &Config, args: &RunArgs) -> anyhow::Result<Outcome> {
    logging::start(&config.logging);
    let input = &config.input;
    let classifies = !config.models.classify.is_empty();
    match (&input.files, &input.kafka, &input.search) {
        (None, None, None) if args.once || !classifies => bail!(
            "there is no input: set `input.kafka.brokers`, `input.search` or `input.files.paths`"
        ),
        (Some(files), ..) if args.once && files.follow => {
            bail!("`--once` needs an input that ends: set `input.files.follow` to false");
        }
        (_, Some(_), _) if args.once => {
            bail!("`--once` needs an input that ends: Kafka has no end");
        }
        (.., Some(_)) if args.once => {
            bail!("`--once` needs an input that ends: `flowsentry backfill` ends");
        }
        _ => {}
    }
    let cluster = open_cluster(config, Patience::OfSettings)?;
    cluster.as_ref().map_or(Ok(()), |cluster| ensure_set_up(cluster, config))?;
    let drops_old = retention::drops_old_itself(cluster.as_ref())?;
    let store = store_on(cluster, config)?;
    let worker = Arc::new(Worker {
        config: config.clone(),
        drops_old,
        rules: rules::load(config, &store)?,
        learned: learned_model(config, Some(&store))?,
        store,
        blacklist: SharedList::default(),
        enrichment: open_enrichment(config)?,
        mode: args.mode,
        watermark: Watermark::default(),
    });
    worker.load_blacklist()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the run time")?;
    runtime.block_on(worker.run(args.once))
}

struct Worker {
    config: Config,
    store: Arc<dyn Store>,
    drops_old: bool,
    blacklist: SharedList,
    /// The learned model of hosts.
    learned: SharedModel,
    /// What people decided about alerts.
    rules: SharedRules,
    enrichment: Option<SharedEnricher>,
    mode: Mode,
    /// How far the input has been judged; jobs wait for it.
    watermark: Watermark,
}

/// What came of an input.
struct Scored {
    summary: Summary,
    /// Whether the store took every document.
    stored: Result<(), SinkError>,
}

impl Worker {
    async fn run(self: Arc<Self>, once: bool) -> anyhow::Result<Outcome> {
        let stop = Stop::default();
        let (ask_jobs, asked) = watch::channel(false);
        let scoring = {
            let (worker, stop) = (Arc::clone(&self), stop.clone());
            tokio::task::spawn_blocking(move || worker.score(stop))
        };
        let jobs = self.start_jobs(&asked, &stop)?;
        info!(namespace = %self.config.namespace, "flowsentry runs");
        let outcome = self.wait(scoring, &stop, once).await;
        stop.ask();
        // Receivers that are gone need no word.
        let _ = ask_jobs.send(true);
        for job in jobs {
            job.await.context("a job failed to end")?;
        }
        self.store.flush().context("flushing the store")?;
        outcome.map(|()| Outcome::Done)
    }

    /// Waits for the end of the input; without `--once` for a signal as well.
    async fn wait(
        &self,
        mut scoring: JoinHandle<anyhow::Result<Scored>>,
        stop: &Stop,
        once: bool,
    ) -> anyhow::Result<()> {
        let mut ended = None;
        tokio::select! {
            result = &mut scoring => ended = Some(result),
            () = signalled() => info!("stopping"),
        }
        let scored = match ended {
            Some(result) => result,
            None => {
                stop.ask();
                scoring.await
            }
        };
        let scored = scored.context("the scoring failed to end")??;
        log_summary(&scored.summary);
        if once {
            return Ok(scored.stored?);
        }
        if let Err(error) = &scored.stored {
            error!(%error, "not everything is stored");
        }
        if !stop.is_asked() {
            info!("the input has ended; jobs go on until a signal comes");
            signalled().await;
        }
        Ok(())
    }

    fn score(&self, stop: Stop) -> anyhow::Result<Scored> {
        let config = &self.config;
        let context = detect_context(&self.config, self.blacklist.clone(), self.learned.clone());
        let progress = LoggedProgress::new(self.watermark.clone());
        if let Some(input) = self.partitions()? {
            let judge = Judge {
                config,
                store: Arc::clone(&self.store),
                context,
                rules: self.rules.clone(),
                enrichment: self.enrichment.clone(),
                mode: self.mode,
                since: None,
                stop: &stop,
                progress: &progress,
            };
            let kafka = config.input.kafka.as_ref();
            let shared = kafka.and_then(|kafka| Some((kafka, kafka.partials_topic.as_ref()?)));
            let (summary, stored) = match shared {
                Some((kafka, topic)) => judge.run_shared(kafka, topic)?,
                None => judge.run(&*input)?,
            };
            return Ok(Scored { summary, stored });
        }
        let Some(files) = &config.input.files else {
            // Records for models alone.
            while !stop.wait(RELOAD_PAUSE) {}
            return Ok(Scored { summary: Summary::default(), stored: Ok(()) });
        };
        let input = Input {
            paths: files.paths.clone(),
            format: config.format()?,
            follow: files.follow,
            stop,
            present: Some(present(config)),
            capture: config.input.capture,
            ..Input::default()
        };
        let rules = Some(self.rules.clone());
        let factory = ScorerFactory { config, context, mode: self.mode, rules };
        let store = || Ok(Arc::clone(&self.store));
        let mut dead = open_dead_letters(config, &config.dead_letters, &store, None)?;
        let sink =
            StoreSink::new(Arc::clone(&self.store), config.namespace()?).with_letters(dead.clone());
        let mut sink = EnrichedSink::new(sink, self.enrichment.clone());
        if files.follow {
            let stream = Stream {
                input: &input,
                leap_seconds: config.windows.leap_seconds,
                progress: &progress,
            };
            let summary = score_stream(&stream, &mut factory.make(), &mut sink, &mut dead)?;
            return Ok(Scored { summary, stored: sink.inner().verdict() });
        }
        let run = Finite {
            input: &input,
            settings: &config.windows,
            new_scorer: &|| factory.make(),
            in_memory_flows: None,
            progress: &progress,
        };
        let results = score_files(&run, &mut dead)?;
        results.spool.release(&mut sink)?;
        Ok(Scored { summary: results.summary, stored: sink.inner().verdict() })
    }

    /// The input, when it consists of partitions.
    fn partitions(&self) -> anyhow::Result<Option<Box<dyn Readable + '_>>> {
        let config = &self.config;
        Ok(match (&config.input.kafka, &config.input.search) {
            (Some(input), _) => Some(Box::new(Topics { input, format: config.format()? })),
            (None, Some(input)) => {
                let (store, namespace) = (Arc::clone(&self.store), config.namespace()?);
                Some(Box::new(Indexed { input, store, namespace }))
            }
            (None, None) => None,
        })
    }

    fn start_jobs(
        self: &Arc<Self>,
        asked: &watch::Receiver<bool>,
        stop: &Stop,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let (health, report) = (&self.config.health, &self.config.report);
        let health = Job {
            name: "health",
            schedule: health.schedule()?,
            zone: health.zone()?,
            cadence: Cadence::Hourly,
            catch_up_hours: health.catch_up_hours,
        };
        let report = Job {
            name: "report",
            schedule: Schedule::parse(&report.schedule).context("setting `report.schedule`")?,
            zone: report.zone()?,
            cadence: Cadence::Daily,
            catch_up_hours: report.catch_up_hours,
        };
        let namespace = self.config.namespace()?;
        let owner = Owner::of_this_process();
        let election = Election::new(Arc::clone(&self.store), &namespace, owner);
        let mut jobs = vec![
            self.spawn_job(health, &election, asked, Self::check_health),
            self.spawn_job(report, &election, asked, Self::write_report),
        ];
        let mut reload = self.reload_files();
        // What changes from here on is seen: feeds come soon.
        reload(self);
        jobs.push(self.spawn_repeated(RELOAD_PAUSE, asked, reload));
        if self.mode == Mode::Detect
            && let Some(refreshing) = Refreshing::new(&self.config, &self.store)?
        {
            jobs.push(tokio::spawn(refreshing.run(asked.clone())));
        }
        if self.mode == Mode::Detect {
            for classifying in Classifying::all(&self.config, &self.store) {
                let stop = stop.clone();
                jobs.push(tokio::task::spawn_blocking(move || classifying.run(&stop)));
            }
            if !self.config.models.retrain.is_empty() {
                let retrain = Job {
                    name: "retrain",
                    schedule: self.config.retrain_schedule()?,
                    zone: chrono_tz::UTC,
                    cadence: Cadence::Daily,
                    catch_up_hours: RETRAIN_CATCH_UP_HOURS,
                };
                jobs.push(self.spawn_job(retrain, &election, asked, Self::retrain));
            }
        }
        let refresh_pause = Duration::from_secs(self.config.alerts.refresh_seconds.into());
        let mut refresher = Refresher::new(&self.config, &self.store, self.rules.clone())?;
        jobs.push(self.spawn_repeated(refresh_pause, asked, move |_| refresher.refresh()));
        if self.drops_old {
            jobs.push(self.spawn_repeated(RETENTION_PAUSE, asked, Self::drop_old));
        }
        Ok(jobs)
    }

    /// Runs `work` whenever `job` is due and the run falls to this worker. The moment that was due
    /// is handed in, however late it is.
    fn spawn_job(
        self: &Arc<Self>,
        job: Job,
        election: &Election,
        asked: &watch::Receiver<bool>,
        work: fn(&Self, Timestamp) -> anyhow::Result<()>,
    ) -> JoinHandle<()> {
        let worker = Arc::clone(self);
        let runner = Runner::new(job, election.clone(), self.watermark.clone(), now());
        tokio::spawn(drive(runner, now, asked.clone(), Arc::new(move |due| work(&worker, due))))
    }

    /// Runs `work` at once and then after every `pause`.
    fn spawn_repeated(
        self: &Arc<Self>,
        pause: Duration,
        asked: &watch::Receiver<bool>,
        mut work: impl FnMut(&Self) + Send + 'static,
    ) -> JoinHandle<()> {
        let (worker, mut asked) = (Arc::clone(self), asked.clone());
        tokio::spawn(async move {
            loop {
                tokio::task::block_in_place(|| work(&worker));
                if is_asked_within(&mut asked, tokio::time::sleep(pause)).await {
                    return;
                }
            }
        })
    }

    fn check_health(&self, due: Timestamp) -> anyhow::Result<()> {
        let checked = health::check_at(&self.config, &self.store, due)?;
        info!(verdict = %checked.line(), "health checked");
        Ok(())
    }

    /// Writes the report of the day before.
    fn write_report(&self, due: Timestamp) -> anyhow::Result<()> {
        let zone = self.config.report.zone()?;
        let today = due.to_utc().with_timezone(&zone).date_naive();
        let day = today.pred_opt().context("there is no day before the first")?;
        let folder = self.config.report_path().join(day.to_string());
        let written = report::write_report(&self.config, &self.store, day, &[], due, &folder)?;
        info!(report = %written.html.display(), "report written");
        Ok(())
    }

    fn retrain(&self, _due: Timestamp) -> anyhow::Result<()> {
        retrain::by_the_clock(&self.config, &self.store);
        Ok(())
    }

    fn drop_old(&self) {
        retention::drop_old(&*self.store, self.config.output.keep_days, now());
    }

    fn load_blacklist(&self) -> anyhow::Result<()> {
        let (list, own) = read_lists(&self.config, &[])?;
        if own.rejected() > 0 {
            warn!(lines = own.rejected(), samples = ?own.rejected_samples(), "blacklist lines cannot be read");
        }
        if list.beyond() > 0 {
            warn!(
                entries = list.beyond(),
                "listed addresses go beyond `max_entries` and are left out"
            );
        }
        info!(entries = list.len(), "blacklist loaded");
        self.blacklist.set(Arc::new(list));
        Ok(())
    }

    fn load_enrichment(&self) -> anyhow::Result<()> {
        if let Some(shared) = &self.enrichment {
            shared.set(Enricher::read(&self.config.enrichment)?);
            info!("places and names loaded");
        }
        Ok(())
    }

    /// Reads files again that have changed.
    fn reload_files(&self) -> impl FnMut(&Self) + Send + 'static {
        let settings = &self.config.detectors.blacklist;
        let fetched = feeds::files(settings, &self.config.feeds_path());
        let mut blacklists = Watched::new([settings.files.clone(), fetched].concat());
        let mut learned = LearnedWatch::new(&self.config, &self.store);
        let mut enrichment = Watched::new(self.config.enrichment.files());
        move |worker| {
            blacklists.look("blacklist", || worker.load_blacklist());
            enrichment.look("enrichment", || worker.load_enrichment());
            learned.look(&worker.config, &worker.store, &worker.learned);
        }
    }
}

/// Waits for an interrupt or a termination signal.
pub(super) async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn log_summary(summary: &Summary) {
    let counters = summary.counters;
    for problem in &summary.problems {
        warn!(problem = %printable(problem), "a source cannot be used");
    }
    if summary.rejected_total() > 0 {
        warn!(records = summary.rejected_total(), reasons = ?summary.rejected, "records cannot be used");
    }
    if counters.withheld.total() > 0 {
        let kinds = withheld_words(counters.withheld);
        info!(%kinds, "alerts were withheld for `alerts.budget_per_day`");
    }
    info!(
        flows = counters.flows,
        late = counters.late,
        windows = counters.windows,
        anomalies = counters.anomalies,
        alerts = counters.alerts,
        withheld = counters.withheld.total(),
        "the input was scored"
    );
}

#[cfg(test)]
mod tests;
