//! Lists of addresses and prefixes: reading and looking up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::model::{PrefixMap, Timestamp, canonical_net};

/// How many rejected entries are kept to show.
const SAMPLES: usize = 5;
/// Longest part of a rejected entry that is kept.
const SAMPLE_CHARS: usize = 60;
/// Prefixes shorter than this would list a good part of the Internet by one typing error.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;
/// Prefixes that no list may cover: "bogon" lists hold them, and they are our own networks. A
/// single address out of them can be listed.
const LOCAL: [&str; 9] = [
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// What one list names: addresses and prefixes in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    nets: Vec<IpNet>,
    accepted: u64,
    rejected: u64,
    samples: Vec<String>,
}

impl Entries {
    /// Reads a list: addresses (IPv4, IPv6, with or without `:port`) and CIDR prefixes, separated by
    /// line ends or commas; what follows `#` or `;` on a line, or a blank in an entry, is comment.
    /// So plain lists, `address#…` lists of reputation feeds, and one-line files are read alike.
    ///
    /// Entries that cannot be read are counted and sampled, as are prefixes that cover private,
    /// local or multicast networks or most of the Internet.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut list = Self::default();
        for line in bytes.split(|&byte| byte == b'\n' || byte == b'\r') {
            let end = line.iter().position(|&byte| byte == b'#' || byte == b';');
            for entry in line[..end.unwrap_or(line.len())].split(|&byte| byte == b',') {
                list.read(entry);
            }
        }
        list.nets.sort_unstable();
        list.nets.dedup();
        list
    }

    /// Reads one entry; counts what is none.
    fn read(&mut self, entry: &[u8]) {
        let is_wrapping = |byte: &u8| byte.is_ascii_whitespace() || b"\"'[]".contains(byte);
        let Some(first) = entry.iter().position(|byte| !is_wrapping(byte)) else { return };
        let word = &entry[first..];
        let end = word.iter().position(is_wrapping).unwrap_or(word.len());
        if let Some(net) = std::str::from_utf8(&word[..end]).ok().and_then(net_of) {
            self.accepted += 1;
            return self.nets.push(net);
        }
        self.rejected += 1;
        if self.samples.len() < SAMPLES {
            let text = String::from_utf8_lossy(word);
            self.samples.push(text.trim_end().chars().take(SAMPLE_CHARS).collect());
        }
    }

    /// The number of distinct addresses and prefixes.
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// How many entries could be used, repeated ones counted again.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many entries could not be used.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The first few entries that could not be used.
    pub fn rejected_samples(&self) -> &[String] {
        &self.samples
    }
}

/// One entry a line, as [`Entries::parse`] reads them.
impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nets.iter().try_for_each(|net| match net.prefix_len() == net.max_prefix_len() {
            true => writeln!(f, "{}", net.addr()),
            false => writeln!(f, "{net}"),
        })
    }
}

/// A list that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedList {
    /// Its name in the settings.
    pub name: String,
    /// When it was fetched.
    pub fetched: Timestamp,
}

impl NamedList {
    /// How old it is at `time`, in hours; below 0 when it was fetched later.
    pub fn age_hours(&self, time: Timestamp) -> f64 {
        time.seconds_since(self.fetched) / 3_600.0
    }
}

/// A set of addresses and prefixes that knows which lists they come from.
///
/// ```
/// use flowsentry::detect::Blacklist;
/// let list = Blacklist::parse(b"# bad\n104.197.185.83\n198.51.100.0/24 ; comment\n");
/// assert!(list.contains("198.51.100.9".parse().unwrap()));
/// assert!(!list.contains("192.168.1.1".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Blacklist {
    /// A bit for each list that has the prefix.
    nets: PrefixMap<u32>,
    names: Vec<NamedList>,
    beyond: usize,
}

/// The bit of entries without a name.
const UNNAMED: u32 = 1 << 31;

impl Blacklist {
    /// The most lists with names.
    pub const MAX_NAMED: usize = 31;

    /// Returns the list of what `bytes` hold, without a name; see [`Entries::parse`].
    pub fn parse(bytes: &[u8]) -> Self {
        Self::merge(&Entries::parse(bytes), Vec::new(), usize::MAX)
    }

