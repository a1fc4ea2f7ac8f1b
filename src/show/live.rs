//! The line that lives while answers come: which tasks are asked, for how long, how much is here. Only in
//! a terminal, on stderr, only after a moment, and gone before anything else is written.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthChar;

use super::{grouped, plain};

/// Nothing is shown of what ends sooner.
const DELAY: Duration = Duration::from_millis(500);

/// The line is drawn no more often.
const PACE: Duration = Duration::from_millis(100);

/// Bytes of an answer for about a token.
const BYTES_A_TOKEN: usize = 4;

/// The live line.
#[derive(Debug)]
pub(super) struct Live {
    inner: Option<RefCell<Inner>>,
}

#[derive(Debug)]
struct Inner {
    running: Vec<(String, Instant, usize)>,
    drawn: Option<Instant>,
    visible: bool,
}

impl Live {
    /// A line, if there is a terminal to show it.
    pub(super) fn new(wanted: bool) -> Self {
        let inner = Inner { running: Vec::new(), drawn: None, visible: false };
        Live { inner: (wanted && std::io::stderr().is_terminal()).then(|| RefCell::new(inner)) }
    }

    /// A task is asked.
    pub(super) fn started(&self, task: &str) {
        if let Some(inner) = &self.inner {
            inner.borrow_mut().running.push((plain(task), Instant::now(), 0));
        }
    }

    /// So much of a task's answer is here.
    pub(super) fn heard(&self, task: &str, bytes: usize) {
        if let Some(inner) = &self.inner {
            let task = plain(task);
            if let Some(running) = inner.borrow_mut().running.iter_mut().find(|(known, ..)| *known == task) {
                running.2 = bytes;
            }
        }
        self.draw();
    }

    /// A task is done.
    pub(super) fn ended(&self, task: &str) {
        if let Some(inner) = &self.inner {
            let task = plain(task);
            inner.borrow_mut().running.retain(|(known, ..)| *known != task);
        }
    }

    /// Takes the line away: something else is written.
    pub(super) fn clear(&self) {
        if let Some(inner) = &self.inner {
            let inner = &mut *inner.borrow_mut();
            if std::mem::take(&mut inner.visible) {
                let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
                inner.drawn = None;
            }
        }
    }

    /// Draws the line anew, if it is time.
    pub(super) fn draw(&self) {
        let Some(inner) = &self.inner else { return };
        let inner = &mut *inner.borrow_mut();
        let now = Instant::now();
        let slow = inner.running.iter().any(|(_, since, _)| now.duration_since(*since) >= DELAY);
        if !slow || inner.drawn.is_some_and(|drawn| now.duration_since(drawn) < PACE) {
            return;
        }
        let parts: Vec<String> = inner
            .running
            .iter()
            .map(|(task, since, bytes)| {
                let tokens = match bytes / BYTES_A_TOKEN {
                    0 => String::new(),
                    tokens => format!(", ~{} tokens", grouped(tokens as u64)),
                };
                format!("{task} {} s{tokens}", now.duration_since(*since).as_secs())
            })
            .collect();
        let line = format!("  asking {}", parts.join("; "));
        let line = fit(&line, width().saturating_sub(1));
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush());
        inner.visible = true;
        inner.drawn = Some(now);
    }
}

/// The columns of the terminal.
fn width() -> usize {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stderr())
        && size.ws_col > 0
    {
        return usize::from(size.ws_col);
    }
    80
}

/// As much of a line as fits. Wide characters take two columns.
fn fit(line: &str, columns: usize) -> String {
    let mut left = columns;
    let mut shown = String::new();
    for c in line.chars() {
        let wide = c.width().unwrap_or(0);
        if wide + 1 > left {
            shown.push('…');
            break;
        }
        left -= wide;
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_its_columns() {
        assert_eq!(fit("abc", 10), "abc");
        assert_eq!(fit("abcdef", 4), "abc…");
        // Each of these takes two columns.
        assert_eq!(fit("報告書", 6), "報告…");
    }
}
