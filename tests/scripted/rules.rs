//! Answers by method and path.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::message::{Reply, Request};

/// Makes the reply to a request.
type Answer = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What is answered to one kind of request.
pub struct Rule {
    method: String,
    prefix: String,
    answers: Vec<Answer>,
    next: AtomicUsize,
}

/// Begins a rule for the requests of `method` (`*` is any) whose path begins with `prefix`; `/` is
/// that path alone.
pub fn on(method: &str, prefix: &str) -> Rule {
    Rule {
        method: method.to_owned(),
        prefix: prefix.to_owned(),
        answers: Vec::new(),
        next: AtomicUsize::new(0),
    }
}

impl Rule {
    /// Answers `reply`. Given several times, each is for one request, the last for all that follow.
    pub fn reply(self, reply: Reply) -> Self {
        self.with(move |_| reply.clone())
    }

    /// As [`Self::reply`] with JSON.
    pub fn json(self, status: u16, body: Value) -> Self {
        self.reply(Reply::json(status, body))
    }

    /// As [`Self::reply`], made from the request.
    pub fn with(mut self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        self.answers.push(Box::new(answer));
        self
    }

    pub(super) fn fits(&self, request: &Request) -> bool {
        is_to(request, &self.method, &self.prefix)
    }

    pub(super) fn answer(&self, request: &Request) -> Reply {
        let last = self.answers.len().checked_sub(1).expect("a rule has an answer");
        let at = self.next.fetch_add(1, Ordering::SeqCst).min(last);
        (self.answers[at])(request)
    }
}

pub(super) fn is_to(request: &Request, method: &str, prefix: &str) -> bool {
    let is_path = match prefix {
        "/" => request.path == "/",
        _ => request.path.starts_with(prefix),
    };
    (method == "*" || request.method == method) && is_path
}

/// What both products answer to a path that no part of them takes.
pub(super) fn no_handler(request: &Request) -> Reply {
    let Request { method, path, .. } = request;
    let error = format!("no handler found for uri [{path}] and method [{method}]");
    Reply::json(400, json!({"error": error}))
}
