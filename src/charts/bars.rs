//! Horizontal bars: the top N of something.

use super::format::finite;
use super::frame::{LABEL, MARGIN, TOP, empty, figure, label, paper};
use super::svg::{Anchor, Rectangle, Svg, Weight, fit, text_width};
use super::{Unit, WIDTH, palette};

/// Horizontal bars, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// What is shown.
    pub title: String,
    /// Rows from top to bottom; zeros are shown as rows without a bar.
    pub rows: Vec<Bar>,
    /// What the values are.
    pub unit: Unit,
    /// Said instead of a chart when every value is 0.
    pub when_empty: String,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Who or what; cut when it is too long.
    pub label: String,
    /// How much.
    pub value: f64,
    /// A few characters behind the value, for example its share; may be empty.
    pub note: String,
    /// A colour of [`super::palette`].
    pub color: &'static str,
}

/// Labels up to this width stand beside their bar, wider ones above it.
const BESIDE: f64 = 235.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;

impl Bars {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let maximum = self.rows.iter().map(|row| finite(row.value)).fold(0.0, f64::max);
        if maximum <= 0.0 {
            return empty(&self.title, &self.when_empty);
        }
        let labels = self.rows.iter().map(|row| text_width(&row.label, LABEL, Weight::Regular));
        let widest = labels.fold(0.0, f64::max);
        let beside = widest <= BESIDE;
        let pitch = if beside { 34.0 } else { 52.0 };
        let mut svg = paper(&self.title, TOP + pitch * self.rows.len() as f64 + 4.0);
        for (index, row) in self.rows.iter().enumerate() {
            let top = TOP + pitch * index as f64;
            let share = finite(row.value) / maximum;
            if beside {
                self.row_beside(&mut svg, top, MARGIN + widest + 14.0, row, share);
            } else {
                self.row_above(&mut svg, top, row, share);
            }
        }
        svg.finish()
    }

    /// Label, bar (from `x`) and figure in one line.
    fn row_beside(&self, svg: &mut Svg, top: f64, x: f64, row: &Bar, share: f64) {
        svg.text(MARGIN, top + 17.0, label(Anchor::Start), &row.label);
        self.draw_figure(svg, top + 17.0, row);
        let place = Rectangle { x, y: top + 3.0, width: self.bar_end() - x, height: 17.0 };
        draw_bar(svg, place, share, row.color);
    }

    /// Label and figure in one line, the bar below.
    fn row_above(&self, svg: &mut Svg, top: f64, row: &Bar, share: f64) {
        let figure_start = self.draw_figure(svg, top + 16.0, row);
        let name = fit(&row.label, figure_start - MARGIN - 14.0, LABEL, Weight::Regular);
        svg.text(MARGIN, top + 16.0, label(Anchor::Start), &name);
        let place = Rectangle { x: MARGIN, y: top + 25.0, width: INNER, height: 12.0 };
        draw_bar(svg, place, share, row.color);
    }

    /// Writes value and note at the right edge; returns where they begin.
    fn draw_figure(&self, svg: &mut Svg, y: f64, row: &Bar) -> f64 {
        let text = self.figure_text(row);
        svg.text(WIDTH - MARGIN, y, figure(Anchor::End), &text);
        WIDTH - MARGIN - text_width(&text, LABEL, Weight::Bold)
    }

    fn figure_text(&self, row: &Bar) -> String {
        let value = self.unit.format(row.value);
        let text = if row.note.is_empty() { value } else { format!("{value} · {}", row.note) };
        fit(&text, INNER * 0.34, LABEL, Weight::Bold)
    }

    /// Where the bars of all rows end, left of the widest figure: the same for every row, or their
    /// lengths could not be compared.
    fn bar_end(&self) -> f64 {
        let widths =
            self.rows.iter().map(|row| text_width(&self.figure_text(row), LABEL, Weight::Bold));
        WIDTH - MARGIN - widths.fold(0.0, f64::max) - 12.0
    }
}

fn draw_bar(svg: &mut Svg, place: Rectangle, share: f64, color: &str) {
    let radius = place.height / 2.0;
    svg.rectangle(place, radius.min(5.0), palette::TRACK);
    if share > 0.0 {
        // even the smallest is seen
        let width = (place.width * share).max(4.0);
        svg.rectangle(Rectangle { width, ..place }, radius.min(5.0), color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar {
        Bar { label: label.to_owned(), value, note: "50%".to_owned(), color: palette::BLUE }
    }

    fn bars(rows: Vec<Bar>) -> Bars {
        Bars { title: "Top talkers".to_owned(), rows, unit: Unit::Bytes, when_empty: String::new() }
    }

    #[test]
    fn short_labels_stand_beside_their_bars() {
        insta::assert_snapshot!(bars(vec![bar("10.0.0.1", 5e9), bar("10.0.0.2", 0.0)]).svg());
    }

    #[test]
    fn long_labels_stand_above_their_bars() {
        let address = "2001:db8:85a3:8d3:1319:8a2e:370:7348";
        let svg = bars(vec![bar(address, 5e9), bar("10.0.0.1", 1.0)]).svg();
        assert!(svg.contains(address), "an IPv6 address is shown whole");
        insta::assert_snapshot!(svg);
    }
}
