//! Fast port scans: many ports of one host, or one port of many hosts, tried within one window.
//!
//! Only contacts that got no service count ([`crate::model::Flow::is_probe`]), so neither busy
//! servers nor victims that refuse are named. A peer-to-peer program fails at many hosts too, but on
//! as many ports: it has neither many ports of a host nor many hosts of a port.

use serde::{Deserialize, Serialize};

use crate::features::{HostKey, HostsWindow, PortSet, ProbeLog, Probes, SourceWindow};
use crate::model::{Finding, Kind, SettingError, WindowSpan};

use super::rules::{
    Keys, counted, fact, list_ports, log_strength, most_involved, over_threshold, rule_probability,
};
use super::{Configured, Context, Detector, Settings};

const ID: &str = "port_scan";
/// What a scan just over the threshold claims. In public captures of offices, devices and a server,
/// ordinary hosts stayed at a third of the thresholds or below in every window.
const PROBABILITY: f64 = 1e-4;
/// A hundred times the threshold is as bad as a scan gets.
const TOP: f64 = 100.0;
/// Where traceroute and mtr count up from, for 30 hops with three packets each and some slack.
const TRACEROUTE_PORTS: std::ops::Range<u16> = 33_434..33_535;

/// Settings of the detector `port_scan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Distinct ports of one host, tried in vain within one window (60 s), that make a vertical
    /// scan; at least 2. Lower: smaller scans are found, and some misconfigured clients.
    pub min_ports: u64,
    /// Distinct hosts, tried in vain on one port within one window, that make a horizontal scan; at
    /// least 2. Lower: smaller scans are found, and browsers behind a broken line.
    pub min_hosts: u64,
    /// The tried hosts of a horizontal scan are at least this share (0–1) of all hosts contacted in
    /// the window. Keeps mail servers silent that deliver to some dead hosts among many.
    pub min_share: f64,
    /// From so many tried hosts on, `min_share` is not asked: a scan behind a busy gateway.
    pub certain_hosts: u64,
    /// Fewer hosts than `min_hosts`, but at least so many, make a horizontal scan when they are
    /// `burst_share` of all hosts contacted; at least 2. Finds short bursts of a host that also
    /// reaches some. Ordinary office hosts fail at up to 5 hosts a minute.
    pub burst_hosts: u64,
    /// See `burst_hosts` (0–1).
    pub burst_share: f64,
    /// Ports that never make a horizontal scan: one-way exports show polling just like scanning.
    pub polled_ports: Vec<u16>,
    /// Ports from here on count for a vertical scan only when at least a third of the tried ports
    /// lies below: small answers of a UDP server go to many high ports of one client.
    pub ephemeral_from: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_ports: 15,
            min_hosts: 15,
            min_share: 0.2,
            certain_hosts: 200,
            burst_hosts: 8,
            burst_share: 0.3,
            polled_ports: vec![137, 161],
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
        keys.at_least("min_ports", self.min_ports, 2)?;
        keys.at_least("min_hosts", self.min_hosts, 2)?;
        keys.fraction("min_share", self.min_share)?;
        keys.at_least("certain_hosts", self.certain_hosts, self.min_hosts)?;
        keys.at_least("burst_hosts", self.burst_hosts, 2)?;
        keys.fraction("burst_share", self.burst_share)?;
        keys.at_least("ephemeral_from", u64::from(self.ephemeral_from), 1)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(PortScan { config: self.clone() })
    }
}

/// A host many of whose ports were tried.
pub(super) struct Victim<'a> {
    host: HostKey,
    /// Tried ports that count.
    count: u64,
    ports: &'a PortSet,
}

/// A port that was tried at many hosts.
pub(super) struct Sweep {
    port: u16,
    hosts: u64,
}

