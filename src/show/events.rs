//! A run as it goes: a line a task, a summary at the end; or an event a line as JSON.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;

use super::live::{Live, indexing};
use super::{Paint, Shell, columns, counted, counted_as, grouped, in_column, money, plain, unknown};
use crate::event::{Event, Finished, Outcome, Sums, Tried};
use crate::plan::State;
use crate::run::{Counts, WouldRun};

/// Shows the events of one run.
#[derive(Debug)]
pub struct Reporter {
    shell: Shell,
    width: usize,
    live: Rc<Live>,
    /// The tasks that failed or await approval, for the word on what to do next.
    undone: RefCell<Vec<Finished>>,
}

impl Reporter {
    /// A reporter of a run that may tell of these tasks.
    pub fn new(shell: Shell, tasks: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let live = Rc::new(Live::new(!shell.json && !shell.quiet));
        Reporter { shell, width: columns(tasks, 40), live, undone: RefCell::default() }
    }

    /// Tells a person something at any time of the run.
    pub fn teller(&self) -> impl Fn(&str) + 'static + use<> {
        let (live, shell) = (self.live.clone(), self.shell);
        move |line| live.aside(|| shell.note(&plain(line)))
    }

    /// Tells how far the index of searches is, unless what lives on the screen would be in the way.
    pub fn indexing(&self) -> impl Fn(usize, usize) + 'static + use<> {
        let (live, tell) = (self.live.clone(), indexing(&self.shell));
        move |done, all| {
            if !live.is_shown() {
                tell(done, all);
            }
        }
    }

    /// Shows one event.
    pub fn event(&self, event: &Event) {
        if self.shell.json {
            let more = matches!(event, Event::TaskTried(_) | Event::Detail { .. });
            if !matches!(event, Event::Progress { .. } | Event::Tick(_)) && (!more || self.shell.verbose > 0)
            {
                self.shell.json(event);
            }
            return;
        }
        match event {
            Event::TaskStarted { task, provider } => self.live.started(task, provider),
            Event::TaskFinished(finished) => {
                self.live.ended(&finished.task);
                if matches!(finished.status, Outcome::Failed | Outcome::Awaiting) {
                    self.undone.borrow_mut().push(finished.clone());
                }
            }
            Event::Progress { task, bytes } => return self.live.heard(task, *bytes),
            Event::Tick(standing) => return self.live.tick(standing),
            Event::RunFinished { .. } => return self.live.end(),
            _ => {}
        }
        self.live.aside(|| self.tell(event));
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::TaskStarted { task, .. } if self.shell.verbose > 0 => {
                self.shell.note(&format!(" asking {}", plain(task)))
            }
            Event::TaskFinished(finished) => self.finished(finished),
            Event::TaskTried(tried) if self.shell.verbose > 0 && is_telling(tried) => self.tried(tried),
            Event::Detail { message } if self.shell.verbose > 0 => {
                self.shell.note(&format!(" {}", plain(message)))
            }
            Event::Notice { message } => self.shell.note(&plain(message)),
            _ => {}
        }
    }

    fn tried(&self, tried: &Tried) {
        let mut words = vec![format!(
            "{} tokens in, {} out, {}",
            grouped(tried.tokens_in),
            grouped(tried.tokens_out),
            money(tried.cost)
        )];
        for (n, what) in [(tried.tokens_cached, "cached"), (tried.tokens_reasoning, "of reasoning")] {
            if n > 0 {
                words.push(format!("{} {what}", grouped(n)));
            }
        }
        if tried.retries > 0 {
            words.push(counted_as(tried.retries, "retry", "retries"));
        }
        if tried.unknown > 0 {
            words.push(format!("{} of unknown outcome", counted(tried.unknown, "call")));
        }
        let model = if tried.answered_by.is_empty() { &tried.model } else { &tried.answered_by };
        let of = if model.is_empty() { String::new() } else { format!(" ({model})") };
        self.shell.note(&plain(&format!(
            " {} by {}{of}: {}, {} ms",
            if tried.error.is_some() { "no answer" } else { "answered" },
            tried.provider,
            words.join(", "),
            tried.ms
        )));
    }

    fn finished(&self, finished: &Finished) {
        let (word, paint) = match finished.status {
            Outcome::Built => ("built", Paint::Good),
            Outcome::Cached => ("cached", Paint::Good),
            Outcome::Failed => ("failed", Paint::Bad),
            Outcome::Blocked => ("blocked", Paint::Warn),
            Outcome::Awaiting => ("awaiting", Paint::Warn),
        };
        let bad = matches!(finished.status, Outcome::Failed);
        if self.shell.quiet && !bad {
            return;
        }
        let word = self.shell.paint(paint, &format!("{word:>8}"));
        let width = self.width;
        let line = format!("{word} {}  {}", in_column(&finished.task, width), plain(&finished.reason));
        if bad && self.shell.quiet {
            self.shell.note(&line);
        } else {
            self.shell.out(line.trim_end());
        }
        if self.shell.verbose > 0 {
            if finished.reasons.len() > 1 {
                for reason in finished.reasons.iter().take(4) {
                    self.shell.out(&format!("{:>8}   {}", "", plain(&reason.to_string())));
                }
                if finished.reasons.len() > 4 {
                    self.shell.out(&format!("{:>8}   and {} more", "", finished.reasons.len() - 4));
                }
            }
            if finished.tokens_in > 0 {
                let tokens = format!(
                    "{} tokens in, {} out, {}, {} ms",
                    grouped(finished.tokens_in),
                    grouped(finished.tokens_out),
                    money(finished.cost),
                    finished.ms
                );
                self.shell.out(&format!("{:>8}   {}", "", self.shell.paint(Paint::Dim, &tokens)));
            }
        }
    }

    /// A run in which everything was up to date before it began.
    pub fn nothing_to_do(&self, run: String, counts: &Counts) {
        let (nothing, tasks, stale) = (Some(0.0), counts.tasks(), counts.get(State::Stale));
        let total = tasks - counts.get(State::Duplicate);
        let sums =
            Sums { fresh: total - stale, stale, cost: nothing, cost_unknown: nothing, ..Sums::default() };
        self.event(&Event::RunStarted { run: run.clone(), tasks });
        self.event(&Event::RunFinished { run, status: "done", sums: sums.clone() });
        self.summary(&sums, total, 0);
    }

    /// The summary, one line; `total` is the number of tasks that the run was about.
    pub fn summary(&self, sums: &Sums, total: usize, not_reached: usize) {
        if self.shell.json || self.shell.quiet {
            return;
        }
        if sums.fresh + sums.stale == total {
            let stale = if sums.stale > 0 { format!(", {} stale", sums.stale) } else { String::new() };
            self.shell.out(&format!("nothing to do: {} fresh{stale}", counted(sums.fresh, "task")));
            return;
        }
        let mut parts = vec![format!("{} built", sums.built)];
        for (n, word) in [
            (sums.cached, "cached"),
            (sums.fresh, "fresh"),
            (sums.stale, "stale"),
            (sums.failed, "failed"),
            (sums.blocked, "blocked"),
            (sums.awaiting, "awaiting approval"),
            (not_reached, "not reached"),
        ] {
            if n > 0 {
                parts.push(format!("{n} {word}"));
            }
        }
        let mut line = parts.join(", ");
        if sums.tokens_in > 0 {
            line.push_str(&format!(
                "; {} tokens in, {} out, {}",
                grouped(sums.tokens_in),
                grouped(sums.tokens_out),
                money(sums.cost)
            ));
        }
        line.push_str(&unknown(sums.unknown, sums.cost_unknown));
        let paint = match (sums.failed, sums.blocked + sums.awaiting) {
            (0, 0) => Paint::Good,
            (0, _) => Paint::Warn,
            _ => Paint::Bad,
        };
        self.shell.out(&self.shell.paint(paint, &line));
        self.next();
    }

    /// What a person can do about tasks that are not up to date.
    fn next(&self) {
        let undone = self.undone.borrow();
        let first = |wanted| undone.iter().find(|finished| finished.status == wanted);
        if let Some(finished) = first(Outcome::Awaiting) {
            let (task, output) = (plain(&finished.task), plain(&finished.output));
            self.shell.note(&format!(
                "next: read {output}, then `meu approve {task}`, or `meu reject {task} -m \"…\"`"
            ));
        }
        if let Some(finished) = first(Outcome::Failed) {
            let task = plain(&finished.task);
            self.shell.note(&format!(
                "next: the line of {task} says what to do; then `meu run` goes on from there"
            ));
        }
    }
}

