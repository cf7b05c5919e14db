//! What to simulate, checked before it starts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What to simulate. The same value always gives the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Chooses hosts, sizes, times, attackers and victims.
    pub seed: u64,
    /// First moment, from 1970 to 2200; fractions of a second are dropped. The clock of the
    /// simulated offices is UTC: night, noon and week-end follow from it.
    pub start: Timestamp,
    /// How much.
    pub extent: Extent,
    /// Ordinary records per hour, the mean over a working day: 20,000 to 100,000,000. Week-ends
    /// have a little less than half of it. More means busier hosts, not more of them.
    pub flows_per_hour: f64,
    /// Hosts inside, 400 to 10,000. Above the fixed staff of servers and devices all are
    /// workstations.
    pub hosts: u32,
    /// Kinds of attack to hide in the traffic; repeats count once, empty means none.
    pub attacks: Vec<AttackKind>,
    /// Episodes of each kind per 24 h, 1 to 24; shorter runs get fewer and shorter ones, but at
    /// least one of each kind that fits. Every kind fits into 20 minutes or 60,000 records, but for
    /// those that last for hours or need a past ([`AttackKind::needs_past`]). Unusual volumes and
    /// shifts of the traffic are a third as many: what happens several times a day is usual.
    pub episodes_per_kind: u32,
}

/// A Monday from midnight to midnight, with every kind of attack that fits.
impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            // 2026-03-02T00:00:00Z, a Monday.
            start: Timestamp::from_seconds(1_772_409_600),
            extent: Extent::Hours(24.0),
            // 24 h ≈ 1.6 million records.
            flows_per_hour: 66_667.0,
            hosts: 450,
            attacks: AttackKind::ALL.to_vec(),
            episodes_per_kind: 3,
        }
    }
}

impl Config {
    /// Returns the settings when every one of them is in its range.
    pub fn checked(self) -> Result<Self, SimulateError> {
        let last = Timestamp::from_seconds(7_258_118_400);
        if !(Timestamp::from_seconds(0)..=last).contains(&self.start) {
            return Err(SimulateError::Start(self.start));
        }
        match self.extent {
            Extent::Hours(hours) if !(hours > 0.0 && hours <= Extent::MAX_HOURS) => {
                return Err(SimulateError::Hours(hours));
            }
            Extent::Flows(flows) if !(1..=Extent::MAX_FLOWS).contains(&flows) => {
                return Err(SimulateError::Flows(flows));
            }
            Extent::Hours(_) | Extent::Flows(_) => {}
        }
        if !(20_000.0..=100_000_000.0).contains(&self.flows_per_hour) {
            return Err(SimulateError::FlowsPerHour(self.flows_per_hour));
        }
        if !(400..=10_000).contains(&self.hosts) {
            return Err(SimulateError::Hosts(self.hosts));
        }
        if !(1..=24).contains(&self.episodes_per_kind) {
            return Err(SimulateError::EpisodesPerKind(self.episodes_per_kind));
        }
        Ok(self)
    }
}

/// How much to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// Every record received within so many hours of the start; more than 0, at most
    /// [`Extent::MAX_HOURS`].
    Hours(f64),
    /// Exactly so many records; 1 to [`Extent::MAX_FLOWS`].
    Flows(u64),
}

impl Extent {
    /// A year.
    pub const MAX_HOURS: f64 = 366.0 * 24.0;
    /// More than a year at the default rate.
    pub const MAX_FLOWS: u64 = 1_000_000_000;
}

