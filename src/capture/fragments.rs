//! The later parts of a datagram, which have no ports, follow its first part.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::key::{Key, Side};
use super::packet::Packet;
use crate::model::Protocol;

/// So many datagrams are remembered, the newest: the parts of one follow each other closely.
const DATAGRAMS: usize = 4_096;

type Datagram = (IpAddr, IpAddr, Protocol, u32);

/// Datagrams whose first part was seen.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    keys: HashMap<Datagram, (Key, Side)>,
    order: VecDeque<Datagram>,
}

impl Fragments {
    /// Returns the key of a packet and the side of its sender. A later part without its first has a
    /// key without ports.
    pub(super) fn key_of(&mut self, packet: &Packet) -> (Key, Side) {
        let own = Key::of(&packet.ends);
        let Some(fragment) = packet.fragment else { return own };
        let ends = &packet.ends;
        let datagram = (ends.source, ends.destination, ends.protocol, fragment.datagram);
        if !fragment.is_first {
            return self.keys.get(&datagram).copied().unwrap_or(own);
        }
        if self.keys.insert(datagram, own).is_none() {
            self.order.push_back(datagram);
        }
        if self.order.len() > DATAGRAMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        own
    }
}
