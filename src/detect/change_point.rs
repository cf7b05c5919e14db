//! A network whose volume moves to another level and stays there.
//!
//! The median of the last few windows is compared with that of the many before: a single burst does
//! not move a median, a new level does. It is said once; then the new level is the past.

use serde::{Deserialize, Serialize};

use crate::features::HostsWindow;
use crate::model::{Finding, SettingError};

use super::alarms::{self, Alarms, Highest, one_in};
use super::network::{Deviation, Recent, farthest_first, median_and_spread, numbers_of, shift};
use super::rules::Keys;
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "change_point";
/// The numbers that are followed, as ln(1 + x), and their words.
const NAMES: [&str; 4] = ["flows", "bytes", "count_src_ip", "count_dst_ip"];
const WORDS: [&str; 4] = ["flows", "bytes", "senders", "receivers"];
/// Levels that stray less than this (five per cent) are steady; so far they may stray.
const LEAST_SPREAD: f64 = 0.05;

/// Settings of the detector `change_point`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Windows (60 s each) whose median is the level before; at least 10.
    pub before_windows: usize,
    /// Windows whose median is the level after; at least 3. Higher: only changes that last longer
    /// are found, and later.
    pub after_windows: usize,
    /// A level must change by this factor at least; above 1.
    pub min_factor: f64,
    /// Flows in a window that the higher level has at least; at least 0. Lower: networks that are
    /// nearly at rest are judged, too.
    pub min_flows: f64,
    /// When findings are made.
    pub alarms: Alarms,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            before_windows: 120,
            after_windows: 10,
            min_factor: 2.0,
            min_flows: 50.0,
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
        keys.at_least("before_windows", self.before_windows as u64, 10)?;
        keys.at_least("after_windows", self.after_windows as u64, 3)?;
        keys.above("min_factor", self.min_factor, 1.0)?;
        keys.not_negative("min_flows", self.min_flows)?;
        self.alarms.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let state = State { recent: Recent::default(), highest: Highest::new(&self.alarms) };
        Box::new(ChangePoint { config: self.clone(), state })
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct State {
    /// ln(1 + x) of the numbers.
    recent: Recent<4>,
    highest: Highest,
}

struct ChangePoint {
    config: Config,
    state: State,
}

impl ChangePoint {
    /// Returns how the levels moved, the farthest first; nothing with too short a past.
    fn moves(&self) -> Vec<Deviation> {
        let (recent, after) = (&self.state.recent, self.config.after_windows);
        if recent.len() < after + self.config.before_windows / 2 {
            return Vec::new();
        }
        let one = |place: usize| {
            let (actual, _) = median_and_spread(recent.newest(place).take(after))?;
            let (typical, spread) = median_and_spread(recent.newest(place).skip(after))?;
            // Counts stray by their root, however steady the past happened to be.
            let least = LEAST_SPREAD.max((-0.5 * typical).exp());
            Some(Deviation { place, actual, typical, spread: spread.max(least) })
        };
        farthest_first((0..NAMES.len()).filter_map(one))
    }

    fn reason(&self, farthest: &Deviation, probability: f64) -> String {
        format!(
            "went from {:.0} to {:.0} {} a minute and stayed there for {} min; {}",
            farthest.typical.exp_m1(),
            farthest.actual.exp_m1(),
            WORDS[farthest.place],
            self.config.after_windows,
            one_in(probability),
        )
    }
}

impl Detector for ChangePoint {
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
        let config = &self.config;
        let levels = numbers_of(&window.network, NAMES).map(f64::ln_1p);
        self.state.recent.push(levels, config.before_windows + config.after_windows);
        let moves = self.moves();
        let Some(farthest) = moves.first() else { return };
        let alarm = self.state.highest.judge(&config.alarms, &[farthest.distance()]).pop();
        let flows = moves.iter().find(|change| change.place == 0);
        let most = flows.map_or(0.0, |flows| flows.typical.max(flows.actual).exp_m1());
        let is_large = farthest.size() >= config.min_factor.ln() && most >= config.min_flows;
        let Some(alarm) = alarm.filter(|_| is_large) else { return };
        let reason = self.reason(farthest, alarm.probability);
        let number = |level: f64| level.exp_m1().max(0.0);
        findings.push(shift(ID, window.span, &alarm, reason, &NAMES, &moves, number));
        self.state.recent.keep_newest(config.after_windows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::novelty::office;
    use crate::detect::testing::run;
    use crate::model::Flow;

    fn detector() -> Box<dyn Detector> {
        Config::default().build(&Settings::default(), &Context::default())
    }

    /// The office three times over.
    fn busy(n: u64) -> Vec<Flow> {
        let again = |flow: Flow| [flow.clone(), flow.clone(), flow.clone(), flow];
        office(n).into_iter().flat_map(again).collect()
    }

    #[test]
    fn a_new_level_is_said_once() {
        let mut detector = detector();
        let flows: Vec<_> = (0..550).flat_map(office).collect();
        assert_eq!(run(&mut *detector, &flows), []);
        let flows: Vec<_> = (550..800).flat_map(busy).collect();
        let found = run(&mut *detector, &flows);
        let [finding] = &found[..] else { panic!("{found:?}") };
        let start = finding.window.start.seconds();
        assert!((552 * 60..562 * 60).contains(&start), "{start}");
        assert!(finding.reason.contains("stayed there for 10 min"), "{}", finding.reason);
    }

    #[test]
    fn a_burst_is_no_new_level() {
        let mut detector = detector();
        let window = |n| if (550..553).contains(&n) { busy(n) } else { office(n) };
        let flows: Vec<_> = (0..700).flat_map(window).collect();
        assert_eq!(run(&mut *detector, &flows), []);
    }
}
