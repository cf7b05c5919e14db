//! DNS tunnels: queries to one name server that are larger than names are, and many of them.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError};

use super::rules::{Keys, LEAST_EVIDENCE, fact, log_strength, over_threshold, rule_probability};
use super::services::bytes_words;
use super::tunnel::{Exchange, Exchanges};
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "dns_tunnel";
/// Long names come in bursts from some clouds and checks of reputation, too.
const PROBABILITY: f64 = 1e-3;
/// A thousand times the threshold is as bad as it gets.
const TOP: f64 = 1_000.0;
const DNS_PORT: u16 = 53;

/// Settings of the detector `dns_tunnel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) that are remembered; at least 1.
    pub memory_windows: u32,
    /// Query packets of one host to one name server within the memory; positive.
    pub min_queries: u64,
    /// Bytes of these queries together; positive.
    pub min_bytes: u64,
    /// Bytes of a query on average, IP header included; positive. Ordinary ones have 55 to 80.
    pub min_query_bytes: f64,
    /// Pairs that are remembered; at least 2. About 200 bytes each.
    pub max_pairs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_windows: 5,
            min_queries: 100,
            min_bytes: 10_000,
            min_query_bytes: 92.0,
            max_pairs: 50_000,
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
        keys.at_least("min_queries", self.min_queries, 1)?;
        keys.at_least("min_bytes", self.min_bytes, 1)?;
        keys.positive("min_query_bytes", self.min_query_bytes)?;
        keys.at_least("max_pairs", self.max_pairs as u64, 2)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let exchanges = Exchanges::new(self.memory_windows, self.max_pairs);
        Box::new(DnsTunnel { config: self.clone(), exchanges })
    }
}

struct DnsTunnel {
    config: Config,
    exchanges: Exchanges,
}

impl Detector for DnsTunnel {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        self.exchanges.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.exchanges.restore(ID, state)
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.number();
        self.exchanges.begin(now);
        let queries = window.conversations.iter().filter(|c| {
            c.protocol == Protocol::UDP.0 && c.port == DNS_PORT && c.counters.packets_up > 0
        });
        for c in queries {
            let exchange = self.exchanges.add(c, now);
            let is_tunnel = exchange.evidence >= LEAST_EVIDENCE
                && exchange.packets_up >= self.config.min_queries
                && exchange.bytes_up >= self.config.min_bytes
                && exchange.mean_up() >= self.config.min_query_bytes;
            if is_tunnel {
                findings.push(self.finding(window, c, &exchange));
            }
        }
    }
}

impl DnsTunnel {
    fn finding(&self, window: &HostsWindow, c: &Conversation, exchange: &Exchange) -> Finding {
        let bytes = exchange.bytes_up as f64;
        let threshold = self.config.min_bytes as f64;
        let strength = log_strength(bytes, threshold, threshold * TOP);
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        Finding {
            detector: ID,
            kind: Kind::DnsTunnel,
            subject: c.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("bytes_up", bytes, threshold),
                over_threshold("bytes_per_query", exchange.mean_up(), self.config.min_query_bytes),
                over_threshold(
                    "queries",
                    exchange.packets_up as f64,
                    self.config.min_queries as f64,
                ),
                fact("bytes_per_answer", exchange.mean_down()),
            ],
            reason: format!(
                "sent {} in {} DNS queries within {minutes} min ({:.0} B each; an ordinary one has 55 to 80)",
                bytes_words(bytes),
                exchange.packets_up,
                exchange.mean_up(),
            ),
            related: Vec::new(),
            services: vec![c.service_port()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Flow, Subject};
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn queries(count: u64, up: u64, down: u64) -> Vec<Flow> {
        let of = |n: u64| {
            let flow = flow().to_port(53).protocol(Protocol::UDP).packets(1).bytes(up);
            flow.returned(down, 1).at((n / 4) as i64).build()
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn large_queries_are_a_tunnel() {
        let findings = found(&queries(150, 202, 194));
        assert_eq!(findings.len(), 1);
        let pair = Subject::Pair([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(findings[0].subject, pair);
        assert_eq!(
            findings[0].reason,
            "sent 30.3 kB in 150 DNS queries within 5 min (202 B each; an ordinary one has 55 to 80)"
        );
    }

    #[test]
    fn a_busy_resolver_and_a_few_long_names_are_not() {
        assert!(found(&queries(2_000, 72, 180)).is_empty());
        assert!(found(&queries(40, 202, 194)).is_empty());
    }
}
