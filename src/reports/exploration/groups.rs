//! The groups of like rows.

use crate::charts::format::{count, measure};
use crate::charts::{Line, Point, Unit};
use crate::learn::explore::{
    BoxPlot, Cluster, Content, DbscanFacts, Exploration, KMeansFacts, Swept,
};

use super::part::{Chart, Grid, Part, chart, number, word};
use super::words::{attack_share, list, plural, share};

/// Columns named for each cluster: those in which it is farthest from the mean.
const NAMED: usize = 3;
/// Clusters that a terminal shows.
const BRIEF: usize = 12;

/// Returns the part about K-means.
pub(super) fn kmeans(found: &Exploration, facts: &KMeansFacts) -> Part {
    let chosen = facts.sweep.iter().find(|swept| swept.clusters == facts.chosen);
    let silhouette = chosen.and_then(|swept| swept.silhouette);
    let reached = silhouette.map(|value| format!(" (silhouette {value:.2})")).unwrap_or_default();
    let elbow = match facts.elbow {
        Some(elbow) => format!("the elbow of the distortion is at {elbow}"),
        None => "the distortion has no elbow".to_owned(),
    };
    let mut columns = vec![number("cluster"), number("rows"), number("share"), number("attacks")];
    let has_far = !found.params.logarithms;
    if has_far {
        columns.push(word("unlike all rows in (deviations from the mean)"));
    }
    let row = |one: &Cluster| {
        let mut row = cluster_row(one, found.rows);
        if has_far {
            row.push(far(found, facts, one));
        }
        row
    };
    let mut clusters: Vec<&Cluster> = facts.clusters.iter().collect();
    clusters.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.cluster.cmp(&b.cluster)));
    let rows = clusters.into_iter().map(row).collect();
    let (least, most) = (facts.sweep.first(), facts.sweep.last());
    let tried = |swept: Option<&Swept>| swept.map_or(0, |swept| swept.clusters);
    Part {
        id: "kmeans",
        heading: "K-means",
        gist: format!("The rows part best into {} clusters{reached}; {elbow}.", facts.chosen),
        sentences: vec![format!(
            "{} to {} clusters were tried on {} standardised; the best silhouette is taken.",
            tried(least),
            tried(most),
            plural(facts.columns.len() as u64, "number"),
        )],
        charts: sweep(facts),
        tables: vec![Grid { caption: "Clusters".to_owned(), columns, rows, brief: BRIEF }],
    }
}

fn sweep(facts: &KMeansFacts) -> Vec<Chart> {
    let labels: Vec<String> = facts.sweep.iter().map(|it| it.clusters.to_string()).collect();
    let place = |clusters: usize| facts.sweep.iter().position(|it| it.clusters == clusters);
    let line = |title: &str, marked: Option<usize>, value: fn(&Swept) -> Option<f64>| Line {
        title: title.to_owned(),
        labels: labels.clone(),
        points: facts.sweep.iter().map(|it| Point { value: value(it), band: None }).collect(),
        name: String::new(),
        band_name: String::new(),
        unit: Unit::Measure,
        marked: marked.and_then(place),
        when_empty: "None is above 0".to_owned(),
    };
    let silhouettes =
        line("Mean silhouette by number of clusters", Some(facts.chosen), |it| it.silhouette);
    let distortions =
        line("Distortion by number of clusters", facts.elbow, |it| Some(it.distortion));
    vec![chart(silhouettes.svg()), chart(distortions.svg())]
}

fn cluster_row(one: &Cluster, rows: u64) -> Vec<String> {
    vec![
        one.cluster.to_string(),
        count(one.rows),
        share(one.rows, rows),
        attack_share(one.attacks, one.rows),
    ]
}

/// The columns in which a centre is farthest from the mean of all rows: `src_bytes +8.1`.
fn far(found: &Exploration, facts: &KMeansFacts, one: &Cluster) -> String {
    let deviations = facts.columns.iter().zip(&one.centre).filter_map(|(name, value)| {
        let column = found.columns.iter().find(|column| column.name == *name)?;
        let Content::Number { all: Some(BoxPlot { mean, deviation, .. }), .. } = &column.content
        else {
            return None;
        };
        let far = (value - mean) / deviation;
        far.is_finite().then_some((name, far))
    });
    let mut deviations: Vec<_> = deviations.collect();
    deviations.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let named = deviations.iter().take(NAMED);
    named.map(|(name, far)| format!("{name} {far:+.1}")).collect::<Vec<_>>().join(", ")
}

/// Returns the part about DBSCAN.
pub(super) fn dbscan(found: &Exploration, facts: &DbscanFacts) -> Part {
    let noise = share(facts.noise, found.rows);
    let mut sentences = vec![format!(
        "Rows are near within {} standard deviations of {} ({}); {} near rows make a core.",
        measure(facts.radius),
        plural(facts.columns.len() as u64, "number"),
        list(facts.columns.iter().map(String::as_str), 5),
        facts.min_points,
    )];
    if let Some(attacks) = facts.noise_attacks {
        let [noise, all] =
            [attack_share(Some(attacks), facts.noise), attack_share(found.attacks, found.rows)];
        sentences.push(format!("{noise} of the noise are attacks, {all} of all rows."));
    }
    let columns = [number("cluster"), number("rows"), number("share"), number("attacks")].to_vec();
    let mut rows: Vec<_> = facts.clusters.iter().map(|one| cluster_row(one, found.rows)).collect();
    rows.push(vec![
        "noise".to_owned(),
        count(facts.noise),
        noise.clone(),
        attack_share(facts.noise_attacks, facts.noise),
    ]);
    // The noise is always shown.
    rows.rotate_right(1);
    Part {
        id: "dbscan",
        heading: "DBSCAN",
        gist: format!(
            "{}; {noise} of the rows are noise.",
            plural(u64::from(facts.count), "cluster")
        ),
        sentences,
        charts: Vec::new(),
        tables: vec![Grid {
            caption: "Noise and the largest clusters".to_owned(),
            columns,
            rows,
            brief: BRIEF,
        }],
    }
}
