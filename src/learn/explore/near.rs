//! A tree of points that answers "how many are near" without listing them.
//!
//! Own, since `linfa_nn` returns every neighbour: in a dense place of 350,000 rows that is the
//! square of them, in time and in memory.

/// Points in a leaf: below this comparing is faster than descending.
const LEAF: usize = 16;
/// Points of a node whose spread says along which column it is cut.
const SAMPLE: usize = 32;

/// A k-d tree; points stand in the order of its leaves ("places").
pub(super) struct Tree {
    width: usize,
    points: Vec<f64>,
    /// The row of each place.
    pub(super) rows: Vec<u32>,
    nodes: Vec<Node>,
    /// For each node its least and its greatest corner.
    boxes: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The left child follows its parent; 0 for a leaf.
    right: u32,
}

impl Tree {
    /// The tree of `points`, row by row; `rows` are the rows they belong to, in rising order.
    pub(super) fn of(points: &[f64], width: usize, rows: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let mut tree = Self {
            width,
            points: Vec::with_capacity(points.len()),
            rows: Vec::new(),
            nodes: Vec::new(),
            boxes: Vec::new(),
        };
        if !order.is_empty() && width > 0 {
            tree.grow(points, &mut order, 0);
        }
        for place in &order {
            tree.points.extend(&points[*place as usize * width..][..width]);
        }
        tree.rows = order.iter().map(|place| rows[*place as usize]).collect();
        tree
    }

    fn grow(&mut self, points: &[f64], order: &mut [u32], start: usize) {
        let width = self.width;
        let node = self.nodes.len();
        self.nodes.push(Node { start: start as u32, end: (start + order.len()) as u32, right: 0 });
        let mut corners = [vec![f64::INFINITY; width], vec![f64::NEG_INFINITY; width]];
        for place in order.iter() {
            let point = &points[*place as usize * width..][..width];
            corners[0].iter_mut().zip(point).for_each(|(low, x)| *low = low.min(*x));
            corners[1].iter_mut().zip(point).for_each(|(high, x)| *high = high.max(*x));
        }
        let side = |n: usize| corners[1][n] - corners[0][n];
        let spread = spreads(points, order, width);
        let by_spread = |a: &usize, b: &usize| {
            spread[*a].total_cmp(&spread[*b]).then(side(*a).total_cmp(&side(*b)))
        };
        let widest = (0..width).max_by(by_spread).unwrap_or_default();
        let is_leaf = order.len() <= LEAF || (0..width).all(|n| side(n) <= 0.0);
        self.boxes.extend(corners.iter().flatten());
        if is_leaf {
            order.sort_unstable();
            return;
        }
        let half = order.len() / 2;
        let at = |place: &u32| points[*place as usize * width + widest];
        order.select_nth_unstable_by(half, |a, b| at(a).total_cmp(&at(b)).then(a.cmp(b)));
        let (left, right) = order.split_at_mut(half);
        self.grow(points, left, start);
        self.nodes[node].right = self.nodes.len() as u32;
        self.grow(points, right, start + half);
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn point(&self, place: usize) -> &[f64] {
        &self.points[place * self.width..][..self.width]
    }

    /// The two halves of a node; `None` for a leaf.
    pub(super) fn halves(&self, node: usize) -> Option<(usize, usize)> {
        let right = self.nodes[node].right as usize;
        (right != 0).then_some((node + 1, right))
    }

    /// How many nodes there are; the first is the root.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The places of a node.
    pub(super) fn places(&self, node: usize) -> std::ops::Range<usize> {
        self.nodes[node].start as usize..self.nodes[node].end as usize
    }

    fn corners(&self, node: usize) -> (&[f64], &[f64]) {
        self.boxes[node * 2 * self.width..][..2 * self.width].split_at(self.width)
    }

    /// The square of the greatest distance that points of a node may have.
    pub(super) fn extent(&self, node: usize) -> f64 {
        let (low, high) = self.corners(node);
        squared(low, high)
    }

    /// Squares of the least and the greatest distance that a point and those of a node may have.
    pub(super) fn distances_from(&self, point: &[f64], node: usize) -> (f64, f64) {
        let (low, high) = self.corners(node);
        let (mut least, mut most) = (0.0, 0.0);
        for (n, x) in point.iter().enumerate() {
            let gap = (low[n] - x).max(x - high[n]).max(0.0);
            let reach = (high[n] - x).max(x - low[n]);
            least += gap * gap;
            most += reach * reach;
        }
        (least, most)
    }

    /// Whether at least `count` points are within a distance, given by its square.
    pub(super) fn has_within(&self, point: &[f64], square: f64, count: usize) -> bool {
        let mut lacking = count;
        if !self.nodes.is_empty() {
            self.count(0, point, square, &mut lacking);
        }
        lacking == 0
    }

    fn count(&self, node: usize, point: &[f64], square: f64, lacking: &mut usize) {
        let (least, most) = self.distances_from(point, node);
        if *lacking == 0 || least > square {
            return;
        }
        let places = self.places(node);
        if most <= square {
            *lacking = lacking.saturating_sub(places.len());
            return;
        }
        match self.halves(node) {
            Some((left, right)) => {
                self.count(left, point, square, lacking);
                self.count(right, point, square, lacking);
            }
            None => {
                let is_near = |place: &usize| is_near(self.point(*place), point, square);
                let near = places.filter(is_near).count();
                *lacking = lacking.saturating_sub(near);
            }
        }
    }

    /// The place of the nearest point within a distance, given by its square; of equally near ones
    /// that of the first row.
    pub(super) fn nearest(&self, point: &[f64], square: f64) -> Option<usize> {
        let mut best = Best { square, place: None };
        if !self.nodes.is_empty() {
            self.approach(0, point, &mut best);
        }
        best.place
    }

    fn approach(&self, node: usize, point: &[f64], best: &mut Best) {
        if self.distances_from(point, node).0 > best.square {
            return;
        }
        let Some((left, right)) = self.halves(node) else {
            // Of a leaf's equal points the first row comes first; there may be 100,000.
            let are_equal = self.extent(node) <= 0.0;
            let places = self.places(node);
            for place in places.take(if are_equal { 1 } else { usize::MAX }) {
                let within = squared_within(self.point(place), point, best.square);
                let Some(square) = within else { continue };
                let is_first = |other: usize| self.rows[place] < self.rows[other];
                let is_better = square < best.square
                    || square == best.square && best.place.is_none_or(is_first);
                if is_better {
                    *best = Best { square, place: Some(place) };
                }
            }
            return;
        };
        let far = |node| self.distances_from(point, node).0;
        let (first, second) = if far(right) < far(left) { (right, left) } else { (left, right) };
        self.approach(first, point, best);
        self.approach(second, point, best);
    }
}

struct Best {
    square: f64,
    place: Option<usize>,
}

pub(super) fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Whether two points are within a distance, given by its square.
pub(super) fn is_near(a: &[f64], b: &[f64], square: f64) -> bool {
    squared_within(a, b, square).is_some()
}

/// The squared distance when it is not above a bound; of wide points often a few columns tell.
fn squared_within(a: &[f64], b: &[f64], bound: f64) -> Option<f64> {
    let mut sum = 0.0;
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sum += squared(a, b);
        if sum > bound {
            return None;
        }
    }
    Some(sum)
}

