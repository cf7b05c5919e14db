//! Traffic from or to listed addresses (S1.6).
//!
//! Both ends of every flow are looked up, late flows included. The listed address is the subject,
//! its peers are related; a contact that our side opened weighs more than a probe from outside.

mod list;
mod settings;
mod shared;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::features::{HostKey, HostsWindow, keep, mix};
use crate::model::{
    Endpoint, Finding, Flow, Kind, Protocol, Role, SettingError, Subject, TcpFlags, Timestamp,
    WindowSpan,
};

use super::pending::{Note, Pending};
use super::rules::{
    Keys, counted, fact, list_ports, log_strength, most_involved, rule_probability,
};
use super::{Configured, Context, Detector, NotesError, Settings};

pub use list::{Blacklist, Entries, NamedList};
pub use settings::{FeedSettings, FeedSslSettings};
pub use shared::SharedList;

const ID: &str = "blacklist";
/// Public lists are wrong now and then, and scanners knock at every door.
const PROBABILITY: f64 = 1e-4;
/// A thousand flows in a window add all that counting can add.
const TOP: f64 = 1_000.0;
/// How many lists a finding names.
const NAMED_LISTS: usize = 3;

/// Settings of the detector `blacklist`. The files are read at the edge, which hands their content
/// over by [`SharedList`], so that it can change at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Files of listed addresses and prefixes, one a line or separated by commas; read again when
    /// they change.
    pub files: Vec<PathBuf>,
    /// Lists that are fetched on schedule, from addresses or files. What was fetched last is kept in
    /// `feeds` in `path.data` and used for as long as nothing better comes.
    pub feeds: Vec<FeedSettings>,
    /// When feeds are fetched: a cron expression in UTC. Every worker fetches for itself, so that
    /// none needs another; the same moment keeps their lists equal. What fails is tried again after
    /// a quarter of an hour.
    pub refresh: String,
    /// Most seconds that fetching one feed may take (1–3,600).
    pub timeout_seconds: u32,
    /// `ssl.*`.
    pub ssl: FeedSslSettings,
    /// Addresses and prefixes in all lists together, at least 1; some 30 bytes each, several times
    /// that while lists are read. What goes beyond is counted and left out, the last feeds first.
    pub max_entries: usize,
    /// Listed addresses that are noted in one window (60 s); at least 1. Up to 2 KB each. In a
    /// window with more, an even sample of them is named.
    pub max_hosts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            files: Vec::new(),
            feeds: Vec::new(),
            refresh: "17 */6 * * *".to_owned(),
            timeout_seconds: 60,
            ssl: FeedSslSettings::default(),
            max_entries: 1_000_000,
            max_hosts: 10_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("max_hosts", self.max_hosts as u64, 1)?;
        keys.at_least("max_entries", self.max_entries as u64, 1)?;
        if !(1..=3_600).contains(&self.timeout_seconds) {
            let problem = format!("must lie between 1 and 3600, got {}", self.timeout_seconds);
            return Err(SettingError::new(format!("detectors.{ID}.timeout_seconds"), problem));
        }
        settings::check(&self.feeds)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(Listed::new(self, context.blacklist.clone()))
    }
}

/// Flows of one listed address in one window.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Hits {
    /// Flows that it sent.
    from: u64,
    /// Flows that it was sent.
    to: u64,
    /// Contacts that the other side opened and that were no mere probes.
    sought: u64,
    /// Contacts that it opened and that were no mere probes.
    served: u64,
    /// Flows per peer, for the peers with the smallest hash.
    #[serde(serialize_with = "in_order")]
    peers: Vec<(HostKey, u64)>,
    /// Flows per service port, for the ports with the smallest hash.
    #[serde(serialize_with = "in_order")]
    ports: Vec<(u16, u64)>,
}

