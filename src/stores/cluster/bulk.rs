//! Creating many documents: cut into requests bounded by number and bytes, several on their way at a
//! time, every answer judged document by document.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::connection::{Call, Cluster, Pauses};
use super::error::{Cause, ClusterError};
use super::wire::Method;
use crate::stores::document::check_document;
use crate::stores::{BulkItem, Document};

/// What is read of an answer; the rest would be ten times as much.
const ANSWER: &str = "error,status,items.*.status,items.*.error";

/// Statuses of one document after which the same document may be taken later.
const fn is_retriable(status: u64) -> bool {
    matches!(status, 429 | 500..)
}

/// Creates `documents` under the names that `target` gives for their indices; one item each.
pub(super) fn create_all(
    cluster: &Cluster,
    documents: &[Document],
    target: &(dyn Fn(&Document) -> String + Sync),
) -> Result<Vec<BulkItem>, ClusterError> {
    let mut items: Vec<Option<BulkItem>> = vec![None; documents.len()];
    // Requests overtake each other, and of two documents with the same id the first must win.
    let mut seen = HashSet::with_capacity(documents.len());
    let (mut first, mut repeated) = (Vec::with_capacity(documents.len()), Vec::new());
    for (at, document) in documents.iter().enumerate() {
        let is_first = seen.insert((&document.index, &document.id));
        if is_first { first.push(at) } else { repeated.push(at) }
    }
    let bulk = Bulk { cluster, documents, target };
    for places in [first, repeated] {
        for (at, item) in bulk.create(&places)? {
            items[at] = Some(item);
        }
    }
    let lost =
        || BulkItem::Rejected { reason: "no answer came for it".to_owned(), retriable: true };
    Ok(items.into_iter().map(|item| item.unwrap_or_else(lost)).collect())
}

struct Bulk<'a> {
    cluster: &'a Cluster,
    documents: &'a [Document],
    target: &'a (dyn Fn(&Document) -> String + Sync),
}

/// The lines of one request.
#[derive(Default)]
struct Lines {
    /// Which documents, in order.
    places: Vec<usize>,
    bytes: Vec<u8>,
    /// Where each document begins in `bytes`.
    starts: Vec<usize>,
}

type Judged = Vec<(usize, BulkItem)>;

