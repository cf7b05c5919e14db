//! Writes small databases in MaxMind's format, version 2.0, so that tests need none of others.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

/// Begins the metadata, the last part of a database.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Where a branch of the tree leads.
#[derive(Clone, Copy)]
enum Branch {
    Nothing,
    Node(usize),
    /// An offset into the data.
    Data(usize),
}

/// Returns the database of `entries`: what is known of each prefix. A prefix inside of another one
/// must come after it.
///
/// # Panics
/// When the entries do not fit: IPv6 into a database of `ip_version` 4, negative whole numbers.
pub fn database(ip_version: u8, database_type: &str, entries: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::Nothing; 2]];
    let mut data = Vec::new();
    for (net, value) in entries {
        let offset = data.len();
        encode(value, &mut data);
        insert(&mut nodes, &bits(ip_version, net), Branch::Data(offset));
    }
    let mut bytes = Vec::new();
    for branch in nodes.iter().flatten() {
        let record = match *branch {
            Branch::Nothing => nodes.len(),
            Branch::Node(node) => node,
            Branch::Data(offset) => nodes.len() + 16 + offset,
        };
        let record = u32::try_from(record).expect("tests are small").to_be_bytes();
        bytes.extend_from_slice(&record);
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(MARKER);
    metadata(ip_version, database_type, nodes.len(), &mut bytes);
    bytes
}

/// Appends the metadata, whose numbers have the types that the format prescribes.
fn metadata(ip_version: u8, database_type: &str, nodes: usize, bytes: &mut Vec<u8>) {
    let numbers: [(&str, u8, usize, u64); 6] = [
        ("binary_format_major_version", 5, 2, 2),
        ("binary_format_minor_version", 5, 2, 0),
        ("build_epoch", 9, 8, 1_795_000_000),
        ("ip_version", 5, 2, ip_version.into()),
        ("node_count", 6, 4, nodes as u64),
        ("record_size", 5, 2, 32),
    ];
    let others = [
        ("database_type", json!(database_type)),
        ("description", json!({"en": "test"})),
        ("languages", json!(["en"])),
    ];
    control(7, numbers.len() + others.len(), bytes);
    for (name, kind, size, number) in numbers {
        encode(&json!(name), bytes);
        control(kind, size, bytes);
        bytes.extend_from_slice(&number.to_be_bytes()[8 - size..]);
    }
    for (name, value) in others {
        encode(&json!(name), bytes);
        encode(&value, bytes);
    }
}

/// The bits of a prefix, first bit first. IPv4 lies at the beginning of an IPv6 tree.
fn bits(ip_version: u8, net: &str) -> Vec<bool> {
    let net: IpNet = net.parse().expect("tests write valid prefixes");
    let (number, length) = match (net.addr(), ip_version) {
        (IpAddr::V4(ip), 4) => (u128::from(ip.to_bits()) << 96, net.prefix_len()),
        (IpAddr::V4(ip), _) => (u128::from(ip.to_bits()), 96 + net.prefix_len()),
        (IpAddr::V6(ip), 6) => (ip.to_bits(), net.prefix_len()),
        (IpAddr::V6(_), _) => panic!("{net} does not fit into IPv4"),
    };
    (0..length).map(|place| number >> (127 - place) & 1 == 1).collect()
}

fn insert(nodes: &mut Vec<[Branch; 2]>, bits: &[bool], value: Branch) {
    let (last, path) = bits.split_last().expect("tests write prefixes of at least one bit");
    let mut at = 0;
    for bit in path {
        let side = usize::from(*bit);
        at = match nodes[at][side] {
            Branch::Node(node) => node,
            // What is known of the outer prefix holds beside the inner one.
            outer => {
                nodes.push([outer; 2]);
                nodes[at][side] = Branch::Node(nodes.len() - 1);
                nodes.len() - 1
            }
        };
    }
    nodes[at][usize::from(*last)] = value;
}

/// Appends a value: whole numbers as `uint32`, all others as their own type.
fn encode(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Object(entries) => {
            control(7, entries.len(), bytes);
            for (key, value) in entries {
                encode(&json!(key), bytes);
                encode(value, bytes);
            }
        }
        Value::Array(values) => {
            control(11, values.len(), bytes);
            values.iter().for_each(|value| encode(value, bytes));
        }
        Value::String(text) => {
            control(2, text.len(), bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Number(number) => match number.as_u64() {
            Some(number) => {
                let number = u32::try_from(number).expect("tests write small numbers");
                control(6, 4, bytes);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            None => {
                control(3, 8, bytes);
                let number = number.as_f64().expect("a number");
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        },
        Value::Bool(flag) => control(14, usize::from(*flag), bytes),
        Value::Null => panic!("the format has no null"),
    }
}

/// Appends type and size.
fn control(kind: u8, size: usize, bytes: &mut Vec<u8>) {
    let (short, longer) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let short = u8::try_from(short).expect("below 32");
    if kind <= 7 {
        bytes.push(kind << 5 | short);
    } else {
        bytes.extend_from_slice(&[short, kind - 7]);
    }
    bytes.extend(longer.map(|size| u8::try_from(size).expect("tests write short texts")));
}
