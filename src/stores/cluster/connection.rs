//! A cluster as a party to call: several nodes, time-outs, repetition, a run time of its own.
//!
//! A call goes to another node when one does not take it (connection, 429, 502, 503, 504), and is
//! repeated while none does, with growing pauses and jitter, as long as the settings allow. A node
//! that does not answer is left out for a while. Everything that is sent may arrive twice; ids and
//! versions make that harmless.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::error::{Cause, ClusterError, bounded};
use super::server::{Flavour, Server};
use super::settings::ClusterSettings;
use super::wire::{Access, Incoming, Method, NoAnswer, Outgoing, Wire};

/// The first pause before a request is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, also of a server's own wish.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a node that did not answer is left out at first; doubled up to [`LONGEST_PAUSE`].
const FIRST_ABSENCE: Duration = Duration::from_secs(2);
/// Bodies shorter than this are not worth compressing.
const COMPRESSED_BYTES: usize = 1_024;
/// How much is read of an answer that is no JSON.
const EXCERPT_BYTES: usize = 400;
/// Whoever it is must say so in this time.
const ROOT_SECONDS: u64 = 15;

/// A connected cluster. Cheap to clone; clones share everything. All calls block.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
    server: Server,
}

#[derive(Debug)]
struct Inner {
    flavour: Flavour,
    nodes: Vec<Node>,
    next: AtomicUsize,
    timeout: Duration,
    patience: Duration,
    compression: Compression,
    settings: ClusterSettings,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Node {
    host: String,
    wire: Wire,
    absence: Mutex<Absence>,
}

/// Until when a node is left out, and for how long next time.
#[derive(Clone, Copy, Debug, Default)]
struct Absence {
    until: Option<Instant>,
    last: Option<Duration>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    action: String,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Body,
    is_repeated: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Nothing,
    Json(Value),
    Lines(Vec<u8>),
}

impl Call {
    /// Returns a request without a body. `action` says what it is for ("reading the index template
    /// flowsentry-flows"); `path` is taken as it is: whoever puts names into it encodes them.
    pub fn new(action: impl Into<String>, method: Method, path: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            method,
            path: path.into(),
            query: Vec::new(),
            body: Body::Nothing,
            is_repeated: true,
        }
    }

    /// Adds a parameter.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sends JSON.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// Sends lines of JSON, each ended by a line feed.
    pub fn lines(mut self, body: Vec<u8>) -> Self {
        self.body = Body::Lines(body);
        self
    }

    /// Does not repeat it when no node takes it.
    pub fn once(mut self) -> Self {
        self.is_repeated = false;
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The JSON; null when there was no body.
    pub body: Value,
    host: String,
    action: String,
    /// Whether it is a page for people, which no cluster writes.
    is_page: bool,
}

impl Cluster {
    /// Connects: reads certificates and secrets, asks who answers.
    ///
    /// # Errors
    /// When nobody answers, when it is another product, or when the settings cannot be used.
    pub fn connect(flavour: Flavour, settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let access = Access::read(flavour.key(), settings)?;
        let nodes = settings.hosts.iter().map(|host| {
            let wire = Wire::to(flavour, host, &access)?;
            Ok(Node { host: host.clone(), wire, absence: Mutex::default() })
        });
        let nodes = nodes.collect::<Result<Vec<_>, ClusterError>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(|error| ClusterError::Client {
                host: settings.hosts.join(", "),
                reason: error.to_string(),
            })?;
        let inner = Arc::new(Inner {
            flavour,
            nodes,
            next: AtomicUsize::new(0),
            timeout: Duration::from_secs(settings.timeout_seconds.into()),
            patience: Duration::from_secs(settings.retry_seconds.into()),
            compression: Compression::new(settings.compression_level),
            settings: settings.clone(),
            runtime: Some(runtime),
        });
        let server = match settings.version {
            Some(version) => Server::new(flavour, version),
            None => inner.ask_who_it_is()?,
        };
        Ok(Self { inner, server })
    }

    /// Which server it is.
    pub fn server(&self) -> Server {
        self.server
    }

    /// The name of its product, for messages.
    pub fn product(&self) -> &'static str {
        self.inner.flavour.name()
    }

