//! What stands before the IP header, by kind of link.

use super::container::Order;
use super::{Fault, FaultKind};

/// Kinds of links, by their numbers at tcpdump.org.
const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const LOOP: u16 = 108;
const LINUX_COOKED: u16 = 113;
const LINUX_COOKED_2: u16 = 276;
/// Raw IP: the number of tcpdump.org, those that some systems wrote, and one for each version.
const RAW: [u16; 5] = [101, 12, 14, 228, 229];

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLANS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const PPPOE_SESSION: u16 = 0x8864;
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// IPv4 and, by operating system, IPv6.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// What is behind the header of the link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Carried<'a> {
    /// From the IP header on.
    pub(super) ip: &'a [u8],
    /// The outermost VLAN.
    pub(super) vlan: Option<u16>,
}

/// Returns the IP packet in a frame; `None` when it carries something else.
pub(super) fn carried(link: u16, frame: &[u8]) -> Result<Option<Carried<'_>>, Fault> {
    let is_known = [NULL, ETHERNET, LOOP, LINUX_COOKED, LINUX_COOKED_2].contains(&link);
    if RAW.contains(&link) {
        return Ok(Some(Carried { ip: frame, vlan: None }));
    }
    if !is_known {
        return Err(Fault::new(FaultKind::Link, format!("a link of type {link}")));
    }
    let inside = match link {
        ETHERNET => by_ether_type(frame, 12, 14),
        LINUX_COOKED => by_ether_type(frame, 14, 16),
        LINUX_COOKED_2 => by_ether_type(frame, 0, 20),
        _ => by_family(frame),
    };
    inside.ok_or_else(|| Fault::packet(format!("{} bytes of a link of type {link}", frame.len())))
}

/// The EtherType at `at`, behind the header at `end` what it names. `None` when the frame is cut.
fn by_ether_type(frame: &[u8], at: usize, end: usize) -> Option<Option<Carried<'_>>> {
    let mut ether_type = Order::Big.u16(frame, at)?;
    let mut rest = frame.get(end..)?;
    let mut vlan = None;
    while VLANS.contains(&ether_type) {
        let tag = Order::Big.u16(rest, 0)?;
        vlan = vlan.or(Some(tag & 0x0fff));
        ether_type = Order::Big.u16(rest, 2)?;
        rest = rest.get(4..)?;
    }
    if ether_type == PPPOE_SESSION {
        const PPPOE_HEADER: usize = 6;
        ether_type = match Order::Big.u16(rest, PPPOE_HEADER)? {
            PPP_IPV4 => IPV4,
            PPP_IPV6 => IPV6,
            _ => return Some(None),
        };
        rest = rest.get(PPPOE_HEADER + 2..)?;
    }
    // A tag with VLAN 0 carries a priority alone.
    let vlan = vlan.filter(|&vlan| vlan != 0);
    Some([IPV4, IPV6].contains(&ether_type).then_some(Carried { ip: rest, vlan }))
}

/// The address family in the order of the machine that captured, whichever that was.
fn by_family(frame: &[u8]) -> Option<Option<Carried<'_>>> {
    let families = [Order::Big.u32(frame, 0)?, Order::Little.u32(frame, 0)?];
    let is_ip = families.iter().any(|family| FAMILIES.contains(family));
    let ip = frame.get(4..)?;
    Some(is_ip.then_some(Carried { ip, vlan: None }))
}
