//! Box plots of one number, a row for each group, on one axis.

use super::format::tick;
use super::frame::{LABEL, MARGIN, TOP, empty, label, paper, round_step};
use super::svg::{Anchor, Rectangle, Svg, Weight, fit, text_width};
use super::{WIDTH, palette};

/// Box plots on one axis. Where a few giants would press the boxes together, the axis is that of
/// ln(1 + |x|), and the ticks say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Boxes {
    /// What is shown.
    pub title: String,
    /// Rows from top to bottom.
    pub rows: Vec<BoxRow>,
    /// Said instead of a chart when no value differs from another.
    pub when_empty: String,
}

/// One box.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxRow {
    /// Who or what; cut when it is too long.
    pub label: String,
    /// The least and the greatest value.
    pub ends: (f64, f64),
    /// The least and the greatest value that is no outlier.
    pub whiskers: (f64, f64),
    /// The quartiles: the box and the line in it.
    pub quartiles: [f64; 3],
    /// A few characters at the right, for example how many outliers there are; may be empty.
    pub note: String,
    /// A colour of [`super::palette`].
    pub color: &'static str,
}

const PITCH: f64 = 40.0;
const BOX: f64 = 24.0;
/// Widest label and widest note.
const ASIDE: f64 = 150.0;
/// An axis whose boxes take less of it than this is made logarithmic.
const PRESSED: f64 = 0.05;

impl Boxes {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let rows: Vec<BoxRow> = self.rows.iter().map(BoxRow::bounded).collect();
        let label_room = room(rows.iter().map(|row| row.label.as_str()));
        let note_room = room(rows.iter().map(|row| row.note.as_str()));
        let left = MARGIN + label_room + 16.0;
        let right = WIDTH - MARGIN - f64::max(note_room + 12.0, 12.0);
        let Some(axis) = Axis::of(&rows, left, right) else {
            return empty(&self.title, &self.when_empty);
        };
        let bottom = TOP + PITCH * rows.len() as f64;
        let mut svg = paper(&self.title, bottom + 36.0);
        axis.draw(&mut svg, TOP - 6.0, bottom);
        for (index, row) in rows.iter().enumerate() {
            let middle = TOP + PITCH * (index as f64 + 0.5) - 4.0;
            let name = fit(&row.label, ASIDE, LABEL, Weight::Regular);
            svg.text(MARGIN, middle + 7.0, label(Anchor::Start), &name);
            let note = fit(&row.note, ASIDE, LABEL, Weight::Regular);
            svg.text(WIDTH - MARGIN, middle + 7.0, label(Anchor::End), &note);
            row.draw(&mut svg, &axis, middle);
        }
        svg.finish()
    }
}

fn room<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    texts.map(|text| text_width(text, LABEL, Weight::Regular)).fold(0.0, f64::max).min(ASIDE)
}

impl BoxRow {
    /// The same with numbers that can be drawn, in their order.
    fn bounded(&self) -> Self {
        let bounded = |value: f64| if value.is_nan() { 0.0 } else { value.clamp(-1e21, 1e21) };
        let ordered = |(a, b): (f64, f64)| (bounded(a).min(bounded(b)), bounded(a).max(bounded(b)));
        let mut quartiles = self.quartiles.map(bounded);
        quartiles.sort_by(f64::total_cmp);
        Self {
            ends: ordered(self.ends),
            whiskers: ordered(self.whiskers),
            quartiles,
            ..self.clone()
        }
    }

    fn draw(&self, svg: &mut Svg, axis: &Axis, middle: f64) {
        let (low, high) = (axis.x(self.ends.0), axis.x(self.ends.1));
        // what the whiskers leave out: the outliers lie along the thin line
        svg.line((low, middle), (high, middle), palette::GREY, 1.5);
        svg.circle((low, middle), 3.0, palette::GREY);
        svg.circle((high, middle), 3.0, palette::GREY);
        let (first, last) = (axis.x(self.whiskers.0), axis.x(self.whiskers.1));
        svg.line((first, middle), (last, middle), palette::INK, 2.0);
        for x in [first, last] {
            svg.line((x, middle - 7.0), (x, middle + 7.0), palette::INK, 2.0);
        }
        let [begin, median, end] = self.quartiles.map(|value| axis.x(value));
        // even a box of one value is seen
        let width = (end - begin).max(4.0);
        let x = begin.min(axis.right - width);
        let place = Rectangle { x, y: middle - BOX / 2.0, width, height: BOX };
        svg.rectangle(place, 3.0, self.color);
        let (top, foot) = (middle - BOX / 2.0, middle + BOX / 2.0);
        svg.line((median, top), (median, foot), palette::PAPER, 5.0);
        svg.line((median, top), (median, foot), palette::INK, 2.0);
    }
}

