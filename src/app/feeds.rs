//! Lists of addresses that are fetched: by the worker on schedule, by `blacklist` when asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tracing::warn;

use crate::cli::{BlacklistArgs, BlacklistWhat, RefreshListsArgs, ShowListsArgs};
use crate::config::Config;
use crate::detect::{Blacklist, Entries};
use crate::feeds::{self, FeedState, Feeds, Trust};
use crate::jobs::{Owner, Schedule, health, is_asked_within};
use crate::model::Timestamp;
use crate::stores::Store;

use super::Outcome;
use super::common::{grouped, now, print_line, read_entries};

/// When feeds that failed are tried again.
const RETRY_SECONDS: i64 = 900;
/// The longest sleep: a machine that slept finds out soon that a moment has passed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A worker that was not heard of so long after it wanted to fetch is gone.
const GRACE_SECONDS: i64 = 3_600;

/// Returns everything that the settings list, and what `files` hold besides.
pub(super) fn read_lists(
    config: &Config,
    files: &[PathBuf],
) -> anyhow::Result<(Blacklist, Entries)> {
    let settings = &config.detectors.blacklist;
    let own = read_entries(&[&settings.files, files].concat())?;
    Ok((feeds::merged(settings, &config.feeds_path(), &own), own))
}

/// Fetches feeds by the clock of the settings until `asked` says stop, and tells the store how they
/// are.
pub(super) struct Refreshing {
    schedule: Schedule,
    feeds: Feeds,
    config: Config,
    store: Arc<dyn Store>,
}

impl Refreshing {
    /// Returns what there is to do; `None` without feeds.
    pub(super) fn new(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Option<Self>> {
        let settings = &config.detectors.blacklist;
        if settings.feeds.is_empty() || !settings.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            schedule: config.feed_schedule()?,
            feeds: Feeds::new(settings, &config.feeds_path()),
            config: config.clone(),
            store: Arc::clone(store),
        }))
    }

    /// Runs. A fetch that is under way when the stop comes is given up; the disk stays whole.
    pub(super) async fn run(mut self, mut asked: watch::Receiver<bool>) {
        // A list that is younger than the last moment of the schedule needs no fetch: many starts
        // in a row would annoy who offers it.
        let mut due = self.oldest().map_or(now(), |oldest| self.next_after(oldest));
        loop {
            let is_due = due <= now();
            let fetching = self.feeds.refresh(now, Trust::Compare, |state| {
                is_due || state.failures > 0 || state.fetched.is_none()
            });
            if is_asked_within(&mut asked, fetching).await {
                return;
            }
            if is_due {
                due = self.next_after(now());
            }
            let is_failing = self.feeds.states().iter().any(|state| state.failures > 0);
            let wake = if is_failing { due.min(now().plus_seconds(RETRY_SECONDS)) } else { due };
            self.tell(wake).await;
            while now() < wake {
                let left = wake.nanos_since(now()).max(0).unsigned_abs();
                let pause = Duration::from_nanos(left).min(LONGEST_SLEEP);
                if is_asked_within(&mut asked, tokio::time::sleep(pause)).await {
                    return;
                }
            }
        }
    }

    /// When the oldest list was fetched; `None` when one is missing.
    fn oldest(&self) -> Option<Timestamp> {
        let fetched = self.feeds.states().iter().map(|state| state.fetched);
        fetched.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    fn next_after(&self, time: Timestamp) -> Timestamp {
        let never = || now().plus_seconds(365 * 86_400);
        self.schedule.next_after(time, chrono_tz::UTC).unwrap_or_else(never)
    }

    /// Leaves word for the health check.
    async fn tell(&self, wake: Timestamp) {
        let (store, config) = (Arc::clone(&self.store), self.config.clone());
        let states = self.feeds.states().to_vec();
        let told = tokio::task::spawn_blocking(move || {
            let expires = wake.plus_seconds(GRACE_SECONDS);
            let namespace = config.namespace()?;
            let worker = worker_name(&config);
            health::tell_feeds(&*store, &namespace, &worker, &states, now(), expires)
                .context("writing the state of the feeds")
        });
        if let Err(error) = told.await.map_err(anyhow::Error::from).and_then(|told| told) {
            warn!(error = %format!("{error:#}"), "the health check does not learn how feeds are");
        }
    }
}

/// A name that stays over restarts: the lists belong to the folder.
fn worker_name(config: &Config) -> String {
    let folder = config.feeds_path();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    format!("{}:{}", Owner::host(), folder.display())
}

/// `blacklist`: what is listed, by whom.
pub(super) fn blacklist(config: &Config, args: &BlacklistArgs) -> anyhow::Result<Outcome> {
    match &args.what {
        BlacklistWhat::Refresh(args) => refresh(config, args),
        BlacklistWhat::Show(args) => show(config, args),
    }
}

