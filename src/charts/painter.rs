//! SVG to PNG with the embedded font: the same picture on every machine.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

const REGULAR: &[u8] = include_bytes!("../../reports/fonts/DejaVuSans.ttf");
const BOLD: &[u8] = include_bytes!("../../reports/fonts/DejaVuSans-Bold.ttf");

/// The largest picture that is painted, in pixels: bounds the memory (4 bytes a pixel).
const MOST_PIXELS: f32 = 16_000_000.0;

/// Why a chart could not be painted.
#[derive(Debug, thiserror::Error)]
pub enum PaintError {
    /// The text is no SVG.
    #[error("the chart is not an SVG picture: {0}")]
    Svg(String),
    /// Nothing to see, or too much of it.
    #[error("a picture of {width} × {height} pixels cannot be painted")]
    Size {
        /// Pixels from left to right.
        width: f32,
        /// Pixels from top to bottom.
        height: f32,
    },
    /// The PNG writer failed.
    #[error("writing the picture as PNG: {0}")]
    Png(String),
}

/// Paints charts. Holds the embedded font and no system font; cheap to share, costs about a
/// millisecond to make.
pub struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// Returns a painter with the embedded font.
    pub fn new() -> Self {
        let mut options = Options { font_family: "DejaVu Sans".to_owned(), ..Options::default() };
        let fonts = options.fontdb_mut();
        fonts.load_font_data(REGULAR.to_vec());
        fonts.load_font_data(BOLD.to_vec());
        // a chart refers to nothing outside itself
        options.image_href_resolver.resolve_string = Box::new(|_, _| None);
        Self { options }
    }

    /// Returns the picture as PNG, `scale` pixels per SVG unit.
    ///
    /// # Errors
    /// [`PaintError`] when `svg` is no SVG or the picture has no pixels or more than 16 million.
    pub fn png(&self, svg: &str, scale: f32) -> Result<Vec<u8>, PaintError> {
        let tree =
            Tree::from_str(svg, &self.options).map_err(|e| PaintError::Svg(e.to_string()))?;
        let (width, height) = (tree.size().width() * scale, tree.size().height() * scale);
        let size = PaintError::Size { width, height };
        let fits = width >= 1.0 && height >= 1.0 && width * height <= MOST_PIXELS;
        if !fits {
            return Err(size);
        }
        let mut pixels = Pixmap::new(width.round() as u32, height.round() as u32).ok_or(size)?;
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| PaintError::Png(e.to_string()))
    }
}

impl Default for Painter {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Painter {
    fn clone(&self) -> Self {
        let mut options =
            Options { font_family: self.options.font_family.clone(), ..Options::default() };
        options.fontdb = Arc::clone(&self.options.fontdb);
        options.image_href_resolver.resolve_string = Box::new(|_, _| None);
        Self { options }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::{Bar, Bars, Unit, palette};

    fn bars() -> String {
        let row = Bar {
            label: "10.0.0.1".to_owned(),
            value: 3.0,
            note: String::new(),
            color: palette::BLUE,
        };
        let rows = vec![row];
        Bars { title: "Alerts".to_owned(), rows, unit: Unit::Count, when_empty: String::new() }
            .svg()
    }

    #[test]
    fn a_png_has_the_scaled_size_and_ink_on_paper() {
        let png = Painter::new().png(&bars(), 2.0).unwrap();
        let pixels = Pixmap::decode_png(&png).unwrap();
        assert_eq!(pixels.width(), 1280);
        let dark = pixels.pixels().iter().filter(|pixel| pixel.red() < 0x40).count();
        assert!(dark > 500, "title, label and bar are painted, got {dark} dark pixels");
    }

    #[test]
    fn letters_are_painted_without_system_fonts() {
        let svg = |text: &str| {
            format!(
                "<svg xmlns='http://www.w3.org/2000/svg' width='100' height='30' \
                 font-family='DejaVu Sans'><text x='0' y='20' font-size='18'>{text}</text></svg>"
            )
        };
        let painter = Painter::new();
        let inked = |text: &str| {
            let png = painter.png(&svg(text), 1.0).unwrap();
            Pixmap::decode_png(&png).unwrap().pixels().iter().filter(|p| p.alpha() > 0).count()
        };
        assert_eq!(inked(""), 0);
        assert!(inked("→ ≥ é ·") > 20);
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let painter = Painter::new();
        assert!(matches!(painter.png("<html>", 1.0), Err(PaintError::Svg(_))));
        assert!(matches!(painter.png(&bars(), 1e6), Err(PaintError::Size { .. })));
        assert!(matches!(painter.png(&bars(), f32::NAN), Err(PaintError::Size { .. })));
    }
}