/// The axis: from value to place.
struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    left: f64,
    right: f64,
}

impl Axis {
    /// `None` when there is nothing to tell apart.
    fn of(rows: &[BoxRow], left: f64, right: f64) -> Option<Self> {
        let least = |value: fn(&BoxRow) -> f64| rows.iter().map(value).reduce(f64::min);
        let most = |value: fn(&BoxRow) -> f64| rows.iter().map(value).reduce(f64::max);
        let (low, high) = (least(|row| row.ends.0)?, most(|row| row.ends.1)?);
        let boxes = most(|row| row.quartiles[2])? - least(|row| row.quartiles[0])?;
        let is_log = high.abs().max(low.abs()) >= 100.0 && boxes < PRESSED * (high - low);
        let axis = Self { low, high, is_log, left, right };
        (axis.spread(high) > axis.spread(low)).then_some(axis)
    }

    fn spread(&self, value: f64) -> f64 {
        if self.is_log { value.abs().ln_1p().copysign(value) } else { value }
    }

    fn x(&self, value: f64) -> f64 {
        let (low, high) = (self.spread(self.low), self.spread(self.high));
        let share = ((self.spread(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.left + share * (self.right - self.left)
    }

    fn draw(&self, svg: &mut Svg, top: f64, bottom: f64) {
        let mut free = 0.0;
        for value in self.ticks() {
            let x = self.x(value);
            svg.line((x, top), (x, bottom), palette::GRID, 1.0);
            let name = tick(value);
            let half = text_width(&name, LABEL, Weight::Regular) / 2.0;
            let middle = x.clamp(half, WIDTH - half);
            if middle - half >= free {
                svg.text(middle, bottom + 22.0, label(Anchor::Middle), &name);
                free = middle + half + 12.0;
            }
        }
    }

    /// Round values within the axis, from the least.
    fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = round_step((self.high - self.low) / 4.0);
            let first = (self.low / step).ceil();
            let ticks = (0..8).map(|index| (first + f64::from(index)) * step);
            return ticks.filter(|value| *value <= self.high + step * 1e-9).collect();
        }
        let digits = self.high.abs().max(self.low.abs()).log10().floor() as i32;
        let step = (digits / 3).max(1);
        let powers = (1..=digits / step).map(|index| 10f64.powi(index * step));
        let above: Vec<f64> = powers.collect();
        let below = above.iter().rev().map(|value| -value);
        let all = below.chain([0.0]).chain(above.iter().copied());
        all.filter(|value| (self.low..=self.high).contains(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, values: [f64; 7], color: &'static str) -> BoxRow {
        let [min, low, p25, median, p75, high, max] = values;
        BoxRow {
            label: label.to_owned(),
            ends: (min, max),
            whiskers: (low, high),
            quartiles: [p25, median, p75],
            note: "2%".to_owned(),
            color,
        }
    }

    fn boxes(rows: Vec<BoxRow>) -> String {
        Boxes {
            title: "src_bytes".to_owned(),
            rows,
            when_empty: "Every row holds the same".to_owned(),
        }
        .svg()
    }

    #[test]
    fn a_box_with_its_whiskers_and_the_way_to_its_outliers() {
        let normal = row("normal", [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0], palette::BLUE);
        let attack = row("attack", [-0.5, 0.0, 0.0, 0.0, 0.1, 0.2, 0.9], palette::ORANGE);
        insta::assert_snapshot!(boxes(vec![normal, attack]));
    }

    #[test]
    fn giants_make_the_axis_logarithmic() {
        let svg =
            boxes(vec![row("normal", [0.0, 0.0, 40.0, 50.0, 300.0, 700.0, 1e9], palette::BLUE)]);
        for tick in [">0<", ">1 k<", ">1 M<", ">1 G<"] {
            assert!(svg.contains(tick), "{svg}");
        }
        let svg = boxes(vec![row("all", [-1e6, 0.0, 1.0, 2.0, 3.0, 4.0, 1e6], palette::BLUE)]);
        assert!(svg.contains(">-1 M<") && svg.contains(">10 k<"), "{svg}");
    }

    #[test]
    fn values_that_do_not_differ_are_said_in_words() {
        assert!(boxes(vec![row("all", [3.0; 7], palette::BLUE)]).contains("holds the same"));
        assert!(boxes(Vec::new()).contains("holds the same"));
    }
}
