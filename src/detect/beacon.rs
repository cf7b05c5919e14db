//! Beacons: a host calls another one at regular intervals, for an hour or for weeks.
//!
//! Each (client, server, service) has a histogram of the intervals between its contacts, with bins
//! of equal ratio: constant memory, whatever the period. Regular is what has nearly all intervals
//! within a factor of two, contacts of much the same size, and few others that call the same server:
//! what everybody polls is an update server, not a command server. A call that a host has made ever
//! since it was first seen is a habit and scores low.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, ConversationKey, HostKey, HostsWindow, PairsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, is_group};

use super::alarms;
use super::recent::{Recent, Saved, note_host};
use super::rules::{Keys, fact, over_threshold, rule_probability};
use super::services::service_words;
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "beacon";
/// Regular calls to a rare server are mostly programs that nobody thought of.
const PROBABILITY: f64 = 1e-2;
/// The first bin ends here; shorter intervals are bursts of one contact or worse.
const SHORTEST_SECONDS: f64 = 10.0;
/// Bins per factor of two: a beacon may vary so much.
const BINS_PER_DOUBLING: f64 = 8.0;
/// Beyond four weeks all intervals count alike.
const LAST_BIN: u8 = 143;
/// Flows that begin so soon after the last contact belong to it.
const SAME_CONTACT_SECONDS: f64 = 3.0;
/// What a host did within so many windows of its first one is a habit.
const HABIT_WINDOWS: i64 = 60;
/// A habit is told, below what wakes anybody up; so is who calls from outside.
const HABIT_STRENGTH: f64 = 0.2;
/// Clients kept per server.
const CLIENTS: usize = 8;

/// Settings of the detector `beacon`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Contacts that make a rhythm; at least 4.
    pub min_contacts: u64,
    /// Hours over which they are spread; positive.
    pub min_hours: f64,
    /// Shortest period in seconds; at least 10.
    pub min_period_seconds: f64,
    /// Share (0–1) of the intervals that lie within a factor of two. At random it is 0.25.
    pub min_share: f64,
    /// Standard deviation of the bytes of a contact, as a share of their mean; positive.
    pub max_size_variation: f64,
    /// Hosts inside that call the same service, at most; at least 1.
    pub max_clients: usize,
    /// Ports of services that are called regularly by design.
    pub ignored_ports: Vec<u16>,
    /// Days after which a relation without contact is forgotten; at least 1.
    pub memory_days: u32,
    /// Relations that are remembered; at least 2. When there are more, the longest unseen go. About
    /// 300 bytes each.
    pub max_relations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_contacts: 12,
            min_hours: 1.0,
            min_period_seconds: 20.0,
            min_share: 0.8,
            max_size_variation: 0.6,
            max_clients: 3,
            ignored_ports: vec![53, 123],
            memory_days: 7,
            max_relations: 50_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_contacts", self.min_contacts, 4)?;
        keys.positive("min_hours", self.min_hours)?;
        keys.positive("min_period_seconds", self.min_period_seconds)?;
        keys.fraction("min_share", self.min_share)?;
        keys.positive("max_size_variation", self.max_size_variation)?;
        keys.at_least("max_clients", self.max_clients as u64, 1)?;
        keys.at_least("memory_days", u64::from(self.memory_days), 1)?;
        keys.at_least("max_relations", self.max_relations as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(Beacon {
            internal: context.internal.clone(),
            relations: Recent::new(self.max_relations),
            servers: Recent::new(self.max_relations),
            hosts: Recent::new(self.max_relations),
            touched: Vec::new(),
            config: self.clone(),
        })
    }
}

/// The rhythm of one relation.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Rhythm {
    /// Start of the first and of the last contact, in nanoseconds.
    first: i64,
    last: i64,
    contacts: u64,
    /// Intervals by bin, ascending.
    bins: Vec<(u8, u32)>,
    /// Sums of the bytes of contacts and of their squares, in bytes.
    bytes: u64,
    squares: u128,
    /// The client did this within an hour of its first sighting, or is outside.
    is_habit: bool,
}

impl Rhythm {
    fn note(&mut self, begun: i64, bytes: u64) {
        let seconds = (begun - self.last) as f64 / 1e9;
        if self.contacts > 0 && seconds < SAME_CONTACT_SECONDS {
            return;
        }
        if self.contacts > 0 {
            let bin = bin_of(seconds);
            match self.bins.binary_search_by_key(&bin, |(known, _)| *known) {
                Ok(place) => self.bins[place].1 = self.bins[place].1.saturating_add(1),
                Err(place) => self.bins.insert(place, (bin, 1)),
            }
        } else {
            self.first = begun;
        }
        self.last = self.last.max(begun);
        self.contacts += 1;
        // A petabyte a contact is no beacon; the squares stay within their type.
        let bytes = bytes.min(1 << 50);
        self.bytes = self.bytes.saturating_add(bytes);
        self.squares = self.squares.saturating_add(u128::from(bytes) * u128::from(bytes));
    }

