//! `meu link`

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Done, Env, edit, select};
use crate::author::Words;
use crate::diag::Error;
use crate::graph::{Graph, Ix, outline};
use crate::show::{Paint, columns, in_column, plain};
use crate::spec::{LinkKind, split_heading};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Add(Add),
    Rm(Rm),
    Suggest(Suggest),
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

/// Rank the tasks that a task most likely depends on, by its words and the plan's order
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu link suggest report             the likeliest, numbered
  meu link suggest report --pick 1,3  adds the first and the third
  meu link suggest                    the likeliest of each task that is linked to nothing")]
pub(super) struct Suggest {
    /// The task; all that are linked to nothing if left out
    #[arg(add = super::shell::task_ids())]
    task: Option<String>,
    /// How many
    #[arg(short, value_name = "N", default_value_t = 5)]
    k: usize,
    /// Add these of them, by their numbers
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "task")]
    pick: Vec<usize>,
    /// The kind of what is added
    #[arg(long, default_value = "requires")]
    kind: Kind,
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
        Command::Suggest(arguments) => suggest(env, &arguments),
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

/// The tasks that one most likely depends on: none that it is linked to, that depends on it, or that it is a part of.
fn candidates(graph: &Graph, order: &[Ix], words: &Words, ix: Ix) -> Vec<(Ix, f64)> {
    let dependants = graph.dependants();
    let below = graph.closure(std::iter::once(ix), |ix| dependants[ix.0].iter().copied());
    let linked = graph.closure(std::iter::once(ix), |ix| graph.ordering(ix));
    let around = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let id = graph.node(ix).id();
    let at = order.iter().position(|other| *other == ix);
    let found = at.map(|at| words.suggest(at)).unwrap_or_default().into_iter();
    found
        .map(|found| (order[found.task], found.score))
        .filter(|(other, _)| {
            let other_id = graph.node(*other).id();
            !below[other.0] && !linked[other.0] && !around(id, other_id) && !around(other_id, id)
        })
        .collect()
}

fn suggest(env: &Env, arguments: &Suggest) -> Done {
    let (_hold, workspace) = match arguments.pick.is_empty() {
        true => (None, env.load()?),
        false => env.load_held().map(|(hold, workspace)| (Some(hold), workspace))?,
    };
    let graph = &workspace.graph;
    let order: Vec<Ix> = outline(graph).into_iter().filter_map(|entry| entry.task).collect();
    let prompt = |ix: Ix| graph.node(ix).task.prompt.as_ref().map_or("", |prompt| prompt.value.as_str());
    let words = Words::new(order.iter().map(|ix| (graph.node(*ix).task.title.as_str(), prompt(*ix))));
    let about: Vec<Ix> = match &arguments.task {
        Some(name) => vec![select::one(&workspace, name)?],
        None => {
            let unlinked = |ix: &Ix| graph.node(*ix).requires.is_empty() && graph.node(*ix).refers.is_empty();
            order.iter().copied().filter(unlinked).collect()
        }
    };
    let all: Vec<(Ix, Vec<(Ix, f64)>)> = about
        .into_iter()
        .map(|ix| (ix, candidates(graph, &order, &words, ix).into_iter().take(arguments.k).collect()))
        .collect();
    if let ([(ix, found)], false) = (all.as_slice(), arguments.pick.is_empty()) {
        let picked: Vec<Ix> = arguments
            .pick
            .iter()
            .map(|number| {
                let found = number.checked_sub(1).and_then(|at| found.get(at)).map(|(other, _)| *other);
                found.ok_or_else(|| {
                    Error::invalid(format!("there is no suggestion {number}, only 1 to {}", found_len(&all)))
                        .help("`-k N` shows more")
                })
            })
            .collect::<Result<_, _>>()?;
        for other in picked {
            let name = graph.name_from(*ix, other);
            // A file may hold several tasks: each edit starts from what the last one left.
            let workspace = env.load()?;
            edit::edit(&workspace, *ix, |text| text.add(arguments.kind.word(), &name))?;
            let (from, to) = (graph.node(*ix).id(), graph.node(other).id());
            if env.shell.json {
                env.shell
                    .json(&json!({"from": from, "kind": arguments.kind.word(), "to": to, "done": "added"}));
            } else if !env.shell.quiet {
                env.shell.out(&format!("added: {} {} {}", plain(from), arguments.kind.word(), plain(to)));
            }
        }
        return Ok(None);
    }
    if env.shell.json {
        let rows: Vec<_> = all
            .iter()
            .flat_map(|(ix, found)| found.iter().map(|(other, score)| (*ix, *other, *score)))
            .map(|(ix, other, score)| json!({"from": graph.node(ix).id(), "to": graph.node(other).id(), "score": score}))
            .collect();
        env.shell.json(&json!({"suggestions": rows}));
        return Ok(None);
    }
    for (ix, found) in &all {
        env.shell.out(&env.shell.paint(Paint::Name, &plain(graph.node(*ix).id())));
        let width = columns(found.iter().map(|(other, _)| graph.node(*other).id()), 48);
        for (number, (other, _)) in found.iter().enumerate() {
            let node = graph.node(*other);
            env.shell.out(&format!(
                "  {}. {}  {}",
                number + 1,
                in_column(node.id(), width),
                plain(&node.task.title)
            ));
        }
    }
    match all.as_slice() {
        [] => env.shell.note("every task is linked to another"),
        [(_, found)] if found.is_empty() => env.shell.note("no task is left that it could depend on"),
        [(ix, _)] if arguments.task.is_some() => {
            env.shell
                .note(&format!("`meu link suggest {} --pick 1` adds the first", plain(graph.node(*ix).id())));
        }
        _ => {}
    }
    Ok(None)
}

fn found_len(all: &[(Ix, Vec<(Ix, f64)>)]) -> usize {
    all.iter().map(|(_, found)| found.len()).sum()
}
