//! Builders for tests and benches: one line arranges one flow.

pub mod capture;
pub mod crash;
pub mod mmdb;

use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::model::{
    ConnectionState, Counters, Flow, FlowOrigin, NetworkType, Outcome, Protocol, TcpFlags,
    Timestamp,
};

/// A flow under construction: TCP from 10.0.0.1:50000 to 10.0.0.2:80, one packet of 60 bytes, at
/// the epoch, exported as NetFlow v9 without receive time.
#[derive(Clone, Debug)]
pub struct FlowBuilder(Flow);

/// Returns a builder with ordinary values.
pub fn flow() -> FlowBuilder {
    let mut flow = Flow::new(FlowOrigin::NetflowV9, Timestamp::default(), Timestamp::default());
    flow.network = NetworkType::Ipv4;
    flow.protocol = Some(Protocol::TCP);
    flow.sent = Counters { bytes: 60, packets: 1 };
    FlowBuilder(flow).from("10.0.0.1").from_port(50_000).to("10.0.0.2").to_port(80)
}

/// Returns an address.
///
/// # Panics
/// When the text is no address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("tests write valid addresses")
}

impl FlowBuilder {
    /// Sets the source address.
    pub fn from(mut self, address: &str) -> Self {
        self.0.source.ip = Some(ip(address));
        self
    }

    /// Sets the destination address.
    pub fn to(mut self, address: &str) -> Self {
        self.0.destination.ip = Some(ip(address));
        self
    }

    /// Sets the source address by number.
    pub fn from_ip(mut self, address: IpAddr) -> Self {
        self.0.source.ip = Some(address);
        self
    }

    /// Sets the destination address by number.
    pub fn to_ip(mut self, address: IpAddr) -> Self {
        self.0.destination.ip = Some(address);
        self
    }

    /// Sets the source port.
    pub fn from_port(mut self, port: u16) -> Self {
        self.0.source.port = Some(port);
        self
    }

    /// Sets the destination port.
    pub fn to_port(mut self, port: u16) -> Self {
        self.0.destination.port = Some(port);
        self
    }

    /// Sets the bytes sent.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.0.sent.bytes = bytes;
        self
    }

    /// Sets the packets sent.
    pub fn packets(mut self, packets: u64) -> Self {
        self.0.sent.packets = packets;
        self
    }

    /// Makes the record describe both directions.
    pub fn returned(mut self, bytes: u64, packets: u64) -> Self {
        self.0.returned = Some(Counters { bytes, packets });
        self
    }

    /// Sets start and end, in seconds since the epoch.
    pub fn at(mut self, seconds: i64) -> Self {
        self.0.start = Timestamp::from_seconds(seconds);
        self.0.end = self.0.start;
        self
    }

    /// Sets start and end.
    pub fn at_time(mut self, time: Timestamp) -> Self {
        self.0.start = time;
        self.0.end = time;
        self
    }

    /// Sets the receive time, in seconds since the epoch.
    pub fn received(mut self, seconds: i64) -> Self {
        self.0.received = Some(Timestamp::from_seconds(seconds));
        self
    }

    /// Sets the protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.0.protocol = Some(protocol);
        self
    }

    /// Sets the TCP flags.
    pub fn flags(mut self, flags: u16) -> Self {
        self.0.tcp_flags = Some(TcpFlags(flags));
        self
    }

    /// A lone SYN: a probe.
    pub fn syn(self) -> Self {
        self.flags(TcpFlags::SYN)
    }

    /// Sets the connection state.
    pub fn state(mut self, state: ConnectionState) -> Self {
        self.0.state = Some(state);
        self
    }

    /// Sets the outcome.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Sets exporter and sequence number.
    pub fn export(mut self, exporter: &str, sequence: u32) -> Self {
        self.0.exporter = Some(ip(exporter));
        self.0.sequence = Some(sequence);
        self
    }

    /// Sets the kind of export.
    pub fn origin(mut self, origin: FlowOrigin) -> Self {
        self.0.origin = origin;
        self
    }

    /// Sets the sampling rate; 0 = unknown.
    pub fn sampled(mut self, rate: u32) -> Self {
        self.0.sampling_rate = NonZeroU32::new(rate);
        self
    }

    /// Sets the VLAN.
    pub fn vlan(mut self, vlan: u16) -> Self {
        self.0.vlan = Some(vlan);
        self
    }

    /// Returns the flow.
    pub fn build(self) -> Flow {
        self.0
    }
}
