//! Hides passwords in the source text that error reports quote.
//!
//! The search works on plain text, not on parsed TOML, because the line of a password is quoted exactly when the
//! line does not parse. Too much is rather hidden than too little: also what follows a misspelt `pasword`.

/// A copy of `text` of the same length in which the value of every key that looks like a secret is
/// made of asterisks, so that byte offsets stay valid.
pub(crate) fn mask_secrets(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = text[from..].find('=') {
        let equals = from + found;
        from = equals + 1;
        if is_secret(key_before(&text[..equals])) {
            let value = value_after(text, from);
            hide(&mut masked[value.clone()]);
            from = value.end;
        }
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(at) = value_without_equals(line) {
            hide(&mut masked[start + at..start + line.len()]);
        }
        start += line.len();
    }
    // Whole characters were replaced by ASCII, so this holds; nothing is shown should it not.
    String::from_utf8(masked).unwrap_or_default()
}

/// Whether a key of this name, perhaps misspelt, holds a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    if NOT_SECRET.contains(&key.as_str()) {
        return false;
    }
    ["pass", "pw", "secret", "token"].iter().any(|word| key.contains(word))
        || strsim::damerau_levenshtein(&key, "password") <= 3
}

/// Keys that say where a secret is, which may be read by all.
const NOT_SECRET: [&str; 4] =
    ["password_file", "credential", "consul_token_file", "consul_credential"];

/// The bare or quoted key that ends `text`.
fn key_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'']);
    let start = text
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    &text[start..]
}

/// Where the value begins in `password "…"` or `password: …`: a secret's key without the equals sign.
fn value_without_equals(line: &str) -> Option<usize> {
    let is_key = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let quotes = ['"', '\''];
    let key = line.trim_start();
    let quoted = key.starts_with(quotes);
    let key = key.trim_start_matches(quotes);
    let (key, after) = key.split_at(key.find(|c| !is_key(c)).unwrap_or(key.len()));
    let after = if quoted { after.trim_start_matches(quotes) } else { after };
    let given = !after.trim().is_empty() && !after.trim_start().starts_with('=');
    (given && is_secret(key_before(key))).then(|| line.len() - after.len())
}

fn hide(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
}

/// The bytes of the value that starts at or after `from`, its quotes included.
fn value_after(text: &str, from: usize) -> std::ops::Range<usize> {
    let rest = &text[from..];
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let value = &text[start..];
    let line = value.find('\n').unwrap_or(value.len());
    for quotes in ["\"\"\"", "'''"] {
        if let Some(body) = value.strip_prefix(quotes) {
            let end = body.find(quotes).map_or(value.len(), |at| at + 2 * quotes.len());
            // A fourth or fifth quote belongs to the value: the rest of its line goes too.
            let end = value[end..].find('\n').map_or(value.len(), |at| end + at);
            return start..start + end;
        }
    }
    for quote in ['"', '\''] {
        let Some(body) = value[..line].strip_prefix(quote) else {
            continue;
        };
        let Some(close) = closing_quote(body, quote) else {
            break;
        };
        let end = close + 2;
        let after = value[end..line].trim_start();
        if after.is_empty() || after.starts_with([',', '}', '#']) {
            return start..start + end;
        }
    }
    start..start + line
}

/// Where `quote` closes `body`; a backslash escapes it inside double quotes.
fn closing_quote(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user who lost this would find database passwords in the log of a failed start.
    #[test]
    fn no_password_survives_in_quoted_source() {
        for text in [
            r#"password = "hunter2""#,
            r#"password="hunter2" # comment"#,
            r#"password = 'hunter2'"#,
            r#""password" = "hunter2""#,
            r#"users = [{ name = "x", password = "hunter2", bogus = 1 }]"#,
            "monitor.password = \"hunter2\"",
            "pasword = \"hunter2\"",
            "passwrod = \"hunter2\"",
            "pwd = \"hunter2\"",
            "PASSWORD = \"hunter2\"",
            "password = hunter2",
            "password = \"hunter2",
            "password = \"a\"hunter2\"",
            "password = \"a\\\"hunter2\"",
            "password = \"\"\"\nhunter2\n\"\"\"\n",
            "password = \"\"\"a\nhunter2",
            "password = '''hunter2'''",
            "# password = \"hunter2\"",
            "password = \"éé=hunter2é\"",
            "password \"hunter2\"",
            "  password 'hunter2'",
            "monitor.password \"hunter2\"",
            "\"password\" \"hunter2\"",
            "password: hunter2",
            "password hunter2\nuser = \"x\"",
            "password\"hunter2\"",
        ] {
            let masked = mask_secrets(text);
            assert!(!masked.contains("hunter2"), "{text:?} became {masked:?}");
            assert_eq!(masked.len(), text.len(), "{text:?}");
        }
    }

    /// A report that hid everything would help nobody.
    #[test]
    fn everything_else_stays_readable() {
        for text in [
            "password_file = \"/etc/ido-proxy/monitor.password\"",
            "credential = \"monitor\"",
            "user = \"icinga\"\ninterval = \"1s\"",
            "schema = \"ido_proxy\" # the password is elsewhere",
        ] {
            assert_eq!(mask_secrets(text), text);
        }
        assert_eq!(
            mask_secrets("a = 1\npassword = \"x\" # mine\nb = 2"),
            "a = 1\npassword = *** # mine\nb = 2"
        );
    }
}
