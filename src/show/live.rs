//! What lives on the screen while answers come: a line for each task that is asked, and a bar with what is done
//! and what is left. Only in a terminal, on stderr, only after a moment, and gone before the run's last line.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Shell, grouped, plain};
use crate::event::{Standing, Sums};

/// Nothing is shown of what ends sooner.
const DELAY: Duration = Duration::from_millis(500);

/// How often a second the screen is drawn at most.
const PACE: u8 = 20;

/// As many tasks have a line of their own.
const LINES: usize = 8;

/// Bytes of an answer for about a token.
const BYTES_A_TOKEN: usize = 4;

/// Lines and bar.
pub(super) struct Live {
    inner: Option<RefCell<Inner>>,
}

struct Inner {
    screen: MultiProgress,
    bar: ProgressBar,
    running: Vec<Running>,
    began: Instant,
    shown: bool,
}

struct Running {
    task: String,
    provider: String,
    since: Instant,
    bytes: usize,
    line: Option<ProgressBar>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("is_shown", &self.inner.is_some()).finish()
    }
}

impl Live {
    /// Lines and a bar, if there is a terminal to show them.
    pub(super) fn new(wanted: bool) -> Self {
        let inner = (wanted && has_screen()).then(|| {
            let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
            let bar = screen.add(ProgressBar::new(0));
            RefCell::new(Inner { screen, bar, running: Vec::new(), began: Instant::now(), shown: false })
        });
        Live { inner }
    }

    /// Whether something is on the screen.
    pub(super) fn is_shown(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.borrow().shown)
    }

    /// A task is asked.
    pub(super) fn started(&self, task: &str, provider: &str) {
        let Some(inner) = &self.inner else { return };
        let running = Running {
            task: plain(task),
            provider: plain(provider),
            since: Instant::now(),
            bytes: 0,
            line: None,
        };
        inner.borrow_mut().running.push(running);
    }

    /// So much of a task's answer is here.
    pub(super) fn heard(&self, task: &str, bytes: usize) {
        let Some(inner) = &self.inner else { return };
        let task = plain(task);
        let inner = &mut *inner.borrow_mut();
        if let Some(running) = inner.running.iter_mut().find(|running| running.task == task) {
            running.bytes = bytes;
            running.tell();
        }
    }

    /// A task is done.
    pub(super) fn ended(&self, task: &str) {
        let Some(inner) = &self.inner else { return };
        let task = plain(task);
        let inner = &mut *inner.borrow_mut();
        if let Some(at) = inner.running.iter().position(|running| running.task == task) {
            let running = inner.running.remove(at);
            running.line.inspect(|line| inner.screen.remove(line));
        }
    }

    /// Writes something where lines and bar would be in the way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.inner {
            Some(inner) => inner.borrow().screen.suspend(write),
            None => write(),
        }
    }

    /// Time went by: this is how far the run is.
    pub(super) fn tick(&self, standing: &Standing) {
        let Some(inner) = &self.inner else { return };
        let inner = &mut *inner.borrow_mut();
        if !inner.shown && inner.running.iter().any(|running| running.since.elapsed() >= DELAY) {
            inner.screen.set_draw_target(ProgressDrawTarget::stderr_with_hz(PACE));
            inner.shown = true;
        }
        if !inner.shown {
            return;
        }
        for running in inner.running.iter_mut().take(LINES) {
            running.line.get_or_insert_with(|| {
                let line = ProgressBar::no_length().with_style(style("  {msg}"));
                inner.screen.insert_before(&inner.bar, line)
            });
            running.tell();
        }
        let more = inner.running.len().saturating_sub(LINES);
        let done = standing.total.saturating_sub(standing.left);
        inner.bar.set_length(standing.total as u64);
        inner.bar.set_position(done as u64);
        let message = match standing.ending {
            true => "ending: waiting for the answers that are coming; Ctrl-C again ends at once".to_owned(),
            false => summed(&standing.sums, standing.left, more, inner.began.elapsed()),
        };
        tell(&inner.bar, &message);
    }

    /// Takes all of it away for good.
    pub(super) fn end(&self) {
        if let Some(inner) = &self.inner {
            let inner = &mut *inner.borrow_mut();
            let _ = inner.screen.clear();
            inner.screen.set_draw_target(ProgressDrawTarget::hidden());
            inner.shown = false;
        }
    }
}

