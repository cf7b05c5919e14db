//! Groups of like rows: K-means with a sweep over their number, and DBSCAN.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView2, Axis, Slice};
use serde::Serialize;

use crate::learn::parallel;
use crate::learn::random::Random;
use crate::learn::table::Table;

use super::dbscan::Clustering;
use super::near::squared;
use super::params::{Density, MOST_CLUSTERS, Sweep};
use super::scale::Scales;

/// Rounds of one fit of K-means.
const ROUNDS: u64 = 100;
/// Clusters of DBSCAN that are listed: the largest.
const LISTED: usize = 50;
/// Columns up to which the tree of DBSCAN tells most rows apart without comparing them.
const WIDE: usize = 8;

/// The K-means sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KMeansFacts {
    /// The columns it was done on.
    pub columns: Vec<String>,
    /// Rows that centres were fitted on.
    pub rows: u64,
    /// Rows that silhouettes were computed on.
    pub silhouette_rows: u64,
    /// Each number of clusters that was tried, from the least.
    pub sweep: Vec<Swept>,
    /// The number of clusters with the best silhouette, the least of equal ones; taken.
    pub chosen: usize,
    /// The elbow: the number whose distortion is farthest below the line from first to last;
    /// `None` when none is below.
    pub elbow: Option<usize>,
    /// The clusters of all rows for the chosen number.
    pub clusters: Vec<Cluster>,
}

/// What one number of clusters gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// How many clusters.
    pub clusters: usize,
    /// The mean distance of a fitted row to its centre, in standard deviations.
    pub distortion: f64,
    /// The mean square of it.
    pub inertia: f64,
    /// The mean silhouette (Rousseeuw 1987), −1 to 1; a row alone in its cluster has 0. `None`
    /// when all rows of the sample are in one cluster.
    pub silhouette: Option<f64>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// Its number, from 0.
    pub cluster: u32,
    /// Rows in it.
    pub rows: u64,
    /// Those of them that are attacks; `None` without labels.
    pub attacks: Option<u64>,
    /// The centre in units of the columns, in their order; empty for DBSCAN.
    pub centre: Vec<f64>,
}

/// What DBSCAN found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DbscanFacts {
    /// The columns it was done on.
    pub columns: Vec<String>,
    /// Rows at most so far apart were near, in standard deviations.
    pub radius: f64,
    /// So many near rows, itself among them, put a row into the core.
    pub min_points: usize,
    /// Rows that clusters were made of; the others joined them.
    pub rows: u64,
    /// Core rows among these.
    pub cores: u64,
    /// How many clusters there are.
    pub count: u32,
    /// All rows in no cluster.
    pub noise: u64,
    /// Those of them that are attacks; `None` without labels.
    pub noise_attacks: Option<u64>,
    /// The largest clusters of all rows, at most fifty.
    pub clusters: Vec<Cluster>,
}

/// The cluster of each row, or none.
pub(super) type Assigned = Vec<Option<u32>>;

/// Returns so many rows, drawn by the seed, in random order.
fn drawn(table: &Table, most: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..table.len()).collect();
    let most = most.clamp(1, rows.len().max(1));
    if most < rows.len() {
        Random::new(seed, 1 << 42).choose(&mut rows, most);
        rows.truncate(most);
    }
    rows
}

/// Sweeps; the error says why it cannot be done.
pub(super) fn kmeans(
    table: &Table,
    scales: &Scales,
    params: &Sweep,
    seed: u64,
) -> Result<(KMeansFacts, Assigned), String> {
    let rows = drawn(table, params.rows, seed);
    let most = params.most.min(MOST_CLUSTERS).min(rows.len().saturating_sub(1));
    let counts: Vec<usize> = (params.least.max(2)..=most).collect();
    if scales.kept.is_empty() || counts.is_empty() {
        return Err("K-means was left out: too few rows, or no number that varies".to_owned());
    }
    let matrix = scales.matrix(table, &rows);
    let sample_rows = params.silhouette_rows.clamp(2, rows.len());
    let sample = matrix.slice_axis(Axis(0), Slice::from(..sample_rows));
    let fits = parallel::map(&counts, |count| fit(&matrix, sample, *count));
    let fits: Vec<(Swept, Array2<f64>)> = fits.into_iter().flatten().collect();
    let score = |swept: &Swept| swept.silhouette.unwrap_or(-1.0);
    // The first of equal ones.
    let best = fits.iter().rev().max_by(|a, b| score(&a.0).total_cmp(&score(&b.0)));
    let Some((chosen, centres)) = best else {
        return Err("K-means was left out: no number of clusters could be fitted".to_owned());
    };
    let width = scales.kept.len();
    let centres = centres.iter().copied().collect::<Vec<f64>>();
    let nearest = |point: &[f64]| Some(nearest(&centres, point).0);
    let assigned =
        scales.map_blocks(table, |points| points.chunks(width).map(nearest).collect::<Vec<_>>());
    let original = |n: u32| {
        let centre = &centres[n as usize * width..][..width];
        scales.kept.iter().zip(centre).map(|(scale, x)| scale.original(*x)).collect()
    };
    let facts = KMeansFacts {
        columns: scales.names(),
        rows: rows.len() as u64,
        silhouette_rows: sample_rows as u64,
        chosen: chosen.clusters,
        elbow: elbow(&fits),
        clusters: counted(table, &assigned, chosen.clusters as u32, original),
        sweep: fits.iter().map(|(swept, _)| swept.clone()).collect(),
    };
    Ok((facts, assigned))
}

