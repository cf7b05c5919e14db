//! `-E key=value` on the command line.

use std::str::FromStr;

use serde_yaml_ng::{Mapping, Value};

use super::Config;

/// One `-E key=value`; the value is read as YAML.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    key: String,
    value: Value,
}

/// Why an override cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// There is no `=`.
    #[error("`-E {0}` is not of the form key=value")]
    Form(String),
    /// Command lines are seen by everybody.
    #[error("`-E {0}=…` is refused: secrets come from the environment or from files only")]
    Secret(String),
    /// The value is not YAML, or does not fit the key.
    #[error("`-E {key}=…`: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
    },
}

/// Keys whose last part contains one of these hold secrets.
const SECRETS: &[&str] = &["password", "api_key", "secret", "token"];

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let (key, value) = text.split_once('=').ok_or_else(|| OverrideError::Form(text.into()))?;
        let key = key.trim().to_owned();
        if holds_secret(key.rsplit('.').next().unwrap_or_default()) {
            return Err(OverrideError::Secret(key));
        }
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(OverrideError::Form(text.into()));
        }
        let value = serde_yaml_ng::from_str(value).map_err(|error| OverrideError::Value {
            key: key.clone(),
            problem: error.to_string(),
        })?;
        match secret_within(&value) {
            Some(inner) => Err(OverrideError::Secret(format!("{key}.{inner}"))),
            None => Ok(Self { key, value }),
        }
    }
}

/// Whether the value of a key, the last part of its path, is a secret.
pub(super) fn holds_secret(key: &str) -> bool {
    !key.ends_with("_file") && SECRETS.iter().any(|secret| key.contains(secret))
}

/// The path of a secret in a value that has parts.
fn secret_within(value: &Value) -> Option<String> {
    let Value::Mapping(mapping) = value else { return None };
    mapping.iter().find_map(|(key, value)| {
        let key = key.as_str()?;
        if holds_secret(key) {
            return Some(key.to_owned());
        }
        secret_within(value).map(|inner| format!("{key}.{inner}"))
    })
}

/// Puts the overrides into the tree of the settings file and reads the whole, blaming the first
/// override without which it would have been fine.
pub(super) fn apply(mut tree: Value, overrides: &[Override]) -> Result<Config, OverrideError> {
    let mut config = None;
    for one in overrides {
        let blame = |problem: String| OverrideError::Value { key: one.key.clone(), problem };
        put(&mut tree, &one.key, one.value.clone()).map_err(blame)?;
        let read =
            serde_yaml_ng::from_value(tree.clone()).map_err(|error| blame(error.to_string()));
        config = Some(read?);
    }
    Ok(config.unwrap_or_default())
}

fn put(tree: &mut Value, key: &str, value: Value) -> Result<(), String> {
    let mut place = tree;
    for part in key.split('.') {
        if place.is_null() {
            *place = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(mapping) = place else {
            return Err(format!("`{part}` lies below a value that has no parts"));
        };
        place = mapping.entry(Value::from(part)).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}
