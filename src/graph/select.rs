//! Selectors: words for sets of tasks.
//!
//! `SEL` is an id or a glob over ids, `tag:`, `plan:`, `state:`, `path:` or `changed:`, with `+`
//! before it for all upstream and after it for all downstream. `A,B` is an intersection; several
//! selectors are a union.

use std::collections::HashSet;

use super::{Graph, Ix};
use crate::diag::{Error, did_you_mean};
use crate::path::nfc;

/// What selectors ask of the world.
pub trait Facts {
    /// The word of a task's state.
    fn state(&self, ix: Ix) -> Result<String, Error>;
    /// The paths that changed since a git revision.
    fn changed(&self, since: &str) -> Result<HashSet<String>, Error>;
}

/// The tasks that selectors name, by number; without selectors all of them.
pub fn select(
    graph: &Graph,
    facts: &dyn Facts,
    selectors: &[String],
    exclude: &[String],
) -> Result<Vec<Ix>, Error> {
    let mut chosen = vec![selectors.is_empty(); graph.len()];
    for selector in selectors {
        for ix in intersection(graph, facts, selector)? {
            chosen[ix.0] = true;
        }
    }
    for selector in exclude {
        for ix in intersection(graph, facts, selector)? {
            chosen[ix.0] = false;
        }
    }
    Ok((0..graph.len()).map(Ix).filter(|ix| chosen[ix.0] && !graph.is_edge(*ix)).collect())
}

/// The `nth` of `of` parts of some tasks, from 1: each level is dealt out in turn, by id, so that all parts have
/// about as much to do at once. The same on every machine that has the same plan.
pub fn shard(graph: &Graph, tasks: &[Ix], nth: usize, of: usize) -> Vec<Ix> {
    let mut dealt: Vec<Ix> = tasks.to_vec();
    dealt.sort_by_key(|ix| (graph.node(*ix).level, graph.node(*ix).id()));
    let mut at: (usize, usize) = (0, 0);
    dealt.retain(|ix| {
        let level = graph.node(*ix).level;
        at = if at.0 == level { at } else { (level, 0) };
        at.1 += 1;
        at.1 % of == nth % of
    });
    dealt.sort_unstable();
    dealt
}

fn intersection(graph: &Graph, facts: &dyn Facts, selector: &str) -> Result<Vec<Ix>, Error> {
    let mut chosen = vec![true; graph.len()];
    for part in selector.split(',') {
        let found = one(graph, facts, part.trim())?;
        chosen.iter_mut().zip(found).for_each(|(both, own)| *both &= own);
    }
    Ok((0..graph.len()).filter(|at| chosen[*at]).map(Ix).collect())
}

fn one(graph: &Graph, facts: &dyn Facts, part: &str) -> Result<Vec<bool>, Error> {
    let (upstream, rest) = part.strip_prefix('+').map_or((false, part), |rest| (true, rest));
    let (downstream, rest) = rest.strip_suffix('+').map_or((false, rest), |rest| (true, rest));
    let found = base(graph, facts, rest)?;
    let mut chosen = vec![false; graph.len()];
    if downstream {
        let dependants = graph.dependants();
        let reached = graph.closure(found.iter().copied(), |ix| dependants[ix.0].iter().copied());
        chosen.iter_mut().zip(reached).for_each(|(chosen, reached)| *chosen |= reached);
    }
    if upstream {
        let reached = graph.closure(found.iter().copied(), |ix| graph.ordering(ix));
        chosen.iter_mut().zip(reached).for_each(|(chosen, reached)| *chosen |= reached);
    }
    for ix in found {
        chosen[ix.0] = true;
    }
    Ok(chosen)
}