impl Running {
    fn tell(&mut self) {
        let Some(line) = &self.line else { return };
        let tokens = match self.bytes / BYTES_A_TOKEN {
            0 => String::new(),
            tokens => format!(", ~{} tokens", grouped(tokens as u64)),
        };
        let message =
            format!("asking {} by {}, {}{tokens}", self.task, self.provider, clock(self.since.elapsed()));
        // Never up to the last column: what is typed there would break the line.
        line.set_message(fit(&message, columns().saturating_sub(3)));
    }
}

/// Tells how far the index of searches is, until all texts are in.
pub fn indexing(shell: &Shell) -> impl Fn(usize, usize) + use<> {
    let wanted = !shell.json && !shell.quiet && has_screen();
    let bar: RefCell<Option<(Instant, ProgressBar)>> = RefCell::default();
    move |done, all| {
        if !wanted {
            return;
        }
        let bar = &mut *bar.borrow_mut();
        let hidden = || ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let (due, shown) = bar.get_or_insert_with(|| (Instant::now() + DELAY, hidden()));
        if done >= all {
            shown.finish_and_clear();
            *bar = None;
        } else if Instant::now() >= *due {
            if shown.is_hidden() {
                shown.set_draw_target(ProgressDrawTarget::stderr_with_hz(PACE));
                shown.set_length(all as u64);
            }
            shown.set_position(done as u64);
            let [done, all] = [done, all].map(|count| grouped(count as u64));
            tell(shown, &format!("indexing {done} of {all} texts"));
            *due = Instant::now() + Duration::from_secs(1) / u32::from(PACE);
        }
    }
}

/// Says something beside a bar.
fn tell(bar: &ProgressBar, message: &str) {
    // Where there is little room, words say more than a bar; and the room may change.
    let (template, taken) = if columns() < 50 { ("  {msg}", 3) } else { ("  {bar:12} {msg}", 16) };
    bar.set_style(style(template));
    bar.set_message(fit(message, columns().saturating_sub(taken)));
}

/// Whether there is a terminal on which something can live.
fn has_screen() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && std::io::stderr().is_terminal()
}

/// The columns of the terminal.
fn columns() -> usize {
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
    if line.width() <= columns {
        return line.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut shown: String = line
        .chars()
        .take_while(|c| {
            let wide = c.width().unwrap_or(0);
            let fits = wide <= left;
            left = left.saturating_sub(wide);
            fits
        })
        .collect();
    shown.push('…');
    shown
}

/// What is done and left, in few words.
fn summed(sums: &Sums, left: usize, more: usize, elapsed: Duration) -> String {
    let mut parts: Vec<String> = [
        (sums.built, "built"),
        (sums.cached, "cached"),
        (sums.fresh, "fresh"),
        (sums.failed, "failed"),
        (sums.blocked, "blocked"),
        (sums.awaiting, "awaiting"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    parts.push(format!("{left} left"));
    if more > 0 {
        parts.push(format!("{more} more asked"));
    }
    parts.push(clock(elapsed));
    parts.extend(sums.cost.filter(|cost| *cost > 0.0).map(|cost| format!("cost {cost:.4}")));
    parts.join(", ")
}

/// `7 s`, or `2:05`.
fn clock(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds => format!("{}:{:02}", seconds / 60, seconds % 60),
    }
}

/// A style without colours of its own; a template that cannot be read is the plain one.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_its_columns() {
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcdef", 4), "abc…");
        // Each of these takes two columns.
        assert_eq!(fit("報告書", 6), "報告書");
        assert_eq!(fit("報告書", 5), "報告…");
    }

    #[test]
    fn what_is_done_is_told_in_few_words() {
        let sums = Sums { built: 2, fresh: 40, cost: Some(0.0125), ..Sums::default() };
        assert_eq!(
            summed(&sums, 3, 0, Duration::from_secs(125)),
            "2 built, 40 fresh, 3 left, 2:05, cost 0.0125"
        );
        assert_eq!(summed(&Sums::default(), 9, 4, Duration::from_secs(7)), "9 left, 4 more asked, 7 s");
    }
}
