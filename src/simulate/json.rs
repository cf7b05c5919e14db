//! Writes a record as goflow2 v2.2.6 does: one JSON object a line, all 50 keys, always in the same
//! order. A day is more than a gigabyte of text, so numbers and addresses are written by hand
//! and everything constant is copied in whole pieces.

use std::net::IpAddr;

use crate::model::{NetworkType, Protocol};

use super::flow::{Exporter, SimulatedFlow};

/// Appends the record to `out`: one JSON object and a line feed, about 1,000 bytes.
///
/// Absent values are written as goflow2 writes them: 0, "" or [], never null. ICMP type and code
/// sit where the exporters put them: in the destination port (type · 256 + code) for NetFlow, in
/// their own keys for IPFIX and sFlow.
pub fn write_goflow2(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    out.reserve(1300);
    write_head(flow, out);
    write_addresses(flow, out);
    write_link(flow, out);
    write_ip(flow, out);
    write_tail(flow, out);
}

fn write_head(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    let (before, after): (&[u8], &[u8]) = match flow.exporter {
        Exporter::Border => (
            br#"{"type":"NETFLOW_V9","time_received_ns":"#,
            br#","sampling_rate":1,"sampler_address":"10.255.0.1","time_flow_start_ns":"#,
        ),
        Exporter::Core => (
            br#"{"type":"IPFIX","time_received_ns":"#,
            br#","sampling_rate":0,"sampler_address":"10.255.0.2","time_flow_start_ns":"#,
        ),
        Exporter::Access => (
            br#"{"type":"SFLOW_5","time_received_ns":"#,
            br#","sampling_rate":1024,"sampler_address":"10.255.0.3","time_flow_start_ns":"#,
        ),
    };
    out.extend_from_slice(before);
    number(flow.received.nanos() as u64, out);
    field(br#","sequence_num":"#, u64::from(flow.sequence), out);
    out.extend_from_slice(after);
    number(flow.start.nanos() as u64, out);
    field(br#","time_flow_end_ns":"#, flow.end.nanos() as u64, out);
    field(br#","bytes":"#, flow.bytes, out);
    field(br#","packets":"#, flow.packets, out);
}

fn write_addresses(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","src_addr":""#);
    address(flow.source, out);
    out.extend_from_slice(br#"","dst_addr":""#);
    address(flow.destination, out);
    out.extend_from_slice(match flow.network {
        NetworkType::Ipv4 => br#"","etype":"IPv4","proto":""#,
        NetworkType::Ipv6 => br#"","etype":"IPv6","proto":""#,
        NetworkType::Arp => br#"","etype":"ARP","proto":""#,
        NetworkType::Other => br#"","etype":"","proto":""#,
    });
    out.extend_from_slice(protocol_name(flow.protocol));
    field(br#"","src_port":"#, u64::from(flow.source_port), out);
    let in_port = flow.exporter == Exporter::Border && flow.protocol.is_icmp();
    let message = u64::from(flow.icmp_type) * 256 + u64::from(flow.icmp_code);
    let port = if in_port { message } else { u64::from(flow.destination_port) };
    field(br#","dst_port":"#, port, out);
}

/// The names of goflow2 for the protocols that the simulation uses.
fn protocol_name(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::TCP => b"TCP",
        Protocol::UDP => b"UDP",
        Protocol::ICMP => b"ICMP",
        Protocol::ICMPV6 => b"IPv6-ICMP",
        Protocol(0) => b"HOPOPT",
        Protocol(2) => b"IGMP",
        Protocol(_) => b"unknown",
    }
}

/// Interfaces, MAC addresses and VLANs. The interfaces of the border say the direction; only sFlow
/// sees frames, so only it has MAC addresses.
fn write_link(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    let outward = flow.source.is_some_and(is_inside);
    let (input, output) = match (flow.exporter, outward) {
        (Exporter::Border, true) => (1, 2),
        (Exporter::Border, false) => (2, 1),
        (Exporter::Core, _) => (vlan(flow.source) / 10, vlan(flow.destination) / 10),
        (Exporter::Access, true) => (3, 24),
        (Exporter::Access, false) => (24, 3),
    };
    field(br#","in_if":"#, input, out);
    field(br#","out_if":"#, output, out);
    if flow.exporter == Exporter::Access {
        out.extend_from_slice(br#","src_mac":""#);
        mac(flow.source, out);
        out.extend_from_slice(br#"","dst_mac":""#);
        mac(flow.destination, out);
        out.extend_from_slice(br#"","src_vlan":30,"dst_vlan":30,"vlan_id":30"#);
    } else {
        out.extend_from_slice(
            br#","src_mac":"00:00:00:00:00:00","dst_mac":"00:00:00:00:00:00","src_vlan":"#,
        );
        let is_core = flow.exporter == Exporter::Core;
        let (source, destination) =
            if is_core { (vlan(flow.source), vlan(flow.destination)) } else { (0, 0) };
        number(source, out);
        field(br#","dst_vlan":"#, destination, out);
        field(br#","vlan_id":"#, source, out);
    }
}

fn write_ip(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    field(br#","ip_tos":"#, u64::from(flow.tos), out);
    let is_packet = flow.exporter == Exporter::Access && flow.network != NetworkType::Arp;
    let ttl = match (is_packet, flow.source.is_some_and(is_inside)) {
        (false, _) => 0,
        (true, true) => 64,
        (true, false) => 52,
    };
    field(br#","forwarding_status":0,"ip_ttl":"#, ttl, out);
    let is_packet_4 = is_packet && flow.network == NetworkType::Ipv4;
    field(br#","ip_flags":"#, if is_packet_4 { 2 } else { 0 }, out);
    field(br#","tcp_flags":"#, u64::from(flow.tcp_flags), out);
    let in_keys = flow.exporter != Exporter::Border;
    let (kind, code) = if in_keys { (flow.icmp_type, flow.icmp_code) } else { (0, 0) };
    field(br#","icmp_type":"#, u64::from(kind), out);
    field(br#","icmp_code":"#, u64::from(code), out);
    // The identification of a packet: any 16 bits that differ from packet to packet.
    let identification = if is_packet_4 { flow.received.nanos() as u64 & 0xffff } else { 0 };
    field(br#","ipv6_flow_label":0,"fragment_id":"#, identification, out);
}

fn write_tail(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    out.extend_from_slice(
        br#","fragment_offset":0,"src_as":0,"dst_as":0,"next_hop":"","next_hop_as":0,"#,
    );
    out.extend_from_slice(match flow.network {
        NetworkType::Ipv4 => br#""src_net":"0.0.0.0/0","dst_net":"0.0.0.0/0","#,
        NetworkType::Ipv6 => br#""src_net":"::/0","dst_net":"::/0","#,
        NetworkType::Arp | NetworkType::Other => {
            br#""src_net":"invalid Prefix","dst_net":"invalid Prefix","#
        }
    });
    out.extend_from_slice(
        br#""bgp_next_hop":"","bgp_communities":[],"as_path":[],"mpls_ttl":[],"mpls_label":[],"mpls_ip":[],"observation_domain_id":0,"observation_point_id":0,"layer_stack":["#,
    );
    write_layers(flow, out);
    out.extend_from_slice(
        b",\"ipv6_routing_header_addresses\":[],\"ipv6_routing_header_seg_left\":0}\n",
    );
}

/// Header names and their lengths, which only sFlow has.
fn write_layers(flow: &SimulatedFlow, out: &mut Vec<u8>) {
    if flow.exporter != Exporter::Access {
        out.extend_from_slice(br#"],"layer_size":[]"#);
        return;
    }
    let (network, network_size): (&[u8], u64) = match flow.network {
        NetworkType::Ipv4 => (br#","IPv4""#, 20),
        NetworkType::Ipv6 => (br#","IPv6""#, 40),
        NetworkType::Arp | NetworkType::Other => (b"", 0),
    };
    let (transport, transport_size): (&[u8], u64) = match flow.protocol {
        Protocol::TCP => (br#","TCP""#, 32),
        Protocol::UDP => (br#","UDP""#, 8),
        Protocol::ICMP => (br#","ICMP""#, 8),
        Protocol::ICMPV6 => (br#","ICMPv6""#, 8),
        Protocol(_) => (b"", 0),
    };
    out.extend_from_slice(br#""Ethernet""#);
    out.extend_from_slice(network);
    out.extend_from_slice(transport);
    out.extend_from_slice(br#"],"layer_size":[14"#);
    for size in [network_size, transport_size].into_iter().filter(|&size| size > 0) {
        field(b",", size, out);
    }
    out.push(b']');
}

fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.octets()[0] == 0xfd,
    }
}

/// Each third octet of the inside network is a VLAN of its own.
fn vlan(ip: Option<IpAddr>) -> u64 {
    match ip {
        Some(IpAddr::V4(ip)) if ip.octets()[0] == 10 => 10 * (u64::from(ip.octets()[2]) % 32 + 1),
        Some(IpAddr::V6(ip)) if ip.octets()[0] == 0xfd => 10 * (u64::from(ip.octets()[5]) % 32 + 1),
        _ => 10,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Locally administered, made of the address's last four octets.
fn mac(ip: Option<IpAddr>, out: &mut Vec<u8>) {
    let [a, b, c, d] = match ip {
        Some(IpAddr::V4(ip)) => ip.octets(),
        Some(IpAddr::V6(ip)) => {
            let octets = ip.octets();
            [octets[0], octets[5], octets[14], octets[15]]
        }
        None => [0xff; 4],
    };
    out.extend_from_slice(b"02:00");
    for octet in [a, b, c, d] {
        let digits = [HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]];
        out.extend_from_slice(&[b':', digits[0], digits[1]]);
    }
}

fn field(key: &[u8], value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    number(value, out);
}

/// "00" to "99" in a row, so that two digits cost one division.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

fn number(mut value: u64, out: &mut Vec<u8>) {
    if value < 10 {
        out.push(b'0' + value as u8);
        return;
    }
    let mut text = [0u8; 20];
    let mut at = text.len();
    while value >= 10 {
        let pair = 2 * (value % 100) as usize;
        value /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value > 0 {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    // The last pair may begin with a zero: 105 is written as `1`, `05`; 5 never gets here.
    out.extend_from_slice(&text[at..]);
}

fn address(ip: Option<IpAddr>, out: &mut Vec<u8>) {
    match ip {
        None => {}
        Some(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            number(u64::from(a), out);
            for octet in [b, c, d] {
                out.push(b'.');
                number(u64::from(octet), out);
            }
        }
        Some(IpAddr::V6(ip)) => {
            use std::io::Write;
            write!(out, "{ip}").expect("writing to memory cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_like_the_library_writes_them() {
        let edges =
            [0, 9, 10, 99, 100, 101, 105, 999, 1000, 1005, 65_535, 1_795_232_400_000_000_001];
        for value in edges.into_iter().chain([u64::MAX]).chain((0..64).map(|bit| 1 << bit)) {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn addresses_are_written_like_the_library_writes_them() {
        for text in ["10.0.100.1", "255.9.10.99", "fd20:77:10::1"] {
            let mut out = Vec::new();
            address(Some(text.parse().unwrap()), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
