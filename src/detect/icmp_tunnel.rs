//! ICMP tunnels: echo messages that carry more than echoes need, and many of them.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError};

use super::rules::{Keys, LEAST_EVIDENCE, log_strength, over_threshold, rule_probability};
use super::services::bytes_words;
use super::tunnel::{Exchange, Exchanges};
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "icmp_tunnel";
/// Somebody may ping with large packets by hand.
const PROBABILITY: f64 = 1e-3;
/// A thousand times the threshold is as bad as it gets.
const TOP: f64 = 1_000.0;

/// Settings of the detector `icmp_tunnel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) that are remembered; at least 1.
    pub memory_windows: u32,
    /// Packets both ways within the memory; positive.
    pub min_packets: u64,
    /// Bytes both ways within the memory; positive.
    pub min_bytes: u64,
    /// Bytes of a packet on average, IP header included; positive. Ordinary echoes have 60 or 84.
    pub min_packet_bytes: f64,
    /// Pairs that are remembered; at least 2. About 200 bytes each.
    pub max_pairs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_windows: 5,
            min_packets: 100,
            min_bytes: 15_000,
            min_packet_bytes: 100.0,
            max_pairs: 20_000,
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
        keys.at_least("min_packets", self.min_packets, 1)?;
        keys.at_least("min_bytes", self.min_bytes, 1)?;
        keys.positive("min_packet_bytes", self.min_packet_bytes)?;
        keys.at_least("max_pairs", self.max_pairs as u64, 2)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let exchanges = Exchanges::new(self.memory_windows, self.max_pairs);
        Box::new(IcmpTunnel { config: self.clone(), exchanges })
    }
}

struct IcmpTunnel {
    config: Config,
    exchanges: Exchanges,
}

impl Detector for IcmpTunnel {
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
        // Errors come as replies to nothing: routers quote whole packets in them.
        let echoes = window.conversations.iter().filter(|c| {
            Protocol(c.protocol).is_icmp() && c.counters.requests > 0 && c.counters.packets_up > 0
        });
        for c in echoes {
            let exchange = self.exchanges.add(c, now);
            let packets = exchange.packets_up.saturating_add(exchange.packets_down);
            let bytes = exchange.bytes_up.saturating_add(exchange.bytes_down);
            let is_tunnel = exchange.evidence >= LEAST_EVIDENCE
                && packets >= self.config.min_packets
                && bytes >= self.config.min_bytes
                && bytes as f64 >= self.config.min_packet_bytes * packets as f64;
            if is_tunnel {
                findings.push(self.finding(window, c, &exchange));
            }
        }
    }
}

impl IcmpTunnel {
    fn finding(&self, window: &HostsWindow, c: &Conversation, exchange: &Exchange) -> Finding {
        let packets = exchange.packets_up.saturating_add(exchange.packets_down);
        let bytes = exchange.bytes_up.saturating_add(exchange.bytes_down) as f64;
        let threshold = self.config.min_bytes as f64;
        let strength = log_strength(bytes, threshold, threshold * TOP);
        let mean = bytes / packets.max(1) as f64;
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        Finding {
            detector: ID,
            kind: Kind::IcmpTunnel,
            subject: c.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("bytes", bytes, threshold),
                over_threshold("bytes_per_packet", mean, self.config.min_packet_bytes),
                over_threshold("packets", packets as f64, self.config.min_packets as f64),
            ],
            reason: format!(
                "exchanged {} in {packets} ICMP packets within {minutes} min ({mean:.0} B each; an echo has 60 or 84)",
                bytes_words(bytes),
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
    use crate::model::{Flow, IcmpMessage, Subject};
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn echoes(minutes: i64, packets: u64, bytes: u64) -> Vec<Flow> {
        let of = |minute| {
            let flow = flow().protocol(Protocol::ICMP).packets(packets).bytes(packets * bytes);
            let mut flow = flow.returned(packets * bytes, packets).at(minute * 60).build();
            flow.icmp = Some(IcmpMessage { kind: 8, code: 0 });
            (flow.source.port, flow.destination.port) = (None, None);
            flow
        };
        (0..minutes).map(of).collect()
    }

    #[test]
    fn echoes_that_carry_data_are_a_tunnel() {
        let findings = found(&echoes(4, 30, 230));
        assert_eq!(findings.len(), 3, "from the second minute on");
        let pair = Subject::Pair([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(findings[0].subject, pair);
        assert_eq!(
            findings[0].reason,
            "exchanged 27.6 kB in 120 ICMP packets within 5 min (230 B each; an echo has 60 or 84)"
        );
    }

    #[test]
    fn ordinary_pings_and_a_few_large_ones_are_not() {
        assert!(found(&echoes(10, 60, 84)).is_empty());
        assert!(found(&echoes(1, 10, 1_400)).is_empty());
    }
}
