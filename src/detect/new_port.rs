//! First use of a service port by a host (S1.7).
//!
//! Quiet by design: only hosts of private ranges, neither popular nor ephemeral ports, after a day
//! of learning, and not of hosts to whom new ports are nothing new: telephones take a fresh port for
//! every call, a dozen a day each in simulated office traffic. What it says belongs into a report, or
//! beside stronger findings of the same host.

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow, PortSet, SourceWindow};
use crate::model::{Finding, Kind, SettingError, Timestamp};

use super::rules::{Keys, counted, fact, list_ports, log_strength, rule_probability};
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "new_port";
/// First uses are common: one in a hundred host windows is all that is claimed.
const PROBABILITY: f64 = 1e-2;
/// After so many seconds a window with new ports counts half for [`Config::max_recent`].
const HALF_LIFE: f64 = 12.0 * 3600.0;

/// Settings of the detector `new_port`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Ports that are never reported, however new.
    pub popular_ports: Vec<u16>,
    /// Ports from here on are never reported: clients and peer-to-peer programs use any of them.
    pub ephemeral_from: u16,
    /// Hours of event time that the detector learns before its first finding; 0 = none.
    pub warm_up_hours: u32,
    /// Hours of event time that a host must have been known before it is reported; 0 = none. Lower:
    /// every new device is reported with every service it uses.
    pub host_hours: u32,
    /// Whether hosts outside the private ranges (RFC 1918, fc00::/7, link-local) are followed too.
    pub all_sources: bool,
    /// Windows with new ports in the recent past of a host, each counting half after 12 hours, above
    /// which it is not reported: it does this all the time. Positive. What a host does in its first
    /// hours counts too, a quarter of it after a day. Higher: more hosts are reported, more often.
    pub max_recent: f64,
    /// New ports in one window (60 s) above which a host is left to the scan rules; its ports are
    /// remembered. At least 1.
    pub max_ports: u64,
    /// Hosts that are remembered; at least 1. When there are more, those seen in one window only go
    /// first, then the longest unseen. About 100 bytes each, up to 8 KB for hosts of many ports.
    pub max_hosts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            popular_ports: vec![22, 53, 80, 123, 143, 443, 993, 8080],
            ephemeral_from: 32_768,
            warm_up_hours: 24,
            host_hours: 24,
            all_sources: false,
            max_recent: 3.0,
            max_ports: 16,
            max_hosts: 50_000,
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
        keys.positive("max_recent", self.max_recent)?;
        keys.at_least("max_ports", self.max_ports, 1)?;
        keys.at_least("max_hosts", self.max_hosts as u64, 1)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(NewPort::new(self.clone()))
    }
}

/// What is known of a host.
#[derive(Clone, Serialize, Deserialize)]
struct Known {
    ports: PortSet,
    first: Timestamp,
    last: Timestamp,
    /// Windows with new ports, decayed to `last_new`, in thousandths: whole numbers come back from
    /// a snapshot as they were.
    recent: u64,
    last_new: Timestamp,
}

/// New ports of a host.
struct News {
    /// Since when the host is known.
    first: Timestamp,
    /// Windows with new ports before this one, decayed.
    recent: f64,
    /// Ascending.
    ports: Vec<u16>,
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    since: Option<Timestamp>,
    hosts: Vec<(HostKey, Known)>,
}

struct NewPort {
    config: Config,
    hosts: HashMap<HostKey, Known>,
    since: Option<Timestamp>,
}

impl Detector for NewPort {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let hosts = self.hosts.iter().map(|(host, known)| (*host, known.clone()));
        let mut state = State { since: self.since, hosts: hosts.collect() };
        state.hosts.sort_unstable_by_key(|(host, _)| *host);
        serde_json::to_vec(&state).expect("hosts, ports and times are plain data")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State =
            serde_json::from_slice(state).map_err(|error| RestoreError::new(ID, error))?;
        self.since = state.since;
        self.hosts = state.hosts.into_iter().collect();
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.start;
        let since = *self.since.get_or_insert(now);
        let is_warm = now >= since.plus_seconds(hours(self.config.warm_up_hours));
        for source in &window.sources {
            if source.opened_ports.is_empty() || !(self.config.all_sources || is_internal(source)) {
                continue;
            }
            let Some(news) = self.remember(source, now) else { continue };
            let is_known = now >= news.first.plus_seconds(hours(self.config.host_hours));
            let is_rare = news.recent <= self.config.max_recent;
            let is_few = news.ports.len() as u64 <= self.config.max_ports;
            if is_warm && is_known && is_rare && is_few {
                findings.push(self.finding(window, source, &news.ports));
            }
        }
        if self.hosts.len() > self.config.max_hosts {
            self.make_room();
        }
    }
}

impl NewPort {
    fn new(config: Config) -> Self {
        Self { config, hosts: HashMap::new(), since: None }
    }

    /// Remembers the ports of a host; returns the new ones, if there are any.
    fn remember(&mut self, source: &SourceWindow, now: Timestamp) -> Option<News> {
        let (popular, ephemeral_from) = (&self.config.popular_ports, self.config.ephemeral_from);
        let known = self.hosts.entry(source.host()).or_insert_with(|| Known {
            ports: PortSet::default(),
            first: now,
            last: now,
            recent: 0,
            last_new: now,
        });
        known.last = now;
        let mut ports = Vec::new();
        source.opened_ports.for_each(|port| {
            if port < ephemeral_from && !known.ports.contains(port) && !popular.contains(&port) {
                ports.push(port);
            }
        });
        if ports.is_empty() {
            return None;
        }
        ports.sort_unstable();
        ports.iter().for_each(|&port| known.ports.insert(port));
        let elapsed = now.seconds_since(known.last_new).max(0.0);
        let recent = (known.recent as f64 * (-elapsed / HALF_LIFE).exp2()).round();
        (known.recent, known.last_new) = (recent as u64 + 1000, now);
        Some(News { first: known.first, recent: recent / 1000.0, ports })
    }

