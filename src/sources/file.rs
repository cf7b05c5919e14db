//! Files and standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::capture::Container;
use crate::formats::{self, Decoder, Format, Framing, MAX_RECORD_BYTES, Reject, RejectReason};
use crate::model::{Flow, Timestamp};

use super::capture::Capture;
use super::decompress::{ByteCounter, decompressed};
use super::lines::{Line, Lines};
use super::{Batch, CaptureLimits, CaptureNotes, Located, Place, Rejected, SourceError};

/// So many first bytes decide on the format; a Zeek header takes half a kilobyte.
const HEAD_BYTES: usize = 64 * 1024;
/// Most flows of a batch: about one megabyte, a few milliseconds of decoding.
const BATCH_FLOWS: usize = 4_096;
/// Most rejected records of a batch, so that a file of garbage stays bounded too.
const BATCH_REJECTED: usize = 64;

/// How a source is opened.
#[derive(Clone, Default)]
pub struct Opening {
    /// The format; told from the content when absent.
    pub format: Option<&'static dyn Format>,
    /// Counts the bytes read.
    pub counter: ByteCounter,
    /// What is newer than the present cannot have happened; not judged when absent.
    pub present: Option<Present>,
    /// When flows of captures end.
    pub capture: CaptureLimits,
}

/// The present, for records that do not say when they were received.
#[derive(Clone, Copy)]
pub struct Present {
    /// The clock.
    pub now: fn() -> Timestamp,
    /// How many seconds an exporter's clock may be ahead of it.
    pub ahead_seconds: u32,
}

impl Present {
    /// Refuses a flow without receive time that ends after the present.
    fn judge(latest: Option<Timestamp>, flow: Flow) -> Result<Option<Flow>, Reject> {
        match latest {
            Some(latest) if flow.received.is_none() && flow.end > latest => {
                let detail = format!("{} lies in the future", flow.end);
                Err(Reject::new(RejectReason::BadTime, detail))
            }
            _ => Ok(Some(flow)),
        }
    }
}

/// A file or standard input, read once from front to back.
pub struct FileSource {
    name: Arc<str>,
    lines: Lines<Box<dyn Read + Send>>,
    content: Content,
    format: &'static str,
    place: Place,
    present: Option<Present>,
}

/// What a file holds.
enum Content {
    Records(Box<dyn Decoder>, Framing),
    Packets(Box<Capture>),
}

/// Opens a file, plain, gzip or zstd, to be read as plain bytes; `-` is standard input.
///
/// # Errors
/// When it cannot be opened, or its first bytes cannot be read.
pub fn open_plain(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    decompressed(open_raw(path)?, ByteCounter::default())
}

fn open_raw(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    Ok(Box::new(file))
}

impl FileSource {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be opened, is empty, or is of no known format.
    pub fn open(path: &Path, opening: &Opening) -> Result<Self, SourceError> {
        let name: Arc<str> = path.to_string_lossy().into();
        let source =
            open_raw(path).map_err(|error| SourceError::Open { path: path.to_owned(), error })?;
        Self::from_reader(name, source, opening)
    }

    /// Reads from any reader under a name of its own.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn from_reader(
        name: Arc<str>,
        reader: Box<dyn Read + Send>,
        opening: &Opening,
    ) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Read { name: Arc::clone(&name), line: 0, error };
        let plain = decompressed(reader, opening.counter.clone()).map_err(failed)?;
        let mut lines = Lines::new(plain, MAX_RECORD_BYTES);
        let head = lines.peek(HEAD_BYTES).map_err(failed)?;
        if head.is_empty() {
            return Err(SourceError::Empty { name });
        }
        let (format, content) = if let Some(container) = capture_in(head, opening) {
            let capture = Box::new(Capture::new(container, opening.capture));
            (capture.name(), Content::Packets(capture))
        } else if let Some(format) = opening.format.or_else(|| formats::detect(head)) {
            (format.name(), Content::Records(format.decoder(), format.framing()))
        } else {
            let known = formats::FORMATS.iter().map(|format| format.name());
            let known: Vec<_> = known.chain(["pcap", "pcapng"]).collect();
            return Err(SourceError::UnknownFormat { name, known: known.join(", ") });
        };
        let (place, present) = (Place { offset: 0, line: 0 }, opening.present);
        Ok(Self { name, lines, content, format, place, present })
    }

    /// The name: the path as given.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The name of the format.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Returns the next records, `None` at the end. With `growing`, the end is only for now, and a
    /// last line without an end waits for the rest.
    ///
    /// # Errors
    /// When reading fails (also: a compressed file that is cut), or a capture grows: where its flows
    /// end is known at its end alone.
    pub fn next_batch(&mut self, growing: bool) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch {
            source: Arc::clone(&self.name),
            flows: Vec::with_capacity(BATCH_FLOWS),
            rejected: Vec::new(),
            records: 0,
            capture: CaptureNotes::default(),
        };
        let ahead =
            |present: Present| (present.now)().plus_seconds(i64::from(present.ahead_seconds));
        let latest = self.present.map(ahead);
        let judge = |flow| Present::judge(latest, flow);
        let filled = match &mut self.content {
            Content::Packets(_) if growing => {
                let problem = "which is not read while it grows (leave out `follow`)";
                return Err(SourceError::Capture { name: Arc::clone(&self.name), problem });
            }
            Content::Packets(capture) => {
                let most = (BATCH_FLOWS, BATCH_REJECTED);
                capture.fill(&mut self.lines, &mut self.place, most, &judge, &mut batch)
            }
            Content::Records(decoder, framing) => {
                let mut records = Records {
                    lines: &mut self.lines,
                    decoder: decoder.as_mut(),
                    framing: *framing,
                    place: &mut self.place,
                };
                records.fill(growing, &judge, &mut batch)
            }
        };
        filled.map_err(|error| SourceError::Read {
            name: Arc::clone(&self.name),
            line: self.place.line,
            error,
        })?;
        Ok((!batch.is_empty()).then_some(batch))
    }
}

