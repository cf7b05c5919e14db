//! The values of a document by their paths, picked in one pass whatever mixture of nested objects
//! and dotted keys it is written in.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::flat::KeyOrder;
use super::super::pick::Picker;
use super::super::scalar::Scalar;
use super::super::{goflow2, zeek_json};
use super::words;
use crate::model::Defects;

/// Declares the paths that are read, as variants with their names.
macro_rules! paths {
    ($($variant:ident = $name:literal,)*) => {
        /// One of the paths that are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Path {
            $($variant,)*
        }

        /// The names of the variants of [`Path`], in their order.
        const PATHS: &[&str] = &[$($name,)*];
    };
}

paths! {
    Timestamp = "@timestamp",
    DestinationBytes = "destination.bytes",
    DestinationIp = "destination.ip",
    DestinationPackets = "destination.packets",
    DestinationPort = "destination.port",
    EventCreated = "event.created",
    EventDataset = "event.dataset",
    EventDuration = "event.duration",
    EventEnd = "event.end",
    EventStart = "event.start",
    PmacctEventType = "event_type",
    OwnDefects = "flowsentry.flow.defects",
    OwnIcmpCode = "flowsentry.flow.icmp_code",
    OwnIcmpType = "flowsentry.flow.icmp_type",
    OwnOutcome = "flowsentry.flow.outcome",
    OwnRawBytes = "flowsentry.flow.raw_bytes",
    OwnRawPackets = "flowsentry.flow.raw_packets",
    OwnRawReturnedBytes = "flowsentry.flow.raw_returned_bytes",
    OwnRawReturnedPackets = "flowsentry.flow.raw_returned_packets",
    OwnSamplingRate = "flowsentry.flow.sampling_rate",
    OwnSequence = "flowsentry.flow.sequence",
    OwnState = "flowsentry.flow.state",
    OwnTcpFlags = "flowsentry.flow.tcp_flags",
    OwnType = "flowsentry.flow.type",
    NetflowDestinationIpv4Address = "netflow.destination_ipv4_address",
    NetflowDestinationIpv6Address = "netflow.destination_ipv6_address",
    NetflowDestinationTransportPort = "netflow.destination_transport_port",
    NetflowEgressInterface = "netflow.egress_interface",
    NetflowExporterAddress = "netflow.exporter.address",
    NetflowIcmpCodeIpv4 = "netflow.icmp_code_ipv4",
    NetflowIcmpCodeIpv6 = "netflow.icmp_code_ipv6",
    NetflowIcmpTypeCodeIpv4 = "netflow.icmp_type_code_ipv4",
    NetflowIcmpTypeCodeIpv6 = "netflow.icmp_type_code_ipv6",
    NetflowIcmpTypeIpv4 = "netflow.icmp_type_ipv4",
    NetflowIcmpTypeIpv6 = "netflow.icmp_type_ipv6",
    NetflowIngressInterface = "netflow.ingress_interface",
    NetflowOctetDeltaCount = "netflow.octet_delta_count",
    NetflowPacketDeltaCount = "netflow.packet_delta_count",
    NetflowProtocolIdentifier = "netflow.protocol_identifier",
    NetflowSamplingInterval = "netflow.sampling_interval",
    NetflowSourceIpv4Address = "netflow.source_ipv4_address",
    NetflowSourceIpv6Address = "netflow.source_ipv6_address",
    NetflowSourceTransportPort = "netflow.source_transport_port",
    NetflowTcpControlBits = "netflow.tcp_control_bits",
    NetflowVlanId = "netflow.vlan_id",
    NetworkBytes = "network.bytes",
    NetworkIanaNumber = "network.iana_number",
    NetworkPackets = "network.packets",
    NetworkTransport = "network.transport",
    NetworkType = "network.type",
    NetworkVlanId = "network.vlan.id",
    ObserverEgressInterfaceId = "observer.egress.interface.id",
    ObserverIngressInterfaceId = "observer.ingress.interface.id",
    ObserverIp = "observer.ip",
    SourceBytes = "source.bytes",
    SourceIp = "source.ip",
    SourcePackets = "source.packets",
    SourcePort = "source.port",
}

/// How many paths are read.
const COUNT: usize = PATHS.len();

/// Longer paths are not read, so that a document of huge keys costs no more than its bytes.
const LONGEST_PATH: usize = 64;

fn place_of(path: &str) -> Option<usize> {
    PATHS.iter().position(|known| *known == path)
}

/// What was found in one document.
pub(super) struct Document<'a> {
    values: [Scalar<'a>; COUNT],
    /// The words under `flowsentry.flow.defects`.
    pub(super) defects: Defects,
    /// Whether a key at the top is goflow2's or Zeek's.
    pub(super) is_foreign: bool,
    /// Whether a section that only flows have is there.
    pub(super) has_flow_section: bool,
}

