//! Files that are read more than once, standard input and pipes among them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::super::open;

/// One file of rows.
pub(super) struct Input<'p> {
    pub path: &'p Path,
    /// What a stream gave: it can be read once only.
    kept: Option<Vec<u8>>,
}

impl<'p> Input<'p> {
    /// Returns the files in their order; streams are kept in memory when they are read `again`.
    pub fn all(paths: &'p [PathBuf], again: bool) -> anyhow::Result<Vec<Self>> {
        let is_standard = |path: &&PathBuf| path.as_path() == Path::new("-");
        ensure!(paths.iter().filter(is_standard).count() < 2, "standard input is named twice");
        let one = |path: &'p PathBuf| {
            let mut kept = None;
            if again && !path.is_file() {
                let mut bytes = Vec::new();
                let place = || format!("reading `{}`", path.display());
                open(path)?.read_to_end(&mut bytes).with_context(place)?;
                kept = Some(bytes);
            }
            Ok(Self { path, kept })
        };
        paths.iter().map(one).collect()
    }

    /// Opens it from its beginning, plain or compressed.
    pub fn open(&self) -> anyhow::Result<Box<dyn Read + Send + '_>> {
        match &self.kept {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Ok(open(self.path)?),
        }
    }
}
