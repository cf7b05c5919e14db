//! ICMP messages: which of them ask, and which answer.

use serde::{Deserialize, Serialize};

use super::NetworkType;

/// Type and code of an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IcmpMessage {
    /// ICMP type, for example 8 = echo request.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
}

/// Messages that ask and the messages that answer them (RFC 792, 1256, 4443, 4861, 8335).
const PAIRS_V4: &[(u8, u8)] = &[(8, 0), (10, 9), (13, 14), (15, 16), (17, 18), (42, 43)];
const PAIRS_V6: &[(u8, u8)] =
    &[(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145), (160, 161)];

impl IcmpMessage {
    /// The types of the question and the answer that this message is one of.
    pub fn pair(self, network: NetworkType) -> Option<(u8, u8)> {
        let pairs = match network {
            NetworkType::Ipv6 => PAIRS_V6,
            NetworkType::Ipv4 | NetworkType::Arp | NetworkType::Other => PAIRS_V4,
        };
        let holds_it = |&&(ask, answer): &&(u8, u8)| self.kind == ask || self.kind == answer;
        pairs.iter().find(holds_it).copied()
    }

    /// Whether somebody is expected to answer this message.
    pub fn asks(self, network: NetworkType) -> bool {
        self.pair(network).is_some_and(|(ask, _)| ask == self.kind)
    }
}
