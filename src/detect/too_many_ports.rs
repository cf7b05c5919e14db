//! Hosts that contact far more distinct ports than nearly all others do (S1.8).
//!
//! The percentile of a window alone would name every tenth host, so a floor is asked as well, and a
//! hard limit holds whatever the others do.

use serde::{Deserialize, Serialize};

use crate::features::{HostsWindow, SourceWindow, quantile};
use crate::model::{Finding, Kind, SettingError};

use super::port_scan::countable_ports;
use super::rules::{Keys, list_ports, log_strength, over_threshold, rule_probability};
use super::{Configured, Context, Detector, Settings};

const ID: &str = "too_many_ports";
/// Peer-to-peer programs reach the floor as well, so one in a thousand is all that is claimed.
const PROBABILITY: f64 = 1e-3;
/// Fifty times the floor (1,000 ports by default) is as bad as it gets.
const TOP: f64 = 50.0;

/// Settings of the detector `too_many_ports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// The percentile, as a fraction (0–1), of all hosts of the window that must be exceeded.
    pub percentile: f64,
    /// Distinct ports within one window (60 s) that must be exceeded as well; at least 1. Lower:
    /// more hosts.
    pub min_ports: u64,
    /// Distinct ports above which a host is named whatever the others do; at least 1.
    pub hard_limit: u64,
    /// Ports from here on count only when at least a third of the ports lies below, so that
    /// answers to many high ports of clients are not taken for contacts.
    pub ephemeral_from: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            percentile: 0.9,
            min_ports: 20,
            hard_limit: 100,
            ephemeral_from: 32_768,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.fraction("percentile", self.percentile)?;
        keys.at_least("min_ports", self.min_ports, 1)?;
        keys.at_least("hard_limit", self.hard_limit, 1)?;
        keys.at_least("ephemeral_from", u64::from(self.ephemeral_from), 1)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(TooManyPorts { config: self.clone() })
    }
}

struct TooManyPorts {
    config: Config,
}

impl Detector for TooManyPorts {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let floor = self.config.min_ports.min(self.config.hard_limit);
        let counts = window.sources.iter().map(|source| (self.count(source), source));
        let many: Vec<_> = counts.filter(|&(count, _)| count > floor).collect();
        // Only a window with a candidate needs the percentile of all its hosts.
        if many.is_empty() {
            return;
        }
        let percentile = self.percentile(&window.sources);
        for (count, source) in many {
            let is_above = count > self.config.min_ports && count as f64 > percentile;
            if is_above || count > self.config.hard_limit {
                findings.push(self.finding(window, source, count, percentile));
            }
        }
    }
}

impl TooManyPorts {
    fn count(&self, source: &SourceWindow) -> u64 {
        let total = source.opened_ports.count();
        if total <= self.config.min_ports.min(self.config.hard_limit) {
            return total;
        }
        countable_ports(total, source.opened_ports.count_below(self.config.ephemeral_from))
    }

    /// The percentile over the hosts that opened contacts at all.
    fn percentile(&self, sources: &[SourceWindow]) -> f64 {
        let counts = sources.iter().map(|source| self.count(source) as f64);
        let mut counts: Vec<_> = counts.filter(|&count| count > 0.0).collect();
        counts.sort_unstable_by(f64::total_cmp);
        quantile(&counts, self.config.percentile).unwrap_or(0.0)
    }

    fn finding(
        &self,
        window: &HostsWindow,
        source: &SourceWindow,
        count: u64,
        percentile: f64,
    ) -> Finding {
        let actual = count as f64;
        let floor = self.config.min_ports as f64;
        let threshold = percentile.max(floor);
        let strength = log_strength(actual, floor, TOP * floor);
        let mut features = vec![over_threshold("opened_ports", actual, threshold)];
        features[0].typical = Some(percentile);
        let mut exceeded = Vec::new();
        if actual > threshold {
            exceeded.push(format!(
                "above the {:.0}th percentile of all hosts ({percentile:.0}) and the floor ({floor})",
                self.config.percentile * 100.0
            ));
        }
        if count > self.config.hard_limit {
            features.push(over_threshold(
                "opened_ports_limit",
                actual,
                self.config.hard_limit as f64,
            ));
            exceeded.push(format!("above the hard limit ({})", self.config.hard_limit));
        }
        Finding {
            detector: ID,
            kind: Kind::TooManyPorts,
            subject: source.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features,
            reason: format!(
                "contacted {count} distinct ports within {} s, {}: {}",
                window.span.seconds,
                exceeded.join(", "),
                list_ports(&source.opened_ports.first(9)),
            ),
            related: Vec::new(),
            services: Vec::new(),
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
        run(&mut TooManyPorts { config: Config::default() }, flows)
    }

    fn contacts(from: &str, ports: std::ops::RangeInclusive<u16>) -> Vec<Flow> {
        ports.map(|port| flow().from(from).to_port(port).syn().build()).collect()
    }

    /// Nineteen hosts with three ports each.
    fn others() -> Vec<Flow> {
        (1..20).flat_map(|host| contacts(&format!("10.0.7.{host}"), 80..=82)).collect()
    }

    #[test]
    fn a_scan_of_120_ports_is_one_finding_with_both_facts() {
        let findings = found(&[others(), contacts("10.0.0.1", 1..=120)].concat());
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subject.to_string(), "10.0.0.1");
        let facts: Vec<_> =
            finding.features.iter().map(|f| (&*f.name, f.actual, f.upper)).collect();
        assert_eq!(
            facts,
            [("opened_ports", 120.0, Some(20.0)), ("opened_ports_limit", 120.0, Some(100.0))]
        );
        assert_eq!(
            finding.reason,
            "contacted 120 distinct ports within 60 s, above the 90th percentile of all hosts (3) and \
             the floor (20), above the hard limit (100): 1, 2, 3, 4, 5, 6, 7, 8 …"
        );
    }

    #[test]
    fn the_hard_limit_holds_for_a_lone_host() {
        assert_eq!(found(&contacts("10.0.0.1", 1..=120)).len(), 1);
        assert_eq!(found(&contacts("10.0.0.1", 1..=100)).len(), 0);
    }

    #[test]
    fn the_busiest_tenth_of_ordinary_hosts_is_not_named() {
        assert_eq!(found(&[others(), contacts("10.0.0.1", 1..=20)].concat()), []);
        assert_eq!(found(&[others(), contacts("10.0.0.1", 1..=21)].concat()).len(), 1);
    }

    #[test]
    fn a_server_that_answers_many_clients_is_not_named() {
        let answers =
            (40_000..40_500).map(|port| flow().from_port(443).to_port(port).flags(0x1b).build());
        assert_eq!(found(&answers.collect::<Vec<_>>()), []);
        let relayed = (40_000..40_500).map(|port| flow().from_port(3478).to_port(port).build());
        assert_eq!(found(&relayed.collect::<Vec<_>>()), []);
    }
}
