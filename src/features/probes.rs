//! What one source tried in vain: the raw material of scan detection.
//!
//! A spoofed flood makes a hundred thousand sources with one probe each, so the single probe is kept
//! inline. From the second on, hosts and ports are counted exactly as far as memory is bounded: the
//! tables keep the [`KEPT`] keys with the smallest hash, which is a function of the union alone (a
//! key that was pushed out can never come back), so order and batching do not matter.

use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use super::hashing::{HostKey, combine, mix};
use super::ports::PortSet;

/// How many hosts and how many ports are followed one by one.
pub const KEPT: usize = 32;

/// The probes of one source in one window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum ProbeLog {
    /// None.
    #[default]
    None,
    /// Exactly one target (any number of times).
    One {
        /// The probed host.
        host: HostKey,
        /// The probed port; `None` for ICMP.
        port: Option<u16>,
        /// How many probes.
        count: u64,
    },
    /// Several targets.
    Many(Box<Probes>),
}

/// Several probes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Probes {
    /// How many flows were probes.
    pub count: u64,
    /// Distinct probed hosts.
    pub hosts: Distinct,
    /// Distinct (host, port) targets.
    pub targets: Distinct,
    /// Distinct probed ports.
    pub ports: PortSet,
    /// Ports probed on each of up to [`KEPT`] hosts.
    #[serde(with = "kept")]
    by_host: Vec<(HostKey, PortSet)>,
    /// Hosts probed on each of up to [`KEPT`] ports (`None` = ICMP).
    #[serde(with = "kept")]
    by_port: Vec<(Option<u16>, Distinct)>,
}

impl ProbeLog {
    /// Adds one probe.
    pub fn insert(&mut self, host: HostKey, port: Option<u16>) {
        self.insert_times(host, port, 1);
    }

    fn insert_times(&mut self, host: HostKey, port: Option<u16>, times: u64) {
        match self {
            Self::None => *self = Self::One { host, port, count: times },
            Self::One { host: known, port: known_port, count } => {
                if *known == host && *known_port == port {
                    *count = count.saturating_add(times);
                    return;
                }
                let mut probes = Box::<Probes>::default();
                probes.insert(*known, *known_port, *count);
                probes.insert(host, port, times);
                *self = Self::Many(probes);
            }
            Self::Many(probes) => probes.insert(host, port, times),
        }
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::None) => {}
            (_, &Self::One { host, port, count }) => self.insert_times(host, port, count),
            (Self::Many(probes), Self::Many(others)) => probes.merge(others),
            (Self::None | Self::One { .. }, Self::Many(_)) => {
                let few = std::mem::replace(self, other.clone());
                self.merge(&few);
            }
        }
    }

    /// How many flows were probes.
    pub fn count(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::One { count, .. } => *count,
            Self::Many(probes) => probes.count,
        }
    }
}

impl Probes {
    fn insert(&mut self, host: HostKey, port: Option<u16>, count: u64) {
        self.count = self.count.saturating_add(count);
        let host_key = host.sketch_key();
        self.hosts.insert(host_key);
        // ICMP gets a port number of its own beyond the 16-bit ones.
        let port_key = port.map_or(1 << 16, u64::from);
        self.targets.insert(combine(host_key, port_key));
        let ports = keep(&mut self.by_host, host, rank_host);
        if let Some(port) = port {
            self.ports.insert(port);
            if let Some(ports) = ports {
                ports.insert(port);
            }
        }
        if let Some(hosts) = keep(&mut self.by_port, port, rank_port) {
            hosts.insert(host_key);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.hosts.merge(&other.hosts);
        self.targets.merge(&other.targets);
        self.ports.merge(&other.ports);
        for (host, theirs) in &other.by_host {
            if let Some(ports) = keep(&mut self.by_host, *host, rank_host) {
                ports.merge(theirs);
            }
        }
        for (port, theirs) in &other.by_port {
            if let Some(hosts) = keep(&mut self.by_port, *port, rank_port) {
                hosts.merge(theirs);
            }
        }
    }

    /// The followed host with the most probed ports, and these ports; ties go to the lower address.
    pub fn most_probed_host(&self) -> Option<(HostKey, &PortSet)> {
        let best = self
            .by_host
            .iter()
            .max_by_key(|(host, ports)| (ports.count(), std::cmp::Reverse(*host)));
        best.map(|(host, ports)| (*host, ports))
    }

    /// The followed port with the most probed hosts (`None` inside = ICMP), and how many; ties go to
    /// the lower port.
    pub fn most_probed_port(&self) -> Option<(Option<u16>, u64)> {
        let best = self
            .by_port
            .iter()
            .max_by_key(|(port, hosts)| (hosts.count(), std::cmp::Reverse(*port)));
        best.map(|(port, hosts)| (*port, hosts.count()))
    }

    /// The followed hosts with their probed ports; in no fixed order.
    pub fn hosts_with_ports(&self) -> impl Iterator<Item = (HostKey, &PortSet)> {
        self.by_host.iter().map(|(host, ports)| (*host, ports))
    }

    /// The followed ports (`None` = ICMP) with the number of probed hosts; in no fixed order.
    pub fn ports_with_hosts(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        self.by_port.iter().map(|(port, hosts)| (*port, hosts.count()))
    }
}

fn rank_host(host: HostKey) -> u64 {
    mix(host.sketch_key())
}

fn rank_port(port: Option<u16>) -> u64 {
    mix(port.map_or(1 << 16, u64::from))
}

/// Returns the entry of `key` among the [`KEPT`] keys with the smallest rank (use [`mix`]; of equal
/// ranks the smaller key), making room for it when it ranks low enough; `None` when it does not
/// belong to them. What is kept depends on the keys alone, not on their order.
pub fn keep<K: Copy + Ord, V: Default>(
    table: &mut Vec<(K, V)>,
    key: K,
    rank: impl Fn(K) -> u64,
) -> Option<&mut V> {
    keep_some(table, key, KEPT, rank)
}

/// [`keep`] with room for `most` keys.
pub(super) fn keep_some<K: Copy + Ord, V: Default>(
    table: &mut Vec<(K, V)>,
    key: K,
    most: usize,
    rank: impl Fn(K) -> u64,
) -> Option<&mut V> {
    if let Some(place) = table.iter().position(|(known, _)| *known == key) {
        return Some(&mut table[place].1);
    }
    if table.len() < most {
        table.push((key, V::default()));
    } else {
        let (worst, worst_rank) = table
            .iter()
            .enumerate()
            .map(|(place, (known, _))| (place, (rank(*known), *known)))
            .max_by_key(|&(_, rank)| rank)?;
        if (rank(key), key) > worst_rank {
            return None;
        }
        table.swap_remove(worst);
        table.push((key, V::default()));
    }
    table.last_mut().map(|(_, value)| value)
}

/// [`keep_some`] of a table in ascending order, which stays so.
pub(super) fn keep_in_order<K: Copy + Ord, V: Default>(
    table: &mut Vec<(K, V)>,
    key: K,
    most: usize,
    rank: impl Fn(K) -> u64,
) -> Option<&mut V> {
    let place = match table.binary_search_by_key(&key, |(known, _)| *known) {
        Ok(place) => place,
        Err(_) => {
            keep_some(table, key, most, rank)?;
            table.sort_unstable_by_key(|(known, _)| *known);
            table.binary_search_by_key(&key, |(known, _)| *known).ok()?
        }
    };
    Some(&mut table[place].1)
}

/// A table of [`keep`] in messages: ascending keys, so that the order of insertion does not show.
mod kept {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::KEPT;
    use crate::features::wire::is_ascending;

