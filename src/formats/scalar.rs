//! One value of a record, whatever syntax it came in, and its conversion into what a flow holds.
//!
//! JSON values and table cells end here, so that every format understands the same spellings:
//! numbers as digits or text, times as numbers or RFC 3339, `""` and all-zero for absent.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::calendar::{calendar_time, decimal_seconds};
use super::reject::{Reject, RejectReason};
use crate::model::{Defects, Timestamp};

/// A value as the record holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Not there, null or an empty cell.
    #[default]
    Absent,
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// An address in bytes; IPv4 is mapped into IPv6, which keeps every value in 24 bytes.
    Address(Ipv6Addr),
    /// True, false, an array or an object: never what a flow needs.
    Other,
}

/// What a time counts since 1970 when it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Nanos,
}

impl<'a> Scalar<'a> {
    /// Returns the value of a cell; blanks around it do not count.
    pub(super) fn cell(field: &str, cell: &'a [u8]) -> Result<Self, Reject> {
        let cell = cell.trim_ascii();
        if cell.is_empty() {
            return Ok(Self::Absent);
        }
        match std::str::from_utf8(cell) {
            Ok(text) => Ok(Self::Text(Cow::Borrowed(text))),
            Err(_) => Err(Reject::value(RejectReason::NotUtf8, field, cell)),
        }
    }