/// Whether a try has more to tell than its task's own line.
fn is_telling(tried: &Tried) -> bool {
    let more = tried.unknown + tried.retries > 0 || tried.tokens_cached + tried.tokens_reasoning > 0;
    more || tried.error.is_some()
}

/// What would run, for `run -n`.
pub fn would_run(shell: &Shell, would: &WouldRun) {
    let WouldRun { tasks, waiting } = would;
    let (tokens, worst) = would.sums();
    if shell.json {
        let rows: Vec<_> = tasks
            .iter()
            .map(|(task, reasons, tokens_in, cost_max)| {
                json!({"task": task, "reasons": reasons, "tokens_in": tokens_in, "cost_max": cost_max})
            })
            .collect();
        shell.json(&json!({"would_run": rows, "waiting": waiting, "tokens_in": tokens, "cost_max": worst}));
        return;
    }
    if tasks.is_empty() && waiting.is_empty() {
        shell.out("nothing would run");
        return;
    }
    let names = tasks.iter().map(|(task, ..)| task.as_str()).chain(waiting.iter().map(String::as_str));
    let width = columns(names, 40);
    for (task, reasons, tokens, _) in tasks {
        let word = shell.paint(Paint::Warn, &format!("{:>8}", "would"));
        let tokens = if *tokens > 0 { format!(" ({} tokens)", grouped(*tokens)) } else { String::new() };
        shell.out(&format!(
            "{word} {}  {}{tokens}",
            in_column(task, width),
            plain(&crate::request::in_one_line(reasons))
        ));
    }
    for task in waiting {
        let word = shell.paint(Paint::Dim, &format!("{:>8}", "waiting"));
        shell.out(&format!("{word} {}", plain(task)));
    }
    let (waits, without) = match waiting.len() {
        0 => (String::new(), ""),
        n => (format!(", {n} waiting on them"), ", without those that wait"),
    };
    let cost = worst.map_or_else(|| "unpriced".into(), |cost| format!("at most {cost:.4}"));
    shell.out(&format!(
        "{} would run{waits}; {} tokens in, {cost}{without}",
        counted(tasks.len(), "task"),
        grouped(tokens)
    ));
}
