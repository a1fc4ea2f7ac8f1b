//! `[redact]`: what is never stored or shown, and what is done about a secret in a request.

use regex::Regex;
use regex_automata::meta;

use super::keys::Keys;
use crate::diag::Diagnostic;

/// A regular expression that can be looked for in a part of a text, and sees what stands beside that part.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it is written.
    pub text: String,
    /// What finds it.
    pub finder: meta::Regex,
}

impl Pattern {
    /// Reads one; the error is its reason, in a line.
    pub fn new(text: &str) -> Result<Self, String> {
        Regex::new(text).map_err(|error| last_line(&error))?;
        let finder = meta::Regex::new(text).map_err(|error| error.to_string())?;
        Ok(Pattern { text: text.to_owned(), finder })
    }
}

/// The `[redact]` table.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    /// Regular expressions of what is never stored or shown.
    pub patterns: Vec<Pattern>,
    /// Whether a request that holds a secret is not sent, instead of sent with a warning.
    pub refuse: bool,
}

impl Redact {
    pub(super) fn read(mut keys: Keys<'_>) -> Self {
        let mut redact = Redact::default();
        for text in keys.strings("patterns").unwrap_or_default() {
            match Pattern::new(&text.value) {
                // It would take everything apart.
                Ok(pattern) if pattern.finder.is_match("") => keys.sink().push(
                    Diagnostic::error(format!("the pattern `{}` matches the empty text", text.value))
                        .at(text.place())
                        .help("let it ask for at least one character"),
                ),
                Ok(pattern) => redact.patterns.push(pattern),
                Err(error) => keys.sink().push(
                    Diagnostic::error(format!("the pattern `{}` is no regular expression", text.value))
                        .at(text.place())
                        .help(error),
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
