//! A number with the day before beside it.

use serde::Serialize;

use crate::charts::format::percent;

/// A number of this day, compared with the day before where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// This day.
    pub value: u64,
    /// The day before; absent when nothing is stored of it.
    pub previous: Option<u64>,
    /// The change in words, `+12% on the day before`; absent like `previous`.
    pub change: Option<String>,
}

impl Figure {
    /// Returns the figure of `value` against `previous`.
    pub fn new(value: u64, previous: Option<u64>) -> Self {
        Self { value, previous, change: previous.map(|previous| change(value, previous)) }
    }
}

fn change(value: u64, previous: u64) -> String {
    if value == previous {
        return "as on the day before".to_owned();
    }
    if previous == 0 {
        return "none on the day before".to_owned();
    }
    let ratio = value as f64 / previous as f64;
    let share = match (ratio - 1.0).abs() {
        // from 100 % on, decimals say nothing
        share if share >= 1.0 => format!("{:.0}%", share * 100.0),
        share => percent(share),
    };
    match ratio {
        r if r >= 3.0 => format!("{r:.1} × the day before"),
        r if r > 1.0 => format!("+{share} on the day before"),
        _ => format!("−{share} on the day before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_said_in_words() {
        let say = |value, previous| Figure::new(value, Some(previous)).change.unwrap();
        assert_eq!(say(110, 100), "+10.0% on the day before");
        assert_eq!(say(50, 100), "−50.0% on the day before");
        assert_eq!(say(290, 100), "+190% on the day before");
        assert_eq!(say(1200, 100), "12.0 × the day before");
        assert_eq!(say(7, 7), "as on the day before");
        assert_eq!(say(7, 0), "none on the day before");
        assert_eq!(say(0, 7), "−100% on the day before");
        assert_eq!(Figure::new(7, None).change, None);
    }
}
