//! Documents per second that the source of indexed flows hands over decoded, beside a loop that asks
//! for the same pages and looks at nothing.
//!
//! Needs `FLOWSENTRY_TEST_OPENSEARCH` or `FLOWSENTRY_TEST_ELASTICSEARCH`, whose server takes its part
//! of the same cores. `FLOWSENTRY_BENCH_DOCUMENTS` is how many (300,000).

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "a bench prints")]

#[path = "../store_contract/sites.rs"]
#[allow(dead_code, reason = "shared with the contract of the stores")]
mod sites;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use flowsentry::formats::{by_name, ecs::flow_document};
use flowsentry::model::Timestamp;
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use flowsentry::sources::search::{Reach, SearchSource, Stretch};
use flowsentry::sources::{PartitionRead, PartitionSource, Partitions};
use flowsentry::stores::{
    Document, DocumentId, Family, IndexName, SearchRequest, Sort, SourceFields,
};
use sites::Site;

const PARTITIONS: u64 = 4;
const PAGE: usize = 1_000;

fn main() {
    let count = std::env::var("FLOWSENTRY_BENCH_DOCUMENTS");
    let count: u64 = count.map_or(300_000, |text| text.parse().unwrap());
    for (name, site) in [
        ("OpenSearch", sites::opensearch("bench")),
        ("Elasticsearch", sites::elasticsearch("bench")),
    ] {
        let Some(site) = site else { continue };
        let (bytes, extent) = fill(&site, count);
        println!(
            "{name}: {count} flow documents of {} bytes, {PARTITIONS} partitions",
            bytes / count
        );
        for _ in 0..3 {
            let (pages, keys) =
                (pages_only(&site, SourceFields::All), pages_only(&site, SourceFields::None));
            let read = read(&site, extent, count);
            println!(
                "  pages {pages:>8.0}/s   without documents {keys:>8.0}/s   decoded {read:>8.0}/s"
            );
        }
    }
}

/// Writes simulated flows; returns their bytes and the time from the first to the last.
fn fill(site: &Site, count: u64) -> (u64, (Timestamp, Timestamp)) {
    let config = Config { extent: Extent::Flows(count), ..Config::default() };
    let mut decoder = by_name("goflow2").unwrap().decoder();
    let (mut documents, mut bytes) = (Vec::new(), 0);
    let mut extent = (Timestamp::MAX, Timestamp::MIN);
    for (at, simulated) in (0_u64..).zip(Simulation::new(config).unwrap()) {
        let mut line = Vec::new();
        write_goflow2(&simulated, &mut line);
        let flow = decoder.decode(&line).unwrap().unwrap();
        extent = (extent.0.min(flow.end), extent.1.max(flow.end));
        let id = format!("bench-{at}");
        let mut source = flow_document(&flow, &id);
        let own = &mut source["flowsentry"]["flow"];
        own["topic"] = "flows".into();
        own["partition"] = (at % PARTITIONS).into();
        own["offset"] = (at / PARTITIONS).into();
        bytes += source.to_string().len() as u64;
        let index = IndexName::for_event(Family::Flows, &site.namespace, flow.end);
        documents.push(Document { index, id: DocumentId::new(id).unwrap(), source });
        if documents.len() == 10_000 {
            site.store.bulk(std::mem::take(&mut documents)).unwrap();
        }
    }
    site.store.bulk(documents).unwrap();
    site.store.flush().unwrap();
    (bytes, extent)
}

/// All pages in the order of one field.
fn pages_only(site: &Site, source: SourceFields) -> f64 {
    let request = SearchRequest::new(Family::Flows, site.namespace.clone())
        .sort(Sort::ascending("flowsentry.flow.offset"))
        .sort(Sort::ascending("event.id"))
        .source(source);
    let begun = Instant::now();
    let mut seen = 0;
    let mut each = |hits: Vec<_>| {
        seen += hits.len();
        ControlFlow::Continue(())
    };
    site.store.scan(&request, PAGE, &mut each).unwrap();
    seen as f64 / begun.elapsed().as_secs_f64()
}

fn read(site: &Site, (from, to): (Timestamp, Timestamp), count: u64) -> f64 {
    let (band_documents, held_flows) = Stretch::USUAL;
    let stretch = Stretch {
        from: from.floor(60),
        to: to.plus_seconds(60).floor(60),
        lateness_seconds: 30,
        clock_seconds: 3_900,
        page_documents: PAGE,
        band_documents,
        held_flows,
    };
    let (store, namespace) = (Arc::clone(&site.store), site.namespace.clone());
    let source =
        SearchSource::new(store, namespace, Partitions::default(), Reach::Between(stretch));
    let (sender, receiver) = sync_channel(8);
    let begun = Instant::now();
    let flows: usize = thread::scope(|scope| {
        scope.spawn(move || source.read(&sender, &|| false).unwrap());
        let flows = receiver.iter().map(|read| match read {
            PartitionRead::Flows { flows, .. } => flows.len(),
            _ => 0,
        });
        flows.sum()
    });
    assert_eq!(flows as u64, count);
    count as f64 / begun.elapsed().as_secs_f64()
}
