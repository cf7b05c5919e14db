//! Places and names for the addresses of documents.
//!
//! ```text
//! MaxMind databases ─ places ─┐
//! file of names ───── names ──┴→ Enricher ─ add_to(document)
//! ```
//!
//! Documents only: ids, detection and everything that is judged stay as they are.

mod names;
mod places;
mod shared;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{SettingError, is_unprintable};

use names::Names;
use places::{Database, Place};

pub use names::NamesError;
pub use shared::SharedEnricher;

/// The longest name that is taken over, in characters.
const LONGEST_NAME: usize = 256;

/// Settings under `enrichment:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Databases in MaxMind's format (`.mmdb`): City, Country, ASN, or others of the same layout; of
    /// several that know an address the first one counts. Held in memory, read again when they
    /// change.
    pub geoip: Vec<PathBuf>,
    /// File (YAML or JSON) of names of exporters, their interfaces, and networks; read again when it
    /// changes.
    pub names: Option<PathBuf>,
}

impl Settings {
    /// Every file, in the order of the settings; empty = nothing is added to documents.
    pub fn files(&self) -> Vec<PathBuf> {
        self.geoip.iter().chain(&self.names).cloned().collect()
    }

    /// Checks the settings without a look at the files.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        let has_no_path = |path: &PathBuf| path.as_os_str().is_empty();
        if self.geoip.iter().any(has_no_path) {
            return Err(SettingError::new("enrichment.geoip", "must not hold an empty path"));
        }
        if self.names.as_ref().is_some_and(has_no_path) {
            return Err(SettingError::new("enrichment.names", "must not be an empty path"));
        }
        Ok(())
    }
}

/// A file of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// It cannot be read.
    #[error("setting `{key}`: cannot read `{}`", path.display())]
    Read {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no MaxMind database.
    #[error("setting `enrichment.geoip`: `{}` is no MaxMind database: {problem}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is no file of names.
    #[error("setting `enrichment.names`: `{}`", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NamesError,
    },
}

/// Adds places and names to documents.
#[derive(Debug, Default)]
pub struct Enricher {
    databases: Vec<Database>,
    names: Names,
}

impl Enricher {
    /// Reads the files of the settings.
    ///
    /// # Errors
    /// The first file that is missing or is something else, with its key.
    pub fn read(settings: &Settings) -> Result<Self, EnrichError> {
        let mut enricher = Self::default();
        for path in &settings.geoip {
            let database = Database::parse(read("enrichment.geoip", path)?)
                .map_err(|problem| EnrichError::Database { path: path.clone(), problem })?;
            enricher.databases.push(database);
        }
        if let Some(path) = &settings.names {
            enricher.names = Names::parse(&read("enrichment.names", path)?)
                .map_err(|source| EnrichError::Names { path: path.clone(), source })?;
        }
        Ok(enricher)
    }

    /// Adds what is known of `source.ip`, `destination.ip` and `observer.ip` of an ECS document:
    /// `geo.*` and `as.*` beside the first two, `observer.name`, and names of interfaces beside
    /// their numbers. What is not known changes nothing.
    pub fn add_to(&self, document: &mut Value) {
        for end in ["source", "destination"] {
            if let Some((ip, object)) = address_of(document, end) {
                let mut place = Place::default();
                self.databases.iter().for_each(|database| place.complete(database.place(ip)));
                place.add_to(object);
                if let Some(name) = self.names.network(ip) {
                    put(object, &["geo", "name"], name);
                }
            }
        }
        if let Some((ip, observer)) = address_of(document, "observer") {
            self.names.add_to(observer, ip);
        }
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, EnrichError> {
    fs::read(path).map_err(|source| EnrichError::Read { key, path: path.to_owned(), source })
}

/// The object `name` of a document with the address in it.
fn address_of<'a>(
    document: &'a mut Value,
    name: &str,
) -> Option<(IpAddr, &'a mut Map<String, Value>)> {
    let object = document.get_mut(name)?.as_object_mut()?;
    let ip = object.get("ip")?.as_str()?.parse::<IpAddr>().ok()?;
    Some((ip.to_canonical(), object))
}

/// Sets the value at a path of names, unless something that is no object stands in its way.
fn put(object: &mut Map<String, Value>, path: &[&str], value: impl Into<Value>) {
    match path {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), value.into());
        }
        [name, rest @ ..] => {
            let inner = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Returns a name as one line that reads the way it is written, cut to 256 characters; `None` when
/// nothing is left. Names come from files of others.
fn clean(name: &str) -> Option<String> {
    let shown = |character| if is_unprintable(character) { '\u{fffd}' } else { character };
    let name: String = name.trim().chars().map(shown).take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}
