//! JSON records of mixed kinds: each one is read by what it holds, not by what the stream began with.

use super::ecs::EcsShape;
use super::goflow2::Goflow2Shape;
use super::logstash_netflow::LogstashShape;
use super::nfdump::NfdumpShape;
use super::pmacct::PmacctShape;
use super::reject::{Reject, RejectReason};
use super::zeek_json::ZeekShape;
use super::{Decoder, bounded, head_lines};
use crate::model::Flow;

/// What a shape says to a record.
pub(super) enum Claim {
    /// The record is of this shape, whatever became of it; `None` for control records and other
    /// logs.
    Mine(Result<Option<Flow>, Reject>),
    /// The record is of another shape. At most one shape claims any record
    /// ([`Marks`](super::marks::Marks)), so that the order in which they are asked does not matter.
    Foreign,
}

/// One kind of JSON flow record.
pub(super) trait Shape: Send {
    /// Reads a record; rejects one that is broken, whosever it is.
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject>;
}

/// Asks the shapes in turn, the one that claimed the last record first.
pub(super) struct JsonDecoder {
    shapes: [Box<dyn Shape>; 6],
    first: usize,
}

/// The shapes, in the order of [`JsonDecoder::shapes`].
#[derive(Clone, Copy)]
pub(super) enum First {
    Goflow2,
    Zeek,
    Pmacct,
    Nfdump,
    LogstashNetflow,
    Ecs,
}

impl JsonDecoder {
    pub(super) fn new(first: First) -> Self {
        Self {
            shapes: [
                Box::new(Goflow2Shape::default()),
                Box::new(ZeekShape::default()),
                Box::new(PmacctShape::default()),
                Box::new(NfdumpShape::default()),
                Box::new(LogstashShape::default()),
                Box::new(EcsShape::default()),
            ],
            first: first as usize,
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<Option<Flow>, Reject> {
        let record = bounded(record)?;
        if record.trim_ascii().is_empty() {
            return Ok(None);
        }
        // A broken record is broken for all, but some read over broken text that others reject. Of
        // several answers the first shape's counts, whoever was asked first.
        let mut rejected: Option<(usize, Reject)> = None;
        for turn in 0..self.shapes.len() {
            let asked = (self.first + turn) % self.shapes.len();
            match self.shapes[asked].claim(record) {
                Ok(Claim::Mine(flow)) => {
                    self.first = asked;
                    return flow;
                }
                Ok(Claim::Foreign) => {}
                Err(reject) => {
                    if rejected.as_ref().is_none_or(|&(shape, _)| asked < shape) {
                        rejected = Some((asked, reject));
                    }
                }
            }
        }
        Err(rejected.map_or_else(
            || Reject::new(RejectReason::UnknownShape, "no kind of flow record"),
            |(_, reject)| reject,
        ))
    }
}

/// Whether any of the first lines of a source is a JSON object for which `is_mine` holds of its
/// text. The text, not the object, because the last line may be cut.
pub(super) fn any_object(head: &[u8], is_mine: impl Fn(&[u8]) -> bool) -> bool {
    head_lines(head).any(|line| line.trim_ascii_start().starts_with(b"{") && is_mine(line))
}

/// Whether `text` holds `key` as a quoted JSON string.
pub(super) fn has_key(text: &[u8], key: &str) -> bool {
    memchr::memmem::find_iter(text, key.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        before == Some(&b'"') && text.get(at + key.len()) == Some(&b'"')
    })
}

#[cfg(test)]
mod tests {
    use super::super::by_name;
    use super::*;
    use crate::model::FlowOrigin;

