//! Section: how much traffic there was, of what kind, and when.

use std::collections::BTreeMap;

use serde::Serialize;

use super::collect::Source;
use super::{Day, Figure, Picture, ReportData, ReportError};
use crate::charts::{Columns, Donut, Line, Point, Series, Slice, Unit, format, palette};
use crate::model::Timestamp;

/// Totals, protocols and hours of the day.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Flow records, scaled by their sampling rates.
    pub flows: Figure,
    /// Octets, scaled likewise.
    pub bytes: Figure,
    /// Packets, scaled likewise.
    pub packets: Figure,
    /// TCP, UDP, ICMP and the rest, in this order, zeros included.
    pub protocols: Vec<ProtocolShare>,
    /// Every hour of the day, zeros included.
    pub hours: Vec<HourTraffic>,
    /// The hour with the most bytes; absent without traffic.
    pub busiest: Option<BusiestHour>,
    /// How many of the seven days before the usual range is made of; 0 when too few are stored.
    pub usual_days: usize,
}

/// The part of one protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProtocolShare {
    /// `TCP`, `UDP`, `ICMP` or `other`.
    pub name: String,
    /// Flow records.
    pub flows: u64,
    /// Octets.
    pub bytes: u64,
    /// Part of all bytes, from 0 to 1.
    pub share: f64,
}

/// One hour of traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HourTraffic {
    /// Hour of the local clock.
    pub label: String,
    /// First moment.
    pub start: Timestamp,
    /// Flow records.
    pub flows: u64,
    /// Octets.
    pub bytes: u64,
    /// The fewest and the most bytes of this hour on the days before.
    pub usual: Option<UsualBytes>,
}

/// What is usual for an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UsualBytes {
    /// Fewest bytes.
    pub lower: u64,
    /// Most bytes.
    pub upper: u64,
}

/// The busiest hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusiestHour {
    /// Hour of the local clock, `14:00`.
    pub label: String,
    /// Octets.
    pub bytes: u64,
}

const PROTOCOLS: [(&str, &str, &str); 4] = [
    ("TCP", "flows_tcp", "bytes_tcp"),
    ("UDP", "flows_udp", "bytes_udp"),
    ("ICMP", "flows_icmp", "bytes_icmp"),
    ("other", "flows_other", "bytes_other"),
];

/// With fewer days, a range says more about chance than about habit.
const FEWEST_USUAL_DAYS: usize = 3;

pub(super) fn collect(source: &Source<'_>) -> Result<Traffic, ReportError> {
    let day = source.scope.day;
    let mut features = vec!["flows", "bytes", "packets"];
    features.extend(PROTOCOLS.iter().flat_map(|&(_, flows, bytes)| [flows, bytes]));
    let steps = source.network_steps(day.from(), day.to(), &features)?;
    let week =
        source.network_steps(day.earlier(7).from(), day.from(), &["flows", "bytes", "packets"])?;

    let total = |column: usize| steps.values().map(|row| row[column]).sum::<u64>();
    let previous = |column: usize| {
        let yesterday = week.range(day.earlier(1).from()..);
        source.has_previous.then(|| yesterday.map(|(_, row)| row[column]).sum())
    };
    let figure = |column| Figure::new(total(column), previous(column));
    let bytes = figure(1);
    let protocols = PROTOCOLS.iter().enumerate().map(|(index, &(name, ..))| {
        let (flows, part) = (total(3 + 2 * index), total(4 + 2 * index));
        let share = if bytes.value == 0 { 0.0 } else { part as f64 / bytes.value as f64 };
        ProtocolShare { name: name.to_owned(), flows, bytes: part, share }
    });
    let protocols = protocols.collect();
    let (hours, usual_days) = hours(day, &steps, &week);
    let busiest = hours.iter().filter(|hour| hour.bytes > 0).max_by_key(|hour| hour.bytes);
    let busiest =
        busiest.map(|hour| BusiestHour { label: format!("{}:00", hour.label), bytes: hour.bytes });
    Ok(Traffic {
        flows: figure(0),
        bytes,
        packets: figure(2),
        protocols,
        hours,
        busiest,
        usual_days,
    })
}

type Steps = BTreeMap<Timestamp, Vec<u64>>;