/// Fits one number of clusters; `None` when linfa cannot.
fn fit(
    matrix: &Array2<f64>,
    sample: ArrayView2<'_, f64>,
    count: usize,
) -> Option<(Swept, Array2<f64>)> {
    let data = DatasetBase::from(matrix.view());
    let fitted = KMeans::params(count).n_runs(2).max_n_iterations(ROUNDS).fit(&data).ok()?;
    let centres = fitted.centroids().as_standard_layout().into_owned();
    if !centres.iter().all(|value| value.is_finite()) {
        return None;
    }
    let flat: Vec<f64> = centres.iter().copied().collect();
    let (mut distortion, mut inertia) = (0.0, 0.0);
    for row in matrix.rows() {
        let (_, square) = nearest(&flat, &row.to_vec());
        distortion += square.sqrt();
        inertia += square;
    }
    let points: Vec<Vec<f64>> = sample.rows().into_iter().map(|row| row.to_vec()).collect();
    let groups: Vec<usize> = points.iter().map(|row| nearest(&flat, row).0 as usize).collect();
    let rows = matrix.nrows() as f64;
    let swept = Swept {
        clusters: count,
        distortion: distortion / rows,
        inertia: inertia / rows,
        silhouette: silhouette(&points, &groups, count),
    };
    Some((swept, centres))
}

/// Returns the nearest centre, the first of equally near ones, and the squared distance.
fn nearest(centres: &[f64], point: &[f64]) -> (u32, f64) {
    let distances = centres.chunks(point.len().max(1)).map(|centre| squared(centre, point));
    let first = distances.zip(0..).min_by(|a, b| a.0.total_cmp(&b.0));
    first.map_or((0, 0.0), |(square, place)| (place, square))
}

/// Returns the mean silhouette. Own, since linfa's is NaN as soon as one row is alone in its cluster,
/// which a giant transfer always is.
fn silhouette(points: &[Vec<f64>], groups: &[usize], count: usize) -> Option<f64> {
    let mut sizes = vec![0u32; count];
    groups.iter().for_each(|group| sizes[*group] += 1);
    if sizes.iter().filter(|size| **size > 0).count() < 2 {
        return None;
    }
    let of = |(point, own): (&Vec<f64>, &usize)| {
        if sizes[*own] == 1 {
            return 0.0;
        }
        let mut sums = vec![0.0; count];
        for (other, group) in points.iter().zip(groups) {
            sums[*group] += squared(point, other).sqrt();
        }
        let within = sums[*own] / f64::from(sizes[*own] - 1);
        let others = (0..count).filter(|group| group != own && sizes[*group] > 0);
        let mean = |group| sums[group] / f64::from(sizes[group]);
        let without = others.map(mean).fold(f64::INFINITY, f64::min);
        let greater = f64::max(within, without);
        if greater > 0.0 { (without - within) / greater } else { 0.0 }
    };
    Some(points.iter().zip(groups).map(of).sum::<f64>() / points.len() as f64)
}

fn elbow(fits: &[(Swept, Array2<f64>)]) -> Option<usize> {
    let (first, last) = (&fits.first()?.0, &fits.last()?.0);
    let slope = (last.distortion - first.distortion) / (last.clusters - first.clusters) as f64;
    let below = |swept: &Swept| {
        first.distortion + slope * (swept.clusters - first.clusters) as f64 - swept.distortion
    };
    let lowest = fits.iter().max_by(|a, b| below(&a.0).total_cmp(&below(&b.0)))?;
    (below(&lowest.0) > 1e-9).then_some(lowest.0.clusters)
}

fn counted(
    table: &Table,
    assigned: &Assigned,
    count: u32,
    centre: impl Fn(u32) -> Vec<f64>,
) -> Vec<Cluster> {
    let mut sums = vec![(0u64, 0u64); count as usize];
    for (row, cluster) in assigned.iter().enumerate() {
        let Some(cluster) = cluster else { continue };
        let (rows, attacks) = &mut sums[*cluster as usize];
        *rows += 1;
        *attacks += u64::from(table.is_attack(row));
    }
    let one = |(cluster, (rows, attacks)): (u32, (u64, u64))| Cluster {
        cluster,
        rows,
        attacks: table.has_labels().then_some(attacks),
        centre: centre(cluster),
    };
    (0..).zip(sums).map(one).collect()
}

