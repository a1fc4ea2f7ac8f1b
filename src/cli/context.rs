//! `meu context`: what a task's request holds, and a person's control of it.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Done, Env, edit, select};
use crate::context::Item as BundleItem;
use crate::diag::Error;
use crate::disk::{self, Cache, Workspace};
use crate::graph::Ix;
use crate::request::{Assembled, Scene, build};
use crate::run::item_changes;
use crate::show::{self, Depth, counted, plain};
use crate::spec::{ItemRef, Subject, TaskText, Tier};

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
        Command::Pin(item) => change(env, item, "pinned", |text, item| text.add("context.pin", item)),
        Command::Unpin(item) => change(env, item, "unpinned", |text, item| text.remove("context.pin", item)),
        Command::Exclude(item) => {
            change(env, item, "excluded", |text, item| text.add("context.exclude", item))
        }
        Command::Include(item) => {
            change(env, item, "included", |text, item| text.remove("context.exclude", item))
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
    for item in &manual {
        if let Subject::Task(id) = &item.subject {
            select::one(&workspace, id)?;
        }
    }
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

fn change(env: &Env, item: Item, done: &str, how: fn(&mut TaskText, &str) -> Result<bool, String>) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let ix = select::one(&workspace, &item.task)?;
    let name = ItemRef::parse(&item.item)
        .map_err(|message| Error::invalid(message).help(format!("write `task:{0}` or `doc:{0}`", item.item)))?
        .to_string();
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
    let ix = select::one(&workspace, &arguments.task)?;
    let items: Vec<String> = match arguments.off {
        true => Vec::new(),
        false => {
            let bundle = today(&workspace, ix, &[])?.bundle;
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
    let ix = select::one(&workspace, &arguments.task)?;
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
