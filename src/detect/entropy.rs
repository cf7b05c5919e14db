//! A network whose ports or addresses are suddenly more or less alike.
//!
//! A scan spreads flows over many ports, a flood gathers them on one address. The entropies of a
//! window are compared with those of the last windows, to both sides, and calibrated.

use serde::{Deserialize, Serialize};

use crate::features::HostsWindow;
use crate::model::{Finding, SettingError};

use super::alarms::{self, Alarms, Highest, one_in};
use super::network::{Deviation, Recent, farthest_first, median_and_spread, numbers_of, shift};
use super::rules::Keys;
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "entropy";
/// The numbers that are judged, and what they are of.
const NAMES: [&str; 4] =
    ["entropy_src_ip", "entropy_dst_ip", "entropy_src_port", "entropy_dst_port"];
const WORDS: [&str; 4] = ["senders", "receivers", "source ports", "destination ports"];
/// Entropies that stray less than this (nats) are steady; so far they may stray.
const LEAST_SPREAD: f64 = 0.05;

/// Settings of the detector `entropy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) that entropies are compared with; at least 10.
    pub recent_windows: usize,
    /// Flows that a window must have for its entropies to mean something; at least 1. Windows with
    /// fewer are left out.
    pub min_flows: u64,
    /// Shifts smaller than this (nats) are no findings; at least 0. ln 2 = 0.7 is that of twice or
    /// half as many equally frequent values.
    pub min_shift: f64,
    /// When findings are made.
    pub alarms: Alarms,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            recent_windows: 120,
            min_flows: 50,
            min_shift: 1.25,
            alarms: Alarms::default(),
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("recent_windows", self.recent_windows as u64, 10)?;
        keys.at_least("min_flows", self.min_flows, 1)?;
        keys.not_negative("min_shift", self.min_shift)?;
        self.alarms.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let state = State { recent: Recent::default(), highest: Highest::new(&self.alarms) };
        Box::new(Entropy { config: self.clone(), state })
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct State {
    recent: Recent<4>,
    highest: Highest,
}

struct Entropy {
    config: Config,
    state: State,
}

impl Entropy {
    /// Returns the shifts of a window, the farthest first.
    fn shifts(&self, actual: [f64; 4]) -> Vec<Deviation> {
        let one = |place: usize| {
            let past = median_and_spread(self.state.recent.newest(place));
            past.map(|(typical, spread)| Deviation {
                place,
                actual: actual[place],
                typical,
                spread: spread.max(LEAST_SPREAD),
            })
        };
        farthest_first((0..NAMES.len()).filter_map(one))
    }

    fn reason(&self, farthest: &Deviation, probability: f64) -> String {
        let word = if farthest.actual > farthest.typical { "more" } else { "less" };
        format!(
            "spread its flows {word} evenly over {} than in the last {} windows: entropy {:.2} \
             (typical: {:.2}); {}",
            WORDS[farthest.place],
            self.state.recent.len(),
            farthest.actual,
            farthest.typical,
            one_in(probability),
        )
    }
}

impl Detector for Entropy {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State = alarms::restore(ID, state)?;
        self.state = State { highest: state.highest.under(&self.config.alarms), ..state };
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        if window.network.counters.flows < self.config.min_flows {
            return;
        }
        let actual = numbers_of(&window.network, NAMES);
        if self.state.recent.len() * 2 >= self.config.recent_windows {
            let shifts = self.shifts(actual);
            let Some(farthest) = shifts.first() else { return };
            let alarm = self.state.highest.judge(&self.config.alarms, &[farthest.distance()]).pop();
            if let Some(alarm) = alarm.filter(|_| farthest.size() >= self.config.min_shift) {
                let reason = self.reason(farthest, alarm.probability);
                let number = |entropy: f64| entropy.max(0.0);
                findings.push(shift(ID, window.span, &alarm, reason, &NAMES, &shifts, number));
            }
        }
        self.state.recent.push(actual, self.config.recent_windows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::novelty::{office, scan};
    use crate::detect::testing::run;
    use crate::model::{Kind, Subject};

    fn detector() -> Box<dyn Detector> {
        Config::default().build(&Settings::default(), &Context::default())
    }

    #[test]
    fn a_scan_of_many_ports_is_a_shift_and_ordinary_traffic_is_none() {
        let mut detector = detector();
        let flows: Vec<_> = (0..500).flat_map(office).collect();
        let before = run(&mut *detector, &flows);
        assert!(before.len() <= 1, "{before:?}");
        let last: Vec<_> = office(500).into_iter().chain(scan(500)).collect();
        let found = run(&mut *detector, &last);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert_eq!((finding.kind, finding.subject), (Kind::TrafficShift, Subject::Network));
        assert!(finding.features.iter().any(|f| f.name == "entropy_dst_port"), "{finding:?}");
    }

    #[test]
    fn quiet_windows_are_left_out() {
        let mut detector = detector();
        let flows: Vec<_> = (0..500).flat_map(|n| office(n).into_iter().take(5)).collect();
        assert_eq!(run(&mut *detector, &flows), []);
        assert_eq!(detector.save(), self::detector().save());
    }
}