impl Config {
    /// Returns how many of the tried ports of a host count towards a vertical scan.
    fn countable(&self, ports: &PortSet) -> u64 {
        let traced =
            ports.count_below(TRACEROUTE_PORTS.end) - ports.count_below(TRACEROUTE_PORTS.start);
        countable_ports(ports.count() - traced, ports.count_below(self.ephemeral_from))
    }

    /// The hosts that are scanned vertically, most ports first.
    fn victims<'a>(&self, probes: &'a Probes) -> Vec<Victim<'a>> {
        let counted = probes.hosts_with_ports().map(|(host, ports)| Victim {
            host,
            count: if ports.count() < self.min_ports { 0 } else { self.countable(ports) },
            ports,
        });
        let mut victims: Vec<_> = counted.filter(|victim| victim.count >= self.min_ports).collect();
        victims.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.host.cmp(&b.host)));
        victims
    }

    /// The ports that are scanned horizontally, most hosts first.
    fn sweeps(&self, source: &SourceWindow, probes: &Probes) -> Vec<Sweep> {
        let contacted = source.peers.count() as f64;
        let is_sweep = |sweep: &Sweep| {
            let is_polled = self.polled_ports.contains(&sweep.port);
            let hosts = sweep.hosts as f64;
            let is_telling =
                sweep.hosts >= self.certain_hosts || hosts >= self.min_share * contacted;
            let is_many = is_telling && sweep.hosts >= self.min_hosts;
            let is_burst = sweep.hosts >= self.burst_hosts && hosts >= self.burst_share * contacted;
            !is_polled && (is_many || is_burst)
        };
        // Echo requests have no port; they have a detector of their own.
        let counted = probes.ports_with_hosts();
        let counted = counted.filter_map(|(port, hosts)| Some(Sweep { port: port?, hosts }));
        let mut sweeps: Vec<_> = counted.filter(is_sweep).collect();
        sweeps.sort_unstable_by(|a, b| b.hosts.cmp(&a.hosts).then(a.port.cmp(&b.port)));
        sweeps
    }

    /// Whether this source scans within this window.
    pub(super) fn is_scanner(&self, source: &SourceWindow) -> bool {
        let ProbeLog::Many(probes) = &source.probes else { return false };
        self.is_possible(probes)
            && !(self.victims(probes).is_empty() && self.sweeps(source, probes).is_empty())
    }

    /// Whether there are enough targets for any scan at all: cheap.
    fn is_possible(&self, probes: &Probes) -> bool {
        let fewest = self.min_ports.min(self.min_hosts);
        probes.count >= fewest.min(self.burst_hosts)
    }
}

/// Returns how many of `total` ports count, `low` of them below the ephemeral ports: all when at
/// least a third is low, else the low ones.
pub(super) const fn countable_ports(total: u64, low: u64) -> u64 {
    if low * 3 >= total { total } else { low }
}

struct PortScan {
    config: Config,
}

impl Detector for PortScan {
    fn id(&self) -> &'static str {
        ID
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        for source in &window.sources {
            let ProbeLog::Many(probes) = &source.probes else { continue };
            if !self.config.is_possible(probes) {
                continue;
            }
            let victims = self.config.victims(probes);
            if !victims.is_empty() {
                findings.push(self.vertical(source, window.span, &victims));
            }
            let sweeps = self.config.sweeps(source, probes);
            if !sweeps.is_empty() {
                findings.push(self.horizontal(source, window.span, probes, &sweeps));
            }
        }
    }
}