    /// Returns what is in any of the lists, first of `own`, which has no name, then of the `named`
    /// ones in their order: at most `max_entries` distinct entries. Further lists than
    /// [`Self::MAX_NAMED`] count as without a name.
    pub fn merge(own: &Entries, named: Vec<(NamedList, Entries)>, max_entries: usize) -> Self {
        let mut list = Self::default();
        let mut bits: HashMap<IpNet, u32> = HashMap::new();
        let mut add = |bit: u32, entries: &Entries| {
            for net in &entries.nets {
                if let Some(known) = bits.get_mut(net) {
                    *known |= bit;
                } else if bits.len() < max_entries {
                    bits.insert(*net, bit);
                } else {
                    list.beyond += 1;
                }
            }
        };
        add(UNNAMED, own);
        for (place, (name, entries)) in named.into_iter().enumerate() {
            let is_named = place < Self::MAX_NAMED;
            add(if is_named { 1 << place } else { UNNAMED }, &entries);
            if is_named {
                list.names.push(name);
            }
        }
        list.nets = bits.into_iter().collect();
        list
    }

    /// Whether the address, or a prefix around it, is listed. One search among the addresses by
    /// hash, and one among the prefixes by halving, whatever their lengths.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.nets.get(ip).is_some()
    }

    /// The lists with a name that hold the address or a prefix around it, in their order.
    pub fn lists_of(&self, ip: IpAddr) -> Vec<&NamedList> {
        let bits = self.nets.around(ip).into_iter().fold(0, |all, bits| all | bits);
        let places = self.names.iter().enumerate();
        places.filter(|(place, _)| bits & (1 << place) != 0).map(|(_, name)| name).collect()
    }

    /// The number of distinct addresses and prefixes.
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// How many entries found no room.
    pub fn beyond(&self) -> usize {
        self.beyond
    }
}

/// Returns the network of an entry, in IPv4 where it is mapped; `None` when it is none or too broad.
fn net_of(entry: &str) -> Option<IpNet> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(IpNet::from(ip.to_canonical()));
    }
    if let Ok(socket) = entry.parse::<SocketAddr>() {
        return Some(IpNet::from(socket.ip().to_canonical()));
    }
    let net = canonical_net(entry.parse::<IpNet>().ok()?);
    let is_single = net.prefix_len() == net.max_prefix_len();
    let shortest = if net.addr().is_ipv4() { SHORTEST_V4 } else { SHORTEST_V6 };
    let is_usable = is_single || (net.prefix_len() >= shortest && !is_local(&net));
    is_usable.then_some(net)
}

