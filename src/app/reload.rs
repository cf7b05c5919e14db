//! Files that are read again when they change: blacklists, places, names.

use std::path::PathBuf;
use std::time::SystemTime;

use tracing::warn;

/// Files, and when they were changed last.
pub(super) struct Watched {
    files: Vec<PathBuf>,
    known: Option<Vec<Option<SystemTime>>>,
}

impl Watched {
    /// Returns `files` as they are at the first look.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { files, known: None }
    }

    /// Reads the files again by `load` when one has changed since the last look. Where that fails,
    /// what was read before stays, and it is tried again after the next change.
    pub(super) fn look(&mut self, what: &str, load: impl FnOnce() -> anyhow::Result<()>) {
        let changed_at = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
        let times: Vec<_> = self.files.iter().map(changed_at).collect();
        let changed = self.known.as_ref().is_some_and(|known| *known != times);
        self.known = Some(times);
        if changed && let Err(error) = load() {
            warn!(what, error = %format!("{error:#}"), "a changed file is not taken over");
        }
    }
}
