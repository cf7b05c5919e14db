//! One simulated export record.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::{NetworkType, Protocol, Timestamp};

/// One of the three exporting devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exporter {
    /// The router to the Internet: NetFlow version 9, unsampled and says so (rate 1).
    Border,
    /// The core switch: IPFIX, unsampled and does not say so (rate 0).
    Core,
    /// An access switch: sFlow, one packet in 1024.
    Access,
}

impl Exporter {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Border, Self::Core, Self::Access];
    /// One of so many packets is exported by [`Exporter::Access`].
    pub const ACCESS_SAMPLING_RATE: u32 = 1024;

    /// The address that the records come from.
    pub const fn address(self) -> IpAddr {
        IpAddr::V4(match self {
            Self::Border => Ipv4Addr::new(10, 255, 0, 1),
            Self::Core => Ipv4Addr::new(10, 255, 0, 2),
            Self::Access => Ipv4Addr::new(10, 255, 0, 3),
        })
    }

    /// The sampling rate as exported; 0 = not said.
    pub const fn sampling_rate(self) -> u32 {
        match self {
            Self::Border => 1,
            Self::Core => 0,
            Self::Access => Self::ACCESS_SAMPLING_RATE,
        }
    }

    /// The `type` of the goflow2 record.
    pub const fn record_type(self) -> &'static str {
        match self {
            Self::Border => "NETFLOW_V9",
            Self::Core => "IPFIX",
            Self::Access => "SFLOW_5",
        }
    }
}

/// One export record: a flow, a 60 s part of a long flow, or one sampled packet, in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedFlow {
    /// Who exported it.
    pub exporter: Exporter,
    /// When the collector got the datagram; never earlier than that of the record before.
    pub received: Timestamp,
    /// First packet; whole milliseconds for NetFlow and IPFIX.
    pub start: Timestamp,
    /// Last packet, less than 10 s before `received`; for sFlow `start` and `end` are `received`.
    pub end: Timestamp,
    /// Of the datagram: counts datagrams for NetFlow and sFlow, records for IPFIX.
    pub sequence: u32,
    /// Octets with IP headers, for sFlow with the frame; not scaled by the sampling rate.
    pub bytes: u64,
    /// Packets, not scaled; 1 for sFlow.
    pub packets: u64,
    /// Sender; absent for ARP.
    pub source: Option<IpAddr>,
    /// Receiver; absent for ARP.
    pub destination: Option<IpAddr>,
    /// 0 where the protocol has none.
    pub source_port: u16,
    /// 0 where the protocol has none, also for ICMP.
    pub destination_port: u16,
    /// IPv4, IPv6 or ARP.
    pub network: NetworkType,
    /// IP protocol; 0 for ARP.
    pub protocol: Protocol,
    /// The OR over the packets; 0 for other protocols than TCP.
    pub tcp_flags: u8,
    /// ICMP type; 0 for other protocols.
    pub icmp_type: u8,
    /// ICMP code; 0 for other protocols.
    pub icmp_code: u8,
    /// Type of service.
    pub tos: u8,
    /// Index in [`super::Simulation::truth`] of the episode it belongs to. Never exported.
    pub episode: Option<u32>,
}
