//! What is to be found: attacks, made of deeds of hosts in time.

use std::net::IpAddr;

use crate::model::{Kind, Timestamp};
use crate::simulate::{AttackKind, Episode};

/// Something that an attack did: a labelled flow, or a whole episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// Its first moment.
    pub start: Timestamp,
    /// Its last moment.
    pub end: Timestamp,
    /// Who sends; empty when the senders are forged or not known.
    pub sources: Vec<IpAddr>,
    /// Who receives.
    pub destinations: Vec<IpAddr>,
}

impl Deed {
    /// Both sides. A deed without any is of everybody.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &IpAddr> {
        self.sources.iter().chain(&self.destinations)
    }

    pub(super) const fn is_of_everybody(&self) -> bool {
        self.sources.is_empty() && self.destinations.is_empty()
    }
}

/// One attack with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    /// The label or the kind of the episode.
    pub name: String,
    /// Kinds of alert that name it rightly; empty for any.
    pub fitting: Vec<Kind>,
    /// Whether it must be found; else it is only reported.
    pub is_required: bool,
    /// Whether an anomaly of a fitting kind is all that is asked: such kinds are lines of a report,
    /// and become alerts only when they are strong.
    pub is_line: bool,
    /// What it did; never empty.
    pub deeds: Vec<Deed>,
}

impl Attack {
    /// The start of the first deed.
    pub fn begins(&self) -> Timestamp {
        self.deeds.iter().map(|deed| deed.start).min().unwrap_or_default()
    }

    /// Whether an alert of this kind names it rightly.
    pub fn fits(&self, kind: Kind) -> bool {
        self.fitting.is_empty() || self.fitting.contains(&kind)
    }
}

/// A hidden episode of the simulation.
impl From<&Episode> for Attack {
    fn from(episode: &Episode) -> Self {
        Self {
            name: episode.kind.name().to_owned(),
            fitting: fitting_episode(episode.kind).to_vec(),
            is_required: true,
            is_line: is_line(episode.kind),
            deeds: vec![Deed {
                start: episode.start,
                end: episode.end,
                sources: episode.attackers.clone(),
                destinations: episode.victims.clone(),
            }],
        }
    }
}

/// The kinds of alert that name a simulated attack rightly.
const fn fitting_episode(attack: AttackKind) -> &'static [Kind] {
    match attack {
        AttackKind::PortScanVertical => &[Kind::PortScanVertical],
        AttackKind::PortScanHorizontal => &[Kind::PortScanHorizontal],
        AttackKind::PortScanSlow => &[Kind::PortScanSlow],
        AttackKind::Blacklist => &[Kind::Blacklist],
        AttackKind::SynFlood => &[Kind::SynFlood],
        AttackKind::UdpAmplification => &[Kind::UdpAmplification],
        AttackKind::BruteForce => &[Kind::BruteForce],
        AttackKind::Exfiltration => &[Kind::Exfiltration],
        AttackKind::Beacon => &[Kind::Beacon],
        AttackKind::CarpetBombing => &[Kind::CarpetBombing],
        AttackKind::Reflector => &[Kind::Reflector],
        AttackKind::LateralMovement => &[Kind::LateralMovement],
        AttackKind::UnansweredStorm => &[Kind::UnansweredStorm],
        AttackKind::IcmpTunnel => &[Kind::IcmpTunnel],
        AttackKind::DnsTunnel => &[Kind::DnsTunnel],
        AttackKind::LongConnection => &[Kind::LongConnection],
        AttackKind::NewService => &[Kind::NewService],
        AttackKind::NewPeer => &[Kind::NewPeer],
        AttackKind::NewPort => &[Kind::NewPort],
        AttackKind::TooManyPorts => &[Kind::TooManyPorts],
        AttackKind::UnusualVolume => &[Kind::UnusualVolume],
        AttackKind::TrafficShift => &[Kind::TrafficShift],
    }
}

/// Whether the kinds that fit score too low for an alert, most times (`model::Kind`).
const fn is_line(attack: AttackKind) -> bool {
    matches!(
        attack,
        AttackKind::LongConnection
            | AttackKind::NewService
            | AttackKind::NewPeer
            | AttackKind::NewPort
            | AttackKind::TooManyPorts
            | AttackKind::UnusualVolume
            | AttackKind::TrafficShift
    )
}

const SCANS: [Kind; 4] =
    [Kind::PortScanVertical, Kind::PortScanHorizontal, Kind::PortScanSlow, Kind::TooManyPorts];
/// Floods as their target and as their sender show them.
const FLOODS: [Kind; 6] = [
    Kind::SynFlood,
    Kind::UdpAmplification,
    Kind::CarpetBombing,
    Kind::UnansweredStorm,
    Kind::VolumeOutlier,
    Kind::UnusualVolume,
];
/// Regular calls, calls that last, calls to a place that does not answer any more.
const COMMANDS: [Kind; 6] = [
    Kind::Beacon,
    Kind::LongConnection,
    Kind::UnansweredStorm,
    Kind::Blacklist,
    Kind::IcmpTunnel,
    Kind::DnsTunnel,
];

/// Returns the kinds of alert that name a labelled attack rightly, told from the words in the label
/// of the public captures; none (so any kind fits) when it has no such word.
pub fn fitting_label(label: &str) -> Vec<Kind> {
    let label = label.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| label.contains(word));
    if has(&["c&c", "torii", "heartbeat", "botnet"]) || label == "cc" {
        COMMANDS.to_vec()
    } else if has(&["exfiltration"]) {
        [&COMMANDS[..], &[Kind::Exfiltration]].concat()
    } else if has(&["ddos", "dos", "flood"]) {
        FLOODS.to_vec()
    } else if has(&["scan"]) {
        SCANS.to_vec()
    } else if has(&["brute", "password"]) {
        vec![Kind::BruteForce]
    } else if has(&["attack"]) {
        [&SCANS[..], &FLOODS, &[Kind::BruteForce, Kind::Blacklist]].concat()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_public_captures_say_which_kinds_fit() {
        assert!(fitting_label("DDoS").contains(&Kind::SynFlood));
        assert!(fitting_label("PartOfAHorizontalPortScan").contains(&Kind::PortScanHorizontal));
        assert!(fitting_label("C&C-Torii").contains(&Kind::Beacon));
        assert!(!fitting_label("C&C-FileDownload").contains(&Kind::SynFlood));
        assert!(fitting_label("External-Attack-to-Device").contains(&Kind::BruteForce));
        assert_eq!(fitting_label("Malware-TCP"), []);
    }
}
