//! Conversations: what a client and a server said to each other over one service, requests and
//! replies put together, whether one record described both or each came with a record of its own.

use serde::{Deserialize, Serialize};

use crate::model::{Protocol, ServicePort, Subject};

use super::hashing::HostKey;
use super::largest::Largest;
use super::pairs::PairWindow;
use super::services::ServiceCounters;
use super::table::{Entry, Share, merge_ascending, union};

/// What identifies a conversation: client, server, IP protocol and the server's port.
pub type ConversationKey = (HostKey, HostKey, u8, u16);

/// A client and a server over one service, over one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Who opened the contact.
    pub client: HostKey,
    /// Who answers, or should.
    pub server: HostKey,
    /// IP protocol; 255 (reserved by IANA) where there is none.
    pub protocol: u8,
    /// The server's port; 0 for protocols without ports.
    pub port: u16,
    /// What was seen, requests and replies.
    pub counters: ServiceCounters,
    /// Its largest flows.
    pub largest: Largest,
}

impl Entry for Conversation {
    type Key = ConversationKey;

    fn new((client, server, protocol, port): Self::Key) -> Self {
        let counters = ServiceCounters::default();
        Self { client, server, protocol, port, counters, largest: Largest::default() }
    }

    fn key(&self) -> Self::Key {
        (self.client, self.server, self.protocol, self.port)
    }
}

impl Share for Conversation {
    fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.largest.merge(&other.largest);
    }

    fn additions(&self) -> u64 {
        self.counters.records()
    }
}

impl Conversation {
    /// What identifies it.
    pub fn key(&self) -> ConversationKey {
        Entry::key(self)
    }

    /// Client and server as a subject.
    pub fn subject(&self) -> Subject {
        Subject::Pair(self.client.ip(), self.server.ip())
    }

    /// The service without its server.
    pub fn service_port(&self) -> ServicePort {
        ServicePort { protocol: Protocol(self.protocol), port: self.port }
    }

    /// The service as a key: server, protocol, port.
    pub fn service(&self) -> (HostKey, u8, u16) {
        (self.server, self.protocol, self.port)
    }
}

/// Returns the conversations of `pairs` in ascending order.
pub(super) fn stitch(pairs: &[PairWindow]) -> Vec<Conversation> {
    let mut conversations = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let (source, destination) = pair.hosts();
        pair.counters.services.for_each(|service, seen| {
            let (client, server) =
                if service.source_answers { (destination, source) } else { (source, destination) };
            let (protocol, port) = (service.protocol, service.port);
            let (counters, largest) = (seen.counters, seen.largest.clone());
            conversations.push(Conversation { client, server, protocol, port, counters, largest });
        });
    }
    union(conversations, usize::MAX).0
}

/// Adds the conversations of a short window to those of its long one, at most `cap` of them: the
/// first in their order. Returns how many additions found no room.
pub(super) fn gather(minute: &mut Vec<Conversation>, pane: &[Conversation], cap: usize) -> u64 {
    merge_ascending(minute, pane);
    let beyond = minute.split_off(cap.min(minute.len()));
    beyond.iter().map(Conversation::additions).fold(0, u64::saturating_add)
}
