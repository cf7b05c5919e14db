//! What each host has already done: an odd host that stays as it is is no news.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::features::HostKey;

/// Hosts whose scores are remembered in one window: the highest.
const PER_WINDOW: usize = 16;
/// Hosts that are remembered; beyond it those with the lowest scores go. About 40 bytes each.
const MOST: usize = 2_000;
/// A score is news when it is so many times the highest that the host had.
const NEWS: f64 = 1.5;

/// The highest raw scores of hosts, which fade.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Habits {
    /// Score and the window in which it was.
    hosts: BTreeMap<HostKey, (f64, i64)>,
}

impl Habits {
    /// Returns whether each score is news for its host, and remembers the highest. `half_life` is in
    /// windows.
    pub(super) fn news(
        &mut self,
        window: i64,
        half_life: u64,
        scores: &[(HostKey, f64)],
    ) -> Vec<bool> {
        let half_life = half_life.max(1) as f64;
        let faded = |(score, when): (f64, i64)| {
            score * 0.5f64.powf((window - when).max(0) as f64 / half_life)
        };
        let habit = |host: &HostKey| self.hosts.get(host).map_or(0.0, |known| faded(*known));
        let habits: Vec<_> = scores.iter().map(|(host, _)| habit(host)).collect();
        let pairs = scores.iter().zip(&habits);
        let news = pairs.map(|((_, score), habit)| *score >= NEWS * habit).collect();
        let mut order: Vec<_> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].1.total_cmp(&scores[a].1).then(a.cmp(&b)));
        for &place in order.iter().take(PER_WINDOW) {
            let (host, score) = scores[place];
            if score > habits[place] {
                self.hosts.insert(host, (score, window));
            }
        }
        if self.hosts.len() > MOST {
            let mut levels: Vec<_> =
                self.hosts.iter().map(|(host, s)| (faded(*s), *host)).collect();
            levels.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            // Some more than needed, so that this is rare.
            for (_, host) in levels.iter().take(self.hosts.len() - MOST + MOST / 8) {
                self.hosts.remove(host);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ip;

    #[test]
    fn an_odd_host_is_news_once_and_again_when_it_gets_odder() {
        let host = HostKey::new(ip("10.0.0.1"));
        let mut habits = Habits::default();
        let mut news = |window, score| habits.news(window, 100, &[(host, score)])[0];
        assert!(news(0, 8.0) && !news(1, 8.0) && !news(2, 10.0));
        assert!(news(3, 30.0));
        assert!(news(500, 8.0), "forgotten");
    }

    #[test]
    fn only_so_many_hosts_are_remembered() {
        let mut habits = Habits::default();
        for n in 0..5_000u32 {
            let host = HostKey::new(std::net::Ipv4Addr::from_bits(n).into());
            habits.news(n.into(), 1_000_000, &[(host, f64::from(n % 100) + 1.0)]);
        }
        assert!(habits.hosts.len() <= MOST);
    }
}
