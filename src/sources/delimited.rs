//! Bytes → records with their length before them, in bounded memory whatever the input.

use std::io::{self, Read};

use super::lines::{Line, Lines};
use crate::formats::{RecordLength, record_length};

impl<R: Read> Lines<R> {
    /// Returns the next record of those that have their length before them, and how many bytes it took
    /// with a line feed behind it, or `None` at the end.
    ///
    /// What is longer than the limit is passed over by its length; without a length the rest is lost.
    /// With `growing`, the beginning of a record at the end is left for later.
    pub(super) fn next_delimited(&mut self, growing: bool) -> io::Result<Option<(Line<'_>, u64)>> {
        if growing {
            self.ended = false;
        }
        loop {
            let unread = &self.buffer[self.start..self.end];
            match record_length(unread) {
                RecordLength::Known(length) if length > self.limit as u64 => {
                    return self.skip(length).map(Some);
                }
                RecordLength::Broken => return self.skip(u64::MAX).map(Some),
                RecordLength::Known(length) => {
                    let length = length as usize;
                    let follows = unread.get(length).copied();
                    if unread.len() >= length && (follows.is_some() || self.ended) {
                        let record = self.start..self.start + length;
                        let taken = length + usize::from(follows == Some(b'\n'));
                        self.start += taken;
                        return Ok(Some((Line::Whole(&self.buffer[record]), taken as u64)));
                    }
                }
                RecordLength::Cut => {}
            }
            if self.ended {
                let rest = self.start..self.end;
                if rest.is_empty() || growing {
                    return Ok(None);
                }
                self.start = self.end;
                return Ok(Some((Line::Whole(&self.buffer[rest.clone()]), rest.len() as u64)));
            }
            self.fill()?;
        }
    }

    /// Passes over `length` bytes, or what there is of them, and keeps the beginning.
    fn skip(&mut self, length: u64) -> io::Result<(Line<'_>, u64)> {
        let kept = self.end.min(self.start + self.limit);
        let beginning = self.buffer[self.start..kept].to_vec();
        let taken = self.pass_over(length)?;
        Ok((Line::TooLong(self.put_before_rest(&beginning), taken), taken))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;

    use super::*;

    /// A record of `length` bytes behind its length, in one byte up to 127.
    fn delimited(length: usize) -> Vec<u8> {
        let mut record = vec![0xaa; length];
        match u8::try_from(length).ok().filter(|&byte| byte < 0x80) {
            Some(byte) => record.insert(0, byte),
            None => drop(record.splice(0..0, [length as u8 | 0x80, (length >> 7) as u8])),
        }
        record
    }

    proptest! {
        #[test]
        fn records_are_found_by_their_length_with_or_without_line_feeds(
            lengths in prop::collection::vec((11_usize..400, any::<bool>()), 0..20),
        ) {
            let limit = 300;
            let mut bytes = Vec::new();
            for &(length, line_feed) in &lengths {
                bytes.extend_from_slice(&delimited(length));
                bytes.extend_from_slice(if line_feed { b"\n" } else { b"" });
            }
            let mut lines = Lines::new(Cursor::new(bytes), limit);
            for &(length, line_feed) in &lengths {
                let record = delimited(length);
                let (found, taken) = lines.next_delimited(false).unwrap().expect("one more");
                if record.len() > limit {
                    let length = record.len() as u64;
                    prop_assert_eq!(found, Line::TooLong(&record[..limit], length));
                    // A line feed behind it is a record of its own.
                    if line_feed {
                        let next = lines.next_delimited(false).unwrap();
                        prop_assert_eq!(next, Some((Line::Whole(b"\n"), 1)));
                    }
                } else {
                    prop_assert_eq!(found, Line::Whole(&record));
                    prop_assert_eq!(taken, (record.len() + usize::from(line_feed)) as u64);
                }
            }
            prop_assert_eq!(lines.next_delimited(false).unwrap(), None);
        }
    }

    #[test]
    fn without_a_length_the_rest_is_one_record_in_bounded_memory() {
        let bytes = [delimited(20), vec![0xff; 10_000_000]].concat();
        let mut lines = Lines::new(Cursor::new(bytes), 1 << 20);
        assert_eq!(lines.next_delimited(false).unwrap(), Some((Line::Whole(&delimited(20)), 21)));
        let rest = lines.next_delimited(false).unwrap();
        assert!(matches!(rest, Some((Line::TooLong(_, 10_000_000), 10_000_000))));
        assert_eq!(lines.next_delimited(false).unwrap(), None);
        assert!(lines.buffer.capacity() < 4_000_000);
    }

    #[test]
    fn a_cut_record_ends_a_file_and_waits_where_it_grows() {
        let whole = delimited(200);
        let (first, second) = whole.split_at(120);
        let mut lines = Lines::new(Cursor::new(first.to_vec()), 1_000);
        assert_eq!(lines.next_delimited(false).unwrap(), Some((Line::Whole(first), 120)));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(first).unwrap();
        let mut lines = Lines::new(std::fs::File::open(file.path()).unwrap(), 1_000);
        assert_eq!(lines.next_delimited(true).unwrap(), None);
        file.write_all(second).unwrap();
        assert_eq!(lines.next_delimited(true).unwrap(), Some((Line::Whole(&whole), 202)));
        assert_eq!(lines.next_delimited(true).unwrap(), None);
    }
}
