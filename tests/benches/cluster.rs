//! Speed of a cluster as store beside a plain bulk loop: `make bench-cluster`.
//!
//! The same anomaly documents go into two fresh indices of the same mapping, slice by slice in
//! turn, so that both meet the same server under the same conditions. The store gets documents and
//! does all that it does: it checks, writes JSON, compresses, repeats, judges every item. The
//! plain loop gets requests that are ready to be sent, over one connection without compression,
//! and looks for `"errors":false`.
//!
//! `FLOWSENTRY_BENCH_DOCUMENTS` is how many (a million), `FLOWSENTRY_TEST_OPENSEARCH` and
//! `FLOWSENTRY_TEST_ELASTICSEARCH` say where.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "cluster/anomalies.rs"]
mod anomalies;
#[path = "cluster/plain.rs"]
mod plain;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flowsentry::stores::fields::{FIELDS, FieldKind};
use flowsentry::stores::{
    Call, Cluster, ClusterSettings, ClusterStore, Document, Family, Flavour, Method, Store,
};
use serde_json::{Map, Value, json};

/// Documents of one call of the store.
const BATCH: usize = 4_800;
/// Documents that one way indexes before the other has its turn. Bounds what the benchmark itself
/// keeps.
const SLICE: usize = 5 * BATCH;

/// Time and documents of one way.
#[derive(Clone, Copy, Default)]
struct Pace {
    documents: usize,
    time: Duration,
}

impl Pace {
    fn add(&mut self, documents: usize, time: Duration) {
        self.documents += documents;
        self.time += time;
    }

    fn per_second(self) -> f64 {
        self.documents as f64 / self.time.as_secs_f64()
    }
}

/// What is compared: the store as it is by default, with one request at a time, and the plain loop.
struct Contest {
    store: ClusterStore,
    sequential: ClusterStore,
    plain: plain::Connection,
    request_documents: usize,
}

const NAMESPACES: [&str; 3] = ["bench-store", "bench-sequential", "bench-plain"];

fn main() -> anyhow::Result<()> {
    let count = match std::env::var("FLOWSENTRY_BENCH_DOCUMENTS") {
        Ok(text) => text.parse().context("FLOWSENTRY_BENCH_DOCUMENTS is not a number")?,
        Err(_) => 1_000_000,
    };
    let servers = [
        (Flavour::OpenSearch, "FLOWSENTRY_TEST_OPENSEARCH"),
        (Flavour::Elasticsearch, "FLOWSENTRY_TEST_ELASTICSEARCH"),
    ];
    measure_alone()?;
    for (flavour, variable) in servers {
        match std::env::var(variable) {
            Ok(host) => measure(flavour, &host, count)?,
            Err(_) => println!("skipped: the benchmark of {} needs {variable}", flavour.name()),
        }
    }
    Ok(())
}

fn measure(flavour: Flavour, host: &str, count: usize) -> anyhow::Result<()> {
    let settings = ClusterSettings { hosts: vec![host.to_owned()], ..ClusterSettings::default() };
    let one_worker = ClusterSettings { bulk_workers: 1, ..settings.clone() };
    let mut contest = Contest {
        store: ClusterStore::new(Cluster::connect(flavour, &settings)?),
        sequential: ClusterStore::new(Cluster::connect(flavour, &one_worker)?),
        plain: plain::Connection::to(host)?,
        request_documents: settings.bulk_max_documents,
    };
    let cluster = contest.store.cluster().clone();
    for namespace in NAMESPACES {
        prepare(&cluster, &anomalies::index(namespace)?)?;
    }
    println!("{}, {count} anomalies in slices of {SLICE}", cluster.server());
    let mut paces = [Pace::default(); 3];
    let (mut after_first, mut bytes) = (None, 0);
    for (turn, first) in (0..count).step_by(SLICE).enumerate() {
        let slice = first..count.min(first + SLICE);
        for at in 0..NAMESPACES.len() {
            // Who begins changes, so that none has the better place.
            let way = (turn + at) % NAMESPACES.len();
            let documents = anomalies::documents(NAMESPACES[way], slice.clone())?;
            let time = contest.index(way, documents, &mut bytes)?;
            paces[way].add(slice.len(), time);
        }
        after_first = after_first.or(peak_megabytes());
    }
    for namespace in NAMESPACES {
        check_count(&cluster, &anomalies::index(namespace)?, count)?;
    }
    let [store, sequential, plain] = paces.map(Pace::per_second);
    println!("  {} bytes a document, {count} found in each index", bytes / count);
    println!("  plain loop             {plain:>8.0} documents/s");
    println!(
        "  store, one request     {sequential:>8.0} documents/s, ratio {:.2}",
        sequential / plain
    );
    let workers = settings.bulk_workers;
    println!(
        "  store, {workers} at a time      {store:>8.0} documents/s, ratio {:.2}",
        store / plain
    );
    if let (Some(first), Some(last)) = (after_first, peak_megabytes()) {
        println!(
            "  peak memory            {first:>8} MB after the first slice, {last} MB at the end"
        );
    }
    Ok(())
}

