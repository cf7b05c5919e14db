//! Charts for mails and pages: data → SVG text → PNG, both pure.
//!
//! A chart is a plain struct ([`Columns`], [`Bars`], [`Donut`], [`Line`], [`Boxes`],
//! [`HeatMap`]); its `svg` gives the picture, [`Painter::png`] the same for programs that show no
//! SVG. Every chart is 640 units wide (a heat map of many columns is wider) with letters of 19 units and more, so that it can still be read when a phone shows it at half
//! that width. Labels may hold anything: they are cut, escaped and stripped of control characters
//! here. Values may be anything, too: what is no number counts as 0, and so does what is negative but
//! in box plots and heat maps.

mod bars;
mod boxes;
mod columns;
mod donut;
mod frame;
mod heat;
mod line;
mod painter;
mod svg;

pub mod format;
pub mod palette;

pub use bars::{Bar, Bars};
pub use boxes::{BoxRow, Boxes};
pub use columns::{Columns, Series};
pub use donut::{Donut, Slice};
pub use heat::HeatMap;
pub use line::{Line, Point};
pub use painter::{PaintError, Painter};

/// Width of every chart but wide heat maps, in SVG units (and pixels at scale 1).
pub const WIDTH: f64 = 640.0;

/// What the numbers of a chart are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Flows, alerts, hosts …
    Count,
    /// Octets.
    Bytes,
    /// Parts of a whole, 0–1.
    Share,
    /// Anything measured.
    Measure,
}

impl Unit {
    /// Returns `value` as this chart's labels write it.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Count => format::compact(value),
            Self::Bytes => format::bytes(value),
            Self::Share => format::percent(value),
            Self::Measure => format::measure(value),
        }
    }

    /// The finest step of an axis: there is no half a flow and no half a byte.
    fn least_step(self) -> f64 {
        match self {
            Self::Count | Self::Bytes => 1.0,
            Self::Share => 0.001,
            Self::Measure => 1e-6,
        }
    }
}

/// Returns `data:` URI of `bytes`, for pages that bring their pictures along.
pub fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut uri = format!("data:{media_type};base64,");
    uri.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, &byte| group << 8 | u32::from(byte));
        let group = group << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * position) & 63) as usize];
            uri.push(if position > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_are_base64() {
        let uris = ["", "f", "fo", "foo", "foob"].map(|text| data_uri("a/b", text.as_bytes()));
        let expected =
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="].map(|s| format!("data:a/b;base64,{s}"));
        assert_eq!(uris, expected);
    }

    /// Every chart with values and labels that nobody wishes for.
    fn hostile_charts() -> Vec<String> {
        let labels =
            ["</text><script>alert(1)</script>", "\"><img onerror=x>", "\0\u{202e}\r\n", "&"];
        let labels: Vec<String> = labels.iter().map(|label| label.repeat(40)).collect();
        let values = [f64::NAN, f64::INFINITY, f64::MAX, -1.0];
        let title = labels.concat();
        let series = |color| Series { name: title.clone(), values: values.to_vec(), color };
        let columns = Columns {
            title: title.clone(),
            labels: labels.clone(),
            series: vec![series(palette::BLUE), series(palette::ORANGE)],
            unit: Unit::Bytes,
            when_empty: title.clone(),
        };
        let rows = labels.iter().zip(values).map(|(label, value)| Bar {
            label: label.clone(),
            value,
            note: label.clone(),
            color: palette::BLUE,
        });
        let bars = Bars {
            title: title.clone(),
            rows: rows.collect(),
            unit: Unit::Count,
            when_empty: title.clone(),
        };
        let slices =
            labels.iter().zip(values).map(|(label, value)| Slice { label: label.clone(), value });
        let donut = Donut {
            title: title.clone(),
            slices: slices.collect(),
            unit: Unit::Bytes,
            when_empty: title.clone(),
        };
        let points = values.map(|value| Point { value: Some(value), band: Some((value, value)) });
        let line = Line {
            title: title.clone(),
            labels,
            points: points.to_vec(),
            name: title.clone(),
            band_name: title.clone(),
            unit: Unit::Measure,
            marked: Some(3),
            when_empty: title.clone(),
        };
        let row = |(label, value): (&String, f64)| BoxRow {
            label: label.clone(),
            ends: (-value, value),
            whiskers: (value, -value),
            quartiles: [value, 1.0, -value],
            note: label.clone(),
            color: palette::BLUE,
        };
        let boxes = Boxes {
            title: title.clone(),
            rows: line.labels.iter().zip(values).map(row).collect(),
            when_empty: title.clone(),
        };
        let heat = HeatMap {
            title: title.clone(),
            labels: line.labels.clone(),
            values: vec![values.map(Some).to_vec(), vec![None], Vec::new()],
            when_empty: title,
        };
        vec![columns.svg(), bars.svg(), donut.svg(), line.svg(), boxes.svg(), heat.svg()]
    }

    #[test]
    fn no_input_breaks_a_chart() {
        let painter = Painter::new();
        for svg in hostile_charts() {
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
            assert!(!svg.contains("<script") && !svg.contains("<img"), "{svg}");
            assert!(!svg.contains('\0') && !svg.contains('\u{202e}'), "{svg}");
            painter.png(&svg, 1.0).unwrap();
        }
    }
}