    /// The largest share of intervals within a factor of two, and the period in seconds there.
    fn regularity(&self) -> (f64, f64) {
        let all: u64 = self.bins.iter().map(|(_, count)| u64::from(*count)).sum();
        let mut best = (0, 0);
        for (place, &(bin, _)) in self.bins.iter().enumerate() {
            let end = u16::from(bin) + BINS_PER_DOUBLING as u16;
            let within =
                self.bins[place..].iter().take_while(|(other, _)| u16::from(*other) <= end);
            let (mut count, mut weighted) = (0u64, 0u64);
            for (other, n) in within {
                count += u64::from(*n);
                weighted += u64::from(*n) * u64::from(*other);
            }
            if count > best.0 {
                best = (count, weighted);
            }
        }
        let (count, weighted) = best;
        if count == 0 {
            return (0.0, 0.0);
        }
        (count as f64 / all as f64, seconds_of(weighted as f64 / count as f64))
    }

    /// Standard deviation of the bytes of a contact as a share of their mean.
    fn size_variation(&self) -> f64 {
        let n = self.contacts.max(1) as f64;
        let mean = self.bytes as f64 / n;
        let variance = (self.squares as f64 / n - mean * mean).max(0.0);
        if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
    }

    fn hours(&self) -> f64 {
        (self.last - self.first) as f64 / 3.6e12
    }
}

fn bin_of(seconds: f64) -> u8 {
    let bin = (seconds / SHORTEST_SECONDS).log2() * BINS_PER_DOUBLING;
    bin.ceil().clamp(0.0, f64::from(LAST_BIN)) as u8
}

/// The middle of a bin.
fn seconds_of(bin: f64) -> f64 {
    SHORTEST_SECONDS * ((bin - 0.5) / BINS_PER_DOUBLING).exp2()
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    relations: Saved<ConversationKey, Rhythm>,
    servers: Saved<(HostKey, u16), Vec<HostKey>>,
    hosts: Saved<HostKey, Option<i64>>,
}

struct Beacon {
    config: Config,
    internal: InternalNetworks,
    relations: Recent<ConversationKey, Rhythm>,
    /// Who calls a service, up to [`CLIENTS`].
    servers: Recent<(HostKey, u16), Vec<HostKey>>,
    /// The number of the first window of a client.
    hosts: Recent<HostKey, Option<i64>>,
    /// Relations with a contact in the open long window.
    touched: Vec<ConversationKey>,
}

/// A relation that looks like a beacon.
struct Suspect {
    key: ConversationKey,
    share: f64,
    period: f64,
    variation: f64,
    clients: usize,
    strength: f64,
}

impl Detector for Beacon {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let state = State {
            relations: self.relations.save(),
            servers: self.servers.save(),
            hosts: self.hosts.save(),
        };
        alarms::save(&state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State = alarms::restore(ID, state)?;
        self.relations.restore(state.relations);
        self.servers.restore(state.servers);
        self.hosts.restore(state.hosts);
        Ok(())
    }

    fn close_pairs(&mut self, window: &PairsWindow, _findings: &mut Vec<Finding>) {
        let minute = window.span.minute();
        for c in &window.conversations {
            if self.is_followed(c) {
                self.note(c, minute);
            }
        }
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        let oldest = now - i64::from(self.config.memory_days) * 1_440;
        if now % 60 == 0 {
            self.relations.forget_before(oldest);
            self.servers.forget_before(oldest);
            self.hosts.forget_before(oldest);
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut suspects: Vec<_> = touched.iter().filter_map(|key| self.judge(*key)).collect();
        // The worst service of a pair speaks for it.
        suspects.sort_by(|a, b| {
            let pair = |suspect: &Suspect| (suspect.key.0, suspect.key.1);
            pair(a).cmp(&pair(b)).then(b.strength.total_cmp(&a.strength)).then(a.key.cmp(&b.key))
        });
        suspects.dedup_by_key(|suspect| (suspect.key.0, suspect.key.1));
        findings.extend(suspects.iter().filter_map(|suspect| self.finding(window, suspect)));
    }
}

impl Beacon {
    fn is_followed(&self, c: &Conversation) -> bool {
        let is_inside = |host: HostKey| self.internal.contains(host.ip());
        [Protocol::TCP.0, Protocol::UDP.0].contains(&c.protocol)
            && !self.config.ignored_ports.contains(&c.port)
            && !is_group(c.server.ip())
            && c.counters.connections() > 0
            && !(is_inside(c.client) && is_inside(c.server))
    }

    fn note(&mut self, c: &Conversation, minute: i64) {
        let first = *self.hosts.see(c.client, minute).get_or_insert(minute);
        let is_inside = self.internal.contains(c.client.ip());
        let clients = self.servers.see((c.server, c.port), minute);
        if is_inside {
            note_host(clients, c.client, CLIENTS);
        }
        let key = c.key();
        let rhythm = self.relations.see(key, minute);
        if rhythm.contacts == 0 {
            rhythm.is_habit = !is_inside || minute < first + HABIT_WINDOWS;
        }
        let bytes = c.counters.bytes_up.saturating_add(c.counters.bytes_down);
        rhythm.note(c.counters.begun.nanos(), bytes);
        self.touched.push(key);
    }

