//! What came of a project since a revision: which tasks were made anew, why, and what that took.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::disk::{Cache, KeptRun, SentItem, Workspace, kept_runs};
use crate::lock::{Lock, Record};
use crate::plan::{State, Verdict};
use crate::request::{Change, Reason, compare};

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was made for the first time.
    New,
    /// It was made again.
    Built,
    /// A person's text took the place of the built one, or went.
    Adopted,
    /// A person approved its text, or the approval went.
    Approved,
    /// Its record went.
    Removed,
    /// Nothing; but it is not up to date.
    Nothing,
}

impl Happened {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Happened::New => "new",
            Happened::Built => "built",
            Happened::Adopted => "adopted",
            Happened::Approved => "approved",
            Happened::Removed => "removed",
            Happened::Nothing => "unchanged",
        }
    }
}

/// An item that came into a context, left it, or changed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemChange {
    /// The reference.
    pub item: String,
    /// How.
    pub change: Change,
    /// Its tokens then, and now; 0 where it was not there, or nobody knows any more.
    pub tokens: (usize, usize),
}

/// A line of a report.
#[derive(Clone, Debug)]
pub struct Line {
    /// The task.
    pub task: String,
    /// What happened to it.
    pub happened: Happened,
    /// Its state now; none if it is gone.
    pub state: Option<State>,
    /// Why it was made again.
    pub reasons: Vec<Reason>,
    /// Its output.
    pub output: String,
    /// Tokens sent and answered, and the cost; none if no record of a run has them. The cost is none without a
    /// price.
    pub spent: Option<(u64, u64, Option<f64>)>,
    /// What changed in its context.
    pub items: Vec<ItemChange>,
}

/// The lines of a report: all tasks to which something happened since `old`, and all that are not up to date.
pub fn report(
    workspace: &Workspace,
    old: &Lock,
    verdicts: &[Option<Verdict>],
    chosen: &dyn Fn(&str) -> bool,
) -> Vec<Line> {
    let graph = &workspace.graph;
    let runs = kept_runs(&workspace.store);
    let ids: BTreeSet<&str> = old
        .tasks()
        .chain(workspace.lock.tasks())
        .chain(graph.nodes().map(|(_, node)| node.id()))
        .filter(|id| chosen(id))
        .collect();
    let line = |id: &str| {
        let (was, is) = (old.records(id).first(), workspace.lock.records(id).first());
        let ix = graph.find(id);
        let state = ix.and_then(|ix| verdicts[ix.0].as_ref()).map(|verdict| verdict.state);
        let good = state.is_none_or(|state| matches!(state, State::Fresh | State::Duplicate | State::Edited));
        let (happened, reasons) = match (was, is) {
            (None, None) => (Happened::Nothing, Vec::new()),
            (None, Some(_)) => (Happened::New, vec![Reason::never_built()]),
            (Some(_), None) => (Happened::Removed, Vec::new()),
            (Some(was), Some(is)) => happened(was, is),
        };
        if happened == Happened::Nothing && good {
            return None;
        }
        let made = matches!(happened, Happened::New | Happened::Built);
        Some(Line {
            task: id.to_owned(),
            happened,
            state,
            reasons,
            output: is.or(was).map_or_else(
                || ix.map(|ix| graph.node(ix).output.to_string()).unwrap_or_default(),
                |record| record.output.clone(),
            ),
            spent: is.filter(|_| made).and_then(|is| spent(&runs, is)),
            items: if made { items(workspace, was, is) } else { Vec::new() },
        })
    };
    ids.into_iter().filter_map(line).collect()
}

fn happened(was: &Record, is: &Record) -> (Happened, Vec<Reason>) {
    let mut reasons = compare(&was.parts, &is.parts);
    if was.expect != is.expect {
        reasons.push(Reason::expect(was.expect, is.expect));
    }
    let happened = match () {
        () if was.built != is.built => Happened::Built,
        () if was.accepted != is.accepted => Happened::Adopted,
        () if was.request != is.request => Happened::Built,
        () if was.approved != is.approved => Happened::Approved,
        () => Happened::Nothing,
    };
    (happened, reasons)
}

/// What making a record's text took, by the last run that did.
fn spent(runs: &[KeptRun], record: &Record) -> Option<(u64, u64, Option<f64>)> {
    let request = record.request.to_string();
    let is_it = |event: &&Value| {
        event["task"] == record.task.as_str()
            && event["request"] == request.as_str()
            && event["status"] == "built"
    };
    let last = runs.iter().rev().find_map(|run| run.of("task_finished").filter(is_it).last())?;
    let count = |name: &str| last[name].as_u64().unwrap_or_default();
    Some((count("tokens_in"), count("tokens_out"), last["cost"].as_f64()))
}

/// What differs between two records' contexts.
fn items(workspace: &Workspace, was: Option<&Record>, is: Option<&Record>) -> Vec<ItemChange> {
    let cache = Cache(&workspace.store);
    let items = |record: Option<&Record>| -> Vec<SentItem> {
        let Some(record) = record else { return Vec::new() };
        // Without the cache the lock still has the items, though not their tokens.
        let parts =
            || record.parts.items.iter().map(|part| SentItem { part: part.clone(), tokens: 0 }).collect();
        cache.sent_items(&record.request.to_string()).map_or_else(parts, |(_, items)| items)
    };
    item_changes(&items(was), &items(is))
}

/// What came into a context, changed in it or left it, in the order of the request.
pub fn item_changes(was: &[SentItem], is: &[SentItem]) -> Vec<ItemChange> {
    let find = |items: &[SentItem], name: &str| items.iter().find(|item| item.part.item == name).cloned();
    let mut changes = Vec::new();
    for item in is {
        let (change, before) = match find(was, &item.part.item) {
            None => (Change::Added, 0),
            Some(before) if before.part == item.part => continue,
            Some(before) => (Change::Modified, before.tokens),
        };
        changes.push(ItemChange { item: item.part.item.clone(), change, tokens: (before, item.tokens) });
    }
    let gone = was.iter().filter(|item| find(is, &item.part.item).is_none());
    changes.extend(gone.map(|item| ItemChange {
        item: item.part.item.clone(),
        change: Change::Removed,
        tokens: (item.tokens, 0),
    }));
    changes
}
