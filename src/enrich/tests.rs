//! Places and names, from files that are written here.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testkit::{ip, mmdb};

fn city_record(code: &str, country: &str, city: &str) -> Value {
    json!({
        "city": {"geoname_id": 1, "names": {"de": "x", "en": city}},
        "country": {"iso_code": code, "names": {"en": country}, "is_in_european_union": true},
        "location": {"accuracy_radius": 20, "latitude": 52.5, "longitude": 13.25},
    })
}

fn city() -> Vec<u8> {
    mmdb::database(
        6,
        "GeoLite2-City",
        &[
            ("203.0.113.0/24", city_record("DE", "Germany", "Berlin")),
            ("203.0.113.128/25", json!({"country": {"iso_code": "FR"}})),
            ("2001:db8::/32", city_record("JP", "Japan", "Tōkyō")),
            ("198.51.100.0/24", city_record("de", "\u{1b}[31mX\u{202e}", " ")),
            ("192.0.2.0/24", json!({"country": 7, "city": ["x"], "location": {"latitude": 91.5}})),
        ],
    )
}

fn asn() -> Vec<u8> {
    let system = |number, name| json!({"autonomous_system_number": number, "autonomous_system_organization": name});
    mmdb::database(
        4,
        "GeoLite2-ASN",
        &[("203.0.113.0/24", system(64_500, "Example")), ("8.0.0.0/8", system(64_501, ""))],
    )
}

fn database(bytes: Vec<u8>) -> Database {
    Database::parse(bytes).unwrap()
}

fn enricher(databases: &[Vec<u8>], names: &str) -> Enricher {
    let databases = databases.iter().cloned().map(database).collect();
    Enricher { databases, names: Names::parse(names.as_bytes()).unwrap() }
}

/// What becomes of a document with `address` as its source.
fn source(enricher: &Enricher, address: &str) -> Value {
    let mut document = json!({"source": {"ip": address}});
    enricher.add_to(&mut document);
    document["source"].take()
}

const NAMES: &str = "
exporters:
  192.0.2.1:
    name: core-1
    interfaces: {1: uplink, 2: '7'}
  '2001:db8::1': {name: 42}
networks:
  10.0.0.0/8: Berlin
  10.1.0.0/16: Berlin, floor 1
  10.1.2.3: \"printer \\e[31m\"
  fd00::/8: no
";

#[test]
fn a_document_gets_every_field() {
    let enricher = enricher(&[city(), asn()], NAMES);
    let mut document = json!({
        "event": {"id": "1"},
        "source": {"ip": "203.0.113.7", "port": 5},
        "destination": {"ip": "10.1.9.9"},
        "observer": {
            "ip": "192.0.2.1",
            "ingress": {"interface": {"id": "1"}},
            "egress": {"interface": {"id": "9"}},
        },
    });
    enricher.add_to(&mut document);
    insta::assert_json_snapshot!(document);
}

#[test]
fn places_of_both_families_are_found_and_of_nested_prefixes_the_inner_one() {
    let enricher = enricher(&[city()], "");
    for (address, country) in [
        ("203.0.113.1", Some("DE")),
        ("::ffff:203.0.113.1", Some("DE")),
        ("203.0.113.200", Some("FR")),
        ("2001:db8:1::1", Some("JP")),
        ("2001:db9::1", None),
        ("9.9.9.9", None),
    ] {
        let found = source(&enricher, address);
        assert_eq!(found["geo"]["country_iso_code"].as_str(), country, "{address}");
        assert_eq!(found.as_object().unwrap().len(), 1 + usize::from(country.is_some()));
    }
}

#[test]
fn the_flat_layout_of_other_makers_is_read() {
    let record = json!({
        "asn": "AS64502", "as_name": "Flat Ltd", "country": "Germany", "country_code": "DE",
    });
    let older = json!({"country": "DE", "country_name": "Germany", "city": "Bonn"});
    let flat = mmdb::database(4, "ipinfo", &[("1.0.0.0/8", record), ("2.0.0.0/8", older)]);
    let enricher = enricher(&[flat], "");
    let germany = json!({"country_iso_code": "DE", "country_name": "Germany"});
    let found = source(&enricher, "1.2.3.4");
    assert_eq!(found["geo"], germany);
    assert_eq!(found["as"], json!({"number": 64502, "organization": {"name": "Flat Ltd"}}));
    assert_eq!(source(&enricher, "2.2.3.4")["geo"]["city_name"], "Bonn");
    assert_eq!(source(&enricher, "2.2.3.4")["geo"]["country_iso_code"], "DE");
    // IPv6 in a database of IPv4.
    assert_eq!(source(&enricher, "2001:db8::1"), json!({"ip": "2001:db8::1"}));
}

#[test]
fn the_first_database_that_knows_an_address_counts_and_an_exporter_does_not() {
    let record = |code| [("203.0.113.0/24", json!({"country": {"iso_code": code}}))];
    let first = mmdb::database(4, "first", &record("AT"));
    let enricher = enricher(&[asn(), first, city()], "");
    let mut document = json!({"source": {"ip": "203.0.113.1", "as": {"number": 1}}});
    enricher.add_to(&mut document);
    let source = &document["source"];
    assert_eq!(source["geo"], json!({"country_iso_code": "AT"}));
    assert_eq!(source["as"]["number"], 64_500);
    let mut private = json!({"source": {"ip": "10.0.0.1", "as": {"number": 1}}});
    enricher.add_to(&mut private);
    assert_eq!(private["source"]["as"]["number"], 1);
}

