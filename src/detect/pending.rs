//! What per-flow checks found, waiting for its window to close.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::features::HostKey;
use crate::model::Timestamp;

/// Notes per window and host: at most `cap` hosts in each window.
#[derive(Debug)]
pub(super) struct Pending<V> {
    windows: VecDeque<(Timestamp, HashMap<HostKey, V>)>,
    cap: usize,
}

impl<V: Default> Pending<V> {
    /// Returns an empty table.
    pub(super) fn new(cap: usize) -> Self {
        Self { windows: VecDeque::new(), cap }
    }

    /// Returns the note of a host in the window that starts at `start`; `None` when the window
    /// already holds as many hosts as it may.
    pub(super) fn note(&mut self, start: Timestamp, host: HostKey) -> Option<&mut V> {
        // Few windows are open at once, and nearly all flows belong to the newest.
        let place = self.windows.iter().rposition(|(known, _)| *known == start);
        let place = place.unwrap_or_else(|| {
            self.windows.push_back((start, HashMap::new()));
            self.windows.len() - 1
        });
        let (_, notes) = &mut self.windows[place];
        if notes.len() >= self.cap && !notes.contains_key(&host) {
            return None;
        }
        Some(notes.entry(host).or_default())
    }

    /// Returns the notes of all windows that started at `start` or before, by host in ascending
    /// order; later ones stay.
    pub(super) fn take_until(&mut self, start: Timestamp) -> Vec<(HostKey, V)> {
        let mut taken = Vec::new();
        self.windows.retain_mut(|(known, notes)| {
            let is_due = *known <= start;
            if is_due {
                taken.extend(std::mem::take(notes));
            }
            !is_due
        });
        taken.sort_unstable_by_key(|(host, _)| *host);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u32) -> HostKey {
        HostKey::new(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn notes_wait_for_their_window_and_come_sorted() {
        let mut pending = Pending::<u32>::new(10);
        let time = Timestamp::from_seconds;
        *pending.note(time(60), host(2)).unwrap() += 1;
        *pending.note(time(0), host(3)).unwrap() += 1;
        *pending.note(time(0), host(1)).unwrap() += 1;
        *pending.note(time(0), host(3)).unwrap() += 1;
        assert_eq!(pending.take_until(time(0)), [(host(1), 1), (host(3), 2)]);
        assert_eq!(pending.take_until(time(60)), [(host(2), 1)]);
        assert_eq!(pending.take_until(time(60)), []);
    }

    #[test]
    fn a_full_window_still_counts_its_known_hosts() {
        let mut pending = Pending::<u32>::new(1);
        let start = Timestamp::default();
        assert!(pending.note(start, host(1)).is_some());
        assert!(pending.note(start, host(2)).is_none());
        assert!(pending.note(start, host(1)).is_some());
    }
}
