//! The rules of `logstash/mapping.yml`, for well-formed records: how a value becomes a field.
//!
//! Written after the words of the table, without a look at the pipeline: they share no code.

use std::net::IpAddr;

use chrono::NaiveDateTime;
use flowsentry::model::Timestamp;
use serde_json::{Map, Value, json};

use crate::mapping::{Keys, Mapping, Row};
use crate::samples;

const LONGEST: u128 = i64::MAX as u128;

/// One record of one producer, and the table.
pub struct Input<'a> {
    pub mapping: &'a Mapping,
    pub producer: &'a str,
    pub record: &'a Value,
    pub offset: usize,
}

impl Input<'_> {
    /// The value of a field; `None` when the document must not hold it.
    pub fn expected(&self, row: &Row) -> Option<Value> {
        let first = row.of.first().map_or("", String::as_str);
        let position =
            [("topic", json!("flows")), ("partition", json!(3)), ("offset", json!(self.offset))];
        match row.rule.as_str() {
            "constant" => row.value.clone(),
            "position_id" => {
                Some(json!(format!("flows-3-{}-{}", self.offset, samples::millis(self.offset))))
            }
            "event_time" => {
                Some(nanos(if self.is_skewed() { self.received() } else { self.end() }))
            }
            "start_time" => Some(nanos(self.start())),
            "end_time" => Some(nanos(self.end())),
            "received" => Some(nanos(self.received())),
            "duration" => Some(json!(self.end() - self.start())),
            "address" => self.address(first).map(|ip| json!(ip)),
            "addresses" => {
                let mut all: Vec<IpAddr> =
                    row.of.iter().filter_map(|name| self.address(name)).collect();
                all.dedup();
                (!all.is_empty()).then(|| json!(all))
            }
            "port" => {
                let has_ports = matches!(self.protocol(), Some(6 | 17 | 33 | 132 | 136));
                self.number(first).filter(|_| has_ports).map(|port| json!(port))
            }
            "mac" => {
                let mac = self.text(first)?.to_uppercase().replace(':', "-");
                (mac != "00-00-00-00-00-00").then(|| json!(mac))
            }
            "drop_zero" => {
                let number = self.number(first).filter(|&number| number != 0)?;
                Some(if row.field == "network.vlan.id" {
                    json!(number.to_string())
                } else {
                    json!(number)
                })
            }
            "copy" => self.number(first).map(|number| json!(number)),
            "count" => Some(json!(capped(self.counted(first)))),
            "times_sampling" => Some(json!(capped(self.scaled(first)))),
            "returned_count" => self.returned(first).map(|count| json!(capped(count))),
            "returned_times_sampling" => {
                self.returned(first).map(|_| json!(capped(self.scaled(first))))
            }
            "both_times_sampling" => {
                let total: u128 = row.of.iter().map(|name| self.scaled(name)).sum();
                Some(json!(capped(total)))
            }
            "network_type" => Some(json!(self.network())),
            "protocol_number" => self.protocol().map(|number| json!(number.to_string())),
            "protocol_name" => {
                let names = [(1, "icmp"), (2, "igmp"), (6, "tcp"), (17, "udp"), (58, "ipv6-icmp")];
                let number = self.protocol()?;
                names.into_iter().find(|(known, _)| *known == number).map(|(_, name)| json!(name))
            }
            "direction" => {
                let own: Vec<bool> =
                    row.of.iter().filter_map(|name| self.address(name)).map(is_own).collect();
                Some(json!(match own[..] {
                    [true, true] => "internal",
                    [true, false] => "outbound",
                    [false, true] => "inbound",
                    [false, false] => "external",
                    _ => return None,
                }))
            }
            "community_id" => {
                self.address("source_address")?;
                self.address("destination_address")?;
                let is_icmp = matches!(self.protocol()?, 1 | 58);
                (!is_icmp || self.icmp().is_some()).then(|| json!("1:"))
            }
            "interface" => self
                .number(first)
                .filter(|number| ![0, 0x3fff_ffff].contains(number))
                .map(|number| json!(number.to_string())),
            "flow_type" => Some(json!(self.flow_type())),
            "tcp_flags" => self.flags().map(|flags| json!(flags)),
            "tcp_flag_names" => {
                let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
                let flags = self.flags()?;
                let set = names.iter().enumerate().filter(|(bit, _)| flags & (1 << bit) != 0);
                Some(set.map(|(_, name)| json!(name)).collect())
            }
            "icmp_type" => self.icmp().map(|(kind, _)| json!(kind)),
            "icmp_code" => self.icmp().map(|(_, code)| json!(code)),
            "defects" => self.is_skewed().then(|| json!(["clock_skew"])),
            "outcome" => {
                let answered = self.counted("returned_packets") > 0 && self.protocol() != Some(6);
                Some(json!(if answered { "exchanged" } else { "unknown" }))
            }
            "leftovers" => self.leftovers(),
            name => {
                let part = position.into_iter().find(|(part, _)| *part == name);
                Some(part.unwrap_or_else(|| panic!("no rule `{name}`")).1)
            }
        }
    }

    /// The first value under the keys of `name` that holds something.
    fn value(&self, name: &str) -> Option<&Value> {
        let Keys::Plain(keys) = &self.mapping.values[name][self.producer] else { panic!("{name}") };
        let mut held = keys.iter().filter_map(|key| self.record.get(key));
        held.find(|value| !value.is_null() && **value != "" && (name != "vlan" || **value != 0))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    fn number(&self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn counted(&self, name: &str) -> u128 {
        u128::from(self.number(name).unwrap_or(0))
    }

    fn scaled(&self, name: &str) -> u128 {
        self.counted(name) * self.counted("sampling_rate").max(1)
    }

    /// A counter of the way back, in records that hold one.
    fn returned(&self, name: &str) -> Option<u128> {
        let both = self.counted("returned_bytes") + self.counted("returned_packets");
        (both != 0).then(|| self.counted(name))
    }

    fn address(&self, name: &str) -> Option<IpAddr> {
        let ip: IpAddr = self.text(name)?.parse().unwrap();
        (!ip.is_unspecified()).then_some(ip)
    }

    fn time(&self, name: &str) -> Option<i64> {
        let Keys::Times(keys) = &self.mapping.values[name][self.producer] else { panic!("{name}") };
        keys.iter().find_map(|(key, unit)| time(self.record.get(key.as_str()?)?, unit.as_str()?))
    }

    fn start(&self) -> i64 {
        self.time("start").or_else(|| self.time("end")).unwrap_or_else(|| self.received())
    }

    fn end(&self) -> i64 {
        self.time("end").unwrap_or_else(|| self.start())
    }

    fn received(&self) -> i64 {
        self.time("received").unwrap_or(samples::millis(self.offset) * 1_000_000)
    }

    fn is_skewed(&self) -> bool {
        let seconds = (self.end() - self.received()) as f64 / 1e9;
        !(-3600.0..=300.0).contains(&seconds)
    }

    fn network(&self) -> &'static str {
        let ethertype = match self.value("network") {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(name)) if self.producer == "pmacct" => {
                Some(u64::from_str_radix(name, 16).unwrap())
            }
            Some(Value::String(name)) => match name.as_str() {
                "IPv4" => Some(0x0800),
                "IPv6" => Some(0x86dd),
                "ARP" => Some(0x0806),
                other => panic!("{other}"),
            },
            _ => None,
        };
        match (ethertype, self.address("source_address")) {
            (Some(0x0800), _) | (None, Some(IpAddr::V4(_))) => "ipv4",
            (Some(0x86dd), _) | (None, Some(IpAddr::V6(_))) => "ipv6",
            (Some(0x0806), _) => "arp",
            _ => "other",
        }
    }

    fn protocol(&self) -> Option<u64> {
        let named = [("tcp", 6), ("udp", 17), ("icmp", 1), ("igmp", 2), ("ipv6-icmp", 58)];
        if !self.network().starts_with("ip") {
            return None;
        }
        self.number("protocol").or_else(|| {
            let name = self.text("protocol")?.to_lowercase();
            Some(named.into_iter().find(|(known, _)| *known == name).unwrap().1)
        })
    }

    fn flags(&self) -> Option<u64> {
        if self.protocol() != Some(6) {
            return None;
        }
        let flags = match self.text("tcp_flags") {
            Some(letters) if self.producer == "nfdump" => "FSRPAUEC"
                .bytes()
                .enumerate()
                .map(|(bit, letter)| u64::from(letters.bytes().any(|one| one == letter)) << bit)
                .sum(),
            _ => self.number("tcp_flags")?,
        };
        (flags != 0).then_some(flags)
    }

    fn icmp(&self) -> Option<(u64, u64)> {
        if !matches!(self.protocol(), Some(1 | 58)) {
            return None;
        }
        let (kind, code) = (self.number("icmp_type"), self.number("icmp_code"));
        let nothing = kind.unwrap_or(0) == 0 && code.unwrap_or(0) == 0;
        let hidden =
            self.number("destination_port").filter(|_| nothing && self.flow_type() != "sflow_5");
        let message = match hidden {
            Some(port) => (port / 256, port % 256),
            None if kind.is_none() && code.is_none() => return None,
            None => (kind.unwrap_or(0), code.unwrap_or(0)),
        };
        (self.network() == "ipv4" || message.0 != 0).then_some(message)
    }

    fn flow_type(&self) -> String {
        match self.producer {
            "goflow2" | "goflow2_v1" => self.text("kind").unwrap().to_lowercase(),
            producer => producer.to_owned(),
        }
    }

    /// What no row takes, unless it is empty.
    fn leftovers(&self) -> Option<Value> {
        let empty = [
            json!(0),
            json!(""),
            json!([]),
            json!("0.0.0.0/0"),
            json!("::/0"),
            json!("0.0.0.0"),
            json!("00:00:00:00:00:00"),
        ];
        let taken: Vec<&String> = self
            .mapping
            .values
            .values()
            .flat_map(|producers| match &producers[self.producer] {
                Keys::Plain(keys) => keys.iter().collect::<Vec<_>>(),
                Keys::Times(_) => Vec::new(),
            })
            .chain(&self.mapping.not_kept)
            .collect();
        let is_time = |key: &str| {
            self.mapping.values.values().any(|producers| {
                matches!(&producers[self.producer], Keys::Times(keys) if keys.contains_key(key))
            })
        };
        let left: Map<String, Value> = self
            .record
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, value)| !taken.contains(key) && !is_time(key) && !empty.contains(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        (!left.is_empty()).then_some(Value::Object(left))
    }
}