fn base(graph: &Graph, facts: &dyn Facts, word: &str) -> Result<Vec<Ix>, Error> {
    let word = &*nfc(word);
    let filter =
        |keep: &dyn Fn(Ix) -> bool| (0..graph.len()).map(Ix).filter(|ix| keep(*ix)).collect::<Vec<_>>();
    match word.split_once(':') {
        Some(("tag", tag)) => {
            let found = filter(&|ix| graph.node(ix).task.tags.iter().any(|own| own == tag));
            let tags = graph.nodes().flat_map(|(_, node)| node.task.tags.iter().map(String::as_str));
            some(found, word, tag, tags)
        }
        Some(("plan", plan)) => {
            let below = format!("{plan}/");
            let found = filter(&|ix| graph.node(ix).id() == plan || graph.node(ix).id().starts_with(&below));
            some(found, word, plan, graph.nodes().map(|(_, node)| node.plan()))
        }
        Some(("state", state)) => {
            const STATES: [&str; 10] = [
                "fresh",
                "stale",
                "missing",
                "edited",
                "awaiting",
                "blocked",
                "failed",
                "duplicate",
                "waiting",
                "orphan",
            ];
            if !STATES.contains(&state) {
                let message = format!("`{state}` is no state; states are {}", STATES.join(", "));
                return Err(Error::invalid(message));
            }
            let mut found = Vec::new();
            for ix in (0..graph.len()).map(Ix) {
                if facts.state(ix)? == state {
                    found.push(ix);
                }
            }
            Ok(found)
        }
        Some(("path", path)) => {
            let path = path.trim_start_matches("./");
            Ok(filter(&|ix| reads(graph, ix, &|own| own == path)))
        }
        Some(("changed", since)) => {
            let changed = facts.changed(since)?;
            Ok(filter(&|ix| {
                let node = graph.node(ix);
                changed.contains(&node.task.id.source.path)
                    || node.documents().any(|doc| changed.contains(doc.path.as_str()))
                    || node.schema().is_some_and(|path| changed.contains(path.as_str()))
                    || node.searched.iter().any(|path| changed.contains(path.as_str()))
                    // A root's INDEX.md is what it made.
                    || (graph.root().is_none()
                        && node.reads_index()
                        && changed.contains(graph.config.index.as_str()))
            }))
        }
        Some((kind, _)) => Err(Error::invalid(format!(
            "`{kind}:` is no selector; selectors are ids, globs, tag:, plan:, state:, path: and changed:"
        ))),
        None => ids(graph, word),
    }
}

/// What was found, or an error with a near name: a misspelt word must not pass for "nothing to do".
fn some<'a>(
    found: Vec<Ix>,
    word: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Result<Vec<Ix>, Error> {
    if !found.is_empty() {
        return Ok(found);
    }
    let error = Error::invalid(format!("no task matches `{word}`"));
    Err(error.help(
        did_you_mean(name, known.filter(|known| !known.is_empty()))
            .unwrap_or_else(|| "`meu status` lists all tasks".into()),
    ))
}

/// Whether a task reads a path: as a document, as one that it searches, or as the output of a task that its links name.
fn reads(graph: &Graph, ix: Ix, is: &dyn Fn(&str) -> bool) -> bool {
    let node = graph.node(ix);
    node.documents().any(|doc| is(doc.path.as_str()))
        || node.schema().is_some_and(|path| is(path.as_str()))
        || node.searched.iter().any(|path| is(path.as_str()))
        || (node.reads_index() && is(graph.config.index.as_str()))
        || graph.ordering(ix).any(|other| is(graph.node(other).output.as_str()))
}

fn ids(graph: &Graph, word: &str) -> Result<Vec<Ix>, Error> {
    if let Some(ix) = graph.find(word) {
        return Ok(vec![ix]);
    }
    let known = || graph.nodes().map(|(_, node)| node.id());
    let found: Vec<Ix> = if super::resolve::is_glob(word) {
        let matcher = super::resolve::matcher(word).map_err(Error::invalid)?;
        graph.nodes().filter(|(_, node)| matcher.is_match(node.id())).map(|(ix, _)| ix).collect()
    } else {
        // `tasks/a.toml` and `out/a.md` mean the task, as a shell completes them.
        graph
            .nodes()
            .filter(|(_, node)| node.task.id.source.path == word || node.output.as_str() == word)
            .map(|(ix, _)| ix)
            .collect()
    };
    if found.is_empty() {
        let error = Error::invalid(format!("no task matches `{word}`"));
        return Err(match did_you_mean(word, known()) {
            Some(help) => error.help(help),
            None => error.help("`meu status` lists all tasks"),
        });
    }
    Ok(found)
}
