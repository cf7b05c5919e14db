//! Flows in event-time order, in bounded memory: an external merge sort.
//!
//! Sorted runs go to unnamed temporary files; the merge reads them side by side. Equal times keep
//! the order of the input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use crate::model::{Flow, Timestamp};
use crate::sources::Place;

use super::PipelineError;

/// A flow that is sorted: its time decides, then its place in the whole input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sortable {
    /// Event time in nanoseconds.
    nanos: i64,
    /// Place in the whole input.
    number: u64,
    /// Which source.
    pub source: u32,
    /// Place within the source.
    offset: u64,
    line: u64,
    /// The flow.
    pub flow: Flow,
}

impl Sortable {
    pub(super) fn new(time: Timestamp, number: u64, source: u32, place: Place, flow: Flow) -> Self {
        Self { nanos: time.nanos(), number, source, offset: place.offset, line: place.line, flow }
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.nanos)
    }

    pub(super) fn place(&self) -> Place {
        Place { offset: self.offset, line: self.line }
    }

    fn key(&self) -> (i64, u64) {
        (self.nanos, self.number)
    }
}

/// Sorts any number of flows, holding `run_flows` of them in memory.
pub(super) struct Sorter {
    run_flows: usize,
    current: Vec<Sortable>,
    runs: Vec<File>,
}

impl Sorter {
    pub(super) fn new(run_flows: usize) -> Self {
        Self { run_flows: run_flows.max(1), current: Vec::new(), runs: Vec::new() }
    }

    pub(super) fn push(&mut self, flow: Sortable) -> Result<(), PipelineError> {
        self.current.push(flow);
        if self.current.len() >= self.run_flows { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), PipelineError> {
        self.current.sort_unstable_by_key(Sortable::key);
        let mut writer = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
        let mut bytes = Vec::new();
        for flow in self.current.drain(..) {
            bytes.clear();
            bytes = postcard::to_extend(&flow, bytes)?;
            writer.write_all(&(bytes.len() as u32).to_le_bytes())?;
            writer.write_all(&bytes)?;
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.runs.push(file);
        Ok(())
    }

    /// Calls `visit` with every flow in order.
    pub(super) fn finish<E: From<PipelineError>>(
        mut self,
        mut visit: impl FnMut(Sortable) -> Result<(), E>,
    ) -> Result<(), E> {
        self.current.sort_unstable_by_key(Sortable::key);
        if self.runs.is_empty() {
            return self.current.into_iter().try_for_each(visit);
        }
        if !self.current.is_empty() {
            self.spill()?;
        }
        // The buffers of all runs together stay at 16 MiB.
        let buffer = ((16 << 20) / self.runs.len()).clamp(4 << 10, 1 << 20);
        let mut runs: Vec<_> =
            self.runs.into_iter().map(|file| BufReader::with_capacity(buffer, file)).collect();
        let mut heads = BinaryHeap::new();
        let mut flows: Vec<Option<Sortable>> = vec![None; runs.len()];
        for (run, reader) in runs.iter_mut().enumerate() {
            flows[run] = read_flow(reader)?;
            heads.extend(flows[run].as_ref().map(|flow| Reverse((flow.key(), run))));
        }
        while let Some(Reverse((_, run))) = heads.pop() {
            let flow = flows[run].take().expect("a run in the heap has a head");
            visit(flow)?;
            flows[run] = read_flow(&mut runs[run])?;
            heads.extend(flows[run].as_ref().map(|flow| Reverse((flow.key(), run))));
        }
        Ok(())
    }
}

fn read_flow(reader: &mut impl Read) -> Result<Option<Sortable>, PipelineError> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    reader.read_exact(&mut bytes)?;
    Ok(Some(postcard::from_bytes(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::flow;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn flows_come_back_in_time_order_and_equal_times_in_input_order(
            seconds in prop::collection::vec(0i64..50, 0..300),
            run_flows in 1usize..100,
        ) {
            let mut sorter = Sorter::new(run_flows);
            for (number, &second) in seconds.iter().enumerate() {
                let place = Place { offset: 0, line: number as u64 };
                let flow = flow().at(second).bytes(number as u64).build();
                sorter.push(Sortable::new(flow.end, number as u64, 0, place, flow)).unwrap();
            }
            let mut found = Vec::new();
            sorter.finish(|flow| -> Result<(), PipelineError> {
                assert_eq!(flow.flow.sent.bytes, flow.place().line);
                found.push((flow.time().seconds(), flow.place().line));
                Ok(())
            }).unwrap();
            let mut expected: Vec<_> = seconds.iter().enumerate().map(|(n, &second)| (second, n as u64)).collect();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