    /// Whether there is nothing: absent or the empty text.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.is_empty(),
            Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float(_)
            | Self::Address(_)
            | Self::Other => false,
        }
    }

    /// Returns the text, `None` when absent.
    pub(super) fn text(&self, field: &str) -> Result<Option<&str>, Reject> {
        match self {
            Self::Text(text) => Ok(Some(text.as_ref()).filter(|text| !text.is_empty())),
            Self::Absent => Ok(None),
            _ => Err(self.wrong_type(field)),
        }
    }

    /// Returns the address, `None` when absent.
    pub(super) fn address(&self, field: &str) -> Result<Option<IpAddr>, Reject> {
        if let Self::Address(ip) = self {
            return Ok(Some(ip.to_canonical()));
        }
        let Some(text) = self.text(field)? else { return Ok(None) };
        match parse_address(text) {
            Some(ip) => Ok(Some(ip)),
            None => Err(self.bad(RejectReason::BadAddress, field)),
        }
    }

    /// Returns the whole number (decimal or `0x` text, too), `None` when absent. One that does not
    /// fit `T` is rejected.
    pub(super) fn number<T: TryFrom<u64>>(&self, field: &str) -> Result<Option<T>, Reject> {
        if self.is_absent() {
            return Ok(None);
        }
        let number = self.integer(field)?;
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.bad(RejectReason::BadNumber, field)),
        }
    }

    /// Returns the whole number like [`Scalar::number`], but `None` for one that does not fit:
    /// for details without which a flow is still a flow.
    pub(super) fn detail<T: TryFrom<u64>>(&self, field: &str) -> Result<Option<T>, Reject> {
        if self.is_absent() {
            return Ok(None);
        }
        Ok(self.integer(field)?.and_then(|number| T::try_from(number).ok()))
    }

    /// Returns the counter, `None` when absent. Negative ones become 0, too large ones the largest,
    /// and `defects` says so.
    pub(super) fn count(&self, field: &str, defects: &mut Defects) -> Result<Option<u64>, Reject> {
        let clamped = match self {
            Self::Absent => return Ok(None),
            Self::Unsigned(count) => return Ok(Some(*count)),
            Self::Signed(_) => 0,
            Self::Float(count) if (0.0..u64::MAX as f64).contains(count) => {
                return Ok(Some(*count as u64));
            }
            // `as` saturates: below 0 becomes 0, above the range its end.
            Self::Float(count) => *count as u64,
            Self::Text(text) => match text_count(text) {
                TextCount::Absent => return Ok(None),
                TextCount::Exact(count) => return Ok(Some(count)),
                TextCount::Clamped(count) => count,
                TextCount::Garbage => return Err(self.bad(RejectReason::BadNumber, field)),
            },
            Self::Address(_) | Self::Other => return Err(self.wrong_type(field)),
        };
        defects.insert(Defects::COUNTER_CLAMPED);
        Ok(Some(clamped))
    }

    /// Returns the moment, `None` when absent or 0. Numbers count `unit` since 1970; text may be
    /// such a number, RFC 3339 or a calendar time in UTC. Outside 1970 to 2262 it is rejected.
    pub(super) fn time(&self, field: &str, unit: Unit) -> Result<Option<Timestamp>, Reject> {
        let nanos = match self {
            Self::Absent => return Ok(None),
            Self::Unsigned(number) => unit.nanos(*number),
            Self::Signed(_) => None,
            Self::Float(number) => unit.nanos_f64(*number),
            Self::Text(text) if text.is_empty() => return Ok(None),
            Self::Text(text) => time_text(text, unit),
            Self::Address(_) | Self::Other => return Err(self.wrong_type(field)),
        };
        match nanos {
            Some(0) => Ok(None),
            Some(nanos) if nanos > 0 => Ok(Some(Timestamp::from_nanos(nanos))),
            _ => Err(self.bad(RejectReason::BadTime, field)),
        }
    }

    /// Returns a length of time in nanoseconds from decimal seconds, maybe negative; `None` when
    /// absent. JSON numbers are rounded to microseconds, the clock of those who write them.
    pub(super) fn duration(&self, field: &str) -> Result<Option<i64>, Reject> {
        let nanos = match self {
            Self::Absent => return Ok(None),
            Self::Unsigned(seconds) => Unit::Seconds.nanos(*seconds),
            Self::Signed(seconds) => seconds.checked_mul(1_000_000_000),
            Self::Float(seconds) => micros_f64(*seconds),
            Self::Text(text) if text.is_empty() => return Ok(None),
            Self::Text(text) => decimal_seconds(text)
                .or_else(|| text.parse().ok().and_then(|seconds: f64| micros_f64(seconds))),
            Self::Address(_) | Self::Other => return Err(self.wrong_type(field)),
        };
        match nanos {
            Some(nanos) => Ok(Some(nanos)),
            None => Err(self.bad(RejectReason::BadTime, field)),
        }
    }

    /// The reject that quotes this value.
    pub(super) fn bad(&self, reason: RejectReason, field: &str) -> Reject {
        match self {
            Self::Text(text) => Reject::value(reason, field, text.as_bytes()),
            Self::Unsigned(number) => Reject::new(reason, format!("{field} is {number}")),
            Self::Signed(number) => Reject::new(reason, format!("{field} is {number}")),
            Self::Float(number) => Reject::new(reason, format!("{field} is {number:e}")),
            Self::Absent => Reject::missing(field),
            Self::Address(_) | Self::Other => self.wrong_type(field),
        }
    }

    fn wrong_type(&self, field: &str) -> Reject {
        let found = match self {
            Self::Other => "true, false, an array or an object",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Address(_) => "an address",
            Self::Absent => "absent",
        };
        Reject::new(RejectReason::WrongType, format!("{field} is {found}"))
    }

    /// The whole number; `None` for negative, broken and too large ones.
    fn integer(&self, field: &str) -> Result<Option<u64>, Reject> {
        match self {
            Self::Unsigned(number) => Ok(Some(*number)),
            Self::Float(number) if number.fract() == 0.0 && *number >= 0.0 => {
                Ok(Some(*number as u64))
            }
            Self::Signed(_) | Self::Float(_) => Ok(None),
            Self::Text(text) => match integer_text(text) {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(RejectReason::BadNumber, field)),
            },
            Self::Absent | Self::Address(_) | Self::Other => Err(self.wrong_type(field)),
        }
    }
}

impl Unit {
    fn factor(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Nanos => 1,
        }
    }

    fn nanos(self, number: u64) -> Option<i64> {
        i64::try_from(number).ok()?.checked_mul(self.factor())
    }

    fn nanos_f64(self, number: f64) -> Option<i64> {
        micros_f64(number * self.factor() as f64 / 1e9)
    }
}

/// Returns the nanoseconds of seconds, rounded to microseconds: what a double holds exactly of a
/// time after 1970.
fn micros_f64(seconds: f64) -> Option<i64> {
    let whole = seconds.floor();
    if whole.is_nan() || whole.abs() >= 9.2e9 {
        return None;
    }
    let micros = ((seconds - whole) * 1e6).round() as i64;
    Some(whole as i64 * 1_000_000_000 + micros * 1_000)
}

fn time_text(text: &str, unit: Unit) -> Option<i64> {
    if unit == Unit::Seconds
        && let Some(nanos) = decimal_seconds(text)
    {
        return Some(nanos);
    }
    if let Ok(number) = text.parse::<u64>() {
        return unit.nanos(number);
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| calendar_time(text));
    match time {
        // The parser saturates; its ends are no times of flows.
        Some(Timestamp::MIN | Timestamp::MAX) => None,
        Some(time) => Some(time.nanos()),
        None => text.parse().ok().and_then(|number: f64| unit.nanos_f64(number)),
    }
}

