//! Speed of the embedded store: `cargo bench --bench stores [documents]`.
//!
//! Documents are made beforehand; what is timed is the bulk call (check, log, sync, index) and the
//! search call, commit included in the first one.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Aggregation, CalendarUnit, Direction, Document, DocumentId, EmbeddedConfig, EmbeddedStore,
    Family, Filter, IndexName, Interval, Namespace, SearchRequest, Sort, Store, TermsOrder,
};
use serde_json::json;

const SUM: &str = "flowsentry.window.features.sumOfBytes";

/// Window documents of one day: 1 440 windows, as many hosts in each as the number asks for.
fn windows(count: usize) -> anyhow::Result<Vec<Document>> {
    let day: Timestamp = "2026-11-21T00:00:00Z".parse()?;
    let per_window = count.div_ceil(1440);
    let documents = (0..count).map(|number| {
        let start = day.plus_seconds((number / per_window) as i64 * 60);
        let host = number * 7919 % 4000;
        let address = format!("10.{}.{}.{}", host / 2500, host / 250 % 10, host % 250);
        let bytes = (number * 2_654_435_761 % 1_000_003) as f64;
        let source = json!({
            "@timestamp": start.to_string(),
            "event": {"kind": "metric", "dataset": "flowsentry.window",
                "start": start.to_string(), "end": start.plus_seconds(60).to_string()},
            "source": {"ip": address},
            "flowsentry": {"window": {
                "subject": {"type": "source", "value": address},
                "start": start.to_string(), "end": start.plus_seconds(60).to_string(),
                "seconds": 60, "truncated": false,
                "features": {"sumOfFlows": number % 97, "sumOfBytes": bytes,
                    "sumOfPackets": (bytes / 700.0).ceil(), "uniqDstIPs": number % 13,
                    "uniqDstPorts": number % 29},
            }},
        });
        Ok(Document {
            index: IndexName::for_event(Family::Windows, &Namespace::default(), start),
            id: DocumentId::new(format!("{:032x}", number as u128 * 0x9E37_79B9_7F4A_7C15))?,
            source,
        })
    });
    documents.collect()
}

fn requests() -> Vec<(&'static str, SearchRequest)> {
    let all = || SearchRequest::new(Family::Windows, Namespace::default()).size(0);
    let hour = Interval::Fixed { seconds: 3600 };
    let berlin_day =
        Interval::Calendar { unit: CalendarUnit::Day, time_zone: chrono_tz::Europe::Berlin };
    let by_bytes = TermsOrder::metric("bytes", Direction::Descending);
    vec![
        (
            "hourly sum and distinct hosts",
            all().aggregate(
                "hours",
                Aggregation::over_time(hour)
                    .with("bytes", Aggregation::sum(SUM))
                    .with("hosts", Aggregation::cardinality("source.ip")),
            ),
        ),
        (
            "local days with stats",
            all().aggregate(
                "days",
                Aggregation::over_time(berlin_day).with("bytes", Aggregation::stats(SUM)),
            ),
        ),
        (
            "ten busiest of all hosts",
            all().aggregate(
                "hosts",
                Aggregation::terms_by("source.ip", 10, by_bytes)
                    .with("bytes", Aggregation::sum(SUM)),
            ),
        ),
        ("percentiles", all().aggregate("p", Aggregation::percentiles(SUM, [50.0, 95.0, 99.0]))),
        (
            "minutes of one host",
            all().filter(Filter::term("source.ip", "10.0.0.0")).aggregate(
                "minutes",
                Aggregation::over_time(Interval::Fixed { seconds: 60 })
                    .with("bytes", Aggregation::sum(SUM)),
            ),
        ),
        ("100 largest windows", all().size(100).sort(Sort::descending(SUM))),
    ]
}

fn main() -> anyhow::Result<()> {
    let count = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    for batch in [1_000, 5_000] {
        let folder = tempfile::tempdir()?;
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path()))?;
        let documents = windows(count)?;
        let batches: Vec<Vec<_>> = documents.chunks(batch).map(<[_]>::to_vec).collect();
        let begin = Instant::now();
        for documents in batches {
            store.bulk(documents)?;
        }
        let acknowledged = begin.elapsed();
        store.flush()?;
        let committed = begin.elapsed();
        println!(
            "bulk of {count} in batches of {batch}: {:.0} documents/s acknowledged, {:.0} committed",
            count as f64 / acknowledged.as_secs_f64(),
            count as f64 / committed.as_secs_f64(),
        );
        let begin = Instant::now();
        let again = store.bulk(documents)?;
        println!(
            "the same again, {} duplicates: {:.0} documents/s",
            again.duplicates(),
            count as f64 / begin.elapsed().as_secs_f64()
        );
        for (name, request) in requests() {
            let begin = Instant::now();
            let total = store.search(&request)?.total;
            println!("{name}, {total} documents: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(())
}
