//! New outside peers: a host inside that talks with few places outside, answers a new one.

use serde::{Deserialize, Serialize};

use std::net::IpAddr;

use crate::features::{HostKey, HostsWindow};
use crate::model::{Finding, Kind, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{Keys, fact, over_threshold, rule_probability};
use super::services::{log_in, service_words};
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "new_peer";
/// A new customer looks like that.
const PROBABILITY: f64 = 1e-2;
const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 1_440;

/// Settings of the detector `new_peer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Hours of event time that a host is learned before its peers are reported.
    pub host_hours: u32,
    /// Networks outside (/24, /48) that a host answers, at most; at least 1. One with more serves the
    /// public.
    pub max_peers: usize,
    /// Days after which a peer that did not come is new again; at least 1.
    pub memory_days: u32,
    /// Hosts that are remembered; at least 2. About 200 bytes each.
    pub max_hosts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, host_hours: 24, max_peers: 6, memory_days: 60, max_hosts: 20_000 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("max_peers", self.max_peers as u64, 1)?;
        keys.at_least("memory_days", u64::from(self.memory_days), 1)?;
        keys.at_least("max_hosts", self.max_hosts as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        let (internal, hosts) = (context.internal.clone(), Recent::new(self.max_hosts));
        Box::new(NewPeer { config: self.clone(), internal, hosts })
    }
}

/// Whom a host answers outside.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    first: Option<i64>,
    /// Networks with the last window they were seen in, ascending; one more than are few.
    peers: Vec<(HostKey, i64)>,
}

struct NewPeer {
    config: Config,
    internal: InternalNetworks,
    hosts: Recent<HostKey, Known>,
}

/// The network of a host: people come back from other addresses of theirs.
fn network_of(host: HostKey) -> HostKey {
    let number = host.number();
    let bits = if host.ip().is_ipv4() { 8 } else { 80 };
    let ip = std::net::Ipv6Addr::from_bits(number >> bits << bits);
    HostKey::new(IpAddr::V6(ip).to_canonical())
}

impl Detector for NewPeer {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.hosts.save())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<HostKey, Known> = alarms::restore(ID, state)?;
        self.hosts.restore(saved);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        let oldest = now - i64::from(self.config.memory_days) * MINUTES_PER_DAY;
        if now % MINUTES_PER_HOUR == 0 {
            self.hosts.forget_before(oldest);
        }
        let mut answered: Vec<_> = window
            .conversations
            .iter()
            .filter(|c| {
                c.counters.bytes_down > 0
                    && c.counters.requests > c.counters.failed
                    && self.internal.contains(c.server.ip())
                    && !self.internal.contains(c.client.ip())
            })
            .collect();
        answered.sort_by_key(|c| (c.server, c.client, c.protocol, c.port));
        for conversations in answered.chunk_by(|a, b| a.server == b.server) {
            let new = conversations.iter().find(|c| self.is_new(c.server, c.client, now, oldest));
            if let Some(c) = new {
                let known = self.hosts.get(&c.server).map_or(0, |known| known.peers.len() - 1);
                // Through a log-in it may be an intruder.
                let strength = if log_in(c.port).is_some() { 0.8 } else { 0.3 };
                findings.push(Finding {
                    detector: ID,
                    kind: Kind::NewPeer,
                    subject: Subject::Destination(c.server.ip()),
                    window: window.span,
                    probability: rule_probability(PROBABILITY, strength),
                    strength,
                    features: vec![
                        over_threshold("peers_outside", known as f64, self.config.max_peers as f64),
                        fact("port", f64::from(c.port)),
                    ],
                    reason: format!(
                        "answered {} for the first time, on {}; {known} other networks outside come here",
                        c.client.ip(),
                        service_words(c.protocol, c.port),
                    ),
                    related: vec![c.client.ip()],
                    services: vec![c.service_port()],
                });
            }
        }
    }
}

impl NewPeer {
    /// Remembers a peer; returns whether it is new of a host that has few.
    fn is_new(&mut self, host: HostKey, peer: HostKey, now: i64, oldest: i64) -> bool {
        let most = self.config.max_peers;
        let known = self.hosts.see(host, now);
        let first = *known.first.get_or_insert(now);
        known.peers.retain(|(_, last)| *last >= oldest);
        let network = network_of(peer);
        match known.peers.binary_search_by_key(&network, |(known, _)| *known) {
            Ok(place) => {
                known.peers[place].1 = now;
                false
            }
            // It serves the public: whom does not matter.
            Err(_) if known.peers.len() > most => false,
            Err(place) => {
                known.peers.insert(place, (network, now));
                now >= first + i64::from(self.config.host_hours) * MINUTES_PER_HOUR
                    && known.peers.len() > 1
                    && known.peers.len() <= most
            }
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

    fn visit(hour: i64, from: &str) -> Flow {
        let flow = flow().from(from).to_port(22).flags(0x1b).returned(3_000, 9);
        flow.at(hour * 3_600).build()
    }

    #[test]
    fn a_new_visitor_of_a_host_with_few_is_told_once() {
        let mut flows: Vec<_> = (0..30).map(|hour| visit(hour, "203.0.113.5")).collect();
        flows.push(visit(31, "203.0.113.77"));
        flows.push(visit(32, "198.51.100.9"));
        flows.push(visit(33, "198.51.100.10"));
        let findings = found(&flows);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].reason,
            "answered 198.51.100.9 for the first time, on tcp port 22 (SSH); 1 other networks outside come here"
        );
    }

    #[test]
    fn public_servers_have_new_visitors_all_day() {
        let visits = (0..200).map(|hour| visit(hour, &format!("198.51.{hour}.9")));
        assert!(found(&visits.collect::<Vec<_>>()).is_empty());
    }
}