enum TextCount {
    Absent,
    Exact(u64),
    Clamped(u64),
    Garbage,
}

fn text_count(text: &str) -> TextCount {
    if text.is_empty() {
        return TextCount::Absent;
    }
    if let Ok(count) = text.parse() {
        return TextCount::Exact(count);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let end = if text.starts_with('-') { 0 } else { u64::MAX };
        return TextCount::Clamped(end);
    }
    match text.parse::<f64>() {
        Ok(count) if (0.0..u64::MAX as f64).contains(&count) => TextCount::Exact(count as u64),
        Ok(count) if count.is_finite() => TextCount::Clamped(count as u64),
        _ => TextCount::Garbage,
    }
}

fn integer_text(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) if digits.len() <= 16 && !digits.starts_with('+') => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Returns the address of a text; IPv4 in IPv6 clothes becomes IPv4, a zone is dropped.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let ip = match text.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => text.split_once('%')?.0.parse().ok().filter(IpAddr::is_ipv6)?,
    };
    Some(ip.to_canonical())
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Scalar::Signed(value), Scalar::Unsigned))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Scalar<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_time_may_be_a_number_a_numeric_text_or_rfc_3339() {
        let expected = Some(Timestamp::from_nanos(1_795_232_940_822_822_736));
        for json in [
            "1795232940822822736",
            "\"1795232940822822736\"",
            "\"2026-11-21T03:49:00.822822736Z\"",
            "\"2026-11-21T04:49:00.822822736+01:00\"",
        ] {
            assert_eq!(read(json).time("t", Unit::Nanos), Ok(expected), "{json}");
        }
        let seconds = Some(Timestamp::from_nanos(1_664_462_456_755_299_000));
        assert_eq!(read("1664462456.755299").time("t", Unit::Seconds), Ok(seconds));
        assert_eq!(read("\"1664462456.755299\"").time("t", Unit::Seconds), Ok(seconds));
    }

    #[test]
    fn times_outside_1970_to_2262_are_rejected_and_zero_is_absent() {
        for json in [
            "-1",
            "1e300",
            "18446744073709551615",
            "\"1969-12-31T23:59:59Z\"",
            "\"9999-01-01T00:00:00Z\"",
            "\"NaN\"",
            "\"soon\"",
        ] {
            let reject = read(json).time("t", Unit::Seconds).expect_err(json);
            assert_eq!(reject.reason, RejectReason::BadTime, "{json}");
        }
        for json in ["0", "null", "\"\"", "0.0", "\"1970-01-01T00:00:00Z\""] {
            assert_eq!(read(json).time("t", Unit::Nanos), Ok(None), "{json}");
        }
    }

    #[test]
    fn counters_are_clamped_and_the_defect_is_said() {
        for (json, expected, clamped) in [
            ("-7", 0, true),
            ("\"-7\"", 0, true),
            ("99999999999999999999999", u64::MAX, true),
            ("\"99999999999999999999999\"", u64::MAX, true),
            ("18446744073709551615", u64::MAX, false),
            ("\"42\"", 42, false),
            ("12.0", 12, false),
        ] {
            let mut defects = Defects::default();
            assert_eq!(read(json).count("bytes", &mut defects), Ok(Some(expected)), "{json}");
            assert_eq!(defects.contains(Defects::COUNTER_CLAMPED), clamped, "{json}");
        }
    }

    #[test]
    fn a_port_beyond_the_range_is_rejected_but_a_detail_is_dropped() {
        assert_eq!(
            read("65536").number::<u16>("port").expect_err("too large").reason,
            RejectReason::BadNumber
        );
        assert_eq!(read("65536").detail::<u16>("vlan"), Ok(None));
        assert_eq!(read("\"0x0008\"").number::<u16>("port"), Ok(Some(8)));
        let reject = read("[1]").number::<u16>("port").expect_err("an array");
        assert_eq!(reject.reason, RejectReason::WrongType);
    }

    #[test]
    fn addresses_lose_their_zone_and_their_ipv6_clothes() {
        assert_eq!(parse_address("::ffff:10.0.0.1"), "10.0.0.1".parse().ok());
        assert_eq!(parse_address("fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(parse_address("10.0.0.1%eth0"), None);
        assert_eq!(parse_address("10.0.0.256"), None);
    }
}
