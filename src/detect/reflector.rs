//! Reflectors: a server that is abused to amplify. Who asks is the forged address of the victim.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError, Subject};

use super::rules::{Keys, LEAST_EVIDENCE, log_strength, over_threshold, rule_probability};
use super::services::{amplifier, bytes_words, service_words};
use super::{Configured, Context, Detector, InternalNetworks, Settings};

const ID: &str = "reflector";
/// Hundreds of the same small question a minute, each with a huge answer.
const PROBABILITY: f64 = 1e-3;
/// So many times the least ratio is no service of names.
const HUGE: f64 = 10.0;
/// A thousand times the threshold is as bad as it gets.
const TOP: f64 = 1_000.0;

/// Settings of the detector `reflector`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Packets of questions of one asker to one server within a window (60 s); positive. A tenth is
    /// enough, but not fewer than 20, when the answers are ten times `min_ratio` as large.
    pub min_requests: u64,
    /// Bytes of answers to them; positive.
    pub min_bytes: u64,
    /// The answers are at least so many times larger than the questions; positive.
    pub min_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, min_requests: 200, min_bytes: 500_000, min_ratio: 8.0 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_requests", self.min_requests, 1)?;
        keys.at_least("min_bytes", self.min_bytes, 1)?;
        keys.positive("min_ratio", self.min_ratio)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(Reflector { config: self.clone(), internal: context.internal.clone() })
    }
}

struct Reflector {
    config: Config,
    internal: InternalNetworks,
}

impl Detector for Reflector {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let mut abused: Vec<_> = window.conversations.iter().filter(|c| self.is_abuse(c)).collect();
        abused.sort_by_key(|c| (c.server, u64::MAX - c.counters.bytes_down));
        // The worst asker of a server speaks for all.
        abused.dedup_by_key(|c| c.server);
        findings.extend(abused.into_iter().map(|c| self.finding(window, c)));
    }
}

impl Reflector {
    fn is_abuse(&self, c: &Conversation) -> bool {
        let counters = &c.counters;
        let ratio = counters.bytes_down as f64 / counters.bytes_up.max(1) as f64;
        // Few questions do where each of them gives a flood (NTP's lists, memcached).
        let is_huge = ratio >= HUGE * self.config.min_ratio;
        let few = (self.config.min_requests / 10).max(LEAST_EVIDENCE);
        let least =
            if is_huge { few.min(self.config.min_requests) } else { self.config.min_requests };
        c.protocol == Protocol::UDP.0
            && amplifier(c.port).is_some()
            && counters.packets_up >= least
            && counters.bytes_down >= self.config.min_bytes
            && counters.evidence() >= LEAST_EVIDENCE
            && ratio >= self.config.min_ratio
            // Servers of others are their matter, and among ourselves nobody forges.
            && self.internal.contains(c.server.ip())
            && !self.internal.contains(c.client.ip())
    }

    fn finding(&self, window: &HostsWindow, c: &Conversation) -> Finding {
        let (up, down) = (c.counters.bytes_up as f64, c.counters.bytes_down as f64);
        let threshold = self.config.min_bytes as f64;
        let strength = log_strength(down, threshold, threshold * TOP);
        let ratio = down / up.max(1.0);
        Finding {
            detector: ID,
            kind: Kind::Reflector,
            subject: Subject::Destination(c.server.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("bytes_dw", down, threshold),
                over_threshold("amplification", ratio, self.config.min_ratio),
                over_threshold(
                    "packets_up",
                    c.counters.packets_up as f64,
                    self.config.min_requests as f64,
                ),
            ],
            reason: format!(
                "answered {} packets of questions from {} on {} with {}, {ratio:.0} times their size",
                c.counters.packets_up,
                c.client.ip(),
                service_words(c.protocol, c.port),
                bytes_words(down),
            ),
            related: vec![c.client.ip()],
            services: vec![c.service_port()],
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

    fn both_ways(client: &str, server: &str, (up, down): (u64, u64)) -> Vec<Flow> {
        let udp = |from: &str, to: &str| flow().from(from).to(to).protocol(Protocol::UDP).at(3);
        vec![
            udp(client, server).from_port(9_999).to_port(53).packets(1_000).bytes(up).build(),
            udp(server, client).from_port(53).to_port(9_999).packets(3_000).bytes(down).build(),
        ]
    }

    #[test]
    fn a_server_that_amplifies_for_somebody_outside_is_named() {
        let findings = found(&both_ways("198.51.100.7", "10.0.0.53", (60_000, 3_000_000)));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Destination("10.0.0.53".parse().unwrap()));
        assert_eq!(
            findings[0].reason,
            "answered 1000 packets of questions from 198.51.100.7 on udp port 53 (DNS) with 3.0 MB, 50 times their size"
        );
    }

    #[test]
    fn few_questions_with_huge_answers_are_enough() {
        let mut flows = both_ways("198.51.100.7", "10.0.0.53", (43 * 60, 9_000_000));
        flows[0].sent.packets = 60;
        assert_eq!(found(&flows).len(), 1);
        flows[0].sent.packets = 10;
        assert!(found(&flows).is_empty());
        flows[0].sent = crate::model::Counters { bytes: 60 * 43 * 20, packets: 60 };
        flows[1].sent.bytes = 900_000;
        assert!(found(&flows).is_empty(), "17 times is large, not huge");
    }

    #[test]
    fn ordinary_answers_and_our_own_clients_are_not() {
        assert!(found(&both_ways("198.51.100.7", "10.0.0.53", (600_000, 3_000_000))).is_empty());
        assert!(found(&both_ways("10.0.0.7", "10.0.0.53", (60_000, 3_000_000))).is_empty());
    }
}
