//! Order: which of the tasks that may run goes first. It changes no output.

use crate::graph::{Graph, Ix};
use crate::spec::Order;

use super::execute::Options;

/// A task in a queue; the smallest key comes first.
#[derive(PartialEq, Eq)]
pub(super) struct Queued<T> {
    pub(super) key: (usize, usize),
    pub(super) what: T,
}

impl<T: Eq> Ord for Queued<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key)
    }
}

impl<T: Eq> PartialOrd for Queued<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// For each task its place among those that may run.
pub(super) fn keys(graph: &Graph, options: &Options, chosen: &[bool]) -> Vec<(usize, usize)> {
    let mut ranked: Vec<Ix> = (0..graph.len()).map(Ix).collect();
    ranked.sort_by_key(|ix| graph.rank(*ix));
    let mut keys = vec![(0, 0); graph.len()];
    for (rank, ix) in ranked.iter().enumerate() {
        let first = if options.order == Order::Bfs { graph.node(*ix).level } else { 0 };
        keys[ix.0] = (first, rank);
    }
    if options.order == Order::Postorder {
        let mut next = 0;
        let mut seen = vec![false; graph.len()];
        let tops = ranked.iter().filter(|ix| options.targets.contains(ix) && chosen[ix.0]);
        for top in tops {
            let mut stack = vec![(*top, false)];
            while let Some((ix, done)) = stack.pop() {
                if done {
                    keys[ix.0] = (next, 0);
                    next += 1;
                } else if !std::mem::replace(&mut seen[ix.0], true) {
                    stack.push((ix, true));
                    let mut above: Vec<Ix> = graph.ordering(ix).filter(|above| chosen[above.0]).collect();
                    above.sort_by_key(|above| std::cmp::Reverse(graph.rank(*above)));
                    stack.extend(above.into_iter().map(|above| (above, false)));
                }
            }
        }
    }
    keys
}
