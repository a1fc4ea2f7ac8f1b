//! Rows: what `status` tells of each task, with names in place of numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::disk::Workspace;
use crate::graph::{Graph, Ix};
use crate::lock::Record;
use crate::plan::{State, Verdict};
use crate::request::Reason;

/// What is told of one task, or of a record without a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The task's id.
    pub id: String,
    /// Its state.
    pub state: State,
    /// What differs from what is recorded.
    pub reasons: Vec<Reason>,
    /// Where its output is.
    pub output: String,
    /// Its id's folder.
    pub plan: String,
    /// Lower goes first; none for an orphan.
    pub priority: Option<i64>,
    /// The longest way of links above it; none for an orphan.
    pub level: Option<usize>,
    /// The tasks that it is blocked by or waits for.
    pub on: Vec<String>,
    /// A word more, for failed tasks.
    pub message: Option<String>,
    /// Whether today's request is the recorded one, where both are known.
    #[serde(rename = "request_unchanged")]
    pub unchanged: Option<bool>,
}

impl Row {
    /// The row of a task.
    pub fn of(graph: &Graph, ix: Ix, verdict: &Verdict) -> Self {
        let node = graph.node(ix);
        Row {
            id: node.id().to_owned(),
            state: verdict.state,
            reasons: verdict.reasons.clone(),
            output: node.output.to_string(),
            plan: node.plan().to_owned(),
            priority: Some(node.task.priority),
            level: Some(node.level),
            on: verdict.on.iter().map(|above| graph.node(*above).id().to_owned()).collect(),
            message: verdict.message.clone(),
            unchanged: verdict.unchanged,
        }
    }

    /// The row of a record without a task.
    fn orphan(record: &Record) -> Self {
        Row {
            id: record.task.clone(),
            state: State::Orphan,
            reasons: Vec::new(),
            output: record.output.clone(),
            plan: record.task.rsplit_once('/').map_or("", |(plan, _)| plan).to_owned(),
            priority: None,
            level: None,
            on: Vec::new(),
            message: None,
            unchanged: None,
        }
    }

    /// Whether `status --check` passes it.
    pub fn passes_check(&self) -> bool {
        self.state.passes_check(self.unchanged)
    }
}

/// The rows of all tasks by id, then those of the orphans.
pub fn rows(workspace: &Workspace, verdicts: &[Option<Verdict>]) -> Vec<Row> {
    let graph = &workspace.graph;
    let tasks = graph.nodes().filter_map(|(ix, _)| Some(Row::of(graph, ix, verdicts[ix.0].as_ref()?)));
    let lock = &workspace.lock;
    let orphans = lock.tasks().filter(|id| graph.find(id).is_none());
    tasks.chain(orphans.filter_map(|id| lock.records(id).first()).map(Row::orphan)).collect()
}

/// How many rows there are of each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(BTreeMap<State, usize>);

impl Counts {
    /// Counts rows.
    pub fn of(rows: &[Row]) -> Self {
        let mut counts = Counts::default();
        for row in rows {
            *counts.0.entry(row.state).or_default() += 1;
        }
        counts
    }

    /// Counts a row as one of another state.
    pub fn exchange(&mut self, before: State, now: State) {
        if let Some(count) = self.0.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&before);
            }
        }
        *self.0.entry(now).or_default() += 1;
    }

    /// How many are in a state.
    pub fn get(&self, state: State) -> usize {
        self.0.get(&state).copied().unwrap_or_default()
    }

    /// How many tasks there are: an orphan is none.
    pub fn tasks(&self) -> usize {
        self.0.values().sum::<usize>() - self.get(State::Orphan)
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