    pub(super) fn serialize<S, K, V>(table: &[(K, V)], serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        K: Copy + Ord + Serialize,
        V: Serialize,
    {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D, K, V>(deserializer: D) -> Result<Vec<(K, V)>, D::Error>
    where
        D: Deserializer<'de>,
        K: Copy + Ord + Deserialize<'de>,
        V: Deserialize<'de>,
    {
        let table = Vec::<(K, V)>::deserialize(deserializer)?;
        let is_table = table.len() <= KEPT && is_ascending(&table, |(key, _)| *key);
        is_table.then_some(table).ok_or_else(|| D::Error::custom("more keys than are kept"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(n: u32) -> HostKey {
        HostKey::new(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
    }

    fn log(targets: &[(u32, u16)]) -> ProbeLog {
        let mut log = ProbeLog::default();
        targets.iter().for_each(|&(n, port)| log.insert(host(n), Some(port)));
        log
    }

    /// Probes, hosts, targets, the most probed host and the most probed port.
    type Facts = (u64, u64, u64, Option<(HostKey, u64)>, Option<(Option<u16>, u64)>);

    fn facts(log: &ProbeLog) -> Facts {
        let ProbeLog::Many(probes) = log else { return (log.count(), 0, 0, None, None) };
        (
            probes.count,
            probes.hosts.count(),
            probes.targets.count(),
            probes.most_probed_host().map(|(host, ports)| (host, ports.count())),
            probes.most_probed_port(),
        )
    }

    #[test]
    fn a_vertical_scan_names_its_victim_and_ports() {
        let targets: Vec<_> = (1..=150).map(|port| (21, port)).chain([(9, 53)]).collect();
        let ProbeLog::Many(probes) = log(&targets) else { panic!("several targets") };
        let (victim, ports) = probes.most_probed_host().unwrap();
        assert_eq!((victim, ports.count()), (host(21), 150));
    }

    proptest! {
        #[test]
        fn the_order_of_probes_does_not_matter(
            mut targets in prop::collection::vec((0u32..80, 0u16..80), 0..400),
            seed in any::<u64>(),
        ) {
            let before = facts(&log(&targets));
            targets.sort_by_key(|&(n, port)| mix(seed ^ u64::from(n) << 16 ^ u64::from(port)));
            prop_assert_eq!(before, facts(&log(&targets)));
        }

        #[test]
        fn probes_in_parts_are_the_probes_in_one(
            targets in prop::collection::vec((0u32..80, 0u16..80), 0..400),
            parts in prop::collection::vec(0usize..3, 400),
        ) {
            let part = |n| {
                let own = targets.iter().zip(&parts).filter(|(_, part)| **part == n);
                log(&own.map(|(target, _)| *target).collect::<Vec<_>>())
            };
            let mut merged = part(2);
            merged.merge(&part(0));
            merged.merge(&part(1));
            let whole = postcard::to_allocvec(&log(&targets)).unwrap();
            prop_assert_eq!(&postcard::to_allocvec(&merged).unwrap(), &whole);
            let read: ProbeLog = postcard::from_bytes(&whole).unwrap();
            prop_assert_eq!(facts(&read), facts(&merged));
        }
    }
}
