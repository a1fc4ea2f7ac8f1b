//! `[redact]`: what is never stored or shown, and what is done about a secret in a request.

use regex::Regex;

use super::keys::Keys;
use crate::diag::Diagnostic;

/// The `[redact]` table.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    /// Regular expressions of what is never stored or shown.
    pub patterns: Vec<Regex>,
    /// Whether a request that holds a secret is not sent, instead of sent with a warning.
    pub refuse: bool,
}

impl Redact {
    pub(super) fn read(mut keys: Keys<'_>) -> Self {
        let mut redact = Redact::default();
        for text in keys.strings("patterns").unwrap_or_default() {
            match Regex::new(&text.value) {
                // It would take everything apart.
                Ok(pattern) if pattern.is_match("") => keys.sink().push(
                    Diagnostic::error(format!("the pattern `{}` matches the empty text", text.value))
                        .at(text.place())
                        .help("let it ask for at least one character"),
                ),
                Ok(pattern) => redact.patterns.push(pattern),
                Err(error) => keys.sink().push(
                    Diagnostic::error(format!("the pattern `{}` is no regular expression", text.value))
                        .at(text.place())
                        .help(last_line(&error)),
                ),
            }
        }
        if let Some(text) = keys.string("secrets") {
            redact.refuse = keys.choose(&text, &[("warn", false), ("refuse", true)]).unwrap_or_default();
        }
        keys.finish();
        redact
    }
}

/// What is wrong with a pattern, in one line.
pub(super) fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