#[test]
fn odd_values_are_left_out_and_hostile_names_steer_nothing() {
    let enricher = enricher(&[city(), asn()], NAMES);
    let found = source(&enricher, "198.51.100.1");
    assert_eq!(found["geo"]["country_name"], "\u{fffd}[31mX\u{fffd}");
    assert!(found["geo"].get("country_iso_code").is_none() && found["geo"]["city_name"].is_null());
    assert_eq!(source(&enricher, "192.0.2.9"), json!({"ip": "192.0.2.9"}));
    assert_eq!(source(&enricher, "8.8.8.8")["as"], json!({"number": 64_501}));
    assert_eq!(source(&enricher, "10.1.2.3")["geo"]["name"], "printer \u{fffd}[31m");
}

#[test]
fn documents_without_addresses_stay_as_they_are() {
    let enricher = enricher(&[city(), asn()], NAMES);
    for document in [
        json!({}),
        json!(null),
        json!({"source": 1, "destination": {"ip": 7}, "observer": {"ip": "x"}}),
        json!({"source": {"ip": "203.0.113.1", "geo": 1, "as": []}}),
    ] {
        let mut enriched = document.clone();
        enricher.add_to(&mut enriched);
        assert_eq!(enriched, document);
    }
}

#[test]
fn of_nested_networks_the_inner_one_gives_the_name() {
    let names = Names::parse(NAMES.as_bytes()).unwrap();
    for (address, name) in [
        ("10.9.0.1", Some("Berlin")),
        ("10.1.0.1", Some("Berlin, floor 1")),
        ("fd12::1", Some("no")),
        ("192.168.0.1", None),
    ] {
        assert_eq!(names.network(ip(address)), name, "{address}");
    }
    let mut observer = json!({"ip": "2001:db8::1"});
    names.add_to(observer.as_object_mut().unwrap(), ip("2001:db8::1"));
    assert_eq!(observer["name"], "42");
}

#[test]
fn names_may_be_json_or_nothing() {
    let json = br#"{"networks": {"10.0.0.0/8": "a\u0000b"}}"#;
    assert_eq!(Names::parse(json).unwrap().network(ip("10.0.0.1")), Some("a\u{fffd}b"));
    assert_eq!(Names::parse(b"# later\n").unwrap().network(ip("10.0.0.1")), None);
}

#[test]
fn a_wrong_line_of_the_names_is_told() {
    for (text, expected) in [
        ("exporters: {10.0.0.300: {}}", "`10.0.0.300` under `exporters` is no address"),
        (
            "networks: {10.0.0.0/33: x}",
            "`10.0.0.0/33` under `networks` is neither an address nor a prefix such as `10.0.0.0/8`",
        ),
        (
            "exporters: {10.0.0.1: {interfaces: {eth0: x}}}",
            "`eth0` under `interfaces` of exporter `10.0.0.1` is no SNMP index",
        ),
        ("networks: {10.0.0.0/8: ' '}", "the name of `10.0.0.0/8` is empty"),
        ("networks: {10.1.0.0/8: x, 10.0.0.0/8: y}", "`10.0.0.0/8` has two names"),
        (
            "exporters: {10.0.0.1: {name: x}, '::ffff:10.0.0.1': {name: y}}",
            "`::ffff:10.0.0.1` has two names",
        ),
    ] {
        let message = Names::parse(text.as_bytes()).unwrap_err().to_string();
        // Of two keys that say the same, either may be told.
        assert!(message == expected || message.contains("has two names"), "{message}");
    }
    let message = Names::parse(b"networks: {}\nhosts: {}\n").unwrap_err().to_string();
    assert!(message.contains("unknown field `hosts`") && message.contains("line 2"), "{message}");
    assert!(Names::parse(b"\xff\xfe").is_err());
}

#[test]
fn a_file_that_is_missing_or_something_else_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mmdb");
    let settings = Settings { geoip: vec![path.clone()], names: None };
    let message = |settings: &Settings| Enricher::read(settings).unwrap_err().to_string();
    let shown = path.display();
    assert_eq!(message(&settings), format!("setting `enrichment.geoip`: cannot read `{shown}`"));
    fs::write(&path, "no database").unwrap();
    let expected = format!("setting `enrichment.geoip`: `{shown}` is no MaxMind database: ");
    assert!(message(&settings).starts_with(&expected), "{}", message(&settings));
    let settings = Settings { geoip: Vec::new(), names: Some(path.clone()) };
    assert_eq!(message(&settings), format!("setting `enrichment.names`: `{shown}`"));
    let settings = Settings { geoip: vec![PathBuf::new()], names: None };
    assert!(settings.check().unwrap_err().to_string().starts_with("setting `enrichment.geoip` "));
    let settings = Settings { geoip: Vec::new(), names: Some(PathBuf::new()) };
    assert!(settings.check().unwrap_err().to_string().starts_with("setting `enrichment.names` "));
}

/// Looks up what the tests know and some more.
fn look_around(bytes: Vec<u8>) {
    let Ok(database) = Database::parse(bytes) else { return };
    for address in ["203.0.113.1", "203.0.113.200", "2001:db8::1", "192.0.2.1", "0.0.0.0", "::"] {
        database.place(ip(address));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_database_gives_less_and_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        kept in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        for whole in [city(), asn()] {
            let mut bytes = whole;
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if is_cut {
                bytes.truncate(kept.index(bytes.len()));
            }
            look_around(bytes);
        }
    }

    #[test]
    fn any_bytes_are_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut marked = bytes.clone();
        marked.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        marked.extend_from_slice(&bytes);
        look_around(marked);
        let _ = Names::parse(&bytes);
        look_around(bytes);
    }

    #[test]
    fn names_are_one_line_of_bounded_length(name in any::<String>()) {
        if let Some(name) = clean(&name) {
            prop_assert!(!name.chars().any(is_unprintable) && name.chars().count() <= 256);
        }
    }
}
