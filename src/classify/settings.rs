//! Settings of learned models, `models.*`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::SettingError;
use crate::models::shipped;
use crate::sources::kafka::KafkaInput;

/// What stands before the alias of a model in the store.
const STORED: &str = "store:";

/// Settings under `models:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Seconds after which a worker looks whether another model was promoted, or a file has changed;
    /// 1–3,600.
    pub refresh_seconds: u32,
    /// By how much a figure of a model may be worse than that of the model whose place it takes, 0–1.
    pub worse_by: f64,
    /// Topics of records that a model judges.
    pub classify: Vec<ClassifySettings>,
    /// When the models under `retrain` are learned anew: a cron expression in UTC. One worker does
    /// it; a model that fails the gate changes nothing.
    pub retrain_schedule: String,
    /// Models that are learned anew by the clock.
    pub retrain: Vec<RetrainSettings>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            refresh_seconds: 10,
            worse_by: 0.005,
            classify: Vec::new(),
            // Sunday night, when little else is done.
            retrain_schedule: "30 2 * * 0".to_owned(),
            retrain: Vec::new(),
        }
    }
}

/// Settings of one entry under `models.classify:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifySettings {
    /// The name in documents and ids.
    pub name: String,
    /// The model: `kdd`, `store:ALIAS`, or a file.
    pub model: ModelName,
    /// Where records come from.
    pub kafka: KafkaInput,
}

/// Settings of one entry under `models.retrain:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainSettings {
    /// The alias whose model is learned anew.
    pub alias: String,
    /// What the columns mean: the name of a schema, or a schema file.
    pub schema: String,
    /// Files with labelled rows.
    pub data: Vec<PathBuf>,
    /// Parameters; those of `train` when absent.
    #[serde(default)]
    pub params: Option<PathBuf>,
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ModelName {
    /// The one that is built in.
    Shipped,
    /// The one in the store that an alias stands for.
    Alias(String),
    /// A file.
    File(PathBuf),
}

impl From<String> for ModelName {
    fn from(text: String) -> Self {
        match text.strip_prefix(STORED) {
            Some(alias) => Self::Alias(alias.to_owned()),
            None if text == shipped::NAME && !PathBuf::from(&text).exists() => Self::Shipped,
            None => Self::File(text.into()),
        }
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shipped => f.write_str(shipped::NAME),
            Self::Alias(alias) => write!(f, "{STORED}{alias}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl ModelSettings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        if !(1..=3_600).contains(&self.refresh_seconds) {
            let problem = format!("must lie between 1 and 3600, got {}", self.refresh_seconds);
            return Err(SettingError::new("models.refresh_seconds", problem));
        }
        if !(0.0..=1.0).contains(&self.worse_by) {
            let problem = format!("must lie between 0 and 1, got {}", self.worse_by);
            return Err(SettingError::new("models.worse_by", problem));
        }
        for (n, entry) in self.classify.iter().enumerate() {
            let is_taken = self.classify[..n].iter().any(|other| other.name == entry.name);
            if entry.name.trim().is_empty() || is_taken {
                let problem = "must not be empty, and no two entries may share it";
                return Err(SettingError::new(format!("models.classify[{n}].name"), problem));
            }
            if let Err(error) = entry.kafka.check() {
                let problem = format!("is wrong: {error}");
                return Err(SettingError::new(format!("models.classify[{n}].kafka"), problem));
            }
        }
        for (n, entry) in self.retrain.iter().enumerate() {
            if entry.data.is_empty() {
                let key = format!("models.retrain[{n}].data");
                return Err(SettingError::new(key, "must name at least one file"));
            }
        }
        Ok(())
    }
}
