//! What per-flow checks found, waiting for its window to close.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::features::{HostKey, mix};
use crate::model::Timestamp;

/// Size of the pieces in which notes are handed over: many fit into a message.
const PIECE_BYTES: usize = 64 << 10;

/// What is noted of one host.
pub(super) trait Note: Default + Serialize + DeserializeOwned {
    /// Adds what was noted of the same host elsewhere. Neither order nor grouping matters.
    fn merge(&mut self, other: Self);
}

/// Notes by rank and host. The rank mixes the address: ascending addresses would favour some.
type Hosts<V> = BTreeMap<(u64, HostKey), V>;

/// Notes per window and host: at most `cap` hosts in each window, those with the smallest rank. What
/// is kept depends on the hosts alone: one that was pushed out can never come back.
#[derive(Debug)]
pub(super) struct Pending<V> {
    windows: VecDeque<(Timestamp, Hosts<V>)>,
    cap: usize,
}

impl<V: Note> Pending<V> {
    /// Returns an empty table.
    pub(super) fn new(cap: usize) -> Self {
        Self { windows: VecDeque::new(), cap }
    }

    /// Returns the note of a host in the window that starts at `start`; `None` when the host does
    /// not belong to the `cap` hosts that the window may hold.
    pub(super) fn note(&mut self, start: Timestamp, host: HostKey) -> Option<&mut V> {
        // Few windows are open at once, and nearly all flows belong to the newest.
        let place = self.windows.iter().rposition(|(known, _)| *known == start);
        let place = place.unwrap_or_else(|| {
            self.windows.push_back((start, Hosts::new()));
            self.windows.len() - 1
        });
        let (_, notes) = &mut self.windows[place];
        let key = (mix(host.sketch_key()), host);
        if notes.len() >= self.cap && !notes.contains_key(&key) {
            if notes.last_key_value().is_none_or(|(last, _)| *last < key) {
                return None;
            }
            notes.pop_last();
        }
        Some(notes.entry(key).or_default())
    }

    /// Returns the notes of all windows that started at `start` or before, by host in ascending
    /// order; later ones stay.
    pub(super) fn take_until(&mut self, start: Timestamp) -> Vec<(HostKey, V)> {
        let mut taken = BTreeMap::<HostKey, V>::new();
        self.windows.retain_mut(|(known, notes)| {
            let is_due = *known <= start;
            if is_due {
                for ((_, host), note) in std::mem::take(notes) {
                    taken.entry(host).or_default().merge(note);
                }
            }
            !is_due
        });
        taken.into_iter().collect()
    }

    /// As [`Pending::take_until`], as pieces that [`Pending::add`] takes.
    pub(super) fn take_pieces_until(&mut self, start: Timestamp) -> Vec<Vec<u8>> {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for noted in self.take_until(start) {
            let bytes = postcard::to_allocvec(&noted).expect("a vector takes what has a form");
            match pieces.last_mut() {
                Some(piece) if piece.len() + bytes.len() <= PIECE_BYTES => piece.extend(bytes),
                _ => pieces.push(bytes),
            }
        }
        pieces
    }

    /// Adds a piece to the notes of the window that starts at `start`; damaged ones change nothing.
    pub(super) fn add(&mut self, start: Timestamp, piece: &[u8]) -> Result<(), postcard::Error> {
        let mut notes = Vec::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let noted: (HostKey, V);
            (noted, rest) = postcard::take_from_bytes(rest)?;
            notes.push(noted);
        }
        for (host, note) in notes {
            if let Some(known) = self.note(start, host) {
                known.merge(note);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Note for u32 {
        fn merge(&mut self, other: Self) {
            *self += other;
        }
    }

    fn host(n: u32) -> HostKey {
        HostKey::new(std::net::Ipv4Addr::from_bits(n).into())
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn notes_wait_for_their_window_and_come_sorted() {
        let mut pending = Pending::<u32>::new(10);
        *pending.note(time(60), host(2)).unwrap() += 1;
        *pending.note(time(0), host(3)).unwrap() += 1;
        *pending.note(time(0), host(1)).unwrap() += 1;
        *pending.note(time(0), host(3)).unwrap() += 1;
        assert_eq!(pending.take_until(time(0)), [(host(1), 1), (host(3), 2)]);
        assert_eq!(pending.take_until(time(60)), [(host(2), 1)]);
        assert_eq!(pending.take_until(time(60)), []);
    }

    #[test]
    fn notes_of_a_window_that_never_closed_join_those_of_the_next() {
        let mut pending = Pending::<u32>::new(10);
        *pending.note(time(0), host(1)).unwrap() += 1;
        *pending.note(time(60), host(1)).unwrap() += 1;
        assert_eq!(pending.take_until(time(60)), [(host(1), 2)]);
    }

    #[test]
    fn whom_a_full_window_keeps_does_not_depend_on_the_order() {
        let kept = |hosts: &mut dyn Iterator<Item = u32>| {
            let mut pending = Pending::<u32>::new(5);
            for n in hosts {
                if let Some(note) = pending.note(time(0), host(n)) {
                    *note += 1;
                }
            }
            pending.take_until(time(0))
        };
        let forth = kept(&mut (0..100).chain(0..100));
        assert_eq!(forth, kept(&mut (0..100).chain(0..100).rev()));
        assert_eq!(forth.iter().map(|(_, count)| count).collect::<Vec<_>>(), [&2; 5]);
    }

    #[test]
    fn many_notes_are_handed_over_in_pieces() {
        let mut pending = Pending::<u32>::new(20_000);
        (0..20_000).for_each(|n| *pending.note(time(0), host(n)).unwrap() += n);
        let mut other = Pending::<u32>::new(20_000);
        let pieces = pending.take_pieces_until(time(0));
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        pieces.iter().rev().for_each(|piece| other.add(time(0), piece).unwrap());
        let expected: Vec<_> = (0..20_000).map(|n| (host(n), n)).collect();
        assert_eq!(other.take_until(time(0)), expected);
    }
}