fn is_local(net: &IpNet) -> bool {
    let locals = LOCAL.iter().filter_map(|local| local.parse::<IpNet>().ok());
    locals.into_iter().any(|local| local.contains(net) || net.contains(&local))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;

    use super::*;
    use crate::testkit::ip;
    use proptest::prelude::*;

    #[test]
    fn every_published_form_is_read() {
        for text in [
            "104.197.185.83\n104.197.185.84\n",
            "104.197.185.83#4#2#Malicious Host#US#City#1.0,2.0#3\r\n104.197.185.84 # seen twice\r\n",
            "104.197.185.83,104.197.185.84",
            "\"104.197.185.83\", '104.197.185.84'",
            "# head, with comma\n; more\n\n104.197.185.83/32 ; SBL1\n  104.197.185.84:8080\n",
            "::ffff:104.197.185.83\n::ffff:104.197.185.84/128\n",
        ] {
            let entries = Entries::parse(text.as_bytes());
            assert_eq!((entries.len(), entries.rejected()), (2, 0), "{text}");
            let list = Blacklist::parse(text.as_bytes());
            assert!(list.contains(ip("104.197.185.83")) && list.contains(ip("104.197.185.84")));
            assert!(!list.contains(ip("192.168.1.1")) && !list.contains(ip("46.148.20.25")));
        }
    }

    #[test]
    fn prefixes_of_both_families_are_looked_up() {
        let list = Blacklist::parse(b"198.51.100.9/24\n2001:db8:7::/48\n2001:db8::1\n");
        assert_eq!(list.len(), 3);
        assert!(list.contains(ip("198.51.100.200")) && list.contains(ip("::ffff:198.51.100.1")));
        assert!(list.contains(ip("2001:db8:7:1::5")) && list.contains(ip("2001:db8::1")));
        assert!(!list.contains(ip("198.51.101.1")) && !list.contains(ip("2001:db8::2")));
    }

    #[test]
    fn bad_and_too_broad_entries_are_counted_and_sampled() {
        let text = b"ok.example\n1.2.3\n0.0.0.0/0\n10.0.0.0/8\n192.168.0.0/24\n2000::/3\n\xff\xfe\n1.2.3.4\n";
        let list = Entries::parse(text);
        assert_eq!((list.len(), list.rejected()), (1, 7));
        assert_eq!(
            list.rejected_samples(),
            ["ok.example", "1.2.3", "0.0.0.0/0", "10.0.0.0/8", "192.168.0.0/24"]
        );
    }

    #[test]
    fn every_local_network_is_a_network() {
        assert!(LOCAL.iter().all(|local| local.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn a_single_private_address_can_be_listed() {
        assert!(Blacklist::parse(b"10.0.0.66").contains(ip("10.0.0.66")));
    }

    fn named(name: &str, text: &str) -> (NamedList, Entries) {
        let fetched = Timestamp::from_seconds(0);
        (NamedList { name: name.to_owned(), fetched }, Entries::parse(text.as_bytes()))
    }

    #[test]
    fn every_list_around_an_address_is_named() {
        let lists = vec![
            named("one", "198.51.100.7\n203.0.113.0/24"),
            named("two", "198.51.100.0/24"),
            named("three", "198.51.100.7\n198.51.100.0/25"),
        ];
        let list = Blacklist::merge(&Entries::parse(b"192.0.2.1,203.0.113.9"), lists, 100);
        let names = |address: &str| {
            let lists = list.lists_of(ip(address)).into_iter();
            lists.map(|list| list.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("198.51.100.7"), "one two three");
        assert_eq!(names("198.51.100.8"), "two three");
        assert_eq!(names("198.51.100.200"), "two");
        assert_eq!(names("203.0.113.9"), "one");
        assert_eq!(names("192.0.2.1"), "");
        assert!(list.contains(ip("192.0.2.1")) && !list.contains(ip("192.0.2.2")));
    }

    #[test]
    fn what_goes_beyond_the_limit_is_counted_and_first_lists_go_first() {
        let lists = vec![named("one", "198.51.100.1"), named("two", "192.0.2.1,198.51.100.9")];
        let list = Blacklist::merge(&Entries::parse(b"192.0.2.1"), lists, 2);
        assert_eq!((list.len(), list.beyond()), (2, 1));
        assert!(list.contains(ip("198.51.100.1")) && !list.contains(ip("198.51.100.9")));
        assert_eq!(list.lists_of(ip("192.0.2.1")).len(), 1, "known entries need no room");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Entries::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read_again(
            v4 in prop::collection::vec((any::<u32>(), 8u8..=32), 0..30),
            v6 in prop::collection::vec((any::<u128>(), 16u8..=128), 0..30),
        ) {
            let v4 = v4.into_iter().map(|(bits, length)| format!("{}/{length}", Ipv4Addr::from_bits(bits)));
            let v6 = v6.into_iter().map(|(bits, length)| {
                format!("{}/{length}", std::net::Ipv6Addr::from_bits(bits))
            });
            let text = v4.chain(v6).collect::<Vec<_>>().join(",");
            let entries = Entries::parse(text.as_bytes());
            let again = Entries::parse(entries.to_string().as_bytes());
            prop_assert_eq!(again.rejected(), 0);
            prop_assert_eq!(again.nets, entries.nets);
        }

        #[test]
        fn a_look_up_is_the_search_through_all_prefixes(
            nets in prop::collection::vec((any::<u16>(), 8u8..=32), 0..30),
            asked in any::<u16>(),
        ) {
            // 198.0.0.0/8 holds no local network; 16 varying bits make hits likely.
            let ip = |bits: u16| Ipv4Addr::from_bits(198 << 24 | u32::from(bits) << 8);
            let nets: Vec<_> = nets
                .into_iter()
                .map(|(bits, length)| Ipv4Net::new(ip(bits), length).unwrap())
                .collect();
            let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
            let list = Blacklist::parse(text.as_bytes());
            let expected = nets.iter().any(|net| net.contains(&ip(asked)));
            prop_assert_eq!(list.contains(ip(asked).into()), expected);
        }
    }
}
