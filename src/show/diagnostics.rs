//! Errors and diagnostics, with the line underlined and the way out.

use serde_json::json;

use super::{Paint, Shell, plain};
use crate::diag::{Diagnostic, Error, Place, Severity};

impl Shell {
    /// What ended a command: to stderr, or as JSON to stdout.
    pub fn error(&self, error: &Error) {
        if self.json {
            let diagnostics: Vec<_> = error
                .diagnostics
                .iter()
                .map(|diagnostic| {
                    json!({
                        "file": diagnostic.place.as_ref().map(|place| &place.file),
                        "line": diagnostic.place.as_ref().map(|place| place.line),
                        "column": diagnostic.place.as_ref().map(|place| place.column),
                        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
                        "message": diagnostic.message,
                        "help": diagnostic.help,
                        "also": diagnostic.also.iter().map(|(place, word)| {
                            json!({"file": place.file, "line": place.line, "column": place.column, "message": word})
                        }).collect::<Vec<_>>(),
                    })
                })
                .collect();
            self.json(&json!({
                "error": {"code": error.kind.code(), "message": error.message, "diagnostics": diagnostics}
            }));
            return;
        }
        for diagnostic in &error.diagnostics {
            self.diagnostic(diagnostic);
        }
        // A single diagnostic that says the same has said it.
        let said = error.diagnostics.len() == 1 && error.diagnostics[0].message == error.message;
        if !said {
            let head = self.paint_err(Paint::Bad, "error");
            self.error_text(&format!("{head}: {}\n", plain(&error.message)));
        }
    }

    /// A warning or an error, to stderr.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        if self.quiet && diagnostic.severity == Severity::Warning {
            return;
        }
        let head = match diagnostic.severity {
            Severity::Error => self.paint_err(Paint::Bad, "error"),
            Severity::Warning => self.paint_err(Paint::Warn, "warning"),
        };
        let mut text = format!("{head}: {}\n", plain(&diagnostic.message));
        let lines = diagnostic.place.iter().chain(diagnostic.also.iter().map(|(place, _)| place));
        let margin = lines.map(|place| place.line.to_string().len()).max().unwrap_or(1);
        if let Some(place) = &diagnostic.place {
            text.push_str(&self.place(place, margin, ""));
        }
        for (place, word) in &diagnostic.also {
            text.push_str(&self.place(place, margin, word));
        }
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("{} = help: {}\n", " ".repeat(margin), plain(help)));
        }
        self.error_text(&text);
    }

    fn place(&self, place: &Place, margin: usize, word: &str) -> String {
        let bar = self.paint_err(Paint::Dim, "|");
        let arrow = self.paint_err(Paint::Dim, "-->");
        let indent = " ".repeat(margin);
        let head = format!("{indent}{arrow} {}:{}:{}\n", plain(&place.file), place.line, place.column);
        if place.source_line.trim().is_empty() {
            return head;
        }
        // Of a very long line only what is around the mark.
        let from = if place.source_line.chars().count() > 200 { place.column.saturating_sub(60) } else { 0 };
        let line: String =
            place.source_line.chars().skip(from).take(if from > 0 { 140 } else { 200 }).collect();
        let before: String = place
            .source_line
            .chars()
            .skip(from)
            .take(place.column - 1 - from.min(place.column - 1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let width = place.width.min(line.chars().count().saturating_sub(before.chars().count()).max(1));
        let marks = self.paint_err(Paint::Bad, &"^".repeat(width));
        let word = if word.is_empty() { String::new() } else { format!(" {}", plain(word)) };
        format!(
            "{head}{indent} {bar}\n{:>margin$} {bar} {}\n{indent} {bar} {before}{marks}{word}\n",
            place.line,
            plain(&line)
        )
    }
}
