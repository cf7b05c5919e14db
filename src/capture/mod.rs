//! Packets of a capture → flows of both directions.
//!
//! A [`Container`] cuts the bytes of a pcap or pcapng file into packets, [`Packet::read`] takes from
//! the headers what flows are made of, and an [`Assembler`] puts the packets of a five-tuple together
//! until the connection is closed, idle, or too old. All of it is pure: bytes and packets come in as
//! arguments, the time is that of the packets. No input makes it panic; what cannot be used is a
//! [`Fault`].
//!
//! Whoever wants more of a flow than its record (lengths, gaps between packets) gives the assembler
//! [`Statistics`] of his own.

mod assembler;
mod clock;
mod contact;
mod container;
mod fragments;
mod ip;
mod key;
mod link;
mod packet;
mod pcap;
mod pcapng;
mod queues;
mod transport;

use serde::{Deserialize, Serialize};

use crate::model::SettingError;

pub use assembler::{Assembled, Assembler, Direction, Statistics};
pub use container::{Container, Item, PacketPlace, RawPacket, Step, is_capture};
pub use packet::{IcmpPart, Packet, TcpPart};

/// Why a piece of a capture could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    /// The class.
    pub kind: FaultKind,
    /// What was found: a short sentence of our own words and numbers.
    pub detail: String,
}

/// The classes of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file is broken at this place, or ends here too early.
    Container,
    /// The headers of a packet are cut or contradict themselves.
    Packet,
    /// A kind of link that cannot be read.
    Link,
    /// A packet without a time, or with one outside 1970 to 2262.
    Time,
    /// More bytes than [`MAX_PACKET_BYTES`].
    TooLong,
}

impl Fault {
    fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    fn packet(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Packet, detail)
    }
}

/// The longest packet that is read, with the header of its record. Capture tools cut at 256 KiB.
pub const MAX_PACKET_BYTES: usize = 1 << 20;

/// When a flow ends, and how many may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A TCP connection without packets for so many seconds has ended (at least 1).
    pub tcp_idle_seconds: u32,
    /// The same for all other protocols (at least 1).
    pub idle_seconds: u32,
    /// A flow that lasts longer than so many seconds is continued in another record (at least 1).
    pub active_seconds: u32,
    /// Most flows that are open at once (at least 1), about 400 bytes each. Beyond it the one that
    /// was idle for longest is taken as ended.
    pub max_flows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tcp_idle_seconds: 300, idle_seconds: 60, active_seconds: 1_800, max_flows: 200_000 }
    }
}

impl Limits {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        for (key, is_zero) in [
            ("tcp_idle_seconds", self.tcp_idle_seconds == 0),
            ("idle_seconds", self.idle_seconds == 0),
            ("active_seconds", self.active_seconds == 0),
            ("max_flows", self.max_flows == 0),
        ] {
            if is_zero {
                return Err(SettingError::new(
                    format!("input.capture.{key}"),
                    "must be at least 1",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_nothing_names_its_key() {
        let error = |limits: Limits| limits.check().map_err(|error| error.to_string());
        let default = Limits::default();
        assert_eq!(error(default), Ok(()));
        for (limits, key) in [
            (Limits { tcp_idle_seconds: 0, ..default }, "tcp_idle_seconds"),
            (Limits { idle_seconds: 0, ..default }, "idle_seconds"),
            (Limits { active_seconds: 0, ..default }, "active_seconds"),
            (Limits { max_flows: 0, ..default }, "max_flows"),
        ] {
            let expected = format!("setting `input.capture.{key}` must be at least 1");
            assert_eq!(error(limits), Err(expected));
        }
    }
}
