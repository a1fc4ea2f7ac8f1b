//! Events, states and diagnostics to terminal and JSON.
//!
//! A door (◇): the only room that prints. Results go to stdout, notices and errors to stderr.
//! Everything is readable without colour.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

mod ci;
mod context;
mod diagnostics;
mod diff;
mod doctor;
mod events;
mod graph;
mod live;
mod log;
mod plan;
mod report;
mod status;
mod trace;
mod watch;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::RwLock;

pub use ci::{annotations, job_summary};
pub use context::{Depth, context, context_diff, history, hits};
pub use diff::{approval, diff};
pub use doctor::doctor;
pub use events::{Reporter, would_run};
pub use graph::{Drawing, dot, graph_as_json, mermaid};
pub use live::indexing;
pub use log::{log, run, run_task, sent_items};
pub use plan::{proposal, proposal_diff};
pub use report::{report_as_json, report_as_markdown, report_as_paths};
pub use status::{state_paint, status, tells_all, why};
pub use trace::trace;
pub use watch::Watched;

use unicode_width::UnicodeWidthStr;

use crate::text::Redactor;

/// What is taken out of all that is shown; a process shows one project.
static REDACTOR: RwLock<Option<Redactor>> = RwLock::new(None);

/// From now on everything that is shown goes through a redactor, but for texts that a person asked for as
/// they are ([`Shell::raw`]).
pub fn redact_with(redactor: &Redactor) {
    *REDACTOR.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(redactor.clone());
}

fn clean(text: &str) -> Cow<'_, str> {
    let redactor = REDACTOR.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    redactor.as_ref().map_or(Cow::Borrowed(text), |redactor| redactor.clean(text))
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// In a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to show things.
#[derive(Clone, Copy, Debug)]
pub struct Shell {
    /// Colour on stdout.
    color_out: bool,
    /// Colour on stderr.
    color_err: bool,
    /// Errors only.
    pub quiet: bool,
    /// 0, or how often `-v` was given.
    pub verbose: u8,
    /// JSON instead of words.
    pub json: bool,
    /// Whether stdout is a terminal.
    terminal: bool,
}

/// A colour, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Done, fresh.
    Good,
    /// To do, to look at.
    Warn,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
    /// A name.
    Name,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "1;31",
            Paint::Dim => "2",
            Paint::Name => "1",
        }
    }
}

impl Shell {
    /// A shell for this process's streams.
    pub fn new(color: ColorChoice, quiet: bool, verbose: u8, json: bool) -> Self {
        let wanted = |is_terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Shell {
            color_out: wanted(std::io::stdout().is_terminal()),
            color_err: wanted(std::io::stderr().is_terminal()),
            quiet,
            verbose,
            json,
            terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Asks the person; `None` at the end of input.
    pub fn ask(&self, question: &str) -> Option<String> {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{question}").and_then(|()| out.flush());
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_lowercase()),
        }
    }

    /// A result.
    pub fn out(&self, text: &str) {
        // A reader that closed the pipe early has read what it wanted.
        let _ = writeln!(std::io::stdout().lock(), "{}", clean(text));
    }

    /// A result in meu's own words, digests and all.
    pub fn own(&self, text: &str) {
        self.raw(&format!("{text}\n"));
    }

    /// A result that is nobody's to change: a text as it is.
    pub fn raw(&self, text: &str) {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// A JSON document.
    pub fn json(&self, value: &impl serde::Serialize) {
        let mut value = serde_json::to_value(value).unwrap_or_default();
        if let Some(redactor) = &*REDACTOR.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            redactor.clean_json(&mut value);
        }
        let _ = writeln!(std::io::stdout().lock(), "{value}");
    }

    /// A word for a person beside the results.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
        }
    }

    fn error_text(&self, text: &str) {
        let _ = write!(std::io::stderr().lock(), "{}", clean(text));
    }

    /// Coloured for stdout.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.color_out, paint, text)
    }

    fn paint_err(&self, paint: Paint, text: &str) -> String {
        painted(self.color_err, paint, text)
    }
}

fn painted(color: bool, paint: Paint, text: &str) -> String {
    if color { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_owned() }
}

/// A text from a project as it may be shown: no control characters, no `::` at a line's start.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        // CI systems take `::word` at a line's start for a command.
        if line.trim_start().starts_with("::") {
            shown.push('\\');
        }
        for c in line.chars() {
            if c == '\t' {
                shown.push(c);
            } else if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                shown.extend(c.escape_unicode());
            } else {
                shown.push(c);
            }
        }
    }
    shown
}

/// The columns that the widest of some names takes, up to `most`.
pub fn columns(names: impl Iterator<Item = impl AsRef<str>>, most: usize) -> usize {
    names.map(|name| name.as_ref().width()).max().unwrap_or(0).min(most)
}

/// A name in its column, as it is shown. Wide scripts take two places a character.
pub fn in_column(name: &str, columns: usize) -> String {
    let name = plain(name);
    let gap = columns.saturating_sub(name.width());
    format!("{name}{}", " ".repeat(gap))
}

/// `1 task`, `2 tasks`.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A cost, if it is known.
fn money(cost: Option<f64>) -> String {
    cost.map_or_else(|| "unpriced".into(), |cost| format!("cost {cost:.4}"))
}

/// Calls of unknown outcome and what they may have cost, to be added to sums; nothing for none.
fn unknown(calls: usize, cost: Option<f64>) -> String {
    if calls == 0 {
        return String::new();
    }
    let most = cost.map_or(String::new(), |cost| format!(", which may have cost {cost:.4} more"));
    format!("; {} of unknown outcome{most}", counted(calls, "call"))
}

/// `1 retry`, `2 retries`.
pub fn counted_as(n: usize, one: &str, several: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {several}") }
}

/// A number of bytes, in the unit that suits it.
pub fn sized(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A number with commas between its thousands.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_commands_nobody() {
        assert_eq!(plain("a\x1b[31mb\n::error::x\n  ::x"), "a\\u{1b}[31mb\n\\::error::x\n\\  ::x");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([grouped(7), grouped(1234), grouped(1234567)], ["7", "1,234", "1,234,567"]);
    }
}