/// How far each column spreads among some of the points: mean absolute deviations. By their range
/// the tree would cut off one giant after the other, and never the bulk.
fn spreads(points: &[f64], order: &[u32], width: usize) -> Vec<f64> {
    let some = || order.iter().step_by(order.len().div_ceil(SAMPLE).max(1));
    let count = some().count().max(1) as f64;
    let point = |place: &u32| &points[*place as usize * width..][..width];
    let mut means = vec![0.0; width];
    for place in some() {
        means.iter_mut().zip(point(place)).for_each(|(mean, x)| *mean += x / count);
    }
    let mut spreads = vec![0.0; width];
    for place in some() {
        let off = point(place).iter().zip(&means).map(|(x, mean)| (x - mean).abs());
        spreads.iter_mut().zip(off).for_each(|(spread, off)| *spread += off);
    }
    spreads
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn answers_are_those_of_comparing_all(
            // Whole numbers, so that many points are equal or equally far.
            numbers in prop::collection::vec(0..12i32, 3..600),
            from in prop::array::uniform3(-2..14i32),
            square in 0..60i32,
        ) {
            let points: Vec<f64> = numbers.iter().map(|n| f64::from(*n)).collect();
            let points = &points[..points.len() / 3 * 3];
            let rows: Vec<u32> = (0..points.len() as u32 / 3).collect();
            let tree = Tree::of(points, 3, &rows);
            let (from, square) = (from.map(f64::from), f64::from(square));
            let near = points.chunks(3).filter(|point| squared(point, &from) <= square).count();
            prop_assert!(tree.has_within(&from, square, near));
            prop_assert!(!tree.has_within(&from, square, near + 1));
            let nearest = (0..rows.len())
                .map(|row| (squared(&points[row * 3..][..3], &from), row as u32))
                .filter(|(distance, _)| *distance <= square)
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let found = tree.nearest(&from, square).map(|place| tree.rows[place]);
            prop_assert_eq!(found, nearest.map(|(_, row)| row));
        }
    }

    #[test]
    fn no_points_are_near_nothing() {
        let tree = Tree::of(&[], 2, &[]);
        assert!(tree.len() == 0 && tree.has_within(&[0.0, 0.0], 1.0, 0));
        assert!(!tree.has_within(&[0.0, 0.0], 1.0, 1) && tree.nearest(&[0.0, 0.0], 9.0).is_none());
    }
}
