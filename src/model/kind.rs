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
    pub const ALL: [Self; 8] = [
        Self::PortScanVertical,
        Self::PortScanHorizontal,
        Self::PortScanSlow,
        Self::TooManyPorts,
        Self::NewPort,
        Self::Blacklist,
        Self::MalformedFlow,
        Self::VolumeOutlier,
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

    /// The MITRE ATT&CK technique, where one fits.
    pub const fn technique(self) -> Option<Technique> {
        self.row().technique
    }

    /// Kinds whose evidence overlaps have the same group: of a group only the worst counts when
    /// scores are combined.
    pub const fn group(self) -> u8 {
        match self {
            Self::PortScanVertical
            | Self::PortScanHorizontal
            | Self::PortScanSlow
            | Self::TooManyPorts
            | Self::NewPort => 0,
            Self::Blacklist => 1,
            Self::MalformedFlow => 2,
            Self::VolumeOutlier => 3,
        }
    }

    /// Whether `other`, found in the same window, says the same and more, so that this kind needs no
    /// alert of its own.
    pub const fn is_explained_by(self, other: Self) -> bool {
        let is_vague = matches!(self, Self::TooManyPorts | Self::NewPort);
        let is_scan =
            matches!(other, Self::PortScanVertical | Self::PortScanHorizontal | Self::PortScanSlow);
        is_vague && is_scan
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
