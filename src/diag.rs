//! Diagnostics: a place, what is wrong there, and the way out; many at once.
//!
//! Errors are data until room `show` renders them. [`Error`] is what ends a command; it carries the
//! exit code's kind and all diagnostics that belong to it.

use std::cell::RefCell;
use std::ops::Range;

/// A file's text as it was read, for places and for the line that a diagnostic shows.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The path from the project's folder.
    pub path: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// The place of a range of bytes. A range past the end is the end.
    pub fn place(&self, span: Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let column = self.text[line_start..start].chars().count() + 1;
        let end = span.end.clamp(start, line_start + line.len().max(start - line_start));
        let width = self.text.get(start..end).map_or(1, |text| text.chars().count());
        Place {
            file: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column,
            source_line: line.to_owned(),
            width: width.max(1),
        }
    }
}

/// Where in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path from the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The text of the line.
    pub source_line: String,
    /// How many characters are meant.
    pub width: usize,
}

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// Shown; things go on.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the command.
    pub severity: Severity,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
    /// Other places that belong to it, each with a word of its own.
    pub also: Vec<(Place, String)>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            place: None,
            message: message.into(),
            help: None,
            also: Vec::new(),
        }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message) }
    }

    /// The same, with all of its texts as they may be shown.
    pub fn cleaned(mut self, clean: &dyn Fn(&str) -> String) -> Self {
        self.message = clean(&self.message);
        self.help = self.help.map(|help| clean(&help));
        let places = self.place.iter_mut().chain(self.also.iter_mut().map(|(place, _)| place));
        for place in places {
            let line = clean(&place.source_line);
            if line != place.source_line {
                // What was underlined is elsewhere now.
                (place.source_line, place.width) = (line, 1);
            }
        }
        self
    }

    /// The same, at a place.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same, with a way out.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with a way out if there is one.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The same, with one more place.
    pub fn also(mut self, place: Place, word: impl Into<String>) -> Self {
        self.also.push((place, word.into()));
        self
    }
}

/// Where problems are gathered while a project is read, so that all are told at once.
#[derive(Debug, Default)]
pub struct Sink(RefCell<Vec<Diagnostic>>);

impl Sink {
    /// Adds a problem.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.0.borrow_mut().push(diagnostic);
    }

    /// Adds all of another sink.
    pub fn absorb(&self, other: Sink) {
        self.0.borrow_mut().extend(other.0.into_inner());
    }

    /// Takes all problems, by place.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut all = self.0.into_inner();
        all.sort_by(|a, b| (a.severity, &a.place).cmp(&(b.severity, &b.place)));
        all.dedup();
        all
    }
}

/// Why a command ended without doing what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A task failed, is blocked or awaits approval.
    Failed,
    /// Wrong usage or an invalid project.
    Invalid,
    /// `--check` found something that is not fresh.
    NotFresh,
    /// Another run holds the project.
    Held,
    /// Interrupted by a person.
    Interrupted,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed => 1,
            ErrorKind::Invalid => 2,
            ErrorKind::NotFresh => 3,
            ErrorKind::Held => 4,
            ErrorKind::Interrupted => 130,
        }
    }

    /// The word for `error.code` in JSON.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::Failed => "failed",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFresh => "not_fresh",
            ErrorKind::Held => "held",
            ErrorKind::Interrupted => "interrupted",
        }
    }
}

/// What ends a command early.
#[derive(Clone, Debug)]
pub struct Error {
    /// Decides the exit code.
    pub kind: ErrorKind,
    /// One line.
    pub message: String,
    /// Each problem with its place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// The same, with a way out if there is one.
    pub fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// An error of some kind, with one line.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), diagnostics: Vec::new() }
    }

    /// Wrong usage or an invalid project.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    /// Something that was tried did not work out.
    pub fn failed(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Failed, message)
    }

    /// The same, with a way out.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let message = std::mem::take(&mut self.message);
        self.diagnostics.push(Diagnostic::error(message.clone()).help(help));
        self.message = message;
        self
    }
}

impl From<Vec<Diagnostic>> for Error {
    /// An invalid project: counts the errors and keeps all diagnostics.
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let message = match errors {
            1 => "1 problem in this project".to_owned(),
            n => format!("{n} problems in this project"),
        };
        Error { kind: ErrorKind::Invalid, message, diagnostics }
    }
}

/// The known word that a misspelt one most likely meant.
///
/// Near is a Damerau-Levenshtein distance of at most a third of the word (at least 1), or a known
/// word whose last part is the word itself. Ties go to the first in byte order.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let tail = format!("/{word}");
    known
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| {
            let distance = if candidate.ends_with(&tail) || candidate.eq_ignore_ascii_case(word) {
                0
            } else if candidate.len().abs_diff(word.len()) > limit * 4 {
                return None;
            } else {
                strsim::damerau_levenshtein(word, candidate)
            };
            (distance <= limit).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, if some known word is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let source = Source { path: "a.toml".into(), text: "x = 1\nü = \"é\" # note\n".into() };
        let at = source.text.find("\"é\"").unwrap_or_default();
        let place = source.place(at..at + "\"é\"".len());
        assert_eq!((place.line, place.column, place.width), (2, 5, 3));
        assert_eq!(place.source_line, "ü = \"é\" # note");
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let source = Source { path: "a.toml".into(), text: "x".into() };
        let place = source.place(7..9);
        assert_eq!((place.line, place.column, place.width), (1, 2, 1));
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("requries", ["requires", "refers"]), Some("requires"));
        assert_eq!(nearest("survey", ["research/survey", "x"]), Some("research/survey"));
        assert_eq!(nearest("zebra", ["requires", "refers"]), None);
    }
}
