//! UDP amplification: many servers send large answers to a host that hardly asked.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, Subject};

use super::rules::{
    Keys, LEAST_EVIDENCE, counted, fact, log_strength, most_involved, over_threshold,
    rule_probability,
};
use super::services::{amplifier, bytes_words, service_words};
use super::{Configured, Context, Detector, Settings};

const ID: &str = "udp_amplification";
/// Answers of many servers without questions do not happen by themselves.
const PROBABILITY: f64 = 1e-4;
/// A thousand times the threshold is as bad as it gets.
const TOP: f64 = 1_000.0;

/// Settings of the detector `udp_amplification`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Bytes of answers of one protocol to one host within a window (60 s); positive.
    pub min_bytes: u64,
    /// Servers that they come from; at least 1. Fewer are one busy server.
    pub min_servers: u64,
    /// The answers are at least so many times larger than what the host sent; positive.
    pub min_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, min_bytes: 2_000_000, min_servers: 8, min_ratio: 20.0 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_bytes", self.min_bytes, 1)?;
        keys.at_least("min_servers", self.min_servers, 1)?;
        keys.positive("min_ratio", self.min_ratio)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(UdpAmplification { config: self.clone() })
    }
}

/// Answers of one protocol to one host.
#[derive(Default)]
struct Answers {
    servers: u64,
    asked: u64,
    bytes: u64,
    packets: u64,
    evidence: u64,
}

struct UdpAmplification {
    config: Config,
}

impl Detector for UdpAmplification {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let mut victims = HashMap::<(HostKey, u16), Answers>::new();
        for c in window.conversations.iter().filter(|c| c.protocol == Protocol::UDP.0) {
            if amplifier(c.port).is_some() && c.counters.bytes_down > 0 {
                let answers = victims.entry((c.client, c.port)).or_default();
                answers.servers += 1;
                answers.asked = answers.asked.saturating_add(c.counters.bytes_up);
                answers.bytes = answers.bytes.saturating_add(c.counters.bytes_down);
                answers.packets = answers.packets.saturating_add(c.counters.packets_down);
                answers.evidence = answers.evidence.saturating_add(c.counters.evidence());
            }
        }
        let is_attack = |answers: &Answers| {
            answers.bytes >= self.config.min_bytes
                && answers.evidence >= LEAST_EVIDENCE
                && answers.servers >= self.config.min_servers
                && answers.bytes as f64 >= self.config.min_ratio * answers.asked as f64
        };
        let mut attacked: Vec<_> = victims.into_iter().filter(|(_, a)| is_attack(a)).collect();
        attacked.sort_unstable_by_key(|(key, answers)| (key.0, u64::MAX - answers.bytes, key.1));
        // The worst protocol of a victim speaks for it.
        attacked.dedup_by_key(|((victim, _), _)| *victim);
        for ((victim, port), answers) in attacked {
            findings.push(self.finding(window, victim, port, &answers));
        }
    }
}

impl UdpAmplification {
    fn finding(
        &self,
        window: &HostsWindow,
        victim: HostKey,
        port: u16,
        answers: &Answers,
    ) -> Finding {
        let threshold = self.config.min_bytes as f64;
        let bytes = answers.bytes as f64;
        let strength = log_strength(bytes, threshold, threshold * TOP);
        let senders = window
            .conversations
            .iter()
            .filter(|c| c.client == victim && c.port == port && c.protocol == Protocol::UDP.0)
            .map(|c| (c.server.ip(), c.counters.bytes_down));
        Finding {
            detector: ID,
            kind: Kind::UdpAmplification,
            subject: Subject::Destination(victim.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("bytes_dw", bytes, threshold),
                fact("bytes_up", answers.asked as f64),
                over_threshold("servers", answers.servers as f64, self.config.min_servers as f64),
                fact("packets_dw", answers.packets as f64),
            ],
            reason: format!(
                "got {} of answers from {} on {} within {} s, having asked with {}",
                bytes_words(bytes),
                counted(answers.servers, "server"),
                service_words(Protocol::UDP.0, port),
                window.span.seconds,
                bytes_words(answers.asked as f64),
            ),
            related: most_involved(senders.collect()),
            services: vec![ServicePort { protocol: Protocol::UDP, port }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::flow;

    fn answers(servers: u8, bytes: u64, port: u16) -> Vec<Flow> {
        let of = |n| {
            let from = format!("27.0.0.{n}");
            let answer = flow().from(&from).from_port(port).to("10.0.0.9").to_port(51_000);
            answer.protocol(Protocol::UDP).bytes(bytes).packets(400).at(5).build()
        };
        (0..servers).map(of).collect()
    }

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    #[test]
    fn large_answers_that_nobody_asked_for_name_the_victim_and_the_protocol() {
        let findings = found(&answers(20, 500_000, 123));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Destination("10.0.0.9".parse().unwrap()));
        assert_eq!(
            findings[0].reason,
            "got 10.0 MB of answers from 20 servers on udp port 123 (NTP) within 60 s, having asked with 0 B"
        );
    }

    #[test]
    fn few_servers_small_answers_and_other_services_are_ordinary() {
        assert!(found(&answers(2, 5_000_000, 53)).is_empty());
        assert!(found(&answers(20, 3_000, 53)).is_empty());
        assert!(found(&answers(20, 500_000, 443)).is_empty(), "QUIC");
    }

    #[test]
    fn who_asked_gets_what_he_asked_for() {
        let mut flows = answers(20, 500_000, 53);
        for n in 0..20 {
            let query = flow().from("10.0.0.9").from_port(51_000).to(&format!("27.0.0.{n}"));
            let query = query.to_port(53).protocol(Protocol::UDP).bytes(60_000).packets(1_000);
            flows.push(query.at(4).build());
        }
        assert!(found(&flows).is_empty());
    }
}
