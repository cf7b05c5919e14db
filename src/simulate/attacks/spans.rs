//! When episodes take place, and for how long.

use super::super::clock::{self, DAY};
use super::super::config::AttackKind;
use super::Span;
use super::cast::Cast;

const HOUR: i64 = 3_600;

/// Seconds an episode of a kind lasts: shortest that still is one, usual range.
fn lengths(kind: AttackKind) -> (i64, i64, i64) {
    match kind {
        AttackKind::PortScanVertical => (60, 60, 180),
        AttackKind::PortScanHorizontal => (60, 60, 240),
        AttackKind::PortScanSlow => (600, 600, 2_400),
        AttackKind::Blacklist => (120, 300, 2_400),
        AttackKind::SynFlood => (120, 120, 300),
        AttackKind::UdpAmplification => (60, 60, 300),
        AttackKind::BruteForce => (300, 300, 1_200),
        AttackKind::Exfiltration => (300, 1_200, 3_600),
        AttackKind::Beacon => (600, 7_200, 21_600),
        AttackKind::CarpetBombing => (120, 120, 600),
        AttackKind::Reflector => (180, 180, 1_200),
        AttackKind::LateralMovement => (300, 300, 2_700),
        AttackKind::UnansweredStorm => (600, 1_200, 5_400),
        AttackKind::IcmpTunnel => (300, 600, 3_600),
        AttackKind::DnsTunnel => (300, 600, 2_400),
        AttackKind::LongConnection => (9 * HOUR, 9 * HOUR, 20 * HOUR),
        AttackKind::NewService => (600, 600, 3_600),
        AttackKind::NewPeer => (600, 1_200, 5_400),
        AttackKind::NewPort | AttackKind::TooManyPorts => (600, 600, 2_400),
        AttackKind::UnusualVolume => (600, 600, 2_400),
        AttackKind::TrafficShift => (600, 900, 1_500),
    }
}

/// How many episodes of a kind may be under way at a time.
fn lanes(kind: AttackKind) -> i64 {
    if kind == AttackKind::LongConnection { 3 } else { 1 }
}

/// Of the kinds that only statistics find there are fewer: what happens several times a day is
/// usual.
fn rarity(kind: AttackKind) -> f64 {
    match kind {
        AttackKind::UnusualVolume | AttackKind::TrafficShift => 3.0,
        _ => 1.0,
    }
}

/// When the episodes of a kind take place.
pub(super) fn spans(
    kind: AttackKind,
    per_day: u32,
    run: (i64, i64),
    cast: &mut Cast<'_>,
) -> Vec<Span> {
    let (shortest, low, high) = lengths(kind);
    let (stretches, lanes) = (stretches(kind, run), lanes(kind));
    let usable: i64 = stretches.iter().map(|stretch| stretch.seconds()).sum();
    let days = run.1 as f64 / 86_400.0;
    let wanted = ((f64::from(per_day) * days / rarity(kind)).round() as i64).max(1);
    // Many short slots must not make episodes impossible: rather fewer.
    let count = wanted.min(lanes * (usable * 4 / 5 / shortest));
    let (mut passed, mut done) = (0, 0);
    let mut spans = Vec::new();
    for stretch in stretches {
        passed += stretch.seconds();
        // As many of all as it is a part of the whole.
        let here = count * passed / usable.max(1) - done;
        for number in 0..here {
            let slot = stretch.seconds() / ((here + lanes - 1) / lanes);
            let length = (cast.amount(low as u64, high as u64) as i64).min(slot * 4 / 5);
            let free = cast.dice.below((slot - length) as u64) as i64;
            let begin = stretch.start + number / lanes * slot + free;
            spans.push(Span { start: begin, end: begin + length });
        }
        done += here;
    }
    spans
}

/// The parts of a run (first second, number of seconds) that are open to a kind.
fn stretches(kind: AttackKind, (start, seconds): (i64, i64)) -> Vec<Span> {
    let clean = (seconds / 10).clamp(30, 7_200);
    let all = Span { start: start + clean, end: start + seconds - (20 + seconds / 100) };
    let from = |earliest: i64| Span { start: all.start.max(earliest), ..all };
    match kind {
        AttackKind::UnusualVolume => workdays(from(noon_after_workdays(start, 3))),
        AttackKind::TrafficShift => vec![from(start + 9 * HOUR)],
        kind if kind.needs_past() => vec![from(noon_after_workdays(start, 1))],
        _ => vec![all],
    }
    .into_iter()
    .filter(|stretch| stretch.seconds() > 0)
    .collect()
}

/// The noon after so many whole working days: who comes to work was seen by then.
fn noon_after_workdays(start: i64, count: u32) -> i64 {
    let mut day = start + (-start).rem_euclid(DAY);
    let mut seen = 0;
    while seen < count {
        seen += u32::from(!clock::is_weekend(day));
        day += DAY;
    }
    day + 12 * HOUR
}

/// The working days of a stretch.
fn workdays(all: Span) -> Vec<Span> {
    let mut days: Vec<Span> = Vec::new();
    let mut start = all.start;
    while start < all.end {
        let end = (start + DAY - start.rem_euclid(DAY)).min(all.end);
        if !clock::is_weekend(start) {
            days.push(Span { start, end });
        }
        start = end;
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02, a Monday.
    const MONDAY: i64 = 1_772_409_600;

    #[test]
    fn what_needs_a_past_begins_when_there_is_one() {
        let of = |kind: AttackKind, start: i64| stretches(kind, (start, 14 * DAY));
        let hours = |span: &Span| ((span.start - MONDAY) / HOUR, (span.end - MONDAY) / HOUR);
        assert_eq!(hours(&of(AttackKind::NewService, MONDAY)[0]).0, 36);
        // Who begins on a Saturday has seen nobody before Monday.
        assert_eq!(hours(&of(AttackKind::NewPeer, MONDAY - 2 * DAY)[0]).0, 36);
        assert_eq!(hours(&of(AttackKind::TrafficShift, MONDAY)[0]).0, 9);
        let volume = of(AttackKind::UnusualVolume, MONDAY);
        assert_eq!(hours(&volume[0]), (84, 96), "the afternoon of Thursday");
        assert_eq!(hours(&volume[1]), (96, 120), "Friday");
        assert_eq!(hours(&volume[2]).0, 7 * 24, "the next Monday");
    }
}
