//! Lateral movement: a host inside opens administrative services on many hosts inside that it never
//! used before.

use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{Keys, fact, list_ports, log_strength, over_threshold, rule_probability};
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "lateral_movement";
/// Administrators do that on some days.
const PROBABILITY: f64 = 1e-3;
/// Twenty times the threshold is as bad as it gets.
const TOP: f64 = 20.0;
const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 1_440;
/// New relations kept per host.
const MOST_NEW: usize = 256;

/// Settings of the detector `lateral_movement`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// TCP ports of administrative services.
    pub ports: Vec<u16>,
    /// Hours of event time that the detector learns before its first finding; 0 = none.
    pub warm_up_hours: u32,
    /// Windows (60 s each) within which new relations count together; at least 1.
    pub memory_windows: u32,
    /// Hosts inside that answer on an administrative service, new to the host that asks, within the
    /// memory; at least 2.
    pub min_new_hosts: u64,
    /// Days after which a relation that was not used is new again; at least 1.
    pub memory_days: u32,
    /// Relations that are remembered; at least 2. About 100 bytes each.
    pub max_relations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            ports: vec![22, 23, 135, 139, 445, 3389, 5900, 5985, 5986],
            warm_up_hours: 24,
            memory_windows: 60,
            min_new_hosts: 6,
            memory_days: 30,
            max_relations: 100_000,
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
        keys.at_least("min_new_hosts", self.min_new_hosts, 2)?;
        keys.at_least("memory_days", u64::from(self.memory_days), 1)?;
        keys.at_least("max_relations", self.max_relations as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(LateralMovement {
            internal: context.internal.clone(),
            since: None,
            relations: Recent::new(self.max_relations),
            news: Recent::new(self.max_relations),
            config: self.clone(),
        })
    }
}

/// New relations of a host: window, server, port.
type News = Vec<(i64, HostKey, u16)>;

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    since: Option<i64>,
    relations: Saved<(HostKey, HostKey, u16), ()>,
    news: Saved<HostKey, News>,
}

struct LateralMovement {
    config: Config,
    internal: InternalNetworks,
    since: Option<i64>,
    relations: Recent<(HostKey, HostKey, u16), ()>,
    news: Recent<HostKey, News>,
}

impl Detector for LateralMovement {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let (relations, news) = (self.relations.save(), self.news.save());
        alarms::save(&State { since: self.since, relations, news })
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State = alarms::restore(ID, state)?;
        self.since = state.since;
        self.relations.restore(state.relations);
        self.news.restore(state.news);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        let since = *self.since.get_or_insert(now);
        let is_warm = now >= since + i64::from(self.config.warm_up_hours) * MINUTES_PER_HOUR;
        if now % MINUTES_PER_HOUR == 0 {
            let oldest = now - i64::from(self.config.memory_days) * MINUTES_PER_DAY;
            self.relations.forget_before(oldest);
        }
        let oldest = now - i64::from(self.config.memory_windows) + 1;
        self.news.forget_before(oldest);
        let mut moved = Vec::new();
        for c in window.conversations.iter().filter(|c| {
            c.protocol == Protocol::TCP.0
                && self.config.ports.contains(&c.port)
                && c.counters.is_answered()
                && c.counters.requests > c.counters.failed
                && self.internal.contains(c.client.ip())
                && self.internal.contains(c.server.ip())
        }) {
            let relation = (c.client, c.server, c.port);
            let is_known = self.relations.get(&relation).is_some();
            self.relations.see(relation, now);
            if is_known || !is_warm {
                continue;
            }
            let news = self.news.see(c.client, now);
            news.retain(|(window, ..)| *window >= oldest);
            if news.len() < MOST_NEW {
                news.push((now, c.server, c.port));
            }
            moved.push(c.client);
        }
        // They ascend.
        moved.dedup();
        findings.extend(moved.into_iter().filter_map(|client| self.judge(window, client)));
    }
}

impl LateralMovement {
    fn judge(&self, window: &HostsWindow, client: HostKey) -> Option<Finding> {
        let news = self.news.get(&client)?;
        let mut servers: Vec<_> = news.iter().map(|(_, server, _)| *server).collect();
        servers.sort_unstable();
        servers.dedup();
        let mut ports: Vec<_> = news.iter().map(|(.., port)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        let count = servers.len() as u64;
        if count < self.config.min_new_hosts {
            return None;
        }
        let threshold = self.config.min_new_hosts as f64;
        let strength = log_strength(count as f64, threshold, threshold * TOP);
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        Some(Finding {
            detector: ID,
            kind: Kind::LateralMovement,
            subject: Subject::Source(client.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("new_hosts", count as f64, threshold),
                fact("new_relations", news.len() as f64),
            ],
            reason: format!(
                "opened administrative services (ports {}) on {count} hosts inside that it never used before, within {minutes} min",
                list_ports(&ports),
            ),
            related: servers.iter().take(Finding::MAX_RELATED).map(|server| server.ip()).collect(),
            services: ports
                .iter()
                .map(|&port| ServicePort { protocol: Protocol::TCP, port })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::flow;

    const DAY: i64 = 86_400;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn log_in(second: i64, to: u8) -> Flow {
        let flow = flow().from("10.0.0.7").to(&format!("10.0.1.{to}")).to_port(445).flags(0x1b);
        flow.returned(2_000, 9).at(second).build()
    }

    #[test]
    fn many_new_hosts_within_minutes_are_movement() {
        let mut flows = vec![log_in(0, 1), log_in(60, 2)];
        flows.extend((1..12).map(|to| log_in(DAY + i64::from(to) * 90, to)));
        let findings = found(&flows);
        assert!(!findings.is_empty());
        assert_eq!(findings[0].subject, Subject::Source([10, 0, 0, 7].into()));
        assert_eq!(
            findings[0].reason,
            "opened administrative services (ports 445) on 6 hosts inside that it never used before, within 60 min"
        );
    }

    #[test]
    fn an_administrator_on_his_rounds_is_known_after_the_first_day() {
        let rounds = (0..3)
            .flat_map(|day| (1..40).map(move |to| log_in(day * DAY + i64::from(to) * 60, to)));
        assert!(found(&rounds.collect::<Vec<_>>()).is_empty());
    }
}
