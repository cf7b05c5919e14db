//! Flows as Elastic Common Schema documents: Filebeat's and Elastic Agent's netflow, Packetbeat,
//! and our own, which [`flow_document`] writes and the decoder reads back without loss.

mod decode;
mod document;
mod walk;
mod words;

use super::json::{Claim, First, JsonDecoder, Shape, any_object, has_key};
use super::marks::Marks;
use super::pick::{Picker, json_reject};
use super::reject::Reject;
use super::scalar::Scalar;
use super::{Decoder, Format};
use walk::{Document, Path};

pub use document::flow_document;

/// ECS documents.
pub(super) struct Ecs;

impl Format for Ecs {
    fn name(&self) -> &'static str {
        "ecs"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let flow_keys = ["source", "source.ip", "destination", "destination.ip", "netflow"];
        any_object(head, |text| {
            has_key(text, "@timestamp")
                && flow_keys.iter().any(|key| has_key(text, key))
                && Marks::owner_in(text).is_none()
        })
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(First::Ecs))
    }

    fn reads_json(&self) -> bool {
        true
    }
}

/// Claims every object that has no other owner, also to say that nobody knows it.
pub(super) struct EcsShape {
    order: Picker,
}

impl Default for EcsShape {
    fn default() -> Self {
        Self { order: Document::order() }
    }
}

impl Shape for EcsShape {
    fn claim(&mut self, record: &[u8]) -> Result<Claim, Reject> {
        // Broken text is no reason to lose a document: where it matters, it is no address either.
        let text = String::from_utf8_lossy(record);
        let document =
            Document::read(&text, &mut self.order).map_err(|error| json_reject(record, &error))?;
        if document.owner().is_some() {
            return Ok(Claim::Foreign);
        }
        if is_of_another_kind(&document) {
            return Ok(Claim::Mine(Ok(None)));
        }
        Ok(Claim::Mine(decode::flow(&document).map(Some)))
    }
}

/// Whether a document is no flow and no mistake either: what we write beside flows.
fn is_of_another_kind(document: &Document<'_>) -> bool {
    match document.get(Path::EventDataset) {
        Scalar::Text(set) => set.starts_with("flowsentry.") && set != "flowsentry.flow",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::RejectReason;
    use super::*;

    #[test]
    fn broken_text_is_tolerated_where_no_flow_holds_it() {
        let document = |note: &[u8], ip: &[u8]| {
            [
                br#"{"@timestamp":1795255205000,"network":{"bytes":1},"message":""#.as_slice(),
                note,
                br#"","source":{"ip":""#,
                ip,
                br#""}}"#,
            ]
            .concat()
        };
        let mut decoder = Ecs.decoder();
        assert!(decoder.decode(&document(b"\xff", b"192.0.2.1")).unwrap().is_some());
        let reject = decoder.decode(&document(b"x", b"192.0.2.\xff")).unwrap_err();
        assert_eq!(reject.reason, RejectReason::BadAddress);
    }
}
