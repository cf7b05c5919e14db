//! goflow2's JSON records as the protobuf messages that goflow2 writes of the same flows: the fields
//! of `flow.proto` in the order of their numbers, nothing for 0 and empty.

use std::net::IpAddr;

use flowsentry::model::Protocol;
use serde_json::Value;

/// Returns the message of a JSON record of version 2, without a length before it.
pub fn message(record: &Value) -> Vec<u8> {
    let mut message = Vec::new();
    for &(number, key, kind) in FIELDS {
        let value = &record[key];
        match kind {
            Kind::Number => put_number(&mut message, number, value.as_u64().unwrap_or(0)),
            Kind::Name(names) => {
                let name = value.as_str().unwrap_or("");
                let named = names.iter().find(|&&(known, _)| known == name);
                put_number(&mut message, number, named.map_or(0, |&(_, number)| number));
            }
            Kind::Protocol => {
                let protocol = value.as_str().and_then(Protocol::parse);
                put_number(&mut message, number, protocol.map_or(0, |found| u64::from(found.0)));
            }
            Kind::Address => {
                let bytes = match value.as_str().and_then(|text| text.parse().ok()) {
                    Some(IpAddr::V4(ip)) => ip.octets().to_vec(),
                    Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
                    None => Vec::new(),
                };
                put_bytes(&mut message, number, &bytes);
            }
            Kind::Mac => {
                let digits = value.as_str().unwrap_or("").replace(':', "");
                let mac = u64::from_str_radix(&digits, 16).unwrap_or(0);
                put_number(&mut message, number, mac);
            }
            Kind::MaskLength => {
                let length = value.as_str().and_then(|text| text.split_once('/'));
                let length = length.and_then(|(_, length)| length.parse().ok());
                put_number(&mut message, number, length.unwrap_or(0));
            }
            Kind::Packed => {
                let mut packed = Vec::new();
                let numbers = value.as_array().into_iter().flatten();
                numbers.for_each(|item| put_varint(&mut packed, item.as_u64().unwrap_or(7)));
                put_bytes(&mut message, number, &packed);
            }
        }
    }
    message
}

/// Returns a message with its length before it.
pub fn delimited(message: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    put_varint(&mut record, message.len() as u64);
    record.extend_from_slice(message);
    record
}

/// Appends one number field, also one that is 0.
pub fn put_field(message: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(message, number << 3);
    put_varint(message, value);
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Name(&'static [(&'static str, u64)]),
    Protocol,
    Address,
    Mac,
    MaskLength,
    Packed,
}

const TYPES: Kind =
    Kind::Name(&[("SFLOW_5", 1), ("NETFLOW_V5", 2), ("NETFLOW_V9", 3), ("IPFIX", 4)]);
const ETHER_TYPES: Kind = Kind::Name(&[("IPv4", 0x0800), ("ARP", 0x0806), ("IPv6", 0x86dd)]);

/// Numbers and types of `flow.proto` of goflow2 v2.2.6 by the keys of its JSON.
const FIELDS: &[(u64, &str, Kind)] = &[
    (1, "type", TYPES),
    (3, "sampling_rate", Kind::Number),
    (4, "sequence_num", Kind::Number),
    (6, "src_addr", Kind::Address),
    (7, "dst_addr", Kind::Address),
    (9, "bytes", Kind::Number),
    (10, "packets", Kind::Number),
    (11, "sampler_address", Kind::Address),
    (12, "next_hop", Kind::Address),
    (14, "src_as", Kind::Number),
    (15, "dst_as", Kind::Number),
    (16, "src_net", Kind::MaskLength),
    (17, "dst_net", Kind::MaskLength),
    (18, "in_if", Kind::Number),
    (19, "out_if", Kind::Number),
    (20, "proto", Kind::Protocol),
    (21, "src_port", Kind::Number),
    (22, "dst_port", Kind::Number),
    (23, "ip_tos", Kind::Number),
    (25, "ip_ttl", Kind::Number),
    (26, "tcp_flags", Kind::Number),
    (27, "src_mac", Kind::Mac),
    (28, "dst_mac", Kind::Mac),
    (29, "vlan_id", Kind::Number),
    (30, "etype", ETHER_TYPES),
    (31, "icmp_type", Kind::Number),
    (32, "icmp_code", Kind::Number),
    (33, "src_vlan", Kind::Number),
    (34, "dst_vlan", Kind::Number),
    (35, "fragment_id", Kind::Number),
    (36, "fragment_offset", Kind::Number),
    (37, "ipv6_flow_label", Kind::Number),
    (70, "observation_domain_id", Kind::Number),
    (103, "layer_stack", Kind::Packed),
    (104, "layer_size", Kind::Packed),
    (110, "time_received_ns", Kind::Number),
    (111, "time_flow_start_ns", Kind::Number),
    (112, "time_flow_end_ns", Kind::Number),
];

fn put_number(message: &mut Vec<u8>, number: u64, value: u64) {
    if value != 0 {
        put_field(message, number, value);
    }
}

fn put_bytes(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_varint(message, number << 3 | 2);
        put_varint(message, bytes.len() as u64);
        message.extend_from_slice(bytes);
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
