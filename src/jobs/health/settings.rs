//! Settings under `health:`.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::jobs::Schedule;
use crate::model::SettingError;

/// Settings under `health:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// When the last whole hour is judged: a cron expression in `health.time_zone`. Five minutes
    /// past the hour, so that late flows are in their windows. It waits longer while the worker
    /// still reads flows of that hour, until its input has not moved for ten minutes. An hour is
    /// judged once, over all workers.
    pub schedule: String,
    /// A check that could not run, because no worker was there or the store did not answer, is made
    /// up for within so many hours (1–168); older hours are never judged. Six hours: who looks into
    /// a night of trouble in the morning finds all of it.
    pub catch_up_hours: u32,
    /// The zone of the schedule, and of "the same hour of the week", such as `Europe/Berlin`:
    /// people's habits follow the local clock.
    pub time_zone: String,
    /// How many days back the baseline reaches (1–365). Window summaries older than their
    /// retention are not there to be compared with.
    pub baseline_days: u32,
    /// Fewer outliers than this in an hour are never a spike (at least 1).
    pub minimum_count: u32,
    /// An hour is a spike when chance alone reaches its number of outliers, and its outliers per
    /// flow, with at most this probability (above 0, at most 0.05). Smaller is quieter.
    pub tail_probability: f64,
    /// A spike of this many times the largest usual count is critical (above 1).
    pub critical_factor: f64,
    /// A newest window that ended longer ago than this is a late pipeline, in minutes (at least 1).
    pub late_minutes: u32,
    /// A hole without any window within the hour is a gap from this length on, in minutes (1–60),
    /// when windows are also missing against the hours before.
    pub gap_minutes: u32,
    /// A greater share of flows with unknown sampling rate than this is a warning (0–1; 1 turns it
    /// off).
    pub unknown_sampling_share: f64,
    /// A greater share of flows with a wrong clock than this is a warning (0–1; 1 turns it off).
    pub clock_skew_share: f64,
    /// A greater share of exports that an exporter numbered and that never came is a warning (0–1;
    /// 1 turns it off). Of NetFlow 9 and sFlow the share that was usual in the hours before is
    /// added: their datagrams without flows look like lost ones.
    pub export_loss_share: f64,
    /// A list of addresses (`detectors.blacklist.feeds`) that was fetched longer ago than this is a
    /// warning, in hours (at least 1).
    pub feed_age_hours: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            schedule: "5 * * * *".to_owned(),
            catch_up_hours: 6,
            time_zone: "UTC".to_owned(),
            baseline_days: 28,
            minimum_count: 10,
            // About ten lines are judged 24 times a day: one chance alarm in about a year.
            tail_probability: 1e-5,
            critical_factor: 5.0,
            late_minutes: 15,
            gap_minutes: 10,
            unknown_sampling_share: 0.1,
            clock_skew_share: 0.01,
            export_loss_share: 0.01,
            feed_age_hours: 48,
        }
    }
}

impl HealthSettings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        self.schedule()?;
        self.zone()?;
        whole("health.catch_up_hours", self.catch_up_hours, 1, 168)?;
        whole("health.baseline_days", self.baseline_days, 1, 365)?;
        whole("health.minimum_count", self.minimum_count, 1, u32::MAX)?;
        whole("health.late_minutes", self.late_minutes, 1, u32::MAX)?;
        whole("health.feed_age_hours", self.feed_age_hours, 1, u32::MAX)?;
        whole("health.gap_minutes", self.gap_minutes, 1, 60)?;
        let tail = self.tail_probability;
        if !(tail > 0.0 && tail <= 0.05) {
            let problem = format!("must be above 0 and at most 0.05, got {tail}");
            return Err(SettingError::new("health.tail_probability", problem));
        }
        let factor = self.critical_factor;
        if !(factor > 1.0 && factor.is_finite()) {
            let problem = format!("must be above 1, got {factor}");
            return Err(SettingError::new("health.critical_factor", problem));
        }
        share("health.unknown_sampling_share", self.unknown_sampling_share)?;
        share("health.clock_skew_share", self.clock_skew_share)?;
        share("health.export_loss_share", self.export_loss_share)
    }

    /// The schedule; its times are in [`Self::zone`].
    ///
    /// # Errors
    /// When it is no cron expression.
    pub fn schedule(&self) -> Result<Schedule, SettingError> {
        Schedule::parse(&self.schedule).map_err(|error| SettingError::new("health.schedule", error))
    }

    /// The time zone.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn zone(&self) -> Result<Tz, SettingError> {
        self.time_zone.parse().map_err(|_| {
            let problem = format!(
                "must be an IANA time zone such as `Europe/Berlin`, got `{}`",
                self.time_zone
            );
            SettingError::new("health.time_zone", problem)
        })
    }
}

fn whole(key: &str, value: u32, least: u32, most: u32) -> Result<(), SettingError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let limit = if most == u32::MAX {
        format!("must be at least {least}")
    } else {
        format!("must lie between {least} and {most}")
    };
    Err(SettingError::new(key, format!("{limit}, got {value}")))
}

fn share(key: &str, value: f64) -> Result<(), SettingError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(SettingError::new(key, format!("must lie between 0 and 1, got {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(HealthSettings::default().check(), Ok(()));
    }

    #[test]
    fn wrong_values_name_their_key() {
        let message = |change: fn(&mut HealthSettings)| {
            let mut settings = HealthSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        let messages = [
            message(|settings| settings.schedule = "99 * * * *".to_owned()),
            message(|settings| settings.time_zone = "Berlin".to_owned()),
            message(|settings| settings.catch_up_hours = 0),
            message(|settings| settings.baseline_days = 0),
            message(|settings| settings.minimum_count = 0),
            message(|settings| settings.tail_probability = f64::NAN),
            message(|settings| settings.critical_factor = 1.0),
            message(|settings| settings.late_minutes = 0),
            message(|settings| settings.gap_minutes = 61),
            message(|settings| settings.unknown_sampling_share = -0.1),
            message(|settings| settings.clock_skew_share = f64::NAN),
            message(|settings| settings.export_loss_share = 1.5),
            message(|settings| settings.feed_age_hours = 0),
        ];
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<HealthSettings>(r#"{"basline_days": 7}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `basline_days`"), "{error}");
    }
}
