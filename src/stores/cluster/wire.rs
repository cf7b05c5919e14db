//! One node behind the client of its product. The two clients differ in their types alone; beyond
//! this file they are one.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::ClusterError;
use super::server::Flavour;
use super::settings::{ClusterSettings, VerificationMode};
use crate::model::SettingError;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Put in place.
    Put,
    /// Do.
    Post,
    /// Remove.
    Delete,
    /// Is it there?
    Head,
}

impl Method {
    /// The word of HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }
}

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub method: Method,
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Bytes>,
    pub content_type: &'static str,
    pub compressed: bool,
    pub timeout: Duration,
}

/// An answer as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// No answer came, or only a part of one.
#[derive(Clone, Debug)]
pub(super) struct NoAnswer {
    pub timed_out: bool,
    pub reason: String,
}

/// One node. Clones share their connections.
#[derive(Clone)]
pub(super) enum Wire {
    Elasticsearch(elasticsearch::http::transport::Transport),
    OpenSearch(opensearch::http::transport::Transport),
}

/// The product alone: the clients would show the key of a client certificate.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elasticsearch(_) => "Elasticsearch(..)",
            Self::OpenSearch(_) => "OpenSearch(..)",
        })
    }
}

/// What all nodes of a cluster share: credentials and certificates, read once.
pub(super) struct Access {
    authorization: Option<String>,
    authorities: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
    verification: VerificationMode,
}

impl Access {
    /// Reads the files that the settings name.
    pub(super) fn read(key: &str, settings: &ClusterSettings) -> Result<Self, SettingError> {
        let ssl = &settings.ssl;
        let in_place =
            |error: SettingError| SettingError::new(format!("{key}.{}", error.key), error.problem);
        let read = |path: &Path, name: &str| {
            fs::read(path).map_err(|error| {
                let problem = format!("cannot be read from `{}`: {error}", path.display());
                SettingError::new(format!("{key}.{name}"), problem)
            })
        };
        let mut authorities = Vec::new();
        for path in &ssl.certificate_authorities {
            authorities.extend(read(path, "ssl.certificate_authorities")?);
            authorities.push(b'\n');
        }
        let identity = match (&ssl.certificate, &ssl.key) {
            (Some(certificate), Some(private)) => {
                let mut pem = read(certificate, "ssl.certificate")?;
                pem.push(b'\n');
                pem.extend(read(private, "ssl.key")?);
                Some(pem)
            }
            _ => None,
        };
        let password = settings.read_password().map_err(in_place)?;
        let api_key = settings.read_api_key().map_err(in_place)?;
        let authorization = match (&settings.username, password, api_key) {
            (_, _, Some(api_key)) => Some(format!("ApiKey {}", encoded_api_key(api_key.reveal()))),
            (Some(user), Some(password), None) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
            }
            _ => None,
        };
        let authorities = (!authorities.is_empty()).then_some(authorities);
        Ok(Self { authorization, authorities, identity, verification: ssl.verification_mode })
    }
}

impl Access {
    /// Names the settings whose files the client was made of, for the message that it could not be.
    fn question(&self) -> &'static str {
        match (&self.authorities, &self.identity) {
            (None, None) => "",
            (Some(_), None) => ": do the files of `ssl.certificate_authorities` hold certificates?",
            (None, Some(_)) => {
                ": do `ssl.certificate` and `ssl.key` hold a certificate and its key?"
            }
            (Some(_), Some(_)) => {
                ": do `ssl.certificate_authorities`, `ssl.certificate` and `ssl.key` hold what \
                 their names say?"
            }
        }
    }
}

/// `id:key` is encoded; what has no colon is so already.
fn encoded_api_key(api_key: &str) -> String {
    if api_key.contains(':') { STANDARD.encode(api_key) } else { api_key.to_owned() }
}

