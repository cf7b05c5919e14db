//! The bytes of a capture → packets, whichever of the two file formats it has.

use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::{Fault, FaultKind, MAX_PACKET_BYTES};
use crate::model::Timestamp;

/// One packet as the capture has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPacket<'a> {
    /// When it was seen.
    pub time: Timestamp,
    /// The kind of link, by its number in the registry of tcpdump.org.
    pub link: u16,
    /// What was kept of it, with the header of the link.
    pub bytes: &'a [u8],
    /// How long it was, with the header of the link.
    pub wire_bytes: u64,
}

/// Where a packet stands in its capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketPlace {
    /// Offset of the first byte of its record.
    pub offset: u64,
    /// Number of the record, from 1.
    pub number: u64,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Something that has so many bytes in all, or more; there are fewer.
    Needs(usize),
    /// Something of so many bytes, of which not all need to be there: they are to be passed over.
    Is(u64, Item<'a>),
    /// Nothing behind this can be read.
    Lost(Fault),
}

/// One piece of a capture.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A packet.
    Packet(RawPacket<'a>),
    /// Something about the capture itself: a header, names, statistics.
    About,
    /// Something that cannot be used.
    Bad(Fault),
}

/// Cuts a capture into its pieces, from the first byte on.
#[derive(Debug)]
pub struct Container(Kind);

#[derive(Debug)]
enum Kind {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Whether these are the first bytes of a capture. Twelve bytes are enough.
pub fn is_capture(head: &[u8]) -> bool {
    Container::of(head).is_some()
}

impl Container {
    /// Returns the container that begins with `head`; `None` when it is no capture.
    pub fn of(head: &[u8]) -> Option<Self> {
        if let Some(pcap) = Pcap::of(head) {
            return Some(Self(Kind::Pcap(pcap)));
        }
        PcapNg::recognises(head).then(|| Self(Kind::PcapNg(PcapNg::default())))
    }

    /// The name of the format.
    pub fn name(&self) -> &'static str {
        match self.0 {
            Kind::Pcap(_) => "pcap",
            Kind::PcapNg(_) => "pcapng",
        }
    }

    /// Returns what `bytes` begin with: all that is unread, or a part from its beginning. Call it
    /// again with more when it needs more, and behind the piece when it returned one.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        match &mut self.0 {
            Kind::Pcap(pcap) => pcap.next(bytes),
            Kind::PcapNg(pcapng) => pcapng.next(bytes),
        }
    }
}

/// The order of the bytes of numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Order {
    Big,
    #[default]
    Little,
}

impl Order {
    /// Reads two bytes at `at`.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(*bytes),
            Self::Little => u16::from_le_bytes(*bytes),
        })
    }

    /// Reads four bytes at `at`.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(*bytes),
            Self::Little => u32::from_le_bytes(*bytes),
        })
    }
}

/// The step over a record that is longer than what is read.
pub(super) fn too_long(length: u64) -> Step<'static> {
    let detail = format!("{length} bytes, at most {MAX_PACKET_BYTES} are read");
    Step::Is(length, Item::Bad(Fault::new(FaultKind::TooLong, detail)))
}

/// The fault of a file that is broken at this place.
pub(super) fn broken(detail: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Container, detail)
}
