//! `exception` and `feedback`: what people can say about alerts.

use std::str::FromStr;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use crate::alerts::{Verdict, parse_network};
use crate::model::{Kind, Timestamp};

/// Arguments of `exception`.
#[derive(Debug, Args)]
pub struct ExceptionArgs {
    /// What to do with exceptions.
    #[command(subcommand)]
    pub what: ExceptionWhat,
}

/// What can be done with exceptions.
#[derive(Debug, Subcommand)]
pub enum ExceptionWhat {
    /// Hide alerts that are known to be harmless, those of the past too.
    ///
    /// An alert is hidden when all given parts match. One exception is kept per scope: adding the
    /// same scope again changes it. A running worker follows within `alerts.refresh_seconds`.
    Add(AddExceptionArgs),
    /// List exceptions: those of the settings and those that were added here.
    List(ListExceptionsArgs),
    /// Take an exception out of force: what it hid comes back.
    Remove(RemoveExceptionArgs),
    /// Say what an exception would have hidden, and change nothing.
    Test(TestExceptionArgs),
    /// Say why an alert is hidden or not, or why an anomaly became no alert.
    Why(WhyArgs),
}

/// The scope of an exception.
#[derive(Debug, Args)]
pub struct ScopeArgs {
    /// Takes kind and addresses from this alert or anomaly, where they are not given.
    #[arg(long, visible_alias = "from-alert", value_name = "ID")]
    pub from_anomaly: Option<String>,
    /// Only alerts of this kind, for example `port_scan_vertical`.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Option<Kind>,
    /// Only what this address or prefix sends.
    #[arg(long, value_name = "NET", value_parser = parse_network)]
    pub source: Option<IpNet>,
    /// Only what this address or prefix receives.
    #[arg(long, value_name = "NET", value_parser = parse_network)]
    pub destination: Option<IpNet>,
    /// Only alerts about exporting devices at this address or prefix.
    #[arg(long, value_name = "NET", value_parser = parse_network)]
    pub exporter: Option<IpNet>,
}

/// Arguments of `exception add`.
#[derive(Debug, Args)]
pub struct AddExceptionArgs {
    /// What it covers.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Alerts that begin then or later are not covered: a time (2027-01-01T00:00:00Z), a day, up to
    /// and with it in UTC (2026-12-31), a while from now (90d, 12h, 30m), or `never`.
    #[arg(long, value_name = "TIME")]
    pub until: Until,
    /// Who answers for it.
    #[arg(long, value_name = "NAME", value_parser = not_empty)]
    pub owner: String,
    /// Why it is harmless.
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    pub comment: String,
}

/// Arguments of `exception list`.
#[derive(Debug, Args)]
pub struct ListExceptionsArgs {
    /// Lists removed ones as well.
    #[arg(long)]
    pub all: bool,
    /// Prints those of the store whole, one JSON object a line, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `exception remove`.
#[derive(Debug, Args)]
pub struct RemoveExceptionArgs {
    /// The id, as `exception list` shows it.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Arguments of `exception test`.
#[derive(Debug, Args)]
pub struct TestExceptionArgs {
    /// What it would cover.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Looks at the alerts that began in so many last days.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub days: u32,
}

/// Arguments of `exception why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The id (`event.id`) of an alert or of an anomaly.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Arguments of `feedback`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct FeedbackArgs {
    /// What else can be done.
    #[command(subcommand)]
    pub what: Option<FeedbackWhat>,
    /// The id (`event.id`) of an alert or of an anomaly.
    #[arg(value_name = "ID", required = true)]
    pub id: Option<String>,
    /// `benign`: such things need a higher score from now on. `attack`: a lower one is enough.
    #[arg(value_name = "benign|attack", required = true, value_parser = verdict)]
    pub verdict: Option<Verdict>,
    /// Who says so; the account when absent.
    #[arg(long, value_name = "NAME", value_parser = not_empty)]
    pub owner: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub comment: String,
}

/// What else can be done with feedback.
#[derive(Debug, Subcommand)]
pub enum FeedbackWhat {
    /// List all feedback, oldest first.
    List(ListFeedbackArgs),
    /// Take feedback back: thresholds are as if it had not been given.
    Revert(RevertArgs),
}

/// Arguments of `feedback list`.
#[derive(Debug, Args)]
pub struct ListFeedbackArgs {
    /// Prints entries whole, one JSON object a line, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `feedback revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    /// The number, as `feedback list` shows it.
    #[arg(value_name = "VERSION")]
    pub version: u64,
}

/// When an exception ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It does not.
    Never,
    /// At this moment.
    At(Timestamp),
    /// So many seconds from now.
    After(i64),
}

impl Until {
    /// The moment, seen from `now`.
    pub fn moment(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time),
            Self::After(seconds) => Some(now.plus_seconds(seconds)),
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(day) = text.parse::<chrono::NaiveDate>() {
            let midnight = Timestamp::from_utc(day.and_time(chrono::NaiveTime::MIN).and_utc());
            return Ok(Self::At(midnight.plus_seconds(86_400)));
        }
        let unit = [("d", 86_400), ("h", 3_600), ("m", 60)]
            .into_iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        if let Some((number, seconds)) = unit
            && let Ok(number) = number.parse::<u32>()
        {
            return Ok(Self::After(i64::from(number) * seconds));
        }
        text.parse().map(Self::At).map_err(|_| {
            "say a time such as 2027-01-01T00:00:00Z, a day such as 2026-12-31, a while such as 90d, \
             12h or 30m, or `never`"
                .to_owned()
        })
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("the kinds are {}", known.join(", "))
    })
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let known = [Verdict::Benign, Verdict::Attack];
    let found = known.into_iter().find(|verdict| verdict.name() == text);
    found.ok_or_else(|| "say `benign` or `attack`".to_owned())
}

fn not_empty(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it must not be empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_a_day_a_while_or_never() {
        let now = Timestamp::from_seconds(1_000_000);
        let moment = |text: &str| text.parse::<Until>().unwrap().moment(now);
        assert_eq!(moment("never"), None);
        assert_eq!(moment("2d"), Some(now.plus_seconds(2 * 86_400)));
        assert_eq!(moment("3h"), Some(now.plus_seconds(3 * 3_600)));
        assert_eq!(moment("4m"), Some(now.plus_seconds(240)));
        assert_eq!(moment("2026-12-31"), Some("2027-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(moment("2026-12-31T12:00:00Z"), Some("2026-12-31T12:00:00Z".parse().unwrap()));
        for wrong in ["", "d", "-1d", "99999999999999999999d", "soon", "2026-02-30"] {
            assert!(wrong.parse::<Until>().is_err(), "{wrong}");
        }
    }
}
