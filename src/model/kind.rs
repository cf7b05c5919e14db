//! The closed table of what can be wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SubjectType;

/// What is wrong. Closed: documents, mails, exceptions and dashboards know every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Many ports of few hosts are tried within a minute.
    PortScanVertical,
    /// The same port of many hosts is tried within a minute.
    PortScanHorizontal,
    /// Many ports or hosts are tried, too slowly for one minute to show it.
    PortScanSlow,
    /// A host contacts far more distinct ports than nearly all hosts do.
    TooManyPorts,
    /// A host contacts a service port that it never contacted before.
    NewPort,
    /// Traffic from or to a listed address.
    Blacklist,
    /// Reserved ports, broadcasts outside DHCP, flows without bytes.
    MalformedFlow,
    /// Bytes, connections or ports of a pair far outside what pairs do now and did before.
    VolumeOutlier,
    /// A service gets far more connection attempts than it answers.
    SynFlood,
    /// Many servers send large UDP answers to a host that hardly asked.
    UdpAmplification,
    /// Many hosts of one prefix get a flood that is small for each of them.
    CarpetBombing,
    /// A server sends answers that are many times larger than the requests, to few askers.
    Reflector,
    /// Many short connections to a log-in service: passwords are tried.
    BruteForce,
    /// A host inside opens administrative services on many hosts inside that it never used before.
    LateralMovement,
    /// A host contacts the same places over and over again without an answer.
    UnansweredStorm,
    /// Echo messages carry more than echoes need.
    IcmpTunnel,
    /// Queries to one name server carry more than names need.
    DnsTunnel,
    /// A host calls another one at regular intervals.
    Beacon,
    /// A host inside sends far more than usual to a place outside that hardly anybody uses.
    Exfiltration,
    /// A connection stays open for hours.
    LongConnection,
    /// A host inside answers on a port on which it never answered before.
    NewService,
    /// A server that talks with few hosts outside gets a new one.
    NewPeer,
    /// The numbers of a host together lie far from those of all hosts, now and before.
    UnusualHost,
    /// A host does far more or less than it does at this hour of the week.
    UnusualVolume,
    /// The network as a whole changes its mix or its volume.
    TrafficShift,
}

/// A MITRE ATT&CK technique with its tactic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// For example `T1046`.
    pub id: &'static str,
    /// For example `Network Service Discovery`.
    pub name: &'static str,
    /// For example `TA0007`.
    pub tactic_id: &'static str,
    /// For example `Discovery`.
    pub tactic_name: &'static str,
}

const SERVICE_DISCOVERY: Technique = Technique {
    id: "T1046",
    name: "Network Service Discovery",
    tactic_id: "TA0007",
    tactic_name: "Discovery",
};
const APPLICATION_LAYER: Technique = Technique {
    id: "T1071",
    name: "Application Layer Protocol",
    tactic_id: "TA0011",
    tactic_name: "Command and Control",
};

const DIRECT_FLOOD: Technique = Technique {
    id: "T1498.001",
    name: "Direct Network Flood",
    tactic_id: "TA0040",
    tactic_name: "Impact",
};
const REFLECTION: Technique = Technique {
    id: "T1498.002",
    name: "Reflection Amplification",
    tactic_id: "TA0040",
    tactic_name: "Impact",
};
const BRUTE_FORCE: Technique = Technique {
    id: "T1110",
    name: "Brute Force",
    tactic_id: "TA0006",
    tactic_name: "Credential Access",
};
const REMOTE_SERVICES: Technique = Technique {
    id: "T1021",
    name: "Remote Services",
    tactic_id: "TA0008",
    tactic_name: "Lateral Movement",
};
const NON_APPLICATION: Technique = Technique {
    id: "T1095",
    name: "Non-Application Layer Protocol",
    tactic_id: "TA0011",
    tactic_name: "Command and Control",
};
const TUNNELLING: Technique = Technique {
    id: "T1572",
    name: "Protocol Tunneling",
    tactic_id: "TA0011",
    tactic_name: "Command and Control",
};
const EXFILTRATION: Technique = Technique {
    id: "T1048",
    name: "Exfiltration Over Alternative Protocol",
    tactic_id: "TA0010",
    tactic_name: "Exfiltration",
};

/// One row of the table.
struct Row {
    name: &'static str,
    title: &'static str,
    subject: SubjectType,
    window_seconds: u32,
    /// Lowest and highest score that this kind alone gives.
    scores: (f64, f64),
    technique: Option<Technique>,
}

