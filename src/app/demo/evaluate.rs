//! What was hidden against what was found.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Kind, Timestamp};
use crate::simulate::{AttackKind, Episode};

/// Windows last a minute, so an alert may begin and end so much outside of an episode.
const TOLERANCE_SECONDS: i64 = 60;

/// What an evaluation needs to know of an alert.
#[derive(Clone, Debug)]
pub(super) struct FoundAlert {
    pub kind: Kind,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Subject and related hosts.
    pub hosts: Vec<IpAddr>,
    /// The subject alone, in words.
    pub subject: String,
}

/// Episodes of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KindResult {
    pub hidden: usize,
    pub found: usize,
}

/// Hidden against found.
#[derive(Debug, Default)]
pub(super) struct Evaluation {
    pub by_kind: BTreeMap<AttackKind, KindResult>,
    /// Alerts that name no host of an episode within its time.
    pub false_alerts: Vec<FoundAlert>,
}

impl Evaluation {
    /// An episode is found when an alert of a fitting kind names an attacker or victim of it within
    /// its time. An alert of any kind that does so is not false.
    pub(super) fn of(episodes: &[Episode], alerts: Vec<FoundAlert>) -> Self {
        let mut evaluation = Self::default();
        for episode in episodes {
            let result = evaluation.by_kind.entry(episode.kind).or_default();
            result.hidden += 1;
            let fits = |alert: &FoundAlert| fitting(episode.kind).contains(&alert.kind);
            let is_found = alerts.iter().any(|alert| fits(alert) && concerns(alert, episode));
            result.found += usize::from(is_found);
        }
        let is_false =
            |alert: &FoundAlert| !episodes.iter().any(|episode| concerns(alert, episode));
        evaluation.false_alerts = alerts.into_iter().filter(is_false).collect();
        evaluation
    }

    pub(super) fn hidden(&self) -> usize {
        self.by_kind.values().map(|result| result.hidden).sum()
    }

    pub(super) fn found(&self) -> usize {
        self.by_kind.values().map(|result| result.found).sum()
    }
}

/// The kinds of alert that name an attack rightly.
const fn fitting(attack: AttackKind) -> &'static [Kind] {
    match attack {
        AttackKind::PortScanVertical => &[Kind::PortScanVertical],
        AttackKind::PortScanHorizontal => &[Kind::PortScanHorizontal],
        AttackKind::PortScanSlow => &[Kind::PortScanSlow],
        AttackKind::Blacklist => &[Kind::Blacklist],
        AttackKind::SynFlood
        | AttackKind::UdpAmplification
        | AttackKind::BruteForce
        | AttackKind::Exfiltration
        | AttackKind::Beacon => &[],
    }
}

/// The kinds of attack that a detector of this program knows.
pub(super) fn known_attacks() -> Vec<AttackKind> {
    AttackKind::ALL.into_iter().filter(|&attack| !fitting(attack).is_empty()).collect()
}

fn concerns(alert: &FoundAlert, episode: &Episode) -> bool {
    let begins_before = alert.first <= episode.end.plus_seconds(TOLERANCE_SECONDS);
    let ends_after = alert.last >= episode.start.plus_seconds(-TOLERANCE_SECONDS);
    let involved = |ip: &IpAddr| episode.attackers.contains(ip) || episode.victims.contains(ip);
    begins_before && ends_after && alert.hosts.iter().any(involved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ip;

    fn episode(kind: AttackKind, attacker: &str) -> Episode {
        Episode {
            kind,
            start: Timestamp::from_seconds(1_000),
            end: Timestamp::from_seconds(1_200),
            attackers: vec![ip(attacker)],
            victims: vec![ip("10.0.0.9")],
        }
    }

    fn alert(kind: Kind, host: &str, first: i64) -> FoundAlert {
        FoundAlert {
            kind,
            first: Timestamp::from_seconds(first),
            last: Timestamp::from_seconds(first + 60),
            hosts: vec![ip(host)],
            subject: host.to_owned(),
        }
    }

    #[test]
    fn only_an_alert_of_a_fitting_kind_host_and_time_finds_an_episode() {
        let episodes = [episode(AttackKind::PortScanVertical, "10.0.0.1")];
        let found = |alert| {
            let evaluation = Evaluation::of(&episodes, vec![alert]);
            (evaluation.found(), evaluation.false_alerts.len())
        };
        assert_eq!(found(alert(Kind::PortScanVertical, "10.0.0.1", 1_020)), (1, 0));
        assert_eq!(found(alert(Kind::PortScanVertical, "10.0.0.9", 1_020)), (1, 0), "the victim");
        assert_eq!(found(alert(Kind::TooManyPorts, "10.0.0.1", 1_020)), (0, 0), "right, but vague");
        assert_eq!(found(alert(Kind::PortScanVertical, "10.0.0.2", 1_020)), (0, 1));
        assert_eq!(found(alert(Kind::PortScanVertical, "10.0.0.1", 9_000)), (0, 1));
    }
}
