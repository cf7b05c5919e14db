//! A web server on loopback that answers what a test tells it to, faults included, and remembers
//! what it was asked.
//!
//! ```text
//! Scripted::start(|request| Reply…)            decides by itself
//! Scripted::with([on("GET", "/").json(…), …])  looks the answer up
//! ```
//!
//! HTTP/1.1 with the standard library alone: one thread per connection, ended with the value.
#![allow(dead_code, unused_imports, reason = "each test uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod message;
mod rules;

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use cluster::{bulk_answer, created, elasticsearch, opensearch};
pub use message::{Reply, Request};
pub use rules::{Rule, on};

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running server; dropped, it is gone with all its connections.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    answer: Box<Answer>,
    is_over: AtomicBool,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
}

impl Scripted {
    /// Starts a server that answers each request as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            is_over: AtomicBool::new(false),
            requests: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        let listener = Some(std::thread::spawn(move || accepting.accept(&listener)));
        Self { address, shared, listener }
    }

    /// Starts a server that answers by the first rule that fits; requests without a rule get the
    /// 400 that a search server has for paths that it does not know.
    pub fn with(rules: impl IntoIterator<Item = Rule>) -> Self {
        let rules: Vec<Rule> = rules.into_iter().collect();
        Self::start(move |request| {
            let rule = rules.iter().find(|rule| rule.fits(request));
            rule.map_or_else(|| rules::no_handler(request), |rule| rule.answer(request))
        })
    }

    /// Its address, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The requests of one method whose path begins with `prefix`; `/` is that path alone.
    pub fn requests_to(&self, method: &str, prefix: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| rules::is_to(request, method, prefix));
        requests
    }

    /// Forgets what it was asked.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which looks at the flag then.
        let _ = TcpStream::connect(self.address);
        let mut panics = Vec::new();
        panics.extend(self.listener.take().and_then(|listener| listener.join().err()));
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        for (stream, thread) in connections {
            // Wakes a thread that reads or writes; an error means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
            panics.extend(thread.join().err());
        }
        // A script that fails is a test that fails.
        if let Some(panic) = panics.pop()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            // Small answers go at once.
            let _ = stream.set_nodelay(true);
            let (serving, own) = (self.clone(), stream.try_clone().unwrap());
            let thread = std::thread::spawn(move || serving.serve(own));
            lock(&self.connections).push((stream, thread));
        }
    }

    /// Answers the requests of one connection until either side ends it. The client may go away
    /// at any moment, so failures to read and write end it quietly.
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = &stream;
        while let Some(request) = message::read(&mut reader, &mut writer) {
            lock(&self.requests).push(request.clone());
            let reply = (self.answer)(&request);
            if reply.hangs() {
                // Until the client gives up or the server ends.
                let _ = std::io::copy(&mut (&stream).take(u64::MAX), &mut std::io::sink());
                break;
            }
            let (bytes, is_last) = reply.render(&request);
            if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() || is_last {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
