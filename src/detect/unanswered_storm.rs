//! Storms of unanswered contacts: the same place is tried over and over again, in vain.
//!
//! A command server that went away, a flood from inside, a broken client. A place is a server and
//! one of its services. Scans try many places, each a few times.

use serde::{Deserialize, Serialize};

use crate::features::{ConversationKey, HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{
    Keys, counted, fact, log_strength, most_involved, over_threshold, rule_probability,
};
use super::services::service_words;
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "unanswered_storm";
/// Dead servers are tried by ordinary clients too, now and then.
const PROBABILITY: f64 = 1e-2;
/// A thousand times the threshold is as bad as it gets.
const TOP: f64 = 1_000.0;
/// Of hosts outside, so many times more is needed, in nearly all windows of the memory: the Internet
/// knocks all day, in bursts.
const OUTSIDE_FACTOR: u64 = 4;
const OUTSIDE_SHARE: f64 = 0.8;

/// Settings of the detector `unanswered_storm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) that are remembered; at least 1.
    pub memory_windows: u32,
    /// Unanswered contacts of one host with one service of one server within the memory; at least 2.
    /// Hosts outside (`networks.internal`) need four times as many, in four
    /// windows of five.
    pub min_contacts: u64,
    /// Share (0–1) of the contacts within the memory that stay unanswered.
    pub min_share: f64,
    /// Services in trouble that are remembered; at least 2. When there are more, the longest unseen
    /// go. About 100 bytes each.
    pub max_places: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_windows: 10,
            min_contacts: 8,
            min_share: 0.6,
            max_places: 50_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("memory_windows", u64::from(self.memory_windows), 1)?;
        keys.at_least("min_contacts", self.min_contacts, 2)?;
        keys.fraction("min_share", self.min_share)?;
        keys.at_least("max_places", self.max_places as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        let places = Recent::new(self.max_places);
        Box::new(UnansweredStorm {
            config: self.clone(),
            internal: context.internal.clone(),
            places,
        })
    }
}

/// Contacts by window, oldest first: all, and those without an answer.
type Tries = Vec<(i64, u64, u64)>;

struct UnansweredStorm {
    config: Config,
    internal: InternalNetworks,
    places: Recent<ConversationKey, Tries>,
}

/// A place that is tried in vain.
struct Place {
    key: ConversationKey,
    contacts: u64,
    packets: u64,
}

impl Detector for UnansweredStorm {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.places.save())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<ConversationKey, Tries> = alarms::restore(ID, state)?;
        self.places.restore(saved);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.number();
        let oldest = now - i64::from(self.config.memory_windows) + 1;
        self.places.forget_before(oldest);
        let mut storms = Vec::new();
        for c in &window.conversations {
            let key = c.key();
            let (contacts, failed) = (c.counters.connections(), c.counters.failed);
            if failed == 0 && self.places.get(&key).is_none() {
                continue;
            }
            let tries = self.places.see(key, now);
            tries.retain(|(window, ..)| *window >= oldest);
            tries.push((now, contacts, failed));
            let sum =
                |of: fn(&(i64, u64, u64)) -> u64| tries.iter().map(of).fold(0, u64::saturating_add);
            let (contacts, unanswered) = (sum(|tries| tries.1), sum(|tries| tries.2));
            let is_lasting = self.internal.contains(c.client.ip())
                || tries.len() as f64 >= OUTSIDE_SHARE * f64::from(self.config.memory_windows);
            let is_storm = failed > 0
                && is_lasting
                && unanswered >= self.threshold(c.client)
                && unanswered as f64 >= self.config.min_share * contacts as f64;
            if is_storm {
                storms.push(Place { key, contacts: unanswered, packets: c.counters.packets_up });
            }
        }
        for places in storms.chunk_by(|a, b| a.key.0 == b.key.0) {
            findings.push(self.finding(window, places));
        }
    }
}

impl UnansweredStorm {
    fn threshold(&self, client: HostKey) -> u64 {
        let is_inside = self.internal.contains(client.ip());
        self.config.min_contacts * if is_inside { 1 } else { OUTSIDE_FACTOR }
    }

    /// `places` are all of one client, at least one.
    fn finding(&self, window: &HostsWindow, places: &[Place]) -> Finding {
        let worst = places.iter().rev().max_by_key(|place| place.contacts).unwrap_or(&places[0]);
        let (client, server, protocol, port) = worst.key;
        let threshold = self.threshold(client) as f64;
        let strength = log_strength(worst.contacts as f64, threshold, threshold * TOP);
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        let more = match places.len() as u64 - 1 {
            0 => String::new(),
            others => format!(", and {} as well", counted(others, "other place")),
        };
        let servers = places.iter().map(|place| (place.key.1.ip(), place.contacts));
        Finding {
            detector: ID,
            kind: Kind::UnansweredStorm,
            subject: Subject::Source(client.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("unanswered_contacts", worst.contacts as f64, threshold),
                fact("unanswered_packets", worst.packets as f64),
                fact("places", places.len() as f64),
            ],
            reason: format!(
                "tried {} {} times within {minutes} min without an answer, on {}{more}",
                server.ip(),
                worst.contacts,
                service_words(protocol, port),
            ),
            related: most_involved(servers.collect()),
            services: vec![ServicePort { protocol: Protocol(protocol), port }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    /// Six tries a minute.
    fn tries(count: i64, from: &str) -> Vec<Flow> {
        let of = |n| flow().from(from).to("203.0.113.6").to_port(6667).syn().at(n * 10).build();
        (0..count).map(of).collect()
    }

    #[test]
    fn who_tries_a_dead_server_for_minutes_is_named() {
        let findings = found(&tries(24, "10.0.0.7"));
        assert_eq!(findings.len(), 3, "from the second minute on");
        assert_eq!(findings[0].subject, Subject::Source("10.0.0.7".parse().unwrap()));
        assert_eq!(
            findings[0].reason,
            "tried 203.0.113.6 12 times within 10 min without an answer, on tcp port 6667"
        );
        assert!(findings[2].strength > findings[0].strength);
    }

    #[test]
    fn a_place_that_mostly_answers_is_none_and_the_internet_may_knock() {
        let mut flows = tries(12, "10.0.0.7");
        let answered = |n: i64| {
            let flow = flow().from("10.0.0.7").to("203.0.113.6").to_port(6667).flags(0x1b);
            flow.returned(500, 5).at(n * 10).build()
        };
        flows.extend((0..12).map(answered));
        assert!(found(&flows).is_empty());
        assert!(found(&tries(30, "198.51.100.1")).is_empty());
    }
}
