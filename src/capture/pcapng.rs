//! pcapng: blocks with their length at both ends.
//!
//! A section header says the order of bytes and forgets the interfaces before it; interface blocks
//! say the kind of link and the unit of times; packet blocks name their interface by its number.

use super::container::{Item, Order, RawPacket, Step, broken, too_long};
use super::{Fault, FaultKind, MAX_PACKET_BYTES};
use crate::model::Timestamp;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The packet block of old versions.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

/// Type and length before, length behind.
const BLOCK_FRAME: usize = 12;
/// More interfaces than any machine has; a file of nothing else must not fill the memory.
const MAX_INTERFACES: usize = 4_096;

/// Reads the blocks of one file.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    clock: Clock,
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Clock {
    /// Ticks in a second; `None` when there are more than 2^127.
    ticks_per_second: Option<u128>,
    offset_seconds: i64,
}

impl PcapNg {
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(&SECTION.to_be_bytes()) && section_order(head).is_some()
    }

    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        if bytes.len() < BLOCK_FRAME {
            return Step::Needs(BLOCK_FRAME);
        }
        // The type of a section header reads the same in both orders.
        if bytes.starts_with(&SECTION.to_be_bytes()) {
            let Some(order) = section_order(bytes) else {
                return Step::Lost(broken("a section without a byte order"));
            };
            self.order = order;
        }
        let (Some(kind), Some(length)) = (self.order.u32(bytes, 0), self.order.u32(bytes, 4))
        else {
            return Step::Needs(BLOCK_FRAME);
        };
        if length % 4 != 0 || (length as usize) < BLOCK_FRAME {
            return Step::Lost(broken(format!("a block of {length} bytes")));
        }
        let is_ours = [SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET].contains(&kind);
        if !is_ours {
            return Step::Is(u64::from(length), Item::About);
        }
        let end = length as usize;
        if end > MAX_PACKET_BYTES {
            return too_long(u64::from(length));
        }
        let Some(block) = bytes.get(..end) else { return Step::Needs(end) };
        if self.order.u32(block, end - 4) != Some(length) {
            let fault = broken("the two lengths of a block are not the same");
            return Step::Is(u64::from(length), Item::Bad(fault));
        }
        let item = self.read_block(kind, &block[8..end - 4]);
        Step::Is(u64::from(length), item.unwrap_or_else(Item::Bad))
    }

    fn read_block<'a>(&mut self, kind: u32, body: &'a [u8]) -> Result<Item<'a>, Fault> {
        let cut = || broken(format!("a block of type {kind} with {} bytes", body.len()));
        match kind {
            SECTION => {
                self.interfaces.clear();
                Ok(Item::About)
            }
            INTERFACE => {
                if self.interfaces.len() >= MAX_INTERFACES {
                    return Err(broken(format!("more than {MAX_INTERFACES} interfaces")));
                }
                self.interfaces.push(self.interface(body).ok_or_else(cut)?);
                Ok(Item::About)
            }
            SIMPLE_PACKET => {
                Err(Fault::new(FaultKind::Time, "a packet without a time (simple packet block)"))
            }
            _ => self.packet(kind, body).ok_or_else(cut)?.map(Item::Packet),
        }
    }

    fn interface(&self, body: &[u8]) -> Option<Interface> {
        let link = self.order.u16(body, 0)?;
        let mut clock = Clock { ticks_per_second: Some(1_000_000), offset_seconds: 0 };
        let mut options = body.get(8..)?;
        while let (Some(code), Some(length)) =
            (self.order.u16(options, 0), self.order.u16(options, 2))
        {
            let length = usize::from(length);
            let Some(value) = options.get(4..4 + length) else { break };
            match (code, value) {
                (0, _) => break,
                (9, &[resolution]) => clock.ticks_per_second = ticks_per_second(resolution),
                (14, value) if value.len() == 8 => {
                    clock.offset_seconds = self.i64(value)?;
                }
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Interface { link, clock })
    }

    fn i64(&self, value: &[u8]) -> Option<i64> {
        let bytes = value.first_chunk()?;
        Some(match self.order {
            Order::Big => i64::from_be_bytes(*bytes),
            Order::Little => i64::from_le_bytes(*bytes),
        })
    }

    /// Returns `None` when the block is too short for what it says.
    fn packet<'a>(&self, kind: u32, body: &'a [u8]) -> Option<Result<RawPacket<'a>, Fault>> {
        let interface = match kind {
            OLD_PACKET => u32::from(self.order.u16(body, 0)?),
            _ => self.order.u32(body, 0)?,
        };
        let number = |at| self.order.u32(body, at).map(u64::from);
        let ticks = number(4)? << 32 | number(8)?;
        let (kept, wire) = (number(12)?, number(16)?);
        let kept_end = usize::try_from(kept).ok()?.checked_add(20)?;
        let bytes = body.get(20..kept_end)?;
        let Some(interface) = self.interfaces.get(interface as usize) else {
            return Some(Err(broken(format!("a packet of the unknown interface {interface}"))));
        };
        let Some(time) = interface.clock.time(ticks) else {
            return Some(Err(Fault::new(FaultKind::Time, "a packet outside 1970 to 2262")));
        };
        let wire_bytes = wire.max(kept);
        Some(Ok(RawPacket { time, link: interface.link, bytes, wire_bytes }))
    }
}

impl Clock {
    fn time(self, ticks: u64) -> Option<Timestamp> {
        let nanos = match self.ticks_per_second {
            Some(per_second) => u128::from(ticks) * 1_000_000_000 / per_second,
            None => 0,
        };
        let nanos = i64::try_from(nanos).ok()?;
        let nanos = nanos.checked_add(self.offset_seconds.checked_mul(1_000_000_000)?)?;
        (nanos >= 0).then(|| Timestamp::from_nanos(nanos))
    }
}

/// `if_tsresol`: a negative power of 2 with the highest bit, of 10 without it.
fn ticks_per_second(resolution: u8) -> Option<u128> {
    let power = u32::from(resolution & 0x7f);
    if resolution & 0x80 != 0 { 1u128.checked_shl(power) } else { 10u128.checked_pow(power) }
}

fn section_order(block: &[u8]) -> Option<Order> {
    match block.get(8..12)? {
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(Order::Big),
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(Order::Little),
        _ => None,
    }
}
