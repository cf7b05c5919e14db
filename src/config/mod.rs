//! The settings file: read, completed from the environment, checked.
//!
//! Every component owns its settings; this module puts them together. An empty file is valid. An
//! unknown key is an error that names the line. `${VAR:default}` takes values from the environment,
//! `-E key=value` from the command line.

mod deadletters;
mod expand;
mod output;
mod overrides;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::SettingError;
use crate::sources::CaptureLimits;
use crate::sources::kafka::KafkaInput;
use crate::sources::search::SearchInput;
use crate::stores::Namespace;
use crate::{alerts, classify, detect, enrich, feeds, formats, jobs, scorer, setup};

pub use deadletters::DeadLetterSettings;
pub use output::{EmbeddedOutput, OutputSettings};
pub use overrides::{Override, OverrideError};

/// The settings file with every key, its default and what it does.
pub const REFERENCE: &str = include_str!("reference.yml");

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keeps several installations apart; part of every index name.
    pub namespace: String,
    /// `path.*`.
    pub path: PathSettings,
    /// `input.*`.
    pub input: InputSettings,
    /// `output.*`.
    pub output: OutputSettings,
    /// `setup.*`.
    pub setup: setup::Settings,
    /// `windows.*`.
    pub windows: scorer::Settings,
    /// `networks.*`.
    pub networks: detect::networks::Settings,
    /// `detectors.*`.
    pub detectors: detect::Settings,
    /// `alerts.*`.
    pub alerts: alerts::Settings,
    /// `enrichment.*`.
    pub enrichment: enrich::Settings,
    /// `health.*`.
    pub health: jobs::HealthSettings,
    /// `report.*`.
    pub report: ReportSettings,
    /// `models.*`.
    pub models: classify::ModelSettings,
    /// `dead_letters.*`.
    pub dead_letters: DeadLetterSettings,
    /// `logging.*`.
    pub logging: LoggingSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            path: PathSettings::default(),
            input: InputSettings::default(),
            output: OutputSettings::default(),
            setup: setup::Settings::default(),
            windows: scorer::Settings::default(),
            networks: detect::networks::Settings::default(),
            detectors: detect::Settings::default(),
            alerts: alerts::Settings::default(),
            enrichment: enrich::Settings::default(),
            health: jobs::HealthSettings::default(),
            report: ReportSettings::default(),
            models: classify::ModelSettings::default(),
            dead_letters: DeadLetterSettings::default(),
            logging: LoggingSettings::default(),
        }
    }
}

/// Settings under `path:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathSettings {
    /// Folder for everything that is kept: the embedded store, reports.
    pub data: PathBuf,
}

impl Default for PathSettings {
    fn default() -> Self {
        Self { data: PathBuf::from("data") }
    }
}

/// Settings under `input:`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputSettings {
    /// `input.files.*`; excludes the others.
    pub files: Option<FileInput>,
    /// `input.kafka.*`; excludes the others.
    pub kafka: Option<KafkaInput>,
    /// `input.search.*`; excludes the others.
    pub search: Option<SearchInput>,
    /// `input.capture.*`.
    pub capture: CaptureLimits,
}

impl InputSettings {
    /// Flows come from one place.
    fn check_one(&self) -> Result<(), SettingError> {
        let given = [
            ("input.files", self.files.is_some()),
            ("input.kafka", self.kafka.is_some()),
            ("input.search", self.search.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) else {
            return Ok(());
        };
        let problem = format!("and `{second}` exclude each other: remove one of the two");
        Err(SettingError::new(first, problem))
    }
}

/// Settings under `input.files:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInput {
    /// The files, flow records or packet captures; plain, gzip or zstd.
    pub paths: Vec<PathBuf>,
    /// The format; told from the content of each file when absent.
    #[serde(default)]
    pub format: Option<String>,
    /// Reads on when files grow. Without it the files are read once, in event-time order. Captures
    /// are only read without it.
    #[serde(default)]
    pub follow: bool,
}

