//! DBSCAN (Ester et al. 1996), exact, in memory that grows with the rows and not with their pairs.
//!
//! A row is in the core when enough rows are near; core rows that are near each other are in one
//! cluster; other rows join the nearest core row that is near, or are noise. Neighbours are never
//! listed: they are counted, and whoever was reached by a cluster is looked at no more.

use crate::learn::parallel;

use super::near::{Tree, is_near};

/// Points that one thread looks at before it takes the next ones.
const BLOCK: usize = 1024;
/// The cluster of a point that has none yet.
const NONE: u32 = u32::MAX;

/// The clusters of some points.
pub(super) struct Clustering {
    /// The core points.
    cores: Tree,
    /// The cluster of each place of `cores`.
    clusters: Vec<u32>,
    /// How many clusters there are.
    pub(super) count: u32,
    width: usize,
    square: f64,
}

impl Clustering {
    /// The clusters of `points`, row by row, in the order of their first rows. O(rows) memory.
    pub(super) fn of(points: &[f64], width: usize, radius: f64, min_points: usize) -> Self {
        let square = radius * radius;
        let rows: Vec<u32> = (0..(points.len() / width.max(1)) as u32).collect();
        let cores = core_rows(&Tree::of(points, width, &rows), square, min_points);
        let of_cores: Vec<f64> = cores
            .iter()
            .flat_map(|row| &points[*row as usize * width..][..width])
            .copied()
            .collect();
        let cores = Tree::of(&of_cores, width, &cores);
        let (clusters, count) = connected(&cores, square);
        Self { cores, clusters, count, width, square }
    }

    /// How many points are in the core of a cluster.
    pub(super) fn cores(&self) -> usize {
        self.cores.len()
    }

    /// The cluster of each point, among those it was made of or not; `None` for noise.
    pub(super) fn predict(&self, points: &[f64]) -> Vec<Option<u32>> {
        let of = |point: &[f64]| {
            self.cores.nearest(point, self.square).map(|place| self.clusters[place])
        };
        points.chunks(self.width.max(1)).map(of).collect()
    }
}

/// Returns the rows with enough others near, in their order.
fn core_rows(tree: &Tree, square: f64, min_points: usize) -> Vec<u32> {
    let mut is_core = vec![false; tree.len()];
    if tree.nodes() > 0 {
        mark_dense(tree, 0, square, min_points, &mut is_core);
    }
    let rest: Vec<usize> = (0..tree.len()).filter(|place| !is_core[*place]).collect();
    let blocks: Vec<&[usize]> = rest.chunks(BLOCK).collect();
    let found = parallel::map(&blocks, |block| {
        let is_core = |place: &&usize| tree.has_within(tree.point(**place), square, min_points);
        block.iter().filter(is_core).copied().collect::<Vec<_>>()
    });
    found.into_iter().flatten().for_each(|place| is_core[place] = true);
    let mut rows: Vec<u32> =
        (0..tree.len()).filter(|place| is_core[*place]).map(|place| tree.rows[place]).collect();
    rows.sort_unstable();
    rows
}

/// Marks the points of nodes that are so small and so full that all their points are in the core.
fn mark_dense(tree: &Tree, node: usize, square: f64, min_points: usize, is_core: &mut [bool]) {
    let places = tree.places(node);
    if places.len() < min_points {
        return;
    }
    if tree.extent(node) <= square {
        is_core[places].fill(true);
    } else if let Some((left, right)) = tree.halves(node) {
        mark_dense(tree, left, square, min_points, is_core);
        mark_dense(tree, right, square, min_points, is_core);
    }
}

/// Returns the cluster of each place, numbered by their first rows, and how many there are.
fn connected(cores: &Tree, square: f64) -> (Vec<u32>, u32) {
    let mut places: Vec<usize> = (0..cores.len()).collect();
    places.sort_unstable_by_key(|place| cores.rows[*place]);
    let mut walk = Walk::new(cores, square);
    let mut count = 0;
    for place in places {
        if walk.clusters[place] == NONE {
            walk.fill(place, count);
            count += 1;
        }
    }
    (walk.clusters, count)
}