impl Hits {
    fn add(&mut self, flow: &Flow, is_source: bool) {
        let opens = flow.role() == Role::Initiator;
        let (peer, service): (Endpoint, Endpoint) = (
            if is_source { flow.destination } else { flow.source },
            if opens { flow.destination } else { flow.source },
        );
        self.from += u64::from(is_source);
        self.to += u64::from(!is_source);
        let is_contact = !flow.is_probe() && !is_refusal(flow);
        self.sought += u64::from(is_contact && is_source != opens);
        self.served += u64::from(is_contact && is_source == opens);
        if let Some(ip) = peer.ip
            && let Some(count) = keep(&mut self.peers, HostKey::new(ip), rank_host)
        {
            *count += 1;
        }
        if let Some(port) = service.port
            && let Some(count) = keep(&mut self.ports, port, rank_port)
        {
            *count += 1;
        }
    }

    /// Half for what was done, half for how often.
    fn strength(&self) -> f64 {
        let deed = match (self.sought > 0, self.served > 0) {
            (true, _) => 0.5,
            (false, true) => 0.25,
            (false, false) => 0.0,
        };
        let flows = self.from.saturating_add(self.to);
        deed + 0.5 * log_strength(flows as f64, 1.0, TOP)
    }
}

impl Note for Hits {
    fn merge(&mut self, other: Self) {
        self.from = self.from.saturating_add(other.from);
        self.to = self.to.saturating_add(other.to);
        self.sought = self.sought.saturating_add(other.sought);
        self.served = self.served.saturating_add(other.served);
        for (host, flows) in other.peers {
            if let Some(count) = keep(&mut self.peers, host, rank_host) {
                *count = count.saturating_add(flows);
            }
        }
        for (port, flows) in other.ports {
            if let Some(count) = keep(&mut self.ports, port, rank_port) {
                *count = count.saturating_add(flows);
            }
        }
    }
}

fn rank_host(host: HostKey) -> u64 {
    mix(host.sketch_key())
}

fn rank_port(port: u16) -> u64 {
    mix(u64::from(port))
}

