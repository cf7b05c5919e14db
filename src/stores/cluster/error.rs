//! What goes wrong with a cluster, each with its cause and the way out.

use serde_json::Value;

use super::server::Flavour;
use crate::model::SettingError;

/// Why a cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The client could not be made.
    #[error("the client for `{host}` cannot be made: {reason}")]
    Client {
        /// Address.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// No node took the request.
    #[error(
        "no node of `{key}.hosts` can be reached ({reason}): is the cluster running, and are the \
         addresses right, `http://` or `https://` included?"
    )]
    Unreachable {
        /// Settings of the cluster.
        key: &'static str,
        /// The last failure, with the address.
        reason: String,
    },
    /// The node's certificate is not trusted.
    #[error(
        "the certificate of `{host}` is not trusted ({reason}): the server needs one for that host \
         name, signed by an authority of the system or of `{key}.ssl.certificate_authorities`"
    )]
    Certificate {
        /// Settings of the cluster.
        key: &'static str,
        /// Address.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The node wants a certificate of the client, or another one.
    #[error(
        "`{host}` wants another client certificate ({reason}): set `{key}.ssl.certificate` and \
         `{key}.ssl.key`"
    )]
    ClientCertificate {
        /// Settings of the cluster.
        key: &'static str,
        /// Address.
        host: String,
        /// What the node says.
        reason: String,
    },
    /// No node answered in time.
    #[error(
        "`{host}` did not answer within {seconds} s: the cluster is overloaded or \
         `{key}.timeout_seconds` too short"
    )]
    Timeout {
        /// Settings of the cluster.
        key: &'static str,
        /// Address.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The user or key is not known.
    #[error(
        "`{host}` refuses the credentials (401): check `{key}.username` and the password, or the \
         API key"
    )]
    Unauthorized {
        /// Settings of the cluster.
        key: &'static str,
        /// Address.
        host: String,
    },
    /// The user may not do this.
    #[error("{action} is not allowed (403: {reason}): give the user that privilege, see README.md")]
    Forbidden {
        /// What was tried.
        action: String,
        /// What the server says.
        reason: String,
    },
    /// Another product than the settings say.
    #[error(
        "`{host}` is {found}, but is configured under `{}`: move the settings to `{}`",
        configured.key(), found_key
    )]
    WrongFlavour {
        /// Address.
        host: String,
        /// What the settings say.
        configured: Flavour,
        /// What answers.
        found: String,
        /// Where the settings belong.
        found_key: &'static str,
    },
    /// Something else answers.
    #[error(
        "`{host}` does not answer like Elasticsearch or OpenSearch ({excerpt}): is the address that \
         of a proxy, of Kibana or of another service?"
    )]
    NotACluster {
        /// Address.
        host: String,
        /// The beginning of the answer.
        excerpt: String,
    },
    /// Something between us and the cluster answers.
    #[error(
        "`{host}` answers {status} with a page ({excerpt}), not as a cluster does: look at the \
         proxy there and whether it reaches the cluster, or name the nodes themselves"
    )]
    Proxy {
        /// Address.
        host: String,
        /// HTTP status.
        status: u16,
        /// The words of the page.
        excerpt: String,
    },
    /// An index takes no writes.
    #[error(
        "{action}: the index is read-only ({reason}): free disk space, or lift the block by setting \
         `index.blocks.write` or `index.blocks.read_only_allow_delete` to null"
    )]
    ReadOnly {
        /// What was tried.
        action: String,
        /// What the server says.
        reason: String,
    },
    /// The request is larger than the server takes.
    #[error("{action}: the server refuses so large a request (413): lower `{key}.bulk_max_bytes`")]
    TooLarge {
        /// Settings of the cluster.
        key: &'static str,
        /// What was tried.
        action: String,
    },
    /// The cluster cannot do it now.
    #[error(
        "{action}: the cluster is not able to ({status}: {reason}): look at its health \
         (`GET _cluster/health`)"
    )]
    Unavailable {
        /// What was tried.
        action: String,
        /// HTTP status.
        status: u16,
        /// What the server says.
        reason: String,
    },
    /// This server has no such function.
    #[error("{action}: this server does not have that function ({reason})")]
    Missing {
        /// What was tried.
        action: String,
        /// What the server says.
        reason: String,
    },
    /// The request was refused.
    #[error("{action}: refused ({status} {kind}: {reason})")]
    Refused {
        /// What was tried.
        action: String,
        /// HTTP status.
        status: u16,
        /// The server's word for the failure, for example `mapper_parsing_exception`.
        kind: String,
        /// What the server says.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("{action}: the answer cannot be read: {reason}")]
    Answer {
        /// What was tried.
        action: String,
        /// What is wrong.
        reason: String,
    },
}

/// A failure in the words of a server: its kind and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub kind: String,
    pub reason: String,
}

/// The longest text of a server in a message.
const REASON_CHARACTERS: usize = 500;

impl Cause {
    /// Reads `{"error": …}`, or an `error` itself; either may be a text.
    pub(super) fn read(answer: &Value) -> Self {
        let error = answer.get("error").unwrap_or(answer);
        if let Some(text) = error.as_str() {
            return Self { kind: String::new(), reason: bounded(text) };
        }
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).map(bounded).unwrap_or_default()
        };
        let (kind, mut reason) = (text(error, "type"), text(error, "reason"));
        // The outermost reason of a mapping failure names the document, the innermost what is wrong.
        let mut inner = error.get("caused_by").or_else(|| error.pointer("/root_cause/0"));
        let mut depth = 0;
        while let Some(cause) = inner.filter(|_| depth < 5) {
            let inside = text(cause, "reason");
            if !inside.is_empty() && !reason.contains(&inside) {
                reason = bounded(&format!("{reason}: {inside}"));
            }
            inner = cause.get("caused_by");
            depth += 1;
        }
        Self { kind, reason }
    }
}

/// Text of a server for a message: without control characters, bounded.
pub(crate) fn bounded(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = shown.clone().take(REASON_CHARACTERS).collect();
    if shown.count() > REASON_CHARACTERS {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_innermost_reason_is_told() {
        let answer = json!({"error": {
            "type": "document_parsing_exception", "reason": "failed to parse field [a]",
            "caused_by": {"type": "x", "reason": "'nobody' is not an IP string literal."}
        }, "status": 400});
        let cause = Cause::read(&answer);
        assert_eq!(cause.kind, "document_parsing_exception");
        assert_eq!(
            cause.reason,
            "failed to parse field [a]: 'nobody' is not an IP string literal."
        );
        assert_eq!(Cause::read(&json!({"error": "no handler found"})).reason, "no handler found");
        assert_eq!(Cause::read(&json!(5)).reason, "");
    }

    #[test]
    fn hostile_text_is_cut_and_cleaned() {
        assert_eq!(bounded("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(bounded(&"x".repeat(10_000)).chars().count(), REASON_CHARACTERS + 1);
    }
}
