//! Settings under `dead_letters:`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::SettingError;
use crate::sources::kafka::KafkaInput;

/// Settings under `dead_letters:`. What could not be used is only counted without any of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterSettings {
    /// File that letters are appended to, one JSON object a line.
    pub path: Option<PathBuf>,
    /// Topic of the brokers of `input.kafka`.
    pub topic: Option<String>,
    /// Whether they go to the store of `output`.
    pub index: bool,
}

impl DeadLetterSettings {
    /// Checks that there is one place at most, and that no worker would read its own letters.
    pub(super) fn check(&self, kafka: Option<&KafkaInput>) -> Result<(), SettingError> {
        let set =
            [("path", self.path.is_some()), ("topic", self.topic.is_some()), ("index", self.index)];
        let set: Vec<&str> =
            set.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
        if let [first, second, ..] = set.as_slice() {
            let problem = format!(
                "and `dead_letters.{second}` exclude each other: letters have one place, remove \
                 one of the two"
            );
            return Err(SettingError::new(format!("dead_letters.{first}"), problem));
        }
        let Some(topic) = &self.topic else { return Ok(()) };
        let refused = |problem: String| Err(SettingError::new("dead_letters.topic", problem));
        if !KafkaInput::is_topic(topic) {
            return refused(
                "must be the name of a topic: letters, digits, `.`, `_` and `-`".into(),
            );
        }
        let Some(kafka) = kafka else {
            return refused("needs `input.kafka`: the topic is one of its brokers".into());
        };
        if kafka.partials_topic.as_ref() == Some(topic) {
            return refused("must not be `input.kafka.partials_topic`".into());
        }
        match kafka.topics.iter().find(|read| KafkaInput::may_mean(read, topic)) {
            Some(read) if read == topic => {
                refused("must not be one of `input.kafka.topics`".into())
            }
            Some(read) => refused(format!(
                "may be read by the pattern `{read}` of `input.kafka.topics`: take a name that \
                 begins differently"
            )),
            None => Ok(()),
        }
    }
}
