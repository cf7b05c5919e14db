//! Guessed passwords: many short, answered connections to a log-in service.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, ServicePort, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{
    Keys, counted, fact, log_strength, most_involved, over_threshold, rule_probability,
};
use super::services::service_words;
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "brute_force";
/// Machines log in often as well, but seldom so often and so briefly.
const PROBABILITY: f64 = 1e-3;
/// A hundred times the threshold is as bad as it gets.
const TOP: f64 = 100.0;
/// Services to which programs connect all day: so many times more is needed there.
const BUSY_FACTOR: u64 = 10;
/// On other system ports, where a log-in service may have been moved to, so many times more is needed.
const MOVED_FACTOR: u64 = 2;
/// The ports below this belong to the system.
const SYSTEM_PORTS: u16 = 1_024;
/// System ports of services that programs ask all day, without anybody who logs in.
const CHATTY: [u16; 14] = [53, 80, 88, 111, 135, 139, 389, 443, 464, 631, 636, 853, 873, 990];
/// Victims kept per client and service.
const VICTIMS: usize = 16;

/// Settings of the detector `brute_force`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// TCP ports of services where people log in. Other system ports (below 1024) need twice as many
    /// connections, but those that programs ask all day (names, web, directories) do not count.
    pub ports: Vec<u16>,
    /// TCP ports of services that programs use all day (mail, files, databases): ten times as many
    /// connections are needed.
    pub busy_ports: Vec<u16>,
    /// Windows (60 s each) that are remembered; at least 1.
    pub memory_windows: u32,
    /// Connections of one host to one service, over all servers, within the memory; at least 2.
    pub min_connections: u64,
    /// Connections per server, on average; positive. Lower: passwords tried on many servers are found,
    /// and administrators who go from server to server.
    pub min_per_server: f64,
    /// Bytes of a connection, both ways, on average: an attempt is short; positive.
    pub max_bytes: f64,
    /// Share (0–1) of the connections that are answered. Unanswered ones are scans.
    pub min_answered: f64,
    /// Hosts that are remembered, per service; at least 2. About 300 bytes each.
    pub max_hosts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            ports: vec![21, 22, 23, 3389, 5900],
            busy_ports: vec![
                25, 110, 143, 445, 465, 587, 993, 995, 1433, 3306, 5432, 5985, 5986, 6379,
            ],
            memory_windows: 10,
            min_connections: 30,
            min_per_server: 8.0,
            max_bytes: 20_000.0,
            min_answered: 0.5,
            max_hosts: 20_000,
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
        keys.at_least("min_connections", self.min_connections, 2)?;
        keys.positive("min_per_server", self.min_per_server)?;
        keys.positive("max_bytes", self.max_bytes)?;
        keys.fraction("min_answered", self.min_answered)?;
        keys.at_least("max_hosts", self.max_hosts as u64, 2)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(BruteForce { config: self.clone(), hosts: Recent::new(self.max_hosts) })
    }
}

/// Connections within one window.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Minute {
    window: i64,
    connections: u64,
    failed: u64,
    bytes: u64,
}

/// Connections of one host to one service.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Attempts {
    /// Oldest first.
    minutes: Vec<Minute>,
    /// Servers with their connections since the host was first seen.
    servers: Vec<(HostKey, u64)>,
}

struct BruteForce {
    config: Config,
    hosts: Recent<(HostKey, u16), Attempts>,
}

impl Detector for BruteForce {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.hosts.save())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<(HostKey, u16), Attempts> = alarms::restore(ID, state)?;
        self.hosts.restore(saved);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.number();
        let oldest = now - i64::from(self.config.memory_windows) + 1;
        self.hosts.forget_before(oldest);
        let mut seen = Vec::new();
        for c in window.conversations.iter().filter(|c| c.protocol == Protocol::TCP.0) {
            if self.threshold(c.port).is_some() {
                self.note(c, now, oldest);
                seen.push((c.client, c.port));
            }
        }
        seen.sort_unstable();
        seen.dedup();
        let mut worst = Vec::new();
        for (client, port) in seen {
            if let Some(strength) = self.judge((client, port), now) {
                worst.push((client, strength, port));
            }
        }
        // One finding per host: its worst service.
        worst.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        worst.dedup_by_key(|(client, ..)| *client);
        for (client, strength, port) in worst {
            findings.push(self.finding(window, client, port, strength));
        }
    }
}

impl BruteForce {
    fn threshold(&self, port: u16) -> Option<u64> {
        let least = self.config.min_connections;
        if self.config.ports.contains(&port) {
            return Some(least);
        }
        if self.config.busy_ports.contains(&port) {
            return Some(least.saturating_mul(BUSY_FACTOR));
        }
        let may_be_moved = port < SYSTEM_PORTS && !CHATTY.contains(&port);
        may_be_moved.then_some(least.saturating_mul(MOVED_FACTOR))
    }