/// Settings under `report:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportSettings {
    /// When the report of the day before is written: a cron expression in `time_zone`. It waits
    /// longer while the worker still reads flows of that day, until its input has not moved for ten
    /// minutes. A day has one report, over all workers.
    pub schedule: String,
    /// A report that could not be written, because no worker was there or the store did not answer,
    /// is made up for within so many hours (1–168), oldest first. 36 hours: after a day of trouble
    /// both reports come, after a week not seven.
    pub catch_up_hours: u32,
    /// IANA time zone of the days and of the times in the report.
    pub time_zone: String,
    /// Folder of the written reports; `reports` in `path.data` when absent.
    pub path: Option<PathBuf>,
    /// Sender of the mail.
    pub sender: String,
    /// Recipients of the mail.
    pub recipients: Vec<String>,
    /// First words of the subject.
    pub subject_prefix: String,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            schedule: "0 6 * * *".to_owned(),
            catch_up_hours: 36,
            time_zone: "UTC".to_owned(),
            path: None,
            sender: "flowsentry@localhost".to_owned(),
            recipients: vec!["root@localhost".to_owned()],
            subject_prefix: "Network report".to_owned(),
        }
    }
}

/// Settings under `logging:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingSettings {
    /// Least level that is logged.
    pub level: LogLevel,
    /// Text for people or ECS JSON for machines.
    pub format: LogFormat,
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}

/// A log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Handled, but look.
    Warn,
    /// Life cycle.
    Info,
    /// Per batch.
    Debug,
    /// Per flow.
    Trace,
}

/// A log form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The text is not valid, or names an unknown key; with the line.
    #[error("settings file `{}`: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// An override cannot be used.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// A value cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl Config {
    /// Reads and checks settings: the file if there is one, the environment through `variable`, then
    /// the overrides in order.
    ///
    /// # Errors
    /// Names the line of the file, the override, or the key.
    pub fn load(
        path: Option<&Path>,
        overrides: &[Override],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let config = match path {
            None => Self::parse("", Path::new(""), overrides, variable)?,
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
                Self::parse(&text, path, overrides, variable)?
            }
        };
        config.check()?;
        Ok(config)
    }

    fn parse(
        text: &str,
        path: &Path,
        overrides: &[Override],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let parse_error = |message| ConfigError::Parse { path: path.to_owned(), message };
        let text = expand::expand(text, variable).map_err(parse_error)?;
        let has_content = text.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && line != "---"
        });
        let config: Self = if has_content {
            // Parsed from the text and not from a tree: only then do errors know their line.
            serde_yaml_ng::from_str(&text).map_err(|error| parse_error(error.to_string()))?
        } else {
            Self::default()
        };
        if overrides.is_empty() {
            return Ok(config);
        }
        let tree = if has_content {
            serde_yaml_ng::from_str(&text).map_err(|error| parse_error(error.to_string()))?
        } else {
            serde_yaml_ng::Value::Mapping(serde_yaml_ng::Mapping::new())
        };
        Ok(overrides::apply(tree, overrides)?)
    }

    /// Checks every value without touching anything outside.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        self.windows.check()?;
        self.networks.check()?;
        detect::check(&self.detectors)?;
        feeds::check(&self.detectors.blacklist)?;
        self.feed_schedule()?;
        self.alerts.check()?;
        self.enrichment.check()?;
        self.health.check()?;
        self.report.check()?;
        self.models.check()?;
        self.retrain_schedule()?;
        self.output.check()?;
        self.namespace()?;
        self.format()?;
        self.input.check_one()?;
        self.input.capture.check()?;
        self.input.kafka.as_ref().map_or(Ok(()), KafkaInput::check)?;
        self.input.search.as_ref().map_or(Ok(()), SearchInput::check)?;
        self.dead_letters.check(self.input.kafka.as_ref())?;
        if let Some(files) = &self.input.files
            && files.paths.is_empty()
        {
            return Err(SettingError::new("input.files.paths", "must name at least one file"));
        }
        Ok(())
    }

    /// The checked namespace.
    ///
    /// # Errors
    /// When it does not fit into index names.
    pub fn namespace(&self) -> Result<Namespace, SettingError> {
        Namespace::new(&self.namespace).map_err(|error| SettingError::new("namespace", error))
    }

    /// The format that the settings prescribe for the input.
    ///
    /// # Errors
    /// When there is no such format.
    pub fn format(&self) -> Result<Option<&'static dyn formats::Format>, SettingError> {
        let files = self.input.files.as_ref().map(|files| ("files", files.format.as_deref()));
        let kafka = self.input.kafka.as_ref().map(|kafka| ("kafka", kafka.format.as_deref()));
        let Some((input, Some(name))) = files.or(kafka) else { return Ok(None) };
        format_named(name)
            .map(Some)
            .map_err(|problem| SettingError::new(format!("input.{input}.format"), problem))
    }

    /// Folder of the embedded store.
    pub fn store_path(&self) -> PathBuf {
        self.output.embedded.path.clone().unwrap_or_else(|| self.path.data.join("store"))
    }

    /// Folder of the last good lists of addresses.
    pub fn feeds_path(&self) -> PathBuf {
        self.path.data.join("feeds")
    }

    /// When lists of addresses are fetched; its times are UTC.
    ///
    /// # Errors
    /// When it is no cron expression.
    pub fn feed_schedule(&self) -> Result<jobs::Schedule, SettingError> {
        jobs::Schedule::parse(&self.detectors.blacklist.refresh)
            .map_err(|error| SettingError::new("detectors.blacklist.refresh", error))
    }

    /// When models are learned anew; its times are UTC.
    ///
    /// # Errors
    /// When it is no cron expression.
    pub fn retrain_schedule(&self) -> Result<jobs::Schedule, SettingError> {
        jobs::Schedule::parse(&self.models.retrain_schedule)
            .map_err(|error| SettingError::new("models.retrain_schedule", error))
    }

    /// Folder of the written reports.
    pub fn report_path(&self) -> PathBuf {
        self.report.path.clone().unwrap_or_else(|| self.path.data.join("reports"))
    }
}

