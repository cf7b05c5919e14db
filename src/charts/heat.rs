//! A heat map of correlations.

use super::frame::{LABEL, MARGIN, TOP, empty, label, wide_paper};
use super::svg::{Anchor, Rectangle, Svg, TextStyle, Weight, fit, text_width};
use super::{WIDTH, palette};

/// Values from −1 to 1 between the same things in rows and in columns.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What is shown.
    pub title: String,
    /// The things, from top to bottom and from left to right; cut when they are too long.
    pub labels: Vec<String>,
    /// Row by row; absent ones are grey.
    pub values: Vec<Vec<Option<f64>>>,
    /// Said instead of a chart when there is nothing.
    pub when_empty: String,
}

/// Widest label.
const WIDEST: f64 = 300.0;
/// Sides of a cell: labels of 19 units must stand beside each other, and few cells need no poster.
const LEAST: f64 = 22.0;
const MOST: f64 = 72.0;
/// A cell of this side has room for its value.
const ROOMY: f64 = 60.0;
/// Steps of the scale below the map.
const STEPS: i32 = 10;

impl HeatMap {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let count = self.labels.len();
        if count == 0 {
            return empty(&self.title, &self.when_empty);
        }
        let widths = self.labels.iter().map(|text| text_width(text, LABEL, Weight::Regular));
        let aside = widths.fold(0.0, f64::max).min(WIDEST) + 8.0;
        let side = (WIDTH - 2.0 * MARGIN - aside) / count as f64;
        let side = side.clamp(LEAST, MOST);
        let width = (2.0 * MARGIN + aside + side * count as f64).max(WIDTH);
        let (left, top) = (MARGIN + aside, TOP + aside);
        let bottom = top + side * count as f64;
        let mut svg = wide_paper(&self.title, width, bottom + 62.0);
        for (index, name) in self.labels.iter().enumerate() {
            let name = fit(name, WIDEST, LABEL, Weight::Regular);
            let middle = side * (index as f64 + 0.5) + 7.0;
            svg.text(left - 8.0, top + middle, label(Anchor::End), &name);
            svg.upright_text(left + middle, top - 8.0, label(Anchor::Start), &name);
        }
        for row in 0..count {
            for column in 0..count {
                let corner = (left + side * column as f64, top + side * row as f64);
                self.cell(&mut svg, corner, side, (row, column));
            }
        }
        scale(&mut svg, left.min(WIDTH - 340.0), bottom + 16.0);
        svg.finish()
    }

    fn cell(&self, svg: &mut Svg, corner: (f64, f64), side: f64, (row, column): (usize, usize)) {
        let value = self.values.get(row).and_then(|row| row.get(column).copied().flatten());
        let value = value.filter(|value| !value.is_nan()).map(|value| value.clamp(-1.0, 1.0));
        let names = [row, column].map(|place| fit(&self.labels[place], 600.0, LABEL, Weight::Bold));
        let shown = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let meaning = format!("{} × {}: {shown}", names[0], names[1]);
        let color = value.map_or_else(|| palette::GREY.to_owned(), color);
        // a hair of paper between the cells
        let (x, y) = corner;
        svg.cell(Rectangle { x, y, width: side - 1.0, height: side - 1.0 }, &color, &meaning);
        if side >= ROOMY {
            let is_dark = value.is_some_and(|value| value > 0.6);
            let fill = if is_dark { palette::PAPER } else { palette::INK };
            let style =
                TextStyle { size: LABEL, weight: Weight::Regular, anchor: Anchor::Middle, fill };
            svg.text(x + side / 2.0, y + side / 2.0 + 7.0, style, &shown);
        }
    }
}

/// Draws what the colours mean.
fn scale(svg: &mut Svg, x: f64, y: f64) {
    let width = 12.0;
    svg.text(x + 24.0, y + 18.0, label(Anchor::End), "-1");
    for step in -STEPS..=STEPS {
        let place = f64::from(step + STEPS) * width;
        let place = Rectangle { x: x + 32.0 + place, y, width: width + 0.5, height: 22.0 };
        svg.rectangle(place, 0.0, &color(f64::from(step) / f64::from(STEPS)));
    }
    let end = x + 40.0 + width * f64::from(2 * STEPS + 1);
    svg.text(end, y + 18.0, label(Anchor::Start), "1");
}

/// Returns the colour of a value: white for 0, towards blue above, towards orange below.
fn color(value: f64) -> String {
    let full = if value < 0.0 { palette::ORANGE } else { palette::BLUE };
    let part = |place: usize| u8::from_str_radix(&full[place..place + 2], 16).unwrap_or_default();
    let share = value.abs().min(1.0);
    let mixed = [1, 3, 5].map(|place| 255.0 + (f64::from(part(place)) - 255.0) * share);
    let [red, green, blue] = mixed.map(|part| part.round() as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heat_map(labels: Vec<String>) -> HeatMap {
        let count = labels.len();
        let value = |row: usize, column: usize| {
            if row == column { Some(1.0) } else { Some(0.5 - (row * column) as f64) }
        };
        let row = |row| (0..count).map(|column| value(row, column)).collect();
        HeatMap {
            title: "Correlations".to_owned(),
            labels,
            values: (0..count).map(row).collect(),
            when_empty: "No number varies".to_owned(),
        }
    }

    #[test]
    fn few_things_have_their_values_in_the_cells() {
        let labels = ["bytes", "packets", "<ports>"].map(str::to_owned).to_vec();
        let mut map = heat_map(labels);
        map.values[2][0] = None;
        let svg = map.svg();
        assert!(svg.contains("bytes × packets: 0.50") && svg.contains("bytes: –"), "{svg}");
        insta::assert_snapshot!(svg);
    }

    #[test]
    fn many_things_make_a_wider_picture_with_values_on_pointing_alone() {
        let svg = heat_map((0..40).map(|place| format!("column {place}")).collect()).svg();
        assert!(!svg.contains("width=\"640\" height"));
        assert_eq!(svg.matches("<title>").count(), 1 + 40 * 40);
        assert!(!svg.contains(">0.50</text>"));
    }

    #[test]
    fn nothing_is_said_in_words() {
        assert!(heat_map(Vec::new()).svg().contains("No number varies"));
    }

    #[test]
    fn colours_fade_towards_zero() {
        let shown = [0.0, 1.0, -1.0, 0.5].map(color);
        assert_eq!(shown, ["#ffffff", "#0072b2", "#e69f00", "#80b9d9"]);
    }
}
