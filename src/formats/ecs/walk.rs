//! The values of a document by their paths.

use super::super::fields::{Values, fields};
use super::super::marks::{Marks, Owner};
use super::super::pick::Picker;
use super::super::scalar::Scalar;
use super::super::tree::{self, Leaves};
use super::words;
use crate::model::Defects;

fields! {
    /// One of the paths that are read.
    Path {
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
}

/// How many paths are read.
const COUNT: usize = Path::NAMES.len();

/// What was found in one document.
pub(super) struct Document<'a> {
    values: Values<'a, COUNT>,
    /// The words under `flowsentry.flow.defects`.
    pub(super) defects: Defects,
    /// Whether a section that only flows have is there.
    pub(super) has_flow_section: bool,
    marks: Marks,
}

impl<'a> Document<'a> {
    /// Reads an object; `order` remembers the order of paths from one document to the next.
    pub(super) fn read(text: &'a str, order: &mut Picker) -> serde_json::Result<Self> {
        let mut document = Self {
            values: Values::default(),
            defects: Defects::default(),
            has_flow_section: false,
            marks: Marks::default(),
        };
        document.marks = tree::read(text, order, &mut document)?;
        Ok(document)
    }

    /// A picker to remember the order with.
    pub(super) fn order() -> Picker {
        Picker::of_paths(Path::place_of)
    }

    /// Whose record it is when it is not ECS.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.marks.owner()
    }

    pub(super) fn get(&self, path: Path) -> &Scalar<'a> {
        self.values.get(path)
    }

    /// Returns the first of some paths that holds a value: its name and the value.
    pub(super) fn first(&self, paths: &[Path]) -> (&'static str, &Scalar<'a>) {
        self.values.first(paths)
    }
}

/// Of an array, and of a path written twice, the first value counts.
impl<'a> Leaves<'a> for Document<'a> {
    fn keep(&mut self, place: usize, value: Scalar<'a>) {
        if place == Path::OwnDefects as usize
            && let Scalar::Text(word) = &value
        {
            let named = words::DEFECTS.into_iter().filter(|(_, name)| word == name);
            named.for_each(|(defect, _)| self.defects.insert(defect));
        }
        self.values.keep(place, value);
    }

    fn see_top(&mut self, key: &str) {
        let section = key.split('.').next().unwrap_or(key);
        self.has_flow_section |=
            matches!(section, "source" | "destination" | "network" | "netflow");
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
            assert!(document.has_flow_section && document.owner().is_none(), "{json}");
        }
    }

    #[test]
    fn the_paths_are_sorted_short_and_told_apart() {
        assert!(Path::NAMES.is_sorted_by(|left, right| left < right));
        assert!(Path::NAMES.iter().all(|path| path.len() <= tree::LONGEST_PATH));
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
