//! Records of a file as they are, for sending them on.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::SourceError;
use super::decompress::{ByteCounter, decompressed};
use super::lines::{Line, Lines};
use crate::capture::is_capture;
use crate::formats::MAX_RECORD_BYTES;

/// Hands the lines of a file or of standard input (`-`) to `each`, decompressed, without line ends
/// and blank ones, until it breaks. Of lines above the limit on records it gets the beginning.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn for_each_record(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), SourceError> {
    let failed = |error| SourceError::Open { path: path.to_owned(), error };
    let reader: Box<dyn Read + Send> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let reader = decompressed(reader, ByteCounter::default()).map_err(failed)?;
    let mut lines = Lines::new(reader, MAX_RECORD_BYTES);
    let name: Arc<str> = Arc::from(path.display().to_string());
    let head = lines.peek(16);
    let head =
        head.map_err(|error| SourceError::Read { name: Arc::clone(&name), line: 0, error })?;
    if is_capture(head) {
        return Err(SourceError::Capture { name, problem: "which holds no records to send on" });
    }
    let mut line = 0;
    loop {
        let next = lines.next(false);
        let next =
            next.map_err(|error| SourceError::Read { name: Arc::clone(&name), line, error })?;
        let Some((Line::Whole(record) | Line::TooLong(record, _), _)) = next else {
            return Ok(());
        };
        line += 1;
        if !record.trim_ascii().is_empty() && each(record).is_break() {
            return Ok(());
        }
    }
}
