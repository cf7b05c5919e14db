//! When raw scores become findings: what all statistical detectors share.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::rules::{Keys, strength_of};
use super::{RestoreError, Tail};

/// No past says more; the strength is 1 from here on.
const FLOOR: f64 = 1e-6;
/// What a saved state begins with; another form gets another number.
const MARK: &[u8] = b"fsd1";

/// When findings are made: the settings `alarms` of every statistical detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alarms {
    /// Windows (60 s each) that are judged before the first finding; at least 1.
    pub warm_up_windows: u64,
    /// Windows after which a score of the past counts half; at least 1. Higher: rare but regular
    /// things stay usual for longer, and new habits take longer to become so.
    pub memory_windows: u64,
    /// Findings are made up to this probability (0–1). It counts the number of subjects already:
    /// with like traffic, this share of the windows has a finding. Lower: fewer.
    pub max_probability: f64,
    /// Most findings in one window, the most improbable first; at least 1.
    pub max_per_window: u64,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            warm_up_windows: 360,
            memory_windows: 4_320,
            max_probability: 0.001,
            max_per_window: 3,
        }
    }
}

impl Alarms {
    pub(super) fn check(&self, keys: &Keys) -> Result<(), SettingError> {
        keys.at_least("alarms.warm_up_windows", self.warm_up_windows, 1)?;
        keys.at_least("alarms.memory_windows", self.memory_windows, 1)?;
        keys.positive("alarms.max_probability", self.max_probability)?;
        keys.fraction("alarms.max_probability", self.max_probability)?;
        keys.at_least("alarms.max_per_window", self.max_per_window, 1)
    }
}

/// A score that is rare enough to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Alarm {
    /// Its place among the scores of the window.
    pub place: usize,
    pub probability: f64,
    pub strength: f64,
}

/// The highest scores of past windows, which those of a new window are compared with.
///
/// Since the highest of a window is what is remembered, the probability of a score counts already
/// that many subjects had a chance to have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Highest(Tail);

impl Highest {
    pub(super) fn new(alarms: &Alarms) -> Self {
        Self(Tail::new(alarms.memory_windows))
    }

    /// Takes over settings that may have changed.
    pub(super) fn under(self, alarms: &Alarms) -> Self {
        Self(self.0.fading(alarms.memory_windows))
    }

    /// Returns the scores of a window that are rare, the rarest first, and remembers the highest.
    /// None during the warm-up. Without scores nothing is remembered: no data is no low data.
    pub(super) fn judge(&mut self, alarms: &Alarms, scores: &[f64]) -> Vec<Alarm> {
        let Some(highest) = scores.iter().copied().max_by(f64::total_cmp) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if self.0.recorded() >= alarms.warm_up_windows && self.is_rare(alarms, highest) {
            found = (0..scores.len()).filter(|&n| self.is_rare(alarms, scores[n])).collect();
            found.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            found.truncate(usize::try_from(alarms.max_per_window).unwrap_or(usize::MAX));
        }
        let alarm = |place: usize| {
            let probability = self.0.probability(scores[place]);
            let strength = strength_of(probability, alarms.max_probability, FLOOR);
            Alarm { place, probability, strength }
        };
        let alarms = found.into_iter().map(alarm).collect();
        self.0.record(highest);
        alarms
    }

    fn is_rare(&self, alarms: &Alarms, score: f64) -> bool {
        self.0.probability(score) <= alarms.max_probability
    }
}

/// Returns "one in 2000 windows" for 0.0005.
pub(super) fn one_in(probability: f64) -> String {
    format!("one in {:.0} windows", (1.0 / probability).min(1e6))
}

/// Returns the bytes of a state: compact and exact to the last bit.
pub(super) fn save<T: Serialize>(state: &T) -> Vec<u8> {
    let bytes = postcard::to_extend(state, MARK.to_vec());
    bytes.expect("states are plain data with known lengths")
}

/// Returns the state of [`save`].
///
/// # Errors
/// The bytes are damaged.
pub(super) fn restore<T: DeserializeOwned>(
    id: &'static str,
    bytes: &[u8],
) -> Result<T, RestoreError> {
    let damaged = |why: &str| RestoreError::new(id, serde_json::Error::custom(why));
    let bytes = bytes.strip_prefix(MARK).ok_or_else(|| damaged("the mark is not ours"))?;
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok(_) => Err(damaged("it is too long")),
        Err(error) => Err(damaged(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::mix;

    #[test]
    fn the_rarest_come_first_and_only_after_the_warm_up() {
        let alarms = Alarms { max_per_window: 2, ..Alarms::default() };
        let mut highest = Highest::new(&alarms);
        let scores = |n: u64| [1.0 + (mix(n) % 100) as f64 / 100.0, 0.5];
        for n in 0..359 {
            assert_eq!(highest.judge(&alarms, &scores(n)), []);
        }
        assert_eq!(highest.judge(&alarms, &[1e9]), [], "the last of the warm-up");
        let found = highest.judge(&alarms, &[1.0, 1e7, 1e8, 1e6]);
        let places: Vec<_> = found.iter().map(|alarm| alarm.place).collect();
        assert_eq!(places, [2, 1]);
        assert!(found.iter().all(|alarm| alarm.probability <= 0.001 && alarm.strength > 0.3));
    }

    #[test]
    fn a_window_without_scores_changes_nothing() {
        let alarms = Alarms::default();
        let mut highest = Highest::new(&alarms);
        highest.judge(&alarms, &[]);
        assert_eq!(highest.0.recorded(), 0);
    }

    #[test]
    fn a_state_of_another_kind_is_refused() {
        assert_eq!(restore::<u32>("test", &save(&7u32)).unwrap(), 7);
        assert!(restore::<u32>("test", b"7").is_err());
        assert!(restore::<u8>("test", &save(&7_000u32)).is_err());
        assert!(restore::<u32>("test", &[&save(&7u32)[..], b"x"].concat()).is_err());
    }
}