    /// Drops hosts until a tenth of the room is free.
    fn make_room(&mut self) {
        let rank =
            |(host, known): (&HostKey, &Known)| (known.last > known.first, known.last, *host);
        let mut ranks: Vec<_> = self.hosts.iter().map(rank).collect();
        let room = self.config.max_hosts - self.config.max_hosts / 10;
        let excess = ranks.len().saturating_sub(room);
        if excess > 0 {
            let (_, &mut last_to_go, _) = ranks.select_nth_unstable(excess - 1);
            self.hosts.retain(|host, known| rank((host, known)) > last_to_go);
        }
    }

    fn finding(&self, window: &HostsWindow, source: &SourceWindow, new: &[u16]) -> Finding {
        let count = new.len() as f64;
        let strength = log_strength(count, 1.0, (self.config.max_ports as f64).max(2.0));
        Finding {
            detector: ID,
            kind: Kind::NewPort,
            subject: source.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![fact("new_ports", count)],
            reason: format!(
                "contacted {} for the first time: {}",
                counted(new.len() as u64, "port"),
                list_ports(new)
            ),
            related: Vec::new(),
            services: Vec::new(),
        }
    }
}

fn hours(hours: u32) -> i64 {
    i64::from(hours) * 3600
}

fn is_internal(source: &SourceWindow) -> bool {
    match source.ip() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::testkit::flow;

    const DAY: i64 = 86_400;

    fn eager() -> Config {
        Config { warm_up_hours: 0, host_hours: 0, ..Config::default() }
    }

    /// (second, port) contacts of 10.0.0.1 → (second, reason) of the findings.
    fn found(config: Config, contacts: &[(i64, u16)]) -> Vec<(i64, String)> {
        let one = |&(at, port): &(i64, u16)| flow().to_port(port).at(at).build();
        let flows: Vec<_> = contacts.iter().map(one).collect();
        let findings = run(&mut NewPort::new(config), &flows);
        findings.into_iter().map(|f| (f.window.start.seconds(), f.reason)).collect()
    }

    #[test]
    fn the_first_use_is_reported_once_and_the_second_never() {
        let findings = found(eager(), &[(0, 25), (60, 25), (120, 3306), (180, 3306)]);
        let expected = [
            (0, "contacted 1 port for the first time: 25".to_owned()),
            (120, "contacted 1 port for the first time: 3306".to_owned()),
        ];
        assert_eq!(findings, expected);
    }

    #[test]
    fn popular_and_ephemeral_ports_are_never_new() {
        assert_eq!(found(eager(), &[(0, 443), (0, 22), (60, 40_000)]), []);
    }

    #[test]
    fn nothing_is_reported_during_the_first_day_of_the_detector_or_the_host() {
        let findings = found(Config::default(), &[(0, 25), (DAY - 60, 26), (DAY, 26), (DAY, 27)]);
        assert_eq!(findings, [(DAY, "contacted 1 port for the first time: 27".to_owned())]);
        let mut flows = vec![flow().from("10.0.0.9").at(0).build()];
        flows.push(flow().to_port(25).at(DAY).build());
        flows.push(flow().to_port(26).at(DAY + 3600).build());
        assert_eq!(run(&mut NewPort::new(Config::default()), &flows), [], "a new host learns too");
    }

    #[test]
    fn a_scan_is_remembered_but_left_to_the_scan_rules() {
        let mut contacts: Vec<_> = (1..=17).map(|port| (0, port)).collect();
        contacts.push((60, 5));
        assert_eq!(found(eager(), &contacts), []);
    }

    #[test]
    fn a_telephone_with_a_fresh_port_for_every_call_falls_silent_and_speaks_again_later() {
        let call = |n: i64| (n * 3600, 16_400 + n as u16);
        let mut contacts: Vec<_> = (0..30).map(call).collect();
        contacts.push((10 * DAY, 25));
        let findings = found(eager(), &contacts);
        let times: Vec<_> = findings.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, [0, 3600, 7200, 10_800, 10 * DAY]);
    }

    #[test]
    fn outside_hosts_are_followed_only_when_asked() {
        let flows = [flow().from("192.0.2.1").to_port(25).build()];
        assert_eq!(run(&mut NewPort::new(eager()), &flows), []);
        let all = Config { all_sources: true, ..eager() };
        assert_eq!(run(&mut NewPort::new(all), &flows).len(), 1);
    }

    #[test]
    fn a_flood_of_made_up_hosts_does_not_push_out_those_that_come_back() {
        let config = Config { max_hosts: 100, ..eager() };
        let mut detector = NewPort::new(config);
        let mut flows = vec![flow().to_port(25).at(0).build(), flow().to_port(25).at(60).build()];
        for n in 0..5_000i64 {
            let from = format!("10.9.{}.{}", n / 250, n % 250);
            flows.push(flow().from(&from).to_port(25).at(120 + n / 10).build());
        }
        flows.push(flow().to_port(25).at(1_000).build());
        let findings = run(&mut detector, &flows);
        assert!(detector.hosts.len() <= 100);
        let known = findings.iter().filter(|f| f.subject.to_string() == "10.0.0.1").count();
        assert_eq!(known, 1, "its port 25 stayed known");
    }
}
