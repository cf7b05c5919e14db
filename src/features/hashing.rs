//! Keys of hosts and the fixed mixing that sketches are built on.
//!
//! Sketches must be the same on every machine and in every run, so their hash has no seed. Hash
//! tables, where an attacker could aim at collisions, use hashbrown's seeded hasher instead.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An address as one number; IPv4 in its IPv6-mapped form, so that `::ffff:10.0.0.1` and `10.0.0.1`
/// are one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "IpAddr", into = "IpAddr")]
pub struct HostKey(u128);

impl From<IpAddr> for HostKey {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip)
    }
}

impl From<HostKey> for IpAddr {
    fn from(key: HostKey) -> Self {
        key.ip()
    }
}

/// `::ffff:0:0/96`, the prefix of mapped IPv4 addresses, without its last 32 bits.
const MAPPED_PREFIX: u128 = 0xffff << 32;

impl HostKey {
    /// Returns the key of an address.
    pub fn new(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(MAPPED_PREFIX | u128::from(ip.to_bits())),
            IpAddr::V6(ip) => Self(ip.to_bits()),
        }
    }

    /// The address, IPv4 where it is one.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self.0).to_canonical()
    }

    /// The address as a number, mapped IPv4 included.
    pub fn number(self) -> u128 {
        self.0
    }

    /// 64 bits for distinct counting: for IPv4 a bijection, so that counts are exact; for IPv6 a
    /// mix whose collisions (about 2^-64 for each pair) do not matter.
    pub fn sketch_key(self) -> u64 {
        if self.0 >> 32 == 0xffff {
            return self.0 as u64;
        }
        mix((self.0 >> 64) as u64).wrapping_add(mix(self.0 as u64 ^ 0x9e37_79b9_7f4a_7c15))
    }
}

/// Mixes 64 bits bijectively: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Mixes two keys into one, in order.
pub const fn combine(first: u64, second: u64) -> u64 {
    mix(first).rotate_left(23) ^ mix(second.wrapping_add(0xd1b5_4a32_d192_ed03))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_plain_ipv4_are_one_host() {
        let plain = HostKey::new("10.0.0.1".parse().unwrap());
        let mapped = HostKey::new("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(plain, mapped);
        assert_eq!(mapped.ip().to_string(), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_host_comes_back_unchanged() {
        let ip = "fd77::12".parse().unwrap();
        assert_eq!(HostKey::new(ip).ip(), ip);
    }

    #[test]
    fn combining_depends_on_the_order() {
        assert_ne!(combine(1, 2), combine(2, 1));
    }
}