fn refresh(config: &Config, args: &RefreshListsArgs) -> anyhow::Result<Outcome> {
    let settings = &config.detectors.blacklist;
    if settings.feeds.is_empty() {
        bail!("there are no feeds: set `detectors.blacklist.feeds`");
    }
    if let Some(name) = &args.feed
        && !settings.feeds.iter().any(|feed| feed.name == *name)
    {
        bail!("there is no feed `{name}`");
    }
    let trust = if args.anew { Trust::Anew } else { Trust::Compare };
    let is_asked = |state: &FeedState| args.feed.as_ref().is_none_or(|name| state.name == *name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the run time")?;
    let mut feeds = Feeds::new(settings, &config.feeds_path());
    runtime.block_on(feeds.refresh(now, trust, is_asked));
    let asked: Vec<_> = feeds.states().iter().filter(|state| is_asked(state)).collect();
    for state in &asked {
        print_line(&line(state))?;
    }
    let failed = asked.iter().filter(|state| state.error.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} feeds cannot be refreshed", asked.len());
    }
    Ok(Outcome::Done)
}

fn show(config: &Config, args: &ShowListsArgs) -> anyhow::Result<Outcome> {
    let settings = &config.detectors.blacklist;
    let (list, own) = read_lists(config, &[])?;
    if let Some(ip) = args.ip {
        if !list.contains(ip) {
            print_line(&format!("{ip} is not listed"))?;
            return Ok(Outcome::Code(1));
        }
        for feed in list.lists_of(ip) {
            print_line(&format!("{ip} is listed by {}, fetched {}", feed.name, feed.fetched))?;
        }
        if Blacklist::merge(&own, Vec::new(), usize::MAX).contains(ip) {
            print_line(&format!("{ip} is listed in `detectors.blacklist.files`"))?;
        }
        return Ok(Outcome::Done);
    }
    print_line(&format!("files: {} entries", grouped(own.len() as u64)))?;
    for state in Feeds::new(settings, &config.feeds_path()).states() {
        print_line(&line(state))?;
    }
    print_line(&format!("together: {} entries", grouped(list.len() as u64)))?;
    if list.beyond() > 0 {
        let beyond = grouped(list.beyond() as u64);
        print_line(&format!("left out: {beyond} entries beyond `max_entries`"))?;
    }
    Ok(Outcome::Done)
}

/// A feed on one line.
fn line(state: &FeedState) -> String {
    let mut line = match state.fetched {
        None => format!("{}: no list yet", state.name),
        Some(fetched) => {
            format!("{}: {} entries, fetched {fetched}", state.name, grouped(state.entries as u64))
        }
    };
    if state.rejected > 0 {
        line += &format!(", {} could not be used", grouped(state.rejected));
    }
    if let Some(error) = &state.error {
        line += &format!("; {error}");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::app::common::store_on;
    use crate::detect::blacklist::FeedSettings;
    use crate::testkit::ip;

    /// Settings with one feed that is a file.
    fn config(folder: &tempfile::TempDir) -> Config {
        let mut config = Config::default();
        config.path.data = folder.path().to_owned();
        config.detectors.blacklist.feeds = vec![FeedSettings {
            name: "seen".to_owned(),
            url: None,
            path: Some(folder.path().join("list")),
            max_bytes: 1_000,
            min_entries: 1,
        }];
        config
    }

    /// Runs a worker's refreshing until the health check knows of the feed; returns what it says.
    fn run(config: &Config, store: &Arc<dyn Store>) -> health::HealthFinding {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ask, asked) = watch::channel(false);
            let refreshing = Refreshing::new(config, store).unwrap().expect("there is a feed");
            let running = tokio::spawn(refreshing.run(asked));
            let namespace = config.namespace().unwrap();
            let found = loop {
                let report = health::check(&**store, &namespace, &config.health, now()).unwrap();
                if let Some(finding) = report.finding("feed.seen") {
                    break finding.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            ask.send_replace(true);
            running.await.unwrap();
            found
        })
    }

    #[test]
    fn a_worker_fetches_at_its_start_tells_the_health_check_and_ends_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let store = store_on(None, &config).unwrap();
        fs::write(folder.path().join("list"), "198.51.100.7\n").unwrap();
        let finding = run(&config, &store);
        assert_eq!(finding.cause, "Feed `seen` has 1 entries and is 0 minutes old.");
        let (list, _) = read_lists(&config, &[]).unwrap();
        assert_eq!(list.lists_of(ip("198.51.100.7")).len(), 1);
    }

    #[test]
    fn a_young_list_is_not_fetched_at_a_start_and_a_missing_feed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder);
        // Far away, whatever the clock says.
        config.detectors.blacklist.refresh = "0 0 0 1 1 * 2100".to_owned();
        fs::write(folder.path().join("list"), "198.51.100.7\n").unwrap();
        run(&config, &store_on(None, &config).unwrap());
        fs::write(folder.path().join("list"), "198.51.100.8\n").unwrap();
        run(&config, &store_on(None, &config).unwrap());
        let (list, _) = read_lists(&config, &[]).unwrap();
        assert!(list.contains(ip("198.51.100.7")) && !list.contains(ip("198.51.100.8")));
        fs::remove_dir_all(config.feeds_path()).unwrap();
        fs::remove_dir_all(config.store_path()).unwrap();
        fs::remove_file(folder.path().join("list")).unwrap();
        let finding = run(&config, &store_on(None, &config).unwrap());
        assert!(finding.cause.starts_with("Feed `seen` has no list yet. Fetching fails since "));
    }

    #[test]
    fn without_feeds_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder);
        let store = store_on(None, &config).unwrap();
        config.detectors.blacklist.feeds.clear();
        assert!(Refreshing::new(&config, &store).unwrap().is_none());
    }
}
