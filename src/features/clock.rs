//! Whose clock to believe: the event time of a flow.

use crate::model::{Defects, Flow, Timestamp};

/// How far an event time may lie from the receive time before it counts as a wrong clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLimits {
    /// Seconds that the end of a flow may lie after its receipt.
    pub ahead_seconds: u32,
    /// Seconds that the end of a flow may lie before its receipt.
    pub behind_seconds: u32,
}

/// Returns the event time that [`repair_clock`] leaves, without changing the flow.
pub fn event_time(flow: &Flow, limits: ClockLimits) -> Timestamp {
    flow.received.filter(|&received| !is_plausible(flow.end, received, limits)).unwrap_or(flow.end)
}

fn is_plausible(end: Timestamp, received: Timestamp, limits: ClockLimits) -> bool {
    let earliest = received.plus_seconds(-i64::from(limits.behind_seconds));
    let latest = received.plus_seconds(i64::from(limits.ahead_seconds));
    (earliest..=latest).contains(&end)
}

/// Replaces an implausible event time by the receive time and flags it, so that one bad exporter
/// clock neither loses data nor makes everybody else late. Returns whether it did. The duration
/// stays. Flows without a receive time are left as they are.
pub fn repair_clock(flow: &mut Flow, limits: ClockLimits) -> bool {
    let Some(received) = flow.received else { return false };
    if is_plausible(flow.end, received, limits) {
        return false;
    }
    let duration = flow.end.nanos_since(flow.start).max(0);
    flow.end = received;
    flow.start = received.plus_nanos(-duration);
    flow.defects.insert(Defects::CLOCK_SKEW);
    true
}

/// Holds back a single leap into the future until the following record confirms it.
///
/// For records without receive times, where nothing else tells a wrong clock from a quiet hour. A
/// leap is an event time more than `leap_seconds` after everything before it. When the next record
/// lies near the leap too, time has moved on; when it lies before it, the leap was wrong.
#[derive(Debug)]
pub struct LeapGuard<T> {
    leap_seconds: u32,
    latest: Option<Timestamp>,
    held: Option<(Timestamp, T)>,
}

/// What [`LeapGuard::admit`] lets through.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted<T> {
    /// The record is held back.
    Held,
    /// The record goes on.
    One(T),
    /// The held record was right: it goes on before this one.
    Confirmed(T, T),
    /// The held record (first) was wrong; this one (second) goes on.
    Refuted(T, T),
}

impl<T> LeapGuard<T> {
    /// Returns a guard for leaps of more than `leap_seconds`.
    pub fn new(leap_seconds: u32) -> Self {
        Self { leap_seconds, latest: None, held: None }
    }

    /// Takes the next record with its event time.
    pub fn admit(&mut self, time: Timestamp, record: T) -> Admitted<T> {
        let leap = i64::from(self.leap_seconds);
        if let Some((held_time, held)) = self.held.take() {
            if time >= held_time.plus_seconds(-leap) {
                self.latest = Some(held_time.max(time));
                return Admitted::Confirmed(held, record);
            }
            self.latest = self.latest.max(Some(time));
            return Admitted::Refuted(held, record);
        }
        match self.latest {
            Some(latest) if time > latest.plus_seconds(leap) => {
                self.held = Some((time, record));
                Admitted::Held
            }
            latest => {
                self.latest = latest.max(Some(time));
                Admitted::One(record)
            }
        }
    }

    /// Returns the record still held at the end of the input, where nothing contradicts it.
    pub fn finish(&mut self) -> Option<T> {
        self.held.take().map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FlowOrigin;

    const LIMITS: ClockLimits = ClockLimits { ahead_seconds: 300, behind_seconds: 3600 };

    fn received_at(received: i64, start: i64, end: i64) -> Flow {
        let time = Timestamp::from_seconds;
        let mut flow = Flow::new(FlowOrigin::NetflowV9, time(start), time(end));
        flow.received = Some(time(received));
        flow
    }

    #[test]
    fn a_clock_49_days_ahead_is_replaced_by_the_receive_time() {
        let mut flow = received_at(1_795_234_439, 1_799_529_380, 1_799_529_383);
        assert!(repair_clock(&mut flow, LIMITS));
        assert_eq!(flow.end, Timestamp::from_seconds(1_795_234_439));
        assert_eq!(flow.start, Timestamp::from_seconds(1_795_234_436), "the duration stays");
        assert!(flow.defects.contains(Defects::CLOCK_SKEW));
    }

    #[test]
    fn a_flow_reported_half_an_hour_late_keeps_its_time() {
        let mut flow = received_at(10_000, 8_000, 8_200);
        assert!(!repair_clock(&mut flow, LIMITS));
        assert!(flow.defects.is_empty());
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_lone_leap_is_refuted_and_does_not_move_time() {
        let mut guard = LeapGuard::new(3600);
        assert_eq!(guard.admit(time(0), 'a'), Admitted::One('a'));
        assert_eq!(guard.admit(time(1_000_000), 'x'), Admitted::Held);
        assert_eq!(guard.admit(time(10), 'b'), Admitted::Refuted('x', 'b'));
        assert_eq!(guard.admit(time(20), 'c'), Admitted::One('c'));
    }

    #[test]
    fn a_quiet_night_is_confirmed_by_the_morning() {
        let mut guard = LeapGuard::new(3600);
        guard.admit(time(0), 'a');
        assert_eq!(guard.admit(time(30_000), 'm'), Admitted::Held);
        assert_eq!(guard.admit(time(30_001), 'n'), Admitted::Confirmed('m', 'n'));
        assert_eq!(guard.admit(time(70_000), 'z'), Admitted::Held);
        assert_eq!(guard.finish(), Some('z'), "nothing contradicts the last record");
    }
}
