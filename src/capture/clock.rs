//! The time of a capture, by which flows are judged idle.

use crate::model::Timestamp;

/// Steps up to here are ordinary; longer ones, either way, may be one damaged time.
const ORDINARY_STEP_NANOS: u64 = 60 * 1_000_000_000;

/// Goes on with the packets. One packet alone, far from the others, does not move it: it would end
/// every flow.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<Timestamp>,
    has_leapt: bool,
}

impl Clock {
    /// Returns the time once a packet of `time` was seen.
    pub(super) fn tell(&mut self, time: Timestamp) -> Timestamp {
        let Some(now) = self.now else {
            self.now = Some(time);
            return time;
        };
        let is_leap = time.nanos_since(now).unsigned_abs() > ORDINARY_STEP_NANOS;
        let next = match (is_leap, self.has_leapt) {
            (true, false) => now,
            (true, true) => time,
            (false, _) => now.max(time),
        };
        self.has_leapt = is_leap && !self.has_leapt;
        self.now = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_counts_when_the_next_packet_confirms_it() {
        let mut clock = Clock::default();
        let mut tell = |seconds| clock.tell(Timestamp::from_seconds(seconds)).seconds();
        assert_eq!([tell(100), tell(110), tell(105)], [100, 110, 110], "small steps back");
        assert_eq!([tell(9_000), tell(111)], [110, 111], "a damaged time");
        assert_eq!([tell(9_000), tell(9_001), tell(9_002)], [111, 9_001, 9_002], "a pause");
        assert_eq!([tell(50), tell(51)], [9_002, 51], "another capture behind this one");
    }
}
