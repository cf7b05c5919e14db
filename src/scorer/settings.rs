//! Settings under `windows:`.

use serde::{Deserialize, Serialize};

use crate::features::{ClockLimits, WindowLimits};
use crate::model::SettingError;

/// Settings under `windows:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Length of the short windows over pairs, in seconds (1–3,600). System 001's length.
    pub pane_seconds: u32,
    /// Length of the windows over hosts, exporters and the network, in seconds; a multiple of
    /// `pane_seconds`, at most 86,400. System 000's length.
    pub host_seconds: u32,
    /// How many seconds of event time a flow may come after newer ones and still be counted. More
    /// waits longer for slow exporters; every open window costs memory and delays its alerts.
    pub lateness_seconds: u32,
    /// Most subjects of one type (sources, destinations, pairs) held in one window. More are
    /// counted in the totals and mark the window as truncated. About 250 bytes each.
    pub max_subjects: usize,
    /// Whether traffic that several exporters saw counts once: per pair and short window, that of the
    /// exporter that saw most. Exporters that saw different connections of a pair add up.
    pub count_once: bool,
    /// How many sources and how many destinations of each window are written as summaries, busiest
    /// first. Reports and dashboards draw on them. 0 writes none.
    pub keep_hosts: usize,
    /// An event time further ahead of the receive time than this, in seconds, is a wrong clock.
    pub clock_ahead_seconds: u32,
    /// An event time further behind the receive time than this, in seconds, is a wrong clock.
    pub clock_behind_seconds: u32,
    /// In records without receive times, a jump ahead of more than this, in seconds, must be
    /// confirmed by the next record.
    pub leap_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pane_seconds: 10,
            host_seconds: 60,
            lateness_seconds: 30,
            // Four tables of so many subjects in two open windows stay below 1 GiB.
            max_subjects: 300_000,
            count_once: true,
            keep_hosts: 20,
            clock_ahead_seconds: 300,
            clock_behind_seconds: 3_600,
            leap_seconds: 3_600,
        }
    }
}

impl Settings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { pane_seconds, host_seconds, max_subjects, lateness_seconds, .. } = *self;
        if !(1..=3_600).contains(&pane_seconds) {
            let problem = format!("must lie between 1 and 3600, got {pane_seconds}");
            return Err(SettingError::new("windows.pane_seconds", problem));
        }
        if !host_seconds.is_multiple_of(pane_seconds) || !(1..=86_400).contains(&host_seconds) {
            let problem = format!(
                "must be a multiple of `windows.pane_seconds` ({pane_seconds}) up to 86400, got {host_seconds}"
            );
            return Err(SettingError::new("windows.host_seconds", problem));
        }
        if lateness_seconds > 86_400 {
            let problem = format!("must be at most 86400, got {lateness_seconds}");
            return Err(SettingError::new("windows.lateness_seconds", problem));
        }
        if max_subjects == 0 {
            return Err(SettingError::new("windows.max_subjects", "must be positive, got 0"));
        }
        Ok(())
    }

    pub(super) fn window_limits(&self) -> WindowLimits {
        WindowLimits {
            pane_seconds: self.pane_seconds,
            window_seconds: self.host_seconds,
            lateness_seconds: self.lateness_seconds,
            max_subjects: self.max_subjects,
            count_once: self.count_once,
        }
    }

    /// How far event times may lie from receive times.
    pub fn clock_limits(&self) -> ClockLimits {
        ClockLimits {
            ahead_seconds: self.clock_ahead_seconds,
            behind_seconds: self.clock_behind_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_must_hold_whole_panes() {
        let settings = Settings { host_seconds: 55, ..Settings::default() };
        let message = settings.check().unwrap_err().to_string();
        assert_eq!(
            message,
            "setting `windows.host_seconds` must be a multiple of `windows.pane_seconds` (10) up to 86400, got 55"
        );
        assert_eq!(Settings::default().check(), Ok(()));
    }
}
