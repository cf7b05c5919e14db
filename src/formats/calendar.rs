//! Times as text: decimal seconds without loss of digits, and calendar times without a zone.

use chrono::NaiveDate;

use crate::model::Timestamp;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Returns the nanoseconds of a decimal number of seconds such as `1713484795.943239`.
///
/// Digit by digit: a double has 53 bits, too few for nanoseconds since 1970. Digits beyond the
/// ninth decimal are dropped. `None` for anything else and beyond 292 years.
pub(super) fn decimal_seconds(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { unsigned(whole)? };
    let nanos = seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction_nanos(decimals)?)?;
    Some(if negative { -nanos } else { nanos })
}

/// Returns the moment of `YYYY-MM-DD HH:MM:SS` with `-` or `/` between the parts of the date, a
/// blank or `T` before the time and optional decimals; in UTC, from 1970 on.
pub(super) fn calendar_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let separators = [4, 7, 10, 13, 16].map(|at| bytes.get(at).copied().unwrap_or(0));
    let is_calendar = matches!(
        separators,
        [b'-', b'-', b' ' | b'T', b':', b':'] | [b'/', b'/', b' ' | b'T', b':', b':']
    );
    if !is_calendar || bytes.len() < 19 || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| unsigned(&text[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let decimals = match &text[19..] {
        "" => "",
        rest => rest.strip_prefix('.')?,
    };
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let seconds = i64::from(date.to_epoch_days()) * 86_400 + hour * 3600 + minute * 60 + second;
    let nanos = seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction_nanos(decimals)?)?;
    (nanos >= 0).then_some(Timestamp::from_nanos(nanos))
}

/// Returns the nanoseconds of the digits after a decimal point.
fn fraction_nanos(decimals: &str) -> Option<i64> {
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &decimals[..decimals.len().min(9)];
    let digits = kept.bytes().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some(digits * 10_i64.pow(9 - kept.len() as u32))
}

/// Returns a number of digits alone: no sign, no blank.
fn unsigned(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_seconds_keep_every_digit() {
        assert_eq!(decimal_seconds("1713484795.943239"), Some(1_713_484_795_943_239_000));
        assert_eq!(decimal_seconds("1795232940.822822736"), Some(1_795_232_940_822_822_736));
        assert_eq!(decimal_seconds("-0.5"), Some(-500_000_000));
        assert_eq!(decimal_seconds("7"), Some(7_000_000_000));
        for text in ["", ".", "-", "1e9", "1.2.3", "+5", "99999999999999999999", "10000000000"] {
            assert_eq!(decimal_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn calendar_times_are_utc_with_either_separator() {
        let time: Timestamp = "2018-12-18T14:00:00.075359Z".parse().unwrap();
        assert_eq!(calendar_time("2018/12/18 14:00:00.075359"), Some(time));
        assert_eq!(calendar_time("2018-12-18T14:00:00.075359"), Some(time));
        assert_eq!(calendar_time("1970/01/01 01:00:00"), Some(Timestamp::from_seconds(3600)));
    }

    #[test]
    fn dates_that_do_not_exist_are_no_times() {
        for text in [
            "2018/13/18 14:00:00",
            "2018-02-30 14:00:00",
            "2018-02-20 24:00:00",
            "2018/02-20 14:00:00",
            "2018-02-20 14:00:00x",
            "1969-12-31 23:59:59",
            "9999-12-31 23:59:59",
            "2018-02-20 14:00",
            "2018-02-2\u{e9} 14:00:00",
        ] {
            assert_eq!(calendar_time(text), None, "{text}");
        }
    }
}