fn hours(day: Day, steps: &Steps, week: &Steps) -> (Vec<HourTraffic>, usize) {
    let hourly = fold_hours(day, steps);
    let past = (1..=7).map(|days| fold_hours(day.earlier(days), week));
    let past: Vec<_> = past.filter(|hours| hours.iter().any(|hour| hour.flows > 0)).collect();
    let usual_days = if past.len() >= FEWEST_USUAL_DAYS { past.len() } else { 0 };
    let with_usual = hourly.into_iter().map(|hour| {
        let same_hour = past.iter().filter_map(|day| day.iter().find(|h| h.label == hour.label));
        let bytes: Vec<u64> = same_hour.map(|hour| hour.bytes).collect();
        let ends = bytes.iter().min().zip(bytes.iter().max()).filter(|_| usual_days > 0);
        let usual = ends.map(|(&lower, &upper)| UsualBytes { lower, upper });
        HourTraffic { usual, ..hour }
    });
    (with_usual.collect(), usual_days)
}

fn fold_hours(day: Day, steps: &Steps) -> Vec<HourTraffic> {
    let hours = day.hours().into_iter();
    let mut folded: Vec<_> = hours
        .map(|hour| HourTraffic {
            label: hour.label,
            start: hour.start,
            flows: 0,
            bytes: 0,
            usual: None,
        })
        .collect();
    for (&time, row) in steps.range(day.from()..day.to()) {
        if let Some(hour) = day.hour_of(time).and_then(|index| folded.get_mut(index)) {
            hour.flows = hour.flows.saturating_add(row[0]);
            hour.bytes = hour.bytes.saturating_add(row[1]);
        }
    }
    folded
}

pub(super) fn pictures(report: &ReportData) -> Vec<Picture> {
    let traffic = &report.traffic;
    vec![bytes_picture(traffic), flows_picture(traffic), protocol_picture(traffic)]
}

fn labels(traffic: &Traffic) -> Vec<String> {
    traffic.hours.iter().map(|hour| hour.label.clone()).collect()
}

const NO_TRAFFIC: &str = "No traffic was seen on this day";

fn bytes_picture(traffic: &Traffic) -> Picture {
    let band = |usual: UsualBytes| (usual.lower as f64, usual.upper as f64);
    let points = traffic
        .hours
        .iter()
        .map(|hour| Point { value: Some(hour.bytes as f64), band: hour.usual.map(band) });
    let chart = Line {
        title: "Bytes per hour".to_owned(),
        labels: labels(traffic),
        points: points.collect(),
        name: "this day".to_owned(),
        band_name: format!("range of the {} days before", traffic.usual_days),
        unit: Unit::Bytes,
        marked: None,
        when_empty: NO_TRAFFIC.to_owned(),
    };
    let busiest = traffic.busiest.as_ref().map_or_else(
        || NO_TRAFFIC.to_owned(),
        |hour| format!("{} in the busiest hour, {}", format::bytes(hour.bytes as f64), hour.label),
    );
    Picture { id: "bytes_per_hour", alt: format!("Bytes per hour: {busiest}"), svg: chart.svg() }
}

fn flows_picture(traffic: &Traffic) -> Picture {
    let values = traffic.hours.iter().map(|hour| hour.flows as f64).collect();
    let series = Series { name: "flows".to_owned(), values, color: palette::GREEN };
    let chart = Columns {
        title: "Flows per hour".to_owned(),
        labels: labels(traffic),
        series: vec![series],
        unit: Unit::Count,
        when_empty: NO_TRAFFIC.to_owned(),
    };
    let alt = format!("Flows per hour: {} in all", format::count(traffic.flows.value));
    Picture { id: "flows_per_hour", alt, svg: chart.svg() }
}

fn protocol_picture(traffic: &Traffic) -> Picture {
    let slices = traffic
        .protocols
        .iter()
        .map(|part| Slice { label: part.name.clone(), value: part.bytes as f64 });
    let chart = Donut {
        title: "Bytes by protocol".to_owned(),
        slices: slices.collect(),
        unit: Unit::Bytes,
        when_empty: NO_TRAFFIC.to_owned(),
    };
    let shares = traffic
        .protocols
        .iter()
        .map(|part| format!("{} {}", part.name, format::percent(part.share)));
    let alt = format!("Bytes by protocol: {}", shares.collect::<Vec<_>>().join(", "));
    Picture { id: "protocols", alt, svg: chart.svg() }
}
