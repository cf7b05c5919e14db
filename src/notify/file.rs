//! The outbox that is a file: for machines without a mail server, for tests, for archives.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Mail, NotifyError, Sender};

/// Writes each mail to one file (`report.eml`), replacing what was there.
#[derive(Clone, Debug)]
pub struct FileOutbox {
    path: PathBuf,
}

impl FileOutbox {
    /// Returns the outbox that writes to `path`. Its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

/// Readers see the old mail or the whole new one: it is written beside its place, then renamed.
impl Sender for FileOutbox {
    fn send(&self, mail: &Mail) -> Result<(), NotifyError> {
        let bytes = mail.to_bytes()?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = self.path.with_file_name(name);
        let written = write(&part, &bytes).and_then(|()| std::fs::rename(&part, &self.path));
        written.map_err(|source| {
            // what is half written helps nobody; that it cannot be removed adds nothing
            let _ = std::fs::remove_file(&part);
            NotifyError::Io { path: self.path.display().to_string(), source }
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
