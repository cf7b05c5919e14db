//! Certificates and users of a real OpenSearch with its security plugin.

use flowsentry::model::Secret;
use flowsentry::stores::{
    Cluster, ClusterError, ClusterSettings, ClusterStore, Flavour, SslSettings, Store,
};

use super::documents;

/// Settings with everything right; `None`, said aloud, without such a server.
fn right() -> Option<ClusterSettings> {
    let variable = |name: &str| std::env::var(format!("FLOWSENTRY_TEST_OPENSEARCH_{name}"));
    let Ok(host) = variable("SECURE") else {
        println!("skipped: users need FLOWSENTRY_TEST_OPENSEARCH_SECURE (`make test-security`)");
        return None;
    };
    let authority = variable("CA").unwrap().into();
    Some(ClusterSettings {
        hosts: vec![host],
        username: Some(variable("USER").unwrap()),
        password: Some(Secret::new(variable("PASSWORD").unwrap())),
        ssl: SslSettings { certificate_authorities: vec![authority], ..SslSettings::default() },
        retry_seconds: 0,
        ..ClusterSettings::default()
    })
}

fn refused(settings: &ClusterSettings) -> ClusterError {
    Cluster::connect(Flavour::OpenSearch, settings).unwrap_err()
}

#[test]
fn the_right_password_and_authority_open_a_secured_server() {
    let Some(settings) = right() else { return };
    let store = ClusterStore::new(Cluster::connect(Flavour::OpenSearch, &settings).unwrap());
    let given = documents("secure", 100);
    let outcome = store.bulk(given.clone()).unwrap();
    assert_eq!(outcome.created() + outcome.duplicates(), 100, "{outcome:?}");
    let stored = store.get(&given[7].index, &given[7].id).unwrap().unwrap();
    assert_eq!(stored.source, given[7].source);
}

#[test]
fn wrong_and_missing_credentials_are_told_as_such() {
    let Some(settings) = right() else { return };
    let wrong = ClusterSettings { password: Some(Secret::new("guessed")), ..settings.clone() };
    let missing = ClusterSettings { username: None, password: None, ..settings.clone() };
    let key = ClusterSettings { api_key: Some(Secret::new("no:key")), ..missing.clone() };
    for settings in [wrong, missing, key] {
        let error = refused(&settings);
        assert!(matches!(error, ClusterError::Unauthorized { .. }), "{error}");
        assert!(error.to_string().contains("check `output.opensearch.username`"), "{error}");
    }
}

#[test]
fn a_server_whose_authority_is_not_named_is_not_trusted() {
    let Some(settings) = right() else { return };
    let error = refused(&ClusterSettings { ssl: SslSettings::default(), ..settings.clone() });
    assert!(matches!(error, ClusterError::Certificate { .. }), "{error}");
    // A server with certificates ends connections without them.
    let hosts = settings.hosts.iter().map(|host| host.replace("https:", "http:")).collect();
    let error = refused(&ClusterSettings { hosts, ..settings });
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("`http://` or `https://`"), "{error}");
}