    fn note(&mut self, c: &Conversation, now: i64, oldest: i64) {
        let attempts = self.hosts.see((c.client, c.port), now);
        attempts.minutes.retain(|minute| minute.window >= oldest);
        if attempts.minutes.last().is_none_or(|minute| minute.window != now) {
            attempts.minutes.push(Minute { window: now, ..Minute::default() });
        }
        let connections = c.counters.connections();
        if let Some(minute) = attempts.minutes.last_mut() {
            minute.connections = minute.connections.saturating_add(connections);
            minute.failed = minute.failed.saturating_add(c.counters.failed);
            let bytes = c.counters.bytes_up.saturating_add(c.counters.bytes_down);
            minute.bytes = minute.bytes.saturating_add(bytes);
        }
        let place = attempts.servers.iter().position(|(server, _)| *server == c.server);
        match place {
            Some(place) => {
                let count = &mut attempts.servers[place].1;
                *count = count.saturating_add(connections);
            }
            None if attempts.servers.len() < VICTIMS => {
                attempts.servers.push((c.server, connections));
            }
            None => {}
        }
    }

    fn total(&self, key: &(HostKey, u16)) -> Minute {
        let minutes = self.hosts.get(key).map_or(&[][..], |attempts| &attempts.minutes);
        minutes.iter().fold(Minute::default(), |sum, minute| Minute {
            window: minute.window,
            connections: sum.connections.saturating_add(minute.connections),
            failed: sum.failed.saturating_add(minute.failed),
            bytes: sum.bytes.saturating_add(minute.bytes),
        })
    }

    /// Returns how bad it is; `None` when it is ordinary.
    fn judge(&self, key: (HostKey, u16), now: i64) -> Option<f64> {
        let total = self.total(&key);
        let least = self.threshold(key.1)?;
        let connections = total.connections as f64;
        let servers = self.hosts.get(&key)?.servers.len() as f64;
        let is_attack = total.window == now
            && total.connections >= least
            && connections >= self.config.min_per_server * servers
            && total.bytes as f64 <= self.config.max_bytes * connections
            && total.failed as f64 <= (1.0 - self.config.min_answered) * connections;
        is_attack.then(|| log_strength(connections, least as f64, least as f64 * TOP))
    }

    fn finding(&self, window: &HostsWindow, client: HostKey, port: u16, strength: f64) -> Finding {
        let total = self.total(&(client, port));
        let connections = total.connections as f64;
        let least = self.threshold(port).unwrap_or(self.config.min_connections) as f64;
        let minutes = u64::from(self.config.memory_windows) * u64::from(window.span.seconds) / 60;
        let servers = self.hosts.get(&(client, port)).map_or(&[][..], |known| &known.servers);
        let related = servers.iter().map(|(server, count)| (server.ip(), *count)).collect();
        let mean = total.bytes as f64 / connections.max(1.0);
        Finding {
            detector: ID,
            kind: Kind::BruteForce,
            subject: Subject::Source(client.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("connections", connections, least),
                fact("bytes_per_connection", mean),
                fact("failed_connections", total.failed as f64),
                fact("servers", servers.len() as f64),
            ],
            reason: format!(
                "opened {} short connections to {} on {} within {minutes} min ({mean:.0} B each)",
                total.connections,
                counted(servers.len() as u64, "server"),
                service_words(Protocol::TCP.0, port),
            ),
            related: most_involved(related),
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

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn log_ins(count: i64, seconds: i64, port: u16, bytes: u64) -> Vec<Flow> {
        let of = |n: i64| {
            let flow = flow().from("198.51.100.9").from_port(40_000 + (n % 20_000) as u16);
            flow.to_port(port).flags(0x1b).bytes(bytes).returned(bytes, 12).at(n * seconds).build()
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn guessed_passwords_are_found_while_they_go_on() {
        let findings = found(&log_ins(100, 2, 22, 2_000));
        assert!(!findings.is_empty());
        assert_eq!(findings[0].subject, Subject::Source("198.51.100.9".parse().unwrap()));
        assert_eq!(findings[0].related, [std::net::IpAddr::from([10, 0, 0, 2])]);
        assert_eq!(
            findings[0].reason,
            "opened 30 short connections to 1 server on tcp port 22 (SSH) within 10 min (4000 B each)"
        );
    }

    #[test]
    fn an_administrator_who_goes_from_server_to_server_is_ordinary() {
        let mut flows = log_ins(60, 5, 22, 6_000);
        for (n, flow) in flows.iter_mut().enumerate() {
            flow.destination.ip = Some([10, 0, 1, (n % 12) as u8].into());
        }
        assert!(found(&flows).is_empty());
    }

    #[test]
    fn slow_log_ins_transfers_and_busy_services_are_ordinary() {
        assert!(found(&log_ins(60, 60, 22, 2_000)).is_empty(), "one a minute");
        assert!(found(&log_ins(100, 2, 22, 900_000)).is_empty(), "transfers");
        assert!(found(&log_ins(100, 2, 5432, 2_000)).is_empty(), "a program");
        assert!(found(&log_ins(100, 2, 443, 2_000)).is_empty(), "a web page");
        assert!(!found(&log_ins(100, 2, 902, 2_000)).is_empty(), "a log-in that was moved");
        let scan: Vec<_> = (0..100).map(|n| flow().to_port(22).syn().at(n).build()).collect();
        assert!(found(&scan).is_empty(), "nobody answers");
    }
}