/// Walks from core point to core point; whoever was reached is taken out of the tree, so that each is
/// found once.
struct Walk<'t> {
    square: f64,
    tree: &'t Tree,
    /// The cluster of each place.
    clusters: Vec<u32>,
    /// For each node how many of its points were not reached yet.
    left: Vec<u32>,
    /// Reached places whose surroundings were not looked at yet.
    waiting: Vec<u32>,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree, square: f64) -> Self {
        let left = (0..tree.nodes()).map(|node| tree.places(node).len() as u32).collect();
        Self { square, tree, clusters: vec![NONE; tree.len()], left, waiting: Vec::new() }
    }

    /// Gives every place reachable from `start` the number `cluster`.
    fn fill(&mut self, start: usize, cluster: u32) {
        // The start reaches itself.
        self.waiting.push(start as u32);
        while let Some(place) = self.waiting.pop() {
            self.take(0, self.tree.point(place as usize), cluster);
        }
    }

    /// Takes the points of a node that are near a point. O(log points) deep.
    fn take(&mut self, node: usize, point: &[f64], cluster: u32) -> u32 {
        if self.left[node] == 0 {
            return 0;
        }
        let (least, most) = self.tree.distances_from(point, node);
        if least > self.square {
            return 0;
        }
        let taken = match self.tree.halves(node) {
            Some((left, right)) => {
                self.take(left, point, cluster) + self.take(right, point, cluster)
            }
            None => {
                let mut taken = 0;
                for place in self.tree.places(node) {
                    let is_new = self.clusters[place] == NONE;
                    let is_near = || is_near(self.tree.point(place), point, self.square);
                    if is_new && (most <= self.square || is_near()) {
                        self.clusters[place] = cluster;
                        self.waiting.push(place as u32);
                        taken += 1;
                    }
                }
                taken
            }
        };
        self.left[node] -= taken;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::explore::near::squared;
    use crate::learn::random::Random;
    use linfa::ParamGuard;
    use linfa::traits::Transformer;
    use linfa_clustering::Dbscan;
    use ndarray::Array2;
    use std::collections::BTreeMap;

    /// Points in drifting clumps of different density, and some scattered ones.
    fn clumps(rows: usize, width: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed, 0);
        let mut points = Vec::new();
        for row in 0..rows {
            let (clump, spread) = if row % 10 == 0 { (0.0, 12.0) } else { ((row % 4) as f64, 1.0) };
            (0..width).for_each(|n| {
                let bell = random.unit() + random.unit() + random.unit() - 1.5;
                points.push(clump * (2.0 + n as f64) + spread * (1.0 + clump / 2.0) * bell);
            });
        }
        points
    }

    fn linfa(points: &[f64], width: usize, radius: f64, min_points: usize) -> Vec<Option<usize>> {
        let matrix =
            Array2::from_shape_vec((points.len() / width, width), points.to_vec()).unwrap();
        let params = Dbscan::params(min_points).tolerance(radius).check().unwrap();
        params.transform(&matrix).to_vec()
    }

    #[test]
    fn clusters_are_those_of_linfa() {
        let mut clusters_seen = 0;
        for (seed, width, radius, min_points) in [
            (1, 2, 0.3, 5),
            (2, 3, 0.5, 4),
            (3, 5, 1.0, 5),
            (4, 8, 1.6, 3),
            (5, 1, 0.02, 4),
            (6, 4, 0.5, 2),
        ] {
            let points = clumps(1500, width, seed);
            let found = Clustering::of(&points, width, radius, min_points);
            let (ours, theirs) =
                (found.predict(&points), linfa(&points, width, radius, min_points));
            let is_core = |row: usize| {
                let point = &points[row * width..][..width];
                let near = |other: &&[f64]| squared(point, other) <= radius * radius;
                points.chunks(width).filter(near).count() >= min_points
            };
            let mut names = BTreeMap::new();
            for row in 0..ours.len() {
                assert_eq!(ours[row].is_some(), theirs[row].is_some(), "noise of both: {row}");
                // linfa gives a border row to the cluster it finds first, we to the nearest.
                if is_core(row) {
                    assert_eq!(names.entry(ours[row]).or_insert(theirs[row]), &theirs[row]);
                }
            }
            let different: std::collections::BTreeSet<_> = names.values().collect();
            assert_eq!(different.len(), names.len());
            assert_eq!(names.len(), found.count as usize);
            clusters_seen += names.len();
        }
        assert!(clusters_seen > 30, "{clusters_seen}");
    }

    #[test]
    fn many_equal_points_are_one_cluster_in_no_time() {
        let mut points = vec![1.0; 2 * 200_000];
        points.extend([9.0, 9.0]);
        let found = Clustering::of(&points, 2, 0.5, 5);
        assert_eq!((found.count, found.cores()), (1, 200_000));
        let labels = found.predict(&points);
        assert_eq!((labels[7], labels[200_000]), (Some(0), None));
    }

    #[test]
    fn nothing_has_no_clusters() {
        let found = Clustering::of(&[], 3, 1.0, 2);
        assert!(found.count == 0 && found.predict(&[]).is_empty());
        assert_eq!(found.predict(&[1.0, 2.0, 3.0]), [None]);
    }
}
