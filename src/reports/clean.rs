//! Strings from documents before they meet a template.

use serde_json::Value;

use crate::charts::format::ellipsis;
use crate::model::is_unprintable;

/// The longest string shown, in characters: a hostile document cannot blow up the mail.
const LONGEST: usize = 600;

/// Returns `text` as one line that reads the way it is written: line ends become blanks; control
/// characters, direction marks and invisible characters become `�`.
pub fn clean(text: &str) -> String {
    let visible = text.chars().map(|character| match character {
        '\n' | '\r' | '\t' => ' ',
        c if is_unprintable(c) => '\u{fffd}',
        c => c,
    });
    ellipsis(&visible.collect::<String>(), LONGEST)
}

/// Cleans every string in `value`.
pub fn clean_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(values) => values.iter_mut().for_each(clean_all),
        Value::Object(entries) => entries.values_mut().for_each(clean_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_is_left() {
        assert_eq!(clean("a\r\nBcc: b\0\u{202e}gpj"), "a  Bcc: b\u{fffd}\u{fffd}gpj");
        assert_eq!(clean("Zürich → 10.0.0.1"), "Zürich → 10.0.0.1");
        assert_eq!(clean(&"x".repeat(9999)).chars().count(), LONGEST);
    }
}
