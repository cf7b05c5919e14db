//! What charts share: the paper with its title, the legend, the axes of a chart over time.

use super::format::finite;
use super::svg::{Anchor, Rectangle, Svg, TextStyle, Weight, fit, text_width};
use super::{Unit, WIDTH, palette};

/// Space around everything.
pub(super) const MARGIN: f64 = 10.0;
/// Size of labels.
pub(super) const LABEL: f64 = 19.0;
/// Size of titles.
pub(super) const TITLE: f64 = 21.0;
/// Where the content below the title begins.
pub(super) const TOP: f64 = 58.0;

pub(super) fn label(anchor: Anchor) -> TextStyle {
    TextStyle { size: LABEL, weight: Weight::Regular, anchor, fill: palette::MUTED }
}

pub(super) fn figure(anchor: Anchor) -> TextStyle {
    TextStyle { size: LABEL, weight: Weight::Bold, anchor, fill: palette::INK }
}

/// Returns a document of `height` with paper and title.
pub(super) fn paper(title: &str, height: f64) -> Svg {
    wide_paper(title, WIDTH, height)
}

/// Returns a document of another width with paper and title.
pub(super) fn wide_paper(title: &str, width: f64, height: f64) -> Svg {
    let mut svg = Svg::new(width, height, &fit(title, f64::INFINITY, TITLE, Weight::Regular));
    let sheet = Rectangle { x: 0.0, y: 0.0, width, height };
    svg.rectangle(sheet, 10.0, palette::PAPER);
    let style =
        TextStyle { size: TITLE, weight: Weight::Bold, anchor: Anchor::Start, fill: palette::INK };
    let text = fit(title, width - 2.0 * MARGIN, TITLE, Weight::Bold);
    svg.text(MARGIN, 32.0, style, &text);
    svg
}

/// Returns the chart that is shown when there is nothing to show.
pub(super) fn empty(title: &str, message: &str) -> String {
    let mut svg = paper(title, 124.0);
    let message = if message.is_empty() { "no data" } else { message };
    let panel = Rectangle { x: MARGIN, y: TOP - 8.0, width: WIDTH - 2.0 * MARGIN, height: 64.0 };
    svg.rectangle(panel, 8.0, palette::TRACK);
    let text = fit(message, WIDTH - 4.0 * MARGIN, LABEL, Weight::Regular);
    svg.text(WIDTH / 2.0, TOP + 31.0, label(Anchor::Middle), &text);
    svg.finish()
}

/// Draws coloured names in one row, each cut to its part of the width.
pub(super) fn legend(svg: &mut Svg, y: f64, entries: &[(&str, &str)]) {
    let room = (WIDTH - 2.0 * MARGIN) / entries.len().max(1) as f64;
    let mut x = MARGIN;
    for (name, color) in entries {
        let dot = Rectangle { x, y: y - 12.0, width: 14.0, height: 14.0 };
        svg.rectangle(dot, 3.0, color);
        let name = fit(name, room - 44.0, LABEL, Weight::Regular);
        svg.text(x + 21.0, y, label(Anchor::Start), &name);
        x += 21.0 + text_width(&name, LABEL, Weight::Regular) + 22.0;
    }
}

/// The drawing area of a chart over time.
pub(super) struct Plot {
    area: Rectangle,
    top_value: f64,
    slots: usize,
}

impl Plot {
    /// Draws grid, value labels and time labels; `maximum` is the largest value to show.
    pub fn draw(svg: &mut Svg, top: f64, maximum: f64, unit: Unit, labels: &[String]) -> Self {
        let ticks = ticks(maximum, unit.least_step());
        let names: Vec<String> = ticks.iter().map(|&tick| unit.format(tick)).collect();
        let widest =
            names.iter().map(|name| text_width(name, LABEL, Weight::Regular)).fold(0.0, f64::max);
        let left = MARGIN + widest + 10.0;
        let area = Rectangle { x: left, y: top, width: WIDTH - MARGIN - left, height: 180.0 };
        let top_value = ticks.last().copied().unwrap_or(1.0);
        let plot = Self { area, top_value, slots: labels.len() };
        for (tick, name) in ticks.iter().zip(&names) {
            let y = plot.y(*tick);
            svg.line((area.x, y), (area.x + area.width, y), palette::GRID, 1.0);
            svg.text(left - 10.0, y + 6.0, label(Anchor::End), name);
        }
        plot.time_labels(svg, labels);
        plot
    }

    /// The height of a chart whose plot begins at `top`.
    pub fn height(top: f64) -> f64 {
        top + 180.0 + 42.0
    }

    /// Width of the place that one moment has.
    pub fn slot(&self) -> f64 {
        self.area.width / self.slots.max(1) as f64
    }

    /// The middle of the place of moment `index`.
    pub fn x(&self, index: usize) -> f64 {
        self.area.x + (index as f64 + 0.5) * self.slot()
    }

    /// The height of a value.
    pub fn y(&self, value: f64) -> f64 {
        let share = (finite(value) / self.top_value).min(1.0);
        self.area.y + self.area.height * (1.0 - share)
    }

    fn time_labels(&self, svg: &mut Svg, labels: &[String]) {
        let widest = labels.iter().map(|name| text_width(name, LABEL, Weight::Regular));
        let widest = widest.fold(0.0, f64::max).min(200.0);
        // steps that divide a day, so that labels fall on the same hours every day
        let steps = [1, 2, 3, 4, 6, 12, 24, 48, 96];
        let fits = |step: &usize| *step as f64 * self.slot() >= widest + 14.0;
        let step = steps.into_iter().find(fits).unwrap_or(labels.len().max(1));
        for (index, name) in labels.iter().enumerate().step_by(step) {
            let name = fit(name, 200.0, LABEL, Weight::Regular);
            let half = text_width(&name, LABEL, Weight::Regular) / 2.0;
            let x = self.x(index).min(WIDTH - MARGIN - half).max(half);
            svg.text(x, self.area.y + self.area.height + 26.0, label(Anchor::Middle), &name);
        }
    }
}

/// Returns the least round number that is not below `rough`, which is above 0.
pub(super) fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(rough)
}

/// Returns about four round values from 0 to at least `maximum`.
fn ticks(maximum: f64, least_step: f64) -> Vec<f64> {
    let maximum = finite(maximum).max(f64::MIN_POSITIVE);
    let step = round_step(maximum / 4.0).max(least_step);
    let steps = (maximum / step - 0.001).ceil().max(1.0) as u32;
    (0..=steps).map(|index| f64::from(index) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_maximum() {
        assert_eq!(ticks(7.0, 1.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(1.0, 1.0), [0.0, 1.0]);
        assert_eq!(ticks(1.0, 0.001), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(1e9, 1.0), [0.0, 2.5e8, 5e8, 7.5e8, 1e9]);
        for maximum in [0.0, f64::NAN, f64::MAX, f64::INFINITY, 3.3e-300, 12_345.6] {
            for least_step in [1.0, 1e-6] {
                let ticks = ticks(maximum, least_step);
                assert!((2..=7).contains(&ticks.len()), "{maximum}: {ticks:?}");
            }
        }
    }
}
