//! Bytes → lines, or records with their length before them, in bounded memory whatever the input.

use std::io::{self, Read};

/// One line without its end, or one record with the length before it.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// A whole line.
    Whole(&'a [u8]),
    /// The beginning of a line that is longer than the limit, and its whole length.
    TooLong(&'a [u8], u64),
}

/// Cuts a reader into lines or records of at most `limit` bytes.
pub(super) struct Lines<R> {
    reader: R,
    pub(super) buffer: Vec<u8>,
    /// The unread part of the buffer.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) limit: usize,
    pub(super) ended: bool,
}

/// Read in pieces of this size: large enough that system calls do not count.
const PIECE_BYTES: usize = 256 * 1024;

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, end: 0, limit, ended: false }
    }

    /// Returns the first bytes without consuming them: at least `wanted` unless there are fewer.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.end - self.start < wanted && !self.ended {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Passes over `length` bytes and returns how many of them there were.
    pub(super) fn pass_over(&mut self, length: u64) -> io::Result<u64> {
        let mut left = length;
        loop {
            let here = left.min((self.end - self.start) as u64);
            self.start += here as usize;
            left -= here;
            if left == 0 || self.ended {
                return Ok(length - left);
            }
            self.fill()?;
        }
    }

    /// Returns the next line and how many bytes it took with its end, or `None` at the end.
    ///
    /// With `growing`, a last line without an end is left for later, when more may follow, and the
    /// end of the input is not taken as final.
    pub(super) fn next(&mut self, growing: bool) -> io::Result<Option<(Line<'_>, u64)>> {
        if growing {
            self.ended = false;
        }
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start + searched..self.end];
            if let Some(found) = memchr::memchr(b'\n', unread) {
                let length = searched + found;
                let line = self.start..self.start + length;
                self.start += length + 1;
                let line = &self.buffer[line];
                return Ok(Some((self.bounded(line), length as u64 + 1)));
            }
            searched = self.end - self.start;
            if searched > self.limit {
                return self.skip_long_line().map(Some);
            }
            if self.ended {
                if searched == 0 || growing {
                    return Ok(None);
                }
                let line = self.start..self.end;
                self.start = self.end;
                return Ok(Some((Line::Whole(&self.buffer[line]), searched as u64)));
            }
            self.fill()?;
        }
    }

    fn bounded<'a>(&self, line: &'a [u8]) -> Line<'a> {
        match line.len() > self.limit {
            true => Line::TooLong(&line[..self.limit], line.len() as u64),
            false => Line::Whole(line),
        }
    }

    /// Keeps the beginning of a line longer than the limit and reads past its end.
    fn skip_long_line(&mut self) -> io::Result<(Line<'_>, u64)> {
        let beginning = self.buffer[self.start..self.start + self.limit].to_vec();
        let mut length = (self.end - self.start) as u64;
        self.start = self.end;
        let mut taken = length;
        loop {
            if self.start == self.end {
                if self.ended {
                    break;
                }
                self.fill()?;
                continue;
            }
            let unread = &self.buffer[self.start..self.end];
            match memchr::memchr(b'\n', unread) {
                Some(found) => {
                    length += found as u64;
                    taken = length + 1;
                    self.start += found + 1;
                    break;
                }
                None => {
                    length += unread.len() as u64;
                    taken = length;
                    self.start = self.end;
                }
            }
        }
        Ok((Line::TooLong(self.put_before_rest(&beginning), length), taken))
    }

    /// Puts the kept beginning of a line into the buffer, before the unread rest.
    pub(super) fn put_before_rest(&mut self, beginning: &[u8]) -> &[u8] {
        let rest = self.buffer[self.start..self.end].to_vec();
        self.buffer.clear();
        self.buffer.extend_from_slice(beginning);
        self.buffer.extend_from_slice(&rest);
        self.start = beginning.len();
        self.end = self.buffer.len();
        &self.buffer[..self.start]
    }

    /// Reads one more piece behind the unread part.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.buffer.resize(self.end + PIECE_BYTES, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reader that hands out few bytes at a time.
    struct Drip(io::Cursor<Vec<u8>>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    /// A line, or its beginning and whole length.
    type Found = (Vec<u8>, Option<u64>);

    fn all(bytes: &[u8], limit: usize, drip: usize) -> (Vec<Found>, u64) {
        let mut lines = Lines::new(Drip(io::Cursor::new(bytes.to_vec()), drip), limit);
        let (mut found, mut total) = (Vec::new(), 0);
        while let Some((line, taken)) = lines.next(false).unwrap() {
            total += taken;
            found.push(match line {
                Line::Whole(line) => (line.to_vec(), None),
                Line::TooLong(beginning, length) => (beginning.to_vec(), Some(length)),
            });
        }
        (found, total)
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_however_it_arrives(
            parts in prop::collection::vec((0usize..40, any::<u8>()), 0..30),
            drip in 1usize..50,
            last_end in any::<bool>(),
        ) {
            let limit = 20;
            let expected: Vec<Vec<u8>> =
                parts.iter().map(|&(n, byte)| vec![if byte == b'\n' { b'x' } else { byte }; n]).collect();
            let mut bytes = expected.join(&b'\n');
            if last_end && !bytes.is_empty() { bytes.push(b'\n'); }
            let mut expected: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
            if expected.last().is_some_and(|line| line.is_empty()) { expected.pop(); }
            let (found, total) = all(&bytes, limit, drip);
            prop_assert_eq!(total, bytes.len() as u64);
            prop_assert_eq!(found.len(), expected.len());
            for ((line, long), expected) in found.iter().zip(expected) {
                match long {
                    None => prop_assert_eq!(&line[..], expected),
                    Some(length) => {
                        prop_assert_eq!(*length, expected.len() as u64);
                        prop_assert_eq!(&line[..], &expected[..limit]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_ten_megabyte_line_takes_no_ten_megabytes() {
        let mut bytes = vec![b'x'; 10_000_000];
        bytes.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(io::Cursor::new(bytes), 1 << 20);
        assert!(matches!(lines.next(false).unwrap(), Some((Line::TooLong(_, 10_000_000), _))));
        assert_eq!(lines.next(false).unwrap(), Some((Line::Whole(b"next"), 5)));
        assert!(lines.buffer.capacity() < 4_000_000);
    }

    #[test]
    fn a_growing_input_keeps_an_unfinished_line_for_later() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let append = |text: &str| {
            use std::io::Write;
            std::fs::OpenOptions::new()
                .append(true)
                .open(file.path())
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        append("one\ntw");
        let mut lines = Lines::new(std::fs::File::open(file.path()).unwrap(), 100);
        assert_eq!(lines.next(true).unwrap(), Some((Line::Whole(b"one"), 4)));
        assert_eq!(lines.next(true).unwrap(), None);
        append("o\n");
        assert_eq!(lines.next(true).unwrap(), Some((Line::Whole(b"two"), 4)));
        assert_eq!(lines.next(true).unwrap(), None);
    }
}