impl PortScan {
    fn vertical(&self, source: &SourceWindow, span: WindowSpan, victims: &[Victim]) -> Finding {
        let worst = &victims[0];
        let threshold = self.config.min_ports as f64;
        let actual = worst.count as f64;
        let strength = log_strength(actual, threshold, TOP * threshold);
        let others = match victims.len() - 1 {
            0 => String::new(),
            n => format!(" and many of {}", counted(n as u64, "other host")),
        };
        let counts = victims.iter().map(|victim| (victim.host.ip(), victim.count)).collect();
        Finding {
            detector: ID,
            kind: Kind::PortScanVertical,
            subject: source.subject(),
            window: span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("probed_ports", actual, threshold),
                fact("scanned_hosts", victims.len() as f64),
                fact("probes", source.probes.count() as f64),
            ],
            reason: format!(
                "tried {} ports of {}{others} in vain within {} s (threshold: {threshold}): {}",
                worst.count,
                worst.host.ip(),
                span.seconds,
                list_ports(&worst.ports.first(9)),
            ),
            related: most_involved(counts),
            services: Vec::new(),
        }
    }

    fn horizontal(
        &self,
        source: &SourceWindow,
        span: WindowSpan,
        probes: &Probes,
        sweeps: &[Sweep],
    ) -> Finding {
        let worst = &sweeps[0];
        let many = self.config.min_hosts;
        let threshold = if worst.hosts < many { self.config.burst_hosts.min(many) } else { many };
        let threshold = threshold as f64;
        let actual = worst.hosts as f64;
        let strength = log_strength(actual, threshold, TOP * threshold);
        let what = format!("tried port {} of {} hosts in vain", worst.port, worst.hosts);
        let others = match sweeps.len() - 1 {
            0 => String::new(),
            n => format!(" and {} of many hosts", counted(n as u64, "other port")),
        };
        let hit = probes.hosts_with_ports().filter(|(_, ports)| ports.contains(worst.port));
        let related = most_involved(hit.map(|(host, ports)| (host.ip(), ports.count())).collect());
        Finding {
            detector: ID,
            kind: Kind::PortScanHorizontal,
            subject: source.subject(),
            window: span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("probed_hosts", actual, threshold),
                fact("scanned_ports", sweeps.len() as f64),
                fact("uniqDstIPs", source.peers.count() as f64),
            ],
            reason: format!("{what}{others} within {} s (threshold: {threshold})", span.seconds),
            related,
            services: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Flow, Protocol};
    use crate::testkit::{flow, ip};
    use proptest::prelude::*;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut PortScan { config: Config::default() }, flows)
    }

    fn kinds(flows: &[Flow]) -> Vec<Kind> {
        found(flows).iter().map(|finding| finding.kind).collect()
    }

    fn ports(ports: impl IntoIterator<Item = u16>) -> Vec<Flow> {
        ports.into_iter().map(|port| flow().to_port(port).syn().build()).collect()
    }

    fn hosts(n: u8, port: u16) -> Vec<Flow> {
        let one = |host| flow().to(&format!("10.0.3.{host}")).to_port(port).syn().build();
        (1..=n).map(one).collect()
    }

    #[test]
    fn a_vertical_scan_is_found_and_explained() {
        let findings = found(&ports(1..=150));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.kind, Kind::PortScanVertical);
        assert_eq!(finding.subject.to_string(), "10.0.0.1");
        assert_eq!(finding.related, [ip("10.0.0.2")]);
        assert_eq!(finding.features[0], over_threshold("probed_ports", 150.0, 15.0));
        assert!((finding.strength - 0.5).abs() < 1e-9);
        assert_eq!(
            finding.reason,
            "tried 150 ports of 10.0.0.2 in vain within 60 s (threshold: 15): 1, 2, 3, 4, 5, 6, 7, 8 …"
        );
    }

    #[test]
    fn a_horizontal_scan_is_found_and_explained() {
        let findings = found(&hosts(30, 445));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.kind, Kind::PortScanHorizontal);
        assert_eq!(finding.related.len(), Finding::MAX_RELATED);
        assert_eq!(
            finding.reason,
            "tried port 445 of 30 hosts in vain within 60 s (threshold: 15)"
        );
    }

    #[test]
    fn the_thresholds_are_where_the_settings_say() {
        assert_eq!(kinds(&ports(1..=14)), []);
        assert_eq!(kinds(&ports(1..=15)), [Kind::PortScanVertical]);
        assert_eq!(kinds(&hosts(7, 22)), []);
        assert_eq!(kinds(&hosts(8, 22)), [Kind::PortScanHorizontal], "all of its contacts fail");
        let reached = |host| flow().to(&format!("10.0.4.{host}")).to_port(443).flags(0x1b).build();
        let with_reached = |failed, n| {
            kinds(&hosts(failed, 22).into_iter().chain((0..n).map(reached)).collect::<Vec<_>>())
        };
        assert_eq!(with_reached(14, 40), [], "neither many nor most");
        assert_eq!(with_reached(15, 40), [Kind::PortScanHorizontal]);
        assert_eq!(with_reached(15, 80), [], "a busy mail server");
    }

    #[test]
    fn a_block_scan_is_both() {
        let flows: Vec<_> = (1..=20)
            .flat_map(|host| {
                (1..=20).map(move |port| {
                    flow().to(&format!("10.0.3.{host}")).to_port(port).syn().build()
                })
            })
            .collect();
        assert_eq!(kinds(&flows), [Kind::PortScanVertical, Kind::PortScanHorizontal]);
    }

    #[test]
    fn a_victim_that_refuses_is_not_named() {
        let refusals: Vec<_> = (1..=150)
            .map(|port| flow().from_port(port).to_port(57_800).flags(0x14).build())
            .collect();
        assert_eq!(kinds(&refusals), []);
    }

    #[test]
    fn failing_peers_on_random_ports_are_no_scan() {
        let flows: Vec<_> = (0..200u32)
            .map(|n| {
                let port = 1024 + (n.wrapping_mul(40_503) % 60_000) as u16;
                flow().to(&format!("198.51.{}.{}", n % 90, n % 251)).to_port(port).syn().build()
            })
            .collect();
        assert_eq!(kinds(&flows), []);
    }

    #[test]
    fn neither_dead_time_servers_nor_traceroute_nor_answers_to_high_ports_are_scans() {
        let udp =
            |flow: crate::testkit::FlowBuilder| flow.protocol(Protocol::UDP).bytes(76).build();
        let time: Vec<_> = (1..=99u8)
            .map(|host| udp(flow().to(&format!("192.0.2.{host}")).to_port(123)))
            .collect();
        assert_eq!(kinds(&time), []);
        let trace: Vec<_> = (33_434..33_524).map(|port| udp(flow().to_port(port))).collect();
        assert_eq!(kinds(&trace), []);
        let answers: Vec<_> =
            (50_000..50_200).map(|port| udp(flow().from_port(3478).to_port(port))).collect();
        assert_eq!(kinds(&answers), []);
    }

    #[test]
    fn a_mail_server_with_some_dead_receivers_is_no_scanner() {
        let delivered = (1..=120u8)
            .map(|host| flow().to(&format!("192.0.2.{host}")).to_port(25).flags(0x1b).build());
        let mut flows: Vec<_> = delivered.collect();
        flows.extend(hosts(20, 25));
        assert_eq!(kinds(&flows), []);
    }

    proptest! {
        #[test]
        fn the_order_of_flows_does_not_matter(
            targets in prop::collection::vec((0u8..60, 0u16..60), 0..600),
            seed in any::<u64>(),
        ) {
            let mut flows: Vec<_> = targets
                .iter()
                .map(|(host, port)| {
                    flow().to(&format!("10.0.3.{host}")).to_port(*port).syn().build()
                })
                .collect();
            let before = found(&flows);
            flows.sort_by_key(|flow| {
                let port = u64::from(flow.destination.port.unwrap_or(0));
                crate::features::mix(seed ^ port << 32 ^ flow.destination.ip.map_or(0, |ip| {
                    HostKey::new(ip).sketch_key()
                }))
            });
            prop_assert_eq!(before, found(&flows));
        }
    }
}