/// Makes the transport of one of the two crates, whose builders have the same shape.
macro_rules! transport {
    ($product:ident, $variant:ident, $host:expr, $access:expr, $finish:expr) => {{
        use $product::auth::{ClientCertificate, Credentials};
        use $product::cert::{Certificate, CertificateValidation};
        use $product::http::headers::{AUTHORIZATION, HeaderValue};
        use $product::http::transport::{SingleNodeConnectionPool, TransportBuilder};

        let failed = |reason: String| ClusterError::Client { host: $host.to_owned(), reason };
        let url = $product::http::Url::parse($host).map_err(|error| failed(error.to_string()))?;
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url));
        if let Some(authorization) = &$access.authorization {
            let mut value = HeaderValue::from_str(authorization).map_err(|_| {
                failed("the credentials hold a character that HTTP cannot carry".to_owned())
            })?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(pem) = &$access.identity {
            builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem.clone())));
        }
        match ($access.verification, &$access.authorities) {
            (VerificationMode::None, _) => {
                builder = builder.cert_validation(CertificateValidation::None);
            }
            (VerificationMode::Full, Some(pem)) => {
                let chain = Certificate::from_pem(pem)
                    .map_err(|error| failed(chain_of(&error) + $access.question()))?;
                builder = builder.cert_validation(CertificateValidation::Full(chain));
            }
            (VerificationMode::Full, None) => {}
        }
        let finish: fn(TransportBuilder) -> TransportBuilder = $finish;
        let transport = finish(builder)
            .build()
            .map_err(|error| failed(chain_of(&error) + $access.question()))?;
        Self::$variant(transport)
    }};
}

/// Sends through the transport of one of the two crates.
macro_rules! send {
    ($product:ident, $transport:expr, $outgoing:expr) => {{
        use $product::http::headers::{
            CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT,
        };

        let method = match $outgoing.method {
            Method::Get => $product::http::Method::Get,
            Method::Put => $product::http::Method::Put,
            Method::Post => $product::http::Method::Post,
            Method::Delete => $product::http::Method::Delete,
            Method::Head => $product::http::Method::Head,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static($outgoing.content_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        if $outgoing.compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let query = (!$outgoing.query.is_empty()).then_some(&$outgoing.query);
        let (body, timeout) = ($outgoing.body.clone(), Some($outgoing.timeout));
        let no_answer = |error: $product::Error| NoAnswer {
            timed_out: error.is_timeout(),
            reason: chain_of(&error),
        };
        // A part of an answer is none.
        let cut = |error: $product::Error| NoAnswer {
            timed_out: error.is_timeout(),
            reason: format!("the answer broke off: {}", chain_of(&error)),
        };
        let response = $transport
            .send(method, &$outgoing.path, headers, query, body, timeout)
            .await
            .map_err(no_answer)?;
        let status = response.status_code().as_u16();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await.map_err(cut)?;
        Ok(Incoming { status, retry_after, body })
    }};
}

const USER_AGENT_TEXT: &str = concat!("flowsentry/", env!("CARGO_PKG_VERSION"));

impl Wire {
    /// Returns the client of one node.
    pub(super) fn to(flavour: Flavour, host: &str, access: &Access) -> Result<Self, ClusterError> {
        Ok(match flavour {
            Flavour::Elasticsearch => {
                transport!(elasticsearch, Elasticsearch, host, access, |builder| {
                    builder.enable_meta_header(false)
                })
            }
            Flavour::OpenSearch => {
                transport!(opensearch, OpenSearch, host, access, |builder| builder)
            }
        })
    }

    /// Sends once. Cancel-safe in that nothing of ours is lost; the server may have acted.
    pub(super) async fn send(&self, outgoing: &Outgoing) -> Result<Incoming, NoAnswer> {
        match self {
            Self::Elasticsearch(transport) => send!(elasticsearch, transport, outgoing),
            Self::OpenSearch(transport) => send!(opensearch, transport, outgoing),
        }
    }
}

/// What the client says around the cause: that a request failed, which our messages say better.
const EMPTY_WORDS: [&str; 2] = ["error sending request for url", "client error ("];

/// An error with its causes, each said once.
fn chain_of(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let words = error.to_string();
        let is_empty = EMPTY_WORDS.iter().any(|empty| words.starts_with(empty)) && next.is_some();
        if !is_empty && !text.contains(&words) {
            let separator = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{separator}{words}");
        }
    }
    super::error::bounded(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_may_be_encoded_or_not() {
        assert_eq!(encoded_api_key("id:key"), "aWQ6a2V5");
        assert_eq!(encoded_api_key("aWQ6a2V5"), "aWQ6a2V5");
    }
}
