//! `meu context`: what a task's request holds, and a person's control of it.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Done, Env, edit, select};
use crate::context::{Item as BundleItem, Shelf, no_heading};
use crate::diag::Error;
use crate::disk::{self, Cache, Workspace};
use crate::graph::Ix;
use crate::path::RelPath;
use crate::request::{Assembled, Scene, build};
use crate::run::item_changes;
use crate::show::{self, Depth, counted, plain};
use crate::spec::{ItemRef, Runner, Subject, TaskText, Tier};
use crate::text::portion;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Show(Show),
    /// Have an item always in, right after the index
    Pin(Item),
    /// Undo a pin
    Unpin(Item),
    /// Leave an item out
    Exclude(Item),
    /// Undo an exclude
    Include(Item),
    Approve(Approve),
    History(History),
    Diff(Diff),
}

/// An item of a task's context
#[derive(Debug, Args)]
pub(super) struct Item {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// `task:ID`, `doc:PATH` or `index`, each with an optional #Heading
    item: String,
}

/// Freeze the items that are in now: from then on nothing is gathered for this task
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// Gather again
    #[arg(long)]
    off: bool,
}

/// The contexts that were sent for a task
#[derive(Debug, Args)]
pub(super) struct History {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
}

/// Items in, out and changed between two contexts
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// The older request, by its digest or the beginning of it; the recorded one if left out
    a: Option<String>,
    /// The newer request; today's if left out
    b: Option<String>,
}

/// The items of a task's context, in order, with tokens; and what was left out, with the reason
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// The very text that would be sent
    #[arg(long)]
    full: bool,
    /// What the retriever found and did not take, too
    #[arg(long, conflicts_with = "full")]
    candidates: bool,
    /// Add an item for this once (`task:ID` or `doc:PATH`)
    #[arg(long, value_name = "ITEM")]
    manual: Vec<String>,
}

pub(super) fn context(env: &Env, command: Command) -> Done {
    match command {
        Command::Show(arguments) => show(env, arguments),
        // What a pin names is looked at when the project is loaded with it.
        Command::Pin(item) => change(env, item, "pinned", any, |text, item| text.add("context.pin", item)),
        Command::Unpin(item) => {
            change(env, item, "unpinned", any, |text, item| text.remove("context.pin", item))
        }
        Command::Exclude(item) => {
            change(env, item, "excluded", excludable, |text, item| text.add("context.exclude", item))
        }
        Command::Include(item) => {
            change(env, item, "included", any, |text, item| text.remove("context.exclude", item))
        }
        Command::Approve(arguments) => approve(env, arguments),
        Command::History(arguments) => history(env, arguments),
        Command::Diff(arguments) => diff(env, arguments),
    }
}

/// Today's request of a task.
fn today(workspace: &Workspace, ix: Ix, manual: &[ItemRef]) -> Result<Assembled, Error> {
    let scene = Scene { graph: &workspace.graph, templates: &workspace.templates };
    build(&scene, ix, manual, &workspace.shelf)
        .map_err(|trouble| Error::failed(trouble.message).maybe_help(trouble.help))
}

fn show(env: &Env, arguments: Show) -> Done {
    let workspace = env.load()?;
    let ix = workspace.graph.canonical(select::one(&workspace, &arguments.task)?);
    let manual = arguments
        .manual
        .iter()
        .map(|text| ItemRef::parse(text).map_err(Error::invalid))
        .collect::<Result<Vec<_>, _>>()?;
    let manual = manual.into_iter().map(|item| added(&workspace, ix, item)).collect::<Result<Vec<_>, _>>()?;
    let assembled = today(&workspace, ix, &manual)?;
    workspace.shelf.save();
    let depth = match (arguments.full, arguments.candidates) {
        (true, _) => Depth::Full,
        (_, true) => Depth::Candidates,
        _ => Depth::Items,
    };
    show::context(&env.shell, &workspace.graph, ix, &assembled, depth);
    Ok(None)
}

