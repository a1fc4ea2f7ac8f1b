//! `meu link`

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Done, Env, edit, select};
use crate::diag::Error;
use crate::graph::{Graph, Ix};
use crate::show::{columns, in_column, plain};
use crate::spec::{LinkKind, split_heading};

/// Look at the links between tasks, and edit them
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Add(Add),
    Rm(Rm),
}

/// All links, or those from and to one task
#[derive(Debug, Args)]
pub(super) struct List {
    /// The task
    task: Option<String>,
}

/// Add a link; refused if the project would not be whole with it
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The task that depends
    from: String,
    /// The kind
    kind: Kind,
    /// The task that it depends on, with an optional #Heading
    to: String,
}

/// Take a link out
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// The task that depends
    from: String,
    /// The task that it depends on
    to: String,
    /// Only a link of this kind
    #[arg(long)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    Requires,
    Refers,
    RelatesTo,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Requires, Kind::Refers, Kind::RelatesTo];

    fn word(self) -> &'static str {
        match self {
            Kind::Requires => "requires",
            Kind::Refers => "refers",
            Kind::RelatesTo => "relates_to",
        }
    }
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
    match command {
        Command::List(arguments) => list(env, arguments),
        Command::Add(arguments) => add(env, arguments),
        Command::Rm(arguments) => rm(env, arguments),
    }
}

fn list(env: &Env, arguments: List) -> Done {
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
            .map(|(from, kind, to)| {
                json!({"from": graph.node(*from).id(), "kind": kind.word(), "to": graph.node(*to).id()})
            })
            .collect();
        env.shell.json(&json!({"links": rows}));
        return Ok(None);
    }
    let width = columns(links.iter().map(|(from, ..)| graph.node(*from).id()), usize::MAX);
    for (from, kind, to) in &links {
        let (from, to) = (in_column(graph.node(*from).id(), width), plain(graph.node(*to).id()));
        env.shell.out(&format!("{from}  {:10}  {to}", kind.word()));
    }
    if links.is_empty() {
        env.shell.note("no links");
    }
    Ok(None)
}

fn add(env: &Env, arguments: Add) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let from = select::one(&workspace, &arguments.from)?;
    let (name, heading) = split_heading(&arguments.to);
    let to = workspace.graph.name_from(from, select::one(&workspace, name)?);
    let to = heading.map_or(to.clone(), |heading| format!("{to}#{heading}"));
    let kind = arguments.kind.word();
    let changed = edit::edit(&workspace, from, |text| text.add(kind, &to))?;
    say(env, workspace.graph.node(from).id(), kind, &to, if changed { "added" } else { "unchanged" })
}

fn rm(env: &Env, arguments: Rm) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let from = select::one(&workspace, &arguments.from)?;
    let (name, heading) = split_heading(&arguments.to);
    let to = select::one(&workspace, name)?;
    let node = workspace.graph.node(from);
    // The link as it is written, which may be a bare or a relative name.
    let lists = [&node.requires, &node.refers];
    let mut written: Vec<(Kind, String)> = Vec::new();
    for (kind, deps) in Kind::ALL.into_iter().zip(lists) {
        let found = deps.iter().filter(|dep| {
            let same = heading.is_none_or(|heading| dep.heading.as_deref() == Some(heading));
            same && dep.task == workspace.graph.canonical(to)
        });
        for dep in found {
            if dep.at.value.contains(['*', '?', '[', '{']) {
                let message =
                    format!("the link comes from the glob `{}`, which means other tasks too", dep.at.value);
                return Err(Error::failed(message).help(format!(
                    "edit `{}` in {}",
                    kind.word(),
                    node.task.id.source.path
                )));
            }
            written.push((kind, dep.at.value.clone()));
        }
    }
    let drawn = node.task.relates_to.iter().zip(&node.relates_to);
    let drawn = drawn.filter(|(_, other)| **other == workspace.graph.canonical(to));
    written.extend(drawn.map(|(at, _)| (Kind::RelatesTo, at.value.clone())));
    written.retain(|(kind, _)| arguments.kind.is_none_or(|wanted| wanted == *kind));
    let changed = edit::edit(&workspace, from, |text| {
        let mut changed = false;
        for (kind, value) in &written {
            changed |= text.remove(kind.word(), value)?;
        }
        Ok(changed)
    })?;
    if !changed {
        return Err(Error::failed(format!("`{}` has no such link to `{}`", node.id(), arguments.to))
            .help(format!("`meu link list {}` shows its links", node.id())));
    }
    say(env, node.id(), "link", &arguments.to, "removed")
}

fn say(env: &Env, from: &str, kind: &str, to: &str, what: &str) -> Done {
    if env.shell.json {
        env.shell.json(&json!({"from": from, "kind": kind, "to": to, "done": what}));
    } else if !env.shell.quiet {
        env.shell.out(&format!("{what}: {} {kind} {}", plain(from), plain(to)));
    }
    Ok(None)
}
