//! `${VAR}` and `${VAR:default}` in the text of the settings file.

/// Replaces every placeholder outside comment lines. No line is added or taken away, so that later
/// errors name the right one.
///
/// A value that stands alone is quoted when it needs to be, that of a secret always: a password of
/// digits is text. Within other text only values without characters that mean something to YAML are
/// taken.
///
/// # Errors
/// A message with the line: an unset variable without default, a placeholder without end, or a value
/// that cannot stand there.
pub(super) fn expand(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        let done = if line.trim_start().starts_with('#') {
            line.to_owned()
        } else {
            expand_line(line, variable)
                .map_err(|problem| format!("{problem} at line {}", number + 1))?
        };
        expanded.push_str(&done);
        expanded.push('\n');
    }
    Ok(expanded)
}

fn expand_line(line: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            return Err("a `${` has no `}`".to_owned());
        };
        let inside = &rest[start + 2..start + length];
        let (name, default) = match inside.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = variable(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            format!("the variable `{name}` is not set (give a default: `${{{name}:…}}`)")
        })?;
        done.push_str(&rest[..start]);
        let after = &rest[start + length + 1..];
        let text = match stands_alone(&done, after) {
            true if is_secret(&done) => quoted(&value),
            alone => as_yaml(name, &value, alone)?,
        };
        done.push_str(&text);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// Whether the placeholder is the whole value of its key or list item.
fn stands_alone(before: &str, after: &str) -> bool {
    let before = before.trim_end();
    let after = after.trim_start();
    (before.ends_with(':') || before.ends_with('-')) && (after.is_empty() || after.starts_with('#'))
}

/// Whether the key that `before` ends with holds a secret.
fn is_secret(before: &str) -> bool {
    let key = before.trim_end().trim_end_matches(':');
    let key = key.rsplit(|c: char| c.is_whitespace() || c == '{').next().unwrap_or_default();
    super::overrides::holds_secret(key)
}

/// A JSON string is a YAML string.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn as_yaml(name: &str, value: &str, alone: bool) -> Result<String, String> {
    let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+-,=% ".contains(c));
    if is_plain && !value.starts_with([' ', '-', '@', '%', ',']) {
        return Ok(value.to_owned());
    }
    if alone {
        return Ok(quoted(value));
    }
    Err(format!("the value of `{name}` has special characters and must stand alone behind its key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "PORT" => Some("2525".into()),
            "PIN" => Some("0123".into()),
            "WORDS" => Some("a: b # \"c\"\nevil: true".into()),
            _ => None,
        })
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(with("a: ${PORT}\nb: ${NONE:x/y}").unwrap(), "a: 2525\nb: x/y\n");
    }

    #[test]
    fn a_value_cannot_add_keys() {
        let expanded = with("a: ${WORDS}").unwrap();
        let tree: serde_yaml_ng::Value = serde_yaml_ng::from_str(&expanded).unwrap();
        assert_eq!(tree["a"], "a: b # \"c\"\nevil: true");
        assert!(tree.get("evil").is_none());
    }

    #[test]
    fn a_secret_stays_the_text_that_it_is() {
        let secrets =
            with("password: ${PIN}\n  api_key: ${PORT} # of the lab\npin: ${PIN}").unwrap();
        assert_eq!(secrets, "password: \"0123\"\n  api_key: \"2525\" # of the lab\npin: 0123\n");
        assert_eq!(with("password_file: ${PORT}").unwrap(), "password_file: 2525\n");
    }

    #[test]
    fn problems_name_the_line_and_comments_are_left_alone() {
        assert_eq!(
            with("a: 1\nb: ${MISSING}").unwrap_err(),
            "the variable `MISSING` is not set (give a default: `${MISSING:…}`) at line 2"
        );
        assert!(with("a: x${WORDS}y").is_err());
        assert_eq!(with("a: ${PORT").unwrap_err(), "a `${` has no `}` at line 1");
        assert_eq!(with("# ${MISSING}").unwrap(), "# ${MISSING}\n");
    }
}