/// A kind of attack that can be hidden in the traffic: every kind of anomaly that something of its
/// own causes. `malformed_flow` tells of exporters, `volume_outlier` and `unusual_host` of anything
/// that stands out; other kinds cause those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    /// 100–1000 ports of one server within 1–3 min; closed ports answer with a reset.
    PortScanVertical,
    /// One port of 80–250 addresses within 1–4 min; most do not answer.
    PortScanHorizontal,
    /// One new port (or one new host) every 15 s for 10–40 min.
    PortScanSlow,
    /// 5–40 answered contacts between an inside host and a listed address, either way.
    Blacklist,
    /// 2000–6000 spoofed SYNs a minute at one server port for 2–5 min.
    SynFlood,
    /// Large UDP answers of many outside servers to one victim for 1–5 min.
    UdpAmplification,
    /// 200–2000 short log-in connections from 1–3 hosts in 5–20 min.
    BruteForce,
    /// 2–20 GB from one inside host to a rare outside address over 20–60 min.
    Exfiltration,
    /// A small contact with one outside address every 60–600 s, ±20 %, for 2–6 h.
    Beacon,
    /// UDP floods of 60–400 senders over a /24 to /26 of ours for 2–10 min, 40–750 packets a minute
    /// for each address; every other one by answers of servers that were asked in its name.
    CarpetBombing,
    /// A server of ours answers 1–60 forged questions a second with 10–300 times their size for
    /// 3–20 min: DNS, NTP, CLDAP, SNMP, memcached.
    Reflector,
    /// A desk opens SMB, RDP, SSH or WinRM on 10–40 hosts inside within 5–45 min; three of four let
    /// it in.
    LateralMovement,
    /// A desk calls 1–3 places that do not answer any more every 5–60 s for 20–90 min.
    UnansweredStorm,
    /// Echoes of 150–1,300 octets, 2–40 a second, between a desk and a place outside for 10–60 min.
    IcmpTunnel,
    /// DNS queries of 90–230 octets, one or more a second for 10–40 min, to a name server outside:
    /// straight, or by way of our resolver.
    DnsTunnel,
    /// A connection from a desk that is open for 9–20 h, exported in parts; several at a time.
    LongConnection,
    /// A host inside answers 3–40 callers on a port on which it never answered.
    NewService,
    /// Somebody outside comes to a server that only its makers look after: 3–30 connections with up
    /// to 50 MB each.
    NewPeer,
    /// A desk uses a port that it never used, 4–40 times: mining pools, chats, onion routers.
    NewPort,
    /// A desk shares files with 40–150 peers a minute on as many ports for 10–40 min; half of them
    /// are gone.
    TooManyPorts,
    /// 1–8 GB are fetched within 10–40 min from a server that usually gives little.
    UnusualVolume,
    /// A worm: 2–4 desks try random addresses outside, 40–80 a second each, for 15–25 min.
    TrafficShift,
}

impl AttackKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::PortScanVertical,
        Self::PortScanHorizontal,
        Self::PortScanSlow,
        Self::Blacklist,
        Self::SynFlood,
        Self::UdpAmplification,
        Self::BruteForce,
        Self::Exfiltration,
        Self::Beacon,
        Self::CarpetBombing,
        Self::Reflector,
        Self::LateralMovement,
        Self::UnansweredStorm,
        Self::IcmpTunnel,
        Self::DnsTunnel,
        Self::LongConnection,
        Self::NewService,
        Self::NewPeer,
        Self::NewPort,
        Self::TooManyPorts,
        Self::UnusualVolume,
        Self::TrafficShift,
    ];

    /// The first ones. Their episodes do not depend on whether others are hidden as well.
    pub(super) const FIRST: usize = 9;

    /// The word in the truth and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortScanVertical => "port_scan_vertical",
            Self::PortScanHorizontal => "port_scan_horizontal",
            Self::PortScanSlow => "port_scan_slow",
            Self::Blacklist => "blacklist",
            Self::SynFlood => "syn_flood",
            Self::UdpAmplification => "udp_amplification",
            Self::BruteForce => "brute_force",
            Self::Exfiltration => "exfiltration",
            Self::Beacon => "beacon",
            Self::CarpetBombing => "carpet_bombing",
            Self::Reflector => "reflector",
            Self::LateralMovement => "lateral_movement",
            Self::UnansweredStorm => "unanswered_storm",
            Self::IcmpTunnel => "icmp_tunnel",
            Self::DnsTunnel => "dns_tunnel",
            Self::LongConnection => "long_connection",
            Self::NewService => "new_service",
            Self::NewPeer => "new_peer",
            Self::NewPort => "new_port",
            Self::TooManyPorts => "too_many_ports",
            Self::UnusualVolume => "unusual_volume",
            Self::TrafficShift => "traffic_shift",
        }
    }

    /// Whether it only stands out against days that went before, so that its episodes come later
    /// in a run: from the noon after the first whole working day on (lateral movement, a new
    /// service, peer or port), on working days from the noon after three of them (unusual volume),
    /// after nine hours (a shift of the traffic).
    pub const fn needs_past(self) -> bool {
        matches!(
            self,
            Self::LateralMovement
                | Self::NewService
                | Self::NewPeer
                | Self::NewPort
                | Self::UnusualVolume
                | Self::TrafficShift
        )
    }

    /// Returns the kind of a word.
    pub fn parse(text: &str) -> Result<Self, SimulateError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| SimulateError::UnknownAttack(text.chars().take(64).collect()))
    }

    /// Returns the kinds of a list: `all`, `none`, or words with commas between them.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, SimulateError> {
        match text.trim() {
            "all" => Ok(Self::ALL.to_vec()),
            "none" => Ok(Vec::new()),
            list => list.split(',').map(|word| Self::parse(word.trim())).collect(),
        }
    }
}

