//! The kinds that came after the first nine.

use std::net::IpAddr;
use std::sync::OnceLock;

use super::{AttackKind, Config, Labelled, MONDAY, Protocol};
use super::{distinct, essence, first_kinds, forward, hours, labelled, simulate};

#[test]
fn later_kinds_change_nothing_about_the_first_ones() {
    let first = |attacks: Vec<AttackKind>| -> Vec<_> {
        let change = |config: &mut Config| {
            hours(config, 9.0, 3.0);
            config.attacks = attacks;
        };
        let kept = labelled(simulate(change)).into_iter();
        let kept = kept.filter(|(episode, _)| first_kinds().contains(&episode.kind));
        kept.map(|(episode, flows)| (episode, flows.iter().map(essence).collect::<Vec<_>>()))
            .map(|(episode, mut flows)| {
                flows.sort();
                (episode.start, episode.kind, episode.attackers, episode.victims, flows)
            })
            .collect()
    };
    let (alone, beside) = (first(first_kinds()), first(AttackKind::ALL.to_vec()));
    assert!(alone.len() >= 9);
    assert!(alone == beside);
}

/// A calm week with the kinds that came later.
fn later_week() -> &'static [Labelled] {
    static EPISODES: OnceLock<Vec<Labelled>> = OnceLock::new();
    EPISODES.get_or_init(|| {
        labelled(simulate(|config| {
            hours(config, 0.0, 168.0);
            config.flows_per_hour = 20_000.0;
            config.attacks = AttackKind::ALL[AttackKind::FIRST..].to_vec();
        }))
    })
}

fn in_week(kind: AttackKind) -> impl Iterator<Item = &'static Labelled> {
    later_week().iter().filter(move |(episode, _)| episode.kind == kind)
}

#[test]
fn a_week_has_twenty_episodes_of_nearly_every_later_kind_within_their_times() {
    for &kind in &AttackKind::ALL[AttackKind::FIRST..] {
        let is_rare = matches!(kind, AttackKind::UnusualVolume | AttackKind::TrafficShift);
        let least = if is_rare { 7 } else { 20 };
        assert!(in_week(kind).count() >= least, "{kind}: {}", in_week(kind).count());
        let mut last_end = None;
        for (episode, flows) in in_week(kind) {
            let may_overlap = kind == AttackKind::LongConnection;
            assert!(may_overlap || last_end.is_none_or(|end| end <= episode.start), "{kind}");
            last_end = Some(episode.end);
            assert!(!flows.is_empty(), "{kind}");
            for flow in flows {
                let is_within = flow.start >= episode.start && flow.end <= episode.end;
                assert!(is_within, "{kind} ends {} with {flow:?}", episode.end);
            }
        }
    }
}

#[test]
fn carpets_are_thin_everywhere_and_thick_together() {
    for found in in_week(AttackKind::CarpetBombing) {
        let flows = forward(found);
        assert_eq!(flows.len(), found.1.len(), "nobody answers");
        let minutes = found.0.end.seconds_since(found.0.start) / 60.0;
        let packets: u64 = flows.iter().map(|flow| flow.packets).sum();
        let each = packets as f64 / minutes / found.0.victims.len() as f64;
        assert!((20.0..800.0).contains(&each), "{each} packets a minute");
        assert!(packets as f64 / minutes > 2_000.0, "{packets}");
    }
}

#[test]
fn reflectors_answer_with_many_times_what_they_are_asked() {
    for (episode, flows) in in_week(AttackKind::Reflector) {
        let bytes = |from: &[IpAddr]| -> f64 {
            let of = flows.iter().filter(|flow| flow.source.is_some_and(|ip| from.contains(&ip)));
            of.map(|flow| flow.bytes as f64).sum()
        };
        let ratio = bytes(&episode.attackers) / bytes(&episode.victims);
        assert!((10.0..30_000.0).contains(&ratio), "{ratio}");
    }
}

#[test]
fn tunnels_carry_and_long_connections_last() {
    for found in in_week(AttackKind::IcmpTunnel) {
        assert!(found.1.iter().all(|flow| flow.protocol == Protocol::ICMP));
        assert!(found.1.iter().all(|flow| flow.bytes / flow.packets > 130));
    }
    for (_, flows) in in_week(AttackKind::DnsTunnel) {
        let queries: Vec<_> = flows.iter().filter(|flow| flow.destination_port == 53).collect();
        let bytes: u64 = queries.iter().map(|flow| flow.bytes).sum();
        let packets: u64 = queries.iter().map(|flow| flow.packets).sum();
        assert!((95..280).contains(&(bytes / packets)), "{bytes} in {packets}");
    }
    for found in in_week(AttackKind::LongConnection) {
        let flows = forward(found);
        let hours = found.0.end.seconds_since(found.0.start) / 3_600.0;
        assert!((9.0..=20.0).contains(&hours), "{hours}");
        assert!(flows.len() as f64 >= hours * 60.0 * 0.95, "parts of a minute: {}", flows.len());
        assert_eq!(distinct(flows.iter().map(|flow| flow.source_port)), 1);
    }
}

#[test]
fn what_needs_a_past_is_new() {
    for (episode, flows) in in_week(AttackKind::LateralMovement) {
        assert!((10..=40).contains(&episode.victims.len()));
        assert_eq!(distinct(flows.iter().map(|f| f.source_port.min(f.destination_port))), 1);
    }
    let kinds = later_week().iter().map(|(episode, _)| episode);
    let begin = crate::model::Timestamp::from_seconds(MONDAY);
    for episode in kinds.filter(|episode| episode.kind.needs_past()) {
        assert!(episode.start.seconds_since(begin) >= 9.0 * 3_600.0, "{}", episode.kind);
    }
    assert!(in_week(AttackKind::NewPeer).all(|found| found.1.len() >= 6));
}