impl Kind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 25] = [
        Self::PortScanVertical,
        Self::PortScanHorizontal,
        Self::PortScanSlow,
        Self::TooManyPorts,
        Self::NewPort,
        Self::Blacklist,
        Self::MalformedFlow,
        Self::VolumeOutlier,
        Self::SynFlood,
        Self::UdpAmplification,
        Self::CarpetBombing,
        Self::Reflector,
        Self::BruteForce,
        Self::LateralMovement,
        Self::UnansweredStorm,
        Self::IcmpTunnel,
        Self::DnsTunnel,
        Self::Beacon,
        Self::Exfiltration,
        Self::LongConnection,
        Self::NewService,
        Self::NewPeer,
        Self::UnusualHost,
        Self::UnusualVolume,
        Self::TrafficShift,
    ];

    const fn row(self) -> Row {
        match self {
            Self::PortScanVertical => Row {
                name: "port_scan_vertical",
                title: "Vertical port scan",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(SERVICE_DISCOVERY),
            },
            Self::PortScanHorizontal => Row {
                name: "port_scan_horizontal",
                title: "Horizontal port scan",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(SERVICE_DISCOVERY),
            },
            Self::PortScanSlow => Row {
                name: "port_scan_slow",
                title: "Slow port scan",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (45.0, 85.0),
                technique: Some(SERVICE_DISCOVERY),
            },
            Self::TooManyPorts => Row {
                name: "too_many_ports",
                title: "Too many ports",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (15.0, 60.0),
                technique: Some(SERVICE_DISCOVERY),
            },
            Self::NewPort => Row {
                name: "new_port",
                title: "First use of a port",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (5.0, 25.0),
                technique: None,
            },
            Self::Blacklist => Row {
                name: "blacklist",
                title: "Blacklisted address",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (60.0, 95.0),
                technique: Some(APPLICATION_LAYER),
            },
            Self::MalformedFlow => Row {
                name: "malformed_flow",
                title: "Malformed flow",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (10.0, 35.0),
                technique: None,
            },
            Self::VolumeOutlier => Row {
                name: "volume_outlier",
                title: "Volume outlier",
                subject: SubjectType::Pair,
                window_seconds: 10,
                scores: (10.0, 60.0),
                technique: None,
            },
            Self::SynFlood => Row {
                name: "syn_flood",
                title: "SYN flood",
                subject: SubjectType::Destination,
                window_seconds: 60,
                scores: (55.0, 95.0),
                technique: Some(DIRECT_FLOOD),
            },
            Self::UdpAmplification => Row {
                name: "udp_amplification",
                title: "UDP amplification",
                subject: SubjectType::Destination,
                window_seconds: 60,
                scores: (55.0, 95.0),
                technique: Some(REFLECTION),
            },
            Self::CarpetBombing => Row {
                name: "carpet_bombing",
                title: "Carpet bombing",
                subject: SubjectType::Prefix,
                window_seconds: 60,
                scores: (55.0, 95.0),
                technique: Some(DIRECT_FLOOD),
            },
            Self::Reflector => Row {
                name: "reflector",
                title: "Abused reflector",
                subject: SubjectType::Destination,
                window_seconds: 60,
                scores: (45.0, 85.0),
                technique: Some(REFLECTION),
            },
            Self::BruteForce => Row {
                name: "brute_force",
                title: "Brute force",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(BRUTE_FORCE),
            },
            Self::LateralMovement => Row {
                name: "lateral_movement",
                title: "Lateral movement",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (45.0, 85.0),
                technique: Some(REMOTE_SERVICES),
            },
            Self::UnansweredStorm => Row {
                name: "unanswered_storm",
                title: "Storm of unanswered contacts",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (40.0, 75.0),
                technique: None,
            },
            Self::IcmpTunnel => Row {
                name: "icmp_tunnel",
                title: "ICMP tunnel",
                subject: SubjectType::Pair,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(NON_APPLICATION),
            },
            Self::DnsTunnel => Row {
                name: "dns_tunnel",
                title: "DNS tunnel",
                subject: SubjectType::Pair,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(TUNNELLING),
            },
            Self::Beacon => Row {
                name: "beacon",
                title: "Beacon",
                subject: SubjectType::Pair,
                window_seconds: 60,
                scores: (25.0, 85.0),
                technique: Some(APPLICATION_LAYER),
            },
            Self::Exfiltration => Row {
                name: "exfiltration",
                title: "Exfiltration",
                subject: SubjectType::Pair,
                window_seconds: 60,
                scores: (50.0, 90.0),
                technique: Some(EXFILTRATION),
            },
            Self::LongConnection => Row {
                name: "long_connection",
                title: "Long connection",
                subject: SubjectType::Pair,
                window_seconds: 60,
                // A line in a report: every network has some, and nobody gets up for one.
                scores: (15.0, 39.0),
                technique: Some(NON_APPLICATION),
            },
            Self::NewService => Row {
                name: "new_service",
                title: "New service",
                subject: SubjectType::Destination,
                window_seconds: 60,
                scores: (20.0, 55.0),
                technique: None,
            },
            Self::NewPeer => Row {
                name: "new_peer",
                title: "New outside peer",
                subject: SubjectType::Destination,
                window_seconds: 60,
                scores: (10.0, 45.0),
                technique: None,
            },
            Self::UnusualHost => Row {
                name: "unusual_host",
                title: "Unusual host",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (10.0, 60.0),
                technique: None,
            },
            Self::UnusualVolume => Row {
                name: "unusual_volume",
                title: "Unusual volume",
                subject: SubjectType::Source,
                window_seconds: 60,
                scores: (15.0, 65.0),
                technique: None,
            },
            Self::TrafficShift => Row {
                name: "traffic_shift",
                title: "Shift of the traffic",
                subject: SubjectType::Network,
                window_seconds: 60,
                scores: (20.0, 70.0),
                technique: None,
            },
        }
    }

    /// The word in documents, settings and exceptions.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The words in mails and dashboards.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// The type of subject whose anomalies fold into alerts of this kind.
    pub const fn subject_type(self) -> SubjectType {
        self.row().subject
    }

    /// The window length, in seconds, whose anomalies fold into alerts of this kind.
    pub const fn window_seconds(self) -> u32 {
        self.row().window_seconds
    }

    /// Lowest and highest score (0–100) that a finding of this kind gives on its own.
    pub const fn score_range(self) -> (f64, f64) {
        self.row().scores
    }

    /// Seconds without an anomaly that an alert of this kind bridges at least: what shows itself every
    /// hour is one matter, not one each hour.
    pub const fn least_gap_seconds(self) -> u32 {
        match self {
            Self::Beacon | Self::LongConnection => 6 * 3_600,
            _ => 0,
        }
    }

    /// The MITRE ATT&CK technique, where one fits.
    pub const fn technique(self) -> Option<Technique> {
        self.row().technique
    }

    /// Kinds whose evidence overlaps have the same group: of a group only the worst counts when
    /// scores are combined.
    pub const fn group(self) -> u8 {
        match self {
            // What a source does to others, and what shows of it in its numbers.
            Self::PortScanVertical
            | Self::PortScanHorizontal
            | Self::PortScanSlow
            | Self::TooManyPorts
            | Self::NewPort
            | Self::BruteForce
            | Self::LateralMovement
            | Self::UnansweredStorm
            | Self::UnusualHost
            | Self::UnusualVolume => 0,
            Self::Blacklist => 1,
            Self::MalformedFlow => 2,
            Self::VolumeOutlier | Self::Exfiltration => 3,
            Self::SynFlood | Self::UdpAmplification | Self::CarpetBombing | Self::Reflector => 4,
            Self::IcmpTunnel | Self::DnsTunnel | Self::Beacon | Self::LongConnection => 5,
            Self::NewService | Self::NewPeer => 6,
            Self::TrafficShift => 7,
        }
    }

    /// Whether `other`, found in the same window, says the same and more, so that this kind needs no
    /// alert of its own.
    pub const fn is_explained_by(self, other: Self) -> bool {
        let is_vague = matches!(
            self,
            Self::TooManyPorts
                | Self::NewPort
                | Self::UnansweredStorm
                | Self::UnusualHost
                | Self::UnusualVolume
        );
        let is_telling = matches!(
            other,
            Self::PortScanVertical
                | Self::PortScanHorizontal
                | Self::PortScanSlow
                | Self::BruteForce
                | Self::LateralMovement
        );
        let is_tunnel = matches!(other, Self::IcmpTunnel | Self::DnsTunnel);
        (is_vague && is_telling)
            || (matches!(self, Self::Beacon | Self::LongConnection) && is_tunnel)
            || (matches!(self, Self::LongConnection) && matches!(other, Self::Exfiltration))
    }

    /// Returns the kind of a word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_a_sound_range() {
        for kind in Kind::ALL {
            let (low, high) = kind.score_range();
            assert!(0.0 <= low && low < high && high <= 100.0, "{kind}");
            assert_eq!(Kind::parse(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name(), "one spelling everywhere");
        }
    }
}
