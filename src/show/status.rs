//! States: `status` and `why`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Paint, Shell, counted, plain};
use crate::graph::{Graph, Ix};
use crate::lock::Record;
use crate::plan::{State, Verdict};
use crate::request::{Change, in_one_line};

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
fn word(graph: &Graph, verdict: &Verdict) -> String {
    let names = || {
        let few: Vec<&str> = verdict.on.iter().take(3).map(|above| graph.node(*above).id()).collect();
        let more = if verdict.on.len() > 3 { ", …" } else { "" };
        format!("{}{more}", few.join(", "))
    };
    match verdict.state {
        State::Failed => verdict.message.clone().unwrap_or_default(),
        State::Blocked => format!("by {}", names()),
        State::Waiting => format!("for {}", names()),
        State::Duplicate => format!("of {}", names()),
        State::Awaiting => "approval".into(),
        State::Edited => match verdict.unchanged {
            Some(true) => "by hand; its request is unchanged".into(),
            Some(false) => format!("{}; a run will merge", in_one_line(&verdict.reasons)),
            None => "there is a text that no record knows".into(),
        },
        State::Fresh | State::Orphan => String::new(),
        State::Missing | State::Stale => in_one_line(&verdict.reasons),
    }
}

/// All states with reasons, and the summary.
pub fn status(shell: &Shell, graph: &Graph, rows: &[(Ix, Verdict)], orphans: &[&Record]) {
    let mut summary: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, verdict) in rows {
        *summary.entry(verdict.state.word()).or_default() += 1;
    }
    if !orphans.is_empty() {
        summary.insert(State::Orphan.word(), orphans.len());
    }
    if shell.json {
        let tasks: Vec<_> = rows
            .iter()
            .map(|(ix, verdict)| {
                let node = graph.node(*ix);
                json!({
                    "id": node.id(),
                    "state": verdict.state,
                    "reasons": verdict.reasons,
                    "output": node.output.as_str(),
                    "plan": node.plan(),
                    "priority": node.task.priority,
                    "level": node.level,
                    "on": verdict.on.iter().map(|above| graph.node(*above).id()).collect::<Vec<_>>(),
                    "message": verdict.message,
                    "request_unchanged": verdict.unchanged,
                })
            })
            .chain(orphans.iter().map(|record| {
                json!({
                    "id": record.task,
                    "state": State::Orphan,
                    "reasons": [],
                    "output": record.output,
                    "plan": record.task.rsplit_once('/').map_or("", |(plan, _)| plan),
                    "priority": null,
                    "level": null,
                })
            }))
            .collect();
        shell.json(&json!({"tasks": tasks, "summary": summary}));
        return;
    }
    let width = rows.iter().map(|(ix, _)| graph.node(*ix).id().len()).max().unwrap_or(0).min(40);
    let quiet_states = [State::Fresh, State::Duplicate];
    let held_up = |ix: Ix| -> Vec<&str> {
        let below =
            rows.iter().filter(|(_, verdict)| verdict.state == State::Blocked && verdict.on.contains(&ix));
        below.map(|(below, _)| graph.node(*below).id()).collect()
    };
    for (ix, verdict) in rows {
        // Many fresh tasks say less than one that is not.
        if quiet_states.contains(&verdict.state) && shell.verbose == 0 && rows.len() > 60 {
            continue;
        }
        let state = shell.paint(state_paint(verdict.state), &format!("{:>9}", verdict.state.word()));
        let mut why = word(graph, verdict);
        let below = if verdict.state == State::Awaiting { held_up(*ix) } else { Vec::new() };
        if !below.is_empty() {
            why = format!("{why}; {} for it", wait(&below));
        }
        let line = format!("{state} {:width$}  {}", plain(graph.node(*ix).id()), plain(&why));
        shell.out(line.trim_end());
    }
    for record in orphans {
        let state = shell.paint(Paint::Dim, &format!("{:>9}", "orphan"));
        shell.out(&format!("{state} {}", plain(&record.task)));
    }
    if rows.is_empty() && orphans.is_empty() {
        return shell.out("no task");
    }
    let parts: Vec<String> = State::ALL
        .iter()
        .filter_map(|state| summary.get(state.word()).map(|n| format!("{n} {}", state.word())))
        .collect();
    shell.out(&format!("{}: {}", counted(rows.len(), "task"), parts.join(", ")));
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
pub fn why(shell: &Shell, graph: &Graph, ix: Ix, verdict: &Verdict, edited_items: &[String]) {
    let node = graph.node(ix);
    if shell.json {
        shell.json(&json!({
            "task": node.id(),
            "state": verdict.state,
            "reasons": verdict.reasons,
            "on": verdict.on.iter().map(|above| graph.node(*above).id()).collect::<Vec<_>>(),
            "message": verdict.message,
            "edited_items": edited_items,
        }));
        return;
    }
    let state = shell.paint(state_paint(verdict.state), verdict.state.word());
    let word = word(graph, verdict);
    let about = if word.is_empty() { String::new() } else { format!(": {word}") };
    shell.out(&format!("{} is {state}{}", plain(node.id()), plain(&about)));
    for reason in &verdict.reasons {
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
    if verdict.state == State::Fresh {
        shell.out("  its request is the recorded one, and its output the one built or adopted for it");
    }
}