/// An item that is added for once, if that can be.
fn added(workspace: &Workspace, ix: Ix, mut item: ItemRef) -> Result<ItemRef, Error> {
    let (graph, node) = (&workspace.graph, workspace.graph.node(ix));
    let nothing = |why: &str| Err(Error::invalid(format!("--manual {item} adds nothing: {why}")));
    if node.items.is_some() {
        let off = format!("`meu context approve {} --off` gathers again", node.id());
        return nothing("the context is approved").map_err(|error| error.help(off));
    }
    if !node.policy.tiers.contains(&Tier::Manual) {
        return nothing("`tiers` has no `manual`").map_err(|error| error.help("add it in `[context]`"));
    }
    if let Subject::Task(id) = &item.subject {
        let other = graph.canonical(select::one(workspace, id)?);
        if other == ix {
            return nothing("no task reads its own output");
        }
        item.subject = Subject::Task(graph.node(other).id().to_owned());
    }
    there(workspace, &item)?;
    Ok(item)
}

/// Refuses a document that is not there or that no context may hold, and a section that it has not.
fn there(workspace: &Workspace, item: &ItemRef) -> Result<(), Error> {
    let Subject::Doc(path) = &item.subject else { return Ok(()) };
    let path = RelPath::parse(path).map_err(|problem| Error::invalid(problem.message()))?;
    if let Some(why) = workspace.graph.config.refused(&path) {
        return Err(Error::invalid(format!("`{item}` is in no context: {why}")));
    }
    let unread = |error| Error::invalid(format!("`{path}` cannot be read: {error}"));
    let text = workspace.shelf.text(&path).map_err(unread)?;
    let Some(text) = text else { return Err(Error::invalid(format!("no document `{path}`"))) };
    match &item.heading {
        Some(heading) if portion(path.as_str(), &text, Some(heading)).is_none() => {
            let trouble = no_heading(path.as_str(), heading, &text);
            Err(Error::invalid(trouble.message).maybe_help(trouble.help))
        }
        _ => Ok(()),
    }
}

/// The task that a context is of; a duplicate has none of its own.
fn with_context(workspace: &Workspace, word: &str) -> Result<Ix, Error> {
    let ix = select::one(workspace, word)?;
    let graph = &workspace.graph;
    let canonical = graph.canonical(ix);
    if canonical != ix {
        let (id, of) = (graph.node(ix).id(), graph.node(canonical).id());
        return Err(Error::invalid(format!("`{id}` is a duplicate of `{of}`, and reads nothing itself"))
            .help(format!("say it of `{of}`")));
    }
    Ok(ix)
}

/// Whether an item can be left out.
fn excludable(workspace: &Workspace, item: &ItemRef) -> Result<(), Error> {
    if item.subject == Subject::Index {
        return Err(
            Error::invalid("the index is always in").help("`index = \"none\"` in `[context]` leaves it out")
        );
    }
    there(workspace, item)
}

fn any(_: &Workspace, _: &ItemRef) -> Result<(), Error> {
    Ok(())
}

fn change(
    env: &Env,
    item: Item,
    done: &str,
    check: fn(&Workspace, &ItemRef) -> Result<(), Error>,
    how: fn(&mut TaskText, &str) -> Result<bool, String>,
) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let ix = with_context(&workspace, &item.task)?;
    let named = ItemRef::parse(&item.item).map_err(|message| {
        Error::invalid(message).help(format!("write `task:{0}` or `doc:{0}`", item.item))
    })?;
    check(&workspace, &named)?;
    let name = named.to_string();
    let changed = edit::edit(&workspace, ix, |text| how(text, &name))?;
    let id = workspace.graph.node(ix).id();
    let done = if changed { done } else { "unchanged" };
    if env.shell.json {
        env.shell.json(&json!({"task": id, "item": name, "done": done}));
    } else if !env.shell.quiet {
        env.shell.out(&format!("{done}: {} in {}", plain(&name), plain(id)));
    }
    Ok(None)
}