    /// The key of its settings, for messages.
    pub fn key(&self) -> &'static str {
        self.inner.flavour.key()
    }

    /// Its addresses, for messages.
    pub fn hosts(&self) -> String {
        self.inner.settings.hosts.join(", ")
    }

    /// Its settings.
    pub(super) fn settings(&self) -> &ClusterSettings {
        &self.inner.settings
    }

    /// Sends `call` and returns the answer, whatever its status; 429, 502, 503 and 504 only after
    /// the call was repeated as long as the settings allow.
    ///
    /// # Errors
    /// When no node answers, or not with JSON; wrong credentials.
    pub fn call(&self, call: &Call) -> Result<Reply, ClusterError> {
        self.inner.call(call)
    }

    /// As [`Self::call`], but any status of 400 or more is an error.
    ///
    /// # Errors
    /// Also when the answer is a refusal.
    pub fn demand(&self, call: &Call) -> Result<Value, ClusterError> {
        self.call(call)?.demanded(self.key())
    }

    /// As [`Self::demand`], but `None` for 404 (of the cluster, not of a proxy).
    ///
    /// # Errors
    /// Also when the answer is a refusal.
    pub fn find(&self, call: &Call) -> Result<Option<Value>, ClusterError> {
        let reply = self.call(call)?;
        let is_absent = reply.status == 404 && !reply.is_page;
        if is_absent { Ok(None) } else { reply.demanded(self.key()).map(Some) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Dropping a run time waits, which an async caller must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn ask_who_it_is(&self) -> Result<Server, ClusterError> {
        let call = Call::new("asking the server for its version", Method::Get, "/");
        let timeout = self.timeout.min(Duration::from_secs(ROOT_SECONDS));
        let reply = self.call_within(&call, timeout)?;
        if reply.status == 403 && !reply.is_page {
            let reason = format!(
                "{}; or set `{}.version`",
                Cause::read(&reply.body).reason,
                self.flavour.key()
            );
            return Err(ClusterError::Forbidden { action: call.action, reason });
        }
        let host = reply.host.clone();
        let body = reply.demanded(self.flavour.key())?;
        let Some(server) = Server::from_root(&body) else {
            return Err(ClusterError::NotACluster { host, excerpt: bounded(&body.to_string()) });
        };
        if server.flavour != self.flavour {
            return Err(ClusterError::WrongFlavour {
                host,
                configured: self.flavour,
                found: server.to_string(),
                found_key: server.flavour.key(),
            });
        }
        Ok(server)
    }

    fn call(&self, call: &Call) -> Result<Reply, ClusterError> {
        self.call_within(call, self.timeout)
    }

    fn call_within(&self, call: &Call, timeout: Duration) -> Result<Reply, ClusterError> {
        let outgoing = self.outgoing(call, timeout);
        let started = Instant::now();
        let patience = if call.is_repeated { self.patience } else { Duration::ZERO };
        let mut pauses = Pauses::default();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let node = self.choose();
            let outcome = self.send(node, &outgoing);
            match &outcome {
                Ok(incoming) if !is_busy(incoming) => {
                    node.answered();
                    return self.read(node, call, incoming);
                }
                // A node that is there and busy is asked again.
                Ok(incoming) if incoming.status == 429 => node.answered(),
                Ok(_) | Err(_) => node.did_not_answer(),
            }
            // Every node is asked before any is waited for.
            if attempts % self.nodes.len() != 0 && self.has_another_node() {
                continue;
            }
            let wish = outcome.as_ref().ok().and_then(|incoming| incoming.retry_after);
            let pause = pauses.next(wish);
            if started.elapsed() + pause >= patience {
                return match outcome {
                    Ok(incoming) => self.read(node, call, &incoming),
                    Err(no_answer) => Err(self.silent(node, no_answer, timeout)),
                };
            }
            report(node, call, &outcome, pauses.count == 1);
            std::thread::sleep(pause);
        }
    }

    fn outgoing(&self, call: &Call, timeout: Duration) -> Outgoing {
        let (plain, content_type) = match &call.body {
            Body::Nothing => (None, "application/json"),
            Body::Json(value) => (Some(value.to_string().into_bytes()), "application/json"),
            Body::Lines(lines) => (Some(lines.clone()), "application/x-ndjson"),
        };
        let is_compressed = self.compression.level() > 0
            && plain.as_ref().is_some_and(|plain| plain.len() >= COMPRESSED_BYTES);
        let body = plain.map(|plain| match is_compressed {
            true => self.compress(&plain),
            false => Bytes::from(plain),
        });
        Outgoing {
            method: call.method,
            path: call.path.clone(),
            query: call.query.clone(),
            body,
            content_type,
            compressed: is_compressed,
            timeout,
        }
    }

    fn compress(&self, plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), self.compression);
        encoder
            .write_all(plain)
            .and_then(|()| encoder.finish())
            .map(Bytes::from)
            .expect("writing to memory does not fail")
    }

    /// Sends on the cluster's own run time and waits, so that no caller's run time is entered.
    fn send(&self, node: &Node, outgoing: &Outgoing) -> Result<Incoming, NoAnswer> {
        let runtime = self.runtime.as_ref().expect("the run time lives as long as the cluster");
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (wire, outgoing) = (node.wire.clone(), outgoing.clone());
        runtime.spawn(async move {
            // A receiver that is gone needs no answer.
            let _ = tell.send(wire.send(&outgoing).await);
        });
        told.recv().unwrap_or_else(|_| {
            Err(NoAnswer { timed_out: false, reason: "the request was given up".to_owned() })
        })
    }

    /// The next node that is not left out; when all are, the one whose time comes first.
    fn choose(&self) -> &Node {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let in_turn = (0..self.nodes.len()).map(|at| &self.nodes[(first + at) % self.nodes.len()]);
        in_turn
            .min_by_key(|node| node.absent_until().filter(|until| *until > now))
            .expect("the settings name at least one node")
    }

    fn has_another_node(&self) -> bool {
        let now = Instant::now();
        self.nodes.len() > 1
            && self.nodes.iter().any(|node| node.absent_until().is_none_or(|until| until <= now))
    }

    fn silent(&self, node: &Node, no_answer: NoAnswer, timeout: Duration) -> ClusterError {
        let key = self.flavour.key();
        if no_answer.timed_out {
            let (host, seconds) = (node.host.clone(), timeout.as_secs());
            return ClusterError::Timeout { key, host, seconds };
        }
        let (host, reason) = (node.host.clone(), no_answer.reason);
        // The client has no types for these.
        if reason.contains("CaUsedAsEndEntity") {
            let reason = "it is that of an authority, and an authority is no server".to_owned();
            return ClusterError::Certificate { key, host, reason };
        }
        if reason.contains("invalid peer certificate") {
            return ClusterError::Certificate { key, host, reason };
        }
        if reason.contains("received fatal alert") && reason.to_lowercase().contains("certificate")
        {
            return ClusterError::ClientCertificate { key, host, reason };
        }
        ClusterError::Unreachable { key, reason: format!("{host}: {reason}") }
    }

    fn read(&self, node: &Node, call: &Call, incoming: &Incoming) -> Result<Reply, ClusterError> {
        let host = node.host.clone();
        if incoming.status == 401 {
            return Err(ClusterError::Unauthorized { key: self.flavour.key(), host });
        }
        let body = match incoming.body.is_empty() {
            true => Value::Null,
            false => match serde_json::from_slice(&incoming.body) {
                Ok(body) => body,
                // A proxy in between refuses in its own words; what it means is in the status.
                Err(_) if incoming.status >= 400 => Value::String(excerpt(&incoming.body)),
                Err(_) => {
                    let excerpt = excerpt(&incoming.body);
                    return Err(ClusterError::NotACluster { host, excerpt });
                }
            },
        };
        let is_page = is_page(&incoming.body);
        Ok(Reply { status: incoming.status, body, host, action: call.action.clone(), is_page })
    }
}

