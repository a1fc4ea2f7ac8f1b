//! Order: circles, levels, one topological order.
//!
//! Strongly connected components over all ordering links say which soft links lie in a circle; those
//! do not order. A circle of hard links is an error that shows its shortest path.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use super::{Graph, Ix, Target};
use crate::diag::{Diagnostic, Sink};
use crate::spec::RetrieveFrom;

/// Drops the order of soft links in circles, finds circles of `requires`, fills in levels and order.
pub(super) fn arrange(mut graph: Graph, sink: &Sink) -> Graph {
    let all: Vec<Vec<usize>> =
        graph.nodes().map(|(ix, _)| graph.ordering(ix).map(|to| to.0).collect()).collect();
    let component = components(&all);
    for at in 0..graph.nodes.len() {
        let node = &mut graph.nodes[at];
        let lists = node.pin.iter_mut().chain(&mut node.manual).chain(node.items.iter_mut().flatten());
        let targets = lists.filter_map(|target| match target {
            Target::Task(dep) => Some(dep),
            _ => None,
        });
        for dep in node.refers.iter_mut().chain(targets) {
            dep.earlier = component[dep.task.0] != component[at];
        }
    }

    let hard: Vec<Vec<usize>> =
        graph.nodes().map(|(ix, _)| graph.hard(ix).map(|to| to.0).collect()).collect();
    let circles = circles(&hard);
    if !circles.is_empty() {
        for circle in circles {
            sink.push(tell(&graph, &circle));
        }
        return graph;
    }

    // Levels come from links alone; what a retriever waits for are tasks of lower levels, which closes
    // no circle.
    let (order, levels) = sorted(&graph);
    for (node, level) in graph.nodes.iter_mut().zip(levels) {
        node.level = level;
    }
    graph.order = match wait_for_lower_levels(&mut graph) {
        true => sorted(&graph).0,
        false => order,
    };
    graph
}

/// For each task how many of those that take part order it; `dependants` as of [`Graph::dependants`].
pub fn open_counts(dependants: &[Vec<Ix>], takes_part: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut open = vec![0; dependants.len()];
    for (_, later) in dependants.iter().enumerate().filter(|(earlier, _)| takes_part(*earlier)) {
        later.iter().for_each(|ix| open[ix.0] += 1);
    }
    open
}

/// All tasks, each after what orders it, ties by (priority, id); and the level of each.
fn sorted(graph: &Graph) -> (Vec<Ix>, Vec<usize>) {
    let dependants = graph.dependants();
    let mut open = open_counts(&dependants, |_| true);
    let mut levels = vec![0usize; graph.len()];
    let mut order = Vec::with_capacity(graph.len());
    let mut ready: BinaryHeap<Reverse<(i64, &str, Ix)>> = BinaryHeap::new();
    let entry = |ix: Ix| {
        let (priority, id) = graph.rank(ix);
        Reverse((priority, id, ix))
    };
    ready.extend((0..graph.len()).map(Ix).filter(|ix| open[ix.0] == 0).map(entry));
    while let Some(Reverse((_, _, ix))) = ready.pop() {
        order.push(ix);
        for &next in &dependants[ix.0] {
            levels[next.0] = levels[next.0].max(levels[ix.0] + 1);
            open[next.0] -= 1;
            if open[next.0] == 0 {
                ready.push(entry(next));
            }
        }
    }
    debug_assert_eq!(order.len(), graph.len(), "soft links in circles do not order");
    (order, levels)
}

/// Lets each task with `retrieve.from = "earlier"` wait for all of lower levels. Whether there is one.
fn wait_for_lower_levels(graph: &mut Graph) -> bool {
    let waits = |node: &super::Node| {
        node.retrieves() && node.policy.retrieve.from == RetrieveFrom::Earlier && !node.task.root
    };
    let waiting: Vec<Ix> = graph.nodes().filter(|(_, node)| waits(node)).map(|(ix, _)| ix).collect();
    let mut by_level: BTreeMap<usize, Arc<Vec<Ix>>> = BTreeMap::new();
    for ix in &waiting {
        let level = graph.node(*ix).level;
        let last = by_level.entry(level).or_insert_with(|| {
            let below = |ix: Ix| graph.node(ix).level < level;
            let mut last: Vec<bool> = (0..graph.len()).map(|at| below(Ix(at))).collect();
            for at in (0..graph.len()).map(Ix).filter(|ix| below(*ix)) {
                for earlier in graph.ordering(at) {
                    last[earlier.0] = false;
                }
            }
            Arc::new((0..graph.len()).map(Ix).filter(|ix| last[ix.0]).collect())
        });
        let last = last.clone();
        graph.nodes[ix.0].after = last;
    }
    !waiting.is_empty()
}