fn approve(env: &Env, arguments: Approve) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let ix = with_context(&workspace, &arguments.task)?;
    let mut before = None;
    let items: Vec<String> = match arguments.off {
        true => Vec::new(),
        false => {
            if matches!(workspace.graph.node(ix).task.run, Runner::Template | Runner::Assemble) {
                let message =
                    format!("`{}` is asked of nobody, so it has no context", workspace.graph.node(ix).id());
                return Err(Error::invalid(message));
            }
            let Assembled { bundle, digest, .. } = today(&workspace, ix, &[])?;
            before = Some(digest);
            // What was found stands by rank: so it got its room, and so it will again.
            let rank =
                |item: &BundleItem| bundle.hits.iter().position(|hit| hit.item == item.item).unwrap_or(0);
            let found = |item: &&BundleItem| item.tier == Tier::Retrieved && !item.pinned;
            let first = bundle.items.iter().take_while(|item| !found(item)).count();
            let mut items: Vec<&BundleItem> = bundle.items.iter().collect();
            let count = items[first..].iter().take_while(|item| found(item)).count();
            items[first..first + count].sort_by_key(|item| rank(item));
            items.into_iter().map(|item| item.item.to_string()).collect()
        }
    };
    edit::edit(&workspace, ix, |text| {
        text.set_list("context.items", (!arguments.off).then_some(&items)).map(|()| true)
    })?;
    let id = workspace.graph.node(ix).id();
    if let Some(before) = before {
        let after = disk::load(workspace.store.root())?;
        let now = after.graph.find(id).map(|ix| today(&after, ix, &[])).transpose()?;
        if now.is_some_and(|now| now.digest != before) {
            env.shell.note("named one by one, the items make another request than before: it is asked again");
        }
    }
    if env.shell.json {
        env.shell.json(&json!({"task": id, "items": (!arguments.off).then_some(&items)}));
    } else if !env.shell.quiet {
        let what = if arguments.off { "gathered again".to_owned() } else { counted(items.len(), "item") };
        env.shell.out(&format!("the context of {}: {what}", plain(id)));
    }
    Ok(None)
}

fn history(env: &Env, arguments: History) -> Done {
    let workspace = env.load()?;
    let ix = workspace.graph.canonical(select::one(&workspace, &arguments.task)?);
    let id = workspace.graph.node(ix).id();
    let sent: Vec<_> = disk::run_events(&workspace.store)
        .into_iter()
        .filter(|event| {
            event["event"] == "task_finished" && event["task"] == id && event["request"].is_string()
        })
        .collect();
    show::history(&env.shell, id, &sent);
    Ok(None)
}

fn diff(env: &Env, arguments: Diff) -> Done {
    let workspace = env.load()?;
    let ix = workspace.graph.canonical(select::one(&workspace, &arguments.task)?);
    let id = workspace.graph.node(ix).id();
    let cache = Cache(&workspace.store);
    let named = |name: &str| {
        cache.sent_items(name).ok_or_else(|| {
            Error::failed(format!("no request `{name}` is kept here"))
                .help(format!("`meu context history {id}` lists those that were sent"))
        })
    };
    let recorded = || {
        let record = workspace.lock.records(id).first().ok_or_else(|| {
            Error::failed(format!("`{id}` was never built")).help(format!("`meu run {id}` builds it"))
        })?;
        Ok((record.request, cache.items_of(record)))
    };
    let old = arguments.a.as_deref().map_or_else(recorded, named)?;
    let new = match arguments.b.as_deref() {
        Some(name) => named(name)?,
        None => {
            let assembled = today(&workspace, ix, &[])?;
            (assembled.digest, disk::sent_items(&assembled))
        }
    };
    workspace.shelf.save();
    show::context_diff(&env.shell, id, old.0, new.0, &item_changes(&old.1, &new.1));
    Ok(None)
}
