//! Settings of a cluster as store.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::server::ServerVersion;
use crate::model::{Secret, SettingError};

/// Settings under `output.elasticsearch:` and `output.opensearch:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Addresses of the nodes, `http://` or `https://`; asked in turn, silent ones are left out for
    /// a while.
    pub hosts: Vec<String>,
    /// User name.
    pub username: Option<String>,
    /// Password: give it as `${VARIABLE}`, or use `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// API key, `id:key` or encoded: give it as `${VARIABLE}`, or use `api_key_file`.
    pub api_key: Option<Secret>,
    /// File that holds the API key.
    pub api_key_file: Option<PathBuf>,
    /// `ssl.*`.
    pub ssl: SslSettings,
    /// Version of the server, for example `8.19.0`; asked from the server when absent.
    pub version: Option<ServerVersion>,
    /// Most seconds that one request may take (1–3,600).
    pub timeout_seconds: u32,
    /// Most seconds that a request is repeated while no node takes it (0–86,400). 0 tries once.
    pub retry_seconds: u32,
    /// Most documents of one bulk request (1–100,000).
    pub bulk_max_documents: usize,
    /// Most bytes of one bulk request before compression (1,024–90,000,000). Elasticsearch takes
    /// 100 MB at most.
    pub bulk_max_bytes: usize,
    /// Bulk requests on their way at the same time (1–16). Each costs up to `bulk_max_bytes`.
    pub bulk_workers: usize,
    /// How hard request bodies are compressed: 0 (not at all) to 9.
    pub compression_level: u32,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            hosts: vec!["http://127.0.0.1:9200".to_owned()],
            username: None,
            password: None,
            password_file: None,
            api_key: None,
            api_key_file: None,
            ssl: SslSettings::default(),
            version: None,
            timeout_seconds: 90,
            retry_seconds: 120,
            bulk_max_documents: 1_600,
            bulk_max_bytes: 10_485_760,
            bulk_workers: 2,
            compression_level: 1,
        }
    }
}

/// Settings under `ssl:`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SslSettings {
    /// Files (PEM) of authorities to trust beside those of the system.
    pub certificate_authorities: Vec<PathBuf>,
    /// File (PEM) of the client certificate.
    pub certificate: Option<PathBuf>,
    /// File (PEM) of the client certificate's key, without a pass phrase.
    pub key: Option<PathBuf>,
    /// How much of the server's certificate is checked.
    pub verification_mode: VerificationMode,
}

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationMode {
    /// Its signature, dates and host name.
    #[default]
    Full,
    /// Nothing: whoever answers is believed. For tests only.
    None,
}

impl ClusterSettings {
    /// Checks every value without touching anything outside; `key` is the path of these settings.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self, key: &str) -> Result<(), SettingError> {
        let wrong =
            |name: &str, problem: String| Err(SettingError::new(format!("{key}.{name}"), problem));
        if self.hosts.is_empty() {
            return wrong("hosts", "must name at least one address".to_owned());
        }
        for host in &self.hosts {
            let rest = host.strip_prefix("http://").or_else(|| host.strip_prefix("https://"));
            match rest {
                Some(rest) if rest.is_empty() || rest.contains(char::is_whitespace) => {
                    return wrong("hosts", format!("has an address without a host: `{host}`"));
                }
                // The address is printed in messages, and a secret would be as well.
                Some(rest) if rest.split('/').next().is_some_and(|rest| rest.contains('@')) => {
                    let problem = "must not hold a user or password, set `username` and `password`";
                    return wrong("hosts", problem.to_owned());
                }
                Some(_) => {}
                None => {
                    let problem = format!("must begin with `http://` or `https://`, got `{host}`");
                    return wrong("hosts", problem);
                }
            }
        }
        let password = [self.password.is_some(), self.password_file.is_some()];
        let api_key = [self.api_key.is_some(), self.api_key_file.is_some()];
        if password == [true, true] {
            return wrong("password", "and `password_file` exclude each other".to_owned());
        }
        if api_key == [true, true] {
            return wrong("api_key", "and `api_key_file` exclude each other".to_owned());
        }
        if api_key.contains(&true) && (self.username.is_some() || password.contains(&true)) {
            return wrong("api_key", "and `username` exclude each other".to_owned());
        }
        if self.username.is_some() != password.contains(&true) {
            return wrong("username", "and the password need each other".to_owned());
        }
        if self.ssl.certificate.is_some() != self.ssl.key.is_some() {
            return wrong("ssl.certificate", "and `ssl.key` need each other".to_owned());
        }
        let ranges = [
            ("timeout_seconds", self.timeout_seconds as usize, 1, 3_600),
            ("retry_seconds", self.retry_seconds as usize, 0, 86_400),
            ("bulk_max_documents", self.bulk_max_documents, 1, 100_000),
            ("bulk_max_bytes", self.bulk_max_bytes, 1_024, 90_000_000),
            ("bulk_workers", self.bulk_workers, 1, 16),
            ("compression_level", self.compression_level as usize, 0, 9),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return wrong(name, format!("must lie between {least} and {most}, got {value}"));
            }
        }
        Ok(())
    }

    /// The password, from its file where there is one.
    pub(super) fn read_password(&self) -> Result<Option<Secret>, SettingError> {
        read_secret(self.password.as_ref(), self.password_file.as_ref(), "password_file")
    }

    /// The API key, from its file where there is one.
    pub(super) fn read_api_key(&self) -> Result<Option<Secret>, SettingError> {
        read_secret(self.api_key.as_ref(), self.api_key_file.as_ref(), "api_key_file")
    }
}

/// Returns a secret that stands in the settings or in a file, without the file's last line end.
///
/// # Errors
/// When the file cannot be read; names `key`.
pub fn read_secret(
    secret: Option<&Secret>,
    file: Option<&PathBuf>,
    key: &str,
) -> Result<Option<Secret>, SettingError> {
    let Some(path) = file else { return Ok(secret.cloned()) };
    let text = fs::read_to_string(path).map_err(|error| {
        SettingError::new(key, format!("cannot be read from `{}`: {error}", path.display()))
    })?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}
