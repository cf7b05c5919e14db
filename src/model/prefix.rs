//! Values by address prefix.

use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net};

/// Values by address prefix; of several prefixes around an address the longest counts, of several
/// values for one prefix the first. IPv4-mapped prefixes and addresses are those of IPv4.
///
/// ```
/// use flowsentry::model::PrefixMap;
/// let map: PrefixMap<_> =
///     [("10.0.0.0/8", "all"), ("10.1.0.0/16", "one")].map(|(net, name)| (net.parse().unwrap(), name))
///         .into_iter().collect();
/// assert_eq!(map.get("10.1.2.3".parse().unwrap()), Some(&"one"));
/// assert_eq!(map.get("10.2.2.3".parse().unwrap()), Some(&"all"));
/// ```
#[derive(Clone, Debug)]
pub struct PrefixMap<V> {
    v4: Prefixes<u32, V>,
    v6: Prefixes<u128, V>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self { v4: Prefixes::default(), v6: Prefixes::default() }
    }
}

impl<V> FromIterator<(IpNet, V)> for PrefixMap<V> {
    fn from_iter<I: IntoIterator<Item = (IpNet, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (net, value) in entries {
            match canonical_net(net) {
                IpNet::V4(net) => {
                    map.v4.insert(net.network().to_bits(), net.broadcast().to_bits(), value);
                }
                IpNet::V6(net) => {
                    map.v6.insert(net.network().to_bits(), net.broadcast().to_bits(), value);
                }
            }
        }
        map.v4.settle();
        map.v6.settle();
        map
    }
}

impl<V> PrefixMap<V> {
    /// The value of the longest prefix around `ip`. One search among single addresses by hash, and
    /// one among the prefixes by halving, whatever their lengths.
    pub fn get(&self, ip: IpAddr) -> Option<&V> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.get(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(ip.to_bits()),
        }
    }

    /// The values of all prefixes around `ip`, the longest prefix first.
    pub fn around(&self, ip: IpAddr) -> Vec<&V> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.around(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.around(ip.to_bits()),
        }
    }

    /// The number of distinct prefixes.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A prefix of IPv4-mapped addresses as the IPv4 prefix that it is, every other as it stands;
/// without host bits.
pub fn canonical_net(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V6(net) if net.prefix_len() >= 96 => net
            .network()
            .to_ipv4_mapped()
            .and_then(|ip| Ipv4Net::new(ip, net.prefix_len() - 96).ok()),
        _ => None,
    };
    mapped.map_or(net, IpNet::V4).trunc()
}

/// Prefixes of one address family: single addresses, and ranges, of which two overlap only when one
/// holds the other.
#[derive(Clone, Debug)]
struct Prefixes<K, V> {
    singles: HashMap<K, V>,
    /// After [`Prefixes::settle`] ascending by first address, outer ranges before inner ones.
    ranges: Vec<Range<K, V>>,
}

#[derive(Clone, Debug)]
struct Range<K, V> {
    first: K,
    last: K,
    /// The next range around this one.
    outer: Option<usize>,
    value: V,
}

impl<K, V> Default for Prefixes<K, V> {
    fn default() -> Self {
        Self { singles: HashMap::new(), ranges: Vec::new() }
    }
}

impl<K: Copy + Ord + Hash, V> Prefixes<K, V> {
    fn insert(&mut self, first: K, last: K, value: V) {
        if first == last {
            self.singles.entry(first).or_insert(value);
        } else {
            self.ranges.push(Range { first, last, outer: None, value });
        }
    }

    /// Puts the ranges in order for the search.
    fn settle(&mut self) {
        self.ranges.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        self.ranges.dedup_by(|later, kept| (later.first, later.last) == (kept.first, kept.last));
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.ranges.len() {
            while open.last().is_some_and(|&outer| self.ranges[outer].last < self.ranges[at].first)
            {
                open.pop();
            }
            self.ranges[at].outer = open.last().copied();
            open.push(at);
        }
    }

    fn get(&self, key: K) -> Option<&V> {
        if let Some(value) = self.singles.get(&key) {
            return Some(value);
        }
        self.innermost(key).map(|range| &range.value)
    }

