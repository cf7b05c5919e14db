//! The same traffic seen by several exporters.
//!
//! Every router on a path exports the same flow. Per pair and window the counters of each exporter
//! are kept apart, and when their five-tuples are mostly the same ones, those of the exporter that
//! saw most count. When they are mostly different ones (two paths that share the load), all count.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::Protocol;

use super::distinct::Distinct;
use super::hashing::{combine, mix};
use super::open_pair::PairFlow;
use super::probes::keep_in_order;
use super::services::Services;
use super::wire::is_ascending;

/// How many exporters of one pair are told apart.
const MOST_EXPORTERS: usize = 8;

/// Counters of one pair, all exporters together or one of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PairCounters {
    /// Flow records (`num_conns`).
    pub conns: u64,
    /// Bytes from source to destination, scaled (`bytes_up`, `src_tx`).
    pub bytes_up: u64,
    /// Bytes that came back, scaled (`bytes_dw`, `dst_tx`).
    pub bytes_down: u64,
    /// Packets from source to destination, scaled.
    pub packets_up: u64,
    /// TCP records.
    pub tcp: u64,
    /// UDP records.
    pub udp: u64,
    /// Distinct five-tuples (`num_flows`).
    pub five_tuples: Distinct,
    pub(super) services: Services,
}

impl PairCounters {
    pub(super) fn add(&mut self, flow: &PairFlow) {
        self.conns += 1;
        self.bytes_up = self.bytes_up.saturating_add(flow.bytes);
        self.bytes_down = self.bytes_down.saturating_add(flow.returned_bytes);
        self.packets_up = self.packets_up.saturating_add(flow.packets);
        self.tcp += u64::from(flow.protocol == Some(Protocol::TCP));
        self.udp += u64::from(flow.protocol == Some(Protocol::UDP));
        let ports = port_key(flow.source_port) << 32 | port_key(flow.destination_port);
        let protocol = flow.protocol.map_or(256, |protocol| u64::from(protocol.0));
        self.five_tuples.insert(combine(ports, protocol));
        self.services.add(flow);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.conns, other.conns),
            (&mut self.bytes_up, other.bytes_up),
            (&mut self.bytes_down, other.bytes_down),
            (&mut self.packets_up, other.packets_up),
            (&mut self.tcp, other.tcp),
            (&mut self.udp, other.udp),
        ] {
            *ours = ours.saturating_add(theirs);
        }
        self.five_tuples.merge(&other.five_tuples);
        self.services.merge(&other.services);
    }
}

/// A port, or a number beyond all ports.
fn port_key(port: Option<u16>) -> u64 {
    port.map_or(1 << 16, u64::from)
}

/// Who saw a pair.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) enum Sightings {
    #[default]
    Nobody,
    /// One exporter, by its key; its counters are those of the pair.
    One(u64),
    /// Several, ascending by key.
    Several(Vec<(u64, PairCounters)>),
}

impl Sightings {
    /// Notes that `exporter` saw a flow. Returns its own counters, to which the flow is to be added
    /// as well, when the pair was seen by several; `before` are the counters of the pair so far.
    pub(super) fn note(
        &mut self,
        exporter: u64,
        before: &PairCounters,
    ) -> Option<&mut PairCounters> {
        match self {
            Self::Nobody => {
                *self = Self::One(exporter);
                return None;
            }
            Self::One(known) if *known == exporter => return None,
            Self::One(known) => *self = Self::Several(vec![(*known, before.clone())]),
            Self::Several(_) => {}
        }
        let Self::Several(exporters) = self else { return None };
        keep_in_order(exporters, exporter, MOST_EXPORTERS, mix)
    }

    /// Takes what other sightings hold; `ours` and `theirs` are the counters of both pairs before
    /// they are merged.
    pub(super) fn merge(&mut self, other: &Self, ours: &PairCounters, theirs: &PairCounters) {
        match (&*self, other) {
            (_, Self::Nobody) => {}
            (Self::One(a), Self::One(b)) if a == b => {}
            (Self::Nobody, other) => *self = other.clone(),
            (known, other) => {
                let mut exporters = known.parts(ours);
                for (exporter, seen) in other.parts(theirs) {
                    if let Some(own) = keep_in_order(&mut exporters, exporter, MOST_EXPORTERS, mix)
                    {
                        own.merge(&seen);
                    }
                }
                *self = Self::Several(exporters);
            }
        }
    }

    /// Each exporter with its counters; those of a single one are the pair's.
    fn parts(&self, whole: &PairCounters) -> Vec<(u64, PairCounters)> {
        match self {
            Self::Nobody => Vec::new(),
            Self::One(exporter) => vec![(*exporter, whole.clone())],
            Self::Several(exporters) => exporters.clone(),
        }
    }

    /// Returns the counters that count instead of the sum, when the same traffic was seen several
    /// times: those of the exporter that saw most (bytes, then records; of equal ones the lower key).
    pub(super) fn most(&self, sum: &PairCounters) -> Option<&PairCounters> {
        let Self::Several(exporters) = self else { return None };
        let tuples = |counters: &PairCounters| counters.five_tuples.count();
        let all: u64 = exporters.iter().map(|(_, seen)| tuples(seen)).fold(0, u64::saturating_add);
        let largest = exporters.iter().map(|(_, seen)| tuples(seen)).max()?;
        // With nothing in common, the union has as many as all together; with everything, as many
        // as the largest.
        let common = all.saturating_sub(tuples(sum));
        if common == 0 || common.saturating_mul(2) < all - largest {
            return None;
        }
        let rank =
            |seen: &PairCounters| (seen.bytes_up.saturating_add(seen.bytes_down), seen.conns);
        let most = exporters.iter().rev().max_by_key(|(_, seen)| rank(seen));
        most.map(|(_, seen)| seen)
    }
}

impl<'de> Deserialize<'de> for Sightings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Read {
            Nobody,
            One(u64),
            Several(Vec<(u64, PairCounters)>),
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::Nobody => Self::Nobody,
            Read::One(exporter) => Self::One(exporter),
            Read::Several(exporters) => {
                let is_sound = (2..=MOST_EXPORTERS).contains(&exporters.len())
                    && is_ascending(&exporters, |(key, _)| *key);
                if !is_sound {
                    return Err(D::Error::custom("exporters out of order, or too many"));
                }
                Self::Several(exporters)
            }
        })
    }
}
