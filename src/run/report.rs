//! What came of a project since a revision: which tasks were made anew, why, and what that took.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::disk::{Cache, KeptRun, SentItem, Workspace, kept_runs};
use crate::lock::{Lock, Record};
use crate::plan::State;
use crate::request::{Change, Reason, compare};

use super::Row;
use super::rename::counting;

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

/// What calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Took {
    /// Tokens sent.
    pub tokens_in: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// The cost; none once a call without a known price was made.
    pub cost: Option<f64>,
}

/// A line of a report.
#[derive(Clone, Debug)]
pub struct Line {
    /// The task.
    pub task: String,
    /// What happened to it.
    pub happened: Happened,
    /// How it is now; none if nothing of it is left.
    pub now: Option<Row>,
    /// Why it was made again.
    pub reasons: Vec<Reason>,
    /// Its output.
    pub output: String,
    /// What asking for it took since; none if no record of a run tells of it.
    pub took: Option<Took>,
    /// What changed in its context.
    pub items: Vec<ItemChange>,
}

impl Line {
    /// Whether nothing is left to do for it.
    pub fn is_good(&self) -> bool {
        self.now.as_ref().is_none_or(is_good)
    }
}

fn is_good(row: &Row) -> bool {
    matches!(row.state, State::Fresh | State::Duplicate | State::Edited | State::Orphan)
}

/// What came of a project.
#[derive(Clone, Debug)]
pub struct Report {
    /// All tasks to which something happened, and all that are not up to date.
    pub lines: Vec<Line>,
    /// What all calls took that records of runs tell of.
    pub took: Took,
}

impl Report {
    /// Whether some line is without a record of what it took.
    pub fn is_partial(&self) -> bool {
        let made = |line: &&Line| matches!(line.happened, Happened::New | Happened::Built);
        self.lines.iter().filter(made).any(|line| line.took.is_none())
    }
}

/// What came of a project since `old`, which was committed at `committed`. `rows` is how it is now.
pub fn report(
    workspace: &Workspace,
    old: &Lock,
    committed: &str,
    rows: &[Row],
    chosen: &dyn Fn(&str) -> bool,
) -> Report {
    let graph = &workspace.graph;
    let runs = runs_since(workspace, old, committed);
    let now: HashMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let broken: BTreeSet<&str> = old.broken.iter().filter_map(|line| line.task.as_deref()).collect();
    let unreadable: BTreeSet<&str> =
        workspace.lock.broken.iter().filter_map(|line| line.task.as_deref()).collect();
    let ids: BTreeSet<&str> = old
        .tasks()
        .chain(workspace.lock.tasks())
        .chain(now.keys().copied())
        .filter(|id| chosen(id))
        .collect();
    let line = |id: &str| {
        let is = match graph.find(id) {
            // A merge may have left several.
            Some(ix) => counting(workspace, ix).map(|(record, _)| record),
            None => workspace.lock.records(id).first(),
        };
        let was = old.records(id).iter().find(|was| Some(*was) == is).or(old.records(id).first());
        let row = now.get(id).copied();
        let (happened, reasons) = match (was, is) {
            (None, Some(_)) if !broken.contains(id) => (Happened::New, vec![Reason::never_built()]),
            (Some(_), None) if !unreadable.contains(id) => (Happened::Removed, Vec::new()),
            (Some(was), Some(is)) => happened(was, is),
            _ => (Happened::Nothing, Vec::new()),
        };
        if happened == Happened::Nothing && row.is_none_or(is_good) {
            return None;
        }
        let made = matches!(happened, Happened::New | Happened::Built);
        Some(Line {
            task: id.to_owned(),
            happened,
            now: row.cloned(),
            reasons,
            output: match (is.or(was), row) {
                (Some(record), _) => record.output.clone(),
                (None, Some(row)) => row.output.clone(),
                (None, None) => String::new(),
            },
            took: took(&runs, Some(id)),
            items: if made { items(workspace, was, is) } else { Vec::new() },
        })
    };
    Report { lines: ids.into_iter().filter_map(line).collect(), took: took(&runs, None).unwrap_or_default() }
}

/// The runs since a commit. Of those in its very second, those that made what was committed are not.
fn runs_since(workspace: &Workspace, old: &Lock, committed: &str) -> Vec<KeptRun> {
    let mut runs = kept_runs(&workspace.store);
    let made_it = |run: &KeptRun| {
        let of_old = |event: &Value| {
            let records = event["task"].as_str().map_or(&[][..], |id| old.records(id));
            records.iter().any(|record| event["request"] == record.request.to_string().as_str())
        };
        run.of("task_finished").any(of_old)
    };
    runs.retain(|run| run.started.as_str() > committed || (run.started == committed && !made_it(run)));
    runs
}

fn happened(was: &Record, is: &Record) -> (Happened, Vec<Reason>) {
    let mut reasons = compare(&was.parts, &is.parts);
    if was.expect != is.expect {
        reasons.push(Reason::expect(was.expect, is.expect));
    }
    let happened = match () {
        () if was.accepted != is.accepted && is.accepted.is_some() => Happened::Adopted,
        () if was.built != is.built || was.request != is.request => Happened::Built,
        () if was.accepted != is.accepted => Happened::Adopted,
        () if was.approved != is.approved => Happened::Approved,
        () => Happened::Nothing,
    };
    (happened, reasons)
}

/// What the calls of some runs for one task took, or for all; none if no run tells of it.
fn took(runs: &[KeptRun], task: Option<&str>) -> Option<Took> {
    let is_it = |event: &&Value| task.is_none_or(|task| event["task"] == task);
    let mut ended = runs.iter().flat_map(|run| run.of("task_finished")).filter(is_it).peekable();
    ended.peek()?;
    let tried = runs.iter().flat_map(|run| run.of("task_tried")).filter(is_it);
    Some(tried.fold(Took { cost: Some(0.0), ..Took::default() }, |sum, event| {
        let count = |name: &str| event[name].as_u64().unwrap_or_default();
        Took {
            tokens_in: sum.tokens_in + count("gen_ai.usage.input_tokens"),
            tokens_out: sum.tokens_out + count("gen_ai.usage.output_tokens"),
            cost: sum.cost.zip(event["cost"].as_f64()).map(|(sum, one)| sum + one),
        }
    }))
}

/// What differs between two records' contexts.
fn items(workspace: &Workspace, was: Option<&Record>, is: Option<&Record>) -> Vec<ItemChange> {
    let cache = Cache(&workspace.store);
    let items = |record: Option<&Record>| record.map(|record| cache.items_of(record)).unwrap_or_default();
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
