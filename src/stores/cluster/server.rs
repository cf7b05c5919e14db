//! Which server it is: product and version, as `GET /` tells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A product with the search interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
}

impl Flavour {
    /// The name of the product.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }

    /// The key of its settings.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Elasticsearch => "output.elasticsearch",
            Self::OpenSearch => "output.opensearch",
        }
    }
}

/// A version, for example `8.19.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerVersion {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl ServerVersion {
    /// Returns the version of the three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

/// The text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as `8.19.0`")]
pub struct InvalidVersion(String);

/// Reads `8`, `8.19`, `8.19.2` and `8.19.2-SNAPSHOT`.
impl FromStr for ServerVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.chars().take(32).collect());
        let numbers = text.split('-').next().unwrap_or_default();
        let mut parts = [0_u16; 3];
        for (at, part) in numbers.split('.').enumerate() {
            *parts.get_mut(at).ok_or_else(invalid)? = part.parse().map_err(|_| invalid())?;
        }
        Ok(Self::new(parts[0], parts[1], parts[2]))
    }
}

impl TryFrom<String> for ServerVersion {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<ServerVersion> for String {
    fn from(version: ServerVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A server, as far as requests and templates depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Product.
    pub flavour: Flavour,
    /// Version.
    pub version: ServerVersion,
    /// Whether it is Elastic's serverless offer, which has no lifecycle policies and no say over
    /// shards.
    pub serverless: bool,
}

impl Server {
    /// Returns an ordinary server.
    pub const fn new(flavour: Flavour, version: ServerVersion) -> Self {
        Self { flavour, version, serverless: false }
    }

    /// Whether it is Elasticsearch of this version or newer.
    pub fn is_elasticsearch_from(&self, major: u16, minor: u16) -> bool {
        self.flavour == Flavour::Elasticsearch
            && self.version >= ServerVersion::new(major, minor, 0)
    }

    /// Whether it is OpenSearch of this version or newer.
    pub fn is_opensearch_from(&self, major: u16, minor: u16) -> bool {
        self.flavour == Flavour::OpenSearch && self.version >= ServerVersion::new(major, minor, 0)
    }

    /// Reads the answer to `GET /`; `None` when neither product answers like that.
    ///
    /// OpenSearch 1 can be told to call itself 7.10.2; its greeting still gives it away, and it is
    /// taken for the oldest OpenSearch then.
    pub fn from_root(answer: &Value) -> Option<Self> {
        let version = answer.get("version")?;
        let number: ServerVersion = version.get("number")?.as_str()?.parse().ok()?;
        let greeting = answer.get("tagline").and_then(Value::as_str).unwrap_or_default();
        let distribution = version.get("distribution").and_then(Value::as_str);
        if distribution == Some("opensearch") {
            return Some(Self::new(Flavour::OpenSearch, number));
        }
        if greeting.contains("OpenSearch") {
            return Some(Self::new(Flavour::OpenSearch, ServerVersion::new(1, 0, 0)));
        }
        let build = version.get("build_flavor").and_then(Value::as_str);
        if build.is_none() && !greeting.contains("for Search") {
            return None;
        }
        let serverless = build == Some("serverless");
        Some(Self { flavour: Flavour::Elasticsearch, version: number, serverless })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavour.name(), self.version)?;
        if self.serverless { f.write_str(" (serverless)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_are_told_apart_by_more_than_the_number() {
        let read = |version: Value, tagline: &str| {
            Server::from_root(&json!({"version": version, "tagline": tagline}))
                .map(|server| server.to_string())
        };
        let elastic = "You Know, for Search";
        let open = "The OpenSearch Project: https://opensearch.org/";
        assert_eq!(
            read(json!({"number": "8.19.21", "build_flavor": "default"}), elastic).unwrap(),
            "Elasticsearch 8.19.21"
        );
        assert_eq!(
            read(json!({"number": "8.11.0", "build_flavor": "serverless"}), elastic).unwrap(),
            "Elasticsearch 8.11.0 (serverless)"
        );
        assert_eq!(
            read(json!({"number": "3.8.0", "distribution": "opensearch"}), open).unwrap(),
            "OpenSearch 3.8.0"
        );
        assert_eq!(read(json!({"number": "7.10.2"}), open).unwrap(), "OpenSearch 1.0.0");
        assert_eq!(read(json!({"number": "1.2.3"}), "hello"), None);
        assert_eq!(Server::from_root(&json!([])), None);
    }

    #[test]
    fn versions_are_read_with_and_without_their_small_parts() {
        let read = |text: &str| text.parse::<ServerVersion>().map(|version| version.to_string());
        assert_eq!(read("9").unwrap(), "9.0.0");
        assert_eq!(read("8.19.2-SNAPSHOT").unwrap(), "8.19.2");
        for text in ["", "eight", "8.", "8.1.2.3", "-1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
