//! One tree of the forest, and the rows that all trees share.
//!
//! A tree over a sample of rows is cut at random in proportion to the extent of the box around them.
//! Inserting and removing keep that distribution, so a tree is at any time as if it had been made of
//! its sample anew. Flat arrays; a node is a number.

use serde::{Deserialize, Serialize};

use crate::features::mix;

use super::super::novelty::{Row, WIDTH, sum};

/// No node.
const NONE: u16 = u16::MAX;
/// Numbers of nodes from here on are leaves.
const LEAF: u16 = 1 << 15;

/// The rows that the trees hold, each once, with the number of its holders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Store {
    rows: Vec<Row>,
    holders: Vec<u16>,
    free: Vec<u16>,
}

impl Store {
    fn row(&self, place: u16) -> &Row {
        &self.rows[usize::from(place)]
    }

    /// Puts a row in with one holder.
    fn put(&mut self, row: &Row) -> u16 {
        if let Some(place) = self.free.pop() {
            self.rows[usize::from(place)] = *row;
            self.holders[usize::from(place)] = 1;
            return place;
        }
        let place = u16::try_from(self.rows.len()).expect("the settings bound trees times samples");
        self.rows.push(*row);
        self.holders.push(1);
        place
    }

    /// Whether every place has its numbers, and all are finite.
    pub(super) fn is_sound(&self) -> bool {
        let are_finite = self.rows.iter().flatten().all(|value| value.is_finite());
        let are_known = self.free.iter().all(|place| usize::from(*place) < self.rows.len());
        self.rows.len() == self.holders.len() && are_finite && are_known
    }

    fn hold(&mut self, place: u16) {
        self.holders[usize::from(place)] += 1;
    }

    fn release(&mut self, place: u16) {
        let holders = &mut self.holders[usize::from(place)];
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.free.push(place);
        }
    }
}

/// The extent of the rows below a node.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    low: Row,
    high: Row,
}

impl Extent {
    fn of(row: &Row) -> Self {
        Self { low: *row, high: *row }
    }

    fn join(&mut self, other: &Self) {
        for n in 0..WIDTH {
            self.low[n] = self.low[n].min(other.low[n]);
            self.high[n] = self.high[n].max(other.high[n]);
        }
    }

    /// How far `row` lies outside, by number.
    fn outside(&self, row: &Row) -> Row {
        // At most one of the two is above 0.
        std::array::from_fn(|n| larger(larger(self.low[n] - row[n], row[n] - self.high[n]), 0.0))
    }

    fn sum(&self) -> f32 {
        sum(&std::array::from_fn(|n| self.high[n] - self.low[n]))
    }

    /// The probability that a random cut of the joined box parts `row` from all others.
    fn cut_off(&self, row: &Row) -> f32 {
        let outside = sum(&self.outside(row));
        if outside > 0.0 { outside / (outside + self.sum()) } else { 0.0 }
    }
}

/// The larger of two numbers that are finite: without a care for others it is one instruction.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A cut: rows whose number `dimension` is at most `value` are to the left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Node {
    dimension: u8,
    value: f32,
    left: u16,
    right: u16,
}

/// Equal rows of the sample.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Leaf {
    place: u16,
    mass: u16,
}

/// A row in the sample with the rank that decides how long it stays.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sampled {
    rank: f64,
    place: u16,
}

/// A row on its way down a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Which row.
    row: usize,
    node: u16,
    /// The probability that no cut has parted it yet.
    left: f32,
    score: f32,
}

/// A random cut tree with its sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tree {
    capacity: usize,
    /// Counts the random numbers: each is a mix of its count.
    draws: u64,
    root: u16,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    /// A heap: the highest rank first.
    sample: Vec<Sampled>,
    /// One for each node; they follow from rows and cuts, so a snapshot leaves them out.
    #[serde(skip)]
    extents: Vec<Extent>,
    /// The way to a leaf, kept to save allocations.
    #[serde(skip)]
    path: Vec<u16>,
}

