//! Mail → MIME message.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};

use super::{Mail, NotifyError, Part};
use crate::model::{Timestamp, document_id};

/// Subjects are cut here; a header line may have 998 characters.
const LONGEST_SUBJECT: usize = 200;

pub(super) fn message(mail: &Mail) -> Result<Message, NotifyError> {
    let from = mailbox(&mail.from)?;
    if mail.to.is_empty() {
        return Err(NotifyError::NoRecipient);
    }
    let mut builder = Message::builder()
        .message_id(Some(message_id(mail, &from)))
        .date(system_time(mail.date))
        .from(from)
        .subject(one_line(&mail.subject));
    for address in &mail.to {
        builder = builder.to(mailbox(address)?);
    }
    let content = content(mail)?;
    builder.multipart(content).map_err(|error| NotifyError::Message(error.to_string()))
}

fn mailbox(address: &str) -> Result<Mailbox, NotifyError> {
    let no_address = || NotifyError::Address { address: one_line(address) };
    if address.chars().any(char::is_control) {
        return Err(no_address());
    }
    address.parse().map_err(|_| no_address())
}

/// The same for the same identity, so that a mail that arrives twice is shown once.
fn message_id(mail: &Mail, from: &Mailbox) -> String {
    let parts: Vec<&str> = mail.identity.iter().map(String::as_str).collect();
    format!("<{}@{}>", document_id(&parts), from.email.domain())
}

fn content(mail: &Mail) -> Result<MultiPart, NotifyError> {
    let boundary = Boundary::of(mail);
    let mut related = MultiPart::related()
        .boundary(boundary.name("related"))
        .singlepart(SinglePart::html(mail.html.clone()));
    for picture in &mail.pictures {
        check_token(&picture.content_id, "a content id")?;
        let name = one_line(&picture.name);
        let inline = Attachment::new_inline_with_name(picture.content_id.clone(), name);
        related = related.singlepart(inline.body(picture.bytes.clone(), media_type(picture)?));
    }
    let alternative = MultiPart::alternative()
        .boundary(boundary.name("alternative"))
        .singlepart(SinglePart::plain(mail.text.clone()))
        .multipart(related);
    let mut mixed = MultiPart::mixed().boundary(boundary.name("mixed")).multipart(alternative);
    for part in &mail.attachments {
        let attachment = Attachment::new(one_line(&part.name));
        mixed = mixed.singlepart(attachment.body(part.bytes.clone(), media_type(part)?));
    }
    Ok(mixed)
}

/// Separates the parts. A hash over all text: whoever puts a boundary into a text changes it.
struct Boundary(String);

impl Boundary {
    fn of(mail: &Mail) -> Self {
        let mut parts: Vec<&str> = mail.identity.iter().map(String::as_str).collect();
        parts.extend([mail.text.as_str(), mail.html.as_str()]);
        Self(document_id(&parts))
    }

    fn name(&self, kind: &str) -> String {
        format!("flowsentry-{kind}-{}", self.0)
    }
}

fn media_type(part: &Part) -> Result<ContentType, NotifyError> {
    let no_type =
        |_| NotifyError::Header { value: part.media_type.to_owned(), purpose: "a media type" };
    ContentType::parse(part.media_type).map_err(no_type)
}

fn check_token(value: &str, purpose: &'static str) -> Result<(), NotifyError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    if !value.is_empty() && value.bytes().all(allowed) {
        return Ok(());
    }
    Err(NotifyError::Header { value: one_line(value), purpose })
}

/// Returns `text` without control characters and not too long: nothing in it ends a header.
fn one_line(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LONGEST_SUBJECT).collect::<String>().trim().to_owned()
}

/// Mails know years from 1970 on; what lies before becomes the epoch.
fn system_time(time: Timestamp) -> SystemTime {
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
