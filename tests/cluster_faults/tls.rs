//! Certificates, with the command `openssl` as server: own authority, client certificate.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flowsentry::stores::{
    Call, Cluster, ClusterError, ClusterSettings, Flavour, Method, VerificationMode,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server that answers `{"status": "green"}` to [`asked`], over TLS alone.
struct Secure {
    folder: TempDir,
    process: Child,
    port: String,
}

impl Drop for Secure {
    fn drop(&mut self) {
        // It never ends by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn openssl(folder: &Path, words: &str) -> Option<()> {
    let output = Command::new("openssl")
        .args(words.split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "openssl {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(())
}

/// Makes an authority, a certificate for `localhost` and one for a client, as files in a folder.
fn certificates() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let ours = format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
    openssl(folder.path(), &ours)?;
    for name in ["server", "client"] {
        let wish = format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr");
        openssl(folder.path(), &wish)?;
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out {name}.pem"
        );
        openssl(folder.path(), &sign)?;
    }
    Some(folder)
}

impl Secure {
    /// Starts a server; `None`, said aloud, without the command.
    fn start(more: &[&str]) -> Option<Self> {
        let Some(folder) = certificates() else {
            println!("skipped: certificates need the command `openssl`");
            return None;
        };
        let body = json!({"status": "green"}).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        fs::write(folder.path().join("health"), answer).unwrap();
        let mut process = Command::new("openssl")
            .args("s_server -HTTP -accept 127.0.0.1:0 -cert server.pem -key server.key".split(' '))
            .args(more)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned));
        // Goes on reading, or the server would stop at a full pipe.
        std::thread::spawn(move || lines.count());
        let port = ready.unwrap().rsplit(':').next().unwrap().to_owned();
        Some(Self { folder, process, port })
    }

    fn settings(&self, authority: bool) -> ClusterSettings {
        let mut settings = ClusterSettings {
            hosts: vec![format!("https://localhost:{}", self.port)],
            version: Some("8.19.0".parse().unwrap()),
            timeout_seconds: 20,
            retry_seconds: 0,
            ..ClusterSettings::default()
        };
        if authority {
            settings.ssl.certificate_authorities = vec![self.folder.path().join("ca.pem")];
        }
        settings
    }
}

fn asked(flavour: Flavour, settings: &ClusterSettings) -> Result<Value, ClusterError> {
    let call = Call::new("reading the cluster's health", Method::Get, "/health");
    Cluster::connect(flavour, settings)?.demand(&call)
}

#[test]
fn an_own_authority_is_trusted_when_it_is_named() {
    let Some(server) = Secure::start(&[]) else { return };
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let answer = asked(flavour, &server.settings(true)).unwrap();
        assert_eq!(answer, json!({"status": "green"}));
        let error = asked(flavour, &server.settings(false)).unwrap_err().to_string();
        assert!(error.contains("ssl.certificate_authorities"), "{error}");
        let mut careless = server.settings(false);
        careless.ssl.verification_mode = VerificationMode::None;
        assert_eq!(asked(flavour, &careless).unwrap(), json!({"status": "green"}));
        // The certificate is for `localhost` alone.
        let hosts = vec![format!("https://127.0.0.1:{}", server.port)];
        let elsewhere = ClusterSettings { hosts, ..server.settings(true) };
        let error = asked(flavour, &elsewhere).unwrap_err().to_string();
        assert!(error.contains("not valid for name"), "{error}");
    }
}

#[test]
fn an_authority_as_server_is_refused_with_the_reason() {
    let Some(server) = Secure::start(&["-cert", "ca.pem", "-key", "ca.key"]) else { return };
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let error = asked(flavour, &server.settings(true)).unwrap_err().to_string();
        assert!(error.contains("an authority is no server"), "{error}");
    }
}

#[test]
fn a_client_certificate_opens_a_server_that_wants_one() {
    let demand = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
    let Some(server) = Secure::start(&demand) else { return };
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let mut settings = server.settings(true);
        let error = asked(flavour, &settings).unwrap_err().to_string();
        assert!(error.contains("ssl.certificate"), "{error}");
        settings.ssl.certificate = Some(server.folder.path().join("client.pem"));
        settings.ssl.key = Some(server.folder.path().join("client.key"));
        assert_eq!(asked(flavour, &settings).unwrap(), json!({"status": "green"}));
    }
}

#[test]
fn the_key_of_a_client_certificate_stays_out_of_debug_output() {
    let Some(server) = Secure::start(&[]) else { return };
    let mut settings = server.settings(true);
    settings.ssl.certificate = Some(server.folder.path().join("client.pem"));
    settings.ssl.key = Some(server.folder.path().join("client.key"));
    let key = fs::read(server.folder.path().join("client.key")).unwrap();
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let shown = format!("{:?}", Cluster::connect(flavour, &settings).unwrap());
        let numbers = format!("{:?}", &key[30..60]);
        assert!(!shown.contains(numbers.trim_matches(['[', ']'])), "the bytes of the key");
        assert!(!shown.contains(std::str::from_utf8(&key[30..60]).unwrap()), "the text of the key");
    }
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let Some(folder) = certificates() else {
        println!("skipped: certificates need the command `openssl`");
        return;
    };
    let garbage = folder.path().join("garbage.pem");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
        .unwrap();
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let mut authority = ClusterSettings::default();
        authority.ssl.certificate_authorities = vec![garbage.clone()];
        let mut identity = ClusterSettings::default();
        identity.ssl.certificate = Some(folder.path().join("client.pem"));
        identity.ssl.key = Some(garbage.clone());
        let faults = [(authority, "ssl.certificate_authorities"), (identity, "ssl.certificate")];
        for (settings, key) in faults {
            let error = Cluster::connect(flavour, &settings).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
