//! Mails, and where they go.
//!
//! ```text
//! Mail (plain data) ─encode→ RFC 5322 bytes ─Sender→ file, later a server
//! ```
//!
//! A [`Mail`] is data: sender, recipients, date and content are arguments, nothing is read from the
//! clock, and ids and boundaries are a function of the content, so that the same mail is the same
//! bytes. Headers are checked values; no text in a mail can become a header of its own.

mod encode;
mod file;

use crate::model::Timestamp;

pub use file::FileOutbox;

/// A mail with text, HTML, pictures and attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What makes this mail the same mail when it is sent again, for example
    /// `["report", "default", "2026-11-20"]`; becomes the Message-ID.
    pub identity: Vec<String>,
    /// Who sends it: `flowsentry@example.org` or `Name <address>`.
    pub from: String,
    /// Who gets it, at least one, each like `from`.
    pub to: Vec<String>,
    /// One line; control characters become blanks.
    pub subject: String,
    /// When it was written; a mail knows whole seconds.
    pub date: Timestamp,
    /// For programs that show no HTML.
    pub text: String,
    /// Refers to its pictures as `cid:<content id>`.
    pub html: String,
    /// Shown within the HTML.
    pub pictures: Vec<Part>,
    /// Shown below it.
    pub attachments: Vec<Part>,
}

/// A file in a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Content id of a picture, without `cid:` and brackets; not used for attachments.
    pub content_id: String,
    /// File name.
    pub name: String,
    /// For example `image/png`.
    pub media_type: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Takes mails.
pub trait Sender: Send + Sync {
    /// Hands `mail` over; when this returns, the mail is no longer the caller's worry. Blocks:
    /// async callers use `spawn_blocking`. Sending the same mail again is harmless to readers, as
    /// it has the same Message-ID.
    ///
    /// # Errors
    /// [`NotifyError`]; the mail was not taken then.
    fn send(&self, mail: &Mail) -> Result<(), NotifyError>;
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Not an address.
    #[error("`{address}` is not a mail address such as `name@example.org`")]
    Address {
        /// What was given.
        address: String,
    },
    /// Nobody would get it.
    #[error("the mail has no recipient; name at least one")]
    NoRecipient,
    /// A content id or media type cannot stand in a header.
    #[error("`{value}` cannot be used as {purpose}")]
    Header {
        /// What was given.
        value: String,
        /// What for.
        purpose: &'static str,
    },
    /// The message could not be put together.
    #[error("putting the mail together: {0}")]
    Message(String),
    /// The file could not be written.
    #[error("writing the mail to `{path}`: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl Mail {
    /// Returns the mail as it travels (RFC 5322 and MIME, lines end in CR LF): mixed (related
    /// alternatives, then attachments), the structure that the most mail programs show rightly.
    ///
    /// # Errors
    /// When an address, content id or media type is none.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NotifyError> {
        Ok(encode::message(self)?.formatted())
    }
}

#[cfg(test)]
mod tests;
