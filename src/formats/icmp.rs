//! Type and code of ICMP messages, where records hide them in ports.

use crate::model::{Counters, Flow, FlowOrigin, IcmpMessage, NetworkType, Protocol};

/// Returns the message of a NetFlow destination port: type · 256 + code.
pub(super) const fn from_port(port: u16) -> IcmpMessage {
    IcmpMessage { kind: (port >> 8) as u8, code: port as u8 }
}

/// Returns the message of an exported flow from its type, code and destination port.
///
/// sFlow fills type and code; NetFlow and IPFIX exporters mostly hide them in the port and leave 0
/// where they belong. 0/0 is an echo reply in IPv4; in IPv6 it stands for nothing.
pub(super) fn exported(
    flow: &Flow,
    kind: Option<u8>,
    code: Option<u8>,
    port: Option<u16>,
) -> Option<IcmpMessage> {
    let message = match (kind, code, port) {
        (None | Some(0), None | Some(0), Some(port)) if flow.origin != FlowOrigin::Sflow5 => {
            from_port(port)
        }
        (None, None, _) => return None,
        _ => IcmpMessage { kind: kind.unwrap_or(0), code: code.unwrap_or(0) },
    };
    (flow.network == NetworkType::Ipv4 || message.kind != 0).then_some(message)
}

/// Returns the message of Zeek's two "ports": type and code, or type and type of the answer.
pub(super) fn from_zeek(network: NetworkType, first: u8, second: u8) -> IcmpMessage {
    let message = IcmpMessage { kind: first, code: 0 };
    let answered = message
        .pair(network)
        .is_some_and(|(ask, answer)| [(ask, answer), (answer, ask)].contains(&(first, second)));
    if answered { message } else { IcmpMessage { code: second, ..message } }
}

/// Corrects `icmp` to its IPv6 form where the addresses say so: some tools have one name for both.
pub(super) fn for_network(protocol: Option<Protocol>, network: NetworkType) -> Option<Protocol> {
    match (protocol, network) {
        (Some(Protocol::ICMP), NetworkType::Ipv6) => Some(Protocol::ICMPV6),
        _ => protocol,
    }
}

/// Takes the empty way back off a flow of errors and answers: nobody answers those, so their
/// sender is not the one who opened the contact.
pub(super) fn drop_empty_answer(flow: &mut Flow) {
    let unanswerable = flow.icmp.is_some_and(|message| !message.asks(flow.network));
    if unanswerable && flow.returned == Some(Counters::default()) {
        flow.returned = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_port_holds_type_and_code() {
        assert_eq!(from_port(2048), IcmpMessage { kind: 8, code: 0 });
        assert_eq!(from_port(34816), IcmpMessage { kind: 136, code: 0 });
        assert_eq!(from_port(0x0303), IcmpMessage { kind: 3, code: 3 });
    }

    #[test]
    fn zeek_writes_the_code_or_the_type_of_the_answer() {
        let kind_and_code = |network, first, second| {
            let message = from_zeek(network, first, second);
            (message.kind, message.code)
        };
        assert_eq!(kind_and_code(NetworkType::Ipv4, 3, 3), (3, 3));
        assert_eq!(kind_and_code(NetworkType::Ipv4, 13, 14), (13, 0));
        assert_eq!(kind_and_code(NetworkType::Ipv6, 135, 136), (135, 0));
        assert_eq!(kind_and_code(NetworkType::Ipv6, 1, 4), (1, 4));
    }
}
