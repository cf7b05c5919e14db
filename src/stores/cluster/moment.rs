//! Everything of a family as of one moment, page by page: a point in time, and `search_after`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::answer::{AnswerError, read_hits};
use super::connection::{Call, Cluster, Reply};
use super::error::ClusterError;
use super::query::search_body;
use super::server::Flavour;
use super::store::targets_of;
use super::wire::Method;
use crate::stores::moment::{check_pages, page_end};
use crate::stores::{Family, Hit, Moment, Namespace, Pages, SearchRequest, StoreError};

/// How long a server keeps a point in time after the last page; the caller may work on a page for
/// as long. What is forgotten is opened anew, and costs the moment, not the reading.
const KEEP_ALIVE: &str = "10m";

/// A moment that a server remembers.
pub(super) struct ClusterMoment<'a> {
    cluster: &'a Cluster,
    family: Family,
    namespace: Namespace,
    targets: String,
    point: Mutex<Point>,
}

#[derive(Clone, PartialEq)]
enum Point {
    /// The server's name for it; any answer may give a new one.
    Open(Value),
    /// There is no index.
    Nothing,
    /// This server has no points in time.
    Unknown,
}

impl<'a> ClusterMoment<'a> {
    pub(super) fn open(
        cluster: &'a Cluster,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Self, StoreError> {
        let targets = targets_of(family, namespace);
        let point = Mutex::new(open_point(cluster, &targets, family)?);
        Ok(Self { cluster, family, namespace: namespace.clone(), targets, point })
    }

    fn point(&self) -> MutexGuard<'_, Point> {
        self.point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces `forgotten`, unless another reader has done so.
    fn reopen(&self, forgotten: &Point) -> Result<(), StoreError> {
        let mut point = self.point();
        if *point == *forgotten {
            tracing::debug!("the point in time is gone; another one is opened");
            *point = open_point(self.cluster, &self.targets, self.family)?;
        }
        Ok(())
    }
}

impl Moment for ClusterMoment<'_> {
    fn pages<'b>(
        &'b self,
        request: &SearchRequest,
        page: usize,
    ) -> Result<Box<dyn Pages + 'b>, StoreError> {
        check_pages(request, page, self.family, &self.namespace)?;
        if request.sort.is_empty() && *self.point() == Point::Unknown {
            let what = "reading in the order of the disk".to_owned();
            return Err(StoreError::Unsupported { what, store: self.cluster.product() });
        }
        let request = request.clone();
        Ok(Box::new(ClusterPages { moment: self, request, page, after: None, is_last: false }))
    }
}

impl Drop for ClusterMoment<'_> {
    fn drop(&mut self) {
        let Point::Open(id) = self.point().clone() else { return };
        let (path, body) = match self.cluster.server().flavour {
            Flavour::Elasticsearch => ("/_pit", json!({"id": id})),
            Flavour::OpenSearch => ("/_search/point_in_time", json!({"pit_id": [id]})),
        };
        let call = Call::new("closing a point in time", Method::Delete, path).json(body).once();
        // It would be gone after a while anyway.
        if let Err(error) = self.cluster.find(&call) {
            tracing::debug!(%error, "a point in time was not closed");
        }
    }
}

struct ClusterPages<'a> {
    moment: &'a ClusterMoment<'a>,
    request: SearchRequest,
    page: usize,
    /// The sort values of the last hit, as the server gave them: also those that it adds itself to
    /// tell equals apart.
    after: Option<Value>,
    is_last: bool,
}

impl Pages for ClusterPages<'_> {
    fn next_page(&mut self) -> Result<Vec<Hit>, StoreError> {
        if self.is_last {
            return Ok(Vec::new());
        }
        let mut answer = self.answer()?;
        self.cut(&mut answer);
        let hits = read_hits(&self.request, &answer).map_err(|error| match error {
            AnswerError::Request(error) => StoreError::Request(error),
            AnswerError::Unreadable(reason) => {
                ClusterError::Answer { action: action(self.request.family), reason }.into()
            }
        })?;
        self.after = answer
            .pointer("/hits/hits")
            .and_then(|hits| hits.as_array()?.last()?.get("sort"))
            .cloned();
        self.is_last |= self.after.is_none();
        Ok(hits)
    }
}