/// The capture that a file is, unless somebody said that it holds records.
fn capture_in(head: &[u8], opening: &Opening) -> Option<Container> {
    if opening.format.is_some() { None } else { Container::of(head) }
}

/// Records with their decoder.
struct Records<'a> {
    lines: &'a mut Lines<Box<dyn Read + Send>>,
    decoder: &'a mut dyn Decoder,
    framing: Framing,
    place: &'a mut Place,
}

impl Records<'_> {
    fn fill(
        &mut self,
        growing: bool,
        judge: &dyn Fn(Flow) -> Result<Option<Flow>, Reject>,
        batch: &mut Batch,
    ) -> io::Result<()> {
        while batch.flows.len() < BATCH_FLOWS && batch.rejected.len() < BATCH_REJECTED {
            let next = match self.framing {
                Framing::Lines => self.lines.next(growing),
                Framing::Delimited => self.lines.next_delimited(growing),
            };
            let Some((line, taken)) = next? else { break };
            let place = Place { line: self.place.line + 1, ..*self.place };
            *self.place = Place { offset: self.place.offset + taken, line: place.line };
            batch.records += 1;
            let (record, length, decoded) = match line {
                Line::Whole(record) => {
                    let decoded = self.decoder.decode(record);
                    let judged = decoded.and_then(|flow| flow.map_or(Ok(None), judge));
                    (record, record.len() as u64, judged)
                }
                Line::TooLong(beginning, length) => {
                    let detail = format!("{length} bytes, at most {MAX_RECORD_BYTES} are read");
                    (beginning, length, Err(Reject::new(RejectReason::TooLong, detail)))
                }
            };
            match decoded {
                Ok(Some(flow)) => batch.flows.push(Located { flow, place }),
                Ok(None) => {}
                Err(reject) => {
                    let rejected = Rejected::new(place, reject, record);
                    batch.rejected.push(Rejected { length, ..rejected });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        "2017-01-27 16:24:42,tcp,closed,10.2.1.39,60707,74.201.65.31,443,21687,8999\n";

    fn source(text: String) -> FileSource {
        let reader = Box::new(io::Cursor::new(text.into_bytes()));
        FileSource::from_reader("made".into(), reader, &Opening::default()).expect("a table")
    }

    #[test]
    fn a_bad_line_is_kept_with_its_place_and_its_neighbours_are_not_lost() {
        let mut source = source(format!("{ROW}not,a,flow\n{ROW}"));
        let batch = source.next_batch(false).unwrap().unwrap();
        assert_eq!(batch.flows.len(), 2);
        let rejected = &batch.rejected[0];
        assert_eq!(rejected.place, Place { offset: ROW.len() as u64, line: 2 });
        assert_eq!(rejected.record, b"not,a,flow");
        assert!(source.next_batch(false).unwrap().is_none());
    }

    #[test]
    fn a_line_of_ten_megabytes_is_one_rejected_record() {
        let mut source = source(format!("{ROW}{}\n{ROW}", "x".repeat(10_000_000)));
        let batch = source.next_batch(false).unwrap().unwrap();
        assert_eq!(batch.flows.len(), 2);
        assert_eq!(batch.rejected[0].reject.reason, RejectReason::TooLong);
        assert_eq!(batch.rejected[0].record.len(), Rejected::KEPT_BYTES);
        assert_eq!(batch.rejected[0].length, 10_000_000);
    }

    #[test]
    fn missing_empty_unknown_and_directory_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let error = FileSource::open(&folder.path().join(name), &Opening::default()).err();
            let error = error.expect("no source");
            error.to_string().replace(&folder.path().display().to_string(), "DIR")
        };
        std::fs::write(folder.path().join("empty"), "").unwrap();
        std::fs::write(folder.path().join("poem"), "roses are red\n").unwrap();
        assert_eq!(open("missing"), "cannot open `DIR/missing`");
        assert_eq!(open("empty"), "`DIR/empty` is empty");
        assert!(open("poem").starts_with("`DIR/poem` is of no known format (known formats are "));
        assert_eq!(open(""), "cannot open `DIR/`");
    }
}
