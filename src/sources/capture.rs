//! Packet captures as sources of flows.
//!
//! Flows end long after their last packet, when they were idle for long enough. They are held back
//! until no open flow can end earlier, so that they come in the order of their ends: a stream would
//! take half of them for late otherwise, and a large file need not be sorted.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::{self, Read};

use super::lines::Lines;
use super::{Batch, Located, Place, Rejected};
use crate::capture::{
    Assembled, Assembler, Container, Fault, FaultKind, Item, Limits, Packet, PacketPlace,
    RawPacket, Step,
};
use crate::formats::{Reject, RejectReason};
use crate::model::{Flow, Timestamp};

/// Most flows that are held back; beyond it the earliest leaves. About 80 MB.
const HELD_FLOWS: usize = 200_000;
/// Most packets of a batch, so that a capture of few flows is stopped and watched like any other.
const BATCH_PACKETS: u64 = 65_536;

/// What a capture held beside packets of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureNotes {
    /// Packets that carry no IP and make no flow: ARP, spanning tree, …
    pub not_ip: u64,
    /// Flows that were ended early, because too many were open.
    pub ended_early: u64,
}

impl CaptureNotes {
    /// Adds what another part held.
    pub fn add(&mut self, other: Self) {
        self.not_ip += other.not_ip;
        self.ended_early += other.ended_early;
    }
}

/// A capture that is being read.
pub(super) struct Capture {
    container: Container,
    assembler: Assembler,
    /// Scratch: the flows that the last packet ended.
    ended: Vec<Assembled>,
    held: BinaryHeap<Reverse<Held>>,
    is_over: bool,
    failure: Option<io::Error>,
    told_early: u64,
}

/// What stands next in the capture.
enum Found {
    Packet(Packet),
    NotIp,
    About,
    Bad(Fault, Vec<u8>),
}

