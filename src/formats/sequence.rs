//! JSON values one after the other, or in an array, cut without being read.

use serde::de::IgnoredAny;

use super::without_mark;

/// Calls `each` with every object of an array, or of a sequence of objects that may be spread over
/// lines. From the first place where the text is broken the rest is one record.
pub(super) fn for_each<'m>(text: &'m [u8], each: &mut dyn FnMut(&'m [u8])) {
    let text = without_mark(text).trim_ascii();
    match text.strip_prefix(b"[") {
        Some(items) => for_each_item(items, each),
        None => {
            let mut rest = text;
            while let Some((value, after)) = first(rest) {
                each(value);
                rest = after;
            }
            if !rest.is_empty() {
                each(rest);
            }
        }
    }
}

fn for_each_item<'m>(items: &'m [u8], each: &mut dyn FnMut(&'m [u8])) {
    let mut rest = items.trim_ascii_start();
    if let Some(after) = rest.strip_prefix(b"]") {
        return for_each_left(after, each);
    }
    while let Some((value, after)) = first(rest) {
        each(value);
        match after.split_first() {
            Some((b',', after)) => rest = after.trim_ascii_start(),
            Some((b']', after)) => return for_each_left(after, each),
            _ => {
                rest = after;
                break;
            }
        }
    }
    // An array that is cut has lost what was to come, be it in the middle of an item or between two.
    each(if rest.is_empty() { b"[" } else { rest });
}

/// What stands behind an array is a record of its own, and no flow.
fn for_each_left<'m>(after: &'m [u8], each: &mut dyn FnMut(&'m [u8])) {
    let after = after.trim_ascii_start();
    if !after.is_empty() {
        each(after);
    }
}

/// Returns the value at the beginning of a text and what follows it, without blanks between.
fn first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let (value, after) = text.split_at_checked(values.byte_offset())?;
    Some((value, after.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for_each(text.as_bytes(), &mut |value| found.push(std::str::from_utf8(value).unwrap()));
        found
    }

    #[test]
    fn arrays_and_sequences_are_cut_into_their_values() {
        for (text, expected) in [
            ("[]", &[][..]),
            ("[ {\"a\":1} ]\n", &["{\"a\":1}"]),
            ("[{\"a\":\"},{\"},\n{\"b\":[1,{}]}]", &["{\"a\":\"},{\"}", "{\"b\":[1,{}]}"]),
            ("[1,\"x\", null]", &["1", "\"x\"", "null"]),
            ("{\n\"a\":1\n}\n{\"b\":2}", &["{\n\"a\":1\n}", "{\"b\":2}"]),
            ("\u{feff}{\"a\":\n1}", &["{\"a\":\n1}"]),
        ] {
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_one_record_and_what_stood_before_is_kept() {
        for (text, expected) in [
            ("[{\"a\":1},{\"b\":", &["{\"a\":1}", "{\"b\":"][..]),
            ("[{\"a\":1},", &["{\"a\":1}", "["]),
            ("[{\"a\":1}", &["{\"a\":1}", "["]),
            ("[", &["["]),
            ("[{\"a\":1};{\"b\":2}]", &["{\"a\":1}", ";{\"b\":2}]"]),
            ("[{\"a\":1},,{\"b\":2}]", &["{\"a\":1}", ",{\"b\":2}]"]),
            ("[{\"a\":1}] x", &["{\"a\":1}", "x"]),
            ("{\n\"a\":}\n{\"b\":2}", &["{\n\"a\":}\n{\"b\":2}"]),
        ] {
            assert_eq!(cut(text), expected, "{text}");
        }
    }
}