impl<'a> Document<'a> {
    /// Reads an object; `order` remembers the order of paths from one document to the next.
    pub(super) fn read(text: &'a str, order: &mut Picker) -> serde_json::Result<Self> {
        let mut document = Self {
            values: [const { Scalar::Absent }; COUNT],
            defects: Defects::default(),
            is_foreign: false,
            has_flow_section: false,
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let mut state =
            State { document: &mut document, order, path: String::new(), depth: 0, leaves: 0 };
        deserializer.deserialize_map(Walk(&mut state))?;
        deserializer.end()?;
        Ok(document)
    }

    /// A picker to remember the order with.
    pub(super) fn order() -> Picker {
        Picker::new(place_of)
    }

    pub(super) fn get(&self, path: Path) -> &Scalar<'a> {
        &self.values[path as usize]
    }

    /// Returns the first of some paths that holds a value: its name and the value.
    pub(super) fn first(&self, paths: &[Path]) -> (&'static str, &Scalar<'a>) {
        let holds = |path: &&Path| !self.get(**path).is_absent();
        match paths.iter().find(holds).or(paths.first()) {
            Some(&path) => (path.name(), self.get(path)),
            None => ("", &Scalar::Absent),
        }
    }
}

impl Path {
    /// The path as it is written.
    pub(super) const fn name(self) -> &'static str {
        PATHS[self as usize]
    }
}

struct State<'s, 'a> {
    document: &'s mut Document<'a>,
    order: &'s mut Picker,
    /// The path of the value that is read.
    path: String,
    /// How many objects the value is in.
    depth: usize,
    /// How many values were read.
    leaves: usize,
}

impl<'a> State<'_, 'a> {
    /// Keeps a value under the present path. Of an array, and of a path written twice, the first
    /// value counts.
    fn keep(&mut self, value: Scalar<'a>) {
        let place = self.order.place(self.leaves, &self.path);
        self.leaves += 1;
        let Some(place) = place else { return };
        if place == Path::OwnDefects as usize
            && let Scalar::Text(word) = &value
        {
            let named = words::DEFECTS.into_iter().filter(|(_, name)| word == name);
            named.for_each(|(defect, _)| self.document.defects.insert(defect));
        }
        if self.document.values[place].is_absent() {
            self.document.values[place] = value;
        }
    }

    fn see_top(&mut self, key: &str) {
        self.document.is_foreign |= goflow2::is_marker(key) || key == zeek_json::MARKER_KEY;
        let section = key.split('.').next().unwrap_or(key);
        self.document.has_flow_section |=
            matches!(section, "source" | "destination" | "network" | "netflow");
    }
}

/// Reads one value and everything inside it.
struct Walk<'w, 's, 'a>(&'w mut State<'s, 'a>);

impl<'a> DeserializeSeed<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.keep(Scalar::Other);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.keep(Scalar::Signed(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.keep(Scalar::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.keep(Scalar::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        self.0.keep(Scalar::Text(value.into()));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.keep(Scalar::Text(value.to_owned().into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.keep(Scalar::Absent);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        let parent = self.0.path.len();
        self.0.depth += 1;
        while entries.next_key_seed(Step(&mut *self.0))?.is_some() {
            if self.0.path.len() > LONGEST_PATH {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Walk(&mut *self.0))?;
            }
            self.0.path.truncate(parent);
        }
        self.0.depth -= 1;
        Ok(())
    }
}

/// Reads a key and steps into its path.
struct Step<'w, 's, 'a>(&'w mut State<'s, 'a>);

impl<'a> DeserializeSeed<'a> for Step<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Step<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.0.depth == 1 {
            self.0.see_top(key);
        } else {
            self.0.path.push('.');
        }
        self.0.path.push_str(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_nested_dotted_and_mixed() {
        let mut order = Document::order();
        for json in [
            r#"{"network":{"vlan":{"id":7}}}"#,
            r#"{"network.vlan.id":7}"#,
            r#"{"network":{"vlan.id":7}}"#,
            r#"{"network.vlan":{"id":7}}"#,
            r#"{"network":{"vlan":{"x":1}},"network.vlan":{"id":[7,8]}}"#,
            r#"{"network":{"vlan":[{"id":null},{"id":7}]}}"#,
        ] {
            let document = Document::read(json, &mut order).unwrap();
            assert_eq!(*document.get(Path::NetworkVlanId), Scalar::Unsigned(7), "{json}");
            assert!(document.get(Path::NetworkBytes).is_absent(), "{json}");
            assert!(document.has_flow_section && !document.is_foreign, "{json}");
        }
    }

    #[test]
    fn the_paths_are_sorted_short_and_told_apart() {
        assert!(PATHS.is_sorted_by(|left, right| left < right));
        assert!(PATHS.iter().all(|path| path.len() <= LONGEST_PATH));
    }

    #[test]
    fn huge_and_deep_keys_are_passed_over() {
        let long = "k".repeat(5_000);
        let json = format!(r#"{{"{long}":{{"network.vlan.id":1}},"network.vlan.id":7}}"#);
        let document = Document::read(&json, &mut Document::order()).unwrap();
        assert_eq!(*document.get(Path::NetworkVlanId), Scalar::Unsigned(7));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
        assert!(Document::read(&deep, &mut Document::order()).is_ok());
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        assert!(Document::read(&deep, &mut Document::order()).is_err());
    }
}
