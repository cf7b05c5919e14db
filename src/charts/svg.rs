//! A small SVG writer: every text is escaped here, every number is finite here.

use std::fmt::Write;

use crate::model::is_unprintable;

/// The fonts a chart asks for. The first is embedded in the PNG painter; a browser that shows the
/// SVG takes the first it has. All are narrower than or as wide as DejaVu Sans, so texts that fit
/// there fit anywhere.
const FONTS: &str = "'DejaVu Sans', Verdana, Arial, sans-serif";

/// How heavy a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// Which end of a text stands at the given place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    pub size: f64,
    pub weight: Weight,
    pub anchor: Anchor,
    pub fill: &'static str,
}

/// An SVG document under construction.
pub(super) struct Svg {
    body: String,
}

impl Svg {
    /// Starts a document; `title` is what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut body = String::with_capacity(4096);
        let (width, height) = (number(width), number(height));
        let _ = write!(
            body,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{FONTS}\">\n\
             <title>{}</title>\n",
            escape(title)
        );
        Self { body }
    }

    pub fn rectangle(&mut self, place: Rectangle, radius: f64, fill: &str) {
        let Rectangle { x, y, width, height } = place;
        let radius = radius.min(width / 2.0).min(height / 2.0).max(0.0);
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\"/>",
            number(x),
            number(y),
            number(width.max(0.0)),
            number(height.max(0.0)),
            number(radius),
        );
    }

    /// A rectangle that says what it is when it is pointed at.
    pub fn cell(&mut self, place: Rectangle, fill: &str, meaning: &str) {
        let Rectangle { x, y, width, height } = place;
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\">\
             <title>{}</title></rect>",
            number(x),
            number(y),
            number(width.max(0.0)),
            number(height.max(0.0)),
            escape(meaning),
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1),
            number(width),
        );
    }

    pub fn circle(&mut self, centre: (f64, f64), radius: f64, fill: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"/>",
            number(centre.0),
            number(centre.1),
            number(radius),
        );
    }

    /// A filled shape along `path` (SVG path data).
    pub fn shape(&mut self, path: &str, fill: &str, opacity: f64) {
        let opacity = number(opacity);
        let _ =
            writeln!(self.body, "<path d=\"{path}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>");
    }

    /// A line along `path` (SVG path data).
    pub fn stroke(&mut self, path: &str, stroke: &str, width: f64) {
        let _ = writeln!(
            self.body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            number(width),
        );
    }

    pub fn text(&mut self, x: f64, y: f64, style: TextStyle, text: &str) {
        self.written(x, y, style, "", text);
    }

    /// A text that runs upwards from the given place.
    pub fn upright_text(&mut self, x: f64, y: f64, style: TextStyle, text: &str) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", number(x), number(y));
        self.written(x, y, style, &turn, text);
    }

    fn written(&mut self, x: f64, y: f64, style: TextStyle, turn: &str, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = match style.weight {
            Weight::Regular => "400",
            Weight::Bold => "700",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" font-weight=\"{weight}\" \
             text-anchor=\"{anchor}\" fill=\"{}\"{turn}>{}</text>",
            number(x),
            number(y),
            number(style.size),
            style.fill,
            escape(text),
        );
    }

    pub fn finish(mut self) -> String {
        self.body.push_str("</svg>\n");
        self.body
    }
}

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rectangle {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Returns a coordinate with at most two decimals; what is not a number becomes 0.
pub(super) fn number(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Returns `text` as XML character data: markup is escaped, and characters that XML 1.0 does not
/// know or that turn the reading direction become `�`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if is_unprintable(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Returns the width of `text` in the embedded font.
pub(super) fn text_width(text: &str, size: f64, weight: Weight) -> f64 {
    let units: u32 = text.chars().map(|character| advance(character, weight)).sum();
    f64::from(units) / 2048.0 * size
}

/// Returns `text` cut with an ellipsis so that it is at most `width` wide.
pub(super) fn fit(text: &str, width: f64, size: f64, weight: Weight) -> String {
    // no label needs more; bounds the work on hostile input
    let text: String = text.chars().take(200).collect();
    if text_width(&text, size, weight) <= width {
        return text;
    }
    let mut short = text;
    while short.pop().is_some() {
        let candidate = format!("{}…", short.trim_end());
        if text_width(&candidate, size, weight) <= width {
            return candidate;
        }
    }
    String::new()
}

/// Advance widths of DejaVu Sans for U+0020 to U+007E, in units of 1/2048 em.
#[rustfmt::skip]
const ADVANCES: [u16; 95] = [
    651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690, 1303,
    1303, 1303, 1303, 1303, 1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087, 2048,
    1401, 1405, 1430, 1577, 1294, 1178, 1587, 1540, 604, 604, 1343, 1141, 1767, 1532, 1612, 1235,
    1612, 1423, 1300, 1251, 1499, 1401, 2025, 1403, 1251, 1403, 799, 690, 799, 1716, 1024, 1024,
    1255, 1300, 1126, 1300, 1260, 721, 1300, 1298, 569, 569, 1186, 569, 1995, 1298, 1253, 1300,
    1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075, 1303, 690, 1303, 1716,
];

/// The widest of the other characters in the embedded font (the ellipsis) is 2191 wide.
const WIDEST_ADVANCE: u32 = 2191;

fn advance(character: char, weight: Weight) -> u32 {
    let index = (character as usize).wrapping_sub(0x20);
    let regular = ADVANCES.get(index).map_or(WIDEST_ADVANCE, |&width| u32::from(width));
    match weight {
        Weight::Regular => regular,
        // the bold cut is 8 to 27 % wider, depending on the letter
        Weight::Bold => regular + regular / 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_only_text() {
        let mut svg = Svg::new(10.0, f64::NAN, "</title><script>");
        let style =
            TextStyle { size: 10.0, weight: Weight::Regular, anchor: Anchor::Start, fill: "#000" };
        svg.text(0.0, f64::INFINITY, style, "\"><img onerror='x'>\0\u{202e}\r\n&");
        let text = svg.finish();
        assert!(text.contains("&lt;/title&gt;&lt;script&gt;"), "{text}");
        assert!(text.contains("&quot;&gt;&lt;img onerror=&#39;x&#39;&gt;\u{fffd}\u{fffd}  &amp;"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn texts_are_cut_to_the_width_given() {
        let long = "2001:db8:85a3:8d3:1319:8a2e:370:7348".repeat(1000);
        let short = fit(&long, 100.0, 18.0, Weight::Regular);
        assert!(short.ends_with('…') && text_width(&short, 18.0, Weight::Regular) <= 100.0);
        assert_eq!(fit("10.0.0.1", 100.0, 18.0, Weight::Regular), "10.0.0.1");
        assert_eq!(fit("10.0.0.1", 1.0, 18.0, Weight::Regular), "");
    }
}
