//! Databases in MaxMind's format: countries, cities, autonomous systems by address.

use std::net::IpAddr;

use maxminddb::{LookupResult, PathElement, Reader};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::{clean, put};

/// The paths under which databases keep a value, MaxMind's own first, then the flat ones of others.
type Paths = &'static [&'static [&'static str]];

const COUNTRY_CODE: Paths = &[&["country", "iso_code"], &["country_code"], &["country"]];
const COUNTRY_NAME: Paths = &[&["country", "names", "en"], &["country_name"], &["country"]];
const CITY: Paths = &[&["city", "names", "en"], &["city"]];
const ORGANIZATION: Paths = &[&["autonomous_system_organization"], &["as_name"]];

/// One database.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
}

/// Where an address is and who announces it, as the ECS objects `geo` and `as`. Each comes from one
/// database: parts of it that two of them say would not fit.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Place {
    geo: Map<String, Value>,
    system: Map<String, Value>,
}

impl Database {
    /// Reads a database; an error says what is wrong with it. Its records are looked at when they
    /// are asked for.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        match Reader::from_source(bytes) {
            Ok(reader) => Ok(Self { reader }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What the database says of an address; a damaged value is none.
    pub(super) fn place(&self, ip: IpAddr) -> Place {
        let Ok(found) = self.reader.lookup(ip) else { return Place::default() };
        if !found.has_data() {
            return Place::default();
        }
        let record = Record(found);
        Place { geo: record.geo(), system: record.system() }
    }
}

/// Some databases call either the code or the name `country`.
fn is_country_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// One record, of which only what is asked for is decoded.
struct Record<'a>(LookupResult<'a, Vec<u8>>);

impl<'a> Record<'a> {
    fn value<T: Deserialize<'a>>(&self, path: &[&str]) -> Option<T> {
        let path: Vec<_> = path.iter().map(|name| PathElement::Key(name)).collect();
        self.0.decode_path(&path).ok().flatten()
    }

    /// A number of whatever type: makers differ in that.
    fn number(&self, path: &[&str]) -> Option<Number> {
        self.value(path)
    }

    fn text(&self, paths: Paths, fits: impl Fn(&str) -> bool) -> Option<String> {
        let texts = paths.iter().filter_map(|path| self.value::<&str>(path));
        texts.filter_map(clean).find(|text| fits(text))
    }

    fn geo(&self) -> Map<String, Value> {
        let mut geo = Map::new();
        let texts = [
            ("country_iso_code", self.text(COUNTRY_CODE, is_country_code)),
            ("country_name", self.text(COUNTRY_NAME, |name| !is_country_code(name))),
            ("city_name", self.text(CITY, |_| true)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                put(&mut geo, &[name], text);
            }
        }
        let degrees = |name, limit: f64| {
            let value = self.number(&["location", name])?.as_f64()?;
            (value.abs() <= limit).then_some(value)
        };
        if let (Some(lat), Some(lon)) = (degrees("latitude", 90.0), degrees("longitude", 180.0)) {
            put(&mut geo, &["location"], json!({ "lat": lat, "lon": lon }));
        }
        geo
    }

    fn system(&self) -> Map<String, Value> {
        let mut system = Map::new();
        let number = self.number(&["autonomous_system_number"]).and_then(|number| number.as_u64());
        let number = number.or_else(|| {
            let text: &str = self.value(&["asn"])?;
            text.strip_prefix("AS").unwrap_or(text).parse().ok()
        });
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
            return system;
        };
        put(&mut system, &["number"], number);
        if let Some(name) = self.text(ORGANIZATION, |_| true) {
            put(&mut system, &["organization", "name"], name);
        }
        system
    }
}

impl Place {
    /// Fills what is not known yet.
    pub(super) fn complete(&mut self, other: Self) {
        if self.geo.is_empty() {
            self.geo = other.geo;
        }
        if self.system.is_empty() {
            self.system = other.system;
        }
    }

    /// Adds the place to one end of a document.
    pub(super) fn add_to(self, end: &mut Map<String, Value>) {
        for (object, values) in [("geo", self.geo), ("as", self.system)] {
            for (name, value) in values {
                put(end, &[object, &name], value);
            }
        }
    }
}
