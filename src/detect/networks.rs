//! Which addresses are inside: the direction of exfiltration, new peers and lateral movement.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{PrefixMap, SettingError};

/// Settings under `networks:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Prefixes of our own hosts. Public ones belong here too.
    pub internal: Vec<String>,
}

/// Private (RFC 1918), shared (RFC 6598), link-local and unique local addresses.
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

impl Default for Settings {
    fn default() -> Self {
        Self { internal: PRIVATE.map(String::from).to_vec() }
    }
}

impl Settings {
    /// Checks every prefix.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        self.networks().map(drop)
    }

    /// Returns the networks.
    ///
    /// # Errors
    /// Names the key of the first that is no prefix.
    pub fn networks(&self) -> Result<InternalNetworks, SettingError> {
        let nets = self.internal.iter().enumerate().map(|(place, text)| {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            let problem = || format!("must be a prefix like 10.0.0.0/8, got `{text}`");
            net.map(|net| (net, ()))
                .map_err(|_| SettingError::new(format!("networks.internal[{place}]"), problem()))
        });
        Ok(InternalNetworks(Arc::new(nets.collect::<Result<_, _>>()?)))
    }
}

/// The prefixes of our own hosts.
#[derive(Clone, Debug)]
pub struct InternalNetworks(Arc<PrefixMap<()>>);

impl Default for InternalNetworks {
    fn default() -> Self {
        Settings::default().networks().expect("the default prefixes are prefixes")
    }
}

impl InternalNetworks {
    /// Whether the address is one of ours.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.get(ip).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_inside_unless_told_otherwise() {
        let inside = InternalNetworks::default();
        let ip = |text: &str| text.parse().unwrap();
        assert!(inside.contains(ip("10.1.2.3")) && inside.contains(ip("::ffff:10.1.2.3")));
        assert!(inside.contains(ip("fd00::1")) && !inside.contains(ip("8.8.8.8")));
        let own = Settings { internal: vec!["64.225.56.201".into(), "203.0.113.0/24".into()] };
        let own = own.networks().unwrap();
        assert!(own.contains(ip("203.0.113.7")) && !own.contains(ip("10.1.2.3")));
    }

    #[test]
    fn what_is_no_prefix_is_named() {
        let settings = Settings { internal: vec!["10.0.0.0/8".into(), "ten".into()] };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "setting `networks.internal[1]` must be a prefix like 10.0.0.0/8, got `ten`"
        );
    }
}