    fn judge(&self, key: ConversationKey) -> Option<Suspect> {
        let rhythm = self.relations.get(&key)?;
        let config = &self.config;
        if rhythm.contacts < config.min_contacts || rhythm.hours() < config.min_hours {
            return None;
        }
        let clients = self.servers.get(&(key.1, key.3)).map_or(0, Vec::len);
        let (share, period) = rhythm.regularity();
        let variation = rhythm.size_variation();
        let is_beacon = share >= config.min_share
            && period >= config.min_period_seconds
            && variation <= config.max_size_variation
            && clients <= config.max_clients;
        if !is_beacon {
            return None;
        }
        let regular = (share - config.min_share) / (1.0 - config.min_share).max(1e-9);
        let alike = 1.0 - variation / config.max_size_variation;
        let lasting = (rhythm.contacts as f64 / config.min_contacts as f64).ln() / 10f64.ln();
        let strength = 0.4 * regular + 0.3 * alike + 0.3 * lasting.min(1.0);
        let strength = if rhythm.is_habit { strength * HABIT_STRENGTH } else { strength };
        Some(Suspect { key, share, period, variation, clients, strength: strength.clamp(0.0, 1.0) })
    }

    fn finding(&self, window: &HostsWindow, suspect: &Suspect) -> Option<Finding> {
        let rhythm = self.relations.get(&suspect.key)?;
        let (client, server, protocol, port) = suspect.key;
        let subject = crate::model::Subject::Pair(client.ip(), server.ip());
        Some(Finding {
            detector: ID,
            kind: Kind::Beacon,
            subject,
            window: window.span,
            probability: rule_probability(PROBABILITY, suspect.strength),
            strength: suspect.strength,
            features: vec![
                over_threshold("regular_share", suspect.share, self.config.min_share),
                fact("period_seconds", suspect.period.round()),
                over_threshold("contacts", rhythm.contacts as f64, self.config.min_contacts as f64),
                fact("size_variation", suspect.variation),
                fact("clients", suspect.clients as f64),
            ],
            reason: format!(
                "{} contacts on {} about every {:.0} s over {:.1} h, {:.0} % of the intervals within a factor of two",
                rhythm.contacts,
                service_words(protocol, port),
                suspect.period,
                rhythm.hours(),
                100.0 * suspect.share,
            ),
            related: Vec::new(),
            services: vec![ServicePort { protocol: Protocol(protocol), port }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Flow, Subject};
    use crate::testkit::flow;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    /// The client is known for two hours before.
    fn calls(count: usize, mut pause: impl FnMut() -> f64) -> Vec<Flow> {
        let mut second = 7_200.0;
        let mut flows = vec![flow().from("10.0.0.7").to("203.0.113.1").at(0).build()];
        for _ in 0..count {
            let call = flow().from("10.0.0.7").to("198.51.100.6").to_port(443);
            flows.push(call.bytes(600).returned(900, 5).at(second as i64).build());
            second += pause();
        }
        flows
    }

    #[test]
    fn calls_with_jitter_are_a_beacon_whatever_the_period() {
        for period in [60.0, 300.0, 3_600.0] {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            let findings = found(&calls(80, || period * random.random_range(0.75..1.25)));
            let pair = Subject::Pair([10, 0, 0, 7].into(), [198, 51, 100, 6].into());
            assert!(!findings.is_empty(), "{period}");
            let last = findings.last().unwrap();
            assert_eq!(last.subject, pair);
            assert!(last.strength > 0.7, "{period}: {}", last.strength);
            let said = last.features[1].actual;
            assert!((said / period - 1.0).abs() < 0.1, "{period}: {said}");
        }
    }

    #[test]
    fn contacts_at_random_and_in_bursts_are_none() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let poisson = calls(400, || -200.0 * random.random::<f64>().max(1e-9).ln() + 4.0);
        assert!(found(&poisson).is_empty());
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let bursts = calls(400, || if random.random_bool(0.1) { 1_800.0 } else { 12.0 });
        assert!(found(&bursts).is_empty());
    }

    #[test]
    fn what_many_poll_is_no_beacon_and_a_habit_scores_low() {
        let mut flows = calls(60, || 300.0);
        for host in 8..14 {
            let call = flow().from(&format!("10.0.0.{host}")).to("198.51.100.6").to_port(443);
            flows.push(call.at(3_000).build());
        }
        assert!(found(&flows).is_empty());
        let habit: Vec<_> = calls(60, || 300.0).split_off(1);
        let last = found(&habit).pop().unwrap();
        assert!(last.strength <= HABIT_STRENGTH, "{}", last.strength);
    }
}