    const GOFLOW2: &str = r#"{"type":"IPFIX","time_received_ns":1795234469421276811,"bytes":1,"packets":1,"src_addr":"10.0.0.1","dst_addr":"10.0.0.2","proto":"TCP","src_port":1,"dst_port":2}"#;
    const ZEEK: &str = r#"{"ts":1664462456.5,"id.orig_h":"10.0.0.1","id.orig_p":4,"id.resp_h":"10.0.0.2","id.resp_p":53,"proto":"udp","conn_state":"S0"}"#;
    const PMACCT: &str = r#"{"event_type":"purge","ip_src":"10.0.0.1","ip_dst":"10.0.0.2","port_src":1,"port_dst":2,"ip_proto":"udp","timestamp_start":"2026-11-21 10:00:00.5","packets":1,"bytes":1}"#;
    const NFDUMP: &str = r#"{"type":"FLOW","export_sysid":1,"first":"2026-11-21T10:00:00.000","last":"2026-11-21T10:00:01.000","in_packets":1,"in_bytes":1,"proto":17,"src_port":1,"dst_port":2,"src4_addr":"10.0.0.1","dst4_addr":"10.0.0.2","sampled":0}"#;
    const CODEC: &str = r#"{"@timestamp":"2026-11-21T10:00:00Z","host":"10.0.0.9","netflow":{"version":5,"ipv4_src_addr":"10.0.0.1","ipv4_dst_addr":"10.0.0.2","l4_src_port":1,"l4_dst_port":2,"protocol":17,"in_bytes":1,"in_pkts":1}}"#;
    const ECS: &str = r#"{"@timestamp":"2026-11-21T10:00:00Z","source":{"ip":"10.0.0.1"},"destination":{"ip":"10.0.0.2"},"network":{"bytes":1,"packets":1,"transport":"udp"}}"#;

    const FORMATS: [&str; 6] =
        ["goflow2", "zeek_json", "pmacct", "nfdump", "logstash_netflow", "ecs"];

    #[test]
    fn a_mixed_stream_is_read_record_by_record_from_any_start() {
        for first in FORMATS {
            let mut decoder = by_name(first).unwrap().decoder();
            for (json, origin) in [
                (ECS, FlowOrigin::Ecs),
                (GOFLOW2, FlowOrigin::Ipfix),
                (PMACCT, FlowOrigin::Pmacct),
                (ZEEK, FlowOrigin::Zeek),
                (ECS, FlowOrigin::Ecs),
                (CODEC, FlowOrigin::NetflowV5),
                (NFDUMP, FlowOrigin::Nfdump),
                (ZEEK, FlowOrigin::Zeek),
                (CODEC, FlowOrigin::NetflowV5),
                (GOFLOW2, FlowOrigin::Ipfix),
            ] {
                let flow = decoder.decode(json.as_bytes()).unwrap().unwrap();
                assert_eq!(flow.origin, origin, "{first}");
            }
        }
    }

    #[test]
    fn what_a_record_is_does_not_depend_on_the_records_before() {
        for (json, reason) in [
            (r#"{"a":1}"#, RejectReason::UnknownShape),
            (r#"[1,2]"#, RejectReason::WrongType),
            (r#"{"a":"#, RejectReason::NotJson),
            (r#"{"time_received_ns":true,"src_addr":""}"#, RejectReason::WrongType),
        ] {
            for first in FORMATS {
                let mut decoder = by_name(first).unwrap().decoder();
                let reject = decoder.decode(json.as_bytes()).expect_err(json);
                assert_eq!(reject.reason, reason, "{first} {json}");
            }
        }
    }

    #[test]
    fn control_records_of_pmacct_are_passed_over() {
        for first in FORMATS {
            let mut decoder = by_name(first).unwrap().decoder();
            for kind in ["purge_init", "purge_close"] {
                let record = format!(r#"{{"event_type":"{kind}","writer_id":"default/1"}}"#);
                assert_eq!(decoder.decode(record.as_bytes()), Ok(None));
            }
        }
    }

    #[test]
    fn a_key_is_found_in_quotes_only() {
        assert!(has_key(b"{\"xab\":1,\"ab\":2}", "ab"));
        assert!(!has_key(b"{\"xab\":1,\"aby\":2} ab", "ab"));
        assert!(!has_key(b"ab", "ab"));
    }
}
