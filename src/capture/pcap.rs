//! pcap: a header of 24 bytes, then packets, each behind a header of 16 bytes.
//!
//! The magic number says the order of bytes and the unit of times.

use super::MAX_PACKET_BYTES;
use super::container::{Item, Order, RawPacket, Step, too_long};
use crate::model::Timestamp;

const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds in the unit of the fraction of a second.
    unit: i64,
    /// Known once the header was read.
    link: Option<u16>,
}

impl Pcap {
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let (order, unit) = match head.first_chunk::<4>()? {
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1_000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1_000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1),
            _ => return None,
        };
        Some(Self { order, unit, link: None })
    }

    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let Some(link) = self.link else { return self.file_header(bytes) };
        let number = |at| self.order.u32(bytes, at);
        let (Some(seconds), Some(fraction), Some(kept), Some(wire)) =
            (number(0), number(4), number(8), number(12))
        else {
            return Step::Needs(PACKET_HEADER);
        };
        let length = PACKET_HEADER as u64 + u64::from(kept);
        let Some(end) = usize::try_from(length).ok().filter(|&end| end <= MAX_PACKET_BYTES) else {
            return too_long(length);
        };
        let Some(data) = bytes.get(PACKET_HEADER..end) else { return Step::Needs(end) };
        // The fraction may hold a whole second and more when the file is damaged: it is added.
        let time = Timestamp::from_seconds(i64::from(seconds))
            .plus_nanos(i64::from(fraction).saturating_mul(self.unit));
        let wire_bytes = u64::from(wire.max(kept));
        Step::Is(length, Item::Packet(RawPacket { time, link, bytes: data, wire_bytes }))
    }

    /// The upper half of the link type says whether frames have a check sum at their end, which
    /// lengths from IP headers leave out anyway.
    fn file_header<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        if bytes.len() < FILE_HEADER {
            return Step::Needs(FILE_HEADER);
        }
        self.link = self.order.u32(bytes, 20).map(|link| link as u16);
        Step::Is(FILE_HEADER as u64, Item::About)
    }
}