impl Capture {
    pub(super) fn new(container: Container, limits: Limits) -> Self {
        Self {
            container,
            assembler: Assembler::new(limits),
            ended: Vec::new(),
            held: BinaryHeap::new(),
            is_over: false,
            failure: None,
            told_early: 0,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.container.name()
    }

    /// Adds the next flows to `batch`, at most about `most_flows` and `most_rejected`. `judge` has
    /// the last word on a flow.
    ///
    /// # Errors
    /// When reading fails, once the flows of what was read are out.
    pub(super) fn fill<R: Read>(
        &mut self,
        lines: &mut Lines<R>,
        place: &mut Place,
        (most_flows, most_rejected): (usize, usize),
        judge: &dyn Fn(Flow) -> Result<Option<Flow>, Reject>,
        batch: &mut Batch,
    ) -> io::Result<()> {
        while batch.flows.len() < most_flows
            && batch.rejected.len() < most_rejected
            && batch.records < BATCH_PACKETS
        {
            if !self.is_over {
                self.read_on(lines, place, batch);
            }
            self.release((most_flows, most_rejected), judge, batch);
            if self.is_over && self.held.is_empty() {
                break;
            }
        }
        let early = self.assembler.ended_early();
        batch.capture.ended_early += early - self.told_early;
        self.told_early = early;
        match self.failure.take() {
            Some(error) if self.held.is_empty() && batch.is_empty() => Err(error),
            failure => {
                self.failure = failure;
                Ok(())
            }
        }
    }

    /// Reads one piece of the capture, or notes that it is over.
    fn read_on<R: Read>(&mut self, lines: &mut Lines<R>, place: &mut Place, batch: &mut Batch) {
        match self.next(lines) {
            Ok(Some((found, taken))) => {
                let here = Place { line: place.line + 1, ..*place };
                *place = Place { offset: place.offset.saturating_add(taken), line: here.line };
                batch.records += 1;
                self.take(found, here, taken, batch);
            }
            Ok(None) => self.is_over = true,
            Err(error) => {
                self.is_over = true;
                self.failure = Some(error);
            }
        }
        if self.is_over {
            self.assembler.finish(&mut self.ended);
        }
        self.held.extend(self.ended.drain(..).map(|flow| Reverse(Held(flow))));
    }

    fn take(&mut self, found: Found, place: Place, length: u64, batch: &mut Batch) {
        match found {
            Found::Packet(packet) => {
                let place = PacketPlace { offset: place.offset, number: place.line };
                self.assembler.add(place, &packet, &mut self.ended);
            }
            Found::NotIp => batch.capture.not_ip += 1,
            Found::About => {}
            Found::Bad(fault, record) => {
                let rejected = Rejected::new(place, reject(fault), &record);
                batch.rejected.push(Rejected { length, ..rejected });
            }
        }
    }

    /// Returns what stands next and how many bytes it takes, `None` at the end.
    fn next<R: Read>(&mut self, lines: &mut Lines<R>) -> io::Result<Option<(Found, u64)>> {
        let mut wanted = 1;
        loop {
            let unread = lines.peek(wanted)?;
            if unread.is_empty() {
                return Ok(None);
            }
            let (found, length) = match self.container.next(unread) {
                Step::Needs(more) if more > unread.len() && unread.len() >= wanted => {
                    wanted = more;
                    continue;
                }
                Step::Needs(_) => (cut(unread), unread.len() as u64),
                Step::Lost(fault) => (Found::Bad(fault, beginning(unread, u64::MAX)), u64::MAX),
                Step::Is(length, Item::About) => (Found::About, length),
                Step::Is(length, Item::Bad(fault)) => {
                    (Found::Bad(fault, beginning(unread, length)), length)
                }
                Step::Is(length, Item::Packet(raw)) => (headers(&raw, unread, length), length),
            };
            let taken = lines.pass_over(length)?;
            let is_cut = taken < length && length < u64::MAX && !matches!(found, Found::Bad(..));
            return Ok(Some((if is_cut { cut(&[]) } else { found }, taken)));
        }
    }

    /// Hands out what no open flow can come before.
    fn release(
        &mut self,
        (most_flows, most_rejected): (usize, usize),
        judge: &dyn Fn(Flow) -> Result<Option<Flow>, Reject>,
        batch: &mut Batch,
    ) {
        let open_since = self.assembler.open_since();
        while batch.flows.len() < most_flows
            && batch.rejected.len() < most_rejected
            && let Some(Reverse(Held(first))) = self.held.peek()
            && (self.held.len() > HELD_FLOWS
                || open_since.is_none_or(|open| first.flow.end <= open))
            && let Some(Reverse(Held(Assembled { flow, first, .. }))) = self.held.pop()
        {
            let place = Place { offset: first.offset, line: first.number };
            match judge(flow) {
                Ok(Some(flow)) => batch.flows.push(Located { flow, place }),
                Ok(None) => {}
                Err(reject) => batch.rejected.push(Rejected::new(place, reject, &[])),
            }
        }
    }
}

fn headers(raw: &RawPacket<'_>, unread: &[u8], length: u64) -> Found {
    match Packet::read(raw) {
        Ok(Some(packet)) => Found::Packet(packet),
        Ok(None) => Found::NotIp,
        Err(fault) => Found::Bad(fault, beginning(unread, length)),
    }
}

fn cut(unread: &[u8]) -> Found {
    let detail = "the capture ends in the middle of a record".to_owned();
    Found::Bad(Fault { kind: FaultKind::Container, detail }, beginning(unread, u64::MAX))
}

/// What is kept of a rejected record.
fn beginning(unread: &[u8], length: u64) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    unread[..unread.len().min(length).min(Rejected::KEPT_BYTES)].to_vec()
}

fn reject(fault: Fault) -> Reject {
    let reason = match fault.kind {
        FaultKind::Container => RejectReason::BadCapture,
        FaultKind::Packet => RejectReason::BadPacket,
        FaultKind::Link => RejectReason::UnknownLink,
        FaultKind::Time => RejectReason::BadTime,
        FaultKind::TooLong => RejectReason::TooLong,
    };
    Reject::new(reason, fault.detail)
}

/// A flow that is held back: earliest end first, then in the order of the capture.
struct Held(Assembled);

impl Held {
    fn key(&self) -> (Timestamp, PacketPlace) {
        (self.0.flow.end, self.0.first)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
