//! What a watch tells: what is stale and what it would cost, that all is settled, what is wrong.

use serde_json::json;

use super::{Paint, Shell, counted, grouped, plain};
use crate::diag::Error;
use crate::run::WouldRun;

/// Shows a watch as it goes: a line a change, or an event a line as JSON.
#[derive(Debug)]
pub struct Watched {
    shell: Shell,
}

impl Watched {
    /// What a watch tells to this shell.
    pub fn new(shell: Shell) -> Self {
        Watched { shell }
    }

    /// What is stale now. Nothing is spent yet.
    pub fn stale(&self, would: &WouldRun) {
        let (tokens, worst) = would.sums();
        let ids: Vec<&str> = would.tasks.iter().map(|(id, ..)| id.as_str()).collect();
        if self.shell.json {
            return self.shell.json(&json!({
                "event": "stale", "tasks": ids, "waiting": would.waiting, "tokens_in": tokens, "cost_max": worst,
            }));
        }
        let few: Vec<String> = ids.iter().take(5).map(|id| plain(id)).collect();
        let more = if ids.len() > few.len() { ", …" } else { "" };
        let waits = match would.waiting.len() {
            0 => String::new(),
            n => format!(", {n} waiting"),
        };
        let cost = worst.map_or_else(|| "unpriced".to_owned(), |worst| format!("at most {worst:.4}"));
        let line = format!(
            "{} stale{waits}: {}{more}; {} tokens, {cost}",
            counted(ids.len(), "task"),
            few.join(", "),
            grouped(tokens)
        );
        self.note(Paint::Warn, &line);
    }

    /// Nothing is to be done.
    pub fn settled(&self, tasks: usize) {
        if self.shell.json {
            return self.shell.json(&json!({"event": "settled", "tasks": tasks}));
        }
        self.note(Paint::Good, &format!("settled: {}; waiting for changes", counted(tasks, "task")));
    }

    /// What stays as it is until somebody changes something: failed, blocked, or not to be paid for.
    pub fn stuck(&self, would: &WouldRun) {
        let ids: Vec<&str> = would.tasks.iter().map(|(id, ..)| id.as_str()).collect();
        if self.shell.json {
            return self.shell.json(&json!({"event": "stuck", "tasks": ids, "waiting": would.waiting}));
        }
        let few: Vec<String> = ids.iter().take(5).map(|id| plain(id)).collect();
        let more = if ids.len() > few.len() { ", …" } else { "" };
        self.note(Paint::Warn, &format!("not built: {}{more}; waiting for changes", few.join(", ")));
    }

    /// The project is not whole, or a run could not be.
    pub fn wrong(&self, error: &Error) {
        self.shell.error(error);
        if !self.shell.json {
            self.note(Paint::Warn, "waiting for changes");
        }
    }

    fn note(&self, paint: Paint, line: &str) {
        if !self.shell.quiet {
            self.shell.note(&self.shell.paint_err(paint, line));
        }
    }
}