fn capped(count: u128) -> u64 {
    count.min(LONGEST) as u64
}

fn nanos(nanos: i64) -> Value {
    let time = Timestamp::from_nanos(nanos).to_utc();
    json!(time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true))
}

fn is_own(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] >= 224 && ip.octets()[0] < 240
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast(),
    }
}

/// Nanoseconds since 1970; 0 is absent.
fn time(value: &Value, unit: &str) -> Option<i64> {
    let factor = match unit {
        "ns" => 1,
        "ms" => 1_000_000,
        _ => 1_000_000_000,
    };
    let nanos = match value {
        Value::Number(number) => number.as_i64().unwrap() * factor,
        Value::String(text) => written_time(text, factor),
        _ => return None,
    };
    (nanos != 0).then_some(nanos)
}

fn written_time(text: &str, factor: i64) -> i64 {
    if let Ok(time) = text.parse::<Timestamp>() {
        return time.nanos();
    }
    let calendar = NaiveDateTime::parse_from_str(&text.replace(' ', "T"), "%Y-%m-%dT%H:%M:%S%.f");
    if let Ok(time) = calendar {
        return time.and_utc().timestamp_nanos_opt().unwrap();
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals: i64 = format!("{decimals:0<9}").parse().unwrap();
    whole.parse::<i64>().unwrap() * factor + decimals * factor / 1_000_000_000
}
