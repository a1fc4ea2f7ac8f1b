//! A part of a project: the tasks that a change may reach, and at its edge those that they name.
//!
//! Tasks at the edge need nothing, and stay so. They have no links here, and order nobody: they are there for their
//! titles, their cards and their outputs. What the whole project knows of the tasks of a part (level, order, who is
//! upstream of whom) is told by whoever looked at it as a whole.

use std::collections::{BTreeSet, HashSet};

use super::resolve::is_glob;
use super::{Graph, Ix, build};
use crate::diag::Sink;
use crate::spec::{PolicyPatch, Project, Runner, Subject, Task};

/// What is known of the whole project that a part is of.
#[derive(Clone, Debug)]
pub struct Whole {
    /// How many tasks it has.
    pub tasks: usize,
    /// For each of its tasks those that come earlier by some link.
    pub earlier: Lists,
    /// The level of each of its tasks.
    pub levels: Vec<u32>,
}

/// A list of numbers for each of many things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Where each list ends among all numbers.
    pub ends: Vec<u32>,
    /// The numbers of all lists.
    pub numbers: Vec<u32>,
}

impl Lists {
    /// Adds a list.
    pub fn push(&mut self, list: impl IntoIterator<Item = u32>) {
        self.numbers.extend(list);
        self.ends.push(self.numbers.len() as u32);
    }

    /// The list of a thing.
    pub fn of(&self, at: usize) -> &[u32] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.numbers[start as usize..self.ends[at] as usize]
    }
}

/// One task of a part.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its id.
    pub id: String,
    /// Its number in the whole project.
    pub number: u32,
    /// Whether it only stands at the edge.
    pub is_edge: bool,
    /// Its place in the order of all tasks.
    pub place: u32,
}

/// What a graph of a part is a part of.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    /// The tasks at the edge.
    edge: Vec<bool>,
    /// The number of each task in the whole project.
    numbers: Vec<u32>,
    whole: Whole,
}

/// Builds the graph of a part of a project whose graph was built before. `pieces` are the part's tasks, by id;
/// `None` if the project has others.
pub fn build_part(mut project: Project, pieces: &[Piece], whole: Whole, sink: &Sink) -> Option<Graph> {
    let edge: HashSet<&str> =
        pieces.iter().filter(|piece| piece.is_edge).map(|piece| piece.id.as_str()).collect();
    let tasks = project.tasks.into_iter();
    project.tasks = tasks
        .map(|task| if edge.contains(task.id.value.as_str()) { without_links(task) } else { task })
        .collect();
    let mut graph = build(project, &[], &[], sink);
    let same = graph.nodes.iter().map(|node| node.id()).eq(pieces.iter().map(|piece| piece.id.as_str()));
    if !same {
        return None;
    }
    for (node, piece) in graph.nodes.iter_mut().zip(pieces) {
        node.level = whole.levels[piece.number as usize] as usize;
    }
    graph.order = (0..pieces.len()).map(Ix).collect();
    graph.order.sort_by_key(|ix| pieces[ix.0].place);
    graph.outside = Some(Box::new(Outside {
        edge: pieces.iter().map(|piece| piece.is_edge).collect(),
        numbers: pieces.iter().map(|piece| piece.number).collect(),
        whole,
    }));
    Some(graph)
}

/// A task as it stands at the edge.
fn without_links(task: Task) -> Task {
    Task {
        requires: Vec::new(),
        refers: Vec::new(),
        relates_to: Vec::new(),
        inputs: Vec::new(),
        pin: Vec::new(),
        exclude: Vec::new(),
        manual: Vec::new(),
        items: None,
        expect: None,
        policy: PolicyPatch { k: Some(0), ..PolicyPatch::default() },
        ..task
    }
}

impl Graph {
    /// Whether parts of it can be told apart: what a name means, and who comes earlier, is the same in a part where no
    /// task stands for another and no soft link lies in a circle.
    pub fn is_divisible(&self) -> bool {
        self.nodes().all(|(_, node)| {
            let soft = node.refers.iter().chain(node.targets());
            node.duplicate_of.is_none() && soft.into_iter().all(|dep| dep.earlier)
        })
    }

    /// Whether the request of a task can be put together only where the whole project is known: the root task, and
    /// those that search, or read what globs find.
    pub fn needs_the_whole(&self, ix: Ix) -> bool {
        let node = self.node(ix);
        node.task.root || node.searches() || node.task.inputs.iter().any(|input| is_glob(&input.value))
    }