/// What the store itself costs: the same work against answers that are there at once.
fn measure_alone() -> anyhow::Result<()> {
    let mut settings = ClusterSettings { bulk_workers: 1, ..ClusterSettings::default() };
    ensure!(BATCH.is_multiple_of(settings.bulk_max_documents), "every request must be full");
    settings.hosts = vec![plain::serve(settings.bulk_max_documents)?];
    let store = ClusterStore::new(Cluster::connect(Flavour::Elasticsearch, &settings)?);
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let documents = anomalies::documents(NAMESPACES[0], 0..BATCH)?;
        let begin = Instant::now();
        ensure!(store.bulk(documents)?.created() == BATCH, "not all were created");
        best = best.min(begin.elapsed());
    }
    let microseconds = best.as_secs_f64() * 1e6 / BATCH as f64;
    println!("without a server, one request at a time: {microseconds:.1} µs a document");
    Ok(())
}

impl Contest {
    /// Indexes `documents` in one of the three ways, and returns how long that took.
    fn index(
        &mut self,
        way: usize,
        documents: Vec<Document>,
        bytes: &mut usize,
    ) -> anyhow::Result<Duration> {
        let store = match way {
            0 => &self.store,
            1 => &self.sequential,
            _ => {
                let chunks = documents.chunks(self.request_documents);
                let requests: Vec<Vec<u8>> = chunks.map(plain::lines).collect();
                *bytes += requests.iter().map(Vec::len).sum::<usize>();
                drop(documents);
                let begin = Instant::now();
                for request in &requests {
                    self.plain.bulk(request)?;
                }
                return Ok(begin.elapsed());
            }
        };
        let mut batches = Vec::new();
        let mut rest = documents;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(BATCH));
            batches.push(std::mem::replace(&mut rest, later));
        }
        let begin = Instant::now();
        for batch in batches {
            let count = batch.len();
            let outcome = store.bulk(batch)?;
            ensure!(
                outcome.created() == count,
                "not all were created: {:?}",
                outcome.rejected().next()
            );
        }
        Ok(begin.elapsed())
    }
}

/// Makes an empty index with the fields of the catalogue.
fn prepare(cluster: &Cluster, index: &str) -> anyhow::Result<()> {
    let path = format!("/{index}");
    let drop = Call::new("dropping the old index", Method::Delete, path.clone());
    cluster.demand(&drop.query("ignore_unavailable", "true"))?;
    let mut properties = Map::new();
    for field in FIELDS.iter().filter(|field| field.belongs_to(Family::Anomalies)) {
        let kind = match field.kind {
            FieldKind::Keyword => json!({"type": "keyword", "ignore_above": 1024}),
            FieldKind::Ip => json!({"type": "ip"}),
            FieldKind::Date => json!({"type": "date"}),
            FieldKind::Long => json!({"type": "long"}),
            FieldKind::Double => json!({"type": "double"}),
            FieldKind::Boolean => json!({"type": "boolean"}),
            FieldKind::Text => json!({"type": "text"}),
            FieldKind::DoubleMap => continue,
        };
        properties.insert(field.name.to_owned(), kind);
    }
    let settings =
        json!({"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "5s"});
    let mappings = json!({"dynamic": false, "properties": properties});
    let body = json!({"settings": settings, "mappings": mappings});
    cluster.demand(&Call::new("making a fresh index", Method::Put, path).json(body))?;
    Ok(())
}

fn check_count(cluster: &Cluster, index: &str, count: usize) -> anyhow::Result<()> {
    let path = format!("/{index}");
    cluster.demand(&Call::new("refreshing", Method::Post, format!("{path}/_refresh")))?;
    let answer = cluster.demand(&Call::new("counting", Method::Get, format!("{path}/_count")))?;
    let found = answer.get("count").and_then(Value::as_u64);
    ensure!(found == Some(count as u64), "{index} has {found:?} documents of {count}");
    cluster.demand(&Call::new("dropping the index", Method::Delete, path))?;
    Ok(())
}

/// The most memory that this process ever had, where Linux tells it.
fn peak_megabytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes / 1_024)
}