impl Bulk<'_> {
    /// Creates the documents at `places`, whose ids differ.
    fn create(&self, places: &[usize]) -> Result<Judged, ClusterError> {
        let settings = self.cluster.settings();
        let shares: Vec<&[usize]> = places.chunks(settings.bulk_max_documents).collect();
        if shares.len() <= 1 || settings.bulk_workers == 1 {
            let mut judged = Vec::with_capacity(places.len());
            for share in shares {
                judged.extend(self.create_share(share)?);
            }
            return Ok(judged);
        }
        self.create_in_parallel(&shares, settings.bulk_workers)
    }

    fn create_in_parallel(
        &self,
        shares: &[&[usize]],
        workers: usize,
    ) -> Result<Judged, ClusterError> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let outcome = Mutex::new(Ok(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..workers.min(shares.len()) {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            return;
                        };
                        let created = self.create_share(share);
                        failed.fetch_or(created.is_err(), Ordering::Relaxed);
                        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                        match (created, &mut *outcome) {
                            (Ok(judged), Ok(all)) => all.extend(judged),
                            (Err(error), Ok(_)) => *outcome = Err(error),
                            (_, Err(_)) => {}
                        }
                    }
                });
            }
        });
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks and creates at most as many documents as one request may hold, in as many requests
    /// as their bytes need.
    fn create_share(&self, share: &[usize]) -> Result<Judged, ClusterError> {
        let most = self.cluster.settings().bulk_max_bytes;
        let mut judged = Vec::with_capacity(share.len());
        let mut lines = Lines::default();
        let mut one = Vec::new();
        for &at in share {
            let document = &self.documents[at];
            if let Err(reason) = check_document(&document.index, &document.source) {
                judged.push((at, BulkItem::Rejected { reason, retriable: false }));
                continue;
            }
            one.clear();
            self.write(at, &mut one)?;
            if !lines.places.is_empty() && lines.bytes.len() + one.len() > most {
                judged.extend(self.send_until_judged(std::mem::take(&mut lines))?);
            }
            lines.push(at, &one);
        }
        judged.extend(self.send_until_judged(lines)?);
        Ok(judged)
    }

    fn write(&self, at: usize, bytes: &mut Vec<u8>) -> Result<(), ClusterError> {
        let document = &self.documents[at];
        let action = json!({
            "create": {"_index": (self.target)(document), "_id": document.id.as_str()}
        });
        let written = serde_json::to_writer(&mut *bytes, &action).and_then(|()| {
            bytes.push(b'\n');
            serde_json::to_writer(&mut *bytes, &document.source)
        });
        written.map_err(|error| ClusterError::Answer {
            action: "writing a document".to_owned(),
            reason: error.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(())
    }

    /// Sends the lines; documents that the cluster was too busy for are sent again as long as the
    /// settings allow.
    fn send_until_judged(&self, mut lines: Lines) -> Result<Judged, ClusterError> {
        let started = Instant::now();
        let patience = Duration::from_secs(self.cluster.settings().retry_seconds.into());
        let mut pauses = Pauses::default();
        let mut judged = Vec::with_capacity(lines.places.len());
        loop {
            let answered = self.send(&lines)?;
            let pause = pauses.next(None);
            let is_over = started.elapsed() + pause >= patience;
            let mut waiting = Lines::default();
            for (number, (at, item)) in answered.into_iter().enumerate() {
                match item {
                    BulkItem::Rejected { retriable: true, .. } if !is_over => {
                        waiting.push(at, lines.of(number));
                    }
                    item => judged.push((at, item)),
                }
            }
            if waiting.places.is_empty() {
                return Ok(judged);
            }
            tracing::debug!(documents = waiting.places.len(), "the cluster is busy, asking again");
            lines = waiting;
            std::thread::sleep(pause);
        }
    }

    /// Sends the lines in one request, in halves when the server finds it too large.
    fn send(&self, lines: &Lines) -> Result<Judged, ClusterError> {
        if lines.places.is_empty() {
            return Ok(Vec::new());
        }
        let action = match lines.places.len() {
            1 => "indexing a document".to_owned(),
            count => format!("indexing {count} documents"),
        };
        let call = Call::new(action.clone(), Method::Post, "/_bulk")
            .query("filter_path", ANSWER)
            .lines(lines.bytes.clone());
        let reply = self.cluster.call(&call)?;
        if reply.status != 413 {
            let answer = reply.demanded(self.cluster.key())?;
            return judge(&lines.places, &answer)
                .map_err(|reason| ClusterError::Answer { action, reason });
        }
        if let [at] = lines.places[..] {
            let bytes = lines.bytes.len();
            let reason = format!(
                "the document has {bytes} bytes, more than the server takes (413): raise \
                 `http.max_content_length` there, or the limit of the proxy in between"
            );
            return Ok(vec![(at, BulkItem::Rejected { reason, retriable: false })]);
        }
        let (left, right) = lines.halves();
        let mut judged = self.send(&left)?;
        judged.extend(self.send(&right)?);
        Ok(judged)
    }
}

impl Lines {
    fn of(&self, number: usize) -> &[u8] {
        let end = self.starts.get(number + 1).copied().unwrap_or(self.bytes.len());
        &self.bytes[self.starts[number]..end]
    }

    fn push(&mut self, at: usize, bytes: &[u8]) {
        self.starts.push(self.bytes.len());
        self.places.push(at);
        self.bytes.extend_from_slice(bytes);
    }

    fn halves(&self) -> (Self, Self) {
        let (mut left, mut right) = (Self::default(), Self::default());
        for (number, &at) in self.places.iter().enumerate() {
            let half = if number < self.places.len() / 2 { &mut left } else { &mut right };
            half.push(at, self.of(number));
        }
        (left, right)
    }
}

/// Reads what became of each document.
fn judge(places: &[usize], answer: &Value) -> Result<Judged, String> {
    let items = answer.get("items").and_then(Value::as_array).ok_or("it has no items")?;
    if items.len() != places.len() {
        return Err(format!("it has {} items for {} documents", items.len(), places.len()));
    }
    let judged = places.iter().zip(items).map(|(&at, item)| {
        let outcome = item.get("create").ok_or("an item is not about a creation")?;
        Ok((at, judge_item(outcome).ok_or("an item has no status")?))
    });
    judged.collect::<Result<_, &str>>().map_err(str::to_owned)
}

fn judge_item(outcome: &Value) -> Option<BulkItem> {
    let status = outcome.get("status")?.as_u64()?;
    if matches!(status, 200 | 201) {
        return Some(BulkItem::Created);
    }
    let Cause { kind, reason } = Cause::read(outcome);
    if status == 409 {
        return Some(BulkItem::Duplicate);
    }
    if kind == "cluster_block_exception" {
        let error = ClusterError::ReadOnly { action: "indexing".to_owned(), reason };
        return Some(BulkItem::Rejected { reason: error.to_string(), retriable: true });
    }
    // It fits the catalogue, so it fits the mapping of our templates.
    let remedy = match kind.as_str() {
        "document_parsing_exception" | "mapper_parsing_exception" => {
            ": the mapping of the index is not ours, see `flowsentry setup --check`"
        }
        "index_not_found_exception" => ": allow it in `action.auto_create_index` of the cluster",
        _ => "",
    };
    Some(BulkItem::Rejected {
        reason: format!("{kind}: {reason}{remedy}"),
        retriable: is_retriable(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(status: u64, kind: &str) -> Value {
        json!({"create": {"status": status, "error": {"type": kind, "reason": "why"}}})
    }

    #[test]
    fn every_document_is_judged_by_itself() {
        let answer = json!({"errors": true, "items": [
            {"create": {"status": 201}},
            item(409, "version_conflict_engine_exception"),
            item(400, "document_parsing_exception"),
            item(429, "es_rejected_execution_exception"),
            item(503, "unavailable_shards_exception"),
            item(429, "cluster_block_exception"),
        ]});
        let judged = judge(&[3, 4, 5, 6, 7, 8], &answer).unwrap();
        let shown: Vec<_> = judged
            .iter()
            .map(|(at, item)| match item {
                BulkItem::Created => format!("{at} created"),
                BulkItem::Duplicate => format!("{at} duplicate"),
                BulkItem::Rejected { reason, retriable } => format!("{at} {retriable} {reason}"),
            })
            .collect();
        assert_eq!(shown[..2], ["3 created", "4 duplicate"]);
        assert_eq!(
            shown[2],
            "5 false document_parsing_exception: why: the mapping of the index is not ours, see \
             `flowsentry setup --check`"
        );
        assert_eq!(shown[3], "6 true es_rejected_execution_exception: why");
        assert_eq!(shown[4], "7 true unavailable_shards_exception: why");
        assert!(shown[5].starts_with("8 true indexing: the index is read-only (why)"));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_refused() {
        for answer in [
            json!({}),
            json!({"items": []}),
            json!({"items": [{"index": {"status": 201}}]}),
            json!({"items": [{"create": {}}]}),
        ] {
            assert!(judge(&[0], &answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn halves_keep_every_document() {
        let mut lines = Lines::default();
        for (at, text) in ["a\n", "bb\n", "ccc\n"].iter().enumerate() {
            lines.push(at + 10, text.as_bytes());
        }
        let (left, right) = lines.halves();
        assert_eq!((left.places, left.bytes), (vec![10], b"a\n".to_vec()));
        assert_eq!(
            (right.places.clone(), right.bytes.clone()),
            (vec![11, 12], b"bb\nccc\n".to_vec())
        );
        assert_eq!(right.of(1), b"ccc\n");
    }
}
