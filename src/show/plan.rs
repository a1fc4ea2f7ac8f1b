//! Proposals: their outline, what they would change, what could not be carried over.

use std::collections::BTreeMap;

use serde_json::json;

use super::diff::{page, unified};
use super::{Paint, Shell, columns, counted, in_column, plain};
use crate::author::Change;
use crate::disk::Proposal;
use crate::graph::{Graph, Ix, outline};
use crate::run::Landing;
use crate::spec::Runner;

/// What becomes of a task, in a word.
fn fate(change: &Change) -> &'static str {
    match (&change.old, &change.new) {
        (None, Some(_)) => "added",
        (Some(_), None) => "dropped",
        (None, None) => "left out",
        (Some(old), Some(new)) if old == new => "kept",
        (Some(_), Some(_)) => "changed",
    }
}

fn mark(shell: &Shell, fate: &str) -> String {
    match fate {
        "added" => shell.paint(Paint::Good, "+"),
        "changed" => shell.paint(Paint::Warn, "~"),
        "dropped" => shell.paint(Paint::Bad, "-"),
        _ => " ".to_owned(),
    }
}

/// What makes a task's output, and what it waits for.
fn tail(graph: &Graph, ix: Ix) -> String {
    let node = graph.node(ix);
    let names: Vec<&str> = node.requires.iter().map(|dep| graph.node(dep.task).id()).collect();
    match &node.task.run {
        Runner::Assemble => format!("joins {}", counted(names.len(), "part")),
        Runner::Manual => "written by a person".into(),
        Runner::Template if node.task.root => "the index".into(),
        _ if names.is_empty() => String::new(),
        _ => {
            let folder = node.plan();
            let near = |id: &&str| {
                let own = id.rsplit_once('/').filter(|(other, _)| *other == folder);
                own.map_or((*id).to_owned(), |(_, name)| name.to_owned())
            };
            format!("after {}", names.iter().map(near).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A proposal as an outline: each task with what becomes of it, then what there is to know.
pub fn proposal(shell: &Shell, proposal: &Proposal, landing: &Landing) {
    let Landing { changes, planned } = landing;
    let graph = &planned.graph;
    let by_id: BTreeMap<&str, &Change> = changes.iter().map(|change| (change.id.as_str(), change)).collect();
    let notes: Vec<&String> = changes.iter().flat_map(|change| &change.notes).collect();
    if shell.json {
        let tasks: Vec<_> = changes
            .iter()
            .map(|change| {
                let node = graph.find(&change.id).map(|ix| graph.node(ix));
                let requires: Option<Vec<&str>> =
                    node.map(|node| node.requires.iter().map(|dep| graph.node(dep.task).id()).collect());
                json!({
                    "id": change.id, "file": change.file, "change": fate(change),
                    "title": node.map(|node| &node.task.title), "run": node.map(|node| node.task.run.word()),
                    "level": node.map(|node| node.level), "requires": requires, "notes": change.notes,
                })
            })
            .collect();
        return shell.json(&json!({
            "proposal": proposal.name, "source": proposal.about.source, "tasks": tasks, "left": proposal.about.left,
        }));
    }
    let name = shell.paint(Paint::Name, &plain(&proposal.name));
    shell.out(&format!("{name}: {}", plain(&proposal.about.source)));
    let root = graph.root().filter(|ix| by_id.contains_key(graph.node(*ix).id())).map(|ix| (0, ix));
    let entries = outline(graph).into_iter().filter_map(|entry| Some((entry.depth, entry.task?)));
    // The big tasks around it say where a task is.
    let is_around = |id: &str| by_id.keys().any(|known| known.starts_with(&format!("{id}/")));
    let rows: Vec<(usize, Ix)> = root
        .into_iter()
        .chain(entries)
        .filter(|(_, ix)| by_id.contains_key(graph.node(*ix).id()) || is_around(graph.node(*ix).id()))
        .collect();
    let named = |(depth, ix): &(usize, Ix)| {
        let id = graph.node(*ix).id();
        format!("{}{}", "  ".repeat(*depth), id.rsplit('/').next().unwrap_or(id))
    };
    let names: Vec<String> = rows.iter().map(named).collect();
    let width = columns(names.iter().map(String::as_str), 48);
    for ((_, ix), name) in rows.iter().zip(&names) {
        let node = graph.node(*ix);
        let fate = by_id.get(node.id()).map_or("kept", |change| fate(change));
        let tail = match tail(graph, *ix) {
            tail if tail.is_empty() => tail,
            tail => shell.paint(Paint::Dim, &format!("  ({})", plain(&tail))),
        };
        shell.out(&format!(
            "{} {}  {}{tail}",
            mark(shell, fate),
            in_column(name, width),
            plain(&node.task.title)
        ));
    }
    for change in changes.iter().filter(|change| change.new.is_none() && change.old.is_some()) {
        shell.out(&format!("{} {}", mark(shell, "dropped"), plain(&change.id)));
    }
    let count = |word: &str| changes.iter().filter(|change| fate(change) == word).count();
    let counts =
        [("added", "to add"), ("changed", "to change"), ("dropped", "to drop"), ("kept", "as it is")];
    let counts = counts.iter().map(|(word, said)| (count(word), said)).filter(|(n, _)| *n > 0);
    let counts: Vec<String> = counts.map(|(n, said)| format!("{n} {said}")).collect();
    let mut levels: BTreeMap<usize, usize> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.new.is_some()) {
        if let Some(ix) = graph.find(&change.id) {
            *levels.entry(graph.node(ix).level).or_default() += 1;
        }
    }
    if !counts.is_empty() {
        let (steps, most) = (counted(levels.len(), "step"), levels.values().max().unwrap_or(&0));
        shell.out(&format!("{}; {steps} one after another, at most {most} at once", counts.join(", ")));
    }
    for (lines, head) in [
        (notes, "where your edits stand against it:"),
        (proposal.about.left.iter().collect(), "not carried over:"),
    ] {
        if !lines.is_empty() {
            shell.out(&shell.paint(Paint::Warn, head));
            lines.iter().for_each(|line| shell.out(&format!("  {}", plain(line))));
        }
    }
}

/// What a proposal would change, as one diff.
pub fn proposal_diff(shell: &Shell, proposal: &Proposal, landing: &Landing) {
    let diffs = |shell: &Shell| -> Vec<(String, String)> {
        let differ = landing.changes.iter().filter(|change| change.old != change.new);
        let one = |change: &Change| {
            let side = |text: &Option<String>, side: &str| {
                text.as_ref().map_or("/dev/null".to_owned(), |_| format!("{side}/{}", change.file))
            };
            let (old, new) = (side(&change.old, "a"), side(&change.new, "b"));
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let diff = unified(shell, &old, &new, Some(&text(&change.old)), Some(&text(&change.new)));
            (change.id.clone(), diff)
        };
        differ.map(one).collect()
    };
    if shell.json {
        let plain_shell = Shell::new(super::ColorChoice::Never, false, 0, true);
        let changes: Vec<_> =
            diffs(&plain_shell).into_iter().map(|(id, diff)| json!({"id": id, "diff": diff})).collect();
        return shell.json(&json!({"proposal": proposal.name, "changes": changes}));
    }
    let text: String = diffs(shell).into_iter().map(|(_, diff)| diff).collect();
    if text.is_empty() {
        shell.out(&format!("{} changes nothing", plain(&proposal.name)));
    } else {
        page(shell, &text);
    }
}
