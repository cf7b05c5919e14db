//! Workers that write into a real cluster: recorded messages, an outage, a worker that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use flowsentry::stores::{Call, Cluster, ClusterSettings, ClusterStore, Flavour, Method};
use serde_json::Value;

use super::worker::{Documents, Site, assert_same, read_store};
use super::{broker, fill, input, produce, undisturbed, unique};

/// A namespace of its own in a real OpenSearch; gone when the test is over.
pub struct Place {
    cluster: Cluster,
    pub url: String,
    pub namespace: String,
}

impl Place {
    pub fn new(name: &str) -> Option<Self> {
        let Ok(url) = std::env::var("FLOWSENTRY_TEST_OPENSEARCH") else {
            println!("skipped: delivery into a cluster needs FLOWSENTRY_TEST_OPENSEARCH");
            return None;
        };
        let settings = ClusterSettings { hosts: vec![url.clone()], ..ClusterSettings::default() };
        let cluster = Cluster::connect(Flavour::OpenSearch, &settings).unwrap();
        Some(Self { cluster, url, namespace: unique(name) })
    }

    /// A worker that reads `topic` and writes here, through `url`.
    fn site(&self, broker: &str, topic: &str, url: &str) -> Site {
        let input = input(broker, topic, &self.namespace);
        let input = format!("{}, lease_seconds: 5}}", input.trim_end_matches('}'));
        let output = format!("  opensearch: {{hosts: [\"{url}\"], retry_seconds: 1}}\n");
        let site = Site::new(&self.namespace, &input, &output, "");
        set_up(&site);
        site
    }

    pub fn store(&self) -> ClusterStore {
        ClusterStore::new(self.cluster.clone())
    }

    /// Makes visible what others have written.
    pub fn refresh(&self) {
        let path = format!("/flowsentry-*-{}*/_refresh", self.namespace);
        self.cluster.find(&Call::new("refreshing", Method::Post, path)).unwrap();
    }

    pub fn documents(&self) -> Documents {
        read_store(&self.store(), &self.namespace)
    }
}

/// One after the other: two at once would meet each other's probe documents.
pub fn set_up(site: &Site) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    site.command(&["setup"]);
}

impl Drop for Place {
    fn drop(&mut self) {
        let path = format!("/_cat/indices/flowsentry-*-{}*", self.namespace);
        let call = Call::new("listing what is left", Method::Get, path);
        let listed = self.cluster.find(&call.query("h", "index").query("format", "json"));
        let listed = listed.ok().flatten().unwrap_or(Value::Null);
        for row in listed.as_array().into_iter().flatten() {
            let Some(index) = row["index"].as_str() else { continue };
            let call = Call::new("removing what is left", Method::Delete, format!("/{index}"));
            if let Err(error) = self.cluster.find(&call) {
                println!("{index} is left behind: {error}");
            }
        }
    }
}

#[test]
fn recorded_messages_become_the_scanners_anomaly_and_alert_in_a_real_cluster() {
    let (Some(broker), Some(place)) = (broker(), Place::new("recorded")) else { return };
    let topic = unique("recorded");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/goflow2-json");
    let file = format!("{folder}/netflow_v9-pmacct.ndjson");
    produce(&broker, &topic, &["replay", &file]);
    let site = place.site(&broker, &topic, &place.url);
    let log = site.run_to_the_end();
    assert!(log.contains("flows=100 "), "nothing is lost: {log}");
    let documents = place.documents();
    let of = |family: &str| {
        let found = documents.iter().filter(|((known, _), _)| *known == family);
        let scans = found.map(|(_, document)| document).filter(|document| {
            document["source"]["ip"] == "10.77.0.66"
                && document["flowsentry"].to_string().contains("port_scan_vertical")
        });
        scans.count()
    };
    assert!(of("anomalies") >= 1, "{documents:?}");
    assert_eq!(of("alerts"), 1, "{documents:?}");
}

/// Passes connections on to a server, until told to be away.
struct Proxy {
    address: SocketAddr,
    is_away: Arc<AtomicBool>,
}

impl Proxy {
    fn to(url: &str) -> Self {
        let upstream = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_away = Arc::new(AtomicBool::new(false));
        let away = Arc::clone(&is_away);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if away.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let away = Arc::clone(&away);
                    thread::spawn(move || pass_on(from, to, &away));
                }
            }
        });
        Self { address, is_away }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Ends the connection when the server is to be away.
fn pass_on(mut from: TcpStream, mut to: TcpStream, away: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if away.load(Ordering::SeqCst) {
            break;
        }
        match io::Read::read(&mut from, &mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                if io::Write::write_all(&mut to, &buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_cluster_that_is_away_in_the_middle_is_waited_for() {
    let (Some(broker), Some(place)) = (broker(), Place::new("away")) else { return };
    let topic = unique("away");
    fill(&broker, &topic);
    let proxy = Proxy::to(&place.url);
    let site = place.site(&broker, &topic, &proxy.url());
    let mut worker = site.start(None);
    worker.wait_for("the position is kept");
    proxy.is_away.store(true, Ordering::SeqCst);
    worker.wait_for("results wait");
    worker.wait_for("results wait");
    proxy.is_away.store(false, Ordering::SeqCst);
    worker.wait_for("everything is read");
    let log = worker.stop();
    let expected = undisturbed(&broker, &topic);
    assert_same(&log, &expected, &place.documents());
}

#[test]
fn a_worker_that_stands_by_takes_over_from_one_that_was_killed() {
    let (Some(broker), Some(place)) = (broker(), Place::new("taken-over")) else { return };
    let topic = unique("taken-over");
    fill(&broker, &topic);
    let site = place.site(&broker, &topic, &place.url);
    let mut first = site.start(Some("kept:2"));
    first.wait_for("partitions are assigned");
    let mut second = site.start(None);
    assert!(first.dies());
    second.wait_for("going on from the snapshot");
    second.wait_for("everything is read");
    second.stop();
    assert_same("taken over", &undisturbed(&broker, &topic), &place.documents());
}

#[test]
fn a_worker_that_was_thought_dead_finds_out_and_changes_nothing() {
    let (Some(broker), Some(place)) = (broker(), Place::new("undead")) else { return };
    let topic = unique("undead");
    fill(&broker, &topic);
    let site = place.site(&broker, &topic, &place.url);
    let mut first = site.start(None);
    first.wait_for("the position is kept");
    first.signal("-STOP");
    let mut second = site.start(None);
    second.wait_for("going on from the snapshot");
    first.signal("-CONT");
    first.wait_for("another worker has taken over; standing by");
    second.wait_for("everything is read");
    second.stop();
    first.stop();
    assert_same("undead", &undisturbed(&broker, &topic), &place.documents());
}