impl fmt::Display for AttackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A setting of the simulation is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulateError {
    /// See [`Config::start`].
    #[error("`start` must lie between 1970 and 2200, got `{0}`")]
    Start(Timestamp),
    /// See [`Extent::Hours`].
    #[error("`hours` must be above 0 and at most 8784 (a year), got `{0}`")]
    Hours(f64),
    /// See [`Extent::Flows`].
    #[error("`flows` must be from 1 to 1000000000, got `{0}`")]
    Flows(u64),
    /// See [`Config::flows_per_hour`].
    #[error("`flows_per_hour` must be from 20000 to 100000000, got `{0}`")]
    FlowsPerHour(f64),
    /// See [`Config::hosts`].
    #[error("`hosts` must be from 400 to 10000, got `{0}`")]
    Hosts(u32),
    /// See [`Config::episodes_per_kind`].
    #[error("`episodes_per_kind` must be from 1 to 24, got `{0}`")]
    EpisodesPerKind(u32),
    /// Not one of [`AttackKind::ALL`].
    #[error(
        "unknown attack `{0}` (available are all, none, {list})",
        list = AttackKind::ALL.map(AttackKind::name).join(", ")
    )]
    UnknownAttack(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.checked().unwrap_err().to_string()
    }

    #[test]
    fn every_error_names_its_key() {
        assert!(error(|c| c.start = Timestamp::from_seconds(-1)).starts_with("`start` must"));
        assert!(error(|c| c.extent = Extent::Hours(f64::NAN)).starts_with("`hours` must"));
        assert!(error(|c| c.extent = Extent::Hours(0.0)).ends_with("got `0`"));
        assert!(error(|c| c.extent = Extent::Flows(0)).starts_with("`flows` must"));
        assert!(error(|c| c.flows_per_hour = f64::INFINITY).starts_with("`flows_per_hour` must"));
        assert!(error(|c| c.hosts = 3).starts_with("`hosts` must"));
        assert!(error(|c| c.episodes_per_kind = 0).starts_with("`episodes_per_kind` must"));
    }

    #[test]
    fn kinds_are_read_by_the_names_they_are_written_with() {
        for kind in AttackKind::ALL {
            assert_eq!(AttackKind::parse(kind.name()), Ok(kind));
            let written = serde_json::to_string(&kind).unwrap();
            assert_eq!(written, format!("\"{}\"", kind.name()));
        }
        assert_eq!(AttackKind::parse_list("none"), Ok(vec![]));
        assert_eq!(AttackKind::parse_list("all").unwrap().len(), 22);
        let two = vec![AttackKind::Beacon, AttackKind::SynFlood];
        assert_eq!(AttackKind::parse_list("beacon, syn_flood"), Ok(two));
        assert_eq!(
            AttackKind::parse_list("beacon,worm").unwrap_err().to_string(),
            "unknown attack `worm` (available are all, none, port_scan_vertical, \
             port_scan_horizontal, port_scan_slow, blacklist, syn_flood, udp_amplification, \
             brute_force, exfiltration, beacon, carpet_bombing, reflector, lateral_movement, \
             unanswered_storm, icmp_tunnel, dns_tunnel, long_connection, new_service, new_peer, \
             new_port, too_many_ports, unusual_volume, traffic_shift)"
        );
    }
}
