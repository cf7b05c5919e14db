//! A ring of shares with its legend.

use std::f64::consts::TAU;

use super::format::{finite, percent};
use super::frame::{LABEL, MARGIN, TOP, empty, figure, label, paper};
use super::svg::{Anchor, Rectangle, Svg, TextStyle, Weight, fit, number, text_width};
use super::{Unit, WIDTH, palette};

/// A ring of shares, clockwise from the top, in the order given. The legend lists zeros, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Donut {
    /// What is shown.
    pub title: String,
    /// The parts; colours follow [`palette::CATEGORIES`].
    pub slices: Vec<Slice>,
    /// What the values are.
    pub unit: Unit,
    /// Said instead of a chart when every value is 0.
    pub when_empty: String,
}

/// One part.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// What; cut when it is too long.
    pub label: String,
    /// How much.
    pub value: f64,
}

const OUTER: f64 = 92.0;
const INNER: f64 = 58.0;
const CENTRE_X: f64 = MARGIN + OUTER + 6.0;
const PITCH: f64 = 32.0;

impl Donut {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let total: f64 = self.slices.iter().map(|slice| finite(slice.value)).sum();
        if total <= 0.0 {
            return empty(&self.title, &self.when_empty);
        }
        let content = (PITCH * self.slices.len() as f64).max(2.0 * OUTER);
        let mut svg = paper(&self.title, TOP + content + 18.0);
        let middle = TOP + content / 2.0;
        self.ring(&mut svg, middle, total);
        let legend_top = middle - PITCH * self.slices.len() as f64 / 2.0;
        for (index, slice) in self.slices.iter().enumerate() {
            legend_row(
                &mut svg,
                legend_top + PITCH * index as f64,
                self.unit,
                slice,
                color(index),
                total,
            );
        }
        svg.finish()
    }

    fn ring(&self, svg: &mut Svg, middle: f64, total: f64) {
        let mut turned = 0.0;
        for (index, slice) in self.slices.iter().enumerate() {
            let share = finite(slice.value) / total;
            // arcs cannot turn a full circle; a hair less looks the same
            if share > 0.0 {
                let arc = arc((CENTRE_X, middle), turned, turned + share.min(0.9999));
                svg.shape(&arc, color(index), 1.0);
            }
            turned += share;
        }
        let centre = TextStyle { size: 21.0, ..figure(Anchor::Middle) };
        let text = self.unit.format(total);
        svg.text(
            CENTRE_X,
            middle + 2.0,
            centre,
            &fit(&text, 2.0 * INNER - 6.0, 21.0, Weight::Bold),
        );
        svg.text(CENTRE_X, middle + 24.0, label(Anchor::Middle), "in all");
    }
}

fn color(index: usize) -> &'static str {
    palette::CATEGORIES.get(index).copied().unwrap_or(palette::GREY)
}

fn legend_row(svg: &mut Svg, top: f64, unit: Unit, slice: &Slice, color: &str, total: f64) {
    let x = CENTRE_X + OUTER + 34.0;
    let y = top + PITCH / 2.0 + 6.0;
    svg.rectangle(Rectangle { x, y: y - 13.0, width: 14.0, height: 14.0 }, 3.0, color);
    let value = format!("{} · {}", unit.format(slice.value), percent(finite(slice.value) / total));
    svg.text(WIDTH - MARGIN, y, figure(Anchor::End), &value);
    let room = WIDTH - MARGIN - text_width(&value, LABEL, Weight::Bold) - 12.0 - (x + 22.0);
    svg.text(x + 22.0, y, label(Anchor::Start), &fit(&slice.label, room, LABEL, Weight::Regular));
}

/// Returns the path of a ring segment between two shares of the full turn.
fn arc(centre: (f64, f64), from: f64, to: f64) -> String {
    let point = |share: f64, radius: f64| {
        let (sin, cos) = (share * TAU).sin_cos();
        format!("{} {}", number(centre.0 + radius * sin), number(centre.1 - radius * cos))
    };
    let large = u8::from(to - from > 0.5);
    format!(
        "M {} A {OUTER} {OUTER} 0 {large} 1 {} L {} A {INNER} {INNER} 0 {large} 0 {} Z",
        point(from, OUTER),
        point(to, OUTER),
        point(to, INNER),
        point(from, INNER),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn donut(values: &[(&str, f64)]) -> String {
        let slices =
            values.iter().map(|&(label, value)| Slice { label: label.to_owned(), value }).collect();
        let title = "Bytes by protocol".to_owned();
        Donut { title, slices, unit: Unit::Bytes, when_empty: String::new() }.svg()
    }

    #[test]
    fn zeros_stay_in_the_legend() {
        let svg = donut(&[("TCP", 3e9), ("UDP", 1e9), ("ICMP", 0.0)]);
        assert!(svg.contains(">ICMP<"));
        insta::assert_snapshot!(svg);
    }

    #[test]
    fn one_slice_is_a_whole_ring() {
        let svg = donut(&[("TCP", 1.0)]);
        assert_eq!(svg.matches("<path").count(), 1, "{svg}");
        assert!(svg.contains("100%"));
    }
}