/// The number of each node's strongly connected component (Tarjan's algorithm, without recursion).
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let n = edges.len();
    let (mut index, mut low, mut component) = (vec![NONE; n], vec![0; n], vec![NONE; n]);
    let (mut stack, mut calls) = (Vec::new(), Vec::new());
    let (mut next_index, mut next_component) = (0, 0);
    for start in 0..n {
        if index[start] != NONE {
            continue;
        }
        calls.push((start, 0));
        while let Some((v, at)) = calls.pop() {
            if at == 0 {
                index[v] = next_index;
                low[v] = next_index;
                next_index += 1;
                stack.push(v);
            }
            if let Some(&w) = edges[v].get(at) {
                calls.push((v, at + 1));
                if index[w] == NONE {
                    calls.push((w, 0));
                } else if component[w] == NONE {
                    low[v] = low[v].min(index[w]);
                }
                continue;
            }
            if low[v] == index[v] {
                while let Some(w) = stack.pop() {
                    component[w] = next_component;
                    if w == v {
                        break;
                    }
                }
                next_component += 1;
            }
            if let Some((caller, _)) = calls.last() {
                low[*caller] = low[*caller].min(low[v]);
            }
        }
    }
    component
}

/// A shortest circle in each component that has one, as the nodes in the links' direction.
fn circles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let component = components(edges);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (node, &own) in component.iter().enumerate() {
        members[own].push(node);
    }
    // Tens of thousands of tasks in one circle are told by one of their circles, not by the shortest.
    const STARTS: usize = 4000;
    members
        .iter()
        .filter(|nodes| nodes.len() > 1)
        .filter_map(|nodes| {
            let mut best: Option<Vec<usize>> = None;
            for &start in nodes.iter().take(STARTS) {
                let limit = best.as_ref().map_or(usize::MAX, Vec::len);
                if let Some(found) = circle_through(start, edges, &component, limit) {
                    best = Some(found);
                }
                if best.as_ref().is_some_and(|circle| circle.len() == 2) {
                    break;
                }
            }
            best
        })
        .collect()
}

/// The shortest circle through a node, if it is shorter than `limit`.
fn circle_through(
    start: usize,
    edges: &[Vec<usize>],
    component: &[usize],
    limit: usize,
) -> Option<Vec<usize>> {
    let mut from: std::collections::HashMap<usize, usize> = std::collections::HashMap::new();
    let mut queue = VecDeque::from([(start, 1)]);
    while let Some((v, length)) = queue.pop_front() {
        if length >= limit {
            return None;
        }
        for &w in edges[v].iter().filter(|w| component[**w] == component[start]) {
            if w == start {
                let mut path = vec![v];
                while let Some(&before) = from.get(path.last().unwrap_or(&v)) {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if w != start && !from.contains_key(&w) {
                from.insert(w, v);
                queue.push_back((w, length + 1));
            }
        }
    }
    None
}

/// A circle as a diagnostic: the path, the place of each link, and which link to weaken.
fn tell(graph: &Graph, circle: &[usize]) -> Diagnostic {
    let name = |at: usize| graph.nodes[at].id();
    let first = circle.iter().enumerate().min_by_key(|(_, at)| name(**at)).map_or(0, |(first, _)| first);
    let turned: Vec<usize> = circle[first..].iter().chain(&circle[..first]).copied().collect();
    let mut names: Vec<&str> = turned.iter().map(|at| name(*at)).collect();
    names.push(names[0]);
    let path = match names.len() {
        0..=24 => names.join(" -> "),
        n => format!("{} -> … ({} more) -> {}", names[..20].join(" -> "), n - 21, names[n - 1]),
    };
    let links: Vec<_> = turned
        .iter()
        .zip(turned.iter().cycle().skip(1))
        .filter_map(|(from, to)| {
            let dep = graph.nodes[*from].requires.iter().find(|dep| dep.task.0 == *to)?;
            Some((*from, *to, dep))
        })
        .collect();
    // The link to weaken: that of the task that comes last by (priority, id), which most likely sums
    // up or only mentions what it links to.
    let weakest = links.iter().max_by_key(|(from, _, _)| graph.rank(Ix(*from)));
    let mut diagnostic = Diagnostic::error(format!("a circle of `requires`: {}", path));
    for (at, (from, to, dep)) in links.iter().enumerate() {
        if at == 0 {
            diagnostic = diagnostic.at(dep.at.place());
        } else if at < 12 {
            diagnostic =
                diagnostic.also(dep.at.place(), format!("`{}` requires `{}`", name(*from), name(*to)));
        }
    }
    match weakest {
        Some((from, to, _)) => diagnostic.help(format!(
            "if `{}` only mentions `{}`, move that link to `refers`, which never blocks",
            name(*from),
            name(*to)
        )),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_without_recursion() {
        // 0 -> 1 -> 2 -> 0 is a circle, 3 hangs on it; then a chain that recursion would not survive.
        let mut edges = vec![vec![1], vec![2], vec![0], vec![0]];
        let chain = 200_000;
        for at in 0..chain {
            edges.push(if at == 0 { vec![3] } else { vec![4 + at - 1] });
        }
        let component = components(&edges);
        assert_eq!(component[0], component[1]);
        assert_eq!(component[1], component[2]);
        assert_ne!(component[2], component[3]);
        assert_ne!(component[4], component[5]);
    }

    #[test]
    fn the_shortest_circle_is_told() {
        // 0 -> 1 -> 2 -> 3 -> 0 and the short way 2 -> 1.
        let edges = vec![vec![1], vec![2], vec![3, 1], vec![0]];
        let mut found = circles(&edges);
        assert_eq!(found.len(), 1);
        found[0].sort_unstable();
        assert_eq!(found[0], [1, 2]);
    }
}
