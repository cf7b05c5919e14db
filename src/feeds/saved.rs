//! The last good list of a feed on the disk: a line that says what it is, then one entry a line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FeedError;
use crate::detect::Entries;
use crate::detect::blacklist::FeedSettings;
use crate::model::Timestamp;

/// Longest first line: names and two short texts of the server.
const HEAD_BYTES: u64 = 8 << 10;

/// The first line, as JSON behind a comment sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The feed's name.
    pub feed: String,
    /// A hash of where it came from, so that another place begins anew.
    pub origin: String,
    /// When it was fetched, or found unchanged.
    pub fetched: Timestamp,
    pub entries: usize,
    pub rejected: u64,
    /// What the server wants to hear to say that nothing has changed.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A list that was kept.
pub(super) struct Saved {
    pub head: Head,
    pub entries: Entries,
}

/// The file of a feed. Its name was checked: it has no signs that mean something in a path.
pub(super) fn path(folder: &Path, feed: &FeedSettings) -> PathBuf {
    folder.join(format!("{}.txt", feed.name))
}

/// Returns what the file says that it is; `None` when there is none, or a damaged one.
pub(super) fn read_head(folder: &Path, feed: &FeedSettings) -> Option<Head> {
    head_of(&mut BufReader::new(File::open(path(folder, feed)).ok()?), feed)
}

/// Returns the list; `None` when there is none, or a damaged one.
pub(super) fn read(folder: &Path, feed: &FeedSettings) -> Option<Saved> {
    let mut reader = BufReader::new(File::open(path(folder, feed)).ok()?);
    let head = head_of(&mut reader, feed)?;
    let mut bytes = Vec::new();
    // Entries are never written longer than four times what was read (`::/16`, `1::/16`).
    reader.take(feed.max_bytes.saturating_mul(4)).read_to_end(&mut bytes).ok()?;
    let entries = Entries::parse(&bytes);
    (entries.len() == head.entries && entries.rejected() == 0).then_some(Saved { head, entries })
}

/// Takes a damaged list away: nothing must be compared with it.
pub(super) fn remove(folder: &Path, feed: &FeedSettings) {
    // A file that cannot be removed is told when the next list cannot replace it.
    let _ = fs::remove_file(path(folder, feed));
}

fn head_of(reader: &mut impl BufRead, feed: &FeedSettings) -> Option<Head> {
    let mut line = String::new();
    reader.take(HEAD_BYTES).read_line(&mut line).ok()?;
    let head: Head = serde_json::from_str(line.strip_prefix('#')?).ok()?;
    (head.feed == feed.name).then_some(head)
}

/// Puts the list in the place of the one before: readers see the old one or the new one.
pub(super) fn write(
    folder: &Path,
    feed: &FeedSettings,
    head: Head,
    entries: &Entries,
) -> Result<Head, FeedError> {
    let failed = |error| FeedError::File { what: "it cannot be kept in `path.data`", error };
    write_file(folder, &path(folder, feed), &head, entries).map_err(failed)?;
    Ok(head)
}

fn write_file(folder: &Path, path: &Path, head: &Head, entries: &Entries) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut writer = io::BufWriter::new(file.as_file_mut());
    writeln!(writer, "# {}", serde_json::to_string(head)?)?;
    write!(writer, "{entries}")?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