/// Writes a table of [`keep`] so that the order of insertion does not show.
fn in_order<K: Copy + Ord + Serialize, S: Serializer>(
    table: &[(K, u64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut table = table.to_vec();
    table.sort_unstable();
    table.serialize(serializer)
}

/// Whether the flow is nothing but a refusal: a lone TCP reset or an ICMP message.
fn is_refusal(flow: &Flow) -> bool {
    let is_icmp = flow.protocol.is_some_and(Protocol::is_icmp);
    let is_reset =
        flow.tcp_flags.is_some_and(|flags| flags.has(TcpFlags::RST) && !flags.has(TcpFlags::SYN));
    is_icmp || (is_reset && flow.sent.packets <= 1)
}

struct Listed {
    shared: SharedList,
    list: Arc<Blacklist>,
    generation: u64,
    pending: Pending<Hits>,
}

impl Detector for Listed {
    fn id(&self) -> &'static str {
        ID
    }

    fn observe(&mut self, flow: &Flow, window: WindowSpan) {
        self.follow();
        if self.list.is_empty() {
            return;
        }
        for (end, is_source) in [(flow.source, true), (flow.destination, false)] {
            if let Some(ip) = end.ip
                && self.list.contains(ip)
                && let Some(hits) = self.pending.note(window.start, HostKey::new(ip))
            {
                hits.add(flow, is_source);
            }
        }
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        // A judge of partials sees no flows.
        self.follow();
        let noted = self.pending.take_until(window.span.start);
        let list = &self.list;
        findings.extend(
            noted
                .into_iter()
                .map(|(host, hits)| finding(window.span, host, hits, &list.lists_of(host.ip()))),
        );
    }

    fn take_notes(&mut self, start: Timestamp) -> Vec<Vec<u8>> {
        self.pending.take_pieces_until(start)
    }

    fn add_notes(&mut self, start: Timestamp, notes: &[u8]) -> Result<(), NotesError> {
        self.pending.add(start, notes).map_err(|source| NotesError { detector: ID, source })
    }
}

impl Listed {
    fn new(config: &Config, shared: SharedList) -> Self {
        let (generation, list) = shared.current();
        Self { shared, list, generation, pending: Pending::new(config.max_hosts) }
    }

    /// Takes over a list that was swapped.
    fn follow(&mut self) {
        if let Some((generation, list)) = self.shared.newer_than(self.generation) {
            (self.generation, self.list) = (generation, list);
        }
    }
}

/// Lists in words, with their age at `end`: ` by a (3 hours old), b (2 days old) and 1 more`.
fn listed_by(lists: &[&NamedList], end: Timestamp) -> String {
    let named = lists.iter().take(NAMED_LISTS);
    let mut words: Vec<_> =
        named.map(|list| format!("{} ({})", list.name, age_words(list.age_hours(end)))).collect();
    match words.len() {
        0 => return String::new(),
        _ if lists.len() > NAMED_LISTS => words.push(format!("{} more", lists.len() - NAMED_LISTS)),
        _ => {}
    }
    match words.split_last() {
        Some((last, [])) => format!(" by {last}"),
        Some((last, rest)) => format!(" by {} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn age_words(hours: f64) -> String {
    match hours {
        hours if hours < 0.0 => "fetched later".to_owned(),
        hours if hours < 1.0 => "less than an hour old".to_owned(),
        hours if hours < 48.0 => format!("{} old", counted(hours as u64, "hour")),
        hours => format!("{} old", counted((hours / 24.0) as u64, "day")),
    }
}

fn finding(window: WindowSpan, host: HostKey, hits: Hits, lists: &[&NamedList]) -> Finding {
    let end = window.start.plus_seconds(i64::from(window.seconds));
    let strength = hits.strength();
    let mut ports: Vec<_> = hits.ports.iter().map(|&(port, _)| port).collect();
    ports.sort_unstable();
    let at_ports = match ports.len() {
        0 => String::new(),
        1 => format!(", port {}", ports[0]),
        _ => format!(", ports {}", list_ports(&ports)),
    };
    let related = most_involved(hits.peers.iter().map(|(peer, n)| (peer.ip(), *n)).collect());
    let peers = match (&related[..], hits.peers.len()) {
        ([], _) => String::new(),
        ([only], _) => format!(" with {only}"),
        ([first, ..], n) => format!(" with {first} and {}", counted(n as u64 - 1, "other host")),
    };
    let opened = match (hits.sought, hits.served) {
        (0, 0) => "nothing but probes".to_owned(),
        (0, served) => format!("{} opened by it", counted(served, "contact")),
        (sought, _) => format!("{} to it", counted(sought, "contact")),
    };
    let mut features = vec![
        fact("flows_from_listed", hits.from as f64),
        fact("flows_to_listed", hits.to as f64),
        fact("contacts_to_listed", hits.sought as f64),
    ];
    let ages = lists.iter().map(|list| list.age_hours(end).max(0.0));
    if let Some(age) = ages.min_by(f64::total_cmp) {
        features.push(fact("list_age_hours", age));
    }
    Finding {
        detector: ID,
        kind: Kind::Blacklist,
        subject: Subject::Source(host.ip()),
        window,
        probability: rule_probability(PROBABILITY, strength),
        strength,
        features,
        reason: format!(
            "is listed{} and had contact{peers}: {} from it, {} to it within {} s{at_ports} ({opened})",
            listed_by(lists, end),
            counted(hits.from, "flow"),
            counted(hits.to, "flow"),
            window.seconds,
        ),
        related,
        services: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::testkit::{FlowBuilder, flow, ip};
    use proptest::prelude::*;

    fn found(flows: impl IntoIterator<Item = FlowBuilder>) -> Vec<Finding> {
        let shared = SharedList::default();
        shared.set(Arc::new(Blacklist::parse(b"104.197.185.83\n198.51.100.0/24\n")));
        let flows: Vec<_> = flows.into_iter().map(FlowBuilder::build).collect();
        run(&mut Listed::new(&Config::default(), shared), &flows)
    }

    #[test]
    fn a_listed_address_is_found_in_both_directions() {
        let findings = found([
            flow().from("10.0.0.5").to("104.197.185.83").to_port(443).flags(0x1b),
            flow().from("104.197.185.83").from_port(443).to("10.0.0.5").to_port(50_000).flags(0x1b),
        ]);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subject, Subject::Source(ip("104.197.185.83")));
        assert_eq!(finding.related, [ip("10.0.0.5")]);
        assert_eq!(
            finding.reason,
            "is listed and had contact with 10.0.0.5: 1 flow from it, 1 flow to it within 60 s, \
             port 443 (2 contacts to it)"
        );
    }

    #[test]
    fn others_are_not_found() {
        assert_eq!(found([flow().from("192.168.1.1").to("46.148.20.25")]), []);
    }

    #[test]
    fn a_contact_from_our_side_weighs_more_than_a_probe_from_outside() {
        let probe = found([flow().from("198.51.100.7").to_port(22).syn()]).remove(0);
        let contact = found([flow().to("198.51.100.7").to_port(443).flags(0x1b)]).remove(0);
        assert_eq!((probe.strength, contact.strength), (0.0, 0.5));
        assert!(probe.reason.ends_with("(nothing but probes)"), "{}", probe.reason);
    }

    #[test]
    fn a_refused_probe_is_still_nothing_but_a_probe() {
        let refused = found([
            flow().from("198.51.100.7").from_port(50_000).to("10.0.0.2").to_port(22).syn(),
            flow().from("10.0.0.2").from_port(22).to("198.51.100.7").to_port(50_000).flags(0x14),
        ]);
        assert!(refused[0].reason.ends_with("port 22 (nothing but probes)"), "{refused:?}");
    }

    #[test]
    fn lists_are_named_with_their_age_at_the_end_of_the_window() {
        let flows = [flow().to("203.0.113.9").to_port(443).flags(0x1b).build()];
        let end = flows[0].end.floor(60).plus_seconds(60);
        let named = |name: &str, seconds: i64| {
            let fetched = end.plus_seconds(-seconds);
            (NamedList { name: name.to_owned(), fetched }, Entries::parse(b"203.0.113.9"))
        };
        let found = |lists: Vec<(NamedList, Entries)>| {
            let shared = SharedList::default();
            shared.set(Arc::new(Blacklist::merge(&Entries::default(), lists, 10)));
            let finding = run(&mut Listed::new(&Config::default(), shared), &flows).remove(0);
            let age = finding.features.iter().find(|feature| feature.name == "list_age_hours");
            let words = finding.reason.split(" and had").next().unwrap_or_default().to_owned();
            (words, age.map(|age| age.actual))
        };
        assert_eq!(
            found(vec![named("a", 3 * 3_600), named("b", 90 * 3_600)]),
            ("is listed by a (3 hours old) and b (3 days old)".to_owned(), Some(3.0))
        );
        assert_eq!(
            found(vec![named("a", 1_800)]),
            ("is listed by a (less than an hour old)".to_owned(), Some(0.5))
        );
        assert_eq!(
            found(["a", "b", "c", "d", "e"].map(|name| named(name, -1)).to_vec()).0,
            "is listed by a (fetched later), b (fetched later), c (fetched later) and 2 more"
        );
    }

    #[test]
    fn a_new_list_counts_from_the_next_flow() {
        let shared = SharedList::default();
        let mut detector = Listed::new(&Config::default(), shared.clone());
        let flows = [flow().to("203.0.113.9").build()];
        assert_eq!(run(&mut detector, &flows), []);
        shared.set(Arc::new(Blacklist::parse(b"203.0.113.9")));
        assert_eq!(run(&mut detector, &flows).len(), 1);
    }

    proptest! {
        #[test]
        fn the_order_of_flows_does_not_matter(
            ends in prop::collection::vec((0u8..4, 0u8..90, 0u16..90), 0..300),
        ) {
            let one = |&(listed, peer, port): &(u8, u8, u16)| {
                let (listed, peer) = (format!("198.51.100.{listed}"), format!("10.0.0.{peer}"));
                flow().from(&peer).to(&listed).to_port(port)
            };
            let forth = found(ends.iter().map(one));
            let back = found(ends.iter().rev().map(one));
            prop_assert_eq!(forth, back);
        }
    }
}