    /// The smallest range that holds `key`.
    fn innermost(&self, key: K) -> Option<&Range<K, V>> {
        // Whatever holds the key begins at or before it, and holds the last range that does.
        let after = self.ranges.partition_point(|range| range.first <= key);
        let mut range = &self.ranges[after.checked_sub(1)?];
        while range.last < key {
            range = &self.ranges[range.outer?];
        }
        Some(range)
    }

    fn around(&self, key: K) -> Vec<&V> {
        let outer = |range: &&Range<K, V>| range.outer.map(|outer| &self.ranges[outer]);
        let ranges = std::iter::successors(self.innermost(key), outer);
        self.singles.get(&key).into_iter().chain(ranges.map(|range| &range.value)).collect()
    }

    fn len(&self) -> usize {
        self.singles.len() + self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::testkit::ip;

    fn map(entries: &[(&str, u8)]) -> PrefixMap<u8> {
        entries.iter().map(|(net, value)| (net.parse().unwrap(), *value)).collect()
    }

    #[test]
    fn the_longest_prefix_counts_in_both_families() {
        let map = map(&[
            ("0.0.0.0/0", 1),
            ("10.0.0.0/8", 2),
            ("10.1.0.0/16", 3),
            ("10.1.2.3/32", 4),
            ("2001:db8::/32", 5),
            ("2001:db8:7::/48", 6),
            ("::ffff:192.0.2.0/120", 7),
        ]);
        assert_eq!(map.len(), 7);
        for (address, value) in [
            ("8.8.8.8", Some(1)),
            ("10.200.0.1", Some(2)),
            ("10.1.2.4", Some(3)),
            ("10.2.0.0", Some(2)),
            ("::ffff:10.1.2.3", Some(4)),
            ("2001:db8::1", Some(5)),
            ("2001:db8:7:1::1", Some(6)),
            ("192.0.2.9", Some(7)),
            ("2001:db9::", None),
        ] {
            assert_eq!(map.get(ip(address)).copied(), value, "{address}");
        }
    }

    #[test]
    fn host_bits_do_not_matter_and_the_first_value_stays() {
        let map = map(&[("10.1.2.3/8", 1), ("10.0.0.0/8", 2), ("10.0.0.1/32", 3)]);
        assert_eq!((map.len(), map.get(ip("10.9.9.9"))), (2, Some(&1)));
        assert!(PrefixMap::<u8>::default().is_empty());
    }

    proptest! {
        #[test]
        fn a_look_up_is_the_search_through_all_prefixes(
            nets in prop::collection::vec((any::<u16>(), 0u8..=32), 0..40),
            asked in any::<u16>(),
        ) {
            // 16 varying bits in the middle make hits and nesting likely.
            let bits = |bits: u16| 198 << 24 | u32::from(bits) << 8;
            let nets: Vec<_> = nets
                .into_iter()
                .map(|(at, length)| Ipv4Net::new(Ipv4Addr::from_bits(bits(at)), length).unwrap())
                .collect();
            let map: PrefixMap<u8> =
                nets.iter().map(|&net| (IpNet::V4(net), net.prefix_len())).collect();
            let asked = Ipv4Addr::from_bits(bits(asked));
            let around = nets.iter().filter(|net| net.contains(&asked));
            let longest = around.map(Ipv4Net::prefix_len).max();
            prop_assert_eq!(map.get(asked.into()).copied(), longest);
            let mut lengths: Vec<_> = nets.iter().filter(|net| net.contains(&asked)).collect();
            lengths.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
            let mut lengths: Vec<_> = lengths.into_iter().map(Ipv4Net::prefix_len).collect();
            lengths.dedup();
            let around: Vec<_> = map.around(asked.into()).into_iter().copied().collect();
            prop_assert_eq!(around, lengths);
            // The same prefixes as those of mapped addresses.
            let mapped: PrefixMap<u8> = nets
                .iter()
                .map(|net| {
                    let address = net.addr().to_ipv6_mapped();
                    let net6 = ipnet::Ipv6Net::new(address, 96 + net.prefix_len()).unwrap();
                    (IpNet::V6(net6), net.prefix_len())
                })
                .collect();
            let asked: Ipv6Addr = asked.to_ipv6_mapped();
            prop_assert_eq!(mapped.get(asked.into()).copied(), longest);
        }
    }
}
