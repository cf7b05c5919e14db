//! How credentials go out, and that they stay out of sight.

use std::fs;

use flowsentry::model::Secret;
use flowsentry::stores::{Cluster, ClusterSettings, Flavour};
use serde_json::json;

use super::scripted::{self, Reply, Scripted, on};
use super::{connect, health, root, settings};

/// Base64 of `carol:open sesame`.
const BASIC: &str = "Basic Y2Fyb2w6b3BlbiBzZXNhbWU=";

fn with_password(server: &Scripted) -> ClusterSettings {
    ClusterSettings {
        username: Some("carol".to_owned()),
        password: Some(Secret::new("open sesame")),
        ..settings(&[server])
    }
}

/// The header of every request that a cluster with these settings sends.
fn sent(more: impl Fn(&Scripted) -> ClusterSettings, flavour: Flavour) -> Option<String> {
    let root = match flavour {
        Flavour::Elasticsearch => scripted::elasticsearch("9.1.0"),
        Flavour::OpenSearch => scripted::opensearch("2.19.4"),
    };
    let server = Scripted::with([
        on("GET", "/").json(200, root),
        on("GET", "/_cluster/health").json(200, json!({})),
    ]);
    let cluster = Cluster::connect(flavour, &more(&server)).unwrap();
    cluster.demand(&health()).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let headers: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(headers[0], headers[1]);
    headers[0].map(str::to_owned)
}

#[test]
fn credentials_are_sent_with_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let (password_file, api_key_file) = (folder.path().join("password"), folder.path().join("key"));
    fs::write(&password_file, "open sesame\n").unwrap();
    fs::write(&api_key_file, "aWQ6a2V5\r\n").unwrap();
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let sent = |more: &dyn Fn(&Scripted) -> ClusterSettings| sent(more, flavour);
        assert_eq!(sent(&|server| settings(&[server])), None);
        assert_eq!(sent(&with_password).as_deref(), Some(BASIC));
        let from_file = |server: &Scripted| ClusterSettings {
            username: Some("carol".to_owned()),
            password_file: Some(password_file.clone()),
            ..settings(&[server])
        };
        assert_eq!(sent(&from_file).as_deref(), Some(BASIC));
        let key = |server: &Scripted| ClusterSettings {
            api_key: Some(Secret::new("id:key")),
            ..settings(&[server])
        };
        assert_eq!(sent(&key).as_deref(), Some("ApiKey aWQ6a2V5"));
        let key_file = |server: &Scripted| ClusterSettings {
            api_key_file: Some(api_key_file.clone()),
            ..settings(&[server])
        };
        assert_eq!(sent(&key_file).as_deref(), Some("ApiKey aWQ6a2V5"));
    }
}

#[test]
fn secrets_are_neither_in_messages_nor_in_debug_output() {
    let replies = [
        Reply::json(401, json!({"error": {"type": "security_exception", "reason": "no"}})),
        Reply::json(403, json!({"error": {"type": "security_exception", "reason": "no"}})),
        Reply::json(503, json!({})),
        Reply::html(200),
        Reply::close(),
    ];
    for reply in replies {
        let server = Scripted::with([root(), on("GET", "/_").reply(reply)]);
        let cluster = connect(&with_password(&server));
        let error = cluster.demand(&health()).unwrap_err();
        for text in [error.to_string(), format!("{error:?}"), format!("{cluster:?}")] {
            assert!(!text.contains("sesame") && !text.contains("Y2Fyb2w"), "{text}");
        }
    }
}

#[test]
fn a_password_that_no_header_can_carry_is_not_shown() {
    let server = Scripted::with([root()]);
    let settings =
        ClusterSettings { api_key: Some(Secret::new("sesame\nsesame")), ..settings(&[&server]) };
    let error = Cluster::connect(Flavour::Elasticsearch, &settings).unwrap_err();
    assert!(error.to_string().ends_with("hold a character that HTTP cannot carry"), "{error}");
    assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
}
