//! New services: a host inside answers on a port on which it never answered before.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{Keys, fact, rule_probability};
use super::services::{log_in, service_words};
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "new_service";
/// Servers get new services on purpose, mostly.
const PROBABILITY: f64 = 1e-2;
const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 1_440;

/// Settings of the detector `new_service`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Hours of event time that the detector learns before its first finding; 0 = none.
    pub warm_up_hours: u32,
    /// Hours of event time that a host must have been known before its services are reported.
    pub host_hours: u32,
    /// Ports from here on are those of clients and peer-to-peer programs, never reported.
    pub ephemeral_from: u16,
    /// New services of a host within a day above which it is not reported: it has new ones always.
    pub max_per_day: u32,
    /// Days after which a service that nobody used is new again; at least 1.
    pub memory_days: u32,
    /// Services that are remembered; at least 2. About 100 bytes each.
    pub max_services: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            warm_up_hours: 24,
            host_hours: 24,
            ephemeral_from: 32_768,
            max_per_day: 3,
            memory_days: 60,
            max_services: 100_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("ephemeral_from", u64::from(self.ephemeral_from), 1)?;
        keys.at_least("max_per_day", u64::from(self.max_per_day), 1)?;
        keys.at_least("memory_days", u64::from(self.memory_days), 1)?;
        keys.at_least("max_services", self.max_services as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(NewService {
            internal: context.internal.clone(),
            since: None,
            hosts: Recent::new(self.max_services),
            services: Recent::new(self.max_services),
            config: self.clone(),
        })
    }
}

/// What is known of a server.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    first: Option<i64>,
    /// Day of the last new services, and how many it had on that day.
    day: i64,
    new: u32,
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    since: Option<i64>,
    hosts: Saved<HostKey, Known>,
    services: Saved<(HostKey, u8, u16), ()>,
}

struct NewService {
    config: Config,
    internal: InternalNetworks,
    since: Option<i64>,
    hosts: Recent<HostKey, Known>,
    services: Recent<(HostKey, u8, u16), ()>,
}

impl Detector for NewService {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let (hosts, services) = (self.hosts.save(), self.services.save());
        alarms::save(&State { since: self.since, hosts, services })
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State = alarms::restore(ID, state)?;
        self.since = state.since;
        self.hosts.restore(state.hosts);
        self.services.restore(state.services);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        let since = *self.since.get_or_insert(now);
        if now % MINUTES_PER_HOUR == 0 {
            let oldest = now - i64::from(self.config.memory_days) * MINUTES_PER_DAY;
            self.hosts.forget_before(oldest);
            self.services.forget_before(oldest);
        }
        let is_warm = now >= since + i64::from(self.config.warm_up_hours) * MINUTES_PER_HOUR;
        self.meet(window, now);
        let mut answering: Vec<_> =
            window.conversations.iter().filter(|c| self.is_service(c)).collect();
        answering.sort_by_key(|c| (c.service(), c.client));
        let mut own = Vec::new();
        for conversations in answering.chunk_by(|a, b| a.service() == b.service()) {
            if self.is_new(conversations[0], now) && is_warm {
                own.push(self.finding(window, conversations));
            }
        }
        // The strongest finding of a host speaks for it.
        own.sort_by(|a, b| {
            let by_host = a.subject.cmp(&b.subject);
            by_host.then(b.strength.total_cmp(&a.strength)).then(a.reason.cmp(&b.reason))
        });
        own.dedup_by_key(|finding| finding.subject);
        findings.append(&mut own);
    }
}

impl NewService {
    /// Whether somebody inside was seen to answer on a port of a service.
    fn is_service(&self, c: &Conversation) -> bool {
        let counters = &c.counters;
        [Protocol::TCP.0, Protocol::UDP.0].contains(&c.protocol)
            && c.port > 0
            && c.port < self.config.ephemeral_from
            && counters.bytes_down > 0
            && counters.requests > counters.failed
            && counters.is_answered()
            && self.internal.contains(c.server.ip())
    }