/// Clusters by density; the error says why it cannot be done.
pub(super) fn dbscan(
    table: &Table,
    scales: &Scales,
    params: &Density,
    seed: u64,
) -> Result<(DbscanFacts, Assigned), String> {
    let radius = params.radius;
    if scales.kept.is_empty() || table.is_empty() {
        return Err("DBSCAN was left out: no rows, or no number that varies".to_owned());
    }
    if !(radius > 0.0 && radius.is_finite()) {
        return Err("DBSCAN was left out: the radius must be above 0".to_owned());
    }
    let (width, min_points) = (scales.kept.len(), params.min_points.max(1));
    let most = if width > WIDE { params.wide_rows.min(params.rows) } else { params.rows };
    // Places in the trees have 32 bits.
    let mut rows = drawn(table, most.min(u32::MAX as usize / 2), seed);
    rows.sort_unstable();
    let points = scales.points(table, rows.iter().copied());
    let found = Clustering::of(&points, width, radius, min_points);
    drop(points);
    let assigned = scales.map_blocks(table, |points| found.predict(points));
    let is_noise = |row: &usize| assigned[*row].is_none();
    let noise: Vec<usize> = (0..table.len()).filter(is_noise).collect();
    let attacks = noise.iter().filter(|row| table.is_attack(**row)).count() as u64;
    let mut clusters = counted(table, &assigned, found.count, |_| Vec::new());
    clusters.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.cluster.cmp(&b.cluster)));
    clusters.truncate(LISTED);
    let facts = DbscanFacts {
        columns: scales.names(),
        radius,
        min_points,
        rows: rows.len() as u64,
        cores: found.cores() as u64,
        count: found.count,
        noise: noise.len() as u64,
        noise_attacks: table.has_labels().then_some(attacks),
        clusters,
    };
    Ok((facts, assigned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::testing::five;
    use linfa::metrics::SilhouetteScore;
    use ndarray::Array1;

    /// Three blobs of 60 rows each in two columns.
    fn three() -> Table {
        let mut random = Random::new(5, 0);
        let mut text = String::new();
        for n in 0..180 {
            let (x, y) = [(100.0, 10.0), (200.0, 10.0), (150.0, 90.0)][n % 3];
            text += &format!("{:.2},{:.2},1,1,1\n", x + 9.0 * random.unit(), y + random.unit());
        }
        five(&text)
    }

    #[test]
    fn three_blobs_are_three_clusters_of_their_size_and_centre() {
        let table = three();
        let scales = Scales::of(&table, &[], false);
        let (facts, assigned) = kmeans(&table, &scales, &Sweep::default(), 1).unwrap();
        assert_eq!((facts.chosen, facts.elbow), (3, Some(3)), "{:?}", facts.sweep);
        assert_eq!(facts.sweep.len(), 18);
        assert!(facts.clusters.iter().all(|cluster| cluster.rows == 60));
        let first = &facts.clusters[assigned[0].unwrap() as usize];
        assert!((first.centre[0] - 104.5).abs() < 1.0 && (first.centre[1] - 10.5).abs() < 0.2);
        assert!((0..180).all(|row| assigned[row] == assigned[row % 3]));
        assert_eq!(kmeans(&table, &scales, &Sweep::default(), 1).unwrap(), (facts, assigned));
    }

    #[test]
    fn silhouettes_are_those_of_linfa_and_rows_alone_have_none() {
        let table = three();
        let matrix = Scales::of(&table, &[], false).matrix(&table, &(0..180).collect::<Vec<_>>());
        let points: Vec<Vec<f64>> = matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        let groups: Vec<usize> = (0..180).map(|row| (row * 7 / 5) % 4).collect();
        let targets = Array1::from_vec(groups.clone());
        let theirs = DatasetBase::new(matrix, targets).silhouette_score().unwrap();
        assert!((silhouette(&points, &groups, 4).unwrap() - theirs).abs() < 1e-12);
        assert_eq!(silhouette(&[vec![0.0], vec![1.0]], &[0, 1], 2), Some(0.0));
        assert_eq!(silhouette(&[vec![0.0], vec![1.0]], &[1, 1], 2), None);
    }

    #[test]
    fn fewer_different_rows_than_clusters_are_no_fault() {
        let table = five(&"1,2,3,4,5\n7,2,3,4,5\n".repeat(40));
        let scales = Scales::of(&table, &[], false);
        let (facts, _) = kmeans(&table, &scales, &Sweep::default(), 1).unwrap();
        assert_eq!(facts.chosen, 2);
        let few = table.choose(&[0, 1]);
        assert!(kmeans(&few, &Scales::of(&few, &[], false), &Sweep::default(), 1).is_err());
    }

    #[test]
    fn rows_that_were_not_drawn_join_the_clusters() {
        let table = three();
        let scales = Scales::of(&table, &[], false);
        let params = Density { rows: 90, ..Density::default() };
        let (facts, assigned) = dbscan(&table, &scales, &params, 1).unwrap();
        assert_eq!((facts.count, facts.rows, facts.noise), (3, 90, 0));
        assert!((0..180).all(|row| assigned[row] == assigned[row % 3]));
        assert_eq!(facts.clusters.iter().map(|cluster| cluster.rows).sum::<u64>(), 180);
        let narrow = Density { radius: f64::NAN, ..Density::default() };
        assert!(dbscan(&table, &scales, &narrow, 1).is_err());
    }
}