/// Says that a call is repeated: aloud the first time.
fn report(node: &Node, call: &Call, outcome: &Result<Incoming, NoAnswer>, is_first: bool) {
    let (host, action) = (&node.host, &call.action);
    let error = match outcome {
        Ok(incoming) => format!("status {}", incoming.status),
        Err(no_answer) => no_answer.reason.clone(),
    };
    if is_first {
        tracing::warn!(host, action, error, "the cluster does not take a request, asking again");
    } else {
        tracing::debug!(host, action, error, "asking again");
    }
}

/// Whether an answer is HTML or XML.
fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// The beginning of an answer that is no JSON; of a page its words.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    let mut words = String::with_capacity(text.len());
    let mut is_tag = false;
    for letter in text.chars() {
        is_tag |= letter == '<' && is_page(body);
        words.push(if is_tag { ' ' } else { letter });
        is_tag &= letter != '>';
    }
    bounded(words.split_whitespace().collect::<Vec<_>>().join(" ").as_str())
}

/// Whether the server may take the same request later.
fn is_busy(incoming: &Incoming) -> bool {
    matches!(incoming.status, 429 | 502 | 503 | 504) && !has_too_many_buckets(incoming)
}

/// Whether a search asks for more buckets than a server makes, which OpenSearch takes for a
/// weakness of its own (503).
fn has_too_many_buckets(incoming: &Incoming) -> bool {
    incoming.status == 503
        && memchr::memmem::find(&incoming.body, b"too_many_buckets_exception").is_some()
}

