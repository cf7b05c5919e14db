//! What is known to be harmless: scope, expiry, owner, comment.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{Alert, Kind, SettingError, Timestamp};

/// One line under `alerts.exceptions:`. All given parts must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Only alerts of this kind; all kinds when absent.
    pub kind: Option<Kind>,
    /// Only subjects that send from this address or prefix.
    #[serde(default, serialize_with = "network_text", deserialize_with = "network")]
    pub source: Option<IpNet>,
    /// Only subjects that receive at this address or prefix.
    #[serde(default, serialize_with = "network_text", deserialize_with = "network")]
    pub destination: Option<IpNet>,
    /// The exception ends here; alerts that begin later are not covered. Never ends when absent.
    pub expires: Option<Timestamp>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it is harmless.
    pub comment: Option<String>,
}

impl Exception {
    /// Checks that the exception does not hide everything.
    pub(super) fn check(&self, key: &str) -> Result<(), SettingError> {
        if self.kind.is_none() && self.source.is_none() && self.destination.is_none() {
            let problem =
                "must name a `kind`, a `source` or a `destination`: it would hide every alert";
            return Err(SettingError::new(key, problem));
        }
        Ok(())
    }

    /// Whether this exception covers an alert.
    pub fn covers(&self, alert: &Alert) -> bool {
        let within = |network: Option<IpNet>, ip: Option<IpAddr>| match network {
            None => true,
            Some(network) => ip.is_some_and(|ip| network.contains(&ip)),
        };
        self.kind.is_none_or(|kind| kind == alert.kind)
            && within(self.source, alert.subject.source_ip())
            && within(self.destination, alert.subject.destination_ip())
            && self.expires.is_none_or(|expires| alert.first < expires)
    }
}

/// Reads an address or a prefix.
fn network<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(Some).map_err(|_| {
        serde::de::Error::custom(format!("`{text}` is no address or prefix such as 10.0.0.0/24"))
    })
}

fn network_text<S: serde::Serializer>(
    network: &Option<IpNet>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    network.map(|network| network.to_string()).serialize(serializer)
}

/// The scope, then who and why.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.map_or("any kind", Kind::name))?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if let Some(destination) = self.destination {
            write!(f, " to {destination}")?;
        }
        match (&self.owner, &self.comment) {
            (Some(owner), Some(comment)) => write!(f, " ({owner}: {comment})"),
            (Some(text), None) | (None, Some(text)) => write!(f, " ({text})"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_without_a_scope_is_refused() {
        let exception: Exception = serde_yaml_ng::from_str("comment: everything").unwrap();
        let error = exception.check("alerts.exceptions[0]").unwrap_err();
        assert!(error.to_string().starts_with("setting `alerts.exceptions[0]` must name a `kind`"));
    }

    #[test]
    fn a_wrong_prefix_is_named() {
        let error = serde_yaml_ng::from_str::<Exception>("source: 10.0.0.0/99").unwrap_err();
        assert!(error.to_string().contains("`10.0.0.0/99` is no address or prefix"));
    }
}