    /// The tasks that must be known to look at a task: all that it names, and whose cards it may take.
    pub fn neighbours(&self, ix: Ix) -> BTreeSet<Ix> {
        let node = self.node(ix);
        let links = node.requires.iter().chain(&node.refers).chain(node.targets()).map(|dep| dep.task);
        let excluded = node.exclude.iter().filter_map(|item| match &item.subject {
            Subject::Task(id) => self.find(id),
            _ => None,
        });
        let mut all: BTreeSet<Ix> =
            links.chain(node.relates_to.iter().copied()).chain(excluded).chain(self.root).collect();
        if !matches!(node.task.run, Runner::Template | Runner::Assemble) {
            all.extend(self.above(ix));
            all.extend(self.siblings(ix).take(node.policy.siblings));
        }
        all.remove(&ix);
        all
    }

    /// Whether it is a part of a project.
    pub fn is_part(&self) -> bool {
        self.outside.is_some()
    }

    /// Whether a task only stands at the edge of a part.
    pub fn is_edge(&self, ix: Ix) -> bool {
        self.outside.as_ref().is_some_and(|outside| outside.edge[ix.0])
    }

    /// How many tasks of the project are not in this part of it: none of them needs anything.
    pub fn outside(&self) -> usize {
        let inside = |outside: &Outside| outside.edge.iter().filter(|edge| !**edge).count();
        self.outside.as_ref().map_or(0, |outside| outside.whole.tasks - inside(outside))
    }

    /// Which of some tasks a task comes after, by whatever ways of links.
    pub fn comes_after(&self, ix: Ix, others: &[Ix]) -> Vec<bool> {
        if others.is_empty() {
            return Vec::new();
        }
        match &self.outside {
            None => {
                let others: Vec<usize> = others.iter().map(|other| other.0).collect();
                let earlier = |at: usize| self.ordering(Ix(at)).map(|earlier| earlier.0);
                reached(self.len(), ix.0, &others, |at| self.nodes[at].level, earlier)
            }
            Some(outside) => {
                let number = |ix: &Ix| outside.numbers[ix.0] as usize;
                let others: Vec<usize> = others.iter().map(number).collect();
                let earlier = |at: usize| outside.whole.earlier.of(at).iter().map(|number| *number as usize);
                let level = |at: usize| outside.whole.levels[at] as usize;
                reached(outside.whole.tasks, number(&ix), &others, level, earlier)
            }
        }
    }
}

/// Which of some things of `count` are among all that come earlier than one. Those have lower levels than what comes
/// after them, so no way to them leads through one below them all.
fn reached<I: Iterator<Item = usize>>(
    count: usize,
    from: usize,
    wanted: &[usize],
    level: impl Fn(usize) -> usize,
    earlier: impl Fn(usize) -> I,
) -> Vec<bool> {
    let lowest = wanted.iter().map(|at| level(*at)).min().unwrap_or(usize::MAX);
    let (mut seen, mut todo) = (vec![false; count], vec![from]);
    let mut left = wanted.len();
    while let Some(at) = todo.pop().filter(|_| left > 0) {
        for next in earlier(at).filter(|next| level(*next) >= lowest) {
            if !std::mem::replace(&mut seen[next], true) {
                left -= usize::from(wanted.contains(&next));
                todo.push(next);
            }
        }
    }
    wanted.iter().map(|at| seen[*at]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{HashSet, reached};

    /// All that come earlier than each thing, by brute force, and levels. Each comes after some of those before it.
    fn by_hand(earlier: &[Vec<usize>]) -> (Vec<HashSet<usize>>, Vec<usize>) {
        let (mut all, mut levels) = (Vec::<HashSet<usize>>::new(), Vec::new());
        for direct in earlier {
            all.push(direct.iter().flat_map(|at| all[*at].iter().copied().chain([*at])).collect());
            levels.push(direct.iter().map(|at| levels[*at] + 1).max().unwrap_or(0));
        }
        (all, levels)
    }

    proptest! {
        #[test]
        fn what_comes_earlier_is_found_by_whatever_ways(
            ways in vec(vec(any::<prop::sample::Index>(), 0..4), 1..40),
            from in any::<prop::sample::Index>(),
            wanted in vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let earlier: Vec<Vec<usize>> = ways
                .iter()
                .enumerate()
                .map(|(at, some)| some.iter().filter(|_| at > 0).map(|index| index.index(at)).collect())
                .collect();
            let (all, levels) = by_hand(&earlier);
            let from = from.index(earlier.len());
            let wanted: Vec<usize> = wanted.iter().map(|index| index.index(earlier.len())).collect();
            let found = reached(earlier.len(), from, &wanted, |at| levels[at], |at| earlier[at].iter().copied());
            let expected: Vec<bool> = wanted.iter().map(|at| all[from].contains(at)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