/// Returns the format of a name.
///
/// # Errors
/// A clause that lists what there is.
pub fn format_named(name: &str) -> Result<&'static dyn formats::Format, String> {
    formats::by_name(name).ok_or_else(|| {
        let known: Vec<_> = formats::FORMATS.iter().map(|format| format.name()).collect();
        format!("is no known format: `{name}` (known formats are {})", known.join(", "))
    })
}

impl ReportSettings {
    /// The time zone of the report.
    ///
    /// # Errors
    /// When it is not in the IANA database.
    pub fn zone(&self) -> Result<chrono_tz::Tz, SettingError> {
        self.time_zone.parse().map_err(|_| {
            let problem = format!(
                "must be an IANA time zone such as `Europe/Berlin`, got `{}`",
                self.time_zone
            );
            SettingError::new("report.time_zone", problem)
        })
    }

    fn check(&self) -> Result<(), SettingError> {
        self.zone()?;
        jobs::Schedule::parse(&self.schedule)
            .map_err(|error| SettingError::new("report.schedule", error))?;
        if !(1..=168).contains(&self.catch_up_hours) {
            let problem = format!("must lie between 1 and 168, got {}", self.catch_up_hours);
            return Err(SettingError::new("report.catch_up_hours", problem));
        }
        if self.recipients.is_empty() {
            return Err(SettingError::new("report.recipients", "must name at least one address"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{ClusterSettings, Flavour};
    use serde_yaml_ng::Value;

    fn read(text: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
        let overrides: Vec<Override> = overrides.iter().map(|text| text.parse().unwrap()).collect();
        let config = Config::parse(text, Path::new("flowsentry.yml"), &overrides, &|_| None)?;
        config.check()?;
        Ok(config)
    }

    fn error(text: &str, overrides: &[&str]) -> String {
        read(text, overrides).unwrap_err().to_string()
    }

    /// The section `name` of the reference that stands there as a comment, as it reads without its
    /// comment signs.
    fn uncommented(name: &str) -> Value {
        let head = format!("# {name}:");
        let mut lines = REFERENCE.lines().skip_while(|line| line.trim() != head);
        let first = lines.next().expect("the section is there");
        let margin = &first[..first.len() - head.len()];
        let inner: String = lines
            .map_while(|line| line.strip_prefix(margin)?.strip_prefix("# "))
            .take_while(|line| line.starts_with(' '))
            .map(|line| format!("{line}\n"))
            .collect();
        serde_yaml_ng::from_str(&inner).unwrap()
    }

    fn sorted_keys(value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        keys("", value, &mut found);
        found.sort();
        found
    }

    fn keys(prefix: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Mapping(mapping) if !mapping.is_empty() => {
                for (key, value) in mapping {
                    keys(&format!("{prefix}.{}", key.as_str().unwrap()), value, found);
                }
            }
            _ => found.push(prefix.to_owned()),
        }
    }

    #[test]
    fn an_empty_file_is_valid() {
        assert_eq!(read("", &[]).unwrap().namespace, "default");
        assert_eq!(read("# nothing yet\n---\n", &[]).unwrap().namespace, "default");
    }

    #[test]
    fn the_reference_has_every_key_with_its_default() {
        let reference: Value = serde_yaml_ng::from_str(REFERENCE).unwrap();
        let defaults = serde_yaml_ng::to_value(Config::default()).unwrap();
        assert_eq!(serde_yaml_ng::to_value(read(REFERENCE, &[]).unwrap()).unwrap(), defaults);
        assert_eq!(sorted_keys(&reference), sorted_keys(&defaults));
    }

    #[test]
    fn the_sections_that_may_be_absent_are_whole_in_the_comments_of_the_reference() {
        let cluster = uncommented("elasticsearch");
        let defaults = serde_yaml_ng::to_value(ClusterSettings::default()).unwrap();
        assert_eq!(sorted_keys(&cluster), sorted_keys(&defaults));
        assert_eq!(cluster, defaults);
        let read: ClusterSettings = serde_yaml_ng::from_value(uncommented("opensearch")).unwrap();
        assert_eq!(serde_yaml_ng::to_value(read).unwrap(), defaults);
        let files: FileInput = serde_yaml_ng::from_value(uncommented("files")).unwrap();
        let files = serde_yaml_ng::to_value(files).unwrap();
        assert_eq!(sorted_keys(&uncommented("files")), sorted_keys(&files));
        let defaults = serde_yaml_ng::to_value(KafkaInput::default()).unwrap();
        assert_eq!(uncommented("kafka"), defaults);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = error("namespace: x\nwindows:\n  pane_secnds: 10\n", &[]);
        assert!(message.contains("unknown field `pane_secnds`"), "{message}");
        assert!(message.contains("line 3"), "{message}");
    }

    #[test]
    fn an_unknown_detector_lists_the_known_ones() {
        let message = error("detectors:\n  iqt:\n    enabled: true\n", &[]);
        assert!(message.contains("unknown field `iqt`") && message.contains("`iqr`"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_named_by_its_key() {
        assert_eq!(
            error("alerts: {minimum_score: 400}", &[]),
            "setting `alerts.minimum_score` must lie between 0 and 100, got 400"
        );
        assert!(
            error("report: {time_zone: Europe/Atlantis}", &[])
                .starts_with("setting `report.time_zone`")
        );
        assert!(error("namespace: ../x", &[]).starts_with("setting `namespace`"));
    }

    #[test]
    fn dead_letters_have_one_place_and_are_never_read_as_flows() {
        let letters = |letters: &str, topic: &str| {
            let text =
                format!("input: {{kafka: {{topics: ['{topic}']}}}}\ndead_letters: {letters}");
            read(&text, &[]).map_or_else(|problem| problem.to_string(), |_| "taken".to_owned())
        };
        assert_eq!(letters("{topic: flow.dead}", "flows"), "taken");
        assert_eq!(letters("{topic: dead}", "^flows.*"), "taken");
        assert_eq!(letters("{index: true}", "flows"), "taken");
        let wrong = [
            letters("{path: x, index: true}", "flows"),
            letters("{topic: x, index: true}", "flows"),
            letters("{topic: a b}", "flows"),
            letters("{topic: flows}", "flows"),
            letters("{topic: flow}", "^flows?$"),
            letters("{topic: flows-dead}", "^flows"),
            letters("{topic: dead}", "^(flows|dead)"),
            error("dead_letters: {topic: x}", &[]),
        ];
        insta::assert_snapshot!(wrong.join("\n"));
    }

    #[test]
    fn there_is_one_cluster_or_none() {
        let both = error("output: {elasticsearch: {}, opensearch: {}}", &[]);
        assert_eq!(
            both,
            "setting `output.elasticsearch` and `output.opensearch` exclude each other: there is \
             one store, remove one of the two"
        );
        assert!(read("", &[]).unwrap().output.cluster().is_none());
        for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
            let config = read("", &[&format!("{}={{}}", flavour.key())]).unwrap();
            assert_eq!(config.output.cluster().unwrap().0, flavour);
        }
        assert_eq!(
            error("output: {opensearch: {hosts: [localhost]}}", &[]),
            "setting `output.opensearch.hosts` must begin with `http://` or `https://`, got \
             `localhost`"
        );
        assert_eq!(
            error("output: {keep_days: {flows: 0}}", &[]),
            "setting `output.keep_days.flows` must lie between 1 and 36500, got 0"
        );
    }

    #[test]
    fn secrets_come_from_the_environment_and_are_not_shown() {
        let text = "output:\n  opensearch:\n    username: lab\n    password: ${PASSWORD}\n";
        let variable = |name: &str| (name == "PASSWORD").then(|| "0815".to_owned());
        for overrides in [vec![], vec!["namespace=lab".parse().unwrap()]] {
            let config = Config::parse(text, Path::new("f.yml"), &overrides, &variable).unwrap();
            config.check().unwrap();
            let (_, cluster) = config.output.cluster().unwrap();
            assert_eq!(cluster.password.as_ref().unwrap().reveal(), "0815");
            let shown = format!("{config:?}{}", serde_yaml_ng::to_string(&config).unwrap());
            assert!(shown.contains("***") && !shown.contains("0815"), "{shown}");
        }
        let unquoted = error(&text.replace("${PASSWORD}", "4711"), &[]);
        assert!(
            unquoted.contains("put it into quotes") && !unquoted.contains("4711"),
            "{unquoted}"
        );
    }

    #[test]
    fn secrets_are_refused_as_overrides_however_they_are_wrapped() {
        for text in [
            "output.elasticsearch.password=hunter2",
            "output.elasticsearch.api_key=hunter2",
            "output.elasticsearch={username: a, password: hunter2}",
            "output={opensearch: {api_key: hunter2}}",
        ] {
            let refused = text.parse::<Override>().unwrap_err();
            assert!(matches!(&refused, OverrideError::Secret(_)), "{text}: {refused}");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        assert!("output.elasticsearch.password_file=x".parse::<Override>().is_ok());
    }

    #[test]
    fn overrides_come_last_and_name_themselves_when_wrong() {
        let config =
            read("windows: {keep_hosts: 5}", &["windows.keep_hosts=7", "namespace=lab"]).unwrap();
        assert_eq!((config.windows.keep_hosts, config.namespace.as_str()), (7, "lab"));
        let message = error("", &["windows.keep_hosts=many"]);
        assert!(message.starts_with("`-E windows.keep_hosts=…`: "), "{message}");
    }
}
