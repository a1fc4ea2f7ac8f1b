//! The outline of plans and tasks, for INDEX.md and for a root prompt that asks for it.

use super::{Graph, Ix};

/// One line of the outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How deep: 0 at the top.
    pub depth: usize,
    /// The task's id, or the folder's.
    pub id: String,
    /// The task, or none for a folder without a big task.
    pub task: Option<Ix>,
    /// The title, or the folder's name.
    pub title: String,
}

/// All tasks but the root and duplicates: each plan below its big task, siblings by (priority, id).
pub fn outline(graph: &Graph) -> Vec<Entry> {
    use std::collections::{BTreeMap, BTreeSet};
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, node) in graph.nodes().filter(|(_, node)| !node.task.root && node.duplicate_of.is_none()) {
        let mut id = node.id();
        loop {
            let folder = id.rsplit_once('/').map_or("", |(folder, _)| folder);
            if !children.entry(folder).or_default().insert(id) || folder.is_empty() {
                break;
            }
            id = folder;
        }
    }
    let rank = |id: &str| graph.find(id).map_or(100, |ix| graph.node(ix).task.priority);
    let sorted = |folder: &str| -> Vec<&str> {
        let mut ids: Vec<&str> = children.get(folder).into_iter().flatten().copied().collect();
        ids.sort_by_key(|id| (std::cmp::Reverse(rank(id)), std::cmp::Reverse(*id)));
        ids
    };
    let mut entries = Vec::new();
    let mut todo: Vec<(usize, &str)> = sorted("").into_iter().map(|id| (0, id)).collect();
    while let Some((depth, id)) = todo.pop() {
        let task =
            graph.find(id).filter(|ix| graph.node(*ix).duplicate_of.is_none() && Some(*ix) != graph.root());
        let title = match task {
            Some(ix) => graph.node(ix).task.title.clone(),
            None => crate::spec::words_of_id(id),
        };
        entries.push(Entry { depth, id: id.to_owned(), task, title });
        todo.extend(sorted(id).into_iter().map(|id| (depth + 1, id)));
    }
    entries
}
