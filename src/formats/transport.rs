//! What formats that only copy the fields of an export say about the transport of a flow.

use super::{icmp, port_of};
use crate::model::{Counters, Flow, Outcome, Protocol, TcpFlags};

/// The transport fields of a record, as it holds them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transport {
    pub(super) protocol: Option<Protocol>,
    pub(super) source_port: Option<u16>,
    pub(super) destination_port: Option<u16>,
    pub(super) tcp_flags: Option<u16>,
    pub(super) icmp_type: Option<u8>,
    pub(super) icmp_code: Option<u8>,
    /// ICMP type · 256 + code where the record has it outside the destination port.
    pub(super) icmp_type_and_code: Option<u16>,
}

impl Transport {
    /// Puts the fields into a flow whose network is known: ports only where the protocol has them,
    /// TCP flags only in TCP, where 0 stands for not said, type and code only in ICMP.
    pub(super) fn fill(self, flow: &mut Flow) {
        flow.protocol = icmp::for_network(self.protocol, flow.network);
        flow.source.port = port_of(flow.protocol, self.source_port);
        flow.destination.port = port_of(flow.protocol, self.destination_port);
        if flow.protocol == Some(Protocol::TCP) {
            flow.tcp_flags = self.tcp_flags.filter(|&flags| flags != 0).map(TcpFlags);
        }
        if flow.protocol.is_some_and(Protocol::is_icmp) {
            let hidden = self.icmp_type_and_code.or(self.destination_port);
            let hidden = hidden.filter(|&both| both != 0);
            flow.icmp = icmp::exported(flow, self.icmp_type, self.icmp_code, hidden);
        }
    }
}

/// Puts the way back into a flow. Without flags of both ends a TCP connection may have been refused,
/// but whatever else was answered was exchanged.
pub(super) fn fill_way_back(flow: &mut Flow, returned: Counters) {
    flow.returned = Some(returned);
    if returned.packets > 0 && flow.protocol != Some(Protocol::TCP) {
        flow.outcome = Outcome::Exchanged;
    }
    icmp::drop_empty_answer(flow);
}
