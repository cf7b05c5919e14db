//! SYN floods: a service gets far more connection attempts than it answers.
//!
//! Counted per service, over all senders: forged senders come once each. A vertical scan spreads
//! over ports and a horizontal one over hosts, so neither fills one service.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, Subject};

use super::rules::{
    Keys, LEAST_EVIDENCE, counted, fact, log_strength, most_involved, over_threshold,
    rule_probability,
};
use super::services::service_words;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "syn_flood";
/// Ordinary outages do not gather so many attempts within a minute.
const PROBABILITY: f64 = 1e-4;
/// A hundred times the threshold is as bad as it gets.
const TOP: f64 = 100.0;

/// Settings of the detector `syn_flood`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Attempts without an answer, at one service within a window (60 s), that make a flood; at
    /// least 2. Sampled packets count as often as they stand for.
    pub min_attempts: u64,
    /// Share (0–1) of the attempts that stay without an answer. Lower: floods are found that the
    /// service partly answers, and busy services that drop some.
    pub min_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, min_attempts: 300, min_share: 0.8 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_attempts", self.min_attempts, 2)?;
        keys.fraction("min_share", self.min_share)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(SynFlood { config: self.clone() })
    }
}

/// Attempts at one service.
#[derive(Default)]
struct Service {
    attempts: u64,
    unanswered: u64,
    clients: u64,
    evidence: u64,
}

struct SynFlood {
    config: Config,
}

/// Connection attempts of a conversation, and how many of them stayed without an answer.
fn attempts(conversation: &Conversation) -> (u64, u64) {
    let counters = &conversation.counters;
    // Where nothing came back, every packet of a sampled export stands for as many attempts.
    let silent = counters.failed >= counters.requests && !counters.is_answered();
    let unanswered =
        if silent { counters.failed.max(counters.packets_up) } else { counters.failed };
    (counters.connections().max(unanswered), unanswered)
}

impl Detector for SynFlood {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let tcp = || window.conversations.iter().filter(|c| c.protocol == Protocol::TCP.0);
        let mut services = HashMap::<(HostKey, u16), Service>::new();
        for conversation in tcp().filter(|conversation| conversation.counters.failed > 0) {
            services.entry((conversation.server, conversation.port)).or_default();
        }
        for conversation in tcp() {
            if let Some(service) = services.get_mut(&(conversation.server, conversation.port)) {
                let (attempts, unanswered) = attempts(conversation);
                service.attempts = service.attempts.saturating_add(attempts);
                service.unanswered = service.unanswered.saturating_add(unanswered);
                service.clients += 1;
                service.evidence =
                    service.evidence.saturating_add(conversation.counters.evidence());
            }
        }
        let is_flood = |service: &Service| {
            service.unanswered >= self.config.min_attempts
                && service.evidence >= LEAST_EVIDENCE
                && service.unanswered as f64 >= self.config.min_share * service.attempts as f64
        };
        let mut flooded: Vec<_> = services.into_iter().filter(|(_, s)| is_flood(s)).collect();
        flooded
            .sort_unstable_by_key(|(key, service)| (key.0, u64::MAX - service.unanswered, key.1));
        // The worst service of a host speaks for it.
        flooded.dedup_by_key(|((server, _), _)| *server);
        for ((server, port), service) in flooded {
            findings.push(self.finding(window, server, port, &service));
        }
    }
}

impl SynFlood {
    fn finding(
        &self,
        window: &HostsWindow,
        server: HostKey,
        port: u16,
        service: &Service,
    ) -> Finding {
        let threshold = self.config.min_attempts as f64;
        let unanswered = service.unanswered as f64;
        let strength = log_strength(unanswered, threshold, threshold * TOP);
        let senders = window
            .conversations
            .iter()
            .filter(|c| c.server == server && c.port == port && c.protocol == Protocol::TCP.0)
            .map(|conversation| (conversation.client.ip(), attempts(conversation).1));
        Finding {
            detector: ID,
            kind: Kind::SynFlood,
            subject: Subject::Destination(server.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("unanswered_attempts", unanswered, threshold),
                fact("attempts", service.attempts as f64),
                fact("uniqSrcIPs", service.clients as f64),
            ],
            reason: format!(
                "got {} unanswered connection attempts on {} from {} within {} s ({:.0} % of all)",
                service.unanswered,
                service_words(Protocol::TCP.0, port),
                counted(service.clients, "sender"),
                window.span.seconds,
                100.0 * unanswered / (service.attempts.max(1) as f64),
            ),
            related: most_involved(senders.collect()),
            services: vec![ServicePort { protocol: Protocol::TCP, port }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::flow;

    fn detector() -> Box<dyn Detector> {
        Config::default().build(&Settings::default(), &Context::default())
    }

    fn syns(count: u32, port: u16) -> Vec<Flow> {
        (0..count)
            .map(|n| {
                let from = format!("110.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
                flow().from(&from).to("10.0.0.80").to_port(port).syn().at(i64::from(n % 60)).build()
            })
            .collect()
    }

    #[test]
    fn a_flood_of_forged_senders_names_the_victim() {
        let findings = run(&mut *detector(), &syns(3_000, 443));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Destination("10.0.0.80".parse().unwrap()));
        assert_eq!(
            findings[0].reason,
            "got 3000 unanswered connection attempts on tcp port 443 from 3000 senders within 60 s (100 % of all)"
        );
        assert_eq!(findings[0].related.len(), Finding::MAX_RELATED);
    }

    #[test]
    fn a_sampled_flood_counts_for_what_it_stands_for() {
        let sampled = syns(20, 80).into_iter().map(|mut flow| {
            flow.sampling_rate = std::num::NonZeroU32::new(1_000);
            flow
        });
        assert_eq!(run(&mut *detector(), &sampled.collect::<Vec<_>>()).len(), 1);
        assert!(run(&mut *detector(), &syns(20, 80)).is_empty());
    }

    #[test]
    fn a_busy_service_that_answers_and_a_scan_are_no_flood() {
        let answered = (0..2_000u32).map(|n| {
            let from = format!("10.1.{}.{}", n >> 8 & 255, n & 255);
            flow().from(&from).to("10.0.0.80").flags(0x1b).returned(900, 4).at(1).build()
        });
        let dropped = syns(300, 80);
        assert!(run(&mut *detector(), &answered.chain(dropped).collect::<Vec<_>>()).is_empty());
        let scan = (1..=2_000).map(|port| flow().to("10.0.0.80").to_port(port).syn().build());
        assert!(run(&mut *detector(), &scan.collect::<Vec<_>>()).is_empty());
    }
}
