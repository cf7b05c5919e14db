//! The log of acknowledged writes that the engine has not committed yet.
//!
//! A frame is the length and the CRC-32 of its payload, four bytes each (little-endian), then the
//! payload. A frame is on disk before its write is acknowledged, and the next frame is only begun
//! after that; so a process or machine that dies leaves at most one torn frame, at the end, and
//! that one was never acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

const HEADER: usize = 8;

/// The largest payload; a length beyond it is damage, not a frame.
pub(super) const MAX_PAYLOAD: usize = 1 << 30;

/// An open log, positioned behind its last whole frame.
pub(super) struct Log {
    file: File,
    length: u64,
    broken: bool,
}

impl Log {
    /// Opens or creates the log at `path` and returns it with the payloads of its whole frames; a
    /// torn last frame is cut off.
    ///
    /// # Errors
    /// When the disk fails, or when whole frames follow a damaged one: they were acknowledged, so
    /// the log is not cut there.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (payloads, valid) = whole_frames(&bytes)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        if valid < bytes.len() {
            file.set_len(valid as u64)?;
            file.sync_all()?;
        }
        Ok((Self { file, length: valid as u64, broken: false }, payloads))
    }

    /// Appends one frame and returns when it is on disk.
    ///
    /// # Errors
    /// When the disk fails; the frame is cut off again then. If that fails too, every later
    /// append fails until the log is opened anew.
    pub(super) fn append(&mut self, frame: &Frame) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the log failed before and has not been reopened"));
        }
        let bytes = frame.0.as_slice();
        let written = self.write_bytes(bytes);
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            Err(_) => self.broken = self.file.set_len(self.length).is_err(),
        }
        written
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    /// Forgets all frames: the engine has committed what they hold.
    ///
    /// Not synced: frames that survive a crash are recognised by their sequence numbers.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        Ok(())
    }
}

fn checksum(payload: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(payload);
    crc.sum()
}

/// Returns the payloads of the whole frames at the beginning of `bytes` and their total length.
fn whole_frames(bytes: &[u8]) -> io::Result<(Vec<Vec<u8>>, usize)> {
    let mut payloads = Vec::new();
    let mut at = 0;
    while let Some(payload) = frame_at(bytes, at) {
        payloads.push(payload.to_vec());
        at += HEADER + payload.len();
    }
    if let Some(length) = announced_length(bytes, at)
        && frame_at(bytes, at + HEADER + length).is_some()
    {
        let message = format!("the log is damaged at byte {at}; remove it to lose what it holds");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok((payloads, at))
}

/// The length that the header at `at` claims, if it can be one. No frame is empty, so that a tail
/// of zeros is not a row of frames.
fn announced_length(bytes: &[u8], at: usize) -> Option<usize> {
    let header = bytes.get(at..at.checked_add(4)?)?;
    let length = u32::from_le_bytes(header.try_into().ok()?) as usize;
    (1..=MAX_PAYLOAD).contains(&length).then_some(length)
}

fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = announced_length(bytes, at)?;
    let sum = u32::from_le_bytes(bytes.get(at + 4..at + HEADER)?.try_into().ok()?);
    let payload = bytes.get(at + HEADER..at + HEADER + length)?;
    (checksum(payload) == sum).then_some(payload)
}

/// One write on its way into a frame.
#[derive(Clone, Copy)]
pub(super) struct WriteRef<'a> {
    /// Whether it replaces a document of the same id.
    pub replaces: bool,
    /// The document's id.
    pub id: &'a str,
    /// The document as JSON.
    pub source: &'a [u8],
}

/// One write of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedWrite {
    /// Whether it replaces a document of the same id.
    pub replaces: bool,
    /// The document's id.
    pub id: String,
    /// The document as JSON.
    pub source: Vec<u8>,
}

/// A whole frame, header and payload.
pub(super) struct Frame(Vec<u8>);

impl Frame {
    fn of(payload: impl FnOnce(&mut Vec<u8>), size: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + size);
        bytes.resize(HEADER, 0);
        payload(&mut bytes);
        let (header, payload) = bytes.split_at_mut(HEADER);
        header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[4..].copy_from_slice(&checksum(payload).to_le_bytes());
        Self(bytes)
    }
}

