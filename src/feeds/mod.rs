//! Lists of addresses from files and the network, kept on the disk.
//!
//! ```text
//! address | file ─bytes→ Entries ─judged against the last good one→ file in the folder ─→ Blacklist
//! ```
//!
//! What comes from outside is refused when it is no list or only a part of one; then the last good
//! one stays. Lists reach the detector by way of the folder alone, so that a start without network,
//! a command beside a worker and the worker itself see the same.

mod fetch;
mod judge;
mod saved;
mod state;

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::detect::blacklist::{Config, FeedSettings};
use crate::detect::{Blacklist, Entries, NamedList};
use crate::model::{SettingError, Timestamp};

use fetch::{Client, Fetched};
use judge::judge;
use saved::{Head, Saved};

pub use state::FeedState;

/// Why a feed could not be taken over. Words of the network are cut; addresses are left out.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// No connection, no name, no certificate, or an answer that broke off.
    #[error("it cannot be fetched: {0}")]
    Away(String),
    /// It took too long.
    #[error("it took longer than {0} s")]
    TimedOut(u32),
    /// The server refused.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// There was more than allowed.
    #[error("it has more than {0} bytes (`max_bytes`)")]
    TooLarge(u64),
    /// What came is no list, or hardly one.
    #[error("it was refused: {0}")]
    Refused(String),
    /// The file, or the folder of last good lists.
    #[error("{what}: {error}")]
    File {
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        error: std::io::Error,
    },
}

/// Whether the last good list is what a new one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A much shorter list is refused.
    Compare,
    /// Whatever is a list is taken: a person has looked at it.
    Anew,
}

/// Checks the addresses of feeds, which other checks leave out.
///
/// # Errors
/// Names the key, never the address.
pub fn check(settings: &Config) -> Result<(), SettingError> {
    for (place, feed) in settings.feeds.iter().enumerate() {
        let Some(url) = &feed.url else { continue };
        fetch::address(url.reveal()).map_err(|problem| {
            SettingError::new(format!("detectors.blacklist.feeds.{place}.url"), problem)
        })?;
    }
    Ok(())
}

/// The feeds of the settings, and how they are.
#[derive(Debug)]
pub struct Feeds {
    settings: Config,
    folder: PathBuf,
    states: Vec<FeedState>,
}

impl Feeds {
    /// Returns the feeds of `settings`, whose last good lists lie in `folder`.
    pub fn new(settings: &Config, folder: &Path) -> Self {
        let state = |feed: &FeedSettings| {
            let head = saved::read(folder, feed).map(|saved| saved.head);
            FeedState::new(feed, head.filter(|head| head.origin == fetch::origin(feed)).as_ref())
        };
        let states = settings.feeds.iter().map(state).collect();
        Self { settings: settings.clone(), folder: folder.to_owned(), states }
    }

    /// How the feeds are, in the order of the settings.
    pub fn states(&self) -> &[FeedState] {
        &self.states
    }

    /// Fetches the feeds that `is_asked` names, one after the other, and keeps what is good. What
    /// became of each is in [`Feeds::states`] and in the log.
    ///
    /// Cancel-safe: files are replaced whole, and a feed that was not finished is as it was.
    pub async fn refresh(
        &mut self,
        clock: fn() -> Timestamp,
        trust: Trust,
        is_asked: impl Fn(&FeedState) -> bool,
    ) {
        for place in 0..self.states.len() {
            if !is_asked(&self.states[place]) {
                continue;
            }
            // A list that is damaged is neither compared with nor asked about.
            let is_whole = self.states[place].fetched.is_some();
            let trust = if is_whole { trust } else { Trust::Anew };
            let feed = &self.settings.feeds[place];
            let taken = self.take(feed, clock, trust).await;
            let state = &mut self.states[place];
            match taken {
                Ok(head) => {
                    let Head { entries, rejected, .. } = head;
                    info!(feed = state.name, entries, rejected, "a feed is fetched");
                    state.succeeded(&head);
                }
                Err(error) => {
                    let error = state.failed(clock(), &error);
                    warn!(feed = feed.name, error, "a feed is not taken over, the last list stays");
                }
            }
        }
    }

    /// Fetches one feed and keeps it.
    async fn take(
        &self,
        feed: &FeedSettings,
        clock: fn() -> Timestamp,
        trust: Trust,
    ) -> Result<Head, FeedError> {
        let origin = fetch::origin(feed);
        let before = saved::read_head(&self.folder, feed);
        let before = before.filter(|head| head.origin == origin && trust == Trust::Compare);
        let fetched = match &feed.path {
            Some(path) => {
                let (path, most) = (path.clone(), feed.max_bytes);
                off_the_run_time(move || fetch::read_file(&path, most)).await?
            }
            None => Client::new(&self.settings)?.get(feed, before.as_ref()).await?,
        };
        let (folder, feed, fetched_at) = (self.folder.clone(), feed.clone(), clock());
        off_the_run_time(move || keep(&folder, &feed, origin, before, fetched, fetched_at)).await
    }
}

/// Judges what was fetched and writes it down.
fn keep(
    folder: &Path,
    feed: &FeedSettings,
    origin: String,
    before: Option<Head>,
    fetched: Fetched,
    fetched_at: Timestamp,
) -> Result<Head, FeedError> {
    match (fetched, before) {
        (Fetched::Unchanged, Some(before)) => {
            let Some(Saved { entries, .. }) = saved::read(folder, feed) else {
                saved::remove(folder, feed);
                return Err(FeedError::Refused("the last good list is damaged".to_owned()));
            };
            saved::write(folder, feed, Head { fetched: fetched_at, ..before }, &entries)
        }
        (Fetched::Unchanged, None) => {
            Err(FeedError::Refused("the server says that nothing changed".to_owned()))
        }
        (Fetched::List { bytes, etag, last_modified }, before) => {
            let entries = Entries::parse(&bytes);
            drop(bytes);
            judge(&entries, before.map(|before| before.entries), feed.min_entries)
                .map_err(FeedError::Refused)?;
            let head = Head {
                feed: feed.name.clone(),
                origin,
                fetched: fetched_at,
                entries: entries.len(),
                rejected: entries.rejected(),
                etag,
                last_modified,
            };
            saved::write(folder, feed, head, &entries)
        }
    }
}

async fn off_the_run_time<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FeedError> + Send + 'static,
) -> Result<T, FeedError> {
    let failed = |error: tokio::task::JoinError| FeedError::Away(error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

/// Returns the last good lists of the feeds, without those that are missing or, which the log tells,
/// damaged.
pub fn last_good(settings: &Config, folder: &Path) -> Vec<(NamedList, Entries)> {
    let read = |feed: &FeedSettings| {
        let saved = saved::read(folder, feed);
        if saved.is_none() && saved::path(folder, feed).exists() {
            warn!(feed = feed.name, "the last good list is damaged and not used");
        }
        let Saved { head, entries } = saved?;
        Some((NamedList { name: feed.name.clone(), fetched: head.fetched }, entries))
    };
    settings.feeds.iter().filter_map(read).collect()
}

/// Returns everything that is listed: `own` without a name, then the last good lists of the feeds.
pub fn merged(settings: &Config, folder: &Path, own: &Entries) -> Blacklist {
    Blacklist::merge(own, last_good(settings, folder), settings.max_entries)
}

/// The files of the last good lists.
pub fn files(settings: &Config, folder: &Path) -> Vec<PathBuf> {
    settings.feeds.iter().map(|feed| saved::path(folder, feed)).collect()
}
