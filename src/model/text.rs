//! Text from elsewhere.

/// Whether a character has no shape of its own but changes what is around it: controls, direction
/// marks, invisible joiners, and what XML forbids.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns `text` as one line that reads the way it is written: line ends become blanks, what has no
/// shape of its own becomes `�`, and beyond `most` characters (at least 1) it ends in `…`.
pub fn one_line(text: &str, most: usize) -> String {
    let visible = |character| match character {
        '\n' | '\r' | '\t' => ' ',
        c if is_unprintable(c) => '\u{fffd}',
        c => c,
    };
    let text = text.trim();
    match text.char_indices().nth(most) {
        None => text.chars().map(visible).collect(),
        Some(_) => text.chars().take(most - 1).map(visible).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_steers_nothing() {
        assert_eq!(one_line(" a\r\nb\u{1b}[0m\u{202e} ", 20), "a  b\u{fffd}[0m\u{fffd}");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert_eq!(one_line("abcde", 4), "abc…");
    }
}
