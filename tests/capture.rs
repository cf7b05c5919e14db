//! Packet captures as input: what becomes of packets, of whole captures, and of broken ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "capture/broken.rs"]
mod broken;
#[path = "capture/contacts.rs"]
mod contacts;
#[path = "capture/files.rs"]
mod files;
#[path = "capture/flows.rs"]
mod flows;
#[path = "capture/program.rs"]
mod program;
#[path = "capture/real.rs"]
mod real;

use std::io::Cursor;

use flowsentry::model::Flow;
use flowsentry::sources::{CaptureLimits, CaptureNotes, FileSource, Located, Opening, Rejected};
use flowsentry::testkit::capture::{ETHERNET, Frame, pcap};

/// What a source gave in all.
#[derive(Debug, Default)]
struct Reading {
    located: Vec<Located>,
    rejected: Vec<Rejected>,
    notes: CaptureNotes,
    records: u64,
    /// The error at its end.
    problem: Option<String>,
}

impl Reading {
    fn flows(&self) -> Vec<Flow> {
        self.located.iter().map(|located| located.flow.clone()).collect()
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.rejected.iter().map(|rejected| rejected.reject.reason.name()).collect()
    }
}

fn read_with(capture: CaptureLimits, file: Vec<u8>) -> Reading {
    let opening = Opening { capture, ..Opening::default() };
    let mut reading = Reading::default();
    let source = FileSource::from_reader("made".into(), Box::new(Cursor::new(file)), &opening);
    let mut source = match source {
        Ok(source) => source,
        Err(error) => {
            reading.problem = Some(error.to_string());
            return reading;
        }
    };
    loop {
        match source.next_batch(false) {
            Ok(None) => return reading,
            Ok(Some(batch)) => {
                reading.located.extend(batch.flows);
                reading.rejected.extend(batch.rejected);
                reading.notes.add(batch.capture);
                reading.records += batch.records;
            }
            Err(error) => {
                reading.problem = Some(error.to_string());
                return reading;
            }
        }
    }
}

fn read(file: Vec<u8>) -> Reading {
    read_with(CaptureLimits::default(), file)
}

/// The flows of a sound capture of Ethernet frames, in the order of their first packets.
fn flows_of(frames: &[Frame]) -> Vec<Flow> {
    flows_within(CaptureLimits::default(), frames)
}

fn flows_within(limits: CaptureLimits, frames: &[Frame]) -> Vec<Flow> {
    let mut reading = read_with(limits, pcap(ETHERNET, frames));
    assert_eq!((reading.reasons(), &reading.problem), (vec![], &None));
    reading.located.sort_by_key(|located| located.place);
    reading.flows()
}

/// No time-outs: what has one key is one flow until it is closed.
const ENDLESS: CaptureLimits = CaptureLimits {
    tcp_idle_seconds: u32::MAX,
    idle_seconds: u32::MAX,
    active_seconds: u32::MAX,
    max_flows: 1_000_000,
};

/// A flow on one line: who, packets and bytes each way, flags, state, outcome.
fn line(flow: &Flow) -> String {
    let end = |end: flowsentry::model::Endpoint| {
        let ip = end.ip.map_or("-".to_owned(), |ip| ip.to_string());
        end.port.map_or(ip.clone(), |port| format!("{ip}:{port}"))
    };
    let returned = flow.returned.map_or("-".to_owned(), |r| format!("{}/{}", r.packets, r.bytes));
    let flags = flow.tcp_flags.map_or(String::new(), |flags| format!(" flags {:#x}", flags.0));
    let icmp = flow.icmp.map_or(String::new(), |icmp| format!(" icmp {}/{}", icmp.kind, icmp.code));
    let state = flow.state.map_or("-", |state| state.name());
    format!(
        "{} {} > {} {}/{} {returned}{flags}{icmp} {state} {:?}",
        flow.protocol.unwrap(),
        end(flow.source),
        end(flow.destination),
        flow.sent.packets,
        flow.sent.bytes,
        flow.outcome
    )
}

fn lines(flows: &[Flow]) -> Vec<String> {
    flows.iter().map(line).collect()
}