    /// Remembers who is there: a desk that only asks is known when it begins to answer.
    fn meet(&mut self, window: &HostsWindow, now: i64) {
        for source in &window.sources {
            let host = source.host();
            if self.internal.contains(host.ip()) {
                self.hosts.see(host, now).first.get_or_insert(now);
            }
        }
    }

    /// Remembers a service; returns whether it is new of a host that hardly ever has new ones.
    fn is_new(&mut self, c: &Conversation, now: i64) -> bool {
        let is_known = self.services.get(&c.service()).is_some();
        self.services.see(c.service(), now);
        let host = self.hosts.see(c.server, now);
        let first = *host.first.get_or_insert(now);
        if is_known {
            return false;
        }
        let day = now.div_euclid(MINUTES_PER_DAY);
        host.new = if host.day == day { host.new.saturating_add(1) } else { 1 };
        host.day = day;
        now >= first + i64::from(self.config.host_hours) * MINUTES_PER_HOUR
            && host.new <= self.config.max_per_day
    }

    fn finding(&self, window: &HostsWindow, conversations: &[&Conversation]) -> Finding {
        let c = conversations[0];
        let is_outside = |c: &&&Conversation| !self.internal.contains(c.client.ip());
        let outside = conversations.iter().filter(is_outside).count();
        // Remote control, or somebody outside who uses it, is worse than another port.
        let is_log_in = c.protocol == Protocol::TCP.0 && log_in(c.port).is_some();
        let strength = match (is_log_in, outside > 0) {
            (true, true) => 1.0,
            (false, true) => 0.6,
            // Who goes from host to host leaves a trail of these: one line each, no alert.
            (true, false) => 0.5,
            (false, false) => 0.2,
        };
        let clients = conversations.iter().map(|c| c.client.ip()).take(Finding::MAX_RELATED);
        Finding {
            detector: ID,
            kind: Kind::NewService,
            subject: Subject::Destination(c.server.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                fact("port", f64::from(c.port)),
                fact("clients", conversations.len() as f64),
                fact("clients_outside", outside as f64),
            ],
            reason: format!("answered for the first time on {}", service_words(c.protocol, c.port)),
            related: clients.collect(),
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

    const DAY: i64 = 86_400;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn answered(second: i64, from: &str, port: u16) -> Flow {
        flow().from(from).to_port(port).flags(0x1b).returned(800, 6).at(second).build()
    }

    #[test]
    fn a_service_that_a_known_host_never_had_is_told_once() {
        let mut flows: Vec<_> =
            (0..30).map(|hour| answered(hour * 3_600, "10.0.0.1", 443)).collect();
        flows.push(answered(DAY + 9_000, "198.51.100.1", 3389));
        flows.push(answered(DAY + 9_100, "198.51.100.1", 3389));
        let findings = found(&flows);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, Subject::Destination([10, 0, 0, 2].into()));
        assert_eq!(findings[0].reason, "answered for the first time on tcp port 3389 (RDP)");
        assert_eq!(findings[0].strength, 1.0);
    }

    #[test]
    fn a_desk_that_never_answered_is_known_by_its_questions() {
        let mut flows: Vec<_> = (0..30)
            .map(|hour| {
                flow().from("10.0.0.2").to("10.0.0.9").to_port(443).at(hour * 3_600).build()
            })
            .collect();
        flows.push(answered(DAY + 9_000, "10.0.0.5", 4444));
        flows.sort_by_key(|flow| flow.end);
        let findings = found(&flows);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].subject, Subject::Destination([10, 0, 0, 2].into()));
    }

    #[test]
    fn refused_contacts_client_ports_and_new_hosts_are_not() {
        let mut flows: Vec<_> =
            (0..30).map(|hour| answered(hour * 3_600, "10.0.0.1", 443)).collect();
        flows.push(flow().to_port(3389).syn().at(DAY + 9_000).build());
        flows.push(answered(DAY + 9_000, "10.0.0.1", 50_123));
        let mut new_host = answered(DAY + 9_000, "10.0.0.1", 3389);
        new_host.destination.ip = Some([10, 0, 0, 99].into());
        flows.push(new_host);
        flows.sort_by_key(|flow| flow.end);
        assert!(found(&flows).is_empty());
    }
}
