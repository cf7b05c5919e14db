//! The words that our documents use for what ECS has no field for.

use crate::model::{Defects, FlowOrigin, NetworkType, Outcome};

/// All origins.
pub(super) const ORIGINS: [FlowOrigin; 12] = [
    FlowOrigin::Sflow5,
    FlowOrigin::NetflowV5,
    FlowOrigin::NetflowV9,
    FlowOrigin::Ipfix,
    FlowOrigin::OtherExport,
    FlowOrigin::Zeek,
    FlowOrigin::Argus,
    FlowOrigin::Pmacct,
    FlowOrigin::Nfdump,
    FlowOrigin::Ecs,
    FlowOrigin::Table,
    FlowOrigin::Capture,
];

const NETWORKS: [NetworkType; 4] =
    [NetworkType::Ipv4, NetworkType::Ipv6, NetworkType::Arp, NetworkType::Other];

/// All outcomes.
pub(super) const OUTCOMES: [Outcome; 5] =
    [Outcome::Unknown, Outcome::Exchanged, Outcome::Empty, Outcome::Refused, Outcome::Unanswered];

/// The defects with their words.
pub(super) const DEFECTS: [(Defects, &str); 3] = [
    (Defects::CLOCK_SKEW, "clock_skew"),
    (Defects::END_BEFORE_START, "end_before_start"),
    (Defects::COUNTER_CLAMPED, "counter_clamped"),
];

/// In any case: pipelines copy goflow2's `NETFLOW_V9`.
pub(super) fn origin(word: &str) -> Option<FlowOrigin> {
    ORIGINS.into_iter().find(|origin| origin.name().eq_ignore_ascii_case(word))
}

pub(super) fn network(word: &str) -> Option<NetworkType> {
    NETWORKS.into_iter().find(|network| network.name().eq_ignore_ascii_case(word))
}

pub(super) fn outcome(word: &str) -> Option<Outcome> {
    OUTCOMES.into_iter().find(|&outcome| outcome_word(outcome) == word)
}

pub(super) const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unknown => "unknown",
        Outcome::Exchanged => "exchanged",
        Outcome::Empty => "empty",
        Outcome::Refused => "refused",
        Outcome::Unanswered => "unanswered",
    }
}
