//! What the ports of services are called and used for.

use crate::model::Protocol;

/// Protocols whose servers answer with far more than they are asked, by UDP port, ascending.
/// (US-CERT alert TA14-017A and its later additions.)
const AMPLIFIERS: [(u16, &str); 21] = [
    (17, "QOTD"),
    (19, "CharGEN"),
    (53, "DNS"),
    (69, "TFTP"),
    (111, "portmap"),
    (123, "NTP"),
    (137, "NetBIOS"),
    (161, "SNMP"),
    (177, "XDMCP"),
    (389, "CLDAP"),
    (427, "SLP"),
    (520, "RIP"),
    (623, "IPMI"),
    (1434, "MS SQL"),
    (1900, "SSDP"),
    (3283, "Apple Remote Desktop"),
    (3702, "WS-Discovery"),
    (5093, "Sentinel"),
    (5353, "mDNS"),
    (5683, "CoAP"),
    (11_211, "memcached"),
];

/// Services that people and machines log in to, by TCP port, ascending.
const LOG_INS: [(u16, &str); 19] = [
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "SMTP"),
    (110, "POP3"),
    (143, "IMAP"),
    (445, "SMB"),
    (465, "SMTPS"),
    (587, "SMTP submission"),
    (993, "IMAPS"),
    (995, "POP3S"),
    (1433, "MS SQL"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5432, "PostgreSQL"),
    (5900, "VNC"),
    (5985, "WinRM"),
    (5986, "WinRM"),
    (6379, "Redis"),
];

/// Names the protocol of a UDP port that amplifies.
pub(super) fn amplifier(port: u16) -> Option<&'static str> {
    find(&AMPLIFIERS, port)
}

/// Names the service of a TCP port that is logged in to.
pub(super) fn log_in(port: u16) -> Option<&'static str> {
    find(&LOG_INS, port)
}

fn find(table: &[(u16, &'static str)], port: u16) -> Option<&'static str> {
    let place = table.binary_search_by_key(&port, |(known, _)| *known).ok()?;
    Some(table[place].1)
}

/// Returns "tcp port 22 (SSH)", "ICMP" or "protocol 47".
pub(super) fn service_words(protocol: u8, port: u16) -> String {
    match (Protocol(protocol), port) {
        (Protocol::TCP, port) => match log_in(port) {
            Some(name) => format!("tcp port {port} ({name})"),
            None => format!("tcp port {port}"),
        },
        (Protocol::UDP, port) => match amplifier(port) {
            Some(name) => format!("udp port {port} ({name})"),
            None => format!("udp port {port}"),
        },
        (protocol, _) if protocol.is_icmp() => "ICMP".to_owned(),
        (Protocol(number), _) => format!("protocol {number}"),
    }
}

/// Returns a number of bytes with the unit that fits: "1.4 GB".
pub(super) fn bytes_words(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes;
    let mut place = 0;
    while value >= 999.5 && place + 1 < units.len() {
        value /= 1_000.0;
        place += 1;
    }
    if place == 0 || value >= 99.95 {
        return format!("{value:.0} {}", units[place]);
    }
    format!("{value:.1} {}", units[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_for_the_search() {
        assert!(AMPLIFIERS.is_sorted_by_key(|(port, _)| *port));
        assert!(LOG_INS.is_sorted_by_key(|(port, _)| *port));
        assert_eq!(log_in(3389), Some("RDP"));
        assert_eq!(amplifier(80), None);
    }

    #[test]
    fn services_and_sizes_are_told_in_words() {
        assert_eq!(service_words(6, 22), "tcp port 22 (SSH)");
        assert_eq!(service_words(17, 4500), "udp port 4500");
        assert_eq!(service_words(1, 0), "ICMP");
        assert_eq!(service_words(47, 0), "protocol 47");
        let words = [12.0, 1_400.0, 250_000.0, 3.3e9].map(bytes_words);
        assert_eq!(words, ["12 B", "1.4 kB", "250 kB", "3.3 GB"]);
    }
}
