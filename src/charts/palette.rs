//! Colours that people with any colour vision can tell apart, after Okabe and Ito, and that stay
//! apart when printed in grey.

/// Ink of titles and figures.
pub const INK: &str = "#17212b";
/// Ink of labels and axes.
pub const MUTED: &str = "#566573";
/// Lines of the grid.
pub const GRID: &str = "#e3e8ed";
/// The unfilled part of a bar.
pub const TRACK: &str = "#eef2f5";
/// The paper; charts bring their own, so that they can be read in a dark mail program.
pub const PAPER: &str = "#ffffff";

/// Ordinary traffic.
pub const BLUE: &str = "#0072b2";
/// Second series.
pub const ORANGE: &str = "#e69f00";
/// Third series.
pub const GREEN: &str = "#009e73";
/// Fourth series.
pub const PURPLE: &str = "#cc79a7";
/// Fifth series.
pub const SKY: &str = "#56b4e9";
/// Everything else.
pub const GREY: &str = "#a7b1ba";

/// Colours of unordered categories, in the order in which they are handed out.
pub const CATEGORIES: [&str; 6] = [BLUE, ORANGE, GREEN, PURPLE, SKY, GREY];

/// Severity low; the four darken from low to critical, so that grey print keeps the order.
pub const LOW: &str = "#9fb3c2";
/// Severity medium.
pub const MEDIUM: &str = "#e8a317";
/// Severity high.
pub const HIGH: &str = "#d1491b";
/// Severity critical.
pub const CRITICAL: &str = "#7b1e46";
/// Nothing to do; white letters stay readable on it.
pub const CALM: &str = "#00755a";