/// Returns the frame of `writes`: the sequence number of the first, then the writes.
pub(super) fn encode(first_sequence: u64, writes: &[WriteRef<'_>]) -> Frame {
    let size: usize = writes.iter().map(|write| write.id.len() + write.source.len() + 7).sum();
    let payload = |bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&first_sequence.to_le_bytes());
        for write in writes {
            bytes.push(u8::from(write.replaces));
            bytes.extend_from_slice(&(write.id.len() as u16).to_le_bytes());
            bytes.extend_from_slice(write.id.as_bytes());
            bytes.extend_from_slice(&(write.source.len() as u32).to_le_bytes());
            bytes.extend_from_slice(write.source);
        }
    };
    Frame::of(payload, size + 8)
}

/// Reads the payload of what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(payload: &[u8]) -> Option<(u64, Vec<LoggedWrite>)> {
    let (sequence, mut rest) = payload.split_first_chunk::<8>()?;
    let mut writes = Vec::new();
    while let Some((replaces, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<2>()?;
        let (id, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let (source, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let id = String::from_utf8(id.to_vec()).ok()?;
        writes.push(LoggedWrite { replaces: *replaces == 1, id, source: source.to_vec() });
        rest = after;
    }
    Some((u64::from_le_bytes(*sequence), writes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITES: [WriteRef<'static>; 2] = [
        WriteRef { replaces: false, id: "a", source: b"{}" },
        WriteRef { replaces: true, id: "b", source: b"{\"x\":1}" },
    ];

    fn frame(payload: &[u8]) -> Frame {
        Frame::of(|bytes| bytes.extend_from_slice(payload), payload.len())
    }

    fn reopen(path: &Path, bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        std::fs::write(path, bytes)?;
        Log::open(path).map(|(_, payloads)| payloads)
    }

    #[test]
    fn frames_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::open(&path).unwrap();
        log.append(&encode(7, &WRITES)).unwrap();
        drop(log);
        let (_, payloads) = Log::open(&path).unwrap();
        let (first_sequence, writes) = decode(&payloads[0]).unwrap();
        assert_eq!(first_sequence, 7);
        for (read, written) in writes.iter().zip(WRITES) {
            assert_eq!((read.replaces, read.id.as_str()), (written.replaces, written.id));
            assert_eq!(read.source, written.source);
        }
        assert_eq!(writes.len(), 2);
    }

    #[test]
    fn a_last_frame_torn_at_any_byte_is_ignored_and_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::open(&path).unwrap();
        log.append(&frame(b"first")).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len() as usize;
        log.append(&frame(b"second")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut log, payloads) = Log::open(&path).unwrap();
            assert_eq!(payloads, [b"first"], "cut at {cut}");
            log.append(&frame(b"third")).unwrap();
            let (_, payloads) = Log::open(&path).unwrap();
            assert_eq!(payloads, [b"first", b"third"], "cut at {cut}");
        }
    }

    #[test]
    fn a_last_frame_damaged_at_any_byte_is_never_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::open(&path).unwrap();
        log.append(&frame(b"first")).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len() as usize;
        log.append(&frame(b"second")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for at in whole..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert_eq!(reopen(&path, &damaged).unwrap(), [b"first"], "damage at {at}");
        }
        let mut zeros = bytes[..whole].to_vec();
        zeros.resize(whole + 100, 0);
        assert_eq!(reopen(&path, &zeros).unwrap(), [b"first"]);
    }

    #[test]
    fn damage_before_acknowledged_frames_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::open(&path).unwrap();
        log.append(&frame(b"first")).unwrap();
        log.append(&frame(b"second")).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        let error = reopen(&path, &bytes).unwrap_err();
        assert!(error.to_string().contains("damaged at byte 0"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn other_payloads_are_refused_without_panic() {
        let frame = encode(1, &WRITES[..1]);
        let payload = &frame.0[HEADER..];
        for cut in 9..payload.len() {
            assert_eq!(decode(&payload[..cut]), None);
        }
        assert_eq!(decode(b"short"), None);
    }
}
