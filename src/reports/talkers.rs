//! Section: who sent and who received most.

use serde::Serialize;

use super::collect::{Source, most_bytes};
use super::{Picture, ReportData, ReportError};
use crate::charts::{Bar, Bars, Unit, format, palette};
use crate::stores::{Aggregation, Family, Filter};

/// The busiest hosts. Their sums are lower bounds where a host was not among the busiest of every
/// minute, since only those minutes are stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Talkers {
    /// Hosts that sent most, most first, at most [`MOST_TALKERS`].
    pub sources: Vec<Talker>,
    /// Hosts that received most, likewise.
    pub destinations: Vec<Talker>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Talker {
    /// Address.
    pub address: String,
    /// Octets.
    pub bytes: u64,
    /// Flow records.
    pub flows: u64,
    /// Part of all bytes of the network, from 0 to 1.
    pub share: f64,
}

/// How many hosts of each side a report names.
pub const MOST_TALKERS: usize = 8;

pub(super) fn collect(source: &Source<'_>) -> Result<Talkers, ReportError> {
    let total = source.network_total("bytes")?;
    let sources = side(source, "source", "sumOfBytes", "sumOfFlows", total)?;
    let destinations = side(source, "destination", "destSumOfBytes", "destSumOfFlows", total)?;
    Ok(Talkers { sources, destinations })
}

fn side(
    source: &Source<'_>,
    subject: &str,
    bytes: &str,
    flows: &str,
    total: u64,
) -> Result<Vec<Talker>, ReportError> {
    let hosts = most_bytes(&format!("{subject}.ip"), bytes, MOST_TALKERS)
        .with("flows", Aggregation::sum(format!("flowsentry.window.features.{flows}")));
    let request = source
        .request(Family::Windows)
        .between(source.scope.day.from(), source.scope.day.to())
        .filter(Filter::term("flowsentry.window.subject.type", subject))
        .size(0)
        .aggregate("hosts", hosts);
    let response = source.search(&request)?;
    let talkers = response.buckets("hosts").iter().map(|bucket| {
        let sum = |name: &str| bucket.value(name).unwrap_or_default();
        let share = if total == 0 { 0.0 } else { (sum("bytes") / total as f64).min(1.0) };
        let (bytes, flows) = (sum("bytes") as u64, sum("flows") as u64);
        Talker { address: bucket.key.to_string(), bytes, flows, share }
    });
    Ok(talkers.filter(|talker| talker.bytes > 0).collect())
}

pub(super) fn pictures(report: &ReportData) -> Vec<Picture> {
    let Talkers { sources, destinations } = &report.talkers;
    vec![
        picture("top_sources", "Top senders by bytes", sources, palette::BLUE),
        picture("top_destinations", "Top receivers by bytes", destinations, palette::GREEN),
    ]
}

fn picture(id: &'static str, title: &str, talkers: &[Talker], color: &'static str) -> Picture {
    let rows = talkers.iter().map(|talker| Bar {
        label: talker.address.clone(),
        value: talker.bytes as f64,
        note: format::percent(talker.share),
        color,
    });
    let chart = Bars {
        title: title.to_owned(),
        rows: rows.collect(),
        unit: Unit::Bytes,
        when_empty: "No hosts are stored for this day".to_owned(),
    };
    let said = talkers.iter().map(|talker| {
        let (bytes, share) = (format::bytes(talker.bytes as f64), format::percent(talker.share));
        format!("{} {bytes} ({share})", talker.address)
    });
    let said = said.collect::<Vec<_>>().join(", ");
    let said = if said.is_empty() { "no hosts" } else { &said };
    Picture { id, alt: format!("{title}: {said}"), svg: chart.svg() }
}
