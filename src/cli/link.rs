//! `meu link list`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Done, Env, select};
use crate::graph::{Graph, Ix};
use crate::show::plain;
use crate::spec::LinkKind;

/// Look at the links between tasks
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
}

/// All links, or those from and to one task
#[derive(Debug, Args)]
pub(super) struct List {
    /// The task
    task: Option<String>,
}

/// All links as (from, kind, to); `from` declares the link.
pub(super) fn links(graph: &Graph) -> Vec<(Ix, LinkKind, Ix)> {
    let mut links = Vec::new();
    for (ix, node) in graph.nodes() {
        links.extend(node.requires.iter().map(|dep| (ix, LinkKind::Requires, dep.task)));
        links.extend(node.refers.iter().map(|dep| (ix, LinkKind::Refers, dep.task)));
        links.extend(node.relates_to.iter().map(|to| (ix, LinkKind::RelatesTo, *to)));
        links.extend(node.duplicate_of.map(|to| (ix, LinkKind::Duplicates, to)));
    }
    links.dedup();
    links
}

pub(super) fn link(env: &Env, command: Command) -> Done {
    let Command::List(arguments) = command;
    let workspace = env.load()?;
    workspace.shelf.save();
    let graph = &workspace.graph;
    let about = arguments.task.map(|name| select::one(&workspace, &name)).transpose()?;
    let links: Vec<_> = links(graph)
        .into_iter()
        .filter(|(from, _, to)| about.is_none_or(|about| *from == about || *to == about))
        .collect();
    if env.shell.json {
        let rows: Vec<_> = links
            .iter()
            .map(|(from, kind, to)| json!({"from": graph.node(*from).id(), "kind": kind.word(), "to": graph.node(*to).id()}))
            .collect();
        env.shell.json(&json!({"links": rows}));
        return Ok(None);
    }
    let width = links.iter().map(|(from, ..)| graph.node(*from).id().len()).max().unwrap_or(0);
    for (from, kind, to) in &links {
        env.shell.out(&format!(
            "{:width$}  {:10}  {}",
            plain(graph.node(*from).id()),
            kind.word(),
            plain(graph.node(*to).id())
        ));
    }
    if links.is_empty() {
        env.shell.note("no links");
    }
    Ok(None)
}