impl Node {
    fn absent_until(&self) -> Option<Instant> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner).until
    }

    fn answered(&self) {
        *self.absence.lock().unwrap_or_else(PoisonError::into_inner) = Absence::default();
    }

    fn did_not_answer(&self) {
        let mut absence = self.absence.lock().unwrap_or_else(PoisonError::into_inner);
        let length = absence.last.map_or(FIRST_ABSENCE, |last| (last * 2).min(LONGEST_PAUSE));
        *absence = Absence { until: Some(Instant::now() + length), last: Some(length) };
    }
}

/// Growing pauses with jitter: of many clients that were refused together, each comes back at
/// another moment.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    random: RandomState,
    count: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST_PAUSE, random: RandomState::new(), count: 0 }
    }
}

impl Pauses {
    /// Returns the next pause: between half and the whole of a length that doubles each time, or
    /// the server's `wish` when that is longer.
    pub(super) fn next(&mut self, wish: Option<Duration>) -> Duration {
        self.count += 1;
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.count);
        let half = self.next / 2;
        let jitter = half.mul_f64(hasher.finish() as f64 / u64::MAX as f64);
        let pause = half + jitter;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        pause.max(wish.unwrap_or_default()).min(LONGEST_PAUSE)
    }
}

impl Reply {
    /// Returns the body; statuses of 400 and more as errors.
    pub(super) fn demanded(self, key: &'static str) -> Result<Value, ClusterError> {
        if self.status < 400 {
            return Ok(self.body);
        }
        Err(self.refusal(key))
    }

    /// What the refusal means.
    pub(super) fn refusal(self, key: &'static str) -> ClusterError {
        let Self { status, body, host, action, is_page } = self;
        let Cause { kind, mut reason } = Cause::read(&body);
        if reason.is_empty() {
            reason.clone_from(&kind);
        }
        // A missing function is a 400 or 405 without a type of its own.
        let is_missing = status == 405
            || reason.contains("no handler found")
            || reason.contains("not available when running in serverless mode");
        match status {
            401 => ClusterError::Unauthorized { key, host },
            403 | 429 if kind == "cluster_block_exception" => {
                ClusterError::ReadOnly { action, reason }
            }
            403 | 429 | 500.. if is_page => ClusterError::Proxy { host, status, excerpt: reason },
            403 => ClusterError::Forbidden { action, reason },
            413 => ClusterError::TooLarge { key, action },
            429 | 500.. => ClusterError::Unavailable { action, status, reason },
            _ if is_page => ClusterError::NotACluster { host, excerpt: reason },
            _ if is_missing => ClusterError::Missing { action, reason },
            _ => ClusterError::Refused { action, status, kind, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_jitter_and_stay_bounded() {
        let mut pauses = Pauses::default();
        let mut length = FIRST_PAUSE;
        for _ in 0..12 {
            let pause = pauses.next(None);
            assert!(length / 2 <= pause && pause <= length, "{pause:?}");
            length = (length * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pauses.next(Some(Duration::from_secs(600))), LONGEST_PAUSE);
    }
}
