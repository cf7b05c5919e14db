//! Getting the bytes of a feed, whoever is at the other end.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Certificate, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256};

use super::saved::Head;
use super::{FeedError, state};
use crate::detect::blacklist::{Config, FeedSettings};

/// How many times a server may send us elsewhere.
const MOST_REDIRECTS: usize = 5;
/// How long a connection may take to come about.
const CONNECT_PAUSE: Duration = Duration::from_secs(10);
/// Longest mark of a version that is kept.
const MARK_BYTES: usize = 256;

/// What came.
pub(super) enum Fetched {
    /// The list that the server was told about.
    Unchanged,
    /// A list, and the marks of its version.
    List { bytes: Vec<u8>, etag: Option<String>, last_modified: Option<String> },
}

/// Returns the address, or what is wrong with it; the clause does not show it.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be an address: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with `http://` or `https://`".to_owned()),
    }
}

/// A hash of where the feed comes from: addresses may hold keys.
pub(super) fn origin(feed: &FeedSettings) -> String {
    let mut hash = Sha256::new();
    match (&feed.url, &feed.path) {
        (Some(url), _) => hash.update(url.reveal()),
        (None, Some(path)) => hash.update(path.as_os_str().as_encoded_bytes()),
        (None, None) => {}
    }
    hash.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file of at most `most` bytes.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Fetched, FeedError> {
    let failed = |error| FeedError::File { what: "its file cannot be read", error };
    // A pipe would keep us for ever.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no plain file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(FeedError::TooLarge(most));
    }
    Ok(Fetched::List { bytes, etag: None, last_modified: None })
}

/// An HTTP client for feeds.
pub(super) struct Client {
    http: reqwest::Client,
    timeout_seconds: u32,
}

impl Client {
    pub(super) fn new(settings: &Config) -> Result<Self, FeedError> {
        let timeout = Duration::from_secs(settings.timeout_seconds.into());
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("flowsentry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PAUSE.min(timeout))
            .timeout(timeout)
            // The address may hold a key.
            .referer(false)
            .redirect(redirect::Policy::custom(follow));
        for path in &settings.ssl.certificate_authorities {
            let what = "a file of `ssl.certificate_authorities` cannot be read";
            let pem = fs::read(path).map_err(|error| FeedError::File { what, error })?;
            for authority in Certificate::from_pem_bundle(&pem).map_err(away)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        let http = builder.build().map_err(away)?;
        Ok(Self { http, timeout_seconds: settings.timeout_seconds })
    }

    /// Fetches the list of `feed`, unless it is still the one `before`.
    pub(super) async fn get(
        &self,
        feed: &FeedSettings,
        before: Option<&Head>,
    ) -> Result<Fetched, FeedError> {
        let url = feed.url.as_ref().map(|url| address(url.reveal()));
        let url = url.unwrap_or_else(|| Err("is missing".to_owned())).map_err(FeedError::Away)?;
        let mut request = self.http.get(url);
        let etag = before.and_then(|head| head.etag.as_deref());
        let modified = before.and_then(|head| head.last_modified.as_deref());
        for (name, mark) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
            if let Some(mark) = mark {
                request = request.header(name, mark);
            }
        }
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => FeedError::TimedOut(self.timeout_seconds),
            false => away(error),
        };
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::NOT_MODIFIED if before.is_some() => return Ok(Fetched::Unchanged),
            StatusCode::OK => {}
            status => return Err(FeedError::Status(status.as_u16())),
        }
        let etag = mark_of(response.headers(), &ETAG);
        let last_modified = mark_of(response.headers(), &LAST_MODIFIED);
        let bytes = body(response, feed.max_bytes, failed).await?;
        Ok(Fetched::List { bytes, etag, last_modified })
    }
}

/// Reads the body and stops at `most` bytes, whatever the server said of its length.
async fn body(
    mut response: Response,
    most: u64,
    failed: impl Fn(reqwest::Error) -> FeedError,
) -> Result<Vec<u8>, FeedError> {
    let mut bytes = Vec::new();
    if response.content_length().is_some_and(|length| length > most) {
        return Err(FeedError::TooLarge(most));
    }
    while let Some(chunk) = response.chunk().await.map_err(&failed)? {
        if (bytes.len() + chunk.len()) as u64 > most {
            return Err(FeedError::TooLarge(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn mark_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mark = headers.get(name)?.to_str().ok()?;
    (mark.len() <= MARK_BYTES).then(|| mark.to_owned())
}

/// A few steps, over HTTP alone, and never from a protected connection to an open one.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_protected = attempt.previous().iter().any(|url| url.scheme() == "https");
    let problem = match attempt.url().scheme() {
        _ if attempt.previous().len() > MOST_REDIRECTS => "too many redirects",
        "http" if was_protected => "a redirect leaves the protected connection",
        "http" | "https" => return attempt.follow(),
        _ => "a redirect leaves HTTP",
    };
    attempt.error(problem)
}

/// An error with its causes, without the address.
fn away(error: reqwest::Error) -> FeedError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    FeedError::Away(state::printable(&text))
}