impl ClusterPages<'_> {
    /// How many hits are asked for. Elasticsearch tells equals apart in a point in time; elsewhere one
    /// hit more says whether the next page would begin with an equal of the last.
    fn wanted(&self) -> usize {
        match self.moment.cluster.server().flavour {
            Flavour::Elasticsearch => self.page,
            Flavour::OpenSearch => (self.page + 1).min(SearchRequest::MAX_HITS),
        }
    }

    /// Cuts the answer to a page that does not part equals.
    fn cut(&mut self, answer: &mut Value) {
        let Some(hits) = answer.pointer_mut("/hits/hits").and_then(Value::as_array_mut) else {
            return;
        };
        self.is_last = hits.len() < self.wanted();
        if self.is_last {
            return;
        }
        if self.moment.cluster.server().flavour == Flavour::OpenSearch {
            let sorts: Vec<_> = hits.iter().map(|hit| hit.get("sort")).collect();
            let end = page_end(&sorts, self.page);
            hits.truncate(end);
        }
    }

    fn answer(&mut self) -> Result<Value, StoreError> {
        let moment = self.moment;
        let mut is_new = false;
        loop {
            let point = moment.point().clone();
            if point == Point::Nothing {
                return Ok(no_hits());
            }
            let reply = moment.cluster.call(&self.call(&point)?)?;
            if is_forgotten(&reply) && !is_new {
                moment.reopen(&point)?;
                self.forget_ties();
                is_new = true;
                continue;
            }
            let answer = reply.demanded(moment.cluster.key())?;
            if let (Point::Open(_), Some(id)) = (&point, answer.get("pit_id")) {
                let mut held = moment.point();
                if *held == point {
                    *held = Point::Open(id.clone());
                }
            }
            return Ok(answer);
        }
    }

    /// Places on the disk, and what the server added to the sort values, mean nothing in another
    /// point in time.
    fn forget_ties(&mut self) {
        if self.request.sort.is_empty() {
            self.after = None;
        }
        if let Some(Value::Array(after)) = &mut self.after {
            after.truncate(self.request.sort.len());
        }
    }

    fn call(&self, point: &Point) -> Result<Call, StoreError> {
        let mut body = search_body(&self.request)?;
        body["size"] = self.wanted().into();
        body["track_total_hits"] = false.into();
        if self.request.sort.is_empty()
            && self.moment.cluster.server().flavour == Flavour::Elasticsearch
        {
            body["sort"] = json!(["_shard_doc"]);
        }
        if let Some(after) = &self.after {
            body["search_after"] = after.clone();
        }
        let path = match point {
            Point::Open(id) => {
                body["pit"] = json!({"id": id, "keep_alive": KEEP_ALIVE});
                "/_search".to_owned()
            }
            Point::Nothing | Point::Unknown => format!("/{}/_search", self.moment.targets),
        };
        let call = Call::new(action(self.request.family), Method::Post, path)
            .query("allow_partial_search_results", "false")
            .json(body);
        Ok(match point {
            Point::Open(_) => call,
            Point::Nothing | Point::Unknown => call.query("ignore_unavailable", "true"),
        })
    }
}

fn no_hits() -> Value {
    json!({"hits": {"hits": []}})
}

/// Whether the answer says that there is no such point in time, at least in a shard.
fn is_forgotten(reply: &Reply) -> bool {
    reply.status >= 400 && reply.body.to_string().contains("search_context_missing_exception")
}

fn action(family: Family) -> String {
    format!("reading all {}", family.name())
}

fn open_point(cluster: &Cluster, targets: &str, family: Family) -> Result<Point, StoreError> {
    let (path, name) = match cluster.server().flavour {
        Flavour::Elasticsearch => (format!("/{targets}/_pit"), "id"),
        Flavour::OpenSearch if cluster.server().is_opensearch_from(2, 4) => {
            (format!("/{targets}/_search/point_in_time"), "pit_id")
        }
        Flavour::OpenSearch => return Ok(Point::Unknown),
    };
    let call = Call::new(action(family), Method::Post, path)
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
        return Ok(Point::Nothing);
    }
    let answer = reply.demanded(cluster.key())?;
    match answer.get(name) {
        Some(id @ Value::String(_)) => Ok(Point::Open(id.clone())),
        Some(_) | None => {
            let reason = "it names no point in time".to_owned();
            Err(ClusterError::Answer { action: action(family), reason }.into())
        }
    }
}