impl Tree {
    /// Returns a tree that will hold `capacity` rows.
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        Self {
            capacity,
            draws: seed,
            root: NONE,
            nodes: Vec::new(),
            leaves: Vec::new(),
            free_nodes: Vec::new(),
            free_leaves: Vec::new(),
            sample: Vec::new(),
            extents: Vec::new(),
            path: Vec::new(),
        }
    }

    /// A random number above 0 and below 1.
    fn random(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(1);
        ((mix(self.draws) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Adds to `scores` how unusual each row is: by how early a random cut would part it from the
    /// sample.
    ///
    /// All rows go down together, a level at a time: what the next node of one waits for is fetched
    /// while the others are worked on. `open` is theirs to use.
    pub(super) fn score(
        &self,
        store: &Store,
        rows: &[Row],
        open: &mut Vec<Walk>,
        scores: &mut [f32],
    ) {
        if self.root == NONE {
            return;
        }
        open.clear();
        open.extend((0..rows.len()).map(|row| Walk {
            row,
            node: self.root,
            left: 1.0,
            score: 0.0,
        }));
        let whole = self.sample.len() as f32;
        let unit = (whole + 1.0).log2();
        let mut depth = 0.0f32;
        while !open.is_empty() {
            let share = 1.0 / (depth + 1.0);
            open.retain_mut(|walk| {
                let row = &rows[walk.row];
                if walk.node < LEAF {
                    let place = usize::from(walk.node);
                    let cut_off = self.extents[place].cut_off(row);
                    walk.score += walk.left * cut_off * share;
                    walk.left *= 1.0 - cut_off;
                    walk.node = self.nodes[place].next(row);
                    return true;
                }
                let leaf = self.leaves[usize::from(walk.node - LEAF)];
                let last = if store.row(leaf.place) == row {
                    let mass = f32::from(leaf.mass);
                    (1.0 - 0.5 * mass / whole) / (depth + (1.0 + mass).log2())
                } else {
                    share
                };
                scores[walk.row] += (walk.score + walk.left * last) * unit;
                false
            });
            depth += 1.0;
        }
    }

    /// Adds the part of each number in the score of a row to `parts`.
    pub(super) fn attribute(&self, store: &Store, row: &Row, parts: &mut Row) {
        let (mut node, mut depth, mut left) = (self.root, 0.0f32, 1.0f32);
        while node != NONE && left > 0.0 {
            let is_leaf = node >= LEAF;
            let extent = self.extent(store, node);
            let outside = extent.outside(row);
            let whole = sum(&outside) + extent.sum();
            if whole > 0.0 {
                for (part, gap) in parts.iter_mut().zip(outside) {
                    *part += left * gap / whole / (depth + 1.0);
                }
            }
            if is_leaf {
                return;
            }
            left *= 1.0 - extent.cut_off(row);
            node = self.nodes[usize::from(node)].next(row);
            depth += 1.0;
        }
    }

    /// Takes a row into the sample, with the chance that its `age` gives it, in the place of another
    /// one when the sample is full. `held` is the place of the row in the store, once it has one.
    pub(super) fn learn(&mut self, store: &mut Store, row: &Row, age: f64, held: &mut Option<u16>) {
        // Weighted sampling without replacement (Efraimidis & Spirakis 2006): rows count less with
        // age, and the highest rank goes.
        let rank = (-self.random().ln()).ln() - age;
        if self.sample.len() >= self.capacity {
            if rank >= self.sample[0].rank {
                return;
            }
            let place = self.pop();
            self.remove(store, place);
            store.release(place);
        }
        let place = self.insert(store, row, held);
        self.push(Sampled { rank, place });
    }

    fn extent(&self, store: &Store, node: u16) -> Extent {
        if node < LEAF {
            return self.extents[usize::from(node)];
        }
        Extent::of(store.row(self.leaves[usize::from(node - LEAF)].place))
    }

    /// Inserts a row; returns its place in the store, that of an equal row when the tree has one.
    fn insert(&mut self, store: &mut Store, row: &Row, held: &mut Option<u16>) -> u16 {
        let (mut parent, mut node) = (NONE, self.root);
        while node != NONE {
            if node >= LEAF {
                let leaf = &mut self.leaves[usize::from(node - LEAF)];
                if store.row(leaf.place) == row {
                    leaf.mass += 1;
                    store.hold(leaf.place);
                    return leaf.place;
                }
            }
            let mut extent = self.extent(store, node);
            let outside = extent.outside(row);
            let beyond = sum(&outside);
            if beyond > 0.0 {
                let mut cut = self.random() as f32 * (beyond + extent.sum());
                if cut < beyond || node >= LEAF {
                    cut = cut.min(beyond);
                    let place = Self::place(store, row, held);
                    let leaf = self.new_leaf(place);
                    let (dimension, value, is_left) = between(&extent, row, &outside, cut);
                    extent.join(&Extent::of(row));
                    let (left, right) = if is_left { (leaf, node) } else { (node, leaf) };
                    let made = self.new_node(Node { dimension, value, left, right }, extent);
                    self.replace(parent, node, made);
                    return place;
                }
                extent.join(&Extent::of(row));
                self.extents[usize::from(node)] = extent;
            }
            parent = node;
            node = self.nodes[usize::from(node)].next(row);
        }
        let place = Self::place(store, row, held);
        self.root = self.new_leaf(place);
        place
    }

    fn place(store: &mut Store, row: &Row, held: &mut Option<u16>) -> u16 {
        match *held {
            Some(place) => {
                store.hold(place);
                place
            }
            None => *held.insert(store.put(row)),
        }
    }

    fn new_leaf(&mut self, place: u16) -> u16 {
        let leaf = Leaf { place, mass: 1 };
        if let Some(free) = self.free_leaves.pop() {
            self.leaves[usize::from(free)] = leaf;
            return LEAF + free;
        }
        self.leaves.push(leaf);
        LEAF + number(self.leaves.len() - 1)
    }

    fn new_node(&mut self, node: Node, extent: Extent) -> u16 {
        if let Some(free) = self.free_nodes.pop() {
            self.nodes[usize::from(free)] = node;
            self.extents[usize::from(free)] = extent;
            return free;
        }
        self.nodes.push(node);
        self.extents.push(extent);
        number(self.nodes.len() - 1)
    }

    /// Puts `new` where `old` was below `parent`, or as the root.
    fn replace(&mut self, parent: u16, old: u16, new: u16) {
        if parent == NONE {
            self.root = new;
            return;
        }
        let parent = &mut self.nodes[usize::from(parent)];
        if parent.left == old {
            parent.left = new;
        } else {
            parent.right = new;
        }
    }

    /// Removes one row at `place` of the store.
    fn remove(&mut self, store: &Store, place: u16) {
        let row = store.row(place);
        self.path.clear();
        let mut node = self.root;
        while node < LEAF {
            self.path.push(node);
            node = self.nodes[usize::from(node)].next(row);
        }
        if node == NONE {
            return;
        }
        let leaf = &mut self.leaves[usize::from(node - LEAF)];
        if leaf.mass > 1 {
            leaf.mass -= 1;
            return;
        }
        self.free_leaves.push(node - LEAF);
        let Some(parent) = self.path.pop() else {
            self.root = NONE;
            return;
        };
        let Node { left, right, .. } = self.nodes[usize::from(parent)];
        let sibling = if left == node { right } else { left };
        self.free_nodes.push(parent);
        self.replace(self.path.last().copied().unwrap_or(NONE), parent, sibling);
        while let Some(above) = self.path.pop() {
            let Node { left, right, .. } = self.nodes[usize::from(above)];
            let mut extent = self.extent(store, left);
            extent.join(&self.extent(store, right));
            if self.extents[usize::from(above)] == extent {
                break;
            }
            self.extents[usize::from(above)] = extent;
        }
    }

    /// Adds a row to the heap.
    fn push(&mut self, sampled: Sampled) {
        self.sample.push(sampled);
        let mut at = self.sample.len() - 1;
        while at > 0 && self.sample[(at - 1) / 2].rank < self.sample[at].rank {
            self.sample.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Takes the row of the highest rank from the heap, which must not be empty; returns its place.
    fn pop(&mut self) -> u16 {
        let highest = self.sample.swap_remove(0);
        let mut at = 0;
        loop {
            let rank = |n: usize| self.sample.get(n).map_or(f64::NEG_INFINITY, |s| s.rank);
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if rank(left) >= rank(right) { left } else { right };
            if rank(child) <= rank(at) {
                return highest.place;
            }
            self.sample.swap(at, child);
            at = child;
        }
    }

    /// Works out what a snapshot leaves out; `false` when the tree is damaged.
    pub(super) fn complete(&mut self, store: &Store) -> bool {
        let is_known = |place: u16| usize::from(place) < store.rows.len();
        let mut open = self.nodes.len() + self.leaves.len();
        self.extents = vec![Extent::of(&[0.0; WIDTH]); self.nodes.len()];
        let are_known = self.sample.iter().all(|sampled| is_known(sampled.place))
            && self.leaves.iter().all(|leaf| is_known(leaf.place));
        let is_whole = self.root == NONE || self.measure(store, self.root, &mut open).is_some();
        are_known && is_whole && (self.root == NONE) == self.sample.is_empty()
    }

    /// Works out the extents at and below a node. `open` is how many nodes may still be met: a
    /// damaged tree may have a circle.
    fn measure(&mut self, store: &Store, node: u16, open: &mut usize) -> Option<Extent> {
        *open = open.checked_sub(1)?;
        if node >= LEAF {
            let leaf = self.leaves.get(usize::from(node - LEAF))?;
            return store.rows.get(usize::from(leaf.place)).map(Extent::of);
        }
        let Node { left, right, dimension, .. } = *self.nodes.get(usize::from(node))?;
        if usize::from(dimension) >= WIDTH {
            return None;
        }
        let mut extent = self.measure(store, left, open)?;
        extent.join(&self.measure(store, right, open)?);
        self.extents[usize::from(node)] = extent;
        Some(extent)
    }

    /// The rows that it may hold.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Node {
    fn next(&self, row: &Row) -> u16 {
        if row[usize::from(self.dimension)] <= self.value { self.left } else { self.right }
    }
}

fn number(place: usize) -> u16 {
    u16::try_from(place).ok().filter(|n| *n < LEAF).expect("the settings bound the samples")
}

/// Returns the cut at `cut` of the way through the gaps between `extent` and `row`: number, value
/// and whether the row is to its left.
fn between(extent: &Extent, row: &Row, outside: &Row, cut: f32) -> (u8, f32, bool) {
    let mut rest = cut;
    let mut chosen = 0;
    for (n, &gap) in outside.iter().enumerate().filter(|(_, gap)| **gap > 0.0) {
        chosen = n;
        if rest < gap {
            break;
        }
        rest -= gap;
    }
    let dimension = u8::try_from(chosen).expect("rows are short");
    let rest = rest.min(outside[chosen]);
    // A cut must part the two, whatever rounding does.
    if row[chosen] < extent.low[chosen] {
        let value = row[chosen] + rest;
        let value = if value < extent.low[chosen] { value } else { row[chosen] };
        (dimension, value, true)
    } else {
        let value = extent.high[chosen] + rest;
        let value = if value < row[chosen] { value } else { extent.high[chosen] };
        (dimension, value, false)
    }
}
