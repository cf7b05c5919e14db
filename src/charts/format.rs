//! Numbers as people read them; charts, templates and texts share these.

/// Returns a whole number with thousands separators: `12,345`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number of bytes in decimal units, as network links are sold: `1.2 GB`.
/// Negative and NaN read as `0 B`.
pub fn bytes(value: f64) -> String {
    let (number, unit) = scaled(value, &["B", "kB", "MB", "GB", "TB", "PB", "EB"]);
    format!("{number} {unit}")
}

/// Returns a short number for axes and tiles: `950`, `12.3 k`, `4.1 M`.
/// Negative and NaN read as `0`.
pub fn compact(value: f64) -> String {
    let (number, unit) = scaled(value, &["", "k", "M", "G", "T", "P", "E"]);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// Returns a share, given from 0 to 1, in per cent: `12.3%`, `<0.1%`, `0%`; only the whole is `100%`.
/// Anything that is not a number reads as `0%`.
pub fn percent(share: f64) -> String {
    let percent = finite(share) * 100.0;
    match percent {
        0.0 => "0%".to_owned(),
        p if p < 0.1 => "<0.1%".to_owned(),
        p if p < 99.95 => format!("{p:.1}%"),
        p if p < 100.0 => ">99.9%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

/// Returns a measured value of unknown scale with about three digits that matter: `0.034`, `3.4`,
/// `1,234`. NaN and infinities read as `–`.
pub fn measure(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    let text = match size {
        s if s >= 1e15 => format!("{s:.2e}"),
        s if s >= 100.0 || s.fract() == 0.0 => count(s.round() as u64),
        s if s >= 10.0 => trim_zeros(format!("{s:.1}")),
        s if s >= 0.001 => trim_zeros(format!("{s:.3}")),
        s => format!("{s:.1e}"),
    };
    format!("{sign}{text}")
}

/// Returns a value of an axis that may be below 0 or between whole numbers: `-12.3 k`, `0.25`.
pub fn tick(value: f64) -> String {
    if value.abs() < 1000.0 {
        return measure(value);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", compact(value.abs()))
}

/// Returns `text` cut to `limit` characters, the last one an ellipsis when something was cut.
pub fn ellipsis(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Returns the value when it is a number above 0, else 0; at most 10^21, so that sums and
/// quotients of charted values stay numbers.
pub(super) fn finite(value: f64) -> f64 {
    if value > 0.0 { value.min(1e21) } else { 0.0 }
}

fn scaled(value: f64, units: &[&'static str]) -> (String, &'static str) {
    let mut number = finite(value);
    let mut step = 0;
    // 999.5 would be written as 1000 of the smaller unit
    while number >= 999.5 && step + 1 < units.len() {
        number /= 1000.0;
        step += 1;
    }
    let text = match number {
        n if n >= 99.95 || (step == 0 && n.fract() == 0.0) => format!("{n:.0}"),
        n => trim_zeros(format!("{n:.1}")),
    };
    (text, units[step])
}

fn trim_zeros(text: String) -> String {
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_get_separators() {
        let shown = [0, 999, 1000, 12_345, u64::MAX].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn bytes_change_unit_before_four_digits_show() {
        let values = [0.0, 999.0, 999.6, 1234.0, 123_456.0, 999_950_000.0, 1.2e9, 1e30, f64::NAN];
        let shown = values.map(bytes);
        let expected =
            ["0 B", "999 B", "1 kB", "1.2 kB", "123 kB", "1 GB", "1.2 GB", "1000 EB", "0 B"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn shares_never_pretend_to_be_nothing_or_everything() {
        let shown = [0.0, 0.0004, 0.1234, 0.9999, 1.0, f64::NAN, -1.0].map(percent);
        assert_eq!(shown, ["0%", "<0.1%", "12.3%", ">99.9%", "100%", "0%", "0%"]);
    }

    #[test]
    fn measures_keep_the_digits_that_matter() {
        let shown = [0.0, 3.0, 0.0342, 12.34, 1234.5, -2.5, f64::NAN, 1e300].map(measure);
        assert_eq!(shown, ["0", "3", "0.034", "12.3", "1,235", "-2.5", "–", "1.00e300"]);
    }

    #[test]
    fn ticks_have_a_sign_and_few_digits() {
        let shown = [0.0, 0.25, -12_300.0, 1e9, f64::NAN].map(tick);
        assert_eq!(shown, ["0", "0.25", "-12.3 k", "1 G", "0"]);
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(ellipsis("scanner", 7), "scanner");
        assert_eq!(ellipsis("scan of ports", 6), "scan…");
        assert_eq!(ellipsis("", 0), "");
    }
}
