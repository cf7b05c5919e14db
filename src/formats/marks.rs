//! Which keys show whose record a JSON object is.
//!
//! An object belongs to the first owner of [`KEYS`] of which it holds a key, whatever the value; one
//! without any such key is left to ECS. All shapes ask here, so that at most one claims a record.

use super::json::has_key;

/// Whose record a JSON object is, the deciding owner first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Zeek,
    Goflow2,
    Pmacct,
    Nfdump,
    LogstashNetflow,
}

/// The keys at the top of an object, by owner in the order of [`Owner`].
///
/// pmacct's control records have nothing but `event_type`, which others write too, and `writer_id`.
const KEYS: [(Owner, &[&str]); 4] = [
    (Owner::Zeek, &["id.orig_h"]),
    (
        Owner::Goflow2,
        &[
            "time_received_ns",
            "TimeReceivedNs",
            "time_received",
            "TimeReceived",
            "time_flow_start_ns",
            "TimeFlowStartNs",
            "time_flow_start",
            "TimeFlowStart",
            "time_flow_end_ns",
            "TimeFlowEndNs",
        ],
    ),
    (Owner::Pmacct, &["ip_src", "ip_dst", "writer_id"]),
    (Owner::Nfdump, &["src4_addr", "dst4_addr", "src6_addr", "dst6_addr", "export_sysid"]),
];

/// The keys inside `netflow` that Logstash's codec writes and Filebeat does not; the codec copies
/// the version of the datagram into every event.
const LOGSTASH_KEYS: &[&str] = &[
    "version",
    "ipv4_src_addr",
    "ipv4_dst_addr",
    "ipv6_src_addr",
    "ipv6_dst_addr",
    "sourceIPv4Address",
    "destinationIPv4Address",
    "sourceIPv6Address",
    "destinationIPv6Address",
];

/// The owners of which an object holds a key, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    const fn of(owner: Owner) -> Self {
        Self(1 << owner as u8)
    }

    /// Returns what a key at the top of an object shows.
    pub(super) fn of_key(key: &str) -> Self {
        let found = KEYS.iter().find(|(_, keys)| keys.contains(&key));
        found.map_or(Self::default(), |&(owner, _)| Self::of(owner))
    }

    /// Returns what the path of a value inside an object shows.
    pub(super) fn of_path(path: &str) -> Self {
        match path.strip_prefix("netflow.") {
            Some(key) if LOGSTASH_KEYS.contains(&key) => Self::of(Owner::LogstashNetflow),
            _ => Self::default(),
        }
    }

    /// Adds what another key of the same object shows.
    pub(super) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Returns whose the object is; `None` without any mark.
    pub(super) fn owner(self) -> Option<Owner> {
        let owners =
            [Owner::Zeek, Owner::Goflow2, Owner::Pmacct, Owner::Nfdump, Owner::LogstashNetflow];
        owners.into_iter().find(|&owner| self.0 & Self::of(owner).0 != 0)
    }

    /// Returns whose the record seems to be of which `text` is the beginning: for the head of a
    /// source, where an object may be cut.
    pub(super) fn owner_in(text: &[u8]) -> Option<Owner> {
        let mut marks = Self::default();
        for (owner, keys) in KEYS {
            if keys.iter().any(|key| has_key(text, key)) {
                marks.insert(Self::of(owner));
            }
        }
        if has_key(text, "netflow") && LOGSTASH_KEYS[1..].iter().any(|key| has_key(text, key)) {
            marks.insert(Self::of(Owner::LogstashNetflow));
        }
        marks.owner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_owners_decides_and_not_the_order_of_keys() {
        for keys in [["ip_src", "id.orig_h"], ["id.orig_h", "ip_src"]] {
            let mut marks = Marks::default();
            keys.iter().for_each(|key| marks.insert(Marks::of_key(key)));
            assert_eq!(marks.owner(), Some(Owner::Zeek));
        }
        assert_eq!(Marks::default().owner(), None);
    }

    #[test]
    fn the_keys_of_owners_are_in_their_order_and_no_key_has_two() {
        assert!(KEYS.iter().map(|&(owner, _)| owner as u8).eq(0..4));
        for (owner, keys) in KEYS {
            for key in keys {
                assert_eq!(Marks::of_key(key).owner(), Some(owner), "{key}");
            }
        }
    }

    #[test]
    fn the_codec_is_known_by_keys_inside_its_object_only() {
        assert_eq!(Marks::of_path("netflow.version").owner(), Some(Owner::LogstashNetflow));
        for path in ["netflow.exporter.version", "version", "ipfix.version", "netflow"] {
            assert_eq!(Marks::of_path(path).owner(), None, "{path}");
        }
    }
}
