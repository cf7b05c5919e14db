//! Structure, identity and hostile headers of mails.

use super::*;

fn mail() -> Mail {
    Mail {
        identity: vec!["report".to_owned(), "default".to_owned(), "2026-11-20".to_owned()],
        from: "flowsentry <flowsentry@example.org>".to_owned(),
        to: vec!["ops@example.org".to_owned(), "Zoë <zoe@example.org>".to_owned()],
        subject: "Network report 2026-11-20: 3 hosts need attention, 12 alerts".to_owned(),
        date: "2026-11-21T06:00:00Z".parse().unwrap(),
        text: "3 hosts need attention\n10.0.0.1 → 10.0.0.2\n".to_owned(),
        html: "<p>3 hosts <img src=\"cid:chart@flowsentry\"></p>".to_owned(),
        pictures: vec![Part {
            content_id: "chart@flowsentry".to_owned(),
            name: "chart.png".to_owned(),
            media_type: "image/png",
            bytes: b"\x89PNG\r\n\x1a\n".to_vec(),
        }],
        attachments: vec![Part {
            content_id: String::new(),
            name: "report.json".to_owned(),
            media_type: "application/json",
            bytes: b"{}\n".to_vec(),
        }],
    }
}

fn encoded(mail: &Mail) -> String {
    String::from_utf8(mail.to_bytes().unwrap()).unwrap()
}

/// The lines before the first empty one.
fn headers(message: &str) -> Vec<&str> {
    message.split("\r\n").take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_mail_is_mixed_alternative_related() {
    insta::assert_snapshot!(encoded(&mail()).replace("\r\n", "\n"));
}

#[test]
fn the_same_mail_is_the_same_bytes() {
    assert_eq!(encoded(&mail()), encoded(&mail()));
}

#[test]
fn a_report_of_another_day_is_another_message() {
    let id = |mail: &Mail| {
        let message = encoded(mail);
        let line = headers(&message).into_iter().find(|line| line.starts_with("Message-ID:"));
        line.unwrap().to_owned()
    };
    let rewritten = Mail { text: "corrected".to_owned(), ..mail() };
    let mut next_day = mail();
    next_day.identity[2] = "2026-11-21".to_owned();
    assert_eq!(id(&mail()), id(&rewritten), "the corrected report replaces the first");
    assert_ne!(id(&mail()), id(&next_day));
    assert!(id(&mail()).ends_with("@example.org>"));
}

#[test]
fn no_text_becomes_a_header() {
    let evil = "x\r\nBcc: victim@example.org\r\n\r\n<script>\0";
    let mut hostile = mail();
    hostile.subject = evil.to_owned();
    hostile.attachments[0].name = evil.to_owned();
    hostile.pictures[0].name = evil.to_owned();
    let message = encoded(&hostile);
    let mut lines = message.split("\r\n");
    assert!(!lines.any(|line| line.starts_with("Bcc") || line.starts_with("<script")), "{message}");
    assert_eq!(headers(&message).len(), headers(&encoded(&mail())).len());
}

#[test]
fn addresses_and_content_ids_are_checked() {
    for address in ["nobody", "a@b\r\nBcc: c@d", "", "a@b, c@d"] {
        let error = Mail { to: vec![address.to_owned()], ..mail() }.to_bytes().unwrap_err();
        assert!(matches!(error, NotifyError::Address { .. }), "{address:?}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    let error = Mail { to: Vec::new(), ..mail() }.to_bytes().unwrap_err();
    assert!(matches!(error, NotifyError::NoRecipient));
    let mut hostile = mail();
    hostile.pictures[0].content_id = "a>\r\nX: y".to_owned();
    assert!(matches!(hostile.to_bytes().unwrap_err(), NotifyError::Header { .. }));
}

#[test]
fn a_boundary_in_the_text_separates_nothing() {
    let first = encoded(&mail());
    let known = first.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let hostile = Mail { text: format!("--{known}\n--{known}--\n"), ..mail() };
    let message = encoded(&hostile);
    let now = message.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_ne!(known, now);
}

#[test]
fn a_file_holds_the_whole_mail_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.eml");
    FileOutbox::new(&path).send(&mail()).unwrap();
    FileOutbox::new(&path).send(&mail()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), mail().to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("report.eml");
    let message = FileOutbox::new(&path).send(&mail()).unwrap_err().to_string();
    assert!(message.contains("missing/report.eml"), "{message}");
}
