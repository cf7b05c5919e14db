//! All hits of a request, page by page, as of one moment.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::answer::{AnswerError, read_hits};
use super::connection::{Call, Cluster};
use super::error::ClusterError;
use super::query::search_body;
use super::server::Flavour;
use super::wire::Method;
use crate::stores::{Hit, SearchRequest, StoreError};

/// How long a server keeps a point in time after the last page; the caller may work on a page for
/// as long.
const KEEP_ALIVE: &str = "10m";

/// Calls `each` with the hits of `request` (checked, sorted) in pages, until it breaks.
pub(super) fn scan(
    cluster: &Cluster,
    targets: &str,
    request: &SearchRequest,
    page: usize,
    each: &mut dyn FnMut(Vec<Hit>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let point = match Point::open(cluster, targets, request)? {
        Opened::Point(point) => Some(point),
        Opened::Nothing => return Ok(()),
        Opened::Unknown => None,
    };
    let mut scan = Scan { cluster, targets, request, page, point, after: None };
    let scanned = scan.run(each);
    let Some(point) = scan.point else { return scanned };
    // It would be gone after a while anyway; the hits count more.
    if let Err(error) = point.close(cluster) {
        tracing::debug!(%error, "a point in time was not closed");
    }
    scanned
}

struct Scan<'a> {
    cluster: &'a Cluster,
    targets: &'a str,
    request: &'a SearchRequest,
    page: usize,
    point: Option<Point>,
    /// The sort values of the last hit, as the server gave them: also those that it adds itself to
    /// tell equals apart.
    after: Option<Value>,
}

impl Scan<'_> {
    fn run(&mut self, each: &mut dyn FnMut(Vec<Hit>) -> ControlFlow<()>) -> Result<(), StoreError> {
        loop {
            let answer = self.next_page()?;
            let hits = read_hits(self.request, &answer).map_err(|error| match error {
                AnswerError::Request(error) => StoreError::Request(error),
                AnswerError::Unreadable(reason) => {
                    ClusterError::Answer { action: action(self.request), reason }.into()
                }
            })?;
            let is_last = hits.len() < self.page;
            self.after = answer
                .pointer("/hits/hits")
                .and_then(|hits| hits.as_array()?.last()?.get("sort"))
                .cloned();
            if !hits.is_empty() && each(hits).is_break() {
                return Ok(());
            }
            if is_last || self.after.is_none() {
                return Ok(());
            }
        }
    }

    fn next_page(&mut self) -> Result<Value, StoreError> {
        let mut body = search_body(self.request)?;
        body["size"] = self.page.into();
        body["track_total_hits"] = false.into();
        if let Some(after) = &self.after {
            body["search_after"] = after.clone();
        }
        let path = match &self.point {
            Some(point) => {
                body["pit"] = json!({"id": point.id, "keep_alive": KEEP_ALIVE});
                "/_search".to_owned()
            }
            None => format!("/{}/_search", self.targets),
        };
        let mut call = Call::new(action(self.request), Method::Post, path)
            .query("allow_partial_search_results", "false")
            .json(body);
        if self.point.is_none() {
            call = call.query("ignore_unavailable", "true");
        }
        let answer = self.cluster.demand(&call)?;
        if let (Some(point), Some(id)) = (&mut self.point, answer.get("pit_id")) {
            point.id = id.clone();
        }
        Ok(answer)
    }
}

fn action(request: &SearchRequest) -> String {
    format!("reading all {}", request.family.name())
}

/// A moment that a server remembers.
struct Point {
    id: Value,
}

enum Opened {
    Point(Point),
    /// There is no index.
    Nothing,
    /// This server has no points in time.
    Unknown,
}

impl Point {
    fn open(
        cluster: &Cluster,
        targets: &str,
        request: &SearchRequest,
    ) -> Result<Opened, StoreError> {
        let (path, name) = match cluster.server().flavour {
            Flavour::Elasticsearch => (format!("/{targets}/_pit"), "id"),
            Flavour::OpenSearch if cluster.server().is_opensearch_from(2, 4) => {
                (format!("/{targets}/_search/point_in_time"), "pit_id")
            }
            Flavour::OpenSearch => return Ok(Opened::Unknown),
        };
        let call = Call::new(action(request), Method::Post, path)
            .query("keep_alive", KEEP_ALIVE)
            .query("ignore_unavailable", "true");
        let reply = cluster.call(&call)?;
        let is_nothing = match reply.status {
            404 => true,
            // OpenSearch trips over its own feet when there is no index.
            400 => reply.body.to_string().contains("invalid id: [null]"),
            _ => false,
        };
        if is_nothing {
            return Ok(Opened::Nothing);
        }
        let answer = reply.demanded(cluster.key())?;
        match answer.get(name) {
            Some(id @ Value::String(_)) => Ok(Opened::Point(Self { id: id.clone() })),
            Some(_) | None => {
                let reason = "it names no point in time".to_owned();
                Err(ClusterError::Answer { action: action(request), reason }.into())
            }
        }
    }

    fn close(self, cluster: &Cluster) -> Result<(), ClusterError> {
        let (path, body) = match cluster.server().flavour {
            Flavour::Elasticsearch => ("/_pit", json!({"id": self.id})),
            Flavour::OpenSearch => ("/_search/point_in_time", json!({"pit_id": [self.id]})),
        };
        let call = Call::new("closing a point in time", Method::Delete, path).json(body);
        cluster.find(&call).map(drop)
    }
}
