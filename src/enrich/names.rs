//! The file of names: exporters, their interfaces, networks.
//!
//! ```yaml
//! exporters:
//!   192.0.2.1: {name: core-1, interfaces: {1: uplink, 2: lab}}
//! networks:
//!   10.0.0.0/8: Berlin
//!   10.1.0.0/16: Berlin, floor 1      # of nested networks the inner one counts
//! ```
//!
//! The Logstash pipeline reads the same file (`logstash/names.conf`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::{PrefixMap, canonical_net};

use super::{clean, put};

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// It is not text, or of another form; with the line.
    #[error(transparent)]
    Form(#[from] serde_yaml_ng::Error),
    /// A key under `exporters` is no address.
    #[error("`{0}` under `exporters` is no address")]
    Address(String),
    /// A key under `networks` is neither address nor prefix.
    #[error("`{0}` under `networks` is neither an address nor a prefix such as `10.0.0.0/8`")]
    Network(String),
    /// A key under `interfaces` is no index.
    #[error("`{index}` under `interfaces` of exporter `{exporter}` is no SNMP index")]
    Interface {
        /// The exporter.
        exporter: String,
        /// The key.
        index: String,
    },
    /// A name is empty.
    #[error("the name of `{0}` is empty")]
    Empty(String),
    /// Two keys say the same.
    #[error("`{0}` has two names")]
    Twice(String),
}

/// The names of a file.
#[derive(Debug, Default)]
pub(super) struct Names {
    exporters: HashMap<IpAddr, Exporter>,
    networks: PrefixMap<String>,
}

#[derive(Debug)]
struct Exporter {
    name: Option<String>,
    interfaces: HashMap<u32, String>,
}

/// The file as it is written. Keys and names are texts, even where YAML would see a number.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    exporters: BTreeMap<String, ExporterEntry>,
    networks: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExporterEntry {
    name: Option<String>,
    interfaces: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NamesError> {
        let file: Option<File> = serde_yaml_ng::from_slice(bytes)?;
        let file = file.unwrap_or_default();
        Ok(Self { exporters: exporters(file.exporters)?, networks: networks(file.networks)? })
    }

    /// The name of the smallest network around an address.
    pub(super) fn network(&self, ip: IpAddr) -> Option<&str> {
        self.networks.get(ip).map(String::as_str)
    }

    /// Adds the names of an exporter and of its interfaces to the object `observer`.
    pub(super) fn add_to(&self, observer: &mut Map<String, Value>, ip: IpAddr) {
        let Some(exporter) = self.exporters.get(&ip) else { return };
        if let Some(name) = &exporter.name {
            put(observer, &["name"], name.as_str());
        }
        for side in ["ingress", "egress"] {
            let index = observer.get(side).and_then(|side| side["interface"]["id"].as_str());
            let index = index.and_then(|index| index.parse::<u32>().ok());
            if let Some(name) = index.and_then(|index| exporter.interfaces.get(&index)) {
                put(observer, &[side, "interface", "name"], name.as_str());
            }
        }
    }
}

fn exporters(
    entries: BTreeMap<String, ExporterEntry>,
) -> Result<HashMap<IpAddr, Exporter>, NamesError> {
    let mut exporters = HashMap::new();
    for (key, entry) in entries {
        let Ok(ip) = key.parse::<IpAddr>() else { return Err(NamesError::Address(key)) };
        let name = entry.name.map(|name| named(&key, &name)).transpose()?;
        let interfaces = interfaces(&key, entry.interfaces)?;
        match exporters.entry(ip.to_canonical()) {
            Entry::Occupied(_) => return Err(NamesError::Twice(key)),
            Entry::Vacant(place) => place.insert(Exporter { name, interfaces }),
        };
    }
    Ok(exporters)
}

fn interfaces(
    exporter: &str,
    entries: BTreeMap<String, String>,
) -> Result<HashMap<u32, String>, NamesError> {
    let mut interfaces = HashMap::new();
    for (index, name) in entries {
        let name = named(&format!("{exporter}, interface {index}"), &name)?;
        let Ok(number) = index.parse() else {
            return Err(NamesError::Interface { exporter: exporter.to_owned(), index });
        };
        interfaces.insert(number, name);
    }
    Ok(interfaces)
}

fn networks(entries: BTreeMap<String, String>) -> Result<PrefixMap<String>, NamesError> {
    let mut nets = Vec::new();
    for (key, name) in entries {
        let net = key.parse::<IpNet>().or_else(|_| key.parse::<IpAddr>().map(IpNet::from));
        let Ok(net) = net.map(canonical_net) else { return Err(NamesError::Network(key)) };
        let name = named(&key, &name)?;
        nets.push((net, name));
    }
    nets.sort();
    if let Some(pair) = nets.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(NamesError::Twice(pair[0].0.to_string()));
    }
    Ok(nets.into_iter().collect())
}

fn named(key: &str, name: &str) -> Result<String, NamesError> {
    clean(name).ok_or_else(|| NamesError::Empty(key.to_owned()))
}
