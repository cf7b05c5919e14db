//! Settings of the Kafka source.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Secret, SettingError, Timestamp};

/// The most memory of messages that wait to be decoded.
const MOST_QUEUE_MEGABYTES: u32 = 2_048;

/// Settings under `input.kafka:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaInput {
    /// Addresses of some brokers, `host:port`.
    pub brokers: Vec<String>,
    /// Topics; one that begins with `^` is a regular expression.
    pub topics: Vec<String>,
    /// Consumer group. Without `partials_topic` one worker of a group reads, others stand by.
    pub group_id: String,
    /// Topic through which all workers of the group share the work. When absent, one worker reads
    /// and judges alone.
    pub partials_topic: Option<String>,
    /// First part of the name by which the brokers know this worker; host and process are added.
    pub client_id: String,
    /// The format; told from the content of each message when absent.
    pub format: Option<String>,
    /// Where a group without a position begins.
    pub start: Start,
    /// Seconds at the end of a partition after which it is not waited for any more.
    pub idle_seconds: u32,
    /// Seconds of traffic by which a partition may be ahead of the slowest before it is paused.
    pub ahead_seconds: u32,
    /// Least seconds between two snapshots, after which offsets are committed; 0: one per window.
    pub snapshot_seconds: u32,
    /// Seconds after a worker's last sign of life at which another one takes over.
    pub lease_seconds: u32,
    /// Seconds without a message although there are some, after which the connection is made anew.
    pub stuck_seconds: u32,
    /// Megabytes of messages that are fetched ahead.
    pub queue_megabytes: u32,
    /// User and password; none when absent.
    pub sasl: Option<Sasl>,
    /// Encryption; none when absent.
    pub ssl: Option<Ssl>,
}

impl Default for KafkaInput {
    fn default() -> Self {
        Self {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            topics: vec!["flows".to_owned()],
            group_id: "flowsentry".to_owned(),
            partials_topic: None,
            client_id: "flowsentry".to_owned(),
            format: None,
            start: Start::default(),
            idle_seconds: 30,
            ahead_seconds: 600,
            snapshot_seconds: 10,
            lease_seconds: 30,
            stuck_seconds: 300,
            queue_megabytes: 64,
            sasl: None,
            ssl: None,
        }
    }
}

impl KafkaInput {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        let key = |name: &str| format!("input.kafka.{name}");
        for (name, list) in [("brokers", &self.brokers), ("topics", &self.topics)] {
            if list.is_empty() || list.iter().any(|entry| entry.trim().is_empty()) {
                return Err(SettingError::new(key(name), "must name at least one, none empty"));
            }
        }
        for (name, text) in [("group_id", &self.group_id), ("client_id", &self.client_id)] {
            if text.trim().is_empty() {
                return Err(SettingError::new(key(name), "must not be empty"));
            }
        }
        if let Some(topic) = &self.partials_topic {
            if !Self::is_topic(topic) {
                let problem = "must be the name of a topic: letters, digits, `.`, `_` and `-`";
                return Err(SettingError::new(key("partials_topic"), problem));
            }
            if self.topics.contains(topic) {
                let problem = "must not be one of `input.kafka.topics`";
                return Err(SettingError::new(key("partials_topic"), problem));
            }
        }
        let ranges = [
            ("idle_seconds", self.idle_seconds, 1, 86_400),
            ("ahead_seconds", self.ahead_seconds, 60, 86_400),
            ("snapshot_seconds", self.snapshot_seconds, 0, 3_600),
            ("lease_seconds", self.lease_seconds, 5, 3_600),
            ("stuck_seconds", self.stuck_seconds, 30, 86_400),
            ("queue_megabytes", self.queue_megabytes, 1, MOST_QUEUE_MEGABYTES),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let problem = format!("must lie between {least} and {most}, got {value}");
                return Err(SettingError::new(key(name), problem));
            }
        }
        self.sasl.as_ref().map_or(Ok(()), Sasl::check)?;
        match &self.ssl {
            Some(ssl) if ssl.certificate.is_some() != ssl.key.is_some() => {
                Err(SettingError::new(key("ssl.certificate"), "needs `ssl.key`, and the key it"))
            }
            _ => Ok(()),
        }
    }
}

impl KafkaInput {
    /// Whether `text` can be the name of a topic.
    pub fn is_topic(text: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (1..=249).contains(&text.len()) && text.chars().all(is_plain)
    }

    /// Whether an entry of `topics` may mean the topic `name`. Says yes of a pattern in case of doubt:
    /// only the letters and digits that it begins with are looked at.
    pub fn may_mean(entry: &str, name: &str) -> bool {
        let Some(pattern) = entry.strip_prefix('^') else { return entry == name };
        let is_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let end = pattern.find(|c| !is_literal(c)).unwrap_or(pattern.len());
        let (begin, rest) = pattern.split_at(end);
        // What follows may take the last letter back, and `|` everything.
        let begin = match rest.chars().next() {
            Some('?' | '*' | '{') => begin.split_at(begin.len().saturating_sub(1)).0,
            _ => begin,
        };
        pattern.contains('|') || name.starts_with(begin)
    }
}

/// Where a group without a position begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message that is there.
    #[default]
    Earliest,
    /// With the next message that comes.
    Latest,
    /// With the first message that was written at this time or later.
    At(Timestamp),
}

impl Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::At(time) => time.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::At).map_err(|_| {
                let message = "must be `earliest`, `latest` or a time like 2026-11-21T10:00:00Z";
                serde::de::Error::custom(format!("`start` {message}, got `{text}`"))
            }),
        }
    }
}

/// Settings under `input.kafka.sasl:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How the password is shown to the broker.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// User name.
    pub username: String,
    /// Password: give it as `${VARIABLE}`, or use `password_file`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// File that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl Sasl {
    fn check(&self) -> Result<(), SettingError> {
        if self.password.is_some() == self.password_file.is_some() {
            let problem = "or `password_file` must be set, and only one of them";
            return Err(SettingError::new("input.kafka.sasl.password", problem));
        }
        Ok(())
    }
}

/// How a password is shown to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// In clear: only with `ssl`.
    #[serde(rename = "plain")]
    Plain,
    /// Salted challenge response with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// Salted challenge response with SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Mechanism {
    /// The name in the protocol.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Settings under `input.kafka.ssl:`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ssl {
    /// File (PEM) of authorities to trust; those of the system when absent.
    pub certificate_authority: Option<PathBuf>,
    /// File (PEM) of the client certificate.
    pub certificate: Option<PathBuf>,
    /// File (PEM) of the client certificate's key.
    pub key: Option<PathBuf>,
    /// Whether the broker's certificate is checked: `full`, or `none` (for tests only).
    pub verification_mode: crate::stores::VerificationMode,
}
