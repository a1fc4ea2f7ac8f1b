//! States: `status` and `why`.

use std::collections::HashMap;

use serde_json::json;

use super::{Paint, Shell, columns, counted, in_column, plain};
use crate::plan::State;
use crate::request::{Change, in_one_line};
use crate::run::{Counts, Row};

/// The colour of a state.
pub fn state_paint(state: State) -> Paint {
    match state {
        State::Fresh | State::Duplicate => Paint::Good,
        State::Failed | State::Blocked => Paint::Bad,
        State::Orphan | State::Waiting => Paint::Dim,
        State::Missing | State::Edited | State::Stale | State::Awaiting => Paint::Warn,
    }
}

/// Why a task is as it is, in one line.
pub(super) fn word(row: &Row) -> String {
    let names = || {
        let few: Vec<&str> = row.on.iter().take(3).map(String::as_str).collect();
        let more = if row.on.len() > 3 { ", …" } else { "" };
        format!("{}{more}", few.join(", "))
    };
    match row.state {
        State::Failed => row.message.clone().unwrap_or_default(),
        State::Blocked => format!("by {}", names()),
        State::Waiting => format!("for {}", names()),
        State::Duplicate => format!("of {}", names()),
        State::Awaiting => "approval".into(),
        State::Edited => match row.unchanged {
            Some(true) => "by hand; its request is unchanged".into(),
            Some(false) => format!("{}; a run will merge", in_one_line(&row.reasons)),
            None => "there is a text that no record knows".into(),
        },
        State::Fresh | State::Orphan => String::new(),
        State::Missing | State::Stale => in_one_line(&row.reasons),
    }
}

/// Whether `status` tells of every one of so many tasks. Else many that are up to date say less than one
/// that is not.
pub fn tells_all(shell: &Shell, tasks: usize) -> bool {
    shell.json || shell.verbose > 0 || tasks <= 60
}

/// States with reasons, and the summary. `rows` may leave out the quiet ones where not all are told;
/// `counts` has them all.
pub fn status(shell: &Shell, counts: &Counts, rows: &[Row]) {
    if shell.json {
        return shell.json(&json!({"tasks": rows, "summary": counts}));
    }
    let tasks = counts.tasks();
    let all = tells_all(shell, tasks);
    let told: Vec<&Row> = rows.iter().filter(|row| all || !row.state.is_quiet()).collect();
    let width = columns(told.iter().map(|row| row.id.as_str()), 40);
    let mut held_up: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in rows.iter().filter(|row| row.state == State::Blocked) {
        row.on.iter().for_each(|above| held_up.entry(above).or_default().push(&row.id));
    }
    for row in told {
        let state = shell.paint(state_paint(row.state), &format!("{:>9}", row.state.word()));
        let mut why = word(row);
        if let Some(below) = held_up.get(row.id.as_str()).filter(|_| row.state == State::Awaiting) {
            why = format!("{why}; {} for it", wait(below));
        }
        let line = format!("{state} {}  {}", in_column(&row.id, width), plain(&why));
        shell.out(line.trim_end());
    }
    if counts.is_empty() {
        return shell.out("no task");
    }
    let parts: Vec<String> = State::ALL
        .iter()
        .map(|state| (counts.get(*state), state.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    shell.out(&format!("{}: {}", counted(tasks, "task"), parts.join(", ")));
}

/// `a waits`, `a and b wait`, `a, b and 3 more wait`.
fn wait(ids: &[&str]) -> String {
    match ids {
        [one] => format!("{one} waits"),
        [one, other] => format!("{one} and {other} wait"),
        [one, other, more @ ..] => format!("{one}, {other} and {} more wait", more.len()),
        [] => String::new(),
    }
}

/// What changed since a task's output was built, item by item.
pub fn why(shell: &Shell, row: &Row, edited_items: &[String]) {
    if shell.json {
        shell.json(&json!({
            "task": row.id,
            "state": row.state,
            "reasons": row.reasons,
            "on": row.on,
            "message": row.message,
            "edited_items": edited_items,
        }));
        return;
    }
    let state = shell.paint(state_paint(row.state), row.state.word());
    let word = word(row);
    let about = if word.is_empty() { String::new() } else { format!(": {word}") };
    shell.out(&format!("{} is {state}{}", plain(&row.id), plain(&about)));
    for reason in &row.reasons {
        let sign = match reason.change {
            Some(Change::Added) => "+",
            Some(Change::Removed) => "-",
            _ => "~",
        };
        let digests = match (reason.old, reason.new) {
            (Some(old), Some(new)) => format!("  {} -> {}", old.short(), new.short()),
            _ => String::new(),
        };
        let digests = shell.paint(Paint::Dim, &digests);
        shell.out(&format!("  {sign} {}{digests}", plain(&reason.to_string())));
    }
    for item in edited_items {
        shell.out(&format!("  = {} is read as a person edited it", plain(item)));
    }
    if row.state == State::Fresh {
        shell.out("  its request is the recorded one, and its output the one built or adopted for it");
    }
}
